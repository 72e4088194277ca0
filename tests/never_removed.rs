//! A family that is never removed stays, whatever the evidence and whatever was asked.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod facts;

use facts::table::cases;
use openclaw_doctor::explain::advice;
use openclaw_doctor::family::{FAMILIES, Family, Removal};
use openclaw_doctor::plan::{Allowed, Intent, Left, intent};
use openclaw_doctor::verdict::Standing;
use openclaw_doctor::warrant::{Basis, Warrant};

fn never() -> &'static Family {
    let known = &FAMILIES[0];
    Box::leak(Box::new(Family {
        name: "kept",
        lock_name: known.lock_name,
        form: known.form,
        parse: known.parse,
        unwritten_grace_ms: known.unwritten_grace_ms,
        anonymous_lease_ms: known.anonymous_lease_ms,
        removal: Removal::Never,
        guards: known.guards,
        releases: known.releases,
        waiting: known.waiting,
        harm: known.harm,
    }))
}

#[test]
fn no_evidence_and_no_word_removes_it() {
    let (family, mut held, mut kept) = (never(), 0, 0);
    for case in cases() {
        let verdict = case.facts.judge();
        for basis in [Basis::Proof, Basis::Answer, Basis::Yes, Basis::Named] {
            assert_eq!(Warrant::new(family, &verdict, basis), None, "{}", case.evidence);
        }
        for bits in 0..8 {
            let allowed = Allowed { yes: bits & 1 > 0, interactive: bits & 2 > 0, named: bits & 4 > 0 };
            let expected = match verdict.standing {
                Standing::Held => {
                    held += 1;
                    Left::Active
                }
                _ => {
                    kept += 1;
                    Left::NeverRemoved
                }
            };
            assert_eq!(intent(family, &verdict, allowed), Intent::Leave(expected), "{}", case.evidence);
        }
        let said = advice(family, &case.facts.lock, &verdict, "/data/lock", &case.facts.view);
        assert_eq!(said.command, None, "{}: {said}", case.evidence);
    }
    assert!(held > 0 && kept > 0);
}
