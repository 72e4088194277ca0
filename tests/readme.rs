//! The README shows what the binary says: the output of the example is compared with it.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, clippy::print_stderr)]

#[path = "examples/stuck-host.rs"]
mod stuck_host;

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use stuck_host::StuckHost;

const SCAN: &str = "<!-- output of the example stuck-host -->\n```text\n";
const REPAIR: &str = "<!-- repair of the example stuck-host -->\n```text\n";
const DOCTOR: &str = env!("CARGO_BIN_EXE_openclaw-doctor");

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

fn shown(marker: &str) -> String {
    let readme = readme();
    let (_, after) = readme.split_once(marker).unwrap();
    after.split_once("```").unwrap().0.to_owned()
}

fn scan(host: &StuckHost, arguments: &[&str]) -> Output {
    let mut command = host.scan(Path::new(DOCTOR));
    // The machine's own OpenClaw, if it has one, is none of this test's.
    command.args(arguments).env("COLUMNS", "100").env_remove("NO_COLOR").output().unwrap()
}

/// Whether this machine can prove what the README's could.
fn proves(host: &StuckHost) -> bool {
    let report: Value = serde_json::from_slice(&scan(host, &["--json"]).stdout).unwrap();
    let locks = report["locks"].as_array().unwrap();
    report["host"]["vantage"] == "host" && locks.iter().all(|lock| lock["evidence"]["other_kernel"].is_null())
}

/// Takes out what differs between two runs: the directory, its filesystem, pids, ticks, seconds,
/// and the line breaks and spaces that follow from their lengths.
fn normal(text: &str, host: Option<&StuckHost>) -> String {
    let root = host.map(|host| host.stage_root().display().to_string());
    let text = root.map_or_else(|| text.to_owned(), |root| text.replace(&root, "/tmp/stuck-host/plugin-runtime-deps"));
    let words: Vec<String> = text.split_whitespace().map(word).collect();
    let text = words.join(" ");
    let filesystem = text.split_once("(PATH argument, ").and_then(|(_, after)| after.split_once(')'));
    filesystem.map_or_else(|| text.clone(), |(name, _)| text.replace(&format!(", {name})"), ", …)"))
}

/// A word without its number, unless it is a count, an age in coarse units, or part of a name.
fn word(word: &str) -> String {
    let core = word.trim_matches(|c: char| !c.is_alphanumeric());
    let volatile = core.bytes().all(|byte| byte.is_ascii_digit()) && core.len() > 1;
    if volatile { word.replace(core, "N") } else { word.to_owned() }
}

#[test]
fn the_readme_shows_what_the_example_shows() {
    let host = StuckHost::build().unwrap();
    let output = scan(&host, &[]);
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    let command = format!("$ openclaw-doctor scan {}\n", host.stage_root().display());
    let (printed, shown) = (normal(&(command + &printed), Some(&host)), normal(&shown(SCAN), None));
    assert_eq!(output.status.code(), Some(1), "{printed}");
    if proves(&host) {
        assert_eq!(printed, shown);
    } else {
        eprintln!("this machine cannot prove what the README's could: only the classes are compared");
        let classes = |text: &str| -> Vec<String> {
            let known = ["active", "stale-dead-pid", "stale-recycled-pid", "legacy-unverifiable"];
            text.split(' ').filter(|word| known.contains(word)).map(str::to_owned).collect()
        };
        assert_eq!(classes(&printed), classes(&shown));
    }
}

#[test]
fn the_readme_shows_how_a_repair_ends() {
    let host = StuckHost::build().unwrap();
    if !proves(&host) {
        eprintln!("this machine cannot prove what the README's could: a repair is not compared");
        return;
    }
    let shown = shown(REPAIR);
    let (command, shown) = shown.split_once('\n').unwrap();
    let lines: usize = command.rsplit_once("| tail -n ").unwrap().1.parse().unwrap();
    assert_eq!(shown.lines().count(), lines);

    let mut doctor = Command::new(DOCTOR);
    doctor.arg("repair").arg(host.stage_root()).env_remove("COLUMNS").env_remove("NO_COLOR");
    let output = doctor.stdin(Stdio::null()).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    let skipped = printed.lines().count() - lines;
    let end: Vec<&str> = printed.lines().skip(skipped).collect();
    assert_eq!(normal(&end.join("\n"), Some(&host)), normal(shown, None));
}

#[test]
fn a_stuck_host_leaves_nothing_behind() {
    let host = StuckHost::build().unwrap();
    let root = host.stage_root();
    assert!(root.exists());
    drop(host);
    assert!(!root.parent().unwrap().exists());
}

#[test]
fn every_link_of_the_readme_leads_somewhere() {
    let readme = readme();
    for target in readme.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)) {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(target).exists(), "{target}");
    }
    assert!(readme.lines().count() < 130);
}
