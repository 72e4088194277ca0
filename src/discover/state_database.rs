//! Whether somebody has the database of a state dir open: a sign of life that shows on the volume
//! itself, whatever PID namespace it lives in.
//!
//! Source: a process that has a WAL database of SQLite open holds a shared lock on its file, and
//! one on byte 128 of the `-shm` file beside it (`UNIX_SHM_DMS` of SQLite's os_unix.c), until it
//! closes it or dies. The kernel is asked (`F_GETLK`), nothing is locked, read or written.

use crate::evidence::{DatabaseUnknown, DatabaseUse};
use crate::hold::KernelHold;
use crate::sys::kernel_lock::look;
use crate::sys::tree::{Crossing, Dir, Meta};
use crate::units::EpochMs;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::path::Path;

/// Asks for the database of the state dir whose `tmp/openclaw-<uid>` is `place`, where a gateway of
/// 2026.8.1 and later has its locks; `since` is when the lock there was taken.
///
/// The pid is that of our own PID namespace. May wait for ever on a dead mount, as all that reads
/// a lock.
pub(super) fn ask(place: &Dir, since: Option<EpochMs>) -> DatabaseUse<Option<u32>> {
    state_dir(place).and_then(|state| of_state_dir(&state, since)).unwrap_or_else(DatabaseUse::CannotTell)
}

/// Where the databases are, if the lock's place is that of a state dir and all lies on one mount:
/// behind another one the lock's owner may see other files than this run.
fn state_dir(place: &Dir) -> Result<Dir, DatabaseUnknown> {
    let none = |_| DatabaseUnknown::NoStateDir;
    let tmp = place.parent().map_err(none)?;
    let state = tmp.parent().map_err(none)?;
    let named = state.open_below(Path::new("tmp"), Crossing::SameMount).map_err(none)?;
    let same_file = named.meta().map_err(none)?.same_file(&tmp.meta().map_err(none)?);
    if !same_file || !state.meta().map_err(none)?.same_mount(&place.meta().map_err(none)?) {
        return Err(DatabaseUnknown::NoStateDir);
    }
    state.open_below(Path::new("state"), Crossing::SameMount).map_err(none)
}

fn of_state_dir(state: &Dir, since: Option<EpochMs>) -> Result<DatabaseUse<Option<u32>>, DatabaseUnknown> {
    let (_, of_file) = hold(state, b"openclaw.sqlite")?;
    let index = hold(state, b"openclaw.sqlite-shm");
    if let KernelHold::Held { pid, .. } = index.map_or(of_file, |(_, of_index)| of_file.or(of_index)) {
        return Ok(DatabaseUse::Held(pid));
    }
    // Without an index it was closed in order, or is of a release that needs none: that nobody has
    // it locked says nothing then.
    let (index, of_index) = index?;
    if of_file != KernelHold::Free || of_index != KernelHold::Free {
        return Err(DatabaseUnknown::Unreadable);
    }
    // A lock that was taken in a layer of an overlay does not show through it, nor the other way.
    if !state.filesystem().is_ok_and(|filesystem| filesystem.is_local() && !filesystem.is_overlay()) {
        return Err(DatabaseUnknown::Filesystem);
    }
    // Its users change the index: as they open it, write, or set its mode, which 2026.9.6 does all the
    // while. Was that last before the lock, its owner may use another database. A foreign `chmod` looks
    // the same, for which reason nothing is proven by it.
    match (index.changed, since) {
        (Some(used), Some(since)) if used > since => Ok(DatabaseUse::Free(used)),
        _ => Err(DatabaseUnknown::NotUsedSince),
    }
}

/// Who has a file locked that stands here and on this mount.
fn hold(state: &Dir, name: &[u8]) -> Result<(Meta, KernelHold), DatabaseUnknown> {
    let unreadable = |_| DatabaseUnknown::Unreadable;
    let seen = match state.meta_of(name) {
        Ok(seen) => seen,
        Err(Errno::NOENT) => return Err(DatabaseUnknown::NoDatabase),
        Err(_) => return Err(DatabaseUnknown::Unreadable),
    };
    if seen.kind != FileType::RegularFile || !seen.same_mount(&state.meta().map_err(unreadable)?) {
        return Err(DatabaseUnknown::Unreadable);
    }
    look(state, name, &seen).map(|hold| (seen, hold)).map_err(unreadable)
}
