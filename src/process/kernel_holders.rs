//! Who holds the kernel locks on a file, as the kernel's own list names them.
//!
//! Source: /proc/locks, and the `lock:` lines of /proc/PID/fdinfo (proc_locks(5),
//! proc_pid_fdinfo(5), `lock_get_status` of fs/locks.c). The list leaves out every holder that
//! the PID namespace of the proc directory does not show, and may miss a line while it changes:
//! no holder here does not say that the file is free. [`crate::sys::kernel_lock`] says that.

use super::proc_dir::{ProcDir, ProcessDir};
use crate::sys::kernel_lock::Access;
use rustix::io::Errno;
use std::collections::BTreeSet;

/// How many processes are asked for their descriptors; the list rarely names more than one.
const MAX_ASKED: usize = 8;
/// How many descriptors of a process are read.
const MAX_DESCRIPTORS: usize = 4096;

/// Which call took a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// fcntl(2) `F_SETLK`: belongs to the process, ends with it.
    Posix,
    /// fcntl(2) `F_OFD_SETLK`: belongs to an open file, which processes may share.
    OpenFile,
    /// flock(2): likewise.
    Flock,
    /// fcntl(2) `F_SETLEASE`, or a delegation of an NFS server.
    Lease,
}

/// A lock that is held, as a line of the kernel's list tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Which call took it.
    pub kind: Kind,
    /// What it is.
    pub access: Access,
    /// Who took it; `None` for [`Kind::OpenFile`], which belongs to no process.
    pub pid: Option<u32>,
    /// Device of the file's superblock, which stat(2) does not tell on btrfs and overlayfs.
    pub device: (u32, u32),
    /// Inode number.
    pub inode: u64,
}

/// The lines of the kernel's list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locks {
    /// The locks that are held.
    pub held: Vec<Lock>,
    /// Lines that are not of the kernel's form.
    pub odd: usize,
}

/// A process that holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Pid in the proc directory's namespace.
    pub pid: u32,
    /// What it holds.
    pub access: Access,
    /// And by which call.
    pub kind: Kind,
}

/// Who holds locks on a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders {
    /// Processes that are known to, each of their locks once.
    pub by: Vec<Holder>,
    /// Why there may be others that this list could have told, if so.
    pub unknown: Option<String>,
}

/// Reads who holds locks on the file that stat(2) tells by this device (major and minor) and inode.
///
/// The descriptors of other users' processes are shown to root only: an ordinary user gets
/// [`Holders::unknown`] where the list alone does not prove it.
#[must_use]
pub fn holders(proc: &ProcDir, device: (u32, u32), inode: u64) -> Holders {
    match proc.read("locks") {
        Ok(bytes) => among(&parse_locks(&bytes), proc, device, inode),
        Err(errno) => {
            let why = format!("the kernel's list of locks cannot be read: {}", crate::sys::words(errno));
            Holders { by: Vec::new(), unknown: Some(why) }
        }
    }
}

fn among(locks: &Locks, proc: &ProcDir, device: (u32, u32), inode: u64) -> Holders {
    let mut found = Holders::default();
    if locks.odd > 0 {
        found.doubt(format!("{} lines of the kernel's list of locks cannot be read", locks.odd));
    }
    let mut asked = BTreeSet::new();
    for lock in locks.held.iter().filter(|lock| lock.inode == inode && may_be_same(lock.device, device)) {
        let Some(pid) = lock.pid else {
            found.doubt("a lock of an open file names no process".to_owned());
            continue;
        };
        if lock.kind == Kind::Posix && lock.device == device {
            found.add(Holder { pid, access: lock.access, kind: lock.kind });
        } else if asked.contains(&pid) {
        } else if asked.len() == MAX_ASKED {
            found.doubt("too many processes have locks to be asked one by one".to_owned());
        } else {
            asked.insert(pid);
            match held_by(proc, pid, device, inode) {
                Ok(held) => {
                    // Whoever took a lock of an open file may have left it to a child.
                    if held.is_empty() && lock.kind != Kind::Posix {
                        found.doubt(format!("pid {pid} took a lock and no longer has the file open"));
                    }
                    held.into_iter().for_each(|holder| found.add(holder));
                }
                Err(why) => found.doubt(why),
            }
        }
    }
    found
}

