//! Our reader of records against Node.js: `fixtures/json.jsonl` holds what node said of tens of
//! thousands of records (`tests/real/parse.mjs` prints it and says what its lines mean).

use openclaw_doctor::record::{Hostility, Keys, PID_LIMIT, Record, Unit, parse_json, parse_pid_colon_ms};
use openclaw_doctor::units::{EpochMs, StartTicks};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Between them every key and every unit.
const KEYS: &[Keys] = &[
    Keys { pid: "pid", start_ticks: "starttime", created_at: &[("createdAtMs", Unit::Milliseconds)] },
    Keys {
        pid: "pid",
        start_ticks: "startTime",
        created_at: &[("createdAt", Unit::Rfc3339), ("startedAt", Unit::Milliseconds)],
    },
];

fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A value of the record as node has it.
#[derive(Debug, Clone, Copy)]
enum Said {
    Number(f64),
    /// Milliseconds, as `toISOString` writes them.
    Moment(f64),
    /// A string that `Date.parse` takes in another form, or does not take.
    Text(Option<f64>),
    Other,
}

impl Said {
    fn new(text: &str) -> Self {
        let number = |text: &str| text.parse::<f64>().unwrap_or_else(|_| panic!("{text}"));
        match text.strip_prefix('"') {
            Some(ms) => Self::Moment(number(ms)),
            None => match text.strip_prefix('~') {
                Some(ms) => Self::Text((!ms.is_empty()).then(|| number(ms))),
                None if text == "?" => Self::Other,
                None => Self::Number(number(text)),
            },
        }
    }
}

/// What one of our fields must be: absent, this, or a fault of the record.
enum Field<T> {
    Absent,
    Is(T),
    Fault(Hostility),
}

/// A whole number that a double counts exactly.
fn whole(number: f64) -> Option<u64> {
    (number >= 0.0 && number < 2_f64.powi(53) && number.fract() == 0.0).then_some(number as u64)
}

fn pid(said: Option<Said>) -> Field<u32> {
    use Hostility::*;
    match said {
        None => Field::Absent,
        Some(Said::Number(number)) if number < 0.0 => Field::Fault(PidNegative),
        Some(Said::Number(0.0)) => Field::Fault(PidZero),
        Some(Said::Number(number)) if number >= 2_f64.powi(53) => Field::Fault(PidTooLarge),
        Some(Said::Number(number)) => match whole(number).map(u32::try_from) {
            Some(Ok(pid)) if pid <= PID_LIMIT => Field::Is(pid),
            Some(_) => Field::Fault(PidTooLarge),
            None => Field::Fault(PidFractional),
        },
        Some(_) => Field::Fault(PidNotANumber),
    }
}

fn ticks(said: Option<Said>) -> Field<StartTicks> {
    match said {
        None => Field::Absent,
        Some(Said::Number(number)) => {
            whole(number).map_or(Field::Fault(Hostility::StartTicksInvalid), |ticks| Field::Is(StartTicks(ticks)))
        }
        Some(_) => Field::Fault(Hostility::StartTicksInvalid),
    }
}

/// Whether our time of creation is node's. What we do not take is a fault, and may be only where
/// no release writes it so.
fn created(said: Option<(Said, Unit)>) -> (Field<EpochMs>, bool) {
    let ms = |ms: f64| EpochMs(ms as i64);
    let fault = Field::Fault(Hostility::CreatedAtInvalid);
    match said {
        None => (Field::Absent, false),
        Some((Said::Moment(at), Unit::Rfc3339)) if at >= 0.0 => (Field::Is(ms(at)), false),
        // The form is not that of a release: either we read it as node does, or not at all.
        Some((Said::Text(Some(at)), Unit::Rfc3339)) if at >= 0.0 => (Field::Is(ms(at)), true),
        Some((Said::Number(number), Unit::Milliseconds))
            if number >= 0.0 && number <= 2_f64.powi(63) && number.fract() == 0.0 =>
        {
            (Field::Is(ms(number)), false)
        }
        Some(_) => (fault, false),
    }
}

