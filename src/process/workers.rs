//! Who works in a guarded directory: a killed gateway can leave its `npm install` running.
//!
//! Source: the working directory of each process of the lock's uid (/proc/PID/cwd), and the
//! directories above it, compared by device and inode.

use super::identity::{Observed, Reader, observe};
use super::proc_dir::{ProcDir, ProcessDir};
use super::status::Status;
use super::table::Entry;
use crate::evidence::{InUse, Role, Worker};
use crate::record::Owner;
use crate::sys::each::each;
use crate::sys::tree::{Dir, Meta, stat};
use crate::units::ClockReading;
use rustix::fs::AtFlags;
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// How many directories above a working directory are looked at.
const MAX_DEPTH: usize = 64;

type Place = ((u32, u32), u64);

/// The working directories of all processes of one uid, and of all directories above them.
#[derive(Debug, Default)]
pub struct Workplaces {
    by_place: HashMap<Place, Vec<u32>>,
    unknown: usize,
}

impl Workplaces {
    /// Looks at every process of `uid` in the sweep, except the doctor and its ancestors.
    #[must_use]
    pub fn of_uid(uid: u32, proc: &Arc<ProcDir>, entries: &[Entry], own_pid: Option<u32>) -> Self {
        let ours = ancestors(proc, own_pid);
        let asked = entries.iter().filter(|entry| entry.euid == uid && !ours.contains(&entry.pid));
        let pids: Vec<u32> = asked.map(|entry| entry.pid).collect();
        let (proc, known) = (Arc::clone(proc), Mutex::new(Known::new()));
        // One that works on a dead mount never answers; the others do.
        let answers = each(pids.clone(), move |pid| places_above(&proc, *pid, &known)).unwrap_or_default();
        let mut workplaces = Self::default();
        for (pid, answer) in pids.into_iter().zip(answers.into_iter().chain(std::iter::repeat_with(|| None))) {
            match answer {
                Some(Ok(places)) => {
                    for place in places.iter() {
                        workplaces.by_place.entry(*place).or_default().push(pid);
                    }
                }
                // ENOENT: it has gone, or is a kernel thread or a zombie, which work nowhere.
                Some(Err(Errno::NOENT | Errno::SRCH)) => {}
                Some(Err(_)) | None => workplaces.unknown += 1,
            }
        }
        workplaces
    }

    /// Who works in this directory, leaving out what started before the recorded owner and
    /// OpenClaw itself, which may have started in it.
    #[must_use]
    pub fn in_use(
        &self,
        guarded: &Meta,
        owner: Option<&Owner>,
        proc: &ProcDir,
        reader: &Reader,
        clock: &ClockReading,
    ) -> InUse {
        let pids = self.by_place.get(&(guarded.device, guarded.inode));
        let by = pids.into_iter().flatten().filter_map(|pid| {
            let Observed::Process(process, _) = observe(proc, *pid, reader, clock) else { return None };
            let before_owner = match owner.and_then(|owner| owner.start_ticks) {
                Some(recorded) => {
                    process.start_ticks.iter().all(|ticks| *ticks < recorded) && !process.start_ticks.is_empty()
                }
                None => false,
            };
            let counts = process.life != crate::evidence::Life::Dead && process.role != Role::OpenClaw && !before_owner;
            counts.then(|| Worker { pid: *pid, program: process.program.unwrap_or_default() })
        });
        InUse { by: by.collect(), unknown: self.unknown }
    }
}

/// The doctor itself and the shells above it: an operator may stand in the directory.
fn ancestors(proc: &ProcDir, own_pid: Option<u32>) -> HashSet<u32> {
    let mut ours = HashSet::new();
    let mut next = own_pid;
    while let Some(pid) = next.filter(|pid| *pid != 0 && ours.len() < MAX_DEPTH) {
        ours.insert(pid);
        let status = proc.read(&format!("{pid}/status")).ok().and_then(|bytes| Status::parse(&bytes));
        next = status.map(|status| status.ppid).filter(|ppid| !ours.contains(ppid));
    }
    ours
}

/// What lies above a directory, by that directory and the mount it is seen through, which
/// decides what lies above it.
type Known = HashMap<(Place, u64), Arc<[Place]>>;

/// The working directory of a process and every directory above it on the same filesystem.
///
/// Most processes share a few working directories: one system call for each process, and a
/// climb for each directory.
fn places_above(proc: &ProcDir, pid: u32, known: &Mutex<Known>) -> Result<Arc<[Place]>, Errno> {
    let cwd = stat(proc.dir(), format!("{pid}/cwd").as_bytes(), AtFlags::STATX_DONT_SYNC)?;
    let key = |meta: &Meta| ((meta.device, meta.inode), meta.mount_id);
    let known = || known.lock().unwrap_or_else(PoisonError::into_inner);
    if cwd.mount_id != 0
        && let Some(places) = known().get(&key(&cwd))
    {
        return Ok(Arc::clone(places));
    }
    let (start, places) = climb(&proc.process(pid)?)?;
    let places: Arc<[Place]> = places.into();
    known().insert(key(&start), Arc::clone(&places));
    Ok(places)
}

fn climb(process: &ProcessDir) -> Result<(Meta, Vec<Place>), Errno> {
    let mut here = Dir::from(process.pin_link("cwd")?);
    let cached = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let start = stat(&here, b"", cached)?;
    let mut meta = start;
    let mut places = vec![(meta.device, meta.inode)];
    while places.len() < MAX_DEPTH {
        let Ok(parent) = here.parent() else { break };
        let above = stat(&parent, b"", cached)?;
        if above.same_file(&meta) || above.device != meta.device {
            break;
        }
        places.push((above.device, above.inode));
        (here, meta) = (parent, above);
    }
    Ok((start, places))
}
