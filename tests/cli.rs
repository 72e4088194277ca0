//! What scripts, terminals and people rely on: exit codes, streams, colours, widths, scope.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, clippy::indexing_slicing)]

mod support;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::machine::{VOUCHED, moved_to_own_machine};
use support::{Answer, DEPS, HANG, Living, MIRROR, Stage, command, dead_pid, doctor, record};

fn stale() -> String {
    record(dead_pid(), Some(7))
}

fn with_env(args: &[&str], variables: &[(&str, &OsStr)]) -> Answer {
    let mut doctor = command();
    Answer(doctor.args(args).envs(variables.iter().copied()).stdin(Stdio::null()).output().unwrap())
}

fn scan(path: &Path, more: &[&str]) -> Answer {
    doctor([OsStr::new("scan"), path.as_os_str()].into_iter().chain(more.iter().map(OsStr::new)))
}

fn paths(answer: &Answer) -> Vec<PathBuf> {
    let json = answer.json();
    json["locks"].as_array().unwrap().iter().map(|lock| lock["path"].as_str().unwrap().into()).collect()
}

/// Says aloud that a test was not made; where everything must be tested, fails.
fn skip(what: &str) {
    assert!(std::env::var_os("OPENCLAW_DOCTOR_LAB").is_none_or(|lab| lab != "required"), "cannot test: {what}");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

#[test]
fn a_script_can_tell_healthy_from_stale_from_wrong_from_incomplete() {
    let (stage, owner) = (Stage::new(), Living::sleep());
    let gone = stage.path().join("gone");
    assert_eq!(scan(stage.path(), &[]).code(), 0);
    stage.lock("held", DEPS, Some(&record(owner.pid(), Some(owner.ticks()))));
    assert_eq!(scan(stage.path(), &[]).code(), 0);
    stage.lock("v", DEPS, Some(&stale()));
    assert_eq!(scan(stage.path(), &[]).code(), 1);
    assert_eq!(scan(&gone, &[]).code(), 3);
    assert_eq!(scan(stage.path(), &[gone.to_str().unwrap()]).code(), 3, "the highest wins");
    assert_eq!(doctor(["explain".as_ref(), stage.path().join("v").as_os_str()]).code(), 1);
    assert_eq!(doctor(["explain".as_ref(), stage.path().join("held").as_os_str()]).code(), 0);
    for wrong in [&["scna"][..], &[], &["explain"], &["scan", "-q", "-v"], &["scan", "--color", "blue"], &["scan", ""]]
    {
        let answer = doctor(wrong);
        assert_eq!((answer.code(), answer.out().as_str()), (2, ""), "{wrong:?}");
        assert!(!answer.err().is_empty());
    }
    for fine in [&["--help"][..], &["--version"], &["scan", "--help"], &["schema"]] {
        let answer = doctor(fine);
        assert_eq!((answer.code(), answer.err().as_str()), (0, ""), "{fine:?}");
    }
}

#[test]
fn a_typing_error_is_answered_with_what_was_meant() {
    if moved_to_own_machine() {
        return;
    }
    for (args, hint) in [
        (&["scna"][..], "scan"),
        (&["scan", "--jsno"], "--json"),
        (&["scan", "--color", "alwys"], "always"),
        (&["scan", "-q", "-v"], "cannot be used with"),
        (&["explain"], "<LOCK>"),
    ] {
        let answer = doctor(args);
        assert!(answer.err().contains(hint), "{args:?}: {}", answer.err());
    }
    let stage = Stage::new();
    for nothing in [stage.path().to_str().unwrap(), "0123456789ab"] {
        let answer = with_env(&["explain", nothing], &[("HOME", stage.path().as_os_str())]);
        let told = answer.out() + &answer.err();
        // Where the machine keeps something from this user, the answer may miss the lock.
        assert!([2, 3].contains(&answer.code()), "{told}");
        assert!(told.contains(&format!("lock {nothing} was found")), "{told}");
    }
}

#[test]
fn a_healthy_host_is_one_line_and_one_for_each_holder() {
    let (stage, owner) = (Stage::new(), Living::sleep());
    let lines = |holders: usize, words: &str| {
        let answer = scan(stage.path(), &[]);
        assert_eq!(
            (answer.code(), answer.out().lines().count(), answer.err().as_str()),
            (0, 1 + holders, ""),
            "{}",
            answer.out()
        );
        assert!(answer.out().starts_with("Nothing stale") && answer.out().contains(words), "{}", answer.out());
    };
    lines(0, "no locks");
    stage.lock("a", DEPS, Some(&record(owner.pid(), Some(owner.ticks()))));
    lines(1, "1 lock");
    stage.lock("b", DEPS, Some(&record(owner.pid(), Some(owner.ticks()))));
    lines(1, "2 locks");
    stage.lock("v", DEPS, Some(&stale()));
    let told = scan(stage.path(), &[]).out();
    assert!(told.lines().count() > 3 && !told.contains("Nothing stale"), "{told}");
}

/// A lock that is held for longer than OpenClaw waits is not "nothing to see".
#[test]
fn a_repair_of_a_healthy_tree_is_one_line_and_of_a_named_lock_is_told() {
    let (stage, owner) = (Stage::new(), Living::sleep());
    let lock = stage.lock("v", DEPS, Some(&record(owner.pid(), Some(owner.ticks()))));
    let run = |more: &[&OsStr]| {
        let answer = doctor([OsStr::new("repair")].into_iter().chain(more.iter().copied()));
        assert_eq!((answer.code(), lock.join("owner.json").exists()), (0, true), "{}{}", answer.out(), answer.err());
        answer.out()
    };
    for more in [&[][..], &["--yes".as_ref()], &["--dry-run".as_ref()]] {
        let told = run(&[more, &[stage.path().as_os_str()]].concat());
        assert_eq!(told, "Nothing to repair: 1 lock, each held by its living owner\n", "{more:?}");
    }
    let told = run(&["--lock".as_ref(), lock.as_os_str(), "--yes".as_ref()]);
    for known in [lock.to_str().unwrap(), "active", &owner.pid().to_string(), "leave", "1 lock: 1 held back"] {
        assert!(told.contains(known), "{known} is not in: {told}");
    }
}

#[test]
fn a_long_held_lock_names_its_process_and_what_to_do() {
    let (stage, owner) = (Stage::new(), Living::sleep());
    let hour_ago = support::now_ms() - 3_600_000;
    let (pid, ticks) = (owner.pid(), owner.ticks());
    let text = format!("{{\"pid\":{pid},\"starttime\":{ticks},\"createdAtMs\":{hour_ago}}}");
    stage.lock("v", DEPS, Some(&text));
    let answer = scan(stage.path(), &[]);
    let told = answer.out();
    assert!(told.contains("60 min") && told.contains(&format!("kill {pid}")) && answer.code() == 0, "{told}");
}

#[test]
fn a_pipe_gets_no_escapes_unless_it_asks_for_them() {
    let stage = Stage::new();
    stage.lock("v", DEPS, Some(&stale()));
    let coloured = |args: &[&str], variables: &[(&str, &str)]| {
        let mut doctor = command();
        let output = doctor.arg("scan").arg(stage.path()).args(args).envs(variables.iter().copied()).output().unwrap();
        assert!(output.stderr.is_empty());
        output.stdout.contains(&0x1b)
    };
    assert!(!coloured(&[], &[("TERM", "xterm-256color")]));
    assert!(!coloured(&["--color", "auto"], &[("CLICOLOR_FORCE", "0")]));
    assert!(!coloured(&["--color", "never"], &[]));
    assert!(coloured(&["--color", "always"], &[]));
    assert!(coloured(&["--color=always"], &[("NO_COLOR", "1")]), "what is asked for on the command line wins");
    assert!(!coloured(&["--json", "--color", "always"], &[]), "JSON is never coloured");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let stage = Stage::new();
    for version in 0..2_000 {
        stage.lock(&format!("v{version}"), DEPS, None);
    }
    let path = stage.path().to_str().unwrap();
    // The code is the answer of a script that reads only the first line.
    let cases = [
        (&["scan", path][..], 1),
        (&["scan", "--json", path], 1),
        (&["explain", path], 1),
        (&["schema"], 0),
        (&["--help"], 0),
    ];
    for (args, code) in cases {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command().args(args).stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output();
        let answer = Answer(output.unwrap());
        assert_eq!((answer.code(), answer.err().as_str()), (code, ""), "{args:?}");
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_not_success() {
    let stage = Stage::new();
    for args in [&["scan"][..], &["scan", "--json"], &["schema"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut doctor = command();
        doctor.args(args).stdout(full).stderr(Stdio::piped());
        if args[0] == "scan" {
            doctor.arg(stage.path());
        }
        let answer = Answer(doctor.spawn().unwrap().wait_with_output().unwrap());
        assert_eq!(answer.code(), 3, "{args:?}");
        assert!(
            answer.err().starts_with("openclaw-doctor: cannot write the answer: No space left"),
            "{}",
            answer.err()
        );
    }
}

#[test]
fn quiet_means_that_the_exit_code_is_all() {
    let stage = Stage::new();
    stage.lock("v", DEPS, Some(&stale()));
    let gone = stage.path().join("gone");
    for (args, code) in [
        (vec!["scan", "-q", stage.path().to_str().unwrap()], 1),
        (vec!["-q", "scan", stage.path().to_str().unwrap()], 1),
        (vec!["scan", "-q", "--json", stage.path().to_str().unwrap()], 1),
        (vec!["explain", "-q", stage.path().to_str().unwrap()], 1),
        (vec!["scan", "--quiet", gone.to_str().unwrap()], 3),
    ] {
        let answer = doctor(&args);
        assert_eq!((answer.code(), answer.out(), answer.err()), (code, String::new(), String::new()), "{args:?}");
    }
}

/// A home with one stale lock in the default state dir.
fn home_with(state: &str) -> (Stage, PathBuf) {
    let home = Stage::new();
    let lock = home.lock(&format!("{state}/plugin-runtime-deps/openclaw-2026.4.29-0123456789ab"), DEPS, Some(&stale()));
    (home, lock)
}

#[test]
fn an_id_from_a_scan_is_enough_to_explain_its_lock() {
    if moved_to_own_machine() {
        return;
    }
    let (home, lock) = home_with(".openclaw");
    let variables = [("HOME", home.path().as_os_str())];
    let id = with_env(&["scan", "--json"], &variables).lock_at(&lock)["id"].as_str().unwrap().to_owned();
    let by_id = with_env(&["explain", &id, VOUCHED], &variables);
    assert!(by_id.out().contains(&format!("Lock      {}\n", lock.display())), "{}", by_id.out());
    assert!(by_id.out().contains(&format!("Id        {id}\n")));
    assert!(by_id.out().contains("stale-dead-pid (proven") && by_id.code() == 1, "{}", by_id.out());
    let again = with_env(&["scan", "--json"], &variables).lock_at(&lock)["id"].as_str().unwrap().to_owned();
    assert_eq!(again, id, "the same in the next run");
}

#[test]
fn explaining_a_path_tells_every_lock_there_and_its_evidence() {
    let (stage, owner) = (Stage::new(), Living::sleep());
    let first = stage.lock("v", DEPS, Some(&record(owner.pid(), Some(owner.ticks()))));
    let second = stage.lock("v", MIRROR, Some(&stale()));
    let both = doctor(["explain".as_ref(), stage.path().as_os_str()]).out();
    assert!(both.contains(&first.display().to_string()) && both.contains(&second.display().to_string()), "{both}");
    let one = doctor(["explain".as_ref(), first.as_os_str()]).out();
    assert!(!one.contains(MIRROR), "{one}");
    for words in ["active (held: never removed)", &format!("pid {} here", owner.pid()), &owner.ticks().to_string()] {
        assert!(one.contains(words), "{words} in {one}");
    }
}

/// Where an operator's environment puts the locks, a scan without PATH finds them.
#[test]
fn every_place_that_the_environment_names_is_looked_at() {
    if moved_to_own_machine() {
        return;
    }
    let root = Stage::new();
    let version = "openclaw-2026.4.29-0123456789ab";
    let at = |place: &str| root.lock(&format!("{place}/{version}"), DEPS, Some(&stale()));
    let path = |place: &str| root.path().join(place).into_os_string();
    let list = |a: &str, b: &str| [path(a), path(b)].join(OsStr::new(":"));
    let locks = [
        at("stage-a"),
        at("stage-b"),
        at("state/plugin-runtime-deps"),
        at("unit-a/plugin-runtime-deps"),
        at("unit-b/plugin-runtime-deps"),
        at("moved/.openclaw/plugin-runtime-deps"),
        at("moved/.openclaw-work/plugin-runtime-deps"),
        at("moved/.clawdbot/plugin-runtime-deps"),
        at("moved/.moltbot/plugin-runtime-deps"),
        at("old-state/plugin-runtime-deps"),
    ];
    let (stages, units) = (list("stage-a", "stage-b"), list("unit-a", "unit-b"));
    let (state, moved, old) = (path("state"), path("moved"), path("old-state"));
    let answer = with_env(
        &["scan", "--json"],
        &[
            ("OPENCLAW_PLUGIN_STAGE_DIR", &stages),
            ("STATE_DIRECTORY", &units),
            ("OPENCLAW_STATE_DIR", &state),
            ("CLAWDBOT_STATE_DIR", &old),
            ("OPENCLAW_HOME", &moved),
            ("HOME", "/nonexistent".as_ref()),
        ],
    );
    let found: Vec<PathBuf> = paths(&answer).into_iter().filter(|path| path.starts_with(root.path())).collect();
    let mut expected = locks.to_vec();
    // By their bytes, as the report is.
    expected.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    assert_eq!(found, expected);
    let json = answer.json();
    let origins: Vec<&str> =
        json["roots"].as_array().unwrap().iter().map(|root| root["origin"].as_str().unwrap()).collect();
    for origin in ["OPENCLAW_PLUGIN_STAGE_DIR", "STATE_DIRECTORY", "OPENCLAW_STATE_DIR", "~/.openclaw"] {
        assert!(origins.contains(&origin), "{origin} in {origins:?}");
    }
}

#[test]
fn a_state_dir_that_is_a_link_to_a_volume_is_followed_once() {
    if moved_to_own_machine() {
        return;
    }
    let (volume, home) = (Stage::new(), Stage::new());
    volume.lock("plugin-runtime-deps/openclaw-2026.4.29-0123456789ab", DEPS, Some(&stale()));
    std::os::unix::fs::symlink(volume.path(), home.path().join(".openclaw")).unwrap();
    std::os::unix::fs::symlink(volume.path(), home.path().join(".openclaw-two")).unwrap();
    let answer = with_env(&["scan", "--json"], &[("HOME", home.path().as_os_str())]);
    let ours: Vec<PathBuf> = paths(&answer).into_iter().filter(|path| path.starts_with(home.path())).collect();
    assert_eq!(ours.len(), 1, "one lock, named twice: {ours:?}");
}

#[test]
fn with_a_path_nothing_else_is_looked_at_unless_asked_for() {
    if moved_to_own_machine() {
        return;
    }
    let (home, at_home) = home_with(".openclaw");
    let stage = Stage::new();
    let named = stage.lock("v", DEPS, Some(&stale()));
    let path = stage.path().to_str().unwrap();
    let variables = [("HOME", home.path().as_os_str()), ("OPENCLAW_STATE_DIR", home.path().as_os_str())];
    let only = with_env(&["scan", "--json", path], &variables);
    assert_eq!(paths(&only), std::slice::from_ref(&named));
    assert_eq!(only.json()["roots"].as_array().unwrap().len(), 1);
    let more = paths(&with_env(&["scan", "--json", "--discover", path], &variables));
    assert!(more.contains(&named) && more.contains(&at_home), "{more:?}");
    let all = with_env(&["scan", "--json"], &variables);
    assert!(paths(&all).contains(&at_home) && !paths(&all).contains(&named));
}

#[test]
fn a_place_that_two_variables_name_is_one_root_with_both_its_origins() {
    if moved_to_own_machine() {
        return;
    }
    let (home, lock) = home_with(".openclaw");
    let state = home.path().join(".openclaw");
    let variables = [("HOME", home.path().as_os_str()), ("OPENCLAW_STATE_DIR", state.as_os_str())];
    let answer = with_env(&["scan", "--json"], &variables);
    assert_eq!(paths(&answer).iter().filter(|path| **path == lock).count(), 1);
    let json = answer.json();
    let roots: Vec<_> = json["roots"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|root| root["path"] == state.join("plugin-runtime-deps").to_str().unwrap())
        .collect();
    assert_eq!(roots.len(), 1, "{json}");
    assert_eq!((&roots[0]["origin"], &roots[0]["also"][0]), (&"OPENCLAW_STATE_DIR".into(), &"~/.openclaw".into()));
}

/// Runs the binary in a pseudo-terminal of this width; what the terminal would have shown.
fn in_terminal(width: u16, shell: &str, path: &Path, variables: &[(&str, &str)]) -> Option<(String, Option<i32>)> {
    let line = format!("stty cols {width} rows 40; {shell}");
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    script.env("TERM", "xterm-256color").env("SHELL", "/bin/sh").envs(variables.iter().copied());
    script.env("DOCTOR", env!("CARGO_BIN_EXE_openclaw-doctor")).env("ROOT", path);
    match script.stdin(Stdio::null()).output() {
        Ok(output) => Some((String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n"), output.status.code())),
        Err(error) => {
            skip(&format!("a pseudo-terminal: script (util-linux): {error}"));
            None
        }
    }
}

fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        plain.push_str(&rest[..at]);
        let end = rest[at..].find('m').unwrap_or_else(|| panic!("an escape that is no colour in {rest:?}"));
        rest = &rest[at + end + 1..];
    }
    plain + rest
}

#[test]
fn the_table_fits_the_terminal_it_is_shown_in() {
    let (stage, owner) = (Stage::new(), Living::sleep());
    stage.lock("openclaw-2026.4.29-000000000001", DEPS, Some(&record(owner.pid(), Some(owner.ticks()))));
    stage.lock("openclaw-2026.4.29-000000000002", MIRROR, Some(&record(owner.pid(), Some(owner.ticks() - 1))));
    stage.lock("openclaw-2026.4.29-000000000003", DEPS, Some(&stale()));
    stage.lock("openclaw-2026.4.26-000000000004", DEPS, Some(&record(owner.pid(), None)));
    stage.lock("openclaw-2026.4.26-000000000005", DEPS, None);
    stage.lock("openclaw-2026.4.26-000000000005", ".other.lock", Some("{}"));
    let shell = "$DOCTOR scan $ROOT $ROOT/gone --proc $ROOT; $DOCTOR scan $ROOT; $DOCTOR explain $ROOT";
    for width in [60, 80, 120, 200] {
        let Some((shown, code)) = in_terminal(width, shell, stage.path(), &[]) else { return };
        assert_eq!(code, Some(1));
        let plain = without_colours(&shown);
        for line in plain.lines() {
            let command = line.starts_with("Next") || line.trim_start().starts_with("openclaw-doctor ");
            // A path that is longer than the line cannot be broken without breaking it.
            let one_word = line.split_whitespace().count() <= 2;
            assert!(line.chars().count() <= usize::from(width) || command || one_word, "{width}: {line:?}\n{plain}");
        }
        for class in ["active", "stale-dead-pid", "stale-recycled-pid", "legacy-unverifiable"] {
            assert!(plain.contains(class), "{class} at {width}:\n{plain}");
        }
        assert_ne!(plain, shown, "a terminal is shown colours");
    }
}

#[test]
fn a_terminal_that_wants_no_colours_gets_none() {
    let stage = Stage::new();
    stage.lock("v", DEPS, Some(&stale()));
    for (shell, variables) in [
        ("$DOCTOR scan $ROOT", &[("NO_COLOR", "1")][..]),
        ("$DOCTOR scan $ROOT", &[("TERM", "dumb")]),
        ("$DOCTOR --color never scan $ROOT", &[]),
    ] {
        let Some((shown, _)) = in_terminal(80, shell, stage.path(), variables) else { return };
        assert!(shown.contains("stale-dead-pid") && !shown.contains('\u{1b}'), "{shell}: {shown:?}");
    }
    let Some((shown, _)) = in_terminal(80, "$DOCTOR scan $ROOT", stage.path(), &[("NO_COLOR", "")]) else { return };
    assert!(shown.contains('\u{1b}'), "an empty NO_COLOR is none: {shown:?}");
}

/// A quick scan draws nothing that it would have to wipe away.
#[test]
fn a_quick_scan_shows_no_progress_even_on_a_terminal() {
    let stage = Stage::new();
    let Some((shown, _)) = in_terminal(80, "$DOCTOR scan --json $ROOT >/dev/null", stage.path(), &[]) else { return };
    assert_eq!(shown, "");
}

/// A filesystem whose server sleeps, so that a scan of it is slow: 3 s until it is given up.
struct Sleeping {
    mount: PathBuf,
    server: u32,
}

impl Sleeping {
    fn new(stage: &Stage) -> Option<Self> {
        let (source, mount) = (stage.path().join("source"), stage.path().join("mount"));
        std::fs::create_dir_all(source.join("v").join(DEPS)).unwrap();
        std::fs::create_dir_all(&mount).unwrap();
        let started = Command::new("bindfs").arg("-f").arg(&source).arg(&mount).stderr(Stdio::null()).spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                skip(&format!("a slow filesystem: bindfs: {error}"));
                return None;
            }
        };
        let server = child.id();
        let began = Instant::now();
        while !mount.join("v").exists() {
            let ended = child.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > HANG {
                let _ = child.kill();
                let _ = child.wait();
                skip("a slow filesystem: bindfs cannot mount here");
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let sleeping = Self { mount, server };
        sleeping.signal(rustix::process::Signal::STOP);
        // The server is ours to reap once it is unmounted.
        std::thread::spawn(move || child.wait());
        Some(sleeping)
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.server).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Sleeping {
    fn drop(&mut self) {
        self.signal(rustix::process::Signal::CONT);
        // TERM lets bindfs unmount itself, for root and for an ordinary user alike.
        self.signal(rustix::process::Signal::TERM);
        let began = Instant::now();
        while self.mount.join("v").exists() && began.elapsed() < HANG {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Half a second of silence is enough; a pipe and a quiet run are never written to.
#[test]
fn a_slow_scan_shows_its_progress_on_a_terminal_and_nowhere_else() {
    let stage = Stage::new();
    let Some(slow) = Sleeping::new(&stage) else { return };
    let began = Instant::now();
    let Some((shown, code)) = in_terminal(80, "$DOCTOR scan --json $ROOT >/dev/null", &slow.mount, &[]) else { return };
    assert!(began.elapsed() < HANG, "a dead mount held the run for {:?}", began.elapsed());
    assert_eq!(code, Some(3));
    assert!(shown.contains("directory entries seen") && shown.ends_with("\r\u{1b}[K"), "{shown:?}");
    let piped = scan(&slow.mount, &["--json"]);
    assert_eq!((piped.code(), piped.err().as_str()), (3, ""));
    let Some((quiet, _)) = in_terminal(80, "$DOCTOR scan -q $ROOT", &slow.mount, &[]) else { return };
    assert_eq!(quiet, "");
}
