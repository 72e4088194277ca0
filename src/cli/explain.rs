//! `openclaw-doctor explain LOCK`: everything known of one lock, in sentences.

use super::args::{Common, ExplainArgs};
use super::key::{id_of, kept};
use super::scan::with_progress;
use super::style::Look;
use super::table::{idle_line, owner, write_problem};
use super::{Failure, told};
use openclaw_doctor::evidence::{Candidate, Life, Reach, SoleAccess, TimeNamespace, Vantage};
use openclaw_doctor::explain;
use openclaw_doctor::family::Removal;
use openclaw_doctor::quote::visible_path;
use openclaw_doctor::record::Record;
use openclaw_doctor::release::spans;
use openclaw_doctor::report::v1::Summary;
use openclaw_doctor::scan::{JudgedLock, Scan};
use openclaw_doctor::units::EpochMs;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, UNIX_EPOCH};

/// Width of the names on the left.
const HEAD: usize = 10;

pub(crate) fn run(args: &ExplainArgs, common: &Common) -> Result<u8, Failure> {
    let id = args.lock.to_str().filter(|text| is_id(text) && !args.lock.exists());
    let own = id.is_none().then(|| args.lock.clone());
    let paths = own.into_iter().chain(args.paths.iter().cloned()).collect();
    let key = args.redact_key.as_deref().map(kept).transpose()?;
    let mut scan = with_progress(&common.request(paths), common);
    if let Some(id) = id {
        scan.locks.retain(|lock| id_of(lock, key.as_ref()) == id);
        scan.idle.clear();
    }
    if scan.locks.is_empty() && scan.problems.is_empty() && scan.idle.is_empty() {
        return Err(Failure::Usage(format!(
            "no lock {} was found; give the path of a lock, or an id that `openclaw-doctor scan --json` prints without PATHs",
            args.lock.display()
        )));
    }
    if common.quiet {
        return Ok(Summary::of(&scan).exit_code());
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    let written = write_all(&mut out, &scan, args, Look::new(common.color)).and_then(|()| out.flush());
    told(written, Summary::of(&scan).exit_code())
}

fn write_all(out: &mut impl Write, scan: &Scan, args: &ExplainArgs, look: Look) -> io::Result<()> {
    for (index, lock) in scan.locks.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        write(out, lock, scan, look)?;
    }
    for problem in &scan.problems {
        write_problem(out, problem, look)?;
    }
    for idle in &scan.idle {
        writeln!(out, "{}", look.prose(&idle_line(idle), 2))?;
    }
    if scan.locks.is_empty() && scan.idle.is_empty() {
        let lock = visible_path(&args.lock);
        writeln!(out, "No lock {lock} was found, but it may be where this run could not look")?;
    }
    Ok(())
}

pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(crate) fn write(out: &mut dyn Write, lock: &JudgedLock, scan: &Scan, look: Look) -> io::Result<()> {
    let mut lines = |name: &str, lines: &[String]| {
        let head = format!("{name:<HEAD$}");
        let entry = look.entry(&head, lines);
        writeln!(out, "{}{}", look.bold(&head), entry.get(head.len()..).unwrap_or_default())
    };
    let next = look.advice("", &lock.advice(&scan.view), HEAD);
    let mut line = |name: &str, text: &str| lines(name, &[text.to_owned()]);
    let (facts, verdict, family) = (&lock.facts, &lock.verdict, lock.found.family);
    line("Lock", &visible_path(&lock.path))?;
    line("Id", &lock.id)?;
    line(
        "Family",
        &format!("{}, written by OpenClaw {}; it guards {}", family.name, spans(family.releases), family.guards),
    )?;
    line("Made by", family.writer)?;
    let standing = match verdict.leaning() {
        Some(leaning) => format!("not proven, {}", leaning.word()),
        None if !verdict.proof() => "held: never removed".to_owned(),
        None if family.removal == Removal::Never => "proven; a lock of this kind is never removed".to_owned(),
        None if lock.restraint.is_some() => "proven; left to OpenClaw".to_owned(),
        None => "proven: may be removed without asking".to_owned(),
    };
    line("Verdict", &format!("{} ({standing})", verdict.classification.word()))?;
    line("Why", &explain::sentence(facts, verdict, &scan.view))?;
    line("Owner", &owner_sentence(lock, scan))?;
    for candidate in facts.candidates.iter().take(SEEN) {
        line("Seen", &sighting(candidate))?;
    }
    if let Some(more) = facts.candidates.len().checked_sub(SEEN).filter(|more| *more > 0) {
        line("Seen", &format!("{more} more processes with that pid, each in a PID namespace of its own"))?;
    }
    for holder in &facts.kernel_holders {
        line("Locked", &format!("by {}", sighting(holder)))?;
    }
    line("Looked", &format!("{}; {}", scan.view.seen.sentence(), reach(lock, scan)))?;
    let workers: Vec<String> = facts.in_use.by.iter().map(|w| format!("{} (pid {})", w.program, w.pid)).collect();
    if !workers.is_empty() {
        line("In use", &format!("{} works in the directory that the lock guards", workers.join(", ")))?;
    }
    if facts.in_use.unknown > 0 {
        line(
            "In use",
            &format!("the working directories of {} processes of that user cannot be read", facts.in_use.unknown),
        )?;
    }
    let (answer, why) = lock.blocks.parts();
    line("Blocks", &format!("{answer}: {why}"))?;
    if let Some(restraint) = &lock.restraint {
        line("Left", &format!("to OpenClaw: {}", explain::left_to(restraint)))?;
    }
    line("Waiting", family.waiting)?;
    line("Judged", family.judged)?;
    line("If wrong", &format!("after a wrong removal {}", family.harm))?;
    line("Rule", &format!("row {} of docs/evidence.md, {}", verdict.row, reason_code(lock)))?;
    lines("Next", &next)
}

