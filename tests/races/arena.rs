//! One lock name, peers that take and leave it as OpenClaw does, doctors that clear it.
//!
//! Everything on disk is real: the peers' mkdir, write and path-based recursive delete, and the
//! doctors' `remove::Removal`. Only the process table is held in memory, so that an owner can
//! die thousands of times a second; `verdict::judge` reads it as it would read /proc's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]
#![allow(clippy::print_stdout)]

use openclaw_doctor::discover::FoundLock;
use openclaw_doctor::discover::lock::{self, LockReading};
use openclaw_doctor::evidence::{
    Candidate, DatabaseUnknown, DatabaseUse, Halted, InUse, InitialBy, Life, LockFacts, NotSole, OwnView, ProcSource,
    Reach, Reaches, Role, RouteUnknown, SoleAccess, TimeNamespace, Vantage, VantageWhy, View,
};
use openclaw_doctor::family::{FAMILIES, Family, Kind};
use openclaw_doctor::hold::KernelHold;
use openclaw_doctor::record::Record;
use openclaw_doctor::remove::{OutcomeKind, Removal, Step};
use openclaw_doctor::scope::Scope;
use openclaw_doctor::sys::clock;
use openclaw_doctor::sys::tree::{Crossing, Dir};
use openclaw_doctor::units::{EpochMs, StartTicks};
use openclaw_doctor::verdict::{Verdict, judge};
use openclaw_doctor::warrant::{Basis, Warrant};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const DOCTORS: u64 = 2;
const VERSION: &str = "openclaw-2026.4.29-aaaaaaaaaaaa";
/// No round may take this long: a lock that is never cleared is a failure, not a hang.
const PATIENCE: Duration = Duration::from_secs(20);
/// How far the doctors' clock runs ahead where they may take locks without a record.
const LATER_MS: i64 = 31_000;

/// Who plays, and by which rules.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub name: &'static str,
    /// How many times a peer comes to want the lock.
    pub rounds: usize,
    pub peers: u64,
    /// A waiting peer deletes a dead owner's lock itself, as OpenClaw does.
    pub peers_reclaim: bool,
    /// Owners pause between mkdir and record, and doctors have the operator's word for a lock
    /// without one. For one peer: with more, OpenClaw's writes and deletes by path would hit
    /// each other's locks once any of them is taken away, by whomever.
    pub slow_writers: bool,
    /// How doctors remove.
    pub doctors: Doctors,
    /// Ends with the first double owner that a doctor made (with one peer: the first lost lock).
    pub until_harm: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doctors {
    /// There are none.
    Absent,
    /// By the protocol.
    Protocol,
    /// What everybody writes first: look, then delete by path.
    RecursiveDelete,
}

/// Who took a lock's record away first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Remover {
    Nobody,
    Doctor,
    Reclaim,
    Release,
    Cleanup,
}

impl Remover {
    fn of(byte: u8) -> Self {
        [Self::Nobody, Self::Doctor, Self::Reclaim, Self::Release, Self::Cleanup][usize::from(byte)]
    }
}

/// What a run counted.
#[derive(Debug, Default)]
pub struct Tally {
    pub rounds: usize,
    pub elapsed: Duration,
    /// Owners that died and left their lock.
    pub crashes: usize,
    /// Locks that peers deleted by their own rules.
    pub reclaims: usize,
    /// Two peers that both believed to hold the lock.
    pub doubles: usize,
    /// Holders that found their lock gone, or another's in its place.
    pub lost: usize,
    /// Of both, those whose record a doctor removed.
    pub by_doctor: usize,
    /// Of both, those whose record a peer's reclaim, release or cleanup removed.
    pub by_peer: usize,
    /// Peers whose directory went between their mkdir and their record; they know that they failed.
    pub evicted: usize,
    /// Doctors' outcomes, by word; `changed` is split by whether rmdir(2) found a new record.
    pub outcomes: BTreeMap<&'static str, usize>,
}

impl Tally {
    pub fn outcome(&self, word: &str) -> usize {
        self.outcomes.get(word).copied().unwrap_or(0)
    }

    pub fn rate(&self) -> f64 {
        self.rounds as f64 / self.elapsed.as_secs_f64()
    }

    pub fn print(&self, rules: &Rules, filesystem: &str) {
        println!(
            "{}: {} rounds on {filesystem} in {:.1} s ({:.0}/s), {} owners died, {} locks reclaimed by peers",
            rules.name,
            self.rounds,
            self.elapsed.as_secs_f64(),
            self.rate(),
            self.crashes,
            self.reclaims,
        );
        println!(
            "  double owners {}, lost locks {}: by a doctor {}, by a peer {}; evicted before their record {}",
            self.doubles, self.lost, self.by_doctor, self.by_peer, self.evicted
        );
        println!("  doctors' outcomes {:?}", self.outcomes);
    }
}

