//! The same for a lock that is a file: what stays is the whole lock, a stand-in with the lock
//! beside it, or nothing.

use super::{CHANGING, events};
use crate::support::machine::moved_to_own_machine;
use crate::support::trace::{can_trace, traced};
use crate::support::{Living, Stage, dead_pid, doctor};
use serde_json::Value;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::SystemTime;

const LOCK: &str = "auth-profiles.json.lock";
const STAND_IN: &str = "auth-profiles.json.lock.openclaw-doctor";
const LIVING: &str = "openclaw.json.lock";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// The lock, and nothing beside it.
    Whole,
    /// The lock, and something of ours beside it.
    WithLitter,
    /// A stand-in in its place, and the lock beside it.
    StandIn,
    /// No lock, and a stand-in beside its place.
    Litter,
    Nothing,
}

/// The calls of one removal in order, and what is left if the run dies on the entry of each.
const CALLS: [(&str, usize, Left, &[&str]); 14] = [
    ("flock", 1, Left::Whole, &[]),
    // Whether another program has the file itself locked.
    ("flock", 2, Left::Whole, &[]),
    ("write", 1, Left::Whole, &[]),
    ("fsync", 1, Left::Whole, &["intent"]),
    ("write", 2, Left::WithLitter, &["intent"]),
    ("fchmod", 1, Left::WithLitter, &["intent"]),
    // Kept until the name is free, so that no other program can begin to lock it.
    ("flock", 3, Left::WithLitter, &["intent"]),
    ("flock", 4, Left::WithLitter, &["intent"]),
    ("renameat2", 1, Left::WithLitter, &["intent"]),
    ("renameat", 1, Left::StandIn, &["intent"]),
    ("unlinkat", 1, Left::Litter, &["intent"]),
    ("fsync", 2, Left::Nothing, &["intent"]),
    ("write", 3, Left::Nothing, &["intent"]),
    ("fsync", 3, Left::Nothing, &["intent", "outcome"]),
];

struct Ground {
    stage: Stage,
    lock: PathBuf,
    record: String,
    living: PathBuf,
    living_record: String,
    _owner: Living,
}

impl Ground {
    fn new() -> Self {
        let (stage, owner) = (Stage::new(), Living::sleep());
        let place = stage.path().join("state/agent");
        std::fs::create_dir_all(&place).unwrap();
        let record = record(dead_pid(), 7);
        let living_record = self::record(owner.pid(), owner.ticks());
        let (lock, living) = (place.join(LOCK), place.join(LIVING));
        std::fs::write(&lock, &record).unwrap();
        std::fs::write(&living, &living_record).unwrap();
        Self { stage, lock, record, living, living_record, _owner: owner }
    }

    fn stand_in(&self) -> PathBuf {
        self.lock.with_file_name(STAND_IN)
    }

    fn args(&self, command: &str, more: &[&str]) -> Vec<OsString> {
        let mut args: Vec<OsString> = [command, "--assume-single-writer"].map(OsString::from).to_vec();
        args.push(self.stage.path().join("state").into());
        args.extend(more.iter().map(OsString::from));
        args
    }

    fn repair(&self, more: &[&str]) -> Vec<OsString> {
        let receipt = self.stage.path().join("receipt.jsonl");
        self.args("repair", &[&["--receipt", receipt.to_str().unwrap()], more].concat())
    }

    fn left(&self, case: &str) -> Left {
        let (lock, beside) = (std::fs::read_to_string(&self.lock).ok(), std::fs::read_to_string(self.stand_in()).ok());
        let ours = |text: &str| text.contains("\"madeBy\": \"openclaw-doctor");
        let litter = |text: &str| text.is_empty() || ours(text);
        match (lock.as_deref(), beside.as_deref()) {
            (Some(lock), None) if lock == self.record => Left::Whole,
            (Some(lock), Some(beside)) if lock == self.record && litter(beside) => Left::WithLitter,
            (Some(lock), Some(beside)) if ours(lock) && beside == self.record => Left::StandIn,
            (None, Some(beside)) if litter(beside) => Left::Litter,
            (None, None) => Left::Nothing,
            other => panic!("{case}: none of what may be left: {other:?}"),
        }
    }

