//! Whether a process has any way to the files of a filesystem: its mounts, and what it holds open.
//!
//! Source: /proc/PID/mountinfo (proc_pid_mountinfo(5)), whose device number is the superblock's,
//! and stat(2) through the links cwd, root and fd/N. A lean only: what cannot be read may be a way.

use super::proc_dir::ProcessDir;
use crate::evidence::{Reaches, RouteUnknown};
use crate::sys::mounts::{MountTable, unescape};
use crate::sys::tree::{Dir, Meta};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many open files of a process are looked at.
const MAX_OPEN_FILES: usize = 1_024;
/// How many layers of overlays are looked for, of all mounts of a process together.
const MAX_LAYERS: usize = 512;

/// Filesystems on a device or in memory, one superblock each: the device number tells them.
const PLAIN: &[&str] = &["ext2", "ext3", "ext4", "xfs", "f2fs", "jfs", "tmpfs"];
/// Others whose files are their own, so that none of them can be another filesystem's.
const OF_THEIR_OWN: &[&str] = &[
    "autofs",
    "bcachefs",
    "binfmt_misc",
    "bpf",
    "btrfs",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "erofs",
    "exfat",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
    "vfat",
    "zfs",
];

/// Where a lock lies: a superblock, and the path in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its device, major and minor.
    pub device: (u32, u32),
    /// From the root of the filesystem.
    pub path: PathBuf,
}

impl Place {
    /// The place of a path of our own mount namespace; `None` where the filesystem is no plain
    /// one, or its mount is not in our table.
    #[must_use]
    pub fn of(real_path: &Path, meta: &Meta, mounts: &MountTable) -> Option<Self> {
        let mount = mounts.by_id(meta.mount_id).filter(|mount| meta.mount_id != 0 && mount.device == meta.device)?;
        let path = mount.in_filesystem(real_path)?;
        PLAIN.contains(&mount.kind.as_str()).then_some(Self { device: mount.device, path })
    }
}

/// The ways of one process to one filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    /// Directories of the filesystem that it has mounted, or that an overlay of it shows.
    roots: Vec<PathBuf>,
    /// It holds something of it open that lies on none of its mounts.
    holds: bool,
}

impl Routes {
    /// Reads them. `layer` tells where a directory of an overlay lies.
    ///
    /// Stats what the process has open: call it within [`crate::sys::bounded::run`].
    pub fn read(
        process: &ProcessDir,
        device: (u32, u32),
        mut layer: impl FnMut(&Path) -> Option<Layer>,
    ) -> Result<Self, RouteUnknown> {
        let table = process.read("mountinfo").map_err(|_| RouteUnknown::Mounts)?;
        let mut routes = Self { roots: Vec::new(), holds: false };
        let (mut mounts, mut layers) = (HashSet::new(), 0);
        for line in table.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mount = Line::parse(line).ok_or(RouteUnknown::Mounts)?;
            mounts.insert(mount.id);
            if mount.device == device {
                routes.roots.push(mount.root()?);
            } else if mount.kind == b"overlay" {
                for directory in mount.layers()? {
                    layers += 1;
                    match layer(&directory).filter(|_| layers <= MAX_LAYERS) {
                        Some(Layer::On(place)) if place.device == device => routes.roots.push(place.path),
                        Some(Layer::On(_) | Layer::Elsewhere) => {}
                        None => return Err(RouteUnknown::Stacked),
                    }
                }
            } else if !mount.keeps_its_own() {
                return Err(RouteUnknown::Stacked);
            }
        }
        let mut look = |link: &str| match process.meta(link) {
            Ok(meta) if mounts.contains(&meta.mount_id) => Ok(()),
            Ok(meta) if meta.device == device => {
                routes.holds = true;
                Ok(())
            }
            Ok(meta) if meta.kind == FileType::Directory => Err(RouteUnknown::OpenFiles),
            Ok(_) => Ok(()),
            Err(_) => Err(RouteUnknown::OpenFiles),
        };
        look("cwd")?;
        look("root")?;
        let descriptors = process.numbers("fd").map_err(|_| RouteUnknown::OpenFiles)?;
        for (count, descriptor) in descriptors.enumerate() {
            let descriptor = descriptor.map_err(|_| RouteUnknown::OpenFiles)?;
            if count == MAX_OPEN_FILES {
                return Err(RouteUnknown::OpenFiles);
            }
            let link = format!("fd/{descriptor}");
            // What was closed meanwhile is no way any more.
            if !matches!(process.meta(&link), Err(Errno::NOENT)) {
                look(&link)?;
            }
        }
        Ok(routes)
    }

    /// Whether one of them leads to this path, or into it.
    #[must_use]
    pub fn lead_to(&self, path: &Path) -> Reaches {
        let meets = |root: &PathBuf| path.starts_with(root) || root.starts_with(path);
        if self.holds || self.roots.iter().any(meets) { Reaches::Yes } else { Reaches::No }
    }
}

