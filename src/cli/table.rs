//! The answer of a scan for people: one line if all is well, else a table that fits the
//! terminal, one line of counts, one line with the next command.
//!
//! All foreign text passes [`visible`] here, on its way out.

use super::style::Look;
use comfy_table::{Cell, ContentArrangement, Table, presets};
use openclaw_doctor::discover::{Idle, RootKind, RootReport};
use openclaw_doctor::evidence::{Candidate, Life, Vantage};
use openclaw_doctor::explain;
use openclaw_doctor::family::Removal;
use openclaw_doctor::problem::Problem;
use openclaw_doctor::quote::{shell_word, visible, visible_path};
use openclaw_doctor::report::v1::Summary;
use openclaw_doctor::restraint::Restraint;
use openclaw_doctor::scan::{JudgedLock, Scan};
use openclaw_doctor::verdict::{Classification, Leaning, Reason};
use openclaw_doctor::warrant::{Basis, Warrant};
use openclaw_doctor::words;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

/// Below this width the columns would be too narrow to read.
const WIDE: u16 = 110;

pub(crate) fn write(out: &mut impl Write, scan: &Scan, look: Look, verbose: bool) -> io::Result<()> {
    let summary = Summary::of(scan);
    let remarkable = |lock: &JudgedLock| is_remarkable(lock, scan);
    let healthy = summary.problems == 0 && summary.look_alikes == 0 && !scan.locks.iter().any(remarkable);
    if healthy && !verbose {
        writeln!(out, "{}", look.prose(&healthy_line(scan, &summary), 2))?;
        write_holders(out, scan, look)?;
        return write_not_looked_at(out, scan, look);
    }
    for line in halted(scan) {
        writeln!(out, "{}", look.prose(&line, 2))?;
    }
    for (place, locks) in groups(scan) {
        write_group(out, place, &locks, scan, look)?;
        writeln!(out, "{}", table(place, &locks, scan, look))?;
    }
    if verbose {
        let with_locks: BTreeSet<usize> = scan.locks.iter().map(|lock| lock.found.root).collect();
        for (_, root) in scan.roots.iter().enumerate().filter(|(index, _)| !with_locks.contains(index)) {
            write_place(out, &root.path, &about(root), look)?;
        }
        for idle in &scan.idle {
            writeln!(out, "{}", look.prose(&idle_line(idle), 2))?;
        }
        for spec in &scan.absent {
            writeln!(out, "{}", look.dim(&format!("absent: {} ({})", visible_path(&spec.path), spec.origin)))?;
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
    write_not_looked_at(out, scan, look)?;
    if scan.view.vantage != Vantage::Host && (verbose || !scan.locks.is_empty()) {
        let lift = scan.view.seen.lift().map(|lift| format!("; {lift}")).unwrap_or_default();
        let seen = format!("Seen from: {}: {}{}", scan.view.vantage.word(), visible(&scan.view.seen.sentence()), lift);
        writeln!(out, "{}", look.prose(&seen, 2))?;
    }
    if scan.locks.is_empty() {
        writeln!(out, "{}", look.prose(&healthy_line(scan, &summary), 2))?;
    } else {
        writeln!(out, "{}", look.prose(&counts(scan, &summary), 2))?;
    }
    match next_step(scan) {
        Some(step) => writeln!(out, "Next: {step}"),
        None => Ok(()),
    }
}

/// The locks by the state dir that they belong to, else by the root below which they were found.
fn groups(scan: &Scan) -> BTreeMap<&Path, Vec<&JudgedLock>> {
    let mut groups: BTreeMap<&Path, Vec<&JudgedLock>> = BTreeMap::new();
    for lock in &scan.locks {
        let root = scan.roots.get(lock.found.root).map(|root| root.path.as_path());
        let place = lock.state_dir.as_deref().or(root).unwrap_or(Path::new("/"));
        groups.entry(place).or_default().push(lock);
    }
    groups
}

/// The place, and the roots by which its locks were found.
fn write_group(out: &mut impl Write, place: &Path, locks: &[&JudgedLock], scan: &Scan, look: Look) -> io::Result<()> {
    let mut roots: Vec<usize> = locks.iter().map(|lock| lock.found.root).collect();
    roots.sort_unstable();
    roots.dedup();
    let mut abouts: Vec<String> = roots.iter().filter_map(|root| scan.roots.get(*root)).map(about).collect();
    abouts.dedup();
    write_place(out, place, &abouts.join(" "), look)
}

pub(crate) fn idle_line(idle: &Idle) -> String {
    format!("{}: the file of a kernel lock, which nobody holds; it stays on purpose", visible_path(&idle.path))
}

fn write_place(out: &mut impl Write, path: &Path, about: &str, look: Look) -> io::Result<()> {
    let path = visible_path(path);
    let fits = look.width.is_none_or(|width| path.chars().count() + 2 + about.chars().count() <= usize::from(width));
    let gap = if fits { "  " } else { "\n  " };
    writeln!(out, "{}{gap}{}", look.bold(&path), look.dim(about))
}

pub(crate) fn write_problem(out: &mut impl Write, problem: &Problem, look: Look) -> io::Result<()> {
    let (path, cause, next) = (visible_path(&problem.path), visible(&problem.cause()), problem.next_step());
    writeln!(out, "{}", look.prose(&format!("Problem: {path}: {cause}; {next}"), 2))
}

/// Whose places were not looked at.
pub(crate) fn write_not_looked_at(out: &mut impl Write, scan: &Scan, look: Look) -> io::Result<()> {
    match words::not_looked_at(&scan.not_looked_at) {
        Some(line) => writeln!(out, "{}", look.prose(&visible(&line), 2)),
        None => Ok(()),
    }
}

/// Whether there is more to say of a lock than that its owner lives.
pub(crate) fn is_remarkable(lock: &JudgedLock, scan: &Scan) -> bool {
    lock.verdict.classification != Classification::Active
        || long_held(lock, scan)
        || explain::halted(&lock.facts, &lock.verdict).is_some()
}

/// One line for each owner that lives and cannot run: no waiting helps there.
fn halted(scan: &Scan) -> Vec<String> {
    let mut owners: BTreeMap<u32, (&Candidate, Vec<&JudgedLock>)> = BTreeMap::new();
    for lock in &scan.locks {
        if let Some(owner) = explain::halted(&lock.facts, &lock.verdict) {
            owners.entry(owner.pid).or_insert((owner, Vec::new())).1.push(lock);
        }
    }
    let line = |(owner, locks): &(&Candidate, Vec<&JudgedLock>)| {
        let first = locks.first().and_then(|lock| lock.path.file_name()).unwrap_or_default();
        let more = match locks.len() {
            0 | 1 => String::new(),
            several => format!(" and {} more", several - 1),
        };
        visible(&format!("{} (it has {}{more})", explain::resume(owner), visible_path(Path::new(first))))
    };
    owners.values().map(line).collect()
}

fn long_held(lock: &JudgedLock, scan: &Scan) -> bool {
    let overdue_ms = lock.found.family.overdue_ms;
    explain::since(&lock.facts).is_some_and(|since| scan.view.now.since_ms(since) > overdue_ms)
}

/// A line for each process that holds locks: who comes because a start said “already running” looks for it.
fn write_holders(out: &mut impl Write, scan: &Scan, look: Look) -> io::Result<()> {
    let mut holders: BTreeMap<u32, Vec<&JudgedLock>> = BTreeMap::new();
    let active = scan.locks.iter().filter(|lock| lock.verdict.classification == Classification::Active);
    for lock in active {
        if let Some(process) = explain::holder(&lock.facts, &lock.verdict) {
            holders.entry(process.pid).or_default().push(lock);
        }
    }
    for (pid, mut locks) in holders {
        locks.sort_by_key(|lock| explain::since(&lock.facts));
        let Some(first) = locks.first() else { continue };
        let program =
            explain::holder(&first.facts, &first.verdict).and_then(|holder| holder.program.clone()).unwrap_or_default();
        let held = explain::since(&first.facts)
            .map(|since| format!(" for {}", explain::span(scan.view.now.since_ms(since))))
            .unwrap_or_default();
        let name = visible_path(Path::new(first.path.file_name().unwrap_or_default()));
        let more = if locks.len() > 1 { format!(" and {} more", locks.len() - 1) } else { String::new() };
        let line = format!("held by {} (pid {pid}){held}: {name}{more}", visible(&program));
        writeln!(out, "{}", look.prose(&line, 2))?;
    }
    Ok(())
}

fn healthy_line(scan: &Scan, summary: &Summary) -> String {
    let seen = scan.processes.map(|seen| format!("; {} seen", count_processes(seen))).unwrap_or_default();
    // Every machine has these, with OpenClaw or without.
    let everybodys = |root: &&RootReport| matches!(root.spec.kind, RootKind::Temp | RootKind::Config);
    let places =
        match (scan.listed_roots().collect::<Vec<_>>().as_slice(), scan.roots.iter().all(|root| everybodys(&root))) {
            (_, true) if summary.locks == 0 && summary.problems > 0 => {
                return "No locks found, but some may be missed".to_owned();
            }
            (_, true) if summary.locks == 0 => {
                let places = count(scan.absent.len(), "place");
                return format!("Nothing stale: none of the {places} where OpenClaw keeps its locks exists here{seen}");
            }
            ([root], _) => visible_path(&root.path),
            _ => count(scan.listed_roots().count(), "root"),
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

fn table(place: &Path, locks: &[&JudgedLock], scan: &Scan, look: Look) -> String {
    if look.width.is_some_and(|width| width < WIDE) {
        let rows: Vec<String> = locks.iter().map(|lock| row(place, lock, scan, look)).collect();
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
            below(place, lock),
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
fn row(place: &Path, lock: &JudgedLock, scan: &Scan, look: Look) -> String {
    let class = lock.verdict.classification;
    let owner = format!("{}, {}, blocks: {}", owner(lock), age(lock, scan), lock.blocks.parts().0);
    let details = [below(place, lock), owner, why(lock, scan)];
    look.entry(&format!(" {:<19}  ", class.word()), &details).replacen(class.word(), &look.class(class), 1)
}

/// A lock's path below the place of its group. Redacted paths are told apart by their text only.
fn below(place: &Path, lock: &JudgedLock) -> String {
    visible_path(lock.path.strip_prefix(place).unwrap_or(&lock.found.below))
}

fn why(lock: &JudgedLock, scan: &Scan) -> String {
    let left = match (&lock.restraint, lock.found.family.removal) {
        (Some(Restraint::Recovery { .. }), _) => "; left to OpenClaw's next start (recovery)",
        (Some(Restraint::InUse(_)), _) => "; the running OpenClaw may hold it (in-use)",
        (Some(Restraint::SelfHealing(_)), _) => "; left to the running OpenClaw (self-healing)",
        (None, Removal::Never) if lock.verdict.proof() => "; locks of this kind are never removed",
        (None, _) => "",
    };
    let certainty = match (lock.verdict.proof(), lock.verdict.leaning()) {
        (true, _) => "proven: ".to_owned(),
        (false, Some(leaning)) => format!("{}: ", leaning.word()),
        (false, None) => String::new(),
    };
    format!("{certainty}{}{left}", visible(&explain::sentence(&lock.facts, &lock.verdict, &scan.view)))
}

fn age(lock: &JudgedLock, scan: &Scan) -> String {
    explain::since(&lock.facts)
        .map_or_else(|| "unknown".to_owned(), |since| explain::span(scan.view.now.since_ms(since)))
}

pub(crate) fn owner(lock: &JudgedLock) -> String {
    if lock.verdict.reason == Reason::KernelLockHeld {
        let holder = explain::holder(&lock.facts, &lock.verdict).map_or_else(|| "out of sight".to_owned(), process);
        return format!("kernel → {}", visible(&holder));
    }
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

fn counts(scan: &Scan, summary: &Summary) -> String {
    let parts: Vec<String> = Classification::ALL
        .iter()
        .zip([summary.active, summary.stale_dead_pid, summary.stale_recycled_pid, summary.legacy_unverifiable])
        .filter(|(_, number)| *number > 0)
        .map(|(class, number)| format!("{number} {}", class.word()))
        .collect();
    let proven = summary.proven;
    // Else “proven” would promise more than the next command removes.
    let is_left = |lock: &&JudgedLock| lock.verdict.proof() && lock.restraint.is_some();
    let left = match scan.locks.iter().filter(is_left).count() {
        0 => String::new(),
        left => format!(", {left} of them left to OpenClaw"),
    };
    let problems =
        if summary.problems == 0 { String::new() } else { format!("; {}", count(summary.problems, "problem")) };
    format!("{}: {}; {proven} proven stale{left}{problems}", count(summary.locks, "lock"), parts.join(", "))
}

pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn count_processes(number: usize) -> String {
    if number == 1 { "1 process".to_owned() } else { format!("{number} processes") }
}

/// The one command that helps most.
fn next_step(scan: &Scan) -> Option<String> {
    let scope = scan.view.scope.arguments();
    let is_open = |lock: &&JudgedLock| lock.verdict.classification != Classification::Active;
    if !scan.view.source.is_procfs()
        && let Some(lock) = scan.locks.iter().find(is_open)
    {
        return Some(visible(&lock.advice(&scan.view).to_string()));
    }
    let would = |basis| {
        let warranted = |lock: &JudgedLock| {
            Warrant::new(lock.found.family, &lock.verdict, lock.restraint.as_ref(), basis).is_some()
        };
        scan.locks.iter().any(warranted)
    };
    if would(Basis::Proof) {
        return Some(format!("openclaw-doctor repair{scope}"));
    }
    if would(Basis::Yes) {
        return Some(format!("openclaw-doctor repair{scope}  # asks for each; stop the gateway first if you can"));
    }
    let leaning = |wanted| scan.locks.iter().find(|lock| lock.verdict.leaning() == wanted);
    let doubtful = leaning(Some(Leaning::OutOfSight)).or_else(|| leaning(Some(Leaning::LikelyHeld)));
    let doubtful = doubtful.or_else(|| scan.locks.iter().find(is_open));
    if let Some(lock) = doubtful {
        return Some(format!("openclaw-doctor explain{} {}", scan.view.scope.flags(), shell_word(&lock.path)));
    }
    let held = scan.locks.iter().find(|lock| long_held(lock, scan))?;
    Some(visible(&held.advice(&scan.view).to_string()))
}
