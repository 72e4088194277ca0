//! How a family's locks are called: the end of a path, component by component.
//!
//! `*` stands for one byte or more, `[N]` for N lowercase hexadecimal digits, everything else
//! for itself. A pattern of two components is about a name and the directory that holds it.

use std::path::{Component, Path};

/// Whether a path ends with what the pattern describes.
pub(super) fn ends_with(path: &Path, pattern: &str) -> bool {
    let mut parts = path.components().rev();
    pattern.rsplit('/').all(|wanted| match parts.next() {
        Some(Component::Normal(name)) => matches(name.as_encoded_bytes(), wanted.as_bytes()),
        _ => false,
    })
}

/// Whether a path is what the pattern describes, or a directory on the way to it.
pub(super) fn leads_to(path: &Path, pattern: &str) -> bool {
    let mut wanted = pattern.split('/');
    path.components().all(|part| match (part, wanted.next()) {
        (Component::Normal(name), Some(wanted)) => matches(name.as_encoded_bytes(), wanted.as_bytes()),
        _ => false,
    })
}

/// Whether a path is what the pattern describes.
#[must_use]
pub fn is_place(path: &Path, pattern: &str) -> bool {
    path.components().count() == pattern.split('/').count() && leads_to(path, pattern)
}

fn matches(name: &[u8], pattern: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (1..=name.len()).any(|taken| name.get(taken..).is_some_and(|name| matches(name, rest))),
        [b'[', rest @ ..] => {
            let Some((digits, rest)) = count(rest) else { return false };
            let split = name.split_at_checked(digits);
            split.is_some_and(|(hex, name)| hex.iter().all(is_lower_hex) && matches(name, rest))
        }
        [literal, rest @ ..] => name.split_first().is_some_and(|(first, name)| first == literal && matches(name, rest)),
    }
}

fn is_lower_hex(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The number before a `]`, and what follows it.
fn count(pattern: &[u8]) -> Option<(usize, &[u8])> {
    let end = pattern.iter().position(|byte| *byte == b']')?;
    let (number, rest) = pattern.split_at(end);
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_describes_the_end_of_a_path() {
        for (path, pattern, expected) in [
            ("/a/sessions/x.jsonl.lock", "*.jsonl.lock", true),
            ("/a/.jsonl.lock", "*.jsonl.lock", false),
            ("/s/sandbox/containers.json.lock", "sandbox/containers.json.lock", true),
            ("/s/other/containers.json.lock", "sandbox/containers.json.lock", false),
            ("containers.json.lock", "sandbox/containers.json.lock", false),
            ("/t/gateway.5b681173.lock", "gateway.[8].lock", true),
            ("/t/gateway.settings.lock", "gateway.[8].lock", false),
            ("/t/gateway.5B681173.lock", "gateway.[8].lock", false),
            ("/t/gateway.5b68117.lock", "gateway.[8].lock", false),
            ("/p/1-00ff00ff/recovery.lock", "*-[8]/recovery.lock", true),
        ] {
            assert_eq!(ends_with(Path::new(path), pattern), expected, "{path} {pattern}");
        }
    }

    #[test]
    fn the_way_to_a_place_is_its_beginning() {
        for (path, expected) in [
            ("agents", true),
            ("agents/main", true),
            ("agents/main/sessions", true),
            ("agents/main/qmd", false),
            ("agents/main/sessions/x", false),
            ("workspace", false),
        ] {
            assert_eq!(leads_to(Path::new(path), "agents/*/sessions"), expected, "{path}");
        }
    }
}
