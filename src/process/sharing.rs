//! Programs on this machine through which a directory has writers that no /proc here shows:
//! servers and virtual machines, behind which another kernel runs, and synchronisers, which bring
//! the files of another machine.
//!
//! A name alone is anybody's choice. A program counts by its executable, where that may be read,
//! and for a lock that it can have written: it runs as root, as the lock's uid, or with that uid
//! in its user namespace. So no stranger's process takes the proof from another user's locks.

use super::exports::Exports;
use super::proc_dir::ProcDir;
use super::status::{Identity, Status};
use super::table::Entry;
use crate::sys::mounts::MountTable;
use rustix::io::Errno;
use std::collections::HashSet;

/// What comes of a program that writes where another kernel or machine reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Processes of another kernel use the directory through it.
    OtherKernel,
    /// It copies files from and to another machine.
    Synchronises,
    /// The kernel's NFS server, which says itself what it exports.
    NfsServer,
}

#[derive(Debug)]
struct Program {
    /// What it is called in a report.
    label: &'static str,
    effect: Effect,
    /// How its processes are named (`comm`).
    names: &'static [&'static str],
    /// How its file is named.
    files: &'static [&'static str],
    ask: Ask,
}

/// What more it takes than the name of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Nothing,
    /// It is a thread of the kernel.
    KernelThread,
    /// The name is that of many programs: where the file cannot be read, the first argument tells.
    FirstArgument,
    /// One of its arguments has one of these in it.
    Argument(&'static [&'static str]),
    /// It may be a script, whose file is its interpreter.
    Script,
    /// A library gives that name to whatever program uses it.
    AnyFile,
}

const fn server(label: &'static str, names: &'static [&'static str]) -> Program {
    Program { label, effect: Effect::OtherKernel, names, files: names, ask: Ask::Nothing }
}

const fn synchroniser(label: &'static str, names: &'static [&'static str]) -> Program {
    Program { label, effect: Effect::Synchronises, names, files: names, ask: Ask::Script }
}

const PROGRAMS: &[Program] = &[
    server("VirtualBox", &["VBoxHeadless", "VirtualBoxVM", "VBoxSDL"]),
    server("VMware", &["vmware-vmx"]),
    server("smbd", &["smbd"]),
    Program { ask: Ask::KernelThread, ..server("ksmbd", &["ksmbd"]) },
    Program { effect: Effect::NfsServer, ask: Ask::KernelThread, ..server("nfsd", &["nfsd"]) },
    server("virtiofsd", &["virtiofsd"]),
    server("nydusd", &["nydusd"]),
    // Its sandbox and gofer may run as /proc/self/exe.
    Program { names: &["runsc", "exe"], ask: Ask::FirstArgument, ..server("gVisor", &["runsc"]) },
    Program {
        // What 15 bytes leave of the names of all shims.
        names: &["containerd-shim"],
        ask: Ask::FirstArgument,
        ..server("a sandbox's containerd-shim", &["containerd-shim-runsc", "containerd-shim-kata"])
    },
    server("User Mode Linux", &["linux", "vmlinux", "uml", "uml-userspace"]),
    // It names its machine after the guest's host name.
    Program { ask: Ask::AnyFile, ..server("libkrun", &["libkrun VM", "VM"]) },
    server("libkrun", &["krun", "krunvm", "muvm", "crun-krun", "libkrun"]),
    server("crosvm", &["crosvm"]),
    server("kvmtool", &["lkvm"]),
    Program {
        ask: Ask::Argument(&["-virtfs", "-fsdev", "vhost-user-fs", "virtio-9p", "fat:", "vvfat", "-readconfig"]),
        ..server("qemu", &["qemu", "kvm"])
    },
    server("nfs-ganesha", &["ganesha.nfsd"]),
    server("unfsd", &["unfsd"]),
    server("glusterfsd", &["glusterfsd"]),
    server("a 9p server", &["diod", "u9fs", "npfs"]),
    server("afpd", &["afpd"]),
    server("sftp-server", &["sftp-server", "proftpd"]),
    Program { ask: Ask::Argument(&["internal-sftp"]), ..server("sftp-server", &["sshd", "sshd-session"]) },
    Program { ask: Ask::Argument(&["serve"]), ..server("rclone serve", &["rclone"]) },
    synchroniser("rclone", &["rclone"]),
    synchroniser("syncthing", &["syncthing"]),
    synchroniser("rsync", &["rsync", "lsyncd", "osync", "csync2"]),
    synchroniser("unison", &["unison"]),
    synchroniser("mutagen", &["mutagen"]),
    synchroniser("dropbox", &["dropbox", "dropboxd", "maestral"]),
    synchroniser("nextcloud", &["nextcloud", "nextcloudcmd", "owncloud", "owncloudcmd"]),
    synchroniser("seafile", &["seaf-daemon", "seadrive"]),
    synchroniser("resilio", &["rslsync", "btsync"]),
    synchroniser("a cloud drive's client", &["onedrive", "onedriver", "insync", "megasync", "mega-cmd-server"]),
    synchroniser("a cloud drive's client", &["cloud-drive-daemon", "cloud-drive-connect", "git-annex"]),
];

/// Files that run programs of any name.
const INTERPRETERS: &[&str] = &["python", "perl", "ruby", "node", "sh", "bash", "dash", "busybox", "java", "mono"];
/// What a user namespace shows of a uid that it does not map.
const OVERFLOW_UID: u32 = 65_534;

/// A program that counts for the locks of some uids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its pid in the proc directory.
    pub pid: u32,
    /// What it is.
    pub label: &'static str,
    /// What comes of it.
    pub effect: Effect,
    uids: Uids,
    arguments: Option<&'static [&'static str]>,
}

