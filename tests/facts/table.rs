//! The design's table as cases: evidence, and what it must come to.
//!
//! One entry per row and alternative outcome, then one per thing that takes a proof away.

use super::*;
use openclaw_doctor::evidence::{NotAsked, NotComparable};
use openclaw_doctor::record::Hostility::{self, *};
use openclaw_doctor::record::Unread;
use openclaw_doctor::verdict::Classification::{
    self, Active, LegacyUnverifiable as Unverifiable, StaleDeadPid as Dead, StaleRecycledPid as Recycled,
};
use openclaw_doctor::verdict::Reason::{self, *};
use openclaw_doctor::verdict::{Leaning, Standing};
use rustix::io::Errno;

/// [`Standing`] without the proof inside, which only the verdict can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Held,
    Proof,
    LikelyStale,
    Undetermined,
    OutOfSight,
    LikelyHeld,
}
use Outcome::*;

impl Outcome {
    /// What a report says of it.
    pub fn proof_and_leaning(self) -> (bool, Option<&'static str>) {
        match self {
            Held => (false, None),
            Proof => (true, None),
            LikelyStale => (false, Some("likely-stale")),
            Undetermined => (false, Some("undetermined")),
            OutOfSight => (false, Some("out-of-sight")),
            LikelyHeld => (false, Some("likely-held")),
        }
    }
}

impl From<&Verdict> for Outcome {
    fn from(verdict: &Verdict) -> Self {
        match &verdict.standing {
            Standing::Held => Held,
            Standing::Proven(_) => Proof,
            Standing::Leaning(Leaning::LikelyStale) => LikelyStale,
            Standing::Leaning(Leaning::Undetermined) => Undetermined,
            Standing::Leaning(Leaning::OutOfSight) => OutOfSight,
            Standing::Leaning(Leaning::LikelyHeld) => LikelyHeld,
        }
    }
}

/// One line of the table.
pub struct Case {
    pub row: u8,
    pub evidence: &'static str,
    pub facts: Facts,
    pub expected: (Classification, Reason, Outcome),
}

fn case(
    row: u8,
    evidence: &'static str,
    facts: Facts,
    class: Classification,
    reason: Reason,
    outcome: Outcome,
) -> Case {
    Case { row, evidence, facts, expected: (class, reason, outcome) }
}

/// Every line, each as a lock of a family that it can be about.
pub fn cases() -> Vec<Case> {
    let is_kernels = |case: &Case| case.row == 8;
    let named = |name| family::by_name(name).unwrap();
    let mut all = cases_of(named("runtime-deps"));
    all.retain(|case| !is_kernels(case));
    all.extend(cases_of(named("sqlite-coordinator")).into_iter().filter(is_kernels));
    all
}

/// Every line, as a lock of this family: its own times of patience stand in rows 1 and 3.
pub fn cases_of(family: &'static Family) -> Vec<Case> {
    let lines = [
        unwritten(family.unwritten_grace_ms),
        hostile(),
        leases(family.anonymous_lease_ms),
        equal_ticks(),
        no_ticks(),
        other_ticks(),
        nobody(),
        kernels(),
        withdrawn(family),
    ];
    let of_family = |case: Case| Case { facts: Facts { family, ..case.facts }, ..case };
    lines.into_iter().flatten().map(of_family).collect()
}

#[rustfmt::skip]
fn unwritten(grace: i64) -> Vec<Case> {
    let (young, old) = (grace - 1, grace);
    let mut cases = vec![
        case(1, "no record, but the lock is a new one of a stepped clock: dated in the future",
            lock(Record::Missing).touched_ago(-HOUR), Unverifiable, RecordMissing, LikelyHeld),
        case(1, "no record, and no time at all",
            lock(Record::Missing).times(|times| *times = LockTimes::default()), Unverifiable, RecordMissing, LikelyHeld),
        case(1, "an old lock with a record that is being written now",
            lock(Record::Empty).touched_ago(old).times(|times| times.record_modified = Some(NOW)), Unverifiable, RecordEmpty, LikelyHeld),
        case(1, "an old record in a lock that was changed now",
            lock(Record::Truncated).touched_ago(old).times(|times| times.lock_modified = Some(NOW)), Unverifiable, RecordTruncated, LikelyHeld),
        case(1, "an old lock, and a record whose time cannot be read",
            lock(Record::Empty).touched_ago(old).times(|times| times.record_modified = None), Unverifiable, RecordEmpty, LikelyHeld),
        case(1, "an old record in a lock whose time cannot be read",
            lock(Record::NotJson).touched_ago(old).times(|times| times.lock_modified = None), Unverifiable, RecordNotJson, LikelyHeld),
        case(1, "an empty directory that was touched now",
            lock(Record::NotRecorded).touched_ago(0), Unverifiable, OwnerNotRecorded, LikelyHeld),
        case(1, "an empty directory, and no time at all",
            lock(Record::NotRecorded).times(|times| *times = LockTimes::default()), Unverifiable, OwnerNotRecorded, LikelyHeld),
        case(1, "an empty directory, whoever has which pid",
            lock(Record::NotRecorded).touched_ago(old).and(owner()), Unverifiable, OwnerNotRecorded, LikelyStale),
        case(1, "an empty directory in a container: nobody is named who could be elsewhere",
            lock(Record::NotRecorded).touched_ago(old).in_container(), Unverifiable, OwnerNotRecorded, LikelyStale),
        case(1, "no record, whoever has which pid",
            lock(Record::Missing).touched_ago(old).and(owner()), Unverifiable, RecordMissing, LikelyStale),
        case(1, "no record, where processes are hidden: nobody is named who could hide",
            lock(Record::Missing).touched_ago(old).restricted(), Unverifiable, RecordMissing, LikelyStale),
    ];
    for (record, reason) in [
        (Record::Missing, RecordMissing), (Record::Empty, RecordEmpty),
        (Record::Truncated, RecordTruncated), (Record::NotJson, RecordNotJson),
        (Record::NotRecorded, OwnerNotRecorded),
    ] {
        cases.push(case(1, "younger than its grace", lock(record.clone()).touched_ago(young), Unverifiable, reason, LikelyHeld));
        cases.push(case(1, "as old as its grace", lock(record).touched_ago(old), Unverifiable, reason, LikelyStale));
    }
    cases
}

