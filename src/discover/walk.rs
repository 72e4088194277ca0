//! Lists one root and reads the locks in it.
//!
//! walkdir lists names only; every lock is opened again from the root's descriptor, through
//! the kernel's own rules against links and mounts. Where there are hundreds of locks, a second
//! thread reads while the first one lists.

use super::deep::Way;
use super::lock::{self, LockReading};
use super::root::{RootKind, RootSpec};
use super::{Idle, LookAlike, places};
use crate::family::{Family, Form, Kind, leads_to_fixed_place};
use crate::problem::{Act, Cause, Problem};
use crate::sys::filesystem::Filesystem;
use crate::sys::tree::{Crossing, Dir, Meta};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::Scope;
use walkdir::{DirEntry, WalkDir};

/// A lock that was found and read.
#[derive(Debug)]
pub struct FoundLock {
    /// Index of its root.
    pub root: usize,
    /// Its path below the root.
    pub below: PathBuf,
    /// Its family.
    pub family: &'static Family,
    /// Which of the family's forms it has.
    pub form: Form,
    /// No other program would give it this name in this place.
    pub surely_openclaws: bool,
    /// What it says.
    pub reading: LockReading,
    /// The directory that it guards.
    pub guarded: Meta,
    /// The filesystem it lies on, if it could be told.
    pub filesystem: Option<Filesystem>,
    /// Whether a mount point lies between root and lock.
    pub crossing: Crossing,
}

impl FoundLock {
    /// Its name in the directory that holds it.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        self.below.file_name().unwrap_or_default()
    }

    /// Its family and form.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind { family: self.family, form: self.form, is_sure: self.surely_openclaws }
    }
}

/// Directories in which no release takes a lock: packages, and what fsck(8) finds on an ext4 volume.
const NEVER_ENTERED: [&[u8]; 2] = [b"node_modules", b"lost+found"];
/// Locks that the listing thread reads itself before a second thread is worth its start.
const ALONE: usize = 256;
/// Where the kernel's own filesystems are mounted by custom: only there is asked for them.
const KERNELS_NAMES: &[&[u8]] = &[b"proc", b"sys", b"cgroup", b"pts"];
/// How much deeper than its depth a walk goes where it met a state dir, or its places, on its way.
const BELOW: usize = 7;
/// Locks handed over at once.
const BATCH: usize = 64;
/// Batches that may wait; with more the listing thread reads one itself.
const BACKLOG: usize = 4;

/// The filesystem of each device, asked once.
type Filesystems = HashMap<(u32, u32), Option<Filesystem>>;

/// A lock that was listed and not yet read.
struct Find {
    below: PathBuf,
    kind: Kind,
}

/// What reading a find gave.
enum Read {
    Lock(Box<FoundLock>),
    /// Nobody holds it; the directory that it stands in.
    Idle(Meta),
}

/// What a walk tells while it goes.
pub(super) enum Event {
    Lock(Box<FoundLock>),
    /// A kernel lock's file that nobody holds, and the directory that it stands in.
    Idle(Idle, Meta),
    /// A look-alike, and the directory that it stands in.
    LookAlike(LookAlike, Meta),
    Problem(Problem),
    Vanished,
}

/// A root that is open, with what the walk needs to know of it.
pub(super) struct Walk<'a> {
    pub(super) index: usize,
    pub(super) spec: &'a RootSpec,
    pub(super) root: &'a Dir,
    /// The root's path in messages.
    pub(super) shown: PathBuf,
    /// The root is a state dir, by its name or by what is in it.
    pub(super) is_state_dir: bool,
    /// PATHs of their own below this one: what lies in them is looked at from there.
    pub(super) others: &'a [&'a Path],
    /// Whether as many names were seen as may be.
    pub(super) is_over: &'a (dyn Fn() -> bool + Sync),
    /// Whether another mount below a root shows a directory that was looked through: by its path.
    pub(super) is_repeated: &'a (dyn Fn(&Path) -> bool + Sync),
}

