//! The kinds of lock that OpenClaw writes, as data.
//!
//! A family is one entry of [`FAMILIES`] and, where its payload is its own, one parser in
//! [`crate::record`]. Everything else (finding, judging, removing, showing) reads this table.

mod pattern;
mod places;
mod table;

pub use pattern::is_place;
pub use places::{STATE_PLACES, TEMP_PLACES, leads_to_fixed_place, leads_to_locks};
pub use table::FAMILIES;

use crate::record::{self, Keys, Record};
use crate::release::Span;
use crate::stand_in;
use rustix::fs::FileType;
use std::path::Path;

/// One kind of lock: how it is called, what is in it, its rules and its words.
#[derive(Debug, Clone)]
pub struct Family {
    /// Stable name, as in JSON, `--family` and `explain`.
    pub name: &'static str,
    /// How its locks are called: ends of paths, in which `*` stands for one byte or more and `[N]`
    /// for N lowercase hexadecimal digits.
    pub names: &'static [&'static str],
    /// What may stand on disk.
    pub forms: &'static [Form],
    /// What its record says, and how.
    pub payload: Payload,
    /// The releases that write it.
    pub releases: &'static [Span],
    /// The releases that it holds up: those that look at it.
    pub holds_up: &'static [Span],
    /// How old a lock that names nobody must be before it counts as abandoned, in milliseconds.
    /// The writer makes the lock first and writes the record after it; where there is no record,
    /// its owner touches the lock more often than that.
    pub unwritten_grace_ms: i64,
    /// How long a lease without a pid lasts, in milliseconds.
    pub anonymous_lease_ms: i64,
    /// Held for longer than this it is worth a look, in milliseconds. A gateway holds its own for days.
    pub overdue_ms: i64,
    /// On what it may be removed.
    pub removal: Removal,
    /// What a running OpenClaw removes by itself when it next wants the lock.
    pub heals: Heals,
    /// Its bare directory is not touched while it is held, so that its age says little.
    pub is_untouched: bool,
    /// Its holder also holds the kernel's lock on the file `<lock>.sqlite` beside it, for as long
    /// (from 2026.8.1).
    pub has_coordinator: bool,
    /// What the lock protects.
    pub guards: &'static str,
    /// Where and by whom it is made.
    pub writer: &'static str,
    /// What OpenClaw does and prints while it waits.
    pub waiting: &'static str,
    /// How we judge it, where that is its own.
    pub judged: &'static str,
    /// What a wrong removal breaks.
    pub harm: &'static str,
}

impl Family {
    /// Reads the bytes of a record, or of what a doctor left in its place.
    #[must_use]
    pub fn parse(&self, bytes: &[u8]) -> Record {
        if let Some(doctor) = stand_in::read(bytes) {
            return doctor;
        }
        match &self.payload {
            Payload::Json(keys) => record::parse_json(bytes, keys),
            Payload::PidColonMs => record::parse_pid_colon_ms(bytes),
            Payload::Nothing => Record::NotRecorded,
        }
    }
}

/// What a record says, and how.
#[derive(Debug, Clone, Copy)]
pub enum Payload {
    /// A JSON object with a `pid`.
    Json(Keys),
    /// `<pid>:<epoch milliseconds>` and a newline.
    PidColonMs,
    /// There is none.
    Nothing,
}

/// On what a family's locks may be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// On a proof or a consent.
    OnWarrant,
    /// On a proof only: OpenClaw itself fails closed on it.
    OnProof,
    /// On somebody's word, proven or not, where one of these releases will run again: it reads
    /// the stale lock at its start, to take up what was interrupted.
    AfterRecovery(Span),
    /// Never: the kernel releases it, or its writer leaves it on purpose.
    Never,
}

/// The releases that remove a stale lock by themselves when they next want it.
#[derive(Debug, Clone, Copy)]
pub struct Heals {
    /// Where the recorded pid is dead.
    pub dead_pid: &'static [Span],
    /// Where it belongs to another process by its start ticks.
    pub recycled_pid: &'static [Span],
    /// Where its record has no pid and it is old.
    pub without_pid: &'static [Span],
    /// Where it has no record, or a broken one, and is old.
    pub unwritten: &'static [Span],
}

impl Heals {
    /// No release removes it by itself.
    pub const NEVER: Self = Self { dead_pid: &[], recycled_pid: &[], without_pid: &[], unwritten: &[] };
}

