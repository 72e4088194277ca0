//! A family that is never removed stays, whatever the evidence and whatever was asked.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod facts;
mod support;
#[path = "support/world.rs"]
mod world;

use facts::table::cases;
use openclaw_doctor::explain::advice;
use openclaw_doctor::family::{FAMILIES, Family, Removal};
use openclaw_doctor::plan::{Allowed, Intent, Left, intent};
use openclaw_doctor::verdict::Standing;
use openclaw_doctor::warrant::{Basis, Warrant};
use rustix::fs::{FlockOperation, fcntl_lock};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use support::{Answer, Living, Stage, dead_pid};
use world::{Doctor, age};

fn never() -> &'static Family {
    Box::leak(Box::new(Family { name: "kept", removal: Removal::Never, ..FAMILIES[0].clone() }))
}

#[test]
fn no_evidence_and_no_word_removes_it() {
    let (family, mut held, mut kept) = (never(), 0, 0);
    for case in cases() {
        let verdict = case.facts.judge();
        for basis in [Basis::Proof, Basis::Answer, Basis::Yes, Basis::Named] {
            assert_eq!(Warrant::new(family, &verdict, None, basis), None, "{}", case.evidence);
        }
        for bits in 0..8 {
            let allowed = Allowed { yes: bits & 1 > 0, interactive: bits & 2 > 0, named: bits & 4 > 0 };
            let expected = match verdict.standing {
                Standing::Held => {
                    held += 1;
                    Left::Active
                }
                _ => {
                    kept += 1;
                    Left::NeverRemoved
                }
            };
            assert_eq!(intent(family, &verdict, None, allowed), Intent::Leave(expected), "{}", case.evidence);
        }
        let said = advice(family, &case.facts.lock, &verdict, None, "/data/lock", &case.facts.view);
        assert_eq!(said.command, None, "{}: {said}", case.evidence);
    }
    assert!(held > 0 && kept > 0);
}

/// Where a lock of each such family lies, and what a dead owner has left there.
fn leftovers(base: &Path) -> Vec<(&'static str, PathBuf)> {
    let dead = dead_pid();
    let file = |below: &str, text: String| {
        let path = base.join(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    let lifecycle = |pid: u32| {
        format!("{{\n  \"kind\": \"openclaw-package-lifecycle\",\n  \"pid\": {pid},\n  \"starttime\": 7\n}}\n")
    };
    let bare = base.join("b/.openclaw-lifecycle-lock");
    std::fs::create_dir_all(&bare).unwrap();
    let copy = "c/9f-01234567-0123-0123-0123-0123456789ab/recovery.lock/owner.json";
    let recovery = file(copy, format!("{{\"pid\":{dead},\"generation\":3}}\n"));
    vec![
        ("package-lifecycle", file("a/.openclaw-lifecycle-lock", lifecycle(dead))),
        ("package-lifecycle", bare),
        ("crabbox-recovery", recovery.parent().unwrap().to_owned()),
    ]
}

fn words<'a>(more: &[&'a str]) -> Vec<&'a OsStr> {
    ["repair", "--json"].into_iter().chain(more.iter().copied()).map(AsRef::as_ref).collect()
}

/// Every way to ask for a lock: without a word, with `--yes`, by name, with an answer.
fn ask_for(lock: &Path) -> Vec<(&'static str, Answer)> {
    let own = Doctor::own();
    let scope = lock.parent().unwrap().as_os_str();
    let typed = |named: &[&OsStr]| {
        let mut terminal = own.in_terminal(words(&[]).into_iter().chain(named.iter().copied()).chain([scope]));
        terminal.types("y\n");
        terminal.end()
    };
    let by_name = ["--lock".as_ref(), lock.as_os_str()];
    vec![
        ("no word", own.run(words(&[]).into_iter().chain([scope]))),
        ("--yes", own.run(words(&["--yes"]).into_iter().chain([scope]))),
        ("by name", own.run(words(&["--yes"]).into_iter().chain(by_name).chain([scope]))),
        (
            "single writer, by name",
            own.run(words(&["--yes", "--assume-single-writer"]).into_iter().chain(by_name).chain([scope])),
        ),
        ("an answer", typed(&[])),
        ("an answer, by name", typed(&by_name)),
    ]
}

