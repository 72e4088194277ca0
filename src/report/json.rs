//! Writes JSON that is safe to show: control characters beyond ASCII are escaped too, since a
//! terminal obeys U+009B as it obeys ESC [, and bidirectional overrides reorder what is read.

use crate::quote::is_plain;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use std::io::{self, Write};

/// Writes one pretty-printed JSON value and a newline.
///
/// Errors: those of the writer.
pub fn write_pretty(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut serializer =
        Serializer::with_formatter(&mut *out, Escaping { pretty: PrettyFormatter::with_indent(b"  ") });
    value.serialize(&mut serializer)?;
    out.write_all(b"\n")
}

/// Writes one JSON value on one line.
///
/// Errors: those of the writer.
pub fn write_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, EscapingLine))?;
    out.write_all(b"\n")
}

struct Escaping {
    pretty: PrettyFormatter<'static>,
}

struct EscapingLine;

impl Formatter for EscapingLine {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        write_escaped(writer, fragment)
    }
}

fn write_escaped<W: ?Sized + Write>(writer: &mut W, fragment: &str) -> io::Result<()> {
    // Nearly every text of a report: nothing to look for character by character.
    if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return writer.write_all(fragment.as_bytes());
    }
    let mut plain_from = 0;
    for (at, c) in fragment.char_indices().filter(|(_, c)| !is_plain(*c)) {
        writer.write_all(fragment.get(plain_from..at).unwrap_or_default().as_bytes())?;
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(writer, "\\u{unit:04x}")?;
        }
        plain_from = at + c.len_utf8();
    }
    writer.write_all(fragment.get(plain_from..).unwrap_or_default().as_bytes())
}

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        write_escaped(writer, fragment)
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.pretty.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.pretty.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_survives_and_no_text_is_lost() {
        let nasty = "a\u{1b}[2J\u{9b}31m\u{202e}ö\u{7f}\n\u{feff}\u{61c}\u{e0041}z";
        let mut out = Vec::new();
        write_pretty(&mut out, &nasty).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.trim_end().chars().all(is_plain), "{text:?}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), nasty);
    }
}