#[rustfmt::skip]
fn hostile() -> Vec<Case> {
    let mut cases = vec![
        case(2, "a record that may not be read", lock(Record::Unreadable(Unread::System(Errno::ACCESS))), Unverifiable, RecordUnreadable, LikelyHeld),
    ];
    const EACH: [(Hostility, Reason); 18] = [
        (NotAnObject, RecordNotObject), (TooDeep, RecordTooDeep), (DuplicateKeys, RecordDuplicateKeys),
        (Hostility::PidZero, Reason::PidZero), (Hostility::PidNegative, Reason::PidNegative),
        (Hostility::PidFractional, Reason::PidFractional), (Hostility::PidNotANumber, Reason::PidNotANumber),
        (Hostility::PidTooLarge, Reason::PidTooLarge), (Hostility::StartTicksInvalid, Reason::StartTicksInvalid),
        (Hostility::CreatedAtInvalid, Reason::CreatedAtInvalid), (TooLarge, RecordTooLarge),
        (Hostility::RecordSymlink, Reason::RecordSymlink), (Hostility::RecordNotRegular, Reason::RecordNotRegular),
        (Hostility::RecordHardLinked, Reason::RecordHardLinked), (Hostility::LockSymlink, Reason::LockSymlink),
        (Hostility::LockNotDirectory, Reason::LockNotDirectory), (Hostility::LockNotFile, Reason::LockNotFile),
        (Hostility::LockNotEmpty, Reason::LockNotEmpty),
    ];
    for (hostility, reason) in EACH {
        let facts = lock(Record::Hostile(hostility)).touched_ago(1_000 * HOUR);
        cases.push(case(2, "impossible, at any age", facts, Unverifiable, reason, LikelyHeld));
    }
    cases
}

#[rustfmt::skip]
fn leases(length: i64) -> Vec<Case> {
    let ago = |milliseconds| Some(EpochMs(NOW.0 - milliseconds));
    vec![
        case(3, "in its time", lease(ago(length - 1)), Unverifiable, RecordWithoutPid, LikelyHeld),
        case(3, "over", lease(ago(length)), Unverifiable, RecordWithoutPid, LikelyStale),
        case(3, "over, in a file written just now", lease(ago(length)).touched_ago(0), Unverifiable, RecordWithoutPid, LikelyHeld),
        case(3, "over, in a file made just now",
            lease(ago(length)).times(|times| times.record_born = Some(NOW)), Unverifiable, RecordWithoutPid, LikelyHeld),
        case(3, "of 1970, in a file in its time", lease(Some(EpochMs(0))).touched_ago(length - 1), Unverifiable, RecordWithoutPid, LikelyHeld),
        case(3, "over, in a file whose birth is not kept",
            lease(ago(length)).times(|times| times.record_born = None), Unverifiable, RecordWithoutPid, LikelyHeld),
        case(3, "dated in the future", lease(ago(-HOUR)), Unverifiable, RecordWithoutPid, LikelyHeld),
        case(3, "undated, a file in its time", lease(None).touched_ago(length - 1), Unverifiable, RecordWithoutPid, LikelyHeld),
        case(3, "undated, a file that is older", lease(None).touched_ago(length), Unverifiable, RecordWithoutPid, LikelyStale),
        case(3, "undated, in an old file of a lock whose time cannot be read",
            lease(None).touched_ago(length).times(|times| times.lock_modified = None), Unverifiable, RecordWithoutPid, LikelyHeld),
        case(3, "undated in every way", lease(None).times(|times| *times = LockTimes::default()), Unverifiable, RecordWithoutPid, LikelyHeld),
    ]
}

