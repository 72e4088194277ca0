//! Collects the facts of locks, reading each process once.

use super::restrain::Users;
use super::signs::Signs;
use super::sole;
use super::world::{LOOK_LIMIT, World};
use super::{Blocks, Releases, label};
use crate::candidates::Candidates;
use crate::discover::{FoundLock, RootReport};
use crate::evidence::{
    Candidate, DatabaseUse, ForeignKernel, InUse, Life, LockFacts, NotSole, OwnView, ProcSource, Reach, SoleAccess,
    Synchroniser, Vantage, View, Worker,
};
use crate::family::Form;
use crate::hold::{KernelHold, Untold};
use crate::process::exports::Exports;
use crate::process::identity::{Observed, observe};
use crate::process::kernel_holders::{self, Asked, Locks};
use crate::process::own_view;
use crate::process::proc_dir::ProcDir;
use crate::process::routes::Place;
use crate::process::sharing::{Effect, Server};
use crate::process::status::Status;
use crate::process::workers::Workplaces;
use crate::record::{Owner, Record};
use crate::restraint::Restraint;
use crate::sys::tree::Meta;
use crate::sys::{bounded, mounts::MountTable};
use crate::units::ClockReading;
use crate::verdict::{Verdict, asks_for_routes, asks_for_witness};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open, test_kill_process};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// Lists of one pid with which a new one is compared.
const COMPARED: usize = 8;

/// Collects the facts of locks, reading each process once.
pub(super) struct Gatherer<'a> {
    world: &'a World,
    now: ClockReading,
    candidates: HashMap<u32, Vec<Candidate>>,
    /// The lists that locks have, by the recorded pid.
    shared: HashMap<u32, Vec<Candidates>>,
    own_views: HashMap<u32, OwnView>,
    signs: Signs,
    workplaces: HashMap<u32, Workplaces>,
    exports: Option<Exports>,
    servers: HashMap<u32, Vec<Server>>,
    mount_roots: HashMap<u64, SoleAccess>,
    users: Users,
    kernels_list: Option<Locks>,
    inodes: HashSet<u64>,
}

