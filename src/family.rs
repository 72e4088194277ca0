//! The kinds of lock that OpenClaw writes, as data.
//!
//! A family is one entry of [`FAMILIES`] and, where its payload is its own, one parser in
//! [`crate::record`]. Everything else (finding, judging, showing) reads this table.

use crate::record::{self, Record};

/// One kind of lock: its name on disk, its payload, its rules and its words.
#[derive(Debug)]
pub struct Family {
    /// Stable name, as in JSON and `explain`.
    pub name: &'static str,
    /// The name of the lock on disk.
    pub lock_name: &'static str,
    /// What stands on disk.
    pub form: Form,
    /// Reads the record's bytes, given the kernel's pid_max.
    pub parse: fn(&[u8], u64) -> Record,
    /// How old an unwritten record must be before it counts as abandoned, in milliseconds.
    /// The writer makes the lock first and writes the record after it.
    pub unwritten_grace_ms: i64,
    /// How long a lease without a pid lasts, in milliseconds.
    pub anonymous_lease_ms: i64,
    /// Whether it may ever be removed.
    pub removal: Removal,
    /// What the lock protects.
    pub guards: &'static str,
    /// The releases that write it.
    pub releases: &'static str,
    /// What OpenClaw does and prints while it waits.
    pub waiting: &'static str,
    /// What a wrong removal breaks.
    pub harm: &'static str,
}

/// Whether a family's locks may be removed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// On a proof or a consent.
    OnWarrant,
    /// Never: the kernel releases it, or its writer leaves it on purpose.
    Never,
}

/// What a lock is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A directory that holds one record file.
    Directory {
        /// The name of the record in it.
        record: &'static str,
    },
}

impl Form {
    /// The name of the record inside the lock.
    #[must_use]
    pub fn record_name(self) -> &'static str {
        match self {
            Self::Directory { record } => record,
        }
    }
}

/// Every family that this build knows.
pub static FAMILIES: &[Family] = &[
    Family {
        name: "runtime-deps",
        lock_name: ".openclaw-runtime-deps.lock",
        form: Form::Directory { record: "owner.json" },
        parse: record::parse_runtime_deps,
        unwritten_grace_ms: 30_000,
        anonymous_lease_ms: 600_000,
        removal: Removal::OnWarrant,
        guards: "the npm install of a plugin's dependencies into its version directory",
        releases: "2026.4.24 to 2026.4.30-beta.1",
        waiting: "OpenClaw polls every 100 ms for five minutes, then fails with “Timed out waiting for bundled runtime deps lock at …”, once for each plugin",
        harm: "two npm installs would write one node_modules at the same time",
    },
    Family {
        name: "runtime-mirror",
        lock_name: ".openclaw-runtime-mirror.lock",
        form: Form::Directory { record: "owner.json" },
        parse: record::parse_runtime_deps,
        unwritten_grace_ms: 30_000,
        anonymous_lease_ms: 600_000,
        removal: Removal::OnWarrant,
        guards: "the copy of a bundled plugin's files into its version directory",
        releases: "2026.4.25 to 2026.4.30-beta.1",
        waiting: "OpenClaw polls every 100 ms for five minutes, then fails with “Timed out waiting for bundled runtime deps lock at …”, once for each plugin",
        harm: "a plugin would be loaded half copied",
    },
];

/// The family whose locks have this name on disk.
#[must_use]
pub fn by_lock_name(name: &[u8]) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.lock_name.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_on_disk_means_one_family() {
        for family in FAMILIES {
            let found = by_lock_name(family.lock_name.as_bytes()).map(|f| f.name);
            assert_eq!(found, Some(family.name));
        }
        assert!(by_lock_name(b"recovery.lock").is_none());
    }
}