#[rustfmt::skip]
fn equal_ticks() -> Vec<Case> {
    let contradicted = || owner().started_after(MINUTE + 1, Some(0));
    vec![
        case(4, "alive, equal ticks", with_ticks().and(owner()), Active, OwnerAlive, Held),
        case(4, "seen among others with that pid", with_ticks().and(stranger()).and(owner()), Active, OwnerAlive, Held),
        case(4, "in a time namespace of its own: one of two possible ticks is equal",
            with_ticks().and(Candidate { start_ticks: vec![OTHER_TICKS, TICKS], time_namespace: TimeNamespace::Shifted, ..owner() }), Active, OwnerAlive, Held),
        case(4, "a zombie leader with living threads", with_ticks().and(Candidate { state: 'Z', ..owner() }), Active, OwnerAlive, Held),
        case(4, "life unknown: perhaps alive", with_ticks().and(Candidate { life: Life::Unknown, ..owner() }), Active, OwnerAlive, Held),
        case(4, "any program: argv is no evidence of identity", with_ticks().and(process("sleep", Role::Other, TICKS)), Active, OwnerAlive, Held),
        case(4, "of another container", with_ticks().and(Candidate { pid: 51_234, own_namespace: false, ..owner() }), Active, OwnerAlive, Held),
        case(4, "in a container", with_ticks().and(owner()).in_container(), Active, OwnerAlive, Held),
        case(4, "on a network filesystem", with_ticks().and(owner()).shared_with_other_kernels(), Active, OwnerAlive, Held),
        case(4, "while processes are hidden", with_ticks().and(owner()).restricted(), Active, OwnerAlive, Held),
        case(4, "record and file exactly 60 s before the process", with_ticks().and(owner().started_after(MINUTE, Some(0))), Active, OwnerAlive, Held),
        case(4, "record and file more than 60 s before the process, but the clock was stepped as far",
            with_ticks().and(owner().started_after(MINUTE + 500, Some(500))), Active, OwnerAlive, Held),
        case(4, "record and file more than 60 s and the step before the process",
            with_ticks().and(owner().started_after(MINUTE + 501, Some(500))), Unverifiable, IdentityContradicted, LikelyHeld),
        case(4, "record and file days before the process, and no witness: a board that boots without a clock",
            with_ticks().and(owner().started_after(100 * HOUR, None)), Active, OwnerAlive, Held),
        case(4, "record and file more than 60 s before the process", with_ticks().and(contradicted()), Unverifiable, IdentityContradicted, LikelyHeld),
        case(4, "only the record before it", with_ticks().and(contradicted()).times(|times| times.record_born = Some(NOW)), Active, OwnerAlive, Held),
        case(4, "only the file before it", with_ticks().undated().and(contradicted()), Active, OwnerAlive, Held),
        case(4, "the filesystem keeps no birth time", with_ticks().and(contradicted()).times(|times| times.record_born = None), Active, OwnerAlive, Held),
        case(4, "the start cannot be put on the wall clock", with_ticks().and(Candidate { started_at: None, ..owner() }), Active, OwnerAlive, Held),
        case(4, "its own /proc shows it the recorded ticks, a stranger's: it is who recorded them",
            with_ticks().and(Candidate { own_view: OwnView::Shows(vec![TICKS]), ..successor() }), Active, OwnerAlive, Held),
        case(4, "two with equal ticks, one contradicted", with_ticks().and(contradicted()).and(owner()), Active, OwnerAlive, Held),
    ]
}

/// A process that has no way to the lock.
fn far(candidate: Candidate) -> Candidate {
    Candidate { reaches: Reaches::No, ..candidate }
}

