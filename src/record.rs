//! Owner records: bytes in, what they say out.
//!
//! Called by the lock reader with the bounded bytes of a record, and by property tests with
//! anything. Opens nothing, panics on nothing. A record is foreign input: whatever is
//! not exactly of a form that an OpenClaw release writes is named, never repaired.

use crate::units::{EpochMs, StartTicks};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

/// Largest record that is read, in bytes. OpenClaw writes under 1 KiB.
pub const MAX_RECORD_BYTES: u64 = 64 * 1024;

/// Largest pid that a Linux kernel can hand out (`PID_MAX_LIMIT` of include/linux/threads.h).
pub const PID_LIMIT: u64 = 4_194_304;

/// What a lock's record says of its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// No record file: the writer died between mkdir and write, or has not written yet.
    Missing,
    /// A record of no bytes.
    Empty,
    /// JSON that ends too early: a write that was cut short.
    Truncated,
    /// Bytes that are not JSON.
    NotJson,
    /// A record, or a lock, that no OpenClaw release can have written.
    Hostile(Hostility),
    /// The record is there and this run may not read it.
    Unreadable,
    /// A lease without a pid.
    Anonymous {
        /// When the lock was taken, by the writer's wall clock.
        created_at: Option<EpochMs>,
    },
    /// A record that names its owner.
    Owner(Owner),
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
    /// The time of creation is not a whole number of milliseconds.
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
}

/// Reads a record of the runtime-deps form: `pid`, `starttime` (ticks, from 2026.4.29) and
/// `createdAtMs` (epoch milliseconds), in any order, other keys allowed.
///
/// Numbers are read as JavaScript reads them (`7.0` is 7), bytes that are not UTF-8 as Node
/// decodes them (U+FFFD), so that we see what OpenClaw would see.
/// `pid_max` is the kernel's (`/proc/sys/kernel/pid_max`).
#[must_use]
pub fn parse_runtime_deps(bytes: &[u8], pid_max: u64) -> Record {
    if bytes.is_empty() {
        return Record::Empty;
    }
    let text = String::from_utf8_lossy(bytes);
    let fields = match serde_json::from_str::<TopLevel>(&text) {
        Ok(TopLevel::Object(fields)) => fields,
        Ok(TopLevel::DuplicateKeys) => return Record::Hostile(Hostility::DuplicateKeys),
        Ok(TopLevel::Other) => return Record::Hostile(Hostility::NotAnObject),
        Err(error) if error.is_eof() => return Record::Truncated,
        Err(error) if error.to_string().contains("recursion limit") => {
            return Record::Hostile(Hostility::TooDeep);
        }
        Err(_) => return Record::NotJson,
    };
    let created_at = match fields.created_at_ms.map(Scalar::whole) {
        None => None,
        Some(Whole::Negative | Whole::Fractional | Whole::NotANumber | Whole::TooLarge) => {
            return Record::Hostile(Hostility::CreatedAtInvalid);
        }
        Some(Whole::Of(ms)) => match i64::try_from(ms) {
            Ok(ms) => Some(EpochMs(ms)),
            Err(_) => return Record::Hostile(Hostility::CreatedAtInvalid),
        },
    };
    let start_ticks = match fields.starttime.map(Scalar::whole) {
        None => None,
        Some(Whole::Of(ticks)) => Some(StartTicks(ticks)),
        Some(_) => return Record::Hostile(Hostility::StartTicksInvalid),
    };
    let Some(pid) = fields.pid else {
        return Record::Anonymous { created_at };
    };
    let pid = match pid.whole() {
        Whole::Of(0) => return Record::Hostile(Hostility::PidZero),
        Whole::Of(pid) if pid <= pid_max.min(PID_LIMIT) => pid,
        Whole::Of(_) | Whole::TooLarge => return Record::Hostile(Hostility::PidTooLarge),
        Whole::Negative => return Record::Hostile(Hostility::PidNegative),
        Whole::Fractional => return Record::Hostile(Hostility::PidFractional),
        Whole::NotANumber => return Record::Hostile(Hostility::PidNotANumber),
    };
    match u32::try_from(pid) {
        Ok(pid) => Record::Owner(Owner { pid, start_ticks, created_at }),
        Err(_) => Record::Hostile(Hostility::PidTooLarge),
    }
}

