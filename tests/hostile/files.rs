//! What may stand in place of a lock that is a file, a bare directory or a coordinator.

use super::look::{by_name_only, is_root, look, look_as_ordinary, mode, open_to_all, os, skip, verdict};
use super::snapshot::snapshot;
use super::support::{Stage, dead_pid, doctor};
use rustix::fs::{CWD, FileType, Mode};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const FILE: &str = "auth-profiles.json.lock";
const COORDINATOR: &str = "gateway.5b681173.lock.sqlite";
const GUARD: &str = "auth-profiles.json.lock.reclaim";

fn stale() -> String {
    format!("{{\"pid\":{},\"createdAt\":\"2026-11-01T10:00:00.000Z\",\"starttime\":7}}", dead_pid())
}

/// A path in a new directory.
fn at(stage: &Stage, directory: &str, name: impl AsRef<Path>) -> PathBuf {
    std::fs::create_dir_all(stage.path().join(directory)).unwrap();
    stage.path().join(directory).join(name)
}

fn node(path: &Path, kind: FileType, device: u64) -> bool {
    rustix::fs::mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device).is_ok()
}

/// `repair --yes` leaves everything as it is.
fn assert_nothing_goes(stage: &Stage) {
    let before = snapshot(stage.path());
    let answer = doctor([OsStr::new("repair"), "--yes".as_ref(), stage.path().as_os_str()]);
    assert_eq!(answer.code(), 1, "{}", answer.out());
    assert_eq!(before, snapshot(stage.path()), "{}", answer.out());
}

#[test]
fn what_is_no_regular_file_is_never_opened_as_a_lock() {
    let stage = Stage::new();
    let real = at(&stage, "real", FILE);
    std::fs::write(&real, stale()).unwrap();
    let mut sockets = Vec::new();
    let mut expected = vec!["fifo", "socket"];
    for name in [FILE, COORDINATOR] {
        assert!(node(&at(&stage, "fifo", name), FileType::Fifo, 0));
        sockets.push(std::os::unix::net::UnixListener::bind(at(&stage, "socket", name)).unwrap());
        symlink(&real, at(&stage, "link", name)).unwrap();
        symlink("/dev/zero", at(&stage, "to-device", name)).unwrap();
        symlink("/nowhere", at(&stage, "dangling", name)).unwrap();
        symlink(name, at(&stage, "loop", name)).unwrap();
        if node(&at(&stage, "device", name), FileType::CharacterDevice, rustix::fs::makedev(1, 5)) {
            expected.push("device");
        } else if is_root() {
            skip("a device as a lock: mknod");
        }
    }
    std::fs::create_dir(at(&stage, "directory", COORDINATOR)).unwrap();
    std::fs::remove_file(&real).unwrap();
    let answer = look(stage.path(), &[stage.path()]);
    for name in [FILE, COORDINATOR] {
        for directory in &expected {
            assert_eq!(
                verdict(&answer, format!("{directory}/{name}")),
                by_name_only("lock-not-file"),
                "{directory}/{name}"
            );
        }
        for directory in ["link", "to-device", "dangling", "loop"] {
            assert_eq!(
                verdict(&answer, format!("{directory}/{name}")),
                by_name_only("lock-symlink"),
                "{directory}/{name}"
            );
        }
    }
    assert_eq!(verdict(&answer, format!("directory/{COORDINATOR}")), by_name_only("lock-not-file"));
    assert_nothing_goes(&stage);
    for directory in ["fifo", "socket", "link", "dangling"] {
        let single = stage.path().join(directory).join(FILE);
        assert_eq!(look(stage.path(), &[&single]).lock()["path"], single.to_str().unwrap());
    }
}

