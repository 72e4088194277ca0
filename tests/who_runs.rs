//! Who runs here, which release owns a state dir, and what follows where that cannot be told.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)]

mod support;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::machine::{VOUCHED, moved_to_own_machine};
use support::trace::can_trace;
use support::{
    Answer, DEPS, Living, age, command, dead_pid, gateway, lab_required, package, record, runtime, settled, titled,
};

/// A session lock that 2026.4.25 to 2026.7 reads at its start.
const SESSION: &str = "agents/main/sessions/7c9e6679-7425-40de-944b-e07fc1f90ae7.jsonl.lock";
/// A file lock that a running OpenClaw clears.
const PROFILES: &str = "agents/main/agent/auth-profiles.json.lock";
/// A directory that names nobody and is held by whoever made it.
const GUARD: &str = "credentials/telegram-pairing.json.lock.reclaim";

/// A home with a state dir.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir_all(host.state()).unwrap();
        host
    }

    fn tree(&self) -> &Path {
        self.0.path()
    }

    fn state(&self) -> PathBuf {
        self.tree().join("home/.openclaw")
    }

    fn owned_by(self, release: &str) -> Self {
        let json = format!("{{\"meta\": {{\"lastTouchedVersion\": \"{release}\"}}}}");
        std::fs::write(self.state().join("openclaw.json"), json).unwrap();
        self
    }

    /// A lock of a dead owner.
    fn stale(&self, below: &str) -> PathBuf {
        let at = self.state().join(below);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        let record = format!("{{\"pid\":{},\"createdAt\":\"2026-11-01T10:00:00.000Z\",\"starttime\":7}}", dead_pid());
        std::fs::write(&at, record).unwrap();
        at
    }

    /// An old directory without a record.
    fn bare(&self, below: &str) -> PathBuf {
        let at = self.state().join(below);
        std::fs::create_dir_all(&at).unwrap();
        age(&at);
        at
    }

    fn doctor(&self) -> Command {
        let mut doctor = command();
        doctor.env("HOME", self.tree().join("home")).env("TMPDIR", self.tree()).stdin(Stdio::null());
        doctor
    }

    fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Answer {
        Answer(self.doctor().args(args).arg(VOUCHED).output().unwrap())
    }

    fn with_path(&self, args: &[&str], path: &Path) -> Answer {
        self.run(args.iter().map(OsStr::new).chain([path.as_os_str()]))
    }

    /// What a scan says of one lock: to whom it is left, and whether it blocks.
    fn said(&self, lock: &Path) -> (String, String) {
        let lock = self.with_path(&["scan", "--json"], lock).lock();
        let left = lock["left_to_openclaw"]["reason"].as_str().unwrap_or("no").to_owned();
        (left, lock["blocks"]["answer"].as_str().unwrap().to_owned())
    }
}

fn said(left: &str, blocks: &str) -> (String, String) {
    (left.to_owned(), blocks.to_owned())
}

