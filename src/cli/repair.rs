//! `openclaw-doctor repair`.

use super::args::{Common, RepairArgs};
use super::front::{Place, Stop};
use super::key::{id_of, kept};
use super::progress::ProgressLine;
use super::style::Look;
use super::table::{count, is_remarkable, write_not_looked_at, write_problem};
use super::{Failure, explain, prompt, told};
use openclaw_doctor::explain as words;
use openclaw_doctor::plan::{Allowed, Intent};
use openclaw_doctor::quote::visible_path;
use openclaw_doctor::receipt::{Receipt, Unfit};
use openclaw_doctor::redact::Key;
use openclaw_doctor::remove::{Outcome, OutcomeKind};
use openclaw_doctor::repair::{Console, Handled, How, Reply, exit_code, interrupted, repair};
use openclaw_doctor::report::json::write_pretty;
use openclaw_doctor::report::repair_v1::{RepairReport, RepairSummary};
use openclaw_doctor::scan::{JudgedLock, Scan, Session};
use openclaw_doctor::sys::bounded;
use openclaw_doctor::sys::tree::Dir;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Width of the words on the left.
const HEAD: usize = 15;

/// How long the lock at work is waited for after the second signal.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// How often it is asked whether the run is to end.
const LOOK: Duration = Duration::from_millis(50);

