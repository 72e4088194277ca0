//! Asks on the terminal: evidence, question, default No.
//!
//! Reads standard input through poll(2), so that Ctrl-C, which another thread hears of, ends a
//! question that stands.

use openclaw_doctor::repair::Reply;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// An answer longer than this is no answer.
const MAX_LINE: usize = 256;
/// How often it is asked whether the run is to end.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Asks until it has an answer; `explain` writes more about the lock.
pub(crate) fn ask(
    question: &str,
    stop: &AtomicBool,
    explain: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
) -> Reply {
    let mut err = io::stderr();
    loop {
        let shown = write!(err, "{question} [y/N/e] ").and_then(|()| err.flush());
        if shown.is_err() {
            return Reply::Stop;
        }
        let line = match read_line(stop) {
            Line::Text(line) => line,
            Line::End => {
                let _ = writeln!(err);
                return Reply::No;
            }
            Line::Stopped => {
                let _ = writeln!(err);
                return Reply::Stop;
            }
        };
        match line.trim_ascii() {
            _ if line.len() > MAX_LINE => return Reply::No,
            b"y" | b"Y" | b"yes" | b"Yes" | b"YES" => return Reply::Yes,
            b"e" | b"E" | b"explain" => {
                if explain(&mut err).is_err() {
                    return Reply::Stop;
                }
            }
            _ => return Reply::No,
        }
    }
}

enum Line {
    Text(Vec<u8>),
    End,
    Stopped,
}

/// One line, byte by byte, so that what follows stays for the next question.
fn read_line(stop: &AtomicBool) -> Line {
    let stdin = io::stdin();
    let mut line = Vec::new();
    loop {
        if stop.load(Ordering::Relaxed) {
            return Line::Stopped;
        }
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&LOOK)) {
            Ok(1..) => {}
            Ok(0) | Err(Errno::INTR) => continue,
            Err(_) => return Line::End,
        }
        let mut byte = [0_u8];
        match rustix::io::read(&stdin, &mut byte) {
            Ok(0) => return Line::End,
            Ok(_) if byte == *b"\n" => return Line::Text(line),
            Ok(_) => {
                // One byte too many is kept, so that a cut line is not taken for a whole one.
                if line.len() <= MAX_LINE {
                    line.extend_from_slice(&byte);
                }
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return Line::End,
        }
    }
}
