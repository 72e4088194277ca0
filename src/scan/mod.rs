//! A scan: gather facts once, judge every lock.
//!
//! In: what the operator asked for. Out: every lock with its facts and verdict, and everything
//! that could not be seen. Called by the command line and by tests. Writes nothing, anywhere.

mod facts;
mod label;
mod restrain;
mod signs;
mod sole;
mod world;

use crate::discover::lock::LockReading;
use crate::discover::{self, FoundLock, Idle, LookAlike, OpenError, Progress, RootReport, RootSpec};
use crate::evidence::{LockFacts, ProcSource, VantageWhy, View};
use crate::explain::{Advice, advice};
use crate::family::{Family, Form};
use crate::problem::Problem;
use crate::quote::shell_word;
use crate::release::{ReleaseUnknown, Span};
use crate::restraint::Restraint;
use crate::scope::Scope;
use crate::sys::authority::Taken;
use crate::sys::clock;
use crate::sys::tree::Dir;
use crate::units::ClockReading;
use crate::verdict::{Leaning, Standing, Verdict, judge};
use crate::who::{CannotTell, Stranger};
use facts::Gatherer;
use label::{id, state_dir};
use restrain::Users;
use rustix::io::Errno;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use world::World;

/// What to look at.
#[derive(Debug, Default)]
pub struct Request {
    /// PATH arguments and flags; with any PATH, nothing else is looked at unless discovery is asked for.
    pub scope: Scope,
    /// Our environment.
    pub environment: Vec<(String, OsString)>,
}

impl Request {
    fn asks_for(&self, family: &Family) -> bool {
        self.scope.families.is_empty() || self.scope.families.contains(&family.name)
    }
}

/// What machine it is.
#[derive(Debug)]
pub struct HostFacts {
    /// Kernel release (uname(2)).
    pub kernel: String,
    /// /proc/sys/kernel/random/boot_id.
    pub boot_id: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub struct Scan {
    /// What machine it is.
    pub host: HostFacts,
    /// What the run could see.
    pub view: View,
    /// The clocks at the time of judging.
    pub clock: ClockReading,
    /// What was looked at.
    pub roots: Vec<RootReport>,
    /// Every lock, judged.
    pub locks: Vec<JudgedLock>,
    /// Files of kernel locks that nobody holds.
    pub idle: Vec<Idle>,
    /// Directories that look like locks and are none that we know.
    pub look_alikes: Vec<LookAlike>,
    /// What could not be looked at.
    pub problems: Vec<Problem>,
    /// Places that were looked for and are not there.
    pub absent: Vec<RootSpec>,
    /// Other users' OpenClaws whose places were not looked at, which is no problem.
    pub not_looked_at: Vec<Stranger>,
    /// Entries that vanished during the run.
    pub vanished: usize,
    /// Directory entries seen.
    pub entries: u64,
    /// Processes seen; absent if no lock needed it.
    pub processes: Option<usize>,
    /// The OpenClaw versions that run or are installed here, sorted.
    pub versions: Vec<String>,
}

impl Scan {
    /// What was looked at, each directory once, whoever named it.
    pub fn listed_roots(&self) -> impl Iterator<Item = &RootReport> {
        self.roots.iter().filter(|root| !root.repeats)
    }
}

/// A lock with everything known of it.
#[derive(Debug)]
pub struct JudgedLock {
    /// Short hash of family, the directory that holds it, and its name.
    pub id: String,
    /// Where it is.
    pub path: PathBuf,
    /// Where it is with no link on the way, if that can be told.
    pub real_path: Option<PathBuf>,
    /// How it was found and what it says.
    pub found: FoundLock,
    /// The facts that were judged.
    pub facts: LockFacts,
    /// The verdict.
    pub verdict: Verdict,
    /// Whether it holds a gateway up.
    pub blocks: Blocks,
    /// Why it is left to OpenClaw, if it is.
    pub restraint: Option<Restraint>,
    /// The state dir that it belongs to, if that can be told.
    pub state_dir: Option<PathBuf>,
}

impl JudgedLock {
    /// What an operator does next about it.
    #[must_use]
    pub fn advice(&self, view: &View) -> Advice {
        let path = shell_word(&self.path);
        advice(self.found.family, &self.facts, &self.verdict, self.restraint.as_ref(), &path, view)
    }
}

/// Whether a lock holds up an OpenClaw that runs or is installed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocks {
    /// It does: this one.
    Yes {
        /// Its version.
        version: String,
    },
    /// It does not.
    No {
        /// Why.
        why: NotBlocking,
        /// The versions that run or are installed here.
        known: Vec<String>,
    },
    /// It cannot be told.
    Unknown(BlocksUnknown),
}

/// Why it cannot be told whether a lock holds anybody up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlocksUnknown {
    /// No running or installed OpenClaw was found to compare with.
    NoneFound,
    /// Who runs here cannot be told.
    WhoRuns(CannotTell),
    /// Which release owns its state dir cannot be told, and those that are known wait for none of its kind.
    Release(ReleaseUnknown),
    /// Which releases are installed here cannot be told.
    Installed,
}

/// The releases that run or are installed on this machine, whatever they use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Releases {
    /// Those that are known, sorted.
    pub known: Vec<String>,
    /// Why there may be others.
    pub unknown: Option<BlocksUnknown>,
}

/// Why a lock holds up none of the versions that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotBlocking {
    /// Only these releases look at it.
    OtherReleases(&'static [Span]),
    /// Its directory is of this version.
    OtherVersion(String),
}

