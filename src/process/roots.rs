//! What running OpenClaw processes say of themselves: where they keep their locks, which
//! release they are.
//!
//! In: a process that looks like OpenClaw. Out: a few variables of its environment, its mounts
//! and its version. The environment itself never leaves this module.

use super::credentials::{self, NoAuthority};
use super::identity::{Observed, Reader, observe};
use super::openclaw;
use super::proc_dir::{ProcDir, ProcessDir};
use super::table::Entry;
use crate::evidence::Role;
use crate::sys::authority::Authority;
use crate::sys::mounts::MountTable;
use crate::sys::tree::Dir;
use crate::units::ClockReading;
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The variables that move a lock root, for [`crate::discover::places`].
pub const VARIABLES: &[&str] = &[
    "OPENCLAW_PLUGIN_STAGE_DIR",
    "OPENCLAW_STATE_DIR",
    "CLAWDBOT_STATE_DIR",
    "OPENCLAW_HOME",
    "OPENCLAW_PROFILE",
    "OPENCLAW_CONFIG_PATH",
    "OPENCLAW_OAUTH_DIR",
    "STATE_DIRECTORY",
    "HOME",
    "TMPDIR",
    "TMP",
    "TEMP",
];

/// Where OpenClaw's package is installed by its image and by npm.
pub const PACKAGE_PLACES: &[&str] =
    &["/app", "/usr/lib/node_modules/openclaw", "/usr/local/lib/node_modules/openclaw", "/opt/openclaw"];

const MAX_PACKAGE_JSON_BYTES: u64 = 256 * 1024;

/// A running OpenClaw.
#[derive(Debug)]
pub struct Running {
    /// Its pid in the proc directory.
    pub pid: u32,
    /// Its name, raw.
    pub program: String,
    /// With whose authority it names places.
    pub authority: Result<Authority, NoAuthority>,
    /// The variables of [`VARIABLES`] that it has; `None` if they may not be read.
    pub environment: Option<Vec<(&'static str, OsString)>>,
    /// Its working directory, as it sees it.
    pub cwd: Option<PathBuf>,
    /// It sees the same mounts as we do, so that its paths are ours.
    pub same_mounts: bool,
    /// Mount points of its own that OpenClaw's documentation uses.
    pub mount_points: Vec<PathBuf>,
    /// The packages that it may run, with their versions.
    pub packages: Vec<Package>,
}

/// An OpenClaw package on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its directory, as its process sees it.
    pub path: PathBuf,
    /// `version` of its package.json.
    pub version: String,
}

/// Finds the OpenClaw processes of a sweep.
#[must_use]
pub fn running(proc: &ProcDir, entries: &[Entry], reader: &Reader, clock: &ClockReading) -> Vec<Running> {
    let suspects = entries.iter().filter(|entry| entry.may_be_runtime);
    suspects
        .filter_map(|entry| match observe(proc, entry.pid, reader, clock) {
            Observed::Process(process, dir) if process.role == Role::OpenClaw && !process.is_self => {
                describe(proc, entry.pid, process.program.unwrap_or_default(), &dir)
            }
            _ => None,
        })
        .collect()
}

/// `None` for a process that is ending: it has given its memory back, and uses nothing any more.
fn describe(proc: &ProcDir, pid: u32, program: String, dir: &ProcessDir) -> Option<Running> {
    let environment = match dir.read("environ") {
        Ok(bytes) => Some(variables(&bytes)),
        Err(Errno::ACCESS | Errno::PERM) => None,
        Err(_) => return None,
    };
    let same = |name: &str| {
        let (ours, theirs) = (proc.link(&format!("self/{name}")), dir.link(name));
        matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours == theirs)
    };
    let same_mounts = same("ns/mnt") && same("root");
    let mounts = MountTable::new(&dir.read("mountinfo").unwrap_or_default());
    let mount_points = ["openclaw", "plugin-runtime-deps"].iter().flat_map(|word| mounts.matching(word));
    let mut mount_points: Vec<PathBuf> = mount_points
        .map(|mount| mount.mount_point)
        .filter(|point| !same_mounts && point.components().any(|part| names_openclaw(part.as_os_str())))
        .collect();
    mount_points.sort();
    mount_points.dedup();
    let packages = dir.open_link("root").map(|root| packages(&root, dir)).unwrap_or_default();
    let cwd = dir.link("cwd").ok().map(|path| PathBuf::from(OsStr::from_bytes(&path)));
    let authority = credentials::authority(proc, dir, same_mounts);
    Some(Running { pid, program, authority, environment, cwd, same_mounts, mount_points, packages })
}

fn names_openclaw(part: &OsStr) -> bool {
    let part = part.as_bytes();
    part.ends_with(b"openclaw") || part.starts_with(b".openclaw") || part == b"plugin-runtime-deps"
}

/// The variables of [`VARIABLES`] in the bytes of an environ file (proc_pid_environ(5)).
#[must_use]
pub fn variables(environ: &[u8]) -> Vec<(&'static str, OsString)> {
    let entries = environ.split(|byte| *byte == 0);
    entries
        .filter_map(|entry| {
            let at = entry.iter().position(|byte| *byte == b'=')?;
            let (name, value) = entry.split_at(at);
            let known = VARIABLES.iter().find(|known| known.as_bytes() == name)?;
            Some((*known, OsStr::from_bytes(value.get(1..)?).to_owned()))
        })
        .collect()
}

/// The packages that a process may run: the one its arguments name, its working directory's,
/// and the ones at the usual places of its root.
fn packages(root: &Dir, process: &ProcessDir) -> Vec<Package> {
    let cwd = process.link("cwd").ok().map(|path| PathBuf::from(OsStr::from_bytes(&path)));
    let cmdline = process.read("cmdline").unwrap_or_default();
    let argv = openclaw::split_argv(&cmdline);
    let entry = openclaw::entry_file(&argv).map(|file| {
        let file = Path::new(OsStr::from_bytes(file));
        cwd.as_deref().unwrap_or(Path::new("/")).join(file)
    });
    let named = entry.iter().flat_map(|file| file.ancestors().skip(1).take(3).map(Path::to_owned));
    for place in named.chain(cwd) {
        if let Some(package) = package_at(root, &place) {
            return vec![package];
        }
    }
    PACKAGE_PLACES.iter().filter_map(|place| package_at(root, Path::new(place))).collect()
}

/// The OpenClaw package in this directory, if there is one.
#[must_use]
pub fn package_at(root: &Dir, place: &Path) -> Option<Package> {
    let dir = root.open_in_root(place).ok()?;
    let (_, bytes) = dir.read_file(b"package.json", MAX_PACKAGE_JSON_BYTES).ok()?;
    version(&bytes).map(|version| Package { path: place.to_owned(), version })
}

/// The version that a package.json names, if it is OpenClaw's.
#[must_use]
pub fn version(package_json: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(package_json).ok()?;
    let field = |name| json.get(name)?.as_str().map(str::trim).map(str::to_owned);
    let version = field("version").filter(|version| !version.is_empty())?;
    (field("name")? == "openclaw").then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_variables_that_move_a_root_are_kept() {
        let environ = b"HOME=/home/node\0OPENAI_API_KEY=secret\0STATE_DIRECTORY=/var/lib/openclaw\0=x\0HOMER=1\0";
        let kept = variables(environ);
        let names: Vec<_> = kept.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["HOME", "STATE_DIRECTORY"]);
    }
}
