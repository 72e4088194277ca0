//! A lock file that another program has locked with the kernel: told alike by scan, dry run and
//! repair, with its holder where it can be seen, and never removed.

use super::support::trace::{can_trace, traced};
use super::support::{Answer, Living, Stage, dead_pid, doctor, lab_required};
use super::{HELPER, lock};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const LOCK: &str = "auth-profiles.json.lock";
const STATE_LOCK: &str = "gateway.state.lock";
const WHOLE: [&str; 2] = ["0", "0"];
const NOBODY: u32 = 65_534;

fn dead() -> String {
    format!("{{\"pid\":{},\"createdAt\":\"2026-05-01T20:18:48.682Z\",\"starttime\":7}}\n", dead_pid())
}

struct Place(Stage);

impl Place {
    fn new() -> Self {
        let stage = Stage::new();
        std::fs::create_dir_all(stage.path().join(".openclaw/agents/main/agent")).unwrap();
        let place = Self(stage);
        std::fs::write(place.lock(), dead()).unwrap();
        place
    }

    fn lock(&self) -> PathBuf {
        self.0.path().join(".openclaw/agents/main/agent").join(LOCK)
    }

    fn run(&self, command: &str, more: &[&OsStr]) -> Answer {
        let mut args = vec![OsStr::new(command), "--json".as_ref(), "--assume-single-writer".as_ref()];
        args.extend(more);
        args.push(self.0.path().as_os_str());
        doctor(args)
    }

    /// Every command, with every word that could be given.
    fn all(&self) -> Vec<(String, Value)> {
        let path = self.lock();
        let named = [OsStr::new("--lock"), path.as_os_str(), "--yes".as_ref()];
        let runs: [(&str, &[&OsStr]); 5] = [
            ("scan", &[]),
            ("repair", &["--dry-run".as_ref(), "--yes".as_ref()]),
            ("repair", &[]),
            ("repair", &["--yes".as_ref()]),
            ("repair", &named),
        ];
        let one = |(command, more): &(&str, &[&OsStr])| (format!("{command} {more:?}"), self.run(command, more).lock());
        runs.iter().map(one).collect()
    }

    fn assert_removed(&self, case: &str) {
        let judged = self.run("repair", &[]).lock();
        assert_eq!(judged["outcome"], "removed", "{case}: {judged}");
        assert!(!self.lock().exists(), "{case}");
    }
}

#[test]
fn a_lock_file_that_another_program_has_locked_is_active_for_every_command_and_its_holder_named() {
    for (call, access) in [
        ("flock", "write"),
        ("flock", "read"),
        ("setlk", "write"),
        ("setlk", "read"),
        ("ofd", "write"),
        ("ofd", "read"),
        ("lease", "read"),
        ("lease", "write"),
    ] {
        let (place, case) = (Place::new(), format!("{call} {access}"));
        let living = lock(&place.lock(), call, access, WHOLE);
        for (run, judged) in place.all() {
            let told = [&judged["classification"], &judged["reason"], &judged["evidence"]["kernel_lock"]];
            assert_eq!(told, ["active", "kernel-lock-held", "held"], "{case}, {run}: {judged}");
            let holders = judged["kernel_holders"].as_array().unwrap();
            // A lock of an open file description belongs to no process.
            if call == "ofd" {
                assert!(holders.is_empty(), "{case}, {run}: {judged}");
            } else {
                let [holder] = holders.as_slice() else { panic!("{case}, {run}: {judged}") };
                let program = HELPER.file_name().unwrap().to_str().unwrap();
                assert_eq!(
                    (&holder["host_pid"], &holder["program"]),
                    (&living.pid().into(), &program.into()),
                    "{case}"
                );
                let words = judged["explanation"].as_str().unwrap();
                assert!(words.contains(&format!("{program} (pid {})", living.pid())), "{case}, {run}: {words}");
            }
        }
        let explained = doctor(["explain".as_ref(), place.lock().as_os_str()]);
        assert!(explained.out().contains("kernel-lock-held"), "{case}: {}", explained.out());
        assert!(place.lock().exists(), "{case}");
        drop(living);
        place.assert_removed(&case);
    }
}

/// The descriptors of another user's process cannot be read, but the kernel's list can.
#[test]
fn an_ordinary_user_is_told_that_a_file_is_locked_by_another_users_process() {
    if !rustix::process::geteuid().is_root() {
        return lab_required("no other user without root");
    }
    let place = Place::new();
    open_to_nobody(place.0.path());
    let _living = lock(&place.lock(), "flock", "write", WHOLE);
    let judged = as_nobody(&place, &["repair", "--yes"]).lock();
    assert_eq!([&judged["reason"], &judged["outcome"]], ["kernel-lock-held", "held-back"], "{judged}");
    assert!(place.lock().exists());
}

