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
use super::probe::{self, Probe};
use super::stand_in::{FILE_SUFFIX, StandIn, insist, left_beside, look, name_beside};
use super::turn::{may_be_removed, take_turn};
use super::{Removal, Step, act, changed};
use crate::discover::lock::{self, Guard, LockReading};
use crate::process::identity;
use crate::stand_in;
use crate::sys::filesystem::Filesystem;
use crate::sys::tree::{self, Dir, Meta, ReadError};
use crate::sys::words;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

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
    // What lies on another mount is not even opened.
    if !pinned.same_mount(&parent.meta().map_err(act("cannot look at the directory"))?) {
        return Err(Outcome::errno("cannot remove the lock", Errno::BUSY));
    }
    (removal.at)(Step::Pinned);

    take_turn(parent, removal.patience)?;
    (removal.at)(Step::OurTurn);

    let reading = read(removal, parent)?;
    (removal.at)(Step::Read);

    removal.unchanged(&reading)?;
    let is_local = found.filesystem.is_some_and(Filesystem::is_local);
    drop(Probe::take(&pin, &pinned, is_local, removal.warrant.basis())?);
    removal.judge(&reading)?;
    may_be_removed(parent, &pinned).map_err(act("it may not be removed from its directory"))?;
    removal.announce(&reading)?;
    (removal.at)(Step::Judged);

    let stand_in = stand_in(parent, name, &pinned)?;
    (removal.at)(Step::StandInMade);
    // From here to the end no other program can begin to lock the file, or what stands in for it.
    let taken = Probe::take(&pin, &pinned, is_local, removal.warrant.basis()).and_then(|probe| {
        if let Some(stand_in) = &stand_in {
            probe::cover(&stand_in.fd, is_local, removal.warrant.basis())?;
        }
        removal.take_away(parent, &pinned, &probe, stand_in.as_ref())
    });
    let cleared = stand_in.as_ref().map_or(Ok(()), |stand_in| stand_in.discard(parent));
    super::both(taken, cleared)?;
    (removal.at)(Step::Removed);
    super::removed(parent, name, &[Some(pinned), stand_in.as_ref().map(|stand_in| stand_in.meta)])
}

/// No OpenClaw is clearing the lock behind a guard at this moment.
fn not_being_cleared(parent: &Dir, lock: &OsStr) -> Result<(), Outcome> {
    match insist(|| lock::guard(parent, lock)) {
        Ok(Guard::Absent | Guard::Left) => Ok(()),
        Ok(Guard::Young) => Err(changed("an OpenClaw is clearing it at this moment; scan again")),
        Err(errno) => Err(Outcome::errno("cannot tell whether an OpenClaw is clearing it", errno)),
    }
}

fn read(removal: &Removal<'_>, parent: &Dir) -> Result<LockReading, Outcome> {
    let reading = lock::read(parent, removal.lock.name(), removal.lock.kind()).map_err(act("cannot read the lock"))?;
    reading.ok_or_else(|| changed("another lock stands at its path now"))
}

impl Removal<'_> {
    /// Takes the judged file away from its name, and nothing else.
    fn take_away(
        &mut self,
        parent: &Dir,
        pinned: &Meta,
        probe: &Probe,
        stand_in: Option<&StandIn>,
    ) -> Result<(), Outcome> {
        // Judging looks through /proc and a receipt waits for its disk: time enough for a change.
        self.same_name(parent, pinned)?;
        self.unchanged(&self.read_again(parent, probe).map_err(act("cannot read the lock"))?)?;
        let Some(stand_in) = stand_in else { return self.unlink_checked(parent, pinned, probe) };
        (self.at)(Step::Checked);
        match stand_in.exchange(parent) {
            Ok(()) => {}
            // This filesystem cannot, or a sandbox forbids it.
            Err(Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP) => {
                return self.unlink_checked(parent, pinned, probe);
            }
            Err(errno) => return Err(Outcome::errno("cannot exchange the lock", errno)),
        }
        (self.at)(Step::Exchanged);
        let failed = |errno| {
            let failure = stand_in.cannot("look at what was exchanged out", errno);
            stand_in.put_back_after(parent, failure)
        };
        let moved = look(parent, &stand_in.name).map_err(failed)?;
        let is_judged = moved.is_some_and(|moved| moved.same_file(pinned))
            && self.unchanged(&insist(|| self.read_again(parent, probe)).map_err(failed)?).is_ok();
        if !is_judged {
            return Err(stand_in.put_back(parent));
        }
        probe.ask_again().map_err(|held| stand_in.put_back_after(parent, held))?;
        // Looked for after the exchange: a reclaimer that compared the lock before it has its guard
        // up until it has deleted, by path, and the name must not go to a new owner before that.
        not_being_cleared(parent, self.lock.name()).map_err(|why| stand_in.put_back_after(parent, why))?;
        (self.at)(Step::Known);
        step_down(stand_in, parent, pinned)
    }

    fn read_again(&self, parent: &Dir, probe: &Probe) -> Result<LockReading, Errno> {
        probe.read(parent, self.lock.name(), self.lock.kind())
    }

    /// Without an exchange: the smallest window that is left.
    fn unlink_checked(&mut self, parent: &Dir, pinned: &Meta, probe: &Probe) -> Result<(), Outcome> {
        not_being_cleared(parent, self.lock.name())?;
        self.same_name(parent, pinned)?;
        (self.at)(Step::Checked);
        probe.ask_again()?;
        rustix::fs::unlinkat(parent, self.lock.name(), AtFlags::empty()).map_err(act("cannot remove the lock"))
    }
}

