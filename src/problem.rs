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

/// What is found and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kept {
    /// Locks.
    Locks,
    /// Files of kernel locks that nobody holds.
    Idle,
    /// What looks like a lock.
    LookAlikes,
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
    /// It was not looked at, since its filesystem, or others of the process that names it, gave no answer.
    Hopeless,
    /// More names than are listed.
    TooManyNames {
        /// How many are.
        most: u64,
    },
    /// More finds than are kept.
    TooManyFinds {
        /// Of what.
        sort: Kept,
        /// How many are not.
        count: u64,
    },
    /// A process names more places than are looked at.
    TooManyPlaces {
        /// How many are.
        most: usize,
    },
    /// Directories that were not looked into, since they lie too deep below the PATH; what is told
    /// is one that, given as a PATH, leads into them.
    TooDeep {
        /// How deep a walk looks.
        depth: usize,
        /// How many.
        count: u64,
        /// Whether it leads into all of them, or is the first.
        all: bool,
    },
    /// More problems like one that is told.
    More {
        /// The first of them.
        like: Box<Cause>,
        /// How many.
        count: usize,
    },
    /// Who runs OpenClaw here is not known, so that their directories are not either.
    WhoRuns(CannotTell),
    /// The home directories could not be looked through in time.
    HomesTookTooLong,
}