impl<'a> Gatherer<'a> {
    /// For these locks.
    pub(super) fn new<'l>(world: &'a World, now: ClockReading, locks: impl IntoIterator<Item = &'l FoundLock>) -> Self {
        let files = locks.into_iter().filter(|lock| lock.form == Form::File);
        let inodes = files.map(|lock| lock.reading.meta.inode).collect();
        Self {
            world,
            now,
            candidates: HashMap::new(),
            shared: HashMap::new(),
            own_views: HashMap::new(),
            signs: Signs::default(),
            workplaces: HashMap::new(),
            exports: None,
            servers: HashMap::new(),
            mount_roots: HashMap::new(),
            users: Users::default(),
            kernels_list: None,
            inodes,
        }
    }

    pub(super) fn restraint(
        &mut self,
        found: &FoundLock,
        verdict: &Verdict,
        root: Option<&RootReport>,
    ) -> Option<Restraint> {
        self.users.restraint(self.world, found, verdict, root)
    }

    /// Whom a lock holds up.
    pub(super) fn blocks(
        &mut self,
        found: &FoundLock,
        path: &Path,
        root: Option<&RootReport>,
        here: &Releases,
    ) -> Blocks {
        match label::version_in(path) {
            Some(of) => label::blocks_version(of, here, Users::cannot_tell(self.world, found, root)),
            None => label::blocks(found.family, here, self.users.of(self.world, found, root)),
        }
    }

    pub(super) fn facts(&mut self, found: &FoundLock, real_path: Option<&Path>, view: &View) -> LockFacts {
        let owner = found.reading.record.owner();
        let reading = &found.reading;
        let (kernel_lock, mut kernel_holders) = self.kernel_lock(found);
        let mut candidates = match &found.reading.record {
            Record::KernelHeld { pid } => self.kernel_holders(*pid, &reading.meta),
            _ => owner.map(|owner| self.candidates(owner.pid)).unwrap_or_default(),
        };
        if let Some(owner) = owner {
            self.add_own_views(owner, &mut candidates);
            let times = &found.reading.times;
            for candidate in candidates.iter_mut().filter(|candidate| asks_for_witness(candidate, owner, times)) {
                candidate.clock_step_ms = self.signs.clock_step_ms(candidate, self.world, &self.now);
            }
            if asks_for_routes(&candidates, owner) {
                let place = self.place(found, real_path);
                self.signs.look_for_routes(&mut candidates, place.as_ref(), self.world);
            }
        }
        self.signs.look_whether_they_run(&mut candidates, self.world);
        self.signs.look_whether_they_run(&mut kernel_holders, self.world);
        LockFacts {
            record: found.reading.record.clone(),
            times: found.reading.times,
            reach: self.reach(found, real_path),
            sole_access: match view.vantage {
                Vantage::Namespace => self.sole_access(found),
                _ => SoleAccess::No(NotSole::NotInNamespace(view.seen.clone())),
            },
            candidates: self.shared(owner.map(|owner| owner.pid), candidates),
            in_use: InUse::default(),
            kernel_lock,
            coordinator: reading.coordinator,
            kernel_holders,
            surely_openclaws: found.surely_openclaws,
            synchroniser: self.synchroniser(found),
            database: self.database(&reading.database),
            owner_keeps_database: keeps_database(found),
        }
    }

    /// Where the lock lies, if its filesystem is a plain one of our own mount table.
    fn place(&self, found: &FoundLock, real_path: Option<&Path>) -> Option<Place> {
        Place::of(real_path?, &found.reading.meta, self.world.mounts.as_ref()?)
    }

    /// The same list for all locks of which it says the same.
    fn shared(&mut self, pid: Option<u32>, candidates: Vec<Candidate>) -> Candidates {
        let (Some(pid), false) = (pid, candidates.is_empty()) else { return candidates.into() };
        let known = self.shared.entry(pid).or_default();
        if let Some(same) = known.iter().rev().take(COMPARED).find(|known| ***known == candidates) {
            return same.clone();
        }
        known.push(candidates.into());
        known.last().cloned().unwrap_or_default()
    }

    fn candidates(&mut self, pid: u32) -> Vec<Candidate> {
        let (Some(proc), Some(sweep)) = (&self.world.proc, &self.world.sweep) else { return Vec::new() };
        let (reader, now) = (&self.world.reader, &self.now);
        let read = || {
            let mut carriers = sweep.candidates(pid, proc, reader, now);
            if self.world.sight.source == ProcSource::Own && !carriers.listed && may_live(proc, pid) {
                carriers.candidates.push(Candidate::out_of_list(pid));
            }
            carriers.candidates
        };
        self.candidates.entry(pid).or_insert_with(read).clone()
    }

    /// Whether another program has a lock's file locked, and who holds that or its coordinator.
    fn kernel_lock(&mut self, found: &FoundLock) -> (KernelHold, Vec<Candidate>) {
        let reading = &found.reading;
        if found.form != Form::File || reading.meta.kind != FileType::RegularFile {
            return (KernelHold::Free, Vec::new());
        }
        let Some(proc) = &self.world.kernel else {
            return (reading.kernel_lock.or(KernelHold::Unknown(Untold::NoList(Errno::NOENT))), Vec::new());
        };
        let (asked, inodes) = (self.asked(&reading.meta), &self.inodes);
        let listed = self.kernels_list.get_or_insert_with(|| kernel_holders::list(proc, inodes));
        let told = if listed.held.iter().any(|lock| lock.inode == asked.inode) {
            let (proc, listed) = (Arc::clone(proc), listed.clone());
            bounded::run(LOOK_LIMIT, move || listed.on(&proc, &asked))
        } else {
            Some(listed.on(proc, &asked))
        };
        let (listed, mut pids) = told.map_or((KernelHold::Unknown(Untold::NoAnswer), Vec::new()), |told| {
            (told.hold, told.by.iter().map(|holder| holder.pid).collect())
        });
        pids.extend([reading.kernel_lock, reading.coordinator].iter().filter_map(|hold| match hold {
            KernelHold::Held { pid, .. } if self.world.sight.source == ProcSource::Own => *pid,
            _ => None,
        }));
        pids.sort_unstable();
        pids.dedup();
        (reading.kernel_lock.or(listed), self.observed(pids))
    }

    fn asked(&self, file: &Meta) -> Asked {
        let mount = self.world.mounts.as_ref().and_then(|mounts| mounts.by_id(file.mount_id));
        Asked { device: file.device, superblock: mount.map(|mount| mount.device), inode: file.inode }
    }

    /// The processes that the kernel names as holders of a lock: `pid` of our own namespace, or
    /// those that the list of another proc directory names.
    fn kernel_holders(&self, pid: Option<u32>, file: &Meta) -> Vec<Candidate> {
        let Some(proc) = &self.world.proc else { return Vec::new() };
        let own = pid.filter(|_| self.world.sight.source == ProcSource::Own);
        let listed = || {
            let (proc, asked) = (Arc::clone(proc), self.asked(file));
            let look = move || kernel_holders::list(&proc, &HashSet::from([asked.inode])).on(&proc, &asked);
            let holders = bounded::run(LOOK_LIMIT, look);
            holders.into_iter().flat_map(|holders| holders.by).map(|holder| holder.pid).collect()
        };
        self.observed(own.map_or_else(listed, |pid| vec![pid]))
    }

    fn observed(&self, pids: Vec<u32>) -> Vec<Candidate> {
        let Some(proc) = &self.world.proc else { return Vec::new() };
        let seen = pids.into_iter().map(|pid| observe(proc, pid, &self.world.reader, &self.now));
        let living = seen.filter_map(|seen| match seen {
            Observed::Process(candidate, _) | Observed::KernelThread(candidate) => Some(*candidate),
            Observed::Unreadable | Observed::Gone => None,
        });
        living.collect()
    }

    /// What other ticks than the recorded ones are worth.
    fn add_own_views(&mut self, owner: &Owner, candidates: &mut [Candidate]) {
        let Some(recorded) = owner.start_ticks else { return };
        if candidates.iter().any(|candidate| candidate.life != Life::Dead && candidate.would_record(recorded)) {
            return;
        }
        let Some(proc) = &self.world.proc else { return };
        let (reader, now) = (&self.world.reader, &self.now);
        for candidate in candidates.iter_mut().filter(|candidate| candidate.life != Life::Dead) {
            let ask = || own_view::look(proc, candidate, reader, now, LOOK_LIMIT);
            candidate.own_view = self.own_views.entry(candidate.pid).or_insert_with(ask).clone();
        }
    }

    fn reach(&mut self, found: &FoundLock, real_path: Option<&Path>) -> Reach {
        match found.filesystem {
            None => return Reach::OtherKernelPossible(ForeignKernel::FilesystemUnknown),
            Some(filesystem) if !filesystem.is_local() => {
                let mount = self.world.mounts.as_ref().and_then(|mounts| mounts.by_id(found.guarded.mount_id));
                let name = filesystem.name_as(mount.as_ref().map(|mount| mount.kind.as_str()));
                return Reach::OtherKernelPossible(ForeignKernel::SharedFilesystem(name));
            }
            Some(_) => {}
        }
        let server = self.servers(found.reading.meta.uid).iter().find(|server| server.effect == Effect::OtherKernel);
        if let Some(Server { pid, label, .. }) = server {
            return Reach::OtherKernelPossible(ForeignKernel::Server { pid: *pid, program: label });
        }
        let (Some(proc), Some(sweep)) = (&self.world.proc, &self.world.sweep) else { return Reach::ThisKernel };
        let empty = MountTable::default();
        let mounts = self.world.mounts.as_ref().unwrap_or(&empty);
        let exports = self.exports.get_or_insert_with(|| sweep.servers(proc).exports(mounts));
        if exports.are_none() {
            return Reach::ThisKernel;
        }
        let mount = mounts.by_id(found.guarded.mount_id);
        let place = mount.and_then(|mount| Some((mount.device, mount.in_filesystem(real_path?)?)));
        match exports.covering(place.as_ref(), real_path) {
            Some(why) => Reach::OtherKernelPossible(why),
            None => Reach::ThisKernel,
        }
    }

    fn synchroniser(&mut self, found: &FoundLock) -> Option<Synchroniser> {
        let servers = self.servers(found.reading.meta.uid);
        let copies = servers.iter().find(|server| server.effect == Effect::Synchronises);
        copies.map(|server| Synchroniser { pid: server.pid, program: server.label })
    }

    /// The programs through which what belongs to this uid may have writers elsewhere.
    fn servers(&mut self, uid: u32) -> &[Server] {
        let (Some(proc), Some(sweep)) = (&self.world.proc, &self.world.sweep) else { return &[] };
        let ask = || {
            let all = sweep.servers(proc).of(uid).cloned();
            let (pending, mut certain): (Vec<Server>, Vec<Server>) = all.partition(Server::is_asked_by_arguments);
            if !pending.is_empty() {
                let (proc, asked) = (Arc::clone(proc), pending.clone());
                let say_so = move || asked.into_iter().filter(|server| server.says_so(&proc)).collect();
                certain.extend(bounded::run(LOOK_LIMIT, say_so).unwrap_or(pending));
            }
            certain
        };
        self.servers.entry(uid).or_insert_with(ask)
    }

    fn sole_access(&mut self, found: &FoundLock) -> SoleAccess {
        let world = self.world;
        self.mount_roots.entry(found.reading.meta.mount_id).or_insert_with(|| sole::tell(world, found)).clone()
    }

    /// Who has the database of the lock's state dir open, by name.
    fn database(&self, seen: &DatabaseUse<Option<u32>>) -> DatabaseUse<Option<Worker>> {
        match seen {
            DatabaseUse::Held(pid) => DatabaseUse::Held(pid.and_then(|pid| self.worker(pid))),
            DatabaseUse::Free(used) => DatabaseUse::Free(*used),
            DatabaseUse::CannotTell(why) => DatabaseUse::CannotTell(*why),
        }
    }

    /// A process that the kernel names by its pid in our own namespace.
    fn worker(&self, pid: u32) -> Option<Worker> {
        let proc = self.world.proc.as_ref().filter(|_| self.world.sight.source == ProcSource::Own)?;
        let name = proc.read(&format!("{pid}/comm")).ok()?;
        Some(Worker { pid, program: String::from_utf8_lossy(&name).trim_end().to_owned() })
    }

    pub(super) fn in_use(&mut self, found: &FoundLock) -> InUse {
        let (Some(proc), Some(sweep)) = (&self.world.proc, &self.world.sweep) else { return InUse::default() };
        let uid = found.reading.meta.uid;
        let own_pid = self.world.sight.own_pid;
        let look = || Workplaces::of_uid(uid, proc, &sweep.entries, own_pid);
        let workplaces = self.workplaces.entry(uid).or_insert_with(look);
        let owner = found.reading.record.owner();
        workplaces.in_use(&found.guarded, owner, proc, &self.world.reader, &self.now)
    }
}

