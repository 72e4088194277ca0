//! Input that means harm or has come to harm: each ends in a clear class or line, exit 3 where
//! the answer may be incomplete, and never in a crash, a hang, a wrong proof or a changed tree.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, clippy::indexing_slicing)]

mod support;

#[path = "hostile/depth.rs"]
mod depth;
#[path = "hostile/files.rs"]
mod files;
#[path = "hostile/look.rs"]
mod look;
#[path = "hostile/moving.rs"]
mod moving;
#[path = "hostile/names.rs"]
mod names;
#[path = "hostile/places.rs"]
mod places;
#[path = "hostile/proc_dirs.rs"]
mod proc_dirs;
#[path = "hostile/records.rs"]
mod records;
#[path = "hostile/snapshot.rs"]
mod snapshot;
#[path = "hostile/special.rs"]
mod special;
#[path = "hostile/unreadable.rs"]
mod unreadable;
