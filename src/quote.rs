//! Foreign text made safe to show, and paths made safe to paste. Pure.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Whether a character may reach a terminal as it is.
#[must_use]
pub fn is_plain(c: char) -> bool {
    let reorders_or_hides = matches!(
        c,
        '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    );
    !c.is_control() && !reorders_or_hides
}

/// Text with every control character, escape and bidirectional override spelled out.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) { out.push(c) } else { out.extend(c.escape_default()) }
    }
    out
}

/// A path for people: like [`visible`], with bytes that are not UTF-8 as `\xff`.
#[must_use]
pub fn visible_path(path: &Path) -> String {
    let mut out = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        out.push_str(&visible(chunk.valid()));
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// A path as one word of a POSIX-like shell; odd ones in the `$'…'` form of bash, zsh and busybox.
#[must_use]
pub fn shell_word(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+:,@%=".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(harmless) && !bytes.starts_with(b"-") {
        return OsStr::from_bytes(bytes).to_string_lossy().into_owned();
    }
    let mut out = "$'".to_owned();
    for byte in bytes {
        match byte {
            b'\'' | b'\\' => {
                out.push('\\');
                out.push(char::from(*byte));
            }
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_reach_neither_terminal_nor_shell() {
        assert_eq!(visible("a\u{1b}[31m\u{9b}x\n"), "a\\u{1b}[31m\\u{9b}x\\n");
        let odd = Path::new(OsStr::from_bytes(b"/tmp/a b/\xff\x1b'$(id)"));
        assert_eq!(visible_path(odd), "/tmp/a b/\\xff\\u{1b}'$(id)");
        assert_eq!(shell_word(odd), "$'/tmp/a b/\\xff\\x1b\\'$(id)'");
        assert_eq!(shell_word(Path::new("/var/lib/openclaw")), "/var/lib/openclaw");
        assert_eq!(shell_word(Path::new("-rf")), "$'-rf'");
    }
}
