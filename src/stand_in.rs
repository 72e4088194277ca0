//! What takes a lock file's name while a doctor removes the lock: its text, written and read.
//!
//! It has no `pid`, and says when it was made: OpenClaw takes it for a lock that was taken just
//! now. Under other keys it names the doctor, so that one which was left by a doctor that was
//! killed is judged like any lock, by pid and start time.

use crate::record::{Keys, Owner, Record, Unit, parse_json};
use crate::units::EpochMs;
use std::time::{Duration, SystemTime};

/// By this a stand-in is known.
const MARK: &str = "\"madeBy\": \"openclaw-doctor, to remove a stale lock\"";
/// A stand-in is smaller, in bytes.
pub const MAX_BYTES: u64 = 512;
const KEYS: Keys =
    Keys { pid: "doctorPid", start_ticks: "doctorStarttime", created_at: &[("createdAt", Unit::Rfc3339)] };

/// What OpenClaw looks for.
const OPENCLAWS: Keys = Keys { pid: "pid", start_ticks: "", created_at: &[] };

/// The text of a stand-in made now by this doctor, if it knows itself; `None` before 1970.
#[must_use]
pub fn write(doctor: Option<Owner>, now: EpochMs) -> Option<String> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now.0.try_into().ok()?);
    let named = doctor.and_then(|doctor| Some((doctor.pid, doctor.start_ticks?)));
    let named = named.map(|(pid, ticks)| format!(", \"doctorPid\": {pid}, \"doctorStarttime\": {}", ticks.0));
    let named = named.unwrap_or_default();
    Some(format!("{{\"createdAt\": \"{}\", {MARK}{named}}}\n", humantime::format_rfc3339_millis(now)))
}

/// What a stand-in says of the doctor that made it; `None` for what is no stand-in.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Record> {
    is_stand_in(bytes).then(|| parse_json(bytes, &KEYS))
}

/// Whether these are the bytes of a stand-in: marked as one, and to OpenClaw a record that names nobody.
#[must_use]
pub fn is_stand_in(bytes: &[u8]) -> bool {
    let small = u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_BYTES);
    let marked = small && bytes.windows(MARK.len()).any(|part| part == MARK.as_bytes());
    marked && matches!(parse_json(bytes, &OPENCLAWS), Record::Anonymous { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::FAMILIES;
    use crate::units::StartTicks;

    #[test]
    fn a_stand_in_names_its_doctor_to_us_and_nobody_to_openclaw() {
        let now = EpochMs(1_777_666_728_682);
        let doctor = Owner { pid: 7, start_ticks: Some(StartTicks(9)), created_at: None };
        let text = write(Some(doctor), now).unwrap();
        let read = Record::Owner(Owner { created_at: Some(now), ..doctor });
        for family in FAMILIES.iter().filter(|family| family.forms.contains(&crate::family::Form::File)) {
            assert_eq!(family.parse(text.as_bytes()), read, "{}", family.name);
        }
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json.get("pid"), None);
        assert_eq!(json["createdAt"], "2026-05-01T20:18:48.682Z");
        let nameless = write(None, now).unwrap();
        assert_eq!(FAMILIES[2].parse(nameless.as_bytes()), Record::Anonymous { created_at: Some(now) });
        assert_eq!(write(None, EpochMs(-1)), None);
    }

    #[test]
    fn a_lock_is_no_stand_in() {
        assert!(!is_stand_in(b"{\"pid\":7,\"madeBy\":\"somebody\"}") && !is_stand_in(b""));
        // Nor is one that carries our mark and names its owner.
        let lock = Record::Owner(Owner { pid: 7, start_ticks: None, created_at: None });
        let (json, line) = (format!("{{\"p\\u0069d\": 7, {MARK}}}"), format!("7:{MARK}"));
        assert_eq!(FAMILIES[0].parse(json.as_bytes()), lock);
        assert!(!is_stand_in(line.as_bytes()));
    }
}
