//! Filesystems that another kernel may use, and one whose server is gone.

use super::container::Container;
use super::machine::Need::{Fuse, Host, Root};
use super::machine::{Bench, have};
use super::view::{lock, stage, verdict, verdict_at};
use crate::support::{DEPS, HANG, dead_pid, record};
use std::path::Path;
use std::time::Instant;

/// Mounts `source` on `target` through bindfs; ready when it is mounted. Gives the server's pid.
fn bindfs(container: &mut Container, options: &str, source: &Path, target: &Path) -> u32 {
    let (source, target) = (source.display(), target.display());
    let server = container.sh(&format!("bindfs -f {options} {source} {target} < /dev/null > /dev/null 2>&1 & echo $!"));
    container
        .sh(&format!("until grep -q ' {target} .* fuse' /proc/self/mountinfo; do kill -0 {server} || break; done"));
    container.sh(&format!("grep -q ' {target} .* fuse' /proc/self/mountinfo"));
    server.parse().unwrap()
}

#[test]
fn a_tmpfs_is_this_kernels_alone() {
    if !have(&[Root, Host]) {
        return;
    }
    let bench = Bench::new();
    let place = bench.dir("tmpfs");
    let mut container = Container::mounts();
    container.sh(&format!("mount -t tmpfs tmpfs {}", place.display()));
    lock(&container.outside(place.to_str().unwrap()), &record(dead_pid(), Some(77)));
    let answer = container.scan(&[&place]);
    assert_eq!(verdict(&answer), "stale-dead-pid no-such-process PROOF host 1");
    assert_eq!(answer.lock()["evidence"]["filesystem"], "tmpfs");
}

#[test]
fn a_fuse_filesystem_may_have_writers_on_other_machines_whatever_it_calls_itself() {
    if !have(&[Root, Host, Fuse]) {
        return;
    }
    for options in ["", "-o fsname=filer:/export,subtype=glusterfs", "-o fsname=/dev/sda1,subtype=ext4"] {
        let (bench, stage) = (Bench::new(), stage());
        let place = bench.dir("fuse");
        lock(stage.path(), &record(dead_pid(), Some(77)));
        let mut container = Container::mounts();
        bindfs(&mut container, options, stage.path(), &place);
        let answer = container.scan(&[&place]);
        assert_eq!(verdict(&answer), "stale-dead-pid foreign-kernel-possible out-of-sight host 1", "{options}");
        let vouched = container.scan(&[&place, Path::new("--assume-single-writer")]);
        assert_eq!(verdict(&vouched), verdict(&answer), "the word of one container does not cover other machines");
    }
}

/// overlayfs keeps the link count of a directory that a lower layer has: what stood there is known
/// to be gone all the same, and no lock is made again.
#[test]
fn a_lock_of_an_images_layer_is_removed() {
    if !have(&[Root, Host]) {
        return;
    }
    let bench = Bench::new();
    let place = bench.dir("layers");
    let mut container = Container::mounts();
    // On a tmpfs: an overlay does not lie on another.
    container.sh(&format!("mount -t tmpfs tmpfs {0} && cd {0} && mkdir lower upper work merged", place.display()));
    let lower = container.outside(place.join("lower/openclaw-2026.4.29-f53b52ad6d21").to_str().unwrap());
    lock(&lower, &record(dead_pid(), Some(77)));
    container.sh(&format!(
        "cd {} && mkdir lower/openclaw.json.clobber.lock && touch -d '1 hour ago' lower/openclaw.json.clobber.lock",
        place.display()
    ));
    let layers = "lowerdir=lower,upperdir=upper,workdir=work";
    container.sh(&format!("cd {} && mount -t overlay overlay -o {layers} merged", place.display()));
    let merged = place.join("merged");
    let answer = container.run(&[Path::new("repair"), Path::new("--yes"), Path::new("--json"), &merged]);
    assert_eq!((answer.code(), answer.json()["summary"]["removed"].as_u64()), (0, Some(2)), "{}", answer.out());
    let left = container.sh(&format!("find {} -name '*.lock'", merged.display()));
    assert_eq!(left, "", "{}", answer.out());
}

#[test]
fn a_dead_server_costs_its_own_root_only() {
    if !have(&[Root, Host, Fuse]) {
        return;
    }
    let (bench, behind, good) = (Bench::new(), stage(), stage());
    let place = bench.dir("fuse");
    lock(behind.path(), &record(dead_pid(), Some(77)));
    lock(good.path(), &record(dead_pid(), Some(77)));
    let mut container = Container::mounts();
    let server = bindfs(&mut container, "", behind.path(), &place);
    container.sh(&format!("kill -STOP {server}; until grep -q '^State:.T' /proc/{server}/status; do :; done"));
    for order in [[&place, good.path()], [good.path(), &place]] {
        let began = Instant::now();
        let answer = container.scan(&order);
        assert!(began.elapsed() < HANG, "the run hung for {:?}", began.elapsed());
        assert_eq!(verdict_at(&answer, DEPS), "stale-dead-pid no-such-process PROOF host 3");
        let json = answer.json();
        assert_eq!(json["summary"]["problems"], 1, "{json}");
        assert_eq!(json["problems"][0]["path"], place.to_str().unwrap());
    }
}
