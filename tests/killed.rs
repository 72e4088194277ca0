//! A repair that is killed leaves the whole lock, an empty lock directory, or nothing, and a
//! receipt that says no more than what happened.
//!
//! SIGKILL comes on the entry of every system call that changes something, one run for each:
//! what the calls before it did is all that was done.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)]

#[path = "killed/bare.rs"]
mod bare;
#[path = "killed/files.rs"]
mod files;
mod support;

use serde_json::Value;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use support::machine::moved_to_own_machine;
use support::trace::{can_trace, traced};
use support::{DEPS, Living, MIRROR, Stage, dead_pid, doctor, record};

const VERSION: &str = "openclaw-2026.4.29-aaaaaaaaaaaa";

/// Every call that can change a file, by any spelling; `?` where an architecture lacks one.
const CHANGING: &str = "trace=?mkdir,mkdirat,?rmdir,?unlink,unlinkat,?rename,?renameat,renameat2,?link,linkat,\
    ?symlink,symlinkat,?mknod,mknodat,?chmod,fchmod,fchmodat,?chown,?lchown,fchown,fchownat,truncate,ftruncate,\
    fallocate,utimensat,?utime,?utimes,?futimesat,setxattr,lsetxattr,fsetxattr,write,writev,pwrite64,pwritev,\
    ?pwritev2,?sendfile,?copy_file_range,fsync,fdatasync,?sync,?syncfs,flock";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Whole,
    Empty,
    Nothing,
}

/// The calls of one removal in order, and what is left if the run dies on the entry of each:
/// of the lock, and lines of the receipt.
const CALLS: [(&str, usize, Left, &[&str]); 8] = [
    ("flock", 1, Left::Whole, &[]),
    ("write", 1, Left::Whole, &[]),
    ("fsync", 1, Left::Whole, &["intent"]),
    ("unlinkat", 1, Left::Whole, &["intent"]),
    ("unlinkat", 2, Left::Empty, &["intent"]),
    ("fsync", 2, Left::Nothing, &["intent"]),
    ("write", 2, Left::Nothing, &["intent"]),
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
        let record = record(dead_pid(), Some(7));
        let living_record = support::record(owner.pid(), Some(owner.ticks()));
        let lock = stage.lock(&format!("stage/{VERSION}"), DEPS, Some(&record));
        let living = stage.lock(&format!("stage/{VERSION}"), MIRROR, Some(&living_record));
        Self { stage, lock, record, living, living_record, _owner: owner }
    }

    fn receipt(&self) -> PathBuf {
        self.stage.path().join("receipt.jsonl")
    }

    fn repair(&self, more: &[&str]) -> Vec<OsString> {
        let mut args: Vec<OsString> = ["repair", "--assume-single-writer"].map(OsString::from).to_vec();
        args.extend([self.stage.path().join("stage").into(), "--receipt".into(), self.receipt().into()]);
        args.extend(more.iter().map(OsString::from));
        args
    }

    fn left(&self) -> Left {
        match std::fs::read_dir(&self.lock) {
            Err(_) => Left::Nothing,
            Ok(entries) => match entries.count() {
                0 => Left::Empty,
                1 if std::fs::read_to_string(self.lock.join("owner.json")).unwrap() == self.record => Left::Whole,
                _ => panic!("neither the whole lock, nor an empty one, nor nothing"),
            },
        }
    }

    fn receipt_lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.receipt()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn scan(&self) -> Value {
        let answer =
            doctor(["scan".into(), self.stage.path().join("stage"), "--json".into(), "--assume-single-writer".into()]);
        answer.lock_at(DEPS)
    }
}

fn events(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["event"].as_str().unwrap()).collect()
}

#[test]
fn the_calls_that_change_something_are_those_at_which_runs_are_killed_here() {
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
fn a_killed_repair_leaves_what_the_next_one_can_finish() {
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
        assert_eq!(ground.left(), left, "{case}\n{trace}");
        let receipt = ground.receipt_lines();
        assert_eq!(events(&receipt), lines, "{case}");
        assert_eq!(std::fs::read_to_string(ground.living.join("owner.json")).unwrap(), ground.living_record, "{case}");
        if let Some(intent) = receipt.first() {
            assert_eq!(intent["record"].as_str(), Some(ground.record.as_str()), "{case}: the record is lost");
        }
        // Whatever is gone from the disk was announced, and what is announced as done is done.
        assert!(left == Left::Whole || !receipt.is_empty(), "{case}");
        let done = receipt.iter().any(|line| line["outcome"] == "removed");
        assert!(!done || left == Left::Nothing, "{case}");

        match left {
            Left::Whole => finish_whole(&ground, &case),
            Left::Empty => finish_empty(&ground, &case),
            Left::Nothing => {
                let answer = doctor(ground.repair(&[]));
                assert_eq!(answer.code(), 0, "{case}: {}", answer.out());
            }
        }
        assert_eq!(ground.left(), Left::Nothing, "{case}");
        let after = ground.receipt_lines();
        assert_eq!(after[..receipt.len()], receipt, "{case}: the first run's lines are kept");
        assert_eq!(std::fs::read_to_string(ground.living.join("owner.json")).unwrap(), ground.living_record, "{case}");
    }
}

fn finish_whole(ground: &Ground, case: &str) {
    let seen = ground.scan();
    assert_eq!((&seen["classification"], &seen["proof"]), (&"stale-dead-pid".into(), &true.into()), "{case}");
    let answer = doctor(ground.repair(&[]));
    assert_eq!(answer.code(), 0, "{case}: {}", answer.out());
    let lines = ground.receipt_lines();
    assert_eq!(events(&lines)[lines.len() - 2..], ["intent", "outcome"], "{case}");
}

/// As a lock that somebody is just making, until it is old enough; and then only on somebody's word.
fn finish_empty(ground: &Ground, case: &str) {
    let seen = ground.scan();
    assert_eq!(seen["classification"], "legacy-unverifiable", "{case}");
    assert_eq!((&seen["reason"], &seen["leaning"]), (&"record-missing".into(), &"likely-held".into()), "{case}");
    let answer = doctor(ground.repair(&["--yes"]));
    assert_eq!((answer.code(), ground.left()), (1, Left::Empty), "{case}: {}", answer.out());

    let lock = std::fs::File::open(&ground.lock).unwrap();
    lock.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    assert_eq!(ground.scan()["leaning"], "likely-stale", "{case}");
    let answer = doctor(ground.repair(&[]));
    assert_eq!((answer.code(), ground.left()), (1, Left::Empty), "{case}: {}", answer.out());
    let answer = doctor(ground.repair(&["--yes"]));
    assert_eq!(answer.code(), 0, "{case}: {}", answer.out());
}
