//! Runs a command: resolve the arguments, call the library, show the answer.

mod args;
mod explain;
mod front;
mod key;
mod manual;
mod progress;
mod prompt;
mod repair;
mod scan;
mod style;
mod table;

use args::{Cli, Command};
use clap::Parser;
use front::Place;
use openclaw_doctor::quote::{visible, visible_path};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Wrong usage (docs/exit-codes.md).
const USAGE: u8 = 2;
/// The answer may miss something.
const INCOMPLETE: u8 = 3;

pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let error = without_escapes(error);
            // `--help` and `--version` arrive here too, with exit code 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    if let Err(error) = openclaw_doctor::sys::signals::survive_file_size_limit() {
        let _ = writeln!(io::stderr(), "openclaw-doctor: cannot catch signals: {error}");
        return ExitCode::from(USAGE);
    }
    match &cli.command {
        Command::Scan(_) | Command::Explain(_) | Command::Repair(_) => front::run(|place| answer(&cli, place)),
        Command::Completions { .. } | Command::Man | Command::Schema { .. } => answer(&cli, Place::Alone),
    }
}

fn answer(cli: &Cli, place: Place) -> ExitCode {
    let result = match &cli.command {
        Command::Scan(args) => scan::run(args, &cli.common),
        Command::Explain(args) => explain::run(args, &cli.common),
        Command::Repair(args) => repair::run(args, &cli.common, place),
        Command::Completions { shell } => manual::completions(*shell),
        Command::Man => manual::man(),
        Command::Schema { report } => manual::schema(*report),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        // The reader of a pipe has seen enough: the code still says what was found.
        Err(Failure::Output(error, code)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(code),
        Err(failure) => {
            let _ = writeln!(io::stderr(), "openclaw-doctor: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// The same error for arguments that a terminal does not obey: clap echoes them, and a name
/// that a shell's `*` stands for may begin with `--` and hold an escape.
fn without_escapes(error: clap::Error) -> clap::Error {
    let args = std::env::args_os().map(|arg| visible_path(Path::new(&arg)));
    Cli::try_parse_from(args).err().unwrap_or(error)
}

/// The exit code of an answer, told or not.
fn told(written: io::Result<()>, code: u8) -> Result<u8, Failure> {
    written.map(|()| code).map_err(|error| Failure::Output(error, code))
}

/// Why a command has no answer.
pub(crate) enum Failure {
    /// The answer could not be written; the exit code that it would have had.
    Output(io::Error, u8),
    /// The arguments do not fit what is there: what, and what to do.
    Usage(String),
    /// The receipt cannot be opened: nothing was removed.
    Receipt(String),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Output(_, code) => INCOMPLETE.max(*code),
            Self::Usage(_) => USAGE,
            Self::Receipt(_) => 4,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Output(error, _) => write!(f, "cannot write the answer: {error}"),
            Self::Usage(message) | Self::Receipt(message) => f.write_str(&visible(message)),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error, 0)
    }
}
