//! A receipt of removals: JSON lines, appended and on disk before the next step.
//!
//! The intent, with the record's raw bytes, is written and synced before a removal; the
//! outcome after it. A run that is killed in between leaves an intent without an outcome,
//! which is the truth. If a line cannot be written, nothing more is removed.

use crate::discover::lock::LockReading;
use crate::remove::Outcome;
use crate::report::bytes::hex_if_not_text;
use crate::report::json::write_line;
use crate::scan::JudgedLock;
use crate::sys::tree::stat;
use crate::sys::{clock, words};
use crate::units::EpochMs;
use crate::verdict::{Classification, Reason};
use crate::warrant::Basis;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The schema of a receipt's lines.
pub const RECEIPT_SCHEMA: &str = "openclaw-doctor/receipt/v1";

/// An open receipt.
#[derive(Debug)]
pub struct Receipt {
    file: OwnedFd,
}

/// Why a file is not taken for a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// A system call failed.
    System(Errno),
    /// It was there already and belongs to this user.
    OtherUser(u32),
    /// It was there already and has another name.
    OtherName,
    /// It is neither a regular file nor a terminal nor a pipe.
    NotRegular,
}

impl Unfit {
    /// Why, and what to do, to follow the file's name.
    #[must_use]
    pub fn sentence(self) -> String {
        match self {
            Self::System(errno) => format!("cannot be opened: {}", words(errno)),
            Self::OtherUser(uid) => format!(
                "was there before and belongs to uid {uid}, who could read or change it; name a file of your own"
            ),
            Self::OtherName => {
                "was there before and has a second name (a hard link); name a file that is not there yet".to_owned()
            }
            Self::NotRegular => "is neither a regular file nor a terminal nor a pipe; name a regular file".to_owned(),
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    event: &'static str,
    at_ms: EpochMs,
    id: &'a str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    family: &'static str,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum What<'a> {
    Intent {
        classification: Classification,
        reason: Reason,
        consent: Basis,
        device: String,
        inode: u64,
        record: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        record_hex: Option<String>,
    },
    Outcome {
        outcome: &'static str,
        detail: &'a str,
    },
}

impl Receipt {
    /// Opens the file for appending, and makes it if need be.
    ///
    /// What stands there already is looked at before it is opened: a receipt may hold records of
    /// many users, and whoever made the file beforehand, in a directory where anybody may, could
    /// read it, or have it written into a file of somebody else's. So it is a regular file of our
    /// own with no other name, or a pipe of our own or a terminal. A symbolic link is not followed.
    ///
    /// Errors: why it is not taken.
    pub fn open(path: &Path) -> Result<Self, Unfit> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let new = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        match rustix::fs::open(path, new, Mode::RUSR | Mode::WUSR) {
            Ok(file) => return Ok(Self { file }),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(Unfit::System(errno)),
        }
        let pinned = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        let pinned = pinned.map_err(Unfit::System)?;
        let there = stat(&pinned, b"", AtFlags::EMPTY_PATH).map_err(Unfit::System)?;
        let own = there.uid == rustix::process::geteuid().as_raw();
        match there.kind {
            FileType::Symlink => return Err(Unfit::System(Errno::LOOP)),
            FileType::RegularFile if there.links > 1 => return Err(Unfit::OtherName),
            FileType::RegularFile | FileType::Fifo if !own => return Err(Unfit::OtherUser(there.uid)),
            FileType::RegularFile | FileType::Fifo | FileType::CharacterDevice => {}
            FileType::Directory => return Err(Unfit::System(Errno::ISDIR)),
            _ => return Err(Unfit::NotRegular),
        }
        // What was looked at is what is opened, whatever has its name by now.
        let reopened = rustix::fs::open(format!("/proc/self/fd/{}", pinned.as_raw_fd()), flags, Mode::empty());
        let file = reopened.map_err(Unfit::System)?;
        if there.kind == FileType::CharacterDevice && !rustix::termios::isatty(&file) {
            return Err(Unfit::NotRegular);
        }
        Ok(Self { file })
    }

    /// Writes the intent to remove a lock.
    ///
    /// Errors: those of write(2) and fsync(2).
    pub fn intent(&mut self, lock: &JudgedLock, reading: &LockReading, basis: Basis) -> io::Result<()> {
        let (device, raw) = (reading.meta.device, &reading.raw);
        self.line(
            lock,
            "intent",
            What::Intent {
                classification: lock.verdict.classification,
                reason: lock.verdict.reason,
                consent: basis,
                device: format!("{}:{}", device.0, device.1),
                inode: reading.meta.inode,
                record: (!raw.is_empty()).then(|| String::from_utf8_lossy(raw).into_owned()),
                record_hex: hex_if_not_text(raw),
            },
        )
    }

    /// Writes what became of it.
    ///
    /// Errors: those of write(2) and fsync(2).
    pub fn outcome(&mut self, lock: &JudgedLock, outcome: &Outcome) -> io::Result<()> {
        self.line(lock, "outcome", What::Outcome { outcome: outcome.kind.word(), detail: &outcome.detail })
    }

    fn line(&mut self, lock: &JudgedLock, event: &'static str, what: What<'_>) -> io::Result<()> {
        let line = Line {
            schema: RECEIPT_SCHEMA,
            event,
            at_ms: clock::read().wall,
            id: &lock.id,
            path: lock.path.to_string_lossy().into_owned(),
            path_hex: hex_if_not_text(lock.path.as_os_str().as_bytes()),
            family: lock.found.family.name,
            what,
        };
        let mut bytes = Vec::new();
        write_line(&mut bytes, &line)?;
        // One write per line, so that two doctors do not mix theirs.
        Appender(&self.file).write_all(&bytes)?;
        match rustix::fs::fsync(&self.file) {
            // A pipe or a terminal has nothing to sync.
            Ok(()) | Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

struct Appender<'a>(&'a OwnedFd);

impl Write for Appender<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self.0, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
