//! Tells what this run can see, from the procfs that it reads.
//!
//! Source: statfs(2) for procfs itself; /proc/PID/ns/pid (4026531836 is the initial PID
//! namespace, `PROC_PID_INIT_INO` of include/linux/proc_ns.h) where it may be read, and the
//! kernel's own threads, which live in the initial PID namespace only, where it may not;
//! `hidepid` of the mount (proc(5)).

use super::proc_dir::ProcDir;
use super::status::{Identity, Status};
use crate::evidence::{InitialBy, Nested, ProcSource, Vantage, VantageWhy};
use crate::sys::mounts::MountTable;

/// `PROC_ROOT_INO` of include/linux/proc_ns.h.
const PROC_ROOT_INODE: u64 = 1;
const INITIAL_PID_NAMESPACE: &[u8] = b"pid:[4026531836]";
/// Bit of CAP_SYS_PTRACE (include/uapi/linux/capability.h), which lifts hidepid.
const CAP_SYS_PTRACE: u32 = 19;
/// Programs that are pid 1 of a sandbox inside a container.
const SANDBOXES: &[&str] = &["bwrap", "nsjail", "firejail", "minijail0", "sydbox", "bubblewrap"];

/// What could be told.
#[derive(Debug, Clone)]
pub struct Sight {
    /// How much can be seen.
    pub vantage: Vantage,
    /// Whose pids they are.
    pub source: ProcSource,
    /// How it was told.
    pub seen: VantageWhy,
    /// Our own pid in the proc directory, if we are in it.
    pub own_pid: Option<u32>,
    /// Why the container's own layer would not be ours alone: a sandbox in a sandbox.
    pub nested: Option<Nested>,
}

impl Sight {
    /// A proc directory that cannot be used at all.
    #[must_use]
    pub fn none(seen: VantageWhy) -> Self {
        Self { vantage: Vantage::Restricted, source: ProcSource::Unreadable, seen, own_pid: None, nested: None }
    }
}

/// Looks at a proc directory. `mounts` is our own mount table, if it can be read.
#[must_use]
pub fn look(proc: &ProcDir, mounts: Option<&MountTable>) -> Sight {
    let path = || proc.path().to_owned();
    let is_procfs = proc.dir().filesystem().is_ok_and(|filesystem| filesystem.is_procfs());
    // A directory inside procfs, such as /proc/1/task, lists something else than processes.
    let is_root = proc.dir().meta().is_ok_and(|meta| meta.inode == PROC_ROOT_INODE);
    if !is_procfs || !is_root {
        return Sight { source: ProcSource::NotProcfs, ..Sight::none(VantageWhy::NotProcfs { proc: path() }) };
    }
    let own_pid = own_pid(proc);
    let source = if own_pid.is_some() { ProcSource::Own } else { ProcSource::Foreign };
    let sight = |vantage, seen| Sight { vantage, source, seen, own_pid, nested: nested_sandbox(proc) };
    match hides(proc, mounts) {
        Some(true) => return sight(Vantage::Restricted, VantageWhy::Hidden { proc: path() }),
        None => return sight(Vantage::Restricted, VantageWhy::OptionsUnknown { proc: path() }),
        Some(false) => {}
    }
    match namespace(proc, source) {
        Some(Namespace::Initial(by)) => sight(Vantage::Host, VantageWhy::Initial { proc: path(), by }),
        Some(Namespace::Below(namespace)) => sight(Vantage::Namespace, VantageWhy::Below { proc: path(), namespace }),
        None => sight(Vantage::Restricted, VantageWhy::NamespaceUnknown { proc: path() }),
    }
}

/// Our pid, if the directory is procfs of our own PID namespace: it calls us what we call
/// ourselves, and knows no other number for us.
fn own_pid(proc: &ProcDir) -> Option<u32> {
    let pid = u32::try_from(rustix::process::getpid().as_raw_nonzero().get()).ok()?;
    let own = proc.link("self").ok()? == pid.to_string().as_bytes();
    let status = Status::parse(&proc.read("self/status").ok()?)?;
    (own && status.ns_pids == [pid]).then_some(pid)
}

fn hides(proc: &ProcDir, mounts: Option<&MountTable>) -> Option<bool> {
    let meta = proc.dir().meta().ok()?;
    let mount = mounts?.by_id(meta.mount_id)?;
    Some(mount.hides_processes && !may_trace_everyone())
}

/// Whether we hold CAP_SYS_PTRACE in the initial user namespace, which sees through hidepid.
fn may_trace_everyone() -> bool {
    let Ok(own) = ProcDir::open(std::path::Path::new("/proc")) else { return false };
    let status = own.read("self/status").unwrap_or_default();
    let text = String::from_utf8_lossy(&status);
    let effective = text.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let map = own.read("self/uid_map").unwrap_or_default();
    let whole_map = map.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let initial_user_namespace = whole_map.eq([&b"0"[..], b"0", b"4294967295"]);
    bits & (1 << CAP_SYS_PTRACE) != 0 && initial_user_namespace
}

enum Namespace {
    Initial(InitialBy),
    Below(Option<u64>),
}

fn namespace(proc: &ProcDir, source: ProcSource) -> Option<Namespace> {
    let link = if source == ProcSource::Own { "self/ns/pid" } else { "1/ns/pid" };
    match proc.link(link) {
        Ok(id) if id == INITIAL_PID_NAMESPACE => return Some(Namespace::Initial(InitialBy::Identity)),
        Ok(id) => return Some(Namespace::Below(inode_of(&id))),
        Err(_) => {}
    }
    // pid 2 of the initial namespace is kthreadd, the parent of all kernel threads.
    match proc.read("2/stat").ok().and_then(|bytes| Identity::parse(&bytes)) {
        Some(identity) if identity.kernel_thread => Some(Namespace::Initial(InitialBy::KernelThread)),
        // A pid 1 without kernel threads beside it is the init of a container.
        _ if proc.read("1/stat").is_ok() => Some(Namespace::Below(None)),
        _ => None,
    }
}

/// The number in `pid:[4026531836]`.
fn inode_of(link: &[u8]) -> Option<u64> {
    let number = link.strip_prefix(b"pid:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// A sandbox inside a container shares the container's writable layer with processes outside.
fn nested_sandbox(proc: &ProcDir) -> Option<Nested> {
    match proc.read("1/status").ok().and_then(|bytes| Status::parse(&bytes)) {
        Some(init) if SANDBOXES.contains(&init.name.as_str()) => return Some(Nested::Sandbox(init.name)),
        Some(_) => {}
        None => return Some(Nested::Pid1Unreadable),
    }
    let map = proc.read("self/uid_map").unwrap_or_default();
    let text = String::from_utf8_lossy(&map);
    let counts: Option<Vec<u64>> = text.lines().map(|line| line.split_whitespace().nth(2)?.parse().ok()).collect();
    match counts.as_deref() {
        Some([1]) => Some(Nested::SingleId),
        Some([]) | None => Some(Nested::UserNamespaceUnreadable),
        Some(_) => None,
    }
}
