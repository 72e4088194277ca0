//! Writers that no /proc here shows: behind another kernel, or on another machine.

use super::machine::Need::{Host, Root};
use super::machine::{Bench, have, run, tool};
use super::view::{lock, on_host, stage, verdict};
use crate::support::{Living, dead_pid, record};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

const PROVEN: &str = "stale-dead-pid no-such-process PROOF host 1";
/// Uids that no account has, each of one test.
const USER: u32 = 54_331;
const STRANGER: u32 = 54_332;
const OWNER: u32 = 54_333;
const OTHER: u32 = 54_334;
const COPIER: u32 = 54_335;

/// A process with a file of this name, as this user.
fn running(bench: &Bench, name: &str, uid: u32) -> Living {
    let file = bench.dir(&uid.to_string()).join(name);
    std::fs::copy("/bin/sleep", &file).unwrap();
    let child = tool(&file).arg("1000").uid(uid).gid(uid).spawn().unwrap();
    let living = Living(child);
    while std::fs::read_link(format!("/proc/{}/exe", living.pid())).ok() != Some(file.clone()) {
        std::thread::yield_now();
    }
    living
}

/// A lock of this user with a dead owner.
fn lock_of(stage: &Path, uid: u32) -> PathBuf {
    let made = lock(stage, &record(dead_pid(), Some(77)));
    run("chown", &["-R", &uid.to_string(), stage.to_str().unwrap()]);
    made
}

#[test]
fn a_strangers_program_takes_the_proof_from_nobody_elses_locks() {
    if !have(&[Root, Host]) {
        return;
    }
    let bench = Bench::new();
    let (roots, users) = (stage(), stage());
    lock_of(roots.path(), 0);
    lock_of(users.path(), USER);
    let _servers = ["smbd", "virtiofsd", "linux.uml", "syncthing", "runsc"].map(|name| running(&bench, name, STRANGER));
    for stage in [&roots, &users] {
        assert_eq!(verdict(&on_host(stage.path())), PROVEN);
    }
}

#[test]
fn a_machine_inside_a_process_of_the_locks_user_may_hold_it() {
    if !have(&[Root, Host]) {
        return;
    }
    for name in ["linux.uml", "sftp-server", "krun", "unfsd"] {
        let bench = Bench::new();
        let (users, others) = (stage(), stage());
        lock_of(users.path(), OWNER);
        lock_of(others.path(), OTHER);
        assert_eq!(verdict(&on_host(users.path())), PROVEN);
        let _machine = running(&bench, name, OWNER);
        let withdrawn = "stale-dead-pid foreign-kernel-possible out-of-sight host 1";
        assert_eq!(verdict(&on_host(users.path())), withdrawn, "{name}");
        assert_eq!(verdict(&on_host(others.path())), PROVEN, "{name}");
    }
}

#[test]
fn a_copy_of_another_machines_lock_is_no_proof_of_a_death_here() {
    if !have(&[Root, Host]) {
        return;
    }
    let (bench, there, here) = (Bench::new(), stage(), stage());
    let original = lock_of(there.path(), COPIER);
    run("touch", &["-d", "1 hour ago", original.join("owner.json").to_str().unwrap()]);
    // As rsync -a, tar and a restored backup do.
    run("cp", &["-a", &format!("{}/.", there.path().display()), here.path().to_str().unwrap()]);
    assert_eq!(verdict(&on_host(here.path())), "stale-dead-pid copied-record likely-stale host 1");
    let _synchroniser = running(&bench, "syncthing", COPIER);
    let answer = on_host(here.path());
    assert_eq!(verdict(&answer), "stale-dead-pid copied-record out-of-sight host 1");
    assert!(answer.lock()["explanation"].as_str().unwrap().contains("syncthing"), "{}", answer.out());
}
