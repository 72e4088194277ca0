//! A support engineer's questions get their answers from a redacted report, by the lines in docs/tickets.md.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)]

mod support;
use std::path::Path;
use std::process::Command;
use support::machine::{VOUCHED, moved_to_own_machine};
use support::{Answer, DEPS, Living, Stage, command, dead_pid, lab_required, record};

fn lines(start: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tickets.md")).unwrap();
    text.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
}

#[test]
fn every_question_is_answered_by_its_line() {
    if moved_to_own_machine() {
        return;
    }
    if !Command::new("jq").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return lab_required("jq is not installed");
    }
    let home = Stage::new();
    let owner = Living::sleep();
    std::fs::create_dir(home.path().join("openclaw")).unwrap();
    std::fs::write(home.path().join("openclaw/package.json"), r#"{"name": "openclaw", "version": "2026.4.29"}"#)
        .unwrap();
    home.lock("s/openclaw-2026.4.29-aaaaaaaaaaaa", DEPS, Some(&record(owner.pid(), Some(owner.ticks()))));
    home.lock("s/openclaw-2026.4.27-bbbbbbbbbbbb", DEPS, Some(&record(dead_pid(), Some(7))));
    home.lock("s/openclaw-2026.4.26-cccccccccccc", DEPS, Some(&record(owner.pid(), None)));
    std::fs::write(home.path().join("redact.key"), [7; 32]).unwrap();
    let scan = |name: &str| {
        let mut command = command();
        command.args(["scan", "--json", "--redact", "--redact-key"]).arg(home.path().join("redact.key"));
        command.args(["--discover", VOUCHED]).arg(home.path().join("s"));
        command.arg(home.path().join("missing")).env("HOME", home.path());
        let answer = Answer(command.output().unwrap());
        std::fs::write(home.path().join(name), &answer.0.stdout).unwrap();
        answer
    };
    let report = scan("report.json");
    scan("before.json");
    scan("after.json");
    let [active, dead, legacy] = ["2026.4.29-package", "2026.4.27-package", "2026.4.26-package"].map(|version| {
        let json = report.json();
        let locks = json["locks"].as_array().unwrap().clone();
        locks.into_iter().find(|lock| lock["path"].as_str().unwrap().contains(version)).unwrap()
    });
    let id = |lock: &serde_json::Value| lock["id"].as_str().unwrap().to_owned();

    let expected: [Vec<String>; 8] = [
        vec![report.json()["host"]["vantage_why"].as_str().unwrap().to_owned()],
        vec!["cannot open the root: No such file or directory".to_owned()],
        vec![format!("active\t{}", id(&active))],
        vec![format!("{}\tno living process has pid", id(&dead))],
        vec![
            format!("likely-stale\tcarrier-not-javascript\t{}", id(&legacy)),
            format!("held\towner-alive\t{}", id(&active)),
        ],
        vec![format!("{}\t{}\tsleep\t", id(&active), owner.pid())],
        vec![format!("{0}\t{1}\t{1}", owner.pid(), owner.ticks())],
        vec![id(&active), id(&dead), id(&legacy)],
    ];
    let questions = lines("jq ");
    assert_eq!(questions.len(), expected.len());
    for (question, answers) in questions.iter().zip(expected) {
        let output = Command::new("sh").args(["-c", question]).current_dir(home.path()).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && err.is_empty(), "{question}: {err}");
        for answer in answers {
            assert!(out.contains(&answer), "{question}: {answer} in\n{out}");
        }
    }
}
