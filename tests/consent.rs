//! Questions and answers in a real terminal: who says no, nothing or anything odd keeps the lock.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::disallowed_methods)]

mod support;
#[path = "support/world.rs"]
mod world;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::machine::moved_to_own_machine;
use support::{Answer, DEPS, Living, Stage, dead_pid, doctor, gateway, record};
use world::{Doctor, Terminal, age};

const ASKED: &str = "[y/N/e]";
const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";

/// Locks that are asked for: nobody is named and they are an hour old, so that they are
/// `likely-stale` wherever the test runs.
struct Asked {
    stage: Stage,
    locks: Vec<PathBuf>,
}

impl Asked {
    fn of(count: usize) -> Self {
        let stage = Stage::new();
        let lock = |index| {
            let lock = stage.lock(&format!("openclaw-2026.4.26-{index:012x}"), DEPS, Some("{\"pid\":"));
            age(&lock);
            lock
        };
        let locks = (0..count).map(lock).collect();
        Self { stage, locks }
    }

    fn repair(&self, more: &[&str]) -> Terminal {
        let args = ["repair", "--json"].iter().chain(more).map(AsRef::<OsStr>::as_ref);
        Doctor::own().in_terminal(args.chain([self.stage.path().as_os_str()]))
    }

    /// The outcome of each lock, in order.
    fn outcomes(&self, answer: &Answer) -> Vec<String> {
        let report = answer.json();
        let locks = report["locks"].as_array().unwrap();
        assert_eq!(locks.len(), self.locks.len());
        let outcomes: Vec<String> = locks.iter().map(|lock| lock["outcome"].as_str().unwrap().to_owned()).collect();
        for (lock, outcome) in self.locks.iter().zip(&outcomes) {
            assert_eq!(lock.join("owner.json").exists(), outcome != "removed", "{}: {outcome}", lock.display());
        }
        outcomes
    }

    /// Asks for one lock, types this, and says what became of it.
    fn one(typed: &str) -> (String, i32) {
        let asked = Self::of(1);
        let mut terminal = asked.repair(&[]);
        terminal.answers(typed);
        let answer = terminal.end();
        (asked.outcomes(&answer).remove(0), answer.code())
    }
}

fn pid_of(terminal: &Terminal) -> Pid {
    Pid::from_raw(i32::try_from(terminal.child.id()).unwrap()).unwrap()
}

#[test]
fn a_question_without_its_evidence_is_never_asked() {
    let (stage, sleeper) = (Stage::new(), Living::sleep());
    let lock = stage.lock("openclaw-2026.4.26-aaaaaaaaaaaa", DEPS, Some(&record(sleeper.pid(), None)));
    let mut terminal = Doctor::own().in_terminal(["repair".as_ref(), stage.path().as_os_str()]);
    terminal.wait_for("legacy-unverifiable");
    terminal.answers("n\n");
    let answer = terminal.end();
    // The terminal may break the lines of a long path; what is asked is compared without breaks.
    let shown: String = answer.err().split_whitespace().collect();
    let before = shown.split("[y/N/e]").next().unwrap();
    for evidence in [lock.to_str().unwrap(), "legacy-unverifiable", "likely-stale", &sleeper.pid().to_string(), "sleep"]
    {
        assert!(before.contains(evidence), "{evidence} is not shown:\n{}", answer.err());
    }
    assert_eq!((answer.code(), lock.exists()), (1, true));
}

#[test]
fn an_explanation_is_no_answer() {
    let asked = Asked::of(1);
    let mut terminal = asked.repair(&[]);
    terminal.answers("e\n");
    for known in ["Verdict", "Owner", "If wrong", "Next"] {
        terminal.wait_for(known);
    }
    assert!(asked.locks[0].exists());
    terminal.answers("e\n");
    terminal.wait_for("Verdict");
    terminal.answers("\n");
    let answer = terminal.end();
    assert_eq!((asked.outcomes(&answer), answer.code()), (vec!["declined".to_owned()], 1));
    assert_eq!(answer.err().matches(ASKED).count(), 3);
}

