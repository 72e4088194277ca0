//! What is left to a running or an installed OpenClaw, and what it takes to remove it all the same.

use super::layout::{Layout, Named, Owner, SPOTS, Spot};
use super::support::machine::{VOUCHED, moved_to_own_machine};
use super::support::{Answer, DEPS, Living, age, command, dead_pid, gateway, package, settled, titled};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A state dir, and what looks like an OpenClaw of this release that uses it.
struct Host {
    tree: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let tree = tempfile::Builder::new().prefix("left-").tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("home/.openclaw/agents/main/agent")).unwrap();
        Self { tree }
    }

    fn home(&self) -> PathBuf {
        self.tree.path().join("home")
    }

    fn state(&self) -> PathBuf {
        self.home().join(".openclaw")
    }

    fn gateway(&self, release: &str, state: &Path) -> Living {
        gateway(self.tree.path(), release, state)
    }

    /// Installs a release where npm does for one user.
    fn install(&self, release: &str) {
        package(&self.home().join(".npm-global/lib/node_modules/openclaw"), release);
    }

    /// Makes the state dir this release's.
    fn own(&self, release: &str) {
        let json = format!("{{\"meta\": {{\"lastTouchedVersion\": \"{release}\"}}}}");
        std::fs::write(self.state().join("openclaw.json"), json).unwrap();
    }

    fn lock(&self, below: &str, bytes: &str) -> PathBuf {
        let at = self.state().join(below);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(&at, bytes).unwrap();
        at
    }

    fn run(&self, args: &[&OsStr]) -> Answer {
        let mut doctor = command();
        let vouched = args.contains(&VOUCHED.as_ref());
        doctor.args(args).args((!vouched).then_some(VOUCHED));
        doctor.env("HOME", self.home()).env("TMPDIR", self.tree.path()).stdin(Stdio::null());
        Answer(doctor.output().unwrap())
    }

    fn path(&self, command: &str, flags: &[&str]) -> Answer {
        let state = self.state();
        let args: Vec<&OsStr> =
            [command].into_iter().chain(flags.iter().copied()).map(OsStr::new).chain([state.as_os_str()]).collect();
        self.run(&args)
    }

    /// `repair --lock PATH --yes`.
    fn name(&self, lock: &Path) -> Answer {
        self.run(&["repair".as_ref(), "--lock".as_ref(), lock.as_os_str(), "--yes".as_ref()])
    }

    fn left(&self, lock: &Path) -> String {
        let report = self.run(&["scan".as_ref(), "--json".as_ref(), lock.as_os_str()]);
        report.lock()["left_to_openclaw"]["reason"].as_str().unwrap_or("no").to_owned()
    }
}

/// A file lock of a dead owner, with start ticks if the release records them.
fn stale(ticks: bool) -> String {
    let ticks = if ticks { ",\n  \"starttime\": 7" } else { "" };
    format!("{{\n  \"pid\": {},\n  \"createdAt\": \"2026-11-01T10:00:00.000Z\"{ticks}\n}}\n", dead_pid())
}

#[test]
fn a_running_openclaw_that_reclaims_its_file_locks_is_left_to_do_so() {
    if moved_to_own_machine() {
        return;
    }
    for release in ["2026.4.29", "2026.5.28", "2026.9.6"] {
        let host = Host::new();
        let lock = host.lock("agents/main/agent/auth-profiles.json.lock", &stale(release != "2026.4.29"));
        let gateway = host.gateway(release, &host.state());
        assert_eq!(host.left(&lock), "self-healing", "{release}");
        let scan = host.path("scan", &["--json"]).lock();
        assert_eq!((&scan["classification"], &scan["proof"]), (&"stale-dead-pid".into(), &true.into()), "{scan}");
        assert!(host.path("scan", &[]).out().contains("left to the running OpenClaw (self-healing)"));
        for flags in [&[][..], &["--yes"]] {
            let answer = host.path("repair", flags);
            assert!(lock.exists(), "{release} {flags:?}: {}", answer.out());
            assert_eq!(answer.code(), 1, "{release} {flags:?}: {}", answer.out());
        }
        let explained = host.run(&["explain".as_ref(), lock.as_os_str()]).out();
        assert!(explained.contains(&format!("(pid {})", gateway.pid())), "{explained}");
        assert_eq!(host.name(&lock).code(), 0, "{release}");
        assert!(!lock.exists(), "{release}");
    }
}

