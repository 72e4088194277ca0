//! The record that is a JSON object with a `pid`.

use super::json::{self, Key, Refused, Text, Value};
use super::number::{Whole, moment};
use super::{Hostility, Keys, Record, Unit, owner};
use crate::units::{EpochMs, StartTicks};
use std::time::UNIX_EPOCH;

/// Reads a JSON object with these keys, in any order, other keys allowed. What follows
/// may be whitespace: from 2026.7.2-beta.7 a token is written in it.
///
/// Numbers are read as JavaScript reads them (`7.0` is 7, each is rounded to a double), bytes that
/// are not UTF-8 as Node.js decodes them (U+FFFD), so that we see what OpenClaw would see.
#[must_use]
pub fn parse_json(bytes: &[u8], keys: &Keys) -> Record {
    if bytes.is_empty() {
        return Record::Empty;
    }
    let fields = match json::read(&String::from_utf8_lossy(bytes)) {
        Ok(Text::Object(entries)) => Fields::new(entries),
        Ok(Text::Other) => return Record::Hostile(Hostility::NotAnObject),
        Err(Refused::EndsEarly) => return Record::Truncated,
        Err(Refused::NotJson) => return Record::NotJson,
        Err(Refused::TooDeep) => return Record::Hostile(Hostility::TooDeep),
    };
    if fields.have_twins() {
        return Record::Hostile(Hostility::DuplicateKeys);
    }
    let created = keys.created_at.iter().find_map(|(key, unit)| Some((fields.get(key)?, unit)));
    let created_at = match created.map(|(value, unit)| value.moment(*unit)) {
        None => None,
        Some(None) => return Record::Hostile(Hostility::CreatedAtInvalid),
        Some(moment) => moment,
    };
    let start_ticks = match fields.get(keys.start_ticks).map(Value::whole) {
        None => None,
        Some(Whole::Of(ticks)) => Some(StartTicks(ticks)),
        Some(_) => return Record::Hostile(Hostility::StartTicksInvalid),
    };
    match fields.get(keys.pid) {
        None => Record::Anonymous { created_at },
        Some(pid) => owner(&pid.whole(), start_ticks, created_at),
    }
}

/// The entries of an object, sorted by their keys.
struct Fields(Vec<(Key, Value)>);

impl Fields {
    fn new(mut entries: Vec<(Key, Value)>) -> Self {
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self(entries)
    }

    fn have_twins(&self) -> bool {
        self.0.windows(2).any(|pair| matches!(pair, [(one, _), (other, _)] if one == other))
    }

    fn get(&self, key: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(known, _)| known.iter().copied().eq(key.encode_utf16()));
        found.map(|(_, value)| value)
    }
}

impl Value {
    fn whole(&self) -> Whole {
        match *self {
            Self::Number(number) => Whole::new(number),
            Self::Text(_) | Self::Other => Whole::NotANumber,
        }
    }

    fn moment(&self, unit: Unit) -> Option<EpochMs> {
        match (unit, self) {
            (Unit::Milliseconds, Self::Number(number)) => moment(*number),
            (Unit::Rfc3339, Self::Text(units)) => {
                let text = String::from_utf16(units).ok()?;
                // A leap second is no time to JavaScript.
                let time = humantime::parse_rfc3339(&text).ok().filter(|_| text.get(17..19) != Some("60"))?;
                Some(EpochMs(i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?))
            }
            (Unit::Milliseconds | Unit::Rfc3339, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Owner;
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
        assert_eq!(parse("{\"pid\":1e1,\"starttime\":-0}"), parse("{\"pid\":10,\"starttime\":0}"));
        assert_eq!(parse("{\"pid\":7,\"createdAtMs\":9223372036854775807}").created_at(), Some(EpochMs(i64::MAX)));
    }

    /// A living owner's record: what stands beside pid and start time is not looked at.
    #[test]
    fn nothing_beside_the_owner_hides_it() {
        let owner = parse("{\"pid\":7,\"starttime\":9}");
        for beside in [
            r#""note":"\ud83d""#,
            r#""\udc00":1,"\udc01":2"#,
            r#""note":1e400,"more":-1e400"#,
            r#""note":123456789012345678901234567890"#,
            r#""__proto__":{"pid":8},"constructor":null"#,
            r#""":{"pid":8,"pid":9}"#,
            "\"note\":\"\u{7f}\u{2028}\u{feff}\"",
        ] {
            assert_eq!(parse(&format!("{{{beside},\"p\\u0069d\":7,\"starttime\":9}}")), owner, "{beside}");
        }
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
            ("{\"pid\":1e400}", PidTooLarge),
            ("{\"pid\":-0}", PidZero),
            ("{\"pid\":7,\"starttime\":123.5}", StartTicksInvalid),
            ("{\"pid\":7,\"starttime\":9007199254740993}", StartTicksInvalid),
            ("{\"pid\":7,\"starttime\":1e400}", StartTicksInvalid),
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
        for broken in
            ["5", "\"5\"", "null", "\"yesterday\"", "\"1969-12-31T23:59:59.999Z\"", "\"2016-12-31T23:59:60Z\""]
        {
            let text = format!("{{\"pid\":7,\"createdAt\":{broken}}}");
            assert_eq!(read(&text), Record::Hostile(Hostility::CreatedAtInvalid), "{text}");
        }
    }

    #[test]
    fn a_token_in_whitespace_after_the_record_is_no_damage() {
        let token = format!("{}{}\n", "\t".repeat(8), " \t".repeat(64));
        assert_eq!(parse(&format!("{{\"pid\":7}}\n{token}")), parse("{\"pid\":7}"));
    }
}
