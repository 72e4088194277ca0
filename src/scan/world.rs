//! The machine, as far as this run has looked at it: what it sees, the sweep, who runs.

use super::facts::Gatherer;
use super::restrain::{self, Places};
use super::{BlocksUnknown, HostFacts, JudgedLock, Releases, Request, Scan, judge_one};
use crate::discover::{Findings, FoundLock, Named, RootKind, RootReport, RootSpec, places};
use crate::evidence::{ProcSource, Vantage, VantageWhy, View};
use crate::problem::{Cause, Problem};
use crate::process::identity::Reader;
use crate::process::packages::{Package, package_at};
use crate::process::proc_dir::ProcDir;
use crate::process::roots::{self, WhoRuns};
use crate::process::table::Sweep;
use crate::process::vantage::{self, Sight};
use crate::release::ReleaseUnknown;
use crate::sys::mounts::{Mount, MountTable};
use crate::sys::tree::Dir;
use crate::sys::{bounded, clock};
use crate::units::ClockReading;
use crate::who::{CannotTell, NotLooked, Stranger, Unknown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Processes of which something cannot be told that are problems of their own; the rest is one.
const TOLD_ONE_BY_ONE: usize = 8;

/// How long a look through a process's own mounts may take.
pub(super) const LOOK_LIMIT: Duration = Duration::from_millis(1_500);

/// The machine, as far as this run has looked at it.
pub(super) struct World {
    pub(super) proc: Option<Arc<ProcDir>>,
    /// Where the kernel lists its locks: `proc`, or our own /proc where that is no procfs.
    pub(super) kernel: Option<Arc<ProcDir>>,
    pub(super) mounts: Option<MountTable>,
    pub(super) sight: Sight,
    pub(super) reader: Reader,
    pub(super) sweep: Option<Sweep>,
    pub(super) who: WhoRuns,
    /// The directories that the known ones of these use, in their order.
    pub(super) places: Vec<Places>,
}

/// The packages installed at the usual places.
#[derive(Default)]
pub(super) struct Installed {
    packages: Vec<Package>,
    /// Why there may be others there.
    unknown: Option<BlocksUnknown>,
}

impl World {
    pub(super) fn open(request: &Request) -> Self {
        let own = ProcDir::open(Path::new("/proc")).ok();
        let mounts = own.as_ref().and_then(|own| own.own_mounts().ok());
        // Where the table cannot be read, any place may have a server.
        if mounts.as_ref().is_none_or(|mounts| mounts.iter().any(Mount::has_server)) {
            bounded::at_risk();
        }
        let (proc, sight) = match ProcDir::open(&request.scope.proc) {
            Ok(proc) => {
                let sight = vantage::look(&proc, mounts.as_ref());
                (Some(Arc::new(proc)), sight)
            }
            Err(errno) => (None, Sight::none(VantageWhy::NotOpened { proc: request.scope.proc.clone(), errno })),
        };
        let reader = Reader::new(own.as_ref(), sight.own_pid);
        let is_procfs = sight.source.is_procfs();
        let own = own.map(Arc::new);
        let kernel = if is_procfs { proc.clone() } else { own };
        let (who, places) = (WhoRuns::not_asked(), Vec::new());
        Self { reader, kernel, proc, mounts, sight, sweep: None, who, places }
    }

    pub(super) fn sweep_now(&mut self) {
        let Some(proc) = &self.proc else { return };
        match Sweep::take(proc, clock::read()) {
            Ok(sweep) => {
                if sweep.unreadable > 0 && self.sight.source != ProcSource::NotProcfs {
                    self.sight.vantage = Vantage::Restricted;
                    self.sight.seen = VantageWhy::Unreadable { processes: sweep.unreadable };
                }
                self.sweep = Some(sweep);
            }
            Err(errno) => {
                self.sight = Sight::none(VantageWhy::NotListed { errno });
            }
        }
    }

    pub(super) fn sweep_once(&mut self) {
        if self.sweep.is_none() {
            self.sweep_now();
        }
    }

    /// Sweeps if a lock needs it and the sweep at hand, if any, may have missed its writer.
    pub(super) fn sweep_for(&mut self, findings: &Findings) {
        let now = clock::read();
        let covered =
            |lock: &FoundLock| self.sweep.as_ref().is_some_and(|sweep| sweep.covers(lock.reading.changed, &now));
        if findings.locks.iter().any(|lock| lock.reading.record.owner().is_some() && !covered(lock)) {
            self.sweep_now();
        }
    }

    /// Looks for running OpenClaws among the processes of the sweep.
    pub(super) fn find_running(&mut self) {
        let (Some(proc), Some(sweep)) = (&self.proc, &self.sweep) else {
            let not_looked = Some(NotLooked::NotSeen(self.sight.seen.clone()));
            self.who = WhoRuns { known: Vec::new(), unknown: Vec::new(), not_looked };
            return;
        };
        // What lies in another mount namespace may have a server. One that may not be told may not be
        // entered either.
        let own = proc.link("self/ns/mnt").ok();
        let elsewhere = |pid: u32| proc.link(&format!("{pid}/ns/mnt")).is_ok_and(|theirs| Some(theirs) != own);
        if sweep.entries.iter().any(|entry| entry.may_be_runtime && elsewhere(entry.pid)) {
            bounded::at_risk();
        }
        let hidden = (self.sight.vantage == Vantage::Restricted).then(|| self.sight.seen.clone());
        self.who = roots::look(proc, &sweep.entries, self.reader, clock::read(), hidden);
        self.places = restrain::places(self.proc.as_ref(), &self.who.known);
    }

    /// The processes whose directories are not looked at, since these cannot be told: problems, or
    /// other users' affair.
    pub(super) fn tell_unknown(
        &self,
        request: &Request,
        findings: &Findings,
        problems: &mut Vec<Problem>,
    ) -> Vec<Stranger> {
        let proc = &request.scope.proc;
        if self.sweep.is_none() {
            let cause = Cause::WhoRuns(CannotTell::NotLooked(NotLooked::NotSeen(self.sight.seen.clone())));
            problems.push(Problem { path: proc.clone(), cause });
            return Vec::new();
        }
        let all = request.scope.all_users || rustix::process::geteuid().is_root();
        let own = rustix::process::geteuid().as_raw();
        // Who has places of an OpenClaw is answered about these; who has none asked for others.
        let all = all || !findings.roots.iter().any(is_openclaws);
        let stranger = |unknown: &Unknown| {
            let uid = unknown.ids.as_ref().map(|ids| ids.uid).filter(|uid| !all && *uid != own)?;
            Some(Stranger { pid: unknown.pid, program: unknown.program.clone(), uid })
        };
        let is_ours = |unknown: &&Unknown| stranger(unknown).is_none();
        let mut unknown = self.who.unknown.iter().filter(is_ours).cloned();
        for process in unknown.by_ref().take(TOLD_ONE_BY_ONE) {
            let path = proc.join(process.pid.to_string());
            problems.push(Problem { path, cause: Cause::WhoRuns(CannotTell::Process { first: process, more: 0 }) });
        }
        if let Some(first) = unknown.next() {
            let cause = Cause::WhoRuns(CannotTell::Process { first, more: unknown.count() });
            problems.push(Problem { path: proc.clone(), cause });
        }
        self.who.unknown.iter().filter_map(stranger).collect()
    }

    /// The packages installed at the usual places, our home's among them.
    pub(super) fn installed(&self, request: &Request) -> Installed {
        let home = own_environment(request).home();
        bounded::run(LOOK_LIMIT, move || installed(home.or_else(own_home).as_deref()))
            .unwrap_or(Installed { packages: Vec::new(), unknown: Some(BlocksUnknown::Installed) })
    }

    /// The releases that run or are installed here.
    pub(super) fn releases(&self, installed: Installed) -> Releases {
        let running = self.who.known.iter().flat_map(|running| running.runs.packages());
        let versions = installed.packages.iter().chain(running).map(|package| package.version.clone());
        let mut known: Vec<String> = versions.collect();
        known.sort();
        known.dedup();
        let nameless = self.who.known.iter().find(|running| running.runs.packages().is_empty());
        let nameless = nameless.map(|running| BlocksUnknown::Release(ReleaseUnknown::Runs(running.pid)));
        Releases { known, unknown: nameless.or(installed.unknown) }
    }

    /// The roots to look in, and the packages installed there.
    pub(super) fn specs(
        &self,
        request: &Request,
        discovers: bool,
        problems: &mut Vec<Problem>,
    ) -> (Vec<RootSpec>, Installed) {
        let mut specs: Vec<RootSpec> = request.scope.paths.iter().map(|path| RootSpec::from_argument(path)).collect();
        if !discovers {
            return (specs, Installed::default());
        }
        let environment = own_environment(request);
        let relative = |root: &RootSpec| std::path::absolute(&root.path).unwrap_or_else(|_| root.path.clone());
        specs.extend(environment.roots(None).into_iter().map(|root| RootSpec { path: relative(&root), ..root }));
        if environment.names_too_many() {
            let path = request.scope.proc.join("self");
            problems.push(Problem { path, cause: Cause::TooManyPlaces { most: places::MOST } });
        }
        let (home, sudo_uid, all_users) = (environment.home(), environment.sudo_uid(), request.scope.all_users);
        let listing = bounded::run(LOOK_LIMIT, move || look_around(home, sudo_uid, all_users));
        let Some((listed, installed)) = listing else {
            problems.push(Problem { path: PathBuf::from("/home"), cause: Cause::HomesTookTooLong });
            return (specs, Installed { packages: Vec::new(), unknown: Some(BlocksUnknown::Installed) });
        };
        specs.extend(listed);
        specs.extend(places::system());
        for process in &self.who.known {
            if let Err(why) = process.authority {
                problems.push(Problem {
                    path: request.scope.proc.join(process.pid.to_string()),
                    cause: Cause::Authority { program: process.program.clone(), why },
                });
            }
            if places::names_too_many(process) {
                problems.push(Problem {
                    path: request.scope.proc.join(process.pid.to_string()),
                    cause: Cause::TooManyPlaces { most: places::MOST },
                });
            }
            specs.extend(places::of_running(process));
        }
        (specs, installed)
    }

    pub(super) fn view(&self, request: &Request, now: &ClockReading) -> View {
        View {
            vantage: self.sight.vantage,
            source: self.sight.source,
            seen: self.sight.seen.clone(),
            now: now.wall,
            ticks_per_second: now.ticks_per_second,
            assume_single_writer: request.scope.assume_single_writer,
            scope: request.scope.clone(),
        }
    }

    pub(super) fn judge_all(
        &self,
        request: &Request,
        findings: Findings,
        problems: Vec<Problem>,
        releases: Releases,
    ) -> Scan {
        let now = clock::read();
        let view = self.view(request, &now);
        let mut gatherer = Gatherer::new(self, now, &findings.locks);
        let Findings { roots, locks, idle, look_alikes, problems: more, absent, vanished, entries } = findings;
        let mut judged: Vec<JudgedLock> =
            locks.into_iter().map(|found| judge_one(found, &roots, &mut gatherer, &view, &releases)).collect();
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
            idle,
            look_alikes,
            problems: problems.into_iter().chain(more).collect(),
            absent,
            not_looked_at: Vec::new(),
            vanished,
            entries,
            processes: self.sweep.as_ref().map(|sweep| sweep.entries.len()),
            versions: releases.known,
        }
    }
}

