//! Bytes that may not be text, without losing any.

/// Hexadecimal digits of bytes that are not UTF-8; absent where text holds them all.
#[must_use]
pub fn hex_if_not_text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).is_err().then(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_text_are_kept_whole() {
        assert_eq!(hex_if_not_text(b"{}"), None);
        assert_eq!(hex_if_not_text(b"a\xff").as_deref(), Some("61ff"));
    }
}