    fn receipt_lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.stage.path().join("receipt.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Repairs, and insists on the exit code and on what is left.
    fn repaired(&self, more: &[&str], code: i32, left: Left, case: &str) {
        let answer = doctor(self.repair(more));
        assert_eq!((answer.code(), self.left(case)), (code, left), "{case}: {}", answer.out());
    }

    /// From what a killed run left to nothing, by further runs.
    fn finish(&self, left: Left, case: &str) {
        match left {
            Left::Whole | Left::WithLitter => self.repaired(&[], 0, Left::Nothing, case),
            Left::StandIn => self.finish_stand_in(case),
            // The name beside is looked at when the lock's is: after the next dead owner.
            Left::Litter => {
                self.repaired(&[], 0, Left::Litter, case);
                std::fs::write(&self.lock, &self.record).unwrap();
                self.repaired(&[], 0, Left::Nothing, case);
            }
            Left::Nothing => self.repaired(&[], 0, Left::Nothing, case),
        }
    }

    /// It names the doctor that was killed, so that it is proven stale like any lock: what it stood in
    /// for comes back as it was, and is judged as it was.
    fn finish_stand_in(&self, case: &str) {
        let seen = doctor(self.args("scan", &["--json"])).lock_at(LOCK);
        assert_eq!((&seen["reason"], &seen["proof"]), (&"no-such-process".into(), &true.into()), "{case}: {seen}");
        self.repaired(&[], 1, Left::Whole, case);
        self.repaired(&[], 0, Left::Nothing, case);
    }
}

fn record(pid: u32, ticks: u64) -> String {
    let at = humantime::format_rfc3339_millis(SystemTime::now());
    format!("{{\n  \"pid\": {pid},\n  \"createdAt\": \"{at}\",\n  \"starttime\": {ticks}\n}}\n")
}

#[test]
fn the_calls_that_change_something_of_a_file_are_those_at_which_runs_are_killed_here() {
    if moved_to_own_machine() {
        return;
    }
    if !can_trace() {
        return;
    }
    let ground = Ground::new();
    let (answer, trace) = traced(&["-e", CHANGING], ground.repair(&["--quiet"]));
    assert_eq!(answer.code(), 0, "{}", answer.err());
    let calls: Vec<&str> = trace
        .lines()
        .filter(|line| !line.contains("resumed>") && !line.contains("+++"))
        .filter_map(|line| line.split_whitespace().nth(1)?.split('(').next())
        .collect();
    assert_eq!(calls, CALLS.map(|(call, ..)| call), "{trace}");
}

#[test]
fn a_killed_repair_of_a_file_leaves_what_the_next_one_can_finish() {
    if moved_to_own_machine() {
        return;
    }
    if !can_trace() {
        return;
    }
    for (call, when, left, lines) in CALLS {
        let case = format!("killed on entry of {call} {when}");
        let ground = Ground::new();
        let inject = format!("inject={call}:signal=SIGKILL:when={when}");
        let (answer, trace) = traced(&["-e", &inject], ground.repair(&["--quiet"]));
        // strace dies of what its tracee died of.
        assert_eq!(answer.0.status.signal(), Some(9), "{case}: {:?}\n{trace}", answer.0);
        assert_eq!(ground.left(&case), left, "{case}\n{trace}");
        let receipt = ground.receipt_lines();
        assert_eq!(events(&receipt), lines, "{case}");
        assert_eq!(std::fs::read_to_string(&ground.living).unwrap(), ground.living_record, "{case}");
        if let Some(intent) = receipt.first() {
            assert_eq!(intent["record"].as_str(), Some(ground.record.as_str()), "{case}: the record is lost");
        }
        // Whatever is gone from the disk was announced, and what is announced as done is done.
        assert!(matches!(left, Left::Whole) || !receipt.is_empty(), "{case}");
        let done = receipt.iter().any(|line| line["outcome"] == "removed");
        assert!(!done || left == Left::Nothing, "{case}");

        ground.finish(left, &case);
        let after = ground.receipt_lines();
        assert_eq!(after[..receipt.len()], receipt, "{case}: the first run's lines are kept");
        assert_eq!(std::fs::read_to_string(&ground.living).unwrap(), ground.living_record, "{case}");
    }
}
