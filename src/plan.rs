//! What a repair would do with each lock, before anything is done. Pure.
//!
//! In: a scan and what the operator allowed. Out: one [`Intent`] per lock in scope.

use crate::scan::{JudgedLock, Scan};
use crate::verdict::{Leaning, Standing};
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

/// Decides for one lock, by the table of DESIGN section 4.
#[must_use]
pub fn intent(lock: &JudgedLock, allowed: Allowed) -> Intent {
    let (family, verdict) = (lock.found.family, &lock.verdict);
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
        Standing::Proven(_) => Intent::Leave(Left::NeverRemoved),
        Standing::Leaning(leaning) => {
            let askable = Warrant::new(family, verdict, answer).is_some();
            if allowed.interactive && !allowed.yes && askable {
                Intent::Ask(answer)
            } else {
                Intent::Leave(Left::NeedsWord(*leaning))
            }
        }
    }
}

/// Decides for every lock of a scan, in its order.
#[must_use]
pub fn plan(scan: &Scan, allowed: Allowed) -> Vec<Intent> {
    scan.locks.iter().map(|lock| intent(lock, allowed)).collect()
}
