//! Reads one process: its identity, life, clocks and role.
//!
//! Everything is read through one held /proc/PID directory, and the identity twice, so that
//! all of it is of one process. With our own /proc a pidfd confirms it.

use super::offsets::{Clocks, Offset, as_recorded};
use super::openclaw;
use super::proc_dir::{ProcDir, ProcessDir};
use super::status::{Identity, Status};
use crate::evidence::{Candidate, Halted, Life, NotAsked, OwnView, Reaches, Role, RouteUnknown, TimeNamespace};
use crate::record::Owner;
use crate::units::{ClockReading, StartTicks};
use rustix::io::Errno;
use std::path::Path;

/// The reader's own place: what it adds to the start times that it reads.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    offset: Offset,
    own_pid: Option<u32>,
    /// The number of our time namespace, if it can be read.
    time_namespace: Option<u64>,
}

fn time_namespace_of(own: &ProcDir) -> Option<u64> {
    super::offsets::namespace_number(&own.link("self/ns/time").ok()?)
}

impl Reader {
    /// Reads our own time namespace. `own_pid` is our pid in the proc directory, if it is there.
    #[must_use]
    pub fn new(own: Option<&ProcDir>, own_pid: Option<u32>) -> Self {
        let offset = match own {
            None => Offset::Unknown,
            Some(own) => {
                // The table shows our children's offsets: ours only while both namespaces are one.
                let (now, children) = (own.link("self/ns/time"), own.link("self/ns/time_for_children"));
                match (own.read("self/timens_offsets"), now, children) {
                    (Ok(table), Ok(now), Ok(children)) if now == children => Offset::parse(&table),
                    (Err(Errno::NOENT), ..) => Offset::NONE,
                    _ => Offset::Unknown,
                }
            }
        };
        Self { offset, own_pid, time_namespace: own.and_then(time_namespace_of) }
    }

    /// Every start time that a process can have read for one of which we read these ticks.
    pub(super) fn as_recorded_by(&self, clocks: Clocks, ticks: StartTicks, clock: &ClockReading) -> Vec<StartTicks> {
        as_recorded(ticks, self.offset, clocks, clock.ticks_per_second)
    }

    /// The clocks of a process.
    pub(super) fn clocks_of(&self, dir: &ProcessDir) -> Clocks {
        Clocks::of(dir, self.time_namespace)
    }
}

/// What came of reading a process.
#[derive(Debug)]
pub enum Observed {
    /// A process, and its directory held open.
    Process(Box<Candidate>, ProcessDir),
    /// A thread of the kernel: nobody's owner, though the kernel may name it as a holder.
    KernelThread(Box<Candidate>),
    /// No process has this pid: it has gone, or the number is a thread's.
    Gone,
    /// It is there and its identity cannot be read.
    Unreadable,
}