/// What a lock is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// A directory that holds one record file.
    Directory {
        /// The name of the record in it.
        record: &'static str,
    },
    /// A directory that holds nothing.
    EmptyDirectory,
    /// A file that is its own record.
    File,
    /// A file whose lock is the kernel's (fcntl(2)); what is in it does not matter.
    KernelLock,
}

impl Form {
    /// The word in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Directory { .. } => "directory",
            Self::EmptyDirectory => "empty-directory",
            Self::File => "file",
            Self::KernelLock => "kernel-lock",
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(self) -> bool {
        matches!(self, Self::Directory { .. } | Self::EmptyDirectory)
    }
}

/// How a lock that was found is to be read.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its family.
    pub family: &'static Family,
    /// Which of the family's forms.
    pub form: Form,
    /// The name, with the directories above it, is one that only OpenClaw gives. `*.jsonl.lock` is not.
    pub is_sure: bool,
}

/// What stands at a path with this end, by its name and type. What has the name of a lock and the
/// type of none is read as the first form of the first family, and found to be hostile.
#[must_use]
pub fn kind_of(path: &Path, file_type: FileType) -> Option<Kind> {
    let name = path.file_name()?.as_encoded_bytes();
    if !may_be_lock(name) {
        return None;
    }
    let named = |family: &&Family| family.names.iter().any(|pattern| pattern::ends_with(path, pattern));
    let families = || FAMILIES.iter().filter(named);
    let is_directory = file_type == FileType::Directory;
    let fits = |family: &'static Family| {
        let form = family.forms.iter().find(|form| form.is_directory() == is_directory)?;
        Some((family, form))
    };
    let shapeless = |family: &'static Family| Some((family, family.forms.first()?));
    let found = families().find_map(fits).or_else(|| families().next().and_then(shapeless));
    found.map(|(family, form)| Kind { family, form: *form, is_sure: is_sure(path, family) })
}

/// Whether no other program would use this path: a name that begins as OpenClaw chose, or a
/// directory above it where OpenClaw puts such names.
fn is_sure(path: &Path, family: &Family) -> bool {
    let own = |pattern: &&&str| !pattern.starts_with('*') && pattern::ends_with(path, pattern);
    let guarded = || path.to_str()?.strip_suffix(".reclaim").map(Path::new);
    let parent = path.parent().unwrap_or(Path::new(""));
    family.names.iter().any(|pattern| own(&pattern))
        || STATE_PLACES.iter().any(|place| pattern::ends_with(parent, place))
        || guarded().is_some_and(|lock| kind_of(lock, FileType::RegularFile).is_some_and(|kind| kind.is_sure))
}

/// A lock's name as OpenClaw's part before what its user, agent or channel chose, that, and
/// OpenClaw's part after it; `None` for what is no lock's name.
#[must_use]
pub fn fixed_ends(name: &str) -> Option<(&'static str, &str, &'static str)> {
    let patterns = FAMILIES.iter().flat_map(|family| family.names).map(|pattern| last(pattern));
    let known = |pattern: &&str| pattern::ends_with(Path::new(name), pattern);
    // The one that fixes most says most.
    let pattern = patterns.filter(known).max_by_key(|pattern| pattern.len())?;
    let head = pattern.split(['*', '[']).next().unwrap_or(pattern);
    let tail = if head.len() == pattern.len() { "" } else { pattern.rsplit(['*', ']']).next().unwrap_or("") };
    Some((head, name.get(head.len()..name.len().checked_sub(tail.len())?)?, tail))
}

/// Whether a directory's name is one that OpenClaw gives to every user.
#[must_use]
pub fn names_place(name: &str) -> bool {
    let above = FAMILIES.iter().flat_map(|family| family.names).filter_map(|pattern| Some(pattern.rsplit_once('/')?.0));
    let parts = STATE_PLACES.iter().chain(TEMP_PLACES).copied().chain(above).flat_map(|place| place.split('/'));
    parts.filter(|part| !part.contains(['*', '['])).any(|part| part == name)
}

