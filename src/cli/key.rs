//! The key of a redaction, from a file or for this run alone.

use super::Failure;
use openclaw_doctor::redact::{Key, MIN_KEY_BYTES};
use openclaw_doctor::scan::JudgedLock;
use openclaw_doctor::sys::tree::{Dir, ReadError};
use openclaw_doctor::sys::words;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The most bytes that a key file may have.
const MAX_BYTES: u64 = 64 * 1024;

/// The key in this file, or a new one.
pub(crate) fn key(file: Option<&Path>) -> Result<Key, Failure> {
    match file {
        Some(file) => kept(file),
        None => Key::random().map_err(|errno| Failure::Usage(format!("no random numbers for a key: {}", words(errno)))),
    }
}

/// The id by which a report that was redacted with this key names a lock; its own without one.
pub(crate) fn id_of(lock: &JudgedLock, key: Option<&Key>) -> String {
    key.map_or_else(|| lock.id.clone(), |key| key.id(&lock.id))
}

/// The key that an operator keeps in a file.
pub(crate) fn kept(file: &Path) -> Result<Key, Failure> {
    let cannot = |why: &str| Failure::Usage(format!("the key file {} {why}", file.display()));
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(cannot("is not a file"));
    };
    let read = Dir::open_root(parent).map_err(ReadError::System);
    let read = read.and_then(|parent| parent.read_file(name.as_bytes(), MAX_BYTES));
    let bytes = match read {
        Ok((_, bytes)) => bytes,
        Err(ReadError::System(errno)) => return Err(cannot(&format!("cannot be read: {}", words(errno)))),
        Err(ReadError::TooLarge(_)) => return Err(cannot("is larger than 64 KiB")),
        Err(ReadError::Symlink | ReadError::NotRegular | ReadError::OtherMount(_)) => {
            return Err(cannot("is not a regular file of its directory's own mount"));
        }
        Err(ReadError::NoProcfs) => return Err(cannot("cannot be opened safely without a mounted /proc")),
    };
    let too_short =
        || cannot(&format!("has fewer than {MIN_KEY_BYTES} bytes: head -c 32 /dev/urandom >FILE makes one"));
    Key::kept(&bytes).ok_or_else(too_short)
}
