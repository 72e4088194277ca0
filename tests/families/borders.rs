//! What is not OpenClaw's lock, and where nothing is looked for.

use super::layout::{Layout, Named, Owner};
use super::support::machine::moved_to_own_machine;
use super::support::trace::{can_trace, traced};
use super::support::{Answer, Living, age, dead_pid, doctor, lab_required, record};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn scan(path: &Path) -> Answer {
    doctor([OsStr::new("scan"), "--json".as_ref(), path.as_os_str()])
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The binary where every user can run it.
fn as_nobody(args: &[&OsStr], environment: &[(&str, &Path)], beside: &Path) -> Answer {
    let copy = beside.join("openclaw-doctor");
    if !copy.exists() {
        assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_openclaw-doctor")).arg(&copy).status().unwrap().success());
    }
    let mut command = Command::new(copy);
    command.env_clear().envs(environment.iter().copied()).args(args).current_dir("/").stdin(Stdio::null());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    Answer(command.output().unwrap())
}

#[test]
fn locks_of_other_programs_are_not_reported_as_openclaws() {
    let tree = tempfile::tempdir().unwrap();
    let dead = record(dead_pid(), Some(7));
    for name in [
        "p/Cargo.lock",
        "p/yarn.lock",
        "p/poetry.lock",
        "p/package-lock.json",
        "p/.package-lock.json.lock",
        "p/settings.json.lock",
        "p/auth.json.lock",
        "p/owner.sqlite",
        "p/containers.json.lock",
        "p/lock.sqlite",
        "p/event-ledger.json.lock",
        "p/gateway.settings.lock",
        "p/gateway.5B681173.lock",
        "p/short-term-promotion.lock",
        "p/SingletonLock",
        "p/.launch.lock",
        "p/sha256-5e5e.lock",
        "p/recovery.lock.d/recovery.lock",
    ] {
        write(&tree.path().join(name), &dead);
        let answer = scan(&tree.path().join("p"));
        assert_eq!(
            (answer.json()["locks"].as_array().unwrap().len(), answer.code()),
            (0, 0),
            "{name}: {}",
            answer.out()
        );
    }
    // Named by itself, it is no lock either, and no wish of the operator makes it one.
    let cargo = tree.path().join("p/Cargo.lock");
    assert_eq!(scan(&cargo).code(), 3);
    let repair = doctor([OsStr::new("repair"), "--yes".as_ref(), "--lock".as_ref(), cargo.as_ref()]);
    assert!(repair.code() != 0 && cargo.exists(), "{}{}", repair.out(), repair.err());
    let all = doctor([OsStr::new("repair"), "--yes".as_ref(), tree.path().as_ref()]);
    assert_eq!(all.code(), 0, "{}", all.out());
    assert_eq!(std::fs::read_dir(tree.path().join("p")).unwrap().count(), 18);
}

/// Others write `train.jsonl.lock`, too: only in OpenClaw's own place does its age say anything.
#[test]
fn what_may_be_another_programs_and_names_nobody_goes_by_its_name_only() {
    for name in ["train.jsonl.lock", "me-pairing.json.lock", "me-pairing.json.lock.reclaim"] {
        let tree = tempfile::tempdir().unwrap();
        let (alien, own) = (tree.path().join("data"), tree.path().join("agents/main/sessions"));
        for place in [&alien, &own] {
            write(&place.join(name), "");
            age(&place.join(name));
        }
        let report = scan(tree.path());
        for (place, leaning) in [(&alien, "likely-held"), (&own, "likely-stale")] {
            let lock = report.lock_at(place.join(name));
            assert_eq!((&lock["reason"], &lock["leaning"]), (&"record-empty".into(), &leaning.into()), "{lock}");
        }
        let all = doctor([OsStr::new("repair"), "--yes".as_ref(), tree.path().as_ref()]);
        assert_eq!((all.code(), own.join(name).exists()), (1, false), "{name}: {}", all.out());
        assert!(alien.join(name).exists(), "{name}: {}", all.out());
        let alone = doctor([OsStr::new("repair"), "--yes".as_ref(), alien.join(name).as_ref()]);
        assert_eq!((alone.code(), alien.join(name).exists()), (1, true), "{name}: {}", alone.out());
        let named = doctor([OsStr::new("repair"), "--yes".as_ref(), "--lock".as_ref(), alien.join(name).as_os_str()]);
        assert_eq!((named.code(), alien.join(name).exists()), (0, false), "{name}: {}", named.out());
    }
}

/// Of any size, with names in them that would be locks elsewhere. What runs without PATH enters none
/// of them; below a PATH all but `node_modules` are looked through.
const FOREIGN: &[&str] = &[
    "workspace/src/deep",
    "workspace/node_modules/openclaw/agents",
    "workspace/memory/notes",
    "workspace-dev/.git/objects",
    "browser/openclaw/user-data/Default",
    "sandboxes/agent-main-1234/src",
    "media/inbound",
    "agents/main/sessions/archive/node_modules/x",
    "plugin-runtime-deps/openclaw-2026.4.29-f53b52ad6d21/node_modules/x",
];

/// Fills the places of agents and browsers with what would be locks elsewhere.
fn fill(layout: &Layout) -> Vec<PathBuf> {
    let dead = record(dead_pid(), Some(7));
    for place in FOREIGN {
        for name in ["x.jsonl.lock", "auth-profiles.json.lock", "x.lock.sqlite", "x.lock.reclaim"] {
            write(&layout.state.join(place).join(name), &dead);
        }
    }
    FOREIGN.iter().map(|place| layout.state.join(place)).collect()
}

#[test]
fn workspaces_browser_profiles_and_node_modules_are_not_read() {
    if moved_to_own_machine() {
        return;
    }
    if !can_trace() {
        return;
    }
    let living = Living::sleep();
    for named in [Named::Home, Named::StateDir] {
        let layout = Layout::new(named);
        layout.plant(Owner::Living, &living);
        let foreign = fill(&layout);
        let environment: Vec<String> =
            layout.environment.iter().map(|(name, value)| format!("-E{name}={}", value.display())).collect();
        let mut options: Vec<&str> = vec!["-y", "-e", "trace=getdents64,openat,openat2"];
        options.extend(environment.iter().map(String::as_str));
        let is_modules = |place: &&PathBuf| place.components().any(|part| part.as_os_str() == "node_modules");
        for way in [None, Some(&layout.state)] {
            let args = [OsStr::new("scan"), "--json".as_ref()].into_iter().chain(way.map(|path| path.as_os_str()));
            let (answer, trace) = traced(&options, args);
            let found = layout.locks(&answer);
            assert!(found.len() > 30, "{way:?}: {}", answer.out());
            for place in foreign.iter().filter(|place| way.is_none() || is_modules(place)) {
                // Listed, or anything in it opened.
                let listed = trace.lines().find(|line| {
                    (line.contains("getdents64(") && line.contains(&format!("<{}", place.display())))
                        || line.contains(&format!("{}/", place.display()))
                });
                assert_eq!(listed, None, "{way:?}");
                assert!(!found.keys().any(|path| path.starts_with(place)), "{way:?} {place:?}");
            }
        }
    }
}

/// An ordinary user whose agent's places are closed to him still gets a complete answer.
#[test]
fn what_is_not_looked_into_is_no_problem_when_it_is_closed() {
    if moved_to_own_machine() {
        return;
    }
    let living = Living::sleep();
    let layout = Layout::new(Named::Home);
    layout.plant(Owner::Living, &living);
    let closed: Vec<PathBuf> =
        ["browser", "media", "sandboxes", "workspace/src"].iter().map(|dir| layout.state.join(dir)).collect();
    for dir in &closed {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::set_permissions(dir, PermissionsExt::from_mode(0o000)).unwrap();
    }
    let home = layout.path().join("home/u");
    let environment = [("HOME", home.as_path())];
    let answer = as_nobody(&["scan".as_ref(), "--json".as_ref()], &environment, layout.path());
    let problems = answer.json()["problems"].clone();
    let ours = problems
        .as_array()
        .unwrap()
        .iter()
        .filter(|problem| Path::new(problem["path"].as_str().unwrap()).starts_with(layout.path()));
    assert_eq!(ours.count(), 0, "{problems}");
    assert!(layout.locks(&answer).len() > 20, "{}", answer.out());
    // A place that does hold locks is one.
    let sessions = layout.state.join("agents/main/sessions");
    std::fs::set_permissions(&sessions, PermissionsExt::from_mode(0o000)).unwrap();
    let answer = as_nobody(&["scan".as_ref(), "--json".as_ref()], &[("HOME", &home)], layout.path());
    assert_eq!(answer.code(), 3);
    assert!(answer.json()["problems"].to_string().contains("agents/main/sessions"), "{}", answer.out());
    for dir in closed.iter().chain([&sessions]) {
        std::fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).unwrap();
    }
}

