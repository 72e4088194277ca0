//! Facts: everything a verdict may rest on, as plain values.
//!
//! The edges ([`crate::process`], [`crate::discover`]) fill them in once; [`crate::verdict`]
//! reads them; tests write them by hand. Nothing here reads a file or decides anything.
//! "Cannot tell" is a value of every question that can go unanswered.

use crate::hold::KernelHold;
use crate::record::Record;
use crate::scope::Scope;
use crate::units::{EpochMs, StartTicks};
use rustix::io::Errno;
use std::path::PathBuf;

/// How much a birth may lie after a change that was made later: both are stamped by one clock.
const COPY_LAG_MS: i64 = 1_000;

/// How much of the process world a run can see (DESIGN: vantage).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Vantage {
    /// The initial PID namespace: every process.
    Host,
    /// A PID namespace below the initial one: this one and those below it, never siblings.
    Namespace,
    /// Processes are hidden, or it cannot be told which ones are.
    Restricted,
}

impl Vantage {
    /// The word in JSON, text and docs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Namespace => "namespace",
            Self::Restricted => "restricted",
        }
    }
}

/// Whose pids the proc directory shows, and whether the kernel vouches for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProcSource {
    /// procfs of our own PID namespace: pidfds can be opened for what it lists.
    Own,
    /// procfs of another PID namespace (a host's /proc mounted in a pod).
    Foreign,
    /// Not procfs: a copy or a fixture. Nothing in it proves anything.
    NotProcfs,
    /// Nothing could be read.
    Unreadable,
}

impl ProcSource {
    /// Whether it is a procfs that can be read: without one nothing is proven, and nothing removed.
    #[must_use]
    pub fn is_procfs(self) -> bool {
        match self {
            Self::Own | Self::Foreign => true,
            Self::NotProcfs | Self::Unreadable => false,
        }
    }
}

/// What the whole run sees, the same for every lock.
#[derive(Debug, Clone)]
pub struct View {
    /// How much can be seen.
    pub vantage: Vantage,
    /// Where the pids come from.
    pub source: ProcSource,
    /// How the vantage was told.
    pub seen: VantageWhy,
    /// The wall clock at the time of judging.
    pub now: EpochMs,
    /// Ticks per second of start times.
    pub ticks_per_second: u64,
    /// The operator vouches that only this container's processes write here.
    pub assume_single_writer: bool,
    /// What the run was told to look at: a suggested command carries it.
    pub scope: Scope,
}

/// How the vantage was told, or why it could not be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum VantageWhy {
    /// The initial PID namespace.
    Initial {
        /// The proc directory.
        proc: PathBuf,
        /// How it is known.
        by: InitialBy,
    },
    /// A PID namespace below the initial one.
    Below {
        /// The proc directory.
        proc: PathBuf,
        /// The namespace's inode number, where it may be read.
        namespace: Option<u64>,
    },
    /// Which PID namespace it is cannot be told.
    NamespaceUnknown {
        /// The proc directory.
        proc: PathBuf,
    },
    /// `hidepid` hides processes of other users.
    Hidden {
        /// The proc directory.
        proc: PathBuf,
    },
    /// Its mount options cannot be read.
    OptionsUnknown {
        /// The proc directory.
        proc: PathBuf,
    },
    /// Some processes are there and cannot be read.
    Unreadable {
        /// How many.
        processes: usize,
    },
    /// It is not procfs.
    NotProcfs {
        /// The proc directory.
        proc: PathBuf,
    },
    /// It cannot be listed.
    NotListed {
        /// What the kernel said.
        errno: Errno,
    },
    /// It cannot be opened.
    NotOpened {
        /// The proc directory.
        proc: PathBuf,
        /// What the kernel said.
        errno: Errno,
    },
}

/// By what the initial PID namespace is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InitialBy {
    /// Its inode number.
    Identity,
    /// Its pid 2 is kthreadd.
    KernelThread,
}