/// Repairs on a thread of its own, so that a filesystem without an answer does not hold the run.
pub(crate) fn run(args: &RepairArgs, common: &Common, place: Place) -> Result<u8, Failure> {
    let course = Arc::new(Course::default());
    let (sender, receiver) = channel();
    let work = {
        let (args, common, course) = (args.clone(), common.clone(), Arc::clone(&course));
        // Nobody listens any more once it was left.
        move || drop(sender.send(work(&args, &common, place, &course)))
    };
    std::thread::Builder::new().name("repair".to_owned()).spawn(work)?;
    let done = loop {
        match receiver.recv_timeout(LOOK) {
            Ok(done) => break done?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the repair has ended by itself").into());
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(left) = course.left() {
            break left;
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match done.failed {
        Some(error) => Err(error),
        None => tell_untold(&mut out, &done, args, common)
            .and_then(|()| tell(&mut out, &done.scan, &done.handled, args, common))
            .and_then(|()| out.flush()),
    };
    told(written, exit_code(&done.scan, &done.handled))
}

fn tell_untold(out: &mut impl Write, done: &Done, args: &RepairArgs, common: &Common) -> io::Result<()> {
    if common.quiet || args.json {
        return Ok(());
    }
    let look = Look::new(common.color);
    for index in &done.untold {
        let (lock, handled) = (done.scan.locks.get(*index), done.handled.get(*index));
        if let (Some(lock), Some(outcome)) = (lock, handled.and_then(|handled| handled.outcome.as_ref())) {
            writeln!(out, "{}", outcome_entry(look, lock, outcome))?;
        }
    }
    Ok(())
}

fn outcome_entry(look: Look, lock: &JudgedLock, outcome: &Outcome) -> String {
    let detail = if outcome.detail.is_empty() { String::new() } else { format!(": {}", outcome.detail) };
    let text = format!("{}{detail}", visible_path(&lock.path));
    look.entry(&format!("{:<HEAD$}", outcome.kind.word()), &[text])
}

/// A repair that is over.
struct Done {
    scan: Arc<Scan>,
    handled: Vec<Handled>,
    /// Those of which nothing was told while it went on: it was left.
    untold: Vec<usize>,
    /// Why it could not be told while it went on.
    failed: Option<io::Error>,
}

fn work(args: &RepairArgs, common: &Common, place: Place, course: &Arc<Course>) -> Result<Done, Failure> {
    let request = common.request(scope(args));
    let mut session = Session::open(&request);
    if let Some(why) = session.without_procfs() {
        let lift = why.lift().map(|lift| format!("; {lift}")).unwrap_or_default();
        return Err(Failure::Usage(format!("nothing can be proven, so nothing is removed: {}{lift}", why.sentence())));
    }
    let mut receipt = match (&args.receipt, args.dry_run) {
        (Some(path), false) => Some(open_receipt(path)?),
        _ => None,
    };
    let mut line = ProgressLine::new(common.quiet);
    let mut scan = session.scan(&mut |progress| line.show(progress));
    drop(line);
    let key = args.redact_key.as_deref().map(kept).transpose()?;
    select(&mut scan, &args.lock, key.as_ref())?;
    let scan = Arc::new(scan);

    // From here on a signal ends the run between two locks; before, nothing has been changed.
    let stop = Stop::catch(place).map_err(|error| Failure::Usage(format!("cannot catch signals: {error}")))?;
    let asked = Arc::clone(&stop.asked);
    course.begin(Arc::clone(&scan), stop);
    let interactive = io::stdin().is_terminal() && io::stderr().is_terminal() && !common.quiet;
    let how =
        How { allowed: Allowed { yes: args.yes, interactive, named: !args.lock.is_empty() }, dry_run: args.dry_run };
    let quiet = common.quiet || args.json;
    let (look, named) = (Look::new(common.color), how.allowed.named);
    let mut console =
        Terminal { look, quiet, named, stop: Arc::clone(&asked), course: Arc::clone(course), failed: None };
    let handled = repair(&mut session, &scan, how, receipt.as_mut(), &mut console, &asked);
    Ok(Done { scan, handled, untold: Vec::new(), failed: console.failed })
}

/// How far a repair has come, for the thread that watches over it.
#[derive(Default)]
struct Course {
    state: Mutex<Option<State>>,
}

struct State {
    scan: Arc<Scan>,
    stop: Stop,
    intents: Vec<Intent>,
    outcomes: Vec<Option<Outcome>>,
    /// The lock that had the last outcome.
    last: usize,
    /// When it was asked for its end a second time, or had an outcome after that.
    since: Option<Instant>,
}

impl Course {
    fn begin(&self, scan: Arc<Scan>, stop: Stop) {
        let state = State { scan, stop, intents: Vec::new(), outcomes: Vec::new(), last: 0, since: None };
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.state.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            change(state);
        }
    }

    /// What is told of a repair that was asked twice for its end and does not come to it.
    fn left(&self) -> Option<Done> {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = guard.as_mut().filter(|state| state.stop.is_asked_twice())?;
        if state.since.get_or_insert_with(Instant::now).elapsed() < LAST_WAIT {
            return None;
        }
        let (intents, outcomes) = (std::mem::take(&mut state.intents), std::mem::take(&mut state.outcomes));
        let is_untold = |index: &usize| {
            let leave = intents.get(*index).is_none_or(|intent| matches!(intent, Intent::Leave(_)));
            !leave && outcomes.get(*index).is_some_and(Option::is_none)
        };
        let untold = (0..intents.len()).filter(is_untold).collect();
        Some(Done { scan: Arc::clone(&state.scan), handled: interrupted(intents, outcomes), untold, failed: None })
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
fn select(scan: &mut Scan, selectors: &[PathBuf], key: Option<&Key>) -> Result<(), Failure> {
    if selectors.is_empty() {
        return Ok(());
    }
    let mut keep = vec![false; scan.locks.len()];
    for selector in selectors {
        let path = std::path::absolute(selector).unwrap_or_else(|_| selector.clone());
        // A link to a lock means the lock that it leads to, as it does for `explain`.
        let is_found = is_id(selector) || scan.locks.iter().any(|lock| lock.path == path);
        let at = path.clone();
        let follow = || bounded::run(bounded::SILENCE, move || Dir::open_root(&at).ok()?.kernel_path()).flatten();
        let behind = if is_found { None } else { follow() };
        let matches = |lock: &JudgedLock| match selector.to_str() {
            Some(id) if is_id(selector) => id_of(lock, key) == id,
            _ => lock.path == path || (behind.is_some() && lock.real_path == behind),
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
    course: Arc<Course>,
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
        self.course.change(|state| {
            (state.intents, state.outcomes) = (intents.to_vec(), vec![None; intents.len()]);
        });
        let named = self.named;
        for (lock, intent) in scan.locks.iter().zip(intents).filter(|(lock, _)| tells(named, lock, scan)) {
            let verdict = verdict(lock, scan);
            let path = visible_path(&lock.path);
            // One line for each lock in a pipe, where lines are counted and searched.
            let lines =
                if self.look.width.is_some() { vec![path, verdict] } else { vec![format!("{path}  {verdict}")] };
            self.say(&self.look.entry(&format!("{:<HEAD$}", intent.word()), &lines));
        }
    }

    fn ask(&mut self, lock: &JudgedLock, scan: &Scan) -> Reply {
        let evidence = [visible_path(&lock.path), verdict(lock, scan)];
        let question = format!("\n{}\nRemove it?", self.look.entry("  ", &evidence));
        let look = self.look;
        prompt::ask(&question, &self.stop, &mut |out| explain::write(out, lock, scan, look))
    }

    fn outcome(&mut self, lock: &JudgedLock, outcome: &Outcome) {
        self.course.change(|state| {
            // They come in order.
            let locks = state.scan.locks.iter().enumerate();
            let from_last = locks.clone().skip(state.last).chain(locks);
            state.last = from_last.into_iter().find(|(_, one)| std::ptr::eq(*one, lock)).map_or(0, |(index, _)| index);
            if let Some(slot) = state.outcomes.get_mut(state.last) {
                *slot = Some(outcome.clone());
            }
            state.since = state.since.map(|_| Instant::now());
        });
        self.say(&outcome_entry(self.look, lock, outcome));
    }
}

fn verdict(lock: &JudgedLock, scan: &Scan) -> String {
    let standing = lock.verdict.leaning().map(|leaning| format!(", {}", leaning.word())).unwrap_or_default();
    let why = words::sentence(&lock.facts, &lock.verdict, &scan.view);
    format!("{}{standing}: {why}", lock.verdict.classification.word())
}

/// What is left, why, and the next command for each; then one line of counts.
fn close(out: &mut impl Write, scan: &Scan, handled: &[Handled], args: &RepairArgs, look: Look) -> io::Result<()> {
    for problem in &scan.problems {
        write_problem(out, problem, look)?;
    }
    write_not_looked_at(out, scan, look)?;
    if !args.dry_run {
        let named = !args.lock.is_empty();
        let left =
            scan.locks.iter().zip(handled).filter(|(lock, handled)| !handled.is_gone() && tells(named, lock, scan));
        for (lock, handled) in left {
            let stuck = matches!(handled.kind(), Some(OutcomeKind::Failed | OutcomeKind::Refused));
            let first = if stuck { "once the cause above is removed: " } else { "" };
            let next = look.advice(first, &lock.advice(&scan.view), HEAD);
            let lines: Vec<String> = std::iter::once(visible_path(&lock.path)).chain(next).collect();
            writeln!(out, "{}", look.entry(&format!("{:<HEAD$}", "left"), &lines))?;
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
        // Whatever could not be looked at may hold one.
        (true, _) if !scan.problems.is_empty() => {
            writeln!(out, "Nothing was repaired: no lock was found, but {}", count(scan.problems.len(), "problem"))
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
