//! Parses /proc/PID/status and /proc/PID/stat from bytes.
//!
//! A process chooses its own name, so names may hold any byte; the kernel escapes newlines in
//! `status`, and `stat` is cut after the last `)`.

use crate::sys::authority::Ids;
use crate::units::StartTicks;
use procfs::FromRead;
use procfs::process::{Stat, StatFlags};

/// The fields of proc_pid_status(5) that the evidence needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Name of the command, as the kernel keeps it (15 bytes).
    pub name: String,
    /// State letter.
    pub state: char,
    /// Thread group id: the pid that kill(2) and /proc know the process by.
    pub tgid: u32,
    /// The id of the thread that was read.
    pub pid: u32,
    /// Parent.
    pub ppid: u32,
    /// Effective uid.
    pub euid: u32,
    /// Real, effective, saved and file-system uid.
    pub uids: [u32; 4],
    /// With whose rights it acts.
    pub ids: Option<Ids>,
    /// Pids from the PID namespace of the proc mount (first) to the process's own (last).
    pub ns_pids: Vec<u32>,
    /// Number of threads.
    pub threads: u32,
}

impl Status {
    /// Parses the file; `None` if a field is missing or is not what the manual says.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let field = |name: &[u8]| {
            let line = bytes.split(|byte| *byte == b'\n').find(|line| line.starts_with(name))?;
            Some(String::from_utf8_lossy(line.get(name.len()..)?).trim().to_owned())
        };
        let number = |name: &[u8]| field(name)?.parse().ok();
        let pid = number(b"Pid:")?;
        let uids: Option<Vec<u32>> = field(b"Uid:")?.split_whitespace().map(|id| id.parse().ok()).collect();
        let uids: [u32; 4] = uids?.try_into().ok()?;
        let [_, euid, ..] = uids;
        let ns_pids = match field(b"NSpid:") {
            Some(list) => list.split_whitespace().map(|id| id.parse().ok()).collect::<Option<Vec<u32>>>()?,
            // Kernels before 4.1, or built without PID namespaces.
            None => vec![pid],
        };
        Some(Self {
            name: field(b"Name:")?,
            state: field(b"State:")?.chars().next()?,
            tgid: number(b"Tgid:")?,
            pid,
            ppid: number(b"PPid:").unwrap_or(0),
            euid,
            uids,
            ids: ids(euid, &field(b"Gid:").unwrap_or_default(), field(b"Groups:")),
            ns_pids: if ns_pids.is_empty() { return None } else { ns_pids },
            threads: number(b"Threads:")?,
        })
    }

    /// The pid inside the process's own PID namespace.
    #[must_use]
    pub fn innermost_pid(&self) -> u32 {
        self.ns_pids.last().copied().unwrap_or(self.pid)
    }
}

/// The effective ids, and all groups.
fn ids(uid: u32, gids: &str, groups: Option<String>) -> Option<Ids> {
    let groups = groups?.split_whitespace().map(|id| id.parse().ok()).collect::<Option<_>>()?;
    Some(Ids { uid, gid: gids.split_whitespace().nth(1)?.parse().ok()?, groups })
}

/// The fields of proc_pid_stat(5) that identify a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// State letter.
    pub state: char,
    /// Whether it is a kernel thread (`PF_KTHREAD`).
    pub kernel_thread: bool,
    /// Field 22, as the reader's time namespace shows it.
    pub start_ticks: StartTicks,
}

impl Identity {
    /// Parses the file; `None` if it is not what the manual says.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        // procfs slices around the parentheses without looking; whatever is not of the manual's
        // form there would panic.
        let open = bytes.iter().position(|byte| *byte == b'(')?;
        let close = bytes.iter().rposition(|byte| *byte == b')')?;
        let pid = bytes.get(..open)?.strip_suffix(b" ")?;
        let after = bytes.get(close + 1..)?;
        let [b' ', state, numbers @ ..] = after else { return None };
        let is_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b' ' | b'-');
        if close < open
            || pid.is_empty()
            || !pid.iter().all(u8::is_ascii_digit)
            || !state.is_ascii_alphabetic()
            || !numbers.trim_ascii_end().iter().all(is_number)
        {
            return None;
        }
        let stat = Stat::from_read(bytes).ok()?;
        Some(Self {
            state: stat.state,
            kernel_thread: StatFlags::from_bits_retain(stat.flags).contains(StatFlags::PF_KTHREAD),
            start_ticks: StartTicks(stat.starttime),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &[u8] =
        b"Name:\tnode\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t512\nNgid:\t0\nPid:\t512\nPPid:\t1\n\
        TracerPid:\t0\nUid:\t1000\t1001\t1000\t1000\nGid:\t0\t0\t0\t0\nNSpid:\t512\t7\nThreads:\t11\n";

    #[test]
    fn the_innermost_pid_is_the_one_that_a_lock_records() {
        let status = Status::parse(STATUS).unwrap();
        assert_eq!((status.pid, status.innermost_pid(), status.euid, status.threads), (512, 7, 1001, 11));
    }

    #[test]
    fn a_name_cannot_forge_a_field() {
        let text = String::from_utf8_lossy(STATUS).replace("node", "x\\nNSpid:\\t9");
        assert_eq!(Status::parse(text.as_bytes()).unwrap().innermost_pid(), 7);
    }

    #[test]
    fn a_cut_or_odd_file_is_unreadable_and_never_a_panic() {
        for end in 0..STATUS.len() - 1 {
            let _ = Status::parse(&STATUS[..end]);
        }
        assert_eq!(Status::parse(b""), None);
        let stat = stat_line(b"a) R (b");
        for end in 0..stat.len() {
            let _ = Identity::parse(&stat[..end]);
        }
        let mut odd: Vec<&[u8]> = vec![b"(", b"()", b"1 ()", b"1 (x)\xff\xff", b")(", b"1 (x) "];
        odd.extend([&b"\t (x) S 1"[..], b"\xff(x) S 1", b"1\xc3(x) S 1", b"1 (x) \x0b", b"1 (x)  S"]);
        for odd in odd {
            assert_eq!(Identity::parse(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn start_ticks_come_after_the_last_parenthesis() {
        for comm in [&b"node"[..], b"a) R (b", b"\xff\xfe", b") Z 1 1 1"] {
            let identity = Identity::parse(&stat_line(comm)).unwrap();
            assert_eq!(identity.start_ticks, StartTicks(483_361), "{comm:?}");
            assert_eq!((identity.state, identity.kernel_thread), ('S', false));
        }
    }

    fn stat_line(comm: &[u8]) -> Vec<u8> {
        let mut line = b"512 (".to_vec();
        line.extend_from_slice(comm);
        line.extend_from_slice(b") S 1 512 512 0 -1 4194560 100 0 0 0 5 3 0 0 20 0 11 0 483361 1000000 500 18446744073709551615 1 1 0 0 0 0 0 16781312 134217730 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
        line
    }
}
