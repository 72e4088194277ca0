//! The right to remove one lock: from a proof, or from somebody's word, and from nothing else.
//!
//! The gate that holds the first law of this tool. A [`Warrant`] cannot be built for a lock
//! that a living process holds, nor for a family that is never removed, whatever was asked.

use crate::family::{Family, Removal};
use crate::restraint::Restraint;
use crate::verdict::{Leaning, Standing, Verdict};
use serde::Serialize;

/// Whose word a removal rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Nobody's: it is proven.
    Proof,
    /// The operator answered yes to a question that showed the evidence.
    Answer,
    /// `--yes`.
    Yes,
    /// `--lock` named this lock, with `--yes` or an answer.
    Named,
}

/// The right to remove a lock with this verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warrant {
    basis: Basis,
    verdict: Verdict,
    beside_openclaw: bool,
}

impl Warrant {
    /// A warrant on this basis, if verdict, family and restraint allow it (docs/removal.md).
    #[must_use]
    pub fn new(family: &Family, verdict: &Verdict, restraint: Option<&Restraint>, basis: Basis) -> Option<Self> {
        use Leaning::{LikelyHeld, LikelyStale, OutOfSight, Undetermined};
        let allowed = match (&verdict.standing, basis) {
            (Standing::Held, _) => false,
            (Standing::Proven(_), _) => true,
            (Standing::Leaning(_), Basis::Proof) => false,
            (Standing::Leaning(leaning), Basis::Yes) => matches!(leaning, LikelyStale | Undetermined),
            (Standing::Leaning(leaning), Basis::Answer) => matches!(leaning, LikelyStale | Undetermined | OutOfSight),
            (Standing::Leaning(LikelyStale | Undetermined | OutOfSight | LikelyHeld), Basis::Named) => true,
        };
        let family_allows = match family.removal {
            Removal::OnWarrant | Removal::AfterRecovery(_) => true,
            Removal::OnProof => verdict.proof(),
            Removal::Never => false,
        };
        let unrestrained = match restraint {
            None => true,
            Some(Restraint::Recovery { .. }) => basis != Basis::Proof,
            Some(Restraint::SelfHealing(_) | Restraint::InUse(_)) => basis == Basis::Named,
        };
        let basis = if verdict.proof() && restraint.is_none() { Basis::Proof } else { basis };
        // Whatever else may keep a lock back, now or in a later release: somebody may be at it.
        let beside_openclaw = !matches!(restraint, None | Some(Restraint::Recovery { .. }));
        let warrant = || Self { basis, verdict: verdict.clone(), beside_openclaw };
        (allowed && family_allows && unrestrained).then(warrant)
    }

    /// Whether an OpenClaw that runs, or may run, could clear or take the lock at this moment.
    #[must_use]
    pub fn is_beside_openclaw(&self) -> bool {
        self.beside_openclaw
    }

    /// Whose word it is.
    #[must_use]
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// Whether it still holds after a new look: same class, same standing.
    #[must_use]
    pub fn still_holds(&self, now: &Verdict) -> bool {
        self.verdict.classification == now.classification && self.verdict.standing == now.standing
    }
}