/// The facts of one lock.
#[derive(Debug, Clone)]
pub struct LockFacts {
    /// What the record says.
    pub record: Record,
    /// When the lock and its record were made and changed.
    pub times: LockTimes,
    /// Who else may reach the filesystem.
    pub reach: Reach,
    /// Whether only this container's processes can have written here.
    pub sole_access: SoleAccess,
    /// Processes that carry the recorded pid, and what could be read of them.
    pub candidates: crate::candidates::Candidates,
    /// Living processes that work in the directory that the lock guards.
    pub in_use: InUse,
    /// Whether the kernel says that another program has the lock's own file locked.
    pub kernel_lock: KernelHold,
    /// Whether the kernel says that somebody holds what the lock's owner holds together with it.
    pub coordinator: KernelHold,
    /// The processes that the kernel names as holders of either, where the record does not stand
    /// for them.
    pub kernel_holders: Vec<Candidate>,
    /// Its name is one that only OpenClaw gives, or it stands where OpenClaw puts such a name.
    pub surely_openclaws: bool,
    /// A program here that copies files between this place, or one of the same user, and another
    /// machine.
    pub synchroniser: Option<Synchroniser>,
    /// Whether somebody has the database of the lock's state dir open.
    pub database: DatabaseUse<Option<Worker>>,
    /// Whoever holds this lock has it open all the while, but for the first minutes.
    pub owner_keeps_database: bool,
}

/// Whether a process of this kernel has a state dir's database open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUse<Holder> {
    /// One has, and which, if the kernel says so.
    Held(Holder),
    /// None has, and one had since the lock was taken: at this moment at the earliest.
    Free(EpochMs),
    /// One may.
    CannotTell(DatabaseUnknown),
}

/// Why it cannot be told whether somebody has a state dir's database open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatabaseUnknown {
    /// No release that makes such a lock is known to keep it open.
    NotAsked,
    /// The lock does not stand in a state dir, or parts of that lie on other mounts.
    NoStateDir,
    /// There is none, or it was closed in order.
    NoDatabase,
    /// It may not be opened, or the kernel does not say.
    Unreadable,
    /// The filesystem does not show the locks of all who use it.
    Filesystem,
    /// Nobody has opened it since the lock was taken: its owner may use another.
    NotUsedSince,
}

/// A program that copies files between machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synchroniser {
    /// Its pid in the PID namespace of the proc directory.
    pub pid: u32,
    /// Its name, out of our own list.
    pub program: &'static str,
}

/// File times. Absent: the filesystem does not keep it, or there is no such file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LockTimes {
    /// The lock's last modification.
    pub lock_modified: Option<EpochMs>,
    /// The record's last modification.
    pub record_modified: Option<EpochMs>,
    /// The record's birth (statx(2) `stx_btime`), which no program can set.
    pub record_born: Option<EpochMs>,
}

impl LockTimes {
    /// The newest sign of the writer, as OpenClaw computes it for a lock without a record.
    #[must_use]
    pub fn newest(&self) -> Option<EpochMs> {
        self.lock_modified.max(self.record_modified)
    }

    /// Whether the record was changed before it was born here: whoever copies a file with its time
    /// (rsync, a restored backup) makes it so, and nobody who writes one.
    #[must_use]
    pub fn copied(&self) -> Copied {
        match (self.record_modified, self.record_born) {
            (Some(modified), Some(born)) if born.since_ms(modified) > COPY_LAG_MS => Copied::Yes,
            (Some(_), Some(_)) => Copied::No,
            _ => Copied::CannotTell,
        }
    }
}

/// Whether a record was brought here from somewhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// It was changed before it was born.
    Yes,
    /// It was written where it lies.
    No,
    /// The filesystem keeps no time of birth, or there is no record.
    CannotTell,
}

/// Whether another kernel's processes may hold a lock on this filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// A filesystem of this kernel alone.
    ThisKernel,
    /// Another kernel may use it; why.
    OtherKernelPossible(ForeignKernel),
}

/// Why another kernel may hold a lock on a filesystem.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ForeignKernel {
    /// Its type cannot be told.
    FilesystemUnknown,
    /// It is a network or shared one, or not on the list of local ones.
    SharedFilesystem(String),
    /// A server on this machine may share the directory.
    Server {
        /// Its pid.
        pid: u32,
        /// The name that it is known by.
        program: &'static str,
    },
    /// An NFS server runs here, and what it exports cannot be read.
    ExportsUnreadable,
    /// The directory is under this NFS export.
    Exported(PathBuf),
}

