//! Where a path leads, and with whose authority: a symbolic link carries that of its owner.
//!
//! Whoever owns a directory decides what a name in it leads to. A run as root that follows
//! another user's link therefore goes on as that user, and cannot be led to anything that this
//! user could not reach alone. Resolved component by component, from descriptors that hold
//! what was looked at.

use crate::sys::authority::{Authority, Ids};
use crate::sys::tree::{Dir, Meta};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags, readlinkat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// A group that gives nothing: /proc/sys/kernel/overflowgid as it is by default.
const OVERFLOW_GID: u32 = 65_534;
/// How many links the kernel itself follows (`MAXSYMLINKS` of include/linux/namei.h).
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Debug)]
pub(crate) struct Led {
    /// The directory, pinned; not yet open for reading.
    pub(crate) dir: Dir,
    /// With whose authority it is looked at.
    pub(crate) authority: Authority,
}

/// Why a path leads nowhere.
#[derive(Debug)]
pub(crate) enum Astray {
    /// A system call failed.
    System(Errno),
    /// A link that its directory's owner does not own, or links of several users.
    ForeignLink {
        /// The link.
        link: PathBuf,
        /// What it says.
        target: PathBuf,
    },
}

impl From<Errno> for Astray {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

/// Follows an absolute path to a directory. `last`: whether a link at its end is followed too.
///
/// Errors: `ELOOP` for a link at the end that is not to be followed, or for too many.
pub(crate) fn follow(path: &Path, last: bool) -> Result<Led, Astray> {
    let mut ahead: VecDeque<OsString> = VecDeque::new();
    push_front(&mut ahead, path);
    let (mut here, mut at) =
        (step(&Dir::from(rustix::fs::openat(CWD, c"/", PIN, Mode::empty())?), c"/".to_bytes())?, PathBuf::from("/"));
    let (mut owner, mut links) = (None, 0);
    while let Some(name) = ahead.pop_front() {
        let next = step(&here, name.as_bytes())?;
        let meta = next.meta()?;
        if meta.kind != FileType::Symlink {
            here = next;
            at.push(&name);
            continue;
        }
        links += 1;
        if links > MAX_LINKS || (ahead.is_empty() && !last) {
            return Err(Errno::LOOP.into());
        }
        if here.filesystem()?.is_procfs() {
            // The kernel's own links to what a process has open: their text leads elsewhere.
            let flags = PIN.difference(OFlags::NOFOLLOW) | OFlags::DIRECTORY;
            here = Dir::from(rustix::fs::openat(&here, &*name, flags, Mode::empty())?);
            at.push(&name);
            continue;
        }
        let target = PathBuf::from(OsString::from_vec(readlinkat(&next, c"", Vec::new())?.into_bytes()));
        let carried = match here.filesystem()?.is_local() {
            true => carried(&meta, &here.meta()?),
            // A server, or the user who runs it, says whose its links are.
            false => Carried::Nobodys,
        };
        match (carried, &owner) {
            (Carried::Roots, _) => {}
            (Carried::Users(ids), None) => owner = Some(ids),
            (Carried::Users(ids), Some(first)) if ids == *first => {}
            (Carried::Users(_) | Carried::Nobodys, _) => {
                return Err(Astray::ForeignLink { link: at.join(&name), target: at.join(&target) });
            }
        }
        if target.is_absolute() {
            (here, at) = (step(&here, b"/")?, PathBuf::from("/"));
        }
        push_front(&mut ahead, &target);
    }
    let authority = owner.map_or(Authority::Own, Authority::of);
    Ok(Led { dir: here, authority })
}

const PIN: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn step(here: &Dir, name: &[u8]) -> Result<Dir, Errno> {
    let fd: OwnedFd = rustix::fs::openat(here, OsStr::from_bytes(name), PIN, Mode::empty())?;
    Ok(Dir::from(fd))
}

fn push_front(ahead: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => ahead.push_front(name.to_owned()),
            Component::ParentDir => ahead.push_front(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

/// Whose authority a link carries.
enum Carried {
    /// root's: it restricts nobody.
    Roots,
    /// This user's.
    Users(Ids),
    /// Another one put it there than the directory's owner: it is not followed.
    Nobodys,
}

fn carried(link: &Meta, directory: &Meta) -> Carried {
    // Not the link's group: in a set-gid directory it is one that its owner need not be in.
    let users = |uid| Carried::Users(Ids { uid, gid: OVERFLOW_GID, groups: Vec::new() });
    match (link.uid, directory.uid) {
        (0, 0) => Carried::Roots,
        // root put it there; whoever owns the directory decides whether it stays.
        (0, uid) => users(uid),
        (uid, owner) if uid == owner => users(uid),
        _ => Carried::Nobodys,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{lchown, symlink};

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn a_path_without_links_is_our_own() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("a/b")).unwrap();
        let led = follow(&temp.path().join("a/./b/../b"), true).unwrap();
        assert_eq!(led.authority, Authority::Own);
        assert!(led.dir.meta().unwrap().same_file(&Dir::open_root(&temp.path().join("a/b")).unwrap().meta().unwrap()));
        assert!(matches!(follow(&temp.path().join("a/c"), true), Err(Astray::System(Errno::NOENT))));
    }

    #[test]
    fn a_link_leads_with_its_owners_authority_and_a_strangers_link_nowhere() {
        if !is_root() {
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let (home, victim) = (temp.path().join("home"), temp.path().join("victim"));
        for dir in [&home, &victim] {
            std::fs::create_dir(dir).unwrap();
        }
        lchown(&home, Some(54_321), Some(54_322)).unwrap();
        symlink("../victim", home.join("own")).unwrap();
        symlink(&victim, home.join("strangers")).unwrap();
        symlink("own", home.join("roots")).unwrap();
        lchown(home.join("own"), Some(54_321), Some(54_322)).unwrap();
        lchown(home.join("strangers"), Some(54_999), Some(54_999)).unwrap();
        let led = follow(&home.join("own"), true).unwrap();
        let user = Authority::of(Ids { uid: 54_321, gid: OVERFLOW_GID, groups: Vec::new() });
        assert_eq!(led.authority, user);
        assert!(led.dir.meta().unwrap().same_file(&Dir::open_root(&victim).unwrap().meta().unwrap()));
        let astray = follow(&home.join("strangers"), true);
        assert!(matches!(&astray, Err(Astray::ForeignLink { link, .. }) if link.ends_with("strangers")), "{astray:?}");
        // What root linked in a user's home leads no further than that user comes.
        assert_eq!(follow(&home.join("roots"), true).unwrap().authority, user);
        assert!(matches!(follow(&home.join("own"), false), Err(Astray::System(Errno::LOOP))));
        symlink("self", temp.path().join("self")).unwrap();
        assert!(matches!(follow(&temp.path().join("self"), true), Err(Astray::System(Errno::LOOP))));
    }
}
