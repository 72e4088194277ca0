//! Which running OpenClaw uses the directory of a lock, which release owns its state dir, and what
//! of that cannot be told.

use super::world::World;
use crate::discover::lock::{Guard, guard};
use crate::discover::places::{self, CONFIG_NAMES};
use crate::discover::{FoundLock, OpenError, RootKind, RootReport, RootSpec};
use crate::family::Form;
use crate::process::credentials::NoAuthority;
use crate::process::proc_dir::ProcDir;
use crate::process::roots::Running;
use crate::release::{OwnerRelease, ReleaseUnknown};
use crate::restraint::{Restraint, User, Wanted, asks_who_runs, restraint};
use crate::sys::bounded;
use crate::sys::each::each;
use crate::sys::tree::{Crossing, Dir, Meta};
use crate::verdict::Verdict;
use crate::who::{CannotTell, Unknown, What, WhyUnknown, Writable};
use rustix::io::Errno;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest configuration that is read for its release.
const MAX_CONFIGURATION_BYTES: u64 = 4 * 1024 * 1024;

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

/// The directories that a running OpenClaw uses.
pub(super) struct Places {
    used: Vec<Used>,
    /// Why there may be more.
    untold: Option<WhyUnknown>,
}

/// Looks at the directories of all running OpenClaws, in their order. Any may lie on a dead mount.
pub(super) fn places(proc: Option<&Arc<ProcDir>>, running: &[Running]) -> Vec<Places> {
    let proc = proc.cloned();
    let answers = each(running.to_vec(), move |process| used_by(proc.as_deref(), process));
    let (answers, unanswered) = match answers {
        Ok(answers) => (answers, WhyUnknown::OutOfTime),
        Err(errno) => (Vec::new(), WhyUnknown::NoThread(errno)),
    };
    let answers = answers.into_iter().chain(std::iter::repeat_with(|| None)).take(running.len());
    answers.map(|places| places.unwrap_or(Places { used: Vec::new(), untold: Some(unanswered) })).collect()
}

fn used_by(proc: Option<&ProcDir>, process: &Running) -> Places {
    let mut places = Places { used: Vec::new(), untold: None };
    if let Err(why) = process.authority {
        // It names no places that are looked in, and uses some.
        let errno = if let NoAuthority::Unreadable(errno) = why { errno } else { Errno::PERM };
        places.untold = Some(WhyUnknown::Unread(What::Place, errno));
    }
    for spec in places::of_running(process) {
        let with_all_below = match spec.kind {
            RootKind::State => true,
            RootKind::Config => false,
            // Dependencies heal nothing, and a temp directory is everybody's.
            RootKind::Path | RootKind::Stage | RootKind::Package | RootKind::Temp => continue,
        };
        match spec.identity(proc) {
            Ok(meta) => places.used.push(Used { directory: identity(&meta), with_all_below }),
            Err(OpenError::System(Errno::NOENT | Errno::NOTDIR | Errno::SRCH)) => {}
            Err(OpenError::System(errno) | OpenError::Authority(errno)) => {
                places.untold = Some(WhyUnknown::Unread(What::Place, errno));
            }
            Err(OpenError::ForeignLink { .. }) => places.untold = Some(WhyUnknown::Unread(What::Place, Errno::LOOP)),
        }
    }
    places
}

/// The directory of a lock and those above it.
struct Above {
    /// From the lock's own upwards; absent if one could not be looked at.
    identities: Option<Vec<Identity>>,
    /// The release that the configuration of the innermost state dir names.
    release: OwnerRelease,
}

/// What was found out so far, each once.
#[derive(Default)]
pub(super) struct Users {
    wanted: HashMap<(usize, PathBuf), Wanted>,
}

impl Users {
    /// What keeps a lock from being removed by us.
    pub(super) fn restraint(
        &mut self,
        world: &World,
        found: &FoundLock,
        verdict: &Verdict,
        root: Option<&RootReport>,
    ) -> Option<Restraint> {
        if !asks_who_runs(found.family, verdict) {
            return None;
        }
        let wanted = self.of(world, found, root);
        let is_left = restraint(found.family, verdict, wanted)?;
        // While a guard stands that was left, nobody heals.
        if !matches!(is_left, Restraint::SelfHealing(_)) || !is_guarded(world, found, root) {
            return Some(is_left);
        }
        let (users, cannot_tell, release) = (Vec::new(), None, wanted.release.clone());
        restraint(found.family, verdict, &Wanted { users, cannot_tell, release })
    }

    /// Why it may not be known who uses the directory of a lock, whatever its state dir says.
    pub(super) fn cannot_tell(world: &World, found: &FoundLock, root: Option<&RootReport>) -> Option<CannotTell> {
        let placed = world.who.known.iter().zip(&world.places);
        let unplaced = placed.filter_map(|(process, places)| Some(unknown_of(process, places.untold?)));
        cannot_tell(world, found, root, unplaced.chain(world.who.unknown.iter().cloned()).collect())
    }

