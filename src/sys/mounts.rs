//! The mount table of a process, by mount id.
//!
//! In: the text of /proc/PID/mountinfo (proc_pid_mountinfo(5)). Out: the few fields that the
//! evidence needs. Called for the sole-access rule, for hidepid and for exports.

use procfs::process::MountInfo;
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

const CHUNK_BYTES: usize = 64 * 1024;
/// The longest line: two paths of 4 KiB, escaped, and as many options again.
const MAX_LINE_BYTES: usize = 256 * 1024;
const MAX_MOUNTINFO_BYTES: usize = 256 * 1024 * 1024;

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
}

/// The text of a mount table; a line is parsed when it is asked for, since hosts of containers
/// have thousands.
#[derive(Debug, Default)]
pub struct MountTable {
    text: String,
}

impl MountTable {
    /// Takes the bytes of a mountinfo file.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self { text: String::from_utf8_lossy(bytes).into_owned() }
    }

    /// The mount with this id; `None` if it is not there or its line cannot be parsed.
    #[must_use]
    pub fn by_id(&self, id: u64) -> Option<Mount> {
        let prefix = format!("{id} ");
        let line = self.text.lines().find(|line| line.starts_with(&prefix))?;
        Mount::try_from(MountInfo::from_line(line).ok()?).ok()
    }

    /// The mounts of one filesystem type or with a word in their mount point.
    pub fn matching<'a>(&'a self, word: &'a str) -> impl Iterator<Item = Mount> + 'a {
        let lines = self.text.lines().filter(move |line| line.contains(word));
        lines.filter_map(|line| Mount::try_from(MountInfo::from_line(line).ok()?).ok())
    }

    /// Whether procfs is mounted more than once, so that one of them may be another PID
    /// namespace's. Binds of one mount, as container engines make them, count once.
    #[must_use]
    pub fn holds_several_procfs(&self) -> bool {
        let lines = self.text.lines().filter(|line| line.contains(" - proc "));
        let mut devices = lines.map(|line| line.split(' ').nth(2));
        let first = devices.next();
        devices.any(|device| Some(device) != first)
    }

    /// The mount that a path of this table's process lies on, by the longest mount point.
    #[must_use]
    pub fn by_path(&self, path: &Path) -> Option<Mount> {
        let mounts = self.matching("").filter(|mount| path.starts_with(&mount.mount_point));
        // The last of equals covers the ones before it.
        mounts.max_by_key(|mount| mount.mount_point.as_os_str().len())
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
    let (mut found, mut rest) = (None, Vec::new());
    let mut total = 0_usize;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let count = match rustix::io::read(&mountinfo, rustix::buffer::spare_capacity(&mut chunk)) {
            Ok(count) => count,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        };
        total = total.saturating_add(count);
        rest.extend_from_slice(&chunk);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            found = on_proc(&line).or(found);
        }
        if count == 0 {
            return Ok(on_proc(&rest).or(found));
        }
        if rest.len() > MAX_LINE_BYTES || total > MAX_MOUNTINFO_BYTES {
            return Err(Errno::FBIG);
        }
    }
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

impl TryFrom<MountInfo> for Mount {
    type Error = ();

    fn try_from(info: MountInfo) -> Result<Self, ()> {
        let (major, minor) = info.majmin.split_once(':').ok_or(())?;
        let hidepid = info.super_options.get("hidepid").and_then(Option::as_deref);
        Ok(Self {
            device: (major.parse().map_err(|_| ())?, minor.parse().map_err(|_| ())?),
            root: unescape(info.root.as_bytes()),
            mount_point: unescape(info.mount_point.as_os_str().as_encoded_bytes()),
            hides_processes: info.fs_type == "proc" && hidepid.is_some_and(|mode| mode != "0" && mode != "off"),
            kind: info.fs_type,
        })
    }
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