impl Holders {
    fn add(&mut self, holder: Holder) {
        if !self.by.contains(&holder) {
            self.by.push(holder);
        }
    }

    fn doubt(&mut self, why: String) {
        self.unknown.get_or_insert(why);
    }
}

/// Whether a superblock's device can be that of a file which stat(2) gives another one: only
/// where one of them is no real device (major 0), as on btrfs and overlayfs.
fn may_be_same(superblock: (u32, u32), stat: (u32, u32)) -> bool {
    superblock == stat || superblock.0 == 0 || stat.0 == 0
}

/// The locks on this file that a process holds through its descriptors.
///
/// On btrfs files of different subvolumes share superblock and inode number; stat(2) through the
/// descriptor tells them apart. It is asked only of a descriptor with a lock on such a file.
fn held_by(proc: &ProcDir, pid: u32, device: (u32, u32), inode: u64) -> Result<Vec<Holder>, String> {
    let unreadable = |errno| format!("the open files of pid {pid} cannot be read: {}", crate::sys::words(errno));
    let process = proc.process(pid).map_err(unreadable)?;
    let mut held = Vec::new();
    for (count, descriptor) in process.numbers("fdinfo").map_err(unreadable)?.enumerate() {
        if count == MAX_DESCRIPTORS {
            if !held.is_empty() {
                break;
            }
            return Err(format!("pid {pid} has too many open files to be looked at"));
        }
        match locks_through(&process, descriptor.map_err(unreadable)?, device, inode) {
            Ok(locks) => {
                held.extend(locks.into_iter().map(|lock| Holder { pid, access: lock.access, kind: lock.kind }))
            }
            // Closed meanwhile, and its locks with it.
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(unreadable(errno)),
        }
    }
    Ok(held)
}

fn locks_through(process: &ProcessDir, descriptor: u32, device: (u32, u32), inode: u64) -> Result<Vec<Lock>, Errno> {
    let info = process.read(&format!("fdinfo/{descriptor}"))?;
    let lines = info.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"lock:"));
    let locks: Vec<Lock> = lines.filter_map(|line| parse_line(line).ok()?).filter(|lock| lock.inode == inode).collect();
    if locks.is_empty() {
        return Ok(locks);
    }
    let meta = process.meta(&format!("fd/{descriptor}"))?;
    Ok(if (meta.device, meta.inode) == (device, inode) { locks } else { Vec::new() })
}

/// Parses /proc/locks. Waiting requests (`->`) are left out, and so is what is on no file.
#[must_use]
pub fn parse_locks(bytes: &[u8]) -> Locks {
    let mut locks = Locks::default();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        match parse_line(line) {
            Ok(lock) => locks.held.extend(lock),
            Err(Odd) => locks.odd += 1,
        }
    }
    locks
}

/// A line that is not of the kernel's form.
#[derive(Debug, PartialEq, Eq)]
struct Odd;