/// Numbers that look random and are the same in every run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    /// One time in `in_how_many`, lets others run, for up to `micros`.
    pub fn pause(&mut self, in_how_many: u64, micros: u64) {
        if self.below(in_how_many) == 0 {
            match self.below(micros) {
                0..20 => std::thread::yield_now(),
                micros => std::thread::sleep(Duration::from_micros(micros)),
            }
        }
    }
}

pub struct Arena {
    rules: Rules,
    root: PathBuf,
    path: PathBuf,
    family: &'static Family,
    /// By pid: whether that owner lives, and who took its record away first.
    alive: Vec<AtomicBool>,
    removed_by: Vec<AtomicU8>,
    next_pid: AtomicUsize,
    /// Peers that believe they hold the lock now.
    believers: Mutex<Vec<usize>>,
    started: AtomicUsize,
    playing: AtomicU64,
    enough: AtomicBool,
    tally: Mutex<Tally>,
}

/// Plays the rules out on the filesystem that `place` lies on.
pub fn play(rules: Rules, place: &Path) -> Tally {
    let temp = tempfile::tempdir_in(place).unwrap();
    let guarded = temp.path().join(VERSION);
    std::fs::create_dir(&guarded).unwrap();
    let family = &FAMILIES[0];
    let owners = rules.rounds + 16;
    let arena = Arena {
        rules,
        root: temp.path().to_owned(),
        path: guarded.join(family.names[0]),
        family,
        alive: (0..owners).map(|_| AtomicBool::new(false)).collect(),
        removed_by: (0..owners).map(|_| AtomicU8::new(0)).collect(),
        next_pid: AtomicUsize::new(1),
        believers: Mutex::default(),
        started: AtomicUsize::new(0),
        playing: AtomicU64::new(rules.peers),
        enough: AtomicBool::new(false),
        tally: Mutex::default(),
    };
    let began = Instant::now();
    std::thread::scope(|scope| {
        let arena = &arena;
        for seed in 1..=rules.peers {
            scope.spawn(move || {
                let _leaves = Leaves(arena);
                arena.peer(&mut Dice::new(seed));
            });
        }
        let doctors = if rules.doctors == Doctors::Absent { 0 } else { DOCTORS };
        for seed in 1..=doctors {
            scope.spawn(move || arena.doctor(&mut Dice::new(100 + seed)));
        }
    });
    let mut tally = arena.tally.into_inner().unwrap();
    tally.elapsed = began.elapsed();
    tally.print(&rules, &Dir::open_root(place).unwrap().filesystem().unwrap().name());
    tally
}

/// Tells the doctors that a peer is done, also when it panics.
struct Leaves<'a>(&'a Arena);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.playing.fetch_sub(1, SeqCst);
        if std::thread::panicking() {
            self.0.enough.store(true, SeqCst);
        }
    }
}

impl Arena {
    fn count(&self, what: impl FnOnce(&mut Tally)) {
        what(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn record(&self) -> PathBuf {
        self.path.join("owner.json")
    }

    // ---- peers ----

    fn peer(&self, dice: &mut Dice) {
        while self.started.fetch_add(1, SeqCst) < self.rules.rounds && !self.enough.load(SeqCst) {
            let pid = self.next_pid.fetch_add(1, SeqCst);
            self.alive[pid].store(true, SeqCst);
            if self.acquire(pid, dice) {
                self.hold(pid, dice);
            }
            self.alive[pid].store(false, SeqCst);
            self.count(|tally| tally.rounds += 1);
        }
    }

    /// mkdir; on EEXIST look whether the owner is dead, else poll; then write the record.
    fn acquire(&self, pid: usize, dice: &mut Dice) -> bool {
        let began = Instant::now();
        loop {
            match std::fs::create_dir(&self.path) {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("mkdir: {error}"),
            }
            if self.enough.load(SeqCst) {
                return false;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "nobody cleared the lock: {:?}",
                std::fs::read_to_string(self.record())
            );
            if self.rules.peers_reclaim && (self.recorded_owner_is_dead() || self.has_stood_empty()) {
                // Between OpenClaw's verdict and its rm lie a few lines of JavaScript.
                dice.pause(2, 200);
                self.delete(Remover::Reclaim);
                self.count(|tally| tally.reclaims += 1);
                continue;
            }
            std::thread::sleep(Duration::from_micros(20 + dice.below(100)));
        }
        if self.rules.slow_writers {
            dice.pause(1, 300);
        }
        let text = format!("{{\n  \"pid\": {pid},\n  \"starttime\": {pid},\n  \"createdAtMs\": {}\n}}\n", now().0);
        let Err(error) = std::fs::write(self.record(), text) else { return true };
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        self.count(|tally| tally.evicted += 1);
        // 2026.4.25 and later delete what stands there, and throw.
        self.delete(Remover::Cleanup);
        false
    }

    fn recorded_owner_is_dead(&self) -> bool {
        self.recorded_pid().is_some_and(|pid| !self.alive[pid].load(SeqCst))
    }

    /// 2026.4.25 and later give a lock without a record 30 s; here it has a tenth of our patience.
    fn has_stood_empty(&self) -> bool {
        let modified = std::fs::metadata(&self.path).and_then(|lock| lock.modified());
        !self.record().exists() && modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > PATIENCE / 10))
    }

