//! OpenClaw's own decisions against ours.
//!
//! `fixtures/vectors/*.json` hold what the shipped functions of each release decided;
//! `fixtures/vectors/differences.json` holds every case in which we decide otherwise, and why.
//! A difference that is not listed fails, and so does a listed one that has gone.
//!
//! Where the vectors say that a process lives and not what it runs, each is judged twice: the
//! carrier of the pid is `node`, or it is another program.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod facts;

use facts::table::Outcome;
use facts::{Facts, PID, lock, process};
use openclaw_doctor::evidence::{Candidate, LockTimes, Role};
use openclaw_doctor::family::{Family, by_name};
use openclaw_doctor::process::openclaw;
use openclaw_doctor::record::Record;
use openclaw_doctor::units::{EpochMs, StartTicks};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

const RUNTIME_DEPS: &str = include_str!("../fixtures/vectors/rtdeps.json");
const FILE_LOCKS: &str = include_str!("../fixtures/vectors/file-lock.json");
const SESSIONS: &str = include_str!("../fixtures/vectors/session-doctor.json");
const GATEWAYS: &str = include_str!("../fixtures/vectors/gateway-owner-status.json");
const DIFFERENCES: &str = include_str!("../fixtures/vectors/differences.json");

/// What a release did with a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Removed,
    Kept,
    /// It cannot tell: releases to 2026.7 then go by age, later ones keep it.
    Unknown,
}

/// A call of OpenClaw's function: the lock as it would lie on a disk, on a host that sees
/// everything, and what each release answered.
struct Asked {
    vectors: &'static str,
    name: String,
    facts: BTreeMap<&'static str, Facts>,
    /// The pid that is recorded lives.
    lives: bool,
    recorded_ticks: Option<u64>,
    live_ticks: Option<u64>,
    expected: BTreeMap<String, Decision>,
}

/// The process with the recorded pid.
struct Carrier<'a> {
    lives: bool,
    ticks: Option<u64>,
    argv: Option<&'a [String]>,
}

impl Carrier<'_> {
    /// What it may be, as far as the vector says: a runtime, another program, or either.
    fn roles(&self) -> Vec<(&'static str, Role)> {
        let (node, other) = (("node", Role::JavaScript), ("other", Role::Other));
        let said = self.argv.filter(|argv| argv.iter().any(|arg| !arg.is_empty()));
        let Some(argv) = said else { return vec![node, other] };
        let argv: Vec<&[u8]> = argv.iter().map(String::as_bytes).collect();
        let comm = argv.first().and_then(|first| first.rsplit(|byte| *byte == b'/').next()).unwrap_or_default();
        match openclaw::role(comm, &argv, None) {
            Role::Other => vec![other],
            role => vec![("node", role)],
        }
    }

    /// The lock with this carrier of its pid.
    fn join(&self, facts: &Facts) -> BTreeMap<&'static str, Facts> {
        let with = |(name, role)| {
            if !self.lives || facts.lock.record.owner().is_none() {
                return (name, facts.clone());
            }
            let program = if role == Role::Other { "sleep" } else { "node" };
            let start_ticks = self.ticks.map(StartTicks).into_iter().collect();
            (name, facts.clone().and(Candidate { start_ticks, ..process(program, role, StartTicks(0)) }))
        };
        self.roles().into_iter().map(with).collect()
    }
}

/// A lock of this family, last touched at a moment, with a record of these bytes.
fn planted(family: &'static Family, bytes: &[u8], now_ms: i64, touched_ms: i64) -> Facts {
    let mut facts = lock(family.parse(bytes));
    let touched = Some(EpochMs(touched_ms));
    facts.lock.times = LockTimes { lock_modified: touched, record_modified: touched, record_born: touched };
    facts.view.now = EpochMs(now_ms);
    facts.family = family;
    facts
}

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<RuntimeDeps>,
}

/// A call for a lock of the stage directory: whether to remove it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RuntimeDeps {
    name: String,
    owner: Map<String, Value>,
    now_ms: i64,
    /// `"real"`: the function's own liveness check was left in place.
    is_alive: Value,
    live_starttime: Option<u64>,
    expected: BTreeMap<String, bool>,
}

