//! Directories held open, and everything below them reached from there.
//!
//! A [`Dir`] pins an inode. Paths below it are resolved by the kernel with openat2(2) so that
//! no symbolic link, no `..` and no mount leads out. Called by
//! whatever reads below a directory: [`crate::process`], [`crate::discover`], [`crate::scan`] and
//! [`crate::remove`]. Files are read bounded, and nothing but a regular file is ever opened.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Statx, StatxFlags, StatxTimestamp};
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::sync::OnceLock;

use super::filesystem::Filesystem;
use crate::units::EpochMs;

/// How a path below a directory may be resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crossing {
    /// Mount points below the directory are not entered.
    SameMount,
    /// Mount points are entered.
    AnyMount,
}

/// An open directory.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

/// What statx(2) says, in our own types.
#[derive(Debug, Clone, Copy)]
pub struct Meta {
    /// What it is.
    pub kind: FileType,
    /// Device number of its filesystem, major and minor.
    pub device: (u32, u32),
    /// Inode number.
    pub inode: u64,
    /// Number of names.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Type and permission bits.
    pub mode: u16,
    /// Bytes.
    pub size: u64,
    /// The mount it was reached through; 0 if the kernel does not say.
    pub mount_id: u64,
    /// Last modification.
    pub modified: Option<EpochMs>,
    /// Last change of content, name or mode, by the kernel's clock.
    pub changed: Option<EpochMs>,
    /// Birth.
    pub born: Option<EpochMs>,
}

impl Meta {
    /// Whether two names stand for one inode.
    #[must_use]
    pub fn same_file(&self, other: &Self) -> bool {
        self.device == other.device && self.inode == other.inode
    }

