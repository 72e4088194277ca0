//! `--family`, and what the table says of more than one state dir.

use super::layout::{Layout, Named, Owner};
use super::support::{Answer, Living, dead_pid, doctor, record};
use openclaw_doctor::family::FAMILIES;
use serde_json::json;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

fn run(args: &[&str], path: &Path) -> Answer {
    doctor(args.iter().map(OsStr::new).chain([path.as_os_str()]))
}

#[test]
fn only_the_families_that_were_asked_for_are_told() {
    let living = Living::sleep();
    let layout = Layout::new(Named::Home);
    layout.plant(Owner::Dead, &living);
    for family in FAMILIES {
        let answer = run(&["scan", "--json", "--family", family.name], &layout.state);
        let expected =
            layout.expected(|spot| layout.state_of(spot).is_some() && spot.family == family.name, Owner::Dead);
        let found: BTreeSet<PathBuf> = layout.locks(&answer).into_keys().collect();
        assert_eq!(found, expected.into_keys().collect(), "{}", family.name);
        assert_eq!(answer.json()["scope"]["families"], json!([family.name]));
    }
    let two = run(&["scan", "--json", "--family", "gateway", "--family=gateway-state"], &layout.state);
    let families: BTreeSet<String> =
        layout.locks(&two).values().map(|lock| lock["family"].as_str().unwrap().to_owned()).collect();
    assert_eq!(families, ["gateway", "gateway-state"].map(str::to_owned).into());
    assert_eq!(two.json()["scope"]["families"], json!(["gateway", "gateway-state"]));
    assert_eq!(run(&["scan", "--json"], &layout.state).json()["scope"]["families"], json!([]));
}

/// Else a free coordinator stands in a report that asked for something else.
#[test]
fn a_free_coordinator_is_of_its_family_too() {
    let living = Living::sleep();
    let layout = Layout::new(Named::Home);
    layout.plant(Owner::Dead, &living);
    let idle = |family| run(&["scan", "--json", "--family", family], &layout.state).json()["summary"]["idle"].clone();
    assert_eq!((idle("gateway"), idle("sqlite-coordinator")), (0.into(), 2.into()));
}

#[test]
fn a_repair_of_one_family_leaves_the_others() {
    let living = Living::sleep();
    let layout = Layout::new(Named::Home);
    layout.plant(Owner::Dead, &living);
    let stays = |path: &PathBuf| path.exists();
    let expected = layout.expected(|spot| layout.state_of(spot).is_some(), Owner::Dead);
    let (asked, others): (Vec<_>, Vec<_>) = expected.into_iter().partition(|(_, said)| said[0] == "exec-approvals");
    assert_eq!(asked.len(), 1);
    let answer = run(&["repair", "--json", "--family", "exec-approvals"], &layout.state);
    assert_eq!(answer.code(), 0, "{}", answer.out());
    assert!(!asked.iter().any(|(path, _)| stays(path)));
    assert!(others.iter().all(|(path, _)| stays(path)), "{}", answer.out());
    assert_eq!(answer.json()["scope"]["families"], json!(["exec-approvals"]), "{}", answer.out());
}

#[test]
fn explain_of_an_id_is_of_the_families_that_were_asked_for() {
    let living = Living::sleep();
    let layout = Layout::new(Named::Home);
    layout.plant(Owner::Dead, &living);
    let answer = run(&["scan", "--json", "--family", "gateway-state"], &layout.state);
    let id = answer.lock()["id"].as_str().unwrap().to_owned();
    let explain = |family| run(&["explain", "--family", family, &id], &layout.state);
    assert_eq!(explain("gateway-state").code(), 1);
    assert!(explain("gateway-state").out().contains("Family    gateway-state"), "{}", explain("gateway-state").out());
    assert_eq!(explain("gateway").code(), 2);
}

#[test]
fn a_family_that_does_not_exist_is_answered_with_the_one_that_was_meant() {
    for command in ["scan", "repair", "explain"] {
        for (wrong, meant) in
            [("sesion-write", "session-write"), ("gatway", "gateway"), ("runtime-dep", "runtime-deps")]
        {
            let answer = run(&[command, "--family", wrong], Path::new("/nowhere"));
            assert_eq!((answer.code(), answer.out().as_str()), (2, ""), "{command} {wrong}");
            assert!(answer.err().contains(meant), "{command} {wrong}: {}", answer.err());
        }
        assert_eq!(run(&[command, "--family", "Gateway"], Path::new("/nowhere")).code(), 2);
    }
}

