//! A repair: plan, show, consent, judge again, act, record.
//!
//! In: a scan and its session, what the operator allowed, somebody to ask, a receipt. Out:
//! what became of every lock. Called by the command line and by tests. Removes only with a
//! [`Warrant`], one lock at a time, and stops between two locks when told to.

use crate::discover::{OpenError, RootReport};
use crate::family::Form;
use crate::plan::{Allowed, Intent, Left, plan};
use crate::problem::{Cause, Problem};
use crate::quote::shell_word;
use crate::receipt::Receipt;
use crate::remove::{Outcome, OutcomeKind, Removal};
use crate::scan::{JudgedLock, Scan, Session};
use crate::sys::authority::Authority;
use crate::warrant::{Basis, Warrant};
use rustix::io::Errno;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long another doctor is waited for in one directory.
const TURN_LIMIT: Duration = Duration::from_secs(2);
/// And in all of a run: who holds every directory of a tree must not hold up the run for hours.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long an OpenClaw may take from finding a bare directory old to removing it: a few lines of
/// JavaScript, and a pause of its garbage collector.
const SETTLE: Duration = Duration::from_secs(1);
/// How long an answer to who runs is good enough for one more bare directory.
const FRESH: Duration = Duration::from_millis(100);

/// Somebody to show things to and to ask.
pub trait Console {
    /// Shows the plan, before anything is done.
    fn plan(&mut self, scan: &Scan, intents: &[Intent]);
    /// Asks whether to remove a lock; shows the evidence.
    fn ask(&mut self, lock: &JudgedLock, scan: &Scan) -> Reply;
    /// Shows what became of a lock.
    fn outcome(&mut self, lock: &JudgedLock, outcome: &Outcome);
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Remove it.
    Yes,
    /// Leave it: no, the end of input, or anything that is no yes.
    No,
    /// Leave it and all that follow.
    Stop,
}

/// What became of a lock, and whose word it rested on.
#[derive(Debug, Clone)]
pub struct Handled {
    /// What was planned.
    pub intent: Intent,
    /// On whose word it was removed, or was to be.
    pub basis: Option<Basis>,
    /// What became of it; absent in a dry run.
    pub outcome: Option<Outcome>,
}

/// How to carry a plan out.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// What the operator allowed.
    pub allowed: Allowed,
    /// Show the plan and change nothing.
    pub dry_run: bool,
}

/// Carries out a repair; the answer is in the order of the scan's locks.
pub fn repair(
    session: &mut Session<'_>,
    scan: &Scan,
    how: How,
    receipt: Option<&mut Receipt>,
    console: &mut dyn Console,
    stop: &AtomicBool,
) -> Vec<Handled> {
    let intents = plan(scan, how.allowed);
    console.plan(scan, &intents);
    if how.dry_run {
        let basis = |intent: &Intent| match intent {
            Intent::Remove(warrant) => Some(warrant.basis()),
            Intent::Ask(_) | Intent::Leave(_) => None,
        };
        return intents.into_iter().map(|intent| Handled { basis: basis(&intent), intent, outcome: None }).collect();
    }
    let (patience, receipt_failed, looked) = (PATIENCE, None, None);
    let mut act = Act { session, scan, receipt, console, stop, stopped: false, patience, receipt_failed, looked };
    // What needs no word first: who ends the run at a question has it done.
    let asks = |intent: &Intent| matches!(intent, Intent::Ask(_));
    let mut handled: Vec<(usize, Handled)> = Vec::new();
    for asked in [false, true] {
        let turn = scan.locks.iter().zip(&intents).enumerate().filter(|(_, (_, intent))| asks(intent) == asked);
        handled.extend(turn.map(|(index, (lock, intent))| (index, act.handle(lock, intent.clone()))));
    }
    handled.sort_by_key(|(index, _)| *index);
    handled.into_iter().map(|(_, handled)| handled).collect()
}

/// What became of one lock, and on whose word; on nobody's where nothing was to be removed.
struct Done {
    basis: Option<Basis>,
    outcome: Outcome,
}

impl From<Outcome> for Done {
    fn from(outcome: Outcome) -> Self {
        Self { basis: None, outcome }
    }
}

/// What is told of a repair that was left while it waited for a filesystem: `outcomes` are those
/// that came until then. The first lock without one, in the order of the work, is the one it waited at.
#[must_use]
pub fn interrupted(intents: Vec<Intent>, outcomes: Vec<Option<Outcome>>) -> Vec<Handled> {
    let is_open = |(_, (intent, outcome)): &(usize, (&Intent, &Option<Outcome>))| {
        outcome.is_none() && !matches!(intent, Intent::Leave(_))
    };
    let open = || intents.iter().zip(&outcomes).enumerate().filter(is_open);
    let unasked = open().find(|(_, (intent, _))| matches!(intent, Intent::Remove(_)));
    let waited_at = unasked.or_else(|| open().next()).map(|(index, _)| index);
    let told = |(index, (intent, outcome)): (usize, (Intent, Option<Outcome>))| {
        let (basis, fallback) = match &intent {
            Intent::Leave(left) => (None, Outcome::new(OutcomeKind::HeldBack, left.sentence())),
            _ if waited_at == Some(index) => (None, Outcome::new(OutcomeKind::Failed, NO_ANSWER)),
            Intent::Ask(basis) => (Some(*basis), not_attempted()),
            Intent::Remove(warrant) => (Some(warrant.basis()), not_attempted()),
        };
        Handled { intent, basis, outcome: Some(outcome.unwrap_or(fallback)) }
    };
    intents.into_iter().zip(outcomes).enumerate().map(told).collect()
}

