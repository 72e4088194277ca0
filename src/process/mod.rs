//! The process world, as the kernel's own records show it: who carries a pid, since when, where.
//!
//! In: a proc directory and the pids that locks name. Out: [`crate::evidence`] values, and
//! where the running OpenClaw processes keep their state. Called by [`crate::scan`]; also by
//! [`crate::discover`] for the places and packages of those processes. Judges nothing, prints
//! nothing, changes nothing.

pub mod credentials;
pub mod exports;
pub mod halted;
pub mod identity;
pub mod kernel_holders;
pub mod offsets;
pub mod openclaw;
pub mod own_view;
pub mod packages;
pub mod proc_dir;
pub mod roots;
pub mod routes;
pub mod sharing;
pub mod status;
pub mod table;
pub mod vantage;
pub mod witness;
pub mod workers;
