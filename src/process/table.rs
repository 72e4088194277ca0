//! One sweep of /proc: every process by its innermost pid, read once, kept small.
//!
//! A sweep answers for every record that was written before it began: whoever wrote it and
//! still lives has been listed. [`Sweep::covers`] says for which records that holds, so that
//! a lock written during the run is judged by a new sweep.

use super::identity::{Observed, Reader, observe};
use super::openclaw;
use super::proc_dir::ProcDir;
use super::sharing;
use super::status::Status;
use crate::evidence::Candidate;
use crate::units::{ClockReading, EpochMs};
use rustix::io::Errno;
use std::sync::OnceLock;

/// How much a file time may lag behind the clock that stamps it (one timer tick), with room.
const STAMP_LAG_MS: i64 = 1_000;

/// One process of the sweep.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Pid in the proc directory's namespace.
    pub pid: u32,
    /// Pid in its own namespace.
    pub ns_pid: u32,
    /// Effective uid.
    pub euid: u32,
    /// Its name says OpenClaw or a JavaScript runtime.
    pub may_be_runtime: bool,
}

/// Who carries a pid.
#[derive(Debug)]
pub struct Carriers {
    /// The processes whose innermost pid it is.
    pub candidates: Vec<Candidate>,
    /// The proc directory lists somebody under the number itself, and be it a kernel thread.
    pub listed: bool,
}

/// All processes that one sweep saw.
#[derive(Debug)]
pub struct Sweep {
    /// The processes, by their innermost pid.
    pub entries: Vec<Entry>,
    /// Processes that are there and could not be read.
    pub unreadable: usize,
    suspects: sharing::Suspects,
    servers: OnceLock<sharing::Servers>,
    began: ClockReading,
}

impl Sweep {
    /// Reads every process once.
    ///
    /// Errors: the directory cannot be listed.
    pub fn take(proc: &ProcDir, began: ClockReading) -> Result<Self, Errno> {
        let mut sweep = Self {
            entries: Vec::new(),
            unreadable: 0,
            suspects: sharing::Suspects::default(),
            servers: OnceLock::new(),
            began,
        };
        for pid in proc.pids()? {
            let pid = pid?;
            match proc.read(&format!("{pid}/status")).map(|bytes| Status::parse(&bytes)) {
                Ok(Some(status)) => {
                    sweep.suspects.look_at(pid, &status.name);
                    sweep.entries.push(Entry {
                        pid,
                        ns_pid: status.innermost_pid(),
                        euid: status.euid,
                        may_be_runtime: openclaw::may_be_runtime(status.name.as_bytes()),
                    });
                }
                Err(Errno::NOENT | Errno::SRCH) => {}
                Ok(None) | Err(_) => sweep.unreadable += 1,
            }
        }
        sweep.entries.sort_unstable_by_key(|entry| (entry.ns_pid, entry.pid));
        Ok(sweep)
    }

    /// Whether the sweep began after a file was last changed, so that its writer, if it lives,
    /// is in it. A wall clock that was stepped meanwhile voids the comparison.
    #[must_use]
    pub fn covers(&self, changed: Option<EpochMs>, now: &ClockReading) -> bool {
        let stepped = (now.boot_wall().since_ms(self.began.boot_wall())).abs() > STAMP_LAG_MS / 2;
        !stepped && changed.is_some_and(|changed| self.began.wall.since_ms(changed) > STAMP_LAG_MS)
    }

    /// Programs seen through which directories have writers on other kernels or machines.
    pub fn servers(&self, proc: &ProcDir) -> &sharing::Servers {
        self.servers.get_or_init(|| self.suspects.servers(proc, &self.entries))
    }

    /// The processes whose innermost pid is this one, read in full.
    #[must_use]
    pub fn candidates(&self, ns_pid: u32, proc: &ProcDir, reader: &Reader, clock: &ClockReading) -> Carriers {
        let from = self.entries.partition_point(|entry| entry.ns_pid < ns_pid);
        let mut carriers = Carriers { candidates: Vec::new(), listed: false };
        for entry in self.entries.iter().skip(from).take_while(|entry| entry.ns_pid == ns_pid) {
            match observe(proc, entry.pid, reader, clock) {
                Observed::Process(candidate, _) => carriers.candidates.push(*candidate),
                Observed::Unreadable => {
                    carriers.candidates.push(Candidate { ns_pid, ..Candidate::out_of_list(entry.pid) });
                }
                Observed::KernelThread(_) => {}
                Observed::Gone => continue,
            }
            carriers.listed |= entry.pid == ns_pid;
        }
        carriers
    }
}