    fn recorded_pid(&self) -> Option<usize> {
        let bytes = std::fs::read(self.record()).ok()?;
        let json: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        usize::try_from(json["pid"].as_u64()?).ok()
    }

    fn hold(&self, pid: usize, dice: &mut Dice) {
        let others: Vec<usize> = {
            let mut believers = self.believers.lock().unwrap();
            let others = believers.clone();
            believers.push(pid);
            others
        };
        for other in others {
            // The one that lost its lock is the one whose record was removed.
            let first = Remover::of(self.removed_by[other].load(SeqCst));
            let mine = Remover::of(self.removed_by[pid].load(SeqCst));
            self.count(|tally| tally.doubles += 1);
            self.blame("double owner", other, if first == Remover::Nobody { mine } else { first });
        }
        dice.pause(2, 150);
        if self.recorded_pid() != Some(pid) {
            self.count(|tally| tally.lost += 1);
            self.blame("lost lock", pid, Remover::of(self.removed_by[pid].load(SeqCst)));
        }
        let crashes = dice.below(2) == 0;
        self.believers.lock().unwrap().retain(|believer| *believer != pid);
        if crashes {
            self.count(|tally| tally.crashes += 1);
        } else {
            self.delete(Remover::Release);
        }
    }

    fn blame(&self, what: &str, victim: usize, remover: Remover) {
        if remover == Remover::Doctor {
            println!("  {what}: a doctor removed the record of {victim}, which lived");
            self.count(|tally| tally.by_doctor += 1);
            // One peer alone can lose its lock, but cannot become a second owner.
            if self.rules.until_harm && (what == "double owner" || self.rules.peers == 1) {
                self.enough.store(true, SeqCst);
            }
        } else {
            self.count(|tally| tally.by_peer += 1);
        }
    }

    /// What `fs.rmSync(path, { recursive: true, force: true })` of Node.js does: by path throughout.
    fn delete(&self, who: Remover) {
        for _ in 0..4 {
            match std::fs::remove_dir(&self.path) {
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
                _ => return,
            }
            let Ok(children) = std::fs::read_dir(&self.path) else { return };
            for child in children.flatten() {
                if let Some(victim) = self.recorded_pid() {
                    self.mark_removed(victim, who);
                }
                let _ = std::fs::remove_file(child.path());
            }
        }
    }

    fn mark_removed(&self, victim: usize, who: Remover) {
        let _ = self.removed_by[victim].compare_exchange(Remover::Nobody as u8, who as u8, SeqCst, SeqCst);
    }

    // ---- doctors ----

    fn doctor(&self, dice: &mut Dice) {
        let root = Dir::open_root(&self.root).unwrap();
        while self.playing.load(SeqCst) > 0 {
            match self.look(&root) {
                Some((found, warrant)) => {
                    // A scan looks at other locks before the removal comes to this one.
                    dice.pause(2, 200);
                    self.remove(&root, &found, &warrant, dice);
                }
                None => std::thread::sleep(Duration::from_micros(20 + dice.below(100))),
            }
        }
    }

    /// Finds, reads and judges the lock, as `discover` and `scan` do.
    fn look(&self, root: &Dir) -> Option<(FoundLock, Warrant)> {
        let kind = Kind { family: self.family, form: self.family.forms[0], is_sure: true };
        let found = found_at(root, &Path::new(VERSION).join(self.family.names[0]), kind)?;
        let verdict = self.judge(&found.reading);
        let unwritten = matches!(found.reading.record, Record::Missing);
        // A record that is being written is not old enough in truth to be taken for broken.
        let yes = self.rules.slow_writers && unwritten;
        let warrant = Warrant::new(self.family, &verdict, None, if yes { Basis::Yes } else { Basis::Proof })?;
        Some((found, warrant))
    }

