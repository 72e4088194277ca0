//! Who holds the kernel locks on files, as the kernel's own list names them.
//!
//! Source: /proc/locks, and the `lock:` lines of /proc/PID/fdinfo (proc_locks(5),
//! proc_pid_fdinfo(5), `lock_get_status` of fs/locks.c). Locks of flock(2) and leases can be seen
//! nowhere else without taking one. The list shows every holder to every user, but leaves out
//! whom the PID namespace of the proc directory does not show: there, no holder here does not say
//! that the file is free. Of fcntl(2)'s locks [`crate::sys::kernel_lock`] says that.

use super::proc_dir::{ProcDir, ProcessDir};
use crate::hold::{Access, KernelHold, Untold};
use rustix::io::Errno;
use std::collections::{BTreeSet, HashSet};

/// How many processes are asked for their descriptors; the list rarely names more than one.
const MAX_ASKED: usize = 8;
/// How many descriptors of a process are read.
const MAX_DESCRIPTORS: usize = 4096;
/// Largest list that is read: about 250,000 locks. The kernel seeks in it from its beginning for
/// every page, with all locking of files held up.
const MAX_LIST_BYTES: u64 = 16 * 1024 * 1024;
/// The kernel gives a list of this many bytes in one piece, in which no line can be missed.
const ONE_PIECE: usize = 4096;
/// No line is longer.
const MAX_LINE: usize = 1024;

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
    /// Why there may be others, if so.
    pub unknown: Option<Untold>,
}

/// A file, as the kernel's list may name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Its device, as stat(2) tells it.
    pub device: (u32, u32),
    /// The device of its superblock, as mountinfo tells it, where its mount is in our table.
    pub superblock: Option<(u32, u32)>,
    /// Its inode number.
    pub inode: u64,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holders {
    /// Processes that are known to, each of their locks once.
    pub by: Vec<Holder>,
    /// Whether somebody holds one of flock(2) or a lease, of which nothing else tells.
    pub hold: KernelHold,
    /// Why there may be others than `by` that this list could have told, if so.
    pub unknown: Option<Untold>,
}

/// Reads the kernel's list, as far as it is about files with these inode numbers.
#[must_use]
pub fn list(proc: &ProcDir, inodes: &HashSet<u64>) -> Locks {
    let wanted = |inode| inodes.contains(&inode);
    let (mut locks, length) = read_once(proc, &wanted);
    // Between two pieces the list may shrink, and a line be stepped over.
    if length > ONE_PIECE && locks.unknown.is_none() {
        let (again, _) = read_once(proc, &wanted);
        locks.held.extend(again.held);
        locks.unknown = again.unknown;
    }
    locks
}

fn read_once(proc: &ProcDir, wanted: &dyn Fn(u64) -> bool) -> (Locks, usize) {
    let (mut locks, mut odd, mut length) = (Locks::default(), 0, 0);
    let mut rest = Vec::new();
    let read = proc.stream("locks", MAX_LIST_BYTES, &mut |piece| {
        length += piece.len();
        rest.extend_from_slice(piece);
        let end = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        odd += take_lines(&mut locks.held, rest.get(..end).unwrap_or_default(), wanted);
        rest.drain(..end);
        if rest.len() > MAX_LINE {
            odd += 1;
            rest.clear();
        }
    });
    odd += take_lines(&mut locks.held, &rest, wanted);
    locks.unknown = match read {
        Err(Errno::FBIG) => Some(Untold::LongList),
        Err(errno) => Some(Untold::NoList(errno)),
        Ok(()) if odd > 0 => Some(Untold::OddLines(odd)),
        Ok(()) => None,
    };
    (locks, length)
}

/// Takes the held locks on wanted files out of whole lines; how many lines are of no known form.
fn take_lines(held: &mut Vec<Lock>, lines: &[u8], wanted: &dyn Fn(u64) -> bool) -> usize {
    let mut odd = 0;
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        match parse_line(line) {
            Ok(lock) => held.extend(lock.filter(|lock| wanted(lock.inode))),
            // What a later kernel adds is no matter where it is about another file.
            Err(Odd) if inode_in(line).is_none_or(wanted) => odd += 1,
            Err(Odd) => {}
        }
    }
    odd
}

