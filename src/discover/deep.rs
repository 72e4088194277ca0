//! What a walk leaves out for its depth, counted while it goes.
//!
//! What lies in a place of known layout is not counted: in a state dir locks stand in its places
//! alone, and those are entered at any depth; a store of packages or a repository holds none.

use super::places;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Directories that tools fill for themselves. Of anything else, a checkout too, it is not known.
const STORES: &[&[u8]] =
    &[b".git", b"_cacache", b".pnpm-store", b".nvm", b".cargo", b".rustup", b"site-packages", b"__pycache__"];

/// Directories that were not looked into.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) count: u64,
    /// The first of them by name, below the root.
    pub(super) first: PathBuf,
    /// How deep the directory is that leads to all of them.
    depth: usize,
}

impl Left {
    /// The directory that leads to all of them, if it is not the root itself.
    pub(super) fn common(&self) -> Option<PathBuf> {
        (self.depth > 0).then(|| self.first.iter().take(self.depth).collect())
    }
}

/// The directories on the way from the root to where a walk is.
#[derive(Debug)]
pub(super) struct Way {
    dirs: Vec<OnWay>,
}

#[derive(Debug, Default)]
struct OnWay {
    /// Its layout is known.
    is_known: bool,
    left: Option<Left>,
}

impl Way {
    /// At a root.
    pub(super) fn new(root: &Path, is_state_dir: bool) -> Self {
        let is_known = is_state_dir || root.file_name().is_some_and(is_known);
        Self { dirs: vec![OnWay { is_known, left: None }] }
    }

    /// At an entry of this depth and name.
    pub(super) fn at(&mut self, depth: usize, name: &OsStr) {
        while self.dirs.len() > depth.max(1) {
            self.go_up();
        }
        // Its other entries may have come before.
        if places::CONFIG_NAMES.iter().any(|config| OsStr::new(config) == name)
            && let Some(dir) = self.dirs.last_mut()
        {
            dir.is_known = true;
        }
    }

    /// Into the entry.
    pub(super) fn enter(&mut self, name: &OsStr) {
        self.dirs.push(OnWay { is_known: is_known(name), left: None });
    }

    /// Past the entry, which lies too deep; `below` the root.
    pub(super) fn leave(&mut self, below: &Path) {
        if below.file_name().is_some_and(is_known) && !below.file_name().is_some_and(places::is_place) {
            return;
        }
        let depth = below.iter().count();
        self.add(Left { count: 1, first: below.to_owned(), depth });
    }

    fn add(&mut self, more: Left) {
        let depth = self.dirs.len().saturating_sub(1);
        let Some(dir) = self.dirs.last_mut() else { return };
        dir.left = Some(match dir.left.take() {
            None => more,
            Some(left) => {
                Left { count: left.count.saturating_add(more.count), first: left.first.min(more.first), depth }
            }
        });
    }

    fn go_up(&mut self) {
        let Some(OnWay { is_known: false, left: Some(left) }) = self.dirs.pop() else { return };
        self.add(left);
    }

    /// At the end.
    pub(super) fn end(mut self) -> Option<Left> {
        while self.dirs.len() > 1 {
            self.go_up();
        }
        self.dirs.pop().filter(|root| !root.is_known)?.left
    }
}

fn is_known(name: &OsStr) -> bool {
    places::is_place(name) || STORES.contains(&name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `>` enters, `-` leaves, `.` is a file.
    fn walk(entries: &[(&str, char)]) -> Option<(u64, Option<PathBuf>, PathBuf)> {
        let mut way = Way::new(Path::new("/root"), false);
        for (below, what) in entries {
            let below = Path::new(below);
            let name = below.file_name().unwrap();
            way.at(below.iter().count(), name);
            match what {
                '>' => way.enter(name),
                '-' => way.leave(below),
                _ => {}
            }
        }
        way.end().map(|left| (left.count, left.common(), left.first))
    }

    #[test]
    fn what_is_left_out_is_counted_below_what_leads_to_all_of_it() {
        let one = [("a", '>'), ("a/b", '>'), ("a/b/c", '-'), ("z", '>')];
        assert_eq!(walk(&one), Some((1, Some("a/b/c".into()), "a/b/c".into())));
        let two = [("a", '>'), ("a/y", '>'), ("a/y/c", '-'), ("a/x", '>'), ("a/x/d", '-')];
        assert_eq!(walk(&two), Some((2, Some("a".into()), "a/x/d".into())));
        let apart = [("a", '>'), ("a/y", '-'), ("b", '>'), ("b/y", '-')];
        assert_eq!(walk(&apart), Some((2, None, "a/y".into())));
    }

    #[test]
    fn a_known_layout_leaves_nothing_unknown_and_its_neighbour_does() {
        let state = [("a", '>'), ("a/workspace", '>'), ("a/workspace/src", '-'), ("a/openclaw.json", '.')];
        assert_eq!(walk(&state), None);
        let beside = [state.as_slice(), &[("b", '>'), ("b/src", '-')]].concat();
        assert_eq!(walk(&beside), Some((1, Some("b/src".into()), "b/src".into())));
        assert_eq!(walk(&[("a", '>'), ("a/.git", '>'), ("a/.git/objects", '-')]), None);
        assert_eq!(walk(&[("a", '>'), ("a/.git", '-')]), None);
        assert_eq!(walk(&[("a", '>'), ("a/.openclaw", '-')]).map(|left| left.0), Some(1));
    }
}
