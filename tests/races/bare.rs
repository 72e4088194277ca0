//! One bare directory, three peers that take and leave it as proper-lockfile does, of whom one
//! reclaims, and doctors that clear it beside them.
//!
//! Peers are threads; doctors are processes, so that they can be stopped and killed at any moment.
//! A dead owner's directory is one that was last touched long ago. A living owner touches its own
//! in time: the reclaimer, which knows the owners here, takes none of theirs for old.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]
#![allow(clippy::print_stdout)]

use crate::arena::{Dice, found_at, judged};
use openclaw_doctor::family::{Form, Kind, by_name};
use openclaw_doctor::remove::{OutcomeKind, Removal, Step};
use openclaw_doctor::restraint::{By, Restraint, User};
use openclaw_doctor::sys::clock;
use openclaw_doctor::sys::tree::Dir;
use openclaw_doctor::verdict::{Leaning, Standing};
use openclaw_doctor::warrant::{Basis, Warrant};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

const PEERS: u64 = 3;
const DOCTORS: u64 = 2;
const LOCK: &str = "agent/auth.json.lock";
const VARIABLE: &str = "OPENCLAW_DOCTOR_TEST_BARE";
/// No round may take this long: a lock that is never cleared is a failure, not a hang.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a dead owner's directory looks old by.
const LONG_AGO: Duration = Duration::from_secs(120);
/// When the reclaimer takes for old what no living owner has: what a killed doctor left.
const OLD: Duration = Duration::from_secs(1);
/// For how long a lock may be out of its place while a doctor looks at it.
const OUT: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doctors {
    /// There are none.
    Absent,
    /// By the protocol, as beside a running OpenClaw.
    Exchange,
    /// By the protocol for where nobody runs.
    Rmdir,
    /// An exchange, a look at what came out, a look at the name, and rmdir(2) of it.
    ExchangeThenRmdir,
}

const ALL: [Doctors; 4] = [Doctors::Absent, Doctors::Exchange, Doctors::Rmdir, Doctors::ExchangeThenRmdir];

/// What a play counted.
#[derive(Debug, Default)]
pub struct Tally {
    /// Removals that doctors tried, told or killed before they could tell; without doctors the
    /// times that a peer came to want the lock.
    pub runs: usize,
    pub rounds: usize,
    /// Owners that died and left their lock.
    pub crashes: usize,
    pub reclaims: usize,
    /// Two peers that both believed to hold the lock.
    pub doubles: usize,
    /// Holders whose lock's name was free, or another's.
    pub lost: usize,
    /// Holders that found a stand-in in their lock's place until they released it.
    pub covered: usize,
    pub killed: usize,
    pub stopped: usize,
    /// Something of a doctor's was left beside the lock at the end.
    pub litter: bool,
    pub outcomes: BTreeMap<String, usize>,
}

impl Tally {
    pub fn outcome(&self, word: &str) -> usize {
        self.outcomes.get(word).copied().unwrap_or(0)
    }

    fn harmed(&self) -> bool {
        self.doubles + self.lost > 0
    }
}

struct Arena {
    doctors: Doctors,
    root: PathBuf,
    lock: PathBuf,
    runs: usize,
    /// Peers that believe they hold the lock now, and their directory's inode.
    believers: Mutex<Vec<(usize, u64)>>,
    next: AtomicUsize,
    over: AtomicBool,
    tally: Mutex<Tally>,
}

/// Plays until the doctors have tried this many removals, or a control has shown harm.
pub fn play(doctors: Doctors, runs: usize, place: &Path) -> Tally {
    let temp = tempfile::tempdir_in(place).unwrap();
    let arena = Arena {
        doctors,
        root: temp.path().to_owned(),
        lock: temp.path().join(LOCK),
        runs,
        believers: Mutex::default(),
        next: AtomicUsize::new(1),
        over: AtomicBool::new(false),
        tally: Mutex::default(),
    };
    fs::create_dir(arena.lock.parent().unwrap()).unwrap();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let arena = &arena;
        for seed in 1..=PEERS {
            scope.spawn(move || {
                let _ends = Ends(arena);
                arena.peer(&mut Dice::new(seed), seed == 1);
            });
        }
        let doctors = if doctors == Doctors::Absent { 0 } else { DOCTORS };
        for seed in 1..=doctors {
            scope.spawn(move || {
                let _ends = Ends(arena);
                arena.keep_doctor(&mut Dice::new(100 + seed));
            });
        }
    });
    arena.clear_up();
    let beside = fs::read_dir(arena.lock.parent().unwrap()).unwrap();
    let litter = beside.map(|entry| entry.unwrap().path()).any(|path| path != arena.lock);
    let mut tally = arena.tally.into_inner().unwrap();
    tally.litter = litter;
    let filesystem = Dir::open_root(place).unwrap().filesystem().unwrap().name();
    println!("bare directory, {doctors:?} on {filesystem}: {:.1} s, {tally:?}", began.elapsed().as_secs_f64());
    tally
}

