//! A scan: gather facts once, judge every lock.
//!
//! In: what the operator asked for. Out: every lock with its facts and verdict, and everything
//! that could not be seen. Called by the command line and by tests. Writes nothing, anywhere.

use crate::discover::lock::LockReading;
use crate::discover::{self, Findings, FoundLock, LookAlike, Problem, Progress, RootReport, RootSpec, places};
use crate::evidence::{Candidate, InUse, LockFacts, ProcSource, Reach, SoleAccess, Vantage, View};
use crate::process::identity::{Observed, Reader, observe};
use crate::process::proc_dir::ProcDir;
use crate::process::roots::{self, Package, Running};
use crate::process::sharing::Exports;
use crate::process::table::Sweep;
use crate::process::vantage::{self, Sight};
use crate::process::witness;
use crate::process::workers::Workplaces;
use crate::quote::shell_word;
use crate::record::PID_LIMIT;
use crate::sys::tree::Dir;
use crate::sys::{bounded, clock, mounts::MountTable};
use crate::units::ClockReading;
use crate::verdict::{Leaning, Standing, Verdict, judge};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a look through a process's own mounts may take.
const LOOK_LIMIT: Duration = Duration::from_millis(1_500);

/// What to look at.
#[derive(Debug, Default)]
pub struct Request {
    /// PATH arguments; with any, nothing else is looked at unless `discover` is set.
    pub paths: Vec<PathBuf>,
    /// Look where OpenClaw keeps its state, also with PATHs.
    pub discover: bool,
    /// Look in the homes of all users.
    pub all_users: bool,
    /// The proc directory.
    pub proc: PathBuf,
    /// The operator vouches for sole access.
    pub assume_single_writer: bool,
    /// Our environment.
    pub environment: Vec<(String, OsString)>,
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
    /// Directories that look like locks and are none that we know.
    pub look_alikes: Vec<LookAlike>,
    /// What could not be looked at.
    pub problems: Vec<Problem>,
    /// Entries that vanished during the run.
    pub vanished: usize,
    /// Directory entries seen.
    pub entries: u64,
    /// Processes seen; absent if no lock needed it.
    pub processes: Option<usize>,
    /// The OpenClaw versions that run or are installed here, sorted.
    pub versions: Vec<String>,
}

/// A lock with everything known of it.
#[derive(Debug)]
pub struct JudgedLock {
    /// Short hash of family, root device and inode, and path below the root.
    pub id: String,
    /// Where it is.
    pub path: PathBuf,
    /// How it was found and what it says.
    pub found: FoundLock,
    /// The facts that were judged.
    pub facts: LockFacts,
    /// The verdict.
    pub verdict: Verdict,
    /// Whether it holds a gateway up.
    pub blocks: Blocks,
}

/// Whether a lock holds up an OpenClaw that runs or is installed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocks {
    /// Yes; why.
    Yes(String),
    /// No; why.
    No(String),
    /// It cannot be told; why.
    Unknown(String),
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

    /// Where the pids come from.
    #[must_use]
    pub fn proc_source(&self) -> ProcSource {
        self.world.sight.source
    }

    /// The kernel's largest pid.
    #[must_use]
    pub fn pid_max(&self) -> u64 {
        self.world.pid_max
    }

    /// Looks, gathers, judges.
    pub fn scan(&mut self, progress: &mut dyn FnMut(Progress)) -> Scan {
        let (request, world) = (self.request, &mut self.world);
        let discovers = request.discover || request.paths.is_empty();
        let mut problems = Vec::new();
        if discovers {
            world.sweep_now();
            match &world.sweep {
                Some(_) => world.find_running(&mut problems),
                None => problems.push(Problem {
                    path: request.proc.clone(),
                    cause: format!(
                        "{}, so the directories of running OpenClaw processes are not known",
                        world.sight.why
                    ),
                    next_step: world.sight.lift.clone().unwrap_or_default(),
                }),
            }
        }
        let (specs, mut packages) = world.specs(request, discovers, &mut problems);
        let proc = world.proc.clone();
        let findings = discover::gather(specs, proc, request.proc.clone(), world.pid_max, progress);
        world.sweep_for(&findings);
        if !discovers && findings.locks.iter().any(|lock| version_name(lock, &findings).is_some()) {
            world.find_running(&mut problems);
        }
        packages.extend(world.running.iter().flat_map(|running| running.packages.iter().cloned()));
        let mut versions: Vec<String> = packages.into_iter().map(|package| package.version).collect();
        versions.sort();
        versions.dedup();
        world.judge_all(request, findings, problems, versions)
    }

    /// Opens the root that a lock was found below, if it is still the same directory.
    ///
    /// Errors: `ESTALE` if another directory stands there now; those of open(2).
    pub fn open_root(&self, root: &RootReport) -> Result<Dir, Errno> {
        let dir = root.spec.open(self.world.proc.as_deref())?;
        let same = root.meta.is_some_and(|meta| dir.meta().is_ok_and(|now| now.same_file(&meta)));
        if same { Ok(dir) } else { Err(Errno::STALE) }
    }

    /// Sweeps /proc again: what a question left standing may have changed.
    pub fn look_again(&mut self) {
        self.world.sweep_now();
    }

    /// Judges a lock again from a fresh reading; its known candidates are read again too.
    #[must_use]
    pub fn judge_again(&self, lock: &JudgedLock, reading: &LockReading) -> Verdict {
        let now = clock::read();
        let view = self.world.view(self.request, &now);
        let found = FoundLock { reading: reading.clone(), below: lock.found.below.clone(), ..lock.found };
        let mut gatherer = Gatherer::new(&self.world, now);
        judge_facts(&found, &lock.path, &mut gatherer, &view).1
    }
}