    /// Whether two names lie on one mount; by their devices where the kernel does not tell the
    /// mount of a file (before 5.8).
    #[must_use]
    pub fn same_mount(&self, other: &Self) -> bool {
        if self.mount_id == 0 || other.mount_id == 0 {
            self.device == other.device
        } else {
            self.mount_id == other.mount_id
        }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

impl Dir {
    /// Opens a root, following symbolic links: a root that is a link to a volume is resolved once.
    pub fn open_root(path: &Path) -> Result<Self, Errno> {
        let fd = rustix::fs::open(path, DIRECTORY, Mode::empty())?;
        Ok(Self { fd })
    }

    /// Opens a directory that is not itself a symbolic link; links before its last name are followed.
    ///
    /// Errors: `ELOOP` for a symbolic link.
    pub fn open_no_link(path: &Path) -> Result<Self, Errno> {
        let open = rustix::fs::open(path, DIRECTORY | OFlags::NOFOLLOW, Mode::empty());
        let fd = open.map_err(|errno| {
            // With O_DIRECTORY a link is ENOTDIR.
            let is_link = || rustix::fs::readlink(path, Vec::new()).is_ok();
            if errno == Errno::NOTDIR && is_link() { Errno::LOOP } else { errno }
        })?;
        Ok(Self { fd })
    }

    /// Opens an absolute path as a process with this root directory would: a symbolic link in
    /// it, absolute or not, stays inside.
    ///
    /// Errors: `ENOSYS` on kernels before 5.6, where this cannot be done safely.
    pub fn open_in_root(&self, path: &Path) -> Result<Self, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let fd = rustix::fs::openat2(&self.fd, path, DIRECTORY, Mode::empty(), resolve)?;
        Ok(Self { fd })
    }

    /// Opens a directory below this one without following any link.
    ///
    /// Errors: `ELOOP` for a symbolic link, `EXDEV` for a mount point under
    /// [`Crossing::SameMount`], `ENOTDIR` for anything that is no directory.
    pub fn open_below(&self, path: &Path, crossing: Crossing) -> Result<Self, Errno> {
        if path.as_os_str().is_empty() {
            return self.reopen();
        }
        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        if crossing == Crossing::SameMount {
            resolve |= ResolveFlags::NO_XDEV;
        }
        // Without O_NOFOLLOW, which turns the ELOOP of a link at the end into ENOTDIR.
        match rustix::fs::openat2(&self.fd, path, DIRECTORY, Mode::empty(), resolve) {
            Ok(fd) => Ok(Self { fd }),
            Err(Errno::NOSYS | Errno::PERM) => self.step_below(path, crossing),
            Err(errno) => Err(errno),
        }
    }

    /// Opens this directory once more.
    pub fn reopen(&self) -> Result<Self, Errno> {
        let fd = rustix::fs::openat(&self.fd, c".", DIRECTORY, Mode::empty())?;
        Ok(Self { fd })
    }

    /// The directory above, for its identity only.
    pub(crate) fn parent(&self) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, c"..", flags, Mode::empty())?;
        Ok(Self { fd })
    }

    /// What openat2 does, component by component, for kernels and sandboxes without it.
    fn step_below(&self, path: &Path, crossing: Crossing) -> Result<Self, Errno> {
        let mut here = self.reopen()?;
        let mount_id = here.meta()?.mount_id;
        for component in path.components() {
            let name = match component {
                Component::Normal(name) => name,
                Component::CurDir => continue,
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV),
            };
            let fd = rustix::fs::openat(&here.fd, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
                .map_err(|errno| self.link_not_directory(&here, name.as_bytes(), errno))?;
            here = Self { fd };
            if crossing == Crossing::SameMount && here.meta()?.mount_id != mount_id {
                return Err(Errno::XDEV);
            }
        }
        Ok(here)
    }

    /// openat(2) says `ENOTDIR` for a symbolic link where openat2 says `ELOOP`.
    fn link_not_directory(&self, parent: &Self, name: &[u8], errno: Errno) -> Errno {
        let is_link = || parent.meta_of(name).is_ok_and(|meta| meta.kind == FileType::Symlink);
        if errno == Errno::NOTDIR && is_link() { Errno::LOOP } else { errno }
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> Result<bool, Errno> {
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            if ![c".", c".."].contains(&entry?.file_name()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What this directory is.
    pub fn meta(&self) -> Result<Meta, Errno> {
        let mut meta = stat(&self.fd, b"", AtFlags::EMPTY_PATH)?;
        if meta.mount_id == 0 {
            meta.mount_id = self.mount_id_of_fdinfo().unwrap_or(0);
        }
        Ok(meta)
    }

    /// The mount id for kernels before 5.8, whose statx(2) does not tell it (proc_pid_fdinfo(5)).
    fn mount_id_of_fdinfo(&self) -> Option<u64> {
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fdinfo/{}", self.fd.as_raw_fd());
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        parse_mount_id(&read_to_end(&file, 4096).ok()??)
    }

    /// What a name in this directory is; a symbolic link is not followed.
    pub fn meta_of(&self, name: &[u8]) -> Result<Meta, Errno> {
        stat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// The filesystem this directory lies on.
    pub fn filesystem(&self) -> Result<Filesystem, Errno> {
        let statfs = rustix::fs::fstatfs(&self.fd)?;
        Ok(Filesystem { magic: u64::from_ne_bytes(statfs.f_type.to_ne_bytes()) & 0xFFFF_FFFF })
    }

    /// The real path of this directory in our mount namespace, as the kernel tells it.
    #[must_use]
    pub fn kernel_path(&self) -> Option<std::path::PathBuf> {
        use std::os::fd::AsRawFd;
        let link = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let target = rustix::fs::readlink(link, Vec::new()).ok()?;
        Some(std::path::PathBuf::from(std::ffi::OsStr::from_bytes(target.as_bytes())))
    }

    /// A path that reaches this directory whatever its name is now; `None` without /proc.
    #[must_use]
    pub fn pinned_path(&self) -> Option<std::path::PathBuf> {
        use std::os::fd::AsRawFd;
        let link = format!("/proc/self/fd/{}/", self.fd.as_raw_fd());
        rustix::fs::access(link.as_str(), rustix::fs::Access::EXISTS).ok()?;
        Some(link.into())
    }

    /// Pins what a name in this directory stands for; a symbolic link itself.
    pub fn pin(&self, name: &[u8]) -> Result<Pin, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Pin { fd: rustix::fs::openat(&self.fd, name, flags, Mode::empty())? })
    }

    /// Reads a regular file in this directory, at most `limit` bytes, on whatever mount it lies.
    pub fn read_file(&self, name: &[u8], limit: u64) -> Result<(Meta, Vec<u8>), ReadError> {
        let pin = self.pin(name).map_err(ReadError::System)?;
        let meta = pin.meta().map_err(ReadError::System)?;
        pin.read(meta, limit)
    }

    /// The same, of what lies on the mount of `holder` only.
    pub fn read_here(&self, name: &[u8], holder: &Meta, limit: u64) -> Result<(Meta, Vec<u8>), ReadError> {
        let pin = self.pin(name).map_err(ReadError::System)?;
        let meta = pin.meta().map_err(ReadError::System)?;
        if meta.kind == FileType::RegularFile && !meta.same_mount(holder) {
            return Err(ReadError::OtherMount(meta));
        }
        pin.read(meta, limit)
    }
}

/// A file that is held by its inode, not opened: its number is not given to another.
///
/// Opening a device or a FIFO does something: it wakes who waits at the other end, rewinds a tape,
/// starts a watchdog. A look at the name beforehand does not help against one that is exchanged
/// in between. So the inode is pinned (`O_PATH`, which opens nothing), looked at, and only a regular
/// file is opened, as that inode, through its descriptor in /proc.
#[derive(Debug)]
pub struct Pin {
    fd: OwnedFd,
}

impl Pin {
    /// What it is, whatever its name is now.
    pub fn meta(&self) -> Result<Meta, Errno> {
        stat(&self.fd, b"", AtFlags::EMPTY_PATH)
    }

    /// Opens it for reading, if it is a regular file; `meta` is what [`Self::meta`] said.
    ///
    /// Errors: `EWOULDBLOCK` where another process has a write lease on it, which it was now asked
    /// to give up.
    pub fn open(&self, meta: &Meta) -> Result<OwnedFd, ReadError> {
        self.open_as(meta, OFlags::RDONLY)
    }

    /// The same, for reading and writing.
    pub(crate) fn open_to_write(&self, meta: &Meta) -> Result<OwnedFd, ReadError> {
        self.open_as(meta, OFlags::RDWR)
    }

    fn open_as(&self, meta: &Meta, access: OFlags) -> Result<OwnedFd, ReadError> {
        use std::os::fd::AsRawFd;
        match meta.kind {
            FileType::RegularFile => {}
            FileType::Symlink => return Err(ReadError::Symlink),
            _ => return Err(ReadError::NotRegular),
        }
        let link = format!("self/fd/{}", self.fd.as_raw_fd());
        let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let proc = procfs().ok_or(ReadError::NoProcfs)?;
        rustix::fs::openat(proc, link, flags, Mode::empty()).map_err(|errno| match errno {
            // A pinned inode is always there: it is the /proc of a namespace that does not hold us.
            Errno::NOENT => ReadError::NoProcfs,
            errno => ReadError::System(errno),
        })
    }

    /// Reads it, if it is a regular file of at most `limit` bytes; `meta` is what [`Self::meta`] said.
    pub(crate) fn read(&self, meta: Meta, limit: u64) -> Result<(Meta, Vec<u8>), ReadError> {
        if meta.kind == FileType::RegularFile && meta.size > limit {
            return Err(ReadError::TooLarge(meta));
        }
        read_regular(&self.open(&meta)?, meta, limit)
    }
}

/// Reads a regular file that is open, from its beginning, at most `limit` bytes.
pub(crate) fn read_regular(file: impl AsFd, meta: Meta, limit: u64) -> Result<(Meta, Vec<u8>), ReadError> {
    if meta.size > limit {
        return Err(ReadError::TooLarge(meta));
    }
    match read_sized(file, Some(meta.size), limit).map_err(ReadError::System)? {
        Some(bytes) => Ok((meta, bytes)),
        None => Err(ReadError::TooLarge(meta)),
    }
}

/// The root of our own /proc, if it is one: no other file system gives links to open files, and
/// a name below a directory that is none could be a FIFO again.
fn procfs() -> Option<&'static Dir> {
    static PROC: OnceLock<Option<Dir>> = OnceLock::new();
    let open = || {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = Dir { fd: rustix::fs::open(c"/proc", flags, Mode::empty()).ok()? };
        dir.filesystem().is_ok_and(Filesystem::is_procfs).then_some(dir)
    };
    PROC.get_or_init(open).as_ref()
}

