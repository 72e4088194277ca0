//! Waits for work that a dead mount can block: as long as it gets on, and not for ever.
//!
//! Headway is processor time that the thread used or waited for (/proc/PID/task/TID/schedstat): on a
//! busy machine a thread that could run is not one that waits for a server. Without that
//! file it is wall time that counts. What is not waited for any more stays behind, in the kernel, with its thread, and
//! [`left_behind`] counts it. All waits of a run that were in vain share one budget, so that
//! a thousand dead mounts do not take a thousand times as long as one.

use super::tree::read_to_end;
use rustix::fs::{Mode, OFlags};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// A filesystem that is silent for so long is not waited for.
pub const SILENCE: Duration = Duration::from_secs(3);
/// What one piece of work may wait for filesystems, however little each time.
pub const WAITING: Duration = Duration::from_secs(10);
/// What a run waits in vain; then it gives a filesystem [`LITTLE`].
const IN_VAIN: Duration = Duration::from_secs(9);
/// And at last nothing.
const IN_VAIN_AT_MOST: Duration = Duration::from_secs(11);
pub(crate) const LITTLE: Duration = Duration::from_millis(200);
/// How often a thread is looked at.
pub const TICK: Duration = Duration::from_millis(50);

/// Threads that nobody waits for any more and that have not ended.
static LEFT: AtomicUsize = AtomicUsize::new(0);
/// What was waited in vain, in milliseconds.
static WAITED: AtomicU64 = AtomicU64::new(0);

/// What is done before a look that may never end.
static BEFORE: OnceLock<fn()> = OnceLock::new();

/// Has something done before the first look at what may hold a thread for ever; once for a process.
pub fn before_risk(act: fn()) {
    // A second one is not wanted.
    let _ = BEFORE.set(act);
}

/// Called before a look at a filesystem that a server answers for, or at another mount namespace.
pub(crate) fn at_risk() {
    if let Some(act) = BEFORE.get() {
        act();
    }
}

/// How many threads were left behind and are still at work.
#[must_use]
pub fn left_behind() -> usize {
    LEFT.load(Ordering::Relaxed)
}

/// How long a filesystem may be silent now, where `limit` is wanted.
#[must_use]
pub fn patience(limit: Duration) -> Duration {
    match Duration::from_millis(WAITED.load(Ordering::Relaxed)) {
        waited if waited < IN_VAIN => limit,
        waited if waited < IN_VAIN_AT_MOST => limit.min(LITTLE),
        _ => Duration::ZERO,
    }
}

/// Takes what was waited in vain from the budget of the run.
pub fn waited_in_vain(time: Duration) {
    WAITED.fetch_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Runs `work` on a thread of its own; `None` if it made no headway for `limit`, waited
/// [`WAITING`] in all, or has no thread.
pub fn run<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let limit = patience(limit);
    if limit.is_zero() {
        return None;
    }
    let thread = Arc::new(Thread::default());
    let (sender, receiver) = channel();
    let its = Arc::clone(&thread);
    let worker = std::thread::Builder::new().spawn(move || {
        its.begins();
        // Nobody listens any more once it was given up.
        let _ = sender.send(work());
        its.ends();
    });
    worker.ok()?;
    let mut watch = Watch::default();
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(result) => return Some(result),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        watch.look(&thread);
        if watch.silent >= limit || watch.waited >= WAITING {
            waited_in_vain(watch.silent);
            thread.leave();
            return receiver.try_recv().ok();
        }
    }
}

thread_local! {
    static CURRENT: std::cell::RefCell<Option<Arc<Thread>>> = const { std::cell::RefCell::new(None) };
}

/// As what the calling thread is waited for, if it is: for one that goes on with its work.
pub(crate) fn current() -> Option<Arc<Thread>> {
    CURRENT.with_borrow(Clone::clone)
}

/// A thread that may be left behind.
#[derive(Debug, Default)]
pub struct Thread {
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    NotBegun,
    /// Its thread id.
    At(i32),
    Left,
    Ended,
}

