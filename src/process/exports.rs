//! Directories that this machine exports by NFS, whose clients' kernels may hold locks in them.

use crate::evidence::ForeignKernel;
use crate::sys::mounts::MountTable;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const EXPORT_TABLES: &[&str] = &["/var/lib/nfs/etab", "/etc/exports"];
const MAX_EXPORTS_BYTES: u64 = 1024 * 1024;

/// The directories that this machine exports by NFS, in the coordinates of their filesystems.
#[derive(Debug, Default)]
pub struct Exports {
    directories: Vec<Exported>,
    unreadable: bool,
}

#[derive(Debug)]
struct Exported {
    path: PathBuf,
    place: Option<((u32, u32), PathBuf)>,
}

impl Exports {
    pub(crate) fn read(mounts: &MountTable) -> Self {
        let mut exports = Self::default();
        let mut tables = 0;
        for table in EXPORT_TABLES {
            let path = Path::new(table);
            let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { continue };
            let Ok(dir) = crate::sys::tree::Dir::open_root(folder) else { continue };
            if let Ok((_, bytes)) = dir.read_file(name.as_bytes(), MAX_EXPORTS_BYTES) {
                tables += 1;
                exports.directories.extend(exported_paths(&bytes).into_iter().map(|path| {
                    let mount = mounts.by_path(&path);
                    let place = mount.and_then(|mount| Some((mount.device, mount.in_filesystem(&path)?)));
                    Exported { path, place }
                }));
            }
        }
        // A server that exports nothing has its table elsewhere: in a container of its own.
        exports.unreadable = tables == 0 || exports.directories.is_empty();
        exports
    }

    /// Whether nothing is exported, so that no directory has to be compared.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.directories.is_empty() && !self.unreadable
    }

    /// The export that a directory lies under, told by its real path and by where it lies in its
    /// filesystem. What cannot be compared may lie under one.
    #[must_use]
    pub fn covering(&self, place: Option<&((u32, u32), PathBuf)>, path: Option<&Path>) -> Option<ForeignKernel> {
        if self.unreadable {
            return Some(ForeignKernel::ExportsUnreadable);
        }
        let under = |exported: &&Exported| match (&exported.place, place, path) {
            (Some((device, root)), Some((lock_device, lock_path)), Some(path)) => {
                path.starts_with(&exported.path) || (device == lock_device && lock_path.starts_with(root))
            }
            _ => true,
        };
        let found = self.directories.iter().find(under)?;
        Some(ForeignKernel::Exported(found.path.clone()))
    }
}

/// The first word of each line of exports(5), with its octal escapes and quotes.
fn exported_paths(table: &[u8]) -> Vec<PathBuf> {
    let lines = table.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let words = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).filter_map(|line| {
        match line.strip_prefix(b"\"") {
            Some(quoted) => quoted.split(|byte| *byte == b'"').next(),
            None => line.split(u8::is_ascii_whitespace).next(),
        }
    });
    words
        .filter(|word| word.starts_with(b"/"))
        .map(|word| crate::sys::mounts::unescape(OsStr::from_bytes(word).as_bytes()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exported_directories_are_read_in_every_spelling() {
        let table = b"# comment\n/srv/a *(rw)\n\"/srv/b c\" host(ro)\n/srv/d\\040e\t*(rw)\n\nnonsense\n";
        let expected: Vec<PathBuf> = ["/srv/a", "/srv/b c", "/srv/d e"].into_iter().map(PathBuf::from).collect();
        assert_eq!(exported_paths(table), expected);
    }

    #[test]
    fn a_bind_mount_does_not_hide_that_a_directory_is_exported() {
        let mounts = MountTable::new(
            b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:1 /data/oc /var/lib/openclaw rw - ext4 /dev/sda1 rw\n",
        );
        let path = PathBuf::from("/data");
        let mount = mounts.by_path(&path).unwrap();
        let place = Some((mount.device, mount.in_filesystem(&path).unwrap()));
        let exports = Exports { directories: vec![Exported { path, place }], unreadable: false };
        let lock = Path::new("/var/lib/openclaw/stage");
        let lock_mount = mounts.by_path(lock).unwrap();
        let lock_place = (lock_mount.device, lock_mount.in_filesystem(lock).unwrap());
        assert!(exports.covering(Some(&lock_place), Some(lock)).is_some());
        assert!(exports.covering(Some(&((8, 1), "/home/x".into())), Some(Path::new("/home/x"))).is_none());
        assert!(exports.covering(None, None).is_some(), "a path that cannot be told may be exported");
    }
}
