//! Colour and width, decided once for a run.

use super::args::Color;
use openclaw_doctor::verdict::Classification;
use owo_colors::{OwoColorize, Style};
use std::io::IsTerminal;

/// How to write to standard output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    colour: bool,
    /// Columns of the terminal; in a pipe those of `COLUMNS`, if it is exported, else absent:
    /// lines are not broken.
    pub(crate) width: Option<u16>,
}

impl Look {
    pub(crate) fn new(color: Color) -> Self {
        let stdout = std::io::stdout();
        let terminal = stdout.is_terminal();
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !set("NO_COLOR") && !dumb,
        };
        let size = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| size.ws_col);
        let asked: Option<u16> = std::env::var_os("COLUMNS").and_then(|columns| columns.to_str()?.parse().ok());
        let width = if terminal { size.filter(|columns| *columns > 0).or(Some(80)) } else { asked };
        Self { colour, width }
    }

    pub(crate) fn class(self, class: Classification) -> String {
        let style = match class {
            Classification::Active => Style::new().green(),
            Classification::StaleDeadPid | Classification::StaleRecycledPid => Style::new().red(),
            Classification::LegacyUnverifiable => Style::new().yellow(),
        };
        self.paint(class.word(), style)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint(text, Style::new().bold())
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint(text, Style::new().dimmed())
    }

    fn paint(self, text: &str, style: Style) -> String {
        if self.colour { text.style(style).to_string() } else { text.to_owned() }
    }
}
