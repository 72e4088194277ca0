//! Which running OpenClaw uses the directory of a lock, and so clears it by itself.

use super::world::World;
use crate::discover::lock::{Guard, guard};
use crate::discover::{FoundLock, RootKind, RootReport, RootSpec, places};
use crate::process::roots::Running;
use crate::restraint::{Restraint, User, asks_who_runs, restraint};
use crate::sys::tree::{Crossing, Dir, Meta};
use crate::verdict::Verdict;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A directory by device and inode.
type Identity = ((u32, u32), u64);

/// A directory that a running OpenClaw names, and whether it uses all below it too.
struct Used {
    directory: Identity,
    with_all_below: bool,
}

impl Used {
    /// Whether it is used by a lock whose directory is the first of these, each above the one before.
    fn holds(&self, above: &[Identity]) -> bool {
        let reach = if self.with_all_below { above } else { above.get(..1).unwrap_or_default() };
        reach.contains(&self.directory)
    }
}

/// What was found out so far, each once.
#[derive(Default)]
pub(super) struct Users {
    places: HashMap<u32, Vec<Used>>,
    above: HashMap<(usize, PathBuf), Vec<Identity>>,
}

impl Users {
    /// What keeps a lock from being removed by us.
    pub(super) fn restraint(
        &mut self,
        world: &World,
        found: &FoundLock,
        verdict: &Verdict,
        root: Option<&RootReport>,
        versions: &[String],
    ) -> Option<Restraint> {
        let matters = asks_who_runs(found.family, verdict) && !world.running.is_empty();
        let asked = matters && !is_guarded(world, found, root);
        let users = if asked { self.of(world, found, root) } else { Vec::new() };
        restraint(found.family, verdict, versions, &users)
    }

    /// The running OpenClaws that use a directory in which, or above which, the lock stands.
    fn of(&mut self, world: &World, found: &FoundLock, root: Option<&RootReport>) -> Vec<User> {
        let parent = found.below.parent().unwrap_or(Path::new("")).to_owned();
        let above = self.above.entry((found.root, parent)).or_insert_with_key(|(_, parent)| above(world, root, parent));
        let mut users = Vec::new();
        for process in &world.running {
            let used = self.places.entry(process.pid).or_insert_with(|| used_by(world, process));
            // Where its environment cannot be read, it may use any directory.
            if process.environment.is_none() || used.iter().any(|place| place.holds(above)) {
                let versions = process.packages.iter().map(|package| package.version.clone()).collect();
                users.push(User { pid: process.pid, program: process.program.clone(), versions });
            }
        }
        users
    }
}

/// Opens a root as whoever named it, and works with it; `None` where that cannot be done.
fn opened<T: Send>(world: &World, spec: &RootSpec, work: impl FnOnce(Dir) -> T + Send) -> Option<T> {
    spec.start(world.proc.as_deref()).ok()?.with(|dir, _| work(dir)).ok()
}

/// Whether a guard was left beside the lock, so that nobody heals it.
fn is_guarded(world: &World, found: &FoundLock, root: Option<&RootReport>) -> bool {
    let parent = found.below.parent().unwrap_or(Path::new(""));
    let guarded = |root: Dir| {
        let parent = root.open_below(parent, found.crossing).ok()?;
        Some(guard(&parent, found.name()) == Ok(Guard::Left))
    };
    root.and_then(|root| opened(world, &root.spec, guarded)?).unwrap_or(false)
}

/// The directory of a lock and those above it: up to its root, and above that one too, since a
/// PATH may lead into the middle of a state dir.
fn above(world: &World, root: Option<&RootReport>, parent: &Path) -> Vec<Identity> {
    let Some(root) = root else { return Vec::new() };
    let below = opened(world, &root.spec, |dir| {
        let inside = |inside| dir.open_below(inside, Crossing::AnyMount).ok()?.meta().ok();
        parent.ancestors().filter_map(inside).map(|meta| identity(&meta)).collect::<Vec<_>>()
    });
    let top = root.real_path.as_deref().unwrap_or(&root.spec.path);
    let over = top.ancestors().skip(1).filter_map(|path| {
        let spec = RootSpec {
            via: root.spec.via,
            authority: root.spec.authority.clone(),
            ..RootSpec::place(root.spec.kind, path.to_owned(), root.spec.origin)
        };
        opened(world, &spec, |dir| dir.meta().ok())?
    });
    let Some(below) = below else { return Vec::new() };
    below.into_iter().chain(over.map(|meta| identity(&meta))).collect()
}

fn used_by(world: &World, process: &Running) -> Vec<Used> {
    let used = |spec: RootSpec| {
        let with_all_below = match spec.kind {
            RootKind::State => true,
            RootKind::Config => false,
            // Dependencies heal nothing, and a temp directory is everybody's.
            RootKind::Path | RootKind::Stage | RootKind::Package | RootKind::Temp => return None,
        };
        let meta = opened(world, &spec, |dir| dir.meta().ok())??;
        Some(Used { directory: identity(&meta), with_all_below })
    };
    places::of_running(process).into_iter().filter_map(used).collect()
}

fn identity(meta: &Meta) -> Identity {
    (meta.device, meta.inode)
}
