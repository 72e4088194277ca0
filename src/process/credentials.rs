//! Whose authority a process carries to the places that it names.
//!
//! Source: `Uid`, `Gid`, `Groups` and `CapEff` of proc_pid_status(5), uid_map of
//! user_namespaces(7). Who may run a set-uid program chooses its environment, so that a process
//! with several ids speaks for none of them.

use super::proc_dir::{ProcDir, ProcessDir};
use crate::sys::authority::{Authority, Ids};
use rustix::io::Errno;
use rustix::process::geteuid;

/// What status(5) says of a process's rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Real, effective, saved and file-system uid.
    pub uids: [u32; 4],
    /// Likewise.
    pub gids: [u32; 4],
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Effective capabilities, by bit.
    pub effective: u64,
    /// In how many PID namespaces it has a pid, from the proc directory's down.
    pub pid_levels: usize,
}

/// Why a process names no places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoAuthority {
    /// Its ids cannot be read.
    Unreadable(Errno),
    /// It has several uids or gids: another's environment may be in a set-uid program.
    MixedIds,
    /// Its uid or gid is none of our user namespace.
    Unmapped,
}

/// `CAP_DAC_OVERRIDE` of include/uapi/linux/capability.h.
const CAP_DAC_OVERRIDE: u64 = 1 << 1;
/// /proc/sys/kernel/overflowuid where it cannot be read.
const OVERFLOW_ID: u32 = 65_534;
const WHOLE_MAP: [&[u8]; 3] = [b"0", b"0", b"4294967295"];

impl Credentials {
    /// Parses /proc/PID/status; `None` if a field is missing or not what the manual says.
    #[must_use]
    pub fn parse(status: &[u8]) -> Option<Self> {
        let field = |name: &[u8]| {
            let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))?;
            std::str::from_utf8(line).ok()
        };
        let numbers =
            |name| -> Option<Vec<u32>> { field(name)?.split_ascii_whitespace().map(|id| id.parse().ok()).collect() };
        let four = |name| <[u32; 4]>::try_from(numbers(name)?).ok();
        Some(Self {
            uids: four(b"Uid:")?,
            gids: four(b"Gid:")?,
            groups: numbers(b"Groups:")?,
            effective: u64::from_str_radix(field(b"CapEff:")?.trim(), 16).ok()?,
            // Kernels before 4.1, or built without PID namespaces, have no such line.
            pid_levels: field(b"NSpid:").map_or(1, |pids| pids.split_ascii_whitespace().count()),
        })
    }

    /// Whose authority it is. `host_root`: it lives in the initial user namespace and outside
    /// any container; `overflow`: the id that stands for those of other user namespaces.
    pub fn authority(&self, host_root: bool, overflow: u32) -> Result<Authority, NoAuthority> {
        let ([uid, ..], [gid, ..]) = (self.uids, self.gids);
        if self.uids != [uid; 4] || self.gids != [gid; 4] {
            return Err(NoAuthority::MixedIds);
        }
        if uid == overflow || gid == overflow {
            return Err(NoAuthority::Unmapped);
        }
        if uid == 0 && host_root && self.effective & CAP_DAC_OVERRIDE != 0 && geteuid().is_root() {
            return Ok(Authority::Own);
        }
        Ok(Authority::of(Ids { uid, gid, groups: self.groups.clone() }))
    }
}

/// Whose authority a process with these credentials carries. `same_mounts`: it sees what we see.
///
/// The credentials are those that it had before and after everything else was read of it: who
/// executes a set-uid program in between chooses that program's environment.
pub fn authority(
    proc: &ProcDir,
    process: &ProcessDir,
    credentials: &Credentials,
    same_mounts: bool,
) -> Result<Authority, NoAuthority> {
    let host_root = || {
        let map = process.read("uid_map").unwrap_or_default();
        let is_whole = map.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).eq(WHOLE_MAP);
        same_mounts && is_whole && credentials.pid_levels == 1
    };
    let overflow = proc.read("sys/kernel/overflowuid").ok();
    let overflow = overflow.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.trim().parse().ok());
    credentials.authority(credentials.uids == [0; 4] && host_root(), overflow.unwrap_or(OVERFLOW_ID))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(uids: &str, gids: &str) -> Credentials {
        let status = format!("Name:\tnode\nUid:\t{uids}\nGid:\t{gids}\nGroups:\t10 20 \nCapEff:\t00000000a80425fb\n");
        Credentials::parse(status.as_bytes()).unwrap()
    }

    #[test]
    fn only_a_process_with_one_uid_and_one_gid_speaks_for_it() {
        let of = |uids, gids| credentials(uids, gids).authority(false, 65_534);
        let alice = Ids { uid: 1000, gid: 100, groups: vec![10, 20] };
        assert_eq!(of("1000 1000 1000 1000", "100 100 100 100"), Ok(Authority::of(alice)));
        for uids in ["1000 0 0 0", "0 1000 0 0", "0 0 1000 0", "0 0 0 1000", "1000 1000 0 1000"] {
            assert_eq!(of(uids, "0 0 0 0"), Err(NoAuthority::MixedIds), "{uids}");
            assert_eq!(of("1000 1000 1000 1000", uids), Err(NoAuthority::MixedIds), "{uids}");
        }
        assert_eq!(of("65534 65534 65534 65534", "0 0 0 0"), Err(NoAuthority::Unmapped));
        assert_eq!(of("1000 1000 1000 1000", "65534 65534 65534 65534"), Err(NoAuthority::Unmapped));
    }

    #[test]
    fn uid_0_is_root_only_on_the_host_and_with_its_capability() {
        let root = credentials("0 0 0 0", "0 0 0 0");
        let confined = Authority::of(Ids { uid: 0, gid: 0, groups: vec![10, 20] });
        assert_eq!(root.authority(false, 65_534), Ok(confined.clone()));
        let weak = Credentials { effective: 0, ..root.clone() };
        assert_eq!(weak.authority(true, 65_534), Ok(confined));
        if geteuid().is_root() {
            assert_eq!(root.authority(true, 65_534), Ok(Authority::Own));
        }
    }

    #[test]
    fn a_status_without_a_field_speaks_for_nobody() {
        assert_eq!(Credentials::parse(b"Uid:\t0 0 0\nGid:\t0 0 0 0\nGroups:\t\nCapEff:\t0\n"), None);
        assert_eq!(Credentials::parse(b"Uid:\t0 0 0 0\nGid:\t0 0 0 0\nCapEff:\t0\n"), None);
        assert!(Credentials::parse(b"Uid:\t0 0 0 0\nGid:\t0 0 0 0\nGroups:\t\nCapEff:\t0\n").is_some());
    }
}
