//! Locks that are left to OpenClaw, though they could be removed. Pure.
//!
//! In: a family, a verdict, who uses its state dir and which release owns that. Out: a [`Restraint`], or none. Called by
//! a scan for every lock, and honoured by [`crate::warrant`].

use crate::family::{Family, Removal};
use crate::release::{OwnerRelease, ReleaseUnknown, Span, may_hold};
use crate::verdict::{Classification, Leaning, Reason, Standing, Verdict};
use crate::who::CannotTell;

/// Why a stale lock is left to OpenClaw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restraint {
    /// OpenClaw reads it at its next start and takes up what was interrupted.
    Recovery {
        /// Which release does.
        reader: Reader,
        /// It runs: only a restart would do it.
        running: Option<User>,
    },
    /// A running OpenClaw removes it by itself when it next wants it, and may do so at this moment.
    SelfHealing(By),
    /// It names nobody and is not touched while it is held: a running OpenClaw that uses its directory
    /// may hold it at this moment.
    InUse(By),
}

/// The release that reads a lock at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reader {
    /// This one owns the state dir.
    Release(String),
    /// Which one owns it cannot be told, so that it may be one that does.
    Unknown(ReleaseUnknown),
}

/// The running OpenClaw that a lock is left to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// This one.
    User(User),
    /// Perhaps one of whom it cannot be told.
    CannotTell(CannotTell),
}

impl Restraint {
    /// The word in JSON.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Recovery { .. } => "recovery",
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

/// Who may want a lock, or hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The running OpenClaws that use its directory.
    pub users: Vec<User>,
    /// Why there may be more of them.
    pub cannot_tell: Option<CannotTell>,
    /// The releases that own its state dir.
    pub release: OwnerRelease,
}

/// What keeps a lock from being removed by us.
#[must_use]
pub fn restraint(family: &Family, verdict: &Verdict, wanted: &Wanted) -> Option<Restraint> {
    if matches!(verdict.standing, Standing::Held | Standing::Leaning(Leaning::LikelyHeld)) {
        return None;
    }
    let Wanted { users, cannot_tell, .. } = wanted;
    let spans = healing(family, verdict);
    // A file is removed in such a way that a release that clears it too does no harm; no way does
    // that for a bare directory.
    let is_bare = verdict.reason == Reason::OwnerNotRecorded;
    let heals = |user: &&User| match user.versions.as_slice() {
        [] => !spans.is_empty() && is_bare,
        known => known.iter().any(|version| may_hold(spans, version)),
    };
    if let Some(user) = users.iter().find(heals) {
        return Some(Restraint::SelfHealing(By::User(user.clone())));
    }
    let is_anybodys = is_anybodys(family, verdict);
    if is_anybodys && let Some(user) = users.first() {
        return Some(Restraint::InUse(By::User(user.clone())));
    }
    match cannot_tell {
        Some(why) if !spans.is_empty() => return Some(Restraint::SelfHealing(By::CannotTell(why.clone()))),
        Some(why) if is_anybodys => return Some(Restraint::InUse(By::CannotTell(why.clone()))),
        _ => {}
    }
    let Removal::AfterRecovery(span) = family.removal else { return None };
    let reader = match &wanted.release {
        OwnerRelease::Known(known) => Reader::Release(known.iter().find(|version| may_hold(&[span], version))?.clone()),
        OwnerRelease::Unknown(why) => Reader::Unknown(why.clone()),
    };
    Some(Restraint::Recovery { reader, running: users.first().cloned() })
}

/// Whether who runs, or which release owns the state dir, matters to such a lock.
#[must_use]
pub fn asks_who_runs(family: &Family, verdict: &Verdict) -> bool {
    let recovers = matches!(family.removal, Removal::AfterRecovery(_));
    recovers || is_anybodys(family, verdict) || !healing(family, verdict).is_empty()
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