impl Walk<'_> {
    /// Walks the root, telling each find; `alive` is called for every directory entry.
    pub(super) fn run(&self, alive: &(dyn Fn() + Sync), tell: &(dyn Fn(Event) + Sync)) {
        if let Some(name) = &self.spec.only {
            let below = Path::new(name);
            return match self.root.meta_of(name.as_bytes()) {
                Ok(seen) => {
                    if let Some(kind) = self.spec.kind_of(&self.spec.path.join(below), seen.kind) {
                        self.lock(&Find { below: below.to_owned(), kind }, &mut Filesystems::new(), tell);
                    }
                }
                Err(errno) => tell(Event::Problem(self.problem(below, Act::LookAtLock, errno))),
            };
        }
        std::thread::scope(|scope| {
            let (mut filesystems, mut locks) = (Filesystems::new(), 0);
            let mut read = |find: &Find| {
                alive();
                self.lock(find, &mut filesystems, tell);
            };
            let mut helper: Option<SyncSender<Vec<Find>>> = None;
            let mut batch = Vec::new();
            self.list(alive, tell, &mut |find| {
                locks += 1;
                if locks <= ALONE {
                    return read(&find);
                }
                batch.push(find);
                if batch.len() < BATCH {
                    return;
                }
                let batch = std::mem::take(&mut batch);
                let helper = helper.get_or_insert_with(|| self.start_helper(scope, alive, tell));
                // A helper that has enough to do, or that could not be started, hands it back.
                if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) = helper.try_send(batch) {
                    batch.iter().for_each(&mut read);
                }
            });
            drop(helper);
            batch.iter().for_each(&mut read);
        });
    }

    /// A thread that reads locks while this one lists.
    fn start_helper<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        alive: &'scope (dyn Fn() + Sync),
        tell: &'scope (dyn Fn(Event) + Sync),
    ) -> SyncSender<Vec<Find>> {
        let (sender, receiver) = sync_channel::<Vec<Find>>(BACKLOG);
        let work = move || {
            let mut filesystems = Filesystems::new();
            for find in receiver.into_iter().flatten() {
                alive();
                self.lock(&find, &mut filesystems, tell);
            }
        };
        // Without it the receiver is gone, and the listing thread reads them all.
        let _ = std::thread::Builder::new().name("locks".to_owned()).spawn_scoped(scope, work);
        sender
    }

    /// Lists the root. Locks are told with `find`, and counted as seen when they are read.
    ///
    /// By its path, which the kernel resolves in 5 µs where the pinned one through /proc takes 8
    /// (measured); by the pinned one if the path is not the root's, or no longer was at the end:
    /// that one survives a rename or replacement of the root while it is listed.
    fn list(&self, alive: &dyn Fn(), tell: &dyn Fn(Event), find: &mut dyn FnMut(Find)) {
        let pinned = self.root.pinned_path();
        let named = (self.spec.via.is_none() && self.is_at(&self.spec.path)).then_some(&self.spec.path);
        if let Some(start) = named.or(pinned.is_none().then_some(&self.spec.path)) {
            self.list_from(start, alive, tell, find);
            if self.is_at(start) {
                return;
            }
        }
        if let Some(start) = pinned {
            self.list_from(&start, alive, tell, find);
        }
    }

    /// Whether the root still stands at this path.
    fn is_at(&self, path: &Path) -> bool {
        let standing = Dir::open_root(path).and_then(|dir| dir.meta());
        matches!((self.root.meta(), standing), (Ok(root), Ok(standing)) if root.same_file(&standing))
    }

    fn list_from(&self, start: &Path, alive: &dyn Fn(), tell: &dyn Fn(Event), find: &mut dyn FnMut(Find)) {
        // A directory at the last depth is not even opened, so that nobody else's walk has more.
        let more = if self.spec.kind == RootKind::Path { BELOW } else { 0 };
        let entries = WalkDir::new(start).min_depth(1).max_depth(self.spec.depth + more);
        let mut way = Way::new(&self.spec.path, self.is_state_dir);
        // Else the rest of a directory is kept while another one is looked through.
        let mut entries = entries.max_open(self.spec.depth + more + 1).into_iter();
        while let Some(entry) = entries.next() {
            if (self.is_over)() {
                let cause = Cause::TooManyNames { most: super::ceilings::NAMES };
                return tell(Event::Problem(Problem { path: self.shown.clone(), cause }));
            }
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    alive();
                    self.walk_error(start, &error).into_iter().for_each(tell);
                    continue;
                }
            };
            let name = entry.file_name().as_bytes();
            let below = below(&entry, start);
            way.at(entry.depth(), entry.file_name());
            if is_dir(&entry) && (self.is_repeated)(&self.spec.path.join(below)) {
                alive();
                entries.skip_current_dir();
                continue;
            }
            if let Some(kind) = self.kind(&entry, below) {
                find(Find { below: below.to_owned(), kind });
            } else {
                alive();
                if entry.file_type().is_symlink() && self.hides_locks(&entry, below) {
                    tell(Event::Problem(Problem { path: self.shown.join(below), cause: Cause::Link }));
                }
                if name.ends_with(b".lock") && is_dir(&entry) {
                    self.look_alike(below, tell);
                } else if !NEVER_ENTERED.contains(&name)
                    && !self.is_kernels(&entry)
                    && !self.is_of_another(&entry)
                    && (!is_dir(&entry) || self.enters(&entry, below, &mut way))
                {
                    if is_dir(&entry) {
                        way.enter(entry.file_name());
                    }
                    continue;
                }
            }
            if is_dir(&entry) {
                entries.skip_current_dir();
            }
        }
        if let Some(left) = way.end() {
            let common = left.common();
            let cause = Cause::TooDeep { depth: self.spec.depth, count: left.count, all: common.is_some() };
            tell(Event::Problem(Problem { path: self.shown.join(common.unwrap_or(left.first)), cause }));
        }
    }

    /// Whether a directory is looked into. At the depth where a walk of a PATH ends, one that leads
    /// to the places of a state dir still is; what else is left out there is noted.
    fn enters(&self, entry: &DirEntry, below: &Path, way: &mut Way) -> bool {
        if self.spec.kind != RootKind::Path {
            return self.spec.enters(below) && entry.depth() < self.spec.depth;
        }
        let is_entered =
            entry.depth() < self.spec.depth || entry.depth() < self.spec.depth + BELOW && places::leads_to_place(below);
        let in_another = || {
            let path = self.spec.path.join(below);
            self.others.iter().any(|other| path.starts_with(other))
        };
        if !is_entered && !in_another() {
            way.leave(below);
        }
        is_entered
    }

    /// Whether it is one of the kernel's own filesystems, which hold no files: `scan /` meets them.
    fn is_kernels(&self, entry: &DirEntry) -> bool {
        let is_named = self.spec.kind == RootKind::Path && KERNELS_NAMES.contains(&entry.file_name().as_bytes());
        is_named && is_dir(entry) && filesystem_of(entry.path()).is_some_and(|filesystem| filesystem.is_kernels())
    }

    /// Whether it is another user's directory in the temp directory, in which OpenClaw takes no
    /// lock for us: what is planted there must not decide our exit code.
    fn is_of_another(&self, entry: &DirEntry) -> bool {
        let own = rustix::process::geteuid();
        let own_only = self.spec.kind == RootKind::Temp && !own.is_root() && is_dir(entry);
        own_only && entry.metadata().is_ok_and(|meta| meta.uid() != own.as_raw())
    }

    /// What an entry is by its name. A name that says it together with its directory's is looked
    /// at with the root's own path: the start of the walk may be a descriptor.
    fn kind(&self, entry: &DirEntry, below: &Path) -> Option<Kind> {
        let name = entry.file_name();
        // Nearly all names end differently, and no path need be put together for them.
        if !crate::family::may_be_lock(name.as_bytes()) {
            return None;
        }
        // No release locks in the temp directory itself, where anybody may put anything.
        if self.spec.kind == RootKind::Temp && below.components().count() == 1 {
            return None;
        }
        let file_type = match entry.file_type() {
            kind if kind.is_dir() => FileType::Directory,
            kind if kind.is_file() => FileType::RegularFile,
            kind if kind.is_symlink() => FileType::Symlink,
            _ => FileType::Unknown,
        };
        self.spec.kind_of(&self.spec.path.join(below), file_type)
    }

    /// Whether a symbolic link stands where a directory that holds locks would.
    fn hides_locks(&self, entry: &DirEntry, below: &Path) -> bool {
        let expected = match self.spec.kind {
            RootKind::State => leads_to_fixed_place(below),
            // Anybody can put a link there, and OpenClaw itself refuses it.
            RootKind::Temp => false,
            RootKind::Path => {
                let inside = || places::in_state_dir(below, self.is_state_dir);
                places::is_place(entry.file_name()) || inside().is_some_and(leads_to_fixed_place)
            }
            RootKind::Stage | RootKind::Package | RootKind::Config => places::is_place(entry.file_name()),
        };
        expected && leads_to_directory(entry)
    }

    fn lock(&self, find: &Find, filesystems: &mut Filesystems, tell: &dyn Fn(Event)) {
        match self.read(&find.below, find.kind, filesystems) {
            Ok(Read::Lock(found)) => tell(Event::Lock(found)),
            Ok(Read::Idle(directory)) => {
                tell(Event::Idle(Idle { path: self.shown.join(&find.below), family: find.kind.family }, directory));
            }
            Err(Errno::NOENT) if self.spec.only.is_none() => tell(Event::Vanished),
            Err(errno) => tell(Event::Problem(self.problem(&find.below, Act::LookAtLock, errno))),
        }
    }

    fn read(&self, below: &Path, kind: Kind, filesystems: &mut Filesystems) -> Result<Read, Errno> {
        let at_once = kind.form.is_directory().then(|| self.read_at_once(below, kind, filesystems)).flatten();
        if let Some(found) = at_once {
            return Ok(Read::Lock(Box::new(found)));
        }
        let parent_path = below.parent().unwrap_or(Path::new(""));
        let (parent, crossing) = match self.root.open_below(parent_path, Crossing::SameMount) {
            Ok(parent) => (parent, Crossing::SameMount),
            Err(Errno::XDEV) => (self.root.open_below(parent_path, Crossing::AnyMount)?, Crossing::AnyMount),
            Err(errno) => return Err(errno),
        };
        let guarded = parent.meta()?;
        let filesystem = *filesystems.entry(guarded.device).or_insert_with(|| parent.filesystem().ok());
        Ok(match lock::read(&parent, below.file_name().unwrap_or_default(), kind)? {
            Some(reading) => Read::Lock(Box::new(self.found(below, kind, reading, guarded, filesystem, crossing))),
            None => Read::Idle(guarded),
        })
    }

    fn found(
        &self,
        below: &Path,
        kind: Kind,
        reading: LockReading,
        guarded: Meta,
        filesystem: Option<Filesystem>,
        crossing: Crossing,
    ) -> FoundLock {
        let Kind { family, form, .. } = kind;
        let surely_openclaws = self.spec.is_unmistakable(kind, below.file_name().unwrap_or_default());
        let (root, below, reading) = (self.index, below.to_owned(), reading.shortened());
        FoundLock { root, below, family, form, surely_openclaws, reading, guarded, filesystem, crossing }
    }

    /// The usual lock, a directory on the root's own mount, opened in one step and asked for the
    /// directory above it. `None` for whatever is not so simple.
    fn read_at_once(&self, below: &Path, kind: Kind, filesystems: &mut Filesystems) -> Option<FoundLock> {
        let crossing = Crossing::SameMount;
        let lock = self.root.open_below(below, crossing).ok()?;
        let mut guarded = lock.meta_of(b"..").ok()?;
        let reading = lock::read_opened(&lock, kind).ok()?;
        if guarded.mount_id == 0 {
            guarded.mount_id = reading.meta.mount_id;
        }
        let filesystem = *filesystems.entry(guarded.device).or_insert_with(|| lock.filesystem().ok());
        Some(self.found(below, kind, reading, guarded, filesystem, crossing))
    }

    /// A directory named like a lock, with a record like a lock's, that no known release writes.
    fn look_alike(&self, below: &Path, tell: &dyn Fn(Event)) {
        let parent = self.root.open_below(below.parent().unwrap_or(Path::new("")), Crossing::AnyMount);
        let Ok(directory) = parent.and_then(|parent| parent.meta()) else { return };
        let Ok(dir) = self.root.open_below(below, Crossing::AnyMount) else { return };
        if dir.meta_of(b"owner.json").is_ok() {
            tell(Event::LookAlike(LookAlike { path: self.shown.join(below) }, directory));
        }
    }

    /// What an error of the listing means; nothing where the directory is out of scope.
    fn walk_error(&self, start: &Path, error: &walkdir::Error) -> Option<Event> {
        let below = error.path().and_then(|path| path.strip_prefix(start).ok()).unwrap_or(Path::new(""));
        let errno = error.io_error().and_then(Errno::from_io_error).unwrap_or(Errno::IO);
        if errno == Errno::NOENT {
            return Some(Event::Vanished);
        }
        // What another user keeps in the temp directory is for a run of that user.
        let of_another = self.spec.kind == RootKind::Temp && !rustix::process::geteuid().is_root();
        if of_another && errno == Errno::ACCESS && !below.as_os_str().is_empty() {
            return None;
        }
        Some(Event::Problem(self.problem(below, Act::ListDirectory, errno)))
    }

    fn problem(&self, below: &Path, act: Act, errno: Errno) -> Problem {
        let path = if below.as_os_str().is_empty() { self.shown.clone() } else { self.shown.join(below) };
        problem(path, act, errno)
    }
}

