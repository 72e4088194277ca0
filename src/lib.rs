//! Says who holds an OpenClaw lock, proves it from the kernel's own records, and clears what
//! is provably dead.
//!
//! Layers, each using only those before it and its own:
//! 1. [`units`], [`release`], [`record`], [`stand_in`], [`scope`], [`hold`], [`evidence`], [`candidates`], [`who`], [`problem`], [`family`]: values;
//!    [`quote`]: text made safe to show;
//! 2. [`ticks`], [`verdict`], [`restraint`], [`explain`]: pure functions of them;
//! 3. [`sys`], [`process`], [`discover`]: the edges, which read the machine;
//! 4. [`scan`]: gathers facts once and judges them; [`words`]: its causes in sentences; [`redact`]: takes the names out of it;
//! 5. [`warrant`], [`plan`]: what may be removed, and on whose word; pure;
//! 6. [`remove`], [`receipt`], [`repair`]: the only ones that change anything;
//! 7. [`report`]: the JSON of the outside world, whose writer of lines [`receipt`] uses too.
//!
//! The command line, the table and the colours live in the binary.

pub mod candidates;
pub mod discover;
pub mod evidence;
pub mod explain;
pub mod family;
pub mod hold;
pub mod plan;
pub mod problem;
pub mod process;
pub mod quote;
pub mod receipt;
pub mod record;
pub mod redact;
pub mod release;
pub mod remove;
pub mod repair;
pub mod report;
pub mod restraint;
pub mod scan;
pub mod scope;
pub mod stand_in;
pub mod sys;
pub mod ticks;
pub mod units;
pub mod verdict;
pub mod warrant;
pub mod who;
pub mod words;
