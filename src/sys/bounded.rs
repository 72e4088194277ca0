//! Waits a bounded time for work that a dead mount can block.

use std::sync::mpsc::channel;
use std::time::Duration;

/// Runs `work` on a thread of its own; `None` if it has no result after `limit`. The thread
/// is then left behind, blocked in the kernel.
pub fn run<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = channel();
    let worker = std::thread::Builder::new().spawn(move || {
        // Nobody listens any more once the limit has passed.
        let _ = sender.send(work());
    });
    worker.ok()?;
    receiver.recv_timeout(limit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_never_ends_is_left_behind() {
        assert_eq!(run(Duration::from_millis(20), std::thread::park), None);
        assert_eq!(run(Duration::from_secs(20), || 7), Some(7));
    }
}
