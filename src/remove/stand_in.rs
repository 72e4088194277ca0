//! What takes a lock's name for as long as nothing else may have it, and how it gives the name up.
//!
//! One step (renameat2(2), `RENAME_EXCHANGE`) gives the stand-in the lock's name and the lock the
//! stand-in's, so that the name is never free while it is not known what stood there. Used by
//! [`super::file`] and [`super::directory`], which know what a lock of their form is; here is what
//! both have in common: the names, the way back, and clearing up.
//!
//! An error is never an answer: what cannot be looked at is looked at again, and if that fails
//! too, the outcome says so and names what may be left.
#![expect(clippy::disallowed_methods, reason = "one of the places that remove")]

use super::changed;
use super::outcome::{Outcome, OutcomeKind};
use crate::sys::tree::{Dir, Meta};
use crate::sys::words;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::hash::Hasher;
use std::os::unix::ffi::OsStrExt;

/// What the name of a file ends with that stands in for one, until it has taken the lock's.
pub(super) const FILE_SUFFIX: &str = ".openclaw-doctor";
/// What the name of a directory ends with. Another, so that what is left of the one is not in the way of the other.
pub(super) const DIRECTORY_SUFFIX: &str = ".openclaw-doctor.d";
/// How long a name may be on every filesystem that locks lie on, in bytes (`NAME_MAX`).
const NAME_MAX: usize = 255;
/// How often what was exchanged out is put back, should it be replaced each time.
const PUT_BACK_LIMIT: usize = 16;
/// How often a call is made that must not fail for a passing reason.
const TRIES: usize = 3;

/// The name beside a lock that its stand-in is made under: the same in every run, so that the
/// next doctor finds what a killed one left.
pub(super) fn name_beside(lock: &OsStr, suffix: &str) -> OsString {
    if lock.len() + suffix.len() <= NAME_MAX {
        return crate::discover::lock::beside(lock, suffix);
    }
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    hash.write(lock.as_bytes());
    format!(".{:016x}{suffix}", hash.finish()).into()
}

/// FNV-1a: the standard library's hashes may change from build to build.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Makes a call again that failed for a reason which may pass.
pub(super) fn insist<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    let mut last = call();
    for _ in 1..TRIES {
        match last {
            Err(errno) if may_pass(errno) => last = call(),
            _ => break,
        }
    }
    last
}

fn may_pass(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::IO
            | Errno::NOMEM
            | Errno::INTR
            | Errno::AGAIN
            | Errno::MFILE
            | Errno::NFILE
            | Errno::STALE
            | Errno::NOSPC
    )
}