    /// Who uses a directory in which, or above which, the lock stands.
    pub(super) fn of(&mut self, world: &World, found: &FoundLock, root: Option<&RootReport>) -> &Wanted {
        let parent = found.below.parent().unwrap_or(Path::new("")).to_owned();
        let key = (found.root, parent);
        self.wanted
            .entry(key)
            .or_insert_with_key(|(_, parent)| wanted(world, found, root, &looked(world, root, parent)))
    }
}

fn wanted(world: &World, found: &FoundLock, root: Option<&RootReport>, above: &Above) -> Wanted {
    let configured = match &above.release {
        OwnerRelease::Known(known) => known.as_slice(),
        OwnerRelease::Unknown(_) => &[],
    };
    let mut unknown: Vec<Unknown> = Vec::new();
    let (mut users, mut releases, mut nameless) = (Vec::new(), configured.to_vec(), None);
    for (process, places) in world.who.known.iter().zip(&world.places) {
        let holds = |above: &Vec<Identity>| places.used.iter().any(|place| place.holds(above));
        if !above.identities.as_ref().is_none_or(holds) {
            unknown.extend(places.untold.map(|cause| unknown_of(process, cause)));
            continue;
        }
        let release = process.runs.release().map(str::to_owned);
        if release.is_none() {
            nameless.get_or_insert(process.pid);
        }
        let versions = release.map_or_else(|| configured.to_vec(), |release| vec![release]);
        releases.extend(versions.iter().cloned());
        users.push(User { pid: process.pid, program: process.program.clone(), versions });
    }
    unknown.extend(world.who.unknown.iter().cloned());
    let cannot_tell = cannot_tell(world, found, root, unknown);
    releases.sort();
    releases.dedup();
    let release = match (&cannot_tell, nameless, &above.release) {
        (Some(why), ..) => OwnerRelease::Unknown(ReleaseUnknown::WhoRuns(why.clone())),
        (None, Some(pid), _) => OwnerRelease::Unknown(ReleaseUnknown::Runs(pid)),
        (None, None, OwnerRelease::Unknown(why)) if releases.is_empty() => OwnerRelease::Unknown(why.clone()),
        (None, None, _) => OwnerRelease::Known(releases),
    };
    Wanted { users, cannot_tell, release }
}

fn unknown_of(process: &Running, cause: WhyUnknown) -> Unknown {
    Unknown { pid: process.pid, program: Some(process.program.clone()), ids: Some(process.ids.clone()), cause }
}

/// Whether somebody may use the directory of a lock of whom that cannot be told.
fn cannot_tell(
    world: &World,
    found: &FoundLock,
    root: Option<&RootReport>,
    mut unknown: Vec<Unknown>,
) -> Option<CannotTell> {
    if let Some(not_looked) = &world.who.not_looked {
        return Some(CannotTell::NotLooked(not_looked.clone()));
    }
    if unknown.is_empty() {
        return None;
    }
    let Meta { uid, gid, mode, .. } = found.guarded;
    let has_acl = mode & 0o020 != 0 && has_acl(world, found, root);
    let directory = Writable { uid, gid, mode, has_acl };
    unknown.retain(|process| process.may_remove_from(directory));
    let more = unknown.len().saturating_sub(1);
    unknown.into_iter().next().map(|first| CannotTell::Process { first, more })
}

/// Opens a root as whoever named it, and works with it.
fn opened<T: Send>(
    proc: Option<&ProcDir>,
    spec: &RootSpec,
    work: impl FnOnce(&Dir) -> T + Send,
) -> Result<T, OpenError> {
    spec.start(proc)?.with(|dir, _| work(&dir))
}

/// Opens the directory of a lock, and works with it; `None` where that cannot be done, or gives no
/// answer: the mount may have died since the lock was found.
fn in_parent<T: Send + 'static>(
    world: &World,
    found: &FoundLock,
    root: Option<&RootReport>,
    work: impl FnOnce(&Dir) -> T + Send + 'static,
) -> Option<T> {
    let parent = found.below.parent().unwrap_or(Path::new("")).to_owned();
    let (spec, proc, crossing) = (root?.spec.clone(), world.proc.clone(), found.crossing);
    bounded::run(bounded::SILENCE, move || {
        let within = |root: &Dir| Some(work(&root.open_below(&parent, crossing).ok()?));
        opened(proc.as_deref(), &spec, within).ok()?
    })?
}

/// Whether a directory has an access control list, or may have one.
fn has_acl(world: &World, found: &FoundLock, root: Option<&RootReport>) -> bool {
    let asked = |directory: &Dir| {
        let mut nothing: [u8; 0] = [];
        let size = rustix::fs::fgetxattr(directory, c"system.posix_acl_access", &mut nothing);
        !matches!(size, Err(Errno::NODATA | Errno::OPNOTSUPP))
    };
    in_parent(world, found, root, asked).unwrap_or(true)
}