/// Starts a program whose executable is called `node`, with these arguments and this working directory.
fn node(host: &Host, args: &[&str], cwd: &Path, environment: &[(&str, &OsStr)]) -> Living {
    let mut node = Command::new(runtime(host.tree(), "/bin/bash"));
    node.args(["-c", "read _", "node"]).args(args).current_dir(cwd).env_clear();
    node.envs(environment.iter().copied()).env("A", "a");
    settled(node.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
}

/// A turn was lost so: 2026.9.6 ran beside, and 2026.5.28, which owned the state dir, was down.
#[test]
fn another_release_on_the_machine_does_not_give_up_the_turn_of_the_owner() {
    if moved_to_own_machine() {
        return;
    }
    for owner in [Some("2026.5.28"), None] {
        let host = Host::new();
        let host = match owner {
            Some(release) => host.owned_by(release),
            None => host,
        };
        let lock = host.stale(SESSION);
        let _other = gateway(host.tree(), "2026.9.6", &host.tree().join("elsewhere"));
        // What owns it is waited for by nobody else; where it is not known, neither is that.
        let blocks = if owner.is_some() { "yes" } else { "unknown" };
        assert_eq!(host.said(&lock), said("recovery", blocks), "{owner:?}");
        assert_eq!(host.with_path(&["repair"], &host.state()).code(), 1, "{owner:?}");
        assert!(lock.exists(), "{owner:?}: the turn is lost");
        assert_eq!(host.with_path(&["repair", "--yes"], &host.state()).code(), 0, "{owner:?}");
    }
    let host = Host::new().owned_by("2026.9.6");
    let lock = host.stale(SESSION);
    assert_eq!(host.said(&lock), said("no", "no"));
    assert_eq!((host.with_path(&["repair"], &lock).code(), lock.exists()), (0, false));
}

/// A release that is not in the usual places has its title instead of arguments.
#[test]
fn the_release_that_runs_is_found_beside_its_runtime() {
    if moved_to_own_machine() {
        return;
    }
    let host = Host::new();
    let prefix = host.tree().join("nvm/v24.1.0");
    package(&prefix.join("lib/node_modules/openclaw"), "2026.5.28");
    std::fs::create_dir_all(prefix.join("bin")).unwrap();
    let node = prefix.join("bin/node");
    std::fs::rename(runtime(host.tree(), "/bin/sleep"), &node).unwrap();
    std::os::unix::fs::symlink(&node, prefix.join("bin/openclaw-gateway")).unwrap();
    let mut gateway = Command::new(prefix.join("bin/openclaw-gateway"));
    gateway.arg("1000").env_clear().env("OPENCLAW_STATE_DIR", host.state()).current_dir("/");
    let _gateway = settled(gateway.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    let lock = host.stale(SESSION);
    assert_eq!(host.said(&lock), said("recovery", "yes"));
    let answer = host.with_path(&["scan", "--json"], &lock);
    assert_eq!(answer.json()["host"]["openclaw_versions"], serde_json::json!(["2026.5.28"]), "{}", answer.out());
}

/// Else the lock of a dead gateway would be left to the script that is to clear it.
#[test]
fn a_script_that_calls_us_is_no_running_openclaw() {
    if moved_to_own_machine() {
        return;
    }
    let host = Host::new().owned_by("2026.9.6");
    let lock = host.stale(PROFILES);
    let guard = host.bare(GUARD);
    let script = host.tree().join("openclaw-doctor-cron");
    std::fs::write(&script, "#!/bin/bash\n\"$@\"\nexit $?\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new(&script);
    command.arg(env!("CARGO_BIN_EXE_openclaw-doctor")).args(["repair", "--yes", VOUCHED]).arg(host.state());
    command.env("HOME", host.tree().join("home")).env("OPENCLAW_STATE_DIR", host.state()).stdin(Stdio::null());
    let answer = Answer(command.output().unwrap());
    assert_eq!((lock.exists(), guard.exists()), (false, false), "{}", answer.out());
}

/// A dead owner's `npm install` may run any `dist/index.js`.
#[test]
fn an_entry_file_of_another_package_is_no_openclaw_and_keeps_the_lock() {
    if moved_to_own_machine() {
        return;
    }
    let host = Host::new();
    let version = host.state().join("plugin-runtime-deps/openclaw-2026.4.29-aaaaaaaaaaaa");
    std::fs::create_dir_all(version.join(DEPS)).unwrap();
    std::fs::write(version.join(DEPS).join("owner.json"), record(dead_pid(), Some(1))).unwrap();
    let sharp = version.join("node_modules/sharp");
    std::fs::create_dir_all(sharp.join("dist")).unwrap();
    std::fs::write(sharp.join("package.json"), "{\"name\":\"sharp\",\"version\":\"1.0.0\"}").unwrap();
    for arg in ["dist/index.js", "openclaw.mjs"] {
        let install = node(&host, &[arg], &sharp, &[]);
        let lock = host.with_path(&["scan", "--json"], &version).lock();
        assert_eq!((&lock["reason"], &lock["leaning"]), (&"root-in-use".into(), &"likely-held".into()), "{lock}");
        assert_eq!(lock["evidence"]["in_use_by"][0]["pid"], install.pid(), "{lock}");
        assert_eq!(lock["blocks"]["answer"], "unknown", "it is no OpenClaw: {lock}");
    }
}

/// Until it has set its title, OpenClaw is known by the file that is run.
#[test]
fn an_openclaw_that_starts_is_one_by_its_package() {
    if moved_to_own_machine() {
        return;
    }
    let host = Host::new();
    let lock = host.stale(PROFILES);
    let at = package(&host.tree().join("lib/node_modules/openclaw"), "2026.9.6");
    std::fs::create_dir_all(host.tree().join("bin")).unwrap();
    let state = host.state();
    for arg in [at.join("openclaw.mjs"), at.join("dist/index.js"), host.tree().join("bin/openclaw")] {
        assert_eq!(host.said(&lock).0, "no");
        let _starts =
            node(&host, &[arg.to_str().unwrap()], Path::new("/"), &[("OPENCLAW_STATE_DIR", state.as_os_str())]);
        assert_eq!(host.said(&lock), said("self-healing", "yes"), "{}", arg.display());
    }
}

/// The locks of a state dir that are left to a running OpenClaw, as long as it cannot be told that
/// there is none.
fn nothing_goes_but_by_name(host: &Host, why: &str, what: &str, doctor: &dyn Fn(&[&OsStr]) -> Answer) {
    let locks = [host.stale(PROFILES), host.bare(GUARD), host.stale(SESSION)];
    for (lock, left) in locks.iter().zip(["self-healing", "in-use", "recovery"]) {
        let report = doctor(&["scan".as_ref(), "--json".as_ref(), lock.as_os_str()]).lock();
        assert_eq!(report["left_to_openclaw"]["reason"], left, "{what}: {report}");
        assert!(report["left_to_openclaw"]["why"].as_str().unwrap().contains(why), "{what}: {report}");
        assert_eq!(report["blocks"]["answer"], "unknown", "{what}: {report}");
    }
    let answer = doctor(&["repair".as_ref(), host.state().as_os_str()]);
    assert!(locks.iter().all(|lock| lock.exists()), "{what}: {}", answer.out());
    let answer = doctor(&["repair".as_ref(), "--yes".as_ref(), host.state().as_os_str()]);
    assert!(locks.iter().take(2).all(|lock| lock.exists()), "{what}: {}", answer.out());
    for lock in locks.iter().take(2) {
        let answer = doctor(&["repair".as_ref(), "--yes".as_ref(), "--lock".as_ref(), lock.as_os_str()]);
        assert_eq!((answer.code(), lock.exists()), (0, false), "{what}: {}", answer.out());
    }
}

/// The cap on what is read of a process is no way to be left out of those who run.
#[test]
fn an_openclaw_with_a_large_environment_still_runs() {
    if moved_to_own_machine() {
        return;
    }
    let host = Host::new().owned_by("2026.9.6");
    let big = "x".repeat(100_000);
    let mut gateway = Command::new(titled(host.tree(), "openclaw-gateway", "/bin/sleep"));
    gateway.arg("1000").env_clear().env("OPENCLAW_STATE_DIR", host.state()).current_dir("/");
    for index in 0..12 {
        gateway.env(format!("BIG{index}"), &big);
    }
    let _gateway = settled(gateway.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    nothing_goes_but_by_name(&host, "environment", "12 variables of 100 KB", &|args| host.run(args));
}

/// What the kernel refuses to say of an OpenClaw is no sign that there is none.
#[test]
fn an_openclaw_of_which_something_cannot_be_read_still_runs() {
    if moved_to_own_machine() || !can_trace() {
        return;
    }
    let host = Host::new().owned_by("2026.9.6");
    let _gateway = gateway(host.tree(), "2026.9.6", &host.state());
    for (call, file, errno, why) in [
        ("openat", "environ", "EIO", "environment"),
        ("openat", "environ", "EMFILE", "environment"),
        ("readlinkat", "cwd", "ENOMEM", "working directory"),
        ("readlinkat", "ns/mnt", "EIO", "mounts"),
    ] {
        let doctor = |args: &[&OsStr]| {
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-P", file, "-e", &format!("trace={call}")]);
            strace.args(["-e", &format!("inject={call}:error={errno}")]);
            strace.arg(env!("CARGO_BIN_EXE_openclaw-doctor")).args(args).arg(VOUCHED).stdin(Stdio::null());
            Answer(strace.env("HOME", host.tree().join("home")).output().unwrap())
        };
        nothing_goes_but_by_name(&host, why, &format!("{call} {file}: {errno}"), &doctor);
    }
}

/// Processes of another user that cannot reach a place say nothing of it, whatever they hide.
#[test]
fn a_strangers_process_does_not_hold_a_repair_up() {
    if moved_to_own_machine() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return lab_required("another user needs root");
    }
    let host = Host::new().owned_by("2026.9.6");
    let big = "x".repeat(100_000);
    let mut stranger = Command::new("setpriv");
    stranger.args(["--reuid", "54321", "--regid", "54321", "--clear-groups"]);
    stranger.arg(titled(host.tree(), "openclaw-gateway", "/bin/sleep")).arg("1000").env_clear().current_dir("/");
    stranger.env("PATH", "/usr/bin:/bin");
    for index in 0..12 {
        stranger.env(format!("BIG{index}"), &big);
    }
    std::fs::set_permissions(host.tree(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let stranger = Living(stranger.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    while !std::fs::read_to_string(format!("/proc/{}/comm", stranger.pid())).unwrap().starts_with("openclaw") {
        std::thread::yield_now();
    }
    let (lock, guard) = (host.stale(PROFILES), host.bare(GUARD));
    assert_eq!((host.said(&lock), host.said(&guard)), (said("no", "yes"), said("no", "yes")));
    let group = guard.parent().unwrap();
    std::os::unix::fs::chown(group, None, Some(54321)).unwrap();
    std::fs::set_permissions(group, std::os::unix::fs::PermissionsExt::from_mode(0o2775)).unwrap();
    assert_eq!(host.said(&guard).0, "in-use", "its group may write there");
}

/// A second configuration in a directory that was looked at for the first one's sake.
#[test]
fn every_configuration_of_a_directory_has_its_lock_found() {
    if moved_to_own_machine() {
        return;
    }
    let host = Host::new();
    let lock = host.stale("other.json.lock");
    let scan = |more: &[&OsStr]| {
        let mut doctor = host.doctor();
        doctor
            .args(["scan", "--json", VOUCHED])
            .args(more)
            .env("OPENCLAW_CONFIG_PATH", host.state().join("other.json"));
        Answer(doctor.output().unwrap()).lock_at("other.json.lock")
    };
    assert_eq!(scan(&[])["path"], lock.to_str().unwrap());
    assert_eq!(scan(&["--discover".as_ref(), host.state().as_os_str()])["path"], lock.to_str().unwrap());
}

/// Else its path leads nowhere from another directory, and `~` stands for nothing.
#[test]
fn a_place_that_the_environment_names_is_told_by_its_whole_path() {
    if moved_to_own_machine() {
        return;
    }
    let host = Host::new();
    let lock = host.stale(PROFILES);
    let mut doctor = command();
    doctor.args(["scan", "--json", VOUCHED]).current_dir(host.tree()).stdin(Stdio::null());
    let answer = Answer(doctor.env("OPENCLAW_STATE_DIR", "home/.openclaw").output().unwrap());
    assert_eq!(answer.lock()["path"], lock.to_str().unwrap(), "{}", answer.out());
    let mut doctor = command();
    let answer = Answer(doctor.args(["scan", "--json"]).env("OPENCLAW_STATE_DIR", "~/nowhere").output().unwrap());
    assert!(!answer.out().contains("\"~"), "{}", answer.out());
}

/// A slip of the pen must not lead to a repair of the whole machine.
#[test]
fn a_path_that_is_not_there_is_no_reason_to_look_everywhere() {
    if moved_to_own_machine() {
        return;
    }
    let host = Host::new();
    let lock = host.stale(PROFILES);
    let answer = host.with_path(&["repair", "--yes"], &host.tree().join("home/.opencalw"));
    assert_eq!((answer.code(), lock.exists()), (3, true), "{}", answer.out());
    assert!(!answer.out().contains("without PATH") && !answer.out().contains("Nothing to repair"), "{}", answer.out());
}

/// "already running (pid 412)" is what the operator comes with.
#[test]
fn the_process_that_holds_the_locks_is_named_where_all_is_well() {
    if moved_to_own_machine() {
        return;
    }
    let host = Host::new();
    let gateway = gateway(host.tree(), "2026.9.6", &host.state());
    let record = format!(
        "{{\"pid\":{},\"createdAt\":\"2026-11-01T10:00:00.000Z\",\"startTime\":{}}}",
        gateway.pid(),
        gateway.ticks()
    );
    for name in ["gateway.state.lock", "gateway.5b681173.lock"] {
        let at = host.state().join("tmp/openclaw-0").join(name);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, &record).unwrap();
    }
    let answer = host.with_path(&["scan"], &host.state());
    let held = format!("(pid {})", gateway.pid());
    let line = answer.out().lines().find(|line| line.contains(&held)).map(str::to_owned);
    let line = line.unwrap_or_else(|| panic!("{}", answer.out()));
    assert!(
        line.starts_with("held by openclaw") && line.contains("gateway.") && line.ends_with("and 1 more"),
        "{line}"
    );
    assert_eq!(answer.code(), 0, "{}", answer.out());
}

/// A monitor without an OpenClaw of its own must not say that all is well with another user's.
#[test]
fn who_has_no_openclaw_is_not_told_that_nothing_is_stale_beside_another_users() {
    if moved_to_own_machine() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return lab_required("another user needs root");
    }
    let host = Host::new();
    let _gateway = gateway(host.tree(), "2026.9.6", &host.state());
    let doctor = host.tree().join("doctor");
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_openclaw-doctor")).arg(&doctor).status().unwrap().success());
    for path in [host.tree(), &doctor] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let scan = |home: &Path| {
        let mut run = Command::new("setpriv");
        run.args(["--reuid", "54321", "--regid", "54321", "--clear-groups"]).arg(&doctor).arg("scan");
        Answer(run.env_clear().env("HOME", home).stdin(Stdio::null()).output().unwrap())
    };
    let answer = scan(Path::new("/nowhere"));
    assert_eq!(answer.code(), 3, "{}", answer.out());
    assert!(answer.out().contains("environment of openclaw-gatewa"), "{}", answer.out());
    let own = host.tree().join("own");
    std::fs::create_dir_all(own.join(".openclaw")).unwrap();
    assert_eq!(scan(&own).code(), 0, "who has places is answered about these");
}

/// Root was told to run as root.
#[test]
fn the_kernels_own_filesystems_are_not_looked_through() {
    if moved_to_own_machine() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return lab_required("mounts need root");
    }
    let host = Host::new();
    let lock = host.stale(PROFILES);
    let mounted = host.tree().join("proc");
    std::fs::create_dir(&mounted).unwrap();
    assert!(Command::new("mount").args(["-t", "proc", "proc"]).arg(&mounted).status().unwrap().success());
    let report = host.with_path(&["scan", "--json"], host.tree()).json();
    let _ = Command::new("umount").arg("-l").arg(&mounted).status();
    assert_eq!((&report["problems"], &report["exit_code"]), (&serde_json::json!([]), &1.into()), "{report}");
    assert_eq!(report["locks"][0]["path"], lock.to_str().unwrap(), "{report}");
    let seen = report["summary"]["entries_seen"].as_u64().unwrap();
    assert!(seen < 100, "{seen} entries: procfs was walked");
}