#[test]
fn without_a_running_openclaw_a_file_lock_is_removed_on_its_proof() {
    if moved_to_own_machine() {
        return;
    }
    let host = Host::new();
    for below in ["agents/main/agent/auth-profiles.json.lock", "openclaw.json.lock"] {
        let lock = host.lock(below, &stale(true));
        let gateway = host.gateway("2026.9.6", &host.state());
        assert_eq!(host.left(&lock), "self-healing");
        drop(gateway);
        assert_eq!(host.left(&lock), "no");
        assert_eq!(host.path("repair", &[]).code(), 0);
        assert!(!lock.exists());
    }
}

/// A gateway beside, of another state dir, clears nothing here.
#[test]
fn an_openclaw_of_another_state_dir_holds_nothing_back() {
    if moved_to_own_machine() {
        return;
    }
    let host = Host::new();
    let lock = host.lock("agents/main/agent/auth-profiles.json.lock", &stale(true));
    let other = host.tree.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let _gateway = host.gateway("2026.9.6", &other);
    assert_eq!(host.left(&lock), "no");
    assert_eq!(host.path("repair", &[]).code(), 0);
    assert!(!lock.exists());
}

/// From 2026.5.12 on nobody clears it: an operator would wait for ever.
#[test]
fn an_empty_file_lock_is_left_to_those_releases_only_that_clear_it() {
    if moved_to_own_machine() {
        return;
    }
    for (release, left) in [("2026.5.28", "no"), ("2026.9.6", "no")] {
        let host = Host::new();
        let lock = host.lock("agents/main/agent/auth-profiles.json.lock", "");
        age(&lock);
        // A lock that names somebody, so that processes are looked at.
        host.lock("agents/main/agent/other-pairing.json.lock", &stale(true));
        let _gateway = host.gateway(release, &host.state());
        let report = host.path("scan", &["--json"]).lock_at("auth-profiles.json.lock");
        assert_eq!((&report["reason"], &report["leaning"]), (&"record-empty".into(), &"likely-stale".into()));
        assert_eq!(report["left_to_openclaw"]["reason"].as_str().unwrap_or("no"), left, "{release}");
        host.path("repair", &[]);
        assert!(lock.exists(), "{release}: nothing is proven");
        let answer = host.path("repair", &["--yes"]);
        assert!(!lock.exists(), "{release}: {}", answer.out());
    }
    let host = Host::new();
    let lock = host.lock("agents/main/agent/auth-profiles.json.lock", "");
    age(&lock);
    host.lock("agents/main/agent/other-pairing.json.lock", &stale(false));
    let _gateway = host.gateway("2026.4.29", &host.state());
    let report = host.path("scan", &["--json"]).lock_at("auth-profiles.json.lock");
    assert_eq!(report["left_to_openclaw"]["reason"], "self-healing", "{report}");
    host.path("repair", &["--yes"]);
    assert!(lock.exists());
}

/// Whoever clears a lock that names nobody must be looked for, too.
#[test]
fn an_empty_file_lock_alone_is_left_to_the_release_that_clears_it() {
    if moved_to_own_machine() {
        return;
    }
    let host = Host::new();
    let lock = host.lock("agents/main/agent/auth-profiles.json.lock", "");
    age(&lock);
    let _gateway = host.gateway("2026.4.29", &host.state());
    assert_eq!(host.left(&lock), "self-healing");
}

/// A recycled pid is told by ticks, which 2026.4.29 does not compare in file locks.
#[test]
fn a_recycled_owner_is_left_to_those_releases_only_that_tell_it() {
    if moved_to_own_machine() {
        return;
    }
    let living = Living::sleep();
    let record = format!("{{\"pid\":{},\"createdAt\":\"2026-11-01T10:00:00.000Z\",\"starttime\":7}}", living.pid());
    for (release, left) in [("2026.5.22", "no"), ("2026.5.28", "self-healing"), ("2026.9.6", "self-healing")] {
        let host = Host::new();
        let lock = host.lock("agents/main/agent/auth-profiles.json.lock", &record);
        let _gateway = host.gateway(release, &host.state());
        assert_eq!(host.left(&lock), left, "{release}");
    }
}

#[test]
fn what_no_release_clears_is_left_to_none() {
    if moved_to_own_machine() {
        return;
    }
    let living = Living::sleep();
    for name in ["runtime-deps", "gateway-state", "exec-approvals", "fail-closed-file-lock", "reclaim-guard"] {
        let layout = Layout::new(Named::Home);
        layout.plant(Owner::Dead, &living);
        let host = Host::new();
        let _gateway = host.gateway("2026.9.6", &layout.state);
        let report = layout.run(["scan", "--json", "--family", name]);
        let of = |spot: &&Spot| spot.family == name && layout.state_of(spot).is_some();
        let locks = layout.locks(&report);
        for spot in SPOTS.iter().filter(of) {
            assert!(locks[&layout.at(spot)]["left_to_openclaw"].is_null(), "{}", locks[&layout.at(spot)]);
        }
    }
}

