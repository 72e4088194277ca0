//! The same for bare directories beside an OpenClaw that may reclaim them: an empty directory has
//! the name at every moment, or nobody.

use super::{CHANGING, events};
use crate::support::machine::{VOUCHED, moved_to_own_machine};
use crate::support::trace::{can_trace, traced};
use crate::support::{Living, Stage, age, doctor, gateway};
use serde_json::Value;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

/// The second of the stand-in passes at once.
const NO_SLEEP: &str = "inject=clock_nanosleep:retval=0";

/// What stands at the lock's name, and beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Judged,
    JudgedAndStandIn,
    /// The stand-in at the lock's name, the judged one beside it.
    Exchanged,
    /// Nothing, and the judged one beside it.
    Beside,
    Nothing,
}

/// The calls of one removal in order, and what is left if the run dies on the entry of each.
const CALLS: [(&str, usize, Left, &[&str]); 11] = [
    ("flock", 1, Left::Judged, &[]),
    ("write", 1, Left::Judged, &[]),
    ("fsync", 1, Left::Judged, &["intent"]),
    ("mkdirat", 1, Left::Judged, &["intent"]),
    ("fchmod", 1, Left::JudgedAndStandIn, &["intent"]),
    ("renameat2", 1, Left::JudgedAndStandIn, &["intent"]),
    ("unlinkat", 1, Left::Exchanged, &["intent"]),
    ("unlinkat", 2, Left::Beside, &["intent"]),
    ("fsync", 2, Left::Nothing, &["intent"]),
    ("write", 2, Left::Nothing, &["intent"]),
    ("fsync", 3, Left::Nothing, &["intent", "outcome"]),
];

struct Ground {
    stage: Stage,
    lock: PathBuf,
    judged: u64,
    _gateway: Living,
}

impl Ground {
    fn new() -> Self {
        let stage = Stage::new();
        let state = stage.path().join("state");
        let lock = state.join("agents/main/agent/auth.json.lock");
        std::fs::create_dir_all(&lock).unwrap();
        age(&lock);
        let _gateway = gateway(stage.path(), "2026.7.1", &state);
        let judged = lock.metadata().unwrap().ino();
        Self { stage, lock, judged, _gateway }
    }

    fn repair(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = ["repair", VOUCHED, "--yes", "--receipt"].map(OsString::from).to_vec();
        args.extend([self.stage.path().join("receipt").into(), self.stage.path().join("state").into()]);
        args.extend(["--lock".into(), self.lock.clone().into()]);
        args
    }

    fn left(&self) -> Left {
        let inode = |path: PathBuf| path.metadata().ok().map(|meta| meta.ino());
        let beside = self.lock.with_file_name("auth.json.lock.openclaw-doctor.d");
        let judged = Some(self.judged);
        match (inode(self.lock.clone()), inode(beside)) {
            (lock, None) if lock == judged => Left::Judged,
            (lock, Some(_)) if lock == judged => Left::JudgedAndStandIn,
            (Some(_), beside) if beside == judged => Left::Exchanged,
            (None, beside) if beside == judged => Left::Beside,
            (None, None) => Left::Nothing,
            other => panic!("none of what may be left: {other:?}, judged was {judged:?}"),
        }
    }

    fn receipt_lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.stage.path().join("receipt")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn a_killed_repair_of_a_bare_directory_leaves_what_the_next_one_can_finish() {
    if !can_trace() || moved_to_own_machine() {
        return;
    }
    let ground = Ground::new();
    let (answer, trace) = traced(&["-e", CHANGING, "-e", NO_SLEEP], ground.repair());
    assert_eq!(answer.code(), 0, "{}{}", answer.out(), answer.err());
    // What it prints is written too, and after that nothing is changed any more.
    let lines = trace.lines().filter(|line| !line.contains("resumed>") && !line.contains("+++"));
    let calls = lines.filter(|line| !line.contains("write(1,") && !line.contains("write(2,"));
    let calls: Vec<&str> = calls.filter_map(|line| line.split_whitespace().nth(1)?.split('(').next()).collect();
    assert_eq!(calls, CALLS.map(|(call, ..)| call), "{trace}");

    for (call, when, left, lines) in CALLS {
        let case = format!("killed on entry of {call} {when}");
        let ground = Ground::new();
        let quiet = ground.repair().into_iter().chain(["--quiet".into()]);
        let inject = format!("inject={call}:signal=SIGKILL:when={when}");
        let (answer, trace) = traced(&["-e", NO_SLEEP, "-e", &inject], quiet);
        assert_eq!(answer.0.status.signal(), Some(9), "{case}: {:?}\n{trace}", answer.0);
        assert_eq!(ground.left(), left, "{case}\n{trace}");
        assert_eq!(events(&ground.receipt_lines()), lines, "{case}");
        let done = ground.receipt_lines().iter().any(|line| line["outcome"] == "removed");
        assert!(!done || left == Left::Nothing, "{case}");
        if matches!(left, Left::Beside | Left::Nothing) {
            // The name beside is looked at when the lock's is: after the next dead owner.
            std::fs::create_dir(&ground.lock).unwrap();
            age(&ground.lock);
        }
        let answer = doctor(ground.repair());
        assert_eq!(answer.code(), 0, "{case}: {}{}", answer.out(), answer.err());
        assert_eq!(ground.left(), Left::Nothing, "{case}");
    }
}
