//! Removes one lock directory: hollow, check, rmdir.
//!
//! In: the open root, the lock as it was judged, a [`Warrant`], and a way to judge again. Out:
//! an [`Outcome`]. Called by [`crate::repair`] only. Never recursive, never by path alone.
//!
//! Measured on ext4 with three peers and two doctors over 60,000 rounds: `rm -rf` gave 451
//! double owners, rename aside and roll back 254, this protocol 0. The record is unlinked
//! through the descriptor of the directory that was judged, so that whatever stands at its
//! path now is not reached; rmdir(2) takes an empty directory only, so that a lock that was
//! taken again meanwhile stays whole.
#![expect(clippy::disallowed_methods, reason = "the one place that removes")]

use crate::discover::FoundLock;
use crate::discover::lock::{self, LockReading};
use crate::sys::tree::{Crossing, Dir, Meta};
use crate::sys::words;
use crate::verdict::Verdict;
use crate::warrant::Warrant;
use rustix::fs::{Access, AtFlags, FlockOperation, Mode};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;
use serde::Serialize;
use std::path::Path;
use std::time::{Duration, Instant};

/// How far the clock that stamps files may lag behind ours, in milliseconds.
const STAMP_LAG_MS: i64 = 100;
const TURN_POLL: Duration = Duration::from_millis(10);

/// What became of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    /// It is gone, by our hand.
    Removed,
    /// It was gone before we came.
    AlreadyGone,
    /// It is not what was judged any more; nothing, or nothing of the new one, was touched.
    Changed,
    /// Another doctor works in this directory.
    Busy,
    /// It holds something that no release puts there, or cannot be removed by this protocol.
    Refused,
    /// The operator said no.
    Declined,
    /// Left on purpose: held, or not proven and nobody's word given.
    HeldBack,
    /// A system call failed.
    Failed,
    /// The run was stopped before its turn.
    NotAttempted,
}

impl OutcomeKind {
    /// The word in JSON and text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::AlreadyGone => "already-gone",
            Self::Changed => "changed",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::Declined => "declined",
            Self::HeldBack => "held-back",
            Self::Failed => "failed",
            Self::NotAttempted => "not-attempted",
        }
    }
}

/// What became of a lock, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The word.
    pub kind: OutcomeKind,
    /// One sentence: cause and, where there is one, remedy. Empty where the word says all.
    pub detail: String,
}

impl Outcome {
    /// An outcome with its sentence.
    pub fn new(kind: OutcomeKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    fn errno(act: &str, errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::new(OutcomeKind::AlreadyGone, format!("{act}: it is not there any more")),
            Errno::LOOP => Self::new(OutcomeKind::Changed, format!("{act}: a symbolic link stands there now")),
            Errno::NOTDIR => Self::new(OutcomeKind::Changed, format!("{act}: it is no directory any more")),
            Errno::XDEV => Self::new(OutcomeKind::Refused, format!("{act}: a mount point lies in the way")),
            other => Self::new(OutcomeKind::Failed, format!("{act}: {}; {}", words(other), remedy(other))),
        }
    }
}

fn remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::ACCESS | Errno::PERM => {
            "run it as the owner of that directory or as root; an immutable file shows in lsattr"
        }
        Errno::ROFS => "mount the filesystem read-write first",
        Errno::BUSY => "it is a mount point: unmount it first",
        _ => "look at the filesystem's state and run again",
    }
}

/// The points between check and use at which tests interfere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Parent and lock are open and pinned.
    Pinned,
    /// It is our turn in this directory.
    OurTurn,
    /// The content was listed and the record read.
    Read,
    /// Judged again, name and bytes compared.
    Judged,
    /// The record is unlinked.
    Hollowed,
    /// The name was compared once more.
    Checked,
    /// The directory is removed.
    Removed,
}

