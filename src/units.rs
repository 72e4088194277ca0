//! Quantities that must not be mixed up: times of the wall clock, ticks of the boot clock.
//!
//! In: plain integers from a file or a system call. Out: newtypes. Used by every layer;
//! reads nothing itself.

use serde::Serialize;

/// A moment of the wall clock, in milliseconds since 1970-01-01T00:00:00Z.
///
/// The wall clock can be stepped, so it never proves identity (see [`StartTicks`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct EpochMs(pub i64);

impl EpochMs {
    /// Milliseconds from `earlier` to `self`; negative if `earlier` lies in the future.
    #[must_use]
    pub fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A process start time: field 22 of `/proc/PID/stat`, in clock ticks since boot (proc_pid_stat(5)).
///
/// Compared as an integer only. Together with a pid it identifies a process for the life of a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct StartTicks(pub u64);

/// One simultaneous reading of the clocks that the evidence needs.
#[derive(Debug, Clone, Copy)]
pub struct ClockReading {
    /// CLOCK_REALTIME.
    pub wall: EpochMs,
    /// CLOCK_BOOTTIME of the reader's time namespace, in milliseconds.
    pub boot_ms: i64,
    /// Ticks per second of [`StartTicks`] (`sysconf(_SC_CLK_TCK)`).
    pub ticks_per_second: u64,
}

impl ClockReading {
    /// Where the wall clock stands against the boot clock, in milliseconds: the wall time of boot.
    #[must_use]
    pub fn boot_wall(&self) -> EpochMs {
        EpochMs(self.wall.0.saturating_sub(self.boot_ms))
    }

    /// The start of a process in milliseconds of the boot clock.
    #[must_use]
    pub fn ticks_to_boot_ms(&self, ticks: StartTicks) -> i64 {
        let rate = u128::from(self.ticks_per_second.max(1));
        i64::try_from(u128::from(ticks.0) * 1000 / rate).unwrap_or(i64::MAX)
    }

    /// The start of a process on the wall clock as it stands now. Leans only, never proves.
    #[must_use]
    pub fn ticks_to_wall(&self, ticks: StartTicks) -> EpochMs {
        EpochMs(self.boot_wall().0.saturating_add(self.ticks_to_boot_ms(ticks)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_wall_time_through_the_boot_clock() {
        let clock = ClockReading { wall: EpochMs(1_000_000), boot_ms: 600_000, ticks_per_second: 100 };
        assert_eq!(clock.boot_wall(), EpochMs(400_000));
        assert_eq!(clock.ticks_to_wall(StartTicks(1_234)), EpochMs(412_340));
        assert!(clock.ticks_to_boot_ms(StartTicks(u64::MAX)) > 0);
    }
}
