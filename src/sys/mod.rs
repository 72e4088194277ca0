//! The operating system's side: clocks, directories, mounts, bounded waiting.
//!
//! The only modules that may open files (with [`crate::process`] and [`crate::discover`]).
//! They return facts and errors; they judge nothing and print nothing.

pub mod bounded;
pub mod clock;
pub mod filesystem;
pub mod mounts;
pub mod tree;
