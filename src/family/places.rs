//! Where in a state dir, and where in the temp directory, the families put their locks.
//!
//! Directories below a root, as in [`super::pattern`]. Each and those on the way to it are listed
//! and nothing else is: a state dir also holds workspaces, browsers' profiles and archives.

use super::pattern;
use std::path::Path;

/// Directories of a state dir that hold locks (OpenClaw 2026.1.29 to 2026.9.6).
pub static STATE_PLACES: &[&str] = &[
    "acp",
    "agents/*/agent",
    "agents/*/agent/session-locks",
    "agents/*/sessions",
    "agents/*/sessions/session-locks",
    "commitments",
    "credentials",
    "debug-proxy/certs",
    "discord",
    "feishu/dedup",
    "imessage/catchup",
    "locks/*",
    "matrix/accounts/*/*/*",
    "mcp-oauth",
    "migration",
    "qmd",
    "sandbox/browsers",
    "sandbox/containers",
    "skill-workshop/locks",
    "state",
    "tmp/openclaw",
    "tmp/openclaw*",
    "tmp/plugin-captures/*",
    "tools/crabbox/*",
    "workspace/.openclaw",
    "workspace*/.openclaw",
    "workspace/memory/.dreams",
    "workspace*/memory/.dreams",
];

/// Directories of the temp directory that OpenClaw makes for a user.
pub static TEMP_PLACES: &[&str] = &["openclaw", "openclaw*", ".openclaw-terminal-staging-*/terminal-upload-lock"];

/// Whether a directory below a state dir is one of the places, or leads to one, wherever the
/// agents work: a workspace is often a link to, or the configured name of, a directory elsewhere,
/// which nobody expects to be looked in.
#[must_use]
pub fn leads_to_fixed_place(below: &Path) -> bool {
    STATE_PLACES.iter().filter(|place| !place.starts_with("workspace")).any(|place| pattern::leads_to(below, place))
}

/// Whether a directory below a root is one of the places, or lies on the way to one.
#[must_use]
pub fn leads_to_locks(below: &Path, places: &[&str]) -> bool {
    places.iter().any(|place| pattern::leads_to(below, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_dirs_big_directories_are_not_entered() {
        for below in [
            "agents",
            "agents/main/sessions",
            "workspace/.openclaw",
            "workspace*/.openclaw",
            "workspace/memory/.dreams",
            "workspace-dev/memory",
            "locks/oauth-refresh",
        ] {
            assert!(leads_to_locks(Path::new(below), STATE_PLACES), "{below}");
        }
        for below in ["browser", "agents/main/sessions/archive", "workspace/src", "media", "plugin-runtime-deps"] {
            assert!(!leads_to_locks(Path::new(below), STATE_PLACES), "{below}");
        }
    }
}
