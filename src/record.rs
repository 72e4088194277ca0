//! Owner records: bytes in, what they say out.
//!
//! Called by the lock reader with the bounded bytes of a record, and by property tests with
//! anything. Opens nothing, panics on nothing. A record is foreign input: whatever is
//! not exactly of a form that an OpenClaw release writes is named, never repaired.

use crate::units::{EpochMs, StartTicks};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::time::UNIX_EPOCH;

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
    /// JSON that ends too early: a write that was cut short.
    Truncated,
    /// Bytes that are not JSON.
    NotJson,
    /// A record, or a lock, that no OpenClaw release can have written.
    Hostile(Hostility),
    /// The record is there and this run may not read it.
    Unreadable,
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

/// Reads a JSON object with these keys, in any order, other keys allowed. What follows
/// may be whitespace: from 2026.7.2-beta.7 a token is written in it.
///
/// Numbers are read as JavaScript reads them (`7.0` is 7), bytes that are not UTF-8 as Node
/// decodes them (U+FFFD), so that we see what OpenClaw would see.
#[must_use]
pub fn parse_json(bytes: &[u8], keys: &Keys) -> Record {
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
    let created = keys.created_at.iter().find_map(|(key, unit)| Some((fields.get(key)?, unit)));
    let created_at = match created.map(|(value, unit)| value.moment(*unit)) {
        None => None,
        Some(None) => return Record::Hostile(Hostility::CreatedAtInvalid),
        Some(moment) => moment,
    };
    let start_ticks = match fields.get(keys.start_ticks).map(Scalar::whole) {
        None => None,
        Some(Whole::Of(ticks)) => Some(StartTicks(ticks)),
        Some(_) => return Record::Hostile(Hostility::StartTicksInvalid),
    };
    match fields.get(keys.pid) {
        None => Record::Anonymous { created_at },
        Some(pid) => owner(&pid.whole(), start_ticks, created_at),
    }
}

/// Reads `<pid>:<epoch milliseconds>` and a newline.
#[must_use]
pub fn parse_pid_colon_ms(bytes: &[u8]) -> Record {
    if bytes.is_empty() {
        return Record::Empty;
    }
    let Some(line) = bytes.strip_suffix(b"\n") else {
        let cut_short = bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b':');
        return if cut_short { Record::Truncated } else { Record::NotJson };
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |text: &str| is_number(text).then(|| text.parse::<u64>().ok());
    let parts = std::str::from_utf8(line).ok().and_then(|line| line.split_once(':'));
    match parts.and_then(|(pid, at)| Some((number(pid)?, number(at)?))) {
        Some((pid, Some(at))) => match i64::try_from(at) {
            Ok(at) => owner(&pid.map_or(Whole::TooLarge, Whole::Of), None, Some(EpochMs(at))),
            Err(_) => Record::Hostile(Hostility::CreatedAtInvalid),
        },
        Some((_, None)) => Record::Hostile(Hostility::CreatedAtInvalid),
        None => Record::NotJson,
    }
}

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

enum TopLevel {
    Object(Fields),
    DuplicateKeys,
    Other,
}

/// The keys of an object and their values, sorted.
struct Fields(Vec<(String, Scalar)>);

impl Fields {
    fn get(&self, key: &str) -> Option<&Scalar> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }
}

