//! The process world, as the kernel's own records show it: who carries a pid, since when, where.
//!
//! In: a proc directory and the pids that locks name. Out: [`crate::evidence`] values. Called
//! by [`crate::scan`]. Judges nothing, prints nothing, changes nothing.

pub mod identity;
mod offsets;
pub mod openclaw;
pub mod proc_dir;
pub mod roots;
pub mod sharing;
pub mod status;
pub mod table;
pub mod vantage;
pub mod witness;
pub mod workers;
