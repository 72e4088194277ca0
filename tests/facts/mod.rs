//! Facts written by hand: one lock of one owner, and what a run sees of it.
//!
//! Starts from the plainest case (a host that sees everything, a filesystem of its own, nobody
//! with the recorded pid); each call changes one thing. Used by the verdict's tests only.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

pub mod table;

use openclaw_doctor::evidence::{
    Candidate, DatabaseUnknown, DatabaseUse, ForeignKernel, Halted, InUse, InitialBy, Life, LockFacts, LockTimes,
    NotSole, OwnView, ProcSource, Reach, Reaches, Role, RouteUnknown, SoleAccess, Synchroniser, TimeNamespace, Vantage,
    VantageWhy, View, Worker,
};
use openclaw_doctor::family::{self, Family};
use openclaw_doctor::hold::{KernelHold, Untold};
use openclaw_doctor::record::{Hostility, Owner, Record};
use openclaw_doctor::scope::Scope;
use openclaw_doctor::units::{EpochMs, StartTicks};
use openclaw_doctor::verdict::{self, Verdict};

/// The pid that every record names.
pub const PID: u32 = 7;
/// The start time that a record names, if it names one.
pub const TICKS: StartTicks = StartTicks(483_361);
/// Another start time.
pub const OTHER_TICKS: StartTicks = StartTicks(990_017);

pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;

pub const NOW: EpochMs = EpochMs(1_800_000_000_000);
/// When the lock was taken, by its record and by its file.
pub const TAKEN: EpochMs = EpochMs(NOW.0 - HOUR);

/// All that a verdict may rest on.
#[derive(Debug, Clone)]
pub struct Facts {
    pub family: &'static Family,
    pub lock: LockFacts,
    pub view: View,
}

/// A lock whose record says this.
pub fn lock(record: Record) -> Facts {
    let record_time = has_file(&record).then_some(TAKEN);
    Facts {
        family: family::by_name("runtime-deps").unwrap(),
        lock: LockFacts {
            record,
            times: LockTimes { lock_modified: Some(TAKEN), record_modified: record_time, record_born: record_time },
            reach: Reach::ThisKernel,
            sole_access: SoleAccess::No(NotSole::Mount { point: "/data".into(), filesystem: "ext4".to_owned() }),
            candidates: Vec::new().into(),
            in_use: InUse::default(),
            kernel_lock: KernelHold::Free,
            coordinator: KernelHold::Free,
            kernel_holders: Vec::new(),
            surely_openclaws: true,
            synchroniser: None,
            database: DatabaseUse::CannotTell(DatabaseUnknown::NotAsked),
            owner_keeps_database: false,
        },
        view: View {
            vantage: Vantage::Host,
            source: ProcSource::Own,
            seen: VantageWhy::Initial { proc: "/proc".into(), by: InitialBy::Identity },
            now: NOW,
            ticks_per_second: 100,
            assume_single_writer: false,
            scope: Scope::default(),
        },
    }
}

/// Whether a record of this kind is a file that was looked at, and so has times.
pub fn has_file(record: &Record) -> bool {
    use Hostility::{LockNotDirectory, LockNotEmpty, LockNotFile, LockSymlink};
    !matches!(
        record,
        Record::Missing
            | Record::NotRecorded
            | Record::KernelHeld { .. }
            | Record::KernelUnknown
            | Record::Hostile(LockSymlink | LockNotDirectory | LockNotFile | LockNotEmpty)
    )
}

/// A file on which the kernel shows a lock, and the process that it names for it, if it does.
pub fn held_by_kernel(holder: Option<Candidate>) -> Facts {
    let facts = lock(Record::KernelHeld { pid: holder.as_ref().map(|holder| holder.pid) });
    holder.into_iter().fold(facts, Facts::and)
}

/// A lock whose record has a pid and start ticks (OpenClaw 2026.4.29 and later).
pub fn with_ticks() -> Facts {
    lock(Record::Owner(Owner { pid: PID, start_ticks: Some(TICKS), created_at: Some(TAKEN) }))
}

/// A lock whose record has a pid only (OpenClaw 2026.4.24 to 2026.4.27).
pub fn without_ticks() -> Facts {
    lock(Record::Owner(Owner { pid: PID, start_ticks: None, created_at: Some(TAKEN) }))
}

/// A lock whose record has no pid.
pub fn lease(created_at: Option<EpochMs>) -> Facts {
    lock(Record::Anonymous { created_at }).times(|times| {
        let long_ago = Some(EpochMs(i64::MIN));
        *times = LockTimes { lock_modified: long_ago, record_modified: long_ago, record_born: long_ago };
    })
}

impl Facts {
    pub fn judge(&self) -> Verdict {
        verdict::judge(self.family, &self.lock, &self.view)
    }

    /// One more process has the recorded pid.
    pub fn and(mut self, candidate: Candidate) -> Self {
        self.lock.candidates.push(candidate);
        self
    }

    /// Lock and record were last changed so long ago.
    pub fn touched_ago(mut self, milliseconds: i64) -> Self {
        let moment = Some(EpochMs(NOW.0 - milliseconds));
        self.lock.times.lock_modified = moment;
        self.lock.times.record_modified = self.lock.times.record_modified.and(moment);
        self
    }

    pub fn times(mut self, change: impl FnOnce(&mut LockTimes)) -> Self {
        change(&mut self.lock.times);
        self
    }

