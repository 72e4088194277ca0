//! What a lock is called, and whom it holds up.

use super::Blocks;
use crate::discover::{self, Findings, FoundLock};
use std::path::Path;

pub(super) fn version_name(lock: &FoundLock, findings: &Findings) -> Option<String> {
    let root = findings.roots.get(lock.root)?;
    version_in(&root.path.join(&lock.below))
}

fn version_in(path: &Path) -> Option<String> {
    discover::version_of(path.parent()?.file_name()?).map(str::to_owned)
}

pub(super) fn blocks(path: &Path, versions: &[String]) -> Blocks {
    let Some(version) = version_in(path) else {
        return Blocks::Unknown("its directory names no version".to_owned());
    };
    if versions.is_empty() {
        return Blocks::Unknown("no running or installed OpenClaw was found to compare with".to_owned());
    }
    let known = versions.join(", ");
    if versions.iter().any(|known| sanitised(known) == version) {
        Blocks::Yes(format!("OpenClaw {version} is running or installed here"))
    } else {
        Blocks::No(format!("its directory is of version {version}; running or installed here: {known}"))
    }
}

/// A version as OpenClaw writes it into a directory name.
fn sanitised(version: &str) -> String {
    let mut name = String::new();
    for c in version.chars() {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            name.push(c);
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    name.trim_matches('-').to_owned()
}

/// FNV-1a, 48 bits in hexadecimal: short enough to type. Over the family, the directory that
/// holds the lock and the lock's name, so that one lock has one id, whatever PATH it was found
/// by. Two locks with one id are refused where an id is asked for.
pub(super) fn id(found: &FoundLock) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut feed = |bytes: &[u8]| {
        for byte in bytes.iter().chain(&[0]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    feed(found.family.name.as_bytes());
    feed(&found.guarded.device.0.to_le_bytes());
    feed(&found.guarded.device.1.to_le_bytes());
    feed(&found.guarded.inode.to_le_bytes());
    feed(found.below.file_name().unwrap_or_default().as_encoded_bytes());
    format!("{:012x}", hash >> 16)
}