impl Thread {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Called by the thread when it begins.
    pub fn begins(self: &Arc<Self>) {
        CURRENT.set(Some(Arc::clone(self)));
        self.is_here();
    }

    /// Called by a thread that goes on with its work, or has it back.
    pub(crate) fn is_here(&self) {
        let id = rustix::thread::gettid().as_raw_nonzero().get();
        self.change(|state| {
            if matches!(state, State::NotBegun | State::At(_)) {
                *state = State::At(id);
            }
        });
    }

    /// Called by the thread when its work is done.
    pub fn ends(&self) {
        self.change(|state| {
            if *state == State::Left {
                LEFT.fetch_sub(1, Ordering::Relaxed);
            }
            *state = State::Ended;
        });
    }

    /// Nobody waits for it any more.
    pub fn leave(&self) {
        self.change(|state| {
            if matches!(state, State::NotBegun | State::At(_)) {
                LEFT.fetch_add(1, Ordering::Relaxed);
                *state = State::Left;
            }
        });
    }

    /// Whether its work is done.
    pub(crate) fn has_ended(&self) -> bool {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) == State::Ended
    }

    fn id(&self) -> Option<i32> {
        match *self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::At(id) => Some(id),
            State::NotBegun | State::Left | State::Ended => None,
        }
    }
}

/// What was seen of a thread that is waited for.
#[derive(Debug)]
pub struct Watch {
    /// Without headway since its last.
    pub silent: Duration,
    /// Blocked, in all.
    pub waited: Duration,
    looked: Instant,
    /// Its processor time and what it waited for a processor, in nanoseconds.
    ran: Option<(i32, u64)>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { silent: Duration::ZERO, waited: Duration::ZERO, looked: Instant::now(), ran: None }
    }
}

impl Watch {
    /// Looks at a thread; to be called every [`TICK`].
    pub fn look(&mut self, thread: &Thread) {
        // If nobody looked for longer, we were stopped ourselves, and so was the thread.
        let passed = self.looked.elapsed().min(TICK * 4);
        self.looked = Instant::now();
        // One that has not begun waits for a processor.
        let Some(id) = thread.id() else { return };
        let ran = processor_time(id).map(|time| (id, time));
        let busy = match (ran, self.ran) {
            (Some((_, now)), Some((before, then))) if before == id => Duration::from_nanos(now.saturating_sub(then)),
            // Another thread goes on with the work.
            (Some(_), _) => passed,
            (None, _) => Duration::ZERO,
        };
        self.ran = ran.or(self.ran);
        if busy.is_zero() && is_runnable(id) {
            self.silent = Duration::ZERO;
            return;
        }
        self.silent = if busy.is_zero() { self.silent + passed } else { Duration::ZERO };
        self.waited += passed.saturating_sub(busy);
    }
}

/// The first two fields of schedstat (Documentation/scheduler/sched-stats.rst of the kernel).
fn processor_time(id: i32) -> Option<u64> {
    let text = read(id, "schedstat")?;
    let mut fields = text.split_ascii_whitespace().map(|field| field.parse::<u64>().ok());
    fields.next()??.checked_add(fields.next()??)
}

fn is_runnable(id: i32) -> bool {
    let stat = read(id, "stat").unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, fields)| fields.trim_start().starts_with('R'))
}

fn read(id: i32, name: &str) -> Option<String> {
    let path = format!("/proc/self/task/{id}/{name}");
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let bytes = read_to_end(&file, 4096).ok()??;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_waits_is_left_behind_and_work_that_runs_is_waited_for() {
        assert_eq!(run(Duration::from_millis(100), std::thread::park), None);
        assert!(left_behind() >= 1);
        assert_eq!(run(Duration::from_secs(20), || 7), Some(7));
        let began = Instant::now();
        let busy = move || {
            while began.elapsed() < Duration::from_millis(600) {
                std::hint::spin_loop();
            }
            8
        };
        assert_eq!(run(Duration::from_millis(100), busy), Some(8), "a limit of time, not of headway");
    }
}
