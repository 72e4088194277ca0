//! The same for locks that are files, and for bare directories.

use super::{once_at, request, snapshot};
use crate::support::{Living, dead_pid};
use openclaw_doctor::remove::{Outcome, OutcomeKind, Removal, Step};
use openclaw_doctor::restraint::Restraint;
use openclaw_doctor::scan::Session;
use openclaw_doctor::warrant::{Basis, Warrant};
use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const LOCK: &str = "auth-profiles.json.lock";
const STAND_IN: &str = "auth-profiles.json.lock.openclaw-doctor";
const BEFORE_THE_EXCHANGE: [Step; 6] =
    [Step::Pinned, Step::OurTurn, Step::Read, Step::Judged, Step::StandInMade, Step::Checked];
const AFTER_IT: [Step; 2] = [Step::Exchanged, Step::Known];
const BEFORE_THE_RMDIR: [Step; 5] = [Step::Pinned, Step::OurTurn, Step::Read, Step::Judged, Step::Hollowed];

pub(super) struct Ground {
    temp: tempfile::TempDir,
    owner: Living,
}

impl Ground {
    /// One lock file of a dead owner.
    fn new() -> Self {
        let temp = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let ground = Self { temp, owner: Living::sleep() };
        fs::create_dir_all(ground.place()).unwrap();
        fs::write(ground.lock(), record(dead_pid(), 7)).unwrap();
        fs::create_dir_all(ground.outside().join("empty")).unwrap();
        fs::write(ground.outside().join("precious"), ground.live_record()).unwrap();
        fs::create_dir(ground.aside()).unwrap();
        ground
    }

    /// One bare directory, untouched for two minutes.
    pub(super) fn bare() -> Self {
        let ground = Self::new();
        fs::remove_file(ground.lock()).unwrap();
        fs::create_dir(ground.lock()).unwrap();
        ground.touch(SystemTime::now() - Duration::from_secs(120));
        ground
    }

    fn state(&self) -> PathBuf {
        self.temp.path().join("state")
    }

    pub(super) fn place(&self) -> PathBuf {
        self.state().join("agent")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.place().join(LOCK)
    }

    fn stand_in(&self) -> PathBuf {
        self.place().join(STAND_IN)
    }

    fn outside(&self) -> PathBuf {
        self.temp.path().join("outside")
    }

    fn aside(&self) -> PathBuf {
        self.temp.path().join("aside")
    }

    pub(super) fn touch(&self, at: SystemTime) {
        File::open(self.lock()).unwrap().set_modified(at).unwrap();
    }

    fn live_record(&self) -> String {
        record(self.owner.pid(), self.owner.ticks())
    }

    /// Whoever has the name loses it to a living owner.
    pub(super) fn put_live_lock(&self) {
        self.take_away();
        fs::write(self.lock(), self.live_record()).unwrap();
    }

    fn take_away(&self) {
        fs::rename(self.lock(), self.aside().join("lock")).unwrap();
    }

    fn assert_live_lock_is_whole(&self, case: &str) {
        let left = fs::read_to_string(self.lock()).unwrap_or_else(|error| panic!("{case}: {error}"));
        let left: serde_json::Value = serde_json::from_str(&left).unwrap();
        assert_eq!(left["pid"], self.owner.pid(), "{case}");
    }

    pub(super) fn assert_no_litter(&self, place: &Path, case: &str) {
        let names = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| name != LOCK).collect();
        assert!(left.is_empty(), "{case}: {left:?}");
    }

    /// Scans, interferes, removes; the outside must be the same after as before.
    pub(super) fn remove(&self, before: impl FnOnce(), at: &mut dyn FnMut(Step)) -> Outcome {
        self.remove_beside(None, before, at)
    }

    /// The same, named, beside what may take or clear it at this moment.
    pub(super) fn remove_beside(
        &self,
        restraint: Option<&Restraint>,
        before: impl FnOnce(),
        at: &mut dyn FnMut(Step),
    ) -> Outcome {
        let basis = if restraint.is_some() { Basis::Named } else { Basis::Yes };
        let outside = snapshot(&self.outside());
        let request = request(&self.state());
        let mut session = Session::open(&request);
        let scan = session.scan(&mut |_| {});
        assert_eq!(scan.locks.len(), 1, "{:?}", scan.problems);
        let lock = &scan.locks[0];
        let root = scan.roots[lock.found.root].spec.start(None).unwrap().open().unwrap();
        let warrant =
            Warrant::new(lock.found.family, &lock.verdict, restraint, basis).expect("proven, or likely stale");
        before();
        let outcome = Removal {
            patience: Duration::from_secs(2),
            settle: Duration::from_millis(20),
            lock: &lock.found,
            warrant: &warrant,
            judge_again: &mut |reading| Ok(session.judge_again(lock, reading)),
            about_to: &mut |_| Ok(()),
            at,
        }
        .run(&root);
        assert_eq!(snapshot(&self.outside()), outside, "something outside was touched: {outcome:?}");
        outcome
    }
}