#[test]
fn only_a_yes_removes() {
    for yes in ["y\n", "Y\n", "yes\n", " yes \n", "YES\n"] {
        assert_eq!(Asked::one(yes), ("removed".to_owned(), 0), "{yes:?}");
    }
    let padded = format!("y{}no\n", " ".repeat(600));
    for no in
        ["n\n", "no\n", "\n", "yep\n", "y n\n", "yy\n", "1\n", "j\n", "ye\n", "\u{1b}[A\n", "ÿ\n", &padded, CTRL_D]
    {
        assert_eq!(Asked::one(no), ("declined".to_owned(), 1), "{no:?}");
    }
}

#[test]
fn the_end_of_input_answers_one_question_only() {
    let asked = Asked::of(2);
    let mut terminal = asked.repair(&[]);
    terminal.answers(CTRL_D);
    terminal.answers("y\n");
    let answer = terminal.end();
    assert_eq!(asked.outcomes(&answer), ["declined", "removed"]);
    assert_eq!(answer.code(), 1);
}

#[test]
fn a_terminal_that_goes_away_removes_nothing() {
    let asked = Asked::of(2);
    let mut terminal = asked.repair(&[]);
    terminal.wait_for(ASKED);
    assert!(!terminal.hang_up().success());
    for lock in &asked.locks {
        assert!(lock.join("owner.json").exists());
    }
}

#[test]
fn an_interrupt_leaves_the_rest_and_keeps_what_was_done() {
    let asked = Asked::of(4);
    let mut terminal = asked.repair(&[]);
    terminal.answers("y\n");
    terminal.answers(CTRL_C);
    let answer = terminal.end();
    assert_eq!(asked.outcomes(&answer), ["removed", "not-attempted", "not-attempted", "not-attempted"]);
    assert_eq!(answer.code(), 1, "{}", answer.err());
    assert_eq!(answer.err().matches(ASKED).count(), 2, "asked on after the interrupt");
    assert_eq!(answer.json()["summary"]["not_attempted"], 3);
}

#[test]
fn an_interrupt_after_typed_letters_is_no_yes() {
    let asked = Asked::of(1);
    let mut terminal = asked.repair(&[]);
    terminal.answers("y");
    terminal.types(CTRL_C);
    let answer = terminal.end();
    assert_eq!((asked.outcomes(&answer), answer.code()), (vec!["not-attempted".to_owned()], 1));
}

#[test]
fn a_request_to_end_leaves_the_rest_and_is_reported() {
    let asked = Asked::of(3);
    let mut terminal = asked.repair(&[]);
    terminal.answers("y\n");
    terminal.wait_for(ASKED);
    kill_process(pid_of(&terminal), Signal::TERM).unwrap();
    let answer = terminal.end();
    assert_eq!(asked.outcomes(&answer), ["removed", "not-attempted", "not-attempted"]);
    assert_eq!(answer.code(), 1);
}

/// nohup(1), and a shell that starts it in the background, have signals ignored: they end no run.
#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    for (trap, signal) in [("INT", Signal::INT), ("TERM", Signal::TERM), ("HUP", Signal::HUP)] {
        let asked = Asked::of(1);
        let binary = env!("CARGO_BIN_EXE_openclaw-doctor");
        let script = format!("trap '' {trap}; exec {binary} repair --json {}", asked.stage.path().display());
        let mut terminal = Terminal::start(&["sh".into(), "-c".into(), script.into()]);
        terminal.wait_for(ASKED);
        kill_process(pid_of(&terminal), signal).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        terminal.types("y\n");
        let answer = terminal.end();
        assert_eq!((asked.outcomes(&answer), answer.code()), (vec!["removed".to_owned()], 0), "{trap}");
    }
}

/// Who ends the run at a question has what needs no word done.
#[test]
fn what_is_proven_goes_before_anybody_is_asked() {
    let asked = Asked::of(1);
    let proven = asked.stage.lock("openclaw-2026.4.29-ffffffffffff", DEPS, Some(&record(dead_pid(), Some(7))));
    let mut terminal = asked.repair(&["--assume-single-writer"]);
    terminal.answers(CTRL_C);
    let answer = terminal.end();
    assert_eq!(answer.lock_at(proven.strip_prefix(asked.stage.path()).unwrap())["outcome"], "removed");
    assert!(!proven.exists());
    assert_eq!(answer.json()["summary"]["not_attempted"], 1);
}

/// Lets the test change the lock while the question stands, then says yes.
fn yes_after(change: impl FnOnce(&Path)) -> (serde_json::Value, i32, Asked) {
    let asked = Asked::of(1);
    let mut terminal = asked.repair(&[]);
    terminal.wait_for(ASKED);
    change(&asked.locks[0]);
    terminal.types("y\n");
    let answer = terminal.end();
    (answer.lock(), answer.code(), asked)
}