#[rustfmt::skip]
fn no_ticks() -> Vec<Case> {
    let later = |margin, step| successor().started_after(30 * SECOND + margin, step);
    let nameless = || Candidate { role: Role::Unreadable, program: None, ..stranger() };
    vec![
        case(5, "no runtime among the carriers", without_ticks().and(stranger()), Unverifiable, CarrierNotJavascript, LikelyStale),
        case(5, "no runtime, in a container", without_ticks().and(stranger()).in_container(), Unverifiable, CarrierNotJavascript, OutOfSight),
        case(5, "no runtime, on the container's own layer", without_ticks().and(stranger()).on_own_layer(), Unverifiable, CarrierNotJavascript, LikelyStale),
        case(5, "no runtime, on a system's own root", without_ticks().and(stranger()).on_own_system(), Unverifiable, CarrierNotJavascript, LikelyStale),
        case(5, "no runtime, single writer", without_ticks().and(stranger()).single_writer(), Unverifiable, CarrierNotJavascript, LikelyStale),
        case(5, "no runtime, single writer, where processes are hidden",
            without_ticks().and(stranger()).single_writer().restricted(), Unverifiable, OwnerHidden, OutOfSight),
        case(5, "a runtime that has no way to the lock", without_ticks().and(far(owner())), Unverifiable, CarrierCannotReach, LikelyStale),
        case(5, "two runtimes, and one of them has a way", without_ticks().and(far(owner())).and(owner()), Unverifiable, CarrierMayBeOwner, LikelyHeld),
        case(5, "a later runtime that has a way, and an older one that has none",
            without_ticks().and(far(owner())).and(later(1, Some(0))), Unverifiable, CarrierStartedLater, LikelyStale),
        case(5, "no way to the lock, in a container", without_ticks().and(far(owner())).in_container(), Unverifiable, CarrierCannotReach, OutOfSight),
        case(5, "no way to the lock, which another kernel may use", without_ticks().and(far(owner())).shared_with_other_kernels(), Unverifiable, ForeignKernelPossible, OutOfSight),
        case(5, "started later by more than 30 s", without_ticks().and(later(1, Some(0))), Unverifiable, CarrierStartedLater, LikelyStale),
        case(5, "started later by exactly 30 s", without_ticks().and(later(0, Some(0))), Unverifiable, CarrierMayBeOwner, LikelyHeld),
        case(5, "started later by more than 30 s and the step", without_ticks().and(later(501, Some(500))), Unverifiable, CarrierStartedLater, LikelyStale),
        case(5, "started later, but the clock was stepped as far", without_ticks().and(later(500, Some(500))), Unverifiable, CarrierMayBeOwner, LikelyHeld),
        case(5, "an absurd step", without_ticks().and(later(HOUR, Some(u64::MAX))), Unverifiable, CarrierMayBeOwner, LikelyHeld),
        case(5, "started later, no witness", without_ticks().and(later(HOUR, None)), Unverifiable, CarrierMayBeOwner, LikelyHeld),
        case(5, "started later than the record, not than the file",
            without_ticks().and(later(1, Some(0))).times(|times| times.record_born = Some(NOW)), Unverifiable, CarrierMayBeOwner, LikelyHeld),
        case(5, "started later than the file, the record says no time", without_ticks().undated().and(later(1, Some(0))), Unverifiable, CarrierMayBeOwner, LikelyHeld),
        case(5, "started later than the record, the file has no birth time",
            without_ticks().and(later(1, Some(0))).times(|times| times.record_born = None), Unverifiable, CarrierMayBeOwner, LikelyHeld),
        case(5, "started before the lock was taken", without_ticks().and(successor()), Unverifiable, CarrierMayBeOwner, LikelyHeld),
        case(5, "one started later, one before", without_ticks().and(later(1, Some(0))).and(successor()), Unverifiable, CarrierMayBeOwner, LikelyHeld),
        case(5, "a name that cannot be read counts as a runtime", without_ticks().and(nameless()), Unverifiable, CarrierMayBeOwner, LikelyHeld),
        case(5, "known to the kernel, not shown by /proc", without_ticks().and(Candidate::out_of_list(PID)), Unverifiable, CarrierMayBeOwner, LikelyHeld),
        case(5, "started later, in a container: restarted, or a sidecar's namesake",
            without_ticks().and(later(1, Some(0))).in_container(), Unverifiable, CarrierStartedLater, OutOfSight),
        case(5, "started later, on the container's own layer", without_ticks().and(later(1, Some(0))).on_own_layer(), Unverifiable, CarrierStartedLater, LikelyStale),
        case(5, "may be the owner, in a container", without_ticks().and(successor()).in_container(), Unverifiable, CarrierMayBeOwner, LikelyHeld),
        case(5, "started later, in a container, but it may be no runtime",
            without_ticks().and(nameless().started_after(HOUR, Some(0))).in_container(), Unverifiable, CarrierStartedLater, OutOfSight),
        case(5, "started later, in a container, but perhaps dead",
            without_ticks().and(Candidate { life: Life::Unknown, ..later(1, Some(0)) }).in_container(), Unverifiable, CarrierStartedLater, OutOfSight),
    ]
}