fn record(pid: u32, ticks: u64) -> String {
    let at = humantime::format_rfc3339_millis(SystemTime::now());
    format!("{{\n  \"pid\": {pid},\n  \"createdAt\": \"{at}\",\n  \"starttime\": {ticks}\n}}\n")
}

/// What a doctor that was killed an hour ago left in the lock's place.
fn old_stand_in() -> String {
    let at = humantime::format_rfc3339_millis(SystemTime::now() - Duration::from_secs(3600));
    let dead = dead_pid();
    format!(
        "{{\"createdAt\": \"{at}\", \"madeBy\": \"openclaw-doctor, to remove a stale lock\", \
         \"doctorPid\": {dead}, \"doctorStarttime\": 1}}\n"
    )
}

#[test]
fn without_interference_every_step_comes_once_and_the_file_goes() {
    let ground = Ground::new();
    let mut steps = Vec::new();
    let outcome = ground.remove(|| {}, &mut |step| steps.push(step));
    assert_eq!((outcome.kind, outcome.detail.as_str()), (OutcomeKind::Removed, ""));
    assert_eq!(steps, [&BEFORE_THE_EXCHANGE[..], &AFTER_IT, &[Step::Removed]].concat());
    assert!(!ground.lock().exists());
    ground.assert_no_litter(&ground.place(), "alone");
}

#[test]
fn a_file_taken_again_at_its_name_stays_whole() {
    for step in BEFORE_THE_EXCHANGE {
        let ground = Ground::new();
        let outcome = ground.remove(|| {}, &mut once_at(step, || ground.put_live_lock()));
        assert_eq!(outcome.kind, OutcomeKind::Changed, "{step:?}: {outcome:?}");
        ground.assert_live_lock_is_whole(&format!("{step:?}"));
        ground.assert_no_litter(&ground.place(), &format!("{step:?}"));
    }
    // The stand-in is cleared and the lock taken: the judged one goes, wherever its name is.
    for step in AFTER_IT.into_iter().chain([Step::Removed]) {
        let ground = Ground::new();
        let take = || {
            let _ = fs::remove_file(ground.lock());
            fs::write(ground.lock(), ground.live_record()).unwrap();
        };
        let outcome = ground.remove(|| {}, &mut once_at(step, take));
        assert_eq!(outcome.kind, OutcomeKind::Removed, "{step:?}: {outcome:?}");
        ground.assert_live_lock_is_whole(&format!("{step:?}"));
        ground.assert_no_litter(&ground.place(), &format!("{step:?}"));
    }
}

/// Its owner has the lock while it is out of its place: whatever becomes of the stand-in, it has it after.
#[test]
fn a_living_lock_that_was_exchanged_out_comes_back() {
    for stand_in in ["stays", "is cleared"] {
        let ground = Ground::new();
        let outcome = ground.remove(|| {}, &mut |step| match step {
            Step::Checked => ground.put_live_lock(),
            Step::Exchanged if stand_in == "is cleared" => fs::remove_file(ground.lock()).unwrap(),
            _ => {}
        });
        assert_eq!(outcome.kind, OutcomeKind::Changed, "{stand_in}: {outcome:?}");
        ground.assert_live_lock_is_whole(stand_in);
        ground.assert_no_litter(&ground.place(), stand_in);
    }
}

/// The owner of what was exchanged out has released by path, and the next one has the name.
#[test]
fn the_newest_lock_keeps_the_name() {
    let ground = Ground::new();
    let outcome = ground.remove(|| {}, &mut |step| match step {
        Step::Checked => {
            ground.take_away();
            fs::write(ground.lock(), record(dead_pid(), 8)).unwrap();
        }
        Step::Exchanged => {
            fs::remove_file(ground.lock()).unwrap();
            fs::write(ground.lock(), ground.live_record()).unwrap();
        }
        _ => {}
    });
    assert_eq!(outcome.kind, OutcomeKind::Changed, "{outcome:?}");
    ground.assert_live_lock_is_whole("the newest");
    ground.assert_no_litter(&ground.place(), "the newest");
}

