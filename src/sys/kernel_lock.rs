//! Whether somebody holds a kernel lock on a file, asked without taking one.
//!
//! Source: `F_GETLK` of fcntl(2), which tells of POSIX record locks and of open file description
//! locks, also of holders that no /proc here shows. It is not told of flock(2) and of leases;
//! [`crate::process::kernel_holders`] reads those. SQLite's `BEGIN EXCLUSIVE` is a write lock of
//! the first kind on bytes 1073741824 to 1073742335 (`unixLock` of its os_unix.c); in WAL mode it
//! is a read lock, and the writer is known by the `-shm` file beside it.

use super::tree::{Dir, Meta, stat};
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};

/// What a lock lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Shared with other readers.
    Read,
    /// Alone.
    Write,
}

/// Whether somebody holds a kernel lock on a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelHold {
    /// Another process holds one; a writer is named before readers.
    Held {
        /// Who took it, in our own PID namespace. `None` for an open file description lock, for a
        /// holder outside our namespace and for one on another machine.
        pid: Option<u32>,
        /// What it is.
        access: Access,
    },
    /// Nobody but perhaps we ourselves, as far as this mount knows: see [`look`].
    Free,
    /// Cannot be told; why, in one short phrase.
    Unknown(String),
}

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
        return Ok(unknown("it is no regular file"));
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::ACCESS | Errno::PERM) => return Ok(unknown("its file may not be opened by this user")),
        // A link, or a socket.
        Err(Errno::LOOP | Errno::NXIO) => return Ok(unknown(EXCHANGED)),
        // A write lease (fcntl(2)), which its holder was now asked to give up.
        Err(Errno::AGAIN) => return Ok(unknown("another process has a lease on its file")),
        Err(errno) => return Err(errno),
    };
    let meta = stat(&fd, b"", AtFlags::EMPTY_PATH)?;
    if meta.kind != FileType::RegularFile || !meta.same_file(seen) {
        return Ok(unknown(EXCHANGED));
    }
    let magic = u64::from_ne_bytes(rustix::fs::fstatfs(&fd)?.f_type.to_ne_bytes()) & 0xFFFF_FFFF;
    if SMB.contains(&magic) {
        // Its client answers by locking and unlocking (cifs_getlk of fs/smb/client/file.c).
        return Ok(unknown("on SMB a lock cannot be asked for without taking it"));
    }
    Ok(ask(&fd))
}

const EXCHANGED: &str = "another file has taken its name";

fn unknown(why: &str) -> KernelHold {
    KernelHold::Unknown(why.to_owned())
}

/// Asks for the whole file. Unlike `F_SETLK`, `F_GETLK` looks at no access mode: the kernel
/// checks it only where a lock is set (`check_fmode_for_setlk` of fs/locks.c).
fn ask(fd: impl AsFd) -> KernelHold {
    // Only a write lock stands in a reader's way, any lock in a writer's. The kernel tells of one
    // lock alone, so that readers would hide a writer from the second question.
    for probe in [FlockType::ReadLock, FlockType::WriteLock] {
        match fcntl_getlk(&fd, &Flock::from(probe)) {
            Ok(Some(lock)) => return held(&lock),
            Ok(None) => {}
            Err(errno) => {
                return KernelHold::Unknown(format!(
                    "its file system does not tell its locks: {}",
                    super::words(errno)
                ));
            }
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
            assert_eq!(look_at(path, name, "a"), Ok(unknown(EXCHANGED)), "{name}");
        }
        for name in ["link", "socket", "fifo", "."] {
            assert_eq!(look_at(path, name, name), Ok(unknown("it is no regular file")), "{name}");
        }
        assert_eq!(look_at(path, "gone", "a"), Err(Errno::NOENT));
    }

    #[test]
    fn a_kernel_that_refuses_the_question_is_unknown_and_not_free() {
        // fcntl(2) answers EBADF for O_PATH, as a file system without locks answers ENOLCK.
        let fd = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        assert!(matches!(ask(&fd), KernelHold::Unknown(why) if why.contains("Bad file descriptor")));
    }
}
