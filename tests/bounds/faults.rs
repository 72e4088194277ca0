//! The law over the gatherer: with one call of a run failing, nothing moves towards removal, and a
//! lock that is not seen any more leaves a problem behind.

use super::support::machine::{VOUCHED, moved_to_own_machine};
use super::support::trace::{can_trace, traced};
use super::support::{DEPS, Living, MIRROR, Stage, dead_pid, record};
use serde_json::Value;
use std::collections::BTreeMap;

/// Calls by which a run looks at anything.
const CALLS: [&str; 9] =
    ["openat", "openat2", "open", "readlinkat", "read", "statx", "getdents64", "pidfd_open", "fstatfs"];
const ERRORS: [&str; 5] = ["EIO", "ENOMEM", "EMFILE", "ESTALE", "EPERM"];
/// Of each call so many places in a run, the first of them and others evenly after it.
const PLACES: usize = 14;

/// How far a plan is from removal.
fn distance(plan: &str) -> u8 {
    match plan {
        "remove" => 0,
        "ask" => 1,
        "leave" => 2,
        other => panic!("{other}"),
    }
}

fn plans(report: &Value) -> BTreeMap<String, u8> {
    let locks = report["locks"].as_array().unwrap().iter();
    locks.map(|lock| (lock["path"].as_str().unwrap().to_owned(), distance(lock["plan"].as_str().unwrap()))).collect()
}

#[test]
fn no_failing_call_moves_a_lock_towards_removal_or_hides_one() {
    if !can_trace() || moved_to_own_machine() {
        return;
    }
    let (stage, living, recycled) = (Stage::new(), Living::sleep(), Living::sleep());
    let version = |name: &str| format!("state/plugin-runtime-deps/openclaw-2026.4.29-{name}");
    let dead = record(dead_pid(), Some(7));
    stage.lock(&version("aaaaaaaaaaaa"), DEPS, Some(&dead));
    stage.lock(&version("aaaaaaaaaaaa"), MIRROR, Some(&record(living.pid(), Some(living.ticks()))));
    stage.lock(&version("bbbbbbbbbbbb"), DEPS, Some(&record(living.pid(), None)));
    stage.lock(&version("bbbbbbbbbbbb"), MIRROR, Some(&record(recycled.pid(), Some(recycled.ticks() - 1))));
    let config = stage.path().join("state/openclaw.json");
    std::fs::write(&config, "{}").unwrap();
    std::fs::write(config.with_extension("json.lock"), &dead).unwrap();

    let args = ["repair".as_ref(), "--dry-run".as_ref(), "--json".as_ref(), VOUCHED.as_ref(), stage.path().as_os_str()];
    let (whole, _) = traced(&["-e", "trace=none"], args);
    let expected = plans(&whole.json());
    assert_eq!(expected.len(), 5, "{}", whole.out());
    let mut met = 0;
    for (turn, call) in CALLS.into_iter().enumerate() {
        let (_, trace) = traced(&["-e", &format!("trace={call}")], args);
        let calls = trace.lines().filter(|line| line.contains(&format!("{call}("))).count();
        let places = (0..calls.min(PLACES)).map(|place| 1 + place * calls / PLACES.min(calls));
        for (index, place) in places.enumerate() {
            let error = ERRORS[(index + turn) % ERRORS.len()];
            let inject = format!("inject={call}:error={error}:when={place}");
            let (answer, trace) = traced(&["-e", &format!("trace={call}"), "-e", &inject], args);
            let what = format!("{inject}: {}{}", answer.out(), answer.err());
            // What the loader cannot read is no run; one that is refused has looked at nothing.
            if answer.code() == 127 || answer.code() == 2 {
                continue;
            }
            met += usize::from(trace.contains("(INJECTED)"));
            let json = answer.json();
            for (path, distance) in plans(&json) {
                assert!(distance >= expected[&path], "{path} moved towards removal, {what}");
            }
            let problems = json["problems"].as_array().unwrap();
            let missing: Vec<&String> = expected.keys().filter(|path| !plans(&json).contains_key(*path)).collect();
            assert!(missing.is_empty() || answer.code() == 3, "{missing:?} not found, and nothing said, {what}");
            for problem in problems {
                for field in ["path", "cause", "next_step"] {
                    assert!(!problem[field].as_str().unwrap().is_empty(), "{what}");
                }
            }
            assert_eq!(problems.is_empty(), answer.code() != 3, "{what}");
        }
    }
    assert!(met > 50, "only {met} calls failed");
}
