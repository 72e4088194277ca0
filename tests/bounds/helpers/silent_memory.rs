//! A process whose memory map is held by one of its threads, for as long as a FUSE server of direct
//! I/O gives no answer: whoever reads its arguments or environment waits. Opens the file that
//! it is given, says `open`, and begins at the first byte of its standard input.
//! Compiled by the test that needs it.

use std::ffi::{c_int, c_void};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::time::Duration;

const PROT_READ: c_int = 1;
const MAP_PRIVATE: c_int = 2;

unsafe extern "C" {
    fn mmap(at: *mut c_void, length: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    std::fs::write("/proc/self/comm", arguments.next().unwrap()).unwrap();
    let file = std::fs::File::open(arguments.next().unwrap()).unwrap();
    let fd = file.as_raw_fd();
    // SAFETY: a new mapping; nothing else knows of it.
    let map = move || unsafe { mmap(std::ptr::null_mut(), 4096, PROT_READ, MAP_PRIVATE, fd, 0) } as usize;
    let page = map();
    println!("open");
    std::io::stdin().read_exact(&mut [0]).unwrap();
    // One thread waits for the page, which is locked meanwhile; another holds the memory map and
    // waits for the page's lock (invalidate_inode_pages2 of fuse_file_mmap).
    // SAFETY: the page is mapped for as long as the process lives.
    let reads = std::thread::spawn(move || unsafe { std::ptr::read_volatile(page as *const u8) });
    std::thread::sleep(Duration::from_millis(300));
    std::thread::spawn(map);
    reads.join().unwrap();
}
