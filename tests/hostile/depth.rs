//! How deep a PATH is looked through, and what is told of the rest.

use super::look::look;
use super::support::{Answer, DEPS, Stage, dead_pid, doctor, record};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn stale() -> String {
    record(dead_pid(), Some(7))
}

/// A session lock in a state dir of this name, below the stage.
fn session_lock(stage: &Stage, state: &str) -> PathBuf {
    let lock = stage.path().join(state).join("agents/main/sessions/x.jsonl.lock");
    std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let text = format!("{{\"pid\":{},\"createdAt\":\"2026-01-01T00:00:00.000Z\",\"starttime\":7}}", dead_pid());
    std::fs::write(&lock, text).unwrap();
    lock
}

fn paths(answer: &Answer) -> Vec<PathBuf> {
    let json = answer.json();
    json["locks"].as_array().unwrap().iter().map(|lock| lock["path"].as_str().unwrap().into()).collect()
}

/// Path and cause of the one problem of an answer that says that locks may be missed.
fn left(answer: &Answer, stage: &Stage) -> (PathBuf, String) {
    let json = answer.json();
    assert_eq!((json["problems"].as_array().unwrap().len(), answer.code()), (1, 3), "{}", answer.out());
    let table = doctor(["scan".as_ref(), stage.path().as_os_str()]).out();
    assert!(!table.contains("Nothing stale"), "{table}");
    let problem = &json["problems"][0];
    (problem["path"].as_str().unwrap().into(), problem["cause"].as_str().unwrap().to_owned())
}

/// As a community guide for several instances on one host lays them out.
#[test]
fn the_places_of_a_state_dir_are_found_at_any_depth_under_any_name() {
    for state in ["openclaw-multi/data/oc7/config", "a/b/c/oc7/config", "a/b/c/d/e/.openclaw"] {
        let stage = Stage::new();
        let lock = session_lock(&stage, state);
        std::fs::write(stage.path().join(state).join("openclaw.json"), "{}").unwrap();
        let answer = look(stage.path(), &[stage.path()]);
        assert_eq!((paths(&answer), answer.code()), (vec![lock], 1), "{state}: {}", answer.out());
    }
    let stage = Stage::new();
    let version = "a/b/c/d/e/plugin-runtime-deps/openclaw-2026.4.29-0123456789ab";
    let lock = stage.lock(version, DEPS, Some(&stale()));
    let answer = look(stage.path(), &[stage.path()]);
    assert_eq!((paths(&answer), answer.code()), (vec![lock], 1), "{}", answer.out());
}

#[test]
fn what_lies_too_deep_is_a_problem_with_the_path_that_finds_it() {
    let stage = Stage::new();
    let lock = stage.lock("1/2/3/4/5/6/7/8", DEPS, Some(&stale()));
    let (path, cause) = left(&look(stage.path(), &[stage.path()]), &stage);
    assert_eq!(path, stage.path().join("1/2/3/4/5/6"));
    assert!(cause.starts_with("1 directory"), "{cause}");
    for args in [vec![path.as_path()], vec![stage.path(), &path]] {
        let answer = look(stage.path(), &args);
        assert_eq!((paths(&answer), answer.code()), (vec![lock.clone()], 1), "{}", answer.out());
        assert_eq!(answer.json()["problems"], Value::Array(Vec::new()));
    }
}

#[test]
fn a_hundred_directories_too_deep_are_one_problem() {
    let stage = Stage::new();
    let sixth = stage.lock("1/2/3/4/5", DEPS, Some(&stale()));
    for number in 0..100 {
        std::fs::create_dir_all(stage.path().join(format!("1/2/{}/4/5/{number}", number % 3))).unwrap();
    }
    let answer = look(stage.path(), &[stage.path()]);
    assert_eq!(paths(&answer), [sixth], "the sixth level is looked at");
    let (path, cause) = left(&answer, &stage);
    assert_eq!(path, stage.path().join("1/2"), "it leads to all of them");
    assert!(cause.starts_with("100 directories"), "{cause}");
    let answer = look(stage.path(), &[&path]);
    assert_eq!((answer.json()["problems"].as_array().unwrap().len(), answer.code()), (0, 1), "{}", answer.out());

    std::fs::create_dir_all(stage.path().join("0/2/3/4/5/6")).unwrap();
    let (path, cause) = left(&look(stage.path(), &[stage.path()]), &stage);
    assert_eq!(path, stage.path().join("0/2/3/4/5/6"), "the first: only the root leads to all of them");
    assert!(cause.starts_with("101 directories"), "{cause}");
}

/// Else every state dir with a checkout in its workspace, and every project, would end with exit code 3.
#[test]
fn what_holds_no_locks_is_no_problem_however_deep_it_is() {
    let stage = Stage::new();
    for deep in [
        "project/.git/objects/a/b/c/d/e",
        "project/node_modules/a/b/c/d/e/f",
        ".openclaw/workspace/project/src/a/b/c",
        "served/config/workspace/project/src/a/b/c",
        "plugin-runtime-deps/openclaw-2026.4.29-0123456789ab/dist/a/b/c/d/e",
    ] {
        std::fs::create_dir_all(stage.path().join(deep)).unwrap();
    }
    std::fs::write(stage.path().join("served/config/openclaw.json"), "{}").unwrap();
    std::fs::create_dir_all(stage.path().join("served/config/plugin-runtime-deps")).unwrap();
    let answer = look(stage.path(), &[stage.path()]);
    assert_eq!((&answer.json()["problems"], answer.code()), (&Value::Array(Vec::new()), 0), "{}", answer.out());
    // A state dir's neighbour is not known by it.
    std::fs::create_dir_all(stage.path().join("served/photos/a/b/c/d")).unwrap();
    let (path, _) = left(&look(stage.path(), &[stage.path()]), &stage);
    assert_eq!(path, Path::new(stage.path()).join("served/photos/a/b/c/d"));
}
