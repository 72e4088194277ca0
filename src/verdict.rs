//! The verdict: a pure function from facts to a classification, row by row as in the design.
//!
//! Called once per lock by a scan, and again with fresh facts right before a removal. It reads
//! no clock and no file, prints nothing, and is total: every combination of facts ends in
//! exactly one class. [`Proof`] can be made nowhere else.

use crate::evidence::{
    Candidate, Copied, DatabaseUse, Life, LockFacts, LockTimes, ProcSource, Reach, Reaches, Role, TimeNamespace,
    Vantage, View,
};
use crate::family::Family;
use crate::hold::KernelHold;
use crate::record::{Hostility, Owner, Record};
use crate::ticks::{Doubt, doubt};
use crate::units::{EpochMs, StartTicks};
use serde::Serialize;

/// How far a record and its file must lie before the start of "its" process to contradict it.
const CONTRADICTION_MS: i64 = 60_000;
/// How much later than the record a process must have started to lean towards "not the owner".
const LATER_START_MS: i64 = 30_000;

/// How old a lock must be when a database was used for its owner, who keeps it open, to have opened it.
const SETTLED_MS: i64 = 600_000;

/// What /proc shows of the recorded owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Classification {
    /// A living process is the recorded owner.
    Active,
    /// No living process has the recorded pid.
    StaleDeadPid,
    /// A living process has the pid and is not the owner.
    StaleRecycledPid,
    /// It cannot be told whether the living process with that pid is the owner, or nobody is named.
    LegacyUnverifiable,
}

impl Classification {
    /// All four, in the order of the summary.
    pub const ALL: [Self; 4] = [Self::Active, Self::StaleDeadPid, Self::StaleRecycledPid, Self::LegacyUnverifiable];

    /// The word in JSON, table and docs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::StaleDeadPid => "stale-dead-pid",
            Self::StaleRecycledPid => "stale-recycled-pid",
            Self::LegacyUnverifiable => "legacy-unverifiable",
        }
    }
}

/// Which way the evidence points where it does not prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leaning {
    /// Probably abandoned.
    LikelyStale,
    /// Nothing points either way.
    Undetermined,
    /// The owner may live where this run cannot look.
    OutOfSight,
    /// Probably held: removed only by name.
    LikelyHeld,
}

impl Leaning {
    /// The word in JSON, table and docs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::LikelyStale => "likely-stale",
            Self::Undetermined => "undetermined",
            Self::OutOfSight => "out-of-sight",
            Self::LikelyHeld => "likely-held",
        }
    }
}

/// The right to remove a lock without asking. Only [`judge`] can make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof(());

/// What follows from a verdict for a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Held by a living owner: never removed.
    Held,
    /// Proven stale.
    Proven(Proof),
    /// Not proven; somebody must say so.
    Leaning(Leaning),
}

/// Why, as a stable code (docs/evidence.md lists them).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each code has its sentence in `crate::explain` and its row in docs/evidence.md")]
pub enum Reason {
    OwnerAlive,
    IdentityContradicted,
    NoSuchProcess,
    StartTicksDiffer,
    StartTicksUnreadable,
    TicksNotComparable,
    OwnTicksUnseen,
    CarrierNotJavascript,
    CarrierStartedLater,
    CarrierMayBeOwner,
    RecordMissing,
    RecordEmpty,
    RecordTruncated,
    RecordNotJson,
    RecordUnreadable,
    RecordWithoutPid,
    RecordNotObject,
    RecordTooDeep,
    RecordDuplicateKeys,
    RecordTooLarge,
    RecordSymlink,
    RecordNotRegular,
    RecordHardLinked,
    PidZero,
    PidNegative,
    PidFractional,
    PidNotANumber,
    PidTooLarge,
    StartTicksInvalid,
    CreatedAtInvalid,
    LockSymlink,
    LockNotDirectory,
    ForeignKernelPossible,
    OwnerHidden,
    RootInUse,
    SharedVolume,
    RestartedContainer,
    CheckpointPossible,
    NotProcfs,
    ProcessTableUnreadable,
    OwnerNotRecorded,
    LockNotFile,
    LockNotEmpty,
    KernelLockHeld,
    KernelLockUnknown,
    CoordinatorHeld,
    CopiedRecord,
    CarrierCannotReach,
    DatabaseNotOpen,
}

