//! A FIFO or a device that takes a file's name at any moment is never opened: that alone wakes who
//! waits at the other end, rewinds a tape, starts a watchdog.

use super::support::{DEPS, Stage, dead_pid, doctor, lab_required, record};
use rustix::fs::{CWD, FileType, Mode, RenameFlags, inotify, mknodat, renameat_with};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Names that are read, and what is beside each to be exchanged with it.
fn names(stage: &Stage) -> Vec<PathBuf> {
    let state = stage.path().join(".openclaw");
    let sessions = state.join("agents/main/sessions");
    let lock_dir = state.join("tmp/openclaw-1000");
    for directory in [&sessions, &lock_dir] {
        std::fs::create_dir_all(directory).unwrap();
    }
    let mut names: Vec<PathBuf> = (0..40).map(|number| sessions.join(format!("{number}.jsonl.lock"))).collect();
    names.extend((0..20).map(|number| lock_dir.join(format!("gateway.{number:08x}.lock.sqlite"))));
    names.extend((0..20).map(|number| stage.lock(&format!("v{number}"), DEPS, None).join("owner.json")));
    names.push(state.join("gateway.state.lock"));
    names.push(state.join("gateway.state.lock.sqlite"));
    names
}

/// Exchanges regular files with special ones for as long as `runs` last; how often a special one was opened.
fn opened_while(kind: FileType, runs: impl FnOnce(&Path)) -> Option<usize> {
    let stage = Stage::new();
    let text = record(dead_pid(), Some(7));
    let pairs: Vec<(PathBuf, PathBuf)> = names(&stage)
        .into_iter()
        .enumerate()
        .map(|(number, name)| (name, stage.path().join(format!("other-{number}"))))
        .collect();
    let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).unwrap();
    for (name, other) in &pairs {
        std::fs::write(name, &text).unwrap();
        // The device of /dev/null: if it is opened all the same, no harm is done.
        if mknodat(CWD, other, kind, Mode::from_raw_mode(0o666), rustix::fs::makedev(1, 3)).is_err() {
            return None;
        }
        inotify::add_watch(&events, other, inotify::WatchFlags::OPEN).unwrap();
    }
    let (done, exchanged) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for (name, other) in &pairs {
                    if renameat_with(CWD, name, CWD, other, RenameFlags::EXCHANGE).is_ok() {
                        exchanged.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    // A repair has removed the regular one, perhaps with the directory that held it.
                    for missing in [name, other] {
                        if std::fs::symlink_metadata(missing).is_err() {
                            // And may remove the next one before it has its record.
                            std::fs::create_dir_all(missing.parent().unwrap()).unwrap();
                            let _ = std::fs::write(missing, &text);
                        }
                    }
                }
            }
        });
        runs(stage.path());
        done.store(true, Ordering::Relaxed);
    });
    assert!(exchanged.load(Ordering::Relaxed) > pairs.len(), "nothing was exchanged");
    Some(count(&events))
}

fn count(events: &OwnedFd) -> usize {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut count = 0;
    let mut reader = inotify::Reader::new(events, &mut buffer);
    while let Ok(event) = reader.next() {
        count += usize::from(event.events().contains(inotify::ReadFlags::OPEN));
    }
    count
}

/// `open(O_WRONLY | O_NONBLOCK)` of a FIFO without a reader says so.
fn fifo_has_no_reader(path: &Path) -> bool {
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
    rustix::fs::open(path, flags, Mode::empty()).is_err_and(|errno| errno == rustix::io::Errno::NXIO)
}

#[test]
fn what_is_exchanged_with_a_fifo_or_a_device_is_never_opened_as_one() {
    for kind in [FileType::Fifo, FileType::CharacterDevice] {
        let opened = opened_while(kind, |path| {
            for _ in 0..40 {
                let answer = doctor([OsStr::new("scan"), "--json".as_ref(), path.as_os_str()]);
                assert!([0, 1, 3].contains(&answer.code()), "{}", answer.err());
            }
            for _ in 0..10 {
                doctor([
                    OsStr::new("repair"),
                    "--yes".as_ref(),
                    "--json".as_ref(),
                    "--assume-single-writer".as_ref(),
                    path.as_os_str(),
                ]);
            }
        });
        match opened {
            Some(opened) => assert_eq!(opened, 0, "{kind:?} opened"),
            None => lab_required("no device node can be made here"),
        }
    }
}

/// What waits to write into a FIFO goes on as soon as somebody opens it.
#[test]
fn whoever_waits_at_a_fifo_in_a_locks_place_is_not_woken() {
    let stage = Stage::new();
    for name in names(&stage) {
        mknodat(CWD, &name, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
        assert!(fifo_has_no_reader(&name));
    }
    let waiting: Vec<_> = names(&stage)
        .into_iter()
        .map(|name| {
            super::support::Living(
                std::process::Command::new("sh").args(["-c", "echo > \"$1\"", "sh"]).arg(name).spawn().unwrap(),
            )
        })
        .collect();
    for command in [&["scan"][..], &["scan", "--json"], &["repair", "--yes"], &["explain"]] {
        doctor(command.iter().map(OsStr::new).chain([stage.path().as_os_str()]));
    }
    for mut writer in waiting {
        assert!(writer.0.try_wait().unwrap().is_none(), "a writer was let go");
    }
}