/// Why sole access cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NotSole {
    /// The vantage is not that of a container.
    NotInNamespace(VantageWhy),
    /// The pids shown are not those of our own namespace.
    ForeignPids,
    /// A sandbox inside the container.
    Nested(Nested),
    /// A second procfs is mounted.
    SecondProcfs,
    /// The lock lies on a mount that others may share.
    Mount {
        /// Where it is mounted.
        point: PathBuf,
        /// Its type, as the mount table says it.
        filesystem: String,
    },
    /// The lock's mount cannot be told.
    MountUnknown,
}

/// Why the container's own layer is not known to be ours alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Nested {
    /// pid 1 is a sandbox's, by this name.
    Sandbox(String),
    /// pid 1 cannot be read.
    Pid1Unreadable,
    /// Our user namespace maps a single id.
    SingleId,
    /// Our user namespace cannot be read.
    UserNamespaceUnreadable,
}

/// Whether, in a container, nobody outside it can have written the lock (DESIGN: sole access).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SoleAccess {
    /// The lock lies on the container's own writable layer.
    OwnLayer,
    /// It lies on the root filesystem of a whole system in a container (LXC, Incus, WSL), whose
    /// processes are all in this namespace.
    OwnSystem,
    /// It does not, or it cannot be told; why.
    No(NotSole),
}

impl SoleAccess {
    /// Whether nobody outside can have written the lock.
    #[must_use]
    pub fn is_sole(&self) -> bool {
        matches!(self, Self::OwnLayer | Self::OwnSystem)
    }
}

/// Whether somebody still works in the guarded directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InUse {
    /// Processes whose working directory lies in it.
    pub by: Vec<Worker>,
    /// Processes of the lock's uid whose working directory could not be read.
    pub unknown: usize,
}

/// A process that works in the guarded directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its pid in the PID namespace of the proc directory.
    pub pid: u32,
    /// Its name (`comm`), raw.
    pub program: String,
}

/// A process whose innermost pid is the recorded one. A thread of the kernel is none: it carries
/// a number, and owns nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its pid in the PID namespace of the proc directory.
    pub pid: u32,
    /// Its pid inside its own namespace.
    pub ns_pid: u32,
    /// Whether it lives.
    pub life: Life,
    /// The state letter of proc_pid_stat(5).
    pub state: char,
    /// Its start time as its own time namespace shows it, that is, as it would have recorded it.
    /// More than one where offsets do not round to a tick; empty if it could not be read.
    pub start_ticks: Vec<StartTicks>,
    /// Whether its clocks are those of the initial time namespace.
    pub time_namespace: TimeNamespace,
    /// What it reads of itself; asked only where recorded ticks are not its own.
    pub own_view: OwnView,
    /// When it started, by the wall clock as it stands now.
    pub started_at: Option<EpochMs>,
    /// The net step of the wall clock since its machine or container started, in milliseconds,
    /// told by a witness; absent without one.
    pub clock_step_ms: Option<u64>,
    /// Its name (`comm`), raw; absent if it could not be read.
    pub program: Option<String>,
    /// What it runs.
    pub role: Role,
    /// It lives in the PID namespace that the proc directory shows, not in one below.
    pub own_namespace: bool,
    /// It is this very process.
    pub is_self: bool,
    /// The container that its cgroup names, shortened.
    pub container: Option<String>,
    /// Whether it has any way to the lock; leans only, a proof counts everybody.
    pub reaches: Reaches,
    /// Whether it can run at all.
    pub halted: Halted,
}

/// Whether a process has a way to a lock's file: a mount of its filesystem that leads there, or
/// something that it holds open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reaches {
    /// It has.
    Yes,
    /// All of its mounts and open files were read, and none leads there.
    No,
    /// It may have.
    CannotTell(RouteUnknown),
}

/// Why a process may have a way to a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteUnknown {
    /// Nothing depends on it, or too many have the pid.
    NotAsked,
    /// The lock's filesystem is none that its device number tells, or is mounted elsewhere.
    Place,
    /// Its mounts cannot be read.
    Mounts,
    /// It has a mount that may show the files of another filesystem.
    Stacked,
    /// What it has open cannot be read.
    OpenFiles,
    /// It took too long.
    TimedOut,
}

/// Whether a living process can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Halted {
    /// It can.
    No,
    /// A signal stopped it (state `T`).
    Stopped,
    /// A debugger holds it (state `t`).
    Traced,
    /// Its cgroup is frozen, as by `docker pause`.
    Frozen,
    /// Its state or its cgroup cannot be read.
    CannotTell,
}