impl Reason {
    /// Every code, for the docs and their test.
    pub const ALL: &'static [Self] = &[
        Self::OwnerAlive,
        Self::IdentityContradicted,
        Self::NoSuchProcess,
        Self::StartTicksDiffer,
        Self::StartTicksUnreadable,
        Self::TicksNotComparable,
        Self::OwnTicksUnseen,
        Self::CarrierNotJavascript,
        Self::CarrierStartedLater,
        Self::CarrierMayBeOwner,
        Self::RecordMissing,
        Self::RecordEmpty,
        Self::RecordTruncated,
        Self::RecordNotJson,
        Self::RecordUnreadable,
        Self::RecordWithoutPid,
        Self::RecordNotObject,
        Self::RecordTooDeep,
        Self::RecordDuplicateKeys,
        Self::RecordTooLarge,
        Self::RecordSymlink,
        Self::RecordNotRegular,
        Self::RecordHardLinked,
        Self::PidZero,
        Self::PidNegative,
        Self::PidFractional,
        Self::PidNotANumber,
        Self::PidTooLarge,
        Self::StartTicksInvalid,
        Self::CreatedAtInvalid,
        Self::LockSymlink,
        Self::LockNotDirectory,
        Self::ForeignKernelPossible,
        Self::OwnerHidden,
        Self::RootInUse,
        Self::SharedVolume,
        Self::RestartedContainer,
        Self::CheckpointPossible,
        Self::NotProcfs,
        Self::ProcessTableUnreadable,
        Self::OwnerNotRecorded,
        Self::LockNotFile,
        Self::LockNotEmpty,
        Self::KernelLockHeld,
        Self::KernelLockUnknown,
        Self::CoordinatorHeld,
        Self::CopiedRecord,
        Self::CarrierCannotReach,
        Self::DatabaseNotOpen,
    ];
}

impl From<Hostility> for Reason {
    fn from(hostility: Hostility) -> Self {
        match hostility {
            Hostility::NotAnObject => Self::RecordNotObject,
            Hostility::TooDeep => Self::RecordTooDeep,
            Hostility::DuplicateKeys => Self::RecordDuplicateKeys,
            Hostility::PidZero => Self::PidZero,
            Hostility::PidNegative => Self::PidNegative,
            Hostility::PidFractional => Self::PidFractional,
            Hostility::PidNotANumber => Self::PidNotANumber,
            Hostility::PidTooLarge => Self::PidTooLarge,
            Hostility::StartTicksInvalid => Self::StartTicksInvalid,
            Hostility::CreatedAtInvalid => Self::CreatedAtInvalid,
            Hostility::TooLarge => Self::RecordTooLarge,
            Hostility::RecordSymlink => Self::RecordSymlink,
            Hostility::RecordNotRegular => Self::RecordNotRegular,
            Hostility::RecordHardLinked => Self::RecordHardLinked,
            Hostility::LockSymlink => Self::LockSymlink,
            Hostility::LockNotDirectory => Self::LockNotDirectory,
            Hostility::LockNotFile => Self::LockNotFile,
            Hostility::LockNotEmpty => Self::LockNotEmpty,
        }
    }
}

/// What is known of a lock's owner, and what may be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// One of the four words.
    pub classification: Classification,
    /// Why.
    pub reason: Reason,
    /// Whether it may be removed, and on whose word.
    pub standing: Standing,
    /// The row of docs/evidence.md that decided: 1 to 7, and 8 for a kernel's lock.
    pub row: u8,
}

impl Verdict {
    /// Whether the lock may be removed without asking.
    #[must_use]
    pub fn proof(&self) -> bool {
        matches!(self.standing, Standing::Proven(_))
    }

    /// Which way the evidence points, where it neither proves nor shows a living owner.
    #[must_use]
    pub fn leaning(&self) -> Option<Leaning> {
        match self.standing {
            Standing::Leaning(leaning) => Some(leaning),
            Standing::Held | Standing::Proven(_) => None,
        }
    }