#[test]
fn a_file_whose_record_changes_is_left() {
    for step in BEFORE_THE_EXCHANGE.into_iter().chain([Step::Exchanged]) {
        let ground = Ground::new();
        let path = if step == Step::Exchanged { ground.stand_in() } else { ground.lock() };
        // In place: the inode is the judged one's.
        let outcome = ground.remove(|| {}, &mut once_at(step, || fs::write(&path, ground.live_record()).unwrap()));
        assert_eq!(outcome.kind, OutcomeKind::Changed, "{step:?}: {outcome:?}");
        ground.assert_live_lock_is_whole(&format!("{step:?}"));
        ground.assert_no_litter(&ground.place(), &format!("{step:?}"));
    }
}

#[test]
fn what_is_no_file_at_a_files_name_is_left() {
    for what in ["a link out", "a dangling link", "an empty directory", "a directory", "a FIFO"] {
        for step in BEFORE_THE_EXCHANGE.into_iter().chain(AFTER_IT) {
            let (ground, case) = (Ground::new(), format!("{what} at {step:?}"));
            let inode = Cell::new(0);
            let replace = || {
                ground.take_away();
                match what {
                    "a link out" => symlink(ground.outside().join("precious"), ground.lock()).unwrap(),
                    "a dangling link" => symlink(ground.outside().join("nothing"), ground.lock()).unwrap(),
                    "a FIFO" => {
                        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o666));
                        rustix::fs::mknodat(rustix::fs::CWD, ground.lock(), kind, mode, 0).unwrap();
                    }
                    _ => fs::create_dir(ground.lock()).unwrap(),
                }
                if what == "a directory" {
                    fs::write(ground.lock().join("precious"), "precious").unwrap();
                }
                inode.set(ground.lock().symlink_metadata().unwrap().ino());
            };
            let outcome = ground.remove(|| {}, &mut once_at(step, replace));
            let expected = if AFTER_IT.contains(&step) { OutcomeKind::Removed } else { OutcomeKind::Changed };
            assert_eq!(outcome.kind, expected, "{case}: {outcome:?}");
            assert_eq!(ground.lock().symlink_metadata().unwrap().ino(), inode.get(), "{case}");
            assert!(what != "a directory" || ground.lock().join("precious").exists(), "{case}");
            ground.assert_no_litter(&ground.place(), &case);
        }
    }
}

#[test]
fn a_file_that_is_gone_is_nobodys_failure() {
    for step in BEFORE_THE_EXCHANGE.into_iter().chain(AFTER_IT) {
        let ground = Ground::new();
        let outcome = ground.remove(|| {}, &mut once_at(step, || ground.take_away()));
        let expected = if AFTER_IT.contains(&step) { OutcomeKind::Removed } else { OutcomeKind::AlreadyGone };
        assert_eq!(outcome.kind, expected, "{step:?}: {outcome:?}");
        assert!(!ground.lock().exists(), "{step:?}");
        ground.assert_no_litter(&ground.place(), &format!("{step:?}"));
    }
}

#[test]
fn a_parent_that_is_moved_takes_the_removal_of_a_file_with_it() {
    for step in BEFORE_THE_EXCHANGE.into_iter().chain(AFTER_IT) {
        for link in [None, Some("outside"), Some("outside/empty")] {
            let (ground, case) = (Ground::new(), format!("{link:?} at {step:?}"));
            let moved = ground.aside().join("agent");
            let replace = || {
                fs::rename(ground.place(), &moved).unwrap();
                if let Some(link) = link {
                    symlink(ground.temp.path().join(link), ground.place()).unwrap();
                }
            };
            let outcome = ground.remove(|| {}, &mut once_at(step, replace));
            assert_eq!(outcome.kind, OutcomeKind::Removed, "{case}: {outcome:?}");
            assert!(!moved.join(LOCK).exists(), "{case}");
            ground.assert_no_litter(&moved, &case);
        }
    }
}

/// fs-safe compares, and then deletes by path: the name must not go to a new owner in between.
#[test]
fn a_file_that_an_openclaw_is_clearing_is_left_to_it() {
    for (step, age, expected) in [
        (Step::Pinned, 0, OutcomeKind::Changed),
        (Step::StandInMade, 0, OutcomeKind::Changed),
        (Step::Checked, 0, OutcomeKind::Changed),
        (Step::Exchanged, 0, OutcomeKind::Changed),
        // Left by a reclaimer that died.
        (Step::Pinned, 60, OutcomeKind::Removed),
        (Step::Exchanged, 60, OutcomeKind::Removed),
    ] {
        let (ground, case) = (Ground::new(), format!("{age} s at {step:?}"));
        let before = fs::read(ground.lock()).unwrap();
        let guard = ground.place().join(format!("{LOCK}.reclaim"));
        let make = || {
            fs::create_dir(&guard).unwrap();
            File::open(&guard).unwrap().set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        };
        let outcome = ground.remove(|| {}, &mut once_at(step, make));
        assert_eq!(outcome.kind, expected, "{case}: {outcome:?}");
        assert_eq!(fs::read(ground.lock()).ok(), (age == 0).then_some(before), "{case}");
        fs::remove_dir(&guard).unwrap();
        ground.assert_no_litter(&ground.place(), &case);
    }
}

