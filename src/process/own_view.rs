//! What a process reads of itself: whether the /proc that it sees shows it under its own pid.
//!
//! In: a process of the proc directory. Out: an [`OwnView`]. The mount table and the levels of
//! `NSpid` are readable by all and tell most; the rest is asked of the procfs below the
//! process's root, for which the kernel wants the right to trace it. Measured: a procfs root's
//! ctime is the moment of its mount.

use super::identity::Reader;
use super::proc_dir::{ProcDir, ProcessDir};
use super::status::{Identity, Status};
use crate::evidence::{Candidate, NotAsked, NotComparable, OwnView};
use crate::sys::bounded;
use crate::sys::mounts::proc_mount;
use crate::sys::tree::{Dir, Meta, ReadError};
use crate::units::{ClockReading, StartTicks};
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::collections::HashSet;
use std::time::Duration;

/// `PROC_ROOT_INO` of include/linux/proc_ns.h.
const PROC_ROOT_INODE: u64 = 1;
/// How far two readings of one moment may lie apart: one by the boot clock, in ticks that are
/// cut off, one by the wall clock, both in milliseconds.
const ROUNDING_MS: i64 = 2;
/// How long a service manager may take from the fork of a process to the mount of its /proc.
const SETUP_MS: i64 = 1_000;
/// How many ancestors of a process are looked at.
const MAX_ANCESTORS: usize = 64;
const MAX_STAT_BYTES: u64 = 4096;

/// Looks at the /proc of a candidate, and waits at most this long where a dead mount may be on
/// the way.
#[must_use]
pub fn look(
    proc: &ProcDir,
    candidate: &Candidate,
    reader: &Reader,
    clock: &ClockReading,
    patience: Duration,
) -> OwnView {
    let answer = ask(proc, candidate, reader, clock, patience);
    answer.unwrap_or_else(|errno| OwnView::NotAsked(refusal(errno)))
}

fn refusal(errno: Errno) -> NotAsked {
    match errno {
        Errno::ACCESS | Errno::PERM => NotAsked::Refused,
        _ => NotAsked::NoAnswer,
    }
}

fn ask(
    proc: &ProcDir,
    candidate: &Candidate,
    reader: &Reader,
    clock: &ClockReading,
    patience: Duration,
) -> Result<OwnView, Errno> {
    let dir = proc.process(candidate.pid)?;
    let status = Status::parse(&dir.read("status")?).ok_or(Errno::INVAL)?;
    let own = Identity::parse(&dir.read("stat")?).ok_or(Errno::INVAL)?.start_ticks;
    let clocks = reader.clocks_of(&dir);
    let as_recorded = |ticks| reader.as_recorded_by(clocks, ticks, clock);
    if as_recorded(own) != candidate.start_ticks {
        // The number has been given again since the candidate was read.
        return Err(Errno::SRCH);
    }
    let ours = proc.dir().meta()?.device;
    let Some(device) = procfs_of(&dir)? else {
        return Ok(OwnView::NotComparable(NotComparable::NoProcfs));
    };
    let (inner, levels) = (status.innermost_pid(), status.ns_pids.len());
    if device == ours {
        return match (levels, proc.read(&format!("{inner}/stat"))) {
            (1, _) => Ok(OwnView::TrueTicks),
            (_, Ok(bytes)) => shown(&bytes, as_recorded),
            (_, Err(_)) => Ok(OwnView::NotComparable(NotComparable::OuterNamespace)),
        };
    }
    let seen = match bounded::run(patience, move || see(&dir, inner)).unwrap_or(Err(Errno::TIMEDOUT)) {
        Ok(seen) => seen,
        // What all can read warns: who makes a namespace without a /proc stands outside of it and
        // sees the same procfs. (So does unshare(1), which shares the mounts of what it starts.)
        Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
            let outer = shares_with_outside(proc, &status, device)?;
            return if outer { Ok(OwnView::NotComparable(NotComparable::SharedOutside)) } else { Err(errno) };
        }
        Err(errno) => return Err(errno),
    };
    match seen {
        Seen::NoProcfs => Ok(OwnView::NotComparable(NotComparable::NoProcfs)),
        Seen::NotListed => Ok(OwnView::NotComparable(NotComparable::NotListed)),
        Seen::Stat { bytes, root } => match Identity::parse(&bytes).ok_or(Errno::INVAL)?.start_ticks {
            ticks if ticks != own => Ok(OwnView::Shows(as_recorded(ticks))),
            _ if was_there(&root, own, inner, levels, clock) => Ok(OwnView::TrueTicks),
            _ => Ok(OwnView::NotComparable(NotComparable::MountedLater)),
        },
    }
}

