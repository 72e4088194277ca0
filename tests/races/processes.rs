//! The same race with owners that are processes: they die by SIGKILL while they hold the lock,
//! and the doctors are whole repairs, from the sweep of /proc to the receipt of the outcome.
//!
//! Who holds the lock is told by flock(2) on a file beside it: the kernel drops it with its
//! holder, so that a dead owner is never counted as a second one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]
#![allow(clippy::print_stdout)]

use crate::arena::Dice;
use crate::support::{self, DEPS};
use openclaw_doctor::plan::{Allowed, Intent};
use openclaw_doctor::remove::{Outcome, OutcomeKind};
use openclaw_doctor::repair::{Console, How, Reply, repair};
use openclaw_doctor::scan::{JudgedLock, Request, Scan, Session};
use openclaw_doctor::scope::Scope;
use rustix::fs::{FlockOperation, flock};
use std::io::{ErrorKind, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const PEERS: usize = 3;
const DOCTORS: u64 = 2;
const PATIENCE: Duration = Duration::from_secs(60);
const VARIABLE: &str = "OPENCLAW_DOCTOR_TEST_ARENA";
const EVENTS: &str = "events";
const HOLDER: &str = "holder";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doctors {
    /// `repair::repair`, as the command line calls it.
    Repair,
    /// A scan, and then a recursive delete of what it proved stale.
    RecursiveDelete,
}

#[derive(Debug, Default)]
pub struct Tally {
    pub deaths: usize,
    pub acquired: usize,
    pub doubles: usize,
    pub lost: usize,
    pub evicted: usize,
    pub removed: usize,
    pub changed: usize,
    pub failed: usize,
}

/// Lets owners come and die until `deaths` of them have.
pub fn play(doctors: Doctors, deaths: usize, place: &Path) -> Tally {
    let temp = tempfile::tempdir_in(place).unwrap();
    let arena = temp.path().to_owned();
    std::fs::create_dir_all(lock_path(&arena).parent().unwrap()).unwrap();
    std::fs::write(arena.join(EVENTS), "").unwrap();
    std::fs::write(arena.join(HOLDER), "").unwrap();
    let tally = Mutex::new(Tally::default());
    let (dead, playing) = (AtomicUsize::new(0), AtomicUsize::new(PEERS));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..PEERS {
            scope.spawn(|| {
                let harmed = || doctors == Doctors::RecursiveDelete && events(&arena, "double") > 0;
                while dead.load(SeqCst) < deaths && !harmed() && began.elapsed() < PATIENCE {
                    let status = owner_command(&arena).status().unwrap();
                    match status.signal() {
                        Some(9) => dead.fetch_add(1, SeqCst),
                        // It gave up, because the game is over or nobody cleared the lock.
                        _ => break,
                    };
                }
                std::fs::write(arena.join("over"), "").unwrap();
                playing.fetch_sub(1, SeqCst);
            });
        }
        for seed in 1..=DOCTORS {
            let (arena, tally, playing) = (&arena, &tally, &playing);
            scope.spawn(move || {
                let mut dice = Dice::new(seed);
                while playing.load(SeqCst) > 0 {
                    look_and_act(doctors, arena, tally, &mut dice);
                }
            });
        }
    });
    let mut tally = tally.into_inner().unwrap();
    tally.deaths = dead.into_inner();
    tally.acquired = events(&arena, "acquired");
    tally.doubles = events(&arena, "double");
    tally.lost = events(&arena, "lost");
    tally.evicted = events(&arena, "evicted");
    println!("processes against {doctors:?}: {:.1} s, {tally:?}", began.elapsed().as_secs_f64());
    tally
}

fn lock_path(arena: &Path) -> PathBuf {
    arena.join("stage/openclaw-2026.4.29-aaaaaaaaaaaa").join(DEPS)
}

fn events(arena: &Path, word: &str) -> usize {
    std::fs::read_to_string(arena.join(EVENTS)).unwrap().lines().filter(|line| *line == word).count()
}

fn owner_command(arena: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "owner_process", "--ignored", "--test-threads=1"]).env(VARIABLE, arena);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn look_and_act(doctors: Doctors, arena: &Path, tally: &Mutex<Tally>, dice: &mut Dice) {
    // Inside a container's test run, nobody else writes here either.
    let scope = Scope { paths: vec![arena.join("stage")], assume_single_writer: true, ..Scope::default() };
    let request = Request { scope, ..Request::default() };
    let mut session = Session::open(&request);
    let scan = session.scan(&mut |_| {});
    match doctors {
        Doctors::Repair => {
            dice.pause(2, 3_000);
            let how = How { allowed: Allowed::default(), dry_run: false };
            let handled = repair(&mut session, &scan, how, None, &mut Nobody, &AtomicBool::new(false));
            let mut tally = tally.lock().unwrap();
            for outcome in handled.into_iter().filter_map(|handled| handled.outcome) {
                match outcome.kind {
                    OutcomeKind::Removed => tally.removed += 1,
                    OutcomeKind::Changed | OutcomeKind::AlreadyGone | OutcomeKind::Busy => tally.changed += 1,
                    OutcomeKind::Failed | OutcomeKind::Refused => {
                        println!("  {outcome:?}");
                        tally.failed += 1;
                    }
                    OutcomeKind::HeldBack | OutcomeKind::Declined | OutcomeKind::NotAttempted => {}
                }
            }
        }
        Doctors::RecursiveDelete => {
            for lock in scan.locks.iter().filter(|lock| lock.verdict.proof()) {
                std::thread::sleep(Duration::from_micros(2_000 + dice.below(10_000)));
                if std::fs::remove_dir_all(&lock.path).is_ok() {
                    tally.lock().unwrap().removed += 1;
                }
            }
        }
    }
}

struct Nobody;

impl Console for Nobody {
    fn plan(&mut self, _: &Scan, _: &[Intent]) {}
    fn ask(&mut self, _: &JudgedLock, _: &Scan) -> Reply {
        Reply::No
    }
    fn outcome(&mut self, _: &JudgedLock, _: &Outcome) {}
}

/// The life of one owner: takes and leaves the lock a few times, and dies with it.
pub fn owner() {
    let Some(arena) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return };
    let lock = lock_path(&arena);
    let pid = std::process::id();
    let record = support::record(pid, Some(support::start_ticks(pid)));
    let holder = std::fs::File::open(arena.join(HOLDER)).unwrap();
    let mut log = std::fs::OpenOptions::new().append(true).open(arena.join(EVENTS)).unwrap();
    let mut tell = |word: &str| log.write_all(format!("{word}\n").as_bytes()).unwrap();
    let mut dice = Dice::new(u64::from(pid));
    for left in (0..4).rev() {
        let began = Instant::now();
        while let Err(error) = std::fs::create_dir(&lock) {
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
            assert!(began.elapsed() < PATIENCE, "nobody cleared the lock");
            if arena.join("over").exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if std::fs::write(lock.join("owner.json"), &record).is_err() {
            tell("evicted");
            continue;
        }
        tell("acquired");
        let first = flock(&holder, FlockOperation::NonBlockingLockExclusive).is_ok();
        if !first {
            tell("double");
        }
        dice.pause(1, 8_000);
        if std::fs::read_to_string(lock.join("owner.json")).ok().as_ref() != Some(&record) {
            tell("lost");
        }
        if left == 0 {
            let own = rustix::process::getpid();
            rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
        }
        flock(&holder, FlockOperation::Unlock).unwrap();
        std::fs::remove_dir_all(&lock).unwrap();
    }
}