/// What a removal needs from its caller.
pub struct Removal<'a> {
    /// The lock as it was found and judged.
    pub lock: &'a FoundLock,
    /// The right to remove it.
    pub warrant: &'a Warrant,
    /// The kernel's pid_max, for the record's parser.
    pub pid_max: u64,
    /// How long another doctor is waited for.
    pub patience: Duration,
    /// Judges a fresh reading of the lock.
    pub judge_again: &'a mut dyn FnMut(&LockReading) -> Verdict,
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
        let name = self.lock.family.lock_name;
        let parent_path = self.lock.below.parent().unwrap_or(Path::new(""));
        let act = |act: &'static str| move |errno| Outcome::errno(act, errno);
        let changed = |why: &str| Outcome::new(OutcomeKind::Changed, why);

        let parent = root.open_below(parent_path, self.lock.crossing).map_err(act("cannot open the directory"))?;
        if !parent.meta().map_err(act("cannot look at the directory"))?.same_file(&self.lock.guarded) {
            return Err(changed("another directory stands at its path now"));
        }
        if !matches!(self.lock.reading.meta.kind, rustix::fs::FileType::Directory) {
            let why = "it is not a directory, so no OpenClaw made it; look at it and remove it by hand";
            return Err(Outcome::new(OutcomeKind::Refused, why));
        }
        let lock = parent.open_below(Path::new(name), Crossing::SameMount).map_err(act("cannot open the lock"))?;
        let pinned = lock.meta().map_err(act("cannot look at the lock"))?;
        if !pinned.same_file(&self.lock.reading.meta) {
            return Err(changed("another lock stands at its path now"));
        }
        (self.at)(Step::Pinned);

        take_turn(&parent, self.patience)?;
        (self.at)(Step::OurTurn);

        self.only_the_record(&lock)?;
        let reading = lock::read_opened(&lock, self.lock.family, self.pid_max).map_err(act("cannot read the lock"))?;
        (self.at)(Step::Read);

        self.unchanged(&reading)?;
        self.same_name(&parent, &pinned)?;
        if !self.warrant.still_holds(&(self.judge_again)(&reading)) {
            return Err(changed("the evidence is not what it was; scan again"));
        }
        may_be_removed(&parent, &pinned).map_err(act("it may not be removed from its directory"))?;
        (self.about_to)(&reading).map_err(|why| Outcome::new(OutcomeKind::Refused, why))?;
        (self.at)(Step::Judged);

        if reading.record_inode.is_some() {
            // Judging looks through /proc and a receipt waits for its disk: time enough for a change.
            let last = lock::read_opened(&lock, self.lock.family, self.pid_max).map_err(act("cannot read the lock"))?;
            self.unchanged(&last)?;
            let record = self.lock.family.form.record_name();
            match rustix::fs::unlinkat(&lock, record, AtFlags::empty()) {
                Ok(()) => {}
                // Somebody else took it: the rest decides by what stands there.
                Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) => {
                    return Err(Outcome::new(OutcomeKind::Refused, "its record is a directory; remove it by hand"));
                }
                Err(errno) => return Err(Outcome::errno("cannot remove the record", errno)),
            }
        }
        (self.at)(Step::Hollowed);

        self.same_name(&parent, &pinned)?;
        (self.at)(Step::Checked);

        match rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR) {
            Ok(()) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                return Err(changed("it was taken again meanwhile; the new lock is whole"));
            }
            Err(errno) => return Err(Outcome::errno("cannot remove the lock directory", errno)),
        }
        (self.at)(Step::Removed);
        self.confirm(&parent, &lock, &pinned)
    }

    /// The directory holds its record or nothing.
    fn only_the_record(&self, lock: &Dir) -> Result<(), Outcome> {
        let record = self.lock.family.form.record_name();
        let entries =
            rustix::fs::Dir::read_from(lock).map_err(|errno| Outcome::errno("cannot list the lock", errno))?;
        for entry in entries {
            let entry = entry.map_err(|errno| Outcome::errno("cannot list the lock", errno))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." && name != record.as_bytes() {
                let name = String::from_utf8_lossy(name);
                let why = format!("it holds {name}, which no OpenClaw release puts there; look at it by hand");
                return Err(Outcome::new(OutcomeKind::Refused, why));
            }
        }
        Ok(())
    }

    fn unchanged(&self, now: &LockReading) -> Result<(), Outcome> {
        let judged = &self.lock.reading;
        let same = now.raw == judged.raw
            && now.record == judged.record
            && now.record_inode == judged.record_inode
            && now.times.record_modified == judged.times.record_modified;
        if same { Ok(()) } else { Err(Outcome::new(OutcomeKind::Changed, "its record is not the one that was judged")) }
    }

    fn same_name(&self, parent: &Dir, pinned: &Meta) -> Result<(), Outcome> {
        let name = self.lock.family.lock_name.as_bytes();
        let standing = parent.meta_of(name).map_err(|errno| Outcome::errno("cannot look at the lock's name", errno))?;
        if standing.same_file(pinned) {
            Ok(())
        } else {
            Err(Outcome::new(OutcomeKind::Changed, "another lock stands at its path now"))
        }
    }

    /// The pinned inode has no name left: it was ours that was removed.
    fn confirm(&self, parent: &Dir, lock: &Dir, pinned: &Meta) -> Result<Outcome, Outcome> {
        let keeps_link_counts = self.lock.filesystem.is_some_and(|filesystem| filesystem.drops_links_of_removed());
        let links = lock.meta().map(|meta| meta.links).unwrap_or(0);
        if keeps_link_counts && links != 0 {
            let remade = remake(parent, self.lock.family.lock_name, pinned);
            let then = match remade {
                Ok(()) => "it was made again at once with the same owner and mode".to_owned(),
                Err(errno) => format!("it could not be made again: {}", words(errno)),
            };
            let why = format!("another empty lock directory took its name in the same instant and was removed; {then}");
            return Err(Outcome::new(OutcomeKind::Failed, why));
        }
        match rustix::fs::fsync(parent) {
            Ok(()) => Ok(Outcome::new(OutcomeKind::Removed, "")),
            // It is gone; whether it stays gone after a power cut is another matter.
            Err(errno) => Ok(Outcome::new(
                OutcomeKind::Removed,
                format!("but not yet on disk: fsync of its directory: {}", words(errno)),
            )),
        }
    }
}