fn shown(stat: &[u8], as_recorded: impl Fn(StartTicks) -> Vec<StartTicks>) -> Result<OwnView, Errno> {
    let identity = Identity::parse(stat).ok_or(Errno::INVAL)?;
    Ok(OwnView::Shows(as_recorded(identity.start_ticks)))
}

/// Whether the procfs that shows a process truly now was there when it started, so that what it
/// recorded in between was read from it.
fn was_there(root: &Meta, own: StartTicks, inner: u32, levels: usize, clock: &ClockReading) -> bool {
    // The first process of a namespace mounts its /proc itself, after its start. Any /proc that
    // it had before is one of a namespace above, whose own first process lives at least as long:
    // what it would have recorded from there is the start of a living candidate.
    if inner == 1 {
        return true;
    }
    let tick_ms = i64::try_from(1000_u64.div_ceil(clock.ticks_per_second.max(1))).unwrap_or(i64::MAX);
    // A process of the namespace that we list inherits a procfs of that namespace; a service
    // manager gives it a new one between fork and exec (`ProtectProc=`).
    let room_ms = if levels == 1 { SETUP_MS } else { tick_ms.saturating_add(ROUNDING_MS) };
    let start = clock.ticks_to_wall(own);
    root.changed.is_some_and(|mounted| mounted.since_ms(start) <= room_ms)
}

/// The device of the procfs on a process's /proc; `None` if none is there, or a part of one.
fn procfs_of(dir: &ProcessDir) -> Result<Option<(u32, u32)>, Errno> {
    let mount = proc_mount(dir.open("mountinfo")?)?;
    Ok(mount.filter(|mount| mount.whole_procfs).map(|mount| mount.device))
}

enum Seen {
    NoProcfs,
    NotListed,
    Stat { bytes: Vec<u8>, root: Meta },
}

/// What the procfs at the /proc of a process shows under its innermost pid. Name by name from
/// its root, so that no kernel's or sandbox's lack of openat2(2) matters; no link is followed.
fn see(dir: &ProcessDir, inner: u32) -> Result<Seen, Errno> {
    let Some(procfs) = step(&dir.pin_link("root")?, "proc")? else { return Ok(Seen::NoProcfs) };
    let root = procfs.meta()?;
    if !procfs.filesystem()?.is_procfs() || root.inode != PROC_ROOT_INODE {
        return Ok(Seen::NoProcfs);
    }
    let Some(process) = step(&procfs, &inner.to_string())? else { return Ok(Seen::NotListed) };
    let covered = !process.meta()?.same_mount(&root);
    match process.read_file(b"stat", MAX_STAT_BYTES) {
        Ok((_, bytes)) if !covered => Ok(Seen::Stat { bytes, root }),
        Err(ReadError::System(Errno::NOENT | Errno::SRCH)) => Ok(Seen::NotListed),
        Err(ReadError::System(errno)) => Err(errno),
        Err(ReadError::NoProcfs) => Err(Errno::IO),
        // Something else is mounted over what procfs shows.
        Ok(_) | Err(ReadError::Symlink | ReadError::NotRegular | ReadError::OtherMount(_) | ReadError::TooLarge(_)) => {
            Ok(Seen::NoProcfs)
        }
    }
}

/// A directory in another one, if there is one of this name.
fn step(dir: impl AsFd, name: &str) -> Result<Option<Dir>, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(Dir::from(fd))),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Whether an ancestor that lives further outside sees the procfs of this device on its /proc.
///
/// Errors: an ancestor that cannot be read, which may be the one.
fn shares_with_outside(proc: &ProcDir, status: &Status, device: (u32, u32)) -> Result<bool, Errno> {
    let (mut next, mut known) = (status.ppid, HashSet::new());
    while next != 0 && known.insert(next) {
        if known.len() > MAX_ANCESTORS {
            return Err(Errno::RANGE);
        }
        let dir = proc.process(next).map_err(unreadable)?;
        let parent = Status::parse(&dir.read("status").map_err(unreadable)?).ok_or(Errno::INVAL)?;
        let outside = parent.ns_pids.len() < status.ns_pids.len();
        if outside && procfs_of(&dir).map_err(unreadable)? == Some(device) {
            return Ok(true);
        }
        next = parent.ppid;
    }
    Ok(false)
}

/// What is missing here is no right of ours that root's would replace.
fn unreadable(_: Errno) -> Errno {
    Errno::IO
}