/// What a name stands for; `None` if it is free.
pub(super) fn look(parent: &Dir, name: &OsStr) -> Result<Option<Meta>, Errno> {
    match insist(|| parent.meta_of(name.as_bytes())) {
        Ok(meta) => Ok(Some(meta)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A file or a directory that takes the lock's name for as long as nothing else may have it.
pub(super) struct StandIn {
    /// The name under which it was made; after the exchange, that of what was exchanged out.
    pub(super) name: OsString,
    /// The lock's name.
    pub(super) lock: OsString,
    /// What it is.
    pub(super) meta: Meta,
    /// Held to the end: its inode number is given to no other file.
    pub(super) fd: OwnedFd,
    /// How its kind is removed: unlink(2) or rmdir(2).
    pub(super) removal: AtFlags,
}

impl StandIn {
    /// Whether a name stands for it.
    pub(super) fn stands_at(&self, parent: &Dir, name: &OsStr) -> Result<bool, Errno> {
        Ok(look(parent, name)?.is_some_and(|meta| meta.same_file(&self.meta)))
    }

    /// Gives it the lock's name, and what has that name the stand-in's.
    pub(super) fn exchange(&self, parent: &Dir) -> Result<(), Errno> {
        rustix::fs::renameat_with(parent, &self.name, parent, &self.lock, RenameFlags::EXCHANGE)
    }

    /// Gives what was exchanged out its name again, unless somebody has the name.
    pub(super) fn put_if_free(&self, parent: &Dir) -> Result<(), Errno> {
        insist(|| rustix::fs::renameat_with(parent, &self.name, parent, &self.lock, RenameFlags::NOREPLACE))
    }

    /// Moves what has the lock's name over what was exchanged out: one call removes the one and
    /// frees the other, and shows what it was that had the name.
    pub(super) fn rename_over(&self, parent: &Dir) -> Result<(), Errno> {
        rustix::fs::renameat(parent, &self.lock, parent, &self.name)
    }

    /// Removes what has the name under which it was made.
    pub(super) fn remove_beside(&self, parent: &Dir) -> Result<(), Errno> {
        match insist(|| rustix::fs::unlinkat(parent, &self.name, self.removal)) {
            Err(Errno::NOENT) => Ok(()),
            told => told,
        }
    }

    /// Its name belongs to somebody else already, or to nobody: what is left of the judged lock is
    /// what was exchanged out.
    pub(super) fn remove_judged(&self, parent: &Dir, judged: &Meta) -> Result<(), Outcome> {
        let left = look(parent, &self.name).map_err(|errno| self.cannot("look at the lock", errno))?;
        if left.is_some_and(|left| left.same_file(judged)) {
            self.remove_beside(parent).map_err(|errno| self.cannot("remove the lock", errno))?;
        }
        Ok(())
    }

    /// Somebody took the lock in the last instant and still holds it, or rewrote its record.
    pub(super) fn put_back(&self, parent: &Dir) -> Outcome {
        for _ in 0..PUT_BACK_LIMIT {
            let put = match look(parent, &self.lock) {
                Ok(Some(standing)) if standing.same_file(&self.meta) => {
                    match insist(|| self.exchange(parent)).and_then(|()| self.stands_at(parent, &self.name)) {
                        Ok(true) => Ok(()),
                        // The stand-in was cleared and the name taken since the look: the newest stays.
                        Ok(false) => match insist(|| self.exchange(parent)) {
                            Ok(()) => continue,
                            told => told,
                        },
                        Err(errno) => Err(errno),
                    }
                }
                // Whoever cleared the stand-in took it for another's. If it was the owner's own
                // release, a lock that nobody holds stays: that is mended, two owners are not.
                Ok(None) => self.put_if_free(parent),
                // The stand-in was cleared and the lock taken: what was exchanged out has lost its name.
                Ok(Some(_)) => self.remove_beside(parent),
                Err(errno) => Err(errno),
            };
            match put {
                Ok(()) => return changed("it was taken again meanwhile; the new lock is whole"),
                Err(Errno::NOENT | Errno::EXIST) => {}
                Err(errno) => return self.cannot("put back what was exchanged out", errno),
            }
        }
        let why = "the lock changes hands faster than it can be put back; scan again";
        Outcome::new(OutcomeKind::Failed, format!("{why}; {}", self.names_what_is_left()))
    }

    /// Puts back what was exchanged out, since a step failed; the failure counts, whatever becomes of it.
    pub(super) fn put_back_after(&self, parent: &Dir, failure: Outcome) -> Outcome {
        let put = self.put_back(parent);
        if put.kind != OutcomeKind::Failed {
            return failure;
        }
        Outcome::new(OutcomeKind::Failed, format!("{}; {}", failure.detail, put.detail))
    }

    /// Takes it away from the name under which it was made; another file of that name is left.
    pub(super) fn discard(&self, parent: &Dir) -> Result<(), Outcome> {
        let told = self
            .stands_at(parent, &self.name)
            .and_then(|stands| if stands { self.remove_beside(parent) } else { Ok(()) });
        told.map_err(|errno| self.cannot("clear up", errno))
    }

    /// A failed step, after which something may be left under the stand-in's name.
    pub(super) fn cannot(&self, act: &str, errno: Errno) -> Outcome {
        let why = format!("cannot {act}: {}; {}", words(errno), self.names_what_is_left());
        Outcome::new(OutcomeKind::Failed, why)
    }

    fn names_what_is_left(&self) -> String {
        format!("what stands in for the lock may have its name, and {}", left_beside(&self.name))
    }
}

/// Names what may be left of a doctor's beside a lock.
pub(super) fn left_beside(name: &OsStr) -> String {
    format!("{} may be left beside it; the next repair of this lock clears it", name.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_in_of_a_long_name_has_a_name_that_fits_and_is_its_own() {
        for suffix in [FILE_SUFFIX, DIRECTORY_SUFFIX] {
            let long = |last: char| OsString::from(format!("{}{last}.jsonl.lock", "x".repeat(238)));
            let (one, other) = (name_beside(&long('a'), suffix), name_beside(&long('b'), suffix));
            assert!(one.len() <= NAME_MAX && one.to_string_lossy().ends_with(suffix) && one != other);
            assert_eq!(one, name_beside(&long('a'), suffix));
            let fits = "x".repeat(NAME_MAX - suffix.len());
            assert_eq!(name_beside(OsStr::new(&fits), suffix).len(), NAME_MAX);
        }
        assert_eq!(name_beside(OsStr::new("a.lock"), FILE_SUFFIX), "a.lock.openclaw-doctor");
    }
}