/// `sudo_uid`: who called us through sudo, whose home is not in our environment.
fn look_around(home: Option<PathBuf>, sudo_uid: Option<u32>, all_users: bool) -> (Vec<RootSpec>, Installed) {
    let mut specs = Vec::new();
    let needs_passwd = all_users || sudo_uid.is_some();
    let passwd = needs_passwd.then(passwd).unwrap_or_default();
    let home = home.or_else(own_home);
    specs.extend(home.iter().flat_map(|home| places::in_home(home, Named::Home.into())));
    let caller = sudo_uid.and_then(|uid| places::home_of(&passwd, uid));
    specs.extend(caller.iter().flat_map(|home| places::in_users_home(home, Named::CallersHome.into())));
    let homes = if all_users { places::homes(&passwd) } else { Vec::new() };
    specs.extend(homes.iter().flat_map(|home| places::in_users_home(home, Named::UsersHome.into())));
    let installed = installed(home.as_deref());
    let packages = installed.packages.iter();
    specs.extend(packages.flat_map(|package| places::in_package(package, None, Named::InstalledPackage.into())));
    (specs, installed)
}

fn passwd() -> Vec<u8> {
    let read = Dir::open_root(Path::new("/etc")).ok().and_then(|etc| etc.read_file(b"passwd", 16 * 1024 * 1024).ok());
    read.map(|(_, bytes)| bytes).unwrap_or_default()
}

