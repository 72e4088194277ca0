//! What a run was told to look at, as values: the next command takes it over.

use crate::quote::shell_word;
use std::path::{Path, PathBuf};

/// What a run was told to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// PATH arguments, as given.
    pub paths: Vec<PathBuf>,
    /// `--discover`.
    pub discover: bool,
    /// `--all-users`.
    pub all_users: bool,
    /// `--proc`.
    pub proc: PathBuf,
    /// `--assume-single-writer`.
    pub assume_single_writer: bool,
    /// `--family`; every family if empty.
    pub families: Vec<&'static str>,
}

impl Default for Scope {
    fn default() -> Self {
        let (paths, families) = (Vec::new(), Vec::new());
        let proc = PathBuf::from("/proc");
        Self { paths, discover: false, all_users: false, proc, assume_single_writer: false, families }
    }
}

impl Scope {
    /// The flags without which a command about one lock would not see what this run sees, each
    /// after a space.
    #[must_use]
    pub fn flags(&self) -> String {
        let mut flags = String::new();
        if self.proc != Path::new("/proc") {
            flags.push_str(" --proc ");
            flags.push_str(&shell_word(&self.proc));
        }
        if self.assume_single_writer {
            flags.push_str(" --assume-single-writer");
        }
        for family in &self.families {
            flags.push_str(" --family ");
            flags.push_str(family);
        }
        flags
    }

    /// All of it as arguments, each after a space.
    #[must_use]
    pub fn arguments(&self) -> String {
        let mut arguments = String::new();
        if self.all_users {
            arguments.push_str(" --all-users");
        } else if self.discover {
            arguments.push_str(" --discover");
        }
        arguments.push_str(&self.flags());
        for path in &self.paths {
            arguments.push(' ');
            arguments.push_str(&shell_word(path));
        }
        arguments
    }
}