/// `1: POSIX  ADVISORY  WRITE 1234 00:2b:5678 1073741824 1073742335`; `None` if it is no lock.
fn parse_line(line: &[u8]) -> Result<Option<Lock>, Odd> {
    let mut words = std::str::from_utf8(line).map_err(|_| Odd)?.split_ascii_whitespace();
    let mut word = || words.next().ok_or(Odd);
    if word()?.strip_suffix(':').is_none_or(|id| id.parse::<u64>().is_err()) {
        return Err(Odd);
    }
    let kind = match word()? {
        "->" => return Ok(None),
        "POSIX" => Kind::Posix,
        "OFDLCK" => Kind::OpenFile,
        "FLOCK" => Kind::Flock,
        "LEASE" | "DELEG" => Kind::Lease,
        _ => return Err(Odd),
    };
    let _mode = word()?;
    let access = match word()? {
        "READ" => Access::Read,
        // RW: how kernels before 5.18 show flock(2)'s LOCK_MAND.
        "WRITE" | "RW" => Access::Write,
        // A lease that is being given up; LOCK_MAND that allows everything.
        "UNLCK" | "NONE" => return Ok(None),
        _ => return Err(Odd),
    };
    let pid: i32 = word()?.parse().map_err(|_| Odd)?;
    let file = word()?;
    if file == "<none>:0" {
        return Ok(None);
    }
    let mut parts = file.split(':');
    let mut part = || parts.next().ok_or(Odd);
    let (major, minor, inode) = (hex(part()?)?, hex(part()?)?, part()?.parse().map_err(|_| Odd)?);
    let (start, end) = (word()?, word()?);
    let offset = |text: &str| text.parse::<u64>().is_ok();
    if parts.next().is_some() || words.next().is_some() || !offset(start) || !(end == "EOF" || offset(end)) {
        return Err(Odd);
    }
    // Negative and 0 stand for no process of this machine, or none that the namespace shows.
    let pid = u32::try_from(pid).ok().filter(|pid| *pid != 0 && kind != Kind::OpenFile);
    Ok(Some(Lock { kind, access, pid, device: (major, minor), inode }))
}

