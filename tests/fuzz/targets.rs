//! What is fuzzed: one function for each reader of foreign bytes. It must end, and what it answers
//! must be so by the bytes. Called by `fuzz_targets/` with what libFuzzer makes up, and by
//! `tests/robustness.rs` with the seeds, so that they are held without a nightly toolchain.

use openclaw_doctor::discover::places;
use openclaw_doctor::family::FAMILIES;
use openclaw_doctor::process::offsets::{Clocks, Offset, Own, as_recorded};
use openclaw_doctor::process::status::{Identity, Status};
use openclaw_doctor::process::{identity, kernel_holders, openclaw, packages, roots};
use openclaw_doctor::record::{Hostility, Keys, PID_LIMIT, Record, Unit, parse_json, parse_pid_colon_ms};
use openclaw_doctor::sys::mounts::MountTable;
use openclaw_doctor::units::StartTicks;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::path::Path;

/// Reads these bytes; panics if what it answers is wrong.
type Target = fn(&[u8]);

/// Every target, by its name.
pub const ALL: &[(&str, Target)] = &[
    ("cgroup", cgroup),
    ("cmdline", cmdline),
    ("environ", environ),
    ("locks", locks),
    ("mountinfo", mountinfo),
    ("package_json", package_json),
    ("passwd", passwd),
    ("record", record),
    ("stat", stat),
    ("status", status),
    ("timens_offsets", timens_offsets),
];

const JSON: &[Keys] = &[
    Keys { pid: "pid", start_ticks: "starttime", created_at: &[("createdAtMs", Unit::Milliseconds)] },
    Keys {
        pid: "pid",
        start_ticks: "startTime",
        created_at: &[("createdAt", Unit::Rfc3339), ("startedAt", Unit::Milliseconds)],
    },
];

/// Every record of every family; those of JSON against serde_json, which reads the same grammar where
/// it keeps nothing (half of a surrogate pair, numbers of any size and any depth are taken there).
pub fn record(bytes: &[u8]) {
    for family in FAMILIES {
        if let Record::Owner(owner) = family.parse(bytes) {
            assert!((1..=PID_LIMIT).contains(&owner.pid));
        }
    }
    let text = String::from_utf8_lossy(bytes);
    let is_json = serde_json::from_str::<IgnoredAny>(&text).is_ok();
    for keys in JSON {
        match parse_json(bytes, keys) {
            Record::Empty => assert!(bytes.is_empty()),
            Record::Truncated | Record::NotJson => assert!(!is_json, "refused: {text}"),
            Record::Hostile(Hostility::TooDeep) => assert!(text.matches(['[', '{']).count() > 128, "{text}"),
            Record::Owner(owner) => {
                assert!(is_json, "taken: {text}");
                // Where serde_json keeps the values too, they are these.
                if let Ok(value) = serde_json::from_str::<Value>(&text) {
                    assert_eq!(value["pid"].as_f64(), Some(f64::from(owner.pid)), "{text}");
                    let ticks = value[keys.start_ticks].as_f64();
                    assert_eq!(owner.start_ticks.is_some(), ticks.is_some(), "{text}");
                }
            }
            Record::Anonymous { .. } => {
                assert!(is_json, "taken: {text}");
                let value = serde_json::from_str::<Value>(&text);
                assert!(value.is_err() || value.is_ok_and(|value| value.get("pid").is_none()), "{text}");
            }
            Record::Hostile(_) => assert!(is_json, "taken: {text}"),
            other => panic!("{other:?}: {text}"),
        }
    }
    line(bytes, &text);
}

/// What OpenClaw reads of a line: the digits before the first colon, white space aside.
fn line(bytes: &[u8], text: &str) {
    let is_space = |c: char| c == '\u{feff}' || (c != '\u{85}' && c.is_whitespace());
    let line = text.trim_matches(is_space);
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let names_owner = digits > 0 && line[digits..].starts_with(':') && line[..digits].bytes().any(|byte| byte != b'0');
    match parse_pid_colon_ms(bytes) {
        Record::Owner(owner) => assert!(line[..digits].trim_start_matches('0') == owner.pid.to_string(), "{text}"),
        Record::Hostile(_) => {}
        _ => assert!(!names_owner, "refused: {text}"),
    }
}