/// As which uids a process can write.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Uids {
    /// Root, or it cannot be told.
    Any,
    /// Those in these ranges.
    In(Vec<(u32, u32)>),
}

/// The processes whose names a sweep met among those that may share directories.
#[derive(Debug, Default)]
pub struct Suspects {
    named: Vec<(u32, &'static Program)>,
}

/// The programs that count, each asked once.
#[derive(Debug, Default)]
pub struct Servers {
    all: Vec<Server>,
}

impl Suspects {
    pub(crate) fn look_at(&mut self, pid: u32, name: &str) {
        self.named.extend(PROGRAMS.iter().filter(|program| is_named(name, program.names)).map(|found| (pid, found)));
    }

    /// Asks what each of them is, and which other process runs the file of one. Nothing that is
    /// read here can block.
    #[must_use]
    pub fn servers(&self, proc: &ProcDir, entries: &[Entry]) -> Servers {
        let own_map = proc.read("self/uid_map").unwrap_or_default();
        let mut all: Vec<Server> =
            self.named.iter().filter_map(|(pid, program)| program.runs_as(proc, *pid, &own_map)).collect();
        let asked: HashSet<u32> = self.named.iter().map(|(pid, _)| *pid).collect();
        for entry in entries.iter().filter(|entry| !asked.contains(&entry.pid)) {
            let Ok(file) = file_name(proc, entry.pid) else { continue };
            let same_file = PROGRAMS.iter().filter(|program| is_named(&file, program.files));
            all.extend(same_file.filter_map(|program| program.runs_as(proc, entry.pid, &own_map)));
        }
        Servers { all }
    }
}

impl Servers {
    /// Those that may have written, or shown elsewhere, what belongs to this uid.
    ///
    /// Those with [`Server::is_asked_by_arguments`] count only if these say so.
    pub fn of(&self, uid: u32) -> impl Iterator<Item = &Server> {
        self.all.iter().filter(move |server| server.serves(uid))
    }

