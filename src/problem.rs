//! What could not be looked at, and why, as values. [`crate::words`] puts them into sentences.

use crate::discover::OpenError;
use crate::process::credentials::NoAuthority;
use crate::who::CannotTell;
use rustix::io::Errno;
use std::path::PathBuf;

/// Something that could not be looked at, so that the answer may miss a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it happened to.
    pub path: PathBuf,
    /// What was tried and what came of it.
    pub cause: Cause,
}

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Starting the thread that walks a root.
    StartThread,
    /// Looking at a lock.
    LookAtLock,
    /// Listing a directory.
    ListDirectory,
}

/// Why something could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A system call failed.
    System {
        /// What was tried.
        act: Act,
        /// What the kernel said.
        errno: Errno,
    },
    /// A root cannot be opened.
    Root(OpenError),
    /// A running OpenClaw names places, and it cannot be told with whose authority.
    Authority {
        /// Its name (`comm`), raw.
        program: String,
        /// Why.
        why: NoAuthority,
    },
    /// A symbolic link leads away from where locks would be.
    Link,
    /// The filesystem gave no answer.
    NoHeadway {
        /// For how long, in seconds.
        seconds: u64,
    },
    /// Who runs OpenClaw here is not known, so that their directories are not either.
    WhoRuns(CannotTell),
    /// The home directories could not be looked through in time.
    HomesTookTooLong,
}
