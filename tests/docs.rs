//! What the docs promise is what the binary does.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

use openclaw_doctor::verdict::Reason;
use std::path::Path;

fn doc(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

#[test]
fn every_reason_is_explained_and_no_other() {
    let text = doc("evidence.md");
    let (_, after) = text.split_once("## Reasons").unwrap();
    let (table, _) = after.split_once("\n## ").unwrap();
    let mut documented: Vec<String> =
        table.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect();
    let code = |reason: &Reason| serde_json::to_value(reason).unwrap().as_str().unwrap().to_owned();
    let mut known: Vec<String> = Reason::ALL.iter().map(code).collect();
    documented.sort();
    known.sort();
    assert_eq!(documented, known);
}