impl RuntimeDeps {
    fn facts(&self) -> Facts {
        let time = |key: &str| self.owner.get(key).map(|ms| EpochMs(ms.as_i64().unwrap()));
        let (lock_modified, record_modified) = (time("lockDirMtimeMs"), time("ownerFileMtimeMs"));
        let mut written = self.owner.clone();
        written.retain(|key, _| !key.ends_with("MtimeMs"));
        // What OpenClaw's reader makes of a missing and of a broken owner.json is the same
        // nothing; the time of the file tells them apart.
        let record = match (written.is_empty(), record_modified) {
            (true, None) => Record::Missing,
            (true, Some(_)) => Record::NotJson,
            (false, _) => by_name("runtime-deps").unwrap().parse(&serde_json::to_vec(&written).unwrap()),
        };
        let mut facts = lock(record);
        // Where the vector names no file times, the files are as old as the record says.
        let created = time("createdAtMs");
        let record_modified = record_modified.or(created);
        facts.lock.times = LockTimes {
            lock_modified: lock_modified.or(created),
            record_modified,
            record_born: created.and(record_modified),
        };
        facts.view.now = EpochMs(self.now_ms);
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

    fn asked(self) -> Asked {
        let carrier = Carrier { lives: self.lives(), ticks: self.live_starttime, argv: None };
        Asked {
            vectors: "rtdeps",
            facts: carrier.join(&self.facts()),
            lives: self.lives(),
            recorded_ticks: self.owner.get("starttime").and_then(Value::as_u64),
            live_ticks: self.live_starttime,
            expected: self.expected.into_iter().map(|(release, removes)| (release, removed(removes))).collect(),
            name: self.name,
        }
    }
}

fn removed(removes: bool) -> Decision {
    if removes { Decision::Removed } else { Decision::Kept }
}

/// A call for a file lock. All ages here are those of a caller that waits 30 s.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FileLock {
    name: String,
    /// Null: what is no JSON.
    payload: Option<Map<String, Value>>,
    pid_definitely_dead: bool,
    live_starttime: Option<u64>,
    mtime_age_ms: i64,
    #[serde(rename = "staleMs")]
    _stale_ms: i64,
    now_ms: i64,
    expected: BTreeMap<String, String>,
}

impl FileLock {
    fn asked(self) -> Asked {
        let bytes = self.payload.as_ref().map_or_else(|| b"no JSON".to_vec(), |map| serde_json::to_vec(map).unwrap());
        let facts = planted(by_name("file-lock").unwrap(), &bytes, self.now_ms, self.now_ms - self.mtime_age_ms);
        let carrier = Carrier { lives: !self.pid_definitely_dead, ticks: self.live_starttime, argv: None };
        let decided = |word: String| match word.as_str() {
            "REMOVE" => Decision::Removed,
            "keep" => Decision::Kept,
            other => panic!("{other}"),
        };
        Asked {
            vectors: "file-lock",
            facts: carrier.join(&facts),
            lives: carrier.lives,
            recorded_ticks: self.payload.and_then(|payload| payload.get("starttime")?.as_u64()),
            live_ticks: self.live_starttime,
            expected: self.expected.into_iter().map(|(release, word)| (release, decided(word))).collect(),
            name: self.name,
        }
    }
}

/// A look of `openclaw doctor` at a session's lock, with an age limit of 30 minutes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Session {
    name: String,
    /// An object, or text that was put into the file as it stands.
    payload: Value,
    is_alive: bool,
    live_starttime: Option<u64>,
    owner_argv: Option<Vec<String>>,
    mtime_age_ms: i64,
    now_ms: i64,
    #[serde(rename = "staleMs")]
    _stale_ms: i64,
    expected: BTreeMap<String, Inspected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inspected {
    #[serde(rename = "stale")]
    _stale: bool,
    #[serde(rename = "reasons")]
    _reasons: Vec<String>,
    removed: bool,
}

impl Session {
    fn asked(self) -> Asked {
        let bytes = match &self.payload {
            Value::String(text) => text.clone().into_bytes(),
            object => serde_json::to_vec(object).unwrap(),
        };
        let facts = planted(by_name("session-write").unwrap(), &bytes, self.now_ms, self.now_ms - self.mtime_age_ms);
        let carrier = Carrier { lives: self.is_alive, ticks: self.live_starttime, argv: self.owner_argv.as_deref() };
        Asked {
            vectors: "session-doctor",
            facts: carrier.join(&facts),
            lives: self.is_alive,
            recorded_ticks: self.payload.get("starttime").and_then(Value::as_u64),
            live_ticks: self.live_starttime,
            expected: self.expected.into_iter().map(|(release, said)| (release, removed(said.removed))).collect(),
            name: self.name,
        }
    }
}

/// A gateway's look at another's lock: whether its owner lives.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Gateway {
    name: String,
    payload: Map<String, Value>,
    is_alive: bool,
    live_start_time: Option<u64>,
    argv: Option<Vec<String>>,
    /// Whether nobody listens on the gateway's port, where that was asked.
    #[serde(rename = "portFree")]
    _port_free: Option<bool>,
    expected: BTreeMap<String, String>,
}

