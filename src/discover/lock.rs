//! Reads one lock: what stands at its name, and what its record says.
//!
//! In: the open directory that holds the lock. Out: its record and times. Called for every
//! lock of a scan, and again before a removal, through the same descriptors.

use crate::evidence::LockTimes;
use crate::family::Family;
use crate::record::{Hostility, MAX_RECORD_BYTES, Record};
use crate::sys::tree::{Crossing, Dir, Meta, ReadError};
use crate::units::EpochMs;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::path::Path;

/// What one look at a lock showed.
#[derive(Debug, Clone)]
pub struct LockReading {
    /// What the record says.
    pub record: Record,
    /// The record's bytes, as far as they were read.
    pub raw: Vec<u8>,
    /// File times.
    pub times: LockTimes,
    /// The newest change that the kernel stamped on lock or record.
    pub changed: Option<EpochMs>,
    /// What stands at the lock's name.
    pub meta: Meta,
    /// What stands at the record's name, if anything does.
    pub record_inode: Option<u64>,
}

/// Reads the lock `name` in `parent`. `pid_max` is the kernel's.
///
/// Errors: the lock has vanished (`ENOENT`), or its name may not be looked at.
pub fn read(parent: &Dir, name: &[u8], family: &Family, pid_max: u64) -> Result<LockReading, Errno> {
    let seen = parent.meta_of(name)?;
    let shapeless = |record| LockReading {
        record,
        raw: Vec::new(),
        times: LockTimes { lock_modified: seen.modified, ..LockTimes::default() },
        changed: seen.changed,
        meta: seen,
        record_inode: None,
    };
    match seen.kind {
        FileType::Directory => {}
        FileType::Symlink => return Ok(shapeless(Record::Hostile(Hostility::LockSymlink))),
        _ => return Ok(shapeless(Record::Hostile(Hostility::LockNotDirectory))),
    }
    let path = Path::new(std::ffi::OsStr::new(family.lock_name));
    match parent.open_below(path, Crossing::SameMount) {
        Ok(lock) => read_opened(&lock, family, pid_max),
        Err(Errno::LOOP) => Ok(shapeless(Record::Hostile(Hostility::LockSymlink))),
        Err(Errno::NOTDIR) => Ok(shapeless(Record::Hostile(Hostility::LockNotDirectory))),
        Err(Errno::ACCESS | Errno::PERM) => Ok(shapeless(Record::Unreadable)),
        Err(errno) => Err(errno),
    }
}

/// Reads the record of a lock directory that is held open.
///
/// Errors: those of statx(2) on the directory.
pub fn read_opened(lock: &Dir, family: &Family, pid_max: u64) -> Result<LockReading, Errno> {
    let meta = lock.meta()?;
    let record_name = family.form.record_name().as_bytes();
    let seen = lock.meta_of(record_name);
    let mut reading = LockReading {
        record: Record::Missing,
        raw: Vec::new(),
        times: LockTimes { lock_modified: meta.modified, ..LockTimes::default() },
        changed: meta.changed,
        meta,
        record_inode: seen.ok().map(|record| record.inode),
    };
    let hostile = |hostility| Record::Hostile(hostility);
    let mut stamp = |file: &Meta| {
        reading.times.record_modified = file.modified;
        reading.times.record_born = file.born;
        reading.changed = reading.changed.max(file.changed);
    };
    let read = |seen| lock.read_seen(record_name, seen, MAX_RECORD_BYTES);
    reading.record = match seen.map_err(ReadError::System).and_then(read) {
        Ok((file, bytes)) => {
            stamp(&file);
            // What has another name or lies on another mount may be anybody's file, put there so
            // that a doctor who may read everything shows it: its bytes are not kept.
            if file.links > 1 {
                hostile(Hostility::RecordHardLinked)
            } else if file.mount_id != meta.mount_id {
                hostile(Hostility::RecordNotRegular)
            } else {
                reading.raw = bytes;
                (family.parse)(&reading.raw, pid_max)
            }
        }
        Err(ReadError::TooLarge(file)) => {
            stamp(&file);
            hostile(Hostility::TooLarge)
        }
        Err(ReadError::Symlink) => hostile(Hostility::RecordSymlink),
        Err(ReadError::NotRegular) => hostile(Hostility::RecordNotRegular),
        Err(ReadError::System(Errno::NOENT)) => Record::Missing,
        Err(ReadError::System(_)) => Record::Unreadable,
    };
    Ok(reading)
}
