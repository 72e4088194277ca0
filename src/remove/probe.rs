//! Keeps other programs from locking a lock file while it is taken away.
//!
//! No OpenClaw locks its lock files by flock(2) or fcntl(2): whoever does so is another program, and
//! keeps its file. To ask once is not enough, since it may begin to hold right after the answer
//! (measured: one hold in 25 was lost so). So the locks that others would take are taken, on the
//! pinned inode, and kept until its name is free: nobody can begin in between. A lease (fcntl(2)
//! `F_SETLEASE`) cannot be taken on a file that somebody has open to write.

use super::outcome::{Outcome, OutcomeKind};
use crate::discover::lock::{self, LockReading};
use crate::hold::{KernelHold, Untold};
use crate::sys::kernel_lock;
use crate::sys::tree::{Dir, Meta, Pin, ReadError};
use crate::warrant::Basis;
use rustix::fd::OwnedFd;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::ffi::OsStr;

/// The kernel's locks of one file, as far as they could be taken.
///
/// A POSIX lock ends as soon as this process closes any descriptor of the file: nothing may open
/// it by name before this one is dropped.
pub(super) struct Probe {
    file: OwnedFd,
}

impl Probe {
    /// Takes them. Where it cannot be told whether others hold them, only a removal by name goes on.
    pub(super) fn take(pin: &Pin, pinned: &Meta, is_local: bool, basis: Basis) -> Result<Self, Outcome> {
        let (file, writable) = match pin.open_to_write(pinned) {
            Ok(file) => (file, true),
            Err(ReadError::System(Errno::AGAIN)) => return Err(held()),
            // What may not be written may still be read, and locked by readers' locks.
            Err(_) => match pin.open(pinned) {
                Ok(file) => (file, false),
                Err(ReadError::System(Errno::AGAIN)) => return Err(held()),
                Err(error) => return Err(cannot_tell(Untold::of_open(&error))),
            },
        };
        let probe = Self { file };
        match probe.lock_all(writable, is_local) {
            KernelHold::Free => Ok(probe),
            KernelHold::Unknown(_) if basis == Basis::Named => Ok(probe),
            KernelHold::Unknown(why) => Err(cannot_tell(why)),
            KernelHold::Held { .. } => Err(held()),
        }
    }

    fn lock_all(&self, writable: bool, is_local: bool) -> KernelHold {
        let asked = kernel_lock::ask(&self.file);
        if matches!(asked, KernelHold::Held { .. }) {
            return asked;
        }
        // NFS takes flock(2) for a write lock, and refuses it to a reader.
        let flocked = match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::BADF) => rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockShared),
            answer => answer,
        };
        let flocked = answer_of(flocked);
        if flocked != KernelHold::Free || !is_local {
            // A server makes both kinds one: a second would meet our own first.
            return if flocked == KernelHold::Free && asked != KernelHold::Free { asked } else { flocked };
        }
        let operation =
            if writable { FlockOperation::NonBlockingLockExclusive } else { FlockOperation::NonBlockingLockShared };
        answer_of(rustix::fs::fcntl_lock(&self.file, operation))
    }

    /// Asks once more for locks of fcntl(2) that could not be kept out.
    pub(super) fn ask_again(&self) -> Result<(), Outcome> {
        if kernel_lock::ask(&self.file).is_held() { Err(held()) } else { Ok(()) }
    }

    /// Reads the lock that stands at `name` of `parent`, or stood there, through the descriptor.
    pub(super) fn read(&self, parent: &Dir, name: &OsStr, kind: crate::family::Kind) -> Result<LockReading, Errno> {
        lock::read_opened_file(&self.file, parent, name, kind.family)
    }
}

/// Keeps others from locking what stands in for a lock: it has the lock's name for an instant, and
/// whoever opened it then would hold a file that is about to go.
pub(super) fn cover(stand_in: &OwnedFd, is_local: bool, basis: Basis) -> Result<(), Outcome> {
    keep_out(stand_in, true, is_local, basis)
}

fn keep_out(file: &OwnedFd, writable: bool, is_local: bool, basis: Basis) -> Result<(), Outcome> {
    match lock_all(file, writable, is_local) {
        KernelHold::Free => Ok(()),
        KernelHold::Unknown(_) if basis == Basis::Named => Ok(()),
        KernelHold::Unknown(why) => Err(cannot_tell(why)),
        KernelHold::Held { .. } => Err(held()),
    }
}

fn lock_all(file: &OwnedFd, writable: bool, is_local: bool) -> KernelHold {
    let asked = kernel_lock::ask(file);
    if asked.is_held() {
        return asked;
    }
    // NFS takes flock(2) for a write lock, and refuses it to a reader.
    let flocked = match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::BADF) => rustix::fs::flock(file, FlockOperation::NonBlockingLockShared),
        answer => answer,
    };
    let flocked = answer_of(flocked);
    // A server makes both kinds one: a second would meet our own first.
    if flocked != KernelHold::Free || !is_local {
        return flocked.or(asked);
    }
    let whole = if writable { FlockOperation::NonBlockingLockExclusive } else { FlockOperation::NonBlockingLockShared };
    answer_of(rustix::fs::fcntl_lock(file, whole))
}

fn answer_of(taken: Result<(), Errno>) -> KernelHold {
    match taken {
        Ok(()) => KernelHold::Free,
        Err(Errno::WOULDBLOCK | Errno::ACCESS) => KernelHold::HELD,
        Err(errno) => KernelHold::Unknown(Untold::Refused(errno)),
    }
}

fn held() -> Outcome {
    let why = "the kernel says that a living process has it locked; no OpenClaw does that: it is another program's";
    Outcome::new(OutcomeKind::HeldBack, why)
}

fn cannot_tell(why: Untold) -> Outcome {
    let why = format!("it cannot be told whether another program has it locked: {why}");
    Outcome::new(OutcomeKind::HeldBack, why)
}
