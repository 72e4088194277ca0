//! Removes a lock that is a file: exchange, check, rename over.
//!
//! A file's name cannot be removed on condition that it still stands for the judged inode: between
//! a look and unlink(2) an OpenClaw may clear the stale lock and take it, and the unlink would
//! hit its new one. Renaming the lock aside shows what was moved, but leaves the name free for an
//! instant, in which `O_EXCL` admits a second owner. So a stand-in takes the name in one step
//! (renameat2(2), `RENAME_EXCHANGE`): the name is never free while it is not known what stood
//! there. What was exchanged out is compared with what was judged, inode and bytes. If it is that,
//! the stand-in is renamed over it, which removes the one and frees the name in one step; anything
//! else is exchanged back at once, and its owner has lost nothing.
//! docs/removal.md has the figures of the stress test.
//!
//! The stand-in ([`crate::stand_in`]) belongs to the judged lock's owner, who must be able to read it
//! should the doctor be killed in between: nearly every release takes it for a lock that was taken
//! just now, and clears it by itself later; so does the next doctor.
#![expect(clippy::disallowed_methods, reason = "one of the two places that remove")]

use super::outcome::{Outcome, OutcomeKind};
use super::turn::{may_be_removed, take_turn};
use super::{Removal, Step, act, changed};
use crate::discover::lock::{self, Guard, LockReading, beside};
use crate::process::identity;
use crate::stand_in;
use crate::sys::kernel_lock::{self, KernelHold};
use crate::sys::tree::{self, Dir, Meta};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// What the name of a stand-in ends with, until it has taken the lock's.
const SUFFIX: &str = ".openclaw-doctor";
/// How often what was exchanged out is put back, should it be replaced each time.
const PUT_BACK_LIMIT: usize = 16;

/// Removes the lock file of this removal from its open parent.
pub(super) fn remove(removal: &mut Removal<'_>, parent: &Dir) -> Result<Outcome, Outcome> {
    let found = removal.lock;
    let name = found.name();
    if found.reading.meta.kind != FileType::RegularFile {
        let why = "it is not a regular file, so no OpenClaw made it; look at it and remove it by hand";
        return Err(Outcome::new(OutcomeKind::Refused, why));
    }
    let pin = parent.pin(name.as_bytes()).map_err(act("cannot open the lock"))?;
    let pinned = pin.meta().map_err(act("cannot look at the lock"))?;
    if !pinned.same_file(&found.reading.meta) {
        return Err(changed("another lock stands at its path now"));
    }
    (removal.at)(Step::Pinned);

    take_turn(parent, removal.patience)?;
    (removal.at)(Step::OurTurn);

    let reading = read(removal, parent)?;
    (removal.at)(Step::Read);

    removal.unchanged(&reading)?;
    removal.judge(&reading)?;
    may_be_removed(parent, &pinned).map_err(act("it may not be removed from its directory"))?;
    nobody_locks(parent, name, &pinned)?;
    removal.announce(&reading)?;
    (removal.at)(Step::Judged);

    let stand_in = StandIn::make(parent, name, &pinned);
    (removal.at)(Step::StandInMade);
    let taken = removal.take_away(parent, &pinned, stand_in.as_ref());
    let cleared = stand_in.map_or(Ok(()), |stand_in| stand_in.discard(parent));
    taken?;
    cleared.map_err(act("the lock is removed, but not what stood in for it"))?;
    (removal.at)(Step::Removed);

    let keeps_link_counts = found.filesystem.is_some_and(|filesystem| filesystem.drops_links_of_removed());
    match pin.meta() {
        Ok(meta) if keeps_link_counts && meta.links >= pinned.links => {
            Err(Outcome::new(OutcomeKind::Failed, "the judged lock still has its name; look at its directory by hand"))
        }
        _ => Ok(super::removed(parent)),
    }
}

/// The kernel has the last word, whoever gave his: a file that is itself locked is another
/// program's, since no OpenClaw locks its lock files.
fn nobody_locks(parent: &Dir, name: &OsStr, pinned: &Meta) -> Result<(), Outcome> {
    let hold = kernel_lock::look(parent, name.as_bytes(), pinned);
    if matches!(hold, Ok(KernelHold::Held { .. })) || is_flocked(parent, name) {
        let why = "the kernel says that a living process has it locked; no OpenClaw does that: it is another program's";
        return Err(Outcome::new(OutcomeKind::HeldBack, why));
    }
    Ok(())
}

