//! The same by way of locks that are files, and of what stands in for them.

use super::{Field, held, under_exchange_at};
use crate::support::{HANG, dead_pid};
use crate::world::{ORDINARY, give};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, mknodat, openat, statat};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// No release clears a gateway's by itself: it is the doctor's to remove, whoever else runs here.
pub(crate) const LOCK: &str = "gateway.5b681173.lock";
const STAND_IN: &str = "gateway.5b681173.lock.openclaw-doctor";

/// A dead owner's record with a word in it.
pub(crate) fn dead(word: &str) -> String {
    let at = humantime::format_rfc3339_millis(SystemTime::now());
    format!("{{\"pid\":{},\"createdAt\":\"{at}\",\"configPath\":\"{word}\",\"startTime\":7}}", dead_pid())
}

/// What a doctor that was killed leaves in a lock's place, by the user's own hand.
fn forged_stand_in() -> String {
    let at = humantime::format_rfc3339_millis(SystemTime::now() - Duration::from_secs(3600));
    format!("{{\"createdAt\": \"{at}\", \"madeBy\": \"openclaw-doctor, to remove a stale lock\"}}\n")
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
}

#[test]
fn what_is_called_like_a_lock_file_leads_nowhere() {
    let Some(field) = Field::new() else { return };
    let began = Instant::now();
    for what in ["a link", "a relative link", "a hard link", "a hard link to a lock", "a FIFO", "a directory"] {
        let place = field.stage().join(what.replace(' ', "-"));
        fs::create_dir(&place).unwrap();
        let lock = place.join(LOCK);
        match what {
            "a link" => symlink(field.outside().join(LOCK), &lock).unwrap(),
            "a relative link" => symlink(Path::new("../../outside").join(LOCK), &lock).unwrap(),
            "a hard link" => fs::hard_link(field.outside().join("secret"), &lock).unwrap(),
            "a hard link to a lock" => fs::hard_link(field.outside().join(LOCK), &lock).unwrap(),
            "a FIFO" => fifo(&lock),
            _ => fs::create_dir(&lock).unwrap(),
        }
        lchown(&place, Some(ORDINARY), Some(ORDINARY)).unwrap();
        field.attack(std::slice::from_ref(&lock), what);
        // By name a second name goes, and its file stays.
        assert_eq!(lock.symlink_metadata().is_ok(), !what.starts_with("a hard link"), "{what}");
    }
    assert!(began.elapsed() < HANG, "it waited for a FIFO");
}

#[test]
fn what_is_called_like_a_stand_in_leads_nowhere() {
    let Some(field) = Field::new() else { return };
    for forged in [false, true] {
        for what in ["a link", "a dangling link", "a hard link", "a hard link to a lock", "a FIFO", "a directory"] {
            let place = field.stage().join(format!("{}-{forged}", what.replace(' ', "-")));
            fs::create_dir(&place).unwrap();
            let (lock, stand_in) = (place.join(LOCK), place.join(STAND_IN));
            // A stand-in in the lock's place would have what is beside it put in its own.
            fs::write(&lock, if forged { forged_stand_in() } else { dead("nobody") }).unwrap();
            match what {
                "a link" => symlink(field.outside().join(LOCK), &stand_in).unwrap(),
                "a dangling link" => symlink(field.outside().join("new"), &stand_in).unwrap(),
                "a hard link" => fs::hard_link(field.outside().join("secret"), &stand_in).unwrap(),
                "a hard link to a lock" => fs::hard_link(field.outside().join(LOCK), &stand_in).unwrap(),
                "a FIFO" => fifo(&stand_in),
                _ => fs::create_dir(&stand_in).unwrap(),
            }
            for path in [&place, &lock] {
                lchown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
            }
            let inode = stand_in.symlink_metadata().unwrap().ino();
            field.attack(std::slice::from_ref(&lock), what);
            assert!(!lock.exists(), "{what}: it keeps a stale lock from being removed");
            assert_eq!(stand_in.symlink_metadata().unwrap().ino(), inode, "{what} was touched");
        }
    }
}

#[test]
fn a_lock_file_swapped_while_it_runs_leads_nowhere() {
    for (other, what) in [("link", "a swapped lock file"), (STAND_IN, "a lock file swapped with the stand-in")] {
        let Some(field) = Field::new() else { return };
        let place = field.stage().join("agent");
        fs::create_dir(&place).unwrap();
        let inside = held(&place);
        symlink(field.outside().join(LOCK), place.join(other)).unwrap();
        give(&place, ORDINARY);
        let (lock, other) = (place.join(LOCK), place.join(other));
        under_exchange_at(&field, &lock, &lock, &other, &|| put_back(&inside, &other), what);
    }
}

#[test]
fn a_lock_files_parent_swapped_while_it_runs_leads_nowhere() {
    let Some(field) = Field::new() else { return };
    let (place, link) = (field.stage().join("agent"), field.stage().join("link"));
    fs::create_dir(&place).unwrap();
    let inside = held(&place);
    symlink(field.outside(), &link).unwrap();
    lchown(&link, Some(ORDINARY), Some(ORDINARY)).unwrap();
    give(&place, ORDINARY);
    let lock = place.join(LOCK);
    under_exchange_at(&field, &lock, &place, &link, &|| put_back(&inside, Path::new("link")), "a swapped parent");
}

/// Makes the lock again, and the link that it is swapped with, where they are gone, through the
/// directory's descriptor. Says whether the lock was.
fn put_back(place: &OwnedFd, other: &Path) -> bool {
    let names = [LOCK.as_ref(), other.file_name().unwrap()];
    let is_file = |name: &&std::ffi::OsStr| {
        let stat = statat(place, *name, AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    };
    // Swapped between two looks, it may seem gone; it is made where there is room only.
    if names.iter().any(is_file) {
        return false;
    }
    let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for name in names {
        if let Ok(file) = openat(place, name, create, Mode::from_raw_mode(0o644)) {
            rustix::io::write(&file, dead("nobody").as_bytes()).unwrap();
            return true;
        }
    }
    false
}

#[test]
fn a_living_process_of_anothers_keeps_its_lock_file() {
    let Some(field) = Field::new() else { return };
    let node = crate::world::living_as("node");
    let lock = field.stage().join(LOCK);
    let at = humantime::format_rfc3339_millis(SystemTime::now());
    let (pid, ticks) = (node.pid(), node.ticks());
    fs::write(&lock, format!("{{\"pid\":{pid},\"createdAt\":\"{at}\",\"startTime\":{ticks}}}")).unwrap();
    give(&field.stage(), ORDINARY);
    field.attack(std::slice::from_ref(&lock), "an active lock file");
    assert!(lock.exists());
}
