//! Whether the kernel says that somebody holds a lock on a file. A value; nothing is asked here.

use crate::sys::tree::ReadError;
use rustix::io::Errno;

/// What a lock lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Shared with other readers.
    Read,
    /// Alone.
    Write,
}

/// Whether somebody holds a kernel lock on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelHold {
    /// Another process holds one; a writer is named before readers.
    Held {
        /// Who took it, in our own PID namespace. `None` for an open file description lock, for a
        /// holder outside our namespace and for one on another machine.
        pid: Option<u32>,
        /// What it is.
        access: Access,
    },
    /// Nobody but perhaps we ourselves, as far as this mount knows.
    Free,
    /// It cannot be told; why.
    Unknown(Untold),
}

impl KernelHold {
    /// Held, alone, by somebody who is not named.
    pub const HELD: Self = Self::Held { pid: None, access: Access::Write };

    /// Whether somebody holds one for certain.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Held { .. })
    }

    /// The word in JSON.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Held { .. } => "held",
            Self::Free => "free",
            Self::Unknown(_) => "unknown",
        }
    }

    /// What two questions about one file tell together: to be held counts before to be unknown.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Held { .. }, _) | (_, Self::Free) => self,
            (_, Self::Held { .. }) | (Self::Free, _) => other,
            (Self::Unknown(_), Self::Unknown(_)) => self,
        }
    }
}

/// Why it cannot be told who holds a kernel lock on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untold {
    /// It is no regular file.
    NotRegular,
    /// Another file has taken its name since it was seen.
    Exchanged,
    /// It lies on another mount than the directory that holds it, and is not opened.
    OtherMount,
    /// This user may not open it.
    NotAllowed,
    /// Without a /proc of our own no file can be opened for certain.
    NoProcfs,
    /// On SMB a lock cannot be asked for without taking it.
    Smb,
    /// The kernel or the file system refused to open it, or to answer.
    Refused(Errno),
    /// The kernel's list of locks cannot be read.
    NoList(Errno),
    /// The kernel's list of locks is too long to be read.
    LongList,
    /// So many lines of the kernel's list are of no known form.
    OddLines(usize),
    /// A lock on a file with this number is listed; whether it is this file cannot be told, and the process
    /// that took it, if it is named, cannot be asked.
    SameNumber(Option<u32>),
    /// A lock of an open file names no process.
    Nameless,
    /// This process took a lock and no longer has the file open.
    PassedOn(u32),
    /// The open files of this process cannot be read.
    Unasked(u32, Errno),
    /// This process has too many open files to be looked at.
    TooManyFiles(u32),
    /// Too many processes have locks to be asked one by one.
    TooManyHolders,
    /// No answer in time.
    NoAnswer,
}

impl Untold {
    /// Why a file that could not be opened cannot be asked for its locks.
    #[must_use]
    pub fn of_open(error: &ReadError) -> Self {
        match error {
            ReadError::System(Errno::ACCESS | Errno::PERM) => Self::NotAllowed,
            ReadError::System(errno) => Self::Refused(*errno),
            ReadError::Symlink | ReadError::NotRegular | ReadError::TooLarge(_) => Self::NotRegular,
            ReadError::OtherMount(_) => Self::OtherMount,
            ReadError::NoProcfs => Self::NoProcfs,
        }
    }
}