/// /proc/PID/mountinfo.
pub fn mountinfo(bytes: &[u8]) {
    let table = MountTable::new(bytes);
    for id in [25, 36] {
        if let Some(mount) = table.by_id(id) {
            let root = mount.in_filesystem(&mount.mount_point);
            assert!(root.is_some_and(|root| root.starts_with(&mount.root)));
        }
    }
    for mount in table.matching("openclaw").chain(table.matching("")) {
        assert!(mount.in_filesystem(Path::new("elsewhere")).is_none_or(|place| place.starts_with(&mount.root)));
    }
    let place = Path::new("/proc/7/stat");
    assert!(table.by_path(place).is_none_or(|mount| place.starts_with(&mount.mount_point)));
    let _ = table.holds_several_procfs();
}

/// /proc/locks.
pub fn locks(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
    let (held, odd) = kernel_holders::parse_locks(bytes);
    assert!(held.len() + odd <= lines);
    assert!(held.iter().all(|lock| lock.pid != Some(0)));
}

/// /proc/PID/status.
pub fn status(bytes: &[u8]) {
    if let Some(status) = Status::parse(bytes) {
        assert_eq!(Some(&status.innermost_pid()), status.ns_pids.last());
    }
}

/// /proc/PID/stat.
pub fn stat(bytes: &[u8]) {
    if let Some(identity) = Identity::parse(bytes) {
        // What was read stands after the last parenthesis, not in a name.
        let close = bytes.iter().rposition(|byte| *byte == b')').unwrap();
        let after = String::from_utf8_lossy(&bytes[close + 1..]).into_owned();
        let ticks = after.split_whitespace().nth(19).and_then(|field| field.parse().ok());
        assert_eq!(Some(identity.start_ticks), ticks.map(StartTicks));
    }
}

/// /proc/PID/environ.
pub fn environ(bytes: &[u8]) {
    for (name, value) in roots::variables(bytes) {
        let entry = [name.as_bytes(), b"=", value.as_encoded_bytes()].concat();
        assert!(bytes.split(|byte| *byte == 0).any(|other| other == entry), "{name}");
    }
}

/// /proc/PID/cmdline.
pub fn cmdline(bytes: &[u8]) {
    let argv = openclaw::split_argv(bytes);
    let comm = argv.first().copied().unwrap_or_default();
    let _ = (openclaw::role(comm, &argv, argv.last().copied()), openclaw::entry_files(&argv).count());
}

/// The package.json of what a process may run.
pub fn package_json(bytes: &[u8]) {
    if let Some(version) = packages::version(bytes) {
        assert!(!version.is_empty() && version.trim() == version);
    }
}

/// /proc/PID/timens_offsets, and the start times that follow from it.
pub fn timens_offsets(bytes: &[u8]) {
    let offset = Offset::parse(bytes);
    for own in [Own::AsChildren, Own::Initial, Own::Readers, Own::Elsewhere] {
        for (reader, children) in [(offset, Offset::Unknown), (Offset::Nanoseconds(0), offset), (offset, offset)] {
            for read in [0, 483_361, u64::MAX] {
                let all = as_recorded(StartTicks(read), reader, Clocks { children, own }, 100);
                assert!(all.len() <= 6);
            }
        }
    }
}

/// /proc/PID/cgroup.
pub fn cgroup(bytes: &[u8]) {
    if let Some(id) = identity::container_id(bytes) {
        assert!(id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}

/// /etc/passwd.
pub fn passwd(bytes: &[u8]) {
    assert!(places::homes(bytes).iter().all(|home| home.path.is_absolute() && home.path != Path::new("/")));
    for uid in [0, 1000, u32::MAX] {
        let _ = places::home_of(bytes, uid);
    }
}
