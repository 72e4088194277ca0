//! Every call of the tool in README.md and docs is one that it understands.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)]

mod support;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::machine::moved_to_own_machine;
use support::{Answer, DEPS, Stage, dead_pid, record};

fn pages() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![top.join("README.md"), top.join("CONTRIBUTING.md")];
    for dir in ["docs", "docs/recipes"] {
        let entries = std::fs::read_dir(top.join(dir)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    pages
}

/// The calls in the `sh` blocks of a page, without what the shell does around them.
fn calls(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => {
                let line = line.strip_prefix("sudo ").unwrap_or(line);
                let end = line.find(['|', '>', '#', ';', '&']).unwrap_or(line.len());
                if line.starts_with("openclaw-doctor ") {
                    found.push(line[..end].trim().to_owned());
                }
            }
            _ => {}
        }
    }
    found
}

#[test]
fn every_call_in_the_docs_is_understood() {
    if moved_to_own_machine() {
        return;
    }
    let home = Stage::new();
    let lock = home.lock(
        ".openclaw/plugin-runtime-deps/openclaw-2026.4.29-aaaaaaaaaaaa",
        DEPS,
        Some(&record(dead_pid(), Some(7))),
    );
    let doctor = Path::new(env!("CARGO_BIN_EXE_openclaw-doctor")).parent().unwrap();
    let run = |call: &str| {
        let path = format!("{}:/usr/bin:/bin", doctor.display());
        let mut command = Command::new("sh");
        command.args(["-c", call]).env_clear().env("PATH", path).env("HOME", home.path()).current_dir(home.path());
        Answer(command.stdin(Stdio::null()).output().unwrap())
    };
    // The key that a page makes first.
    std::fs::write(home.path().join("redact.key"), [7; 32]).unwrap();
    let mut seen = 0;
    for page in pages() {
        for call in calls(&std::fs::read_to_string(&page).unwrap()) {
            let mut line = call.replace("LOCK", &lock.display().to_string());
            // What stands on this machine is nobody's business here.
            if line.starts_with("openclaw-doctor repair") && !line.contains("--dry-run") {
                line += " --dry-run";
            }
            let answer = run(&line);
            assert_ne!(answer.code(), 2, "{}: {call}: {}", page.display(), answer.err());
            seen += 1;
        }
    }
    assert!(seen >= 15, "{seen}");
    assert!(lock.exists());
    assert_eq!(run("openclaw-doctor scan --jsonn").code(), 2);
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut seen = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|after| after.split(')').next()) {
            if !link.contains("://") && !link.starts_with('#') {
                let file = link.split('#').next().unwrap();
                assert!(page.parent().unwrap().join(file).exists(), "{}: {link}", page.display());
                seen += 1;
            }
        }
    }
    assert!(seen >= 5, "{seen}");
}
