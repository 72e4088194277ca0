//! Whether a living process can run: a stopped, traced or frozen owner releases nothing.
//!
//! Source: the state letter of /proc/PID/stat; /proc/PID/cgroup and, below the mount of its
//! hierarchy, `cgroup.events` (cgroups(7), version 2) or `freezer.state` (version 1).

use super::proc_dir::ProcessDir;
use crate::evidence::Halted;
use crate::sys::mounts::{MountTable, unescape};
use crate::sys::tree::{Crossing, Dir, ReadError};
use rustix::io::Errno;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const MAX_BYTES: u64 = 4_096;

/// The cgroups that were asked, each once.
#[derive(Debug, Default)]
pub struct Freezers {
    known: HashMap<PathBuf, Halted>,
}

/// The files of a hierarchy that tell whether a group is frozen, and what they say then.
struct Freezer {
    kind: &'static str,
    file: &'static [u8],
    says: &'static [&'static str],
}

const VERSION_2: Freezer = Freezer { kind: "cgroup2", file: b"cgroup.events", says: &["frozen 1"] };
const VERSION_1: Freezer = Freezer { kind: "cgroup", file: b"freezer.state", says: &["FROZEN", "FREEZING"] };

impl Freezers {
    /// Whether a process with this state letter can run. `mounts` is our own table.
    pub fn halted(&mut self, process: &ProcessDir, state: char, mounts: &MountTable) -> Halted {
        match state {
            'T' => return Halted::Stopped,
            't' => return Halted::Traced,
            '?' => return Halted::CannotTell,
            _ => {}
        }
        let Ok(groups) = process.read("cgroup") else { return Halted::CannotTell };
        let mut answer = Halted::No;
        for line in groups.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mut fields = line.splitn(3, |byte| *byte == b':').skip(1);
            let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { return Halted::CannotTell };
            let freezer = match controllers {
                b"" => &VERSION_2,
                _ if controllers.split(|byte| *byte == b',').any(|name| name == b"freezer") => &VERSION_1,
                _ => continue,
            };
            match self.ask(freezer, &unescape(group), mounts) {
                Halted::No => {}
                Halted::CannotTell => answer = Halted::CannotTell,
                halted => return halted,
            }
        }
        answer
    }

    fn ask(&mut self, freezer: &Freezer, group: &Path, mounts: &MountTable) -> Halted {
        // A hierarchy that is not mounted here has no group that is frozen from here; it may be
        // frozen all the same.
        let mount = mounts.iter().find(|mount| {
            mount.kind == freezer.kind && (freezer.kind == "cgroup2" || mount.mount_point.ends_with("freezer"))
        });
        let Some(mount) = mount else { return Halted::CannotTell };
        let Ok(below) = group.strip_prefix(&mount.root) else { return Halted::CannotTell };
        let place = mount.mount_point.join(below);
        if let Some(known) = self.known.get(&place) {
            return *known;
        }
        let answer = Dir::open_root(&mount.mount_point)
            .and_then(|dir| dir.open_below(below, Crossing::SameMount))
            .map_err(ReadError::System)
            .and_then(|dir| dir.read_file(freezer.file, MAX_BYTES));
        let answer = match answer {
            Ok((_, bytes)) => {
                let text = String::from_utf8_lossy(&bytes);
                if text.lines().any(|line| freezer.says.contains(&line)) { Halted::Frozen } else { Halted::No }
            }
            // The root of a hierarchy has no such file, and is never frozen.
            Err(ReadError::System(Errno::NOENT)) if below.as_os_str().is_empty() => Halted::No,
            Err(_) => Halted::CannotTell,
        };
        self.known.insert(place, answer);
        answer
    }
}