/// The machine, as far as this run has looked at it.
struct World {
    proc: Option<Arc<ProcDir>>,
    mounts: Option<MountTable>,
    sight: Sight,
    reader: Reader,
    pid_max: u64,
    sweep: Option<Sweep>,
    running: Vec<Running>,
}

impl World {
    fn open(request: &Request) -> Self {
        let own = ProcDir::open(Path::new("/proc")).ok();
        let mounts = own.as_ref().and_then(|own| own.read("self/mountinfo").ok()).map(|bytes| MountTable::new(&bytes));
        let (proc, sight) = match ProcDir::open(&request.proc) {
            Ok(proc) => {
                let sight = vantage::look(&proc, mounts.as_ref());
                (Some(Arc::new(proc)), sight)
            }
            Err(errno) => {
                let why = format!("{} cannot be read: {}", shell_word(&request.proc), crate::sys::words(errno));
                (None, Sight::none(why))
            }
        };
        let pid_max = proc.as_ref().and_then(|proc| proc.read("sys/kernel/pid_max").ok());
        let pid_max = pid_max.and_then(|bytes| String::from_utf8_lossy(&bytes).trim().parse().ok());
        Self {
            reader: Reader::new(own.as_ref(), sight.own_pid),
            proc,
            mounts,
            sight,
            pid_max: pid_max.unwrap_or(PID_LIMIT),
            sweep: None,
            running: Vec::new(),
        }
    }

    fn sweep_now(&mut self) {
        let Some(proc) = &self.proc else { return };
        match Sweep::take(proc, clock::read()) {
            Ok(sweep) => {
                if sweep.unreadable > 0 && self.sight.source != ProcSource::NotProcfs {
                    self.sight.vantage = Vantage::Restricted;
                    self.sight.why = format!("{} processes cannot be read", sweep.unreadable);
                    self.sight.lift = Some("run it as root: sudo openclaw-doctor …".to_owned());
                }
                self.sweep = Some(sweep);
            }
            Err(errno) => {
                self.sight = Sight::none(format!("the processes cannot be listed: {}", crate::sys::words(errno)));
            }
        }
    }

    /// Sweeps if a lock needs it and the sweep at hand, if any, may have missed its writer.
    fn sweep_for(&mut self, findings: &Findings) {
        let now = clock::read();
        let covered =
            |lock: &FoundLock| self.sweep.as_ref().is_some_and(|sweep| sweep.covers(lock.reading.changed, &now));
        if findings.locks.iter().any(|lock| lock.reading.record.owner().is_some() && !covered(lock)) {
            self.sweep_now();
        }
    }

    fn find_running(&mut self, problems: &mut Vec<Problem>) {
        let (Some(proc), Some(sweep)) = (self.proc.clone(), &self.sweep) else { return };
        let (entries, reader, now) = (sweep.entries.clone(), self.reader, clock::read());
        match bounded::run(LOOK_LIMIT, move || roots::running(&proc, &entries, &reader, &now)) {
            Some(running) => self.running = running,
            None => problems.push(Problem {
                path: self.proc.as_ref().map(|proc| proc.path().to_owned()).unwrap_or_default(),
                cause: "looking for running OpenClaw processes took too long: a mount of theirs may be dead".to_owned(),
                next_step: "name the directories to look at as PATH arguments".to_owned(),
            }),
        }
    }

