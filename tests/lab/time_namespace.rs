//! Writers and readers whose boot clocks differ.

use super::container::Container;
use super::machine::Need::{Host, Root, TimeNamespace};
use super::machine::have;
use super::view::{lock, on_host, owner, stage, verdict};
use crate::support::{Living, record};

#[test]
fn a_writer_in_a_shifted_time_namespace_is_recognised_from_outside_and_inside() {
    if !have(&[Root, Host, TimeNamespace]) {
        return;
    }
    let stage = stage();
    let mut shifted = Container::shifted(1000);
    let process = shifted.spawn("sleep 1000");
    // Field 22 is shifted by its reader's namespace: the writer has read another number than we do.
    assert_ne!(process.ticks, crate::support::start_ticks(process.host_pid));
    lock(stage.path(), &record(process.pid, Some(process.ticks)));
    for answer in [on_host(stage.path()), shifted.scan(&[stage.path()])] {
        assert_eq!(verdict(&answer), "active owner-alive held host 0");
        assert_eq!(owner(&answer).0, u64::from(process.host_pid));
    }
    // Backwards by less than the machine is up: the boot clock of a namespace does not go below zero.
    let mut elsewhere = Container::shifted(-uptime().min(1000) / 2);
    assert_eq!(verdict(&elsewhere.scan(&[stage.path()])), "active owner-alive held host 0");
    elsewhere.sh("true");
}

/// Whole seconds since this machine's boot.
fn uptime() -> i64 {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    uptime.split('.').next().unwrap().parse().unwrap()
}

#[test]
fn a_reader_in_a_shifted_time_namespace_recognises_an_ordinary_writer() {
    if !have(&[Root, Host, TimeNamespace]) {
        return;
    }
    let stage = stage();
    let process = Living::sleep();
    lock(stage.path(), &record(process.pid(), Some(process.ticks())));
    let shifted = Container::shifted(1000);
    assert_eq!(verdict(&shifted.scan(&[stage.path()])), "active owner-alive held host 0");
    lock(stage.path(), &record(process.pid(), Some(process.ticks() - 1)));
    let answer = shifted.scan(&[stage.path()]);
    assert_eq!(verdict(&answer), "stale-recycled-pid start-ticks-differ PROOF host 1");
}

#[test]
fn other_ticks_in_a_shifted_namespace_may_be_a_restored_checkpoint_and_prove_nothing() {
    if !have(&[Root, Host, TimeNamespace]) {
        return;
    }
    let stage = stage();
    let mut shifted = Container::shifted(1000);
    let process = shifted.spawn("sleep 1000");
    lock(stage.path(), &record(process.pid, Some(process.ticks + 4711)));
    let answer = on_host(stage.path());
    assert_eq!(verdict(&answer), "stale-recycled-pid checkpoint-possible likely-stale host 1");
    assert_eq!(answer.lock()["sightings"][0]["time_namespace"], "shifted");
    shifted.kill(process);
    assert_eq!(verdict(&on_host(stage.path())), "stale-dead-pid no-such-process PROOF host 1");
}