#[test]
fn what_a_killed_doctor_left_does_not_stay() {
    for left in [String::new(), old_stand_in(), record(dead_pid(), 9)] {
        let ground = Ground::new();
        fs::write(ground.stand_in(), &left).unwrap();
        let mut exchanged = false;
        let outcome = ground.remove(|| {}, &mut |step| exchanged |= step == Step::Exchanged);
        assert_eq!((outcome.kind, exchanged), (OutcomeKind::Removed, true), "{left}: {outcome:?}");
        assert!(!ground.lock().exists());
        ground.assert_no_litter(&ground.place(), &left);
    }
}

/// What it had exchanged out may be a living lock.
#[test]
fn what_a_killed_doctor_had_exchanged_out_comes_back() {
    let ground = Ground::new();
    fs::write(ground.stand_in(), ground.live_record()).unwrap();
    fs::write(ground.lock(), old_stand_in()).unwrap();
    let outcome = ground.remove(|| {}, &mut |_| {});
    assert_eq!(outcome.kind, OutcomeKind::Changed, "{outcome:?}");
    ground.assert_live_lock_is_whole("exchanged out");
    ground.assert_no_litter(&ground.place(), "exchanged out");
}

/// What no doctor makes is in the way, and no harm comes to it.
#[test]
fn anything_else_in_the_stand_ins_place_is_left() {
    for what in ["a directory", "a link", "a hard link"] {
        let ground = Ground::new();
        match what {
            "a directory" => fs::create_dir(ground.stand_in()).unwrap(),
            "a link" => symlink(ground.outside().join("precious"), ground.stand_in()).unwrap(),
            _ => fs::hard_link(ground.outside().join("precious"), ground.stand_in()).unwrap(),
        }
        let inode = ground.stand_in().symlink_metadata().unwrap().ino();
        let mut exchanged = false;
        let outcome = ground.remove(|| {}, &mut |step| exchanged |= step == Step::Exchanged);
        assert_eq!((outcome.kind, exchanged), (OutcomeKind::Removed, false), "{what}: {outcome:?}");
        assert!(!ground.lock().exists(), "{what}");
        assert_eq!(ground.stand_in().symlink_metadata().unwrap().ino(), inode, "{what}");
    }
}

#[test]
fn a_bare_directory_that_its_owner_touches_is_left() {
    for step in [Step::Pinned, Step::OurTurn, Step::Read, Step::Judged] {
        let ground = Ground::bare();
        let outcome = ground.remove(|| {}, &mut once_at(step, || ground.touch(SystemTime::now())));
        assert_eq!(outcome.kind, OutcomeKind::Changed, "{step:?}: {outcome:?}");
        assert!(ground.lock().is_dir(), "{step:?}");
    }
    let ground = Ground::bare();
    assert_eq!(ground.remove(|| {}, &mut |_| {}).kind, OutcomeKind::Removed);
    assert!(!ground.lock().exists());
}

#[test]
fn what_takes_a_bare_directorys_place_is_left() {
    for what in ["a directory", "a file", "a link", "something in it"] {
        for step in BEFORE_THE_RMDIR.into_iter().chain([Step::Checked]) {
            if what == "a directory" && step == Step::Checked {
                // Made again, and told (`a_strangers_empty_directory_is_made_again…`).
                continue;
            }
            let (ground, case) = (Ground::bare(), format!("{what} at {step:?}"));
            let inode = Cell::new(0);
            let replace = || {
                if what == "something in it" {
                    fs::write(ground.lock().join("precious"), "precious").unwrap();
                } else {
                    ground.take_away();
                }
                match what {
                    "a directory" => fs::create_dir(ground.lock()).unwrap(),
                    "a file" => fs::write(ground.lock(), ground.live_record()).unwrap(),
                    "a link" => symlink(ground.outside().join("empty"), ground.lock()).unwrap(),
                    _ => {}
                }
                inode.set(ground.lock().symlink_metadata().unwrap().ino());
            };
            let outcome = ground.remove(|| {}, &mut once_at(step, replace));
            let told = matches!(outcome.kind, OutcomeKind::Changed)
                || (what == "something in it" && matches!(step, Step::Pinned | Step::OurTurn))
                    && outcome.kind == OutcomeKind::Refused;
            assert!(told, "{case}: {outcome:?}");
            assert_eq!(ground.lock().symlink_metadata().unwrap().ino(), inode.get(), "{case}");
            assert!(what != "something in it" || ground.lock().join("precious").exists(), "{case}");
        }
    }
}