fn last(pattern: &'static str) -> &'static str {
    pattern.rsplit('/').next().unwrap_or(pattern)
}

/// Whether a path is called like a lock, whatever stands there.
#[must_use]
pub fn names_lock(path: &Path) -> bool {
    kind_of(path, FileType::Unknown).is_some()
}

/// What nearly all names are not, told fast.
pub(crate) fn may_be_lock(name: &[u8]) -> bool {
    const ENDS: &[&[u8]] = &[b".lock", b".lock.sqlite", b".lock.reclaim", b"-lifecycle-lock", b"owner.sqlite"];
    ENDS.iter().any(|end| name.ends_with(end))
}

/// The family of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Release;

    fn found(path: &str, file_type: FileType) -> Option<(&'static str, Form)> {
        kind_of(Path::new(path), file_type).map(|kind| (kind.family.name, kind.form))
    }

    #[test]
    fn a_name_and_a_type_mean_one_family() {
        use FileType::{Directory, RegularFile, Symlink};
        let owner = Form::Directory { record: "owner.json" };
        for (path, file_type, expected) in [
            ("/v/.openclaw-runtime-deps.lock", Directory, Some(("runtime-deps", owner))),
            ("/v/.openclaw-runtime-deps.lock", RegularFile, Some(("runtime-deps", owner))),
            ("/a/agent/auth-profiles.json.lock", RegularFile, Some(("file-lock", Form::File))),
            ("/a/agent/auth-profiles.json.lock", Directory, Some(("proper-lockfile", Form::EmptyDirectory))),
            ("/a/agent/auth-profiles.json.lock", Symlink, Some(("file-lock", Form::File))),
            ("/a/agent/auth-profiles.json.lock.reclaim", Directory, Some(("reclaim-guard", Form::EmptyDirectory))),
            ("/a/agent/auth-profiles.json.lock.reclaim", RegularFile, Some(("reclaim-guard", Form::File))),
            ("/t/gateway.5b681173.lock", RegularFile, Some(("gateway", Form::File))),
            ("/t/gateway.5b681173.lock.sqlite", RegularFile, Some(("sqlite-coordinator", Form::KernelLock))),
            ("/t/gateway.state.lock", RegularFile, Some(("gateway-state", Form::File))),
            ("/s/exec-approvals.json.lock", RegularFile, Some(("exec-approvals", Form::File))),
            ("/p/Cargo.lock", RegularFile, None),
            ("/p/settings.json.lock", RegularFile, None),
            ("/p/recovery.lock", Directory, None),
            ("/p/owner.sqlite", RegularFile, None),
        ] {
            assert_eq!(found(path, file_type), expected, "{path} {file_type:?}");
        }
    }

    #[test]
    fn every_pattern_passes_the_fast_look_and_every_release_is_one() {
        for family in FAMILIES {
            assert!(!family.names.is_empty() && !family.forms.is_empty(), "{}", family.name);
            assert!(!family.releases.is_empty() && !family.holds_up.is_empty(), "{}", family.name);
            let Family { guards, writer, waiting, judged, harm, .. } = family;
            assert!(![guards, writer, waiting, judged, harm].iter().any(|words| words.is_empty()), "{}", family.name);
            for pattern in family.names {
                let name = pattern.rsplit('/').next().unwrap();
                assert!(may_be_lock(name.as_bytes()), "{}: {pattern}", family.name);
            }
            let Heals { dead_pid, recycled_pid, without_pid, unwritten } = family.heals;
            let spans = [family.releases, family.holds_up, dead_pid, recycled_pid, without_pid, unwritten];
            let recovery = match family.removal {
                Removal::AfterRecovery(span) => Some(span),
                _ => None,
            };
            for span in spans.into_iter().flatten().copied().chain(recovery) {
                assert!(Release::parse(span.first) <= Release::parse(span.last), "{}: {span}", family.name);
                assert!(Release::parse(span.first).is_some(), "{}: {span}", family.name);
            }
        }
    }

    #[test]
    fn what_a_user_chose_is_told_apart_from_what_openclaw_names() {
        for (name, expected) in [
            ("gateway.5b681173.lock", Some(("gateway.", "5b681173", ".lock"))),
            ("ab-12.jsonl.lock", Some(("", "ab-12", ".jsonl.lock"))),
            ("sessions.json.lock", Some(("sessions.json.lock", "", ""))),
            ("me-pairing.json.lock", Some(("", "me", "-pairing.json.lock"))),
            ("gateway.5b681173.lock.sqlite", Some(("", "gateway.5b681173", ".lock.sqlite"))),
            ("secret.lock", None),
        ] {
            assert_eq!(fixed_ends(name), expected, "{name}");
        }
        assert!(names_place("sessions") && names_place("agents") && !names_place("main") && !names_place("*"));
    }

    #[test]
    fn names_of_families_are_unique() {
        for family in FAMILIES {
            assert!(std::ptr::eq(by_name(family.name).unwrap(), family), "{}", family.name);
        }
    }
}
