//! A program that is no OpenClaw and uses the kernel to lock a file: `locker CALL FILE HOLDS SEED`, where
//! CALL is flock, shared (flock(2) as a reader), fcntl or ofd. It begins to hold at any moment, for up to
//! 300 µs. As Python's filelock does, it looks after it has locked the file whether that still has its
//! name, and before it lets go again. A file that is gone it makes again with the text of `DIRECTORY.text`.
//! Prints how often it held, and how often it lost the file; how often it was refused or came too late.
//! Compiled by the tests that need it.

use std::ffi::{CString, c_char, c_int, c_short, c_uint};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const F_SETLK: c_int = 6;
const F_OFD_SETLK: c_int = 37;
const LOCK_SH_NB: c_int = 1 | 4;
const LOCK_EX_NB: c_int = 2 | 4;
const RENAME_NOREPLACE: c_uint = 1;
const AT_FDCWD: c_int = -100;
/// No run may take longer.
const WATCHDOG: Duration = Duration::from_secs(600);

/// `struct flock` of 64-bit Linux.
#[repr(C)]
struct Flock {
    kind: c_short,
    whence: c_short,
    start: i64,
    length: i64,
    pid: c_int,
}

unsafe extern "C" {
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn flock(fd: c_int, operation: c_int) -> c_int;
    fn renameat2(old: c_int, from: *const c_char, new: c_int, to: *const c_char, flags: c_uint) -> c_int;
}

fn try_lock(file: &File, call: &str) -> bool {
    let whole = Flock { kind: 1, whence: 0, start: 0, length: 0, pid: 0 };
    // SAFETY: the structure is the kernel's, and lives until the call returns.
    let answer = unsafe {
        match call {
            "fcntl" => fcntl(file.as_raw_fd(), F_SETLK, &raw const whole),
            "ofd" => fcntl(file.as_raw_fd(), F_OFD_SETLK, &raw const whole),
            "shared" => flock(file.as_raw_fd(), LOCK_SH_NB),
            _ => flock(file.as_raw_fd(), LOCK_EX_NB),
        }
    };
    answer == 0
}

fn make(path: &Path, text: &[u8]) {
    let new = PathBuf::from(format!("{}.{}", path.parent().unwrap().with_extension("new").display(), std::process::id()));
    File::create(&new).unwrap().write_all(text).unwrap();
    let name = |path: &Path| CString::new(path.as_os_str().as_bytes()).unwrap();
    let (from, to) = (name(&new), name(path));
    // SAFETY: both names live until the call returns.
    if unsafe { renameat2(AT_FDCWD, from.as_ptr(), AT_FDCWD, to.as_ptr(), RENAME_NOREPLACE) } != 0 {
        std::fs::remove_file(new).unwrap();
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [call, path, holds, seed] = args.as_slice() else { panic!("{args:?}") };
    let (path, wanted) = (Path::new(path), holds.parse::<usize>().unwrap());
    let text = std::fs::read(format!("{}.text", path.parent().unwrap().display())).unwrap();
    let mut dice = seed.parse::<u64>().unwrap().wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = |bound: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice >> 11) % bound
    };
    let (mut held, mut lost, mut busy, mut late) = (0, 0, 0, 0);
    let began = Instant::now();
    while held < wanted && began.elapsed() < WATCHDOG {
        let file = match File::options().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make(path, &text);
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        std::thread::sleep(Duration::from_micros(below(60)));
        if !try_lock(&file, call) {
            busy += 1;
            std::thread::sleep(Duration::from_micros(below(60)));
            continue;
        }
        let own = file.metadata().unwrap().ino();
        let has_name = || std::fs::symlink_metadata(path).is_ok_and(|standing| standing.ino() == own);
        if !has_name() {
            // It was removed, or exchanged, before this one came to hold it.
            late += 1;
            continue;
        }
        held += 1;
        std::thread::sleep(Duration::from_micros(below(300)));
        lost += usize::from(!has_name());
        drop(file);
        std::thread::sleep(Duration::from_micros(below(1_500)));
    }
    println!("{held} {lost} {busy} {late}");
}
