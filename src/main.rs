//! `openclaw-doctor`: the command line. Arguments in, text and an exit code out; what is found
//! and judged comes from the library.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
