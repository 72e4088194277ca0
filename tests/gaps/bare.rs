//! The same for bare directories beside an OpenClaw that may clear or take them at this moment.

use super::files::Ground;
use super::once_at;
use openclaw_doctor::remove::{Outcome, OutcomeKind, Step};
use openclaw_doctor::restraint::{By, Restraint, User};
use rustix::fs::XattrFlags;
use std::cell::RefCell;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const BEFORE_THE_EXCHANGE: [Step; 6] =
    [Step::Pinned, Step::OurTurn, Step::Read, Step::Judged, Step::StandInMade, Step::Checked];
const WHILE_IT_STANDS: [Step; 2] = [Step::Exchanged, Step::Known];

fn stand_in(ground: &Ground) -> PathBuf {
    ground.lock().with_file_name("auth-profiles.json.lock.openclaw-doctor.d")
}

fn inode(path: &Path) -> u64 {
    path.symlink_metadata().unwrap().ino()
}

fn remove(ground: &Ground, at: &mut dyn FnMut(Step)) -> Outcome {
    let user = User { pid: 4_242, program: "openclaw".to_owned(), versions: Vec::new() };
    ground.remove_beside(Some(&Restraint::SelfHealing(By::User(user))), || {}, at)
}

/// What a reclaiming peer does: rmdir(2) by path, then mkdir(2).
fn reclaim(ground: &Ground) -> Option<u64> {
    fs::remove_dir(ground.lock()).ok()?;
    fs::create_dir(ground.lock()).unwrap();
    Some(inode(&ground.lock()))
}

#[test]
fn without_interference_a_bare_directory_goes_by_exchange() {
    let ground = Ground::bare();
    let mut steps = Vec::new();
    let outcome = remove(&ground, &mut |step| steps.push(step));
    assert_eq!((outcome.kind, outcome.detail.as_str()), (OutcomeKind::Removed, ""));
    assert_eq!(steps, [&BEFORE_THE_EXCHANGE[..], &WHILE_IT_STANDS, &[Step::Removed]].concat());
    assert!(!ground.lock().exists());
    ground.assert_no_litter(&ground.place(), "alone");
}

/// The next owner's directory, made by whoever reclaimed the judged one.
#[test]
fn a_bare_directory_that_was_reclaimed_and_taken_stays() {
    for step in BEFORE_THE_EXCHANGE.into_iter().chain(WHILE_IT_STANDS) {
        let (ground, case) = (Ground::bare(), format!("{step:?}"));
        let taken = RefCell::new(None);
        let outcome = remove(&ground, &mut once_at(step, || *taken.borrow_mut() = reclaim(&ground)));
        match (taken.into_inner(), step) {
            (Some(next), _) => assert_eq!(inode(&ground.lock()), next, "{case}: {outcome:?}"),
            (None, _) => panic!("{case}: it could not be reclaimed"),
        }
        let expected = if WHILE_IT_STANDS.contains(&step) { OutcomeKind::Removed } else { OutcomeKind::Changed };
        assert_eq!(outcome.kind, expected, "{case}: {outcome:?}");
        ground.assert_no_litter(&ground.place(), &case);
    }
}

#[test]
fn a_bare_directory_that_was_reclaimed_and_not_taken_is_gone() {
    for step in [Step::Exchanged, Step::Known] {
        let ground = Ground::bare();
        let outcome = remove(&ground, &mut once_at(step, || fs::remove_dir(ground.lock()).unwrap()));
        assert_eq!((outcome.kind, ground.lock().exists()), (OutcomeKind::Removed, false), "{step:?}: {outcome:?}");
        ground.assert_no_litter(&ground.place(), &format!("{step:?}"));
    }
}

#[test]
fn a_bare_directory_that_is_touched_in_the_last_instant_comes_back() {
    for step in BEFORE_THE_EXCHANGE {
        let ground = Ground::bare();
        let judged = inode(&ground.lock());
        let outcome = remove(&ground, &mut once_at(step, || ground.touch(SystemTime::now())));
        assert_eq!(outcome.kind, OutcomeKind::Changed, "{step:?}: {outcome:?}");
        assert_eq!(inode(&ground.lock()), judged, "{step:?}");
        ground.assert_no_litter(&ground.place(), &format!("{step:?}"));
    }
}

/// An owner touches its lock by path, as proper-lockfile does: it lives, and has the stand-in for its lock.
#[test]
fn a_bare_directory_that_is_touched_while_the_stand_in_stands_is_left() {
    for step in WHILE_IT_STANDS {
        let ground = Ground::bare();
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        let outcome = remove(&ground, &mut once_at(step, || ground.touch(later)));
        assert_eq!(outcome.kind, OutcomeKind::Changed, "{step:?}: {outcome:?}");
        assert_eq!(ground.lock().metadata().unwrap().modified().unwrap(), later, "{step:?}");
        ground.assert_no_litter(&ground.place(), &format!("{step:?}"));
    }
}

/// Some owner puts something into its lock, by path: it has the stand-in for its lock then.
#[test]
fn what_an_owner_wrote_into_the_stand_in_stays_its_lock() {
    for step in WHILE_IT_STANDS {
        let ground = Ground::bare();
        let outcome =
            remove(&ground, &mut once_at(step, || fs::write(ground.lock().join("owner.json"), "me").unwrap()));
        assert_eq!(outcome.kind, OutcomeKind::Changed, "{step:?}: {outcome:?}");
        let names: Vec<_> = fs::read_dir(ground.lock()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["owner.json"], "{step:?}: {outcome:?}");
        ground.assert_no_litter(&ground.place(), &format!("{step:?}"));
    }
}

