//! A machine of a test's own shows what the test made, and nothing else.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)]

mod support;
use support::machine::{VOUCHED, is_own_machine, moved_to_own_machine};
use support::{DEPS, Stage, dead_pid, doctor, gateway, record};

const VERSION: &str = "openclaw-2026.4.29-aaaaaaaaaaaa";

/// What it must not see runs and lies on the outer machine meanwhile.
#[test]
fn a_test_on_its_own_machine_sees_no_openclaw_of_another() {
    let tree = Stage::new();
    let running = (!is_own_machine()).then(|| {
        tree.lock(&format!(".openclaw/plugin-runtime-deps/{VERSION}"), DEPS, Some(&record(dead_pid(), Some(7))));
        gateway(tree.path(), "2026.9.6", &tree.path().join(".openclaw"))
    });
    if moved_to_own_machine() {
        return;
    }
    assert!(running.is_none());
    let answer = doctor(["scan", "--json"]);
    let seen = answer.json();
    assert_eq!((&seen["locks"], &seen["problems"]), (&serde_json::json!([]), &serde_json::json!([])), "{seen}");
    assert_eq!(seen["host"]["openclaw_versions"], serde_json::json!([]), "{seen}");
    let has_state = |entry: &std::fs::DirEntry| entry.path().join(".openclaw").exists();
    assert!(!std::fs::read_dir("/tmp").unwrap().any(|entry| has_state(&entry.unwrap())), "the outer machine's /tmp");
}

/// The controls of the test above: there the same OpenClaw, lock and package are seen.
#[test]
fn what_a_test_makes_on_its_own_machine_is_seen_there() {
    if moved_to_own_machine() {
        return;
    }
    assert!(std::process::id() < 1_000, "a PID namespace of its own");
    let stage = Stage::new();
    let state = stage.path().join("state");
    let lock = stage.lock(&format!("state/plugin-runtime-deps/{VERSION}"), DEPS, Some(&record(dead_pid(), Some(7))));
    let running = gateway(stage.path(), "2026.9.6", &state);
    let seen = doctor(["scan", "--json", VOUCHED]).json();
    assert_eq!(seen["host"]["openclaw_versions"], serde_json::json!(["2026.9.6"]), "{seen}");
    assert_eq!(seen["locks"][0]["path"], lock.to_str().unwrap(), "{seen}");
    assert_eq!(seen["locks"][0]["proof"], true, "{seen}");
    drop(running);
}
