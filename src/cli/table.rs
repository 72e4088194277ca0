//! The answer of a scan for people: one line if all is well, else a table that fits the
//! terminal, one line of counts, one line with the next command.
//!
//! All foreign text passes [`visible`] here, on its way out.

use super::style::Look;
use comfy_table::{Cell, ContentArrangement, Table, presets};
use openclaw_doctor::discover::{Problem, RootReport};
use openclaw_doctor::evidence::{Candidate, Life, Vantage};
use openclaw_doctor::explain::{self, Advice};
use openclaw_doctor::quote::{shell_word, visible, visible_path};
use openclaw_doctor::report::v1::Summary;
use openclaw_doctor::scan::{JudgedLock, Scan};
use openclaw_doctor::verdict::{Classification, Leaning};
use std::io::{self, Write};

/// OpenClaw itself gives up waiting after five minutes: a lock held longer is worth a look.
const LONG_HELD_MS: i64 = 300_000;
/// Below this width the columns would be too narrow to read.
const WIDE: u16 = 110;

pub(crate) fn write(out: &mut impl Write, scan: &Scan, scope: &str, look: Look, verbose: bool) -> io::Result<()> {
    let summary = Summary::of(scan);
    let unremarkable =
        |lock: &JudgedLock| lock.verdict.classification == Classification::Active && !long_held(lock, scan);
    let healthy = summary.problems == 0 && summary.look_alikes == 0 && scan.locks.iter().all(unremarkable);
    if healthy && !verbose {
        return writeln!(out, "{}", look.prose(&healthy_line(scan, &summary), 2));
    }
    for (index, root) in scan.roots.iter().enumerate() {
        let locks: Vec<&JudgedLock> = scan.locks.iter().filter(|lock| lock.found.root == index).collect();
        if locks.is_empty() && !verbose {
            continue;
        }
        write_root(out, root, look)?;
        if !locks.is_empty() {
            writeln!(out, "{}", table(&locks, scan, look))?;
        }
    }
    if verbose {
        for spec in &scan.absent {
            writeln!(
                out,
                "{}",
                look.dim(&format!("absent: {} ({})", visible_path(&spec.path), visible(&spec.origin)))
            )?;
        }
    }
    for look_alike in &scan.look_alikes {
        let path = visible_path(&look_alike.path);
        let what = "looks like a lock, but no OpenClaw release that we know writes it; left alone";
        writeln!(out, "{}", look.prose(&format!("Unknown: {path} {what}"), 2))?;
    }
    for problem in &scan.problems {
        write_problem(out, problem, look)?;
    }
    if scan.view.vantage != Vantage::Host && (verbose || !scan.locks.is_empty()) {
        let lift = scan.view.lift.as_deref().map(|lift| format!("; {lift}")).unwrap_or_default();
        let seen = format!("Seen from: {}: {}{}", scan.view.vantage.word(), visible(&scan.view.why), visible(&lift));
        writeln!(out, "{}", look.prose(&seen, 2))?;
    }
    if scan.locks.is_empty() {
        writeln!(out, "{}", look.prose(&healthy_line(scan, &summary), 2))?;
    } else {
        writeln!(out, "{}", look.prose(&counts(&summary), 2))?;
    }
    match next_step(scan, scope) {
        Some(step) => writeln!(out, "Next: {step}"),
        None => Ok(()),
    }
}

fn write_root(out: &mut impl Write, root: &RootReport, look: Look) -> io::Result<()> {
    let (path, about) = (visible_path(&root.path), about(root));
    let fits = look.width.is_none_or(|width| path.chars().count() + 2 + about.chars().count() <= usize::from(width));
    let gap = if fits { "  " } else { "\n  " };
    writeln!(out, "{}{gap}{}", look.bold(&path), look.dim(&about))
}

pub(crate) fn write_problem(out: &mut impl Write, problem: &Problem, look: Look) -> io::Result<()> {
    let (path, cause, next) = (visible_path(&problem.path), visible(&problem.cause), visible(&problem.next_step));
    writeln!(out, "{}", look.prose(&format!("Problem: {path}: {cause}; {next}"), 2))
}

fn long_held(lock: &JudgedLock, scan: &Scan) -> bool {
    explain::since(&lock.facts).is_some_and(|since| scan.view.now.since_ms(since) > LONG_HELD_MS)
}

fn healthy_line(scan: &Scan, summary: &Summary) -> String {
    let seen = scan.processes.map(|seen| format!("; {} seen", count_processes(seen))).unwrap_or_default();
    let places = match scan.roots.as_slice() {
        [] if summary.problems > 0 => return "No locks found, but some may be missed".to_owned(),
        [] => {
            let places = count(scan.absent.len(), "place");
            return format!("Nothing stale: none of the {places} where OpenClaw keeps its locks exists here{seen}");
        }
        [root] => visible_path(&root.path),
        roots => count(roots.len(), "root"),
    };
    match (summary.locks, summary.problems) {
        (0, 0) => format!("Nothing stale: no locks in {places}{seen}"),
        (0, _) => format!("No locks found in {places}, but some may be missed{seen}"),
        (1, _) => format!("Nothing stale: 1 lock in {places}, held by its living owner{seen}"),
        (active, _) => format!("Nothing stale: {active} locks in {places}, each held by its living owner{seen}"),
    }
}

