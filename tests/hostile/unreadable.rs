//! What an ordinary user may not read: said aloud, with the remedy, and never taken for health.

use super::look::{Ordinary, guarded, look_as_ordinary, mode, open_to_all};
use super::support::{Answer, DEPS, Stage, dead_pid, record};
use std::path::{Path, PathBuf};

/// Gives a directory its rights back when the test ends, so that it can be removed.
struct Dark(PathBuf);

impl Dark {
    fn new(path: &Path, bits: u32) -> Self {
        mode(path, bits);
        Self(path.to_owned())
    }
}

impl Drop for Dark {
    fn drop(&mut self) {
        mode(&self.0, 0o755);
    }
}

/// A stage with one lock, open to every user down to the lock.
fn stage() -> (Stage, PathBuf) {
    let stage = Stage::new();
    let lock = stage.lock("v", DEPS, Some(&record(dead_pid(), Some(7))));
    open_to_all(stage.path());
    (stage, lock)
}

fn assert_told(answer: &Answer, path: &Path) {
    let json = answer.json();
    assert_eq!(answer.code(), 3, "{}", answer.out());
    let problem = &json["problems"][0];
    assert_eq!(problem["path"], path.to_str().unwrap(), "{json}");
    assert!(problem["cause"].as_str().unwrap().ends_with("Permission denied"), "{problem}");
    assert!(problem["next_step"].as_str().unwrap().contains("root"), "{problem}");
}

#[test]
fn a_root_that_may_not_be_read_is_not_empty() {
    // Neither; names only (r); entering only (x).
    for bits in [0, 0o444, 0o311] {
        let (stage, lock) = stage();
        let root = lock.parent().unwrap().to_owned();
        let dark = Dark::new(&root, bits);
        let answer = look_as_ordinary(stage.path(), &[&root]);
        let told = if bits == 0o444 { &lock } else { &root };
        assert_told(&answer, told);
        let ordinary = Ordinary::new();
        let mut table = ordinary.command();
        table.arg("scan").arg(&root);
        let table = Answer(guarded(table)).out();
        assert!(!table.contains("Nothing stale"), "{bits:o}: {table}");
        drop(dark);
    }
}

#[test]
fn a_version_directory_that_may_not_be_read_may_hide_a_lock() {
    let (stage, lock) = stage();
    let _dark = Dark::new(lock.parent().unwrap(), 0);
    assert_told(&look_as_ordinary(stage.path(), &[stage.path()]), lock.parent().unwrap());
}

#[test]
fn a_directory_above_that_may_not_be_entered_is_told() {
    let (stage, lock) = stage();
    let _dark = Dark::new(stage.path(), 0);
    for path in [lock.clone(), lock.parent().unwrap().to_owned()] {
        let ordinary = Ordinary::new();
        let mut doctor = ordinary.command();
        doctor.args(["scan", "--json"]).arg(&path);
        assert_told(&Answer(guarded(doctor)), lock.parent().unwrap());
    }
}

#[test]
fn a_lock_that_may_not_be_read_is_listed_and_not_judged_dead() {
    for dark in ["", "owner.json"] {
        let (stage, lock) = stage();
        let _dark = Dark::new(&lock.join(dark), 0);
        let answer = look_as_ordinary(stage.path(), &[stage.path()]);
        let lock = answer.lock();
        assert_eq!((&lock["reason"], &lock["proof"]), (&"record-unreadable".into(), &false.into()));
        assert_eq!((&lock["leaning"], answer.code()), (&"likely-held".into(), 1));
        // What lifts it is more rights, not a look at other machines.
        assert!(lock["next_step"].as_str().unwrap().contains("as root"), "{lock}");
    }
}

/// Being root is needed for no proof.
#[test]
fn an_ordinary_user_gets_the_same_proof_from_what_he_may_read() {
    let (stage, _) = stage();
    let lock = look_as_ordinary(stage.path(), &[stage.path()]).lock();
    assert_eq!((&lock["classification"], &lock["proof"]), (&"stale-dead-pid".into(), &true.into()), "{lock}");
}
