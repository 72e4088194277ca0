//! Whose start ticks a record holds: an owner writes down what *its* /proc shows for the pid
//! that it believes to have.
//!
//! In a PID namespace without a /proc of its own (`bwrap --dev-bind / / --unshare-pid`,
//! `unshare -pf`) that is a stranger's start time, and an emulator makes the number up. Pure:
//! used by [`crate::verdict`] to decide and by [`crate::explain`] to say why.

use crate::evidence::{Candidate, NotAsked, NotComparable, OwnView};
use crate::units::StartTicks;

/// How far an emulator's number may run ahead of the kernel's, in seconds: `qemu-user` counts
/// from its own start (9 ticks were measured), which a busy machine delays.
const EMULATOR_SECONDS: u64 = 30;

/// Why other ticks do not show that a living process is another one than the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The record is ahead of the process by so many ticks: an emulator may have made it up. A
    /// true successor has more ticks than its forerunner.
    Emulated(u64),
    /// Its /proc shows another process under its pid, or did.
    NotComparable(NotComparable),
    /// Its /proc shows another process under its pid, with these ticks now.
    ShowsAnother(StartTicks),
    /// Its /proc could not be looked at.
    NotAsked(NotAsked),
}

impl Doubt {
    /// Whether only a right is missing to see what nearly every process sees: its own ticks.
    #[must_use]
    pub fn only_refused(self) -> bool {
        self == Self::NotAsked(NotAsked::Refused)
    }
}

/// What may be wrong with comparing the recorded ticks with those of a process that has others.
#[must_use]
pub fn doubt(candidate: &Candidate, recorded: StartTicks, ticks_per_second: u64) -> Option<Doubt> {
    let ahead = |own: &StartTicks| recorded.0.checked_sub(own.0).filter(|ahead| *ahead > 0);
    let least = candidate.start_ticks.iter().filter_map(ahead).min();
    match (&candidate.own_view, least) {
        (_, Some(ahead)) if ahead <= EMULATOR_SECONDS.saturating_mul(ticks_per_second) => Some(Doubt::Emulated(ahead)),
        (OwnView::TrueTicks, _) => None,
        (OwnView::Shows(ticks), _) => Some(
            ticks.last().map_or(Doubt::NotComparable(NotComparable::NotListed), |ticks| Doubt::ShowsAnother(*ticks)),
        ),
        (OwnView::NotComparable(why), _) => Some(Doubt::NotComparable(*why)),
        (OwnView::NotAsked(why), _) => Some(Doubt::NotAsked(*why)),
    }
}
