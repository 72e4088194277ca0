//! The arguments as the user types them.

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use openclaw_doctor::family;
use openclaw_doctor::scan::Request;
use openclaw_doctor::scope::Scope;
use std::path::PathBuf;

/// Version and commit, as `--version` prints them.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("OPENCLAW_DOCTOR_COMMIT"), ")");

/// Says who holds an OpenClaw lock, proves it from the kernel's own records, and clears what
/// is provably dead.
#[derive(Debug, Parser)]
#[command(name = "openclaw-doctor", version = VERSION, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 nothing stale · 1 stale or unverifiable locks remain · 2 wrong usage · \
    3 something in scope could not be read · 4 a removal failed")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find every lock and say whose it is; changes nothing
    Scan(ScanArgs),
    /// Say everything known of one lock, in sentences; changes nothing
    Explain(ExplainArgs),
    /// Remove what is proven stale; ask where it cannot be proven
    Repair(RepairArgs),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page (`openclaw-doctor man | man -l -`)
    Man,
    /// Print a JSON Schema
    Schema {
        /// The report whose schema to print
        #[arg(default_value = "scan")]
        report: Report,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// Stage roots, state dirs, version directories, single locks, or any directory above them.
    /// With a PATH nothing else is looked at
    pub(crate) paths: Vec<PathBuf>,
    /// Print one JSON object (see `openclaw-doctor schema`)
    #[arg(long)]
    pub(crate) json: bool,
    /// Replace home directories, user, host and session names by pseudonyms, for a ticket
    #[arg(long)]
    pub(crate) redact: bool,
    /// Make ids and pseudonyms from the secret in FILE, so that they are the same in every report made
    /// with it
    #[arg(long, value_name = "FILE", requires = "redact")]
    pub(crate) redact_key: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RepairArgs {
    /// Stage roots, state dirs, version directories, single locks, or any directory above them.
    /// With a PATH nothing else is touched
    pub(crate) paths: Vec<PathBuf>,
    /// Also remove what is not proven but likely stale, without asking
    #[arg(long)]
    pub(crate) yes: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Only this lock, by its id or path; with --yes also where it is likely held or out of sight, never
    /// where it is active
    #[arg(long, value_name = "ID|PATH")]
    pub(crate) lock: Vec<PathBuf>,
    /// The ids are those of a report that was redacted with the secret in FILE
    #[arg(long, value_name = "FILE", requires = "lock")]
    pub(crate) redact_key: Option<PathBuf>,
    /// Append a line of JSON to FILE before and after each removal, synced to disk
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Option<PathBuf>,
    /// Print one JSON object (see `openclaw-doctor schema repair`)
    #[arg(long)]
    pub(crate) json: bool,
}

/// The shells that containers and operators use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Report {
    Scan,
    Repair,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The path of a lock, or the id that a scan printed
    pub(crate) lock: PathBuf,
    /// Where to look for an id, if not where OpenClaw keeps its state; or further locks
    pub(crate) paths: Vec<PathBuf>,
    /// The id is one of a report that was redacted with the secret in FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) redact_key: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    /// Look where OpenClaw keeps its state, in addition to the PATHs given
    #[arg(long, global = true)]
    pub(crate) discover: bool,
    /// Look in the home directories of all users
    #[arg(long, global = true)]
    pub(crate) all_users: bool,
    /// Read processes from DIR instead of /proc (a host's /proc mounted in a pod)
    #[arg(long, global = true, value_name = "DIR", default_value = "/proc")]
    pub(crate) proc: PathBuf,
    /// Only locks of this kind (docs/locks.md); may be given more than once
    #[arg(long = "family", global = true, value_name = "NAME", value_parser = families(), hide_possible_values = true)]
    pub(crate) families: Vec<String>,
    /// Vouch that only processes of this container use the directories looked at
    #[arg(long, global = true)]
    pub(crate) assume_single_writer: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
    /// Print nothing; the exit code is the answer
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Also print what was looked at
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

fn families() -> PossibleValuesParser {
    PossibleValuesParser::new(family::FAMILIES.iter().map(|family| family.name))
}

impl Common {
    /// What the library is asked for.
    pub(crate) fn request(&self, paths: Vec<PathBuf>) -> Request {
        let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let named = self.families.iter().filter_map(|name| family::by_name(name));
        let scope = Scope {
            paths,
            discover: self.discover,
            all_users: self.all_users,
            proc: self.proc.clone(),
            families: named.map(|family| family.name).collect(),
            assume_single_writer: self.assume_single_writer,
        };
        Request { scope, environment: environment.collect() }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        use clap::CommandFactory;
        super::Cli::command().debug_assert();
    }
}
