//! The clock witness: how far the wall clock has been stepped since a process's world began.
//!
//! A tmpfs or devtmpfs on /dev is mounted when a container (or the machine) starts; its birth
//! was stamped by the wall clock of that moment, and the start of the container's pid 1 by the
//! boot clock. Their difference then, against the difference now, is the net step (8 ms of
//! error measured; a virtual machine restored from a snapshot was 3.4 days off). Leans only.

use super::proc_dir::{ProcDir, ProcessDir};
use super::status::Identity;
use super::table::Entry;
use crate::sys::tree::Dir;
use crate::units::ClockReading;

/// The net step of the wall clock, in milliseconds, seen by the world that this process lives
/// in; `None` where there is no witness or it may not be read.
#[must_use]
pub fn clock_step_ms(proc: &ProcDir, process: &ProcessDir, sweep: &[Entry], clock: &ClockReading) -> Option<u64> {
    let dev = process
        .open_link("root")
        .ok()?
        .open_below(std::path::Path::new("dev"), crate::sys::tree::Crossing::AnyMount)
        .ok()?;
    let born = birth_of_mount(&dev)?;
    let namespace = process.link("ns/pid").ok()?;
    let init = sweep.iter().filter(|entry| entry.ns_pid == 1).find_map(|entry| {
        let dir = proc.process(entry.pid).ok()?;
        (dir.link("ns/pid").ok()? == namespace).then_some(dir)
    })?;
    let init_start = Identity::parse(&init.read("stat").ok()?)?.start_ticks;
    let wall_at_boot_then = born.0.checked_sub(clock.ticks_to_boot_ms(init_start))?;
    Some(wall_at_boot_then.abs_diff(clock.boot_wall().0))
}

fn birth_of_mount(dev: &Dir) -> Option<crate::units::EpochMs> {
    if !dev.filesystem().ok()?.is_tmpfs() {
        return None;
    }
    dev.meta().ok()?.born
}
