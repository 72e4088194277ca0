//! What a repair would do with each lock, before anything is done. Pure.
//!
//! In: a scan and what the operator allowed. Out: one [`Intent`] per lock in scope.

use crate::family::{Family, Removal};
use crate::restraint::Restraint;
use crate::scan::{JudgedLock, Scan};
use crate::verdict::{Leaning, Standing, Verdict};
use crate::warrant::{Basis, Warrant};

/// What the operator allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowed {
    /// `--yes`.
    pub yes: bool,
    /// Somebody can be asked.
    pub interactive: bool,
    /// `--lock` named every lock in scope.
    pub named: bool,
}

/// What is to happen to a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// Remove it.
    Remove(Warrant),
    /// Ask; on a yes, remove it on this basis.
    Ask(Basis),
    /// Leave it.
    Leave(Left),
}

impl Intent {
    /// The word in JSON and text.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Remove(_) => "remove",
            Self::Ask(_) => "ask",
            Self::Leave(_) => "leave",
        }
    }
}

/// Why a lock is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Left {
    /// A living process holds it.
    Active,
    /// Its family is never removed.
    NeverRemoved,
    /// Not proven, and nobody's word was given.
    NeedsWord(Leaning),
    /// Not proven, and nobody's word is enough.
    NeedsProof(Leaning),
    /// OpenClaw will read it at its next start.
    Recovery,
    /// A running OpenClaw removes it by itself.
    SelfHealing,
    /// A running OpenClaw may hold it.
    InUse,
}

/// Decides for one lock of this family and verdict (docs/removal.md has the table).
#[must_use]
pub fn intent(family: &Family, verdict: &Verdict, restraint: Option<&Restraint>, allowed: Allowed) -> Intent {
    let given = match (allowed.yes, allowed.named) {
        (true, true) => Basis::Named,
        (true, false) => Basis::Yes,
        (false, _) => Basis::Proof,
    };
    if let Some(warrant) = Warrant::new(family, verdict, restraint, given) {
        return Intent::Remove(warrant);
    }
    let answer = if allowed.named { Basis::Named } else { Basis::Answer };
    let askable = || Warrant::new(family, verdict, restraint, answer).is_some();
    if allowed.interactive && !allowed.yes && askable() {
        return Intent::Ask(answer);
    }
    Intent::Leave(match (&verdict.standing, family.removal, restraint) {
        (Standing::Held, ..) => Left::Active,
        (_, Removal::Never, _) => Left::NeverRemoved,
        (Standing::Leaning(leaning), Removal::OnProof, _) => Left::NeedsProof(*leaning),
        (_, _, Some(Restraint::SelfHealing(_))) => Left::SelfHealing,
        (_, _, Some(Restraint::InUse(_))) => Left::InUse,
        (Standing::Leaning(leaning), ..) => Left::NeedsWord(*leaning),
        // A proof is a warrant on any basis, but for a restraint.
        (Standing::Proven(_), ..) => Left::Recovery,
    })
}

/// Decides for every lock of a scan, in its order.
#[must_use]
pub fn plan(scan: &Scan, allowed: Allowed) -> Vec<Intent> {
    let intent = |lock: &JudgedLock| intent(lock.found.family, &lock.verdict, lock.restraint.as_ref(), allowed);
    scan.locks.iter().map(intent).collect()
}
