//! Removes one lock, by the protocol of its form.
//!
//! In: the open root, the lock as it was judged, a [`Warrant`], and a way to judge again. Out:
//! an [`Outcome`]. Called by [`crate::repair`] only. Never recursive, never by path alone.

mod alike;
mod bare;
mod directory;
mod file;
mod outcome;
mod probe;
mod stand_in;
mod turn;

pub use outcome::{Outcome, OutcomeKind};

use crate::discover::FoundLock;
use crate::discover::lock::LockReading;
use crate::family::Form;
use crate::record::{Record, Unread};
use crate::sys::tree::{Dir, Meta};
use crate::sys::words;
use crate::verdict::Verdict;
use crate::warrant::Warrant;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// The points between check and use at which tests interfere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Parent and lock are open and pinned.
    Pinned,
    /// It is our turn in this directory.
    OurTurn,
    /// The lock was read.
    Read,
    /// Judged again, name and bytes compared.
    Judged,
    /// A directory's record is unlinked.
    Hollowed,
    /// Compared for the last time: what follows is the call that takes the lock away.
    Checked,
    /// What takes a file's place is made.
    StandInMade,
    /// It has taken the file's place.
    Exchanged,
    /// What was exchanged out is what was judged.
    Known,
    /// The judged directory or file is removed.
    Removed,
}

/// What a removal needs from its caller.
pub struct Removal<'a> {
    /// The lock as it was found and judged.
    pub lock: &'a FoundLock,
    /// The right to remove it.
    pub warrant: &'a Warrant,
    /// How long another doctor is waited for.
    pub patience: Duration,
    /// How long what stands in for a bare directory has its name, beside an OpenClaw that may have
    /// decided to clear it: by then it has.
    pub settle: Duration,
    /// Judges a fresh reading of the lock. An error ends the removal: it is not known whose rights
    /// this thread has.
    pub judge_again: &'a mut dyn FnMut(&LockReading) -> Result<Verdict, Errno>,
    /// Told right before the first change; `Err` calls the removal off (a receipt that cannot be written).
    pub about_to: &'a mut dyn FnMut(&LockReading) -> Result<(), String>,
    /// Told after every step; does nothing outside tests.
    pub at: &'a mut dyn FnMut(Step),
}

impl Removal<'_> {
    /// Carries it out, starting from the open root.
    pub fn run(mut self, root: &Dir) -> Outcome {
        match self.steps(root) {
            Ok(outcome) | Err(outcome) => outcome,
        }
    }

    fn steps(&mut self, root: &Dir) -> Result<Outcome, Outcome> {
        let parent_path = self.lock.below.parent().unwrap_or(Path::new(""));
        let parent = root.open_below(parent_path, self.lock.crossing).map_err(act("cannot open the directory"))?;
        if !parent.meta().map_err(act("cannot look at the directory"))?.same_file(&self.lock.guarded) {
            return Err(changed("another directory stands at its path now"));
        }
        match self.lock.form {
            Form::Directory { .. } | Form::EmptyDirectory => directory::remove(self, &parent),
            Form::File => file::remove(self, &parent),
            Form::KernelLock => Err(Outcome::new(OutcomeKind::Refused, "the kernel's own locks are never removed")),
        }
    }

    fn unchanged(&self, now: &LockReading) -> Result<(), Outcome> {
        let judged = &self.lock.reading;
        match now.record {
            Record::Unreadable(_) if matches!(judged.record, Record::Unreadable(_)) => {}
            Record::Unreadable(Unread::System(errno)) => {
                return Err(Outcome::errno("cannot read its record again", errno));
            }
            Record::Unreadable(Unread::NoProcfs) => {
                let why = "cannot read its record again: /proc is not mounted any more; mount it and run again";
                return Err(Outcome::new(OutcomeKind::Failed, why));
            }
            _ => {}
        }
        // A bare directory's owner touches it; one with a record changes with its content.
        let touched = self.lock.form == Form::EmptyDirectory && now.times.lock_modified != judged.times.lock_modified;
        let same = now.whole == judged.whole
            && now.record == judged.record
            && now.record_inode == judged.record_inode
            && now.times.record_modified == judged.times.record_modified;
        if same && !touched { Ok(()) } else { Err(changed("its record is not the one that was judged")) }
    }

    fn same_name(&self, parent: &Dir, pinned: &Meta) -> Result<(), Outcome> {
        let name = self.lock.name().as_bytes();
        let standing = stand_in::insist(|| parent.meta_of(name)).map_err(act("cannot look at the lock's name"))?;
        if standing.same_file(pinned) { Ok(()) } else { Err(changed("another lock stands at its path now")) }
    }

    fn judge(&mut self, reading: &LockReading) -> Result<(), Outcome> {
        let verdict = (self.judge_again)(reading).map_err(act("cannot judge it again with its namer's rights"))?;
        if self.warrant.still_holds(&verdict) {
            Ok(())
        } else {
            Err(changed("the evidence is not what it was; scan again"))
        }
    }

    fn announce(&mut self, reading: &LockReading) -> Result<(), Outcome> {
        (self.about_to)(reading).map_err(|why| Outcome::new(OutcomeKind::Refused, why))
    }
}

fn act(act: &'static str) -> impl Fn(Errno) -> Outcome {
    move |errno| Outcome::errno(act, errno)
}

fn changed(why: &str) -> Outcome {
    Outcome::new(OutcomeKind::Changed, why)
}

/// What failed counts; what failed besides is told too.
fn both(taken: Result<(), Outcome>, cleared: Result<(), Outcome>) -> Result<(), Outcome> {
    match (taken, cleared) {
        (Ok(()), told) | (told, Ok(())) => told,
        (Err(why), Err(left)) => {
            let told =
                if why.detail.contains(&left.detail) { why.detail } else { format!("{}; {}", why.detail, left.detail) };
            Err(Outcome::new(OutcomeKind::Failed, told))
        }
    }
}

/// The end of a removal: its name stands for none of `ours` any more, the judged lock and what
/// stood in for it, which are all held open, so that nobody else has their inode numbers.
fn removed(parent: &Dir, name: &OsStr, ours: &[Option<Meta>]) -> Result<Outcome, Outcome> {
    let failed = |why: String| Err(Outcome::new(OutcomeKind::Failed, why));
    match stand_in::look(parent, name) {
        Ok(Some(standing)) if ours.iter().flatten().any(|meta| standing.same_file(meta)) => {
            return failed("its name is not free after all the steps of its removal; run again".to_owned());
        }
        Ok(_) => {}
        Err(errno) => {
            let cause = words(errno);
            return failed(format!(
                "it was taken away, but whether its name is free cannot be told: {cause}; scan again"
            ));
        }
    }
    Ok(match rustix::fs::fsync(parent) {
        Ok(()) => Outcome::new(OutcomeKind::Removed, ""),
        // It is gone; whether it stays gone after a power cut is another matter.
        Err(errno) => {
            Outcome::new(OutcomeKind::Removed, format!("but not yet on disk: fsync of its directory: {}", words(errno)))
        }
    })
}