/// The temp directory is everybody's.
#[test]
fn another_users_temporary_locks_are_roots_to_see_and_nobodys_problem() {
    if moved_to_own_machine() {
        return;
    }
    if !is_root() {
        return lab_required("another user needs root");
    }
    let tree = tempfile::tempdir().unwrap();
    std::fs::set_permissions(tree.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let temp = tree.path().join("temp");
    let others = temp.join("openclaw-1000");
    write(&others.join("gateway.5b681173.lock"), &record(dead_pid(), None).replace("createdAtMs", "x"));
    std::fs::set_permissions(&others, PermissionsExt::from_mode(0o700)).unwrap();
    let args = [OsStr::new("scan"), "--json".as_ref()];
    let environment = [("HOME", tree.path()), ("TMPDIR", temp.as_path())];
    let ordinary = as_nobody(&args, &environment, tree.path());
    let report = ordinary.json();
    let of_temp = |list: &str| report[list].to_string().contains(temp.to_str().unwrap());
    assert!(!of_temp("problems") && !of_temp("locks"), "{}", ordinary.out());
    let mut doctor = super::support::command();
    doctor.args(args).envs(environment).stdin(Stdio::null());
    let root = Answer(doctor.output().unwrap());
    assert_eq!(root.lock_at("openclaw-1000/gateway.5b681173.lock")["family"], "gateway");
}

/// Anybody may put a link into the temp directory.
#[test]
fn a_link_planted_in_the_temp_directory_is_not_followed() {
    if moved_to_own_machine() {
        return;
    }
    let tree = tempfile::tempdir().unwrap();
    let (temp, elsewhere) = (tree.path().join("temp"), tree.path().join("elsewhere"));
    write(&elsewhere.join("gateway.5b681173.lock"), &record(dead_pid(), None));
    std::fs::create_dir_all(&temp).unwrap();
    symlink(&elsewhere, temp.join("openclaw-0")).unwrap();
    symlink(&elsewhere, temp.join(format!("openclaw-{}", rustix::process::geteuid().as_raw() + 1))).unwrap();
    let mut doctor = super::support::command();
    let answer = Answer(
        doctor
            .args(["scan", "--json"])
            .envs([("HOME", tree.path()), ("TMPDIR", temp.as_path())])
            .stdin(Stdio::null())
            .output()
            .unwrap(),
    );
    let report = answer.json();
    for list in ["locks", "problems"] {
        assert!(!report[list].to_string().contains(tree.path().to_str().unwrap()), "{}", report[list]);
    }
    // Below it is the same; the link itself may be given, and is the operator's word.
    let below = temp.join("openclaw-0/gateway.5b681173.lock");
    assert_eq!(scan(&below).code(), 3);
}

/// Else “nothing stale” would be said of a state dir whose agents were not looked at.
#[test]
fn a_place_that_is_a_link_is_a_problem_and_not_followed() {
    if moved_to_own_machine() {
        return;
    }
    let living = Living::sleep();
    for (named, place) in [
        (Named::Home, "agents"),
        (Named::StateDir, "agents"),
        (Named::Home, "agents/main/sessions"),
        (Named::Home, "credentials"),
        (Named::StateDir, "locks/oauth-refresh"),
    ] {
        let layout = Layout::new(named);
        layout.plant(Owner::Dead, &living);
        let (at, elsewhere) = (layout.state.join(place), layout.path().join("elsewhere"));
        if !at.exists() {
            std::fs::create_dir_all(&at).unwrap();
        }
        std::fs::rename(&at, &elsewhere).unwrap();
        symlink(&elsewhere, &at).unwrap();
        let state: OsString = layout.state.clone().into();
        for args in [vec!["scan".into(), "--json".into()], vec!["scan".into(), "--json".into(), state]] {
            let answer = layout.run(&args);
            let problems = answer.json()["problems"].clone();
            let named = problems.as_array().unwrap().iter().find(|problem| problem["path"] == at.to_str().unwrap());
            let problem = named.unwrap_or_else(|| panic!("{place} {args:?}: {problems}"));
            assert!(problem["cause"].as_str().unwrap().contains("symbolic link"), "{problem}");
            assert_eq!(answer.code(), 3);
            assert!(!layout.locks(&answer).keys().any(|lock| lock.starts_with(&at)), "{place} was followed");
        }
    }
}
