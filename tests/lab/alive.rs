//! A lock whose owner lives in a container, from every side.

use super::container::Container;
use super::machine::Need::{Host, Namespaces, Root};
use super::machine::{Bench, have};
use super::view::{as_nobody, lock, on_host, owner, stage, verdict};
use crate::support::{Living, record};

#[test]
fn a_containers_living_owner_is_active_from_the_host_and_from_inside() {
    if !have(&[Root, Host, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let mut container = Container::new(&bench, stage.path());
    let process = container.spawn_at(1207, "sleep 1000");
    lock(stage.path(), &record(process.pid, Some(process.ticks)));
    for answer in [on_host(stage.path()), as_nobody(&bench, stage.path())] {
        assert_eq!(verdict(&answer), "active owner-alive held host 0");
        assert_eq!(owner(&answer), (process.host_pid.into(), 1207));
    }
    let answer = container.scan(&["/vol"]);
    assert_eq!(verdict(&answer), "active owner-alive held namespace 0");
    assert_eq!(owner(&answer), (1207, 1207));
    assert_eq!(verdict(&container.scan(&["/vol", "--assume-single-writer"])), "active owner-alive held namespace 0");
}

#[test]
fn a_containers_number_that_is_a_kernel_threads_on_the_host_is_nobodys_but_its_owners() {
    if !have(&[Root, Host, Namespaces]) {
        return;
    }
    let number = kernel_thread();
    let (bench, stage) = (Bench::new(), stage());
    let mut container = Container::new(&bench, stage.path());
    let process = container.spawn_at(number, "sleep 1000");
    lock(stage.path(), &record(number, Some(process.ticks)));
    let answer = on_host(stage.path());
    assert_eq!(verdict(&answer), "active owner-alive held host 0");
    assert_eq!(owner(&answer), (process.host_pid.into(), number.into()));
    container.kill(process);
    // The kernel thread never was that container's process: the number has not been given again.
    for ticks in [Some(process.ticks), None] {
        lock(stage.path(), &record(number, ticks));
        let answer = on_host(stage.path());
        assert_eq!(verdict(&answer), "stale-dead-pid no-such-process PROOF host 1");
        assert_eq!(answer.lock()["sightings"].as_array().unwrap().len(), 0);
        assert_eq!(answer.lock()["explanation"], format!("no living process has pid {number}"));
    }
}

#[test]
fn a_sibling_containers_living_owner_is_never_proven_stale() {
    if !have(&[Root, Host, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let mut container = Container::new(&bench, stage.path());
    let process = container.spawn_at(207, "sleep 1000");
    lock(stage.path(), &record(207, Some(process.ticks)));
    let mut sibling = Container::new(&bench, stage.path());
    assert_eq!(verdict(&sibling.scan(&["/vol"])), "stale-dead-pid shared-volume out-of-sight namespace 1");
    let mut namesake = sibling.spawn_at(207, "sleep 1000");
    if namesake.ticks == process.ticks {
        namesake = sibling.recycle(namesake, "sleep 1000");
    }
    assert_ne!(namesake.ticks, process.ticks);
    assert_eq!(verdict(&sibling.scan(&["/vol"])), "stale-recycled-pid shared-volume out-of-sight namespace 1");
    assert_eq!(owner(&on_host(stage.path())).0, u64::from(process.host_pid));
}

#[test]
fn a_living_owner_on_the_host_is_not_proven_stale_from_a_container() {
    if !have(&[Namespaces]) {
        return;
    }
    let stage = stage();
    let process = Living::sleep();
    lock(stage.path(), &record(process.pid(), Some(process.ticks())));
    let container = Container::bare();
    let answer = container.scan(&[stage.path(), "--proc=/proc".as_ref()]);
    assert_eq!(verdict(&answer), "stale-dead-pid shared-volume out-of-sight namespace 1");
}

#[test]
fn a_user_without_root_sees_the_owner_in_his_own_container() {
    if !have(&[Namespaces]) {
        return;
    }
    let stage = stage();
    let mut container = Container::bare();
    let process = container.spawn_at(31_007, "sleep 1000");
    lock(stage.path(), &record(process.pid, Some(process.ticks)));
    assert_eq!(verdict(&container.scan(&[stage.path()])), "active owner-alive held namespace 0");
    let answer = on_host(stage.path());
    assert_eq!(answer.lock()["classification"], "active");
    assert_eq!(owner(&answer), (process.host_pid.into(), 31_007));
}

/// A pid that is a kernel thread's here.
fn kernel_thread() -> u32 {
    let is_kernel_thread = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Its parent is kthreadd.
        stat.rsplit_once(')').is_some_and(|(_, after)| after.split_whitespace().nth(1) == Some("2"))
    };
    (5..300).find(is_kernel_thread).unwrap()
}
