//! The mount table of a process, by mount id.
//!
//! In: the text of /proc/PID/mountinfo (proc_pid_mountinfo(5)). Out: the few fields that the
//! evidence needs. Called for the sole-access rule, for hidepid and for exports.

use super::tree::pieces;
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// More text than of the 100,000 mounts that a namespace may have (`fs.mount-max`), and the end
/// of what is read of one that has no end.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// Filesystems for which no process and no other machine answers. What is not listed may keep a
/// thread waiting for ever.
const ANSWERED_BY_THE_KERNEL: &str = "\
    bcachefs binder binfmt_misc bpf btrfs cgroup cgroup2 configfs cramfs debugfs devpts devtmpfs dmverity ecryptfs \
    efivarfs erofs exfat ext2 ext3 ext4 f2fs functionfs fusectl hfsplus hugetlbfs iso9660 jffs2 jfs mqueue msdos \
    nilfs2 nsfs ntfs3 overlay proc pstore ramfs reiserfs rootfs rpc_pipefs securityfs selinuxfs smackfs squashfs \
    sysfs tmpfs tracefs ubifs udf vfat xfs zfs zonefs";
/// Where systemd has the kernel wait for it on nearly every machine, and no place lies.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Device number, major and minor.
    pub device: (u32, u32),
    /// The directory of the filesystem that is mounted.
    pub root: PathBuf,
    /// Where, relative to the process's root directory.
    pub mount_point: PathBuf,
    /// Filesystem type.
    pub kind: String,
    /// `hidepid=` of a procfs mount, where it is set and not off.
    pub hides_processes: bool,
}

impl Mount {
    /// Where a path below the mount point lies in the filesystem itself, so that two mounts of
    /// one directory can be compared.
    #[must_use]
    pub fn in_filesystem(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.mount_point).ok().map(|below| self.root.join(below))
    }

    /// Whether a server may leave a question about it without an answer.
    #[must_use]
    pub fn has_server(&self) -> bool {
        let known = ANSWERED_BY_THE_KERNEL.split(' ').any(|kind| kind == self.kind);
        !known && self.mount_point != Path::new(BINFMT)
    }
}

/// The mounts of a process, in their order. Of a line that cannot be parsed nothing is known.
#[derive(Debug, Clone, Default)]
pub struct MountTable {
    mounts: Vec<Mount>,
    by_id: HashMap<u64, usize>,
}

impl MountTable {
    /// Takes the bytes of a mountinfo file.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut table = Self::default();
        bytes.split(|byte| *byte == b'\n').for_each(|line| table.take(line, &|_| true));
        table
    }

    /// Reads an open mountinfo file line by line, and keeps the mounts that are wanted.
    ///
    /// Errors: those of read(2).
    pub fn read(file: impl AsFd, wanted: &dyn Fn(&Mount) -> bool) -> Result<Self, Errno> {
        let mut table = Self::default();
        pieces(file, b'\n', MAX_BYTES, &mut |line| table.take(line, wanted))?;
        Ok(table)
    }

    fn take(&mut self, line: &[u8], wanted: &dyn Fn(&Mount) -> bool) {
        if let Some((id, mount)) = parse(line).filter(|(_, mount)| wanted(mount)) {
            self.by_id.entry(id).or_insert(self.mounts.len());
            self.mounts.push(mount);
        }
    }

    /// The mount with this id; `None` if it is not there or its line cannot be parsed.
    #[must_use]
    pub fn by_id(&self, id: u64) -> Option<Mount> {
        self.by_id.get(&id).and_then(|index| self.mounts.get(*index)).cloned()
    }

    /// The mounts that are wanted, without their ids.
    #[must_use]
    pub fn only(&self, wanted: &dyn Fn(&Mount) -> bool) -> Self {
        let mounts = self.mounts.iter().filter(|mount| wanted(mount)).cloned().collect();
        Self { mounts, by_id: HashMap::new() }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter()
    }

    /// The mounts with a word in their mount point.
    pub fn matching<'a>(&'a self, word: &'a str) -> impl Iterator<Item = Mount> + 'a {
        let holds = move |mount: &&Mount| {
            let point = mount.mount_point.as_os_str().as_encoded_bytes();
            word.is_empty() || point.windows(word.len()).any(|part| part == word.as_bytes())
        };
        self.mounts.iter().filter(holds).cloned()
    }

    /// Whether procfs is mounted more than once, so that one of them may be another PID
    /// namespace's. Binds of one mount, as container engines make them, count once.
    #[must_use]
    pub fn holds_several_procfs(&self) -> bool {
        let mut devices = self.mounts.iter().filter(|mount| mount.kind == "proc").map(|mount| mount.device);
        let first = devices.next();
        devices.any(|device| Some(device) != first)
    }

    /// The mount that a path of this table's process lies on, by the longest mount point.
    #[must_use]
    pub fn by_path(&self, path: &Path) -> Option<Mount> {
        let mounts = self.mounts.iter().filter(|mount| path.starts_with(&mount.mount_point));
        // The last of equals covers the ones before it.
        mounts.max_by_key(|mount| mount.mount_point.as_os_str().len()).cloned()
    }
}

/// What is mounted on the /proc of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcMount {
    /// Device number, major and minor: each mount of procfs has its own since Linux 5.8, each PID
    /// namespace before.
    pub device: (u32, u32),
    /// It is procfs, from its root.
    pub whole_procfs: bool,
}

/// Reads an open mountinfo file line by line for what is mounted on /proc, as the process of
/// that file sees it; `None` if nothing is. Of several mounts the last one covers the others.
///
/// Errors: those of read(2); `EFBIG` for a line or a file that no kernel writes.
pub fn proc_mount(mountinfo: impl AsFd) -> Result<Option<ProcMount>, Errno> {
    let mut found = None;
    pieces(mountinfo, b'\n', MAX_BYTES, &mut |line| found = on_proc(line).or(found))?;
    Ok(found)
}