/// Looks, gathers, judges. `progress` is told how far it has come.
pub fn scan(request: &Request, progress: &mut dyn FnMut(Progress)) -> Scan {
    Session::open(request).scan(progress)
}

/// A run over one machine: a scan, and then, for a repair, second looks at single locks.
pub struct Session<'a> {
    request: &'a Request,
    world: World,
}

impl<'a> Session<'a> {
    /// Opens the proc directory and tells what can be seen.
    #[must_use]
    pub fn open(request: &'a Request) -> Self {
        Self { request, world: World::open(request) }
    }

    /// Why nothing can be proven, if there is no procfs to read.
    #[must_use]
    pub fn without_procfs(&self) -> Option<&VantageWhy> {
        (!self.world.sight.source.is_procfs()).then_some(&self.world.sight.seen)
    }

    /// Looks, gathers, judges.
    pub fn scan(&mut self, progress: &mut dyn FnMut(Progress)) -> Scan {
        let (request, world) = (self.request, &mut self.world);
        let scope = &request.scope;
        let discovers = scope.discover || scope.all_users || scope.paths.is_empty();
        let mut problems = Vec::new();
        if discovers {
            world.sweep_now();
            world.find_running();
        }
        let (specs, mut installed) = world.specs(request, discovers, &mut problems);
        let proc = world.proc.clone();
        let mut findings = discover::gather(specs, proc, scope.proc.clone(), progress);
        let not_looked_at = if discovers { world.tell_unknown(request, &findings, &mut problems) } else { Vec::new() };
        findings.locks.retain(|lock| request.asks_for(lock.family));
        findings.idle.retain(|idle| request.asks_for(idle.family));
        world.sweep_for(&findings);
        // Whom a lock holds up, and who clears it, is asked for where there is one, however it was found.
        if !findings.locks.is_empty() && !discovers {
            world.sweep_once();
            world.find_running();
            installed = world.installed(request);
        }
        let releases = world.releases(installed);
        Scan { not_looked_at, ..world.judge_all(request, findings, problems, releases) }
    }

    /// Opens the root that a lock was found below, as whoever named it, and works in it, if it is
    /// still the same directory.
    ///
    /// Errors: `ESTALE` if another directory stands there now; those of [`RootSpec::start`].
    pub fn in_root<T: Send>(
        &self,
        root: &RootReport,
        work: impl FnOnce(&Dir, &Taken<'_>) -> T + Send,
    ) -> Result<T, OpenError> {
        root.spec.start(self.world.proc.as_deref())?.with(|dir, taken| {
            let same = root.meta.is_some_and(|meta| dir.meta().is_ok_and(|now| now.same_file(&meta)));
            if same { Ok(work(&dir, taken)) } else { Err(OpenError::System(Errno::STALE)) }
        })?
    }

    /// Looks at all processes again: what a question left standing may have changed.
    pub fn look_again(&mut self) {
        self.world.sweep_now();
        self.world.find_running();
    }

    /// What keeps a lock from being removed by us, by what is known of running processes now.
    #[must_use]
    pub fn restraint(&self, lock: &JudgedLock, scan: &Scan) -> Option<Restraint> {
        let root = scan.roots.get(lock.found.root);
        Users::default().restraint(&self.world, &lock.found, &lock.verdict, root)
    }

    /// Judges a lock again from a fresh reading; its known candidates are read again too.
    #[must_use]
    pub fn judge_again(&self, lock: &JudgedLock, reading: &LockReading) -> Verdict {
        let now = clock::read();
        let view = self.world.view(self.request, &now);
        let found = FoundLock { reading: reading.clone(), below: lock.found.below.clone(), ..lock.found };
        let mut gatherer = Gatherer::new(&self.world, now, [&found]);
        judge_facts(&found, lock.real_path.as_deref(), &mut gatherer, &view).1
    }
}

fn judge_one(
    found: FoundLock,
    roots: &[RootReport],
    gatherer: &mut Gatherer<'_>,
    view: &View,
    releases: &Releases,
) -> JudgedLock {
    let root = roots.get(found.root);
    let path = root.map(|root| root.path.join(&found.below)).unwrap_or_default();
    let real_path = root.and_then(|root| root.real_path.as_deref()).map(|real| real.join(&found.below));
    let (facts, verdict) = judge_facts(&found, real_path.as_deref(), gatherer, view);
    let id = id(&found);
    let blocks = gatherer.blocks(&found, &path, root, releases);
    let state_dir = root.and_then(|root| state_dir(&path, &found, root, roots));
    let restraint = gatherer.restraint(&found, &verdict, root);
    JudgedLock { id, blocks, state_dir, path, real_path, facts, verdict, restraint, found }
}

/// Gathers and judges. Who works in the directory is asked only where it can still matter.
fn judge_facts(
    found: &FoundLock,
    real_path: Option<&Path>,
    gatherer: &mut Gatherer<'_>,
    view: &View,
) -> (LockFacts, Verdict) {
    let mut facts = gatherer.facts(found, real_path, view);
    let verdict = judge(found.family, &facts, view);
    let may_go = match verdict.standing {
        Standing::Proven(_) => true,
        Standing::Leaning(leaning) => leaning != Leaning::LikelyHeld,
        Standing::Held => false,
    };
    // Only a directory with a record is about work in the directory that holds it.
    let guards_directory = matches!(found.form, Form::Directory { .. });
    if !may_go || !guards_directory || view.source == ProcSource::NotProcfs || facts.record.owner().is_none() {
        return (facts, verdict);
    }
    facts.in_use = gatherer.in_use(found);
    let verdict = judge(found.family, &facts, view);
    (facts, verdict)
}