#[test]
fn a_yes_to_one_lock_never_takes_the_next_one() {
    let sleeper = Living::sleep();
    let alive = record(sleeper.pid(), Some(sleeper.ticks()));
    let record_of = |lock: &Path| lock.join("owner.json");
    let write = |lock: &Path| std::fs::write(record_of(lock), &alive).unwrap();

    let (judged, code, asked) = yes_after(write);
    assert_eq!((judged["outcome"].as_str(), code), (Some("changed"), 1));
    assert_eq!(std::fs::read_to_string(record_of(&asked.locks[0])).unwrap(), alive, "a living lock was touched");

    let (judged, code, asked) = yes_after(|lock| {
        std::fs::remove_dir_all(lock).unwrap();
        std::fs::create_dir(lock).unwrap();
        write(lock);
    });
    assert_eq!((judged["outcome"].as_str(), code), (Some("changed"), 1));
    assert_eq!(
        std::fs::read_to_string(record_of(&asked.locks[0])).unwrap(),
        alive,
        "the next owner's lock was touched"
    );

    // The same bytes in a new file: somebody wrote it just now.
    let (judged, ..) = yes_after(|lock| {
        std::fs::write(lock.join("new"), "{\"pid\":").unwrap();
        std::fs::rename(lock.join("new"), record_of(lock)).unwrap();
    });
    assert_eq!(judged["outcome"], "changed");

    let (judged, code, _) = yes_after(|lock| std::fs::remove_dir_all(lock).unwrap());
    assert_eq!((judged["outcome"].as_str(), code), (Some("already-gone"), 0));
}

/// Who is judged again is the process, not only the file.
#[test]
fn a_yes_counts_for_the_evidence_that_was_shown() {
    let (stage, sleeper) = (Stage::new(), Living::sleep());
    let lock = stage.lock("openclaw-2026.4.26-aaaaaaaaaaaa", DEPS, Some(&record(sleeper.pid(), None)));
    let args = ["repair".as_ref(), "--json".as_ref(), "--assume-single-writer".as_ref(), stage.path().as_os_str()];
    let mut terminal = Doctor::own().in_terminal(args);
    terminal.wait_for(ASKED);
    drop(sleeper);
    terminal.types("y\n");
    let answer = terminal.end();
    assert_eq!((answer.lock()["outcome"].as_str(), answer.code()), (Some("changed"), 1));
    assert!(lock.join("owner.json").exists());
}

