//! The recorded pid lives on as another process.

use super::container::Container;
use super::machine::Need::{Host, Namespaces, Root};
use super::machine::{Bench, have};
use super::view::{lock, on_host, stage, verdict};
use crate::support::record;
use std::path::Path;

const PROVEN_HERE: &str = "stale-recycled-pid start-ticks-differ PROOF namespace 1";
const OUT_OF_SIGHT: &str = "stale-recycled-pid shared-volume out-of-sight namespace 1";

#[test]
fn a_pid_that_was_given_again_in_one_namespace_is_recycled() {
    if !have(&[Host, Namespaces]) {
        return;
    }
    let stage = stage();
    let mut container = Container::bare();
    let process = container.spawn_at(31_021, "sleep 1000");
    lock(stage.path(), &record(process.pid, Some(process.ticks)));
    assert_eq!(verdict(&container.scan(&[stage.path()])), "active owner-alive held namespace 0");
    let namesake = container.recycle(process, "sleep 1000");
    let answer = on_host(stage.path());
    assert_eq!(verdict(&answer), "stale-recycled-pid start-ticks-differ PROOF host 1");
    assert_eq!(answer.lock()["sightings"][0]["host_pid"], namesake.host_pid);
    assert_eq!(verdict(&container.scan(&[stage.path()])), OUT_OF_SIGHT);
    assert_eq!(verdict(&container.scan(&[stage.path(), Path::new("--assume-single-writer")])), PROVEN_HERE);
}

#[test]
fn pid_7_of_a_fresh_container_is_not_pid_7_of_the_last_one() {
    if !have(&[Root, Host, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let mut container = Container::new(&bench, stage.path());
    let process = container.spawn_at(7, "sleep 1000");
    let text = record(7, Some(process.ticks));
    lock(stage.path(), &text);
    drop(container);
    let mut fresh = Container::new(&bench, stage.path());
    let mut namesake = fresh.spawn_at(7, "sleep 1000");
    if namesake.ticks == process.ticks {
        namesake = fresh.recycle(namesake, "sleep 1000");
    }
    let answer = on_host(stage.path());
    assert_eq!(verdict(&answer), "stale-recycled-pid start-ticks-differ PROOF host 1");
    let lock_on_host = answer.lock();
    let sightings = lock_on_host["sightings"].as_array().unwrap();
    assert!(sightings.iter().any(|s| s["host_pid"] == namesake.host_pid && s["ns_pid"] == 7), "{lock_on_host}");
    assert_eq!(verdict(&fresh.scan(&["/vol"])), OUT_OF_SIGHT);
    lock(&fresh.outside("/opt/stage"), &text);
    assert_eq!(verdict(&fresh.scan(&["/opt/stage"])), PROVEN_HERE);
}

#[test]
fn a_restarted_gateway_cannot_be_told_from_a_living_sidecar_with_the_same_pid() {
    if !have(&[Root, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let mut container = Container::new(&bench, stage.path());
    container.sh("cp $(command -v sleep) /usr/local/bin/node; ln -s node /usr/local/bin/openclaw-gateway");
    let gateway = container.spawn_at(7, "/usr/local/bin/openclaw-gateway 1000");
    lock(stage.path(), &record(7, Some(gateway.ticks - 5)));
    let answer = container.scan(&["/vol"]);
    assert_eq!(verdict(&answer), "stale-recycled-pid restarted-container out-of-sight namespace 1");
    assert_eq!(answer.lock()["sightings"][0]["role"], "openclaw");
}

/// A gateway and its sidecar: each has a PID namespace of its own, the same pid, and one volume.
#[test]
fn a_living_sidecars_lock_is_not_taken_by_a_gateway_with_the_same_pid() {
    if !have(&[Root, Host, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let as_openclaw = |container: &mut Container, title: &str| {
        container.sh(&format!("cp $(command -v sleep) /usr/local/bin/node; ln -sf node /usr/local/bin/{title}"));
        container.spawn_at(7, &format!("/usr/local/bin/{title} 1000"))
    };
    let mut sidecar = Container::new(&bench, stage.path());
    let owner = as_openclaw(&mut sidecar, "openclaw");
    let mut gateway = Container::new(&bench, stage.path());
    let namesake = as_openclaw(&mut gateway, "openclaw-gateway");
    if namesake.ticks == owner.ticks {
        gateway.recycle(namesake, "/usr/local/bin/openclaw-gateway 1000");
    }
    let file = lock(stage.path(), &record(7, Some(owner.ticks))).join("owner.json");
    let removed = gateway.run(&["repair", "/vol", "--yes", "--json"]);
    assert!(file.exists(), "a living sidecar's lock was removed: {}", removed.out());
    assert_eq!(removed.code(), 1);
    let answer = gateway.scan(&["/vol"]);
    assert_eq!(verdict(&answer), "stale-recycled-pid restarted-container out-of-sight namespace 1");
    let lock = answer.lock();
    assert!(lock["explanation"].as_str().unwrap().contains("sidecar"), "{lock}");
    assert!(lock["next_step"].as_str().unwrap().contains("--assume-single-writer"), "{lock}");
    assert_eq!(verdict(&on_host(stage.path())), "active owner-alive held host 0");
}