/// OpenClaw 2026.4.25 to 2026.7 reads a stale session lock to take the interrupted turn up.
#[test]
fn an_interrupted_session_is_left_to_the_release_that_takes_it_up() {
    if moved_to_own_machine() {
        return;
    }
    let session = "agents/main/sessions/7c9e6679-7425-40de-944b-e07fc1f90ae7.jsonl.lock";
    for (release, left) in
        [("2026.4.29", "recovery"), ("2026.7.1", "recovery"), ("2026.9.6", "no"), ("2026.4.15", "no")]
    {
        let host = Host::new();
        let lock = host.lock(session, &stale(true));
        host.own(release);
        // Whatever else is installed here.
        host.install("2026.8.1");
        let report = host.run(&["scan".as_ref(), "--json".as_ref()]).lock_at(session);
        assert_eq!(report["left_to_openclaw"]["reason"].as_str().unwrap_or("no"), left, "{release}: {report}");
        let answer = host.run(&["repair".as_ref(), "--discover".as_ref(), lock.as_os_str()]);
        assert_eq!(lock.exists(), left == "recovery", "{release}: {}", answer.out());
        let answer = host.run(&["repair".as_ref(), "--yes".as_ref(), lock.as_os_str()]);
        assert!(!lock.exists(), "{release}: {}", answer.out());
    }
}

/// A lock directory that names nobody, an hour old.
fn bare(host: &Host, below: &str) -> PathBuf {
    let at = host.state().join(below);
    std::fs::create_dir_all(&at).unwrap();
    age(&at);
    at
}

/// Its directory is not touched while it is held: a stopped OpenClaw may hold it for long.
#[test]
fn a_bare_guard_is_left_to_whoever_uses_its_state_dir() {
    if moved_to_own_machine() {
        return;
    }
    for release in ["2026.4.29", "2026.9.6"] {
        let host = Host::new();
        let guard = bare(&host, "credentials/telegram-pairing.json.lock.reclaim");
        assert_eq!(host.left(&guard), "no");
        let gateway = host.gateway(release, &host.state());
        let report = host.path("scan", &["--json"]).lock();
        assert_eq!((&report["family"], &report["leaning"]), (&"reclaim-guard".into(), &"likely-stale".into()));
        assert_eq!(report["left_to_openclaw"]["reason"], "in-use", "{report}");
        let told = host.path("scan", &[]).out();
        assert!(told.contains("the running OpenClaw may hold it (in-use)"), "{told}");
        let explained = host.run(&["explain".as_ref(), guard.as_os_str()]).out();
        assert!(explained.contains(&format!("(pid {})", gateway.pid())), "{explained}");
        for flags in [&[][..], &["--yes"], &["--yes", "--assume-single-writer"]] {
            let answer = host.path("repair", flags);
            assert_eq!((answer.code(), guard.exists()), (1, true), "{release} {flags:?}: {}", answer.out());
        }
        assert_eq!(host.name(&guard).code(), 0, "{release}");
        assert!(!guard.exists(), "{release}");
        drop(gateway);
        bare(&host, "credentials/telegram-pairing.json.lock.reclaim");
        let answer = host.path("repair", &["--yes"]);
        assert_eq!((answer.code(), guard.exists()), (0, false), "{release}: {}", answer.out());
    }
}

/// As long as a guard stands, no OpenClaw clears the lock; one in use stands for milliseconds.
#[test]
fn a_lock_beside_a_guard_that_was_left_is_cleared_by_nobody() {
    if moved_to_own_machine() {
        return;
    }
    for below in ["credentials/telegram-pairing.json.lock", "agents/main/agent/auth-profiles.json.lock"] {
        let host = Host::new();
        let lock = host.lock(below, &stale(true));
        let _gateway = host.gateway("2026.9.6", &host.state());
        assert_eq!(host.left(&lock), "self-healing");
        let guard = bare(&host, &format!("{below}.reclaim"));
        assert_eq!(host.left(&lock), "no", "{below}");
        std::fs::remove_dir(&guard).unwrap();
        std::fs::create_dir(&guard).unwrap();
        assert_eq!(host.left(&lock), "self-healing", "{below}: the guard is young");
        age(&guard);
        let answer = host.path("repair", &[]);
        assert_eq!((lock.exists(), guard.exists()), (false, true), "{below}: {}", answer.out());
    }
}

