//! What every command test needs: a tree of locks, a process to own them, the built binary.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, clippy::indexing_slicing)]

pub mod machine;
pub mod trace;
pub mod users;

use serde_json::Value;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub const DEPS: &str = ".openclaw-runtime-deps.lock";
pub const MIRROR: &str = ".openclaw-runtime-mirror.lock";

/// What takes longer than this never ends: a watchdog on a busy machine, no measure of speed.
pub const HANG: Duration = Duration::from_secs(120);

/// A temporary stage root.
pub struct Stage(pub tempfile::TempDir);

impl Stage {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes a lock directory in a version directory; with a record, if one is given.
    pub fn lock(&self, directory: &str, name: &str, record: Option<&str>) -> PathBuf {
        let lock = self.path().join(directory).join(name);
        std::fs::create_dir_all(&lock).unwrap();
        if let Some(record) = record {
            std::fs::write(lock.join("owner.json"), record).unwrap();
        }
        lock
    }
}

/// A process that lives until it is dropped.
pub struct Living(pub Child);

impl Living {
    pub fn sleep() -> Self {
        let mut command = Command::new("sleep");
        Self(command.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn ticks(&self) -> u64 {
        start_ticks(self.pid())
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A package of this release, in this directory.
pub fn package(at: &Path, release: &str) -> PathBuf {
    std::fs::create_dir_all(at).unwrap();
    let json = format!("{{\"name\":\"openclaw\",\"version\":\"{release}\"}}");
    std::fs::write(at.join("package.json"), json).unwrap();
    at.to_owned()
}

/// A gateway by its title, working in the package of its release below `tree`, that uses a state dir.
pub fn gateway(tree: &Path, release: &str, state: &Path) -> Living {
    let package = package(&tree.join(format!("package-{release}")), release);
    let mut gateway = Command::new(titled(tree, "openclaw-gateway", "/bin/sleep"));
    gateway.arg("1000").env_clear().env("OPENCLAW_STATE_DIR", state);
    settled(gateway.current_dir(&package).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
}

/// A process that /proc shows as what it is to be: the call that starts it is answered when its old
/// files are closed, before it has its name and its environment.
pub fn settled(child: Child) -> Living {
    let living = Living(child);
    wait_until("its environment to be seen", || {
        !std::fs::read(format!("/proc/{}/environ", living.pid())).unwrap().is_empty()
    });
    living
}

/// A program under another name, as if a JavaScript runtime ran it: the kernel names a process after
/// the link that was executed, as OpenClaw names itself, and its executable is called `node`.
pub fn titled(tree: &Path, title: &str, program: &str) -> PathBuf {
    let link = tree.join(title);
    if !link.exists() {
        std::os::unix::fs::symlink(runtime(tree, program), &link).unwrap();
    }
    link
}

/// A program whose executable is called `node`.
pub fn runtime(tree: &Path, program: &str) -> PathBuf {
    let place = tree.join(format!("runtime-{}", Path::new(program).file_name().unwrap().to_str().unwrap()));
    let node = place.join("node");
    if !node.exists() {
        std::fs::create_dir_all(&place).unwrap();
        // By a program of its own: a file that is open for writing here is so in every child of ours
        // until that executes something else, and cannot be executed as long.
        assert!(Command::new("cp").arg(program).arg(&node).status().unwrap().success());
    }
    node
}

/// Makes a file or a directory look an hour old.
pub fn age(path: &Path) {
    let then = i64::try_from(now_ms() / 1000).unwrap() - 3_600;
    let stamp = rustix::fs::Timespec { tv_sec: then, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: stamp, last_modification: stamp };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Looks again and again until it is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < HANG, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A pid that no process has or gets: above all that this kernel hands out, if its `pid_max` leaves
/// room below the limit of Linux (`PID_MAX_LIMIT` of include/linux/threads.h). Else the numbers are
/// so many that a reaped one is far from being handed out again.
///
/// A container of a test may give such a number to a process of its own, which other runs of the
/// tests on this machine see: each run begins at a number that no other is likely to come near.
pub fn dead_pid() -> u32 {
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        AtomicU32::new(now.subsec_nanos().wrapping_add(std::process::id().wrapping_mul(2_654_435_761)))
    });
    let limit = openclaw_doctor::record::PID_LIMIT - 1;
    let pid_max: u32 = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap().trim().parse().unwrap();
    match limit.saturating_sub(pid_max) {
        0..1_000 => reaped_pid(),
        // All of one length, for what is compared as text.
        room => limit - NEXT.fetch_add(1, Ordering::Relaxed) % room.min(1_000_000),
    }
}

/// A pid that was, is no more, and could be once more.
pub fn reaped_pid() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    pid
}

/// Field 22 of /proc/PID/stat.
pub fn start_ticks(pid: u32) -> u64 {
    // The name in it may hold any byte.
    let stat = String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/stat")).unwrap()).into_owned();
    let (_, after) = stat.rsplit_once(')').unwrap();
    after.split_whitespace().nth(19).unwrap().parse().unwrap()
}

pub fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

/// A record in the form of 2026.4.29, or of 2026.4.26 without ticks.
pub fn record(pid: u32, ticks: Option<u64>) -> String {
    let ticks = ticks.map(|ticks| format!("  \"starttime\": {ticks},\n")).unwrap_or_default();
    format!("{{\n  \"pid\": {pid},\n{ticks}  \"createdAtMs\": {}\n}}\n", now_ms())
}

/// Runs the built binary with an environment that names no place of this machine.
pub fn doctor<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Answer {
    Answer(command().args(args).stdin(Stdio::null()).output().unwrap())
}

pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_openclaw-doctor"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// What the binary answered.
pub struct Answer(pub Output);

impl Answer {
    pub fn code(&self) -> i32 {
        self.0.status.code().unwrap_or_else(|| panic!("killed: {:?}", self.0.status))
    }

    pub fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.0.stdout).unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.out(), self.err()))
    }

    /// The only lock of a JSON report.
    pub fn lock(&self) -> Value {
        let json = self.json();
        let locks = json["locks"].as_array().unwrap();
        assert_eq!(locks.len(), 1, "{}", self.out());
        locks[0].clone()
    }

    /// The lock whose path ends so.
    pub fn lock_at(&self, end: impl AsRef<Path>) -> Value {
        let json = self.json();
        let locks = json["locks"].as_array().unwrap();
        let at = locks.iter().find(|lock| Path::new(lock["path"].as_str().unwrap()).ends_with(end.as_ref()));
        at.unwrap_or_else(|| panic!("no {:?} in {}", end.as_ref(), self.out())).clone()
    }
}

