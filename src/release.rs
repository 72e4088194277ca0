//! OpenClaw releases, in their order: `2026.4.29`, `2026.7.2-beta.7`.

use crate::who::CannotTell;
use rustix::io::Errno;
use std::fmt;

/// The newest release that the facts of [`crate::family`] were read in. What holds up to it is
/// taken to hold for later ones.
pub const NEWEST_READ: &str = "2026.9.6";

/// A release, comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    numbers: [u32; 3],
    /// The number of a beta, which comes before its release.
    beta: u32,
}

impl Release {
    /// Reads `YEAR.MONTH.PATCH`, with `-beta.N` for a beta; a packaging number (`-3`) is of the
    /// release itself.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (numbers, suffix) = text.split_once('-').unwrap_or((text, ""));
        let mut parts = numbers.split('.').map(str::parse::<u32>);
        let mut next = || parts.next()?.ok();
        let numbers = [next()?, next()?, next()?];
        let whole = parts.next().is_none();
        let beta = match suffix.strip_prefix("beta.") {
            Some(number) => number.parse().ok()?,
            None if suffix.bytes().all(|byte| byte.is_ascii_digit()) => u32::MAX,
            None => return None,
        };
        whole.then_some(Self { numbers, beta })
    }
}

/// Which releases own a state dir: those that run on it, or ran on it last. What else runs or is
/// installed on the machine says nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerRelease {
    /// These, and no other.
    Known(Vec<String>),
    /// It cannot be told.
    Unknown(ReleaseUnknown),
}

/// Why it cannot be told which release owns a state dir.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReleaseUnknown {
    /// The lock stands in no state dir that could say it.
    NoStateDir,
    /// Its configuration is not there, or has no `meta.lastTouchedVersion`.
    NotWritten,
    /// Its configuration cannot be read.
    NotRead(Errno),
    /// Its configuration is no plain JSON.
    NotJson,
    /// This process uses it, and the package that it runs was not found.
    Runs(u32),
    /// Who uses it cannot be told.
    WhoRuns(CannotTell),
}

impl OwnerRelease {
    /// From a configuration's bytes.
    #[must_use]
    pub fn of_configuration(bytes: &[u8]) -> Self {
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(bytes) else {
            return Self::Unknown(ReleaseUnknown::NotJson);
        };
        let version = || json.get("meta")?.get("lastTouchedVersion")?.as_str().map(str::trim);
        match version().filter(|version| !version.is_empty()) {
            Some(version) => Self::Known(vec![version.to_owned()]),
            None => Self::Unknown(ReleaseUnknown::NotWritten),
        }
    }
}

/// Releases from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: &'static str,
    /// The last.
    pub last: &'static str,
}

impl Span {
    /// Whether a version lies in it; `None` for what is no release's version.
    #[must_use]
    pub fn contains(&self, version: &str) -> Option<bool> {
        let version = Release::parse(version)?;
        let still = self.last == NEWEST_READ;
        Some(Release::parse(self.first)? <= version && (still || version <= Release::parse(self.last)?))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { f.write_str(self.first) } else { write!(f, "{} to {}", self.first, self.last) }
    }
}

/// Releases as text: `2026.1.29 to 2026.2.12 and 2026.5.28 to 2026.7.2-beta.3`.
#[must_use]
pub fn spans(spans: &[Span]) -> String {
    spans.iter().map(Span::to_string).collect::<Vec<_>>().join(" and ")
}

/// Whether any of the spans holds the version, or may hold it because it cannot be read.
#[must_use]
pub fn may_hold(spans: &[Span], version: &str) -> bool {
    spans.iter().any(|span| span.contains(version).unwrap_or(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_ordered_as_they_came_out() {
        let order = ["2026.1.29", "2026.4.29", "2026.4.30-beta.1", "2026.7.2-beta.2", "2026.7.2-beta.7", "2026.7.2"];
        for pair in order.windows(2) {
            let [earlier, later] = pair else { unreachable!() };
            assert!(Release::parse(earlier) < Release::parse(later), "{earlier} {later}");
        }
        assert_eq!(Release::parse("2026.2.6-3"), Release::parse("2026.2.6"));
        for text in ["", "2026", "2026.4", "2026.4.29.1", "2026.4.x", "2026.4.29-rc.1", "unknown", "2026.4.29-beta."] {
            assert_eq!(Release::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_configuration_says_which_release_wrote_it() {
        let of = |text: &str| OwnerRelease::of_configuration(text.as_bytes());
        let unknown = |why| OwnerRelease::Unknown(why);
        let written = r#"{"meta": {"lastTouchedVersion": "2026.9.6", "lastTouchedAt": "x"}, "gateway": {}}"#;
        assert_eq!(of(written), OwnerRelease::Known(vec!["2026.9.6".to_owned()]));
        for text in
            ["{}", r#"{"meta":{}}"#, r#"{"meta":{"lastTouchedVersion":" "}}"#, r#"{"lastTouchedVersion":"1"}"#, "[]"]
        {
            assert_eq!(of(text), unknown(ReleaseUnknown::NotWritten), "{text}");
        }
        for text in ["", "{ // comments\n}", "{"] {
            assert_eq!(of(text), unknown(ReleaseUnknown::NotJson), "{text}");
        }
    }

    #[test]
    fn what_holds_for_the_newest_is_taken_to_hold_after_it() {
        let still = Span { first: "2026.8.1", last: NEWEST_READ };
        let once = Span { first: "2026.4.24", last: "2026.4.29" };
        assert_eq!((still.contains("2026.12.1"), still.contains("2026.7.1")), (Some(true), Some(false)));
        assert_eq!((once.contains("2026.4.30"), once.contains("2026.4.24")), (Some(false), Some(true)));
        assert_eq!(once.contains("nightly"), None);
        assert!(may_hold(&[once], "nightly") && !may_hold(&[once], "2026.9.6"));
    }
}
