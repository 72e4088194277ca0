//! Locks that are left to OpenClaw, though they could be removed. Pure.
//!
//! In: a family, a verdict, the OpenClaw releases found. Out: a [`Restraint`], or none. Called by
//! a scan for every lock, and honoured by [`crate::warrant`].

use crate::family::{Family, Removal};
use crate::release::{Span, may_hold};
use crate::verdict::{Classification, Leaning, Reason, Standing, Verdict};

/// Why a stale lock is left to OpenClaw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restraint {
    /// OpenClaw reads it at its next start and takes up what was interrupted; which release, if known.
    Recovery(Option<String>),
    /// A running OpenClaw removes it by itself when it next wants it, and may do so at this moment.
    SelfHealing(User),
    /// It names nobody and is not touched while it is held: a running OpenClaw that uses its directory
    /// may hold it at this moment.
    InUse(User),
}

impl Restraint {
    /// The word in JSON.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Recovery(_) => "recovery",
            Self::SelfHealing(_) => "self-healing",
            Self::InUse(_) => "in-use",
        }
    }
}

/// A running OpenClaw that uses the directory of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its pid in the proc directory.
    pub pid: u32,
    /// Its name, raw.
    pub program: String,
    /// The releases that it may be; empty if none can be told.
    pub versions: Vec<String>,
}

/// What keeps a lock from being removed by us. `versions`: the releases that run or are
/// installed; `users`: the processes that use the directory of this lock.
#[must_use]
pub fn restraint(family: &Family, verdict: &Verdict, versions: &[String], users: &[User]) -> Option<Restraint> {
    if matches!(verdict.standing, Standing::Held | Standing::Leaning(Leaning::LikelyHeld)) {
        return None;
    }
    let spans = healing(family, verdict);
    let heals = |user: &&User| match user.versions.as_slice() {
        [] => !spans.is_empty(),
        known => known.iter().any(|version| may_hold(spans, version)),
    };
    if let Some(user) = users.iter().find(heals) {
        return Some(Restraint::SelfHealing(user.clone()));
    }
    if is_anybodys(family, verdict)
        && let Some(user) = users.first()
    {
        return Some(Restraint::InUse(user.clone()));
    }
    let Removal::AfterRecovery(span) = family.removal else { return None };
    match versions {
        [] => Some(Restraint::Recovery(None)),
        known => {
            let reads_it = known.iter().find(|version| may_hold(&[span], version));
            reads_it.map(|version| Restraint::Recovery(Some(version.clone())))
        }
    }
}

/// Whether who runs matters to such a lock.
#[must_use]
pub fn asks_who_runs(family: &Family, verdict: &Verdict) -> bool {
    is_anybodys(family, verdict) || !healing(family, verdict).is_empty()
}

/// Whether any process that uses its directory may hold it, and nothing on it would tell.
fn is_anybodys(family: &Family, verdict: &Verdict) -> bool {
    family.is_untouched && verdict.reason == Reason::OwnerNotRecorded
}

/// The releases that remove a lock with such a verdict by themselves.
#[must_use]
pub fn healing(family: &Family, verdict: &Verdict) -> &'static [Span] {
    match verdict.classification {
        Classification::StaleDeadPid => family.heals.dead_pid,
        Classification::StaleRecycledPid => family.heals.recycled_pid,
        Classification::LegacyUnverifiable if verdict.row == 1 => family.heals.unwritten,
        Classification::LegacyUnverifiable if verdict.row == 3 => family.heals.without_pid,
        Classification::LegacyUnverifiable | Classification::Active => &[],
    }
}
