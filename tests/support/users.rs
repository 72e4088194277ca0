//! Users of a machine of one's own: their directories, their locks, their running OpenClaw.

use super::machine::moved_to_own_machine;
use super::{DEPS, Living, dead_pid, lab_required, record, settled, titled, wait_until};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A uid that no account has.
pub const STRANGER: u32 = 54_321;
/// A version directory.
pub const VERSION: &str = "openclaw-2026.4.29-aaaaaaaaaaaa";

/// Whether the test is done: it ran on a machine of its own, or needs root.
pub fn is_elsewhere() -> bool {
    if !rustix::process::geteuid().is_root() {
        lab_required("only root can be led to what another may not touch");
        return true;
    }
    moved_to_own_machine()
}

/// A directory of the test's own that everybody may enter.
pub fn ground() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

/// Makes a directory of this owner, with what is above it.
pub fn dir(path: &Path, uid: u32, gid: u32, mode: u32) -> PathBuf {
    std::fs::create_dir_all(path).unwrap();
    chown(path, Some(uid), Some(gid)).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    path.to_owned()
}

/// Makes a provably stale lock directory in a state dir of this owner.
pub fn stale(state: &Path, uid: u32) -> PathBuf {
    let version = state.join("plugin-runtime-deps").join(VERSION);
    let lock = version.join(DEPS);
    std::fs::create_dir_all(&lock).unwrap();
    let owner = lock.join("owner.json");
    std::fs::write(&owner, record(dead_pid(), Some(7))).unwrap();
    for path in [state, &state.join("plugin-runtime-deps"), &version, &lock, &owner] {
        chown(path, Some(uid), Some(uid)).unwrap();
    }
    lock
}

/// A file with a record that proves it stale.
pub fn stale_file(path: &Path) -> PathBuf {
    let text = format!("{{\"pid\":{},\"createdAt\":\"2026-01-01T00:00:00.000Z\",\"starttime\":7}}", dead_pid());
    std::fs::write(path, text).unwrap();
    path.to_owned()
}

/// A running OpenClaw of this user with these variables.
pub fn openclaw(tree: &Path, uid: u32, gid: u32, groups: &[u32], variables: &[(&str, &Path)]) -> Living {
    let package = tree.join("package");
    std::fs::create_dir_all(&package).unwrap();
    std::fs::write(package.join("package.json"), "{\"name\":\"openclaw\",\"version\":\"2026.4.29\"}").unwrap();
    let mut command = Command::new("setpriv");
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    let groups = if groups.is_empty() { "--clear-groups".to_owned() } else { format!("--groups={}", groups.join(",")) };
    command.args([format!("--reuid={uid}"), format!("--regid={gid}"), groups]);
    command.arg(titled(tree, "openclaw-gateway", "/bin/sleep")).arg("1000");
    command.env_clear().env("PATH", "/usr/bin:/bin").envs(variables.iter().copied());
    let child = command.current_dir(&package).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let living = settled(child);
    // setpriv first; then the process that it becomes.
    let read = |name| std::fs::read(format!("/proc/{}/{name}", living.pid())).unwrap();
    wait_until("setpriv to become an OpenClaw", || read("comm") != b"setpriv\n" && !read("environ").is_empty());
    living
}
