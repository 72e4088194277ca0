//! Runs the binary in all its forms, under guard, and checks what holds for every input.

use super::snapshot::snapshot;
use super::support::{Answer, command};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Nothing that a scan meets may hold it longer.
const GUARD: Duration = Duration::from_secs(120);
/// The uid of nobody.
const NOBODY: u32 = 65_534;

/// Runs a command to its end, or fails.
pub fn guarded(mut command: Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let shown = format!("{command:?}");
    let child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
    let pid = rustix::process::Pid::from_child(&child);
    let (sender, receiver) = channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(GUARD) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            panic!("it hangs: {shown}");
        }
    }
}

/// `scan PATHS` as table and JSON, and `explain` of the first path: no crash, no hang, no
/// control character in what they print, and `tree` as it was. Hands back the JSON.
pub fn look<P: AsRef<OsStr>>(tree: &Path, args: &[P]) -> Answer {
    look_with(tree, args, command)
}

/// The same as an ordinary user.
pub fn look_as_ordinary<P: AsRef<OsStr>>(tree: &Path, args: &[P]) -> Answer {
    let nobody = Ordinary::new();
    look_with(tree, args, || nobody.command())
}

fn look_with<P: AsRef<OsStr>>(tree: &Path, args: &[P], start: impl Fn() -> Command) -> Answer {
    let before = snapshot(tree);
    let run = |command: &str, more: &[&str], args: &[P]| {
        let mut doctor = start();
        doctor.arg(command).args(more).args(args);
        let answer = Answer(guarded(doctor));
        assert!([0, 1, 2, 3].contains(&answer.code()), "{command} ended with {}: {}", answer.code(), answer.err());
        assert!(command == "explain" || answer.code() != 2, "{}", answer.err());
        assert_harmless(command, &answer.0.stdout);
        assert_harmless(command, &answer.0.stderr);
        assert!(!answer.err().contains("panicked"), "{}", answer.err());
        answer
    };
    let table = run("scan", &["-v"], args);
    run("explain", &[], args.get(..1).unwrap_or_default());
    let json = run("scan", &["--json"], args);
    assert_eq!(table.code(), json.code(), "{}\n{}", table.out(), json.out());
    assert_eq!(json.json()["exit_code"], json.code());
    assert_eq!(before, snapshot(tree), "the tree has changed");
    json
}

/// No character that a terminal obeys, hides or turns round; nothing that is not UTF-8.
pub fn assert_harmless(what: &str, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    let harmful = |c: &char| {
        (c.is_control() && *c != '\n')
            || matches!(c, '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    let found = text.chars().find(harmful);
    assert_eq!(found, None, "{what} lets it through: {text}");
}

/// The classes with their reasons, proofs and leanings, by the path's end.
pub fn verdict(answer: &Answer, end: impl AsRef<Path>) -> (String, String, bool, String) {
    let lock = answer.lock_at(end);
    let word = |field: &str| lock[field].as_str().unwrap_or("none").to_owned();
    (word("classification"), word("reason"), lock["proof"].as_bool().unwrap(), word("leaning"))
}

/// What a verdict is that only a name on the command line can overrule.
pub fn by_name_only(reason: &str) -> (String, String, bool, String) {
    ("legacy-unverifiable".to_owned(), reason.to_owned(), false, "likely-held".to_owned())
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// An ordinary user: this one, or nobody if this is root.
pub struct Ordinary {
    binary: PathBuf,
    _copy: Option<tempfile::TempDir>,
}

impl Ordinary {
    pub fn new() -> Self {
        let built = Self { binary: env!("CARGO_BIN_EXE_openclaw-doctor").into(), _copy: None };
        let mut version = built.command();
        if version.arg("--version").output().is_ok_and(|output| output.status.success()) {
            return built;
        }
        // The build directory is closed to others.
        let directory = tempfile::tempdir().unwrap();
        open_to_all(directory.path());
        let binary = directory.path().join("openclaw-doctor");
        // cp in a process of its own: no test that forks meanwhile inherits the open copy.
        assert!(Command::new("cp").arg(&built.binary).arg(&binary).status().unwrap().success());
        Self { binary, _copy: Some(directory) }
    }

    /// The binary, run as that user.
    pub fn command(&self) -> Command {
        if !is_root() {
            return command();
        }
        let mut command = Command::new(&self.binary);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.uid(NOBODY).gid(NOBODY);
        command
    }
}

/// Lets every user into a directory of root.
pub fn open_to_all(directory: &Path) {
    mode(directory, 0o755);
}

pub fn mode(path: &Path, bits: u32) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(bits)).unwrap();
}

/// Says aloud that a test was not made; where everything must be tested, fails.
pub fn skip(what: &str) {
    assert!(std::env::var_os("OPENCLAW_DOCTOR_LAB").is_none_or(|lab| lab != "required"), "cannot test: {what}");
    // Not a print macro: the harness would swallow it.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

pub fn os(bytes: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
}
