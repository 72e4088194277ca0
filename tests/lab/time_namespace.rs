//! Writers and readers whose boot clocks differ.

use super::container::Container;
use super::machine::Need::{Host, Perl, Root, TimeNamespace};
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

/// timens_offsets shows the namespace of a process's children, which unshare(2) without a fork
/// makes another one than its own.
#[test]
fn an_owner_whose_children_have_other_clocks_keeps_its_lock() {
    if !have(&[Root, Host, TimeNamespace, Perl]) {
        return;
    }
    let stage = stage();
    let mut shifted = Container::shifted(1000);
    let file = stage.path().join("signed");
    // unshare(CLONE_NEWTIME), by its number on this architecture; the children's offset becomes zero.
    let number = if cfg!(target_arch = "x86_64") { 272 } else { 97 };
    let script = format!(
        "syscall({number}, 0x80) == 0 or die; open(my $o, '>', '/proc/self/timens_offsets') or die; \
         syswrite($o, 'boottime 0 0') or die; close($o); \
         open(my $s, '<', '/proc/self/stat') or die; my $stat = <$s>; $stat =~ s/.*\\) //; my @f = split / /, $stat; \
         open(my $f, '>', '{0}.new') or die; print $f \"$$ $f[19]\"; close($f); rename '{0}.new', '{0}'; sleep 1000",
        file.display()
    );
    let perl = shifted.spawn(&format!("perl -e {}", quoted(&script)));
    while !file.exists() {
        std::thread::yield_now();
    }
    let signed = std::fs::read_to_string(&file).unwrap();
    let (pid, ticks) = signed.split_once(' ').unwrap();
    let (pid, ticks): (u32, u64) = (pid.parse().unwrap(), ticks.trim().parse().unwrap());
    assert_eq!(pid, perl.host_pid);
    assert_ne!(ticks, crate::support::start_ticks(pid), "it reads other clocks than we do");
    let file = lock(stage.path(), &record(pid, Some(ticks))).join("owner.json");
    assert_eq!(verdict(&on_host(stage.path())), "legacy-unverifiable start-ticks-unreadable likely-held host 1");
    crate::support::doctor(["repair".as_ref(), stage.path().as_os_str(), "--yes".as_ref()]);
    assert!(file.exists(), "a living owner's lock was removed");
}

fn quoted(script: &str) -> String {
    format!("'{}'", script.replace('\'', "'\\''"))
}
