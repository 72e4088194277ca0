//! Runs the built binary under strace(1), to stop it or lie to it at one system call.

use super::{Answer, command, lab_required};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whether strace is there and may trace; says so, once per test, if not.
pub fn can_trace() -> bool {
    let mut probe = Command::new("strace");
    probe.args(["-f", "-o", "/dev/null", "true"]).stdin(Stdio::null()).stderr(Stdio::null());
    let can = probe.status().is_ok_and(|status| status.success());
    if !can {
        lab_required("strace is not there, or may not trace");
    }
    can
}

/// The binary under strace: what it answered, and the trace.
pub fn traced<S: AsRef<OsStr>>(options: &[&str], args: impl IntoIterator<Item = S>) -> (Answer, String) {
    traced_file(Path::new(command().get_program()), options, args)
}

/// The same of another build of it.
pub fn traced_file<S: AsRef<OsStr>>(
    file: &Path,
    options: &[&str],
    args: impl IntoIterator<Item = S>,
) -> (Answer, String) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "signal=none", "-o"]).arg(log.path()).args(options).arg(file);
    strace.args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = strace.stdin(Stdio::null()).output().unwrap();
    (Answer(output), std::fs::read_to_string(PathBuf::from(log.path())).unwrap())
}
