//! A run ends, in bounded memory, whatever it meets: filesystems without an answer, processes whose
//! memory cannot be read, tables and records and lists of any size.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::disallowed_methods, unreachable_pub)]

#[path = "bounds/ends.rs"]
mod ends;
#[path = "bounds/faults.rs"]
mod faults;
#[path = "bounds/memory.rs"]
mod memory;
#[path = "bounds/server.rs"]
mod server;
mod support;
