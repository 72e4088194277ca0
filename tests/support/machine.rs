//! A machine of a test's own: processes, temporary directories, homes and packages that no other
//! test and no OpenClaw of this machine can see or be seen by.
//!
//! A run without a PATH, and a release that "runs here", are told of the whole machine. A test of
//! such a run begins with
//!
//! ```text
//! if moved_to_own_machine() {
//!     return;
//! }
//! ```
//!
//! and goes on in PID and mount namespaces of its own, as the same user. Its `/tmp` is an empty
//! directory of the real one's filesystem; homes, system places and packages are empty. What is
//! seen there is a namespace, so that a proof needs [`VOUCHED`].

#![allow(clippy::print_stdout)]

use super::lab_required;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// Says that nothing outside writes to the machine's places: on a machine of one's own this is so.
pub const VOUCHED: &str = "--assume-single-writer";

/// Set on such a machine.
const MARK: &str = "OPENCLAW_DOCTOR_OWN_MACHINE";
/// What may be full of what no test has made.
const COVERED: [&str; 11] = [
    "/app",
    "/dev/shm",
    "/etc/systemd/system",
    "/home",
    "/opt/openclaw",
    "/root",
    "/tmp",
    "/usr/lib/node_modules",
    "/usr/local/lib/node_modules",
    "/var/lib/openclaw",
    "/var/tmp",
];
/// Pid 1: it reaps what is left to it.
const INIT: &str = r#"
set -e
# In a user namespace what lies below may not be taken away.
umount -l /proc 2>/dev/null || true
mount -t proc proc /proc
until [ "$1" = -- ]; do mount --rbind "$1" "$2"; shift 2; done
shift
cd "$HERE"
code=0
"$@" || code=$?
exit $code
"#;

/// Whether the test is done, because it was run on a machine of its own; where none can be had, it
/// is skipped aloud. On that machine itself: no.
pub fn moved_to_own_machine() -> bool {
    if is_own_machine() {
        return false;
    }
    if let Some(why) = &*REFUSED {
        lab_required(&format!("no PID and mount namespaces for a machine of its own: {why}"));
        return true;
    }
    let test = std::thread::current().name().unwrap().to_owned();
    let machine = Machine::new();
    let exe = std::env::current_exe().unwrap();
    let words = [exe.as_os_str(), test.as_ref(), "--exact".as_ref(), "--nocapture".as_ref()];
    let output = machine.command(words.into_iter().map(ToOwned::to_owned)).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for line in err.lines() {
        // What is skipped there is told past the test harness, as it is here.
        let _ = if line.starts_with("SKIPPED") { writeln!(std::io::stderr(), "{line}") } else { Ok(()) };
    }
    let passed = output.status.success() && out.contains("test result: ok. 1 passed");
    assert!(passed, "on a machine of its own ({:?}):\n{out}{err}", output.status);
    print!("{out}");
    true
}

/// Whether this is such a machine.
pub fn is_own_machine() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Why there can be none here.
static REFUSED: LazyLock<Option<String>> = LazyLock::new(|| {
    let output = match Machine::new().command(["true".into()]).output() {
        Ok(output) => output,
        Err(error) => return Some(format!("unshare (util-linux): {error}")),
    };
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).trim().to_owned())
});

/// The directories of one machine; they go with it.
struct Machine {
    base: tempfile::TempDir,
    /// What is mounted where, in this order.
    mounts: Vec<(PathBuf, PathBuf)>,
}

impl Machine {
    fn new() -> Self {
        let base = tempfile::Builder::new().prefix("machine-").tempdir().unwrap();
        let real = |path: &Path| path.canonicalize().ok().filter(|path| path.is_dir());
        let kept: Vec<PathBuf> = needed().iter().filter_map(|path| real(path)).collect();
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let covered = COVERED.iter().map(PathBuf::from).chain(home).filter_map(|path| real(&path));
        let mut covered: Vec<PathBuf> = covered.filter(|path| path != Path::new("/") && !kept.contains(path)).collect();
        // The deepest first: a mount above takes those below along. That with the source of all the
        // others is last.
        let own = base.path().canonicalize().unwrap();
        covered.sort_by_key(|path| (own.starts_with(path), std::cmp::Reverse(path.components().count())));
        covered.dedup();
        let mut mounts = Vec::new();
        for (index, cover) in covered.iter().enumerate() {
            let empty = own.join(index.to_string());
            std::fs::create_dir(&empty).unwrap();
            std::fs::set_permissions(&empty, PermissionsExt::from_mode(0o1777)).unwrap();
            for keep in kept.iter().filter(|keep| keep.starts_with(cover)) {
                if kept.iter().any(|above| above != keep && keep.starts_with(above)) {
                    continue;
                }
                let at = empty.join(keep.strip_prefix(cover).unwrap());
                std::fs::create_dir_all(&at).unwrap();
                mounts.push((keep.clone(), at));
            }
            mounts.push((empty, cover.clone()));
        }
        Self { base, mounts }
    }

    fn command(&self, words: impl IntoIterator<Item = OsString>) -> Command {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let mut command = Command::new("unshare");
        if !uid.is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--pid", "--mount", "--fork", "--kill-child", "sh", "-c", INIT, "sh"]);
        for (from, to) in &self.mounts {
            command.arg(from).arg(to);
        }
        command.arg("--");
        if !uid.is_root() {
            // The same user again, who may not mount what he sees.
            command.args(["unshare", "--user", &format!("--map-user={uid}"), &format!("--map-group={gid}"), "--"]);
        }
        let here = std::env::current_dir().unwrap();
        command.args(words).env(MARK, self.base.path()).env("TMPDIR", "/tmp").env("HERE", here).stdin(Stdio::null());
        command
    }
}

/// The sources, what was built of them, and the programs.
fn needed() -> Vec<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned();
    let exe = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs: Vec<PathBuf> = std::env::split_paths(&path).filter(|path| path.is_absolute()).collect();
    [PathBuf::from(env!("CARGO_MANIFEST_DIR")), target, exe].into_iter().chain(programs).collect()
}
