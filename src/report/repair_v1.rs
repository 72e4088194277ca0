//! `openclaw-doctor/repair/v1`: the scan's fields of each lock, and what became of it.

use super::bytes::hex_if_not_text;
use super::v1::{Head, Lock, LookAlike, ProblemReport};
use crate::remove::OutcomeKind;
use crate::repair::{Handled, exit_code};
use crate::scan::{JudgedLock, Scan};
use crate::warrant::Basis;
use serde::{Serialize, Serializer};

/// The schema of a repair.
pub const REPAIR_SCHEMA: &str = "openclaw-doctor/repair/v1";

/// The whole report.
#[derive(Debug, Serialize)]
pub struct RepairReport<'a> {
    schema: &'static str,
    #[serde(flatten)]
    head: Head<'a>,
    dry_run: bool,
    locks: Locks<'a>,
    look_alikes: Vec<LookAlike>,
    problems: Vec<ProblemReport>,
    summary: RepairSummary,
    exit_code: u8,
}

#[derive(Debug)]
struct Locks<'a> {
    scan: &'a Scan,
    handled: &'a [Handled],
}

#[derive(Debug, Serialize)]
struct RepairLock<'a> {
    #[serde(flatten)]
    lock: Lock<'a>,
    plan: &'static str,
    consent: Option<Basis>,
    outcome: Option<OutcomeKind>,
    outcome_detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed_record: Option<RemovedRecord>,
}

#[derive(Debug, Serialize)]
struct RemovedRecord {
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

/// How many locks met which end.
#[derive(Debug, Serialize, Default, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the outcomes of `OutcomeKind`")]
pub struct RepairSummary {
    pub locks: usize,
    pub removed: usize,
    pub already_gone: usize,
    pub changed: usize,
    pub busy: usize,
    pub refused: usize,
    pub declined: usize,
    pub held_back: usize,
    pub failed: usize,
    pub not_attempted: usize,
    pub look_alikes: usize,
    pub problems: usize,
}

impl RepairSummary {
    /// Counts what became of the locks.
    #[must_use]
    pub fn of(scan: &Scan, handled: &[Handled]) -> Self {
        let count = |kind| {
            handled
                .iter()
                .filter(|handled| handled.outcome.as_ref().is_some_and(|outcome| outcome.kind == kind))
                .count()
        };
        Self {
            locks: handled.len(),
            removed: count(OutcomeKind::Removed),
            already_gone: count(OutcomeKind::AlreadyGone),
            changed: count(OutcomeKind::Changed),
            busy: count(OutcomeKind::Busy),
            refused: count(OutcomeKind::Refused),
            declined: count(OutcomeKind::Declined),
            held_back: count(OutcomeKind::HeldBack),
            failed: count(OutcomeKind::Failed),
            not_attempted: count(OutcomeKind::NotAttempted),
            look_alikes: scan.look_alikes.len(),
            problems: scan.problems.len(),
        }
    }
}

impl<'a> RepairReport<'a> {
    /// Puts a repair into its outside form.
    #[must_use]
    pub fn new(scan: &'a Scan, handled: &'a [Handled], dry_run: bool) -> Self {
        Self {
            schema: REPAIR_SCHEMA,
            head: Head::new(scan),
            dry_run,
            locks: Locks { scan, handled },
            look_alikes: scan.look_alikes.iter().map(LookAlike::new).collect(),
            problems: scan.problems.iter().map(ProblemReport::new).collect(),
            summary: RepairSummary::of(scan, handled),
            exit_code: exit_code(scan, handled),
        }
    }
}

impl Serialize for Locks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = self.scan.locks.iter().zip(self.handled);
        serializer.collect_seq(pairs.map(|(lock, handled)| RepairLock::new(lock, handled, self.scan)))
    }
}

impl<'a> RepairLock<'a> {
    fn new(lock: &'a JudgedLock, handled: &'a Handled, scan: &'a Scan) -> Self {
        let raw = &lock.found.reading.raw;
        let removed = handled.kind() == Some(OutcomeKind::Removed);
        Self {
            lock: Lock::new(lock, scan),
            plan: handled.intent.word(),
            consent: handled.basis,
            outcome: handled.kind(),
            outcome_detail: handled
                .outcome
                .as_ref()
                .map(|outcome| outcome.detail.as_str())
                .filter(|detail| !detail.is_empty()),
            removed_record: removed
                .then(|| RemovedRecord { text: String::from_utf8_lossy(raw).into_owned(), hex: hex_if_not_text(raw) }),
        }
    }
}
