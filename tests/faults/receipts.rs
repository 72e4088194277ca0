//! Receipts that somebody else has a hand in, and limits on what may be written.

use crate::support::{Answer, doctor};
use crate::world::{Doctor, ORDINARY, STRANGER, give, is_root, open_dir, skip};
use crate::{Three, all_whole, lines};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

fn with_receipt<'a>(three: &'a Three, receipt: &'a Path) -> Vec<&'a OsStr> {
    three.args(&["--yes".as_ref(), "--receipt".as_ref(), receipt.as_os_str()])
}

/// Nothing was removed, and the line says why.
fn assert_refused(three: &Three, answer: &Answer, why: &str) {
    assert_eq!((answer.code(), answer.out().as_str()), (4, ""), "{}", answer.err());
    for word in [why, "nothing was removed"] {
        assert!(answer.err().contains(word), "{word} is not in: {}", answer.err());
    }
    all_whole(three);
}

/// In a sticky directory anybody may make a file for another to write into, and read it then.
#[test]
fn a_receipt_that_another_user_made_beforehand_is_not_written_into() {
    if !is_root() {
        return skip("no other users without root");
    }
    for (who, planter) in [(0, STRANGER), (ORDINARY, STRANGER), (ORDINARY, 0)] {
        for fifo in [false, true] {
            let (three, at) = (Three::new(), open_dir());
            give(three.stage.path(), who);
            fs::set_permissions(at.path(), PermissionsExt::from_mode(0o1777)).unwrap();
            let receipt = at.path().join("receipt");
            if fifo {
                mknodat(CWD, &receipt, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
            } else {
                fs::write(&receipt, "").unwrap();
            }
            fs::set_permissions(&receipt, PermissionsExt::from_mode(0o666)).unwrap();
            chown(&receipt, Some(planter), Some(planter)).unwrap();
            let reader = fifo.then(|| {
                let flags = i32::from_ne_bytes(rustix::fs::OFlags::NONBLOCK.bits().to_ne_bytes());
                fs::OpenOptions::new().read(true).custom_flags(flags).open(&receipt).unwrap()
            });
            let answer = Doctor::of_user(who).run(with_receipt(&three, &receipt));
            assert_refused(&three, &answer, &format!("belongs to uid {planter}"));
            assert_eq!(receipt.metadata().unwrap().len(), 0);
            if let Some(mut reader) = reader {
                assert_eq!(reader.read(&mut [0]).unwrap(), 0, "it wrote into the pipe of another user");
            }
        }
    }
}

/// A file of one's own under a name that another gave it may be anything: a key, a mailbox.
#[test]
fn a_receipt_with_a_second_name_is_not_written_into() {
    let (three, at) = (Three::new(), open_dir());
    let (precious, receipt) = (at.path().join("precious"), at.path().join("receipt"));
    fs::write(&precious, "precious").unwrap();
    fs::hard_link(&precious, &receipt).unwrap();
    assert_refused(&three, &doctor(with_receipt(&three, &receipt)), "second name");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}

#[test]
fn a_receipt_that_keeps_nothing_is_none() {
    let (three, at) = (Three::new(), open_dir());
    let socket = at.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let link = at.path().join("link");
    symlink("/dev/null", &link).unwrap();
    for (path, why) in [
        (Path::new("/dev/null"), "neither a regular file"),
        (Path::new("/dev/full"), "neither a regular file"),
        (&socket, "neither a regular file"),
        (&link, "cannot be opened"),
    ] {
        assert_refused(&three, &doctor(with_receipt(&three, path)), why);
    }
}

#[test]
fn a_pipe_or_a_terminal_of_ones_own_takes_a_receipt() {
    let (three, at) = (Three::new(), open_dir());
    let pipe = at.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let mut reader = Command::new("cat").arg(&pipe).stdout(Stdio::piped()).spawn().unwrap();
    // A pipe that nobody reads yet takes nothing.
    let removed = (0..2_000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        doctor(with_receipt(&three, &pipe)).code() == 0
    });
    assert!(removed);
    let mut told = String::new();
    reader.stdout.take().unwrap().read_to_string(&mut told).unwrap();
    reader.wait().unwrap();
    assert_eq!(told.lines().count(), 6, "{told}");

    let three = Three::new();
    let answer = Doctor::own().in_terminal(with_receipt(&three, Path::new("/dev/tty"))).end();
    assert_eq!(answer.code(), 0, "{}", answer.err());
    let shown: String = answer.err().split_whitespace().collect();
    assert_eq!(shown.matches("\"event\":\"intent\"").count(), 3, "{shown}");
}

/// Runs it where no file may be written, as a shell's `ulimit -f 0` has it.
fn without_file_size(args: &[&OsStr], out: Option<&Path>) -> Answer {
    let script = match out {
        Some(_) => "ulimit -f 0; out=$1; shift; exec \"$@\" >\"$out\"",
        None => "ulimit -f 0; shift; exec \"$@\"",
    };
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(out.unwrap_or(Path::new("-"))).arg(env!("CARGO_BIN_EXE_openclaw-doctor"));
    command.args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    Answer(command.stdin(Stdio::null()).output().unwrap())
}

/// A run that dies of SIGXFSZ leaves a lock half removed and says nothing.
#[test]
fn a_limit_on_file_sizes_is_told_and_kills_no_run() {
    let (three, at) = (Three::new(), open_dir());
    let receipt = at.path().join("receipt");
    let answer = without_file_size(&with_receipt(&three, &receipt), None);
    assert_eq!(answer.code(), 4);
    for lock in &three.locks {
        let judged = answer.lock_at(lock);
        let detail = judged["outcome_detail"].as_str().unwrap();
        assert_eq!(judged["outcome"], "refused");
        assert!(detail.contains("File too large") && detail.contains("nothing is removed without it"), "{detail}");
    }
    all_whole(&three);
    assert!(lines(&receipt).is_empty());

    // What failed is not hidden by an answer that cannot be written.
    let answer = without_file_size(&with_receipt(&three, &receipt), Some(&at.path().join("out")));
    assert_eq!(answer.code(), 4, "{}", answer.err());
    all_whole(&three);
    let answer = without_file_size(&three.args(&[]), Some(&at.path().join("out")));
    assert!(answer.err().contains("cannot write the answer: File too large"), "{}", answer.err());
    assert_eq!(answer.code(), 3);
    assert_eq!(at.path().join("out").metadata().unwrap().size(), 0);
}

/// What stands in for a lock file cannot be written: the file goes without it, and nothing is left.
#[test]
fn a_limit_on_file_sizes_leaves_no_stand_in() {
    let three = crate::files::Three::new();
    let answer = without_file_size(&three.args(&[]), None);
    three.check_all_removed(&answer, "ulimit -f 0");
}
