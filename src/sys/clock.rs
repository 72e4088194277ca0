//! Reads the clocks, once per judgement.
#![expect(clippy::disallowed_methods, reason = "the one place that reads the clocks")]

use crate::units::{ClockReading, EpochMs};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Reads wall clock, boot clock and tick rate.
#[must_use]
pub fn read() -> ClockReading {
    ClockReading {
        wall: EpochMs(to_ms(clock_gettime(ClockId::Realtime))),
        boot_ms: to_ms(clock_gettime(ClockId::Boottime)),
        ticks_per_second: rustix::param::clock_ticks_per_second(),
    }
}

fn to_ms(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}
