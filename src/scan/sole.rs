//! Whether, in a container, nobody outside of it can have written a lock.

use super::world::World;
use crate::discover::FoundLock;
use crate::evidence::{NotSole, ProcSource, SoleAccess};
use crate::process::proc_dir::ProcDir;
use crate::process::status::Status;
use crate::sys::mounts::{Mount, MountTable};
use std::path::Path;

/// Names of programs that are pid 1 of a whole system: systemd; sysvinit, OpenRC's and
/// busybox's init; others' of that kind. WSL's is `init(NAME)`.
const SYSTEM_INITS: &[&str] = &["systemd", "init", "openrc-init", "busybox", "runit", "dinit"];

/// Tells it for the mount that a lock lies on. What cannot be told is not sole.
pub(super) fn tell(world: &World, found: &FoundLock) -> SoleAccess {
    let (sight, mounts) = (&world.sight, world.mounts.as_ref());
    let Some(proc) = world.proc.as_deref().filter(|_| sight.source == ProcSource::Own) else {
        return SoleAccess::No(NotSole::ForeignPids);
    };
    if let Some(nested) = &sight.nested {
        return SoleAccess::No(NotSole::Nested(nested.clone()));
    }
    // `unshare --pid --mount-proc` in a container leaves the container's own /proc below its new
    // one: the layer belongs to the container, whose processes are out of sight.
    if mounts.is_some_and(MountTable::holds_several_procfs) {
        return SoleAccess::No(NotSole::SecondProcfs);
    }
    let Some(mount) = mounts.and_then(|mounts| mounts.by_id(found.reading.meta.mount_id)) else {
        return SoleAccess::No(NotSole::MountUnknown);
    };
    let is_local = found.filesystem.is_some_and(|filesystem| filesystem.is_local());
    if mount.mount_point != Path::new("/") || !is_root_of_init(proc, &mount) {
        return SoleAccess::No(NotSole::Mount { point: mount.mount_point, filesystem: mount.kind });
    }
    match mount.kind.as_str() {
        "overlay" => SoleAccess::OwnLayer,
        _ if is_local && runs_a_system(proc) => SoleAccess::OwnSystem,
        _ => SoleAccess::No(NotSole::Mount { point: mount.mount_point, filesystem: mount.kind }),
    }
}

/// Whether a mount is pid 1's root too: in a chroot(2) a volume that others share is `/`.
fn is_root_of_init(proc: &ProcDir, mount: &Mount) -> bool {
    let table = proc.process(1).and_then(|init| init.open("mountinfo"));
    let table = table.and_then(|table| MountTable::read(table, &|mount| mount.mount_point == Path::new("/")));
    // The last one covers the others.
    let same = |root: &Mount| root.device == mount.device && root.root == mount.root;
    table.is_ok_and(|table| table.iter().last().is_some_and(same))
}

fn runs_a_system(proc: &ProcDir) -> bool {
    let init = proc.read("1/status").ok().and_then(|bytes| Status::parse(&bytes));
    init.is_some_and(|init| SYSTEM_INITS.contains(&init.name.as_str()) || init.name.starts_with("init("))
}
