//! Processes of other containers that have the recorded pid by chance: who can reach the lock.

use super::container::Container;
use super::machine::Need::{Host, Namespaces, Plain, Root};
use super::machine::{Bench, have, tool};
use super::view::{as_nobody, lock, on_host, stage, verdict};
use crate::support::{Living, dead_pid, record};
use std::path::Path;
use std::time::{Duration, Instant};

const FAR: &str = "legacy-unverifiable carrier-cannot-reach likely-stale host 1";
const NEAR: &str = "legacy-unverifiable carrier-may-be-owner likely-held host 1";

/// A container with mounts of its own, and a JavaScript runtime with this pid in it.
fn neighbour(bench: &Bench, volume: Option<&Path>, pid: u32) -> Container {
    let mut container = Container::apart(bench, volume);
    container.sh("cp /usr/bin/sleep /tmp/node");
    container.spawn_at(pid, "/tmp/node 1000");
    container
}

#[test]
fn a_neighbour_that_cannot_reach_the_volume_does_not_hold_up_the_dead() {
    if !have(&[Root, Host, Namespaces, Plain]) {
        return;
    }
    let (bench, ours, others) = (Bench::new(), stage(), stage());
    let pid = dead_pid();
    lock(ours.path(), &record(pid, None));
    // Its volume is another directory of the same filesystem, as on every host of containers.
    let _far = neighbour(&bench, Some(others.path()), pid);
    let answer = on_host(ours.path());
    assert_eq!(verdict(&answer), FAR, "{}", answer.out());
    assert_eq!(answer.lock()["sightings"][0]["reaches_lock"], false);
    assert_eq!(verdict(&as_nobody(&bench, ours.path())), NEAR, "who may not read its mounts must count it");

    // Where it could take the same volume's lock, it may be the owner.
    let _near = neighbour(&bench, Some(ours.path()), pid);
    let answer = on_host(ours.path());
    assert_eq!(verdict(&answer), NEAR);
    let json = answer.lock();
    let reaching = json["sightings"].as_array().unwrap().iter().filter(|seen| seen["reaches_lock"] == true);
    assert_eq!(reaching.count(), 1, "{json}");
}

#[test]
fn a_directory_that_was_handed_over_is_a_way_to_the_lock() {
    if !have(&[Root, Host, Namespaces, Plain]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let pid = dead_pid();
    lock(stage.path(), &record(pid, None));
    let mut container = Container::apart(&bench, None);
    container.sh("cp /usr/bin/sleep /tmp/node");
    container.sh(&format!("echo {} > /proc/sys/kernel/ns_last_pid", pid - 1));
    let mut enter = tool("nsenter");
    enter.args(["--target", &container.init.to_string(), "--pid", "--mount", "--root", "--wd", "--"]);
    let handed = std::fs::File::open(stage.path()).unwrap();
    let entered = Living(enter.args(["/tmp/node", "1000"]).stdin(handed).spawn().unwrap());
    let node = child(entered.pid(), "node");
    let status = std::fs::read_to_string(format!("/proc/{node}/status")).unwrap();
    assert!(status.contains(&format!("NSpid:\t{node}\t{pid}\n")), "{status}");
    assert_eq!(verdict(&on_host(stage.path())), NEAR);
}

/// The child of a process, once it runs this program.
fn child(parent: u32, program: &str) -> u32 {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        let first = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
        let named =
            |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == program);
        if let Some(pid) = first.filter(named) {
            return pid;
        }
        assert!(Instant::now() < deadline, "{parent} starts no {program}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
