//! OpenClaw's own decisions against ours.
//!
//! `fixtures/vectors/rtdeps.json` holds what the shipped functions of each release decided;
//! `fixtures/vectors/differences.json` holds every case in which we decide otherwise, and why.
//! A difference that is not listed fails, and so does a listed one that has gone.
//!
//! The vectors say that a process lives, not what it runs. Each is judged twice: the carrier of
//! the pid is `node`, or it is another program.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod facts;

use facts::table::Outcome;
use facts::{Facts, lock, process};
use openclaw_doctor::evidence::{Candidate, LockTimes, Role};
use openclaw_doctor::record::{PID_LIMIT, Record, parse_runtime_deps};
use openclaw_doctor::units::{EpochMs, StartTicks};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const VECTORS: &str = include_str!("../fixtures/vectors/rtdeps.json");
const DIFFERENCES: &str = include_str!("../fixtures/vectors/differences.json");

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

/// A call of OpenClaw's function, and what each release answered: whether to remove the lock.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Vector {
    name: String,
    owner: serde_json::Map<String, Value>,
    now_ms: i64,
    /// `"real"`: the function's own liveness check was left in place.
    is_alive: Value,
    live_starttime: Option<u64>,
    expected: BTreeMap<String, bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    case: String,
    carrier: String,
    releases: BTreeSet<String>,
    openclaw: String,
    ours: String,
    reason: String,
}

/// One decision of ours that is not a release's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Difference {
    case: String,
    carrier: String,
    release: String,
    openclaw: String,
    ours: String,
}

impl Vector {
    /// The lock as it would lie on a disk, on a host that sees everything.
    fn facts(&self, role: Role) -> Facts {
        let time = |key: &str| self.owner.get(key).map(|ms| EpochMs(ms.as_i64().unwrap()));
        let (lock_modified, record_modified) = (time("lockDirMtimeMs"), time("ownerFileMtimeMs"));
        let mut written = self.owner.clone();
        written.retain(|key, _| !key.ends_with("MtimeMs"));
        // What OpenClaw's reader makes of a missing and of a broken owner.json is the same
        // nothing; the time of the file tells them apart.
        let record = match (written.is_empty(), record_modified) {
            (true, None) => Record::Missing,
            (true, Some(_)) => Record::NotJson,
            (false, _) => parse_runtime_deps(&serde_json::to_vec(&written).unwrap(), PID_LIMIT),
        };
        let mut facts = lock(record);
        facts.lock.times = LockTimes { lock_modified, record_modified, record_born: None };
        facts.view.now = EpochMs(self.now_ms);
        if self.lives() && facts.lock.record.owner().is_some() {
            let program = if role == Role::Other { "sleep" } else { "node" };
            let start_ticks = self.live_starttime.map(StartTicks).into_iter().collect();
            facts = facts.and(Candidate { start_ticks, ..process(program, role, StartTicks(0)) });
        }
        facts
    }

    fn lives(&self) -> bool {
        match &self.is_alive {
            Value::Bool(alive) => *alive,
            // No process has the pid 0, -1 or 1.5.
            Value::String(real) if real == "real" => false,
            other => panic!("{}: isAlive is {other}", self.name),
        }
    }
}

fn vectors() -> Vec<Vector> {
    let vectors: Vectors = serde_json::from_str(VECTORS).unwrap();
    vectors.vectors
}

fn ours(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Proof => "removed",
        Outcome::LikelyStale | Outcome::Undetermined => "removed with --yes",
        Outcome::OutOfSight | Outcome::LikelyHeld | Outcome::Held => "left",
    }
}

fn found() -> BTreeSet<Difference> {
    let mut found = BTreeSet::new();
    for vector in vectors() {
        for (carrier, role) in [("node", Role::JavaScript), ("other", Role::Other)] {
            let ours = ours(Outcome::from(&vector.facts(role).judge()));
            for (release, removes) in &vector.expected {
                let (openclaw, agrees) = if *removes { ("removed", "removed") } else { ("kept", "left") };
                if ours != agrees {
                    found.insert(Difference {
                        case: vector.name.clone(),
                        carrier: carrier.to_owned(),
                        release: release.clone(),
                        openclaw: openclaw.to_owned(),
                        ours: ours.to_owned(),
                    });
                }
            }
        }
    }
    found
}

fn listed() -> BTreeSet<Difference> {
    let listed: Vec<Listed> = serde_json::from_str(DIFFERENCES).unwrap();
    let mut all = BTreeSet::new();
    for entry in listed {
        assert!(!entry.reason.trim().is_empty(), "{}: no reason", entry.case);
        let carriers = if entry.carrier == "any" { vec!["node", "other"] } else { vec![entry.carrier.as_str()] };
        for carrier in carriers {
            for release in &entry.releases {
                let fresh = all.insert(Difference {
                    case: entry.case.clone(),
                    carrier: carrier.to_owned(),
                    release: release.clone(),
                    openclaw: entry.openclaw.clone(),
                    ours: entry.ours.clone(),
                });
                assert!(fresh, "listed twice: {}, {carrier}, {release}", entry.case);
            }
        }
    }
    all
}

#[test]
fn every_difference_to_openclaw_is_listed_with_its_reason() {
    let (found, listed) = (found(), listed());
    let unlisted: Vec<&Difference> = found.difference(&listed).collect();
    assert!(unlisted.is_empty(), "not listed: {unlisted:#?}");
}

#[test]
fn no_listed_difference_has_gone() {
    let (found, listed) = (found(), listed());
    let gone: Vec<&Difference> = listed.difference(&found).collect();
    assert!(gone.is_empty(), "listed, and no longer so: {gone:#?}");
}

/// The one thing that must never be listed: a lock that OpenClaw keeps because its owner's
/// pid and start time live.
#[test]
fn what_openclaw_knows_to_be_held_is_never_removed() {
    for vector in vectors() {
        let recorded = vector.owner.get("starttime").and_then(Value::as_u64);
        if vector.lives() && recorded.is_some() && recorded == vector.live_starttime {
            let outcome = Outcome::from(&vector.facts(Role::Other).judge());
            assert_eq!(outcome, Outcome::Held, "{}", vector.name);
        }
    }
}

#[test]
fn every_release_with_these_locks_has_decided_every_case() {
    for vector in vectors() {
        let releases: Vec<&str> = vector.expected.keys().map(String::as_str).collect();
        let all = ["2026.4.24", "2026.4.25", "2026.4.26", "2026.4.27", "2026.4.29", "2026.4.30-beta.1"];
        assert_eq!(releases, all, "{}", vector.name);
    }
}
