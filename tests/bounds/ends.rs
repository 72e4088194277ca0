//! Filesystems and processes that never answer.

use super::server::{Lines, Server, ended, in_time, wait};
use super::support::machine::{VOUCHED, is_own_machine, moved_to_own_machine};
use super::support::{DEPS, Living, Stage, command, dead_pid, gateway, lab_required, record};
use openclaw_doctor::scan::{Request, Session};
use openclaw_doctor::scope::Scope;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const VERSION: &str = "openclaw-2026.4.29-aaaaaaaaaaaa";

fn plant(base: &Path) -> PathBuf {
    let lock = base.join(VERSION).join(DEPS);
    std::fs::create_dir_all(&lock).unwrap();
    std::fs::write(lock.join("owner.json"), record(dead_pid(), Some(7))).unwrap();
    lock
}

/// A process that is held by a thread in an uninterruptible wait cannot be reaped, and holds its
/// output open: whoever waits for the doctor would wait with it.
#[test]
fn no_command_is_held_by_a_filesystem_that_never_answers() {
    if moved_to_own_machine() {
        return;
    }
    let Some(server) = Server::new(7) else { return };
    plant(&server.source());
    server.stop();
    let lock = |index: usize| server.outer(index).join(VERSION).join(DEPS);
    let runs: [(usize, &[&str], PathBuf); 7] = [
        (0, &["scan"], server.outer(0).to_owned()),
        (1, &["scan", "--json"], server.outer(1).to_owned()),
        (2, &["explain"], lock(2)),
        (3, &["repair", "--yes"], server.outer(3).to_owned()),
        (4, &["repair", "--dry-run"], server.outer(4).to_owned()),
        (5, &["repair", "--yes", "--json"], server.outer(5).to_owned()),
        (6, &["repair", "--yes", "--lock"], lock(6)),
    ];
    std::thread::scope(|scope| {
        let runs = runs.iter().map(|(_, args, path)| {
            scope.spawn(move || {
                let answer = in_time(args.iter().map(AsRef::as_ref).chain([path.as_os_str()]));
                assert_eq!(answer.code(), 3, "{args:?}: {}{}", answer.out(), answer.err());
                assert!(answer.out().contains("no answer from its filesystem"), "{args:?}: {}", answer.out());
            })
        });
        let runs: Vec<_> = runs.collect();
        runs.into_iter().for_each(|run| run.join().unwrap());
    });
    server.go_on();
    assert!(lock(0).join("owner.json").exists());
}

/// What a running OpenClaw uses is looked at for every lock that it might heal, on any PATH.
#[test]
fn the_dead_mount_of_a_running_openclaw_holds_no_scan_of_another_place() {
    if moved_to_own_machine() {
        return;
    }
    let Some(server) = Server::new(1) else { return };
    let stage = Stage::new();
    let state = server.outer(0).join("state");
    let _gateway = gateway(stage.path(), "2026.9.6", &state);
    let place = stage.path().join("place");
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("openclaw.json"), "{}").unwrap();
    let held = place.join("openclaw.json.lock");
    std::fs::write(&held, record(dead_pid(), Some(7))).unwrap();
    server.stop();
    for command in [&["scan", "--json"][..], &["repair", "--yes", "--json"]] {
        let answer = in_time(command.iter().map(AsRef::as_ref).chain([VOUCHED.as_ref(), place.as_os_str()]));
        assert_eq!(answer.lock_at("openclaw.json.lock")["classification"], "stale-dead-pid", "{}", answer.out());
        assert!(held.exists(), "whether a running OpenClaw uses the place was not known: {}", answer.out());
    }
}

/// Between the look that finds a lock and the question who uses its directory.
#[test]
fn a_mount_that_dies_when_its_lock_was_found_holds_no_run_and_the_lock_is_left() {
    if moved_to_own_machine() {
        return;
    }
    for wait_is_uninterruptible in [true, false] {
        let Some(server) = Server::new(1) else { return };
        let _gateway = gateway(server.path(), "2026.9.6", &server.beside());
        std::fs::write(server.source().join("openclaw.json"), "{}").unwrap();
        std::fs::write(server.source().join("openclaw.json.lock"), record(dead_pid(), Some(7))).unwrap();
        let place = if wait_is_uninterruptible { server.outer(0) } else { server.inner() };
        let scope = Scope { paths: vec![place.to_owned()], proc: "/proc".into(), ..Scope::default() };
        let request = Request { scope, environment: Vec::new() };
        let mut session = Session::open(&request);
        let found = session.scan(&mut |_| {});
        assert_eq!(found.locks.len(), 1, "{:?}", found.problems);
        server.stop();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| sender.send(session.restraint(&found.locks[0], &found)).unwrap());
            let told = receiver.recv_timeout(super::server::IN_TIME);
            server.go_on();
            let restraint = told.expect("the question has no answer, and no end");
            assert!(restraint.is_some(), "who uses the place could not be told");
        });
    }
}

/// A mount that dies when the plan is made: the run ends at the second signal, and tells what it did.
#[test]
fn a_repair_on_a_mount_that_died_ends_at_the_second_signal() {
    if moved_to_own_machine() {
        return;
    }
    for wait_is_uninterruptible in [true, false] {
        let Some(server) = Server::new(1) else { return };
        let mount = if wait_is_uninterruptible { server.outer(0) } else { server.inner() };
        let (mut run, _busy, lines) = dying(&server, mount, &mut command(), &|_| {});
        terminate(&run);
        std::thread::sleep(Duration::from_millis(1_500));
        assert_eq!(run.0.try_wait().unwrap(), None, "one signal lets the lock at work be finished");
        terminate(&run);
        let code = code_of(&mut run, &server);
        let rest = lines.rest();
        assert_eq!(code, Some(4), "{rest}");
        assert!(rest.contains("1 busy, 1 failed"), "{rest}");
        assert!(rest.contains("gave no answer, and the run was told twice to end"), "{rest}");
    }
}