#[rustfmt::skip]
fn other_ticks() -> Vec<Case> {
    let shifted = || Candidate { time_namespace: TimeNamespace::Shifted, ..stranger() };
    let unknown = || Candidate { time_namespace: TimeNamespace::Unknown, ..stranger() };
    let seen = |own_view| with_ticks().and(Candidate { own_view, ..stranger() });
    let not = OwnView::NotComparable;
    let ahead = |by| with_ticks().and(Candidate { start_ticks: vec![StartTicks(TICKS.0 - by)], ..stranger() });
    vec![
        case(6, "host", with_ticks().and(stranger()), Recycled, StartTicksDiffer, Proof),
        case(6, "host, an OpenClaw: program and age are no evidence", with_ticks().and(successor()), Recycled, StartTicksDiffer, Proof),
        case(6, "host, by one tick", with_ticks().and(Candidate { start_ticks: vec![StartTicks(TICKS.0 + 1)], ..owner() }), Recycled, StartTicksDiffer, Proof),
        case(6, "host, in a proc directory of another namespace", with_ticks().and(stranger()).from(ProcSource::Foreign), Recycled, StartTicksDiffer, Proof),
        case(6, "host, other ticks and no way to the lock: a proof counts everybody", with_ticks().and(far(successor())), Recycled, StartTicksDiffer, Proof),
        case(4, "equal ticks, and no way to the lock that could be seen: nobody's lock is taken for that",
            with_ticks().and(far(owner())), Active, OwnerAlive, Held),
        case(6, "ticks that cannot be read, of who has no way to the lock that could be seen",
            with_ticks().and(far(Candidate { start_ticks: vec![], ..stranger() })), Unverifiable, StartTicksUnreadable, LikelyHeld),
        case(6, "host, a carrier of another time namespace", with_ticks().and(stranger()).and(shifted()), Recycled, CheckpointPossible, LikelyStale),
        case(6, "own layer", with_ticks().and(stranger()).on_own_layer(), Recycled, StartTicksDiffer, Proof),
        case(6, "own root of a system", with_ticks().and(stranger()).on_own_system(), Recycled, StartTicksDiffer, Proof),
        case(6, "single writer", with_ticks().and(stranger()).single_writer(), Recycled, StartTicksDiffer, Proof),
        case(6, "own layer, a carrier of another time namespace", with_ticks().and(shifted()).on_own_layer(), Recycled, CheckpointPossible, LikelyStale),
        case(6, "container, an OpenClaw of our own namespace", with_ticks().and(successor()).in_container(), Recycled, RestartedContainer, OutOfSight),
        case(6, "container, some other program", with_ticks().and(stranger()).in_container(), Recycled, SharedVolume, OutOfSight),
        case(6, "container, some JavaScript", with_ticks().and(process("node", Role::JavaScript, OTHER_TICKS)).in_container(), Recycled, SharedVolume, OutOfSight),
        case(6, "container, an OpenClaw of a namespace below", with_ticks().and(Candidate { own_namespace: false, ..successor() }).in_container(), Recycled, SharedVolume, OutOfSight),
        case(6, "container, the doctor itself", with_ticks().and(Candidate { is_self: true, ..successor() }).in_container(), Recycled, SharedVolume, OutOfSight),
        case(6, "container, an OpenClaw that is perhaps dead", with_ticks().and(Candidate { life: Life::Unknown, ..successor() }).in_container(), Recycled, SharedVolume, OutOfSight),
        case(6, "its own /proc shows it a third process", seen(OwnView::Shows(vec![StartTicks(24)])), Unverifiable, TicksNotComparable, LikelyHeld),
        case(6, "its /proc is of another PID namespace", seen(not(NotComparable::OuterNamespace)), Unverifiable, TicksNotComparable, LikelyHeld),
        case(6, "its /proc may be of another PID namespace", seen(not(NotComparable::SharedOutside)), Unverifiable, TicksNotComparable, LikelyHeld),
        case(6, "it has no /proc", seen(not(NotComparable::NoProcfs)), Unverifiable, TicksNotComparable, LikelyHeld),
        case(6, "its /proc lists nobody under its pid", seen(not(NotComparable::NotListed)), Unverifiable, TicksNotComparable, LikelyHeld),
        case(6, "its /proc was mounted after its start", seen(not(NotComparable::MountedLater)), Unverifiable, TicksNotComparable, LikelyHeld),
        case(6, "only root may look at its /proc", seen(OwnView::NotAsked(NotAsked::Refused)), Recycled, OwnTicksUnseen, LikelyStale),
        case(6, "its /proc does not answer", seen(OwnView::NotAsked(NotAsked::NoAnswer)), Unverifiable, TicksNotComparable, LikelyHeld),
        case(6, "one of two that has another's /proc",
            seen(OwnView::TrueTicks).and(Candidate { own_view: not(NotComparable::OuterNamespace), ..stranger() }), Unverifiable, TicksNotComparable, LikelyHeld),
        case(6, "another's /proc, out of sight as well", seen(not(NotComparable::OuterNamespace)).in_container(), Unverifiable, TicksNotComparable, LikelyHeld),
        case(6, "only root may look at its /proc, out of sight as well", seen(OwnView::NotAsked(NotAsked::Refused)).in_container(), Recycled, SharedVolume, OutOfSight),
        case(6, "another's /proc, in a time namespace of its own",
            with_ticks().and(Candidate { own_view: not(NotComparable::OuterNamespace), ..shifted() }), Unverifiable, TicksNotComparable, LikelyHeld),
        case(7, "another's /proc, of who is dead",
            with_ticks().and(Candidate { own_view: not(NotComparable::OuterNamespace), life: Life::Dead, ..stranger() }), Dead, NoSuchProcess, Proof),
        case(6, "recorded 90 ms after the process started: an emulator's number", ahead(9), Unverifiable, TicksNotComparable, LikelyHeld),
        case(6, "recorded 30 s after the process started", ahead(3_000), Unverifiable, TicksNotComparable, LikelyHeld),
        case(6, "recorded more than 30 s after the process started", ahead(3_001), Recycled, StartTicksDiffer, Proof),
        case(6, "a start time that cannot be read", with_ticks().and(Candidate { start_ticks: vec![], ..stranger() }), Unverifiable, StartTicksUnreadable, LikelyHeld),
        case(6, "one of two start times that cannot be read", with_ticks().and(stranger()).and(Candidate { start_ticks: vec![], ..stranger() }), Unverifiable, StartTicksUnreadable, LikelyHeld),
        case(6, "known to the kernel, not shown by /proc", with_ticks().and(Candidate::out_of_list(PID)), Unverifiable, StartTicksUnreadable, LikelyHeld),
        case(6, "a time namespace that cannot be read: its own ticks may be others", with_ticks().and(unknown()), Unverifiable, StartTicksUnreadable, LikelyHeld),
    ]
}

