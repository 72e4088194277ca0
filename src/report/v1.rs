//! `openclaw-doctor/scan/v1`: field names are a promise; fields are only added.
//!
//! In: a [`Scan`]. Out: types that serialise to the JSON of docs/scan-v1.schema.json. Holds no
//! argv, no environment and no data of others.

use super::bytes::{self, hex_if_not_text};
use crate::discover::lock::{KEPT_BYTES, KEPT_OF_NOBODY};
use crate::discover::{Origin, RootKind, RootReport};
use crate::evidence::{
    Candidate, DatabaseUse, Life, ProcSource, Reach, Reaches, Role, SoleAccess, TimeNamespace, Vantage,
};
use crate::explain;
use crate::hold::KernelHold;
use crate::problem::Problem;
use crate::restraint::Restraint;
use crate::scan::{Blocks, JudgedLock, Scan};
use crate::units::{EpochMs, StartTicks};
use crate::verdict::{Classification, Leaning, Reason};
use crate::who::Stranger;
use serde::{Serialize, Serializer};
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The schema of a scan.
pub const SCAN_SCHEMA: &str = "openclaw-doctor/scan/v1";

/// The whole report.
#[derive(Debug, Serialize)]
pub struct ScanReport<'a> {
    schema: &'static str,
    #[serde(flatten)]
    head: Head<'a>,
    locks: Locks<'a>,
    look_alikes: Vec<LookAlike>,
    problems: Vec<ProblemReport>,
    summary: Summary,
    exit_code: u8,
}

/// What every report begins with.
#[derive(Debug, Serialize)]
pub(super) struct Head<'a> {
    tool: Tool,
    host: Host<'a>,
    scope: Scope,
    roots: Vec<Root>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_looked_at: Vec<StrangerReport<'a>>,
}