/// What stands at a path, as far as it can be told without opening it.
fn stands(path: &Path) -> (u64, u64, i64) {
    let meta = std::fs::symlink_metadata(path).unwrap();
    (meta.ino(), meta.size(), meta.mtime())
}

#[test]
fn what_a_dead_owner_has_left_stays_whatever_is_asked() {
    let stage = Stage::new();
    for (family, lock) in leftovers(stage.path()) {
        age(&lock);
        let before = stands(&lock);
        for (how, answer) in ask_for(&lock) {
            let (judged, at) = (answer.lock(), format!("{family}, {how}\n{}{}", answer.out(), answer.err()));
            assert_eq!(judged["family"], family, "{at}");
            assert_eq!((judged["outcome"].as_str(), answer.code()), (Some("held-back"), 1), "{at}");
            assert_eq!(judged["consent"].as_str(), None, "{at}");
            assert!(judged["next_step"].as_str().unwrap().contains("never removed"), "{at}");
            assert!(!answer.err().contains("[y/N/e]"), "asked: {at}");
            assert_eq!(stands(&lock), before, "{at}");
        }
        assert!(lock.ends_with(".openclaw-lifecycle-lock") || lock.join("owner.json").exists(), "{}", lock.display());
    }
}

/// Else who reads “may be removed without asking” waits for a repair that never does it.
#[test]
fn a_proven_one_is_said_to_stay() {
    let stage = Stage::new();
    let (own, mut proven) = (Doctor::own(), 0);
    for (family, lock) in leftovers(stage.path()) {
        let run = |command: &str| own.run([command.as_ref(), "--assume-single-writer".as_ref(), lock.as_os_str()]);
        let told = run("explain").out();
        assert!(!told.contains("without asking"), "{family}: {told}");
        let verdict = told.lines().find(|line| line.starts_with("Verdict")).unwrap();
        if verdict.contains("proven") && !verdict.contains("not proven") {
            assert!(verdict.contains("a lock of this kind is never removed"), "{family}: {told}");
            let scan = run("scan").out();
            assert!(scan.contains("locks of this kind are never removed"), "{family}: {scan}");
            proven += 1;
        }
    }
    assert!(proven > 0);
}

/// Held by this very process: the kernel says so, whatever stands in the file.
#[test]
fn a_kernels_lock_stays_held_or_not_whatever_is_asked() {
    let (stage, sleeper) = (Stage::new(), Living::sleep());
    let lock = stage.path().join("gateway.5b681173.lock.sqlite");
    let text = format!("{{\"pid\": {}, \"starttime\": 7}}", sleeper.pid());
    std::fs::write(&lock, text).unwrap();
    age(&lock);
    let before = stands(&lock);
    let held = std::fs::OpenOptions::new().read(true).write(true).open(&lock).unwrap();
    fcntl_lock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
    for (how, answer) in ask_for(&lock) {
        let (judged, at) = (answer.lock(), format!("sqlite-coordinator, {how}\n{}", answer.out()));
        assert_eq!(judged["family"], "sqlite-coordinator", "{at}");
        assert_eq!(judged["classification"], "active", "{at}");
        assert_eq!((judged["outcome"].as_str(), answer.code()), (Some("held-back"), 0), "{at}");
        assert_eq!(stands(&lock), before, "{at}");
    }
    drop(held);
    // Nobody holds it: it is no lock, and its file stays.
    let own = Doctor::own();
    for more in [&[][..], &["--yes"]] {
        let answer = own.run(words(more).into_iter().chain([stage.path().as_os_str()]));
        assert_eq!((answer.json()["locks"].as_array().unwrap().len(), answer.code()), (0, 0), "{}", answer.out());
        assert_eq!(stands(&lock), before);
    }
    let named = own.run(["repair".as_ref(), "--yes".as_ref(), "--lock".as_ref(), lock.as_os_str()]);
    assert_eq!(named.code(), 2, "{}", named.err());
    assert_eq!(stands(&lock), before);
}

#[test]
fn every_family_that_is_never_removed_was_asked_for() {
    let never: BTreeSet<&str> =
        FAMILIES.iter().filter(|family| family.removal == Removal::Never).map(|family| family.name).collect();
    assert_eq!(never, BTreeSet::from(["sqlite-coordinator", "package-lifecycle", "crabbox-recovery"]));
}