/// Ends the play for all, also where one panics.
struct Ends<'a>(&'a Arena);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, SeqCst);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_older(path: &Path, age: Duration) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|meta| meta.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|elapsed| elapsed > age))
}

impl Arena {
    fn count(&self, what: impl FnOnce(&mut Tally)) {
        let mut tally = locked(&self.tally);
        what(&mut tally);
        let control = matches!(self.doctors, Doctors::Rmdir | Doctors::ExchangeThenRmdir);
        if tally.runs >= self.runs || (control && tally.harmed()) {
            self.over.store(true, SeqCst);
        }
    }

    // ---- peers ----

    fn peer(&self, dice: &mut Dice, reclaims: bool) {
        while !self.over.load(SeqCst) {
            let who = self.next.fetch_add(1, SeqCst);
            let Some(own) = self.acquire(dice, reclaims) else { return };
            self.hold(who, &own, dice);
            self.count(|tally| {
                tally.rounds += 1;
                tally.runs += usize::from(self.doctors == Doctors::Absent);
            });
        }
    }

    /// mkdir(2); on EEXIST the reclaimer looks how old it is, removes an old one by path and goes on.
    /// What it made is held open, so that its inode number is given to no other.
    fn acquire(&self, dice: &mut Dice, reclaims: bool) -> Option<File> {
        let began = Instant::now();
        loop {
            match fs::create_dir(&self.lock) {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("mkdir: {error}"),
            }
            if self.over.load(SeqCst) {
                return None;
            }
            assert!(began.elapsed() < PATIENCE, "nobody cleared the lock");
            if reclaims && self.is_stale() {
                // Between the verdict and rmdir(2) lie a few lines of JavaScript.
                dice.pause(2, 300);
                let removed = fs::remove_dir(&self.lock).is_ok();
                self.count(|tally| tally.reclaims += usize::from(removed));
                continue;
            }
            std::thread::sleep(Duration::from_micros(20 + dice.below(100)));
        }
        File::open(&self.lock).ok().or_else(|| {
            self.count(|tally| tally.lost += 1);
            None
        })
    }

    fn is_stale(&self) -> bool {
        let Ok(standing) = fs::symlink_metadata(&self.lock) else { return false };
        let lives = locked(&self.believers).iter().any(|(_, inode)| *inode == standing.ino());
        is_older(&self.lock, LONG_AGO / 2) || (!lives && is_older(&self.lock, OLD))
    }

    fn hold(&self, who: usize, own: &File, dice: &mut Dice) {
        let inode = own.metadata().unwrap().ino();
        let doubles = {
            let mut believers = locked(&self.believers);
            believers.push((who, inode));
            believers.len() - 1
        };
        self.count(|tally| tally.doubles += doubles);
        dice.pause(2, 150);
        self.look_after(who, inode);
        locked(&self.believers).retain(|(believer, _)| *believer != who);
        if dice.below(2) == 0 {
            // By path, as its last touch was: whatever stands there is its lock to everybody else.
            let _ = File::open(&self.lock).map(|lock| lock.set_modified(SystemTime::now() - LONG_AGO));
            self.count(|tally| tally.crashes += 1);
        } else {
            let _ = fs::remove_dir(&self.lock);
        }
    }

    /// Whether the name is still the holder's, now or in a moment.
    fn look_after(&self, who: usize, own: u64) {
        let began = Instant::now();
        loop {
            let standing = fs::symlink_metadata(&self.lock).map(|meta| meta.ino());
            let others = |inode| locked(&self.believers).iter().any(|(other, held)| *other != who && *held == inode);
            match standing {
                Ok(inode) if inode == own => return,
                Ok(inode) if others(inode) => return self.count(|tally| tally.lost += 1),
                Ok(_) if began.elapsed() > OUT => return self.count(|tally| tally.covered += 1),
                Err(_) if began.elapsed() > OUT => return self.count(|tally| tally.lost += 1),
                _ => std::thread::yield_now(),
            }
        }
    }

    // ---- doctors ----

    /// Starts a doctor, stops and goes on with it, kills it and starts the next.
    fn keep_doctor(&self, dice: &mut Dice) {
        while !self.over.load(SeqCst) {
            let mut doctor = self.start(dice.below(u64::MAX));
            let told = BufReader::new(doctor.stdout.take().unwrap());
            std::thread::scope(|scope| {
                scope.spawn(|| self.listen(told));
                let pid = Pid::from_raw(i32::try_from(doctor.id()).unwrap()).unwrap();
                while !self.over.load(SeqCst) {
                    std::thread::sleep(Duration::from_micros(500 + dice.below(20_000)));
                    if dice.below(6) == 0 {
                        self.count(|tally| {
                            tally.killed += 1;
                            tally.runs += 1;
                        });
                        break;
                    }
                    kill_process(pid, Signal::STOP).unwrap();
                    std::thread::sleep(Duration::from_micros(dice.below(3_000)));
                    kill_process(pid, Signal::CONT).unwrap();
                    self.count(|tally| tally.stopped += 1);
                }
                doctor.kill().unwrap();
                doctor.wait().unwrap();
            });
        }
    }

