//! The parsers against records that real releases wrote (`fixtures/records`).
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use openclaw_doctor::family::{FAMILIES, Family};
use openclaw_doctor::record::{Owner, PID_LIMIT, Record};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A release's note, and its records by their place below it.
struct Release {
    name: String,
    note: Value,
    records: BTreeMap<String, Vec<u8>>,
}

impl Release {
    /// Whether its locks record start ticks (from 2026.4.29).
    fn writes_ticks(&self) -> bool {
        match self.name.as_str() {
            "2026.4.24" | "2026.4.25" | "2026.4.26" | "2026.4.27" => false,
            "2026.4.29" | "2026.4.30-beta.1" => true,
            other => panic!("say here whether {other} writes start ticks"),
        }
    }

    fn owner(&self, place: &str) -> Owner {
        let record = (family(place).parse)(&self.records[place], PID_LIMIT);
        match record {
            Record::Owner(owner) => owner,
            other => panic!("{}/{place}: {other:?}", self.name),
        }
    }
}

/// Families that are recorded and not yet read: each leaves this list when its parser comes.
const LATER: &[&str] = &[
    "config-clobber",
    "exec-approvals",
    "file-lock",
    "gateway",
    "gateway-state",
    "package-lifecycle",
    "proper-lockfile",
    "reclaim-guard",
    "sandbox-registry",
    "session-store",
    "session-write",
    "short-term-promotion",
    "usage-cost",
];

fn is_later(place: &str) -> bool {
    LATER.contains(&place.split('/').next().unwrap())
}

/// The family whose record lies at this place below its release: `<family>[/<how>]`.
fn family(place: &str) -> &'static Family {
    let name = place.split('/').next().unwrap();
    FAMILIES.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("no family is called {name}"))
}

fn releases() -> Vec<Release> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/records");
    let mut releases: Vec<Release> =
        std::fs::read_dir(&root).unwrap().map(|dir| release(&dir.unwrap().path())).collect();
    releases.retain(|release| !release.records.is_empty());
    releases.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!releases.is_empty());
    releases
}

fn release(dir: &Path) -> Release {
    let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
    let note = std::fs::read(dir.join("note.json")).unwrap_or_else(|error| panic!("{name} has no note: {error}"));
    let files = walkdir::WalkDir::new(dir).min_depth(2).into_iter().map(Result::unwrap);
    let files: Vec<PathBuf> =
        files.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect();
    let place_of = |path: &Path| path.parent().unwrap().strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
    let records = files.iter().map(|path| (path, place_of(path))).filter(|(_, place)| !is_later(place));
    let records = records.map(|(path, place)| {
        let expected = family(&place).form.record_name();
        assert_eq!(path.file_name().unwrap(), expected, "{name}/{place}: not the name of that family's record");
        (place, std::fs::read(path).unwrap())
    });
    Release { note: serde_json::from_slice(&note).unwrap(), records: records.collect(), name }
}

#[test]
fn a_family_that_is_read_is_held_to_its_records() {
    let later: Vec<&str> = FAMILIES.iter().map(|family| family.name).filter(|name| is_later(name)).collect();
    assert_eq!(later, Vec::<&str>::new(), "take them off LATER");
}

#[test]
fn every_record_is_in_its_releases_note_and_every_note_has_its_records() {
    for release in releases() {
        let name = &release.name;
        assert_eq!(release.note["release"], name.as_str());
        let noted = release.note["records"].as_object().unwrap();
        let noted: BTreeSet<&str> = noted.keys().map(String::as_str).filter(|place| !is_later(place)).collect();
        let found: BTreeSet<&str> = release.records.keys().map(String::as_str).collect();
        assert_eq!(noted, found, "{name}");
        for place in found {
            let lock = &release.note["records"][place]["lock_dir"];
            assert_eq!(lock, family(place).lock_name, "{name}/{place}");
        }
    }
}

#[test]
fn every_recorded_owner_is_read_as_its_note_says() {
    for release in releases() {
        for place in release.records.keys() {
            let (owner, at) = (release.owner(place), format!("{}/{place}", release.name));
            match release.note["records"][place]["pid_namespace"].as_str() {
                Some("its own") => assert_eq!(owner.pid, 7, "{at}"),
                Some("the host's") => assert!(owner.pid > 7, "{at}: {}", owner.pid),
                other => panic!("{at}: in which PID namespace? {other:?}"),
            }
            assert_eq!(owner.start_ticks.is_some(), release.writes_ticks(), "{at}");
        }
    }
}

#[test]
fn the_recorded_bytes_hold_the_numbers_that_are_read() {
    for release in releases() {
        for (place, bytes) in &release.records {
            let (owner, at) = (release.owner(place), format!("{}/{place}", release.name));
            let json: Value = serde_json::from_slice(bytes).unwrap();
            assert_eq!(json["pid"].as_u64(), Some(u64::from(owner.pid)), "{at}");
            assert_eq!(json["starttime"].as_u64(), owner.start_ticks.map(|ticks| ticks.0), "{at}");
            assert_eq!(json["createdAtMs"].as_i64(), owner.created_at.map(|created| created.0), "{at}");
        }
    }
}

/// A record's time is milliseconds since 1970, and of the hour before the note was written.
#[test]
fn recorded_times_are_milliseconds_of_the_recording() {
    for release in releases() {
        let noted = humantime::parse_rfc3339(release.note["recorded_at"].as_str().unwrap()).unwrap();
        let noted = i64::try_from(noted.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap();
        for place in release.records.keys() {
            let created = release.owner(place).created_at.unwrap().0;
            assert!((0..3_600_000).contains(&(noted - created)), "{}/{place}: {created}, noted {noted}", release.name);
        }
    }
}

#[test]
fn no_family_is_without_a_record_of_the_releases_that_it_claims() {
    let releases = releases();
    for family in FAMILIES {
        let wrote = |release: &&Release| release.records.contains_key(family.name);
        let written: Vec<&str> = releases.iter().filter(wrote).map(|release| release.name.as_str()).collect();
        let (first, last) = (written.first(), written.last());
        let (Some(first), Some(last)) = (first, last) else { panic!("{} has no fixture", family.name) };
        assert_eq!(family.releases, format!("{first} to {last}"), "{}", family.name);
    }
}
