//! A process whose first thread has exited while another one works: its state is `Z`, and it
//! lives. Prints the id of the living thread once that is so; ends with its standard input.
//! Compiled by the lab test that needs it.

use std::ffi::c_long;
use std::io::Read;

/// exit(2), which ends one thread. pthread_exit would unwind through Rust.
const SYS_EXIT: c_long = if cfg!(target_arch = "x86_64") { 60 } else { 93 };

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

fn main() {
    std::thread::spawn(|| {
        let is_zombie = || std::fs::read_to_string("/proc/self/stat").unwrap().contains(") Z ");
        while !is_zombie() {
            std::thread::yield_now();
        }
        let thread = std::fs::read_link("/proc/thread-self").unwrap();
        println!("{}", thread.file_name().unwrap().to_str().unwrap());
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        std::process::exit(0);
    });
    // SAFETY: the thread ends here; nothing of its stack is shared with the other one.
    unsafe { syscall(SYS_EXIT, 0) };
}
