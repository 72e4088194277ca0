//! What a scan says of a lock, in one line that a test can be read by.

use super::machine::{Bench, tool};
use crate::support::{Answer, DEPS, Stage, doctor};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The uid of an ordinary user who owns nothing.
pub const NOBODY: &str = "65534";
pub const VERSION_DIRECTORY: &str = "openclaw-2026.4.29-aaaaaaaaaaaa";

/// `class reason standing vantage exit-code` of the only lock.
pub fn verdict(answer: &Answer) -> String {
    verdict_of(answer, &answer.lock())
}

/// The same of the lock whose path ends so.
pub fn verdict_at(answer: &Answer, end: impl AsRef<Path>) -> String {
    verdict_of(answer, &answer.lock_at(end))
}

fn verdict_of(answer: &Answer, lock: &Value) -> String {
    let word = |name: &str| lock[name].as_str().unwrap_or_else(|| panic!("no {name} in {lock}")).to_owned();
    let standing = match (&lock["proof"], &lock["leaning"]) {
        (Value::Bool(true), Value::Null) => "PROOF",
        (Value::Bool(false), Value::Null) => "held",
        (Value::Bool(false), Value::String(leaning)) => leaning,
        odd => panic!("{odd:?}"),
    };
    let vantage = answer.json()["host"]["vantage"].as_str().unwrap().to_owned();
    format!("{} {} {standing} {vantage} {}", word("classification"), word("reason"), answer.code())
}

/// Makes a lock of the plugin family below a stage root, and gives its path.
pub fn lock(stage: &Path, record: &str) -> PathBuf {
    let lock = stage.join(VERSION_DIRECTORY).join(DEPS);
    std::fs::create_dir_all(&lock).unwrap();
    std::fs::write(lock.join("owner.json"), record).unwrap();
    lock
}

/// Scans on the host, as whoever runs the tests.
pub fn on_host(path: &Path) -> Answer {
    doctor(["scan".as_ref(), path.as_os_str(), "--json".as_ref()])
}

/// Scans on the host as an ordinary user. Needs root.
pub fn as_nobody(bench: &Bench, path: &Path) -> Answer {
    let mut command = tool("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]);
    Answer(command.arg(bench.doctor()).arg("scan").arg(path).arg("--json").output().unwrap())
}

/// The sighting that the report takes for the owner: its pids on the host and inside.
pub fn owner(answer: &Answer) -> (u64, u64) {
    let lock = answer.lock();
    let owners: Vec<&Value> = lock["sightings"].as_array().unwrap().iter().filter(|s| s["is_owner"] == true).collect();
    assert_eq!(owners.len(), 1, "{lock}");
    (owners[0]["host_pid"].as_u64().unwrap(), owners[0]["ns_pid"].as_u64().unwrap())
}

/// A stage directory on the host's own temporary filesystem, readable by all.
pub fn stage() -> Stage {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::new();
    std::fs::set_permissions(stage.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    stage
}