    fn judge(&self, reading: &LockReading) -> Verdict {
        let candidates = match reading.record.owner() {
            Some(owner) if self.alive[owner.pid as usize].load(SeqCst) => vec![living(owner.pid)],
            _ => Vec::new(),
        };
        let ahead = if self.rules.slow_writers { LATER_MS } else { 0 };
        judged(self.family, reading, candidates, EpochMs(now().0 + ahead))
    }

    fn remove(&self, root: &Dir, found: &FoundLock, warrant: &Warrant, dice: &mut Dice) {
        if self.rules.doctors == Doctors::RecursiveDelete {
            // The check was in `look`; the delay stands for a slow disk or a busy machine.
            std::thread::sleep(Duration::from_micros(500 + dice.below(500)));
            self.delete(Remover::Doctor);
            self.count(|tally| *tally.outcomes.entry("removed").or_default() += 1);
            return;
        }
        let owner = found.reading.record.owner().map(|owner| owner.pid as usize);
        let outcome = Removal {
            patience: std::time::Duration::from_secs(2),
            settle: std::time::Duration::from_millis(20),
            lock: found,
            warrant,
            judge_again: &mut |reading| Ok(self.judge(reading)),
            about_to: &mut |reading| {
                assert_eq!(reading.record.owner().map(|owner| owner.pid as usize), owner, "another lock was judged");
                // The record goes next, whoever holds it: marked before, so that nobody else is blamed.
                owner.into_iter().for_each(|pid| self.mark_removed(pid, Remover::Doctor));
                Ok(())
            },
            at: &mut |step| match step {
                Step::Removed => {}
                _ => dice.pause(6, 150),
            },
        }
        .run(root);
        let word = match outcome.kind {
            OutcomeKind::Changed if outcome.detail.contains("taken again") => "changed (not empty)",
            kind => kind.word(),
        };
        if matches!(outcome.kind, OutcomeKind::Failed | OutcomeKind::Refused) {
            println!("  {word}: {}", outcome.detail);
        }
        self.count(|tally| *tally.outcomes.entry(word).or_default() += 1);
    }
}

/// Finds and reads a lock, as `discover` does.
pub fn found_at(root: &Dir, below: &Path, kind: Kind) -> Option<FoundLock> {
    let parent = root.open_below(below.parent().unwrap(), Crossing::SameMount).unwrap();
    Some(FoundLock {
        root: 0,
        below: below.to_owned(),
        family: kind.family,
        form: kind.form,
        surely_openclaws: true,
        reading: lock::read(&parent, below.file_name().unwrap(), kind).ok()??,
        guarded: parent.meta().unwrap(),
        filesystem: parent.filesystem().ok(),
        crossing: Crossing::SameMount,
    })
}

/// Judges it, as `scan` does, among these processes.
pub fn judged(family: &Family, reading: &LockReading, candidates: Vec<Candidate>, now: EpochMs) -> Verdict {
    let facts = LockFacts {
        record: reading.record.clone(),
        times: reading.times,
        reach: Reach::ThisKernel,
        sole_access: SoleAccess::No(NotSole::MountUnknown),
        candidates: candidates.into(),
        in_use: InUse::default(),
        kernel_lock: KernelHold::Free,
        coordinator: KernelHold::Free,
        kernel_holders: Vec::new(),
        surely_openclaws: true,
        synchroniser: None,
        database: DatabaseUse::CannotTell(DatabaseUnknown::NotAsked),
        owner_keeps_database: false,
    };
    let view = View {
        vantage: Vantage::Host,
        source: ProcSource::Own,
        seen: VantageWhy::Initial { proc: "/proc".into(), by: InitialBy::Identity },
        now,
        ticks_per_second: 100,
        assume_single_writer: false,
        scope: Scope::default(),
    };
    judge(family, &facts, &view)
}

fn now() -> EpochMs {
    clock::read().wall
}

/// A process that is the recorded owner: its ticks are its pid.
pub fn living(pid: u32) -> Candidate {
    Candidate {
        pid,
        ns_pid: pid,
        life: Life::Alive,
        state: 'S',
        start_ticks: vec![StartTicks(u64::from(pid))],
        time_namespace: TimeNamespace::Initial,
        own_view: OwnView::TrueTicks,
        started_at: None,
        clock_step_ms: None,
        program: Some("openclaw".to_owned()),
        role: Role::OpenClaw,
        own_namespace: true,
        is_self: false,
        container: None,
        reaches: Reaches::CannotTell(RouteUnknown::NotAsked),
        halted: Halted::No,
    }
}