/// Makes the stand-in of a lock file; `None` where the directory does not take one, or something
/// in the way has its name.
fn stand_in(parent: &Dir, lock: &OsStr, like: &Meta) -> Result<Option<StandIn>, Outcome> {
    let name = name_beside(lock, FILE_SUFFIX);
    clear_leftover(parent, &name, lock).map_err(act("cannot clear what an earlier run left beside the lock"))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(parent, &name, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => file,
        Err(Errno::EXIST) => return Ok(None),
        Err(errno) if takes_none(errno) => return Ok(None),
        Err(errno) => return Err(Outcome::errno("cannot make what stands in for the lock", errno)),
    };
    let failed = match fill(&file, like) {
        Ok(meta) => {
            let lock = lock.to_owned();
            return Ok(Some(StandIn { name, lock, meta, fd: file, removal: AtFlags::empty() }));
        }
        Err(errno) => errno,
    };
    // What cannot be completed would be taken for a lock of nobody's.
    if let Err(errno) = insist(|| rustix::fs::unlinkat(parent, &name, AtFlags::empty())) {
        let why = format!("cannot clear up: {}; {}", words(errno), left_beside(&name));
        return Err(Outcome::new(OutcomeKind::Failed, why));
    }
    if takes_none(failed) { Ok(None) } else { Err(Outcome::errno("cannot write what stands in for the lock", failed)) }
}

/// Whether a directory, a disk or a limit (`RLIMIT_FSIZE`) takes no new file: no passing failure.
fn takes_none(errno: Errno) -> bool {
    use Errno as E;
    matches!(errno, E::NOSPC | E::DQUOT | E::FBIG | E::ACCESS | E::PERM | E::ROFS | E::NOSYS | E::OPNOTSUPP)
}

/// Frees the lock's name. The stand-in is moved over the judged file, so that one call removes
/// the one and frees the other, and shows what it was that had the name.
fn step_down(stand_in: &StandIn, parent: &Dir, judged: &Meta) -> Result<(), Outcome> {
    let stands = stand_in.stands_at(parent, &stand_in.lock);
    if !stands.map_err(|errno| stand_in.put_back_after(parent, stand_in.cannot("look at the lock's name", errno)))? {
        return stand_in.remove_judged(parent, judged);
    }
    match stand_in.rename_over(parent) {
        Ok(()) => {}
        Err(Errno::NOENT) => return stand_in.remove_judged(parent, judged),
        Err(errno) => return Err(stand_in.put_back_after(parent, Outcome::errno("cannot remove the lock", errno))),
    }
    // As long as it has a name, it is under that to which it was moved.
    let moved = stand_in.stands_at(parent, &stand_in.name);
    let links = || insist(|| tree::stat(&stand_in.fd, b"", AtFlags::EMPTY_PATH)).map(|meta| meta.links > 0);
    match moved.or_else(|_| links()) {
        Ok(true) => Ok(()),
        // Some release clears a lock without a pid at once. It did, and took the lock.
        Ok(false) => stand_in
            .put_if_free(parent)
            .map_err(|errno| stand_in.cannot("put back another owner's lock, which has lost its name", errno)),
        Err(errno) => {
            let failure = stand_in.cannot("tell what was moved out of the lock's name", errno);
            let _ = stand_in.put_if_free(parent);
            Err(failure)
        }
    }
}

/// Writes the stand-in, and makes it one that the lock's owner can read.
fn fill(file: &OwnedFd, like: &Meta) -> Result<Meta, Errno> {
    let text = stand_in::write(identity::own(), crate::sys::clock::read().wall).ok_or(Errno::NOSPC)?;
    if insist(|| rustix::io::write(file, text.as_bytes()))? != text.len() {
        return Err(Errno::NOSPC);
    }
    let mut mode = u32::from(like.mode) & 0o777;
    let own = rustix::process::geteuid().as_raw() == like.uid;
    let give = || rustix::fs::fchown(file, Some(Uid::from_raw(like.uid)), Some(Gid::from_raw(like.gid)));
    if !own && insist(give).is_err() {
        mode |= 0o444;
    }
    insist(|| rustix::fs::fchmod(file, Mode::from_raw_mode(mode)))?;
    insist(|| tree::stat(file, b"", AtFlags::EMPTY_PATH))
}

/// Clears up after a doctor that was killed. It is our turn in this directory, so that no other
/// is at work. If its stand-in has the lock's name, what was exchanged out is put back first: it
/// may be a living lock. What lies there without that is in nobody's way: an unfinished stand-in,
/// or a lock whose stand-in OpenClaw has cleared since. Only this program uses the name.
fn clear_leftover(parent: &Dir, name: &OsStr, lock: &OsStr) -> Result<(), Errno> {
    let is_stand_in = |name: &OsStr| match parent.read_file(name.as_bytes(), stand_in::MAX_BYTES) {
        Ok((meta, bytes)) => Ok(meta.links == 1 && stand_in::is_stand_in(&bytes)),
        Err(
            ReadError::System(Errno::NOENT)
            | ReadError::Symlink
            | ReadError::NotRegular
            | ReadError::TooLarge(_)
            | ReadError::OtherMount(_),
        ) => Ok(false),
        Err(ReadError::System(errno)) => Err(errno),
        Err(ReadError::NoProcfs) => Err(Errno::NOSYS),
    };
    let Some(left) = look(parent, name)? else { return Ok(()) };
    if left.kind != FileType::RegularFile || left.links != 1 {
        return Ok(());
    }
    if !insist(|| is_stand_in(name))? && insist(|| is_stand_in(lock))? {
        rustix::fs::renameat_with(parent, name, parent, lock, RenameFlags::EXCHANGE)?;
        if !insist(|| is_stand_in(name))? {
            return Ok(());
        }
    }
    match insist(|| rustix::fs::unlinkat(parent, name, AtFlags::empty())) {
        Err(Errno::NOENT) => Ok(()),
        told => told,
    }
}
