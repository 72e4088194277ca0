//! Holds a lock of the kernel: `file_lock setlk|ofd|flock|lease read|write START LENGTH FILE`, where flock and
//! lease are about the whole file. Prints a line once it has it; ends with its standard input.
//! Compiled by the tests that need it.

use std::ffi::{c_int, c_long, c_short};
use std::io::Read;
use std::os::fd::AsRawFd;

const F_SETLK: c_int = 6;
const F_OFD_SETLK: c_int = 37;
const F_SETLEASE: c_int = 1024;
const F_RDLCK: c_short = 0;
const F_WRLCK: c_short = 1;

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
    fn signal(number: c_int, handler: usize) -> usize;
}

const SIGIO: c_int = 29;
const SIG_IGN: usize = 1;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [call, access, start, length, file] = args.as_slice() else { panic!("{args:?}") };
    let file = std::fs::File::options().read(true).write(access == "write").open(file).unwrap();
    let kind = if access == "write" { F_WRLCK } else { F_RDLCK };
    let (start, length) = (start.parse().unwrap(), length.parse().unwrap());
    let lock = Flock { kind, whence: 0, start, length, pid: 0 };
    const { assert!(size_of::<c_long>() == 8, "the layout above") };
    let fd = file.as_raw_fd();
    // SAFETY: the structure is the kernel's, and lives until the call returns; a signal that is ignored runs no
    // handler.
    let answer = unsafe {
        match call.as_str() {
            // LOCK_EX or LOCK_SH.
            "flock" => flock(fd, if access == "write" { 2 } else { 1 }),
            "lease" => {
                // Whoever opens the file has this process asked to give the lease up, by a signal.
                signal(SIGIO, SIG_IGN);
                fcntl(fd, F_SETLEASE, c_int::from(kind))
            }
            "ofd" => fcntl(fd, F_OFD_SETLK, &raw const lock),
            _ => fcntl(fd, F_SETLK, &raw const lock),
        }
    };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    println!("held");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
