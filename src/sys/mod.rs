//! The operating system's side: clocks, directories, mounts, bounded waiting.
//!
//! The only modules that may open files (with [`crate::process`] and [`crate::discover`]).
//! They return facts and errors; they judge nothing and print nothing.

pub mod bounded;
pub mod clock;
pub mod filesystem;
pub mod mounts;
pub mod tree;

/// What an error says, once: “Permission denied (os error 13)” says it twice.
pub fn words(errno: rustix::io::Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
