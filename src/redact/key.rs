//! The key of a redaction: what makes its ids and pseudonyms, and lets nobody try guesses at them.

use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// The fewest bytes of a key that somebody keeps.
pub const MIN_KEY_BYTES: usize = 16;

/// A secret key.
pub struct Key {
    bytes: [u8; 16],
    kept: bool,
}

impl Key {
    /// A key for one report, from the kernel's random numbers; nobody has it afterwards.
    ///
    /// Errors: those of getrandom(2).
    pub fn random() -> Result<Self, rustix::io::Errno> {
        let mut bytes = [0; 16];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(Self { bytes, kept: false })
    }

    /// The key of a file: reports that are made with it have the same pseudonyms and ids. `None`
    /// if it has fewer than [`MIN_KEY_BYTES`].
    #[must_use]
    pub fn kept(file: &[u8]) -> Option<Self> {
        if file.len() < MIN_KEY_BYTES {
            return None;
        }
        let half = |seed| {
            let mut hasher = SipHasher24::new_with_keys(seed, !seed);
            hasher.write(file);
            hasher.finish().to_le_bytes()
        };
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(half(1).into_iter().chain(half(2))).for_each(|(byte, half)| *byte = half);
        Some(Self { bytes, kept: true })
    }

    pub(super) fn is_kept(&self) -> bool {
        self.kept
    }

    pub(super) fn hash(&self, kind: &str, name: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.bytes);
        hasher.write(kind.as_bytes());
        hasher.write_u8(0);
        hasher.write(name);
        hasher.finish()
    }

    /// The id that stands for this one in a report that is redacted with this key.
    #[must_use]
    pub fn id(&self, id: &str) -> String {
        format!("{:012x}", self.hash("id", id.as_bytes()) >> 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_gives_one_id_and_another_key_another() {
        let (one, other) = (Key::kept(&[7; 16]).unwrap(), Key::kept(&[8; 16]).unwrap());
        assert_eq!(one.id("0123456789ab"), Key::kept(&[7; 16]).unwrap().id("0123456789ab"));
        assert_ne!(one.id("0123456789ab"), other.id("0123456789ab"));
        assert_ne!(one.id("0123456789ab"), one.id("0123456789ac"));
        let (first, second) = (Key::random().unwrap(), Key::random().unwrap());
        assert_ne!(first.id("0123456789ab"), second.id("0123456789ab"));
        assert!(Key::kept(&[7; 15]).is_none());
    }
}
