//! Where locks are looked for, where not, and what a PATH may be.

use super::look::{guarded, is_root, look, look_as_ordinary, mode, open_to_all, skip};
use super::support::{Answer, DEPS, MIRROR, Stage, command, dead_pid, doctor, record};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

fn stale() -> String {
    record(dead_pid(), Some(7))
}

fn paths(answer: &Answer) -> Vec<PathBuf> {
    let json = answer.json();
    json["locks"].as_array().unwrap().iter().map(|lock| lock["path"].as_str().unwrap().into()).collect()
}

fn only_problem(answer: &Answer) -> (PathBuf, String) {
    let json = answer.json();
    assert_eq!(json["problems"].as_array().unwrap().len(), 1, "{}", answer.out());
    let problem = &json["problems"][0];
    (problem["path"].as_str().unwrap().into(), problem["cause"].as_str().unwrap().to_owned())
}

#[test]
fn a_path_that_cannot_be_looked_at_is_never_called_healthy() {
    let stage = Stage::new();
    let (gone, file, empty) = (stage.path().join("gone"), stage.path().join("file"), stage.path().join("empty"));
    std::fs::write(&file, "text").unwrap();
    std::fs::write(&empty, "").unwrap();
    let dangling = stage.path().join("dangling");
    symlink("/nowhere", &dangling).unwrap();
    let own = stage.path().join("loop");
    symlink("loop", &own).unwrap();
    let (below_file, no_lock) = (file.join("below"), stage.path().join(DEPS));
    for (path, words) in [
        (&gone, "No such file"),
        (&file, "Not a directory"),
        (&empty, "Not a directory"),
        (&dangling, "No such file"),
        (&own, "symbolic links"),
        (&below_file, "Not a directory"),
        (&no_lock, "No such file"),
    ] {
        let answer = look(stage.path(), &[path]);
        let (named, cause) = only_problem(&answer);
        assert_eq!((named.as_path(), answer.code()), (path.as_path(), 3));
        assert!(cause.contains(words), "{cause}");
        let table = doctor(["scan".as_ref(), path.as_os_str()]).out();
        assert!(!table.contains("Nothing stale") && table.contains("may be missed"), "{table}");
        let report = answer.json();
        assert_eq!(report["roots"].as_array().unwrap().len(), 1, "{report}");
    }
}

/// A dead place among living ones costs its own answer and no other.
#[test]
fn one_bad_path_does_not_hide_the_locks_of_the_others() {
    let stage = Stage::new();
    let lock = stage.lock("good/v", DEPS, Some(&stale()));
    let gone = stage.path().join("gone");
    for order in [[gone.clone(), stage.path().join("good")], [stage.path().join("good"), gone.clone()]] {
        let answer = look(stage.path(), &order);
        assert_eq!(paths(&answer), std::slice::from_ref(&lock));
        assert_eq!((only_problem(&answer).0, answer.code()), (gone.clone(), 3));
        let roots = answer.json()["roots"].clone();
        let error_of = |path: &Path| {
            let root = roots.as_array().unwrap().iter().find(|root| root["path"] == path.to_str().unwrap());
            root.unwrap_or_else(|| panic!("{path:?} in {roots}"))["error"].clone()
        };
        assert!(error_of(&gone).is_string() && error_of(&stage.path().join("good")) == Value::Null, "{roots}");
    }
}

#[test]
fn a_path_may_be_any_directory_from_above_the_state_dir_down_to_the_lock() {
    let stage = Stage::new();
    let lock = stage.lock(".openclaw/plugin-runtime-deps/openclaw-2026.4.29-0123456789ab", DEPS, Some(&stale()));
    for path in lock.ancestors().take(5) {
        assert_eq!(paths(&look(stage.path(), &[path])), std::slice::from_ref(&lock), "{path:?}");
    }
    let slash = PathBuf::from(format!("{}/", lock.display()));
    assert_eq!(paths(&look(stage.path(), &[slash])), std::slice::from_ref(&lock));
    for (directory, path) in [(&lock, "."), (&lock, "owner.json/../../."), (&lock, "..")] {
        let mut relative = command();
        relative.current_dir(directory).args(["scan", "--json", path]);
        let answer = Answer(guarded(relative));
        if path == "owner.json/../../." {
            assert_eq!(answer.code(), 3, "{}", answer.out());
        } else {
            assert_eq!(
                paths(&answer).iter().filter(|path| path.ends_with(DEPS)).count(),
                1,
                "{path}: {}",
                answer.out()
            );
        }
    }
}