#[test]
fn a_file_that_says_too_much_or_belongs_elsewhere_is_not_believed() {
    let stage = Stage::new();
    let huge = std::fs::File::create(at(&stage, "huge", FILE)).unwrap();
    huge.set_len(1 << 30).unwrap();
    let edge = stale() + &" ".repeat(64 * 1024);
    std::fs::write(at(&stage, "edge", FILE), edge).unwrap();
    std::fs::write(at(&stage, "linked", "elsewhere"), stale()).unwrap();
    std::fs::hard_link(stage.path().join("linked/elsewhere"), at(&stage, "linked", FILE)).unwrap();
    std::fs::write(at(&stage, "twice", FILE), format!("{{\"pid\":1,\"pid\":{}}}", dead_pid())).unwrap();
    std::fs::write(at(&stage, "text", FILE), format!("{{\"pid\":\"{}\"}}", dead_pid())).unwrap();
    std::fs::write(at(&stage, "time", FILE), format!("{{\"pid\":{},\"createdAt\":\"soon\"}}", dead_pid())).unwrap();
    std::fs::write(at(&stage, "colon/memory/.dreams", "short-term-promotion.lock"), "0:17\n").unwrap();
    let answer = look(stage.path(), &[stage.path()]);
    for (place, reason) in [
        ("huge", "record-too-large"),
        ("edge", "record-too-large"),
        ("linked", "record-hard-linked"),
        ("twice", "record-duplicate-keys"),
        ("text", "pid-not-a-number"),
        ("time", "created-at-invalid"),
    ] {
        assert_eq!(verdict(&answer, format!("{place}/{FILE}")), by_name_only(reason), "{place}");
    }
    assert_eq!(verdict(&answer, "short-term-promotion.lock"), by_name_only("pid-zero"));
    assert!(answer.0.stdout.len() < 100_000, "the report holds a record: {} bytes", answer.0.stdout.len());
    // Bytes that may be another file's are not shown.
    assert!(answer.lock_at(format!("linked/{FILE}"))["owner"]["raw"].is_null());
    assert_nothing_goes(&stage);
}

#[test]
fn a_lock_of_no_bytes_waits_for_its_writer_and_is_then_likely_stale() {
    let stage = Stage::new();
    let hour_ago = SystemTime::now() - Duration::from_secs(3_600);
    std::fs::write(at(&stage, "fresh", FILE), "").unwrap();
    std::fs::write(at(&stage, "old", FILE), "").unwrap();
    std::fs::File::options()
        .write(true)
        .open(stage.path().join("old").join(FILE))
        .unwrap()
        .set_modified(hour_ago)
        .unwrap();
    let answer = look(stage.path(), &[stage.path()]);
    assert_eq!(verdict(&answer, format!("fresh/{FILE}")), by_name_only("record-empty"));
    assert_eq!(verdict(&answer, format!("old/{FILE}")).3, "likely-stale");
    doctor([OsStr::new("repair"), stage.path().as_os_str()]);
    assert!(stage.path().join("old").join(FILE).exists(), "an age proves nothing");
    doctor([OsStr::new("repair"), "--yes".as_ref(), stage.path().as_os_str()]);
    assert!(stage.path().join("fresh").join(FILE).exists() && !stage.path().join("old").join(FILE).exists());
}

/// What a record says of its own age is as good as the clock, or the program, that wrote it.
#[test]
fn a_record_without_pid_of_1970_in_a_file_made_just_now_is_young() {
    let stage = Stage::new();
    let record = r#"{"createdAt":"1970-01-01T00:00:00.000Z"}"#;
    std::fs::write(at(&stage, "written", FILE), record).unwrap();
    // Its last change may be set by anybody; its birth by nobody.
    std::fs::write(at(&stage, "touched", FILE), record).unwrap();
    let touched = std::fs::File::options().write(true).open(stage.path().join("touched").join(FILE)).unwrap();
    touched.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let answer = look(stage.path(), &[stage.path()]);
    for place in ["written", "touched"] {
        assert_eq!(verdict(&answer, format!("{place}/{FILE}")), by_name_only("record-without-pid"), "{place}");
    }
    assert_nothing_goes(&stage);
}

