//! One lock file, peers that take and leave it as OpenClaw's releases do, doctors that clear it.
//!
//! As in [`crate::arena`], everything on disk is real and only the process table is held in
//! memory. A peer's `unlink` is a rename into a graveyard: the name goes in one step all the
//! same, and what went can be looked at, so that every lock that is lost is put down to whoever
//! took it. What no peer took, a doctor did.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]
#![allow(clippy::print_stdout)]

use crate::arena::{Dice, living};
use openclaw_doctor::discover::FoundLock;
use openclaw_doctor::discover::lock::{self, LockReading};
use openclaw_doctor::evidence::{
    Candidate, DatabaseUnknown, DatabaseUse, InUse, InitialBy, LockFacts, NotSole, ProcSource, Reach, SoleAccess,
    Vantage, VantageWhy, View,
};
use openclaw_doctor::family::{Family, Form, Kind, by_name};
use openclaw_doctor::hold::KernelHold;
use openclaw_doctor::remove::{OutcomeKind, Removal, Step};
use openclaw_doctor::scope::Scope;
use openclaw_doctor::stand_in;
use openclaw_doctor::sys::clock;
use openclaw_doctor::sys::tree::{Crossing, Dir};
use openclaw_doctor::verdict::{Verdict, judge};
use openclaw_doctor::warrant::{Basis, Warrant};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const PEERS: u64 = 3;
const DOCTORS: u64 = 2;
const PLACE: &str = "agent";
const LOCK: &str = "auth-profiles.json.lock";
const STAND_IN: &str = "auth-profiles.json.lock.openclaw-doctor";
/// No round may take this long: a lock that is never cleared is a failure, not a hang.
const PATIENCE: Duration = Duration::from_secs(20);
/// For how long a lock may be out of its place while a doctor looks at it.
const OUT: Duration = Duration::from_millis(500);

/// Who plays, and by which rules.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub name: &'static str,
    /// How many times a peer comes to want the lock.
    pub rounds: usize,
    pub peers: Peers,
    pub doctors: Doctors,
    /// Ends with the first double owner that a doctor made.
    pub until_harm: bool,
}

/// What waiting peers do with a lock that they find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peers {
    /// They wait until it goes.
    Wait,
    /// They reclaim a dead owner's, half of them by path, half after comparing inode and bytes.
    Reclaim,
    /// And one that names no pid, however young: a session sweep to 2026.5.22, a gateway to
    /// 2026.7 whose port answers nobody.
    ReclaimNameless,
    /// They reclaim a dead owner's under a guard, as fs-safe from 2026.7.2-beta.7: one at a time,
    /// and nobody takes the lock meanwhile. By themselves they make no double owner.
    Guarded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doctors {
    /// There are none.
    Absent,
    /// By the protocol.
    Exchange,
    /// The same without an exchange, as on filesystems that have none.
    CompareAndUnlink,
    /// Rename aside, compare, delete or rename back.
    RenameAside,
    /// What everybody writes first: look, then delete by path.
    Unlink,
}

/// How an OpenClaw release deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// By path.
    Path,
    /// fs-safe: compares device, inode and bytes, then by path.
    Compare,
}

/// Somebody lost a lock that it held.
#[derive(Debug)]
struct Harm {
    double: bool,
    victims: [usize; 2],
    since: Instant,
    at: Instant,
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
    /// Of the double owners, those where no peer had taken either's lock away.
    pub doubles_by_doctor: usize,
    /// Of the lost locks, likewise.
    pub lost_by_doctor: usize,
    /// Of both, those where a peer deleted another peer's lock.
    pub by_peer: usize,
    /// Of both, those where a peer deleted a stand-in while the victim's lock was out.
    pub over_stand_in: usize,
    /// Stand-ins that peers deleted.
    pub stand_ins_deleted: usize,
    /// Holders that found their lock out, and then back.
    pub seen_out: usize,
    /// Comparing releases that met the stand-in, and left it.
    pub releases_missed: usize,
    /// Something of a doctor's was left in the directory.
    pub litter: bool,
    /// Doctors' outcomes, by word; `changed` is split by whether a lock was put back.
    pub outcomes: BTreeMap<&'static str, usize>,
}

