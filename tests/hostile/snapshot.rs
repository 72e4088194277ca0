//! Everything of a tree that a program could change, but for access times.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Contents above this size are not read: only a sparse file is so large here.
const MAX_CONTENT: u64 = 1024 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    mode: u32,
    owner: (u32, u32),
    inode: (u64, u64),
    links: u64,
    device: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    content: Option<Vec<u8>>,
}

/// Names, types, modes, owners, sizes, contents, times of modification and change, link counts;
/// nothing but the name for what this user may not look at.
pub fn snapshot(root: &Path) -> BTreeMap<Vec<u8>, Option<Entry>> {
    let mut all = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root) {
        let path = match &entry {
            Ok(entry) => entry.path(),
            Err(error) => error.path().unwrap_or(root),
        };
        let meta = std::fs::symlink_metadata(path).ok();
        all.insert(path.as_os_str().as_bytes().to_vec(), meta.map(|meta| of(path, &meta)));
    }
    all
}

fn of(path: &Path, meta: &std::fs::Metadata) -> Entry {
    let kind = meta.file_type();
    let content = if kind.is_symlink() {
        std::fs::read_link(path).ok().map(|target| target.as_os_str().as_bytes().to_vec())
    } else if kind.is_file() && meta.len() <= MAX_CONTENT {
        std::fs::read(path).ok()
    } else {
        None
    };
    Entry {
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        inode: (meta.dev(), meta.ino()),
        links: meta.nlink(),
        device: meta.rdev(),
        size: meta.size(),
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
        content,
    }
}

#[test]
fn a_change_of_any_kind_would_be_seen() {
    let tree = tempfile::tempdir().unwrap();
    let file = tree.path().join("file");
    std::fs::write(&file, "one").unwrap();
    let changes: [(&str, &dyn Fn()); 5] = [
        ("content", &|| std::fs::write(&file, "two").unwrap()),
        ("mode", &|| {
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        }),
        ("second link", &|| std::fs::hard_link(&file, tree.path().join("link")).unwrap()),
        ("new directory", &|| std::fs::create_dir(tree.path().join("dir")).unwrap()),
        ("directory gone", &|| std::fs::remove_dir(tree.path().join("dir")).unwrap()),
    ];
    for (what, change) in changes {
        let before = snapshot(tree.path());
        assert_eq!(before, snapshot(tree.path()));
        // The kernel's clock for file times moves in steps of up to 10 ms.
        std::thread::sleep(std::time::Duration::from_millis(20));
        change();
        assert_ne!(before, snapshot(tree.path()), "{what}");
    }
}