/// A value as far as a record needs it.
enum Scalar {
    Unsigned(u64),
    Negative,
    Float(f64),
    Text(String),
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
    fn whole(&self) -> Whole {
        /// 2^53: above it a double no longer counts every integer.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match *self {
            Self::Unsigned(value) => Whole::Of(value),
            Self::Negative => Whole::Negative,
            Self::Float(value) if value < 0.0 => Whole::Negative,
            Self::Float(value) if value >= EXACT => Whole::TooLarge,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range, checked above")]
            Self::Float(value) if value.fract() == 0.0 => Whole::Of(value as u64),
            Self::Float(_) => Whole::Fractional,
            Self::Text(_) | Self::Other => Whole::NotANumber,
        }
    }

    fn moment(&self, unit: Unit) -> Option<EpochMs> {
        let ms = match (unit, self) {
            (Unit::Milliseconds, value) => match value.whole() {
                Whole::Of(ms) => i64::try_from(ms).ok()?,
                _ => return None,
            },
            (Unit::Rfc3339, Self::Text(text)) => {
                let time = humantime::parse_rfc3339(text).ok()?;
                i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?
            }
            (Unit::Rfc3339, _) => return None,
        };
        Some(EpochMs(ms))
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
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry::<String, Scalar>()? {
                    fields.push(field);
                }
                fields.sort_by(|(one, _), (other, _)| one.cmp(other));
                let twice = fields.windows(2).any(|pair| matches!(pair, [(one, _), (other, _)] if one == other));
                Ok(if twice { TopLevel::DuplicateKeys } else { TopLevel::Object(Fields(fields)) })
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
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(text.to_owned()))
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

    const KEYS: Keys =
        Keys { pid: "pid", start_ticks: "starttime", created_at: &[("createdAtMs", Unit::Milliseconds)] };

    fn parse(text: &str) -> Record {
        parse_bytes(text.as_bytes())
    }

    fn parse_bytes(bytes: &[u8]) -> Record {
        parse_json(bytes, &KEYS)
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
    }

    #[test]
    fn every_prefix_of_a_real_record_is_empty_or_truncated() {
        let whole = b"{\n  \"pid\": 7,\n  \"starttime\": 483361,\n  \"createdAtMs\": 1777458804809\n}";
        assert_eq!(parse_bytes(b""), Record::Empty);
        for end in 1..whole.len() {
            let prefix = whole.get(..end).unwrap_or_default();
            assert_eq!(parse_bytes(prefix), Record::Truncated, "{end}");
        }
    }

    #[test]
    fn what_is_not_json_is_said_to_be_not_json() {
        for bytes in [&b"pid 7"[..], b"\0\0\0\0", b"\xef\xbb\xbf{\"pid\":7}", b"{\"pid\":7}x", b"{pid:7}"] {
            assert_eq!(parse_bytes(bytes), Record::NotJson, "{bytes:?}");
        }
    }

    #[test]
    fn a_record_without_pid_is_a_lease() {
        assert_eq!(parse("{}"), Record::Anonymous { created_at: None });
        assert_eq!(parse("{\"createdAtMs\":5}"), Record::Anonymous { created_at: Some(EpochMs(5)) });
    }

    #[test]
    fn bytes_outside_utf8_do_not_hide_a_living_owner() {
        assert!(parse_bytes(b"{\"pid\":7,\"host\":\"\xff\"}").owner().is_some());
    }

    #[test]
    fn each_keys_unit_is_its_own() {
        let keys = Keys {
            pid: "pid",
            start_ticks: "startTime",
            created_at: &[("createdAt", Unit::Rfc3339), ("startedAt", Unit::Milliseconds)],
        };
        let read = |text: &str| parse_json(text.as_bytes(), &keys);
        let named = |ticks, at| Record::Owner(Owner { pid: 7, start_ticks: ticks, created_at: Some(EpochMs(at)) });
        let at = "\"createdAt\":\"2026-05-01T20:18:48.682Z\"";
        let ticks = Some(StartTicks(9));
        assert_eq!(read(&format!("{{\"pid\":7,{at},\"startTime\":9}}")), named(ticks, 1_777_666_728_682));
        assert_eq!(read(&format!("{{\"pid\":7,{at},\"starttime\":9}}")), named(None, 1_777_666_728_682));
        assert_eq!(read("{\"pid\":7,\"startedAt\":5}"), named(None, 5));
        for broken in ["5", "\"5\"", "null", "\"yesterday\"", "\"1969-12-31T23:59:59.999Z\""] {
            let text = format!("{{\"pid\":7,\"createdAt\":{broken}}}");
            assert_eq!(read(&text), Record::Hostile(Hostility::CreatedAtInvalid), "{text}");
        }
    }

    #[test]
    fn a_token_in_whitespace_after_the_record_is_no_damage() {
        let token = format!("{}{}\n", "\t".repeat(8), " \t".repeat(64));
        assert_eq!(parse(&format!("{{\"pid\":7}}\n{token}")), parse("{\"pid\":7}"));
    }

    #[test]
    fn a_line_of_pid_and_milliseconds_names_its_owner() {
        let read = |text: &str| parse_pid_colon_ms(text.as_bytes());
        let created_at = Some(EpochMs(1_777_458_804_809));
        assert_eq!(read("7:1777458804809\n"), Record::Owner(Owner { pid: 7, start_ticks: None, created_at }));
        for (text, expected) in [
            ("", Record::Empty),
            ("7:17774", Record::Truncated),
            ("7", Record::Truncated),
            ("\n", Record::NotJson),
            ("7\n", Record::NotJson),
            (":5\n", Record::NotJson),
            ("7:\n", Record::NotJson),
            ("+7:5\n", Record::NotJson),
            ("7:5\n\n", Record::NotJson),
            ("-1:5\n", Record::NotJson),
            ("0:5\n", Record::Hostile(Hostility::PidZero)),
            ("4194305:5\n", Record::Hostile(Hostility::PidTooLarge)),
            ("99999999999999999999999:5\n", Record::Hostile(Hostility::PidTooLarge)),
            ("7:99999999999999999999999\n", Record::Hostile(Hostility::CreatedAtInvalid)),
            ("7:18446744073709551615\n", Record::Hostile(Hostility::CreatedAtInvalid)),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }
}