/// Holds what we read of a record to what node said.
fn check_json(bytes: &[u8], answer: &str) {
    let shown = || String::from_utf8_lossy(bytes).into_owned();
    for keys in KEYS {
        let record = parse_json(bytes, keys);
        let Some(fields) = answer.strip_prefix("object") else {
            let refused = matches!(record, Record::Empty | Record::Truncated | Record::NotJson);
            let too_deep = record == Record::Hostile(Hostility::TooDeep);
            let fits = match answer {
                "throws" => refused || too_deep,
                "other" => record == Record::Hostile(Hostility::NotAnObject) || too_deep,
                _ => panic!("{answer}"),
            };
            assert!(fits, "node: {answer}, we: {record:?}: {}", shown());
            assert_eq!(record == Record::Empty, bytes.is_empty());
            assert!(!too_deep || is_deep(bytes), "{}", shown());
            continue;
        };
        let words: Vec<(&str, &str)> =
            fields.split_ascii_whitespace().filter_map(|word| word.split_once(':')).collect();
        let said = |key: &str| words.iter().find(|(known, _)| *known == key).map(|(_, value)| Said::new(value));
        let at = keys.created_at.iter().find_map(|(key, unit)| Some((said(key)?, *unit)));
        let (pid, ticks, (at, at_may_be_refused)) = (pid(said("pid")), ticks(said(keys.start_ticks)), created(at));
        let mut faults = Vec::new();
        let mut must = false;
        for (fault, is_must) in [
            (fields.contains("twice").then_some(Hostility::DuplicateKeys), true),
            (fault_of(&pid), true),
            (fault_of(&ticks), true),
            (fault_of(&at), true),
            (at_may_be_refused.then_some(Hostility::CreatedAtInvalid), false),
            (is_deep(bytes).then_some(Hostility::TooDeep), true),
        ] {
            faults.extend(fault);
            must |= fault.is_some() && is_must;
        }
        let because = || format!("node: {answer}, we: {record:?}, by {keys:?}: {}", shown());
        match &record {
            Record::Hostile(fault) => assert!(faults.contains(fault), "{}", because()),
            _ => assert!(!must, "{faults:?}; {}", because()),
        }
        match (&record, pid) {
            (Record::Hostile(_), _) => {}
            (Record::Owner(owner), Field::Is(pid)) => {
                assert_eq!(owner.pid, pid, "{}", because());
                assert_eq!(owner.start_ticks, value_of(ticks), "{}", because());
                assert_eq!(owner.created_at, value_of(at), "{}", because());
            }
            (Record::Anonymous { created_at }, Field::Absent) => {
                assert_eq!(*created_at, value_of(at), "{}", because());
            }
            _ => panic!("{}", because()),
        }
    }
}

fn fault_of<T>(field: &Field<T>) -> Option<Hostility> {
    match field {
        Field::Fault(fault) => Some(*fault),
        Field::Absent | Field::Is(_) => None,
    }
}

fn value_of<T>(field: Field<T>) -> Option<T> {
    match field {
        Field::Is(value) => Some(value),
        Field::Absent | Field::Fault(_) => None,
    }
}

/// Deeper than we look: no string of the corpus holds more than a few brackets.
fn is_deep(bytes: &[u8]) -> bool {
    let mut depth = 0_i32;
    let depths = bytes.iter().map(|byte| {
        depth += i32::from(matches!(byte, b'[' | b'{')) - i32::from(matches!(byte, b']' | b'}'));
        depth
    });
    depths.max() > Some(128)
}