    /// The roots to look in, and the packages installed there.
    fn specs(&self, request: &Request, discovers: bool, problems: &mut Vec<Problem>) -> (Vec<RootSpec>, Vec<Package>) {
        let mut specs: Vec<RootSpec> = request.paths.iter().map(|path| RootSpec::from_argument(path)).collect();
        if !discovers {
            return (specs, Vec::new());
        }
        let environment = places::Environment::new(request.environment.clone());
        specs.extend(environment.stage_roots(""));
        let home = environment.home();
        let all_users = request.all_users;
        let listing = bounded::run(LOOK_LIMIT, move || look_around(home, all_users));
        let Some((listed, packages)) = listing else {
            problems.push(Problem {
                path: PathBuf::from("/home"),
                cause: "looking through the home directories took too long: a mount there may be dead".to_owned(),
                next_step: "name the directories to look at as PATH arguments".to_owned(),
            });
            return (specs, Vec::new());
        };
        specs.extend(listed);
        specs.extend(places::system());
        for process in &self.running {
            if process.environment.is_none() && all_users {
                problems.push(Problem {
                    path: request.proc.join(process.pid.to_string()),
                    cause: format!(
                        "the environment of {} cannot be read, so its roots may be missing",
                        process.program
                    ),
                    next_step: "run it as root, or as the user of that process".to_owned(),
                });
            }
            specs.extend(places::of_running(process));
        }
        (specs, packages)
    }

    fn view(&self, request: &Request, now: &ClockReading) -> View {
        View {
            vantage: self.sight.vantage,
            source: self.sight.source,
            why: self.sight.why.clone(),
            lift: self.sight.lift.clone(),
            now: now.wall,
            assume_single_writer: request.assume_single_writer,
        }
    }

    fn judge_all(&self, request: &Request, findings: Findings, problems: Vec<Problem>, versions: Vec<String>) -> Scan {
        let now = clock::read();
        let view = self.view(request, &now);
        let mut gatherer = Gatherer::new(self, now);
        let Findings { roots, locks, look_alikes, problems: more, vanished, entries } = findings;
        let mut judged: Vec<JudgedLock> =
            locks.into_iter().map(|found| judge_one(found, &roots, &mut gatherer, &view, &versions)).collect();
        // By bytes: the components of paths would be taken apart a hundred thousand times.
        judged.sort_by_cached_key(|lock| lock.path.as_os_str().to_owned());
        let boot_id = self.proc.as_ref().and_then(|proc| proc.read("sys/kernel/random/boot_id").ok());
        let host = HostFacts {
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            boot_id: boot_id.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()),
        };
        Scan {
            host,
            view,
            clock: now,
            roots,
            locks: judged,
            look_alikes,
            problems: problems.into_iter().chain(more).collect(),
            vanished,
            entries,
            processes: self.sweep.as_ref().map(|sweep| sweep.entries.len()),
            versions,
        }
    }
}

fn look_around(home: Option<PathBuf>, all_users: bool) -> (Vec<RootSpec>, Vec<Package>) {
    let mut homes = Vec::new();
    if all_users {
        let passwd = Dir::open_root(Path::new("/etc")).map(|etc| etc.read_file(b"passwd", 16 * 1024 * 1024));
        if let Ok(Ok((_, bytes))) = passwd {
            homes = places::homes(&bytes);
        }
    }
    let mut specs: Vec<RootSpec> = home.iter().flat_map(|home| places::in_home(home, "home")).collect();
    specs.extend(homes.iter().flat_map(|home| places::in_home(home, "home of a user")));
    let mut packages = Vec::new();
    if let Ok(root) = Dir::open_root(Path::new("/")) {
        let places = places::package_places(home.as_deref());
        packages.extend(places.iter().filter_map(|place| roots::package_at(&root, place)));
    }
    specs.extend(packages.iter().flat_map(|package| places::in_package(package, None, "installed package")));
    (specs, packages)
}

fn judge_one(
    found: FoundLock,
    roots: &[RootReport],
    gatherer: &mut Gatherer<'_>,
    view: &View,
    versions: &[String],
) -> JudgedLock {
    let root = roots.get(found.root);
    let path = root.map(|root| root.path.join(&found.below)).unwrap_or_default();
    let (facts, verdict) = judge_facts(&found, &path, gatherer, view);
    JudgedLock { id: id(&found, root), blocks: blocks(&path, versions), path, facts, verdict, found }
}

