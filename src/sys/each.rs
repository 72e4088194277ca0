//! Asks one question of many things, any of which may never be answered.

use rustix::io::Errno;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Without an answer for this long another thread goes on with the next.
const OVERTAKE: Duration = Duration::from_millis(150);
/// Without an answer for this long all that is open is given up.
const GIVE_UP: Duration = Duration::from_secs(3);
/// Threads that may wait in vain; what is left then is given up.
const MAX_THREADS: usize = 16;
const TICK: Duration = Duration::from_millis(20);

struct Shared<T, R> {
    items: Vec<T>,
    answers: Mutex<Vec<Option<R>>>,
    answered: AtomicUsize,
    next: AtomicUsize,
}

/// The answers, in the order of the items; `None` where none came. Time counts only while no
/// answer comes at all: a busy machine is slow, and still answers.
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
    let answers = Mutex::new(items.iter().map(|_| None).collect());
    let shared = Arc::new(Shared { items, answers, answered: AtomicUsize::new(0), next: AtomicUsize::new(0) });
    let (ask, (sender, receiver)) = (Arc::new(ask), channel());
    start(&shared, &ask, &sender)?;
    let (mut threads, mut answered, mut since, mut started) = (1, 0, Instant::now(), Instant::now());
    while answered < total {
        // Woken by a thread that has nothing left to ask.
        let _ = receiver.recv_timeout(TICK);
        let now = shared.answered.load(Ordering::Acquire);
        if now != answered {
            (answered, since) = (now, Instant::now());
        }
        let is_stuck = since.elapsed() > OVERTAKE && started.elapsed() > OVERTAKE;
        let has_more = shared.next.load(Ordering::Relaxed) < total;
        if is_stuck && has_more && threads < MAX_THREADS {
            // One that cannot be had leaves the rest without an answer.
            let _ = start(&shared, &ask, &sender);
            (threads, started) = (threads + 1, Instant::now());
        }
        if since.elapsed() > GIVE_UP {
            break;
        }
    }
    Ok(std::mem::take(&mut shared.answers.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn start<T, R, F>(shared: &Arc<Shared<T, R>>, ask: &Arc<F>, sender: &Sender<()>) -> Result<(), Errno>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
    F: Fn(&T) -> R + Send + Sync + 'static,
{
    let (shared, ask, sender) = (Arc::clone(shared), Arc::clone(ask), sender.clone());
    let work = move || {
        loop {
            let index = shared.next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = shared.items.get(index) else { break };
            let answer = ask(item);
            if let Some(slot) = shared.answers.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index) {
                *slot = Some(answer);
            }
            shared.answered.fetch_add(1, Ordering::Release);
        }
        // Nobody listens any more where it was given up.
        let _ = sender.send(());
    };
    let started = std::thread::Builder::new().name("ask".to_owned()).spawn(work);
    started.map(drop).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))
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
    fn slow_answers_are_waited_for() {
        let ask = |item: &u32| {
            std::thread::sleep(Duration::from_millis(400));
            *item
        };
        assert_eq!(each((0..12).collect(), ask).unwrap(), (0..12).map(Some).collect::<Vec<_>>());
    }
}