impl Locks {
    /// Who holds locks on a file, as far as this list was read for it.
    ///
    /// The descriptors of other users' processes are shown to root only: an ordinary user is told
    /// that a lock is held, but not always by whom.
    #[must_use]
    pub fn on(&self, proc: &ProcDir, file: &Asked) -> Holders {
        let mut found = Holders { by: Vec::new(), hold: KernelHold::Free, unknown: None };
        if let Some(why) = self.unknown {
            found.doubt(why);
            found.hold = KernelHold::Unknown(why);
        }
        let mut asked = BTreeSet::new();
        for lock in self.held.iter().filter(|lock| lock.inode == file.inode) {
            let sure = match file.may_be_on(lock.device) {
                Some(sure) => sure,
                None => continue,
            };
            let only_here = matches!(lock.kind, Kind::Flock | Kind::Lease);
            if only_here && sure {
                found.hold = KernelHold::Held { pid: None, access: lock.access };
            }
            let doubt = |found: &mut Holders, why| {
                found.doubt(why);
                if only_here {
                    found.hold = found.hold.or(KernelHold::Unknown(Untold::SameNumber(lock.pid)));
                }
            };
            let Some(pid) = lock.pid else {
                doubt(&mut found, Untold::Nameless);
                continue;
            };
            if lock.kind == Kind::Posix && sure {
                found.add(Holder { pid, access: lock.access, kind: lock.kind });
            } else if asked.contains(&pid) {
            } else if asked.len() == MAX_ASKED {
                doubt(&mut found, Untold::TooManyHolders);
            } else {
                asked.insert(pid);
                match held_by(proc, pid, file) {
                    Ok(held) => {
                        // Whoever took a lock of an open file may have left it to a child.
                        if held.is_empty() && lock.kind != Kind::Posix {
                            doubt(&mut found, Untold::PassedOn(pid));
                        }
                        held.into_iter().for_each(|holder| found.add(holder));
                    }
                    Err(why) => doubt(&mut found, why),
                }
            }
        }
        found
    }
}

impl Holders {
    fn add(&mut self, holder: Holder) {
        if matches!(holder.kind, Kind::Flock | Kind::Lease) {
            self.hold = KernelHold::Held { pid: None, access: holder.access };
        }
        if !self.by.contains(&holder) {
            self.by.push(holder);
        }
    }

    fn doubt(&mut self, why: Untold) {
        self.unknown.get_or_insert(why);
    }
}

impl Asked {
    /// Whether a lock with this inode number on this superblock is one on this file: `None` if not,
    /// `Some(true)` if so, `Some(false)` if that cannot be told. stat(2) gives another device than the
    /// superblock's only where it is no real one (major 0): on btrfs, whose subvolumes share inode numbers,
    /// and on overlayfs, whose layers may.
    fn may_be_on(&self, superblock: (u32, u32)) -> Option<bool> {
        match self.superblock {
            _ if superblock == self.device => Some(true),
            Some(own) => (own == superblock).then_some(false),
            None => (superblock.0 == 0 || self.device.0 == 0).then_some(false),
        }
    }
}

