//! Acting with the file-system identity of whoever named a place, so that the kernel decides
//! what a run may look at and touch there.
//!
//! A thread takes the groups, the gid and the effective uid, in this order, and no capability.
//! Real and saved uid stay ours: the user whose identity it is cannot signal us, and we can take
//! our own back. On Linux these are properties of a thread (credentials(7), "C library/kernel
//! differences"); the thread is made for it and ends with it.
#![expect(clippy::disallowed_methods, reason = "the one place that takes an identity")]

use rustix::io::Errno;
use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};
use std::sync::Arc;

/// As whom a place is looked at and touched.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Authority {
    /// As ourselves.
    #[default]
    Own,
    /// With these ids, and without capabilities.
    Of(Arc<Ids>),
}

/// A file-system identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ids {
    /// The uid.
    pub uid: u32,
    /// The gid.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl Authority {
    /// The authority of these ids: our own, if we have no more than they.
    #[must_use]
    pub fn of(ids: Ids) -> Self {
        let own = geteuid();
        if !own.is_root() && own.as_raw() == ids.uid { Self::Own } else { Self::Of(Arc::new(ids)) }
    }

    /// Whether this run can take it.
    #[must_use]
    pub fn can_be_taken(&self) -> bool {
        let may = || capabilities(None).is_ok_and(|sets| sets.effective.contains(TAKES_IDS));
        *self == Self::Own || may()
    }

    /// Runs `work` with this authority, on a thread of its own unless it is our own.
    ///
    /// Errors: `EPERM` where we may not take it; `EAGAIN` where no thread can be started. Nothing
    /// of `work` was done then.
    pub fn run<T: Send>(&self, work: impl FnOnce(&Taken) -> T + Send) -> Result<T, Errno> {
        let Self::Of(ids) = self else { return Ok(work(&Taken { both: None })) };
        let own = Own::read()?;
        // Whoever waits for this thread looks at the one that works.
        let waited_for = super::bounded::current();
        let answer = std::thread::scope(|scope| {
            let taken = || {
                waited_for.iter().for_each(|thread| thread.is_here());
                ids.take()?;
                Ok(work(&Taken { both: Some((ids, own)) }))
            };
            let thread = std::thread::Builder::new().name("as-owner".to_owned()).spawn_scoped(scope, taken);
            let thread = thread.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))?;
            // A panic is ours, and was reported by its thread.
            thread.join().unwrap_or(Err(Errno::CANCELED))
        });
        waited_for.iter().for_each(|thread| thread.is_here());
        answer
    }
}

/// What taking another's ids wants.
const TAKES_IDS: CapabilitySet = CapabilitySet::SETUID.union(CapabilitySet::SETGID);

impl Ids {
    /// Takes these ids on the calling thread.
    fn take(&self) -> Result<(), Errno> {
        let mut sets = capabilities(None)?;
        let groups: Vec<Gid> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        set_thread_groups(&groups)?;
        set_thread_res_gid(None, Gid::from_raw(self.gid), None)?;
        set_thread_res_uid(None, Uid::from_raw(self.uid), None)?;
        // The kernel has done so where uid 0 was given up, unless securebits(7) say otherwise.
        sets.effective = CapabilitySet::empty();
        set_capabilities(None, sets)
    }
}

/// The authority that the calling thread has taken.
#[derive(Debug)]
pub struct Taken<'a> {
    both: Option<(&'a Ids, Own)>,
}

impl Taken<'_> {
    /// Runs `work` as ourselves in between: what proves is read with our own rights, what is
    /// touched is touched with the taken ones.
    ///
    /// Errors: `EPERM` where one of the identities could not be taken; the caller must stop.
    pub fn as_ourselves<T>(&self, work: impl FnOnce() -> T) -> Result<T, Errno> {
        let Some((ids, own)) = &self.both else { return Ok(work()) };
        own.take()?;
        let answer = work();
        ids.take()?;
        Ok(answer)
    }
}

/// Our own identity, which real uid and permitted capabilities keep for us.
#[derive(Debug)]
struct Own {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    capabilities: CapabilitySets,
}

impl Own {
    fn read() -> Result<Self, Errno> {
        let (groups, capabilities) = (rustix::process::getgroups()?, capabilities(None)?);
        Ok(Self { uid: geteuid(), gid: getegid(), groups, capabilities })
    }

    fn take(&self) -> Result<(), Errno> {
        set_capabilities(None, self.capabilities)?;
        set_thread_res_uid(None, self.uid, None)?;
        set_thread_res_gid(None, self.gid, None)?;
        set_thread_groups(&self.groups)?;
        // A change of the uid may have set them anew.
        set_capabilities(None, self.capabilities)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(field: &str) -> String {
        let text = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        text.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().to_owned()
    }

    #[test]
    fn a_thread_that_acts_for_another_can_do_what_that_one_can_and_the_others_stay_ours() {
        if !geteuid().is_root() {
            // An ordinary user can take nobody's place, and says so.
            let other = Authority::Of(Arc::new(Ids { uid: 0, gid: 0, groups: Vec::new() }));
            assert_eq!(other.run(|_| ()), Err(Errno::PERM));
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("roots"), "secret").unwrap();
        std::os::unix::fs::chown(temp.path(), Some(54_321), Some(54_321)).unwrap();
        let path = temp.path().join("roots");
        rustix::fs::chmod(&path, rustix::fs::Mode::RUSR).unwrap();
        let ids = Ids { uid: 54_321, gid: 54_322, groups: vec![54_323] };
        let read = || std::fs::read(&path).map_err(|error| error.kind());
        let before = status("Uid:");
        let shown = Authority::of(ids).run(|taken| {
            let lowered = (status("Uid:"), status("Gid:"), status("Groups:"), status("CapEff:"), read());
            let raised = taken.as_ourselves(|| (status("Uid:"), read())).unwrap();
            (lowered, raised, read(), status("CapEff:"))
        });
        let (lowered, raised, again, capabilities) = shown.unwrap();
        assert_eq!(lowered.0, "0\t54321\t0\t54321");
        assert_eq!((lowered.1.as_str(), lowered.2.as_str()), ("0\t54322\t0\t54322", "54323"));
        assert_eq!((lowered.3.as_str(), capabilities.as_str()), ("0000000000000000", "0000000000000000"));
        assert_eq!(
            (lowered.4, again),
            (Err(std::io::ErrorKind::PermissionDenied), Err(std::io::ErrorKind::PermissionDenied))
        );
        assert_eq!(raised, ("0\t0\t0\t0".to_owned(), Ok(b"secret".to_vec())));
        assert_eq!((status("Uid:"), read().is_ok()), (before, true));
    }

    #[test]
    fn uid_0_of_a_container_has_no_capability() {
        if geteuid().is_root() {
            let ids = Ids { uid: 0, gid: 0, groups: Vec::new() };
            let effective = Authority::of(ids).run(|_| status("CapEff:"));
            assert_eq!(effective.unwrap(), "0000000000000000");
        }
    }
}
