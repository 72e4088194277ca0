//! A doctor takes no lock from a living owner, however the two run against each other.
//!
//! `cargo test --test races -- --nocapture` prints what was counted.
#![allow(missing_docs, unreachable_pub, clippy::disallowed_methods)]

#[path = "races/arena.rs"]
mod arena;
#[path = "races/bare.rs"]
mod bare;
#[path = "races/files.rs"]
mod files;
#[path = "races/locked.rs"]
mod locked;
#[path = "races/processes.rs"]
mod processes;
mod support;

use arena::{Doctors, Rules, play};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One run at a time: the rates and the interleavings are those of three peers and two doctors.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the build goes: a real filesystem on most machines; the figures name it.
fn place() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

const WAITING_PEERS: Rules = Rules {
    name: "peers wait, doctors clear",
    rounds: 20_000,
    peers: 3,
    peers_reclaim: false,
    slow_writers: false,
    doctors: Doctors::Protocol,
    until_harm: false,
};

#[test]
fn no_living_owner_loses_its_lock_to_a_doctor() {
    let _alone = alone();
    let tally = play(WAITING_PEERS, place());
    assert!(tally.rounds >= 20_000, "{tally:?}");
    assert_eq!((tally.doubles, tally.lost, tally.evicted), (0, 0, 0), "{tally:?}");
    assert_eq!(tally.outcome("failed") + tally.outcome("refused"), 0, "{tally:?}");
    // Every death was cleared by a doctor, except perhaps the last.
    assert!(tally.outcome("removed") + 1 >= tally.crashes && tally.crashes > 1_000, "{tally:?}");
    assert!(tally.outcome("changed") > 0, "the doctors never met a lock that had changed: {tally:?}");
    assert!(tally.outcome("already-gone") > 0, "the doctors never met each other: {tally:?}");
}

#[test]
fn peers_that_reclaim_for_themselves_lose_nothing_to_a_doctor() {
    let _alone = alone();
    let name = "peers reclaim, doctors clear too";
    let rules = Rules { name, rounds: 6_000, peers_reclaim: true, ..WAITING_PEERS };
    let tally = play(rules, place());
    // OpenClaw's own reclaim deletes by path after a look, and makes double owners of its own.
    assert_eq!(tally.by_doctor, 0, "{tally:?}");
    assert_eq!(tally.by_doctor + tally.by_peer, tally.doubles + tally.lost, "{tally:?}");
    assert!(tally.outcome("removed") > 0 && tally.reclaims > 0, "{tally:?}");
    let changed = tally.outcome("changed") + tally.outcome("changed (not empty)");
    assert!(changed > 0, "no interesting interleaving: {tally:?}");

    let alone = Rules { name: "peers reclaim, no doctor", rounds: 3_000, doctors: Doctors::Absent, ..rules };
    let tally = play(alone, place());
    assert!(tally.by_peer > 0, "what was put down to the peers above is not theirs: {tally:?}");
}

#[test]
fn an_owner_that_writes_its_record_late_keeps_its_lock_or_knows_that_it_has_none() {
    let _alone = alone();
    let name = "the owner writes late, doctors have a yes";
    let rules = Rules { name, rounds: 2_000, peers: 1, slow_writers: true, ..WAITING_PEERS };
    let tally = play(rules, place());
    assert_eq!((tally.doubles, tally.lost), (0, 0), "{tally:?}");
    assert!(tally.outcome("changed (not empty)") > 0, "rmdir(2) never found a late record: {tally:?}");
    assert!(tally.evicted > 0, "no owner was as late as the doctors took it for: {tally:?}");
}

/// The whole repair against owners that are processes and die by SIGKILL.
#[test]
fn no_living_process_loses_its_lock_to_a_repair() {
    let _alone = alone();
    let tally = processes::play(processes::Doctors::Repair, 60, place());
    assert_eq!((tally.doubles, tally.lost, tally.evicted), (0, 0, 0), "{tally:?}");
    assert!(tally.deaths >= 60 && tally.removed + 1 >= tally.deaths, "{tally:?}");
    assert_eq!(tally.failed, 0, "{tally:?}");
}

#[test]
fn control_a_scan_and_a_recursive_delete_take_a_living_processs_lock() {
    let _alone = alone();
    let tally = processes::play(processes::Doctors::RecursiveDelete, 60, place());
    assert!(tally.doubles + tally.lost > 0, "the control shows nothing: {tally:?}");
}

/// Not a test: an owner, started by the two above.
#[test]
#[ignore = "started by other tests as a process of its own"]
fn owner_process() {
    processes::owner();
}

/// Without these two, the zeros above would prove nothing.
#[test]
fn control_a_recursive_delete_makes_two_owners() {
    let _alone = alone();
    let name = "control: doctors look, then delete by path";
    let rules = Rules { name, doctors: Doctors::RecursiveDelete, until_harm: true, ..WAITING_PEERS };
    let tally = play(rules, place());
    assert!(tally.by_doctor > 0 && tally.doubles > 0, "the control shows nothing: {tally:?}");
}

