//! Reads one lock: what stands at its name, and what its record says.
//!
//! In: the open directory that holds the lock. Out: its record and times. Called for every
//! lock of a scan, and again before a removal, through the same descriptors.

use super::state_database;
use crate::evidence::{DatabaseUnknown, DatabaseUse, LockTimes};
use crate::family::{Family, Form, Kind};
use crate::hold::{KernelHold, Untold};
use crate::record::{Hostility, MAX_RECORD_BYTES, Record, Unread};
use crate::sys::clock;
use crate::sys::kernel_lock;
use crate::sys::tree::{Crossing, Dir, Meta, ReadError, read_regular, stat};
use crate::units::EpochMs;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;
use std::collections::hash_map::RandomState;
use std::ffi::{OsStr, OsString};
use std::hash::BuildHasher;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::LazyLock;

/// What one look at a lock showed.
#[derive(Debug, Clone)]
pub struct LockReading {
    /// What the record says.
    pub record: Record,
    /// The record's bytes; of a list of locks the first [`KEPT_BYTES`].
    pub raw: Vec<u8>,
    /// All bytes of the record, by number and by a sum that only this process can make.
    pub whole: (usize, u64),
    /// File times.
    pub times: LockTimes,
    /// The newest change that the kernel stamped on lock or record.
    pub changed: Option<EpochMs>,
    /// What stands at the lock's name.
    pub meta: Meta,
    /// What stands at the record's name, if anything does.
    pub record_inode: Option<u64>,
    /// Whether the kernel says that another program has the lock's own file locked, as far as fcntl(2)
    /// tells; nothing of a directory.
    pub kernel_lock: KernelHold,
    /// Whether somebody holds the kernel's lock on its coordinator, the file `<lock>.sqlite`.
    pub coordinator: KernelHold,
    /// Whether somebody has the database of its state dir open, and with which pid of our own
    /// PID namespace.
    pub database: DatabaseUse<Option<u32>>,
}

/// What a list of locks keeps of a record: far more than a release writes.
pub const KEPT_BYTES: usize = 4096;
/// And of one that names nobody.
pub const KEPT_OF_NOBODY: usize = 1024;

/// A keyed sum: who chooses the bytes cannot choose it.
fn sum(bytes: &[u8]) -> u64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEYS.hash_one(bytes)
}

impl LockReading {
    /// Keeps no more of the record than a list of locks shows.
    #[must_use]
    pub(crate) fn shortened(mut self) -> Self {
        // In a piece of its own: what is left of a shrunken one lies between others, of use to none.
        let kept = if self.record.owner().is_some() { KEPT_BYTES } else { KEPT_OF_NOBODY };
        if self.raw.len() > kept {
            self.raw = self.raw.get(..kept).map(<[u8]>::to_vec).unwrap_or_default();
        }
        self
    }

    /// A lock without a record to read.
    fn bare(record: Record, meta: Meta) -> Self {
        Self {
            record,
            raw: Vec::new(),
            whole: (0, sum(&[])),
            times: LockTimes { lock_modified: meta.modified, ..LockTimes::default() },
            changed: meta.changed,
            meta,
            record_inode: None,
            kernel_lock: KernelHold::Free,
            coordinator: KernelHold::Free,
            database: DatabaseUse::CannotTell(DatabaseUnknown::NotAsked),
        }
    }

    /// Takes in what reading the record's file gave.
    fn take(&mut self, read: Result<(Meta, Vec<u8>), ReadError>, family: &Family) {
        let mut stamp = |file: &Meta| {
            self.times.record_modified = file.modified;
            self.times.record_born = file.born;
            self.changed = self.changed.max(file.changed);
        };
        self.record = match read {
            Ok((file, bytes)) => {
                stamp(&file);
                // What has another name may be anybody's file, put there so that a doctor who may
                // read everything shows it: its bytes are not kept.
                if file.links > 1 {
                    Record::Hostile(Hostility::RecordHardLinked)
                } else {
                    self.whole = (bytes.len(), sum(&bytes));
                    self.raw = bytes;
                    family.parse(&self.raw)
                }
            }
            Err(ReadError::TooLarge(file)) => {
                stamp(&file);
                Record::Hostile(Hostility::TooLarge)
            }
            Err(ReadError::OtherMount(file)) => {
                stamp(&file);
                Record::Hostile(Hostility::RecordNotRegular)
            }
            Err(ReadError::Symlink) => Record::Hostile(Hostility::RecordSymlink),
            Err(ReadError::NotRegular) => Record::Hostile(Hostility::RecordNotRegular),
            Err(ReadError::System(Errno::NOENT)) => Record::Missing,
            Err(ReadError::System(errno)) => Record::Unreadable(Unread::System(errno)),
            Err(ReadError::NoProcfs) => Record::Unreadable(Unread::NoProcfs),
        };
    }
}

