//! Owners that live and cannot run: no waiting helps.

use super::container::Container;
use super::machine::Need::{Host, Root};
use super::machine::{Bench, have};
use super::view::{lock, on_host, stage};
use crate::support::{Living, doctor, record};
use std::path::Path;

#[test]
fn a_stopped_owner_is_told_first_and_with_what_resumes_it() {
    if !have(&[Host]) {
        return;
    }
    let stage = stage();
    let owner = Living::sleep();
    let resume = format!("kill -CONT {}", owner.pid());
    let made = lock(stage.path(), &record(owner.pid(), Some(owner.ticks())));
    let scan = || doctor([Path::new("scan"), stage.path()]);
    assert!(!scan().out().contains("kill"), "{}", scan().out());
    signal(&owner, rustix::process::Signal::STOP, 'T');
    let answer = scan();
    let first = answer.out().lines().next().unwrap().to_owned();
    assert!(first.contains("is stopped") && first.contains(&resume), "{}", answer.out());
    assert_eq!(answer.code(), 0, "it is no less active");
    let json = on_host(stage.path()).lock();
    assert_eq!((&json["classification"], &json["sightings"][0]["halted"]), (&"active".into(), &"stopped".into()));
    let explained = doctor([Path::new("explain"), &made]).out();
    assert!(explained.contains(&resume) && !explained.contains("wait for"), "{explained}");
    signal(&owner, rustix::process::Signal::CONT, 'S');
    assert!(on_host(stage.path()).lock()["sightings"][0]["halted"].is_null());
}

/// Sends a signal and waits until the process is in that state.
fn signal(process: &Living, signal: rustix::process::Signal, state: char) {
    let pid = rustix::process::Pid::from_raw(process.pid().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
    while !std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap().contains(&format!(") {state} ")) {
        std::thread::yield_now();
    }
}

#[test]
fn an_owner_in_a_frozen_cgroup_is_told() {
    if !have(&[Root, Host]) {
        return;
    }
    for (kind, options, freeze, thaw, is_frozen) in [
        ("cgroup2", "rw", "echo 1 > cgroup.freeze", "echo 0 > cgroup.freeze", "grep -q 'frozen 1' cgroup.events"),
        (
            "cgroup",
            "freezer",
            "echo FROZEN > freezer.state",
            "echo THAWED > freezer.state",
            "grep -qx FROZEN freezer.state",
        ),
    ] {
        let (bench, stage) = (Bench::new(), stage());
        let mut container = Container::mounts();
        let point = bench.dir("freezer");
        let mounted = container
            .sh(&format!("mount -t {kind} -o {options} {kind} {} 2> /dev/null && echo yes || true", point.display()));
        if mounted != "yes" {
            // A kernel has one hierarchy of each controller: where the other version has it, this one
            // cannot be mounted.
            continue;
        }
        let group = point.join(format!("openclaw-doctor-test-{}", std::process::id()));
        container.sh(&format!("mkdir {0} && cd {0}", group.display()));
        let owner = container.spawn("sleep 1000");
        lock(stage.path(), &record(owner.pid, Some(owner.ticks)));
        container.sh(&format!("echo {} > cgroup.procs", owner.pid));
        let seen = |container: &Container| container.scan(&[stage.path()]).lock()["sightings"][0]["halted"].clone();
        assert!(seen(&container).is_null(), "{kind}");
        container.sh(&format!("{freeze}; until {is_frozen}; do :; done"));
        assert_eq!(seen(&container), "frozen", "{kind}");
        let table = container.run(&[Path::new("scan"), stage.path()]).out();
        assert!(table.lines().next().unwrap().contains("frozen cgroup"), "{kind}: {table}");
        container.sh(thaw);
        container.kill(owner);
        container.sh(&format!("cd /; rmdir {}", group.display()));
    }
}
