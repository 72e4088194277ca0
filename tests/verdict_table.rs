//! The design's table of evidence, row by row. The table itself stands in `facts::table`.
#![allow(missing_docs)]

mod facts;

use facts::table::{Outcome, cases, cases_of};
use openclaw_doctor::family::FAMILIES;
use openclaw_doctor::verdict::{Classification, Leaning, Reason};
use std::collections::BTreeSet;

#[test]
fn every_line_of_the_table_comes_to_its_verdict() {
    let mut wrong = Vec::new();
    for family in FAMILIES {
        for case in cases_of(family) {
            let verdict = case.facts.judge();
            let leaning = verdict.leaning().map(|leaning| leaning.word());
            assert_eq!((verdict.proof(), leaning), case.expected.2.proof_and_leaning(), "{}", case.evidence);
            let found = (verdict.classification, verdict.reason, Outcome::from(&verdict));
            if (verdict.row, found) != (case.row, case.expected) {
                let (row, evidence, expected) = (case.row, case.evidence, case.expected);
                wrong.push(format!(
                    "{} row {row}, {evidence}:\n    expected {expected:?}\n    found row {} {found:?}",
                    family.name, verdict.row
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_reason_and_no_row_is_without_a_line() {
    let reasons: BTreeSet<Reason> = cases().iter().map(|case| case.expected.1).collect();
    let missing: Vec<&Reason> = Reason::ALL.iter().filter(|reason| !reasons.contains(reason)).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
    let rows: BTreeSet<u8> = cases().iter().map(|case| case.row).collect();
    assert_eq!(rows, (1..=8).collect());
}

#[test]
fn a_verdict_does_not_depend_on_the_order_of_the_process_table() {
    for case in cases() {
        let mut turned = case.facts.clone();
        turned.lock.candidates.reverse();
        assert_eq!(turned.judge(), case.facts.judge(), "row {}, {}", case.row, case.evidence);
    }
}

/// Scripts and tickets hold these words.
#[test]
fn the_words_of_the_contract_are_the_words_of_the_json() {
    let classes = ["active", "stale-dead-pid", "stale-recycled-pid", "legacy-unverifiable"];
    assert_eq!(Classification::ALL.map(Classification::word), classes);
    for class in Classification::ALL {
        assert_eq!(serde_json::json!(class), class.word());
    }
    let leanings = [Leaning::LikelyStale, Leaning::Undetermined, Leaning::OutOfSight, Leaning::LikelyHeld];
    assert_eq!(leanings.map(Leaning::word), ["likely-stale", "undetermined", "out-of-sight", "likely-held"]);
    for leaning in leanings {
        assert_eq!(serde_json::json!(leaning), leaning.word());
    }
    let codes: BTreeSet<String> = Reason::ALL.iter().map(|reason| serde_json::json!(reason).to_string()).collect();
    assert_eq!(codes.len(), Reason::ALL.len(), "two reasons with one code");
}
