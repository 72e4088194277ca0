//! Words for causes: what could not be seen or told, and what would lift it.
//!
//! In: the causes that other modules give as values. Out: text. Pure; the caller prints, colours
//! and sanitises. [`crate::explain`] has the words for verdicts.

use crate::discover::{Named, OpenError, Origin};
use crate::evidence::{ForeignKernel, InitialBy, Nested, NotSole, VantageWhy};
use crate::hold::Untold;
use crate::problem::{Act, Cause, Kept, Problem};
use crate::process::credentials::NoAuthority;
use crate::quote::shell_word;
use crate::release::{ReleaseUnknown, spans};
use crate::scan::{Blocks, BlocksUnknown, NotBlocking};
use crate::sys::words;
use crate::who::{CannotTell, NotLooked, Stranger, Unknown, What, WhyUnknown};
use rustix::io::Errno;
use std::fmt;
use std::path::Path;

const AS_ROOT: &str = "run it as root: sudo openclaw-doctor …";
const AS_THEIR_USER: &str = "run it as the user of that process, or as root with the capability SYS_PTRACE";
const MORE_ROOM: &str = "free memory or file descriptors and run again";
const GIVE_PATHS: &str = "name the directories to look at as PATH arguments";

impl VantageWhy {
    /// How the vantage was told, in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Initial { proc, by } => {
                let how = match by {
                    InitialBy::Identity => "pid:[4026531836]",
                    InitialBy::KernelThread => "its pid 2 is a kernel thread",
                };
                format!("{} shows the initial PID namespace ({how})", shell_word(proc))
            }
            Self::Below { proc, namespace } => {
                let namespace = namespace.map_or_else(
                    || "a PID namespace without kernel threads".to_owned(),
                    |inode| format!("pid:[{inode}]"),
                );
                format!(
                    "{} shows {namespace}, not the initial PID namespace: processes of the host and of sibling containers are out of sight",
                    shell_word(proc)
                )
            }
            Self::NamespaceUnknown { proc } => {
                format!("it cannot be told which PID namespace {} shows", shell_word(proc))
            }
            Self::Hidden { proc } => {
                format!("{} is mounted with hidepid: processes of other users are hidden", shell_word(proc))
            }
            Self::OptionsUnknown { proc } => {
                format!("the mount options of {} cannot be read, so processes may be hidden", shell_word(proc))
            }
            Self::Unreadable { processes } => format!("{processes} processes cannot be read"),
            Self::NotProcfs { proc } => {
                format!("{} is not procfs: what it shows proves nothing", shell_word(proc))
            }
            Self::NotListed { errno } => format!("the processes cannot be listed: {}", words(*errno)),
            Self::NotOpened { proc, errno } => format!("{} cannot be read: {}", shell_word(proc), words(*errno)),
        }
    }

    /// What would lift a vantage below `host`.
    #[must_use]
    pub fn lift(&self) -> Option<&'static str> {
        match self {
            Self::Initial { .. } => None,
            Self::Below { .. } => {
                Some("run it on the host, or add --assume-single-writer if nothing outside this container writes there")
            }
            Self::NamespaceUnknown { .. } | Self::OptionsUnknown { .. } => Some("run it as root on the host"),
            Self::Hidden { .. } | Self::Unreadable { .. } => Some(AS_ROOT),
            Self::NotProcfs { proc } if proc != Path::new("/proc") => {
                Some("leave out --proc, or name a mounted procfs")
            }
            Self::NotProcfs { .. } | Self::NotListed { .. } | Self::NotOpened { .. } => {
                Some("mount procfs on /proc, or name one with --proc DIR")
            }
        }
    }
}

impl fmt::Display for ForeignKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FilesystemUnknown => f.write_str("its filesystem cannot be told"),
            Self::SharedFilesystem(name) => write!(f, "it lies on {name}, which other machines may share"),
            Self::Server { pid, program } => {
                write!(f, "{program} (pid {pid}) may share this directory with another kernel")
            }
            Self::ExportsUnreadable => f.write_str("this machine runs an NFS server whose exports cannot be read"),
            Self::Exported(path) => write!(f, "{} is exported by NFS from this machine", shell_word(path)),
        }
    }
}

