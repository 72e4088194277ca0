//! Time namespaces: what a process's own /proc shows as its start time.
//!
//! Field 22 of stat is shifted by the time namespace of its *reader* (measured: a reader with
//! `unshare --time --boottime 1000` sees every start 1000 s later). A lock's record holds what
//! its writer read in its own namespace. Source: time_namespaces(7), /proc/PID/timens_offsets.

use super::proc_dir::ProcessDir;
use crate::evidence::TimeNamespace;
use crate::units::StartTicks;
use rustix::io::Errno;

/// `PROC_TIME_INIT_INO` of include/linux/proc_ns.h.
const INITIAL_TIME_NAMESPACE: u64 = 4_026_531_834;

/// An offset to the boot clock, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offset {
    /// Known.
    Nanoseconds(i128),
    /// Could not be read.
    Unknown,
}

impl Offset {
    pub(crate) const NONE: Self = Self::Nanoseconds(0);

    /// Parses /proc/PID/timens_offsets.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let line = text.lines().find(|line| line.starts_with("boottime"));
        let numbers = |line: &str| line.split_whitespace().skip(1).map(|word| word.parse().ok()).collect();
        // As the kernel has them: a sum of these fits, whatever they are.
        let numbers: Option<Vec<i64>> = line.and_then(numbers);
        match numbers.as_deref() {
            Some(&[seconds, nanoseconds]) => {
                Self::Nanoseconds(i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds))
            }
            _ => Self::Unknown,
        }
    }
}

/// The clocks of a process.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    /// What timens_offsets shows: the namespace that its *children* get.
    pub children: Offset,
    /// Its own.
    pub own: Own,
}

/// The time namespace that a process itself is in. It differs from its children's after an
/// unshare(2) without a fork, and may be left at an exec: then both readings count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// The children's; or the links that would tell may not be read.
    AsChildren,
    /// The initial one, and its children get another.
    Initial,
    /// The reader's, and its children get another.
    Readers,
    /// A third one, of which nothing can be read.
    Elsewhere,
}

impl Clocks {
    /// Reads the clocks of a process. `readers`: the number of our own time namespace.
    pub(crate) fn of(dir: &ProcessDir, readers: Option<u64>) -> Self {
        let children = match dir.read("timens_offsets") {
            Ok(bytes) => Offset::parse(&bytes),
            // A kernel without time namespaces; or the process went, which the second reading shows.
            Err(Errno::NOENT) => Offset::NONE,
            Err(_) => Offset::Unknown,
        };
        let own = match (dir.link("ns/time"), dir.link("ns/time_for_children")) {
            (Ok(own), Ok(children)) if own != children => match namespace_number(&own) {
                Some(INITIAL_TIME_NAMESPACE) => Own::Initial,
                number if number.is_some() && number == readers => Own::Readers,
                _ => Own::Elsewhere,
            },
            _ => Own::AsChildren,
        };
        Self { children, own }
    }

    pub(crate) fn namespace(self) -> TimeNamespace {
        match (self.own, self.children) {
            (Own::Elsewhere, _) | (_, Offset::Unknown) => TimeNamespace::Unknown,
            (Own::AsChildren, Offset::NONE) => TimeNamespace::Initial,
            (Own::AsChildren | Own::Initial | Own::Readers, Offset::Nanoseconds(_)) => TimeNamespace::Shifted,
        }
    }
}

/// The number in `time:[4026531834]`.
pub(crate) fn namespace_number(link: &[u8]) -> Option<u64> {
    let number = link.strip_prefix(b"time:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Every start time that the process can have read for itself, given what we read.
///
/// Its own offset and that for its children may differ; and ticks are rounded down after the
/// shift, so that an offset that is no whole number of ticks leaves two answers. All are kept:
/// one match is enough to call the owner alive.
#[must_use]
pub fn as_recorded(read: StartTicks, reader: Offset, process: Clocks, ticks_per_second: u64) -> Vec<StartTicks> {
    let Offset::Nanoseconds(reader) = reader else {
        return vec![read];
    };
    let tick = (1_000_000_000 / i128::from(ticks_per_second.max(1))).max(1);
    let mut shifts = vec![-reader];
    match process.children {
        Offset::Nanoseconds(own) => shifts.push(own - reader),
        Offset::Unknown => shifts.push(0),
    }
    if process.own == Own::Readers {
        shifts.push(0);
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
        let process = Clocks { children: Offset::Nanoseconds(process), own: Own::AsChildren };
        let reader = Offset::Nanoseconds(reader);
        as_recorded(StartTicks(read), reader, process, 100).into_iter().map(|ticks| ticks.0).collect()
    }

    #[test]
    fn offsets_are_read_from_the_kernels_table() {
        let table = b"monotonic           0         0\nboottime         1000         5\n";
        assert_eq!(Offset::parse(table), Offset::Nanoseconds(1000 * SECOND + 5));
        assert_eq!(Offset::parse(b"boottime -3 0\n"), Offset::Nanoseconds(-3 * SECOND));
        for odd in [&b""[..], b"boottime 1\n", b"boottime 1 x 2\n", b"boottime 170000000000000000000000000000 0\n"] {
            assert_eq!(Offset::parse(odd), Offset::Unknown);
        }
    }

    #[test]
    fn a_shifted_owner_is_still_recognised() {
        assert_eq!(seen(500, 0, 0), [500]);
        assert!(seen(500, 0, 1000 * SECOND).contains(&100_500), "writer in a shifted namespace");
        assert!(seen(100_500, 1000 * SECOND, 0).contains(&500), "reader in a shifted namespace");
        assert!(seen(100_500, 1000 * SECOND, 1000 * SECOND).contains(&100_500), "both in the same");
        assert!(seen(500, 0, 3).contains(&500) && seen(500, 0, 3).contains(&501), "rounding");
    }

    #[test]
    fn a_process_whose_children_have_other_clocks_is_never_told_by_one_reading() {
        let clocks = |children, own| Clocks { children: Offset::Nanoseconds(children), own };
        for (own, expected) in [
            (Own::AsChildren, TimeNamespace::Initial),
            (Own::Initial, TimeNamespace::Shifted),
            (Own::Readers, TimeNamespace::Shifted),
            (Own::Elsewhere, TimeNamespace::Unknown),
        ] {
            assert_eq!(clocks(0, own).namespace(), expected, "{own:?}");
        }
        let unknown = Clocks { children: Offset::Unknown, own: Own::AsChildren };
        assert_eq!(unknown.namespace(), TimeNamespace::Unknown);
        // Its own clocks are ours, its children's are those of the initial namespace.
        let all = as_recorded(StartTicks(500), Offset::Nanoseconds(50 * SECOND), clocks(0, Own::Readers), 100);
        assert!(all.is_empty() || all.contains(&StartTicks(500)));
        let all = as_recorded(StartTicks(9_000), Offset::Nanoseconds(50 * SECOND), clocks(0, Own::Readers), 100);
        assert_eq!(all, [StartTicks(4_000), StartTicks(9_000)]);
    }
}