/// Runs it with a pipe as its input that says yes and stays open: it must neither ask nor wait.
#[test]
fn a_pipe_is_not_asked_and_not_waited_for() {
    let asked = Asked::of(1);
    let mut command = support::command();
    command.args(["repair", "--json"]).arg(asked.stage.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let _ = input.write_all(b"y\ny\n");
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > support::HANG {
            child.kill().unwrap();
            panic!("it waits for its input");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(input);
    let answer = Answer(child.wait_with_output().unwrap());
    assert_eq!(asked.outcomes(&answer), ["held-back"]);
    assert_eq!(answer.code(), 1);
    assert!(!answer.err().contains(ASKED), "{}", answer.err());
}

/// A question that nobody sees must not be asked: standard error goes to a file, or `-q` is given.
#[test]
fn a_question_that_would_not_be_seen_is_not_asked() {
    let asked = Asked::of(1);
    let errors = asked.stage.path().join("errors");
    let script = format!(
        "exec {} repair --json {} 2>{}",
        env!("CARGO_BIN_EXE_openclaw-doctor"),
        asked.stage.path().display(),
        errors.display()
    );
    let mut terminal = Terminal::start(&["sh".into(), "-c".into(), script.into()]);
    terminal.types("y\n");
    let answer = terminal.end();
    assert_eq!((asked.outcomes(&answer), answer.code()), (vec!["held-back".to_owned()], 1));
    assert_eq!(std::fs::read_to_string(errors).unwrap(), "");

    let mut terminal = Doctor::own().in_terminal(["repair".as_ref(), "-q".as_ref(), asked.stage.path().as_os_str()]);
    terminal.types("y\n");
    let answer = terminal.end();
    assert_eq!((answer.out().as_str(), answer.code()), ("", 1));
    assert!(asked.locks[0].join("owner.json").exists());
}

#[test]
fn a_dry_run_asks_nothing_and_a_yes_flag_neither() {
    let asked = Asked::of(1);
    for (flag, outcome) in [("--dry-run", None), ("--yes", Some("removed"))] {
        let answer = asked.repair(&[flag]).end();
        assert_eq!(answer.lock()["outcome"].as_str(), outcome);
        assert!(!answer.err().contains(ASKED), "{}", answer.err());
    }
}

/// The same in a pipe and on a terminal: a line that says what is left and the command for it.
#[test]
fn what_was_declined_is_listed_with_its_command() {
    let asked = Asked::of(1);
    let mut terminal = Doctor::own().in_terminal(["repair".as_ref(), asked.stage.path().as_os_str()]);
    terminal.answers("n\n");
    let answer = terminal.end();
    let lock = asked.locks[0].to_str().unwrap();
    assert!(answer.out().contains(&format!("openclaw-doctor repair --yes {lock}")), "{}", answer.out());
    assert!(answer.out().contains("1 declined"), "{}", answer.out());
    let without = doctor(["repair".as_ref(), asked.stage.path().as_os_str()]);
    assert!(without.out().contains(&format!("openclaw-doctor repair --yes {lock}")), "{}", without.out());
}

/// A yes was given to what was shown: a lock that nobody would clear, or hold.
#[test]
fn a_yes_does_not_count_once_an_openclaw_uses_the_state_dir() {
    if moved_to_own_machine() {
        return;
    }
    // Empty, as a killed owner leaves it, and a guard that names nobody.
    for (name, release) in [("auth-profiles.json.lock", "2026.4.29"), ("auth-profiles.json.lock.reclaim", "2026.9.6")] {
        for starts in [false, true] {
            let tree = Stage::new();
            let state = tree.path().join(".openclaw");
            let place = state.join("agents/main/agent");
            std::fs::create_dir_all(&place).unwrap();
            let lock = place.join(name);
            if name.ends_with(".reclaim") {
                std::fs::create_dir(&lock).unwrap();
            } else {
                std::fs::write(&lock, "").unwrap();
            }
            support::age(&lock);
            let mut terminal = Doctor::own().in_terminal(["repair".as_ref(), "--json".as_ref(), state.as_os_str()]);
            terminal.wait_for(ASKED);
            let _gateway = starts.then(|| gateway(tree.path(), release, &state));
            terminal.types("y\n");
            let answer = terminal.end();
            let expected = if starts { ("held-back", 1) } else { ("removed", 0) };
            let judged = answer.lock();
            assert_eq!((judged["outcome"].as_str().unwrap(), answer.code()), expected, "{name}: {}", answer.out());
            assert_eq!(lock.exists(), starts, "{name}: {}", answer.out());
        }
    }
}

/// The word in the report and the one in the receipt are of one warrant, also where what kept the
/// lock back went while the question stood, so that a proof is enough.
#[test]
fn the_receipt_and_the_report_name_the_same_word() {
    for stays in [false, true] {
        let tree = Stage::new();
        let state = tree.path().join(".openclaw");
        let place = state.join("agents/main/agent");
        std::fs::create_dir_all(&place).unwrap();
        let lock = place.join("auth-profiles.json.lock");
        std::fs::write(&lock, format!("{{\"pid\": {}, \"starttime\": 7}}", dead_pid())).unwrap();
        let receipt = tree.path().join("receipt");
        let gateway = gateway(tree.path(), "2026.9.6", &state);
        let args = ["repair", "--json", "--assume-single-writer", "--lock"].map(OsStr::new);
        let args = args.into_iter().chain([lock.as_os_str(), "--receipt".as_ref(), receipt.as_os_str()]);
        let mut terminal = Doctor::own().in_terminal(args);
        terminal.wait_for(ASKED);
        let gateway = stays.then_some(gateway);
        terminal.types("y\n");
        let answer = terminal.end();
        drop(gateway);
        let judged = answer.lock();
        assert_eq!((judged["outcome"].as_str(), answer.code()), (Some("removed"), 0), "{}", answer.out());
        let text = std::fs::read_to_string(&receipt).unwrap();
        let intent: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(intent["consent"], judged["consent"], "{text}\n{}", answer.out());
        assert_eq!(judged["consent"], if stays { "named" } else { "proof" }, "{}", answer.out());
    }
}
