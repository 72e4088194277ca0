//! Whether somebody holds a kernel lock on a file, asked without taking one.
//!
//! Source: `F_GETLK` of fcntl(2), which tells of POSIX record locks and of open file description
//! locks, also of holders that no /proc here shows. It is not told of flock(2) and of leases;
//! [`crate::process::kernel_holders`] reads those. SQLite's `BEGIN EXCLUSIVE` is a write lock of
//! the first kind on bytes 1073741824 to 1073742335 (`unixLock` of its os_unix.c); in WAL mode it
//! is a read lock, and the writer is known by the `-shm` file beside it.

use super::tree::{Dir, Meta, ReadError};
pub use crate::hold::{Access, KernelHold, Untold};
use rustix::fd::AsFd;
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};

/// `f_type` of SMB mounts (include/uapi/linux/magic.h, fs/smb/client).
const SMB: [u64; 3] = [0xFF53_4D42, 0xFE53_4D42, 0x517B];

/// Asks who holds the file `name` of `dir`, which was `seen` there.
///
/// Nothing is read, so no access time changes. Closing the file again drops every POSIX lock that
/// our own process has on it: not for a file that we lock ourselves. A network or FUSE file
/// system may let it wait for ever: call it within [`super::bounded::run`].
///
/// [`KernelHold::Free`] is this mount's answer. A lock taken through an overlay is not seen
/// in its upper or lower directory, nor the other way round; a network file system mounted with
/// local locks knows only this machine's.
///
/// Errors: what openat(2) and statx(2) say, such as `ENOENT` for a file that has gone.
pub fn look(dir: &Dir, name: &[u8], seen: &Meta) -> Result<KernelHold, Errno> {
    if seen.kind != FileType::RegularFile {
        return Ok(KernelHold::Unknown(Untold::NotRegular));
    }
    let pin = dir.pin(name)?;
    let meta = pin.meta()?;
    if meta.kind != FileType::RegularFile || !meta.same_file(seen) {
        return Ok(KernelHold::Unknown(Untold::Exchanged));
    }
    match pin.open(&meta) {
        Ok(fd) => Ok(ask(&fd)),
        Err(error) => of_refused(&error),
    }
}

/// What a file tells that could not be opened to be asked.
///
/// Errors: what openat(2) says where that is not about this file.
pub fn of_refused(error: &ReadError) -> Result<KernelHold, Errno> {
    match error {
        // A write lease (fcntl(2)), which its holder was now asked to give up.
        ReadError::System(Errno::AGAIN) => Ok(KernelHold::HELD),
        ReadError::System(errno) if !matches!(*errno, Errno::ACCESS | Errno::PERM) => Err(*errno),
        error => Ok(KernelHold::Unknown(Untold::of_open(error))),
    }
}

/// Asks for the whole of an open file. Unlike `F_SETLK`, `F_GETLK` looks at no access mode: the
/// kernel checks it only where a lock is set (`check_fmode_for_setlk` of fs/locks.c).
#[must_use]
pub fn ask(fd: impl AsFd) -> KernelHold {
    match rustix::fs::fstatfs(&fd) {
        Ok(statfs) if SMB.contains(&(u64::from_ne_bytes(statfs.f_type.to_ne_bytes()) & 0xFFFF_FFFF)) => {
            // Its client answers by locking and unlocking (cifs_getlk of fs/smb/client/file.c).
            return KernelHold::Unknown(Untold::Smb);
        }
        Ok(_) => {}
        Err(errno) => return KernelHold::Unknown(Untold::Refused(errno)),
    }
    // Only a write lock stands in a reader's way, any lock in a writer's. The kernel tells of one
    // lock alone, so that readers would hide a writer from the second question.
    for probe in [FlockType::ReadLock, FlockType::WriteLock] {
        match fcntl_getlk(&fd, &Flock::from(probe)) {
            Ok(Some(lock)) => return held(&lock),
            Ok(None) => {}
            Err(errno) => return KernelHold::Unknown(Untold::Refused(errno)),
        }
    }
    KernelHold::Free
}

fn held(lock: &Flock) -> KernelHold {
    // -1 is an open file description lock, less is a process of another machine, 0 is one that our
    // PID namespace does not show (`locks_translate_pid` of fs/locks.c). In rustix a negative pid
    // fails a debug assertion; Cargo.toml turns it off.
    let pid = lock.pid.and_then(|pid| u32::try_from(pid.as_raw_pid()).ok());
    let access = if lock.typ == FlockType::ReadLock { Access::Read } else { Access::Write };
    KernelHold::Held { pid, access }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags};
    use std::path::Path;

    fn look_at(path: &Path, name: &str, seen: &str) -> Result<KernelHold, Errno> {
        let dir = Dir::open_root(path).unwrap();
        let seen = dir.meta_of(seen.as_bytes()).unwrap();
        look(&dir, name.as_bytes(), &seen)
    }

    #[test]
    fn what_is_not_the_file_that_was_seen_is_unknown_and_does_not_block() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path();
        std::fs::write(path.join("a"), "a").unwrap();
        std::fs::write(path.join("b"), "b").unwrap();
        std::os::unix::fs::symlink("a", path.join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();

        assert_eq!(look_at(path, "a", "a"), Ok(KernelHold::Free));
        for name in ["b", "link", "socket", "fifo", "."] {
            assert_eq!(look_at(path, name, "a"), Ok(KernelHold::Unknown(Untold::Exchanged)), "{name}");
        }
        for name in ["link", "socket", "fifo", "."] {
            assert_eq!(look_at(path, name, name), Ok(KernelHold::Unknown(Untold::NotRegular)), "{name}");
        }
        assert_eq!(look_at(path, "gone", "a"), Err(Errno::NOENT));
    }

    #[test]
    fn a_kernel_that_refuses_the_question_is_unknown_and_not_free() {
        // fcntl(2) answers EBADF for O_PATH, as a file system without locks answers ENOLCK.
        let fd = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        assert!(matches!(ask(&fd), KernelHold::Unknown(Untold::Refused(Errno::BADF))));
    }
}
