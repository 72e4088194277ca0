//! Names that attack a terminal, a shell, or a reader's eye.

use super::look::{assert_harmless, look, os};
use super::support::machine::moved_to_own_machine;
use super::support::{Answer, DEPS, Living, Stage, command, dead_pid, doctor, record, start_ticks};
use serde_json::Value;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NAMES: &[&[u8]] = &[
    b"esc-\x1b[2J\x1b]0;owned\x07",
    b"line\nProblem: forged",
    b"return\rforged",
    b"tab\tbackspace\x08delete\x7f",
    "c1-\u{9b}31m\u{90}\u{9c}".as_bytes(),
    b"raw-c1-\x9b31m",
    "bidi-\u{202e}kcol\u{2066}".as_bytes(),
    "marks-\u{61c}\u{200f}\u{200b}\u{feff}\u{2028}".as_bytes(),
    "tags-\u{e0041}\u{e007f}".as_bytes(),
    b"not-utf8-\xff\xfe\xc0\xaf",
    b"surrogate-\xed\xa0\x80",
    b"cut-\xe2\x82",
    b"quote'\"$(touch pwned)`id`;&|\\x41 #",
    b"-rf",
    b" blank ",
    b"{\"json\":1}",
    "breit-\u{5bbd}\u{5bbd}-\u{1f980}-e\u{301}".as_bytes(),
    b"x\\u{1b}",
    &[b'n'; 255],
];