/// Whether a root is a place of somebody's OpenClaw, and not one that every machine has.
fn is_openclaws(root: &RootReport) -> bool {
    let is_found = matches!(root.spec.kind, RootKind::State | RootKind::Stage | RootKind::Path);
    is_found && root.meta.is_some()
}

/// Our environment, with a home as Node.js would have it.
fn own_environment(request: &Request) -> places::Environment {
    let given = places::Environment::new(request.environment.clone());
    if given.home().is_some() {
        return given;
    }
    let others = request.environment.iter().filter(|(name, _)| name != "HOME").cloned();
    let home = own_home().map(|home| ("HOME".to_owned(), home.into_os_string()));
    places::Environment::new(others.chain(home))
}

/// Without HOME, Node.js asks the user database, and so do we.
fn own_home() -> Option<PathBuf> {
    Some(places::home_of(&passwd(), rustix::process::geteuid().as_raw())?.path)
}

fn installed(home: Option<&Path>) -> Installed {
    let mut installed = Installed::default();
    let Ok(root) = Dir::open_root(Path::new("/")) else {
        return Installed { unknown: Some(BlocksUnknown::Installed), ..installed };
    };
    for place in places::package_places(home) {
        match package_at(&root, &place) {
            Ok(package) => installed.packages.extend(package),
            Err(_) => installed.unknown = Some(BlocksUnknown::Installed),
        }
    }
    installed
}