#[rustfmt::skip]
fn nobody() -> Vec<Case> {
    let corpse = |candidate| Candidate { life: Life::Dead, state: 'Z', ..candidate };
    vec![
        case(7, "host", with_ticks(), Dead, NoSuchProcess, Proof),
        case(7, "host, no ticks recorded: a dead pid is no legacy", without_ticks(), Dead, NoSuchProcess, Proof),
        case(7, "host, however new", with_ticks().touched_ago(0), Dead, NoSuchProcess, Proof),
        case(7, "host, the owner is a zombie without threads", with_ticks().and(corpse(owner())), Dead, NoSuchProcess, Proof),
        case(7, "host, its pid is a zombie's", without_ticks().and(corpse(stranger())), Dead, NoSuchProcess, Proof),
        case(7, "own layer", with_ticks().on_own_layer(), Dead, NoSuchProcess, Proof),
        case(7, "own root of a system", with_ticks().on_own_system(), Dead, NoSuchProcess, Proof),
        case(7, "single writer", with_ticks().single_writer(), Dead, NoSuchProcess, Proof),
        case(7, "container", with_ticks().in_container(), Dead, SharedVolume, OutOfSight),
        case(7, "container, no ticks recorded", without_ticks().in_container(), Dead, SharedVolume, OutOfSight),
        case(7, "no process table at all", with_ticks().from(ProcSource::Unreadable), Unverifiable, ProcessTableUnreadable, OutOfSight),
        case(7, "no process table, whatever else is known", with_ticks().and(owner()).from(ProcSource::Unreadable), Unverifiable, ProcessTableUnreadable, OutOfSight),
    ]
}

#[rustfmt::skip]
fn kernels() -> Vec<Case> {
    let unknown = || lock(Record::KernelUnknown);
    let below = || Candidate { pid: 51_234, own_namespace: false, ..owner() };
    vec![
        case(8, "the kernel names the holder", held_by_kernel(Some(owner())), Active, KernelLockHeld, Held),
        case(8, "the kernel names a holder of another container", held_by_kernel(Some(below())), Active, KernelLockHeld, Held),
        case(8, "the kernel names a holder that is no OpenClaw", held_by_kernel(Some(stranger())), Active, KernelLockHeld, Held),
        case(8, "the kernel names nobody", held_by_kernel(None), Active, KernelLockHeld, Held),
        case(8, "held for ever so long", held_by_kernel(None).touched_ago(1_000 * HOUR), Active, KernelLockHeld, Held),
        case(8, "held, where processes are hidden", held_by_kernel(None).restricted(), Active, KernelLockHeld, Held),
        case(8, "held, and another kernel may use the filesystem", held_by_kernel(Some(owner())).shared_with_other_kernels(), Active, KernelLockHeld, Held),
        case(8, "held, and there is no process table", held_by_kernel(None).from(ProcSource::Unreadable), Active, KernelLockHeld, Held),
        case(8, "held, and the proc directory is a copy", held_by_kernel(None).from(ProcSource::NotProcfs), Active, KernelLockHeld, Held),
        case(4, "its coordinator is held, and so is it by its living owner", with_ticks().and(owner()).coordinated(), Active, OwnerAlive, Held),
        case(8, "its coordinator is held, by nobody in sight", with_ticks().coordinated(), Active, CoordinatorHeld, Held),
        case(8, "its coordinator is held, and its pid is another's here", with_ticks().and(successor()).in_container().coordinated(), Active, CoordinatorHeld, Held),
        case(8, "its coordinator is held, and the operator vouches", with_ticks().and(stranger()).single_writer().coordinated(), Active, CoordinatorHeld, Held),
        case(8, "its coordinator is held, and its record is empty", lock(Record::Empty).touched_ago(HOUR).coordinated(), Active, CoordinatorHeld, Held),
        case(8, "another program has the dead owner's file locked", with_ticks().locked(), Active, KernelLockHeld, Held),
        case(8, "another program has it locked, and processes are hidden", with_ticks().restricted().locked(), Active, KernelLockHeld, Held),
        case(8, "another program has it locked, and it names nobody", lock(Record::Empty).touched_ago(HOUR).locked(), Active, KernelLockHeld, Held),
        case(8, "another program has it locked, and its record is impossible", lock(Record::Hostile(Hostility::PidZero)).locked(), Active, KernelLockHeld, Held),
        case(8, "another program has it locked, and whether the coordinator is held cannot be told", with_ticks().locked().uncoordinated(), Active, KernelLockHeld, Held),
        case(8, "the kernel may not be asked, at any age", unknown().touched_ago(1_000 * HOUR), Unverifiable, KernelLockUnknown, LikelyHeld),
        case(8, "the kernel may not be asked, and nobody lives", unknown().touched_ago(0), Unverifiable, KernelLockUnknown, LikelyHeld),
        case(8, "the kernel may not be asked, in a container", unknown().in_container(), Unverifiable, KernelLockUnknown, LikelyHeld),
        case(8, "the kernel may not be asked, single writer", unknown().single_writer(), Unverifiable, KernelLockUnknown, LikelyHeld),
        case(8, "the kernel may not be asked, and another kernel may use the filesystem",
            unknown().shared_with_other_kernels(), Unverifiable, KernelLockUnknown, LikelyHeld),
    ]
}