/// The locks on this file that a process holds through its descriptors.
///
/// On btrfs files of different subvolumes share superblock and inode number; stat(2) through the
/// descriptor tells them apart. It is asked only of a descriptor with a lock on such a file.
fn held_by(proc: &ProcDir, pid: u32, file: &Asked) -> Result<Vec<Holder>, Untold> {
    let unreadable = |errno| Untold::Unasked(pid, errno);
    let process = proc.process(pid).map_err(unreadable)?;
    let mut held = Vec::new();
    for (count, descriptor) in process.numbers("fdinfo").map_err(unreadable)?.enumerate() {
        if count == MAX_DESCRIPTORS {
            if !held.is_empty() {
                break;
            }
            return Err(Untold::TooManyFiles(pid));
        }
        match locks_through(&process, descriptor.map_err(unreadable)?, file) {
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

fn locks_through(process: &ProcessDir, descriptor: u32, file: &Asked) -> Result<Vec<Lock>, Errno> {
    let info = process.read(&format!("fdinfo/{descriptor}"))?;
    let lines = info.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"lock:"));
    let is_like = |lock: &Lock| lock.inode == file.inode;
    let locks: Vec<Lock> = lines.filter_map(|line| parse_line(line).ok()?).filter(is_like).collect();
    if locks.is_empty() {
        return Ok(locks);
    }
    let meta = process.meta(&format!("fd/{descriptor}"))?;
    Ok(if (meta.device, meta.inode) == (file.device, file.inode) { locks } else { Vec::new() })
}

/// Parses the text of /proc/locks. Waiting requests (`->`) are left out, and so is what is on no file;
/// the lines of no known form are counted.
#[must_use]
pub fn parse_locks(bytes: &[u8]) -> (Vec<Lock>, usize) {
    let mut held = Vec::new();
    let odd = take_lines(&mut held, bytes, &|_| true);
    (held, odd)
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
    let is_breaking = kind == Kind::Lease && word()? == "BREAKING";
    if kind != Kind::Lease {
        word()?;
    }
    let access = match word()? {
        "READ" => Access::Read,
        // RW: how kernels before 5.18 show flock(2)'s LOCK_MAND.
        "WRITE" | "RW" => Access::Write,
        // What a lease is to become that is being given up: until then it is held.
        "UNLCK" if is_breaking => Access::Write,
        // LOCK_MAND that allows everything.
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

/// The inode number in a line of any form, if it names one: `fe:00:10700130`.
fn inode_in(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    text.split_ascii_whitespace().find_map(|word| {
        let (device, inode) = word.rsplit_once(':')?;
        device.contains(':').then(|| inode.parse().ok()).flatten()
    })
}

fn hex(text: &str) -> Result<u32, Odd> {
    u32::from_str_radix(text, 16).map_err(|_| Odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQLITE: &str = "1: POSIX  ADVISORY  WRITE 26168 fe:00:10700130 1073741824 1073742335\n";

    fn holders(proc: &ProcDir, device: (u32, u32), superblock: Option<(u32, u32)>, inode: u64) -> Holders {
        list(proc, &HashSet::from([inode])).on(proc, &Asked { device, superblock, inode })
    }

    fn free() -> Holders {
        Holders { by: Vec::new(), hold: KernelHold::Free, unknown: None }
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
        let (held, odd) = parse_locks(text.as_bytes());
        assert_eq!(odd, 0);
        let told: Vec<_> = held.iter().map(|lock| (lock.kind, lock.access, lock.pid, lock.inode)).collect();
        assert_eq!(
            told,
            [
                (Kind::Posix, Access::Write, Some(26_168), 10_700_130),
                (Kind::OpenFile, Access::Read, None, 8),
                (Kind::Flock, Access::Write, Some(12), 9),
                (Kind::Lease, Access::Read, Some(13), 10),
                // It is held until it is given up.
                (Kind::Lease, Access::Write, Some(13), 10),
            ]
        );
        assert_eq!(held[0], posix(26_168));
        assert_eq!(held[1].device, (0, 0x2e));
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
            assert_eq!(parse_locks(line.as_bytes()), (Vec::new(), 1), "{line:.80}");
        }
        assert_eq!(parse_locks(b"1: POSIX ADVISORY WRITE 7 fe:00:1 0 \xff\xfe").1, 1);
        assert_eq!(parse_locks(b"\n\n \n\0\n").1, 1);
        assert_eq!(parse_locks(b""), (Vec::new(), 0));
        for end in 0..SQLITE.len() - 1 {
            let _ = parse_locks(&SQLITE.as_bytes()[..end]);
        }
        for pid in ["0", "-1", "-7", "-2147483648"] {
            let line = format!("1: POSIX ADVISORY WRITE {pid} fe:00:1 0 EOF");
            assert_eq!(parse_locks(line.as_bytes()).0[0].pid, None, "{pid}");
        }
    }

    #[test]
    fn a_lock_on_another_file_with_the_same_number_is_not_this_ones() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("locks"), SQLITE).unwrap();
        let proc = ProcDir::open(temp.path()).unwrap();
        let holder = Holder { pid: 26_168, access: Access::Write, kind: Kind::Posix };
        let (device, inode) = ((0xfe, 0), 10_700_130);
        assert_eq!(holders(&proc, device, None, inode), Holders { by: vec![holder], ..free() });
        assert_eq!(holders(&proc, device, None, inode + 1), free());
        assert_eq!(holders(&proc, (0xfe, 1), None, inode), free());
        // btrfs and overlayfs: the process must show it, and here it cannot.
        for superblock in [None, Some(device)] {
            let found = holders(&proc, (0, 0x2e), superblock, inode);
            assert_eq!((found.by, found.unknown), (vec![], Some(Untold::Unasked(26_168, Errno::NOENT))));
        }
        // What the mount table says of its superblock tells it from all others.
        assert_eq!(holders(&proc, (0, 0x2e), Some((0, 0x2e)), inode), free());
    }

    fn of(held: Vec<Lock>, unknown: Option<Untold>) -> Holders {
        let nobody = tempfile::tempdir().unwrap();
        let proc = ProcDir::open(nobody.path()).unwrap();
        let file = Asked { device: (0xfe, 0), superblock: None, inode: 10_700_130 };
        Locks { held, unknown }.on(&proc, &file)
    }

    #[test]
    fn what_the_list_does_not_prove_is_unknown_and_never_a_holder() {
        for kind in [Kind::Flock, Kind::Lease] {
            // On this file for certain, by a process that cannot be asked.
            let found = of(vec![Lock { kind, ..posix(9) }], None);
            assert_eq!((found.by, found.unknown), (vec![], Some(Untold::Unasked(9, Errno::NOENT))));
            assert_eq!(found.hold, KernelHold::HELD);
            // On this file or one of the same number.
            let found = of(vec![Lock { kind, device: (0, 7), ..posix(9) }], None);
            assert_eq!((found.by, found.hold), (vec![], KernelHold::Unknown(Untold::SameNumber(Some(9)))));
        }
        let open_file = Lock { kind: Kind::OpenFile, pid: None, ..posix(9) };
        assert_eq!(of(vec![open_file], None).unknown, Some(Untold::Nameless));
        let odd = of(Vec::new(), Some(Untold::OddLines(3)));
        assert_eq!((odd.hold, odd.unknown), (KernelHold::Unknown(Untold::OddLines(3)), Some(Untold::OddLines(3))));
        let nobody = tempfile::tempdir().unwrap();
        let found = holders(&ProcDir::open(nobody.path()).unwrap(), (0xfe, 0), None, 1);
        assert_eq!(found.hold, KernelHold::Unknown(Untold::NoList(Errno::NOENT)));
    }

    #[test]
    fn a_list_of_a_thousand_names_asks_a_few_processes() {
        let held = (1..=1000).map(|pid| Lock { device: (0, 7), kind: Kind::Flock, ..posix(pid) }).collect();
        let found = of(held, None);
        assert!(found.by.is_empty() && matches!(found.hold, KernelHold::Unknown(Untold::SameNumber(_))));
    }

    #[test]
    fn a_line_of_a_later_kernel_matters_only_where_it_is_about_the_file() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("locks"), format!("{SQLITE}2: TOKEN NEW WRITE 7 fe:00:5 0 EOF\n")).unwrap();
        let proc = ProcDir::open(temp.path()).unwrap();
        assert_eq!(holders(&proc, (0xfe, 0), None, 6), free());
        assert_eq!(holders(&proc, (0xfe, 0), None, 5).hold, KernelHold::Unknown(Untold::OddLines(1)));
    }

    #[test]
    fn a_long_list_is_read_in_pieces_and_one_that_is_too_long_is_not_taken_for_empty() {
        let temp = tempfile::tempdir().unwrap();
        let mut text = "1: FLOCK  ADVISORY  WRITE 9 fe:00:77777 0 EOF\n".repeat(50_000);
        text.push_str("1: FLOCK  ADVISORY  WRITE 9 fe:00:5 0 EOF\n");
        std::fs::write(temp.path().join("locks"), &text).unwrap();
        let proc = ProcDir::open(temp.path()).unwrap();
        assert_eq!(holders(&proc, (0xfe, 0), None, 5).hold, KernelHold::HELD);
        assert_eq!(holders(&proc, (0xfe, 0), None, 6), free());
        std::fs::write(temp.path().join("locks"), text.repeat(8)).unwrap();
        assert_eq!(holders(&proc, (0xfe, 0), None, 6).hold, KernelHold::Unknown(Untold::LongList));
    }
}