    /// The record says nothing of when it was written.
    pub fn undated(mut self) -> Self {
        if let Record::Owner(owner) = &mut self.lock.record {
            owner.created_at = None;
        }
        self
    }

    /// A container's view; other containers may share the lock's volume.
    pub fn in_container(mut self) -> Self {
        self.view.vantage = Vantage::Namespace;
        self.view.seen = VantageWhy::Below { proc: "/proc".into(), namespace: Some(4_026_532_999) };
        self
    }

    /// A container's view of a lock on its own writable layer.
    pub fn on_own_layer(mut self) -> Self {
        self.lock.sole_access = SoleAccess::OwnLayer;
        self.in_container()
    }

    /// A whole system's view of a lock on its own root.
    pub fn on_own_system(mut self) -> Self {
        self.lock.sole_access = SoleAccess::OwnSystem;
        self.in_container()
    }

    /// A container's view, and the operator's word that nobody else writes there.
    pub fn single_writer(mut self) -> Self {
        self.view.assume_single_writer = true;
        self.in_container()
    }

    /// Processes are hidden.
    pub fn restricted(mut self) -> Self {
        self.view.vantage = Vantage::Restricted;
        self.view.seen = VantageWhy::Hidden { proc: "/proc".into() };
        self
    }

    /// The processes come from `source`, as a scan would see it.
    pub fn from(mut self, source: ProcSource) -> Self {
        self.view.source = source;
        if matches!(source, ProcSource::NotProcfs | ProcSource::Unreadable) {
            self.view.vantage = Vantage::Restricted;
            self.view.seen = VantageWhy::NotProcfs { proc: "/proc".into() };
        }
        self
    }

    pub fn vantage(mut self, vantage: Vantage) -> Self {
        self.view.vantage = vantage;
        self
    }

    pub fn shared_with_other_kernels(mut self) -> Self {
        self.lock.reach = Reach::OtherKernelPossible(ForeignKernel::SharedFilesystem("nfs".to_owned()));
        self
    }

    /// The record's file was born here long after its last change.
    pub fn copied(self) -> Self {
        self.times(|times| times.record_born = Some(NOW))
    }

    /// A program copies files between this place and another machine.
    pub fn synchronised(mut self) -> Self {
        self.lock.synchroniser = Some(Synchroniser { pid: 812, program: "syncthing" });
        self
    }

    /// Its owner keeps the state dir's databases open, and this many have them.
    pub fn database(mut self, used: DatabaseUse<Option<Worker>>) -> Self {
        self.lock.database = used;
        self.lock.owner_keeps_database = true;
        self
    }

    /// An npm still works in the guarded directory.
    pub fn worked_in(mut self) -> Self {
        self.lock.in_use.by.push(Worker { pid: 4_242, program: "npm install".to_owned() });
        self
    }

    /// Somebody holds the coordinator beside it.
    pub fn coordinated(mut self) -> Self {
        self.lock.coordinator = KernelHold::HELD;
        self
    }

    /// Whether somebody holds that, or the lock's file, cannot be told.
    pub fn uncoordinated(mut self) -> Self {
        self.lock.coordinator = KernelHold::Unknown(Untold::NotAllowed);
        self
    }

    /// Another program has the lock's file locked.
    pub fn locked(mut self) -> Self {
        self.lock.kernel_lock = KernelHold::HELD;
        self
    }

    /// Whether one has cannot be told.
    pub fn perhaps_locked(mut self) -> Self {
        self.lock.kernel_lock = KernelHold::Unknown(Untold::LongList);
        self
    }

    /// Another program may use such a name too.
    pub fn perhaps_anothers(mut self) -> Self {
        self.lock.surely_openclaws = false;
        self
    }

    /// So many working directories could not be read.
    pub fn workers_unknown(mut self, unknown: usize) -> Self {
        self.lock.in_use.unknown = unknown;
        self
    }
}

/// A living process of our own PID namespace with the recorded pid, and these start ticks.
/// It started before the lock was taken.
pub fn process(program: &str, role: Role, ticks: StartTicks) -> Candidate {
    Candidate {
        pid: PID,
        ns_pid: PID,
        life: Life::Alive,
        state: 'S',
        start_ticks: vec![ticks],
        time_namespace: TimeNamespace::Initial,
        own_view: OwnView::TrueTicks,
        started_at: Some(EpochMs(TAKEN.0 - MINUTE)),
        clock_step_ms: None,
        program: Some(program.to_owned()),
        role,
        own_namespace: true,
        is_self: false,
        container: None,
        reaches: Reaches::CannotTell(RouteUnknown::NotAsked),
        halted: Halted::No,
    }
}

/// The recorded owner.
pub fn owner() -> Candidate {
    process("openclaw", Role::OpenClaw, TICKS)
}

/// Another OpenClaw with the owner's pid.
pub fn successor() -> Candidate {
    process("openclaw", Role::OpenClaw, OTHER_TICKS)
}

/// Another program with the owner's pid.
pub fn stranger() -> Candidate {
    process("postgres", Role::Other, OTHER_TICKS)
}

impl Moved for Candidate {}

/// Words for a process's start on the wall clock.
pub trait Moved: Into<Candidate> {
    /// It started so long after the lock was taken, by a witness that saw this much of a step.
    fn started_after(self, milliseconds: i64, step_ms: Option<u64>) -> Candidate {
        let started_at = Some(EpochMs(TAKEN.0 + milliseconds));
        Candidate { started_at, clock_step_ms: step_ms, ..self.into() }
    }
}
