//! The families against locks that real releases wrote (`fixtures/records`), and against forms that
//! no release at hand could be made to write (`fixtures/constructed`).
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use openclaw_doctor::family::{FAMILIES, Family, Form, Kind, Payload, by_name, kind_of};
use openclaw_doctor::record::{Owner, Record};
use openclaw_doctor::release::{Release, Span};
use rustix::fs::FileType;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One lock of a release: where it was, what it is, the bytes of its record if it has one.
struct Recorded {
    release: String,
    place: String,
    note: Value,
    noted_at_ms: i64,
    bytes: Option<Vec<u8>>,
}

impl Recorded {
    fn family(&self) -> &'static Family {
        let name = self.place.split('/').next().unwrap();
        by_name(name).unwrap_or_else(|| panic!("no family is called {name}"))
    }

    /// What it is by its path and its type on disk.
    fn kind(&self) -> Option<Kind> {
        let text = |field: &str| self.note[field].as_str().map(str::to_owned);
        let is_directory = self.note["form"].as_str().is_none_or(|form| form.contains("directory"));
        let path = text("lock").unwrap_or_else(|| format!("/stage/openclaw-x/{}", text("lock_dir").unwrap()));
        kind_of(Path::new(&path), if is_directory { FileType::Directory } else { FileType::RegularFile })
    }

    fn owner(&self) -> Option<Owner> {
        let bytes = self.bytes.as_ref()?;
        match self.family().parse(bytes) {
            Record::Owner(owner) => Some(owner),
            other => panic!("{self}: {other:?}"),
        }
    }

    /// Whether this release records its start time in such a lock.
    fn writes_ticks(&self) -> bool {
        let from = match self.family().name {
            "runtime-deps" | "runtime-mirror" => "2026.4.29",
            "session-write" | "session-store" | "sandbox-registry" => "2026.3.2",
            "file-lock" | "reclaim-guard" => "2026.5.26",
            "gateway" | "gateway-state" | "exec-approvals" | "package-lifecycle" => "2026.1.29",
            "short-term-promotion" | "usage-cost" => return false,
            other => panic!("say here whether {other} has start ticks"),
        };
        Release::parse(&self.release) >= Release::parse(from)
    }
}

impl std::fmt::Display for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.release, self.place)
    }
}

fn fixtures(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(below)
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn note(dir: &Path) -> Value {
    let text = std::fs::read(dir.join("note.json")).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    serde_json::from_slice(&text).unwrap()
}

/// The files in a directory but its note, by the path of their directory below it.
fn files(dir: &Path) -> BTreeMap<String, (String, Vec<u8>)> {
    let entries = walkdir::WalkDir::new(dir).min_depth(2).into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file() && entry.file_name() != "note.json");
    files
        .map(|entry| {
            let place = entry.path().parent().unwrap().strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            let name = entry.file_name().to_str().unwrap().to_owned();
            (place, (name, std::fs::read(entry.path()).unwrap()))
        })
        .collect()
}