impl fmt::Display for NotSole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInNamespace(seen) => f.write_str(&seen.sentence()),
            Self::ForeignPids => f.write_str("the pids shown are not those of our own namespace"),
            Self::Nested(Nested::Sandbox(program)) => {
                write!(f, "pid 1 is {program}: a sandbox inside the container")
            }
            Self::Nested(Nested::Pid1Unreadable) => f.write_str("pid 1 cannot be read"),
            Self::Nested(Nested::SingleId) => {
                f.write_str("our user namespace maps a single id: a sandbox inside the container")
            }
            Self::Nested(Nested::UserNamespaceUnreadable) => f.write_str("our user namespace cannot be read"),
            Self::SecondProcfs => f.write_str("a second procfs is mounted: a PID namespace inside the container"),
            Self::Mount { point, filesystem } => write!(
                f,
                "the lock lies on the mount {} ({filesystem}), which other containers may share",
                shell_word(point)
            ),
            Self::MountUnknown => f.write_str("the lock's mount cannot be told"),
        }
    }
}

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotRegular => f.write_str("it is no regular file"),
            Self::Exchanged => f.write_str("another file has taken its name"),
            Self::OtherMount => f.write_str("another mount lies on it"),
            Self::NotAllowed => f.write_str("its file may not be opened by this user"),
            Self::NoProcfs => f.write_str("without a /proc of our own no file can be opened for certain"),
            Self::Smb => f.write_str("on SMB a lock cannot be asked for without taking it"),
            Self::Refused(errno) => write!(f, "its file system does not tell its locks: {}", words(errno)),
            Self::NoList(errno) => write!(f, "the kernel's list of locks cannot be read: {}", words(errno)),
            Self::LongList => f.write_str("the kernel's list of locks is too long to be read"),
            Self::OddLines(lines) => write!(f, "{lines} lines of the kernel's list of locks cannot be read"),
            Self::SameNumber(Some(pid)) => write!(f, "pid {pid} has a lock on this file or one with the same number"),
            Self::SameNumber(None) => f.write_str("somebody has a lock on this file or one with the same number"),
            Self::Nameless => f.write_str("a lock of an open file names no process"),
            Self::PassedOn(pid) => write!(f, "pid {pid} took a lock and no longer has the file open"),
            Self::Unasked(pid, errno) => write!(f, "the open files of pid {pid} cannot be read: {}", words(errno)),
            Self::TooManyFiles(pid) => write!(f, "pid {pid} has too many open files to be looked at"),
            Self::TooManyHolders => f.write_str("too many processes have locks to be asked one by one"),
            Self::NoAnswer => f.write_str("no answer in time"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.named {
            Named::Argument => f.write_str("PATH argument")?,
            Named::Variable(name) => f.write_str(name)?,
            Named::InHome(name) => write!(f, "~/{name}")?,
            Named::TempDirectory => f.write_str("temp directory")?,
            Named::Home => f.write_str("home")?,
            Named::CallersHome => f.write_str("home of the user who called sudo")?,
            Named::UsersHome => f.write_str("home of a user")?,
            Named::System => f.write_str("system place")?,
            Named::InstalledPackage => f.write_str("installed package")?,
            Named::Package => f.write_str("package")?,
            Named::Mount => f.write_str("mount")?,
        }
        match self.process {
            Some(pid) => write!(f, " of OpenClaw process {pid}"),
            None => Ok(()),
        }
    }
}