impl<'a> Head<'a> {
    pub(super) fn new(scan: &'a Scan) -> Self {
        Self {
            tool: Tool { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
            host: Host::new(scan),
            scope: Scope {
                assume_single_writer: scan.view.assume_single_writer,
                families: scan.view.scope.families.clone(),
            },
            roots: roots(scan),
            not_looked_at: scan.not_looked_at.iter().map(StrangerReport::new).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct StrangerReport<'a> {
    pid: u32,
    program: Option<&'a str>,
    uid: u32,
}

impl<'a> StrangerReport<'a> {
    fn new(stranger: &'a Stranger) -> Self {
        Self { pid: stranger.pid, program: stranger.program.as_deref(), uid: stranger.uid }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Tool {
    name: &'static str,
    version: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Host<'a> {
    kernel: String,
    boot_id: Option<String>,
    boot_time_ms: EpochMs,
    scanned_at_ms: EpochMs,
    clock_ticks_per_second: u64,
    vantage: Vantage,
    vantage_why: String,
    vantage_lift: Option<&'static str>,
    proc_source: ProcSource,
    processes_seen: Option<usize>,
    openclaw_versions: &'a [String],
}

#[derive(Debug, Serialize)]
pub(super) struct Scope {
    assume_single_writer: bool,
    families: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Root {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    origin: String,
    also: Vec<String>,
    kind: RootKind,
    filesystem: Option<String>,
    device: Option<String>,
    inode: Option<u64>,
    error: Option<String>,
}

#[derive(Debug)]
struct Locks<'a>(&'a Scan);

impl Serialize for Locks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.locks.iter().map(|lock| Lock::new(lock, self.0)))
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Lock<'a> {
    id: &'a str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    family: &'static str,
    form: &'static str,
    state_dir: Option<String>,
    classification: Classification,
    reason: Reason,
    proof: bool,
    leaning: Option<Leaning>,
    explanation: String,
    next_step: String,
    blocks: BlocksReport,
    left_to_openclaw: Option<LeftReport>,
    owner: OwnerReport,
    sightings: Vec<Sighting<'a>>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    sightings_omitted: usize,
    kernel_holders: Vec<Sighting<'a>>,
    evidence: Evidence<'a>,
    times: Times,
}

#[derive(Debug, Serialize)]
struct BlocksReport {
    answer: &'static str,
    why: String,
}

#[derive(Debug, Serialize)]
struct LeftReport {
    reason: &'static str,
    why: String,
}

impl LeftReport {
    fn new(restraint: &Restraint) -> Self {
        Self { reason: restraint.word(), why: explain::left_to(restraint) }
    }
}

#[derive(Debug, Serialize)]
struct OwnerReport {
    pid: Option<u32>,
    start_ticks: Option<StartTicks>,
    created_at_ms: Option<EpochMs>,
    raw: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_hex: Option<String>,
    /// All bytes of the record, where `raw` holds only the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_cut_from: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Sighting<'a> {
    host_pid: u32,
    ns_pid: u32,
    start_ticks: Option<StartTicks>,
    started_at_ms: Option<EpochMs>,
    state: char,
    life: Life,
    program: Option<&'a str>,
    role: Role,
    /// Kept for readers of older reports.
    kernel_thread: bool,
    time_namespace: TimeNamespace,
    own_view: &'static str,
    container: Option<&'a str>,
    is_owner: bool,
    /// `stopped`, `traced` or `frozen`, where it cannot run.
    #[serde(skip_serializing_if = "Option::is_none")]
    halted: Option<&'static str>,
    /// Whether it has a way to the lock; absent where that was not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    reaches_lock: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Evidence<'a> {
    rule: u8,
    vantage: Vantage,
    filesystem: Option<String>,
    other_kernel: Option<String>,
    sole_access: bool,
    sole_access_why: Option<String>,
    in_use_by: Vec<WorkerReport<'a>>,
    in_use_unknown: usize,
    clock_step_ms: Option<u64>,
    /// Whether a process has the database of the lock's state dir open.
    volume_in_use: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume_in_use_by: Option<WorkerReport<'a>>,
    kernel_lock: &'static str,
    coordinator: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_lock_unknown: Option<String>,
}

#[derive(Debug, Serialize)]
struct WorkerReport<'a> {
    pid: u32,
    program: &'a str,
}

#[derive(Debug, Serialize)]
struct Times {
    held_for_ms: Option<i64>,
    lock_modified_ms: Option<EpochMs>,
    record_modified_ms: Option<EpochMs>,
    record_born_ms: Option<EpochMs>,
}

#[derive(Debug, Serialize)]
pub(super) struct LookAlike {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ProblemReport {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    cause: String,
    next_step: &'static str,
}

/// How many of each: every find is in one bucket.
#[derive(Debug, Serialize, Default, PartialEq, Eq, Clone, Copy)]
pub struct Summary {
    /// All locks.
    pub locks: usize,
    /// Held by a living owner.
    pub active: usize,
    /// Owner dead.
    pub stale_dead_pid: usize,
    /// Pid taken by another process.
    pub stale_recycled_pid: usize,
    /// Cannot be told.
    pub legacy_unverifiable: usize,
    /// Of all, proven stale.
    pub proven: usize,
    /// Directories that look like locks and are none that we know.
    pub look_alikes: usize,
    /// Files of kernel locks that nobody holds.
    pub idle: usize,
    /// What could not be looked at.
    pub problems: usize,
    /// What vanished during the run.
    pub vanished: usize,
    /// Directory entries seen.
    pub entries_seen: u64,
}

impl Summary {
    /// Counts a scan.
    #[must_use]
    pub fn of(scan: &Scan) -> Self {
        let count = |class| scan.locks.iter().filter(|lock| lock.verdict.classification == class).count();
        Self {
            locks: scan.locks.len(),
            active: count(Classification::Active),
            stale_dead_pid: count(Classification::StaleDeadPid),
            stale_recycled_pid: count(Classification::StaleRecycledPid),
            legacy_unverifiable: count(Classification::LegacyUnverifiable),
            proven: scan.locks.iter().filter(|lock| lock.verdict.proof()).count(),
            look_alikes: scan.look_alikes.len(),
            idle: scan.idle.len(),
            problems: scan.problems.len(),
            vanished: scan.vanished,
            entries_seen: scan.entries,
        }
    }

    /// The exit code of a scan: 0 nothing stale, 1 stale or unverifiable locks, 3 incomplete.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match (self.problems, self.locks - self.active) {
            (1.., _) => 3,
            (0, 1..) => 1,
            (0, 0) => 0,
        }
    }
}

impl<'a> ScanReport<'a> {
    /// Puts a scan into its outside form.
    #[must_use]
    pub fn new(scan: &'a Scan) -> Self {
        let summary = Summary::of(scan);
        Self {
            schema: SCAN_SCHEMA,
            head: Head::new(scan),
            locks: Locks(scan),
            look_alikes: scan.look_alikes.iter().map(LookAlike::new).collect(),
            problems: scan.problems.iter().map(ProblemReport::new).collect(),
            summary,
            exit_code: summary.exit_code(),
        }
    }
}

impl<'a> Host<'a> {
    fn new(scan: &'a Scan) -> Self {
        Self {
            kernel: scan.host.kernel.clone(),
            boot_id: scan.host.boot_id.clone(),
            boot_time_ms: scan.clock.boot_wall(),
            scanned_at_ms: scan.clock.wall,
            clock_ticks_per_second: scan.clock.ticks_per_second,
            vantage: scan.view.vantage,
            vantage_why: scan.view.seen.sentence(),
            vantage_lift: scan.view.seen.lift(),
            proc_source: scan.view.source,
            processes_seen: scan.processes,
            openclaw_versions: &scan.versions,
        }
    }
}

impl Root {
    fn new(root: &RootReport, problem: Option<&&Problem>) -> Self {
        Self {
            path: text(&root.path),
            path_hex: hex(&root.path),
            origin: root.spec.origin.to_string(),
            also: root.also.iter().map(Origin::to_string).collect(),
            kind: root.spec.kind,
            filesystem: root.filesystem.map(crate::sys::filesystem::Filesystem::name),
            device: root.meta.map(|meta| format!("{}:{}", meta.device.0, meta.device.1)),
            inode: root.meta.map(|meta| meta.inode),
            error: problem.map(|problem| problem.cause()),
        }
    }
}

/// Processes of one lock that are shown.
const SIGHTINGS: usize = 8;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The owner first where there are too many.
fn sightings(lock: &JudgedLock) -> Vec<Sighting<'_>> {
    let all = lock.facts.candidates.iter();
    if all.len() <= SIGHTINGS {
        return all.map(|candidate| Sighting::new(candidate, lock)).collect();
    }
    let owner = explain::holder(&lock.facts, &lock.verdict).map(|owner| owner.pid);
    let (first, others): (Vec<_>, Vec<_>) = all.partition(|candidate| Some(candidate.pid) == owner);
    let shown = first.into_iter().chain(others).take(SIGHTINGS);
    shown.map(|candidate| Sighting::new(candidate, lock)).collect()
}