/// Reads the lock `name` in `parent`; `None` for a kernel lock's file that nobody holds.
///
/// Errors: the lock has vanished (`ENOENT`), or its name may not be looked at.
pub fn read(parent: &Dir, name: &OsStr, kind: Kind) -> Result<Option<LockReading>, Errno> {
    match kind.form {
        Form::Directory { .. } | Form::EmptyDirectory => read_directory(parent, name, kind).map(Some),
        Form::File => read_file(parent, name, kind.family).map(Some),
        Form::KernelLock => read_kernel_lock(parent, name),
    }
}

fn read_directory(parent: &Dir, name: &OsStr, kind: Kind) -> Result<LockReading, Errno> {
    let seen = parent.meta_of(name.as_bytes())?;
    let bare = |record| Ok(LockReading::bare(record, seen));
    match seen.kind {
        FileType::Directory => {}
        FileType::Symlink => return bare(Record::Hostile(Hostility::LockSymlink)),
        _ => return bare(Record::Hostile(Hostility::LockNotDirectory)),
    }
    match parent.open_below(Path::new(name), Crossing::SameMount) {
        Ok(lock) => read_opened(&lock, kind),
        Err(Errno::LOOP) => bare(Record::Hostile(Hostility::LockSymlink)),
        Err(Errno::NOTDIR) => bare(Record::Hostile(Hostility::LockNotDirectory)),
        Err(errno @ (Errno::ACCESS | Errno::PERM)) => bare(Record::Unreadable(Unread::System(errno))),
        Err(errno) => Err(errno),
    }
}

/// Reads a lock directory that is held open.
///
/// Errors: those of statx(2) on the directory.
pub fn read_opened(lock: &Dir, kind: Kind) -> Result<LockReading, Errno> {
    let meta = lock.meta()?;
    let mut reading = LockReading::bare(Record::Missing, meta);
    let Form::Directory { record } = kind.form else {
        reading.record = match lock.is_empty() {
            Ok(true) => Record::NotRecorded,
            Ok(false) => Record::Hostile(Hostility::LockNotEmpty),
            Err(errno) => Record::Unreadable(Unread::System(errno)),
        };
        return Ok(reading);
    };
    let name = record.as_bytes();
    let read = lock.read_here(name, &meta, MAX_RECORD_BYTES);
    reading.record_inode = match &read {
        Ok((record, _)) => Some(record.inode),
        Err(_) => lock.meta_of(name).ok().map(|record| record.inode),
    };
    reading.take(read, kind.family);
    Ok(reading)
}

/// Reads a lock that is a file.
fn read_file(parent: &Dir, name: &OsStr, family: &Family) -> Result<LockReading, Errno> {
    let pin = parent.pin(name.as_bytes())?;
    let mut meta = pin.meta()?;
    if let Some(hostility) = no_file(meta.kind) {
        return Ok(LockReading::bare(Record::Hostile(hostility), meta));
    }
    let holder = parent.meta()?;
    let same_mount = meta.same_mount(&holder);
    if meta.mount_id == 0 && same_mount {
        meta.mount_id = holder.mount_id;
    }
    let mut reading = LockReading::bare(Record::Missing, meta);
    reading.record_inode = Some(meta.inode);
    let opened = if same_mount { pin.open(&meta) } else { Err(ReadError::OtherMount(meta)) };
    let read = match opened {
        Ok(file) => {
            reading.kernel_lock = kernel_lock::ask(&file);
            read_regular(&file, meta, MAX_RECORD_BYTES)
        }
        Err(error) => {
            reading.kernel_lock =
                kernel_lock::of_refused(&error).unwrap_or_else(|errno| KernelHold::Unknown(Untold::Refused(errno)));
            Err(error)
        }
    };
    reading.take(read, family);
    if family.has_coordinator {
        reading.coordinator = coordinator(parent, name);
        reading.database = state_database::ask(parent, reading.times.record_modified.max(reading.times.record_born));
    }
    Ok(reading)
}

