//! The same for locks that are files.

use crate::has_immutable_files;
use crate::support::trace::{can_trace, traced};
use crate::support::{Answer, dead_pid, doctor};
use crate::world::{Doctor, Mounted, ORDINARY, STRANGER, give, is_root, open_dir, skip, tool};
use rustix::fs::FlockOperation;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// No release clears a gateway's by itself: whoever else runs here, it is ours to remove.
const LOCK: &str = "gateway.5b681173.lock";

/// Three lock files whose owners are dead; the second meets the fault.
pub(crate) struct Three {
    state: tempfile::TempDir,
    locks: [PathBuf; 3],
}

impl Three {
    pub(crate) fn new() -> Self {
        let state = open_dir();
        let locks = ["a", "b", "c"].map(|agent| make(&state.path().join(agent)));
        Self { state, locks }
    }

    fn middle(&self) -> &Path {
        &self.locks[1]
    }

    fn place(&self) -> &Path {
        self.middle().parent().unwrap()
    }

    pub(crate) fn args<'a>(&'a self, more: &[&'a OsStr]) -> Vec<&'a OsStr> {
        let mut args = vec!["repair".as_ref(), "--json".as_ref(), "--assume-single-writer".as_ref()];
        args.push(self.state.path().as_os_str());
        args.extend(more);
        args
    }

    fn repair(&self) -> Answer {
        doctor(self.args(&[]))
    }

    /// This one met this end, for a reason with these words; it is whole, the others are gone.
    fn check(&self, stays: usize, answer: &Answer, words: &[&str]) {
        let judged = answer.lock_at(&self.locks[stays]);
        assert_eq!(judged["outcome"], "failed", "{}", answer.out());
        let detail = judged["outcome_detail"].as_str().unwrap();
        for word in words {
            assert!(detail.contains(word), "{word} is not in: {detail}");
        }
        assert_eq!(answer.code(), 4, "{}", answer.out());
        for (index, lock) in self.locks.iter().enumerate() {
            if index == stays {
                assert!(fs::read_to_string(lock).unwrap().contains("\"pid\""), "the lock that stays is not whole");
            } else {
                assert_eq!(answer.lock_at(lock)["outcome"], "removed", "{}", answer.out());
            }
        }
        self.check_names(&[stays]);
    }

    /// All are gone, without a word.
    pub(crate) fn check_all_removed(&self, answer: &Answer, case: &str) {
        assert_eq!(answer.code(), 0, "{case}: {}{}", answer.out(), answer.err());
        for lock in &self.locks {
            assert_eq!(answer.lock_at(lock)["outcome"], "removed", "{case}: {}", answer.out());
        }
        self.check_names(&[]);
    }

    /// What these directories hold: their lock, if it stays, and nothing of ours.
    fn check_names(&self, stay: &[usize]) {
        for (index, lock) in self.locks.iter().enumerate() {
            let names = fs::read_dir(lock.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
            let names: Vec<_> = names.filter(|name| name != "filler").collect();
            let expected: &[&str] = if stay.contains(&index) { &[LOCK] } else { &[] };
            assert_eq!(names, expected, "{}", lock.display());
        }
    }
}

fn make(place: &Path) -> PathBuf {
    fs::create_dir_all(place).unwrap();
    let at = humantime::format_rfc3339_millis(SystemTime::now());
    let record = format!("{{\n  \"pid\": {},\n  \"createdAt\": \"{at}\",\n  \"startTime\": 7\n}}\n", dead_pid());
    fs::write(place.join(LOCK), record).unwrap();
    place.join(LOCK)
}

/// A filesystem without an exchange, or a sandbox that forbids the call.
#[test]
fn without_an_exchange_a_file_is_removed_all_the_same() {
    if !can_trace() {
        return;
    }
    for error in ["ENOSYS", "EINVAL", "EPERM", "EOPNOTSUPP"] {
        let three = Three::new();
        let inject = format!("inject=renameat2:error={error}");
        let (answer, trace) = traced(&["-e", "trace=renameat2,unlinkat", "-e", &inject], three.args(&[]));
        three.check_all_removed(&answer, error);
        assert_eq!(trace.matches("RENAME_EXCHANGE").count(), 3, "{trace}");
        assert_eq!(trace.matches(&format!("\"{LOCK}\", 0) = 0")).count(), 3, "{trace}");
    }
}

/// The stand-in of a name that has no room for its suffix has a shorter one, and is cleared like any.
#[test]
fn a_file_with_a_long_name_goes_by_exchange_too() {
    if !can_trace() {
        return;
    }
    // 239 bytes have room for the suffix, 255 are the most that a name may have.
    for length in [239, 240, 255] {
        let state = open_dir();
        let place = state.path().join("agents/main/sessions");
        fs::create_dir_all(&place).unwrap();
        let lock = place.join(format!("{}.jsonl.lock", "x".repeat(length - ".jsonl.lock".len())));
        let text =
            format!("{{\"pid\": {}, \"createdAt\": \"2026-05-01T20:18:48.682Z\", \"starttime\": 7}}", dead_pid());
        let args = || ["repair", "--json", "--yes", "--assume-single-writer"].map(OsStr::new).into_iter();
        let repair = |options: &[&str]| traced(options, args().chain([state.path().as_os_str()]));
        let left = || fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();

        fs::write(&lock, &text).unwrap();
        let (answer, trace) = repair(&["-e", "trace=renameat2"]);
        assert_eq!(
            (answer.lock()["outcome"].as_str(), left().len()),
            (Some("removed"), 0),
            "{length}: {}",
            answer.out()
        );
        assert!(trace.contains("RENAME_EXCHANGE) = 0"), "{length}: {trace}");

        // A doctor that dies with the stand-in beside the lock, or in its place.
        for call in ["renameat2", "renameat"] {
            fs::write(&lock, &text).unwrap();
            let inject = format!("inject={call}:signal=SIGKILL:when=1");
            repair(&["-e", &inject]);
            assert_eq!(left().len(), 2, "{length}: killed at {call}");
            for _ in 0..2 {
                repair(&["-e", "trace=none"]);
            }
            assert_eq!(left().len(), 0, "{length}: what a doctor left that was killed at {call} stays");
        }
    }
}

#[test]
fn an_exchange_that_fails_stops_its_own_lock_only() {
    if !can_trace() {
        return;
    }
    let three = Three::new();
    let (answer, trace) = traced(&["-e", "inject=renameat2:error=EIO:when=1"], three.args(&[]));
    assert!(trace.contains("EIO"), "{trace}");
    three.check(0, &answer, &["cannot exchange the lock", "Input/output error"]);
}

/// The judged file is out of its place by then.
#[test]
fn a_last_step_that_fails_puts_the_file_back() {
    if !can_trace() {
        return;
    }
    let three = Three::new();
    let inject = "inject=?renameat:error=EIO:when=1";
    let (answer, trace) = traced(&["-e", "trace=?renameat,renameat2", "-e", inject], three.args(&[]));
    assert!(trace.contains("EIO"), "{trace}");
    three.check(0, &answer, &["cannot remove the lock", "Input/output error"]);
}

#[test]
fn a_disk_without_room_for_a_stand_in_does_not_keep_a_stale_file() {
    if !is_root() {
        return skip("no mount without root");
    }
    for options in ["size=4096", "nr_inodes=3"] {
        let three = Three::new();
        let _mount = {
            tool("mount", ["-t", "tmpfs", "-o", options, "tmpfs", three.place().to_str().unwrap()]);
            Mounted(three.place().to_owned())
        };
        if options.starts_with("size") {
            make(three.place());
            assert!(fs::write(three.place().join("filler"), [0; 4096]).is_err(), "there is room left");
        } else {
            make(three.place());
            fs::write(three.place().join("filler"), "").unwrap();
            assert!(fs::write(three.place().join("one more"), "").is_err(), "there is room left");
        }
        three.check_all_removed(&three.repair(), options);
    }
}

#[test]
fn a_read_only_filesystem_stops_its_own_files_only() {
    if !is_root() {
        return skip("no mount without root");
    }
    let three = Three::new();
    let mount = Mounted::tmpfs(three.place());
    make(three.place());
    tool("mount", [OsStr::new("-o"), "remount,ro".as_ref(), mount.0.as_os_str()]);
    three.check(1, &three.repair(), &["Read-only file system", "mount the filesystem read-write first"]);
}

#[test]
fn an_immutable_file_or_its_directory_stops_its_own_lock_only() {
    if !has_immutable_files() {
        return;
    }
    for (what, attribute) in [("lock", 'i'), ("lock", 'a'), ("directory", 'i'), ("directory", 'a')] {
        let three = Three::new();
        let target = if what == "lock" { three.middle() } else { three.place() };
        let (set, clear) = (format!("+{attribute}"), format!("-{attribute}"));
        tool("chattr", [OsStr::new(&set), target.as_os_str()]);
        let answer = three.repair();
        tool("chattr", [OsStr::new(&clear), target.as_os_str()]);
        if (what, attribute) == ("directory", 'a') {
            // What is made there cannot be taken away again: not ours to prevent, but to be told.
            let judged = answer.lock_at(three.middle());
            assert_eq!((judged["outcome"].as_str(), answer.code()), (Some("failed"), 4), "{}", answer.out());
            assert!(judged["outcome_detail"].as_str().unwrap().contains("lsattr"), "{}", answer.out());
            continue;
        }
        three.check(1, &answer, &["Operation not permitted", "lsattr"]);
    }
}

#[test]
fn a_file_in_a_directory_of_another_user_stays_whole() {
    if !is_root() {
        return skip("no other users without root");
    }
    for (mode, lock, words) in [(0o755, ORDINARY, "Permission denied"), (0o1777, STRANGER, "Operation not permitted")] {
        let three = Three::new();
        give(three.state.path(), ORDINARY);
        chown(three.place(), Some(0), Some(0)).unwrap();
        fs::set_permissions(three.place(), PermissionsExt::from_mode(mode)).unwrap();
        give(three.middle(), lock);
        let answer = Doctor::of_user(ORDINARY).run(three.args(&[]));
        three.check(1, &answer, &[words, "run it as the owner of that directory or as root"]);
    }
}

/// The owner of the directory may remove anybody's file in it; so may a sticky directory's or the lock's.
#[test]
fn whoever_may_remove_a_file_does() {
    if !is_root() {
        return skip("no other users without root");
    }
    for (mode, parent, lock, who) in [
        (0o755, ORDINARY, 0, ORDINARY),
        (0o755, ORDINARY, STRANGER, ORDINARY),
        (0o1777, ORDINARY, STRANGER, ORDINARY),
        (0o1777, 0, ORDINARY, ORDINARY),
        (0o1777, STRANGER, ORDINARY, 0),
        (0o755, STRANGER, ORDINARY, 0),
    ] {
        let three = Three::new();
        give(three.state.path(), ORDINARY);
        give(three.middle(), lock);
        chown(three.place(), Some(parent), Some(parent)).unwrap();
        fs::set_permissions(three.place(), PermissionsExt::from_mode(mode)).unwrap();
        let answer = Doctor::of_user(who).run(three.args(&[]));
        three.check_all_removed(&answer, &format!("{mode:o} {parent} {lock} {who}"));
    }
}

#[test]
fn a_file_mounted_over_a_lock_is_not_removed() {
    if !is_root() {
        return skip("no mount without root");
    }
    let (three, other) = (Three::new(), open_dir());
    let mount = Mounted::bind(&make(other.path()), three.middle());
    let first = three.repair();
    assert_ne!(first.lock_at(three.middle())["outcome"], "removed", "{}", first.out());
    let named = doctor(three.args(&["--lock".as_ref(), three.middle().as_os_str(), "--yes".as_ref()]));
    let detail = named.lock()["outcome_detail"].as_str().unwrap().to_owned();
    assert_eq!((named.lock()["outcome"].as_str(), named.code()), (Some("failed"), 4), "{}", named.out());
    assert!(detail.contains("it is a mount point: unmount it first"), "{detail}");
    drop(mount);
    three.check_names(&[1]);
    assert!(other.path().join(LOCK).exists());
}

/// No OpenClaw locks its lock files: who does is another program, and lives.
#[test]
fn a_file_that_somebody_has_locked_stays_whatever_the_word() {
    type Hold = fn(&fs::File);
    let holds: [(&str, Hold); 4] = [
        ("flock, alone", |file| rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive).unwrap()),
        ("flock, shared", |file| rustix::fs::flock(file, FlockOperation::NonBlockingLockShared).unwrap()),
        ("fcntl, alone", |file| rustix::fs::fcntl_lock(file, FlockOperation::NonBlockingLockExclusive).unwrap()),
        ("fcntl, shared", |file| rustix::fs::fcntl_lock(file, FlockOperation::NonBlockingLockShared).unwrap()),
    ];
    for (how, hold) in holds {
        let three = Three::new();
        // Nothing else of this process opens it: to close it again would drop fcntl's lock.
        let file = fs::File::options().read(true).write(true).open(three.middle()).unwrap();
        hold(&file);
        let named = ["--lock".as_ref(), three.middle().as_os_str(), "--yes".as_ref()];
        for more in [&[][..], &["--yes".as_ref()], &named] {
            let answer = doctor(three.args(more));
            let judged = answer.lock_at(three.middle());
            assert_eq!((judged["outcome"].as_str(), answer.code()), (Some("held-back"), 0), "{how}: {}", answer.out());
            let told = (judged["classification"].as_str(), judged["reason"].as_str(), &judged["leaning"]);
            assert_eq!(told, (Some("active"), Some("kernel-lock-held"), &serde_json::Value::Null), "{how}: {judged}");
            three.check_names(&[1]);
        }
        drop(file);
        let answer = three.repair();
        assert_eq!(answer.lock()["outcome"], "removed", "{how}: {}", answer.out());
        three.check_names(&[]);
    }
}