/// The roots, each with the first problem of its path.
fn roots(scan: &Scan) -> Vec<Root> {
    let mut first: HashMap<&Path, &Problem> = HashMap::new();
    for problem in &scan.problems {
        first.entry(&problem.path).or_insert(problem);
    }
    scan.listed_roots().map(|root| Root::new(root, first.get(root.path.as_path()))).collect()
}

impl<'a> Lock<'a> {
    pub(super) fn new(lock: &'a JudgedLock, scan: &Scan) -> Self {
        let record = &lock.facts.record;
        let owner = record.owner();
        let raw = &lock.found.reading.raw;
        let is_cut = [KEPT_BYTES, KEPT_OF_NOBODY].contains(&raw.len());
        let (shown, whole) = (raw.get(..KEPT_BYTES).unwrap_or(raw), lock.found.reading.whole.0);
        Self {
            id: &lock.id,
            path_hex: hex(&lock.path),
            family: lock.found.family.name,
            form: lock.found.form.word(),
            state_dir: lock.state_dir.as_deref().map(text),
            left_to_openclaw: lock.restraint.as_ref().map(LeftReport::new),
            classification: lock.verdict.classification,
            reason: lock.verdict.reason,
            proof: lock.verdict.proof(),
            leaning: lock.verdict.leaning(),
            explanation: explain::sentence(&lock.facts, &lock.verdict, &scan.view),
            next_step: lock.advice(&scan.view).to_string(),
            path: text(&lock.path),
            blocks: BlocksReport::new(&lock.blocks),
            owner: OwnerReport {
                pid: owner.map(|owner| owner.pid),
                start_ticks: owner.and_then(|owner| owner.start_ticks),
                created_at_ms: record.created_at(),
                raw: (!raw.is_empty()).then(|| bytes::text(shown)),
                raw_hex: hex_if_not_text(shown),
                raw_cut_from: (is_cut && whole > shown.len()).then_some(whole),
            },
            sightings: sightings(lock),
            sightings_omitted: lock.facts.candidates.len().saturating_sub(SIGHTINGS),
            kernel_holders: explain::kernel_holders(&lock.facts).iter().map(|one| Sighting::new(one, lock)).collect(),
            evidence: Evidence::new(lock, scan),
            times: Times {
                held_for_ms: explain::since(&lock.facts).map(|since| scan.view.now.since_ms(since)),
                lock_modified_ms: lock.facts.times.lock_modified,
                record_modified_ms: lock.facts.times.record_modified,
                record_born_ms: lock.facts.times.record_born,
            },
        }
    }
}