/// Whoever put something there knows more than we do.
#[test]
fn a_bare_directory_that_holds_something_is_never_emptied() {
    let stage = Stage::new();
    let hour_ago = SystemTime::now() - Duration::from_secs(3_600);
    for (place, name, inside) in [
        ("file", FILE, "note"),
        ("hidden", GUARD, ".x"),
        ("record", GUARD, "owner.json"),
        ("clobber", "openclaw.json.clobber.lock", "openclaw.json.1"),
    ] {
        let lock = at(&stage, place, name);
        std::fs::create_dir(&lock).unwrap();
        std::fs::write(lock.join(inside), stale()).unwrap();
        std::fs::File::open(&lock).unwrap().set_modified(hour_ago).unwrap();
    }
    std::fs::create_dir_all(at(&stage, "nested", FILE).join(FILE)).unwrap();
    let answer = look(stage.path(), &[stage.path()]);
    for (place, name) in [
        ("file", FILE),
        ("hidden", GUARD),
        ("record", GUARD),
        ("clobber", "openclaw.json.clobber.lock"),
        ("nested", FILE),
    ] {
        assert_eq!(verdict(&answer, format!("{place}/{name}")), by_name_only("lock-not-empty"), "{place}");
    }
    assert_nothing_goes(&stage);
    // Even by its name nothing is deleted in it.
    let before = snapshot(stage.path());
    for lock in [stage.path().join("file").join(FILE), stage.path().join("record").join(GUARD)] {
        let answer = doctor([OsStr::new("repair"), "--lock".as_ref(), lock.as_os_str(), "--yes".as_ref()]);
        assert_ne!(answer.code(), 0, "{}", answer.out());
    }
    assert_eq!(before, snapshot(stage.path()));
}

#[test]
fn a_session_of_any_name_is_shown_harmlessly_and_found_again_by_its_name() {
    let stage = Stage::new();
    let names: [&[u8]; 7] = [
        b"\xff\xfe.jsonl.lock",
        b"\x1b[31mred\x1b[0m.jsonl.lock",
        b"a\nNext: rm -rf ~.jsonl.lock",
        "\u{202e}txt.jsonl.lock".as_bytes(),
        b"a b'c\"d$(e)`f`.jsonl.lock",
        b"-rf.jsonl.lock",
        b"\r\t\x07.jsonl.lock",
    ];
    for name in names {
        std::fs::write(at(&stage, "agents/main/sessions", os(name)), stale()).unwrap();
    }
    let answer = look(stage.path(), &[stage.path()]);
    assert_eq!(answer.json()["summary"]["stale_dead_pid"], names.len());
    for name in names {
        let path = stage.path().join("agents/main/sessions").join(OsStr::from_bytes(name));
        let lock = look(stage.path(), &[&path]).lock();
        assert_eq!((&lock["family"], &lock["proof"]), (&"session-write".into(), &true.into()), "{lock}");
    }
}

#[test]
fn a_lock_file_that_may_not_be_read_is_listed_and_not_judged_dead() {
    let stage = Stage::new();
    open_to_all(stage.path());
    let lock = at(&stage, "dark", FILE);
    std::fs::write(&lock, stale()).unwrap();
    mode(&lock, 0);
    let guard = at(&stage, "guard", GUARD);
    std::fs::create_dir(&guard).unwrap();
    mode(&guard, 0);
    let answer = look_as_ordinary(stage.path(), &[stage.path()]);
    assert_eq!(verdict(&answer, format!("dark/{FILE}")), by_name_only("record-unreadable"));
    assert_eq!(verdict(&answer, format!("guard/{GUARD}")), by_name_only("record-unreadable"));
    assert!(answer.lock_at(format!("dark/{FILE}"))["next_step"].as_str().unwrap().contains("as root"));
    mode(&guard, 0o755);
}