#[test]
fn what_takes_the_place_of_a_bare_directory_before_the_exchange_stays() {
    for what in ["a file", "something in it"] {
        for step in BEFORE_THE_EXCHANGE {
            let (ground, case) = (Ground::bare(), format!("{what} at {step:?}"));
            let standing = RefCell::new(0);
            let replace = || {
                match what {
                    "a file" => ground.put_live_lock(),
                    _ => fs::write(ground.lock().join("precious"), "precious").unwrap(),
                }
                *standing.borrow_mut() = inode(&ground.lock());
            };
            let outcome = remove(&ground, &mut once_at(step, replace));
            assert!(matches!(outcome.kind, OutcomeKind::Changed | OutcomeKind::Refused), "{case}: {outcome:?}");
            assert_eq!(inode(&ground.lock()), *standing.borrow(), "{case}");
            ground.assert_no_litter(&ground.place(), &case);
        }
    }
}

/// `user:1000:rwx`, in the kernel's own form (include/uapi/linux/posix_acl_xattr.h).
fn access_list() -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] =
        [(1, 7, u32::MAX), (2, 7, 1_000), (4, 5, u32::MAX), (0x10, 7, u32::MAX), (0x20, 0, u32::MAX)];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend([&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat());
    }
    bytes
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = Vec::with_capacity(4_096);
    rustix::fs::getxattr(path, name, rustix::buffer::spare_capacity(&mut value)).ok()?;
    Some(value)
}

/// Whoever could touch the lock, or was kept off it, can and is while the stand-in stands.
#[test]
fn the_stand_in_of_a_directory_lets_in_whom_the_lock_lets_in() {
    const NAMES: [&str; 3] = ["system.posix_acl_access", "system.posix_acl_default", "security.selinux"];
    let root = rustix::process::geteuid().is_root();
    for mode in [0o700, 0o755, 0o2770, 0o1777] {
        for listed in [false, true] {
            let (ground, case) = (Ground::bare(), format!("{mode:o}, {listed}"));
            let lock = ground.lock();
            if root {
                chown(&lock, Some(12_345), Some(12_346)).unwrap();
            }
            fs::set_permissions(&lock, Permissions::from_mode(mode)).unwrap();
            if listed {
                for name in &NAMES[..2] {
                    rustix::fs::setxattr(&lock, *name, &access_list(), XattrFlags::empty()).unwrap();
                }
                if root {
                    rustix::fs::setxattr(&lock, NAMES[2], b"system_u:object_r:tmp_t:s0\0", XattrFlags::empty())
                        .unwrap();
                }
            } else {
                // Inherited by what is made here, and not what the lock has.
                rustix::fs::setxattr(ground.place(), NAMES[1], &access_list(), XattrFlags::empty()).unwrap();
            }
            let told = |path: &Path| {
                let meta = path.metadata().unwrap();
                (meta.mode(), meta.uid(), meta.gid(), NAMES.map(|name| attribute(path, name)))
            };
            let (wanted, seen) = (told(&lock), RefCell::new(None));
            let outcome = remove(&ground, &mut once_at(Step::Exchanged, || *seen.borrow_mut() = Some(told(&lock))));
            assert_eq!(outcome.kind, OutcomeKind::Removed, "{case}: {outcome:?}");
            assert_eq!(seen.into_inner(), Some(wanted), "{case}");
        }
    }
}

#[test]
fn what_a_killed_doctor_left_beside_a_bare_directory_does_not_stay() {
    let user = || User { pid: 4_242, program: "openclaw".to_owned(), versions: Vec::new() };
    for beside in [None, Some(Restraint::SelfHealing(By::User(user())))] {
        let (ground, case) = (Ground::bare(), format!("{beside:?}"));
        fs::create_dir(stand_in(&ground)).unwrap();
        let outcome = ground.remove_beside(beside.as_ref(), || {}, &mut |_| {});
        assert_eq!(outcome.kind, OutcomeKind::Removed, "{case}: {outcome:?}");
        assert!(!ground.lock().exists(), "{case}");
        ground.assert_no_litter(&ground.place(), &case);
    }
}

/// Without a stand-in it is not removed beside a running OpenClaw: rmdir(2) may hit the next owner's.
#[test]
fn what_is_in_the_way_of_the_stand_in_keeps_a_bare_directory() {
    for what in ["a file", "a full directory"] {
        let ground = Ground::bare();
        match what {
            "a file" => fs::write(stand_in(&ground), "precious").unwrap(),
            _ => fs::create_dir_all(stand_in(&ground).join("precious")).unwrap(),
        }
        let before = (inode(&ground.lock()), inode(&stand_in(&ground)));
        let outcome = remove(&ground, &mut |_| {});
        assert_eq!(outcome.kind, OutcomeKind::Refused, "{what}: {outcome:?}");
        assert!(outcome.detail.contains("is in the way") && outcome.detail.contains("stop it"), "{outcome:?}");
        assert_eq!((inode(&ground.lock()), inode(&stand_in(&ground))), before, "{what}");
        // And where nobody runs, it goes all the same.
        assert_eq!(ground.remove(|| {}, &mut |_| {}).kind, OutcomeKind::Removed, "{what}");
        let kind = fs::create_dir(stand_in(&ground)).unwrap_err().kind();
        assert_eq!(kind, ErrorKind::AlreadyExists, "{what}");
    }
}