/// Whether the kernel may know a living or unreaped process by this pid in our own namespace: only
/// `ESRCH` is death. Every other refusal (a kernel before 5.3, a seccomp filter, no descriptor left)
/// says nothing, and kill(2) is asked, which needs none; signal 0 is sent to nobody.
#[expect(clippy::disallowed_methods, reason = "the one place that asks")]
fn may_live(proc: &ProcDir, pid: u32) -> bool {
    let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    match pidfd_open(number, PidfdFlags::empty()) {
        Ok(_) => true,
        Err(Errno::SRCH) => false,
        // Also what is said of a thread's number, which no record of its process holds.
        Err(_) => test_kill_process(number) != Err(Errno::SRCH) && !is_thread(proc, pid),
    }
}

/// Whether /proc shows this number as one of a thread that leads no process.
fn is_thread(proc: &ProcDir, pid: u32) -> bool {
    let status = proc.process(pid).and_then(|process| process.read("status"));
    status.ok().and_then(|bytes| Status::parse(&bytes)).is_some_and(|status| status.tgid != status.pid)
}

/// Whether whoever holds this lock keeps the database of its state dir open: a gateway of
/// 2026.8.1 and later does. The other roles that take the same lock may close it in between.
fn keeps_database(found: &FoundLock) -> bool {
    // OpenClaw ends a record with a line of its own, behind the object.
    let record = serde_json::Deserializer::from_slice(&found.reading.raw).into_iter::<Value>().next();
    let of_gateway =
        |record: &Value| record.get("ownerId").is_some_and(Value::is_string) && record.get("role").is_none();
    found.family.has_coordinator && record.and_then(Result::ok).is_some_and(|record| of_gateway(&record))
}
