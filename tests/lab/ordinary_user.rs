//! What needs no root: the four classes and their proofs on the host.

use super::machine::Need::{Host, Root};
use super::machine::{Bench, have};
use super::view::{as_nobody, on_host, stage, verdict_at};
use crate::support::{DEPS, Living, dead_pid, record};

#[test]
fn an_ordinary_user_gets_the_same_four_classes_and_proofs_as_root() {
    if !have(&[Root, Host]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let owner = Living::sleep();
    let (pid, ticks) = (owner.pid(), owner.ticks());
    let cases = [
        ("openclaw-2026.4.29-aaaaaaaaaaaa", record(pid, Some(ticks)), "active owner-alive held host 1"),
        (
            "openclaw-2026.4.29-bbbbbbbbbbbb",
            record(pid, Some(ticks - 1)),
            "stale-recycled-pid start-ticks-differ PROOF host 1",
        ),
        (
            "openclaw-2026.4.29-cccccccccccc",
            record(dead_pid(), Some(ticks)),
            "stale-dead-pid no-such-process PROOF host 1",
        ),
        (
            "openclaw-2026.4.26-dddddddddddd",
            record(pid, None),
            "legacy-unverifiable carrier-not-javascript likely-stale host 1",
        ),
    ];
    for (directory, text, _) in &cases {
        stage.lock(directory, DEPS, Some(text));
    }
    for answer in [on_host(stage.path()), as_nobody(&bench, stage.path())] {
        for (directory, _, expected) in &cases {
            assert_eq!(verdict_at(&answer, format!("{directory}/{DEPS}")), *expected);
        }
    }
}