impl Problem {
    /// What was tried and what came of it.
    #[must_use]
    pub fn cause(&self) -> String {
        match &self.cause {
            Cause::System { act, errno } => {
                let act = match act {
                    Act::StartThread => "cannot start a thread for the root",
                    Act::LookAtLock => "cannot look at the lock",
                    Act::ListDirectory => "cannot list the directory",
                };
                format!("{act}: {}", said(*errno))
            }
            Cause::Root(OpenError::System(errno)) => format!("cannot open the root: {}", said(*errno)),
            Cause::Root(OpenError::Authority(errno)) => {
                format!("it was named by another user, and this run cannot look at it as that user: {}", words(*errno))
            }
            Cause::Root(OpenError::ForeignLink { link, target }) => format!(
                "the symbolic link {} on the way is not its directory's owner's; it leads to {}",
                shell_word(link),
                shell_word(target)
            ),
            Cause::Authority { program, why } => {
                let why = match why {
                    NoAuthority::Unreadable(errno) => format!("its user cannot be read: {}", words(*errno)),
                    NoAuthority::MixedIds => "it runs with several user or group ids".to_owned(),
                    NoAuthority::Unmapped => "its user is outside our user namespace".to_owned(),
                };
                format!("{program} names places, but {why}: they were not looked at")
            }
            Cause::Link => "a symbolic link leads to another directory, which was not looked at".to_owned(),
            Cause::NoHeadway { seconds } => format!("no answer from its filesystem for {seconds} s"),
            Cause::Hopeless => {
                "not looked at: its filesystem, or others that the same process names, gave no answer".to_owned()
            }
            Cause::TooManyNames { most } => format!("it holds more than {most} names; the rest was not listed"),
            Cause::TooManyFinds { sort, count } => {
                let sort = match sort {
                    Kept::Locks => "locks",
                    Kept::Idle => "files of kernel locks that nobody holds",
                    Kept::LookAlikes => "directories that look like locks",
                };
                format!("from here on {count} more {sort} were found and not kept")
            }
            Cause::TooManyPlaces { most } => {
                format!("it names more than {most} places; the others were not looked at")
            }
            Cause::TooDeep { depth, count, all } => {
                let (were, them) = if *count == 1 {
                    ("1 directory was", "it lies")
                } else {
                    (&*format!("{count} directories were"), "they lie")
                };
                let here = match (all, count) {
                    (true, 1) => "",
                    (true, _) => " below this one",
                    (false, _) => ", the first of them this one",
                };
                format!("{were} not looked into{here}: {them} more than {depth} levels below the PATH")
            }
            Cause::More { like, count } => {
                let like = Problem { path: self.path.clone(), cause: like.as_ref().clone() };
                format!("{count} more of this kind, the first of them here: {}", like.cause())
            }
            Cause::WhoRuns(why @ CannotTell::NotLooked(_)) => {
                format!("{}, so the directories of running OpenClaw processes are not known", why.sentence())
            }
            Cause::WhoRuns(why @ CannotTell::Process { more: 0, .. }) => {
                format!("{}, so its roots may be missing", why.sentence())
            }
            Cause::WhoRuns(why @ CannotTell::Process { .. }) => {
                format!("{}, so their roots may be missing", why.sentence())
            }
            Cause::HomesTookTooLong => {
                "looking through the home directories took too long: a mount there may be dead".to_owned()
            }
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn next_step(&self) -> &'static str {
        match &self.cause {
            Cause::System { errno, .. } | Cause::Root(OpenError::System(errno)) => remedy(*errno),
            Cause::Root(OpenError::Authority(_) | OpenError::ForeignLink { .. }) => {
                "give it as a PATH, by its real name, to look at it as yourself"
            }
            Cause::Authority { .. } => GIVE_PATHS,
            Cause::Link => "give the directory that it leads to as a PATH of its own",
            Cause::TooManyNames { .. } | Cause::TooManyFinds { .. } | Cause::TooManyPlaces { .. } => {
                "give the directories that matter as PATHs of their own"
            }
            Cause::TooDeep { .. } => "give this directory as a PATH of its own",
            Cause::More { like, .. } => Problem { path: self.path.clone(), cause: like.as_ref().clone() }.next_step(),
            Cause::NoHeadway { .. } | Cause::Hopeless => {
                "see whether the server behind that mount is alive; umount -l takes a dead one away"
            }
            Cause::WhoRuns(why) => why.lift(),
            Cause::HomesTookTooLong => GIVE_PATHS,
        }
    }
}

impl BlocksUnknown {
    fn sentence(&self) -> String {
        match self {
            Self::NoneFound => "no running or installed OpenClaw was found to compare with".to_owned(),
            Self::WhoRuns(why) => why.sentence(),
            Self::Release(why) => why.sentence(),
            Self::Installed => "the places where OpenClaw is installed could not all be looked at".to_owned(),
        }
    }
}

impl ReleaseUnknown {
    /// Why it cannot be told which release owns a state dir.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::NoStateDir => "it stands in no state dir that says which release owns it".to_owned(),
            Self::NotWritten => {
                "no configuration in its state dir says which release wrote it (meta.lastTouchedVersion)".to_owned()
            }
            Self::NotRead(errno) => format!("the configuration in its state dir cannot be read: {}", words(*errno)),
            Self::NotJson => "the configuration in its state dir is not plain JSON".to_owned(),
            Self::Runs(pid) => format!("the package that OpenClaw process {pid} runs was not found"),
            Self::WhoRuns(why) => why.sentence(),
        }
    }
}

