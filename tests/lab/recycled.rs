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
fn a_restarted_gateway_that_got_its_old_pid_leans_to_stale() {
    if !have(&[Root, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let mut container = Container::new(&bench, stage.path());
    container.sh("ln -s $(command -v sleep) /usr/local/bin/openclaw-gateway");
    let gateway = container.spawn_at(7, "/usr/local/bin/openclaw-gateway 1000");
    lock(stage.path(), &record(7, Some(gateway.ticks + 5)));
    let answer = container.scan(&["/vol"]);
    assert_eq!(verdict(&answer), "stale-recycled-pid restarted-container likely-stale namespace 1");
    assert_eq!(answer.lock()["sightings"][0]["role"], "open-claw");
}
