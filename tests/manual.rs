//! What the tool says of itself, read by the programs that read it: shells, man, people.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)]

mod support;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Answer, doctor};

fn said(arguments: &[&str]) -> String {
    let answer = doctor(arguments);
    assert_eq!((answer.code(), answer.err()), (0, String::new()), "{arguments:?}");
    answer.out()
}

/// Whether a program is there; where the lab is promised, it must be.
fn have(program: &str) -> bool {
    let there = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success();
    if !there {
        support::lab_required(&format!("{program} is not installed"));
    }
    there
}

/// Runs a script with the completions as its file `$1` and the temporary directory as `$2`.
fn in_shell(shell: &str, arguments: &[&str], script: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("_openclaw-doctor");
    std::fs::write(&file, said(&["completions", shell])).unwrap();
    let mut command = Command::new(shell);
    command.args(arguments).args(["-c", script]);
    if shell != "fish" {
        command.arg(shell);
    }
    command.arg(&file).arg(dir.path()).env("HOME", dir.path()).stdin(Stdio::null());
    let answer = Answer(command.output().unwrap());
    assert_eq!((answer.code(), answer.err()), (0, String::new()), "{}", answer.out());
    answer.out()
}

#[test]
fn bash_completes_commands_options_and_values() {
    if !have("bash") {
        return;
    }
    let script = r#"
        source "$1"
        spec=$(complete -p openclaw-doctor); echo "$spec"
        set -- ${spec##*-F }
        function=$1
        try() {
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
            "$function" openclaw-doctor "${@: -1}" "${@: -2:1}"
            echo "${COMPREPLY[@]}"
        }
        try openclaw-doctor sc
        try openclaw-doctor repair --dr
        try openclaw-doctor scan --color a
    "#;
    let out = in_shell("bash", &["--norc", "--noprofile"], script);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("complete ") && lines[0].ends_with(" openclaw-doctor"), "{out}");
    assert_eq!(lines[1..], ["scan schema", "--dry-run", "auto always"]);
}

#[test]
fn zsh_takes_the_completions_from_its_function_path_and_by_source() {
    if !have("zsh") {
        return;
    }
    let from_path = r#"fpath=("$2" $fpath); autoload -Uz compinit; compinit -u -d "$2/dump"; print $_comps[openclaw-doctor]
        autoload +X _openclaw-doctor; print ${functions[_openclaw-doctor]} | grep -c -- --dry-run"#;
    let out = in_shell("zsh", &["-f"], from_path);
    let (name, options) = out.trim().split_once('\n').unwrap();
    assert_eq!(name, "_openclaw-doctor");
    assert_ne!(options, "0");
    let by_source = r#"autoload -Uz compinit; compinit -u -d "$2/dump"; source "$1"; print $_comps[openclaw-doctor]"#;
    assert_eq!(in_shell("zsh", &["-f"], by_source).trim(), "_openclaw-doctor");
}

#[test]
fn fish_completes_commands_options_and_values() {
    if !have("fish") {
        return;
    }
    let script = "source $argv[1]; complete -C 'openclaw-doctor sc'; complete -C 'openclaw-doctor repair --dr'; \
        complete -C 'openclaw-doctor scan --color '";
    let out = in_shell("fish", &["--no-config"], script);
    let words: BTreeSet<&str> = out.lines().filter_map(|line| line.split('\t').next()).collect();
    assert!(words.is_superset(&BTreeSet::from(["scan", "schema", "--dry-run", "auto", "always", "never"])), "{out}");
    assert!(!words.contains("repair"), "{out}");
}

/// The commands that `--help` lists, and the long options of each and of the tool itself.
fn promised() -> Vec<(String, BTreeSet<String>)> {
    let options = |help: &str| -> BTreeSet<String> {
        let starts = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        let words = starts.flat_map(|line| line.split([' ', ',', '[', '<']).take(3));
        words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()
    };
    let top = said(&["--help"]);
    let (_, after) = top.split_once("Commands:\n").unwrap();
    let (list, _) = after.split_once("\n\n").unwrap();
    let names = list.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let commands = names.map(|name| (name.to_owned(), options(&said(&[name, "--help"]))));
    std::iter::once((String::new(), options(&top))).chain(commands).collect()
}

#[test]
fn the_manual_page_renders_and_leaves_nothing_out() {
    if !have("man") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("openclaw-doctor.1");
    std::fs::write(&page, said(&["man"])).unwrap();
    let mut command = Command::new("man");
    command.args(["--warnings=w", "-l"]).arg(&page).stdin(Stdio::null());
    command.env("MANWIDTH", "100").env("LC_ALL", "C.UTF-8").env("MANPAGER", "cat").env_remove("MANROFFOPT");
    let answer = Answer(command.output().unwrap());
    assert_eq!((answer.code(), answer.err()), (0, String::new()));
    let text = answer.out();
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "VERSION"] {
        assert!(text.lines().any(|line| line == section), "{section} in\n{text}");
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(words.join(" ").contains("EXIT CODES Exit codes: 0 nothing stale"), "{text}");
    let promised = promised();
    assert!(promised.len() >= 7, "{promised:?}");
    for (command, options) in &promised {
        let heading = format!("OPENCLAW-DOCTOR {}", command.to_uppercase());
        if !command.is_empty() {
            assert!(text.lines().any(|line| line == heading), "{heading} in\n{text}");
        }
        assert!(options.contains("--help"), "{command}: {options:?}");
        for option in options {
            assert!(text.contains(option.as_str()), "{option} of {command} in\n{text}");
        }
    }
    assert!(promised.iter().any(|(name, options)| name == "repair" && options.contains("--receipt")), "{promised:?}");
}

#[test]
fn the_version_names_a_commit_of_this_repository() {
    let text = said(&["--version"]);
    let (name, commit) = text.trim().split_once(" (").unwrap();
    let commit = commit.strip_suffix(')').unwrap();
    assert_eq!(name, concat!("openclaw-doctor ", env!("CARGO_PKG_VERSION")));
    let git = |arguments: &[&str]| {
        Command::new("git")
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .is_ok_and(|o| o.status.success())
    };
    if option_env!("OPENCLAW_DOCTOR_COMMIT").is_some() || !git(&["rev-parse", "HEAD"]) {
        assert!(!commit.is_empty());
        return;
    }
    assert_eq!((commit.len(), commit.bytes().all(|byte| byte.is_ascii_hexdigit())), (12, true), "{commit}");
    assert!(git(&["cat-file", "-e", &format!("{commit}^{{commit}}")]), "{commit} is no commit of this repository");
}

#[test]
fn a_near_miss_is_told_what_was_meant() {
    for (arguments, meant) in [
        (&["scann"][..], "'scan'"),
        (&["repiar"], "'repair'"),
        (&["scan", "--jsno"], "'--json'"),
        (&["repair", "--dryrun"], "'--dry-run'"),
        (&["completions", "zhs"], "zsh"),
        (&["scan", "--color", "alwais"], "'always'"),
    ] {
        let answer = doctor(arguments);
        assert_eq!((answer.code(), answer.out()), (2, String::new()), "{arguments:?}");
        assert!(answer.err().contains(meant), "{meant} in {}", answer.err());
    }
}

#[test]
fn the_schemas_are_those_of_the_docs() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for report in ["scan", "repair"] {
        let file = std::fs::read_to_string(docs.join(format!("{report}-v1.schema.json"))).unwrap();
        assert_eq!(said(&["schema", report]), file, "{report}");
    }
    assert_eq!(said(&["schema"]), said(&["schema", "scan"]));
}