fn about(root: &RootReport) -> String {
    let filesystem = root.filesystem.map_or_else(|| "not opened".to_owned(), |filesystem| filesystem.name());
    visible(&format!("({}, {filesystem})", root.spec.origin))
}

fn table(locks: &[&JudgedLock], scan: &Scan, look: Look) -> String {
    if look.width.is_some_and(|width| width < WIDE) {
        let rows: Vec<String> = locks.iter().map(|lock| row(lock, scan, look)).collect();
        return rows.join("\n");
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if let Some(width) = look.width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table.set_header(["CLASS", "LOCK", "OWNER", "AGE", "BLOCKS", "WHY"].map(|name| Cell::new(look.bold(name))));
    for lock in locks {
        table.add_row([
            look.class(lock.verdict.classification),
            below(lock),
            owner(lock),
            age(lock, scan),
            lock.blocks.parts().0.to_owned(),
            why(lock, scan),
        ]);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// A lock on a narrow terminal: its class, and the columns below each other beside it.
fn row(lock: &JudgedLock, scan: &Scan, look: Look) -> String {
    let class = lock.verdict.classification;
    let owner = format!("{}, {}, blocks: {}", owner(lock), age(lock, scan), lock.blocks.parts().0);
    let details = format!("{}\n{owner}\n{}", below(lock), why(lock, scan));
    look.entry(&format!(" {:<19}  ", class.word()), &details).replacen(class.word(), &look.class(class), 1)
}

fn below(lock: &JudgedLock) -> String {
    visible_path(&lock.found.below)
}

fn why(lock: &JudgedLock, scan: &Scan) -> String {
    let certainty = match (lock.verdict.proof(), lock.verdict.leaning()) {
        (true, _) => "proven: ".to_owned(),
        (false, Some(leaning)) => format!("{}: ", leaning.word()),
        (false, None) => String::new(),
    };
    format!("{certainty}{}", visible(&explain::sentence(&lock.facts, &lock.verdict, &scan.view)))
}

fn age(lock: &JudgedLock, scan: &Scan) -> String {
    explain::since(&lock.facts)
        .map_or_else(|| "unknown".to_owned(), |since| explain::span(scan.view.now.since_ms(since)))
}

pub(crate) fn owner(lock: &JudgedLock) -> String {
    let Some(owner) = lock.facts.record.owner() else { return "nobody named".to_owned() };
    let alive = lock.facts.candidates.iter().filter(|candidate| candidate.life != Life::Dead).count();
    let carrier = match explain::carrier(&lock.facts) {
        None => "nobody".to_owned(),
        Some(first) if alive > 1 => format!("{} and {} more", process(first), alive - 1),
        Some(one) => process(one),
    };
    format!("{} → {}", owner.pid, visible(&carrier))
}

fn process(candidate: &Candidate) -> String {
    let name = candidate.program.as_deref().unwrap_or("a hidden process");
    let container = candidate.container.as_ref().map(|id| format!(", container {id}")).unwrap_or_default();
    if candidate.pid == candidate.ns_pid && container.is_empty() {
        name.to_owned()
    } else {
        format!("{name} ({} here{container})", candidate.pid)
    }
}

fn counts(summary: &Summary) -> String {
    let parts: Vec<String> = Classification::ALL
        .iter()
        .zip([summary.active, summary.stale_dead_pid, summary.stale_recycled_pid, summary.legacy_unverifiable])
        .filter(|(_, number)| *number > 0)
        .map(|(class, number)| format!("{number} {}", class.word()))
        .collect();
    let proven = summary.proven;
    let problems =
        if summary.problems == 0 { String::new() } else { format!("; {}", count(summary.problems, "problem")) };
    format!("{}: {}; {proven} proven stale{problems}", count(summary.locks, "lock"), parts.join(", "))
}

pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn count_processes(number: usize) -> String {
    if number == 1 { "1 process".to_owned() } else { format!("{number} processes") }
}

/// The one command that helps most; `scope` is what this run was told to look at, as arguments.
fn next_step(scan: &Scan, scope: &str) -> Option<String> {
    let leaning = |wanted| scan.locks.iter().find(|lock| lock.verdict.leaning() == Some(wanted));
    if scan.locks.iter().any(|lock| lock.verdict.proof()) {
        return Some(format!("openclaw-doctor repair{scope}"));
    }
    if leaning(Leaning::LikelyStale).or_else(|| leaning(Leaning::Undetermined)).is_some() {
        return Some(format!("openclaw-doctor repair{scope}  # asks for each; stop the gateway first if you can"));
    }
    let doubtful = leaning(Leaning::OutOfSight).or_else(|| leaning(Leaning::LikelyHeld));
    if let Some(lock) = doubtful {
        return Some(format!("openclaw-doctor explain{} {}", scan.view.carry, shell_word(&lock.path)));
    }
    let held = scan.locks.iter().find(|lock| long_held(lock, scan))?;
    Some(visible(&advice(held, scan).to_string()))
}

pub(crate) fn advice(lock: &JudgedLock, scan: &Scan) -> Advice {
    explain::advice(lock.found.family, &lock.facts, &lock.verdict, &shell_word(&lock.path), &scan.view)
}
