//! The promise of `repair --json`: docs/repair-v1.schema.json says what is in a report, and can say no.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;
use openclaw_doctor::remove::OutcomeKind;
use openclaw_doctor::warrant::Basis;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::LazyLock;
use support::{Answer, DEPS, Living, MIRROR, Stage, dead_pid, doctor, record};

const SCHEMA: &str = include_str!("../docs/repair-v1.schema.json");
/// Every outcome; a new one does not compile until it is named here.
const OUTCOMES: [OutcomeKind; 9] = {
    use OutcomeKind::{AlreadyGone, Busy, Changed, Declined, Failed, HeldBack, NotAttempted, Refused, Removed};
    let all = [Removed, AlreadyGone, Changed, Busy, Refused, Declined, HeldBack, Failed, NotAttempted];
    match all[0] {
        Removed | AlreadyGone | Changed | Busy | Refused | Declined | HeldBack | Failed | NotAttempted => all,
    }
};

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

fn errors(report: &Value) -> Vec<String> {
    static VALIDATOR: LazyLock<jsonschema::Validator> =
        LazyLock::new(|| jsonschema::draft202012::new(&schema()).unwrap());
    VALIDATOR.iter_errors(report).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn repair(args: &[&OsStr]) -> Answer {
    doctor(["repair".as_ref(), "--json".as_ref()].into_iter().chain(args.iter().copied()))
}

/// Checks the report and hands it back.
fn valid(answer: &Answer) -> Value {
    let report = answer.json();
    assert_eq!(errors(&report), Vec::<String>::new(), "{}", answer.out());
    assert_eq!(report["exit_code"], answer.code());
    report
}

/// A tree whose locks meet many ends: removed, refused, held back.
fn many_locks(owner: &Living) -> Stage {
    let stage = Stage::new();
    let records = [
        record(owner.pid(), Some(owner.ticks())),
        record(owner.pid(), Some(owner.ticks() - 7)),
        record(dead_pid(), Some(7)),
        record(owner.pid(), None),
        "{\"pid\":0}".to_owned(),
        "{\"pid\":".to_owned(),
    ];
    for (index, text) in records.iter().enumerate() {
        stage.lock(&format!("openclaw-2026.4.29-{index:012x}"), DEPS, Some(text));
    }
    let bytes = stage.lock("openclaw-2026.4.29-0000000000aa", MIRROR, None);
    let record = format!("{{\"pid\":{},\"starttime\":7,\"host\":\"\u{202e}", dead_pid());
    std::fs::write(bytes.join("owner.json"), [record.as_bytes(), b"\xff\"}"].concat()).unwrap();
    let crowded = stage.lock("openclaw-2026.4.29-0000000000bb", DEPS, Some(&support::record(dead_pid(), Some(7))));
    std::fs::write(crowded.join("notes.txt"), "mine").unwrap();
    stage.lock("openclaw-2026.4.29-0000000000cc", ".other.lock", Some("{}"));
    stage
}

fn words_of(report: &Value, field: &str) -> BTreeSet<String> {
    let locks = report["locks"].as_array().unwrap().iter();
    locks.map(|lock| lock[field].as_str().unwrap_or("null").to_owned()).collect()
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_reader_who_trusts_the_schema_can_read_every_report() {
    let owner = Living::sleep();
    let stage = many_locks(&owner);
    let path = stage.path().as_os_str();
    let plan = valid(&repair(&[path, "--dry-run".as_ref()]));
    assert_eq!(words_of(&plan, "outcome"), set(&["null"]));
    assert_eq!(words_of(&plan, "plan"), set(&["remove", "leave"]));
    let first = valid(&repair(&[path]));
    assert_eq!(words_of(&first, "outcome"), set(&["removed", "refused", "held-back"]));
    assert_eq!(first["exit_code"], 4);
    let bytes = first["locks"].as_array().unwrap().iter().find(|lock| lock["removed_record"]["hex"].is_string());
    assert!(bytes.unwrap()["removed_record"]["hex"].as_str().unwrap().ends_with("ff227d"));
    let second = valid(&repair(&[path, "--yes".as_ref()]));
    assert!(words_of(&second, "consent").is_superset(&set(&["proof", "yes", "null"])), "{second}");
    let named = stage.path().join("openclaw-2026.4.29-000000000004").join(DEPS);
    let named = valid(&repair(&["--yes".as_ref(), "--lock".as_ref(), named.as_os_str()]));
    assert_eq!((words_of(&named, "consent"), words_of(&named, "outcome")), (set(&["named"]), set(&["removed"])));

    let nowhere = stage.path().join("nowhere");
    assert_eq!(valid(&repair(&[nowhere.as_os_str()]))["exit_code"], 3);
    let empty = Stage::new();
    assert_eq!(valid(&repair(&[empty.path().as_os_str(), "--assume-single-writer".as_ref()]))["exit_code"], 0);
    let no_proc = repair(&[path, "--proc".as_ref(), nowhere.as_os_str()]);
    assert_eq!((no_proc.code(), no_proc.out().as_str()), (2, ""));
}

#[test]
fn the_schema_refuses_a_report_that_breaks_its_promise() {
    let owner = Living::sleep();
    let stage = many_locks(&owner);
    let good = valid(&repair(&[stage.path().as_os_str()]));
    let locks = good["locks"].as_array().unwrap();
    let at = |field: &str, word: &str| locks.iter().position(|lock| lock[field] == word).unwrap();
    let (active, gone) = (at("classification", "active"), at("outcome", "removed"));
    let (refused, legacy) = (at("outcome", "refused"), at("classification", "legacy-unverifiable"));
    let lock = |index: usize, field: &str| format!("/locks/{index}/{field}");
    let changes = [
        ("/schema".to_owned(), json!("openclaw-doctor/scan/v1")),
        ("/dry_run".to_owned(), json!(true)),
        ("/dry_run".to_owned(), json!("no")),
        ("/exit_code".to_owned(), json!(2)),
        ("/summary/removed".to_owned(), json!(-1)),
        (lock(gone, "classification"), json!("stale")),
        (lock(gone, "classification"), json!("active")),
        (lock(gone, "plan"), json!("leave")),
        (lock(gone, "plan"), json!("delete")),
        (lock(gone, "plan"), json!("ask")),
        (lock(gone, "consent"), json!("somebody")),
        (lock(gone, "consent"), json!("yes")),
        (lock(gone, "consent"), Value::Null),
        (lock(gone, "outcome"), json!("deleted")),
        (lock(gone, "outcome"), json!("declined")),
        (lock(gone, "outcome"), json!("failed")),
        (lock(gone, "outcome"), Value::Null),
        (lock(gone, "outcome_detail"), json!("")),
        (lock(gone, "removed_record/text"), Value::Null),
        (lock(refused, "outcome"), json!("removed")),
        (lock(legacy, "outcome"), json!("removed")),
        (lock(legacy, "consent"), json!("proof")),
        (lock(legacy, "plan"), json!("remove")),
        (lock(active, "plan"), json!("ask")),
        (lock(active, "plan"), json!("remove")),
        (lock(active, "consent"), json!("named")),
        (lock(active, "outcome"), json!("removed")),
    ];
    for (pointer, value) in changes {
        let mut bad = good.clone();
        *bad.pointer_mut(&pointer).unwrap_or_else(|| panic!("no {pointer}")) = value.clone();
        assert!(!errors(&bad).is_empty(), "{pointer} = {value} was let through");
    }
}

/// Every field that a report has is in the schema, described and required: taking any one away
/// is noticed, and none is written that a reader was not told of.
#[test]
fn no_field_can_vanish_or_appear_unnoticed() {
    let owner = Living::sleep();
    let stage = many_locks(&owner);
    let nowhere = stage.path().join("nowhere");
    let good = valid(&repair(&[stage.path().as_os_str(), nowhere.as_os_str()]));
    let optional = ["path_hex", "raw_hex", "raw_cut_from", "hex"];
    let checked = support::every_field_counts(&good, &optional, errors);
    assert!(checked > 80, "{checked}");
}

fn words(pointer: &str) -> BTreeSet<String> {
    let schema = schema();
    let list = schema.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}")).as_array().unwrap();
    list.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

#[test]
fn no_outcome_or_consent_is_missing_from_the_schema_or_only_there() {
    let outcomes: BTreeSet<String> = OUTCOMES.iter().map(|kind| kind.word().to_owned()).collect();
    assert_eq!(outcomes.len(), OUTCOMES.len());
    assert_eq!(words("/$defs/lock/properties/outcome/enum"), outcomes);
    for kind in OUTCOMES {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.word(), "text and JSON use two words");
        let counter = kind.word().replace('-', "_");
        assert!(words("/$defs/summary/required").contains(&counter), "{counter} is not counted");
    }
    let consents = [Basis::Proof, Basis::Answer, Basis::Yes, Basis::Named];
    let consents = consents.iter().map(|basis| serde_json::to_value(basis).unwrap().as_str().unwrap().to_owned());
    assert_eq!(words("/$defs/lock/properties/consent/enum"), consents.collect());
}

/// A program that reads the locks of a scan reads those of a repair as well.
#[test]
fn the_fields_of_a_scan_mean_the_same_in_a_repair() {
    let scan: Value = serde_json::from_str(include_str!("../docs/scan-v1.schema.json")).unwrap();
    let repair = schema();
    let same = |at: &str, but: &[&str]| {
        let shared = scan.pointer(at).unwrap_or_else(|| panic!("no {at}")).as_object().unwrap();
        assert!(shared.len() > but.len() + 5, "{at}");
        for (name, meaning) in shared.iter().filter(|(name, _)| !but.contains(&name.as_str())) {
            assert_eq!(repair.pointer(at).unwrap().get(name), Some(meaning), "{at}/{name}");
        }
    };
    same("/properties", &["schema", "locks", "exit_code"]);
    same("/$defs", &["lock", "summary"]);
    same("/$defs/lock/properties", &[]);
}

#[test]
fn the_printed_schema_is_the_one_in_the_docs() {
    let answer = doctor(["schema", "repair"]);
    assert_eq!((answer.out().as_str(), answer.code()), (SCHEMA, 0));
    jsonschema::meta::validate(&schema()).unwrap();
}