fn recorded() -> Vec<Recorded> {
    let mut all = Vec::new();
    for dir in directories(&fixtures("records")) {
        let (note, files) = (note(&dir), files(&dir));
        let at = humantime::parse_rfc3339(note["recorded_at"].as_str().unwrap()).unwrap();
        let noted_at_ms = i64::try_from(at.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap();
        for (place, lock) in note["records"].as_object().unwrap() {
            let bytes = files.get(place).map(|(_, bytes)| bytes.clone());
            let release = note["release"].as_str().unwrap().to_owned();
            assert_eq!(Some(release.as_str()), dir.file_name().unwrap().to_str());
            all.push(Recorded { release, place: place.clone(), note: lock.clone(), noted_at_ms, bytes });
        }
        let noted: BTreeSet<&String> = note["records"].as_object().unwrap().keys().collect();
        let unknown: Vec<&String> = files.keys().filter(|place| !noted.contains(place)).collect();
        assert_eq!(unknown, Vec::<&String>::new(), "{}: not in its note", dir.display());
    }
    assert!(all.len() > 50, "{}", all.len());
    all
}

#[test]
fn every_recorded_lock_is_found_as_its_family() {
    for lock in recorded() {
        let kind = lock.kind().unwrap_or_else(|| panic!("{lock}: its path means nothing"));
        assert_eq!(kind.family.name, lock.family().name, "{lock}");
        let has_record = matches!(kind.form, Form::Directory { .. } | Form::File);
        assert_eq!(has_record, lock.bytes.is_some(), "{lock}: {:?}", kind.form);
    }
}

#[test]
fn every_recorded_owner_is_read_as_its_note_says() {
    let mut read = 0;
    for lock in recorded() {
        let Some(owner) = lock.owner() else { continue };
        match lock.note["pid_namespace"].as_str() {
            Some("its own") => assert_eq!(owner.pid, 7, "{lock}"),
            Some("the host's") => assert!(owner.pid > 7, "{lock}: {}", owner.pid),
            other => panic!("{lock}: in which PID namespace? {other:?}"),
        }
        assert_eq!(owner.start_ticks.is_some(), lock.writes_ticks(), "{lock}");
        read += 1;
    }
    assert!(read > 40, "{read}");
}

/// Beside our parsers stands a plain one: the numbers are those in the bytes.
#[test]
fn the_recorded_bytes_hold_the_numbers_that_are_read() {
    for lock in recorded() {
        let (Some(owner), Payload::Json(keys)) = (lock.owner(), lock.family().payload) else { continue };
        let json: Value = serde_json::from_slice(lock.bytes.as_ref().unwrap()).unwrap();
        assert_eq!(json["pid"].as_u64(), Some(u64::from(owner.pid)), "{lock}");
        assert_eq!(json[keys.start_ticks].as_u64(), owner.start_ticks.map(|ticks| ticks.0), "{lock}");
    }
}

/// A record's time is of the hour before the note was written: its unit is right.
#[test]
fn recorded_times_are_of_the_recording() {
    for lock in recorded() {
        let Some(owner) = lock.owner() else { continue };
        match owner.created_at {
            Some(created) => {
                let before_ms = lock.noted_at_ms - created.0;
                assert!((0..3_600_000).contains(&before_ms), "{lock}: {before_ms} ms before");
            }
            None => assert_eq!(lock.family().name, "package-lifecycle", "{lock}: no time"),
        }
    }
}

#[test]
fn a_family_is_written_by_the_releases_that_wrote_it() {
    for lock in recorded() {
        let family = lock.family();
        let holds = |span: &Span| span.contains(&lock.release) == Some(true);
        assert!(family.releases.iter().any(holds), "{lock}: not among {:?}", family.releases);
    }
}

#[test]
fn every_constructed_lock_is_read_as_its_note_says() {
    let mut seen = 0;
    for dir in directories(&fixtures("constructed")) {
        let family = by_name(dir.file_name().unwrap().to_str().unwrap()).unwrap();
        for case in directories(&dir) {
            let (note, at) = (note(&case), case.display().to_string());
            assert_eq!((note["origin"].as_str(), note["family"].as_str()), (Some("constructed"), Some(family.name)));
            let expected = note["reads_as"].as_str().unwrap_or_else(|| panic!("{at}: say what it reads as"));
            let entries = std::fs::read_dir(&case).unwrap().map(|entry| entry.unwrap().path());
            let files: Vec<PathBuf> = entries.filter(|path| path.file_name().unwrap() != "note.json").collect();
            let read = match files.as_slice() {
                [] => Record::NotRecorded,
                [file] => family.parse(&std::fs::read(file).unwrap()),
                more => panic!("{at}: {more:?}"),
            };
            let word = match &read {
                Record::Owner(Owner { start_ticks: Some(_), .. }) => "owner with start ticks",
                Record::Owner(_) => "owner without start ticks",
                Record::Anonymous { .. } => "nobody",
                Record::Empty => "empty",
                Record::Truncated => "truncated",
                Record::NotRecorded => "no record",
                other => panic!("{at}: {other:?}"),
            };
            assert_eq!(word, expected, "{at}");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn no_family_is_without_a_fixture() {
    let recorded = recorded();
    for family in FAMILIES {
        let was_recorded = recorded.iter().any(|lock| lock.family().name == family.name);
        let constructed = fixtures("constructed").join(family.name).is_dir();
        assert!(was_recorded || constructed, "{} has no fixture", family.name);
    }
}