    fn leans(row: u8, classification: Classification, reason: Reason, leaning: Leaning) -> Self {
        Self { classification, reason, standing: Standing::Leaning(leaning), row }
    }

    fn unverifiable(row: u8, reason: Reason, leaning: Leaning) -> Self {
        Self::leans(row, Classification::LegacyUnverifiable, reason, leaning)
    }

    fn held(row: u8, reason: Reason) -> Self {
        Self { classification: Classification::Active, reason, standing: Standing::Held, row }
    }

    fn proven(row: u8, classification: Classification, reason: Reason) -> Self {
        Self { classification, reason, standing: Standing::Proven(Proof(())), row }
    }
}

/// Judges one lock: the first row of the design that matches decides, then what takes a proof
/// away is applied.
#[must_use]
pub fn judge(family: &Family, lock: &LockFacts, view: &View) -> Verdict {
    let verdict = by_its_database(withdraw(by_rows(family, lock, view), lock, view), lock, view);
    if matches!(verdict.standing, Standing::Held) {
        return verdict;
    }
    // Whatever /proc shows: the holder may live where this run cannot look, and the kernel sees it.
    match (&lock.coordinator, &lock.kernel_lock) {
        (KernelHold::Held { .. }, _) => Verdict::held(8, Reason::CoordinatorHeld),
        (_, KernelHold::Held { .. }) => Verdict::held(8, Reason::KernelLockHeld),
        (KernelHold::Unknown(_), _) | (_, KernelHold::Unknown(_)) => unless_locked(verdict),
        (KernelHold::Free, KernelHold::Free) => verdict,
    }
}

/// What is left of a verdict where the kernel cannot be asked whether somebody has the lock locked: it
/// may be held, and is removed by name only. The class stays.
fn unless_locked(verdict: Verdict) -> Verdict {
    match verdict.standing {
        Standing::Held | Standing::Leaning(Leaning::LikelyHeld) => verdict,
        Standing::Proven(_) | Standing::Leaning(_) => {
            Verdict::leans(verdict.row, verdict.classification, Reason::KernelLockUnknown, Leaning::LikelyHeld)
        }
    }
}

fn by_rows(family: &Family, lock: &LockFacts, view: &View) -> Verdict {
    use Reason::{RecordEmpty, RecordMissing, RecordNotJson, RecordTruncated};
    // What may be another program's, and names nobody, is removed by its name only.
    let abandoned = |since: Option<EpochMs>, patience_ms: i64| match since {
        Some(since) if lock.surely_openclaws && view.now.since_ms(since) >= patience_ms => Leaning::LikelyStale,
        _ => Leaning::LikelyHeld,
    };
    let unwritten = |reason| {
        let leaning = abandoned(last_sign(lock), family.unwritten_grace_ms);
        Verdict::unverifiable(1, reason, leaning)
    };
    match &lock.record {
        Record::Missing => unwritten(RecordMissing),
        Record::Empty => unwritten(RecordEmpty),
        Record::Truncated => unwritten(RecordTruncated),
        Record::NotJson => unwritten(RecordNotJson),
        Record::NotRecorded => unwritten(Reason::OwnerNotRecorded),
        Record::KernelHeld { .. } => Verdict::held(8, Reason::KernelLockHeld),
        Record::KernelUnknown => Verdict::unverifiable(8, Reason::KernelLockUnknown, Leaning::LikelyHeld),
        Record::Unreadable(_) => Verdict::unverifiable(2, Reason::RecordUnreadable, Leaning::LikelyHeld),
        Record::Hostile(hostility) => Verdict::unverifiable(2, Reason::from(*hostility), Leaning::LikelyHeld),
        Record::Anonymous { created_at } => {
            // What it says of itself may be far older than it is; its birth no program can set.
            let of_file = last_sign(lock).zip(lock.times.record_born).map(|(sign, born)| sign.max(born));
            let since = of_file.map(|of_file| created_at.map_or(of_file, |created| created.max(of_file)));
            let leaning = abandoned(since, family.anonymous_lease_ms);
            Verdict::unverifiable(3, Reason::RecordWithoutPid, leaning)
        }
        Record::Owner(owner) => judge_owner(owner, lock, view),
    }
}