#[test]
fn control_a_recursive_delete_takes_a_late_record() {
    let _alone = alone();
    let name = "control: the owner writes late, doctors delete by path";
    let rules = Rules {
        name,
        peers: 1,
        slow_writers: true,
        doctors: Doctors::RecursiveDelete,
        until_harm: true,
        ..WAITING_PEERS
    };
    let tally = play(rules, place());
    assert!(tally.by_doctor > 0, "the control shows nothing: {tally:?}");
}

const WAITING_FOR_A_FILE: files::Rules = files::Rules {
    name: "file lock: peers wait, doctors exchange",
    rounds: 10_000,
    peers: files::Peers::Wait,
    doctors: files::Doctors::Exchange,
    until_harm: false,
};

/// Plays, each time in full, until the machine has let the players meet so: when they do is the
/// scheduler's affair. `holds` must hold of every play.
fn play_until(rules: files::Rules, holds: impl Fn(&files::Tally), met: impl Fn(&files::Tally) -> bool) {
    const PLAYS: usize = 20;
    let has_met = (0..PLAYS).any(|_| {
        let tally = files::play(rules, place());
        holds(&tally);
        met(&tally)
    });
    assert!(has_met, "{}: not met in {PLAYS} plays", rules.name);
}

#[test]
fn no_living_owner_of_a_lock_file_loses_it_to_a_doctor() {
    let _alone = alone();
    let tally = files::play(WAITING_FOR_A_FILE, place());
    assert!(tally.rounds >= 10_000, "{tally:?}");
    assert_eq!((tally.doubles, tally.lost), (0, 0), "{tally:?}");
    assert_eq!(tally.outcome("failed") + tally.outcome("refused"), 0, "{tally:?}");
    assert!(!tally.litter, "something of a doctor's is left: {tally:?}");
    // Every death was cleared by a doctor, except perhaps the last.
    assert!(tally.outcome("removed") + 1 >= tally.crashes && tally.crashes > 1_000, "{tally:?}");
    assert!(tally.outcome("changed") > 0, "the doctors never met a lock that had changed: {tally:?}");
}

/// OpenClaw's own reclaim to 2026.7.1 deletes by path after a look, and makes double owners of its own.
#[test]
fn peers_that_reclaim_a_lock_file_by_path_lose_nothing_to_a_doctor() {
    let _alone = alone();
    let name = "file lock: peers reclaim, doctors exchange";
    let rules = files::Rules { name, rounds: 6_000, peers: files::Peers::Reclaim, ..WAITING_FOR_A_FILE };
    let holds = |tally: &files::Tally| {
        assert_eq!((tally.doubles_by_doctor, tally.lost_by_doctor), (0, 0), "{tally:?}");
        assert!(tally.rounds >= 6_000 && !tally.litter, "{tally:?}");
    };
    play_until(rules, holds, |tally| tally.outcome("removed") > 0 && tally.reclaims > 0);

    let name = "file lock: peers reclaim, no doctor";
    let tally = files::play(files::Rules { name, rounds: 3_000, doctors: files::Doctors::Absent, ..rules }, place());
    assert!(tally.by_peer > 0, "what was put down to the peers above is not theirs: {tally:?}");
}

/// By themselves they make no double owner: here, whatever goes wrong is the doctors' doing.
#[test]
fn peers_that_guard_their_reclaim_of_a_lock_file_lose_nothing_to_a_doctor() {
    let _alone = alone();
    let name = "file lock: peers guard their reclaim, doctors exchange";
    let rules = files::Rules { name, rounds: 20_000, peers: files::Peers::Guarded, ..WAITING_FOR_A_FILE };
    let holds = |tally: &files::Tally| {
        assert_eq!((tally.doubles, tally.lost), (0, 0), "{tally:?}");
        assert!(tally.rounds >= 20_000 && !tally.litter, "{tally:?}");
    };
    let met = ["removed", "changed (put back)"];
    play_until(rules, holds, |tally| tally.reclaims > 0 && met.iter().all(|outcome| tally.outcome(outcome) > 0));
}

/// Without it, the zeros above would prove nothing.
#[test]
fn control_a_look_and_a_delete_by_path_make_two_owners_of_a_lock_file() {
    let _alone = alone();
    let name = "file lock: control, doctors look, then delete by path";
    let rules = files::Rules { name, doctors: files::Doctors::Unlink, until_harm: true, ..WAITING_FOR_A_FILE };
    // A play ends with the first second owner, who may be a peer's work.
    play_until(rules, |_| {}, |tally| tally.doubles_by_doctor > 0);
}

