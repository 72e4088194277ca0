//! The clock witness: how far the wall clock has been stepped since a PID namespace began.
//!
//! A procfs is mounted when a container (or the machine) starts, and the ctime of its root is the
//! wall clock of that moment; the start of the namespace's pid 1 stands in the same moment by the
//! boot clock. Where procfs was mounted again later, a tmpfs or devtmpfs on /dev tells by its
//! birth (8 ms of error measured; a virtual machine restored from a snapshot was 3.4 days off).
//! Leans only, and nothing is concluded without one.

use super::proc_dir::ProcDir;
use super::status::Identity;
use super::table::Sweep;
use crate::evidence::Candidate;
use crate::sys::bounded;
use crate::sys::tree::{Crossing, Dir};
use crate::units::{ClockReading, EpochMs, StartTicks};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long after its pid 1 a namespace's first mounts may be made. What was mounted later than
/// that does not know how the clock stood at the start.
const FIRST_MOUNTS_MS: i64 = 10_000;
/// `PROC_ROOT_INO` of include/linux/proc_ns.h.
const PROC_ROOT_INODE: u64 = 1;

/// The PID namespaces that were asked, each once.
#[derive(Debug, Default)]
pub struct Witnesses {
    inits: Option<HashMap<Vec<u8>, u32>>,
    steps: HashMap<Vec<u8>, Option<u64>>,
}

/// What the mounts of a namespace say of the wall clock at its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// When its procfs was mounted.
    pub procfs: Option<EpochMs>,
    /// When the filesystem on its /dev was mounted.
    pub dev: Option<EpochMs>,
}

impl Witnesses {
    /// The net step of the wall clock, in milliseconds, since the PID namespace of this process
    /// began; `None` where nothing tells it. Waits no longer than `limit` for a mount.
    pub fn step_ms(
        &mut self,
        candidate: &Candidate,
        proc: &Arc<ProcDir>,
        sweep: &Sweep,
        clock: &ClockReading,
        limit: Duration,
    ) -> Option<u64> {
        let own = candidate.own_namespace;
        let namespace =
            if own { b"own".to_vec() } else { proc.process(candidate.pid).and_then(|dir| dir.link("ns/pid")).ok()? };
        if let Some(step) = self.steps.get(&namespace) {
            return *step;
        }
        let init = if own { Some(1) } else { self.inits(proc, sweep).get(&namespace).copied() };
        let step = init.and_then(|init| {
            let (proc, clock) = (Arc::clone(proc), *clock);
            bounded::run(limit, move || {
                let started = Identity::parse(&proc.read(&format!("{init}/stat")).ok()?)?.start_ticks;
                net_step_ms(marks(&proc, init, own), started, &clock)
            })?
        });
        self.steps.insert(namespace, step);
        step
    }

    /// The pid 1 of each namespace that can be told.
    fn inits(&mut self, proc: &ProcDir, sweep: &Sweep) -> &HashMap<Vec<u8>, u32> {
        self.inits.get_or_insert_with(|| {
            let inits = sweep.entries.iter().take_while(|entry| entry.ns_pid <= 1);
            inits.filter_map(|entry| Some((proc.process(entry.pid).ok()?.link("ns/pid").ok()?, entry.pid))).collect()
        })
    }
}

/// The net step of the wall clock since a namespace began, by the start of its pid 1.
///
/// A clock that went forward makes every living owner look younger than its record; so a mark
/// that lies before the start counts at its worst. One that lies long after it is of a later mount.
#[must_use]
pub fn net_step_ms(marks: Marks, started: StartTicks, clock: &ClockReading) -> Option<u64> {
    let start = clock.ticks_to_wall(started);
    let late = |mark: Option<EpochMs>| Some(mark?.since_ms(start)).filter(|late| *late <= FIRST_MOUNTS_MS);
    let (procfs, dev) = (late(marks.procfs), late(marks.dev));
    match procfs {
        Some(near) if near >= -FIRST_MOUNTS_MS => Some(near.unsigned_abs()),
        _ => procfs.into_iter().chain(dev).map(i64::unsigned_abs).max(),
    }
}

fn marks(proc: &ProcDir, init: u32, own: bool) -> Marks {
    let root = proc.process(init).and_then(|dir| dir.open_link("root")).ok();
    let below = |name: &str| root.as_ref()?.open_below(Path::new(name), Crossing::AnyMount).ok();
    let mounted = |dir: &Dir| {
        let is_root = dir.filesystem().ok()?.is_procfs() && dir.meta().ok()?.inode == PROC_ROOT_INODE;
        dir.meta().ok()?.changed.filter(|_| is_root)
    };
    // Our own procfs is readable by every user, where the root of its pid 1 is not.
    let procfs = if own { mounted(proc.dir()) } else { below("proc").and_then(|dir| mounted(&dir)) };
    let dev = below("dev").filter(|dir| dir.filesystem().is_ok_and(|filesystem| filesystem.is_tmpfs()));
    Marks { procfs, dev: dev.and_then(|dir| dir.meta().ok()?.born) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000;
    /// Pid 1 started 1000 s after boot, by a clock that has stood still since.
    const STARTED: StartTicks = StartTicks(100_000);
    const NOW: ClockReading =
        ClockReading { wall: EpochMs(1_800_000_000_000), boot_ms: 90_000_000, ticks_per_second: 100 };

    /// What mounts that were made so many milliseconds after pid 1 say, where the wall clock has
    /// gone forward by `stepped` since.
    fn seen(procfs: Option<i64>, dev: Option<i64>, stepped: i64) -> Option<u64> {
        let mark = |late: Option<i64>| late.map(|late| EpochMs(NOW.ticks_to_wall(STARTED).0 + late - stepped));
        net_step_ms(Marks { procfs: mark(procfs), dev: mark(dev) }, STARTED, &NOW)
    }

    #[test]
    fn the_first_mounts_of_a_namespace_tell_how_far_the_clock_went() {
        let near = |step: Option<u64>, of: i64| step.is_some_and(|step| step.abs_diff(of.unsigned_abs()) <= 1_000);
        for stepped in [0, 20 * SECOND, 3_600 * SECOND, 300_000 * SECOND, 50 * 365 * 86_400 * SECOND] {
            assert!(near(seen(Some(8), Some(15), stepped), stepped), "{stepped}");
            assert!(near(seen(Some(8), None, stepped), stepped), "{stepped}: no tmpfs on /dev");
            assert!(near(seen(None, Some(8), stepped), stepped), "{stepped}: no procfs");
        }
    }

    #[test]
    fn a_mount_that_was_made_later_is_no_witness() {
        let hour = 3_600 * SECOND;
        assert_eq!(seen(Some(hour), None, 0), None);
        assert_eq!(seen(Some(hour), Some(8), 0), Some(8), "procfs was mounted again: /dev tells");
        assert_eq!(seen(None, None, 0), None);
        assert_eq!(seen(Some(8), None, -hour), None, "set back: it looks like a later mount");
        // A board without a clock: a year forward after the first mounts, procfs mounted again before it.
        let year = 365 * 24 * hour;
        assert_eq!(seen(Some(60 * SECOND), Some(8), year), Some((year - 8).unsigned_abs()));
    }

    #[test]
    fn a_dev_of_the_machine_does_not_make_a_containers_procfs_doubtful() {
        assert_eq!(seen(Some(8), Some(-900 * SECOND), 0), Some(8));
    }
}
