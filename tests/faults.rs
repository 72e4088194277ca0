//! When the system says no: a clear error with its remedy, exit code 4, the lock left whole, and
//! every other lock handled all the same.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::disallowed_methods)]

#[path = "faults/files.rs"]
mod files;
#[path = "faults/receipts.rs"]
mod receipts;
mod support;
#[path = "support/world.rs"]
mod world;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{read, read_to_string, write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use support::{Answer, DEPS, dead_pid, doctor, record};
use world::{Doctor, Mounted, ORDINARY, STRANGER, can, give, is_root, open_dir, plant, skip, tool};

/// Three locks whose owners are dead; the second meets the fault. The flag makes it a proof
/// also where the tests run in a container.
struct Three {
    stage: tempfile::TempDir,
    locks: [PathBuf; 3],
}

impl Three {
    fn new() -> Self {
        let stage = open_dir();
        let dead = record(dead_pid(), Some(7));
        let lock = |version: &str| plant(stage.path(), version, DEPS, Some(dead.as_bytes()));
        let locks = ["openclaw-a", "openclaw-b", "openclaw-c"].map(lock);
        Self { stage, locks }
    }

    fn middle(&self) -> &Path {
        &self.locks[1]
    }

    fn args<'a>(&'a self, more: &[&'a OsStr]) -> Vec<&'a OsStr> {
        let mut args = vec!["repair".as_ref(), "--json".as_ref(), "--assume-single-writer".as_ref()];
        args.push(self.stage.path().as_os_str());
        args.extend(more);
        args
    }

    fn repair(&self) -> Answer {
        doctor(self.args(&[]))
    }

    /// The middle one met this end, for a reason with these words; it is whole, the others are gone.
    fn check(&self, answer: &Answer, outcome: &str, words: &[&str]) {
        let judged = answer.lock_at(self.middle());
        assert_eq!(judged["outcome"], outcome, "{}", answer.out());
        let detail = judged["outcome_detail"].as_str().unwrap();
        for word in words {
            assert!(detail.contains(word), "{word} is not in: {detail}");
        }
        assert_eq!(answer.code(), 4, "{}", answer.out());
        assert!(self.middle().join("owner.json").exists(), "the lock that stays has lost its record");
        for lock in [&self.locks[0], &self.locks[2]] {
            assert_eq!(answer.lock_at(lock)["outcome"], "removed", "{}", answer.out());
            assert!(!lock.exists());
        }
    }
}

#[test]
fn a_read_only_filesystem_stops_its_own_locks_only() {
    if !is_root() {
        return skip("no mount without root");
    }
    let three = Three::new();
    let version = three.middle().parent().unwrap().to_owned();
    let mount = Mounted::tmpfs(&version);
    plant(&version, "", DEPS, Some(record(dead_pid(), Some(7)).as_bytes()));
    tool("mount", [OsStr::new("-o"), "remount,ro".as_ref(), mount.0.as_os_str()]);
    three.check(&three.repair(), "failed", &["Read-only file system", "mount the filesystem read-write first"]);
}

/// A sticky directory lets everybody make locks and nobody remove another's. What cannot be
/// removed to its end must not be begun: without its record a lock says nothing of its owner.
#[test]
fn a_lock_in_a_foreign_sticky_directory_keeps_its_record() {
    if !is_root() {
        return skip("no other users without root");
    }
    let three = Three::new();
    give(three.stage.path(), ORDINARY);
    let version = three.middle().parent().unwrap();
    chown(version, Some(0), Some(0)).unwrap();
    std::fs::set_permissions(version, PermissionsExt::from_mode(0o1777)).unwrap();
    give(three.middle(), STRANGER);
    std::fs::set_permissions(three.middle(), PermissionsExt::from_mode(0o777)).unwrap();
    let answer = Doctor::of_user(ORDINARY).run(three.args(&[]));
    three.check(&answer, "failed", &["Operation not permitted", "run it as the owner of that directory or as root"]);
}

#[test]
fn a_lock_in_a_directory_of_another_user_keeps_its_record() {
    if !is_root() {
        return skip("no other users without root");
    }
    let three = Three::new();
    give(three.stage.path(), ORDINARY);
    chown(three.middle().parent().unwrap(), Some(0), Some(0)).unwrap();
    let answer = Doctor::of_user(ORDINARY).run(three.args(&[]));
    three.check(&answer, "failed", &["Permission denied", "run it as the owner of that directory or as root"]);
}

/// The owner of a sticky directory, or of the lock in it, may remove; so may root.
#[test]
fn a_sticky_directory_does_not_stop_who_may_remove() {
    if !is_root() {
        return skip("no other users without root");
    }
    for (parent, lock, who) in [(ORDINARY, STRANGER, ORDINARY), (0, ORDINARY, ORDINARY), (STRANGER, ORDINARY, 0)] {
        let three = Three::new();
        give(three.stage.path(), ORDINARY);
        let version = three.middle().parent().unwrap();
        chown(version, Some(parent), Some(parent)).unwrap();
        std::fs::set_permissions(version, PermissionsExt::from_mode(0o1777)).unwrap();
        give(three.middle(), lock);
        std::fs::set_permissions(three.middle(), PermissionsExt::from_mode(0o777)).unwrap();
        let answer = Doctor::of_user(who).run(three.args(&[]));
        assert_eq!((answer.lock_at(three.middle())["outcome"].as_str(), answer.code()), (Some("removed"), 0));
    }
}

/// Whether files here can be made immutable.
fn has_immutable_files() -> bool {
    if !is_root() {
        skip("no immutable files without root");
        return false;
    }
    let probe = open_dir();
    let can_be = can("chattr", [OsStr::new("+i"), probe.path().as_os_str()]);
    if can_be {
        tool("chattr", [OsStr::new("-i"), probe.path().as_os_str()]);
    } else {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"this filesystem has no immutable attribute\n");
    }
    can_be
}

#[test]
fn an_immutable_file_stops_its_own_lock_only() {
    if !has_immutable_files() {
        return;
    }
    for what in ["record", "lock", "version directory"] {
        let three = Three::new();
        let target = match what {
            "record" => three.middle().join("owner.json"),
            "lock" => three.middle().to_owned(),
            _ => three.middle().parent().unwrap().to_owned(),
        };
        tool("chattr", [OsStr::new("+i"), target.as_os_str()]);
        let answer = three.repair();
        tool("chattr", [OsStr::new("-i"), target.as_os_str()]);
        three.check(&answer, "failed", &["Operation not permitted", "lsattr"]);
    }
}

#[test]
fn a_mounted_file_in_place_of_the_record_is_not_removed() {
    if !is_root() {
        return skip("no mount without root");
    }
    let three = Three::new();
    let record_file = three.middle().join("owner.json");
    let other = three.stage.path().join("other");
    write(&other, record(dead_pid(), Some(7))).unwrap();
    let mount = Mounted::bind(&other, &record_file);
    let first = three.repair();
    assert_eq!(first.lock_at(three.middle())["outcome"], "held-back", "{}", first.out());
    assert!(!three.locks[0].exists() && !three.locks[2].exists());
    let named = doctor(three.args(&["--lock".as_ref(), three.middle().as_os_str(), "--yes".as_ref()]));
    let detail = named.lock()["outcome_detail"].as_str().unwrap().to_owned();
    assert_eq!((named.lock()["outcome"].as_str(), named.code()), (Some("failed"), 4), "{}", named.out());
    assert!(detail.contains("it is a mount point: unmount it first"), "{detail}");
    drop(mount);
    assert!(record_file.exists() && other.exists());
}

/// A lock that is a mount point is not ours to look into: exit 3, and the others are handled.
#[test]
fn a_mount_point_on_a_lock_is_reported_and_left() {
    if !is_root() {
        return skip("no mount without root");
    }
    let (three, other) = (Three::new(), open_dir());
    write(other.path().join("owner.json"), record(dead_pid(), Some(7))).unwrap();
    let _mount = Mounted::bind(other.path(), three.middle());
    for more in [&[][..], &["--yes".as_ref()]] {
        let answer = doctor(three.args(more));
        assert_eq!(answer.code(), 3, "{}", answer.out());
        let problems = answer.json()["problems"].clone();
        assert_eq!(problems[0]["path"].as_str(), three.middle().to_str());
        assert!(problems[0]["next_step"].as_str().unwrap().contains("unmount"), "{problems}");
        assert!(other.path().join("owner.json").exists());
        assert!(!three.locks[0].exists() && !three.locks[2].exists());
    }
}

#[test]
fn a_lock_with_anything_else_in_it_is_refused_whole() {
    for extra in ["a file", "a hidden file", "a directory", "a link"] {
        let three = Three::new();
        let path = three.middle().join(if extra == "a hidden file" { ".notes" } else { "notes" });
        match extra {
            "a directory" => std::fs::create_dir(&path).unwrap(),
            "a link" => symlink("/nowhere", &path).unwrap(),
            _ => write(&path, "mine").unwrap(),
        }
        three.check(&three.repair(), "refused", &["notes", "no OpenClaw release puts there", "look at it by hand"]);
        assert!(path.symlink_metadata().is_ok());
        let text = doctor(["repair".as_ref(), "--assume-single-writer".as_ref(), three.stage.path().as_os_str()]);
        assert_eq!(text.code(), 4);
        assert!(text.out().contains("once the cause above is removed"), "{}", text.out());
    }
}

#[test]
fn a_record_that_is_a_directory_is_refused_even_by_name() {
    let three = Three::new();
    let record_file = three.middle().join("owner.json");
    std::fs::remove_file(&record_file).unwrap();
    std::fs::create_dir(&record_file).unwrap();
    write(record_file.join("inner"), "mine").unwrap();
    let answer = doctor(three.args(&["--lock".as_ref(), three.middle().as_os_str(), "--yes".as_ref()]));
    let judged = answer.lock();
    assert_eq!((judged["outcome"].as_str(), answer.code()), (Some("refused"), 4), "{}", answer.out());
    assert!(judged["outcome_detail"].as_str().unwrap().contains("is a directory"));
    assert_eq!(read_to_string(record_file.join("inner")).unwrap(), "mine");
}

#[test]
fn a_doctor_that_works_in_a_directory_is_waited_for_and_not_for_ever() {
    let three = Three::new();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let held = rustix::fs::open(three.middle().parent().unwrap(), flags, Mode::empty()).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    let answer = three.repair();
    assert_eq!((answer.lock_at(three.middle())["outcome"].as_str(), answer.code()), (Some("busy"), 1));
    assert!(three.middle().join("owner.json").exists());
    assert!(!three.locks[0].exists() && !three.locks[2].exists());
    let waiting = std::thread::scope(|scope| {
        let run = scope.spawn(|| three.repair());
        std::thread::sleep(std::time::Duration::from_millis(300));
        drop(held);
        run.join().unwrap()
    });
    assert_eq!((waiting.lock()["outcome"].as_str(), waiting.code()), (Some("removed"), 0));
}

fn all_whole(three: &Three) {
    for lock in &three.locks {
        assert!(lock.join("owner.json").exists(), "{} was touched", lock.display());
    }
}

#[test]
fn nothing_is_removed_without_a_receipt_that_opens() {
    let three = Three::new();
    let at = open_dir();
    let link = at.path().join("link");
    symlink(at.path().join("target"), &link).unwrap();
    for path in [at.path().to_owned(), at.path().join("nowhere/receipt"), link] {
        let answer = doctor(three.args(&["--yes".as_ref(), "--receipt".as_ref(), path.as_os_str()]));
        assert_eq!((answer.code(), answer.out().as_str()), (4, ""), "{}", path.display());
        assert!(answer.err().contains("nothing was removed"), "{}", answer.err());
        assert!(answer.err().contains(path.to_str().unwrap()), "{}", answer.err());
        all_whole(&three);
    }
    assert!(!at.path().join("target").exists(), "the link was followed");
}

fn lines(receipt: &Path) -> Vec<Value> {
    read_to_string(receipt).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A disk that fills up between intent and outcome: what was removed is told, the rest stays.
#[test]
fn a_receipt_that_fills_up_stops_the_run_and_is_told() {
    if !is_root() {
        return skip("no mount without root");
    }
    let (three, at) = (Three::new(), open_dir());
    let trial = Three::new();
    let measured = at.path().join("measured");
    doctor(trial.args(&["--receipt".as_ref(), measured.as_os_str()]));
    let intent = read_to_string(&measured).unwrap().find('\n').unwrap() + 1;
    let disk = open_dir();
    tool("mount", ["-t", "tmpfs", "-o", "size=4096", "tmpfs", disk.path().to_str().unwrap()]);
    let _mount = Mounted(disk.path().to_owned());
    let receipt = disk.path().join("receipt");
    // Room for the intent and a few digits more, not for the outcome.
    write(&receipt, vec![b'\n'; 4096 - intent - 32]).unwrap();
    let answer = doctor(three.args(&["--receipt".as_ref(), receipt.as_os_str()]));
    assert_eq!(answer.code(), 4);
    let first = answer.lock_at(&three.locks[0]);
    assert_eq!(first["outcome"], "failed", "{}", answer.out());
    assert!(first["outcome_detail"].as_str().unwrap().contains("it was removed"), "{}", answer.out());
    assert!(!three.locks[0].exists());
    for lock in &three.locks[1..] {
        assert_eq!(answer.lock_at(lock)["outcome"], "refused");
        assert!(lock.join("owner.json").exists());
    }
    let text = String::from_utf8(read(&receipt).unwrap()).unwrap();
    let intent: Value = serde_json::from_str(text.trim_start().lines().next().unwrap()).unwrap();
    assert_eq!((&intent["event"], intent["path"].as_str()), (&"intent".into(), three.locks[0].to_str()));
}

#[test]
fn a_receipt_tells_each_removal_with_the_bytes_that_were_lost() {
    let (three, at) = (Three::new(), open_dir());
    let bytes =
        [record(dead_pid(), Some(7)).trim_end().trim_end_matches('}').as_bytes(), b",\"host\":\"\xff\xfe\"}"].concat();
    write(three.middle().join("owner.json"), &bytes).unwrap();
    write(three.locks[2].join("notes"), "mine").unwrap();
    let text = read_to_string(three.locks[0].join("owner.json")).unwrap();
    let receipt = at.path().join("receipt");
    let dry = doctor(three.args(&["--dry-run".as_ref(), "--receipt".as_ref(), receipt.as_os_str()]));
    assert!(dry.code() == 1 && !receipt.exists(), "a dry run writes no receipt");
    write(&receipt, "what stood there before\n").unwrap();
    let answer = doctor(three.args(&["--receipt".as_ref(), receipt.as_os_str()]));
    assert_eq!(answer.code(), 4);

    let raw = read_to_string(&receipt).unwrap();
    let rest = raw.strip_prefix("what stood there before\n").expect("it was not appended to");
    assert!(rest.ends_with('\n'));
    let lines: Vec<Value> = rest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |line: &Value| -> (String, String) {
        let word = line["outcome"].as_str().unwrap_or("-");
        (format!("{} {word}", line["event"].as_str().unwrap()), line["path"].as_str().unwrap().to_owned())
    };
    let path = |index: usize| three.locks[index].to_str().unwrap().to_owned();
    let expected = [
        ("intent -".to_owned(), path(0)),
        ("outcome removed".to_owned(), path(0)),
        ("intent -".to_owned(), path(1)),
        ("outcome removed".to_owned(), path(1)),
        // Nothing was to be changed in the third: no intent.
        ("outcome refused".to_owned(), path(2)),
    ];
    assert_eq!(lines.iter().map(told).collect::<Vec<_>>(), expected);
    for line in &lines {
        assert_eq!(line["schema"], "openclaw-doctor/receipt/v1");
        assert_eq!(line["family"], "runtime-deps");
        assert!(line["at_ms"].as_i64().unwrap() > 1_700_000_000_000);
        assert_eq!(line["id"], answer.lock_at(line["path"].as_str().unwrap())["id"]);
    }
    assert_eq!((&lines[0]["record"], lines[0].get("record_hex")), (&text.into(), None));
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(lines[2]["record_hex"], hex);
    assert_eq!(lines[2]["consent"], "proof");
    assert_eq!(answer.lock_at(three.middle())["removed_record"]["hex"], hex);
}

/// Others learn nothing from a receipt: it may hold records of many users.
#[test]
fn a_new_receipt_is_for_its_owner_only() {
    let (three, at) = (Three::new(), open_dir());
    let receipt = at.path().join("receipt");
    assert_eq!(doctor(three.args(&["--receipt".as_ref(), receipt.as_os_str()])).code(), 0);
    assert_eq!(receipt.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(lines(&receipt).len(), 6);
}
