//! A lock whose owner has died: proof is where nobody can be out of sight.

use super::container::Container;
use super::machine::Need::{Bubblewrap, Host, Namespaces, Root};
use super::machine::{Bench, have};
use super::view::{VERSION_DIRECTORY, lock, on_host, stage, verdict};
use crate::support::{Answer, dead_pid, reaped_pid, record};
use std::path::Path;

const PROVEN: &str = "stale-dead-pid no-such-process PROOF namespace 1";
const OUT_OF_SIGHT: &str = "stale-dead-pid shared-volume out-of-sight namespace 1";

#[test]
fn a_dead_owner_is_proven_dead_on_the_host_and_out_of_sight_on_a_shared_volume() {
    if !have(&[Host, Namespaces]) {
        return;
    }
    let stage = stage();
    let number = dead_pid();
    let mut container = Container::bare();
    let process = container.spawn_at(number, "sleep 1000");
    lock(stage.path(), &record(number, Some(process.ticks)));
    assert_eq!(verdict(&on_host(stage.path())), "active owner-alive held host 0");
    container.kill(process);
    assert_eq!(verdict(&on_host(stage.path())), "stale-dead-pid no-such-process PROOF host 1");
    assert_eq!(verdict(&container.scan(&[stage.path()])), OUT_OF_SIGHT);
    let vouched = [stage.path(), Path::new("--assume-single-writer")];
    let answer = container.scan(&vouched);
    assert_eq!(verdict(&answer), PROVEN);
    assert_eq!(answer.json()["scope"]["assume_single_writer"], true);
}

#[test]
fn a_dead_container_is_proven_dead_from_the_host() {
    if !have(&[Root, Host, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let mut container = Container::new(&bench, stage.path());
    let process = container.spawn_at(reaped_pid(), "sleep 1000");
    lock(stage.path(), &record(process.pid, Some(process.ticks)));
    drop(container);
    assert_eq!(verdict(&on_host(stage.path())), "stale-dead-pid no-such-process PROOF host 1");
    let successor = Container::new(&bench, stage.path());
    assert_eq!(verdict(&successor.scan(&["/vol"])), OUT_OF_SIGHT);
}

#[test]
fn the_containers_own_layer_proves_a_death() {
    if !have(&[Root, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let container = Container::new(&bench, stage.path());
    for place in ["/home/node/.openclaw/plugin-runtime-deps", "/tmp/stage"] {
        lock(&container.outside(place), &record(31_013, Some(77)));
        let answer = container.scan(&[place]);
        assert_eq!(verdict(&answer), PROVEN, "{place}");
        assert_eq!(answer.lock()["evidence"]["sole_access"], true);
        assert_eq!(answer.lock()["evidence"]["filesystem"], "overlay");
    }
}

#[test]
fn a_volume_or_tmpfs_of_a_container_is_not_its_own_layer() {
    if !have(&[Root, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let mut container = Container::new(&bench, stage.path());
    container.sh("mkdir -p /run/shared; mount -t tmpfs tmpfs /run/shared");
    for place in ["/vol", "/run/shared"] {
        lock(&container.outside(place), &record(31_013, Some(77)));
        let answer = container.scan(&[place]);
        assert_eq!(verdict(&answer), OUT_OF_SIGHT, "{place}");
        assert_eq!(answer.lock()["evidence"]["sole_access"], false);
    }
}

#[test]
fn a_lock_that_came_with_the_image_is_proven_dead() {
    if !have(&[Root, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let image = bench.dir("image");
    lock(&image.join("opt/stage"), &record(31_013, Some(77)));
    let container = Container::of_image(&bench, stage.path(), &image);
    assert_eq!(verdict(&container.scan(&["/opt/stage"])), PROVEN);
}

#[test]
fn a_sandbox_inside_a_container_does_not_have_the_layer_to_itself() {
    if !have(&[Root, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let mut container = Container::new(&bench, stage.path());
    // The owner lives in the container, outside of the sandbox that looks.
    let process = container.spawn_at(31_013, "sleep 1000");
    lock(&container.outside("/opt/stage"), &record(process.pid, Some(process.ticks)));
    assert_eq!(verdict(&container.scan(&["/opt/stage"])), "active owner-alive held namespace 0");
    for sandbox in [
        "unshare --user --map-root-user --pid --mount --fork --kill-child --mount-proc",
        // With the container's own user namespace, as a privileged container can.
        "unshare --pid --mount --fork --kill-child --mount-proc",
    ] {
        let mut enter = container.enter(&["--pid", "--mount"]);
        let output = enter.args(sandbox.split(' ')).args(["/doctor", "scan", "/opt/stage", "--json"]).output().unwrap();
        assert_eq!(verdict(&crate::support::Answer(output)), OUT_OF_SIGHT, "{sandbox}");
    }
}

/// LXC, Incus, WSL: all processes of the system are in its namespace.
#[test]
fn a_systems_own_root_in_a_container_proves_a_death() {
    if !have(&[Root, Namespaces, Bubblewrap]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let place = "/home/node/.openclaw/plugin-runtime-deps";
    for (init, expected) in
        [("systemd", PROVEN), ("init", PROVEN), ("init(Debian)", PROVEN), ("sh", OUT_OF_SIGHT), ("tini", OUT_OF_SIGHT)]
    {
        let mut system = Container::system(&bench, stage.path(), init);
        lock(&system.outside(place), &record(31_013, Some(77)));
        lock(stage.path(), &record(31_013, Some(77)));
        let answer = system.scan(&[place]);
        assert_eq!(verdict(&answer), expected, "{init}: {}", answer.lock()["evidence"]);
        assert_eq!(verdict(&system.scan(&["/vol"])), OUT_OF_SIGHT, "a volume of {init}");
        // A sandbox in it sees none of the system's processes.
        let mut enter = system.enter(&["--pid", "--mount"]);
        enter.args(["bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--proc", "/proc"]);
        let answer = Answer(enter.args(["/doctor", "scan", place, "--json"]).output().unwrap());
        assert_eq!(verdict(&answer), OUT_OF_SIGHT, "a sandbox of {init}");
        // In a chroot the shared volume is the root.
        system.sh("mkdir -p /vol/proc /vol/usr; cp -P /bin /lib /lib64 /vol 2>/dev/null; true");
        system.sh("mount --rbind /usr /vol/usr; mount --bind /proc /vol/proc; cp /doctor /vol/");
        let mut enter = system.enter(&["--pid", "--mount"]);
        let answer = Answer(
            enter
                .args(["chroot", "/vol", "/doctor", "scan", &format!("/{VERSION_DIRECTORY}"), "--json"])
                .output()
                .unwrap(),
        );
        assert_eq!(verdict(&answer), OUT_OF_SIGHT, "a chroot of {init}");
    }
}