impl Gateway {
    fn asked(self) -> Asked {
        const NOW_MS: i64 = 1_800_000_000_000;
        let family = if self.payload.contains_key("role") { "gateway-state" } else { "gateway" };
        let mut written = self.payload.clone();
        written.insert("pid".to_owned(), PID.into());
        let facts = planted(by_name(family).unwrap(), &serde_json::to_vec(&written).unwrap(), NOW_MS, NOW_MS - 1_000);
        let carrier = Carrier { lives: self.is_alive, ticks: self.live_start_time, argv: self.argv.as_deref() };
        let decided = |word: String| match word.as_str() {
            "dead" => Decision::Removed,
            "alive" => Decision::Kept,
            "unknown" => Decision::Unknown,
            other => panic!("{other}"),
        };
        Asked {
            vectors: "gateway-owner-status",
            facts: carrier.join(&facts),
            lives: self.is_alive,
            recorded_ticks: self.payload.get("startTime").and_then(Value::as_u64),
            live_ticks: self.live_start_time,
            expected: self.expected.into_iter().map(|(release, word)| (release, decided(word))).collect(),
            name: self.name,
        }
    }
}

fn all() -> Vec<Asked> {
    let runtime_deps: Vectors = serde_json::from_str(RUNTIME_DEPS).unwrap();
    let file_locks: Vec<FileLock> = serde_json::from_str(FILE_LOCKS).unwrap();
    let sessions: Vec<Session> = serde_json::from_str(SESSIONS).unwrap();
    let gateways: Vec<Gateway> = serde_json::from_str(GATEWAYS).unwrap();
    let mut all: Vec<Asked> = runtime_deps.vectors.into_iter().map(RuntimeDeps::asked).collect();
    all.extend(file_locks.into_iter().map(FileLock::asked));
    all.extend(sessions.into_iter().map(Session::asked));
    all.extend(gateways.into_iter().map(Gateway::asked));
    all
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    vectors: String,
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
    vectors: String,
    case: String,
    carrier: String,
    release: String,
    openclaw: String,
    ours: String,
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
    for asked in all() {
        for (carrier, facts) in &asked.facts {
            let ours = ours(Outcome::from(&facts.judge()));
            for (release, decision) in &asked.expected {
                let (openclaw, agrees) = match decision {
                    Decision::Removed => ("removed", "removed"),
                    Decision::Kept => ("kept", "left"),
                    Decision::Unknown => ("unknown", "left"),
                };
                if ours != agrees {
                    found.insert(Difference {
                        vectors: asked.vectors.to_owned(),
                        case: asked.name.clone(),
                        carrier: (*carrier).to_owned(),
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
                    vectors: entry.vectors.clone(),
                    case: entry.case.clone(),
                    carrier: carrier.to_owned(),
                    release: release.clone(),
                    openclaw: entry.openclaw.clone(),
                    ours: entry.ours.clone(),
                });
                assert!(fresh, "listed twice: {} {}, {carrier}, {release}", entry.vectors, entry.case);
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
    let mut held = BTreeSet::new();
    for asked in all() {
        if asked.lives && asked.recorded_ticks.is_some() && asked.recorded_ticks == asked.live_ticks {
            for facts in asked.facts.values() {
                assert_eq!(Outcome::from(&facts.judge()), Outcome::Held, "{} {}", asked.vectors, asked.name);
            }
            held.insert(asked.vectors);
        }
    }
    assert_eq!(held.len(), 4, "{held:?}");
}

/// Nor is a lock proven stale that any release keeps, but where the kernel's own numbers say so:
/// nobody has the pid, or who has it started at another tick.
#[test]
fn what_any_release_keeps_is_only_proven_stale_by_pid_and_start_ticks() {
    for asked in all() {
        let proven = asked.facts.values().any(|facts| facts.judge().proof());
        if !proven || asked.expected.values().all(|decision| *decision == Decision::Removed) {
            continue;
        }
        let recycled = asked.recorded_ticks.is_some() && asked.live_ticks.is_some();
        let by_numbers = !asked.lives || (recycled && asked.recorded_ticks != asked.live_ticks);
        assert!(by_numbers, "{} {}: {:?}", asked.vectors, asked.name, asked.expected);
    }
}

#[test]
fn every_release_with_these_locks_has_decided_every_case() {
    let stage = ["2026.4.24", "2026.4.25", "2026.4.26", "2026.4.27", "2026.4.29", "2026.4.30-beta.1"];
    let files = ["2026.2.17", "2026.4.29", "2026.5.12", "2026.5.22", "2026.5.28", "2026.7.1", "2026.8.2", "2026.9.6"];
    let sessions = [
        "2026.3.31",
        "2026.4.24",
        "2026.4.29",
        "2026.5.12",
        "2026.5.2",
        "2026.5.22",
        "2026.5.28",
        "2026.6.1",
        "2026.7.1",
    ];
    let gateways =
        ["2026.1.29", "2026.2.17", "2026.2.26", "2026.4.29", "2026.6.11", "2026.7.1", "2026.8.2", "2026.9.6"];
    for asked in all() {
        let releases: Vec<&str> = asked.expected.keys().map(String::as_str).collect();
        let all = match asked.vectors {
            "rtdeps" => &stage[..],
            "file-lock" => &files,
            "session-doctor" => &sessions,
            _ => &gateways,
        };
        assert_eq!(releases, all, "{} {}", asked.vectors, asked.name);
    }
}