/// A problem by a failed system call.
pub(super) fn problem(path: PathBuf, act: Act, errno: Errno) -> Problem {
    Problem { path, cause: Cause::System { act, errno } }
}

/// The path of an entry below the start of its walk. By bytes, since walkdir only appends:
/// taking both paths apart costs as much as reading a record.
fn below<'a>(entry: &'a DirEntry, start: &Path) -> &'a Path {
    let path = entry.path().as_os_str().as_bytes();
    let rest = path.strip_prefix(start.as_os_str().as_bytes()).unwrap_or(path);
    Path::new(OsStr::from_bytes(rest.strip_prefix(b"/").unwrap_or(rest)))
}

fn filesystem_of(path: &Path) -> Option<Filesystem> {
    let statfs = rustix::fs::statfs(path).ok()?;
    Some(Filesystem { magic: u64::from_ne_bytes(statfs.f_type.to_ne_bytes()) & 0xFFFF_FFFF })
}

fn leads_to_directory(entry: &DirEntry) -> bool {
    // What leads nowhere leads to a volume that is not mounted here.
    let stat = rustix::fs::stat(entry.path());
    stat.map_or(true, |stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn is_dir(entry: &DirEntry) -> bool {
    entry.file_type().is_dir()
}

/// The version in the name of a version directory: `openclaw-<version>-<hash12>`.
#[must_use]
pub(crate) fn version_of(directory: &OsStr) -> Option<&str> {
    let name = directory.to_str()?.strip_prefix("openclaw-")?;
    let (version, hash) = name.rsplit_once('-')?;
    let is_hash = hash.len() == 12 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hash && !version.is_empty()).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_what_stands_between_name_and_hash() {
        for (name, version) in [
            ("openclaw-2026.4.26-f53b52ad6d21", Some("2026.4.26")),
            ("openclaw-2026.4.30-beta.1-f53b52ad6d21", Some("2026.4.30-beta.1")),
            ("openclaw-unknown-f53b52ad6d21", Some("unknown")),
            ("openclaw-2026.4.26", None),
            ("other-2026.4.26-f53b52ad6d21", None),
        ] {
            assert_eq!(version_of(OsStr::new(name)), version, "{name}");
        }
    }
}