/// How many processes with one pid are shown one by one.
const SEEN: usize = 3;

fn reason_code(lock: &JudgedLock) -> String {
    let code = serde_json::to_value(lock.verdict.reason).ok();
    code.and_then(|code| code.as_str().map(str::to_owned)).unwrap_or_default()
}

fn owner_sentence(lock: &JudgedLock, scan: &Scan) -> String {
    let taken = explain::since(&lock.facts).map_or_else(
        || "at an unknown time".to_owned(),
        |since| {
            let ago = if since > scan.view.now { "" } else { " ago" };
            format!("{}, {}{ago}", when(since), explain::span(scan.view.now.since_ms(since)))
        },
    );
    match lock.facts.record.owner() {
        Some(record) => {
            let ticks = record
                .start_ticks
                .map_or_else(|| "no start time".to_owned(), |ticks| format!("start tick {}", ticks.0));
            format!("pid {}, {ticks}, taken {taken}; now {}", record.pid, owner(lock))
        }
        None if matches!(lock.facts.record, Record::KernelHeld { .. }) => owner(lock),
        None => format!("nobody named; made {taken}"),
    }
}

fn sighting(candidate: &Candidate) -> String {
    let name = candidate.program.as_deref().unwrap_or("a process that cannot be read");
    let life = match candidate.life {
        Life::Alive => "alive",
        Life::Dead => "dead, not yet reaped",
        Life::Unknown => "perhaps alive",
    };
    let ticks: Vec<String> = candidate.start_ticks.iter().map(|ticks| ticks.0.to_string()).collect();
    let ticks = if ticks.is_empty() { "unknown".to_owned() } else { ticks.join(" or ") };
    let since = candidate.started_at.map(|start| format!(", since {}", when(start))).unwrap_or_default();
    let clock = match candidate.time_namespace {
        TimeNamespace::Initial => "",
        TimeNamespace::Shifted => ", in a time namespace of its own",
        TimeNamespace::Unknown => ", time namespace unknown",
    };
    let step = candidate
        .clock_step_ms
        .map(|step| format!(", clock stepped {step} ms since its world began"))
        .unwrap_or_default();
    let halt = candidate.halted.word().map(|word| format!(", {word}")).unwrap_or_default();
    format!(
        "{name}, pid {} here, {} in its namespace, {life} ({}{halt}), start tick {ticks}{since}{clock}{step}",
        candidate.pid, candidate.ns_pid, candidate.state
    )
}

fn reach(lock: &JudgedLock, scan: &Scan) -> String {
    let filesystem =
        lock.found.filesystem.map_or_else(|| "an unknown filesystem".to_owned(), |filesystem| filesystem.name());
    let other = match &lock.facts.reach {
        Reach::ThisKernel => format!("{filesystem} belongs to this kernel alone"),
        Reach::OtherKernelPossible(why) => why.to_string(),
    };
    match (&lock.facts.sole_access, scan.view.vantage) {
        (SoleAccess::OwnLayer, Vantage::Namespace) => format!("{other}; it is this container's own layer"),
        (SoleAccess::OwnSystem, Vantage::Namespace) => format!("{other}; it is this system's own root"),
        (SoleAccess::No(why), Vantage::Namespace) => format!("{other}; {why}"),
        _ => other,
    }
}

fn when(moment: EpochMs) -> String {
    let time = u64::try_from(moment.0).ok().and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
    // RFC 3339 ends with the year 9999, and so does humantime.
    let in_range = time.filter(|_| moment.0 < 253_402_300_800_000);
    in_range.map_or_else(|| format!("{} ms", moment.0), |time| humantime::format_rfc3339_seconds(time).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_twelve_hexadecimal_digits() {
        assert!(is_id("0123456789ab"));
        assert!(!is_id("0123456789a") && !is_id("0123456789ag"));
    }

    #[test]
    fn absurd_times_are_numbers_and_no_panic() {
        assert_eq!(when(EpochMs(0)), "1970-01-01T00:00:00Z");
        for absurd in [i64::MIN, -1, 253_402_300_800_000, i64::MAX] {
            assert!(when(EpochMs(absurd)).ends_with(" ms"));
        }
    }
}
