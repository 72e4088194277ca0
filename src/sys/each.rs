//! Asks one question of many things, any of which may never be answered.

use super::bounded::{LITTLE, SILENCE, TICK, Thread, Watch, patience, waited_in_vain};
use rustix::io::Errno;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After so long without headway another thread goes on with the next.
const OVERTAKE: Duration = Duration::from_millis(150);
/// Threads that may wait in vain; what is left then is given up.
const MAX_THREADS: usize = 16;

struct Shared<T, R> {
    items: Vec<T>,
    answers: Mutex<Vec<Option<R>>>,
    answered: AtomicUsize,
    next: AtomicUsize,
}

/// The answers, in the order of the items; `None` where none came. Time counts only while no
/// answer comes and no thread makes headway: a busy machine is slow, and still answers. What was
/// waited in vain is taken from the budget of the run; without any left it is waited a little.
///
/// Errors: no thread can be had to ask on.
pub fn each<T, R>(items: Vec<T>, ask: impl Fn(&T) -> R + Send + Sync + 'static) -> Result<Vec<Option<R>>, Errno>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
{
    let total = items.len();
    if total == 0 {
        // A thread that has nothing to ask would still have to wait for its turn.
        return Ok(Vec::new());
    }
    let limit = patience(SILENCE).max(LITTLE);
    let answers = Mutex::new(items.iter().map(|_| None).collect());
    let shared = Arc::new(Shared { items, answers, answered: AtomicUsize::new(0), next: AtomicUsize::new(0) });
    let (ask, (sender, receiver)) = (Arc::new(ask), channel());
    let mut crew = Crew::default();
    crew.threads.push((start(&shared, &ask, &sender)?, Watch::default()));
    let (mut started, mut answered) = (1, 0);
    while answered < total {
        // Woken by a thread that has nothing left to ask.
        let _ = receiver.recv_timeout(TICK);
        let now = shared.answered.load(Ordering::Acquire);
        crew.look(now != answered);
        answered = now;
        let has_more = shared.next.load(Ordering::Relaxed) < total;
        if crew.is_stuck() && has_more && started < MAX_THREADS {
            // One that cannot be had leaves the rest without an answer.
            crew.threads.extend(start(&shared, &ask, &sender).ok().map(|thread| (thread, Watch::default())));
            started += 1;
        }
        if crew.silent >= limit {
            waited_in_vain(crew.silent);
            crew.threads.iter().for_each(|(thread, _)| thread.leave());
            break;
        }
    }
    Ok(std::mem::take(&mut shared.answers.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// The threads that ask.
struct Crew {
    threads: Vec<(Arc<Thread>, Watch)>,
    /// For how long none has made headway.
    silent: Duration,
    looked: Instant,
}

impl Default for Crew {
    fn default() -> Self {
        Self { threads: Vec::new(), silent: Duration::ZERO, looked: Instant::now() }
    }
}

impl Crew {
    fn look(&mut self, has_answered: bool) {
        // If nobody looked for longer, we were stopped ourselves.
        let passed = self.looked.elapsed().min(TICK * 4);
        self.looked = Instant::now();
        self.threads.retain(|(thread, _)| !thread.has_ended());
        let (mut goes_on, mut all_wait) = (has_answered, true);
        for (thread, watch) in &mut self.threads {
            let waited = !watch.silent.is_zero();
            watch.look(thread);
            // The first steps of a new thread are not headway of those that are stuck.
            goes_on |= waited && watch.silent.is_zero();
            all_wait &= !watch.silent.is_zero();
        }
        if goes_on {
            self.silent = Duration::ZERO;
        } else if all_wait {
            self.silent += passed;
        }
    }

    fn is_stuck(&self) -> bool {
        self.threads.iter().all(|(_, watch)| watch.silent >= OVERTAKE)
    }
}

fn start<T, R, F>(shared: &Arc<Shared<T, R>>, ask: &Arc<F>, sender: &Sender<()>) -> Result<Arc<Thread>, Errno>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
    F: Fn(&T) -> R + Send + Sync + 'static,
{
    let (shared, ask, sender) = (Arc::clone(shared), Arc::clone(ask), sender.clone());
    let thread = Arc::new(Thread::default());
    let its = Arc::clone(&thread);
    let work = move || {
        its.begins();
        loop {
            let index = shared.next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = shared.items.get(index) else { break };
            let answer = ask(item);
            if let Some(slot) = shared.answers.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index) {
                *slot = Some(answer);
            }
            shared.answered.fetch_add(1, Ordering::Release);
        }
        its.ends();
        // Nobody listens any more where it was given up.
        let _ = sender.send(());
    };
    let started = std::thread::Builder::new().name("ask".to_owned()).spawn(work);
    started.map(|_| thread).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_answers_holds_nobody_else_up() {
        let stuck = [3, 4, 90];
        let ask = move |item: &u32| {
            while stuck.contains(item) {
                std::thread::park();
            }
            *item
        };
        let answers = each((0..100).collect(), ask).unwrap();
        for (item, answer) in (0..100).zip(answers) {
            assert_eq!(answer, (!stuck.contains(&item)).then_some(item));
        }
    }

    #[test]
    fn a_thread_that_computes_is_waited_for_however_long_it_takes() {
        let ask = |item: &u32| {
            let began = Instant::now();
            while began.elapsed() < SILENCE + Duration::from_secs(1) {
                std::hint::spin_loop();
            }
            *item
        };
        assert_eq!(each(vec![1], ask).unwrap(), [Some(1)]);
    }

    #[test]
    fn slow_answers_are_waited_for() {
        let ask = |item: &u32| {
            std::thread::sleep(Duration::from_millis(400));
            *item
        };
        assert_eq!(each((0..12).collect(), ask).unwrap(), (0..12).map(Some).collect::<Vec<_>>());
    }
}