/// Where a directory of an overlay lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// On a plain filesystem.
    On(Place),
    /// On one whose files are its own.
    Elsewhere,
}

/// Finds a directory that an overlay was made of, in our own mount namespace.
#[must_use]
pub fn layer(directory: &Path, mounts: &MountTable) -> Option<Layer> {
    let dir = Dir::open_root(directory).ok()?;
    let (meta, path) = (dir.meta().ok()?, dir.kernel_path()?);
    let mount = mounts.by_id(meta.mount_id)?;
    match Place::of(&path, &meta, mounts) {
        Some(place) => Some(Layer::On(place)),
        None => OF_THEIR_OWN.contains(&mount.kind.as_str()).then_some(Layer::Elsewhere),
    }
}

/// One line of a mount table.
struct Line<'a> {
    id: u64,
    device: (u32, u32),
    root: &'a [u8],
    kind: &'a [u8],
    options: &'a [u8],
}

impl<'a> Line<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let text = |field: &'a [u8]| std::str::from_utf8(field).ok();
        let mut fields = line.split(|byte| *byte == b' ');
        let id = text(fields.next()?)?.parse().ok()?;
        let _parent = fields.next()?;
        let (major, minor) = text(fields.next()?)?.split_once(':')?;
        let root = fields.next()?;
        let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
        let kind = fields.next()?;
        let _source = fields.next()?;
        Some(Self { id, device: (major.parse().ok()?, minor.parse().ok()?), root, kind, options: fields.next()? })
    }

    /// The directory of the filesystem that is mounted.
    fn root(&self) -> Result<PathBuf, RouteUnknown> {
        // The kernel's mark of a directory that was removed; its files may still be there.
        if self.root.ends_with(b"//deleted") || !self.root.starts_with(b"/") {
            return Err(RouteUnknown::Mounts);
        }
        Ok(unescape(self.root))
    }

    fn keeps_its_own(&self) -> bool {
        let known = PLAIN.iter().chain(OF_THEIR_OWN);
        known.into_iter().any(|kind| kind.as_bytes() == self.kind)
    }

    /// The directories that an overlay was made of, as it was told them.
    fn layers(&self) -> Result<Vec<PathBuf>, RouteUnknown> {
        let mut layers = Vec::new();
        for option in self.options.split(|byte| *byte == b',') {
            let Some(at) = option.iter().position(|byte| *byte == b'=') else { continue };
            let (name, value) = option.split_at(at);
            if !matches!(name, b"lowerdir" | b"lowerdir+" | b"datadir+" | b"upperdir") {
                continue;
            }
            let value = value.get(1..).unwrap_or_default();
            for layer in value.split(|byte| *byte == b':').filter(|layer| !layer.is_empty()) {
                let layer = unescape(layer);
                // A relative path, or an escaped sign in one, cannot be followed from here.
                let plain = layer.is_absolute() && !layer.as_os_str().as_bytes().contains(&b'\\');
                layers.push(plain.then_some(layer).ok_or(RouteUnknown::Stacked)?);
            }
        }
        if layers.is_empty() { Err(RouteUnknown::Stacked) } else { Ok(layers) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::proc_dir::ProcDir;

    const DEVICE: (u32, u32) = (8, 1);

    fn routes(mountinfo: &str, layers: &[(&str, Layer)]) -> Result<Routes, RouteUnknown> {
        let temp = tempfile::tempdir().unwrap();
        let process = temp.path().join("7");
        std::fs::create_dir_all(process.join("fd")).unwrap();
        // An ordinary mount of this machine, under whatever number it has here.
        let here = Dir::open_root(temp.path()).unwrap().meta().unwrap().mount_id;
        for link in ["cwd", "root", "fd/0"] {
            std::os::unix::fs::symlink(temp.path(), process.join(link)).unwrap();
        }
        let known = format!("{here} 1 0:999 / / rw - tmpfs tmpfs rw\n");
        std::fs::write(process.join("mountinfo"), known + mountinfo).unwrap();
        let dir = ProcDir::open(temp.path()).unwrap().process(7).unwrap();
        Routes::read(&dir, DEVICE, |path| {
            layers.iter().find(|(name, _)| Path::new(name) == path).map(|(_, layer)| layer.clone())
        })
    }

    fn reaches(mountinfo: &str, layers: &[(&str, Layer)]) -> Result<Reaches, RouteUnknown> {
        routes(mountinfo, layers).map(|routes| routes.lead_to(Path::new("/volumes/a/_data/x.lock")))
    }

    fn on(path: &str) -> Layer {
        Layer::On(Place { device: DEVICE, path: path.into() })
    }

    #[test]
    fn who_has_another_directory_of_the_filesystem_does_not_reach_the_lock() {
        let volume = |root: &str| format!("50 1 8:1 {root} /data rw,relatime shared:1 - ext4 /dev/sda1 rw\n");
        assert_eq!(reaches("", &[]), Ok(Reaches::No));
        assert_eq!(reaches(&volume("/volumes/b/_data"), &[]), Ok(Reaches::No));
        assert_eq!(reaches(&volume("/volumes/ab"), &[]), Ok(Reaches::No));
        for root in ["/", "/volumes", "/volumes/a/_data", "/volumes/a/_data/x.lock", "/volumes/a/_data/x.lock/below"] {
            assert_eq!(reaches(&volume(root), &[]), Ok(Reaches::Yes), "{root}");
        }
        assert_eq!(reaches(&volume("/volumes/b//deleted"), &[]), Err(RouteUnknown::Mounts));
        assert_eq!(reaches("nonsense\n", &[]), Err(RouteUnknown::Mounts));
    }

    #[test]
    fn what_may_show_the_same_files_is_a_way() {
        for kind in ["fuse.mergerfs", "fuse", "nfs4", "9p", "virtiofs", "ecryptfs", "aufs", "whatever-comes-next"] {
            let line = format!("50 1 0:77 / /data rw - {kind} x rw\n");
            assert_eq!(reaches(&line, &[]), Err(RouteUnknown::Stacked), "{kind}");
        }
        assert_eq!(reaches("50 1 0:77 / /data rw - btrfs /dev/sdb rw\n", &[]), Ok(Reaches::No));
    }

    #[test]
    fn an_overlay_shows_the_files_of_its_layers() {
        let overlay =
            |options: &str| format!("50 1 0:77 / / rw - overlay overlay rw,{options},workdir=/work,index=off\n");
        let made = "lowerdir=/l/1:/l/2,upperdir=/u";
        let layers = |upper: &str| [("/l/1", on("/l/1")), ("/l/2", Layer::Elsewhere), ("/u", on(upper))];
        assert_eq!(reaches(&overlay(made), &layers("/overlay2/7/diff")), Ok(Reaches::No));
        assert_eq!(reaches(&overlay(made), &layers("/volumes/a")), Ok(Reaches::Yes));
        assert_eq!(reaches(&overlay(made), &layers("/").map(|(name, _)| (name, on("/")))), Ok(Reaches::Yes));
        // Not to be found from here.
        assert_eq!(reaches(&overlay(made), &[]), Err(RouteUnknown::Stacked));
        for odd in ["lowerdir=l/1:l/2", "lowerdir=/a\\134:b", "index=on"] {
            assert_eq!(reaches(&overlay(odd), &[("/a", on("/a"))]), Err(RouteUnknown::Stacked), "{odd}");
        }
    }

    #[test]
    fn what_it_holds_open_is_a_way_and_what_cannot_be_read_may_be() {
        let temp = tempfile::tempdir().unwrap();
        let here = Dir::open_root(temp.path()).unwrap().meta().unwrap();
        let process = temp.path().join("7");
        std::fs::create_dir_all(process.join("fd")).unwrap();
        std::fs::write(process.join("mountinfo"), "999999 1 0:999 / / rw - tmpfs tmpfs rw\n").unwrap();
        let dir = ProcDir::open(temp.path()).unwrap().process(7).unwrap();
        let read = |device| Routes::read(&dir, device, |_| None);
        assert_eq!(read(DEVICE), Err(RouteUnknown::OpenFiles), "no cwd to be read");
        for link in ["cwd", "root"] {
            std::os::unix::fs::symlink(temp.path(), process.join(link)).unwrap();
        }
        assert_eq!(read(DEVICE), Err(RouteUnknown::OpenFiles), "a directory on a mount that its table does not have");
        assert_eq!(read(here.device).map(|routes| routes.lead_to(Path::new("/x"))), Ok(Reaches::Yes));
    }

    #[test]
    fn only_a_plain_filesystem_gives_a_lock_a_place() {
        let table = |kind: &str| MountTable::new(format!("50 1 8:1 /vol /data rw - {kind} x rw\n").as_bytes());
        let meta = Meta { mount_id: 50, device: DEVICE, ..Dir::open_root(Path::new("/")).unwrap().meta().unwrap() };
        let place = |kind: &str| Place::of(Path::new("/data/x.lock"), &meta, &table(kind));
        assert_eq!(place("ext4"), Some(Place { device: DEVICE, path: "/vol/x.lock".into() }));
        for kind in ["btrfs", "overlay", "fuse", "nfs4", "zfs"] {
            assert_eq!(place(kind), None, "{kind}");
        }
        let odd = Meta { device: (0, 31), ..meta };
        assert_eq!(Place::of(Path::new("/data/x.lock"), &odd, &table("ext4")), None);
    }
}