#[test]
fn the_next_command_asks_for_the_same_families() {
    let living = Living::sleep();
    let layout = Layout::new(Named::Home);
    let path = layout.state.display();
    for (owner, next) in [
        (Owner::Dead, format!("Next: openclaw-doctor repair --family file-lock --family gateway {path}")),
        (Owner::WithoutTicks, format!("Next: openclaw-doctor repair --family file-lock --family gateway {path}  #")),
    ] {
        layout.plant(owner, &living);
        let told = run(&["scan", "--family", "file-lock", "--family", "gateway"], &layout.state).out();
        assert!(told.contains(&next), "{owner:?}: {told}");
    }
    let lock = run(&["scan", "--json", "--family", "gateway"], &layout.state).lock();
    assert!(lock["next_step"].as_str().unwrap().contains(" --family gateway "), "{lock}");
}

/// A session and a gateway's lock in each of two state dirs.
fn two_state_dirs(tree: &Path) -> [PathBuf; 2] {
    let dirs = [tree.join("a/.openclaw"), tree.join("b/.openclaw-work")];
    for dir in &dirs {
        for below in ["agents/main/sessions/7c9e6679.jsonl.lock", "tmp/openclaw-1000/gateway.5b681173.lock"] {
            let at = dir.join(below);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::fs::write(at, format!("{{\"pid\":{},\"starttime\":7,\"startTime\":7}}", dead_pid())).unwrap();
        }
    }
    dirs
}

#[test]
fn two_state_dirs_are_two_groups_with_their_paths_above_them() {
    let tree = tempfile::tempdir().unwrap();
    let dirs = two_state_dirs(tree.path());
    let stage = tree.path().join("stage/openclaw-2026.4.29-f53b52ad6d21/.openclaw-runtime-deps.lock");
    std::fs::create_dir_all(&stage).unwrap();
    std::fs::write(stage.join("owner.json"), record(dead_pid(), Some(7))).unwrap();
    let told = run(&["scan"], tree.path()).out();
    let lines: Vec<&str> = told.lines().collect();
    let line = |wanted: &str| {
        let found = lines.iter().position(|line| *line == wanted || line.starts_with(&format!("{wanted}  ")));
        found.unwrap_or_else(|| panic!("no line {wanted:?}:\n{told}"))
    };
    let [a, b] = dirs.each_ref().map(|dir| line(dir.to_str().unwrap()));
    // What is of no state dir stands below the root by which it was found.
    let rest = line(tree.path().to_str().unwrap());
    assert!(rest < a && a < b, "{told}");
    for (from, to) in [(a, b), (b, lines.len())] {
        for below in ["agents/main/sessions/7c9e6679.jsonl.lock", "tmp/openclaw-1000/gateway.5b681173.lock"] {
            let within = lines[from..to].iter().filter(|line| line.contains(below)).count();
            assert_eq!(within, 1, "{below}:\n{told}");
        }
    }
    assert!(told.contains("stage/openclaw-2026.4.29-f53b52ad6d21/.openclaw-runtime-deps.lock"), "{told}");
    assert!(told.contains("5 locks: 5 stale-dead-pid; 5 proven stale, 2 of them left to OpenClaw"), "{told}");
    // Each lock stands in one group, and every path is whole once put together.
    assert_eq!(told.matches(".lock ").count(), 5, "{told}");
}

/// As a narrow terminal shows them.
#[test]
fn a_narrow_terminal_keeps_the_groups_apart() {
    let tree = tempfile::tempdir().unwrap();
    let dirs = two_state_dirs(tree.path());
    for width in [50, 80, 100, 160] {
        let mut script = std::process::Command::new("script");
        let line = format!(
            "stty cols {width}; {} scan {}",
            env!("CARGO_BIN_EXE_openclaw-doctor"),
            openclaw_doctor::quote::shell_word(tree.path())
        );
        script.args(["-qec", &line, "/dev/null"]).env("NO_COLOR", "1").stdin(std::process::Stdio::null());
        let Ok(output) = script.output() else { return super::support::lab_required("script(1) is not there") };
        let told = String::from_utf8(output.stdout).unwrap().replace('\r', "");
        let at =
            |dir: &PathBuf| told.find(dir.to_str().unwrap()).unwrap_or_else(|| panic!("{width}: no {dir:?}:\n{told}"));
        assert!(at(&dirs[0]) < at(&dirs[1]), "{told}");
        assert_eq!(told.matches(" stale-dead-pid  ").count(), 4, "{width}:\n{told}");
        // A path is one word, which is never broken.
        let breaks = |line: &&str| line.chars().count() > width && line.trim().contains(' ');
        let head = |line: &&str| line.trim_start().starts_with("stale-dead-pid") || line.starts_with("Next");
        let broad = told.lines().find(|line| width < 110 && !head(line) && breaks(line));
        assert_eq!(broad, None, "{width}:\n{told}");
    }
}
