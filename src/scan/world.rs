//! The machine, as far as this run has looked at it: what it sees, the sweep, who runs.

use super::facts::Gatherer;
use super::{HostFacts, JudgedLock, Request, Scan, judge_one};
use crate::discover::{Findings, FoundLock, Named, RootSpec, places};
use crate::evidence::{ProcSource, Vantage, VantageWhy, View};
use crate::problem::{Cause, Problem, WhoRunsUnknown};
use crate::process::identity::Reader;
use crate::process::proc_dir::ProcDir;
use crate::process::roots::{self, Package, Running};
use crate::process::table::{Entry, Sweep};
use crate::process::vantage::{self, Sight};
use crate::sys::mounts::{Mount, MountTable};
use crate::sys::tree::Dir;
use crate::sys::{bounded, clock};
use crate::units::ClockReading;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

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
    pub(super) running: Vec<Running>,
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
        let is_procfs = matches!(sight.source, ProcSource::Own | ProcSource::Foreign);
        let own = own.map(Arc::new);
        let kernel = if is_procfs { proc.clone() } else { own };
        Self { reader, kernel, proc, mounts, sight, sweep: None, running: Vec::new() }
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

    pub(super) fn find_running(&mut self, problems: &mut Vec<Problem>) {
        let (Some(proc), Some(sweep)) = (self.proc.clone(), &self.sweep) else { return };
        let suspects: Vec<Entry> = sweep.entries.iter().filter(|entry| entry.may_be_runtime).copied().collect();
        if suspects.is_empty() {
            // A thread that has nothing to look at would still have to wait for its turn.
            return;
        }
        let (reader, now) = (self.reader, clock::read());
        match bounded::run(LOOK_LIMIT, move || roots::running(&proc, &suspects, &reader, &now)) {
            Some(running) => self.running = running,
            None => problems.push(Problem {
                path: self.proc.as_ref().map(|proc| proc.path().to_owned()).unwrap_or_default(),
                cause: Cause::WhoRuns(WhoRunsUnknown::TookTooLong),
            }),
        }
    }

    /// The roots to look in, and the packages installed there.
    pub(super) fn specs(
        &self,
        request: &Request,
        discovers: bool,
        problems: &mut Vec<Problem>,
    ) -> (Vec<RootSpec>, Vec<Package>) {
        let mut specs: Vec<RootSpec> = request.scope.paths.iter().map(|path| RootSpec::from_argument(path)).collect();
        if !discovers {
            return (specs, Vec::new());
        }
        let environment = places::Environment::new(request.environment.clone());
        specs.extend(environment.roots(None));
        let (home, sudo_uid, all_users) = (environment.home(), environment.sudo_uid(), request.scope.all_users);
        let listing = bounded::run(LOOK_LIMIT, move || look_around(home, sudo_uid, all_users));
        let Some((listed, packages)) = listing else {
            problems.push(Problem { path: PathBuf::from("/home"), cause: Cause::HomesTookTooLong });
            return (specs, Vec::new());
        };
        specs.extend(listed);
        specs.extend(places::system());
        for process in &self.running {
            if process.environment.is_none() && (all_users || rustix::process::geteuid().is_root()) {
                problems.push(Problem {
                    path: request.scope.proc.join(process.pid.to_string()),
                    cause: Cause::Environment { program: process.program.clone() },
                });
            }
            if let Err(why) = process.authority {
                problems.push(Problem {
                    path: request.scope.proc.join(process.pid.to_string()),
                    cause: Cause::Authority { program: process.program.clone(), why },
                });
            }
            specs.extend(places::of_running(process));
        }
        (specs, packages)
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
        versions: Vec<String>,
    ) -> Scan {
        let now = clock::read();
        let view = self.view(request, &now);
        let mut gatherer = Gatherer::new(self, now, &findings.locks);
        let Findings { roots, locks, idle, look_alikes, problems: more, absent, vanished, entries } = findings;
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
            idle,
            look_alikes,
            problems: problems.into_iter().chain(more).collect(),
            absent,
            vanished,
            entries,
            processes: self.sweep.as_ref().map(|sweep| sweep.entries.len()),
            versions,
        }
    }
}

/// `sudo_uid`: who called us through sudo, whose home is not in our environment.
fn look_around(home: Option<PathBuf>, sudo_uid: Option<u32>, all_users: bool) -> (Vec<RootSpec>, Vec<Package>) {
    let mut specs = Vec::new();
    let passwd = || {
        let etc = Dir::open_root(Path::new("/etc")).ok()?;
        Some(etc.read_file(b"passwd", 16 * 1024 * 1024).ok()?.1)
    };
    let needs_passwd = all_users || sudo_uid.is_some() || home.is_none();
    let passwd = needs_passwd.then(passwd).flatten().unwrap_or_default();
    // Without HOME, Node.js asks the user database, and so do we.
    let home = home.or_else(|| Some(places::home_of(&passwd, rustix::process::geteuid().as_raw())?.path));
    specs.extend(home.iter().flat_map(|home| places::in_home(home, Named::Home.into())));
    let caller = sudo_uid.and_then(|uid| places::home_of(&passwd, uid));
    specs.extend(caller.iter().flat_map(|home| places::in_users_home(home, Named::CallersHome.into())));
    let homes = if all_users { places::homes(&passwd) } else { Vec::new() };
    specs.extend(homes.iter().flat_map(|home| places::in_users_home(home, Named::UsersHome.into())));
    let mut packages = Vec::new();
    if let Ok(root) = Dir::open_root(Path::new("/")) {
        let places = places::package_places(home.as_deref());
        packages.extend(places.iter().filter_map(|place| roots::package_at(&root, place)));
    }
    specs.extend(packages.iter().flat_map(|package| places::in_package(package, None, Named::InstalledPackage.into())));
    (specs, packages)
}