/// Why a file was not read.
#[derive(Debug, Clone, Copy)]
pub enum ReadError {
    /// It is a symbolic link.
    Symlink,
    /// It is a FIFO, socket, device or directory.
    NotRegular,
    /// It has more bytes than the limit.
    TooLarge(Meta),
    /// It is a regular file of another mount.
    OtherMount(Meta),
    /// Without a /proc of our own no file can be opened for certain.
    NoProcfs,
    /// The kernel refused.
    System(Errno),
}

impl ReadError {
    /// The same as an error of the system.
    #[must_use]
    pub fn errno(self) -> Errno {
        match self {
            Self::Symlink => Errno::LOOP,
            Self::NotRegular => Errno::INVAL,
            Self::TooLarge(_) => Errno::FBIG,
            Self::OtherMount(_) => Errno::XDEV,
            Self::NoProcfs => Errno::NOSYS,
            Self::System(errno) => errno,
        }
    }
}

fn parse_mount_id(fdinfo: &[u8]) -> Option<u64> {
    let line = fdinfo.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"mnt_id:"))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

/// Reads at most `limit` bytes; `None` if there are more.
pub(crate) fn read_to_end(fd: impl AsFd, limit: u64) -> Result<Option<Vec<u8>>, Errno> {
    read_sized(fd, None, limit)
}

