//! The promise of `repair --receipt`: docs/receipt-v1.schema.json says what is in a line, and can say no.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::disallowed_methods)]

mod support;
use openclaw_doctor::receipt::RECEIPT_SCHEMA;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::LazyLock;
use support::{DEPS, Living, MIRROR, Stage, dead_pid, doctor, record};

const SCHEMA: &str = include_str!("../docs/receipt-v1.schema.json");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

fn errors(line: &Value) -> Vec<String> {
    static VALIDATOR: LazyLock<jsonschema::Validator> =
        LazyLock::new(|| jsonschema::draft202012::new(&schema()).unwrap());
    VALIDATOR.iter_errors(line).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// The lines of a receipt of three repairs: of what is proven, of what `--yes` takes, and of a
/// lock that is named. The flag makes it a proof also where the tests run in a container.
fn receipt(owner: &Living) -> Vec<Value> {
    let stage = Stage::new();
    let lock = |name: &str, family: &str, record: Option<&str>| {
        stage.lock(&format!("stage/openclaw-2026.4.29-{name}"), family, record)
    };
    let dead = record(dead_pid(), Some(7));
    lock("000000000001", DEPS, Some(&dead));
    lock("000000000002", MIRROR, Some(&record(owner.pid(), Some(owner.ticks() - 7))));
    let crowded = lock("000000000003", DEPS, Some(&dead));
    std::fs::write(crowded.join("notes.txt"), "mine").unwrap();
    let bytes = lock("000000000004", DEPS, None);
    std::fs::write(
        bytes.join("owner.json"),
        [dead.trim_end().trim_end_matches('}').as_bytes(), b",\"x\":\"\xff\"}"].concat(),
    )
    .unwrap();
    lock("000000000005", DEPS, Some(&record(owner.pid(), None)));
    let hostile = lock("000000000006", DEPS, Some("{\"pid\":0}"));
    let odd = stage.path().join(OsString::from_vec(b"stage/openclaw-2026.4.29-\xff".to_vec())).join(DEPS);
    std::fs::create_dir_all(&odd).unwrap();
    std::fs::write(odd.join("owner.json"), &dead).unwrap();

    let (root, file): (PathBuf, PathBuf) = (stage.path().join("stage"), stage.path().join("receipt"));
    let more: [Vec<&OsStr>; 3] = [
        vec![root.as_os_str()],
        vec![root.as_os_str(), "--yes".as_ref()],
        vec!["--yes".as_ref(), "--lock".as_ref(), hostile.as_os_str()],
    ];
    for more in more {
        let mut args: Vec<&OsStr> = vec!["repair".as_ref(), "--assume-single-writer".as_ref()];
        args.extend(["--receipt".as_ref(), file.as_os_str()].into_iter().chain(more));
        doctor(args);
    }
    std::fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn find<'a>(lines: &'a [Value], field: &str, word: &str) -> &'a Value {
    lines.iter().find(|line| line[field] == word).unwrap_or_else(|| panic!("no {field} {word} in {lines:#?}"))
}

#[test]
fn a_reader_who_trusts_the_schema_can_read_every_line() {
    let owner = Living::sleep();
    let lines = receipt(&owner);
    for line in &lines {
        assert_eq!(errors(line), Vec::<String>::new(), "{line:#}");
    }
    for consent in ["proof", "yes", "named"] {
        find(&lines, "consent", consent);
    }
    find(&lines, "outcome", "removed");
    find(&lines, "outcome", "refused");
    for field in ["record_hex", "path_hex"] {
        assert!(lines.iter().any(|line| line[field].is_string()), "no line has {field}");
    }
}

#[test]
fn the_schema_refuses_a_line_that_breaks_its_promise() {
    let owner = Living::sleep();
    let lines = receipt(&owner);
    let intent = find(&lines, "consent", "proof");
    let outcome = find(&lines, "outcome", "refused");
    let legacy = find(&lines, "classification", "legacy-unverifiable");
    let changes = [
        (intent, "schema", json!("openclaw-doctor/scan/v1")),
        (intent, "event", json!("outcome")),
        (intent, "event", json!("removal")),
        (intent, "at_ms", json!("now")),
        (intent, "id", json!("0123456789AB")),
        (intent, "path", json!("")),
        (intent, "path_hex", json!("f")),
        (intent, "family", json!("Runtime deps")),
        (intent, "classification", json!("active")),
        (intent, "classification", json!("legacy-unverifiable")),
        (intent, "reason", json!("old")),
        (intent, "consent", json!("nobody")),
        (intent, "consent", Value::Null),
        (intent, "device", json!(2049)),
        (intent, "inode", json!(-1)),
        (intent, "record", json!("")),
        (intent, "record_hex", json!("xx")),
        (intent, "outcome", json!("removed")),
        (legacy, "consent", json!("proof")),
        (outcome, "event", json!("intent")),
        (outcome, "outcome", json!("deleted")),
        (outcome, "outcome", json!("declined")),
        (outcome, "detail", Value::Null),
        (outcome, "record", json!("{}")),
    ];
    for (good, field, value) in changes {
        let mut bad = good.clone();
        bad[field] = value.clone();
        assert!(!errors(&bad).is_empty(), "{field} = {value} was let through");
    }
    assert!(!errors(&json!("{}")).is_empty());
}

/// Every field that a line has is described and, but for the bytes that are no text, required.
#[test]
fn no_field_can_vanish_or_appear_unnoticed() {
    let owner = Living::sleep();
    let lines = receipt(&owner);
    let schema = schema();
    for line in &lines {
        let own = schema["$defs"][line["event"].as_str().unwrap()]["properties"].as_object().unwrap();
        for field in line.as_object().unwrap().keys() {
            let described = schema["properties"].get(field).or(own.get(field));
            assert!(described.is_some_and(Value::is_object), "{field} is not in the schema");
            let mut without = line.clone();
            without.as_object_mut().unwrap().remove(field);
            assert_eq!(errors(&without).is_empty(), field.ends_with("_hex"), "{field} taken away");
        }
    }
}

#[test]
fn its_words_are_those_of_the_reports() {
    let schema = schema();
    jsonschema::meta::validate(&schema).unwrap();
    assert_eq!(schema["properties"]["schema"]["const"], RECEIPT_SCHEMA);
    let repair: Value = serde_json::from_str(include_str!("../docs/repair-v1.schema.json")).unwrap();
    let lock = &repair["$defs"]["lock"]["properties"];
    let words = |value: &Value| -> BTreeSet<String> {
        value["enum"].as_array().unwrap().iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let (intent, outcome) = (&schema["$defs"]["intent"]["properties"], &schema["$defs"]["outcome"]["properties"]);
    assert_eq!(schema["$defs"]["reason"], repair["$defs"]["reason"]);
    assert_eq!(schema["$defs"]["hex"], repair["$defs"]["hex"]);
    assert_eq!(words(&intent["consent"]), words(&lock["consent"]));
    assert!(words(&lock["classification"]).is_superset(&words(&intent["classification"])));
    assert!(words(&lock["outcome"]).is_superset(&words(&outcome["outcome"])));
}
