//! Who runs OpenClaw here, and what of it cannot be told, as values.
//!
//! The edges ([`crate::process`]) fill them in; [`crate::restraint`] and whom a lock holds up rest
//! on them. "Nobody" is said only where everybody was looked at.

use crate::evidence::VantageWhy;
use crate::sys::authority::Ids;
use rustix::io::Errno;

/// A process that may be an OpenClaw, or is one, of which it cannot be told what it uses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Unknown {
    /// Its pid in the proc directory.
    pub pid: u32,
    /// Its name, raw; absent if it could not be read.
    pub program: Option<String>,
    /// With whose rights it acts; absent if that could not be read.
    pub ids: Option<Ids>,
    /// Why it cannot be told.
    pub cause: WhyUnknown,
}

/// Why something cannot be told of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhyUnknown {
    /// This of it could not be read.
    Unread(What, Errno),
    /// Its identity could not be read.
    Unidentified,
    /// No answer came in time, about it or about those before it.
    OutOfTime,
    /// No thread could be had to ask on.
    NoThread(Errno),
}

/// What of a process is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// Its arguments.
    Arguments,
    /// Its environment.
    Environment,
    /// Its root directory.
    Root,
    /// Its mounts.
    Mounts,
    /// Its working directory.
    WorkingDirectory,
    /// The package that it runs.
    Package,
    /// A directory that it names.
    Place,
}

/// Why nobody was looked at, or perhaps not everybody.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NotLooked {
    /// Nothing has asked for it yet.
    NotAsked,
    /// Processes are out of sight.
    NotSeen(VantageWhy),
}

/// Why it is not known who uses one directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CannotTell {
    /// Of this process it cannot be told, nor of so many more.
    Process {
        /// The first of them.
        first: Unknown,
        /// How many more.
        more: usize,
    },
    /// Processes were not looked at.
    NotLooked(NotLooked),
}

/// Another user's OpenClaw, whose places were left to that user: ours were looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Its pid in the proc directory.
    pub pid: u32,
    /// Its name, raw; absent if it could not be read.
    pub program: Option<String>,
    /// Whose it is.
    pub uid: u32,
}

/// A directory, as far as it decides who may take a name out of it (unlink(2), rename(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writable {
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its permission bits; with an access control list those of the group say what its best entry may.
    pub mode: u16,
    /// It has an access control list, or that cannot be told.
    pub has_acl: bool,
}

impl Unknown {
    /// Whether it may take a name out of this directory: no stranger's process holds up a repair.
    ///
    /// Yes where it cannot be told. What stands above the directory is not asked for.
    #[must_use]
    pub fn may_remove_from(&self, directory: Writable) -> bool {
        let Some(ids) = &self.ids else { return true };
        let sticky = directory.mode & 0o1000 != 0;
        let in_group = ids.gid == directory.gid || ids.groups.contains(&directory.gid);
        let by_group = directory.has_acl || in_group;
        let writes = directory.mode & 0o002 != 0 || directory.mode & 0o020 != 0 && by_group;
        ids.uid == 0 || ids.uid == directory.uid || writes && !sticky
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_counts_only_where_it_could_take_the_lock_away() {
        let unknown = |uid, groups: &[u32]| Unknown {
            pid: 1,
            program: None,
            ids: Some(Ids { uid, gid: 9, groups: groups.to_vec() }),
            cause: WhyUnknown::OutOfTime,
        };
        let directory = |mode| Writable { uid: 1_000, gid: 2_000, mode, has_acl: false };
        for (uid, groups, mode, may) in [
            (0, &[][..], 0o700, true),
            (1_000, &[], 0o500, true),
            (1_001, &[2_000], 0o755, false),
            (1_001, &[2_000], 0o2775, true),
            (1_001, &[2_001], 0o2775, false),
            (1_001, &[], 0o777, true),
            (1_001, &[], 0o1777, false),
        ] {
            assert_eq!(unknown(uid, groups).may_remove_from(directory(mode)), may, "{uid} {groups:?} {mode:o}");
        }
        let named = Writable { has_acl: true, ..directory(0o770) };
        assert!(unknown(1_001, &[]).may_remove_from(named), "an entry of the list may be its");
        assert!(Unknown { ids: None, ..unknown(1_001, &[]) }.may_remove_from(directory(0o700)));
    }
}