    /// The exported directories, if an NFS server runs.
    #[must_use]
    pub fn exports(&self, mounts: &MountTable) -> Exports {
        let runs = self.all.iter().any(|server| server.effect == Effect::NfsServer);
        if runs { Exports::read(mounts) } else { Exports::default() }
    }
}

impl Server {
    fn serves(&self, uid: u32) -> bool {
        match &self.uids {
            Uids::Any => true,
            Uids::In(ranges) => ranges.iter().any(|(first, count)| uid.checked_sub(*first).is_some_and(|n| n < *count)),
        }
    }

    /// Whether only its arguments tell what it shares. To read them can block: its memory may be
    /// held by somebody.
    #[must_use]
    pub fn is_asked_by_arguments(&self) -> bool {
        self.arguments.is_some()
    }

    /// Whether its arguments say that it shares; what cannot be read may.
    #[must_use]
    pub fn says_so(&self, proc: &ProcDir) -> bool {
        let Some(words) = self.arguments else { return true };
        match proc.read(&format!("{}/cmdline", self.pid)) {
            Ok(cmdline) => {
                let text = String::from_utf8_lossy(&cmdline);
                words.iter().any(|word| text.contains(word))
            }
            Err(errno) => !is_gone(errno),
        }
    }
}

impl Program {
    /// What a process with its name or file is; `None` if it is another program, or has gone.
    fn runs_as(&'static self, proc: &ProcDir, pid: u32, own_map: &[u8]) -> Option<Server> {
        let uids = uids(proc, pid, own_map)?;
        let mut arguments = None;
        match (self.ask, file_name(proc, pid)) {
            (Ask::KernelThread, Ok(_)) => return None,
            (Ask::KernelThread, Err(_)) => is_kernel_thread(proc, pid).then_some(())?,
            (Ask::Script, Ok(file)) if is_named(&file, INTERPRETERS) => {}
            (Ask::AnyFile, Ok(_)) => {}
            (_, Ok(file)) if !is_named(&file, self.files) => return None,
            (_, Err(Errno::NOENT | Errno::SRCH)) => return None,
            (Ask::FirstArgument, Err(_)) => arguments = Some(self.files),
            _ => {}
        }
        if let Ask::Argument(words) = self.ask {
            arguments = Some(words);
        }
        Some(Server { pid, label: self.label, effect: self.effect, uids, arguments })
    }
}

/// Whether a name is one of these, or one of them and more after a sign that is no letter or digit.
fn is_named(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| {
        name.strip_prefix(known).is_some_and(|rest| {
            let more = rest.chars().next();
            more.is_none_or(|next| !next.is_ascii_alphabetic() && (!next.is_ascii_digit() || *known == "python"))
        })
    })
}

/// The name of the file that a process runs, without what Linux and packagers put around it.
///
/// Errors: `NOENT` for a thread of the kernel and for a process that has ended; `ACCESS` for one
/// that this user may not ask, and for a file without a name.
fn file_name(proc: &ProcDir, pid: u32) -> Result<String, Errno> {
    let link = proc.link(&format!("{pid}/exe"))?;
    let path = link.strip_suffix(b" (deleted)").unwrap_or(&link);
    if path.starts_with(b"/memfd:") {
        return Err(Errno::ACCESS);
    }
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let name = String::from_utf8_lossy(name).into_owned();
    let plain = name.strip_prefix('.').and_then(|name| name.strip_suffix("-wrapped")).map(str::to_owned);
    Ok(plain.unwrap_or(name))
}

fn is_kernel_thread(proc: &ProcDir, pid: u32) -> bool {
    match proc.read(&format!("{pid}/stat")) {
        Ok(stat) => Identity::parse(&stat).is_none_or(|identity| identity.kernel_thread),
        Err(errno) => !is_gone(errno),
    }
}