impl CannotTell {
    /// Why it cannot be told who runs, in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Process { first, more: 0 } => first.sentence(),
            Self::Process { first, more } => format!("{}, nor can {more} more processes", first.sentence()),
            Self::NotLooked(NotLooked::NotSeen(seen)) => seen.sentence(),
            Self::NotLooked(NotLooked::NotAsked) => "running processes were not looked at".to_owned(),
        }
    }

    /// What would lift it.
    #[must_use]
    pub fn lift(&self) -> &'static str {
        let cause = match self {
            Self::Process { first, .. } => first.cause,
            Self::NotLooked(NotLooked::NotSeen(seen)) => return seen.lift().unwrap_or(GIVE_PATHS),
            Self::NotLooked(NotLooked::NotAsked) => return GIVE_PATHS,
        };
        match cause {
            WhyUnknown::Unread(_, Errno::ACCESS | Errno::PERM) => AS_THEIR_USER,
            WhyUnknown::Unread(_, Errno::NOMEM | Errno::MFILE | Errno::NFILE) | WhyUnknown::NoThread(_) => MORE_ROOM,
            WhyUnknown::OutOfTime => "see what that process waits for (a dead mount?), or stop it, and run again",
            WhyUnknown::Unread(..) | WhyUnknown::Unidentified => {
                "stop that process, or name directories that it does not use"
            }
        }
    }
}

/// Whose places were not looked at, and how they would be: nothing where there is nobody.
#[must_use]
pub fn not_looked_at(strangers: &[Stranger]) -> Option<String> {
    const NAMED: usize = 3;
    let name = |stranger: &Stranger| {
        let program = stranger.program.as_deref().unwrap_or("a process that cannot be read");
        format!("{program} (pid {}, uid {})", stranger.pid, stranger.uid)
    };
    let mut names: Vec<String> = strangers.iter().take(NAMED).map(name).collect();
    match strangers.len().saturating_sub(NAMED) {
        0 => {}
        more => names.push(format!("{more} more")),
    }
    let last = names.pop()?;
    let (names, whose) = match names.as_slice() {
        [] => (last, "that user"),
        first => (format!("{} and {last}", first.join(", ")), "these users"),
    };
    Some(format!("Not looked at: the places of {names}; as root, or as {whose}, they are"))
}

impl Unknown {
    fn sentence(&self) -> String {
        let program = self.program.as_deref().unwrap_or("a process that cannot be read");
        let name = format!("{program} (pid {})", self.pid);
        match self.cause {
            WhyUnknown::Unread(what, errno) => {
                let what = match what {
                    What::Arguments => "arguments",
                    What::Environment => "environment",
                    What::Root => "root directory",
                    What::Mounts => "mounts",
                    What::WorkingDirectory => "working directory",
                    What::Package => "package",
                    What::Place => "state directory",
                };
                format!("the {what} of {name} cannot be read ({})", words(errno))
            }
            WhyUnknown::Unidentified => format!("{name} cannot be identified"),
            WhyUnknown::OutOfTime => format!("{name} could not be looked at in time"),
            WhyUnknown::NoThread(errno) => format!("{name} could not be looked at ({})", words(errno)),
        }
    }
}

fn said(errno: Errno) -> String {
    match errno {
        // “Invalid cross-device link” is what the kernel calls a mount that it was told not to enter.
        Errno::XDEV => "another filesystem is mounted on it".to_owned(),
        errno => words(errno),
    }
}

fn remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::ACCESS | Errno::PERM => "run it as the owner of that directory, or as root",
        Errno::NOENT => "check the path: nothing stands there",
        Errno::NOTDIR => "give a directory: a stage root, a state dir, a version directory or a lock",
        Errno::NOSYS => "this kernel cannot resolve a path inside a container's root safely; run inside the container",
        Errno::LOOP => "a symbolic link stands there now; look at it by hand",
        Errno::XDEV => "OpenClaw mounts nothing there; see what it is (findmnt), unmount it and run again",
        Errno::NOMEM | Errno::MFILE | Errno::NFILE => MORE_ROOM,
        _ => "look at the filesystem's state (dmesg, mount) and run again",
    }
}

impl Blocks {
    /// The answer in a word, and why.
    #[must_use]
    pub fn parts(&self) -> (&'static str, String) {
        match self {
            Self::Yes { version } => ("yes", format!("OpenClaw {version} is running or installed here")),
            Self::No { why, known } => {
                let known = known.join(", ");
                let why = match why {
                    NotBlocking::OtherReleases(of) => format!("it is of OpenClaw {}", spans(of)),
                    NotBlocking::OtherVersion(version) => format!("its directory is of version {version}"),
                };
                ("no", format!("{why}; running or installed here: {known}"))
            }
            Self::Unknown(why) => ("unknown", why.sentence()),
        }
    }
}