/// The list of a PID namespace leaves out who is not in it: the repair asks the file itself.
#[test]
fn a_repair_in_a_container_does_not_remove_what_a_process_outside_has_locked() {
    let root: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    for (call, seen) in [("flock", false), ("setlk", true), ("ofd", true)] {
        let place = Place::new();
        let _living = lock(&place.lock(), call, "write", WHOLE);
        let mut inside = Command::new("unshare");
        inside.args(root).args(["--pid", "--fork", "--mount-proc"]).arg(env!("CARGO_BIN_EXE_openclaw-doctor"));
        inside.args(["repair", "--yes", "--json", "--assume-single-writer"]).arg(place.0.path());
        let output = inside.stdin(Stdio::null()).output().unwrap();
        if !output.stdout.starts_with(b"{") {
            return lab_required(&format!("no PID namespace: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let judged = Answer(output).lock();
        assert_eq!(judged["outcome"], "held-back", "{call}: {judged}");
        assert_eq!(judged["reason"] == "kernel-lock-held", seen, "{call}: {judged}");
        assert!(place.lock().exists(), "{call}");
    }
}

/// A lock whose taker has died and left it to a child is held all the same.
#[test]
fn a_lock_that_a_shell_left_to_its_child_is_held() {
    let place = Place::new();
    let file = std::fs::File::open(place.lock()).unwrap();
    file.lock().unwrap();
    let child = Living(Command::new("sleep").arg("1000").stdin(Stdio::from(file)).spawn().unwrap());
    for (run, judged) in place.all() {
        assert_eq!(judged["reason"], "kernel-lock-held", "{run}: {judged}");
    }
    drop(child);
    place.assert_removed("its child has ended");
}

/// A kernel that does not answer has not said that nobody holds it.
fn assert_only_by_name(case: &str, run: impl Fn(&Place, &[&OsStr]) -> Answer) {
    let place = Place::new();
    let path = place.lock();
    let judged = run(&place, &["--yes".as_ref()]).lock();
    let told = [&judged["classification"], &judged["reason"], &judged["leaning"], &judged["outcome"]];
    assert_eq!(told, ["stale-dead-pid", "kernel-lock-unknown", "likely-held", "held-back"], "{case}: {judged}");
    assert!(judged["evidence"]["kernel_lock_unknown"].is_string() && path.exists(), "{case}: {judged}");
    let judged = run(&place, &["--lock".as_ref(), path.as_os_str(), "--yes".as_ref()]).lock();
    assert_eq!(judged["outcome"], "removed", "{case}: {judged}");
}

fn repair<'a>(place: &'a Place, more: &[&'a OsStr]) -> Vec<&'a OsStr> {
    let mut args = vec![OsStr::new("repair"), "--json".as_ref(), "--assume-single-writer".as_ref()];
    args.extend(more);
    args.push(place.0.path().as_os_str());
    args
}

#[test]
fn where_the_kernels_list_cannot_be_read_to_its_end_a_file_goes_only_by_name() {
    if !rustix::process::geteuid().is_root() {
        return lab_required("nothing can be mounted over the list without root");
    }
    assert_only_by_name("the list", |place, more| {
        let mut command = Command::new("unshare");
        let script = "truncate -s 17M \"$1\" && mount --bind \"$1\" /proc/locks && rm \"$1\" && shift && exec \"$@\"";
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(place.0.path().join("list"));
        command.arg(env!("CARGO_BIN_EXE_openclaw-doctor")).args(repair(place, more));
        Answer(command.stdin(Stdio::null()).output().unwrap())
    });
}

#[test]
fn a_coordinator_that_may_not_be_opened_is_not_taken_for_free() {
    if !rustix::process::geteuid().is_root() {
        return lab_required("no other user without root");
    }
    let place = Place::new();
    let state_lock = place.0.path().join(".openclaw").join(STATE_LOCK);
    std::fs::remove_file(place.lock()).unwrap();
    std::fs::write(&state_lock, dead()).unwrap();
    open_to_nobody(place.0.path());
    let coordinator = state_lock.with_file_name(format!("{STATE_LOCK}.sqlite"));
    std::fs::write(&coordinator, "SQLite format 3").unwrap();
    std::fs::set_permissions(&coordinator, PermissionsExt::from_mode(0o0)).unwrap();
    let judged = as_nobody(&place, &["repair", "--yes"]).lock_at(STATE_LOCK);
    let told = [&judged["reason"], &judged["evidence"]["coordinator"], &judged["outcome"]];
    assert_eq!(told, ["kernel-lock-unknown", "unknown", "held-back"], "{judged}");
    assert!(state_lock.exists());
}

fn open_to_nobody(tree: &Path) {
    for entry in walkdir::WalkDir::new(tree) {
        let entry = entry.unwrap();
        let mode = if entry.file_type().is_dir() { 0o755 } else { 0o644 };
        std::fs::set_permissions(entry.path(), PermissionsExt::from_mode(mode)).unwrap();
        chown(entry.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// Runs the binary, which an ordinary user may not reach where it was built, as one.
fn as_nobody(place: &Place, args: &[&str]) -> Answer {
    let temp = tempfile::tempdir().unwrap();
    std::fs::set_permissions(temp.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let program = temp.path().join("openclaw-doctor");
    std::fs::copy(env!("CARGO_BIN_EXE_openclaw-doctor"), &program).unwrap();
    let mut doctor = Command::new(program);
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    doctor.env_clear().args(args).args(["--json", "--assume-single-writer"]).arg(place.0.path());
    Answer(doctor.uid(NOBODY).gid(NOBODY).stdin(Stdio::null()).output().unwrap())
}

/// A seccomp filter, an old kernel, no descriptor left: none of them says that nobody has the pid.
#[test]
fn a_kernel_that_refuses_to_look_for_a_pid_has_not_said_that_its_process_is_dead() {
    if !can_trace() {
        return;
    }
    for error in ["EPERM", "ENOSYS", "EMFILE"] {
        let place = Place::new();
        let refuse = |calls: &str| {
            let inject = format!("inject={calls}:error={error}");
            traced(&["-e", &inject], repair(&place, &["--yes".as_ref()])).0.lock()
        };
        let judged = refuse("pidfd_open,kill");
        assert_eq!((&judged["proof"], &judged["outcome"]), (&false.into(), &"held-back".into()), "{error}: {judged}");
        assert_eq!(judged["sightings"][0]["life"], "unknown", "{error}: {judged}");
        assert!(place.lock().exists(), "{error}");
        // kill(2), which sends nothing, still says so.
        assert_eq!(refuse("pidfd_open")["outcome"], "removed", "{error}");
    }
}
