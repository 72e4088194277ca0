//! What the docs promise is what the binary does, and every page of them can be found.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod facts;

use openclaw_doctor::family::{FAMILIES, Family, Removal};
use openclaw_doctor::release::spans;
use openclaw_doctor::verdict::Reason;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn doc(name: &str) -> String {
    std::fs::read_to_string(top().join("docs").join(name)).unwrap()
}

fn code(reason: Reason) -> String {
    serde_json::to_value(reason).unwrap().as_str().unwrap().to_owned()
}

/// The rows of the tables under a heading, as cells without their backquotes.
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, after) = text.split_once(heading).unwrap();
    let section = after.split("\n## ").next().unwrap();
    let lines = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    lines.map(|line| line.split(" | ").map(|cell| cell.trim_matches('`').to_owned()).collect()).collect()
}

#[test]
fn every_reason_is_explained_and_no_other() {
    let table = rows(&doc("evidence.md"), "## Reasons");
    let mut documented: Vec<String> = table.into_iter().skip(2).map(|mut row| row.remove(0)).collect();
    let mut known: Vec<String> = Reason::ALL.iter().copied().map(code).collect();
    documented.sort();
    known.sort();
    assert_eq!(documented, known);
}

/// Four columns are a rule, five an exception in one.
#[test]
fn every_line_of_the_design_s_table_ends_in_the_class_that_the_rules_name() {
    let table = rows(&doc("evidence.md"), "## The rules");
    let numbered = || table.iter().filter_map(|row| Some((row[0].parse::<u8>().ok()?, row)));
    let rules: BTreeMap<u8, &str> =
        numbered().filter(|(_, row)| row.len() == 4).map(|(rule, row)| (rule, row[2].as_str())).collect();
    let exceptions: BTreeMap<&str, (u8, &str, &str)> = numbered()
        .filter(|(_, row)| row.len() == 5)
        .map(|(rule, row)| (row[1].as_str(), (rule, row[3].as_str(), row[4].as_str())))
        .collect();
    assert_eq!(rules.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);

    let mut met = BTreeSet::new();
    for case in facts::table::cases() {
        let (class, reason, outcome) = case.expected;
        let reason = code(reason);
        // A reason that takes a proof away leaves the row and its class as they are.
        let exception = exceptions.get_key_value(reason.as_str()).filter(|(_, (rule, ..))| *rule == case.row);
        if let Some((known, exception)) = exception {
            let leaning = outcome.proof_and_leaning().1.unwrap();
            assert_eq!((case.row, class.word(), leaning), *exception, "{reason}: {}", case.evidence);
            met.insert(*known);
        } else {
            assert_eq!(class.word(), rules[&case.row], "row {}, {reason}: {}", case.row, case.evidence);
        }
    }
    assert_eq!(met, exceptions.keys().copied().collect(), "an exception that no case shows");
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A family's section of docs/locks.md, without line breaks.
fn section(page: &str, family: &Family) -> String {
    let heading = format!("\n## {}\n", family.name);
    let sections: Vec<&str> = page.split(&heading).skip(1).collect();
    assert_eq!(sections.len(), 1, "{} wants one section", family.name);
    one_line(sections[0].split("\n## ").next().unwrap())
}

#[test]
fn every_family_s_section_has_the_words_that_explain_prints() {
    let page = doc("locks.md");
    for family in FAMILIES {
        let section = section(&page, family);
        let Family { guards, writer, waiting, judged, harm, .. } = family;
        for words in [guards, writer, waiting, judged, harm] {
            assert!(section.contains(words), "{}: {words}", family.name);
        }
        assert!(section.contains(&format!("OpenClaw {};", spans(family.releases))), "{}: releases", family.name);
        for pattern in family.names {
            assert!(section.contains(&format!("`{pattern}`")), "{}: {pattern}", family.name);
        }
        let repair = match family.removal {
            Removal::OnWarrant => "removed on proof or on word",
            Removal::OnProof => "removed on proof only",
            Removal::AfterRecovery(_) => "left to OpenClaw's recovery, removed on word",
            Removal::Never => "never removed",
        };
        assert!(section.contains(&format!("**Repair:** {repair}")), "{}: {repair}", family.name);
        let heals =
            [family.heals.dead_pid, family.heals.recycled_pid, family.heals.without_pid, family.heals.unwritten];
        let heals = heals.iter().any(|spans| !spans.is_empty());
        assert_eq!(section.contains("`self-healing`"), heals, "{}: self-healing", family.name);
    }
    let listed = page.matches("**Repair:**").count();
    assert_eq!(listed, FAMILIES.len(), "a section of a family that is none");
}

/// What operators search for is the text that they see.
#[test]
fn every_text_of_a_waiting_openclaw_leads_to_its_family() {
    let rows = rows(&doc("locks.md"), "## By what OpenClaw says");
    let mut texts = 0;
    for family in FAMILIES {
        for text in family.waiting.split('“').skip(1).map(|rest| rest.split_once('”').unwrap().0) {
            let row = rows.iter().find(|row| row[0] == text).unwrap_or_else(|| panic!("{}: {text}", family.name));
            assert!(row[1].contains(&format!("[{0}](#{0})", family.name)), "{}: {text}", family.name);
            texts += 1;
        }
    }
    assert!(texts > 20, "{texts}");
}

/// A family without one of them would be an entry that nobody has seen work.
#[test]
fn every_family_has_a_fixture_a_section_and_a_row_of_the_matrix() {
    let page = doc("locks.md");
    let records: Vec<PathBuf> =
        std::fs::read_dir(top().join("fixtures/records")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let in_note = |release: &Path, name: &str| {
        let note: serde_json::Value =
            serde_json::from_slice(&std::fs::read(release.join("note.json")).unwrap()).unwrap();
        note["records"].get(name).is_some()
    };
    for family in FAMILIES {
        let name = family.name;
        let recorded = records.iter().any(|release| release.join(name).is_dir() || in_note(release, name));
        let constructed = top().join("fixtures/constructed").join(name).is_dir();
        assert!(recorded || constructed, "{name} has no fixture");
        assert!(!section(&page, family).is_empty(), "{name} has no section");
        let (file, matrix) = if family.removal == Removal::Never {
            ("never_removed.rs", include_str!("never_removed.rs"))
        } else {
            ("repair_matrix.rs", include_str!("repair_matrix.rs"))
        };
        assert!(matrix.contains(&format!("\"{name}\"")), "tests/{file} does not name {name}");
    }
}

/// The targets of a page's links that stand in this tree.
fn links(page: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(page).unwrap();
    let targets = text.split("](").skip(1).filter_map(|after| after.split([')', '#']).next());
    let local = targets.filter(|target| !target.is_empty() && !target.contains("://"));
    local.filter_map(|target| page.parent().unwrap().join(target).canonicalize().ok()).collect()
}

fn files_below(directory: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { BTreeSet::from([path]) }).collect()
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let top = top().canonicalize().unwrap();
    let mut reached = BTreeSet::new();
    let mut next = vec![top.join("README.md")];
    while let Some(page) = next.pop() {
        if reached.insert(page.clone()) && page.extension().is_some_and(|extension| extension == "md") {
            next.extend(links(&page));
        }
    }
    let pages = files_below(&top.join("docs"));
    assert!(pages.len() > 10, "{pages:?}");
    let lost: Vec<_> = pages.difference(&reached).collect();
    assert!(lost.is_empty(), "no link leads to {lost:?}");
}

#[test]
fn every_module_has_its_layer_in_the_library_s_first_words() {
    let library = include_str!("../src/lib.rs");
    let layers: String = library.lines().filter(|line| line.starts_with("//!")).collect();
    let modules: Vec<&str> =
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(modules.len() > 15, "{modules:?}");
    for module in modules {
        assert!(layers.contains(&format!("[`{module}`]")), "{module} has no layer");
    }
}
