//! Makes an empty directory like another one: owner, group, mode, access lists and label.
//!
//! Called by [`super::directory`], which gives a stranger's directory back, and by
//! [`super::bare`], whose stand-in must be to every process what the lock was.
#![expect(clippy::disallowed_methods, reason = "one of the places that make a directory")]

use super::stand_in::insist;
use crate::sys::tree::{Crossing, Dir, Meta};
use rustix::fs::{Gid, Mode, Uid, XattrFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How far the clock that stamps files may lag behind ours, in milliseconds.
const STAMP_LAG_MS: i64 = 100;
/// What decides who may do what in a directory, besides owner and mode (acl(5), selinux(8)).
const ATTRIBUTES: [&str; 3] = ["system.posix_acl_access", "system.posix_acl_default", "security.selinux"];
/// How long such an attribute may be, in bytes (`XATTR_SIZE_MAX`).
const ATTRIBUTE_MAX: usize = 64 * 1024;

/// Makes a directory `name` in `parent` as `like` is.
///
/// All but the name is set through a descriptor: the name may be swapped under our hands, and the
/// umask takes no part in what stood there.
///
/// Errors: `EEXIST` if something has the name, or took it in the same moment; otherwise those of
/// the calls that make it alike, and then the directory may be left.
pub(super) fn make(parent: &Dir, name: &OsStr, like: &Dir, meta: &Meta) -> Result<(Dir, Meta), Errno> {
    let mode = Mode::from_raw_mode(u32::from(meta.mode) & 0o7777);
    let before = crate::sys::clock::read().wall;
    rustix::fs::mkdirat(parent, name.as_bytes(), mode)?;
    let made = insist(|| parent.open_below(Path::new(name), Crossing::SameMount))?;
    let new = insist(|| made.meta())?;
    // Whoever owns the directory above may have put another one in its place: only what was born
    // just now, is ours and holds nothing is given away.
    let ours = new.uid == rustix::process::geteuid().as_raw();
    let just_born = new.born.or(new.modified).is_some_and(|born| born.since_ms(before) >= -STAMP_LAG_MS);
    if !(ours && just_born && insist(|| made.is_empty())?) {
        return Err(Errno::EXIST);
    }
    if (new.uid, new.gid) != (meta.uid, meta.gid) {
        insist(|| rustix::fs::fchown(&made, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid))))?;
    }
    // After the owner: a change of owner takes the set-group-ID bit away.
    insist(|| rustix::fs::fchmod(&made, mode))?;
    for name in ATTRIBUTES {
        let wanted = attribute(like, name)?;
        if attribute(&made, name)? == wanted {
            continue;
        }
        insist(|| match &wanted {
            Some(value) => rustix::fs::fsetxattr(&made, name, value, XattrFlags::empty()),
            None => rustix::fs::fremovexattr(&made, name),
        })?;
    }
    Ok((made, new))
}

fn attribute(dir: &Dir, name: &str) -> Result<Option<Vec<u8>>, Errno> {
    insist(|| {
        let mut value = Vec::with_capacity(ATTRIBUTE_MAX);
        match rustix::fs::fgetxattr(dir, name, rustix::buffer::spare_capacity(&mut value)) {
            Ok(_) => Ok(Some(value)),
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(None),
            Err(errno) => Err(errno),
        }
    })
}
