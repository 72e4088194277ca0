//! The operating system's side: clocks, directories, mounts, bounded waiting.
//!
//! Whoever reads files does it with these: [`crate::process`], [`crate::discover`] and
//! [`crate::scan`]. Only [`crate::remove`], which unlinks, and [`crate::receipt`], which appends,
//! make system calls on files of their own. What is here returns facts and errors, judges
//! nothing and prints nothing.

pub mod authority;
pub mod bounded;
pub mod clock;
pub mod each;
pub mod filesystem;
pub mod kernel_lock;
pub mod mounts;
pub mod signals;
pub mod tree;

/// What an error says, once: “Permission denied (os error 13)” says it twice.
pub fn words(errno: rustix::io::Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