impl Tally {
    pub fn outcome(&self, word: &str) -> usize {
        self.outcomes.get(word).copied().unwrap_or(0)
    }

    fn print(&self, rules: &Rules, filesystem: &str) {
        let (rounds, seconds) = (self.rounds, self.elapsed.as_secs_f64());
        println!(
            "{}: {rounds} rounds on {filesystem} in {seconds:.1} s ({:.0}/s), {} owners died, {} reclaimed by peers",
            rules.name,
            rounds as f64 / seconds,
            self.crashes,
            self.reclaims,
        );
        println!(
            "  double owners {}, of these by a doctor {}; lost locks {}, by a doctor {}; of both by a peer {}, \
             over a stand-in {}",
            self.doubles, self.doubles_by_doctor, self.lost, self.lost_by_doctor, self.by_peer, self.over_stand_in,
        );
        println!(
            "  stand-ins deleted by peers {}, locks seen out and back {}, releases that met a stand-in {}",
            self.stand_ins_deleted, self.seen_out, self.releases_missed
        );
        println!("  doctors' outcomes {:?}", self.outcomes);
    }
}

struct Arena {
    rules: Rules,
    root: PathBuf,
    path: PathBuf,
    family: &'static Family,
    /// By pid: whether that owner lives, and whether a peer that is not its owner took its lock.
    alive: Vec<AtomicBool>,
    taken_by_peer: Vec<AtomicBool>,
    next_pid: AtomicUsize,
    next_grave: AtomicUsize,
    /// Peers that believe they hold the lock now, and since when.
    believers: Mutex<Vec<(usize, Instant)>>,
    harms: Mutex<Vec<Harm>>,
    stand_ins_deleted: Mutex<Vec<Instant>>,
    started: AtomicUsize,
    playing: AtomicU64,
    enough: AtomicBool,
    tally: Mutex<Tally>,
}

/// What stood at the lock's name at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    inode: u64,
    bytes: Vec<u8>,
}

