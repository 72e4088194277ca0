//! Holds a lock of fcntl(2): `file_lock setlk|ofd read|write START LENGTH FILE`. Prints a line once
//! it has it; ends with its standard input. Compiled by the tests that need it.

use std::ffi::{c_int, c_long, c_short};
use std::io::Read;
use std::os::fd::AsRawFd;

const F_SETLK: c_int = 6;
const F_OFD_SETLK: c_int = 37;
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
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [call, access, start, length, file] = args.as_slice() else { panic!("{args:?}") };
    let file = std::fs::File::options().read(true).write(access == "write").open(file).unwrap();
    let lock = Flock {
        kind: if access == "write" { F_WRLCK } else { F_RDLCK },
        whence: 0,
        start: start.parse().unwrap(),
        length: length.parse().unwrap(),
        pid: 0,
    };
    let command = if call == "ofd" { F_OFD_SETLK } else { F_SETLK };
    const { assert!(size_of::<c_long>() == 8, "the layout above") };
    // SAFETY: the structure is the kernel's, and lives until the call returns.
    assert_eq!(unsafe { fcntl(file.as_raw_fd(), command, &raw const lock) }, 0, "{}", std::io::Error::last_os_error());
    println!("held");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
