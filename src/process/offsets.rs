//! Time namespaces: what a process's own /proc shows as its start time.
//!
//! Field 22 of stat is shifted by the time namespace of its *reader* (measured: a reader with
//! `unshare --time --boottime 1000` sees every start 1000 s later). A lock's record holds what
//! its writer read in its own namespace. Source: time_namespaces(7), /proc/PID/timens_offsets.

use crate::evidence::TimeNamespace;
use crate::units::StartTicks;

/// An offset to the boot clock, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offset {
    /// Known.
    Nanoseconds(i128),
    /// Could not be read.
    Unknown,
}

impl Offset {
    pub(crate) const NONE: Self = Self::Nanoseconds(0);

    /// Parses /proc/PID/timens_offsets.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let line = text.lines().find(|line| line.starts_with("boottime"));
        let numbers: Option<Vec<i128>> =
            line.map(|line| line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect());
        match numbers.as_deref() {
            Some([seconds, nanoseconds]) => Self::Nanoseconds(seconds * 1_000_000_000 + nanoseconds),
            _ => Self::Unknown,
        }
    }

    pub(crate) fn namespace(self) -> TimeNamespace {
        match self {
            Self::Nanoseconds(0) => TimeNamespace::Initial,
            Self::Nanoseconds(_) => TimeNamespace::Shifted,
            Self::Unknown => TimeNamespace::Unknown,
        }
    }
}

/// Every start time that the process can have read for itself, given what we read.
///
/// The file shows the offsets for the process's children, which may differ from its own after
/// an unshare without fork; and ticks are rounded down after the shift, so that an offset that
/// is no whole number of ticks leaves two answers. All are kept: one match is enough to call
/// the owner alive.
pub(crate) fn as_recorded(read: StartTicks, reader: Offset, process: Offset, ticks_per_second: u64) -> Vec<StartTicks> {
    let (Offset::Nanoseconds(reader), process) = (reader, process) else {
        return vec![read];
    };
    let tick = 1_000_000_000 / i128::from(ticks_per_second.max(1));
    let mut shifts = vec![-reader];
    match process {
        Offset::Nanoseconds(own) => shifts.push(own - reader),
        Offset::Unknown => shifts.push(0),
    }
    let mut all = Vec::new();
    for shift in shifts {
        let whole = shift.div_euclid(tick);
        let spill = i128::from(shift.rem_euclid(tick) != 0);
        for ticks in whole..=whole + spill {
            let value = u64::try_from(i128::from(read.0) + ticks).ok().map(StartTicks);
            all.extend(value.filter(|value| !all.contains(value)));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i128 = 1_000_000_000;

    fn seen(read: u64, reader: i128, process: i128) -> Vec<u64> {
        let (reader, process) = (Offset::Nanoseconds(reader), Offset::Nanoseconds(process));
        as_recorded(StartTicks(read), reader, process, 100).into_iter().map(|ticks| ticks.0).collect()
    }

    #[test]
    fn offsets_are_read_from_the_kernels_table() {
        let table = b"monotonic           0         0\nboottime         1000         5\n";
        assert_eq!(Offset::parse(table), Offset::Nanoseconds(1000 * SECOND + 5));
        assert_eq!(Offset::parse(b"boottime -3 0\n"), Offset::Nanoseconds(-3 * SECOND));
        assert_eq!(Offset::parse(b""), Offset::Unknown);
    }

    #[test]
    fn a_shifted_owner_is_still_recognised() {
        assert_eq!(seen(500, 0, 0), [500]);
        assert!(seen(500, 0, 1000 * SECOND).contains(&100_500), "writer in a shifted namespace");
        assert!(seen(100_500, 1000 * SECOND, 0).contains(&500), "reader in a shifted namespace");
        assert!(seen(100_500, 1000 * SECOND, 1000 * SECOND).contains(&100_500), "both in the same");
        assert!(seen(500, 0, 3).contains(&500) && seen(500, 0, 3).contains(&501), "rounding");
    }
}