/// Reads a file of any size piece by piece, without keeping it: what stands between two
/// separators, and after the last. `each` is not called for a piece that is longer than a mebibyte.
///
/// Errors: those of read(2); `EFBIG` for a piece that is too long, or more than `limit` bytes.
pub(crate) fn pieces(file: impl AsFd, separator: u8, limit: u64, each: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
    const PIECE: usize = 1024 * 1024;
    let (mut rest, mut total) = (Vec::new(), 0_u64);
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let count = match rustix::io::read(&file, chunk.as_mut_slice()) {
            Ok(0) => break,
            Ok(count) => count,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        };
        let mut pieces = chunk.get(..count).unwrap_or_default().split(|byte| *byte == separator);
        rest.extend_from_slice(pieces.next().unwrap_or_default());
        for piece in pieces {
            each(&rest);
            rest.clear();
            rest.extend_from_slice(piece);
        }
        total += count as u64;
        if rest.len() > PIECE || total > limit {
            return Err(Errno::FBIG);
        }
    }
    if !rest.is_empty() {
        each(&rest);
    }
    Ok(())
}

/// What is read at once, where the size is not known.
const CHUNK: usize = 4096;

/// Reads to the end, at most `limit` bytes. A size that is known and reached by a read that
/// had room for more is the end: no second read asks for it.
fn read_sized(fd: impl AsFd, size: Option<u64>, limit: u64) -> Result<Option<Vec<u8>>, Errno> {
    // One byte of room beyond the size shows whether the file has grown.
    let expected = size.map_or(limit, |size| size.saturating_add(1));
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(CHUNK).min(CHUNK));
    loop {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(CHUNK);
        }
        let offset = bytes.len() as u64;
        match rustix::io::pread(&fd, rustix::buffer::spare_capacity(&mut bytes), offset) {
            Ok(0) => return Ok(Some(bytes)),
            Ok(_) => {
                let length = bytes.len() as u64;
                if length > limit {
                    return Ok(None);
                }
                if bytes.len() < bytes.capacity() && size == Some(length) {
                    return Ok(Some(bytes));
                }
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// statx(2) with the fields that the evidence needs; what is cached is not asked of a server.
///
/// Kernels before 4.11 do not have it, and old sandboxes forbid it: what stat(2) says then lacks the
/// birth and the mount.
pub(crate) fn stat(fd: impl AsFd, name: &[u8], flags: AtFlags) -> Result<Meta, Errno> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME | StatxFlags::MNT_ID;
    match rustix::fs::statx(&fd, name, flags | AtFlags::NO_AUTOMOUNT, wanted) {
        Ok(statx) => Ok(Meta::from(&statx)),
        Err(Errno::NOSYS | Errno::PERM) => {
            // The others are those of statx(2) alone.
            let flags = flags & (AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW);
            Ok(Meta::from(&rustix::fs::statat(&fd, name, flags | AtFlags::NO_AUTOMOUNT)?))
        }
        Err(errno) => Err(errno),
    }
}

fn milliseconds(seconds: i64, nanoseconds: i64) -> EpochMs {
    EpochMs(seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000))
}

impl From<&Stat> for Meta {
    fn from(stat: &Stat) -> Self {
        let time = |seconds, nanoseconds| i64::try_from(nanoseconds).ok().map(|part| milliseconds(seconds, part));
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            device: (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev)),
            inode: stat.st_ino,
            links: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: u16::try_from(stat.st_mode & 0xFFFF).unwrap_or(u16::MAX),
            size: u64::try_from(stat.st_size).unwrap_or(u64::MAX),
            mount_id: 0,
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
            born: None,
        }
    }
}