/// The mount of a line if its mount point is /proc. Fields three to five are device, root and
/// mount point; the type follows a field that is a single dash.
fn on_proc(line: &[u8]) -> Option<ProcMount> {
    let mut fields = line.trim_ascii_end().split(|byte| *byte == b' ').skip(2);
    let (device, root, point) = (fields.next()?, fields.next()?, fields.next()?);
    if point != b"/proc" {
        return None;
    }
    let (major, minor) = std::str::from_utf8(device).ok()?.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(ProcMount { device, whole_procfs: kind == b"proc" && root == b"/" })
}

/// `36 35 98:0 /root /mnt rw,noatime master:1 - ext4 /dev/root rw,errors=continue`
fn parse(line: &[u8]) -> Option<(u64, Mount)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut field = || fields.next();
    let id = text(field()?)?.parse().ok()?;
    let _parent: u64 = text(field()?)?.parse().ok()?;
    let (major, minor) = text(field()?)?.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let (root, mount_point) = (unescape(field()?), unescape(field()?));
    let _options = field()?;
    // Optional fields, as many as there are.
    while field()? != b"-" {}
    let kind = String::from_utf8_lossy(field()?).into_owned();
    let _source = field()?;
    let options = field().unwrap_or_default().split(|byte| *byte == b',');
    let mut hidepid = options.filter_map(|option| option.strip_prefix(b"hidepid="));
    let hides_processes = kind == "proc" && hidepid.any(|mode| mode != b"0" && mode != b"off");
    Some((id, Mount { device, root, mount_point, kind, hides_processes }))
}

fn text(field: &[u8]) -> Option<&str> {
    std::str::from_utf8(field).ok()
}

/// Undoes the octal escapes (`\040`) of the kernel's seq_path().
pub(crate) fn unescape(field: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let octal = match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if *first == b'\\' => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        out.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { tail.get(3..).unwrap_or_default() } else { tail };
    }
    PathBuf::from(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_that_covers_proc_is_found_in_any_pieces() {
        let read = |text: &str| {
            let (reader, mut writer) = std::io::pipe().unwrap();
            let text = text.to_owned();
            let feed = std::thread::spawn(move || {
                for piece in text.as_bytes().chunks(7) {
                    std::io::Write::write_all(&mut writer, piece).unwrap();
                }
            });
            let found = proc_mount(&reader).unwrap();
            feed.join().unwrap();
            found.map(|mount| (mount.device, mount.whole_procfs))
        };
        let base = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n25 1 0:24 / /proc rw shared:14 - proc proc rw\n";
        assert_eq!(read(base), Some(((0, 24), true)));
        assert_eq!(read(&format!("{base}26 25 0:51 / /proc rw - proc proc rw,hidepid=2\n")), Some(((0, 51), true)));
        assert_eq!(read(&format!("{base}26 25 0:24 /sys /proc/sys ro - proc proc rw\n")), Some(((0, 24), true)));
        assert_eq!(read(&format!("{base}26 25 0:24 /1 /proc ro - proc proc rw")), Some(((0, 24), false)));
        assert_eq!(read(&format!("{base}26 25 0:60 / /proc rw - tmpfs - rw\n")), Some(((0, 60), false)));
        assert_eq!(read("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:24 / /host/proc rw - proc proc rw\n"), None);
        assert_eq!(read("/proc\n - /proc - \n"), None);
    }

    #[test]
    fn a_filesystem_that_nobody_listed_has_a_server() {
        let kinds = |kind: &str, point: &str| {
            let line = format!("36 35 0:9 / {point} rw - {kind} source rw\n");
            MountTable::new(line.as_bytes()).by_id(36).unwrap().has_server()
        };
        for kind in ["nfs4", "fuse", "fuse.sshfs", "cifs", "9p", "virtiofs", "autofs", "x"] {
            assert!(kinds(kind, "/mnt"), "{kind}");
        }
        for kind in ["ext4", "tmpfs", "overlay", "proc", "zfs"] {
            assert!(!kinds(kind, "/mnt"), "{kind}");
        }
        assert!(!kinds("autofs", BINFMT));
    }

    #[test]
    fn escaped_mount_points_and_hidepid_are_understood() {
        let text = b"36 35 98:0 /mnt\\0401 /mnt/a\\134b rw,noatime master:1 - ext4 /dev/root rw\n\
                     25 30 0:24 / /proc rw,relatime shared:14 - proc proc rw,hidepid=invisible\n\
                     26 30 0:25 / /p2 rw - proc proc rw,hidepid=0\n\
                     broken line\n";
        let table = MountTable::new(text);
        let mount = table.by_id(36).unwrap();
        assert_eq!(mount.root, Path::new("/mnt 1"));
        assert_eq!(mount.mount_point, Path::new("/mnt/a\\b"));
        assert_eq!(mount.in_filesystem(Path::new("/mnt/a\\b/x")), Some("/mnt 1/x".into()));
        assert!(table.by_id(25).unwrap().hides_processes);
        assert!(!table.by_id(26).unwrap().hides_processes);
        assert_eq!(table.by_id(2), None);
        assert!(table.holds_several_procfs());
        let bound = b"25 30 0:24 / /proc rw - proc proc rw\n26 25 0:24 /sys /proc/sys ro - proc proc rw\n";
        assert!(!MountTable::new(bound).holds_several_procfs());
        assert_eq!(table.by_path(Path::new("/proc/7")).map(|mount| mount.kind), Some("proc".into()));
    }
}
