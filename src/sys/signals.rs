//! Signals that set a flag, where they are not ignored already.

use super::tree::Dir;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Sets the flag when the signal comes. One that was ignored when the run began (nohup(1)) stays
/// ignored; where that cannot be told, it is caught.
///
/// Errors: those of sigaction(2).
pub fn catch(signal: i32, flag: &Arc<AtomicBool>) -> io::Result<()> {
    if is_ignored(signal).unwrap_or(false) {
        return Ok(());
    }
    signal_hook::flag::register(signal, Arc::clone(flag)).map(drop)
}

/// Lets a write beyond `RLIMIT_FSIZE` fail with `EFBIG`, which is told, instead of ending the run
/// in the middle of a removal (setrlimit(2)).
///
/// Errors: those of sigaction(2).
pub fn survive_file_size_limit() -> io::Result<()> {
    catch(signal_hook::consts::SIGXFSZ, &Arc::default())
}

/// Whether a signal is ignored by this process; `None` without /proc.
#[must_use]
pub fn is_ignored(signal: i32) -> Option<bool> {
    let status = Dir::open_root(Path::new("/proc/self")).ok()?.read_file(b"status", 64 * 1024).ok()?.1;
    ignored_in(&status, signal)
}

/// `SigIgn` of proc_pid_status(5): bit N - 1 is signal N.
fn ignored_in(status: &[u8], signal: i32) -> Option<bool> {
    let mask = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"SigIgn:"))?;
    let mask = u64::from_str_radix(std::str::from_utf8(mask).ok()?.trim(), 16).ok()?;
    let bit = u32::try_from(signal).ok()?.checked_sub(1)?;
    Some(mask.checked_shr(bit)? & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_its_own_bit_of_the_mask() {
        let status = b"Name:\tx\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000001000001\nSigCgt:\t0\n";
        for (signal, ignored) in [(1, true), (2, false), (25, true), (64, false)] {
            assert_eq!(ignored_in(status, signal), Some(ignored), "{signal}");
        }
        assert_eq!((ignored_in(status, 0), ignored_in(b"Name:\tx\n", 1)), (None, None));
    }
}