impl From<&Statx> for Meta {
    fn from(statx: &Statx) -> Self {
        let has = |flag: StatxFlags| statx.stx_mask & flag.bits() != 0;
        let time =
            |flag, stamp: &StatxTimestamp| has(flag).then(|| milliseconds(stamp.tv_sec, i64::from(stamp.tv_nsec)));
        Self {
            kind: FileType::from_raw_mode(u32::from(statx.stx_mode)),
            device: (statx.stx_dev_major, statx.stx_dev_minor),
            inode: statx.stx_ino,
            links: statx.stx_nlink,
            uid: statx.stx_uid,
            gid: statx.stx_gid,
            mode: statx.stx_mode,
            size: statx.stx_size,
            mount_id: if has(StatxFlags::MNT_ID) { statx.stx_mnt_id } else { 0 },
            modified: time(StatxFlags::MTIME, &statx.stx_mtime),
            changed: time(StatxFlags::CTIME, &statx.stx_ctime),
            born: time(StatxFlags::BTIME, &statx.stx_btime),
        }
    }
}

impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> Self {
        dir.fd
    }
}

impl From<OwnedFd> for Dir {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

/// The names in a directory; none if it cannot be listed. For optional places only.
#[must_use]
pub fn list_names(path: &Path) -> Vec<std::ffi::OsString> {
    let Ok(dir) = Dir::open_root(path) else { return Vec::new() };
    let Ok(entries) = rustix::fs::Dir::read_from(&dir) else { return Vec::new() };
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name().to_bytes().to_vec());
    names.map(std::os::unix::ffi::OsStringExt::from_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernels_mount_id_is_the_same_as_a_new_ones() {
        let dir = Dir::open_root(Path::new("/")).unwrap();
        assert_eq!(dir.mount_id_of_fdinfo(), Some(stat(&dir, b"", AtFlags::EMPTY_PATH).unwrap().mount_id));
        assert_eq!(parse_mount_id(b"pos:\t0\nmnt_id:\t25\nino:\t2\n"), Some(25));
        assert_eq!(parse_mount_id(b"pos:\t0\n"), None);
    }

    #[test]
    fn without_statx_all_but_the_birth_and_the_mount_is_the_same() {
        let new = stat(rustix::fs::CWD, b"/proc/self/exe", AtFlags::empty()).unwrap();
        let old = Meta::from(&rustix::fs::statat(rustix::fs::CWD, "/proc/self/exe", AtFlags::empty()).unwrap());
        let said = format!("{:?}", Meta { mount_id: 0, born: None, ..new });
        assert_eq!(format!("{old:?}"), said);
    }

    #[test]
    fn on_an_old_kernel_a_record_lies_on_the_mount_of_its_device() {
        let new = stat(rustix::fs::CWD, b"/", AtFlags::empty()).unwrap();
        let old = Meta { mount_id: 0, ..new };
        assert!(old.same_mount(&new) && new.same_mount(&old) && new.same_mount(&new));
        assert!(!old.same_mount(&Meta { device: (0, 0), ..new }));
        assert!(!new.same_mount(&Meta { mount_id: new.mount_id + 1, ..new }));
    }

    #[test]
    fn a_path_below_is_resolved_alike_with_and_without_openat2() {
        let temp = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink(outside.path(), temp.path().join("a/link")).unwrap();
        std::os::unix::fs::symlink("b", temp.path().join("a/inside")).unwrap();
        std::fs::write(temp.path().join("a/file"), "").unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        for (path, expected) in [
            ("a/b", Ok(())),
            ("", Ok(())),
            ("a/link", Err(Errno::LOOP)),
            ("a/inside", Err(Errno::LOOP)),
            ("a/file", Err(Errno::NOTDIR)),
            ("a/none", Err(Errno::NOENT)),
            ("../x", Err(Errno::XDEV)),
        ] {
            let path = Path::new(path);
            let told = |result: Result<Dir, Errno>| result.map(|dir| assert!(dir.meta().is_ok()));
            assert_eq!(told(root.open_below(path, Crossing::SameMount)), expected, "openat2 {path:?}");
            assert_eq!(told(root.step_below(path, Crossing::SameMount)), expected, "steps {path:?}");
        }
    }
}
