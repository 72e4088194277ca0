//! Colour and width, decided once for a run.

use super::args::Color;
use openclaw_doctor::explain::Advice;
use openclaw_doctor::quote::visible;
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
    #[expect(
        clippy::disallowed_methods,
        reason = "NO_COLOR, TERM and COLUMNS speak of the terminal, which is looked at here"
    )]
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

    /// Breaks prose between words where the terminal would break it anywhere; later lines are
    /// indented. In a pipe a line stays a line, and so does a command: what is pasted stays whole.
    pub(crate) fn prose(self, text: &str, indent: usize) -> String {
        let is_command = text.trim_start().starts_with("openclaw-doctor ");
        let Some(width) = self.width.map(usize::from).filter(|width| *width > indent && !is_command) else {
            return text.to_owned();
        };
        let (mut out, mut used) = (String::new(), 0);
        for (index, word) in text.split(' ').enumerate() {
            let length = word.chars().count();
            if used > indent && used + 1 + length > width {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent));
                used = indent;
            } else if index > 0 {
                out.push(' ');
                used += 1;
            }
            out.push_str(word);
            used += length;
        }
        out
    }

    /// A head and lines beside it, each made safe to show and broken between words. What a stranger
    /// wrote makes no line of its own: only here a line begins.
    pub(crate) fn entry(self, head: &str, lines: &[impl AsRef<str>]) -> String {
        let indent = head.chars().count();
        let lines = lines.iter().enumerate().map(|(index, line)| {
            let head = if index == 0 { head.to_owned() } else { " ".repeat(indent) };
            self.prose(&format!("{head}{}", visible(line.as_ref())), indent)
        });
        lines.collect::<Vec<String>>().join("\n")
    }

    /// Advice beside a head of this width: the command on a line of its own and whole, unless
    /// all fits on one.
    pub(crate) fn advice(self, first: &str, advice: &Advice, indent: usize) -> Vec<String> {
        let whole = format!("{first}{advice}");
        let fits = self.width.is_none_or(|width| indent + whole.chars().count() <= usize::from(width));
        match &advice.command {
            Some(command) if !fits => {
                let words = format!("{first}{}", advice.words);
                let words = words.trim_end_matches([':', ' ']);
                let words = (!words.is_empty()).then(|| format!("{words}:"));
                words.into_iter().chain([command.clone()]).collect()
            }
            _ => vec![whole],
        }
    }

    fn paint(self, text: &str, style: Style) -> String {
        if self.colour { text.style(style).to_string() } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::Look;

    #[test]
    fn prose_is_broken_between_words_and_loses_none() {
        let text = "Problem: /a path: cannot be read; see /a/very/long/path/that/fits/nowhere and go on";
        let narrow = Look { colour: false, width: Some(20) }.prose(text, 2);
        let fits = |line: &str| line.chars().count() <= 20 || !line.trim_start().contains(' ');
        assert!(narrow.lines().all(fits) && narrow.lines().count() > 3, "{narrow}");
        assert_eq!(narrow.replace("\n  ", " "), text);
        assert_eq!(Look { colour: false, width: None }.prose(text, 2), text);
        assert_eq!(Look { colour: false, width: Some(1) }.prose(text, 2), text);
        let head = "Lock      /a/word/wider/than/the/line";
        assert_eq!(Look { colour: false, width: Some(20) }.prose(head, 10), head);
    }
}
