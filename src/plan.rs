//! What a repair would do with each lock, before anything is done. Pure.
//!
//! In: a scan and what the operator allowed. Out: one [`Intent`] per lock in scope.

use crate::family::{Family, Removal};
use crate::scan::Scan;
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
}

/// Decides for one lock of this family and verdict (docs/removal.md has the table).
#[must_use]
pub fn intent(family: &Family, verdict: &Verdict, allowed: Allowed) -> Intent {
    let given = match (allowed.yes, allowed.named) {
        (true, true) => Basis::Named,
        (true, false) => Basis::Yes,
        (false, _) => Basis::Proof,
    };
    if let Some(warrant) = Warrant::new(family, verdict, given) {
        return Intent::Remove(warrant);
    }
    let answer = if allowed.named { Basis::Named } else { Basis::Answer };
    match &verdict.standing {
        Standing::Held => Intent::Leave(Left::Active),
        // A proof is a warrant on any basis, but for such a family.
        Standing::Leaning(leaning) if family.removal != Removal::Never => {
            let askable = Warrant::new(family, verdict, answer).is_some();
            if allowed.interactive && !allowed.yes && askable {
                Intent::Ask(answer)
            } else {
                Intent::Leave(Left::NeedsWord(*leaning))
            }
        }
        Standing::Proven(_) | Standing::Leaning(_) => Intent::Leave(Left::NeverRemoved),
    }
}

/// Decides for every lock of a scan, in its order.
#[must_use]
pub fn plan(scan: &Scan, allowed: Allowed) -> Vec<Intent> {
    scan.locks.iter().map(|lock| intent(lock.found.family, &lock.verdict, allowed)).collect()
}
