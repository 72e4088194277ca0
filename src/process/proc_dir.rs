//! A proc directory (/proc, or another one given with `--proc`), held open.

use crate::sys::bounded;
use crate::sys::mounts::{Mount, MountTable};
use crate::sys::tree::{Dir, Meta, pieces, read_to_end, stat};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Largest file read from a process: a status line may list 65,536 groups.
const MAX_PROC_BYTES: u64 = 1024 * 1024;

/// An open proc directory.
#[derive(Debug)]
pub struct ProcDir {
    path: PathBuf,
    dir: Dir,
}

/// The directory of one process, held open.
///
/// procfs binds it to the process, not to its number: once the process is gone, every read
/// through it fails, even if the pid lives again.
#[derive(Debug)]
pub struct ProcessDir {
    fd: OwnedFd,
}

impl ProcDir {
    /// Opens the directory.
    pub fn open(path: &Path) -> Result<Self, Errno> {
        Ok(Self { path: path.to_owned(), dir: Dir::open_root(path)? })
    }

    /// Its path as given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Reads a file below it, such as `7/status` or `sys/kernel/pid_max`.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Errno> {
        read_at(&self.dir, name)
    }

    /// Reads a file below it piece by piece, as the kernel gives them.
    ///
    /// Errors: `EFBIG` after more than `limit` bytes.
    pub fn stream(&self, name: &str, limit: u64, take: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::openat(&self.dir, name, flags, Mode::empty())?;
        let (mut piece, mut total) = (vec![0; 64 * 1024], 0);
        loop {
            match rustix::io::read(&fd, piece.as_mut_slice()) {
                Ok(0) => return Ok(()),
                Ok(length) => {
                    total += length as u64;
                    if total > limit {
                        return Err(Errno::FBIG);
                    }
                    take(piece.get(..length).unwrap_or_default());
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// The mounts of the process that reads it.
    pub fn own_mounts(&self) -> Result<MountTable, Errno> {
        MountTable::read(open_at(&self.dir, "self/mountinfo")?, &|_| true)
    }

    /// The target of a link below it, such as `self`.
    pub fn link(&self, name: &str) -> Result<Vec<u8>, Errno> {
        rustix::fs::readlinkat(&self.dir, name, Vec::new()).map(std::ffi::CString::into_bytes)
    }

    /// Opens the directory of one process.
    pub fn process(&self, pid: u32) -> Result<ProcessDir, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::openat(&self.dir, pid.to_string(), flags, Mode::empty())?;
        Ok(ProcessDir { fd })
    }

    /// The pids that it lists, in no order.
    pub fn pids(&self) -> Result<impl Iterator<Item = Result<u32, Errno>>, Errno> {
        numbers(&self.dir)
    }
}

impl ProcessDir {
    /// Reads one of its files, whole.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Errno> {
        read_at(&self.fd, name)
    }

    /// Opens one of its files, to be read as a stream.
    pub fn open(&self, name: &str) -> Result<OwnedFd, Errno> {
        open_at(&self.fd, name)
    }

    /// Reads one of its files of any size, piece by piece.
    pub fn pieces(&self, name: &str, separator: u8, limit: u64, each: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
        pieces(open_at(&self.fd, name)?, separator, limit, each)
    }

    /// Its mounts, as far as they are wanted.
    pub fn mounts(&self, wanted: &dyn Fn(&Mount) -> bool) -> Result<MountTable, Errno> {
        MountTable::read(open_at(&self.fd, "mountinfo")?, wanted)
    }

    /// The target of one of its links.
    pub fn link(&self, name: &str) -> Result<Vec<u8>, Errno> {
        rustix::fs::readlinkat(&self.fd, name, Vec::new()).map(std::ffi::CString::into_bytes)
    }

    /// The numbers that one of its directories (`fdinfo`, `task`) lists, in no order.
    pub fn numbers(&self, name: &str) -> Result<impl Iterator<Item = Result<u32, Errno>> + use<>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        numbers(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?)
    }

    /// What one of its magic links (`fd/3`) leads to; what is cached is not asked of a server.
    pub fn meta(&self, link: &str) -> Result<Meta, Errno> {
        stat(&self.fd, link.as_bytes(), AtFlags::STATX_DONT_SYNC)
    }

    /// Opens what one of its magic links (`root`, `cwd`) leads to.
    pub fn open_link(&self, name: &str) -> Result<Dir, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        rustix::fs::openat(&self.fd, name, flags, Mode::empty()).map(Dir::from)
    }

    /// Opens a magic link for its identity only; asks for no right to read the directory.
    pub fn pin_link(&self, name: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.fd, name, flags, Mode::empty())
    }
}

fn numbers<Fd: AsFd>(dir: Fd) -> Result<impl Iterator<Item = Result<u32, Errno>> + use<Fd>, Errno> {
    Ok(rustix::fs::Dir::read_from(dir)?.filter_map(|entry| match entry {
        Ok(entry) => entry.file_name().to_str().ok()?.parse().ok().map(Ok),
        Err(errno) => Some(Err(errno)),
    }))
}

const FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

fn open_at(dir: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(dir, name, FILE, Mode::empty())
}

/// Files that are read from the memory of their process: whoever holds its lock, or answers for
/// the page (userfaultfd(2), a FUSE server), may let a reader wait for ever.
const FROM_MEMORY: [&str; 2] = ["cmdline", "environ"];
/// How long that is waited for.
const MEMORY_LIMIT: Duration = Duration::from_millis(1_500);

/// Errors: `ETIMEDOUT` where the memory of a process gave no answer.
fn read_at(dir: impl AsFd, name: &str) -> Result<Vec<u8>, Errno> {
    if FROM_MEMORY.iter().any(|file| name.ends_with(file)) {
        let (dir, name) = (rustix::io::fcntl_dupfd_cloexec(dir, 0)?, name.to_owned());
        return bounded::run(MEMORY_LIMIT, move || read_now(&dir, &name)).unwrap_or(Err(Errno::TIMEDOUT));
    }
    read_now(dir, name)
}

fn read_now(dir: impl AsFd, name: &str) -> Result<Vec<u8>, Errno> {
    read_to_end(&open_at(dir, name)?, MAX_PROC_BYTES)?.ok_or(Errno::FBIG)
}
