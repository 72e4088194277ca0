//! What a plain user sees on any Linux (DESIGN section 5, last paragraph), through the binary.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;
use support::{DEPS, Living, Stage, dead_pid, doctor, record};

#[test]
fn four_locks_get_their_four_classes() {
    let stage = Stage::new();
    let owner = Living::sleep();
    stage.lock("openclaw-2026.4.29-aaaaaaaaaaaa", DEPS, Some(&record(owner.pid(), Some(owner.ticks()))));
    stage.lock("openclaw-2026.4.29-bbbbbbbbbbbb", DEPS, Some(&record(owner.pid(), Some(owner.ticks() - 7))));
    stage.lock("openclaw-2026.4.29-cccccccccccc", DEPS, Some(&record(dead_pid(), Some(7))));
    stage.lock("openclaw-2026.4.26-dddddddddddd", DEPS, Some(&record(owner.pid(), None)));
    let answer = doctor(["scan".as_ref(), stage.path().as_os_str(), "--json".as_ref()]);
    let class = |version: &str| {
        let lock = answer.lock_at(format!("{version}/{DEPS}"));
        (lock["classification"].as_str().unwrap().to_owned(), lock["proof"].as_bool().unwrap())
    };
    assert_eq!(class("openclaw-2026.4.29-aaaaaaaaaaaa"), ("active".to_owned(), false));
    assert_eq!(class("openclaw-2026.4.29-bbbbbbbbbbbb"), ("stale-recycled-pid".to_owned(), true));
    assert_eq!(class("openclaw-2026.4.29-cccccccccccc"), ("stale-dead-pid".to_owned(), true));
    assert_eq!(class("openclaw-2026.4.26-dddddddddddd"), ("legacy-unverifiable".to_owned(), false));
    assert_eq!(answer.code(), 1);
}