/// The newest sign of the writer; `None` if a time that may be the newest cannot be told.
fn last_sign(lock: &LockFacts) -> Option<EpochMs> {
    let no_file = matches!(lock.record, Record::Missing | Record::NotRecorded);
    let complete = no_file || lock.times.record_modified.is_some();
    lock.times.newest().filter(|_| complete && lock.times.lock_modified.is_some())
}

fn judge_owner(owner: &Owner, lock: &LockFacts, view: &View) -> Verdict {
    if view.source == ProcSource::Unreadable {
        let reason = Reason::ProcessTableUnreadable;
        return Verdict::unverifiable(7, reason, Leaning::OutOfSight);
    }
    let living: Vec<&Candidate> = lock.candidates.iter().filter(|candidate| candidate.life != Life::Dead).collect();
    if living.is_empty() {
        return no_candidate_lives(lock, view);
    }
    let Some(recorded) = owner.start_ticks else {
        return no_ticks_recorded(owner, &living, lock, view);
    };
    let twin = |c: &&Candidate| c.would_record(recorded);
    let twins: Vec<&Candidate> = living.iter().copied().filter(twin).collect();
    if !twins.is_empty() {
        return ticks_match(owner, &twins, lock);
    }
    if living.iter().any(|candidate| unreadable_ticks(candidate)) {
        let reason = Reason::StartTicksUnreadable;
        return Verdict::unverifiable(6, reason, Leaning::LikelyHeld);
    }
    no_ticks_match(recorded, &living, lock, view)
}

/// Whether a process started later than the record says and later than its file was born, by
/// more than a margin and the step of the wall clock that a witness saw.
///
/// Without a witness nothing is later: after a step forward every living owner seems to have
/// started after its own record.
fn started_later(candidate: &Candidate, margin_ms: i64, owner: &Owner, times: &LockTimes) -> bool {
    let (Some(start), Some(step_ms)) = (candidate.started_at, candidate.clock_step_ms) else { return false };
    let margin_ms = margin_ms.saturating_add(i64::try_from(step_ms).unwrap_or(i64::MAX));
    let later = |moment: Option<EpochMs>| moment.is_some_and(|moment| start.since_ms(moment) > margin_ms);
    later(owner.created_at) && later(times.record_born)
}

/// Whether the step of the wall clock could change what is judged of a process: only then is a
/// witness looked for.
#[must_use]
pub fn asks_for_witness(candidate: &Candidate, owner: &Owner, times: &LockTimes) -> bool {
    let (decides, margin_ms) = match owner.start_ticks {
        None => (candidate.may_be_runtime(), LATER_START_MS),
        Some(recorded) => (candidate.would_record(recorded), CONTRADICTION_MS),
    };
    let unstepped = Candidate { clock_step_ms: Some(0), ..candidate.clone() };
    decides && started_later(&unstepped, margin_ms, owner, times)
}

/// Whether it matters which processes have a way to the lock: where no start time was recorded
/// that could tell the owner.
///
/// Where one was and a process's own cannot be read, it may be the very owner, and its way one
/// that no table shows: there everybody counts.
#[must_use]
pub fn asks_for_routes(candidates: &[Candidate], owner: &Owner) -> bool {
    owner.start_ticks.is_none() && candidates.iter().any(Candidate::may_be_runtime)
}

/// Whether it cannot be told which ticks a process would have recorded: without its clock offsets
/// they are not known either.
fn unreadable_ticks(candidate: &Candidate) -> bool {
    candidate.start_ticks.is_empty() || candidate.time_namespace == TimeNamespace::Unknown
}

