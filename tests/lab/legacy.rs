//! Records without start ticks: what the carrier of the pid is, and when it started.

use super::container::Container;
use super::machine::Need::{Host, Loop, Namespaces, Root};
use super::machine::{Bench, have, run};
use super::view::{lock, on_host, stage, verdict};
use crate::support::{DEPS, dead_pid, reaped_pid, record};
use std::path::{Path, PathBuf};

/// Long before any container of these tests starts.
const LONG_AGO: u64 = 1_700_000_000;

/// Runs `sleep` under the name of a JavaScript runtime.
fn as_node(container: &mut Container, bench: &Bench) -> String {
    let node = bench.path().join("node");
    container.sh(&format!("ln -sf $(command -v sleep) {}", node.display()));
    format!("{} 1000", node.display())
}

#[test]
fn a_living_pid_that_is_no_runtime_leans_to_stale_where_every_process_is_seen() {
    if !have(&[Host, Namespaces]) {
        return;
    }
    let stage = stage();
    let mut container = Container::bare();
    let process = container.spawn_at(reaped_pid(), "sleep 1000");
    lock(stage.path(), &record(process.pid, None));
    assert_eq!(verdict(&on_host(stage.path())), "legacy-unverifiable carrier-not-javascript likely-stale host 1");
    let inside = "legacy-unverifiable carrier-not-javascript out-of-sight namespace 1";
    assert_eq!(verdict(&container.scan(&[stage.path()])), inside);
    let vouched = container.scan(&[stage.path(), Path::new("--assume-single-writer")]);
    assert_eq!(verdict(&vouched), "legacy-unverifiable carrier-not-javascript likely-stale namespace 1");
    container.kill(process);
    assert_eq!(verdict(&on_host(stage.path())), "stale-dead-pid no-such-process PROOF host 1");
}

#[test]
fn a_living_runtime_with_the_recorded_pid_may_be_the_owner() {
    if !have(&[Host, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let mut container = Container::bare();
    let node = as_node(&mut container, &bench);
    let process = container.spawn_at(reaped_pid(), &node);
    lock(stage.path(), &record(process.pid, None));
    let answer = on_host(stage.path());
    assert_eq!(verdict(&answer), "legacy-unverifiable carrier-may-be-owner likely-held host 1");
    assert_eq!(answer.lock()["sightings"][0]["role"], "javascript");
    let vouched = container.scan(&[stage.path(), Path::new("--assume-single-writer")]);
    assert_eq!(verdict(&vouched), "legacy-unverifiable carrier-may-be-owner likely-held namespace 1");
}

#[test]
fn a_runtime_that_started_long_after_the_lock_leans_to_stale_if_a_clock_witness_says_so() {
    if !have(&[Root, Host, Namespaces, Loop]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let pid = dead_pid();
    let text = |ticks: Option<u64>, created: u64| {
        let ticks = ticks.map(|ticks| format!("\"starttime\":{ticks},")).unwrap_or_default();
        format!("{{\"pid\":{pid},{ticks}\"createdAtMs\":{}}}", created * 1000)
    };
    let mut host = Container::mounts();
    let old = old_volume(&mut host, &bench, &text(None, LONG_AGO));
    let lock_file = old.join(super::view::VERSION_DIRECTORY).join(DEPS).join("owner.json");

    // With a tmpfs as /dev since its start.
    let mut container = Container::new(&bench, stage.path());
    container.sh("ln -s $(command -v sleep) /usr/local/bin/node");
    let node = container.spawn_at(pid, "/usr/local/bin/node 1000");
    let answer = host.scan(&[&old]);
    assert_eq!(verdict(&answer), "legacy-unverifiable carrier-started-later likely-stale host 1");
    assert!(answer.lock()["evidence"]["clock_step_ms"].as_u64().unwrap() < 10_000);

    // The record's own time is not enough: the file is as young as the process.
    lock(stage.path(), &text(None, LONG_AGO));
    let held = "legacy-unverifiable carrier-may-be-owner likely-held host 1";
    assert_eq!(verdict(&on_host(stage.path())), held);
    // Nor is the file's.
    host.sh(&format!("echo '{}' > {}", record(pid, None).replace('\n', ""), lock_file.display()));
    assert_eq!(verdict(&host.scan(&[&old])), held);

    // Equal ticks of a process that started long after both: a coincidence across boots.
    let rewrite = |host: &mut Container, text: &str| host.sh(&format!("echo '{text}' > {}", lock_file.display()));
    rewrite(&mut host, &text(Some(node.ticks), LONG_AGO));
    let answer = host.scan(&[&old]);
    assert_eq!(verdict(&answer), "legacy-unverifiable identity-contradicted likely-held host 1");

    // A runtime without a witness in its root.
    rewrite(&mut host, &text(None, LONG_AGO));
    assert_eq!(host.scan(&[&old]).lock()["reason"], "carrier-started-later");
    container.sh("umount -l /dev");
    assert_eq!(host.scan(&[&old]).lock()["reason"], "carrier-started-later", "its procfs tells as well");
    container.sh("umount -l /proc");
    assert_eq!(verdict(&host.scan(&[&old])), held);
    // Equal ticks, and no witness: a board without a clock writes such records at each boot.
    rewrite(&mut host, &text(Some(node.ticks), LONG_AGO));
    assert_eq!(verdict(&host.scan(&[&old])), "active owner-alive held host 0");
}

/// A filesystem whose lock was born long ago: no program can set a birth, so its image is edited.
fn old_volume(host: &mut Container, bench: &Bench, record: &str) -> PathBuf {
    let (tree, image, volume) = (bench.dir("tree"), bench.path().join("image.ext4"), bench.dir("old-volume"));
    let owner = lock(&tree, record).join("owner.json");
    let (tree, image) = (tree.to_str().unwrap().to_owned(), image.to_str().unwrap().to_owned());
    run("mkfs.ext4", &["-q", "-I", "256", "-d", &tree, &image, "8M"]);
    let inside = owner.to_str().unwrap().strip_prefix(&tree).unwrap();
    run("debugfs", &["-w", "-R", &format!("set_inode_field {inside} crtime @{LONG_AGO}"), &image]);
    host.sh(&format!("mount -o loop {image} {}", volume.display()));
    volume
}