/// What looks like an OpenClaw by its title alone: `program` copies its input until that ends.
fn entitled(host: &Host, title: &str, program: &str, args: &[&str]) -> Living {
    let mut command = Command::new(titled(host.tree.path(), title, program));
    command.args(args).env_clear().env("OPENCLAW_STATE_DIR", host.state());
    command.current_dir(package(&host.tree.path().join("package"), "2026.9.6"));
    settled(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// A doctor of ours that stays: nobody reads what it writes, and a pipe takes no more than so much.
fn stuck_doctor(host: &Host) -> Living {
    let stage = host.tree.path().join("stage");
    for index in 0..200 {
        std::fs::create_dir_all(stage.join(format!("openclaw-2026.4.26-{index:012x}/{DEPS}"))).unwrap();
    }
    let mut doctor = command();
    doctor.args(["scan", "--json"]).arg(&stage).env("HOME", host.home()).env("OPENCLAW_STATE_DIR", host.state());
    Living(doctor.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
}

/// Else two doctors would leave every lock to each other.
#[test]
fn a_doctor_of_ours_is_no_openclaw_and_openclaws_own_doctor_is() {
    if moved_to_own_machine() {
        return;
    }
    let host = Host::new();
    let lock = host.lock("agents/main/agent/auth-profiles.json.lock", &stale(true));
    let guard = bare(&host, "credentials/telegram-pairing.json.lock.reclaim");
    let left = || (host.left(&lock), host.left(&guard));
    let (healed, free) = (("self-healing".to_owned(), "in-use".to_owned()), ("no".to_owned(), "no".to_owned()));
    // The title of `openclaw doctor` overwrites the arguments: none are left, or empty ones.
    for (program, args) in [("/bin/cat", &[][..]), ("/usr/bin/tee", &[""])] {
        assert_eq!(left(), free);
        let theirs = entitled(&host, "openclaw-doctor", program, args);
        assert_eq!(left(), healed, "{program}");
        drop(theirs);
        std::fs::remove_file(host.tree.path().join("openclaw-doctor")).unwrap();
    }
    let mut ours = stuck_doctor(&host);
    assert_eq!(left(), free);
    let answer = host.path("repair", &["--yes"]);
    assert_eq!((lock.exists(), guard.exists()), (false, false), "{}", answer.out());
    assert!(ours.0.try_wait().unwrap().is_none(), "the doctor of ours has ended: nothing was shown");
}

#[test]
fn a_proof_that_is_left_to_openclaw_is_not_said_to_be_free() {
    if moved_to_own_machine() {
        return;
    }
    let host = Host::new();
    let lock = host.lock("agents/main/sessions/7c9e6679.jsonl.lock", &stale(true));
    host.install("2026.7.1");
    // Whatever else of this machine is told with it.
    let explain = |lock: &Path, more: &[&str]| {
        let more = more.iter().map(OsStr::new).chain([lock.as_os_str()]);
        let args = [OsStr::new("explain")];
        let told = host.run(&args.into_iter().chain(more).collect::<Vec<_>>()).out();
        let of_lock = told.split("\n\n").find(|told| told.starts_with("Lock") && told.contains(lock.to_str().unwrap()));
        of_lock.unwrap_or_else(|| panic!("{told}")).to_owned()
    };
    let verdict = |told: &str| told.lines().find(|line| line.starts_with("Verdict")).unwrap().to_owned();
    let of_session = explain(&lock, &["--discover"]);
    assert!(verdict(&of_session).contains("proven; left to OpenClaw"), "{of_session}");
    assert!(of_session.contains("reads it at its next start"), "{of_session}");
    let profile = host.lock("agents/main/agent/auth-profiles.json.lock", &stale(true));
    assert!(verdict(&explain(&profile, &[])).contains("may be removed without asking"));
    let _gateway = host.gateway("2026.9.6", &host.state());
    let told = explain(&profile, &[]);
    assert!(verdict(&told).contains("proven; left to OpenClaw") && !told.contains("without asking"), "{told}");
}

/// Its file is somebody's still: only the name goes, and only by name.
#[test]
fn a_lock_with_a_second_name_is_removed_by_name_and_its_file_stays() {
    if moved_to_own_machine() {
        return;
    }
    let host = Host::new();
    let lock = host.lock("agents/main/agent/auth-profiles.json.lock", &stale(true));
    let other = host.tree.path().join("second-name");
    std::fs::hard_link(&lock, &other).unwrap();
    assert_eq!(host.path("scan", &["--json"]).lock_at("auth-profiles.json.lock")["reason"], "record-hard-linked");
    host.path("repair", &["--yes"]);
    assert!(lock.exists());
    let answer = host.run(&["repair".as_ref(), "--yes".as_ref(), "--lock".as_ref(), lock.as_os_str()]);
    assert_eq!((answer.code(), lock.exists(), other.exists()), (0, false, true), "{}", answer.out());
}