/// The living processes that decide what is said of the owner: for a leaning only those that may
/// have a way to the lock, and of these the ones for which the reason was given. OpenClaw first.
#[must_use]
pub fn deciding(reason: Reason, lock: &LockFacts) -> Vec<&Candidate> {
    let living = || lock.candidates.iter().filter(|candidate| candidate.life != Life::Dead);
    let owner = lock.record.owner();
    let later = |c: &Candidate| owner.is_some_and(|owner| started_later(c, LATER_START_MS, owner, &lock.times));
    let mut deciding: Vec<&Candidate> = match reason {
        Reason::CarrierMayBeOwner => {
            living().filter(|c| c.may_be_runtime() && c.reaches != Reaches::No && !later(c)).collect()
        }
        Reason::CarrierStartedLater => living().filter(|c| c.may_be_runtime() && c.reaches != Reaches::No).collect(),
        Reason::CarrierCannotReach => living().filter(|c| c.reaches == Reaches::No).collect(),
        Reason::StartTicksUnreadable => living().filter(|c| unreadable_ticks(c)).collect(),
        _ => living().collect(),
    };
    let rank = |role: Role| match role {
        Role::OpenClaw => 0,
        Role::JavaScript => 1,
        Role::Unreadable => 2,
        Role::Other => 3,
    };
    deciding.sort_by_key(|candidate| rank(candidate.role));
    deciding
}

/// Row 4: pid and start ticks are those of a living process, or of more than one.
fn ticks_match(owner: &Owner, twins: &[&Candidate], lock: &LockFacts) -> Verdict {
    if twins.iter().all(|twin| started_later(twin, CONTRADICTION_MS, owner, &lock.times)) {
        return Verdict::unverifiable(4, Reason::IdentityContradicted, Leaning::LikelyHeld);
    }
    Verdict::held(4, Reason::OwnerAlive)
}

/// Row 5: somebody has the pid, and the record cannot tell whether it is the owner.
fn no_ticks_recorded(owner: &Owner, living: &[&Candidate], lock: &LockFacts, view: &View) -> Verdict {
    let runtime = |candidate: &&&Candidate| candidate.may_be_runtime();
    let mut runtimes = living.iter().filter(runtime).filter(|runtime| runtime.reaches != Reaches::No).peekable();
    let reason = if !living.iter().any(|candidate| candidate.may_be_runtime()) {
        Reason::CarrierNotJavascript
    } else if runtimes.peek().is_none() {
        // It leans, and proves nothing: a way that no table shows is rare, and not impossible.
        Reason::CarrierCannotReach
    } else if runtimes.all(|runtime| started_later(runtime, LATER_START_MS, owner, &lock.times)) {
        Reason::CarrierStartedLater
    } else {
        return Verdict::unverifiable(5, Reason::CarrierMayBeOwner, Leaning::LikelyHeld);
    };
    // A sidecar with the same pid on the same volume looks exactly like a restarted container.
    let leaning = if misses_writers(lock, view) { Leaning::OutOfSight } else { Leaning::LikelyStale };
    Verdict::unverifiable(5, reason, leaning)
}

/// Row 6: everybody who has the pid started at another time than the recorded owner.
fn no_ticks_match(recorded: StartTicks, living: &[&Candidate], lock: &LockFacts, view: &View) -> Verdict {
    let recycled = Classification::StaleRecycledPid;
    let doubts: Vec<Doubt> =
        living.iter().filter_map(|candidate| doubt(candidate, recorded, view.ticks_per_second)).collect();
    if doubts.iter().any(|doubt| !doubt.only_refused()) {
        return Verdict::unverifiable(6, Reason::TicksNotComparable, Leaning::LikelyHeld);
    }
    if misses_writers(lock, view) {
        let restarted =
            living.iter().any(|c| c.life == Life::Alive && c.own_namespace && !c.is_self && c.role == Role::OpenClaw);
        let reason = if restarted { Reason::RestartedContainer } else { Reason::SharedVolume };
        return Verdict::leans(6, recycled, reason, Leaning::OutOfSight);
    }
    if !doubts.is_empty() {
        return Verdict::leans(6, recycled, Reason::OwnTicksUnseen, Leaning::LikelyStale);
    }
    if living.iter().any(|c| c.time_namespace != TimeNamespace::Initial) {
        return Verdict::leans(6, recycled, Reason::CheckpointPossible, Leaning::LikelyStale);
    }
    Verdict::proven(6, recycled, Reason::StartTicksDiffer)
}

