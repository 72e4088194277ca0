//! A progress line on a terminal's standard error, after half a second; never in a pipe.

use openclaw_doctor::discover::Progress;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const AFTER: Duration = Duration::from_millis(500);

/// Shows progress until it is dropped.
pub(crate) struct ProgressLine {
    began: Instant,
    wanted: bool,
    shown: bool,
}

impl ProgressLine {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { began: Instant::now(), wanted: !quiet && std::io::stderr().is_terminal(), shown: false }
    }

    pub(crate) fn show(&mut self, progress: Progress) {
        if self.wanted && self.began.elapsed() > AFTER {
            self.shown = true;
            let Progress { entries, locks } = progress;
            // A progress line that cannot be shown is not worth an error.
            let _ = write!(std::io::stderr(), "\r\x1b[K{entries} directory entries seen, {locks} locks found …");
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