impl BlocksReport {
    fn new(blocks: &Blocks) -> Self {
        let (answer, why) = blocks.parts();
        Self { answer, why }
    }
}

impl<'a> Sighting<'a> {
    fn new(candidate: &'a Candidate, lock: &JudgedLock) -> Self {
        let is_owner = lock.verdict.classification == Classification::Active
            && explain::holder(&lock.facts, &lock.verdict).is_some_and(|owner| owner.pid == candidate.pid);
        Self {
            host_pid: candidate.pid,
            ns_pid: candidate.ns_pid,
            start_ticks: candidate.start_ticks.last().copied(),
            started_at_ms: candidate.started_at,
            state: candidate.state,
            life: candidate.life,
            program: candidate.program.as_deref(),
            role: candidate.role,
            kernel_thread: false,
            time_namespace: candidate.time_namespace,
            own_view: candidate.own_view.word(),
            container: candidate.container.as_deref(),
            is_owner,
            halted: candidate.halted.word(),
            reaches_lock: match candidate.reaches {
                Reaches::Yes => Some(true),
                Reaches::No => Some(false),
                Reaches::CannotTell(_) => None,
            },
        }
    }
}

impl<'a> Evidence<'a> {
    fn new(lock: &'a JudgedLock, scan: &Scan) -> Self {
        let (sole_access, sole_access_why) = match &lock.facts.sole_access {
            SoleAccess::OwnLayer | SoleAccess::OwnSystem => (true, None),
            SoleAccess::No(why) => (false, (scan.view.vantage == Vantage::Namespace).then(|| why.to_string())),
        };
        let workers = lock.facts.in_use.by.iter();
        let (kernel_lock, coordinator) = (&lock.facts.kernel_lock, &lock.facts.coordinator);
        let unknown = [coordinator, kernel_lock].into_iter().find_map(|hold| match hold {
            KernelHold::Unknown(why) => Some(why.to_string()),
            KernelHold::Free | KernelHold::Held { .. } => None,
        });
        Self {
            rule: lock.verdict.row,
            vantage: scan.view.vantage,
            filesystem: lock.found.filesystem.map(crate::sys::filesystem::Filesystem::name),
            other_kernel: match &lock.facts.reach {
                Reach::OtherKernelPossible(why) => Some(why.to_string()),
                Reach::ThisKernel => None,
            },
            sole_access,
            sole_access_why,
            in_use_by: workers.map(|worker| WorkerReport { pid: worker.pid, program: &worker.program }).collect(),
            in_use_unknown: lock.facts.in_use.unknown,
            clock_step_ms: lock.facts.candidates.iter().filter_map(|candidate| candidate.clock_step_ms).max(),
            volume_in_use: match &lock.facts.database {
                DatabaseUse::Held(_) => Some(true),
                DatabaseUse::Free(_) => Some(false),
                DatabaseUse::CannotTell(_) => None,
            },
            volume_in_use_by: match &lock.facts.database {
                DatabaseUse::Held(holder) => {
                    holder.as_ref().map(|holder| WorkerReport { pid: holder.pid, program: &holder.program })
                }
                DatabaseUse::Free(_) | DatabaseUse::CannotTell(_) => None,
            },
            kernel_lock: kernel_lock.word(),
            coordinator: coordinator.word(),
            kernel_lock_unknown: unknown,
        }
    }
}

impl LookAlike {
    pub(super) fn new(look_alike: &crate::discover::LookAlike) -> Self {
        Self { path: text(&look_alike.path), path_hex: hex(&look_alike.path) }
    }
}

impl ProblemReport {
    pub(super) fn new(problem: &Problem) -> Self {
        Self {
            path: text(&problem.path),
            path_hex: hex(&problem.path),
            cause: problem.cause(),
            next_step: problem.next_step(),
        }
    }
}

fn text(path: &Path) -> String {
    bytes::text(path.as_os_str().as_bytes())
}

fn hex(path: &Path) -> Option<String> {
    hex_if_not_text(path.as_os_str().as_bytes())
}
