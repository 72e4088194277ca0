//! What became of a lock, in a word and a sentence.

use crate::sys::words;
use rustix::io::Errno;
use serde::Serialize;

/// What became of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    /// It is gone, by our hand.
    Removed,
    /// It was gone before we came.
    AlreadyGone,
    /// It is not what was judged any more; nothing, or nothing of the new one, was touched.
    Changed,
    /// Another doctor works in this directory.
    Busy,
    /// It holds something that no release puts there, or cannot be removed by this protocol.
    Refused,
    /// The operator said no.
    Declined,
    /// Left on purpose: held, or not proven and nobody's word given.
    HeldBack,
    /// A system call failed.
    Failed,
    /// The run was stopped before its turn.
    NotAttempted,
}

impl OutcomeKind {
    /// The word in JSON and text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::AlreadyGone => "already-gone",
            Self::Changed => "changed",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::Declined => "declined",
            Self::HeldBack => "held-back",
            Self::Failed => "failed",
            Self::NotAttempted => "not-attempted",
        }
    }
}

/// What became of a lock, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The word.
    pub kind: OutcomeKind,
    /// One sentence: cause and, where there is one, remedy. Empty where the word says all.
    pub detail: String,
}

impl Outcome {
    /// An outcome with its sentence.
    pub fn new(kind: OutcomeKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    pub(super) fn errno(act: &str, errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::new(OutcomeKind::AlreadyGone, format!("{act}: it is not there any more")),
            Errno::LOOP => Self::new(OutcomeKind::Changed, format!("{act}: a symbolic link stands there now")),
            Errno::NOTDIR => Self::new(OutcomeKind::Changed, format!("{act}: it is no directory any more")),
            Errno::XDEV => Self::new(OutcomeKind::Refused, format!("{act}: a mount point lies in the way")),
            other => Self::new(OutcomeKind::Failed, format!("{act}: {}; {}", words(other), remedy(other))),
        }
    }
}

fn remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::ACCESS | Errno::PERM => {
            "run it as the owner of that directory or as root; an immutable file shows in lsattr"
        }
        Errno::ROFS => "mount the filesystem read-write first",
        Errno::BUSY => "it is a mount point: unmount it first",
        _ => "look at the filesystem's state and run again",
    }
}
