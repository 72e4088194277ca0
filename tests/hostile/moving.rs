//! Locks, roots and processes that come and go while they are looked at.

use super::look::{assert_harmless, guarded};
use super::support::{Answer, DEPS, HANG, Stage, command, dead_pid, record};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const ROUNDS: usize = 40;

/// Scans while `shake` runs again and again; hands back all reports.
fn scan_while(path: &Path, rounds: usize, shake: impl Fn(usize) + Send) -> Vec<Answer> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let done = &done;
        let shaker = scope.spawn(move || {
            let mut round = 0;
            while !done.load(Ordering::Relaxed) {
                shake(round);
                round += 1;
            }
            round
        });
        let answers = (0..rounds).map(|round| {
            let mut doctor = command();
            doctor.args(if round % 2 == 0 { ["scan", "--json"] } else { ["scan", "-v"] }).arg(path);
            let answer = Answer(guarded(doctor));
            assert!([0, 1, 3].contains(&answer.code()), "{}: {}", answer.code(), answer.err());
            assert_harmless("scan", &answer.0.stdout);
            assert_eq!(answer.err(), "");
            answer
        });
        let answers: Vec<Answer> = answers.collect();
        done.store(true, Ordering::Relaxed);
        assert!(shaker.join().unwrap() > 2, "nothing moved");
        answers
    })
}

fn reports(answers: &[Answer]) -> Vec<serde_json::Value> {
    answers.iter().filter(|answer| answer.0.stdout.starts_with(b"{")).map(Answer::json).collect()
}

#[test]
fn a_lock_that_is_taken_and_dropped_meanwhile_breaks_no_scan() {
    let stage = Stage::new();
    for version in 0..20 {
        std::fs::create_dir(stage.path().join(format!("v{version}"))).unwrap();
    }
    let still = stage.lock("still", DEPS, Some(&record(dead_pid(), Some(7))));
    let text = record(dead_pid(), Some(7));
    let answers = scan_while(stage.path(), ROUNDS, |round| {
        let lock = stage.path().join(format!("v{}", round % 20)).join(DEPS);
        std::fs::create_dir(&lock).unwrap();
        std::fs::write(lock.join("owner.json"), &text).unwrap();
        std::fs::remove_file(lock.join("owner.json")).unwrap();
        std::fs::remove_dir(&lock).unwrap();
    });
    for report in reports(&answers) {
        let locks = report["locks"].as_array().unwrap();
        assert!(locks.iter().any(|lock| lock["path"] == still.to_str().unwrap()), "{report}");
        // What moved is seen whole, half made, or not at all: never as a problem of the disk.
        assert_eq!(report["problems"], serde_json::json!([]));
    }
}

#[test]
fn a_version_directory_that_is_replaced_meanwhile_breaks_no_scan() {
    let stage = Stage::new();
    let (version, aside) = (stage.path().join("v"), stage.path().join("aside"));
    stage.lock("v", DEPS, Some(&record(dead_pid(), Some(7))));
    scan_while(stage.path(), ROUNDS, |_| {
        std::fs::rename(&version, &aside).unwrap();
        std::fs::write(&version, "a file").unwrap();
        std::fs::remove_file(&version).unwrap();
        std::os::unix::fs::symlink("/", &version).unwrap();
        std::fs::remove_file(&version).unwrap();
        std::fs::rename(&aside, &version).unwrap();
    });
}

#[test]
fn a_root_that_vanishes_meanwhile_is_a_line_and_no_crash() {
    let stage = Stage::new();
    let root = stage.path().join("root");
    let answers = scan_while(&root, ROUNDS, |_| {
        for version in 0..30 {
            std::fs::create_dir_all(root.join(format!("v{version}")).join(DEPS)).unwrap();
        }
        std::fs::remove_dir_all(&root).unwrap();
    });
    for answer in answers.iter().filter(|answer| answer.code() == 3) {
        assert!(answer.out().contains("No such file") || answer.out().contains("cannot"), "{}", answer.out());
    }
}

/// The record's owner ends between the sweep and the reading: dead or gone, never an error.
#[test]
fn an_owner_that_ends_meanwhile_is_dead_or_alive_and_nothing_else() {
    let stage = Stage::new();
    let lock = stage.lock("v", DEPS, None).join("owner.json");
    let answers = scan_while(stage.path(), ROUNDS, |_| {
        let mut child = std::process::Command::new("sleep").arg("0.02").spawn().unwrap();
        let text = record(child.id(), Some(super::support::start_ticks(child.id())));
        std::fs::write(lock.with_extension("new"), text).unwrap();
        std::fs::rename(lock.with_extension("new"), &lock).unwrap();
        child.wait().unwrap();
    });
    for report in reports(&answers) {
        for lock in report["locks"].as_array().unwrap() {
            let class = lock["classification"].as_str().unwrap();
            let reason = lock["reason"].as_str().unwrap();
            assert!(["active", "stale-dead-pid"].contains(&class) || reason == "record-missing", "{lock}");
        }
    }
}

/// Many entries that all vanish: the scan must end although the directory never rests.
#[test]
fn a_directory_that_never_rests_holds_no_scan_up() {
    let stage = Stage::new();
    let began = Instant::now();
    let answers = scan_while(stage.path(), 10, |round| {
        let name = stage.path().join(format!("n{}", round % 500));
        if !name.exists() {
            std::fs::create_dir_all(name.join(DEPS)).unwrap();
        } else {
            std::fs::remove_dir_all(name).unwrap();
        }
    });
    assert_eq!(answers.len(), 10);
    assert!(began.elapsed() < HANG, "{:?}", began.elapsed());
}