/// Says what is skipped and why; fails where the whole laboratory was promised
/// (`OPENCLAW_DOCTOR_LAB=required`, as in CI).
pub fn lab_required(why: &str) {
    assert!(std::env::var_os("OPENCLAW_DOCTOR_LAB").is_none_or(|value| value != "required"), "cannot skip: {why}");
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    // Not through eprintln!, which the test harness swallows.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// Every field of a report taken away, and given a wrong type, in turn: `errors` must notice,
/// unless a missing one is `optional`. Hands back how many were tried.
pub fn every_field_counts(good: &Value, optional: &[&str], errors: impl Fn(&Value) -> Vec<String>) -> usize {
    let mut checked = std::collections::BTreeSet::new();
    let mut pointers = Vec::new();
    fields(good, String::new(), &mut pointers);
    for (object, field) in pointers {
        let shape: Vec<&str> = object.split('/').filter(|part| part.parse::<usize>().is_err()).collect();
        if !checked.insert((shape.join("/"), field.clone())) {
            continue;
        }
        let mut without = good.clone();
        without.pointer_mut(&object).unwrap().as_object_mut().unwrap().remove(&field);
        assert_eq!(errors(&without).is_empty(), optional.contains(&field.as_str()), "{object}/{field} taken away");
        let mut wrong = good.clone();
        wrong.pointer_mut(&object).unwrap()[&field] = serde_json::json!({"of": ["the wrong type"]});
        assert!(!errors(&wrong).is_empty(), "{object}/{field} is not in the schema");
    }
    checked.len()
}

fn fields(value: &Value, at: String, out: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                out.push((at.clone(), name.clone()));
                fields(inner, format!("{at}/{name}"), out);
            }
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, inner)| fields(inner, format!("{at}/{index}"), out));
        }
        _ => {}
    }
}