/// What rmdir(2) will want of the directory above, asked before the record is touched: a lock
/// that stays without its record is worse than the whole one, since nobody can tell its owner.
/// An answer that comes too late to be true costs only that: rmdir decides.
fn may_be_removed(parent: &Dir, lock: &Meta) -> Result<(), Errno> {
    // The plain faccessat(2): older seccomp profiles answer faccessat2 with EPERM.
    let access = rustix::fs::accessat(parent, c".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty());
    if let Err(errno @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) = access {
        return Err(errno);
    }
    let above = parent.meta()?;
    let sticky = above.mode & Mode::SVTX.bits() as u16 != 0;
    let own = rustix::process::geteuid().as_raw();
    let above_owners = || {
        let capabilities = rustix::thread::capabilities(None);
        capabilities.is_ok_and(|sets| sets.effective.contains(CapabilitySet::FOWNER))
    };
    if sticky && own != above.uid && own != lock.uid && !above_owners() { Err(Errno::PERM) } else { Ok(()) }
}

/// Waits for our turn among doctors; no file is created for it.
fn take_turn(parent: &Dir, patience: Duration) -> Result<(), Outcome> {
    let began = Instant::now();
    loop {
        match rustix::fs::flock(parent, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK | Errno::INTR) if began.elapsed() < patience => std::thread::sleep(TURN_POLL),
            Err(Errno::WOULDBLOCK | Errno::INTR) => {
                return Err(Outcome::new(
                    OutcomeKind::Busy,
                    "another process holds flock(2) on its directory; run again",
                ));
            }
            Err(errno) => return Err(Outcome::errno("cannot lock its directory against other doctors", errno)),
        }
    }
}

/// Makes a directory as the judged one was. Owner and mode are set through a descriptor: the
/// name may be swapped under our hands, and the umask takes no part in what stood there.
fn remake(parent: &Dir, name: &str, like: &Meta) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(u32::from(like.mode) & 0o7777);
    let before = crate::sys::clock::read().wall;
    rustix::fs::mkdirat(parent, name, mode)?;
    let made = parent.open_below(Path::new(name), Crossing::SameMount)?;
    let meta = made.meta()?;
    // Whoever owns the directory above may have put another one in its place: only what was born
    // just now, is ours and holds nothing is given away.
    let ours = meta.uid == rustix::process::geteuid().as_raw();
    let just_born = meta.born.is_some_and(|born| born.since_ms(before) >= -STAMP_LAG_MS);
    let empty = rustix::fs::Dir::read_from(&made)?.flatten().all(|entry| [c".", c".."].contains(&entry.file_name()));
    if !(ours && just_born && empty) {
        return Err(Errno::EXIST);
    }
    let (uid, gid) = (rustix::fs::Uid::from_raw(like.uid), rustix::fs::Gid::from_raw(like.gid));
    rustix::fs::fchown(&made, Some(uid), Some(gid))?;
    // After the owner: a change of owner takes the set-group-ID bit away.
    rustix::fs::fchmod(&made, mode)
}
