//! What looks alive or dead and is the other.

use super::container::Container;
use super::machine::Need::{Compiler, Host, Namespaces};
use super::machine::{Bench, have, run};
use super::view::{lock, on_host, stage, verdict};
use crate::support::{Living, record, start_ticks};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[test]
fn an_unreaped_child_is_dead() {
    if !have(&[Host]) {
        return;
    }
    let stage = stage();
    let child = Living(Command::new("true").spawn().unwrap());
    let ticks = child.ticks();
    let pid = Pid::from_child(&child.0);
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
    assert!(rustix::process::test_kill_process(pid).is_ok(), "kill(2) takes a zombie for a process");
    lock(stage.path(), &record(child.pid(), Some(ticks)));
    let answer = on_host(stage.path());
    assert_eq!(verdict(&answer), "stale-dead-pid no-such-process PROOF host 1");
    assert_eq!(answer.lock()["sightings"][0]["state"], "Z");
}

#[test]
fn a_zombie_in_a_container_is_dead_from_both_sides() {
    if !have(&[Host, Namespaces]) {
        return;
    }
    let stage = stage();
    let mut container = Container::bare();
    // A parent that never waits.
    let parent = container.spawn("sh -c 'sleep 1000 & exec sleep 1000'");
    let child: u32 = loop {
        let children = container.sh(&format!("cat /proc/{0}/task/{0}/children", parent.pid));
        if let Some(child) = children.split_whitespace().next() {
            break child.parse().unwrap();
        }
    };
    let stat = container.sh(&format!("cat /proc/{child}/stat"));
    let ticks = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
    lock(stage.path(), &record(child, Some(ticks)));
    assert_eq!(verdict(&container.scan(&[stage.path()])), "active owner-alive held namespace 0");
    container.sh(&format!("kill -9 {child}; while grep -q '^State:.[^Z]' /proc/{child}/status; do :; done"));
    container.sh(&format!("grep -q '^State:.Z' /proc/{child}/status"));
    let answer = container.scan(&[stage.path(), "--assume-single-writer".as_ref()]);
    assert_eq!(verdict(&answer), "stale-dead-pid no-such-process PROOF namespace 1");
}

#[test]
fn a_leader_that_has_exited_while_a_thread_works_lives_and_the_thread_is_no_process() {
    if !have(&[Host, Compiler]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let helper = bench.path().join("zombie-leader");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/helpers/zombie_leader.rs");
    run("rustc", &["--edition=2024", "-o", helper.to_str().unwrap(), source]);
    let mut command = Command::new(&helper);
    let mut process = Living(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let thread: u32 = line.trim().parse().unwrap();

    lock(stage.path(), &record(process.pid(), Some(process.ticks())));
    let answer = on_host(stage.path());
    assert_eq!(verdict(&answer), "active owner-alive held host 0");
    assert_eq!(answer.lock()["sightings"][0]["state"], "Z");

    assert!(rustix::process::test_kill_process(Pid::from_raw(thread.try_into().unwrap()).unwrap()).is_ok());
    lock(stage.path(), &record(thread, Some(start_ticks(thread))));
    let answer = on_host(stage.path());
    assert_eq!(verdict(&answer), "stale-dead-pid no-such-process PROOF host 1");
    assert_eq!(answer.lock()["sightings"].as_array().unwrap().len(), 0);
}