/// Gathers and judges. Who works in the directory is asked only where it can still matter.
fn judge_facts(found: &FoundLock, path: &Path, gatherer: &mut Gatherer<'_>, view: &View) -> (LockFacts, Verdict) {
    let mut facts = gatherer.facts(found, path, view);
    let verdict = judge(found.family, &facts, view);
    let may_go = match verdict.standing {
        Standing::Proven(_) => true,
        Standing::Leaning(leaning) => leaning != Leaning::LikelyHeld,
        Standing::Held => false,
    };
    if !may_go || view.source == ProcSource::NotProcfs || facts.record.owner().is_none() {
        return (facts, verdict);
    }
    facts.in_use = gatherer.in_use(found);
    let verdict = judge(found.family, &facts, view);
    (facts, verdict)
}

/// Collects the facts of locks, reading each process once.
struct Gatherer<'a> {
    world: &'a World,
    now: ClockReading,
    candidates: HashMap<u32, Vec<Candidate>>,
    clock_steps: HashMap<u32, Option<u64>>,
    workplaces: HashMap<u32, Workplaces>,
    exports: Exports,
    mount_roots: HashMap<u64, SoleAccess>,
}

impl<'a> Gatherer<'a> {
    fn new(world: &'a World, now: ClockReading) -> Self {
        let empty = MountTable::default();
        let mounts = world.mounts.as_ref().unwrap_or(&empty);
        let exports = world.sweep.as_ref().map(|sweep| sweep.sharing.exports(mounts)).unwrap_or_default();
        Self {
            world,
            now,
            candidates: HashMap::new(),
            clock_steps: HashMap::new(),
            workplaces: HashMap::new(),
            exports,
            mount_roots: HashMap::new(),
        }
    }

    fn facts(&mut self, found: &FoundLock, path: &Path, view: &View) -> LockFacts {
        let owner = found.reading.record.owner();
        let mut candidates = owner.map(|owner| self.candidates(owner.pid)).unwrap_or_default();
        if owner.is_some_and(|owner| owner.start_ticks.is_none()) {
            self.add_witness(&mut candidates);
        }
        LockFacts {
            record: found.reading.record.clone(),
            times: found.reading.times,
            reach: self.reach(found, path),
            sole_access: match view.vantage {
                Vantage::Namespace => self.sole_access(found),
                _ => SoleAccess::No(view.why.clone()),
            },
            candidates,
            in_use: InUse::default(),
        }
    }

    fn candidates(&mut self, pid: u32) -> Vec<Candidate> {
        let (Some(proc), Some(sweep)) = (&self.world.proc, &self.world.sweep) else { return Vec::new() };
        let (reader, now) = (&self.world.reader, &self.now);
        let read = || {
            let mut candidates = sweep.candidates(pid, proc, reader, now);
            let listed = candidates.iter().any(|candidate| candidate.own_namespace);
            if self.world.sight.source == ProcSource::Own && !listed && answers(pid) {
                candidates.push(Candidate::out_of_list(pid));
            }
            candidates
        };
        self.candidates.entry(pid).or_insert_with(read).clone()
    }

    fn add_witness(&mut self, candidates: &mut [Candidate]) {
        let (Some(proc), Some(sweep)) = (&self.world.proc, &self.world.sweep) else { return };
        let (reader, now) = (self.world.reader, self.now);
        for candidate in candidates.iter_mut().filter(|candidate| candidate.may_be_runtime()) {
            let pid = candidate.pid;
            let ask = || {
                let (proc, entries) = (Arc::clone(proc), sweep.entries.clone());
                let step = bounded::run(LOOK_LIMIT, move || match observe(&proc, pid, &reader, &now) {
                    Observed::Process(_, dir) => witness::clock_step_ms(&proc, &dir, &entries, &now),
                    _ => None,
                });
                step.flatten()
            };
            candidate.clock_step_ms = *self.clock_steps.entry(pid).or_insert_with(ask);
        }
    }

    fn reach(&self, found: &FoundLock, path: &Path) -> Reach {
        match found.filesystem {
            None => return Reach::OtherKernelPossible("its filesystem cannot be told".to_owned()),
            Some(filesystem) if !filesystem.is_local() => {
                return Reach::OtherKernelPossible(format!(
                    "it lies on {}, which other machines may share",
                    filesystem.name()
                ));
            }
            Some(_) => {}
        }
        if let Some((pid, name)) = self.world.sweep.as_ref().and_then(|sweep| sweep.sharing.any_directory()) {
            return Reach::OtherKernelPossible(format!(
                "{name} (pid {pid}) may share this directory with another kernel"
            ));
        }
        if self.exports.are_none() {
            return Reach::ThisKernel;
        }
        let mount = self.world.mounts.as_ref().and_then(|mounts| mounts.by_id(found.guarded.mount_id));
        let place = mount.and_then(|mount| Some((mount.device, mount.in_filesystem(path)?)));
        match self.exports.covering(place.as_ref(), path) {
            Some(why) => Reach::OtherKernelPossible(why),
            None => Reach::ThisKernel,
        }
    }