const NO_ANSWER: &str = "its filesystem gave no answer, and the run was told twice to end: \
    see whether the server behind that mount is alive, then run again; it shows what became of the lock";

struct Act<'a, 'b> {
    session: &'a mut Session<'b>,
    scan: &'a Scan,
    receipt: Option<&'a mut Receipt>,
    console: &'a mut dyn Console,
    stop: &'a AtomicBool,
    stopped: bool,
    /// What is left of [`PATIENCE`].
    patience: Duration,
    /// Why the receipt cannot be written any more.
    receipt_failed: Option<String>,
    /// When it was last asked who runs, since the scan.
    looked: Option<Instant>,
}

impl Act<'_, '_> {
    fn handle(&mut self, lock: &JudgedLock, intent: Intent) -> Handled {
        let Done { basis, outcome } = match &intent {
            Intent::Leave(left) => Outcome::new(OutcomeKind::HeldBack, left.sentence()).into(),
            Intent::Remove(warrant) => self.remove_unless_stopped(lock, warrant),
            Intent::Ask(basis) => self.ask(lock, *basis),
        };
        if !matches!(intent, Intent::Leave(_)) {
            self.console.outcome(lock, &outcome);
        }
        Handled { intent, basis, outcome: Some(outcome) }
    }

    fn has_stopped(&mut self) -> bool {
        self.stopped |= self.stop.load(Ordering::Relaxed);
        self.stopped
    }

    fn remove_unless_stopped(&mut self, lock: &JudgedLock, warrant: &Warrant) -> Done {
        if self.has_stopped() {
            return Done { basis: Some(warrant.basis()), outcome: not_attempted() };
        }
        // A bare directory has nothing in it by which the next owner's could be told from it.
        if lock.found.form == Form::EmptyDirectory {
            if self.looked.is_none_or(|at| at.elapsed() > FRESH) {
                self.look_again();
            }
            return self.remove_if_still_allowed(lock, warrant.basis());
        }
        self.remove_on(lock, warrant)
    }

    fn ask(&mut self, lock: &JudgedLock, basis: Basis) -> Done {
        if self.has_stopped() {
            return not_attempted().into();
        }
        match self.console.ask(lock, self.scan) {
            Reply::No => Outcome::new(OutcomeKind::Declined, "").into(),
            Reply::Stop => {
                self.stopped = true;
                not_attempted().into()
            }
            Reply::Yes => {
                self.look_again();
                self.remove_if_still_allowed(lock, basis)
            }
        }
    }

    /// Asks who runs now.
    fn look_again(&mut self) {
        self.session.look_again();
        self.looked = Some(Instant::now());
    }

    /// Removes a lock on this word, if what is known of who runs now allows it.
    fn remove_if_still_allowed(&mut self, lock: &JudgedLock, basis: Basis) -> Done {
        let restraint = self.session.restraint(lock, self.scan);
        match Warrant::new(lock.found.family, &lock.verdict, restraint.as_ref(), basis) {
            Some(warrant) => self.remove_on(lock, &warrant),
            None => Outcome::new(OutcomeKind::HeldBack, "a running OpenClaw uses its directory now").into(),
        }
    }

    /// The one place where a removal begins: its receipt and its report name the warrant's word.
    fn remove_on(&mut self, lock: &JudgedLock, warrant: &Warrant) -> Done {
        Done { basis: Some(warrant.basis()), outcome: self.remove(lock, warrant) }
    }

    fn remove(&mut self, lock: &JudgedLock, warrant: &Warrant) -> Outcome {
        if let Some(why) = &self.receipt_failed {
            return Outcome::new(OutcomeKind::Refused, why.clone());
        }
        let Some(root) = self.scan.roots.get(lock.found.root) else {
            return Outcome::new(OutcomeKind::Changed, "its root is not known any more");
        };
        let began = Instant::now();
        let session = &*self.session;
        let patience = self.patience.min(TURN_LIMIT);
        let mut receipt = self.receipt.as_deref_mut();
        let mut receipt_failed = None;
        let removed = session.in_root(root, |dir, taken| {
            let removal = Removal {
                lock: &lock.found,
                warrant,
                patience,
                settle: SETTLE,
                // Evidence is read with our own rights, and the lock is removed with its namer's.
                judge_again: &mut |reading| taken.as_ourselves(|| session.judge_again(lock, reading)),
                about_to: &mut |reading| {
                    let Some(receipt) = receipt.as_deref_mut() else { return Ok(()) };
                    receipt.intent(lock, reading, warrant.basis()).map_err(|error| {
                        let why = no_receipt(&error);
                        receipt_failed = Some(why.clone());
                        why
                    })
                },
                at: &mut |_| {},
            };
            removal.run(dir)
        });
        let outcome = match removed {
            Ok(outcome) => as_its_namer(outcome, root),
            Err(error) => not_opened(&error, root),
        };
        if outcome.kind == OutcomeKind::Busy {
            self.patience = self.patience.saturating_sub(began.elapsed());
        }
        self.receipt_failed = receipt_failed;
        self.record(lock, outcome)
    }