/// Whether somebody holds flock(2) on it, alone or shared, which cannot be asked for without trying.
fn is_flocked(parent: &Dir, name: &OsStr) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(parent, name, flags, Mode::empty()) else { return false };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => false,
        Err(Errno::WOULDBLOCK) => true,
        // NFS takes it for a write lock, and refuses it to a reader.
        Err(_) => rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK),
    }
}

fn read(removal: &Removal<'_>, parent: &Dir) -> Result<LockReading, Outcome> {
    let reading = lock::read(parent, removal.lock.name(), removal.lock.kind()).map_err(act("cannot read the lock"))?;
    reading.ok_or_else(|| changed("another lock stands at its path now"))
}

impl Removal<'_> {
    /// Takes the judged file away from its name, and nothing else.
    fn take_away(&mut self, parent: &Dir, pinned: &Meta, stand_in: Option<&StandIn>) -> Result<(), Outcome> {
        // Judging looks through /proc and a receipt waits for its disk: time enough for a change.
        self.unchanged(&read(self, parent)?)?;
        let Some(stand_in) = stand_in else { return self.unlink_checked(parent, pinned) };
        (self.at)(Step::Checked);
        match stand_in.exchange(parent) {
            Ok(()) => {}
            // This filesystem cannot, or a sandbox forbids it.
            Err(Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP) => {
                return self.unlink_checked(parent, pinned);
            }
            Err(errno) => return Err(Outcome::errno("cannot exchange the lock", errno)),
        }
        (self.at)(Step::Exchanged);
        let moved = lock::read(parent, &stand_in.name, self.lock.kind());
        match moved {
            Ok(Some(moved)) if moved.meta.same_file(pinned) && self.unchanged(&moved).is_ok() => {}
            _ => return Err(stand_in.put_back(parent)),
        }
        // Looked for after the exchange: a reclaimer that compared the lock before it has its guard
        // up until it has deleted, by path, and the name must not go to a new owner before that.
        if lock::guard(parent, self.lock.name()) == Guard::Young {
            let put = stand_in.put_back(parent);
            let why = "an OpenClaw is clearing it at this moment; scan again";
            return Err(if put.kind == OutcomeKind::Changed { changed(why) } else { put });
        }
        (self.at)(Step::Known);
        stand_in.step_down(parent, pinned)
    }

    /// Without an exchange: the smallest window that is left.
    fn unlink_checked(&mut self, parent: &Dir, pinned: &Meta) -> Result<(), Outcome> {
        if lock::guard(parent, self.lock.name()) == Guard::Young {
            return Err(changed("an OpenClaw is clearing it at this moment; scan again"));
        }
        self.same_name(parent, pinned)?;
        (self.at)(Step::Checked);
        rustix::fs::unlinkat(parent, self.lock.name(), AtFlags::empty()).map_err(act("cannot remove the lock"))
    }
}

/// A file that takes the lock's name for as long as nothing else may have it.
struct StandIn {
    /// The name under which it was made; after the exchange, that of what was exchanged out.
    name: OsString,
    /// The lock's name.
    lock: OsString,
    meta: Meta,
    /// Held to the end: its inode number is given to no other file.
    _file: OwnedFd,
}