#[derive(Default)]
struct Fields {
    pid: Option<Scalar>,
    starttime: Option<Scalar>,
    created_at_ms: Option<Scalar>,
}

enum TopLevel {
    Object(Fields),
    DuplicateKeys,
    Other,
}

/// A value as far as a record needs it.
#[derive(Clone, Copy)]
enum Scalar {
    Unsigned(u64),
    Negative,
    Float(f64),
    Other,
}

enum Whole {
    Of(u64),
    Negative,
    Fractional,
    TooLarge,
    NotANumber,
}

impl Scalar {
    fn whole(self) -> Whole {
        /// 2^53: above it a double no longer counts every integer.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Self::Unsigned(value) => Whole::Of(value),
            Self::Negative => Whole::Negative,
            Self::Float(value) if value < 0.0 => Whole::Negative,
            Self::Float(value) if value >= EXACT => Whole::TooLarge,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range, checked above")]
            Self::Float(value) if value.fract() == 0.0 => Whole::Of(value as u64),
            Self::Float(_) => Whole::Fractional,
            Self::Other => Whole::NotANumber,
        }
    }
}

impl<'de> Deserialize<'de> for TopLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TopLevelVisitor;
        impl<'de> Visitor<'de> for TopLevelVisitor {
            type Value = TopLevel;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TopLevel, A::Error> {
                let mut fields = Fields::default();
                let mut seen = BTreeSet::new();
                let mut twice = false;
                while let Some(key) = map.next_key::<String>()? {
                    let value = map.next_value::<Scalar>()?;
                    match key.as_str() {
                        "pid" => fields.pid = Some(value),
                        "starttime" => fields.starttime = Some(value),
                        "createdAtMs" => fields.created_at_ms = Some(value),
                        _ => {}
                    }
                    twice |= !seen.insert(key);
                }
                Ok(if twice { TopLevel::DuplicateKeys } else { TopLevel::Object(fields) })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TopLevel, A::Error> {
                while seq.next_element::<Scalar>()?.is_some() {}
                Ok(TopLevel::Other)
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<TopLevel, E> {
                Ok(TopLevel::Other)
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<TopLevel, E> {
                Ok(TopLevel::Other)
            }
            fn visit_u64<E: de::Error>(self, _: u64) -> Result<TopLevel, E> {
                Ok(TopLevel::Other)
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<TopLevel, E> {
                Ok(TopLevel::Other)
            }
            fn visit_str<E: de::Error>(self, _: &str) -> Result<TopLevel, E> {
                Ok(TopLevel::Other)
            }
            fn visit_unit<E: de::Error>(self) -> Result<TopLevel, E> {
                Ok(TopLevel::Other)
            }
        }
        deserializer.deserialize_any(TopLevelVisitor)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar::Unsigned(value))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(u64::try_from(value).map_or(Scalar::Negative, Scalar::Unsigned))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar::Float(value))
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }
            fn visit_unit<E: de::Error>(self) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }
            // Nested values go through `Scalar` again so that serde_json counts their depth.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
                while seq.next_element::<Scalar>()?.is_some() {}
                Ok(Scalar::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
                while map.next_entry::<de::IgnoredAny, Scalar>()?.is_some() {}
                Ok(Scalar::Other)
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID_MAX: u64 = 4_194_304;

    fn parse(text: &str) -> Record {
        parse_runtime_deps(text.as_bytes(), PID_MAX)
    }

    #[test]
    fn both_recorded_forms_name_their_owner() {
        let legacy = parse("{\n  \"pid\": 7,\n  \"createdAtMs\": 1777458804809\n}\n");
        let created_at = Some(EpochMs(1_777_458_804_809));
        assert_eq!(legacy, Record::Owner(Owner { pid: 7, start_ticks: None, created_at }));
        let current = parse("{\"pid\":7,\"starttime\":483361,\"createdAtMs\":1777458804809}");
        let start_ticks = Some(StartTicks(483_361));
        assert_eq!(current, Record::Owner(Owner { pid: 7, start_ticks, created_at }));
    }

    #[test]
    fn numbers_are_read_as_javascript_reads_them() {
        assert_eq!(parse("{\"pid\":7.0}"), parse("{\"pid\":7}"));
        assert_eq!(parse("{\"pid\":7e0,\"starttime\":1E3}"), parse("{\"pid\":7,\"starttime\":1000}"));
    }

    #[test]
    fn impossible_records_are_named_one_by_one() {
        use Hostility::*;
        for (text, reason) in [
            ("[1]", NotAnObject),
            ("7", NotAnObject),
            ("null", NotAnObject),
            ("\"x\"", NotAnObject),
            ("{\"pid\":0}", PidZero),
            ("{\"pid\":-1}", PidNegative),
            ("{\"pid\":-0.5}", PidNegative),
            ("{\"pid\":1.5}", PidFractional),
            ("{\"pid\":\"7\"}", PidNotANumber),
            ("{\"pid\":null}", PidNotANumber),
            ("{\"pid\":[7]}", PidNotANumber),
            ("{\"pid\":{\"pid\":7}}", PidNotANumber),
            ("{\"pid\":1099511627776}", PidTooLarge),
            ("{\"pid\":4194305}", PidTooLarge),
            ("{\"pid\":1e300}", PidTooLarge),
            ("{\"pid\":7,\"pid\":8}", DuplicateKeys),
            ("{\"pid\":7,\"p\\u0069d\":8}", DuplicateKeys),
            ("{\"pid\":7,\"starttime\":123.5}", StartTicksInvalid),
            ("{\"pid\":7,\"starttime\":\"1\"}", StartTicksInvalid),
            ("{\"pid\":7,\"starttime\":-1}", StartTicksInvalid),
            ("{\"pid\":7,\"createdAtMs\":\"now\"}", CreatedAtInvalid),
            ("{\"pid\":7,\"createdAtMs\":18446744073709551615}", CreatedAtInvalid),
        ] {
            assert_eq!(parse(text), Record::Hostile(reason), "{text}");
        }
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(parse(&deep), Record::Hostile(TooDeep));
        assert_eq!(parse_runtime_deps(b"{\"pid\":40000}", 32_768), Record::Hostile(PidTooLarge));
    }

    #[test]
    fn every_prefix_of_a_real_record_is_empty_or_truncated() {
        let whole = b"{\n  \"pid\": 7,\n  \"starttime\": 483361,\n  \"createdAtMs\": 1777458804809\n}";
        assert_eq!(parse_runtime_deps(b"", PID_MAX), Record::Empty);
        for end in 1..whole.len() {
            let prefix = whole.get(..end).unwrap_or_default();
            assert_eq!(parse_runtime_deps(prefix, PID_MAX), Record::Truncated, "{end}");
        }
    }

    #[test]
    fn what_is_not_json_is_said_to_be_not_json() {
        for bytes in [&b"pid 7"[..], b"\0\0\0\0", b"\xef\xbb\xbf{\"pid\":7}", b"{\"pid\":7}x", b"{pid:7}"] {
            assert_eq!(parse_runtime_deps(bytes, PID_MAX), Record::NotJson, "{bytes:?}");
        }
    }

    #[test]
    fn a_record_without_pid_is_a_lease() {
        assert_eq!(parse("{}"), Record::Anonymous { created_at: None });
        assert_eq!(parse("{\"createdAtMs\":5}"), Record::Anonymous { created_at: Some(EpochMs(5)) });
    }

    #[test]
    fn bytes_outside_utf8_do_not_hide_a_living_owner() {
        assert!(parse_runtime_deps(b"{\"pid\":7,\"host\":\"\xff\"}", PID_MAX).owner().is_some());
    }
}
