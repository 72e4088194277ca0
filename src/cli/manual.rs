//! What the tool says of itself: completions, manual page, schemas.

use super::Failure;
use super::args::{Cli, Report, Shell};
use clap::CommandFactory;
use std::io::{self, Write};

const NAME: &str = "openclaw-doctor";

pub(crate) fn completions(shell: Shell) -> Result<u8, Failure> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    // Into memory first: the generator panics where it cannot write.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut text);
    // clap_complete 4.6 names the commands of a tool with a hyphen in two ways in one bash script,
    // so that only the first word would ever be completed.
    put(String::from_utf8_lossy(&text).replace("openclaw__subcmd__doctor", "openclaw__doctor").as_bytes())
}

/// One page: the tool, then each command with its options.
pub(crate) fn man() -> Result<u8, Failure> {
    let mut text = Vec::new();
    // Not built: else every command would list the common options again.
    let command = Cli::command();
    let page = clap_mangen::Man::new(command.clone());
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        writeln!(text, ".SH \"{} {}\"", NAME.to_uppercase(), sub.get_name().to_uppercase())?;
        let page = clap_mangen::Man::new(sub.clone());
        let mut section = Vec::new();
        page.render_description_section(&mut section)?;
        page.render_options_section(&mut section)?;
        // Headings of a command's own become subsections of its section.
        text.extend_from_slice(
            String::from_utf8_lossy(&section).replace("\n.SH ", "\n.SS ").replacen(".SH ", ".SS ", 1).as_bytes(),
        );
    }
    let mut extra = Vec::new();
    page.render_extra_section(&mut extra)?;
    // All that stands after the help is the exit codes.
    text.extend_from_slice(String::from_utf8_lossy(&extra).replacen(".SH EXTRA", ".SH \"EXIT CODES\"", 1).as_bytes());
    page.render_version_section(&mut text)?;
    put(&text)
}

pub(crate) fn schema(report: Report) -> Result<u8, Failure> {
    put(match report {
        Report::Scan => include_bytes!("../../docs/scan-v1.schema.json"),
        Report::Repair => include_bytes!("../../docs/repair-v1.schema.json"),
    })
}

fn put(text: &[u8]) -> Result<u8, Failure> {
    io::stdout().write_all(text)?;
    Ok(0)
}