#[rustfmt::skip]
fn withdrawn(family: &Family) -> Vec<Case> {
    let old_lease = || lease(Some(EpochMs(NOW.0 - family.anonymous_lease_ms)));
    let unwritten = || lock(Record::Missing).touched_ago(family.unwritten_grace_ms);
    let bare = || lock(Record::NotRecorded).touched_ago(family.unwritten_grace_ms);
    let later = || successor().started_after(HOUR, Some(0));
    vec![
        case(1, "old and never written, but perhaps another program's", unwritten().perhaps_anothers(), Unverifiable, RecordMissing, LikelyHeld),
        case(1, "an old bare directory, but perhaps another program's", bare().perhaps_anothers(), Unverifiable, OwnerNotRecorded, LikelyHeld),
        case(3, "an old lease, but perhaps another program's", old_lease().perhaps_anothers(), Unverifiable, RecordWithoutPid, LikelyHeld),
        case(7, "another kernel may use the filesystem", with_ticks().shared_with_other_kernels(), Dead, ForeignKernelPossible, OutOfSight),
        case(6, "another kernel may use the filesystem", with_ticks().and(stranger()).shared_with_other_kernels(), Recycled, ForeignKernelPossible, OutOfSight),
        case(6, "another kernel, and a restarted container", with_ticks().and(successor()).in_container().shared_with_other_kernels(), Recycled, ForeignKernelPossible, OutOfSight),
        case(6, "another kernel, though the operator vouches for a single writer", with_ticks().and(stranger()).single_writer().shared_with_other_kernels(), Recycled, ForeignKernelPossible, OutOfSight),
        case(5, "another kernel may use the filesystem", without_ticks().and(stranger()).shared_with_other_kernels(), Unverifiable, ForeignKernelPossible, OutOfSight),
        case(3, "another kernel may use the filesystem", old_lease().shared_with_other_kernels(), Unverifiable, ForeignKernelPossible, OutOfSight),
        case(1, "another kernel may use the filesystem", unwritten().shared_with_other_kernels(), Unverifiable, ForeignKernelPossible, OutOfSight),
        case(1, "an empty directory that another kernel may use", bare().shared_with_other_kernels(), Unverifiable, ForeignKernelPossible, OutOfSight),
        case(7, "container, and nobody has the database open that the owner keeps open",
            with_ticks().in_container().database(DatabaseUse::Free(NOW)), Dead, DatabaseNotOpen, LikelyStale),
        case(6, "container, and nobody has the database open", with_ticks().and(successor()).in_container().database(DatabaseUse::Free(NOW)), Recycled, DatabaseNotOpen, LikelyStale),
        case(5, "container, and nobody has the database open", without_ticks().and(stranger()).in_container().database(DatabaseUse::Free(NOW)), Unverifiable, DatabaseNotOpen, LikelyStale),
        case(7, "processes are hidden, and nobody has the database open",
            with_ticks().restricted().database(DatabaseUse::Free(NOW)), Dead, OwnerHidden, OutOfSight),
        case(7, "container, and the database was used last when the lock was young",
            with_ticks().in_container().database(DatabaseUse::Free(EpochMs(NOW.0 - HOUR + MINUTE))).touched_ago(HOUR), Dead, SharedVolume, OutOfSight),
        case(7, "container, and somebody has the database open", with_ticks().in_container().database(DatabaseUse::Held(None)), Dead, SharedVolume, OutOfSight),
        case(7, "container, and the database cannot be asked for",
            with_ticks().in_container().database(DatabaseUse::CannotTell(DatabaseUnknown::Filesystem)), Dead, SharedVolume, OutOfSight),
        case(7, "container, and the lock is too young for its owner to have opened the database",
            with_ticks().in_container().database(DatabaseUse::Free(NOW)).touched_ago(MINUTE), Dead, SharedVolume, OutOfSight),
        case(7, "another kernel, whose open databases do not show here",
            with_ticks().shared_with_other_kernels().database(DatabaseUse::Free(NOW)), Dead, ForeignKernelPossible, OutOfSight),
        case(7, "host, and somebody has the database open", with_ticks().database(DatabaseUse::Held(None)), Dead, NoSuchProcess, Proof),
        case(7, "a copied record", with_ticks().copied(), Dead, CopiedRecord, LikelyStale),
        case(6, "a copied record", with_ticks().and(stranger()).copied(), Recycled, CopiedRecord, LikelyStale),
        case(7, "a copied record, and its copier runs", with_ticks().copied().synchronised(), Dead, CopiedRecord, OutOfSight),
        case(7, "a record that may be copied, and a copier runs",
            with_ticks().synchronised().times(|times| times.record_born = None), Dead, CopiedRecord, OutOfSight),
        case(7, "a record that was written here, and a copier runs", with_ticks().synchronised(), Dead, NoSuchProcess, Proof),
        case(7, "no time of birth, and no copier", with_ticks().times(|times| times.record_born = None), Dead, NoSuchProcess, Proof),
        case(5, "a copied record, and its copier runs", without_ticks().and(stranger()).copied().synchronised(), Unverifiable, CopiedRecord, OutOfSight),
        case(5, "a copied record without ticks", without_ticks().and(stranger()).copied(), Unverifiable, CarrierNotJavascript, LikelyStale),
        case(4, "a copied record of who lives", with_ticks().and(owner()).copied().synchronised(), Active, OwnerAlive, Held),
        case(7, "a copied record, where processes are hidden", with_ticks().copied().restricted(), Dead, OwnerHidden, OutOfSight),
        case(7, "a copied record in a container", with_ticks().copied().in_container(), Dead, SharedVolume, OutOfSight),
        case(7, "processes are hidden", with_ticks().restricted(), Dead, OwnerHidden, OutOfSight),
        case(6, "processes are hidden", with_ticks().and(stranger()).restricted(), Recycled, OwnerHidden, OutOfSight),
        case(6, "processes are hidden, which no word of the operator lifts", with_ticks().and(successor()).single_writer().restricted(), Recycled, OwnerHidden, OutOfSight),
        case(6, "processes are hidden, and it looks like a restart", with_ticks().and(successor()).restricted(), Recycled, OwnerHidden, OutOfSight),
        case(5, "processes are hidden", without_ticks().and(later()).restricted(), Unverifiable, OwnerHidden, OutOfSight),
        case(7, "the directory is worked in", with_ticks().worked_in(), Dead, RootInUse, LikelyHeld),
        case(6, "the directory is worked in", with_ticks().and(stranger()).worked_in(), Recycled, RootInUse, LikelyHeld),
        case(6, "the directory is worked in, by a sight that could not tell", with_ticks().and(stranger()).in_container().worked_in(), Recycled, RootInUse, LikelyHeld),
        case(5, "the directory is worked in", without_ticks().and(stranger()).worked_in(), Unverifiable, RootInUse, LikelyHeld),
        case(5, "the directory is worked in, out of sight", without_ticks().and(stranger()).in_container().worked_in(), Unverifiable, RootInUse, LikelyHeld),
        case(3, "the directory is worked in", old_lease().worked_in(), Unverifiable, RootInUse, LikelyHeld),
        case(1, "the directory is worked in", unwritten().worked_in(), Unverifiable, RootInUse, LikelyHeld),
        case(7, "the directory is worked in, on a network filesystem, with hidden processes",
            with_ticks().worked_in().shared_with_other_kernels().restricted(), Dead, RootInUse, LikelyHeld),
        case(4, "the owner lives and works there", with_ticks().and(owner()).worked_in(), Active, OwnerAlive, Held),
        case(7, "whether its coordinator is held cannot be told", with_ticks().uncoordinated(), Dead, KernelLockUnknown, LikelyHeld),
        case(6, "whether its coordinator is held cannot be told", with_ticks().and(stranger()).uncoordinated(), Recycled, KernelLockUnknown, LikelyHeld),
        case(7, "whether another program has it locked cannot be told", with_ticks().perhaps_locked(), Dead, KernelLockUnknown, LikelyHeld),
        case(5, "whether another program has it locked cannot be told", without_ticks().and(stranger()).perhaps_locked(), Unverifiable, KernelLockUnknown, LikelyHeld),
        case(3, "whether another program has it locked cannot be told", old_lease().perhaps_locked(), Unverifiable, KernelLockUnknown, LikelyHeld),
        case(1, "whether another program has it locked cannot be told", unwritten().perhaps_locked(), Unverifiable, KernelLockUnknown, LikelyHeld),
        case(7, "neither the kernel nor the other machine can be asked", with_ticks().perhaps_locked().shared_with_other_kernels(), Dead, KernelLockUnknown, LikelyHeld),
        case(4, "whether another program has it locked cannot be told of a living owner's", with_ticks().and(owner()).perhaps_locked(), Active, OwnerAlive, Held),
        case(7, "who works there is unknown, which changes nothing", with_ticks().workers_unknown(3), Dead, NoSuchProcess, Proof),
        case(7, "not procfs", with_ticks().from(ProcSource::NotProcfs), Dead, NotProcfs, Undetermined),
        case(6, "not procfs", with_ticks().and(stranger()).from(ProcSource::NotProcfs), Recycled, NotProcfs, Undetermined),
        case(6, "not procfs, though it shows the initial namespace",
            with_ticks().and(stranger()).from(ProcSource::NotProcfs).vantage(Vantage::Host), Recycled, NotProcfs, Undetermined),
        case(5, "not procfs", without_ticks().and(later()).from(ProcSource::NotProcfs), Unverifiable, NotProcfs, Undetermined),
        case(4, "not procfs", with_ticks().and(owner()).from(ProcSource::NotProcfs), Active, OwnerAlive, Held),
    ]
}