/// An operator follows his own link; the answer must not be "no locks" for the lock he named.
#[test]
fn a_link_to_a_lock_or_a_root_shows_what_it_leads_to() {
    let stage = Stage::new();
    let lock = stage.lock("root/v", DEPS, Some(&stale()));
    let (to_root, to_lock) = (stage.path().join("to-root"), stage.path().join("to-lock"));
    symlink(stage.path().join("root"), &to_root).unwrap();
    symlink(&lock, &to_lock).unwrap();
    assert_eq!(paths(&look(stage.path(), &[&to_root])), [to_root.join("v").join(DEPS)]);
    let answer = look(stage.path(), &[&to_lock]);
    assert_eq!(answer.lock()["classification"], "stale-dead-pid", "{}", answer.out());
    // Below a root no link is followed.
    assert_eq!(paths(&look(stage.path(), &[stage.path()])), [lock]);
}

#[test]
fn a_lock_name_inside_node_modules_or_inside_a_lock_is_no_lock() {
    let stage = Stage::new();
    let lock = stage.lock("v", DEPS, Some(&stale()));
    stage.lock("v/node_modules", DEPS, Some(&stale()));
    stage.lock("v/node_modules/pkg", MIRROR, Some(&stale()));
    stage.lock(&format!("v/{DEPS}/inner"), DEPS, Some(&stale()));
    stage.lock(&format!("v/{MIRROR}"), DEPS, Some(&stale()));
    let answer = look(stage.path(), &[stage.path()]);
    assert_eq!(paths(&answer), [lock, stage.path().join("v").join(MIRROR)]);
    assert_eq!(answer.lock_at(format!("v/{MIRROR}"))["reason"], "record-missing");
    // Entries: v, its node_modules and the two locks; nothing below them.
    assert_eq!(answer.json()["summary"]["entries_seen"], 4);
}

#[test]
fn what_only_looks_like_a_lock_is_shown_once_and_never_judged() {
    let stage = Stage::new();
    stage.lock("v", ".foo.lock", Some(&stale()));
    stage.lock("v", "recovery.lock", Some("{}"));
    stage.lock("v", ".bare.lock", None);
    std::fs::write(stage.path().join("v/.file.lock"), stale()).unwrap();
    stage.lock("v", ".openclaw-runtime-deps.lockx", Some(&stale()));
    stage.lock("v", "openclaw-runtime-deps.lock", Some(&stale()));
    let expected: BTreeSet<String> = [".foo.lock", "recovery.lock", "openclaw-runtime-deps.lock"]
        .iter()
        .map(|name| stage.path().join("v").join(name).to_str().unwrap().to_owned())
        .collect();
    let version = stage.path().join("v");
    for args in [vec![stage.path()], vec![stage.path(), &version], vec![&version, stage.path()]] {
        let answer = look(stage.path(), &args);
        let json = answer.json();
        let found: Vec<String> =
            json["look_alikes"].as_array().unwrap().iter().map(|l| l["path"].as_str().unwrap().to_owned()).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
        assert_eq!((paths(&answer), answer.code()), (Vec::new(), 0));
    }
}

#[test]
fn no_lock_is_counted_twice_however_often_its_place_is_named() {
    let stage = Stage::new();
    let first = stage.lock("a/v", DEPS, Some(&stale()));
    let second = stage.lock("a/v", MIRROR, Some(&stale()));
    let link = stage.path().join("link");
    symlink(stage.path().join("a"), &link).unwrap();
    let (a, v) = (stage.path().join("a"), stage.path().join("a/v"));
    for args in [
        vec![stage.path().to_owned(), stage.path().to_owned()],
        vec![stage.path().to_owned(), a.clone(), v.clone(), first.clone()],
        vec![a.clone(), link.clone()],
        vec![a, v, first.clone(), first.clone(), second.clone()],
    ] {
        assert_eq!(paths(&look(stage.path(), &args)), [first.clone(), second.clone()], "{args:?}");
    }
    // From below upwards each lock keeps the path under which it was found first.
    let answer = look(stage.path(), &[first.clone(), second.clone(), link]);
    assert_eq!(paths(&answer), [first, second]);
}

