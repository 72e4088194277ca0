//! What a lock is called, and whom it holds up.

use super::{Blocks, BlocksUnknown, NotBlocking, Releases};
use crate::discover::{self, FoundLock, RootKind, RootReport};
use crate::family::{Family, STATE_PLACES, is_place};
use crate::release::{OwnerRelease, may_hold};
use crate::restraint::Wanted;
use crate::who::CannotTell;
use std::path::{Path, PathBuf};

/// Where version directories stand in a state dir.
const STAGE_PLACES: &[&str] = &["plugin-runtime-deps/*"];

pub(super) fn version_in(path: &Path) -> Option<String> {
    discover::version_of(path.parent()?.file_name()?).map(str::to_owned)
}

/// The state dir that a lock belongs to: one of the roots, a directory above the lock that is
/// called like one, or, where no other is, one in its own root that holds it where a state dir would.
pub(super) fn state_dir(path: &Path, found: &FoundLock, root: &RootReport, roots: &[RootReport]) -> Option<PathBuf> {
    let is_root = |dir: &Path| roots.iter().any(|root| root.spec.kind == RootKind::State && root.path == dir);
    let parent = path.parent()?;
    let named = parent.ancestors().find(|dir| discover::places::names_state_dir(dir) || is_root(dir));
    // A temp directory and one of units are in no state dir, whatever they are called.
    if named.is_some() || matches!(root.spec.kind, RootKind::Temp | RootKind::Config) {
        return named.map(Path::to_owned);
    }
    let places = if version_in(path).is_some() { STAGE_PLACES } else { STATE_PLACES };
    let holds = |dir: &&Path| {
        let below = parent.strip_prefix(dir).unwrap_or(parent);
        places.iter().any(|place| is_place(below, place))
    };
    let inside = parent.ancestors().take(found.below.components().count());
    inside.filter(holds).last().map(Path::to_owned)
}

/// Whether a lock in a version directory holds anybody up: its own directory names the version that
/// waits. A stage root keeps the directories of releases that are gone.
pub(super) fn blocks_version(of: String, here: &Releases, cannot_tell: Option<CannotTell>) -> Blocks {
    if here.known.iter().any(|known| sanitised(known) == of) {
        return Blocks::Yes { version: of };
    }
    match (cannot_tell, &here.unknown) {
        (Some(why), _) => Blocks::Unknown(BlocksUnknown::WhoRuns(why)),
        (None, _) if here.known.is_empty() => Blocks::Unknown(BlocksUnknown::NoneFound),
        (None, Some(why)) => Blocks::Unknown(why.clone()),
        (None, None) => Blocks::No { why: NotBlocking::OtherVersion(of), known: here.known.clone() },
    }
}

/// Whether another lock holds anybody up: of the releases that own its state dir. Where these cannot
/// be told, a release that runs or is installed here may be one of them, and none is known not to be.
pub(super) fn blocks(family: &Family, here: &Releases, wanted: &Wanted) -> Blocks {
    let known = match &wanted.release {
        OwnerRelease::Known(owning) => owning,
        OwnerRelease::Unknown(_) => &here.known,
    };
    if let Some(version) = known.iter().find(|version| may_hold(family.holds_up, version)) {
        return Blocks::Yes { version: version.clone() };
    }
    match (&wanted.cannot_tell, &wanted.release) {
        (Some(why), _) => Blocks::Unknown(BlocksUnknown::WhoRuns(why.clone())),
        (None, OwnerRelease::Unknown(_)) if known.is_empty() => Blocks::Unknown(BlocksUnknown::NoneFound),
        (None, OwnerRelease::Unknown(why)) => Blocks::Unknown(BlocksUnknown::Release(why.clone())),
        (None, OwnerRelease::Known(known)) => {
            Blocks::No { why: NotBlocking::OtherReleases(family.holds_up), known: known.clone() }
        }
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
    feed(found.name().as_encoded_bytes());
    format!("{:012x}", hash >> 16)
}