fn hex(text: &str) -> Result<u32, Odd> {
    u32::from_str_radix(text, 16).map_err(|_| Odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQLITE: &str = "1: POSIX  ADVISORY  WRITE 26168 fe:00:10700130 1073741824 1073742335\n";

    fn parsed(text: &str) -> Locks {
        parse_locks(text.as_bytes())
    }

    fn posix(pid: u32) -> Lock {
        Lock { kind: Kind::Posix, access: Access::Write, pid: Some(pid), device: (0xfe, 0), inode: 10_700_130 }
    }

    #[test]
    fn every_kind_of_line_is_told_apart_and_who_waits_is_no_holder() {
        let text = format!(
            "{SQLITE}1: -> POSIX  ADVISORY  WRITE 7 fe:00:10700130 0 EOF\n\
             1:     -> POSIX  ADVISORY  WRITE 8 fe:00:10700130 0 EOF\n\
             2: OFDLCK ADVISORY  READ  -1 00:2e:8 0 EOF\n\
             3: FLOCK  ADVISORY  WRITE 12 00:2e:9 0 EOF\n\
             4: LEASE  ACTIVE    READ  13 00:2e:10 0 EOF\n\
             5: LEASE  BREAKING  UNLCK 13 00:2e:10 0 EOF\n\
             6: POSIX  *NOINODE* READ  14 <none>:0 0 EOF\n"
        );
        let locks = parsed(&text);
        assert_eq!(locks.odd, 0);
        let told: Vec<_> = locks.held.iter().map(|lock| (lock.kind, lock.access, lock.pid, lock.inode)).collect();
        assert_eq!(
            told,
            [
                (Kind::Posix, Access::Write, Some(26_168), 10_700_130),
                (Kind::OpenFile, Access::Read, None, 8),
                (Kind::Flock, Access::Write, Some(12), 9),
                (Kind::Lease, Access::Read, Some(13), 10),
            ]
        );
        assert_eq!(locks.held[0], posix(26_168));
        assert_eq!(locks.held[1].device, (0, 0x2e));
    }

    #[test]
    fn a_line_that_is_not_the_kernels_is_counted_and_names_nobody() {
        let zeros = format!("1: POSIX ADVISORY WRITE {}7 fe:00:1 0 EOF", "9".repeat(100_000));
        for line in [
            "x",
            ":",
            "1:",
            "1: ",
            "-1: POSIX ADVISORY WRITE 7 fe:00:1 0 EOF",
            "1: POSIX ADVISORY WRITE 7 fe:00:1 0",
            "1: POSIX ADVISORY WRITE 7 fe:00:1 0 EOF more",
            "1: POSIX ADVISORY WRITE 7 fe:00:-1 0 EOF",
            "1: POSIX ADVISORY WRITE 7 fe:00:18446744073709551616 0 EOF",
            "1: POSIX ADVISORY WRITE 7 fe:00 0 EOF",
            "1: POSIX ADVISORY WRITE 7 fe:00:1:2 0 EOF",
            "1: POSIX ADVISORY WRITE 7 fffffffff:00:1 0 EOF",
            "1: POSIX ADVISORY WRITE 7 gg:00:1 0 EOF",
            "1: POSIX ADVISORY WRITE 7 fe:00:1 -1 EOF",
            "1: POSIX ADVISORY WRITE 7 fe:00:1 0 end",
            "1: POSIX ADVISORY WRITE 4294967296 fe:00:1 0 EOF",
            "1: POSIX ADVISORY EAT 7 fe:00:1 0 EOF",
            "1: UNKNOWN UNKNOWN  READ 7 fe:00:1 0 EOF",
            zeros.as_str(),
        ] {
            assert_eq!(parsed(line), Locks { held: Vec::new(), odd: 1 }, "{line:.80}");
        }
        assert_eq!(parse_locks(b"1: POSIX ADVISORY WRITE 7 fe:00:1 0 \xff\xfe").odd, 1);
        assert_eq!(parse_locks(b"\n\n \n\0\n").odd, 1);
        assert_eq!(parse_locks(b""), Locks::default());
        for end in 0..SQLITE.len() - 1 {
            let _ = parse_locks(&SQLITE.as_bytes()[..end]);
        }
        for pid in ["0", "-1", "-7", "-2147483648"] {
            let line = format!("1: POSIX ADVISORY WRITE {pid} fe:00:1 0 EOF");
            assert_eq!(parsed(&line).held[0].pid, None, "{pid}");
        }
    }

    #[test]
    fn a_lock_on_another_file_with_the_same_number_is_not_this_ones() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("locks"), SQLITE).unwrap();
        let proc = ProcDir::open(temp.path()).unwrap();
        let holder = Holder { pid: 26_168, access: Access::Write, kind: Kind::Posix };
        assert_eq!(holders(&proc, (0xfe, 0), 10_700_130), Holders { by: vec![holder], unknown: None });
        assert_eq!(holders(&proc, (0xfe, 0), 10_700_131), Holders::default());
        assert_eq!(holders(&proc, (0xfe, 1), 10_700_130), Holders::default());
        // btrfs and overlayfs: the process must show it, and here it cannot.
        let found = holders(&proc, (0, 0x2e), 10_700_130);
        assert!(found.by.is_empty() && found.unknown.unwrap().contains("pid 26168"));
    }

    #[test]
    fn what_the_list_does_not_prove_is_unknown_and_never_a_holder() {
        let nobody = tempfile::tempdir().unwrap();
        let proc = ProcDir::open(nobody.path()).unwrap();
        let file = ((0xfe, 0), 10_700_130);
        let why = |locks: &Locks| {
            let found = among(locks, &proc, file.0, file.1);
            assert_eq!(found.by, []);
            found.unknown.unwrap()
        };
        for kind in [Kind::Flock, Kind::Lease] {
            assert!(why(&Locks { held: vec![Lock { kind, ..posix(9) }], odd: 0 }).contains("pid 9"));
        }
        let open_file = Lock { kind: Kind::OpenFile, pid: None, ..posix(9) };
        assert!(why(&Locks { held: vec![open_file], odd: 0 }).contains("no process"));
        assert!(why(&Locks { held: Vec::new(), odd: 3 }).contains("3 lines"));
        assert!(holders(&proc, file.0, file.1).unknown.unwrap().contains("No such file"));
    }

    #[test]
    fn a_list_of_a_thousand_names_asks_a_few_processes() {
        let temp = tempfile::tempdir().unwrap();
        for pid in 1..=1000 {
            std::fs::create_dir_all(temp.path().join(format!("{pid}/fdinfo"))).unwrap();
        }
        let held = (1..=1000).map(|pid| Lock { device: (0, 7), ..posix(pid) }).collect();
        let proc = ProcDir::open(temp.path()).unwrap();
        let found = among(&Locks { held, odd: 0 }, &proc, (0xfe, 0), 10_700_130);
        assert!(found.by.is_empty() && found.unknown.unwrap().contains("too many"));
    }
}
