//! Finds locks: which directories to look in, what stands there, what it says.
//!
//! In: the operator's PATHs or the places where OpenClaw keeps its state. Out: locks with
//! their records read, and everything that could not be looked at. Called by [`crate::scan`].
//! Follows no symbolic link below a root, waits for no dead mount, judges nothing.

mod ceilings;
mod deep;
mod gather;
mod led;
pub mod lock;
mod origin;
pub mod places;
mod root;
mod state_database;
mod walk;

pub use gather::{Findings, Progress, RootReport, gather};
pub use origin::{Named, Origin};
pub use root::{OpenError, RootKind, RootSpec, Start};
pub use walk::FoundLock;
pub(crate) use walk::version_of;

use crate::family::Family;
use std::path::PathBuf;

/// The file of a kernel lock that nobody holds: no lock at the moment, and no litter either.
#[derive(Debug, Clone)]
pub struct Idle {
    /// Where.
    pub path: PathBuf,
    /// Of which family.
    pub family: &'static Family,
}

/// A directory that looks like a lock and is none that a known release writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookAlike {
    /// Where.
    pub path: PathBuf,
}