/// nohup(1): what the caller ignores is ignored, also while nothing else happens.
#[test]
fn a_repair_that_ignores_hangups_goes_on_when_its_mount_answers_again() {
    if moved_to_own_machine() {
        return;
    }
    let Some(server) = Server::new(0) else { return };
    let doctor = command();
    let mut nohup = Command::new("sh");
    nohup.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(doctor.get_program()).env_clear();
    nohup.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let hang_up = |run: &Living| kill_process(Pid::from_child(&run.0), Signal::HUP).unwrap();
    let (mut run, busy, lines) = dying(&server, server.inner(), &mut nohup, &hang_up);
    for _ in 0..3 {
        hang_up(&run);
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(run.0.try_wait().unwrap(), None, "a hangup ended it");
    server.go_on();
    let code = code_of(&mut run, &server);
    let rest = lines.rest();
    assert_eq!(code, Some(1), "{rest}");
    assert!(rest.contains("1 removed, 1 busy") || rest.contains("1 busy, 1 removed"), "{rest}");
    drop(busy);
}

/// A repair of two locks: while it waits for its turn at the first, the mount of the second dies.
fn dying(
    server: &Server,
    mount: &Path,
    doctor: &mut Command,
    meanwhile: &dyn Fn(&Living),
) -> (Living, std::fs::File, Lines) {
    let first = plant(&server.beside());
    plant(&server.source());
    let second = mount.join(VERSION).join(DEPS);
    // Whoever works in the directory of the first lock is waited for.
    let busy = std::fs::File::open(first.parent().unwrap()).unwrap();
    flock(&busy, FlockOperation::LockExclusive).unwrap();
    // By name, since other machines may share what FUSE shows.
    doctor.args(["repair", VOUCHED, "--yes", "--lock"]).arg(&first).arg("--lock").arg(&second);
    doctor.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut run = Living(doctor.spawn().unwrap());
    let lines = Lines::of(&mut run.0);
    for _ in 0..2 {
        let line = lines.next();
        assert!(line.starts_with("remove "), "{line}");
    }
    server.stop();
    meanwhile(&run);
    let line = lines.next();
    assert!(line.starts_with("busy "), "{line}");
    (run, busy, lines)
}

fn terminate(run: &Living) {
    kill_process(Pid::from_child(&run.0), Signal::TERM).unwrap();
}

fn code_of(run: &mut Living, server: &Server) -> Option<i32> {
    let began = std::time::Instant::now();
    while began.elapsed() < super::server::IN_TIME {
        if let Some(status) = run.0.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // Else nobody could wait for it.
    server.go_on();
    panic!("it does not end");
}

/// A thread that waits for a server may hold the memory map of its process: its arguments cannot be
/// read then, and what it runs is not known.
#[test]
fn a_process_whose_memory_gives_no_answer_holds_no_run() {
    let helper = Path::new(env!("CARGO_TARGET_TMPDIR")).join("silent-memory");
    // A machine of a test's own may have no compiler.
    if !is_own_machine() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bounds/helpers/silent_memory.rs");
        let built = Command::new("rustc").args(["--edition=2024", "-o"]).arg(&helper).arg(source).output();
        if !built.as_ref().is_ok_and(|output| output.status.success()) {
            return lab_required(&format!("no compiler for a helper: {built:?}"));
        }
    }
    if moved_to_own_machine() {
        return;
    }
    // A runtime, a server that shares directories, and neither.
    for name in ["node", "qemu-system-x86", "sleeper"] {
        let Some(server) = Server::with(&["-o", "direct_io"], 0) else { return };
        std::fs::write(server.source().join("file"), "x").unwrap();
        let mut silent = Command::new(&helper);
        silent.arg(name).arg(server.inner().join("file")).arg0(name).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut silent = silent.spawn().unwrap();
        assert_eq!(Lines::of(&mut silent).next(), "open");
        server.stop();
        std::io::Write::write_all(&mut silent.stdin.take().unwrap(), b"x").unwrap();
        let (silent, go_on) = (Living(silent), GoOn(&server));
        let is_read = || {
            let cat = format!("timeout 1 cat /proc/{}/cmdline", silent.pid());
            Command::new("sh").args(["-c", &cat]).output().unwrap().status.success()
        };
        let began = std::time::Instant::now();
        while is_read() {
            if began.elapsed() > super::server::IN_TIME {
                return lab_required("a memory map cannot be held here");
            }
        }
        let place = Stage::new();
        place.lock(VERSION, DEPS, Some(&record(silent.pid(), None)));
        let mut scan = command();
        scan.args(["scan", "--json", VOUCHED]).arg(place.path());
        let answer = ended(scan);
        let lock = answer.lock();
        assert_eq!(lock["classification"], "legacy-unverifiable", "{}", answer.out());
        assert_ne!(lock["leaning"], "likely-stale", "what it runs was not known: {}", answer.out());
        let mut repair = command();
        repair.args(["repair", "--json", VOUCHED]).arg(place.path());
        let repair = repair.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        assert_eq!(wait(repair, "repair").lock()["outcome"], "held-back");
        drop(go_on);
    }
}

/// A server that answers again when this is dropped, so that who waits for it can be ended.
struct GoOn<'a>(&'a Server);

impl Drop for GoOn<'_> {
    fn drop(&mut self) {
        self.0.go_on();
    }
}