/// Where OpenClaw finds a pid, so do we, or the record is hostile; where it finds none, we name none.
fn check_line(bytes: &[u8], answer: &str) {
    let record = parse_pid_colon_ms(bytes);
    let shown = String::from_utf8_lossy(bytes);
    match (&record, answer) {
        (Record::Owner(owner), _) => assert_eq!(owner.pid.to_string(), answer, "{shown:?}"),
        (Record::Hostile(Hostility::PidZero), pid) => assert_eq!(pid, "nobody", "{shown:?}"),
        (Record::Hostile(Hostility::PidTooLarge), pid) => {
            assert!(pid.parse::<f64>().unwrap() > f64::from(PID_LIMIT), "{shown:?}");
        }
        (Record::Hostile(Hostility::CreatedAtInvalid), _) => {}
        (Record::Empty, _) => assert!(bytes.is_empty()),
        (Record::Truncated | Record::NotJson, pid) => assert_eq!(pid, "nobody", "{shown:?}"),
        _ => panic!("{shown:?}: {record:?}"),
    }
}

/// The change that `how` names, at one byte.
fn changed(bytes: &[u8], how: &str, index: usize) -> Vec<u8> {
    let (before, after) = bytes.split_at(index);
    let (byte, rest) = after.split_first().unwrap();
    match (how, how.split_once('-')) {
        ("cut", _) => before.to_vec(),
        ("drop", _) => [before, rest].concat(),
        ("twice", _) => [before, &[*byte], after].concat(),
        ("escape", _) => [before, format!("\\u{byte:04x}").as_bytes(), rest].concat(),
        (_, Some(("xor", bits))) => [before, &[byte ^ u8::from_str_radix(bits, 16).unwrap()], rest].concat(),
        (_, Some(("put", other))) => [before, &[u8::from_str_radix(other, 16).unwrap()], after].concat(),
        _ => panic!("{how}"),
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn corpus() -> (PathBuf, String) {
    let path = tree().join("fixtures/json.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

#[test]
fn a_record_means_to_us_what_it_means_to_node() {
    let (mut single, mut in_fixtures, mut fixtures) = (0, 0, std::collections::BTreeSet::new());
    for line in corpus().1.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("{key}: {line}"));
        let Some(fixture) = line["of"].as_str() else {
            let bytes = unhex(text("hex"));
            check_json(&bytes, text("json"));
            check_line(&bytes, text("line"));
            single += 1;
            continue;
        };
        let bytes = std::fs::read(tree().join("fixtures").join(fixture)).unwrap();
        let check = if bytes.starts_with(b"{") { check_json } else { check_line };
        let said = text("said").split(' ').flat_map(|run| {
            let (answer, times) = run.split_once('*').unwrap_or((run, "1"));
            std::iter::repeat_n(answer.parse::<usize>().unwrap(), times.parse().unwrap())
        });
        let said: Vec<usize> = said.collect();
        assert_eq!(said.len(), bytes.len(), "{fixture} is another one than when node was asked");
        for (index, answer) in said.into_iter().enumerate() {
            check(&changed(&bytes, text("how"), index), line["answers"][answer].as_str().unwrap());
        }
        in_fixtures += bytes.len();
        fixtures.insert(fixture.to_owned());
    }
    assert!(single > 1_000 && in_fixtures > 20_000 && fixtures.len() > 40, "{single}, {in_fixtures}, {fixtures:?}");
}

/// Every record that is committed was shown to node.
#[test]
fn the_corpus_is_of_todays_fixtures_and_todays_node() {
    let (path, recorded) = corpus();
    let script = tree().join("tests/real/parse.mjs");
    let node = Command::new("node").arg(script).stdin(Stdio::null()).output();
    let Ok(printed) = node else {
        // Not `lab_required`: what node said is in the fixture, and was checked above.
        let _ = writeln!(std::io::stderr(), "SKIPPED: no node here to ask again");
        return;
    };
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let printed = String::from_utf8(printed.stdout).unwrap();
    for (number, (now, then)) in printed.lines().zip(recorded.lines()).enumerate() {
        assert_eq!(now, then, "{}:{}", path.display(), number + 1);
    }
    assert_eq!(printed.len(), recorded.len(), "node tests/real/parse.mjs > fixtures/json.jsonl");
}
