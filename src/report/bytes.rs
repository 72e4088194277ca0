//! Bytes that may not be text, without losing any.

/// Hexadecimal digits of bytes that are not UTF-8; absent where text holds them all.
#[must_use]
pub fn hex_if_not_text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).is_err().then(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The text of bytes, U+FFFD for what is none. Valid text, which is nearly all, is checked and
/// copied whole: [`String::from_utf8_lossy`] goes through it piece by piece.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes).into_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_text_are_kept_whole() {
        assert_eq!(hex_if_not_text(b"{}"), None);
        assert_eq!(hex_if_not_text(b"a\xff").as_deref(), Some("61ff"));
        assert_eq!((text(b"{}").as_str(), text(b"a\xff").as_str()), ("{}", "a\u{fffd}"));
    }
}
