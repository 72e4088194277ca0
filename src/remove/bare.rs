//! Takes a bare directory away beside an OpenClaw that may clear or take it at this moment:
//! exchange, check, settle, rmdir.
//!
//! Two bare directories of one name cannot be told apart by what is in them. Whoever found one old
//! removes, by path, whichever has the name by then: beside one process that reclaims, a look and
//! rmdir(2) hit the next owner's lock, and freeing the name at once lets the reclaimer hit it
//! (docs/removal.md has the figures). So an empty stand-in of the same owner, mode, access lists
//! and label takes the name, and what it replaced is compared with the pinned inode. It is young:
//! nobody decides to reclaim it. Whoever had decided before removes it while it stands, and the
//! name is not touched any more. Then it steps down, by rmdir(2), which takes nothing into which
//! an owner wrote.
//!
//! The stand-in holds nothing at any time: killed, a doctor leaves what every release clears as it
//! would have cleared the lock.
#![expect(clippy::disallowed_methods, reason = "one of the places that remove")]

use super::outcome::{Outcome, OutcomeKind};
use super::stand_in::{DIRECTORY_SUFFIX, StandIn, insist, left_beside, look, name_beside};
use super::{Removal, Step, act, alike, both, changed};
use crate::discover::lock::{self, LockReading};
use crate::sys::tree::{Dir, Meta};
use crate::sys::words;
use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;
use std::ffi::OsStr;

/// Removes the judged directory by exchange.
pub(super) fn remove(removal: &mut Removal<'_>, parent: &Dir, lock: &Dir, pinned: &Meta) -> Result<Outcome, Outcome> {
    let name = removal.lock.name();
    let stand_in = make(parent, name, lock, pinned)?;
    (removal.at)(Step::StandInMade);
    let taken = take_away(removal, parent, lock, pinned, &stand_in);
    both(taken, stand_in.discard(parent))?;
    (removal.at)(Step::Removed);
    super::removed(parent, name, &[Some(*pinned), Some(stand_in.meta)])
}

/// Makes the stand-in. Without one that is alike nothing is removed beside a running OpenClaw.
fn make(parent: &Dir, lock: &OsStr, like: &Dir, pinned: &Meta) -> Result<StandIn, Outcome> {
    let name = name_beside(lock, DIRECTORY_SUFFIX);
    clear_leftover(parent, lock).map_err(act("cannot clear what an earlier run left beside the lock"))?;
    let failed = match alike::make(parent, &name, like, pinned) {
        Ok((fd, meta)) => {
            return Ok(StandIn { name, lock: lock.to_owned(), meta, fd: fd.into(), removal: AtFlags::REMOVEDIR });
        }
        Err(Errno::EXIST) => return Err(needs_exchange(&format!("{} is in the way", name.to_string_lossy()))),
        Err(errno) => errno,
    };
    match insist(|| rustix::fs::unlinkat(parent, &name, AtFlags::REMOVEDIR)) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => {
            let why = format!("cannot clear up: {}; {}", words(errno), left_beside(&name));
            return Err(Outcome::new(OutcomeKind::Failed, why));
        }
    }
    let why = format!("a directory like it cannot be made: {}", words(failed));
    Err(if is_lasting(failed) { needs_exchange(&why) } else { Outcome::new(OutcomeKind::Failed, why) })
}

/// Whether it will fail again, for as long as nobody makes room or gives leave.
fn is_lasting(errno: Errno) -> bool {
    use Errno as E;
    matches!(errno, E::NOSPC | E::DQUOT | E::ACCESS | E::PERM | E::ROFS | E::NOSYS | E::OPNOTSUPP | E::INVAL)
}

fn needs_exchange(why: &str) -> Outcome {
    let why = format!("beside a running OpenClaw it is removed by exchange alone, and {why}; stop it and run again");
    Outcome::new(OutcomeKind::Refused, why)
}

fn read(removal: &Removal<'_>, lock: &Dir) -> Result<LockReading, Errno> {
    insist(|| lock::read_opened(lock, removal.lock.kind()))
}

/// Takes the judged directory away from its name, and nothing else.
fn take_away(
    removal: &mut Removal<'_>,
    parent: &Dir,
    lock: &Dir,
    pinned: &Meta,
    stand_in: &StandIn,
) -> Result<(), Outcome> {
    removal.unchanged(&read(removal, lock).map_err(act("cannot read the lock"))?)?;
    removal.same_name(parent, pinned)?;
    (removal.at)(Step::Checked);
    match stand_in.exchange(parent) {
        Ok(()) => {}
        Err(errno @ (Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP)) => {
            return Err(needs_exchange(&format!("the filesystem or a sandbox has none: {}", words(errno))));
        }
        Err(errno) => return Err(Outcome::errno("cannot exchange the lock", errno)),
    }
    (removal.at)(Step::Exchanged);
    let moved = look(parent, &stand_in.name).and_then(|moved| match moved {
        Some(moved) if moved.same_file(pinned) => read(removal, lock).map(Some),
        _ => Ok(None),
    });
    match moved {
        Ok(Some(now)) if removal.unchanged(&now).is_ok() => {}
        Ok(_) => return Err(stand_in.put_back(parent)),
        Err(errno) => {
            let failure = stand_in.cannot("look at what was exchanged out", errno);
            return Err(stand_in.put_back_after(parent, failure));
        }
    }
    (removal.at)(Step::Known);
    std::thread::sleep(removal.settle);
    step_down(parent, pinned, stand_in)
}

/// Frees the name, if it is still the stand-in's and nobody has taken that for its lock.
fn step_down(parent: &Dir, pinned: &Meta, stand_in: &StandIn) -> Result<(), Outcome> {
    let standing = match look(parent, &stand_in.lock) {
        Ok(standing) => standing.filter(|standing| standing.same_file(&stand_in.meta)),
        Err(errno) => {
            let failure = stand_in.cannot("look at the lock's name", errno);
            return Err(stand_in.put_back_after(parent, failure));
        }
    };
    let Some(standing) = standing else {
        // Cleared already: its name is free, or the next owner's.
        return stand_in.remove_judged(parent, pinned);
    };
    let touched = || changed("its owner touched it, or wrote into it, meanwhile; what stood in for it stays its lock");
    if standing.modified != stand_in.meta.modified {
        stand_in.remove_judged(parent, pinned)?;
        return Err(touched());
    }
    match rustix::fs::unlinkat(parent, &stand_in.lock, stand_in.removal) {
        Ok(()) | Err(Errno::NOENT) => stand_in.remove_judged(parent, pinned),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {
            stand_in.remove_judged(parent, pinned)?;
            Err(touched())
        }
        Err(errno) => {
            let failure = Outcome::errno("cannot remove the lock directory", errno);
            Err(stand_in.put_back_after(parent, failure))
        }
    }
}

/// Clears up after a doctor that was killed. It is our turn in this directory, so that no other is
/// at work. Bare directories are alike: whichever of the two has the lock's name serves whoever
/// uses it, by path, as well as the other, and is judged as what it is.
pub(super) fn clear_leftover(parent: &Dir, lock: &OsStr) -> Result<(), Errno> {
    let name = name_beside(lock, DIRECTORY_SUFFIX);
    match look(parent, &name)? {
        Some(left) if left.kind == FileType::Directory => {}
        _ => return Ok(()),
    }
    match insist(|| rustix::fs::unlinkat(parent, &name, AtFlags::REMOVEDIR)) {
        // What no doctor puts there is left where it is.
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Ok(()),
        Err(errno) => Err(errno),
    }
}