/// Reads the process with this pid of the proc directory.
#[must_use]
pub fn observe(proc: &ProcDir, pid: u32, reader: &Reader, clock: &ClockReading) -> Observed {
    let dir = match proc.process(pid) {
        Ok(dir) => dir,
        Err(Errno::NOENT | Errno::SRCH) => return Observed::Gone,
        Err(_) => return Observed::Unreadable,
    };
    let status = match dir.read("status") {
        Ok(bytes) => match Status::parse(&bytes) {
            Some(status) => status,
            None => return Observed::Unreadable,
        },
        Err(Errno::NOENT | Errno::SRCH) => return Observed::Gone,
        Err(_) => return Observed::Unreadable,
    };
    if status.tgid != status.pid {
        return Observed::Gone;
    }
    let identity = dir.read("stat").ok().and_then(|bytes| Identity::parse(&bytes));
    let clocks = reader.clocks_of(&dir);
    let kernel_thread = identity.is_some_and(|identity| identity.kernel_thread);
    let role = if kernel_thread { Role::Other } else { role(&dir, &status) };
    let container = dir.read("cgroup").ok().and_then(|bytes| container_id(&bytes));
    match (dir.read("stat").map(|bytes| Identity::parse(&bytes)), identity) {
        (Ok(Some(again)), Some(first)) if again.start_ticks != first.start_ticks => return Observed::Gone,
        (Err(Errno::NOENT | Errno::SRCH), _) => return Observed::Gone,
        _ => {}
    }
    let time_namespace = match (kernel_thread, reader.offset) {
        (true, _) => TimeNamespace::Initial,
        (false, Offset::Unknown) => TimeNamespace::Unknown,
        (false, Offset::Nanoseconds(_)) => clocks.namespace(),
    };
    let state = identity.map_or(status.state, |identity| identity.state);
    let candidate = Candidate {
        pid,
        ns_pid: status.innermost_pid(),
        life: life(state, status.threads),
        state,
        start_ticks: identity
            .map_or_else(Vec::new, |identity| reader.as_recorded_by(clocks, identity.start_ticks, clock)),
        time_namespace,
        own_view: OwnView::NotAsked(NotAsked::NotNeeded),
        started_at: identity.map(|identity| clock.ticks_to_wall(identity.start_ticks)),
        clock_step_ms: None,
        program: Some(status.name.clone()),
        role,
        own_namespace: status.ns_pids.len() == 1,
        is_self: reader.own_pid == Some(pid),
        container,
        reaches: Reaches::CannotTell(RouteUnknown::NotAsked),
        halted: Halted::CannotTell,
    };
    let candidate = Box::new(candidate);
    if kernel_thread { Observed::KernelThread(candidate) } else { Observed::Process(candidate, dir) }
}

/// This process, as it would name itself in a lock: its pid in its own PID namespace, and its
/// start ticks as its own time namespace shows them. `None` where /proc is not of that namespace.
#[must_use]
pub fn own() -> Option<Owner> {
    let pid = rustix::process::getpid().as_raw_nonzero().get().unsigned_abs();
    let proc = ProcDir::open(Path::new("/proc")).ok()?;
    let stat = proc.read(&format!("{pid}/stat")).ok()?;
    let is_own = proc.link("self").ok()? == pid.to_string().as_bytes();
    let identity = Identity::parse(&stat).filter(|_| is_own)?;
    Some(Owner { pid, start_ticks: Some(identity.start_ticks), created_at: None })
}

/// A zombie whose threads run on lives; one without has died (proc_pid_stat(5), field 3).
fn life(state: char, threads: u32) -> Life {
    match state {
        'X' | 'x' => Life::Dead,
        'Z' if threads <= 1 => Life::Dead,
        _ => Life::Alive,
    }
}

fn role(dir: &ProcessDir, status: &Status) -> Role {
    let cmdline = match dir.read("cmdline") {
        Ok(cmdline) => cmdline,
        // It has gone; the second reading of its identity shows it.
        Err(Errno::NOENT | Errno::SRCH) => Vec::new(),
        Err(_) => return Role::Unreadable,
    };
    let exe = dir.link("exe").ok();
    openclaw::role(status.name.as_bytes(), &openclaw::split_argv(&cmdline), exe.as_deref())
}

/// The first twelve digits of the container id in a cgroup path, as `docker ps` shows it.
#[must_use]
pub fn container_id(cgroup: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(cgroup);
    let mut parts = text.split(['/', '-', '.', ':', '\n']);
    let id = parts.rfind(|part| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    id.get(..12).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_leader_with_living_threads_lives() {
        assert_eq!(life('Z', 1), Life::Dead);
        assert_eq!(life('Z', 2), Life::Alive);
        assert_eq!(life('T', 1), Life::Alive);
        assert_eq!(life('X', 1), Life::Dead);
    }

    #[test]
    fn container_ids_are_found_in_every_runtimes_cgroup() {
        let id = "0123456789abcdef".repeat(4);
        for cgroup in [
            format!("0::/system.slice/docker-{id}.scope\n"),
            format!("0::/kubepods/besteffort/pod1/{id}\n"),
            format!("11:pids:/docker/{id}\n"),
            format!("0::/machine.slice/libpod-{id}.scope/container\n"),
        ] {
            assert_eq!(container_id(cgroup.as_bytes()).as_deref(), Some("0123456789ab"), "{cgroup}");
        }
        assert_eq!(container_id(b"0::/user.slice/user-1000.slice\n"), None);
    }
}