/// Reads a lock that is a file through a descriptor that is held on it, which stands at `name` of
/// `parent` or stood there. Whether others have it locked is not asked.
///
/// Errors: those of statx(2).
pub(crate) fn read_opened_file(
    file: &OwnedFd,
    parent: &Dir,
    name: &OsStr,
    family: &Family,
) -> Result<LockReading, Errno> {
    let meta = stat(file, b"", AtFlags::EMPTY_PATH)?;
    let mut reading = LockReading::bare(Record::Missing, meta);
    reading.record_inode = Some(meta.inode);
    reading.take(read_regular(file, meta, MAX_RECORD_BYTES), family);
    if family.has_coordinator {
        reading.coordinator = coordinator(parent, name);
        reading.database = state_database::ask(parent, reading.times.record_modified.max(reading.times.record_born));
    }
    Ok(reading)
}

/// How old fs-safe's guard of a lock is: `<lock>.reclaim`, which a reclaimer needs for milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// There is none.
    Absent,
    /// A reclaimer may be at work behind it.
    Young,
    /// It was left behind: as long as it stands, no OpenClaw clears or takes the lock.
    Left,
}

/// Looks for the guard of the lock `name` in `parent` (OpenClaw 2026.7.2-beta.7 and later).
///
/// Errors: those of statx(2) but `ENOENT`, and but that such a name is too long for any guard.
pub(crate) fn guard(parent: &Dir, name: &OsStr) -> Result<Guard, Errno> {
    /// A guard that is older, in milliseconds, was left by a reclaimer that died.
    const LEFT_MS: i64 = 30_000;
    match parent.meta_of(beside(name, ".reclaim").as_bytes()) {
        Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(Guard::Absent),
        Err(errno) => Err(errno),
        Ok(guard) => Ok(match guard.modified {
            Some(since) if clock::read().wall.since_ms(since) >= LEFT_MS => Guard::Left,
            _ => Guard::Young,
        }),
    }
}

/// The name of what belongs to a lock and stands beside it.
pub(crate) fn beside(lock: &OsStr, suffix: &str) -> OsString {
    let mut name = lock.to_owned();
    name.push(suffix);
    name
}

/// Whether somebody holds the file beside a lock by which its owner is known from anywhere.
fn coordinator(parent: &Dir, lock: &OsStr) -> KernelHold {
    let name = beside(lock, ".sqlite");
    let name = name.as_bytes();
    match parent.meta_of(name).and_then(|seen| kernel_lock::look(parent, name, &seen)) {
        Ok(hold) => hold,
        // A release that makes none.
        Err(Errno::NOENT) => KernelHold::Free,
        Err(errno) => KernelHold::Unknown(Untold::Refused(errno)),
    }
}

fn read_kernel_lock(parent: &Dir, name: &OsStr) -> Result<Option<LockReading>, Errno> {
    let seen = parent.meta_of(name.as_bytes())?;
    if let Some(hostility) = no_file(seen.kind) {
        return Ok(Some(LockReading::bare(Record::Hostile(hostility), seen)));
    }
    let hold = kernel_lock::look(parent, name.as_bytes(), &seen)?;
    let record = match hold {
        KernelHold::Free => return Ok(None),
        KernelHold::Held { pid, .. } => Record::KernelHeld { pid },
        KernelHold::Unknown(_) => Record::KernelUnknown,
    };
    Ok(Some(LockReading { kernel_lock: hold, ..LockReading::bare(record, seen) }))
}

/// What is wrong with what stands where a file should.
fn no_file(kind: FileType) -> Option<Hostility> {
    match kind {
        FileType::RegularFile => None,
        FileType::Symlink => Some(Hostility::LockSymlink),
        _ => Some(Hostility::LockNotFile),
    }
}
