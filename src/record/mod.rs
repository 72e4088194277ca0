//! Owner records: bytes in, what they say out.
//!
//! Called by the lock reader with the bounded bytes of a record, and by property tests with
//! anything. Opens nothing, panics on nothing. A record is foreign input: whatever is
//! not exactly of a form that an OpenClaw release writes is named, never repaired.
//!
//! OpenClaw reads its records with Node.js, and a record means here what it means there:
//! [`Record::Truncated`] and [`Record::NotJson`], which age into "likely stale", are said only of
//! bytes in which OpenClaw finds no owner either. What OpenClaw would take and we do not is
//! [`Record::Hostile`], which leaves the lock alone. `fixtures/json.jsonl` holds node's answers.

mod json;
mod line;
mod number;
mod object;

pub use line::parse_pid_colon_ms;
pub use object::parse_json;

use crate::units::{EpochMs, StartTicks};
use number::Whole;
use rustix::io::Errno;

/// Largest record that is read, in bytes. OpenClaw writes under 1 KiB.
pub const MAX_RECORD_BYTES: u64 = 64 * 1024;

/// Largest pid that a Linux kernel can hand out (`PID_MAX_LIMIT` of include/linux/threads.h).
/// Not /proc/sys/kernel/pid_max: since Linux 6.14 each PID namespace has its own, and a
/// container's may be larger than ours.
pub const PID_LIMIT: u32 = 4_194_304;

/// What a lock's record says of its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// No record file: the writer died between mkdir and write, or has not written yet.
    Missing,
    /// A record of no bytes.
    Empty,
    /// A record that ends too early to name its owner: a write that was cut short.
    Truncated,
    /// Bytes that are not JSON, or not the line that its family writes.
    NotJson,
    /// A record, or a lock, that no OpenClaw release can have written.
    Hostile(Hostility),
    /// The record is there and could not be read.
    Unreadable(Unread),
    /// A lock whose form has no record: a bare directory.
    NotRecorded,
    /// The kernel's own lock on the file, and who holds it, as a pid of our PID namespace; absent
    /// where the kernel names none (fcntl(2): an open file description, another namespace).
    KernelHeld {
        /// The holder.
        pid: Option<u32>,
    },
    /// Whether the kernel's lock is held cannot be told.
    KernelUnknown,
    /// A lease without a pid.
    Anonymous {
        /// When the lock was taken, by the writer's wall clock.
        created_at: Option<EpochMs>,
    },
    /// A record that names its owner.
    Owner(Owner),
}

/// Why a record could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unread {
    /// A system call failed.
    System(Errno),
    /// Without a mounted /proc nothing foreign can be opened safely.
    NoProcfs,
}

/// The recorded owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The pid inside the writer's PID namespace.
    pub pid: u32,
    /// The owner's start time; absent in records of OpenClaw 2026.4.24 to 2026.4.27.
    pub start_ticks: Option<StartTicks>,
    /// When the lock was taken, by the writer's wall clock.
    pub created_at: Option<EpochMs>,
}

impl Record {
    /// The owner, where the record names one.
    #[must_use]
    pub fn owner(&self) -> Option<&Owner> {
        match self {
            Self::Owner(owner) => Some(owner),
            _ => None,
        }
    }

    /// The recorded time of creation.
    #[must_use]
    pub fn created_at(&self) -> Option<EpochMs> {
        match self {
            Self::Owner(owner) => owner.created_at,
            Self::Anonymous { created_at } => *created_at,
            _ => None,
        }
    }
}

/// Why a lock or its record cannot be OpenClaw's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hostility {
    /// JSON, but not an object.
    NotAnObject,
    /// JSON nested deeper than any record.
    TooDeep,
    /// The same key twice: readers disagree which one counts.
    DuplicateKeys,
    /// `pid` is 0.
    PidZero,
    /// `pid` is below 0.
    PidNegative,
    /// `pid` is not a whole number.
    PidFractional,
    /// `pid` is text, null, a list…
    PidNotANumber,
    /// `pid` is above the kernel's largest.
    PidTooLarge,
    /// The start time is not a whole number of ticks.
    StartTicksInvalid,
    /// The time of creation is no time.
    CreatedAtInvalid,
    /// The record is larger than [`MAX_RECORD_BYTES`].
    TooLarge,
    /// The record is a symbolic link.
    RecordSymlink,
    /// The record is a FIFO, socket, device or directory.
    RecordNotRegular,
    /// The record has a second name.
    RecordHardLinked,
    /// The lock itself is a symbolic link.
    LockSymlink,
    /// The lock should be a directory and is not.
    LockNotDirectory,
    /// The lock should be a file and is not.
    LockNotFile,
    /// The lock should be an empty directory and holds something.
    LockNotEmpty,
}

/// The keys of a JSON record.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// The pid.
    pub pid: &'static str,
    /// The start time, in clock ticks.
    pub start_ticks: &'static str,
    /// The time of creation: the first of these that is there.
    pub created_at: &'static [(&'static str, Unit)],
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Whole milliseconds since 1970.
    Milliseconds,
    /// RFC 3339 in UTC, as JavaScript's `toISOString` writes it.
    Rfc3339,
}

/// The record of an owner with this pid, if a process can have it.
fn owner(pid: &Whole, start_ticks: Option<StartTicks>, created_at: Option<EpochMs>) -> Record {
    match pid {
        Whole::Of(0) => Record::Hostile(Hostility::PidZero),
        Whole::Of(pid) => match u32::try_from(*pid).ok().filter(|pid| *pid <= PID_LIMIT) {
            Some(pid) => Record::Owner(Owner { pid, start_ticks, created_at }),
            None => Record::Hostile(Hostility::PidTooLarge),
        },
        Whole::TooLarge => Record::Hostile(Hostility::PidTooLarge),
        Whole::Negative => Record::Hostile(Hostility::PidNegative),
        Whole::Fractional => Record::Hostile(Hostility::PidFractional),
        Whole::NotANumber => Record::Hostile(Hostility::PidNotANumber),
    }
}