impl Halted {
    /// The word in JSON; none where it runs, or cannot be told.
    #[must_use]
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::No | Self::CannotTell => None,
            Self::Stopped => Some("stopped"),
            Self::Traced => Some("traced"),
            Self::Frozen => Some("frozen"),
        }
    }
}

/// Whether a process lives. `Z` alone is not death: a leader that has exited while its threads
/// run on is `Z` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Life {
    /// Running, sleeping, stopped, or a zombie leader with living threads.
    Alive,
    /// A zombie without threads, or dead.
    Dead,
    /// Its state could not be read.
    Unknown,
}

/// Whether a process measures start times from the machine's boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeNamespace {
    /// No offset to the boot clock.
    Initial,
    /// Its boot clock is shifted (a restored checkpoint, `unshare --time`).
    Shifted,
    /// Its offsets could not be read.
    Unknown,
}

/// What a process reads of itself. An owner records the start ticks that *its* /proc shows for
/// the pid that it believes to have; without a /proc of its own PID namespace that is a
/// stranger's start time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnView {
    /// Its /proc shows its own start ticks under its pid, and did so when it started.
    TrueTicks,
    /// Its /proc shows another process under its pid, with these ticks as it would read them.
    Shows(Vec<StartTicks>),
    /// What it recorded of itself need not be its own.
    NotComparable(NotComparable),
    /// Its /proc was not looked at.
    NotAsked(NotAsked),
}

impl OwnView {
    /// The word in JSON.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::TrueTicks => "true-ticks",
            Self::Shows(_) => "shows-another",
            Self::NotComparable(_) => "not-comparable",
            Self::NotAsked(NotAsked::Refused) => "refused",
            Self::NotAsked(NotAsked::NoAnswer) => "no-answer",
            Self::NotAsked(NotAsked::NotNeeded) => "not-asked",
        }
    }
}

/// Why the ticks that a process recorded need not be its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotComparable {
    /// No procfs, or not the whole of one, is mounted on its /proc.
    NoProcfs,
    /// Its /proc is that of a PID namespace outside its own.
    OuterNamespace,
    /// A process outside its PID namespace sees the same /proc, and only root may look whom it shows.
    SharedOutside,
    /// Its /proc lists nobody under its pid.
    NotListed,
    /// Its /proc shows it truly, and was mounted after it started.
    MountedLater,
}

/// Why the /proc of a process was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotAsked {
    /// No verdict rests on it.
    NotNeeded,
    /// Only root, or its own user, may.
    Refused,
    /// It could not be read, or a mount on the way did not answer.
    NoAnswer,
}

/// What a process runs; used to lean, never to prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// OpenClaw itself.
    #[serde(rename = "openclaw")]
    OpenClaw,
    /// A JavaScript runtime: may be OpenClaw before it set its title.
    #[serde(rename = "javascript")]
    JavaScript,
    /// Something else.
    Other,
    /// Its name could not be read: counts as a runtime.
    Unreadable,
}

impl Candidate {
    /// A process that the kernel knows by this pid and /proc does not show us.
    #[must_use]
    pub fn out_of_list(pid: u32) -> Self {
        Self {
            pid,
            ns_pid: pid,
            life: Life::Unknown,
            state: '?',
            start_ticks: Vec::new(),
            time_namespace: TimeNamespace::Unknown,
            own_view: OwnView::NotAsked(NotAsked::NotNeeded),
            started_at: None,
            clock_step_ms: None,
            program: None,
            role: Role::Unreadable,
            own_namespace: true,
            is_self: false,
            container: None,
            reaches: Reaches::CannotTell(RouteUnknown::NotAsked),
            halted: Halted::CannotTell,
        }
    }

    /// Whether the process would have recorded these start ticks for itself.
    #[must_use]
    pub fn would_record(&self, ticks: StartTicks) -> bool {
        let shown = matches!(&self.own_view, OwnView::Shows(shown) if shown.contains(&ticks));
        shown || self.start_ticks.contains(&ticks)
    }

    /// Whether the process may be an OpenClaw: a runtime, or unreadable.
    #[must_use]
    pub fn may_be_runtime(&self) -> bool {
        self.role != Role::Other
    }
}