    /// Writes the outcome to the receipt; what cannot be written stops further removals.
    fn record(&mut self, lock: &JudgedLock, outcome: Outcome) -> Outcome {
        if self.receipt_failed.is_some() {
            return outcome;
        }
        match self.receipt.as_deref_mut().map(|receipt| receipt.outcome(lock, &outcome)) {
            Some(Err(error)) => {
                self.receipt_failed = Some(no_receipt(&error));
                let detail = format!("it was {}, but its receipt has no outcome: {error}", outcome.kind.word());
                Outcome::new(OutcomeKind::Failed, detail)
            }
            _ => outcome,
        }
    }
}

/// What became of a lock whose root could not be opened again.
fn not_opened(error: &OpenError, root: &RootReport) -> Outcome {
    let errno = match error {
        OpenError::System(errno) => *errno,
        OpenError::Authority(_) | OpenError::ForeignLink { .. } => {
            let problem = Problem { path: root.path.clone(), cause: Cause::Root(error.clone()) };
            return Outcome::new(OutcomeKind::Refused, format!("{}; {}", problem.cause(), problem.next_step()));
        }
    };
    match errno {
        Errno::NOENT | Errno::SRCH if root.spec.via.is_some() => {
            Outcome::new(OutcomeKind::Changed, "the process through which it was reached has exited; run again")
        }
        Errno::NOENT => Outcome::new(OutcomeKind::AlreadyGone, "its root is not there any more"),
        Errno::STALE => Outcome::new(OutcomeKind::Changed, "another directory stands at its root now"),
        errno => {
            let why = format!("cannot open its root again: {}", crate::sys::words(errno));
            Outcome::new(OutcomeKind::Failed, why)
        }
    }
}

/// Says as whom a removal failed, where that was not as ourselves.
fn as_its_namer(mut outcome: Outcome, root: &RootReport) -> Outcome {
    if let (OutcomeKind::Failed | OutcomeKind::Refused, Authority::Of(ids)) = (outcome.kind, &root.spec.authority) {
        outcome.detail.push_str(&format!(
            "; this was done as uid {}, who named the place: give {} as a PATH to do it as yourself",
            ids.uid,
            shell_word(&root.path)
        ));
    }
    outcome
}

fn not_attempted() -> Outcome {
    Outcome::new(OutcomeKind::NotAttempted, "the run was stopped before its turn")
}

fn no_receipt(error: &std::io::Error) -> String {
    format!("the receipt cannot be written: {error}; nothing is removed without it")
}

impl Handled {
    /// The word for what became of it; absent in a dry run.
    #[must_use]
    pub fn kind(&self) -> Option<OutcomeKind> {
        self.outcome.as_ref().map(|outcome| outcome.kind)
    }

    /// Whether the lock does not stand any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.kind(), Some(OutcomeKind::Removed | OutcomeKind::AlreadyGone))
    }
}

impl Left {
    /// Why, in a sentence.
    #[must_use]
    pub fn sentence(self) -> String {
        match self {
            Self::Active => "a living process holds it".to_owned(),
            Self::NeverRemoved => "locks of this kind are never removed".to_owned(),
            Self::NeedsWord(leaning) => format!("not proven ({}), and nobody's word was given", leaning.word()),
            Self::NeedsProof(leaning) => {
                format!("not proven ({}), and nobody's word is enough for a lock of this kind", leaning.word())
            }
            Self::Recovery => "recovery: OpenClaw reads it at its next start and removes it itself".to_owned(),
            Self::InUse => "in-use: a running OpenClaw uses its directory and may hold it".to_owned(),
            Self::SelfHealing => "self-healing: a running OpenClaw removes it itself".to_owned(),
        }
    }
}

/// The exit code of a repair: 4 a removal failed, 3 incomplete, 1 something remains, 0 clean.
#[must_use]
pub fn exit_code(scan: &Scan, handled: &[Handled]) -> u8 {
    use OutcomeKind::{Failed, Refused};
    let remains = |handled: &Handled| handled.intent != Intent::Leave(Left::Active) && !handled.is_gone();
    if handled.iter().any(|handled| matches!(handled.kind(), Some(Failed | Refused))) {
        4
    } else if !scan.problems.is_empty() {
        3
    } else if handled.iter().any(remains) {
        1
    } else {
        0
    }
}