#[test]
fn a_directory_named_twice_is_one_problem() {
    let stage = Stage::new();
    let dark = stage.path().join("a/dark");
    std::fs::create_dir_all(&dark).unwrap();
    open_to_all(stage.path());
    open_to_all(&stage.path().join("a"));
    mode(&dark, 0);
    let answer = look_as_ordinary(stage.path(), &[stage.path(), &stage.path().join("a")]);
    assert_eq!((only_problem(&answer).0, answer.code()), (dark.clone(), 3));
    mode(&dark, 0o755);
}

#[test]
fn ten_thousand_locks_are_all_reported() {
    // In memory where there is room for 30,000 entries: a busy disk takes minutes to make them.
    let memory = Path::new("/dev/shm");
    let roomy = rustix::fs::statvfs(memory).is_ok_and(|fs| fs.f_bavail * fs.f_frsize > 256 << 20);
    let stage = if roomy { Stage(tempfile::tempdir_in(memory).unwrap()) } else { Stage::new() };
    let text = stale();
    for index in 0..10_000 {
        let lock = stage.path().join(format!("openclaw-2026.4.29-{index:012x}")).join(DEPS);
        std::fs::create_dir_all(&lock).unwrap();
        std::fs::write(lock.join("owner.json"), &text).unwrap();
    }
    let mut doctor = command();
    doctor.args(["scan", "--json"]).arg(stage.path());
    let answer = Answer(guarded(doctor));
    let report = answer.json();
    assert_eq!((&report["summary"]["stale_dead_pid"], answer.code()), (&10_000.into(), 1));
    let ids: BTreeSet<&str> =
        report["locks"].as_array().unwrap().iter().map(|lock| lock["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 10_000, "two locks share an id");
}

/// A volume mounted below the PATH is where a container's locks are.
#[test]
fn a_lock_on_a_mount_below_the_path_is_found() {
    let stage = Stage::new();
    let script = "mkdir -p \"$1/volume\" && mount -t tmpfs tmpfs \"$1/volume\" && mkdir -p \"$1/volume/v/$2\" \
        && printf %s \"$3\" > \"$1/volume/v/$2/owner.json\" \
        && mkdir -p \"$1/w/$2\" && mount -t tmpfs tmpfs \"$1/w/$2\" && exec \"$4\" scan --json \"$1\"";
    let mut inside = Command::new("unshare");
    inside.args(if is_root() { ["--mount"].as_slice() } else { &["--map-root-user", "--mount"] });
    inside.args(["sh", "-c", script, "sh"]).arg(stage.path()).args([DEPS, &stale()]);
    inside.arg(env!("CARGO_BIN_EXE_openclaw-doctor"));
    if Command::new("unshare").arg("--version").output().is_err() {
        return skip("a mount below the PATH: unshare (util-linux) is missing");
    }
    let answer = Answer(guarded(inside));
    if answer.0.stdout.is_empty() {
        return skip(&format!("a mount below the PATH: {}", answer.err().trim()));
    }
    let mounted = answer.lock_at(format!("volume/v/{DEPS}"));
    assert_eq!(
        (&mounted["classification"], &mounted["evidence"]["filesystem"]),
        (&"stale-dead-pid".into(), &"tmpfs".into())
    );
    // A mount in place of the lock itself is nobody's lock; it is told, not entered.
    let (at, cause) = only_problem(&answer);
    assert_eq!((at, answer.code()), (stage.path().join("w").join(DEPS), 3));
    assert!(cause.contains("mount"), "{cause}");
}

#[test]
fn an_empty_root_and_an_empty_version_directory_are_healthy() {
    let stage = Stage::new();
    std::fs::create_dir_all(stage.path().join("openclaw-2026.4.29-0123456789ab")).unwrap();
    let answer = look(stage.path(), &[stage.path()]);
    assert_eq!((paths(&answer), answer.code()), (Vec::new(), 0));
    assert_eq!(answer.json()["host"]["processes_seen"], Value::Null, "no lock needed them");
}
