//! Before anything is touched: our turn among doctors, and leave to remove a name.

use super::outcome::{Outcome, OutcomeKind};
use crate::sys::tree::{Dir, Meta};
use rustix::fs::{Access, AtFlags, FlockOperation, Mode};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;
use std::time::{Duration, Instant};

const TURN_POLL: Duration = Duration::from_millis(10);

/// What rmdir(2) or unlink(2) will want of the directory above, asked before the record is touched: a lock
/// that stays without its record is worse than the whole one, since nobody can tell its owner.
/// An answer that comes too late to be true costs only that: rmdir decides.
pub(super) fn may_be_removed(parent: &Dir, lock: &Meta) -> Result<(), Errno> {
    let as_another = rustix::process::getuid() != rustix::process::geteuid();
    // The plain faccessat(2) asks for the real uid, which is ours where this thread acts for another
    // user; faccessat2 is answered with EPERM by older seccomp profiles.
    let flags = if as_another { AtFlags::EACCESS } else { AtFlags::empty() };
    match rustix::fs::accessat(parent, c".", Access::WRITE_OK | Access::EXEC_OK, flags) {
        Err(errno) if as_another || matches!(errno, Errno::ACCESS | Errno::PERM | Errno::ROFS) => return Err(errno),
        // What cannot be asked for is told by the removal itself.
        Ok(()) | Err(_) => {}
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
pub(super) fn take_turn(parent: &Dir, patience: Duration) -> Result<(), Outcome> {
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
