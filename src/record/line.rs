//! The record that is one line: `<pid>:<epoch milliseconds>`.

use super::number::{Whole, moment};
use super::{Hostility, Record, owner};

/// Reads `<pid>:<epoch milliseconds>` and a newline.
///
/// OpenClaw takes white space away at both ends and then believes the digits before the first
/// colon, whatever follows. So do we: a line that was cut after its colon names its owner, and
/// not its time.
#[must_use]
pub fn parse_pid_colon_ms(bytes: &[u8]) -> Record {
    if bytes.is_empty() {
        return Record::Empty;
    }
    let text = String::from_utf8_lossy(bytes);
    let line = text.trim_start_matches(is_space);
    let whole = line.trim_end_matches(is_space);
    let is_cut = whole.len() == line.len();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (pid, at) = match whole.split_once(':') {
        Some((pid, at)) if !pid.is_empty() && digits(pid) => (Whole::of_digits(pid), at),
        None if is_cut && !whole.is_empty() && digits(whole) => return Record::Truncated,
        _ => return Record::NotJson,
    };
    if is_cut && digits(at) {
        return owner(&pid, None, None);
    }
    let number = (!at.is_empty() && digits(at)).then(|| at.parse().ok()).flatten();
    match number.and_then(moment) {
        None => Record::Hostile(Hostility::CreatedAtInvalid),
        created_at => owner(&pid, None, created_at),
    }
}

/// What `trim` of JavaScript takes away: white space and line ends (ECMA-262).
fn is_space(c: char) -> bool {
    c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}')
}

#[cfg(test)]
mod tests {
    use super::super::Owner;
    use super::*;
    use crate::units::EpochMs;

    fn read(text: &str) -> Record {
        parse_pid_colon_ms(text.as_bytes())
    }

    fn owned(pid: u32, ms: Option<i64>) -> Record {
        Record::Owner(Owner { pid, start_ticks: None, created_at: ms.map(EpochMs) })
    }

    #[test]
    fn a_line_of_pid_and_milliseconds_names_its_owner() {
        for (text, expected) in [
            ("7:1777458804809\n", owned(7, Some(1_777_458_804_809))),
            // OpenClaw believes these pids too.
            ("7:5\n\n", owned(7, Some(5))),
            (" \u{feff}7:5\n", owned(7, Some(5))),
            ("007:5\r\n", owned(7, Some(5))),
            ("7:17774", owned(7, None)),
            ("7:", owned(7, None)),
            ("7:\n", Record::Hostile(Hostility::CreatedAtInvalid)),
            ("7:5:6\n", Record::Hostile(Hostility::CreatedAtInvalid)),
            ("7:soon", Record::Hostile(Hostility::CreatedAtInvalid)),
            ("7: 5\n", Record::Hostile(Hostility::CreatedAtInvalid)),
            ("7:99999999999999999999999\n", Record::Hostile(Hostility::CreatedAtInvalid)),
            ("7:18446744073709551615\n", Record::Hostile(Hostility::CreatedAtInvalid)),
            ("0:5\n", Record::Hostile(Hostility::PidZero)),
            ("4194305:5\n", Record::Hostile(Hostility::PidTooLarge)),
            ("99999999999999999999999:5\n", Record::Hostile(Hostility::PidTooLarge)),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_line_in_which_openclaw_finds_no_pid_names_nobody() {
        for (text, expected) in [
            ("", Record::Empty),
            ("7", Record::Truncated),
            ("\n", Record::NotJson),
            ("7\n", Record::NotJson),
            (":5\n", Record::NotJson),
            ("+7:5\n", Record::NotJson),
            ("-1:5\n", Record::NotJson),
            ("7 :5\n", Record::NotJson),
            ("\u{85}7:5\n", Record::NotJson),
            ("\u{664}:5\n", Record::NotJson),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }
}