impl StandIn {
    /// Makes one; `None` where the directory does not allow it or something in the way has that name.
    fn make(parent: &Dir, lock: &OsStr, like: &Meta) -> Option<Self> {
        let name = beside(lock, SUFFIX);
        clear_leftover(parent, &name, lock);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, &name, flags, Mode::RUSR | Mode::WUSR).ok()?;
        if let Some(meta) = fill(&file, like) {
            return Some(Self { name, lock: lock.to_owned(), meta, _file: file });
        }
        // What cannot be completed would be taken for a lock of nobody's.
        let _ = rustix::fs::unlinkat(parent, &name, AtFlags::empty());
        None
    }

    fn stands_at(&self, parent: &Dir, name: &OsStr) -> bool {
        parent.meta_of(name.as_bytes()).is_ok_and(|meta| meta.same_file(&self.meta))
    }

    fn exchange(&self, parent: &Dir) -> Result<(), Errno> {
        rustix::fs::renameat_with(parent, &self.name, parent, &self.lock, RenameFlags::EXCHANGE)
    }

    /// Gives what was exchanged out its name again, unless somebody has the name.
    fn put_if_free(&self, parent: &Dir) -> Result<(), Errno> {
        rustix::fs::renameat_with(parent, &self.name, parent, &self.lock, RenameFlags::NOREPLACE)
    }

    /// Frees the lock's name. The stand-in is moved over the judged file, so that one call removes
    /// the one and frees the other, and shows what it was that had the name.
    fn step_down(&self, parent: &Dir, judged: &Meta) -> Result<(), Outcome> {
        if self.stands_at(parent, &self.lock) {
            match rustix::fs::renameat(parent, &self.lock, parent, &self.name) {
                Ok(()) if self.stands_at(parent, &self.name) => return Ok(()),
                // Some release clears a lock without a pid at once. It did, and took the lock.
                Ok(()) => {
                    return self
                        .put_if_free(parent)
                        .map_err(act("another owner's lock has lost its name; putting it back"));
                }
                Err(Errno::NOENT) => {}
                Err(errno) => {
                    let _ = self.put_back(parent);
                    return Err(Outcome::errno("cannot remove the lock", errno));
                }
            }
        }
        // Its name belongs to somebody else already, or to nobody: what is left is the judged file.
        if parent.meta_of(self.name.as_bytes()).is_ok_and(|left| left.same_file(judged)) {
            rustix::fs::unlinkat(parent, &self.name, AtFlags::empty()).map_err(act("cannot remove the lock"))?;
        }
        Ok(())
    }

    /// Somebody took the lock in the last instant and still holds it, or rewrote its record.
    fn put_back(&self, parent: &Dir) -> Outcome {
        for _ in 0..PUT_BACK_LIMIT {
            let put = match parent.meta_of(self.lock.as_bytes()) {
                Ok(standing) if standing.same_file(&self.meta) => match self.exchange(parent) {
                    Ok(()) if self.stands_at(parent, &self.name) => Ok(()),
                    // The stand-in was cleared and the name taken since the look: the newest stays.
                    Ok(()) => {
                        let _ = self.exchange(parent);
                        continue;
                    }
                    Err(errno) => Err(errno),
                },
                // Whoever cleared the stand-in took it for another's. If it was the owner's own
                // release, a lock that nobody holds stays: that is mended, two owners are not.
                Err(Errno::NOENT) => self.put_if_free(parent),
                // The stand-in was cleared and the lock taken: what was exchanged out has lost its name.
                Ok(_) => rustix::fs::unlinkat(parent, &self.name, AtFlags::empty()),
                Err(errno) => Err(errno),
            };
            match put {
                Ok(()) => return changed("it was taken again meanwhile; the new lock is whole"),
                Err(Errno::NOENT | Errno::EXIST) => {}
                Err(errno) => return Outcome::errno("cannot put back the lock of another owner", errno),
            }
        }
        Outcome::new(OutcomeKind::Failed, "the lock changes hands faster than it can be put back; scan again")
    }

    /// Takes it away from the name under which it was made; another file of that name is left.
    fn discard(&self, parent: &Dir) -> Result<(), Errno> {
        if self.stands_at(parent, &self.name) {
            rustix::fs::unlinkat(parent, &self.name, AtFlags::empty())?;
        }
        Ok(())
    }
}

/// Writes the stand-in, and makes it one that the lock's owner can read.
fn fill(file: &OwnedFd, like: &Meta) -> Option<Meta> {
    let text = stand_in::write(identity::own(), crate::sys::clock::read().wall)?;
    if rustix::io::write(file, text.as_bytes()).ok()? != text.len() {
        return None;
    }
    let mut mode = u32::from(like.mode) & 0o777;
    let own = rustix::process::geteuid().as_raw() == like.uid;
    if !own && rustix::fs::fchown(file, Some(Uid::from_raw(like.uid)), Some(Gid::from_raw(like.gid))).is_err() {
        mode |= 0o444;
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode)).ok()?;
    tree::stat(file, b"", AtFlags::EMPTY_PATH).ok()
}

/// Clears up after a doctor that was killed. It is our turn in this directory, so that no other
/// is at work. If its stand-in has the lock's name, what was exchanged out is put back first: it
/// may be a living lock. What lies there without that is in nobody's way: an unfinished stand-in,
/// or a lock whose stand-in OpenClaw has cleared since. Only this program uses the name.
fn clear_leftover(parent: &Dir, name: &OsStr, lock: &OsStr) {
    let is_stand_in = |name: &OsStr| {
        let read = parent.read_file(name.as_bytes(), stand_in::MAX_BYTES);
        read.is_ok_and(|(meta, bytes)| meta.links == 1 && stand_in::is_stand_in(&bytes))
    };
    let Ok(left) = parent.meta_of(name.as_bytes()) else { return };
    if left.kind != FileType::RegularFile || left.links != 1 {
        return;
    }
    if !is_stand_in(name) && is_stand_in(lock) {
        let back = rustix::fs::renameat_with(parent, name, parent, lock, RenameFlags::EXCHANGE);
        if back.is_err() || !is_stand_in(name) {
            return;
        }
    }
    let _ = rustix::fs::unlinkat(parent, name, AtFlags::empty());
}