/// What docs/removal.md compares. Asserted is only what is certain: a look and a delete by path do harm.
#[test]
fn what_other_protocols_for_a_lock_file_do() {
    use files::{Doctors, Peers, Rules};
    let _alone = alone();
    for (name, doctors) in [
        ("file lock: peers guard their reclaim, doctors compare and unlink", Doctors::CompareAndUnlink),
        ("file lock: peers guard their reclaim, doctors rename aside", Doctors::RenameAside),
        ("file lock: peers guard their reclaim, doctors look and unlink", Doctors::Unlink),
        ("file lock: peers guard their reclaim, no doctor", Doctors::Absent),
    ] {
        let peers = Peers::Guarded;
        let holds = |tally: &files::Tally| {
            assert!(tally.rounds >= 3_000 && tally.crashes > 0, "{tally:?}");
            assert!(doctors != Doctors::Absent || (tally.doubles, tally.lost) == (0, 0), "{tally:?}");
        };
        let rules = Rules { name, rounds: 3_000, peers, doctors, until_harm: false };
        play_until(rules, holds, |tally| doctors != Doctors::Unlink || tally.doubles_by_doctor > 0);
    }
    let name = "file lock: peers clear what names no pid, doctors exchange";
    let rules = Rules { name, rounds: 3_000, peers: Peers::ReclaimNameless, ..WAITING_FOR_A_FILE };
    let holds = |tally: &files::Tally| assert!(!tally.litter, "{tally:?}");
    play_until(rules, holds, |tally| tally.stand_ins_deleted > 0);
}

/// How often the file is held in all; `OPENCLAW_DOCTOR_RACE_HOLDS` plays more, as docs/removal.md did.
fn holds() -> usize {
    std::env::var("OPENCLAW_DOCTOR_RACE_HOLDS").map_or(1_500, |holds| holds.parse().unwrap_or(1_500))
}

#[test]
fn no_file_that_another_program_has_locked_is_removed_whenever_it_began() {
    let _alone = alone();
    for call in ["flock", "shared", "fcntl", "ofd"] {
        let tally = locked::play(call, holds() / 4, locked::Doctors::Protocol, place());
        assert!(tally.holds >= holds() / 4 && tally.removed > 0, "{call}: {tally:?}");
        assert_eq!(tally.lost, 0, "{call}: {tally:?}");
    }
}

/// Without it, the zeros above would prove nothing.
#[test]
fn control_who_asks_once_removes_what_another_program_has_locked() {
    let _alone = alone();
    for call in ["flock", "fcntl"] {
        let lost = (0..20).any(|_| locked::play(call, 500, locked::Doctors::AskOnce, place()).lost > 0);
        assert!(lost, "{call}: the control shows nothing");
    }
}

/// Not a test: a doctor, started by the two above.
#[test]
#[ignore = "started by other tests as a process of its own"]
fn doctor_of_a_locked_file() {
    locked::doctor();
}

/// Enough to meet what there is to meet; `OPENCLAW_DOCTOR_RACE_RUNS` asks for more (docs/removal.md).
fn bare_runs() -> usize {
    std::env::var_os("OPENCLAW_DOCTOR_RACE_RUNS")
        .and_then(|runs| runs.into_string().ok())
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(600)
}

/// Two that wait, one that reclaims, and doctors that are stopped and killed at any moment.
#[test]
fn no_owner_of_a_bare_directory_loses_it_to_a_doctor_beside_one_that_reclaims() {
    let _alone = alone();
    let tally = bare::play(bare::Doctors::Exchange, bare_runs(), place());
    assert_eq!((tally.doubles, tally.lost), (0, 0), "{tally:?}");
    assert!(tally.runs >= bare_runs() && tally.killed > 0 && tally.stopped > 0, "{tally:?}");
    assert!(tally.outcome("removed") > 0 && tally.reclaims > 0, "{tally:?}");
    assert_eq!(tally.outcome("failed") + tally.outcome("refused"), 0, "{tally:?}");
    assert!(!tally.litter, "something of a doctor's is left: {tally:?}");
}

/// Without these three, the zeros above would prove nothing.
#[test]
fn control_without_a_doctor_nobody_loses_a_bare_directory() {
    let _alone = alone();
    let tally = bare::play(bare::Doctors::Absent, 10 * bare_runs(), place());
    assert_eq!((tally.doubles, tally.lost), (0, 0), "{tally:?}");
    assert!(tally.reclaims > 100, "{tally:?}");
}

#[test]
fn control_rmdir_alone_takes_a_bare_directory_from_its_next_owner() {
    let _alone = alone();
    let tally = bare::play(bare::Doctors::Rmdir, 100_000, place());
    assert!(tally.doubles + tally.lost > 0, "the control shows nothing: {tally:?}");
}

/// Whoever had decided to reclaim the judged one removes, by path, what has its name by then: the
/// stand-in just before it steps down, or the next owner's lock after it.
#[test]
fn control_a_stand_in_that_steps_down_at_once_is_not_enough() {
    let _alone = alone();
    let tally = bare::play(bare::Doctors::ExchangeThenRmdir, 100_000, place());
    assert!(tally.doubles + tally.lost > 0, "the control shows nothing: {tally:?}");
}

/// Not a test: a doctor, started by those above.
#[test]
#[ignore = "started by other tests as a process of its own"]
fn bare_doctor_process() {
    bare::doctor();
}
