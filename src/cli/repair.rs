//! `openclaw-doctor repair`.

use super::args::{Common, RepairArgs};
use super::progress::ProgressLine;
use super::style::Look;
use super::table::{count, is_remarkable, write_problem};
use super::{Failure, explain, prompt};
use openclaw_doctor::evidence::ProcSource;
use openclaw_doctor::explain as words;
use openclaw_doctor::plan::{Allowed, Intent};
use openclaw_doctor::quote::{visible, visible_path};
use openclaw_doctor::receipt::{Receipt, Unfit};
use openclaw_doctor::remove::{Outcome, OutcomeKind};
use openclaw_doctor::repair::{Console, Handled, How, Reply, exit_code, repair};
use openclaw_doctor::report::json::write_pretty;
use openclaw_doctor::report::repair_v1::{RepairReport, RepairSummary};
use openclaw_doctor::scan::{JudgedLock, Scan, Session};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Width of the words on the left.
const HEAD: usize = 15;

pub(crate) fn run(args: &RepairArgs, common: &Common) -> Result<u8, Failure> {
    let request = common.request(scope(args));
    let mut session = Session::open(&request);
    if matches!(session.proc_source(), ProcSource::NotProcfs | ProcSource::Unreadable) {
        let proc = common.proc.display();
        return Err(Failure::Usage(format!(
            "{proc} is not a procfs that can be read, so nothing can be proven; repair needs one"
        )));
    }
    let mut receipt = match (&args.receipt, args.dry_run) {
        (Some(path), false) => Some(open_receipt(path)?),
        _ => None,
    };
    let mut line = ProgressLine::new(common.quiet);
    let mut scan = session.scan(&mut |progress| line.show(progress));
    drop(line);
    select(&mut scan, &args.lock)?;

    // From here on a signal ends the run between two locks; before, nothing has been changed.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        openclaw_doctor::sys::signals::catch(signal, &stop)
            .map_err(|error| Failure::Usage(format!("cannot catch signals: {error}")))?;
    }
    let interactive = io::stdin().is_terminal() && io::stderr().is_terminal() && !common.quiet;
    let how =
        How { allowed: Allowed { yes: args.yes, interactive, named: !args.lock.is_empty() }, dry_run: args.dry_run };
    let quiet = common.quiet || args.json;
    let mut console = Terminal {
        look: Look::new(common.color),
        quiet,
        named: how.allowed.named,
        stop: Arc::clone(&stop),
        failed: None,
    };
    let handled = repair(&mut session, &scan, how, receipt.as_mut(), &mut console, &stop);
    let mut out = BufWriter::new(io::stdout().lock());
    let told = match console.failed {
        Some(error) => Err(error),
        None => tell(&mut out, &scan, &handled, args, common).and_then(|()| out.flush()),
    };
    match told {
        // The reader has seen enough; what was done counts all the same.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Untold(error, exit_code(&scan, &handled)))
        }
        _ => Ok(exit_code(&scan, &handled)),
    }
}

fn tell(out: &mut impl Write, scan: &Scan, handled: &[Handled], args: &RepairArgs, common: &Common) -> io::Result<()> {
    match (common.quiet, args.json) {
        (true, _) => Ok(()),
        (false, true) => write_pretty(out, &RepairReport::new(scan, handled, args.dry_run)),
        (false, false) => close(out, scan, handled, args, Look::new(common.color)),
    }
}

/// With `--lock PATH` and no PATHs, only those locks are looked at.
fn scope(args: &RepairArgs) -> Vec<PathBuf> {
    let mut paths = args.paths.clone();
    if paths.is_empty() && args.lock.iter().all(|lock| !is_id(lock)) {
        paths.extend(args.lock.iter().cloned());
    }
    paths
}

fn is_id(selector: &Path) -> bool {
    selector.to_str().is_some_and(explain::is_id) && !selector.exists()
}

fn open_receipt(path: &Path) -> Result<Receipt, Failure> {
    let refused = |why: Unfit| {
        Failure::Receipt(format!("the receipt {} {}; nothing was removed", path.display(), why.sentence()))
    };
    Receipt::open(path).map_err(refused)
}

/// Keeps the locks that `--lock` names; each name must mean exactly one.
fn select(scan: &mut Scan, selectors: &[PathBuf]) -> Result<(), Failure> {
    if selectors.is_empty() {
        return Ok(());
    }
    let mut keep = vec![false; scan.locks.len()];
    for selector in selectors {
        let path = std::path::absolute(selector).unwrap_or_else(|_| selector.clone());
        let matches = |lock: &JudgedLock| {
            if is_id(selector) { selector.to_str() == Some(lock.id.as_str()) } else { lock.path == path }
        };
        let found: Vec<usize> =
            (0..).zip(&scan.locks).filter(|(_, lock)| matches(lock)).map(|(index, _)| index).collect();
        match found.as_slice() {
            [index] => {
                if let Some(slot) = keep.get_mut(*index) {
                    *slot = true;
                }
            }
            [] if !scan.problems.is_empty() => {}
            [] => {
                let selector = selector.display();
                return Err(Failure::Usage(format!(
                    "no lock {selector} was found; `openclaw-doctor scan --json` prints ids and paths"
                )));
            }
            _ => {
                let selector = selector.display();
                return Err(Failure::Usage(format!("{selector} means more than one lock; name it by its path")));
            }
        }
    }
    let mut keep = keep.into_iter();
    scan.locks.retain(|_| keep.next().unwrap_or(false));
    Ok(())
}