/// As whom a process can write; `None` if it has gone.
fn uids(proc: &ProcDir, pid: u32, own_map: &[u8]) -> Option<Uids> {
    let ids = match proc.read(&format!("{pid}/status")).map(|bytes| Status::parse(&bytes)) {
        Ok(Some(status)) => status.uids,
        Err(errno) if is_gone(errno) => return None,
        Ok(None) | Err(_) => return Some(Uids::Any),
    };
    let map = match proc.read(&format!("{pid}/uid_map")) {
        Ok(map) => map,
        Err(errno) if is_gone(errno) => return None,
        Err(_) => return Some(Uids::Any),
    };
    let unmapped = ids.contains(&OVERFLOW_UID) && !is_whole(own_map);
    if ids.contains(&0) || unmapped {
        return Some(Uids::Any);
    }
    let mut ranges: Vec<(u32, u32)> = ids.iter().map(|id| (*id, 1)).collect();
    if map != own_map {
        // In a user namespace of its own it can be whoever is mapped there.
        let lines = std::str::from_utf8(&map).ok().map(str::lines)?;
        for line in lines {
            let numbers: Vec<u32> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let [_, first, count] = numbers[..] else { return Some(Uids::Any) };
            ranges.push((first, count));
        }
    }
    Some(Uids::In(ranges))
}

/// Whether a user namespace maps every uid to itself, as the initial one does.
fn is_whole(map: &[u8]) -> bool {
    map.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).eq([&b"0"[..], b"0", b"4294967295"])
}

fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::SRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: u32 = 1000;
    const WHOLE: &str = "0 0 4294967295\n";

    /// A process of a proc directory made by hand: its name, its file, its uid, its map of uids.
    struct Made<'a>(&'a str, &'a str, u32, &'a str);

    fn servers(processes: &[Made<'_>], arguments: &str, uid: u32) -> Vec<&'static str> {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("self")).unwrap();
        std::fs::write(temp.path().join("self/uid_map"), WHOLE).unwrap();
        let (mut suspects, mut entries) = (Suspects::default(), Vec::new());
        for (pid, Made(name, file, uid, map)) in (7_u32..).zip(processes) {
            let dir = temp.path().join(pid.to_string());
            std::fs::create_dir(&dir).unwrap();
            let status = format!(
                "Name:\t{name}\nState:\tS\nTgid:\t{pid}\nPid:\t{pid}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nNSpid:\t{pid}\nThreads:\t1\n"
            );
            std::fs::write(dir.join("status"), status).unwrap();
            std::fs::write(dir.join("uid_map"), map).unwrap();
            std::fs::write(dir.join("cmdline"), arguments).unwrap();
            std::fs::write(dir.join("stat"), "no kernel's\n").unwrap();
            match *file {
                // Not a link: an errno that is neither "gone" nor an answer.
                "" => std::fs::write(dir.join("exe"), "").unwrap(),
                file => std::os::unix::fs::symlink(file, dir.join("exe")).unwrap(),
            }
            suspects.look_at(pid, name);
            entries.push(Entry { pid, ns_pid: pid, euid: *uid, may_be_runtime: false });
        }
        let proc = ProcDir::open(temp.path()).unwrap();
        let found = suspects.servers(&proc, &entries);
        found.of(uid).filter(|server| server.says_so(&proc)).map(|server| server.label).collect()
    }

    #[test]
    fn no_strangers_process_takes_the_proof_from_anothers_locks() {
        let stranger = [Made("smbd", "/home/mallory/smbd", 1001, WHOLE), Made("syncthing", "", 1001, WHOLE)];
        assert_eq!(servers(&stranger, "", OWNER), [""; 0]);
        assert_eq!(servers(&stranger, "", 0), [""; 0], "nor from root's");
        assert_eq!(servers(&stranger, "", 1001), ["smbd", "syncthing"], "only from its own");
        // A name that its process chose.
        let named = [Made("smbd", "/usr/bin/sleep", 0, WHOLE), Made("qemu-system-x86", "/usr/bin/sleep", 0, WHOLE)];
        assert_eq!(servers(&named, "x\0-virtfs\0", OWNER), [""; 0]);
    }

    #[test]
    fn whoever_can_have_written_as_the_locks_owner_counts() {
        let root = [Made("smbd: client [10", "/usr/sbin/smbd (deleted)", 0, WHOLE)];
        assert_eq!(servers(&root, "", OWNER), ["smbd"]);
        assert_eq!(servers(&[Made("virtiofsd", "/usr/libexec/virtiofsd", OWNER, WHOLE)], "", OWNER), ["virtiofsd"]);
        // Rootless: the uids of its containers are subordinate ones.
        let rootless = [Made("virtiofsd", "/usr/libexec/virtiofsd", OWNER, "0 1000 1\n1 100000 65536\n")];
        assert_eq!(servers(&rootless, "", 100_999), ["virtiofsd"]);
        assert_eq!(servers(&rootless, "", 200_000), [""; 0]);
        // What cannot be asked may be it.
        assert_eq!(servers(&[Made("unfsd", "", 0, WHOLE)], "", OWNER), ["unfsd"]);
        assert_eq!(servers(&[Made("smbd", "/memfd:x (deleted)", 0, WHOLE)], "", OWNER), ["smbd"]);
        assert_eq!(servers(&[Made("unfsd", "/usr/sbin/unfsd", 1001, "garbled\n")], "", OWNER), ["unfsd"]);
    }

    #[test]
    fn another_kernel_is_known_by_its_file_whatever_its_process_is_called() {
        for (name, file, label) in [
            ("vm-openclaw", "/usr/bin/qemu-system-x86_64", "qemu"),
            ("linux.uml", "/usr/bin/linux.uml", "User Mode Linux"),
            ("linux", "/home/u/build/linux", "User Mode Linux"),
            ("exe", "/usr/local/bin/runsc", "gVisor"),
            ("containerd-shim", "/opt/kata/bin/containerd-shim-kata-v2", "a sandbox's containerd-shim"),
            ("VM:gateway", "/usr/bin/anything", "libkrun"),
            (".smbd-wrapped", "/nix/store/x/bin/.smbd-wrapped", "smbd"),
            ("sftp-server", "/usr/lib/openssh/sftp-server", "sftp-server"),
            ("ganesha.nfsd", "/usr/bin/ganesha.nfsd", "nfs-ganesha"),
            ("maestral", "/usr/bin/python3.11", "dropbox"),
        ] {
            assert_eq!(servers(&[Made(name, file, OWNER, WHOLE)], "x\0-virtfs\0", OWNER), [label], "{name}");
        }
        for (name, file) in [
            ("containerd-shim", "/usr/bin/containerd-shim-runc-v2"),
            ("exe", "/usr/bin/dockerd"),
            ("sshd", "/usr/sbin/sshd"),
            ("qemu-aarch64-st", "/usr/bin/qemu-aarch64-static"),
            ("rsyslogd", "/usr/sbin/rsyslogd"),
            ("nfsd", "/home/u/nfsd"),
        ] {
            assert_eq!(servers(&[Made(name, file, OWNER, WHOLE)], "x\0gateway\0", OWNER), [""; 0], "{name}");
        }
    }

    #[test]
    fn what_many_share_a_name_for_is_told_by_its_arguments() {
        let sshd = [Made("sshd-session", "/usr/lib/openssh/sshd-session", OWNER, WHOLE)];
        assert_eq!(servers(&sshd, "sshd: alice@internal-sftp\0", OWNER), ["sftp-server"]);
        assert_eq!(servers(&sshd, "sshd: alice@pts/0\0", OWNER), [""; 0]);
        let rclone = [Made("rclone", "/usr/bin/rclone", OWNER, WHOLE)];
        assert_eq!(servers(&rclone, "rclone\0serve\0sftp\0", OWNER), ["rclone serve", "rclone"]);
        assert_eq!(servers(&rclone, "rclone\0bisync\0", OWNER), ["rclone"]);
    }
}