/// Whether a guard was left beside the lock, so that nobody heals it. Who reclaims bare directories
/// looks at no guard.
fn is_guarded(world: &World, found: &FoundLock, root: Option<&RootReport>) -> bool {
    if found.form != Form::File {
        return false;
    }
    let name = found.name().to_owned();
    let guarded = move |parent: &Dir| guard(parent, &name) == Ok(Guard::Left);
    in_parent(world, found, root, guarded).unwrap_or(false)
}

/// Looks at the directories above a lock. Any may lie on a mount that has died since it was found.
fn looked(world: &World, root: Option<&RootReport>, parent: &Path) -> Above {
    let unknown = |why| Above { identities: None, release: OwnerRelease::Unknown(why) };
    let Some(root) = root else { return unknown(ReleaseUnknown::NoStateDir) };
    let top = root.real_path.clone().unwrap_or_else(|| root.spec.path.clone());
    let (proc, spec, parent) = (world.proc.clone(), root.spec.clone(), parent.to_owned());
    bounded::run(bounded::SILENCE, move || look(proc.as_deref(), &spec, &top, &parent))
        .unwrap_or_else(|| unknown(ReleaseUnknown::NotRead(Errno::TIMEDOUT)))
}

/// The directory of a lock and those above it: up to its root, and above that one too, since a
/// PATH may lead into the middle of a state dir.
fn look(proc: Option<&ProcDir>, root: &RootSpec, top: &Path, parent: &Path) -> Above {
    let unknown = || Above { identities: None, release: OwnerRelease::Unknown(ReleaseUnknown::NoStateDir) };
    let inside = opened(proc, root, |dir| {
        let steps = parent.ancestors().map(|inside| (top.join(inside), dir.open_below(inside, Crossing::AnyMount)));
        look_at(steps.map(|(path, dir)| (path, dir.map_err(OpenError::System))))
    });
    let Ok((mut identities, mut release)) = inside else { return unknown() };
    for path in top.ancestors().skip(1) {
        let spec = RootSpec {
            via: root.via,
            via_started: root.via_started,
            authority: root.authority.clone(),
            ..RootSpec::place(root.kind, path.to_owned(), root.origin)
        };
        // Above a state dir only which directory it is matters, which needs no right to read it.
        let (more, said) = if release.is_some() {
            (spec.identity(proc).ok().map(|meta| vec![identity(&meta)]), None)
        } else {
            match opened(proc, &spec, |dir| look_at(std::iter::once((path.to_owned(), Ok(dir))))) {
                Ok(looked) => looked,
                Err(error) => {
                    let (_, said) = look_at(std::iter::once((path.to_owned(), Err::<Dir, _>(error))));
                    (spec.identity(proc).ok().map(|meta| vec![identity(&meta)]), said)
                }
            }
        };
        identities = identities.zip(more).map(|(above, more)| [above, more].concat());
        release = release.or(said);
    }
    Above { identities, release: release.unwrap_or(OwnerRelease::Unknown(ReleaseUnknown::NoStateDir)) }
}

/// Which directories these are, and the release that the innermost state dir among them names: that
/// is the first that holds a configuration or is called like one.
fn look_at<D: Borrow<Dir>>(
    steps: impl Iterator<Item = (PathBuf, Result<D, OpenError>)>,
) -> (Option<Vec<Identity>>, Option<OwnerRelease>) {
    let (mut identities, mut release) = (Some(Vec::new()), None);
    for (path, dir) in steps {
        let meta = match &dir {
            Ok(dir) => dir.borrow().meta().ok(),
            Err(_) => None,
        };
        identities = identities.zip(meta).map(|(mut above, meta)| {
            above.push(identity(&meta));
            above
        });
        release = release.or_else(|| said_by(&path, dir));
    }
    (identities, release)
}

fn said_by<D: Borrow<Dir>>(path: &Path, dir: Result<D, OpenError>) -> Option<OwnerRelease> {
    let is_named = places::names_state_dir(path);
    let unknown = |why| is_named.then_some(OwnerRelease::Unknown(why));
    let dir = match &dir {
        Ok(dir) => dir.borrow(),
        Err(OpenError::System(errno) | OpenError::Authority(errno)) => return unknown(ReleaseUnknown::NotRead(*errno)),
        Err(OpenError::ForeignLink { .. }) => return unknown(ReleaseUnknown::NotRead(Errno::LOOP)),
    };
    match CONFIG_NAMES.iter().find(|name| dir.meta_of(name.as_bytes()).is_ok()) {
        Some(name) => Some(configured(dir, name)),
        None => unknown(ReleaseUnknown::NotWritten),
    }
}

fn configured(dir: &Dir, name: &str) -> OwnerRelease {
    match dir.read_file(name.as_bytes(), MAX_CONFIGURATION_BYTES) {
        Ok((_, bytes)) => OwnerRelease::of_configuration(&bytes),
        Err(error) => OwnerRelease::Unknown(ReleaseUnknown::NotRead(error.errno())),
    }
}

fn identity(meta: &Meta) -> Identity {
    (meta.device, meta.inode)
}