    fn start(&self, seed: u64) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "bare_doctor_process", "--ignored", "--nocapture", "--test-threads=1"]);
        let rules = ALL.iter().position(|doctors| *doctors == self.doctors).unwrap();
        command.env(VARIABLE, &self.root).env("RULES", rules.to_string()).env("SEED", seed.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn listen(&self, told: BufReader<impl std::io::Read>) {
        for line in told.lines() {
            let Ok(line) = line else { return };
            let Some(outcome) = line.strip_prefix('@') else { continue };
            let (word, detail) = outcome.split_once(' ').unwrap_or((outcome, ""));
            if matches!(word, "failed" | "refused") {
                println!("  {word}: {detail}");
            }
            self.count(|tally| {
                tally.runs += 1;
                *tally.outcomes.entry(word.to_owned()).or_default() += 1;
            });
        }
    }

    /// One more removal, so that what the last killed doctor left beside the lock is cleared.
    fn clear_up(&self) {
        if self.doctors == Doctors::Exchange {
            let _ = fs::create_dir(&self.lock);
            let old = SystemTime::now() - LONG_AGO;
            File::open(&self.lock).unwrap().set_modified(old).unwrap();
            let root = Dir::open_root(&self.root).unwrap();
            remove(&root, Doctors::Exchange, &mut Dice::new(1));
        }
    }
}

/// The life of one doctor: clears what it finds stale until it is killed.
pub fn doctor() {
    let Some(root) = std::env::var_os(VARIABLE) else { return };
    let number = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let rules = ALL[usize::try_from(number("RULES")).unwrap()];
    let (root, mut dice) = (Dir::open_root(Path::new(&root)).unwrap(), Dice::new(number("SEED")));
    loop {
        match remove(&root, rules, &mut dice) {
            Some(told) => {
                if writeln!(std::io::stdout(), "\n@{told}").is_err() {
                    return;
                }
            }
            None => std::thread::sleep(Duration::from_micros(20 + dice.below(100))),
        }
    }
}

/// Looks, judges and removes, if there is something stale; tells the outcome.
fn remove(root: &Dir, rules: Doctors, dice: &mut Dice) -> Option<String> {
    let family = by_name("proper-lockfile").unwrap();
    let kind = Kind { family, form: Form::EmptyDirectory, is_sure: true };
    let found = found_at(root, Path::new(LOCK), kind)?;
    let verdict = judged(family, &found.reading, Vec::new(), clock::read().wall);
    let lock = root.pinned_path().unwrap().join(LOCK);
    if verdict.standing != Standing::Leaning(Leaning::LikelyStale) {
        return None;
    }
    // A scan looks at other locks before the removal comes to this one.
    dice.pause(2, 200);
    if rules == Doctors::ExchangeThenRmdir {
        return Some(exchange_then_rmdir(&lock, found.reading.meta.inode, dice).to_owned());
    }
    let user = User { pid: 4_242, program: "openclaw".to_owned(), versions: Vec::new() };
    let restraint = (rules == Doctors::Exchange).then_some(Restraint::SelfHealing(By::User(user)));
    let warrant = Warrant::new(family, &verdict, restraint.as_ref(), Basis::Named)?;
    let outcome = Removal {
        patience: Duration::from_secs(2),
        settle: Duration::from_millis(20),
        lock: &found,
        warrant: &warrant,
        judge_again: &mut |reading| Ok(judged(family, reading, Vec::new(), clock::read().wall)),
        about_to: &mut |_| Ok(()),
        at: &mut |step| {
            if step != Step::Removed {
                dice.pause(6, 150);
            }
        },
    }
    .run(root);
    let told = matches!(outcome.kind, OutcomeKind::Failed | OutcomeKind::Refused);
    Some(format!("{} {}", outcome.kind.word(), if told { outcome.detail.as_str() } else { "" }))
}

fn exchange_then_rmdir(lock: &Path, judged: u64, dice: &mut Dice) -> &'static str {
    let beside = lock.with_file_name(format!("beside-{}", std::process::id()));
    fs::create_dir(&beside).unwrap();
    let inode = |path: &Path| fs::symlink_metadata(path).map(|meta| meta.ino()).unwrap_or(0);
    let stand_in = File::open(&beside).unwrap();
    dice.pause(6, 150);
    let told = if renameat_with(CWD, &beside, CWD, lock, RenameFlags::EXCHANGE).is_err() {
        "already-gone"
    } else if inode(&beside) != judged {
        let _ = renameat_with(CWD, &beside, CWD, lock, RenameFlags::EXCHANGE);
        "changed"
    } else {
        dice.pause(6, 150);
        let stands = inode(lock) == stand_in.metadata().unwrap().ino();
        dice.pause(6, 150);
        if stands {
            let _ = fs::remove_dir(lock);
        }
        "removed"
    };
    let _ = fs::remove_dir(&beside);
    told
}