/// What is as it should be is not listed, unless it was asked for by name.
fn tells(named: bool, lock: &JudgedLock, scan: &Scan) -> bool {
    named || is_remarkable(lock, scan)
}

struct Terminal {
    look: Look,
    quiet: bool,
    /// `--lock` was given.
    named: bool,
    stop: Arc<AtomicBool>,
    failed: Option<io::Error>,
}

impl Terminal {
    fn say(&mut self, text: &str) {
        if self.quiet || self.failed.is_some() {
            return;
        }
        // A reader that is gone must not stop a removal half way: remembered, told at the end.
        self.failed = writeln!(io::stdout(), "{text}").err();
    }
}

impl Console for Terminal {
    fn plan(&mut self, scan: &Scan, intents: &[Intent]) {
        let named = self.named;
        for (lock, intent) in scan.locks.iter().zip(intents).filter(|(lock, _)| tells(named, lock, scan)) {
            let verdict = verdict(lock, scan);
            let path = visible_path(&lock.path);
            // One line for each lock in a pipe, where lines are counted and searched.
            let text =
                if self.look.width.is_some() { format!("{path}\n{verdict}") } else { format!("{path}  {verdict}") };
            self.say(&self.look.entry(&format!("{:<HEAD$}", intent.word()), &text));
        }
    }

    fn ask(&mut self, lock: &JudgedLock, scan: &Scan) -> Reply {
        let evidence = format!("{}\n{}", visible_path(&lock.path), verdict(lock, scan));
        let question = format!("\n{}\nRemove it?", self.look.entry("  ", &evidence));
        let look = self.look;
        prompt::ask(&question, &self.stop, &mut |out| explain::write(out, lock, scan, look))
    }

    fn outcome(&mut self, lock: &JudgedLock, outcome: &Outcome) {
        let detail = if outcome.detail.is_empty() { String::new() } else { format!(": {}", visible(&outcome.detail)) };
        let text = format!("{}{detail}", visible_path(&lock.path));
        self.say(&self.look.entry(&format!("{:<HEAD$}", outcome.kind.word()), &text));
    }
}

fn verdict(lock: &JudgedLock, scan: &Scan) -> String {
    let standing = lock.verdict.leaning().map(|leaning| format!(", {}", leaning.word())).unwrap_or_default();
    let why = visible(&words::sentence(&lock.facts, &lock.verdict, &scan.view));
    format!("{}{standing}: {why}", lock.verdict.classification.word())
}

/// What is left, why, and the next command for each; then one line of counts.
fn close(out: &mut impl Write, scan: &Scan, handled: &[Handled], args: &RepairArgs, look: Look) -> io::Result<()> {
    for problem in &scan.problems {
        write_problem(out, problem, look)?;
    }
    if !args.dry_run {
        let named = !args.lock.is_empty();
        let left =
            scan.locks.iter().zip(handled).filter(|(lock, handled)| !handled.is_gone() && tells(named, lock, scan));
        for (lock, handled) in left {
            let stuck = matches!(handled.kind(), Some(OutcomeKind::Failed | OutcomeKind::Refused));
            let first = if stuck { "once the cause above is removed: " } else { "" };
            let next = look.advice(first, &lock.advice(&scan.view), HEAD);
            let next: Vec<String> = next.split('\n').map(visible).collect();
            let text = format!("{}\n{}", visible_path(&lock.path), next.join("\n"));
            writeln!(out, "{}", look.entry(&format!("{:<HEAD$}", "left"), &text))?;
        }
    }
    let summary = RepairSummary::of(scan, handled);
    let ends = [
        (summary.removed, "removed"),
        (summary.already_gone, "already gone"),
        (summary.changed, "changed"),
        (summary.busy, "busy"),
        (summary.refused, "refused"),
        (summary.declined, "declined"),
        (summary.held_back, "held back"),
        (summary.failed, "failed"),
        (summary.not_attempted, "not attempted"),
    ];
    let ends: Vec<String> =
        ends.iter().filter(|(number, _)| *number > 0).map(|(number, end)| format!("{number} {end}")).collect();
    let healthy = !scan.locks.iter().any(|lock| tells(!args.lock.is_empty(), lock, scan));
    match (scan.locks.is_empty(), args.dry_run) {
        (false, _) if healthy => {
            writeln!(out, "Nothing to repair: {}, each held by its living owner", count(scan.locks.len(), "lock"))
        }
        (true, _) => writeln!(out, "Nothing to repair: no locks in {}", count(scan.roots.len(), "root")),
        (false, true) => {
            let planned = |word| handled.iter().filter(|handled| handled.intent.word() == word).count();
            let (remove, ask, leave) = (planned("remove"), planned("ask"), planned("leave"));
            writeln!(out, "Dry run, nothing was changed: would remove {remove}, ask about {ask}, leave {leave}")
        }
        (false, false) => writeln!(out, "{}: {}", count(summary.locks, "lock"), ends.join(", ")),
    }
}