/// The path's bytes, as a reader of the JSON gets them.
fn path_bytes(found: &Value) -> Vec<u8> {
    match found["path_hex"].as_str() {
        Some(hex) => (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect(),
        None => found["path"].as_str().unwrap().as_bytes().to_vec(),
    }
}

#[test]
fn no_name_reaches_the_terminal_raw_and_none_is_lost() {
    let stage = Stage::new();
    let mut expected: Vec<PathBuf> = Vec::new();
    for name in NAMES {
        let lock = stage.path().join(os(name)).join(DEPS);
        std::fs::create_dir_all(&lock).unwrap();
        std::fs::write(lock.join("owner.json"), record(dead_pid(), Some(7))).unwrap();
        expected.push(lock);
    }
    let odd = stage.path().join(os(b"look-\xff\x1b"));
    std::fs::create_dir_all(odd.join(".a\x1b.lock")).unwrap();
    std::fs::write(odd.join(".a\x1b.lock").join("owner.json"), "{}").unwrap();
    let answer = look(stage.path(), &[stage.path()]);
    let json = answer.json();
    let mut found: Vec<PathBuf> =
        json["locks"].as_array().unwrap().iter().map(|lock| os(&path_bytes(lock)).into()).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(path_bytes(&json["look_alikes"][0]), odd.join(".a\x1b.lock").as_os_str().as_bytes());
}

#[test]
fn a_root_with_such_a_name_is_reported_whole() {
    for name in NAMES {
        let stage = Stage::new();
        let root = stage.path().join(os(name));
        std::fs::create_dir_all(root.join("v").join(DEPS)).unwrap();
        let answer = look(stage.path(), &[&root]);
        assert_eq!(path_bytes(&answer.json()["roots"][0]), root.as_os_str().as_bytes());
        assert_eq!(answer.lock()["reason"], "record-missing");
        let gone = root.join("gone");
        let answer = look(stage.path(), &[&gone]);
        assert_eq!(
            (path_bytes(&answer.json()["problems"][0]), answer.code()),
            (gone.into_os_string().into_encoded_bytes(), 3)
        );
    }
}

/// Pastes a command line into a shell whose `openclaw-doctor` prints its arguments.
fn paste(line: &str, directory: &Path) -> Vec<Vec<u8>> {
    let fake = directory.join("openclaw-doctor");
    if !fake.exists() {
        let script = "#!/bin/sh\nprintf '%s\\0' \"$@\"\n";
        let mut writer = Command::new("sh");
        writer.arg("-c").arg("printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"").arg("sh").arg(script).arg(&fake);
        assert!(writer.status().unwrap().success());
    }
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash").arg("-c").arg(line).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout.split(|byte| *byte == 0).map(<[u8]>::to_vec).filter(|word| !word.is_empty()).collect()
}

/// The advice is pasted by an operator, often as root: a directory's name must not be run.
#[test]
fn a_command_that_is_pasted_reaches_the_lock_it_names_and_runs_nothing_else() {
    let bin = Stage::new();
    let ends_with_lock = |words: &[Vec<u8>], lock: &Path| {
        assert!(words.iter().any(|word| word == lock.as_os_str().as_bytes()), "{words:?} for {lock:?}");
    };
    for name in NAMES {
        let stage = Stage::new();
        let directory = stage.path().join(os(name));
        let lock = directory.join(DEPS);
        std::fs::create_dir_all(&lock).unwrap();
        for text in [record(dead_pid(), Some(7)), String::new()] {
            std::fs::write(lock.join("owner.json"), text).unwrap();
            let answer = doctor([OsStr::new("scan"), "--json".as_ref(), lock.as_os_str()]);
            let step = answer.lock()["next_step"].as_str().unwrap().to_owned();
            let at = step.find("openclaw-doctor ").unwrap_or_else(|| panic!("{step}"));
            ends_with_lock(&paste(&step[at..], bin.path()), &lock);
            for args in [["scan", ""], ["explain", ""]] {
                let told = doctor([OsStr::new(args[0]), lock.as_os_str()]).out();
                let next = told.lines().find(|line| line.starts_with("Next")).unwrap();
                let at = next.find("openclaw-doctor ").unwrap_or_else(|| panic!("{next}"));
                ends_with_lock(&paste(&next[at..], bin.path()), &lock);
            }
        }
        assert!(!Path::new("pwned").exists());
    }
}

#[test]
fn a_wrong_argument_is_echoed_without_its_escapes() {
    for arg in NAMES.iter().map(|name| [b"--", *name].concat()) {
        for args in [vec!["scan".into(), os(&arg)], vec![os(&arg)], vec!["scan".into(), "--color".into(), os(&arg)]] {
            let answer = doctor(&args);
            assert_eq!(answer.code(), 2, "{args:?}: {}", answer.err());
            assert_harmless("usage", &answer.0.stdout);
            assert_harmless("usage", &answer.0.stderr);
            assert!(!answer.err().lines().any(|line| line.starts_with("Problem: forged")), "{}", answer.err());
        }
    }
}

/// A process names itself: its comm is as foreign as a file name.
#[test]
fn a_process_cannot_write_to_the_terminal_through_its_name() {
    let sleep = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|directory| directory.join("sleep"))
        .find(|path| path.exists())
        .unwrap();
    for name in [&b"\x1b[31m\nPid:\t1"[..], b"\xff\xfe\x9bx", "\u{202e}\u{9b}x".as_bytes(), b"a) R 1 (b", b"\\"] {
        let (stage, bin) = (Stage::new(), Stage::new());
        let program = bin.path().join(os(name));
        std::os::unix::fs::symlink(&sleep, &program).unwrap();
        let mut command = Command::new(&program);
        let child = command.arg0("sleep").arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let odd = Living(child);
        await_comm(odd.pid(), name);
        stage.lock("held", DEPS, Some(&record(odd.pid(), Some(odd.ticks()))));
        stage.lock("recycled", DEPS, Some(&record(odd.pid(), Some(odd.ticks() - 1))));
        stage.lock("legacy", DEPS, Some(&record(odd.pid(), None)));
        let answer = look(stage.path(), &[stage.path()]);
        assert_eq!(answer.lock_at(format!("held/{DEPS}"))["classification"], "active", "{name:?}");
        assert_eq!(answer.lock_at(format!("recycled/{DEPS}"))["classification"], "stale-recycled-pid", "{name:?}");
        assert_eq!(answer.lock_at(format!("legacy/{DEPS}"))["classification"], "legacy-unverifiable", "{name:?}");
        assert_eq!(start_ticks(odd.pid()), odd.ticks());
    }
}

/// Between fork and exec a child still has our name.
fn await_comm(pid: u32, name: &[u8]) {
    for _ in 0..500 {
        let comm = std::fs::read(format!("/proc/{pid}/comm")).unwrap();
        if comm.strip_suffix(b"\n").unwrap_or(&comm) == &name[..name.len().min(15)] {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("process {pid} never became {name:?}");
}

/// Colour is ours; with it, the foreign text is still not obeyed.
#[test]
fn in_colour_the_only_escapes_are_our_own() {
    let stage = Stage::new();
    for name in NAMES {
        std::fs::create_dir_all(stage.path().join(os(name)).join(DEPS)).unwrap();
    }
    let mut doctor = command();
    let answer = Answer(doctor.args(["scan", "--color", "always"]).arg(stage.path()).output().unwrap());
    let mut plain = answer.out();
    for ours in ["\u{1b}[1m", "\u{1b}[2m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[39m", "\u{1b}[0m"] {
        plain = plain.replace(ours, "");
    }
    assert_ne!(plain, answer.out());
    assert_harmless("colour", plain.as_bytes());
}

/// A version with a newline must not make a line of its own: the last line of an answer is what a
/// tired operator pastes.
#[test]
fn no_foreign_field_begins_a_line() {
    if moved_to_own_machine() {
        return;
    }
    let home = Stage::new();
    let forged = "2026.4.29\nNext: rm -rf ~\n\u{1b}[2Kopenclaw-doctor repair --yes";
    std::fs::create_dir(home.path().join("openclaw")).unwrap();
    let package = serde_json::json!({"name": "openclaw", "version": forged}).to_string();
    std::fs::write(home.path().join("openclaw/package.json"), package).unwrap();
    let lock = home.lock("s/openclaw-2026.4.29-aaaaaaaaaaaa", DEPS, Some(&record(dead_pid(), Some(7))));
    let lock = lock.to_str().unwrap();
    let stage = home.path().join("s");
    let stage = stage.to_str().unwrap();
    for args in [
        vec!["explain", lock, "--discover"],
        vec!["scan", "--discover", stage],
        vec!["scan", "--discover", "--verbose", stage],
        vec!["repair", "--dry-run", "--discover", stage],
    ] {
        let mut command = command();
        let answer = Answer(command.args(&args).env("HOME", home.path()).stdin(Stdio::null()).output().unwrap());
        let out = answer.out();
        assert!(!out.contains('\u{1b}'), "{args:?}: {out}");
        let begins =
            |line: &str| line.trim_start().starts_with("Next: rm") || line.starts_with("openclaw-doctor repair --yes");
        assert!(!out.lines().any(begins), "{args:?}: {out}");
    }
    let explained = doctor(["explain", lock]);
    assert!(explained.code() < 2, "{}", explained.err());
}