/// Row 7: nobody who lives has the pid.
fn no_candidate_lives(lock: &LockFacts, view: &View) -> Verdict {
    let dead = Classification::StaleDeadPid;
    if misses_writers(lock, view) {
        Verdict::leans(7, dead, Reason::SharedVolume, Leaning::OutOfSight)
    } else {
        Verdict::proven(7, dead, Reason::NoSuchProcess)
    }
}

/// Whether a process that this container does not show can have written the lock. What is
/// hidden from a `restricted` view is another matter: [`withdraw`] sees to it.
fn misses_writers(lock: &LockFacts, view: &View) -> bool {
    let sole = view.assume_single_writer || lock.sole_access.is_sole();
    view.vantage == Vantage::Namespace && !sole
}

/// Takes a proof (or a leaning towards removal) away where something may be overlooked.
/// The class stays. The most cautious reason comes first.
fn withdraw(verdict: Verdict, lock: &LockFacts, view: &View) -> Verdict {
    let unseen = match verdict.standing {
        Standing::Held | Standing::Leaning(Leaning::LikelyHeld) => return verdict,
        Standing::Leaning(Leaning::OutOfSight) => {
            !matches!(verdict.reason, Reason::SharedVolume | Reason::RestartedContainer)
        }
        Standing::Proven(_) | Standing::Leaning(_) => false,
    };
    let instead = |reason, leaning| Verdict::leans(verdict.row, verdict.classification, reason, leaning);
    if !lock.in_use.by.is_empty() {
        return instead(Reason::RootInUse, Leaning::LikelyHeld);
    }
    if unseen {
        return verdict;
    }
    if matches!(lock.reach, Reach::OtherKernelPossible(_)) {
        return instead(Reason::ForeignKernelPossible, Leaning::OutOfSight);
    }
    let rests_on_processes = verdict.row >= 4;
    match (rests_on_processes, view.source, view.vantage) {
        (true, ProcSource::NotProcfs, _) => instead(Reason::NotProcfs, Leaning::Undetermined),
        (true, _, Vantage::Restricted) => instead(Reason::OwnerHidden, Leaning::OutOfSight),
        (true, ..) => came_from_elsewhere(verdict, lock),
        (false, ..) => verdict,
    }
}

/// An owner out of sight shows on the volume, if it keeps a database open there that nobody of this
/// kernel has open any more. It leans, and proves nothing.
fn by_its_database(verdict: Verdict, lock: &LockFacts, view: &View) -> Verdict {
    let by_this_kernel = matches!(
        verdict.reason,
        Reason::SharedVolume
            | Reason::RestartedContainer
            | Reason::CarrierNotJavascript
            | Reason::CarrierStartedLater
            | Reason::CarrierCannotReach
    );
    let out_of_sight = verdict.leaning() == Some(Leaning::OutOfSight) && view.vantage != Vantage::Restricted;
    let DatabaseUse::Free(used) = lock.database else { return verdict };
    // Between the lock and the opened database may come migrations (2026.9.6 opens it before).
    let settled = |moment: Option<EpochMs>| moment.is_some_and(|moment| used.since_ms(moment) >= SETTLED_MS);
    let outlived = settled(lock.record.created_at()) && settled(last_sign(lock));
    if by_this_kernel && out_of_sight && lock.owner_keeps_database && outlived {
        let reason = Reason::DatabaseNotOpen;
        return Verdict::leans(verdict.row, verdict.classification, reason, Leaning::LikelyStale);
    }
    verdict
}

/// A record that was copied here names a process of another machine or boot. Where a program still
/// copies, that process may live, and lose its lock to the copy's removal.
fn came_from_elsewhere(verdict: Verdict, lock: &LockFacts) -> Verdict {
    let leaning = match (lock.times.copied(), lock.synchroniser) {
        (Copied::Yes | Copied::CannotTell, Some(_)) => Leaning::OutOfSight,
        (Copied::Yes, None) if verdict.proof() => Leaning::LikelyStale,
        // Without a time of birth, nothing says that it was copied, and nobody does it here.
        (Copied::Yes | Copied::CannotTell, None) | (Copied::No, _) => return verdict,
    };
    Verdict::leans(verdict.row, verdict.classification, Reason::CopiedRecord, leaning)
}