impl Seen {
    fn at(path: &Path) -> Option<Self> {
        // Through one descriptor, as fs-safe does: the name may change hands in between.
        let mut file = fs::File::open(path).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        Some(Self { inode: file.metadata().ok()?.ino(), bytes })
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    fn pid(&self) -> Option<usize> {
        usize::try_from(self.json()["pid"].as_u64()?).ok()
    }

    fn is_stand_in(&self) -> bool {
        self.json()["madeBy"].is_string()
    }
}

/// Plays the rules out on the filesystem that `place` lies on.
pub fn play(rules: Rules, place: &Path) -> Tally {
    let temp = tempfile::tempdir_in(place).unwrap();
    let guarded = temp.path().join(PLACE);
    fs::create_dir(&guarded).unwrap();
    fs::create_dir(temp.path().join("graveyard")).unwrap();
    if rules.doctors == Doctors::CompareAndUnlink {
        // In the way of every stand-in.
        fs::create_dir(guarded.join(STAND_IN)).unwrap();
    }
    let owners = rules.rounds + 16;
    let arena = Arena {
        rules,
        root: temp.path().to_owned(),
        path: guarded.join(LOCK),
        family: by_name("file-lock").unwrap(),
        alive: (0..owners).map(|_| AtomicBool::new(false)).collect(),
        taken_by_peer: (0..owners).map(|_| AtomicBool::new(false)).collect(),
        next_pid: AtomicUsize::new(1),
        next_grave: AtomicUsize::new(0),
        believers: Mutex::default(),
        harms: Mutex::default(),
        stand_ins_deleted: Mutex::default(),
        started: AtomicUsize::new(0),
        playing: AtomicU64::new(PEERS),
        enough: AtomicBool::new(false),
        tally: Mutex::default(),
    };
    let began = Instant::now();
    std::thread::scope(|scope| {
        let arena = &arena;
        for seed in 1..=PEERS {
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
    let tally = arena.judge_harms(began.elapsed());
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

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Arena {
    fn count(&self, what: impl FnOnce(&mut Tally)) {
        what(&mut locked(&self.tally));
    }

    /// Puts every harm down to somebody, now that all is known of who took what.
    fn judge_harms(self, elapsed: Duration) -> Tally {
        let mut tally = self.tally.into_inner().unwrap();
        let deleted = self.stand_ins_deleted.into_inner().unwrap();
        for harm in self.harms.into_inner().unwrap() {
            let by_peer = harm.victims.iter().any(|pid| self.taken_by_peer[*pid].load(SeqCst));
            let over_stand_in = deleted.iter().any(|at| harm.since <= *at && *at <= harm.at);
            match (by_peer, over_stand_in, harm.double) {
                (true, ..) => tally.by_peer += 1,
                (_, true, _) => tally.over_stand_in += 1,
                (.., true) => tally.doubles_by_doctor += 1,
                (.., false) => tally.lost_by_doctor += 1,
            }
        }
        tally.elapsed = elapsed;
        tally.stand_ins_deleted = deleted.len();
        let mine = |name: &OsStr| name != LOCK && self.rules.doctors != Doctors::CompareAndUnlink;
        let left = fs::read_dir(self.path.parent().unwrap()).unwrap();
        tally.litter = left.map(|entry| entry.unwrap().file_name()).any(|name| mine(&name));
        tally
    }

    // ---- peers ----

    fn peer(&self, dice: &mut Dice) {
        while self.started.fetch_add(1, SeqCst) < self.rules.rounds && !self.enough.load(SeqCst) {
            let pid = self.next_pid.fetch_add(1, SeqCst);
            let by_path = self.rules.peers != Peers::Guarded && dice.below(2) == 0;
            let style = if by_path { Style::Path } else { Style::Compare };
            self.alive[pid].store(true, SeqCst);
            if let Some(own) = self.acquire(pid, style, dice) {
                self.hold(pid, &own, style, dice);
            }
            self.alive[pid].store(false, SeqCst);
            self.count(|tally| tally.rounds += 1);
        }
    }

    /// `open(O_CREAT | O_EXCL)`; on EEXIST look whether the owner is dead, else poll; then write.
    fn acquire(&self, pid: usize, style: Style, dice: &mut Dice) -> Option<Seen> {
        let began = Instant::now();
        let guarded = self.rules.peers == Peers::Guarded;
        let mut file = loop {
            if guarded && self.guard().exists() {
                std::thread::sleep(Duration::from_micros(20 + dice.below(100)));
                continue;
            }
            match OpenOptions::new().write(true).create_new(true).open(&self.path) {
                Ok(file) => break file,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("open: {error}"),
            }
            if self.enough.load(SeqCst) {
                return None;
            }
            assert!(began.elapsed() < PATIENCE, "nobody cleared the lock: {:?}", fs::read_to_string(&self.path));
            if self.rules.peers == Peers::Wait || !self.reclaim(pid, style, dice) {
                std::thread::sleep(Duration::from_micros(20 + dice.below(100)));
            }
        };
        dice.pause(8, 60);
        let at = humantime::format_rfc3339_millis(std::time::SystemTime::now());
        let token = dice.below(u64::MAX);
        let text = format!(
            "{{\n  \"pid\": {pid},\n  \"createdAt\": \"{at}\",\n  \"starttime\": {pid},\n  \"token\": {token}\n}}\n"
        );
        file.write_all(text.as_bytes()).unwrap();
        Some(Seen { inode: file.metadata().unwrap().ino(), bytes: text.into_bytes() })
    }

    /// Deletes the lock if its owner is dead, by the rules of this style.
    fn reclaim(&self, pid: usize, style: Style, dice: &mut Dice) -> bool {
        let Some(seen) = Seen::at(&self.path) else { return false };
        let stale = match seen.pid() {
            Some(owner) => !self.alive[owner].load(SeqCst),
            None => self.rules.peers == Peers::ReclaimNameless && seen.is_stand_in(),
        };
        if !stale {
            return false;
        }
        // Between OpenClaw's verdict and its rm lie a few lines of JavaScript.
        dice.pause(2, 200);
        let guarded = self.rules.peers == Peers::Guarded;
        if guarded && fs::create_dir(self.guard()).is_err() {
            return false;
        }
        let unchanged = (style == Style::Path && !guarded) || Seen::at(&self.path).as_ref() == Some(&seen);
        if unchanged {
            if guarded {
                dice.pause(4, 60);
            }
            self.delete(pid);
            self.count(|tally| tally.reclaims += 1);
        }
        if guarded {
            fs::remove_dir(self.guard()).unwrap();
        }
        unchanged
    }

    /// What fs-safe makes while it reclaims.
    fn guard(&self) -> PathBuf {
        self.path.with_file_name(format!("{LOCK}.reclaim"))
    }

    fn hold(&self, pid: usize, own: &Seen, style: Style, dice: &mut Dice) {
        let since = Instant::now();
        let others: Vec<_> = {
            let mut believers = locked(&self.believers);
            let others = believers.clone();
            believers.push((pid, since));
            others
        };
        for (other, since) in others {
            self.count(|tally| tally.doubles += 1);
            self.harm(true, [other, pid], since);
        }
        dice.pause(2, 150);
        if !self.is_mine(own) {
            self.count(|tally| tally.lost += 1);
            self.harm(false, [pid, pid], since);
        }
        let crashes = dice.below(2) == 0;
        locked(&self.believers).retain(|(believer, _)| *believer != pid);
        if crashes {
            self.count(|tally| tally.crashes += 1);
            return;
        }
        if style == Style::Compare {
            let standing = Seen::at(&self.path);
            if standing.as_ref() != Some(own) {
                let met = standing.is_some_and(|standing| standing.is_stand_in());
                self.count(|tally| tally.releases_missed += usize::from(met));
                return;
            }
        }
        self.delete(pid);
    }

    fn harm(&self, double: bool, victims: [usize; 2], since: Instant) {
        locked(&self.harms).push(Harm { double, victims, since, at: Instant::now() });
        if self.rules.until_harm && double {
            self.enough.store(true, SeqCst);
        }
    }

    /// Whether the lock is the holder's own, now or in a moment: it may be out while a doctor looks.
    fn is_mine(&self, own: &Seen) -> bool {
        let began = Instant::now();
        let mut out = false;
        loop {
            match Seen::at(&self.path) {
                Some(seen) if seen == *own => break,
                Some(seen) if seen.pid().is_some() => return false,
                _ if began.elapsed() > OUT => return false,
                _ => out = true,
            }
        }
        self.count(|tally| tally.seen_out += usize::from(out));
        true
    }

    /// What `fs.rm(path, { force: true })` does, and a look at what went.
    fn delete(&self, who: usize) {
        let grave = self.root.join("graveyard").join(self.next_grave.fetch_add(1, SeqCst).to_string());
        if fs::rename(&self.path, &grave).is_err() {
            return;
        }
        // An owner writes right after it has made the file.
        let taken = loop {
            let seen = Seen::at(&grave).unwrap();
            if !seen.bytes.is_empty() {
                break seen;
            }
        };
        match taken.pid() {
            // Living or not: its owner may have come to its end since, and have told the harm.
            Some(owner) => self.taken_by_peer[owner].store(owner != who, SeqCst),
            None => locked(&self.stand_ins_deleted).push(Instant::now()),
        }
        fs::remove_file(grave).unwrap();
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

    fn kind(&self) -> Kind {
        Kind { family: self.family, form: Form::File, is_sure: true }
    }

    /// Finds, reads and judges the lock, as `discover` and `scan` do.
    fn look(&self, root: &Dir) -> Option<(FoundLock, Warrant)> {
        let parent = root.open_below(Path::new(PLACE), Crossing::SameMount).unwrap();
        let reading = lock::read(&parent, OsStr::new(LOCK), self.kind()).ok()??;
        let warrant = Warrant::new(self.family, &self.judge(&reading), None, Basis::Proof)?;
        let found = FoundLock {
            root: 0,
            below: Path::new(PLACE).join(LOCK),
            family: self.family,
            form: Form::File,
            surely_openclaws: true,
            reading,
            guarded: parent.meta().unwrap(),
            filesystem: parent.filesystem().ok(),
            crossing: Crossing::SameMount,
        };
        Some((found, warrant))
    }

    fn judge(&self, reading: &LockReading) -> Verdict {
        let candidates = match reading.record.owner() {
            // A stand-in names the doctor that made it: this process.
            Some(owner) if stand_in::is_stand_in(&reading.raw) => {
                assert_eq!(owner.pid, std::process::id());
                vec![Candidate { start_ticks: owner.start_ticks.into_iter().collect(), ..living(owner.pid) }]
            }
            Some(owner) if self.alive[owner.pid as usize].load(SeqCst) => vec![living(owner.pid)],
            _ => Vec::new(),
        };
        judge_with(self.family, reading, candidates)
    }

    fn remove(&self, root: &Dir, found: &FoundLock, warrant: &Warrant, dice: &mut Dice) {
        let word = match self.rules.doctors {
            Doctors::Absent => return,
            Doctors::Exchange | Doctors::CompareAndUnlink => self.remove_by_protocol(root, found, warrant, dice),
            Doctors::RenameAside => self.rename_aside(found, dice),
            Doctors::Unlink => {
                // The check was in `look`; the delay stands for a slow disk or a busy machine.
                std::thread::sleep(Duration::from_micros(500 + dice.below(500)));
                let _ = fs::remove_file(&self.path);
                "removed"
            }
        };
        self.count(|tally| *tally.outcomes.entry(word).or_default() += 1);
    }

    fn remove_by_protocol(&self, root: &Dir, found: &FoundLock, warrant: &Warrant, dice: &mut Dice) -> &'static str {
        let outcome = Removal {
            patience: Duration::from_secs(2),
            settle: Duration::from_millis(20),
            lock: found,
            warrant,
            judge_again: &mut |reading| Ok(self.judge(reading)),
            about_to: &mut |reading| {
                assert_eq!(reading.raw, found.reading.raw, "another lock was judged");
                Ok(())
            },
            at: &mut |step| match step {
                Step::Removed => {}
                _ => dice.pause(6, 150),
            },
        }
        .run(root);
        if matches!(outcome.kind, OutcomeKind::Failed | OutcomeKind::Refused) {
            println!("  {}: {}", outcome.kind.word(), outcome.detail);
        }
        match outcome.kind {
            OutcomeKind::Changed if outcome.detail.contains("taken again") => "changed (put back)",
            kind => kind.word(),
        }
    }

    fn rename_aside(&self, found: &FoundLock, dice: &mut Dice) -> &'static str {
        let aside = self.root.join("graveyard").join(self.next_grave.fetch_add(1, SeqCst).to_string());
        let judged = |seen: &Seen| seen.inode == found.reading.meta.inode && seen.bytes == found.reading.raw;
        dice.pause(6, 150);
        if !Seen::at(&self.path).is_some_and(|seen| judged(&seen)) {
            return "changed";
        }
        dice.pause(6, 150);
        if fs::rename(&self.path, &aside).is_err() {
            return "already-gone";
        }
        dice.pause(6, 150);
        if judged(&Seen::at(&aside).unwrap()) {
            fs::remove_file(aside).unwrap();
            return "removed";
        }
        if renameat_with(CWD, &aside, CWD, &self.path, RenameFlags::NOREPLACE).is_ok() {
            return "changed (put back)";
        }
        fs::remove_file(aside).unwrap();
        "the name was taken"
    }
}

/// The verdict on a lock whose owner is dead.
pub fn judge_dead(family: &'static Family, reading: &LockReading) -> Verdict {
    judge_with(family, reading, Vec::new())
}

fn judge_with(family: &'static Family, reading: &LockReading, candidates: Vec<Candidate>) -> Verdict {
    let facts = LockFacts {
        record: reading.record.clone(),
        times: reading.times,
        reach: Reach::ThisKernel,
        sole_access: SoleAccess::No(NotSole::MountUnknown),
        candidates: candidates.into(),
        in_use: InUse::default(),
        kernel_lock: reading.kernel_lock,
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
        now: clock::read().wall,
        ticks_per_second: 100,
        assume_single_writer: false,
        scope: Scope::default(),
    };
    judge(family, &facts, &view)
}
