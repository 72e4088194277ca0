//! The promise of `scan --json`: docs/scan-v1.schema.json says what is in a report, and can say no.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;
use openclaw_doctor::verdict::{Classification, Reason};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use support::machine::moved_to_own_machine;
use support::{Answer, DEPS, Living, MIRROR, Stage, dead_pid, doctor, record};

const SCHEMA: &str = include_str!("../docs/scan-v1.schema.json");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

fn errors(report: &Value) -> Vec<String> {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    validator.iter_errors(report).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn scan(args: &[&std::ffi::OsStr]) -> Answer {
    doctor(["scan".as_ref(), "--json".as_ref()].into_iter().chain(args.iter().copied()))
}

/// Checks the report and hands it back.
fn valid(answer: &Answer) -> Value {
    let report = answer.json();
    assert_eq!(errors(&report), Vec::<String>::new(), "{}", answer.out());
    report
}

/// A tree with every class, broken and hostile records, and a look-alike.
fn many_locks(owner: &Living) -> Stage {
    let stage = Stage::new();
    let records = [
        record(owner.pid(), Some(owner.ticks())),
        record(owner.pid(), Some(owner.ticks() - 7)),
        record(dead_pid(), Some(7)),
        record(owner.pid(), None),
        record(1, None),
        String::new(),
        "{\"pid\":".to_owned(),
        "not json\0\u{1b}[31m\u{202e}".to_owned(),
        "{}".to_owned(),
        "{\"createdAtMs\":9223372036854775807}".to_owned(),
        "[]".to_owned(),
        "{\"pid\":0}".to_owned(),
        "{\"pid\":1099511627776}".to_owned(),
        format!("{{\"pid\":{},\"starttime\":18446744073709551615}}", owner.pid()),
        format!("{{\"pad\":\"{}\"}}", "ö".repeat(4096)),
    ];
    for (index, text) in records.iter().enumerate() {
        stage.lock(&format!("openclaw-2026.4.29-{index:012x}"), DEPS, Some(text));
    }
    stage.lock("openclaw-2026.4.29-00000000000f", MIRROR, None);
    let bytes = stage.lock("bytes", DEPS, None);
    std::fs::write(bytes.join("owner.json"), b"{\"pid\":7,\"host\":\"\xff\"}").unwrap();
    let link = stage.path().join("link");
    std::fs::create_dir(&link).unwrap();
    std::os::unix::fs::symlink("/nowhere", link.join(DEPS)).unwrap();
    stage.lock("openclaw-2026.4.29-000000000010", ".other.lock", Some("{}"));
    let odd = stage.path().join(std::ffi::OsStr::from_bytes(b"openclaw-\xff\n")).join(DEPS);
    std::fs::create_dir_all(odd).unwrap();
    stage
}

#[test]
fn a_reader_who_trusts_the_schema_can_read_every_report() {
    if moved_to_own_machine() {
        return;
    }
    let owner = Living::sleep();
    let stage = many_locks(&owner);
    let path = stage.path().as_os_str();
    let report = valid(&scan(&[path]));
    let seen = |field: &str| -> BTreeSet<String> {
        let locks = report["locks"].as_array().unwrap().iter();
        locks.map(|lock| lock[field].as_str().unwrap_or("null").to_owned()).collect()
    };
    let all: BTreeSet<String> = Classification::ALL.iter().map(|class| class.word().to_owned()).collect();
    assert_eq!(seen("classification"), all);
    assert!(seen("reason").len() >= 12, "{:?}", seen("reason"));
    assert_eq!(report["look_alikes"].as_array().unwrap().len(), 1);

    let empty = Stage::new();
    let nowhere = empty.path().join("nowhere");
    valid(&scan(&[empty.path().as_os_str()]));
    assert_eq!(valid(&scan(&[path, nowhere.as_os_str()]))["exit_code"], 3);
    valid(&scan(&[path, "--assume-single-writer".as_ref()]));
    let no_proc = valid(&scan(&[path, "--proc".as_ref(), nowhere.as_os_str()]));
    assert_eq!(no_proc["host"]["proc_source"], "unreadable");
    let not_proc = valid(&scan(&[path, "--proc".as_ref(), empty.path().as_os_str()]));
    assert_eq!(not_proc["host"]["proc_source"], "not-procfs");
    valid(&scan(&[]));
}

#[test]
fn the_schema_refuses_a_report_that_breaks_its_promise() {
    let owner = Living::sleep();
    let stage = many_locks(&owner);
    let good = valid(&scan(&[stage.path().as_os_str()]));
    let locks = good["locks"].as_array().unwrap();
    let at = |class: &str| locks.iter().position(|lock| lock["classification"] == class).unwrap();
    let (active, dead, legacy) = (at("active"), at("stale-dead-pid"), at("legacy-unverifiable"));
    let lock = |index: usize, field: &str| format!("/locks/{index}/{field}");
    let carrier = locks.iter().position(|lock| !lock["sightings"].as_array().unwrap().is_empty()).unwrap();
    let changes = [
        ("/schema".to_owned(), json!("openclaw-doctor/scan/v2")),
        ("/host/vantage".to_owned(), json!("everywhere")),
        ("/host/proc_source".to_owned(), json!("mine")),
        ("/roots/0/kind".to_owned(), json!("home")),
        ("/exit_code".to_owned(), json!(2)),
        ("/summary/locks".to_owned(), json!(-1)),
        (lock(dead, "classification"), json!("stale")),
        (lock(dead, "reason"), json!("because")),
        (lock(dead, "id"), json!("0123")),
        (lock(legacy, "leaning"), json!("maybe")),
        (lock(legacy, "leaning"), Value::Null),
        (lock(legacy, "proof"), json!(true)),
        (lock(active, "proof"), json!(true)),
        (lock(active, "leaning"), json!("likely-held")),
        (lock(dead, "owner/pid"), json!("7")),
        (lock(dead, "owner/start_ticks"), json!(1.5)),
        (lock(dead, "evidence/rule"), json!(9)),
        (lock(dead, "form"), json!("fifo")),
        (lock(dead, "left_to_openclaw"), json!({"reason": "laziness", "why": "x"})),
        (lock(dead, "times/held_for_ms"), json!("a while")),
        (lock(carrier, "sightings/0/life"), json!("zombie")),
        (lock(carrier, "sightings/0/role"), json!("gateway")),
        (lock(carrier, "sightings/0/time_namespace"), json!("other")),
        (lock(carrier, "sightings/0/state"), json!("SS")),
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
    let good = valid(&scan(&[stage.path().as_os_str()]));
    let optional = ["path_hex", "raw_hex", "raw_cut_from"];
    let checked = support::every_field_counts(&good, &optional, errors);
    assert!(checked > 60, "{checked}");
}

fn words(pointer: &str) -> BTreeSet<String> {
    let schema = schema();
    let list = schema.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}")).as_array().unwrap().clone();
    list.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

#[test]
fn no_reason_or_class_is_missing_from_the_schema_or_only_there() {
    let reasons = Reason::ALL.iter().map(|reason| serde_json::to_value(reason).unwrap());
    let reasons: BTreeSet<String> = reasons.map(|word| word.as_str().unwrap().to_owned()).collect();
    assert_eq!(words("/$defs/reason/enum"), reasons);
    let classes: BTreeSet<String> = Classification::ALL.iter().map(|class| class.word().to_owned()).collect();
    assert_eq!(words("/$defs/lock/properties/classification/enum"), classes);
}

#[test]
fn the_other_closed_lists_are_those_of_the_code() {
    use openclaw_doctor::discover::RootKind;
    use openclaw_doctor::evidence::{Life, ProcSource, Role, TimeNamespace, Vantage};
    use openclaw_doctor::family::Form;
    use openclaw_doctor::verdict::Leaning;
    fn of<T: serde::Serialize>(values: &[T]) -> BTreeSet<String> {
        values.iter().map(|value| serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()).collect()
    }
    let vantages = of(&[Vantage::Host, Vantage::Namespace, Vantage::Restricted]);
    assert_eq!(words("/$defs/vantage/enum"), vantages);
    let sources = of(&[ProcSource::Own, ProcSource::Foreign, ProcSource::NotProcfs, ProcSource::Unreadable]);
    assert_eq!(words("/$defs/host/properties/proc_source/enum"), sources);
    let kinds = [RootKind::Path, RootKind::Stage, RootKind::Package, RootKind::State, RootKind::Temp, RootKind::Config];
    assert_eq!(words("/$defs/root/properties/kind/enum"), of(&kinds));
    let forms = [Form::Directory { record: "" }, Form::EmptyDirectory, Form::File, Form::KernelLock];
    let forms: BTreeSet<String> = forms.iter().map(|form| form.word().to_owned()).collect();
    assert_eq!(words("/$defs/lock/properties/form/enum"), forms);
    let leanings = of(&[Leaning::LikelyStale, Leaning::Undetermined, Leaning::OutOfSight, Leaning::LikelyHeld]);
    assert_eq!(words("/$defs/lock/properties/leaning/enum"), leanings);
    let sighting = |field: &str| words(&format!("/$defs/sighting/properties/{field}/enum"));
    assert_eq!(sighting("life"), of(&[Life::Alive, Life::Dead, Life::Unknown]));
    assert_eq!(sighting("role"), of(&[Role::OpenClaw, Role::JavaScript, Role::Other, Role::Unreadable]));
    let clocks = of(&[TimeNamespace::Initial, TimeNamespace::Shifted, TimeNamespace::Unknown]);
    assert_eq!(sighting("time_namespace"), clocks);
}

#[test]
fn the_printed_schema_is_the_one_in_the_docs() {
    let answer = doctor(["schema"]);
    assert_eq!((answer.out().as_str(), answer.code()), (SCHEMA, 0));
    jsonschema::meta::validate(&schema()).unwrap();
}