    fn sole_access(&mut self, found: &FoundLock) -> SoleAccess {
        let sight = &self.world.sight;
        let mounts = &self.world.mounts;
        let tell = || {
            if sight.source != ProcSource::Own {
                return SoleAccess::No("the pids shown are not those of our own namespace".to_owned());
            }
            if let Some(nested) = &sight.nested {
                return SoleAccess::No(nested.clone());
            }
            // `unshare --pid --mount-proc` in a container leaves the container's own /proc below
            // its new one: the layer belongs to the container, whose processes are out of sight.
            if mounts.as_ref().is_some_and(MountTable::holds_several_procfs) {
                return SoleAccess::No("a second procfs is mounted: a PID namespace inside the container".to_owned());
            }
            match mounts.as_ref().and_then(|mounts| mounts.by_id(found.reading.meta.mount_id)) {
                Some(mount) if mount.mount_point == Path::new("/") && mount.kind == "overlay" => SoleAccess::OwnLayer,
                Some(mount) => SoleAccess::No(format!(
                    "the lock lies on the mount {} ({}), which other containers may share",
                    shell_word(&mount.mount_point),
                    mount.kind
                )),
                None => SoleAccess::No("the lock's mount cannot be told".to_owned()),
            }
        };
        self.mount_roots.entry(found.reading.meta.mount_id).or_insert_with(tell).clone()
    }

    fn in_use(&mut self, found: &FoundLock) -> InUse {
        let (Some(proc), Some(sweep)) = (&self.world.proc, &self.world.sweep) else { return InUse::default() };
        let uid = found.reading.meta.uid;
        let own_pid = self.world.sight.own_pid;
        let look = || {
            let (proc, entries) = (Arc::clone(proc), sweep.entries.clone());
            let all = entries.iter().filter(|entry| entry.euid == uid).count();
            let looked = bounded::run(LOOK_LIMIT, move || Workplaces::of_uid(uid, &proc, &entries, own_pid));
            looked.unwrap_or_else(|| Workplaces::unknown(all))
        };
        let workplaces = self.workplaces.entry(uid).or_insert_with(look);
        let owner = found.reading.record.owner();
        workplaces.in_use(&found.guarded, owner, proc, &self.world.reader, &self.now)
    }
}

/// Whether the kernel knows a living or unreaped process by this pid in our own namespace.
fn answers(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).is_ok())
}

fn version_name(lock: &FoundLock, findings: &Findings) -> Option<String> {
    let root = findings.roots.get(lock.root)?;
    version_in(&root.path.join(&lock.below))
}

fn version_in(path: &Path) -> Option<String> {
    discover::version_of(path.parent()?.file_name()?).map(str::to_owned)
}

fn blocks(path: &Path, versions: &[String]) -> Blocks {
    let Some(version) = version_in(path) else {
        return Blocks::Unknown("its directory names no version".to_owned());
    };
    if versions.is_empty() {
        return Blocks::Unknown("no running or installed OpenClaw was found to compare with".to_owned());
    }
    let known = versions.join(", ");
    if versions.iter().any(|known| sanitised(known) == version) {
        Blocks::Yes(format!("OpenClaw {version} is running or installed here"))
    } else {
        Blocks::No(format!("its directory is of version {version}; running or installed here: {known}"))
    }
}

/// A version as OpenClaw writes it into a directory name.
fn sanitised(version: &str) -> String {
    let mut name = String::new();
    for c in version.chars() {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            name.push(c);
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    name.trim_matches('-').to_owned()
}

/// FNV-1a, 48 bits in hexadecimal: short enough to type. Two locks with one id are refused
/// where an id is asked for.
fn id(found: &FoundLock, root: Option<&RootReport>) -> String {
    let meta = root.and_then(|root| root.meta);
    let (device, inode) = meta.map_or(((0, 0), 0), |meta| (meta.device, meta.inode));
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut feed = |bytes: &[u8]| {
        for byte in bytes.iter().chain(&[0]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    feed(found.family.name.as_bytes());
    feed(&device.0.to_le_bytes());
    feed(&device.1.to_le_bytes());
    feed(&inode.to_le_bytes());
    feed(found.below.as_os_str().as_encoded_bytes());
    format!("{:012x}", hash >> 16)
}
