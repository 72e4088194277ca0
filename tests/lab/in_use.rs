//! A dead owner's children may still work in the directory that the lock guards.

use super::machine::Need::{Host, Root};
use super::machine::{Bench, have, tool};
use super::view::{NOBODY, VERSION_DIRECTORY, as_nobody, lock, on_host, stage, verdict};
use crate::support::{Living, dead_pid, record, titled};
use std::path::Path;
use std::process::Command;

const IN_USE: &str = "stale-dead-pid root-in-use likely-held host 1";
const PROVEN: &str = "stale-dead-pid no-such-process PROOF host 1";

fn worker(mut command: Command, directory: &Path) -> Living {
    let child = Living(command.current_dir(directory).spawn().unwrap());
    let program = std::fs::read_link(format!("/proc/{}/exe", std::process::id())).ok();
    // Between fork and exec it is still a copy of us.
    while std::fs::read_link(format!("/proc/{}/exe", child.pid())).ok() == program {
        std::thread::yield_now();
    }
    child
}

fn sleep() -> Command {
    let mut command = tool("sleep");
    command.arg("1000");
    command
}

#[test]
fn a_dead_owners_child_at_work_keeps_the_lock() {
    if !have(&[Host]) {
        return;
    }
    let stage = stage();
    lock(stage.path(), &record(dead_pid(), Some(1)));
    assert_eq!(verdict(&on_host(stage.path())), PROVEN);
    let version = stage.path().join(VERSION_DIRECTORY);
    let below = version.join("node_modules/sharp");
    std::fs::create_dir_all(&below).unwrap();
    for directory in [&version, &below] {
        let child = worker(sleep(), directory);
        let answer = on_host(stage.path());
        assert_eq!(verdict(&answer), IN_USE);
        let by = &answer.lock()["evidence"]["in_use_by"];
        assert_eq!((&by[0]["pid"], &by[0]["program"]), (&child.pid().into(), &"sleep".into()));
    }
    let _beside = worker(sleep(), stage.path());
    assert_eq!(verdict(&on_host(stage.path())), PROVEN);
}

#[test]
fn who_started_before_the_owner_is_not_its_child() {
    if !have(&[Host]) {
        return;
    }
    let stage = stage();
    lock(stage.path(), &record(dead_pid(), Some(1)));
    let child = worker(sleep(), &stage.path().join(VERSION_DIRECTORY));
    lock(stage.path(), &record(dead_pid(), Some(child.ticks())));
    assert_eq!(verdict(&on_host(stage.path())), IN_USE);
    lock(stage.path(), &record(dead_pid(), Some(child.ticks() + 1)));
    assert_eq!(verdict(&on_host(stage.path())), PROVEN);
}

#[test]
fn the_operators_own_shell_and_a_gateway_do_not_keep_the_lock() {
    if !have(&[Host]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    lock(stage.path(), &record(dead_pid(), Some(1)));
    let version = stage.path().join(VERSION_DIRECTORY);
    let mut command = tool(titled(bench.path(), "openclaw-gateway", "/bin/sleep"));
    command.arg("1000");
    let _gateway = worker(command, &version);
    let mut shell = tool("sh");
    // A command after it keeps the shell from becoming the doctor.
    shell.args(["-c", "\"$0\" scan . --json; exit $?"]).arg(bench.doctor()).current_dir(&version);
    assert_eq!(verdict(&crate::support::Answer(shell.output().unwrap())), PROVEN);
}

#[test]
fn another_users_process_does_not_keep_the_lock() {
    if !have(&[Root, Host]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    lock(stage.path(), &record(dead_pid(), Some(1)));
    let mut command = tool("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "sleep", "1000"]);
    let stranger = worker(command, &stage.path().join(VERSION_DIRECTORY));
    while std::fs::read_to_string(format!("/proc/{}/comm", stranger.pid())).unwrap() != "sleep\n" {
        std::thread::yield_now();
    }
    assert_eq!(verdict(&on_host(stage.path())), PROVEN);
    // What can't be read is said, and changes nothing.
    let answer = as_nobody(&bench, stage.path());
    assert_eq!(verdict(&answer), PROVEN);
    assert!(answer.lock()["evidence"]["in_use_unknown"].as_u64().unwrap() > 0);
}
