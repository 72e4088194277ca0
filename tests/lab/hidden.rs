//! Processes hidden by hidepid, and the procfs of another namespace.

use super::container::Container;
use super::machine::Need::{Host, Namespaces, Root};
use super::machine::{Bench, have};
use super::view::{NOBODY, lock, on_host, stage, verdict};
use crate::support::{Answer, Living, dead_pid, record};
use std::path::Path;

/// Runs a scan in the container as an ordinary user.
fn as_nobody(container: &Container, doctor: &Path, args: &[&Path]) -> Answer {
    let mut enter = container.enter(&["--mount", "--pid"]);
    enter.args(["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]);
    Answer(enter.arg(doctor).arg("scan").args(args).arg("--json").output().unwrap())
}

#[test]
fn a_hidden_owner_is_not_a_dead_owner() {
    if !have(&[Root, Host]) {
        return;
    }
    for mode in [1, 2, 4] {
        let (bench, living, dead) = (Bench::new(), stage(), stage());
        let process = Living::sleep();
        lock(living.path(), &record(process.pid(), Some(process.ticks())));
        lock(dead.path(), &record(dead_pid(), Some(77)));
        let mut container = Container::mounts();
        container.sh(&format!("mount -t proc -o hidepid={mode} proc /proc"));
        let doctor = bench.doctor();
        let nobody = |path: &Path| verdict(&as_nobody(&container, &doctor, &[path]));
        assert_eq!(
            nobody(living.path()),
            "legacy-unverifiable start-ticks-unreadable likely-held restricted 1",
            "hidepid={mode}"
        );
        assert_eq!(nobody(dead.path()), "stale-dead-pid owner-hidden out-of-sight restricted 1", "hidepid={mode}");
        let vouched = as_nobody(&container, &doctor, &[dead.path(), Path::new("--assume-single-writer")]);
        assert_eq!(vouched.lock()["proof"], false, "hidepid={mode}");
        // Root sees through it.
        assert_eq!(verdict(&container.scan(&[living.path()])), "active owner-alive held host 0");
        assert_eq!(verdict(&container.scan(&[dead.path()])), "stale-dead-pid no-such-process PROOF host 1");
    }
}

#[test]
fn the_hosts_proc_in_a_container_shows_the_hosts_owners() {
    if !have(&[Root, Host, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let container = Container::with_host_proc(&bench, stage.path());
    let process = Living::sleep();
    let foreign = [Path::new("/vol"), Path::new("--proc"), Path::new("/host/proc")];
    let both = || {
        let (root, nobody) = (container.scan(&foreign), as_nobody(&container, Path::new("/doctor"), &foreign));
        assert_eq!(root.json()["host"]["proc_source"], "foreign");
        assert_eq!(verdict(&root), verdict(&nobody));
        verdict(&root)
    };
    lock(stage.path(), &record(process.pid(), Some(process.ticks())));
    assert_eq!(both(), "active owner-alive held host 0");
    lock(stage.path(), &record(process.pid(), Some(process.ticks() - 1)));
    assert_eq!(both(), "stale-recycled-pid start-ticks-differ PROOF host 1");
    lock(stage.path(), &record(dead_pid(), Some(77)));
    assert_eq!(both(), "stale-dead-pid no-such-process PROOF host 1");
    // Without it the same lock is out of sight.
    assert_eq!(verdict(&container.scan(&["/vol"])), "stale-dead-pid shared-volume out-of-sight namespace 1");
}

#[test]
fn a_containers_proc_proves_nothing_to_the_host() {
    if !have(&[Root, Host, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let mut container = Container::new(&bench, stage.path());
    let process = container.spawn_at(1231, "sleep 1000");
    let proc = container.outside("/proc");
    let scan = || {
        let args = ["scan".as_ref(), stage.path(), Path::new("--json"), Path::new("--proc"), &proc];
        crate::support::doctor(args)
    };
    lock(stage.path(), &record(1231, Some(process.ticks)));
    assert_eq!(verdict(&scan()), "active owner-alive held restricted 0");
    container.kill(process);
    assert_eq!(verdict(&scan()), "stale-dead-pid owner-hidden out-of-sight restricted 1");
    let host = Living::sleep();
    lock(stage.path(), &record(host.pid(), Some(host.ticks())));
    assert_eq!(verdict(&scan()), "stale-dead-pid owner-hidden out-of-sight restricted 1");
    assert_eq!(verdict(&on_host(stage.path())), "active owner-alive held host 0");
}
