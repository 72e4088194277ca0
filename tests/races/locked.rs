//! A lock file, dead by its record, that programs which are no OpenClaw lock at any moment by flock(2)
//! and fcntl(2), and doctors that find it proven stale.
//!
//! Peers and doctors are processes of their own: a POSIX lock belongs to its process, and ends when
//! that closes any descriptor of the file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]
#![allow(clippy::print_stdout)]

use crate::arena::Dice;
use crate::files::judge_dead;
use crate::support::{Living, dead_pid};
use openclaw_doctor::discover::FoundLock;
use openclaw_doctor::discover::lock;
use openclaw_doctor::family::{Form, Kind, by_name};
use openclaw_doctor::hold::KernelHold;
use openclaw_doctor::remove::{OutcomeKind, Removal};
use openclaw_doctor::sys::kernel_lock;
use openclaw_doctor::sys::tree::{Crossing, Dir};
use openclaw_doctor::warrant::{Basis, Warrant};
use rustix::fs::{FlockOperation, flock};
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

const PEERS: u64 = 3;
const DOCTORS: u64 = 2;
const LOCK: &str = "auth-profiles.json.lock";
const ARENA: &str = "OPENCLAW_DOCTOR_TEST_LOCKED";
const MODE: &str = "OPENCLAW_DOCTOR_TEST_LOCKED_MODE";
/// Another build of the program, which is to play the doctors: for the figures of what it does.
const BUILD: &str = "OPENCLAW_DOCTOR_RACE_BUILD";

/// The program of the peers; nothing safe takes a lock of an open file description.
static LOCKER: LazyLock<PathBuf> = LazyLock::new(|| {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/races/helpers/locker.rs");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("locker");
    let fresh = program.with_extension(std::process::id().to_string());
    let mut rustc = Command::new("rustc");
    assert!(rustc.args(["--edition=2024", "-O", "-o"]).arg(&fresh).arg(source).status().unwrap().success());
    std::fs::rename(fresh, &program).unwrap();
    program
});

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doctors {
    /// By the protocol.
    Protocol,
    /// Ask whether somebody holds it, then remove it: what the protocol did once.
    AskOnce,
}

/// What was counted: holds, files lost while they were held, refused tries, holds that came too late;
/// removals.
#[derive(Debug, Default)]
pub struct Tally {
    pub holds: usize,
    pub lost: usize,
    pub busy: usize,
    pub late: usize,
    pub removed: usize,
}

/// Lets peers take and leave the file by this call, until they have held it so often.
pub fn play(call: &str, holds: usize, doctors: Doctors, place: &Path) -> Tally {
    let temp = tempfile::tempdir_in(place).unwrap();
    let arena = temp.path().join("agent");
    std::fs::create_dir(&arena).unwrap();
    let text = format!("{{\"pid\":{},\"createdAt\":\"2026-05-01T20:18:48.682Z\",\"starttime\":7}}\n", dead_pid());
    std::fs::write(temp.path().join("agent.text"), &text).unwrap();
    std::fs::write(arena.join(LOCK), text).unwrap();
    let peers: Vec<_> = (1..=PEERS)
        .map(|seed| {
            let mut peer = Command::new(&*LOCKER);
            peer.arg(call).arg(arena.join(LOCK)).args([(holds as u64 / PEERS + 1).to_string(), seed.to_string()]);
            Living(peer.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap())
        })
        .collect();
    let doctors: Vec<_> =
        (1..=DOCTORS).map(|seed| Living(doctor_command(&arena, doctors, seed).spawn().unwrap())).collect();
    let mut tally = Tally::default();
    for mut peer in peers {
        let mut told = String::new();
        peer.0.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        let numbers: Vec<usize> = told.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let [held, lost, busy, late] = numbers[..] else { panic!("a peer died: {told:?}") };
        tally.holds += held;
        tally.lost += lost;
        tally.busy += busy;
        tally.late += late;
    }
    std::fs::write(temp.path().join("over"), "").unwrap();
    for mut doctor in doctors {
        assert!(doctor.0.wait().unwrap().success(), "a doctor failed");
    }
    tally.removed = std::fs::read_to_string(temp.path().join("removed")).unwrap_or_default().lines().count();
    println!("{call}: {tally:?}");
    tally
}

fn doctor_command(arena: &Path, doctors: Doctors, seed: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "doctor_of_a_locked_file", "--ignored", "--test-threads=1"]);
    command.env(ARENA, arena).env(MODE, format!("{seed} {doctors:?}"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The life of one doctor.
pub fn doctor() {
    let Some(arena) = std::env::var_os(ARENA).map(PathBuf::from) else { return };
    let mode = std::env::var(MODE).unwrap();
    let (seed, doctors) = mode.split_once(' ').unwrap();
    let mut dice = Dice::new(seed.parse().unwrap());
    let mut removed = std::fs::File::options().create(true).append(true).open(arena.with_file_name("removed")).unwrap();
    while !arena.with_file_name("over").exists() {
        let gone = match std::env::var_os(BUILD) {
            Some(build) => {
                let out = Command::new(build).args(["repair", "--yes", "--assume-single-writer"]).arg(&arena).output();
                String::from_utf8_lossy(&out.unwrap().stdout).contains("removed ")
            }
            None if doctors == "AskOnce" => ask_once(&arena, &mut dice),
            None => remove(&arena, &mut dice),
        };
        if gone {
            std::io::Write::write_all(&mut removed, b"1\n").unwrap();
        }
        dice.pause(2, 300);
    }
}

fn remove(arena: &Path, dice: &mut Dice) -> bool {
    let kind = Kind { family: by_name("file-lock").unwrap(), form: Form::File, is_sure: true };
    let root = Dir::open_root(arena).unwrap();
    let Ok(Some(reading)) = lock::read(&root, OsStr::new(LOCK), kind) else { return false };
    let Some(warrant) = Warrant::new(kind.family, &judge_dead(kind.family, &reading), None, Basis::Proof) else {
        return false;
    };
    let found = FoundLock {
        root: 0,
        below: LOCK.into(),
        family: kind.family,
        form: kind.form,
        surely_openclaws: true,
        reading,
        guarded: root.meta().unwrap(),
        filesystem: root.filesystem().ok(),
        crossing: Crossing::SameMount,
    };
    let outcome = Removal {
        patience: Duration::from_secs(2),
        settle: Duration::ZERO,
        lock: &found,
        warrant: &warrant,
        judge_again: &mut |reading| Ok(judge_dead(kind.family, reading)),
        about_to: &mut |_| Ok(()),
        at: &mut |_| dice.pause(4, 150),
    }
    .run(&root);
    assert!(!matches!(outcome.kind, OutcomeKind::Failed | OutcomeKind::Refused), "{outcome:?}");
    outcome.kind == OutcomeKind::Removed
}

fn ask_once(arena: &Path, dice: &mut Dice) -> bool {
    let root = Dir::open_root(arena).unwrap();
    let Ok(seen) = root.meta_of(LOCK.as_bytes()) else { return false };
    let asked = kernel_lock::look(&root, LOCK.as_bytes(), &seen);
    let Ok(file) = std::fs::File::open(arena.join(LOCK)) else { return false };
    if asked != Ok(KernelHold::Free) || flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return false;
    }
    drop(file);
    dice.pause(2, 150);
    std::fs::remove_file(arena.join(LOCK)).is_ok()
}
