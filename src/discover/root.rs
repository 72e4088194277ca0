//! One place to look in, before and after it is opened.

use super::led::{Astray, follow};
use super::origin::{Named, Origin};
use crate::family::{Kind, STATE_PLACES, TEMP_PLACES, kind_of, leads_to_locks};
use crate::process::proc_dir::ProcDir;
use crate::process::status::Identity;
use crate::sys::authority::{Authority, Taken};
use crate::sys::tree::{Dir, Meta, stat};
use crate::units::StartTicks;
use rustix::fs::{AtFlags, CWD, FileType};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Depth below an explicit PATH in which known lock names are looked for.
pub(crate) const PATH_DEPTH: usize = 6;
/// The lock of a configuration that has OpenClaw's own name for it.
const DEFAULT_CONFIG_LOCK: &str = "openclaw.json.lock";
const DEFAULT_CONFIG: &[u8] = b"openclaw.json";
/// A stage root holds version directories, which hold locks.
pub(crate) const STAGE_DEPTH: usize = 2;

/// What kind of place a root is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RootKind {
    /// Given on the command line.
    Path,
    /// A stage root.
    Stage,
    /// An OpenClaw package, whose plugin directories take the lock themselves.
    Package,
    /// A state dir: its known places are looked in.
    State,
    /// A temp directory: OpenClaw's own directories in it are looked in.
    Temp,
    /// A directory that holds configuration, credentials or units: nothing below it is looked in.
    Config,
}

/// A place to look in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootSpec {
    /// Its path, as the process named in `via` sees it.
    pub path: PathBuf,
    /// The process whose root directory the path starts from; ours if absent.
    pub via: Option<u32>,
    /// When that process started, as this run reads it: its number may be another's by now.
    pub via_started: Option<StartTicks>,
    /// Who named it.
    pub origin: Origin,
    /// With whose authority it is looked at and touched.
    pub authority: Authority,
    /// What kind of place it is.
    pub kind: RootKind,
    /// How deep to look.
    pub depth: usize,
    /// Only this name in it: the operator named a single lock.
    pub only: Option<OsString>,
    /// The configuration's own name in it, which `OPENCLAW_CONFIG_PATH` chose.
    pub config: Option<OsString>,
    /// Its absence is a problem: the operator named it.
    pub required: bool,
}

impl RootSpec {
    /// A PATH argument: a directory to look below, or a single lock.
    #[must_use]
    pub fn from_argument(path: &Path) -> Self {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let lock = absolute.file_name().filter(|_| crate::family::names_lock(&absolute));
        let parent = absolute.parent().filter(|_| lock.is_some());
        Self {
            path: parent.unwrap_or(&absolute).to_owned(),
            via: None,
            via_started: None,
            origin: Named::Argument.into(),
            authority: Authority::Own,
            kind: RootKind::Path,
            depth: if lock.is_some() { 1 } else { PATH_DEPTH },
            only: lock.map(ToOwned::to_owned),
            config: None,
            required: true,
        }
    }

    /// The lock that a PATH leads to through a symbolic link of another name.
    pub(crate) fn lock_behind(&self, opened: &Dir) -> Option<Self> {
        let asks_for_directory = self.kind == RootKind::Path && self.only.is_none();
        let behind = Self::from_argument(&opened.kernel_path().filter(|_| asks_for_directory)?);
        behind.only.is_some().then(|| Self { authority: self.authority.clone(), ..behind })
    }

    /// A place of this kind that somebody else named.
    #[must_use]
    pub fn place(kind: RootKind, path: PathBuf, origin: Origin) -> Self {
        let depth = match kind {
            RootKind::Path | RootKind::State | RootKind::Temp => PATH_DEPTH,
            RootKind::Stage | RootKind::Package => STAGE_DEPTH,
            RootKind::Config => 1,
        };
        Self {
            path,
            via: None,
            via_started: None,
            origin,
            authority: Authority::Own,
            kind,
            depth,
            only: None,
            config: None,
            required: false,
        }
    }

    /// What stands at a path in this root, by its name and type.
    pub(crate) fn kind_of(&self, path: &Path, file_type: FileType) -> Option<Kind> {
        let of_config = || {
            let name = path.file_name()?;
            let is_config = self.config.as_ref().is_some_and(|config| is_lock_of(name, config));
            let by_default = path.with_file_name(DEFAULT_CONFIG_LOCK);
            is_config.then(|| kind_of(&by_default, file_type)).flatten()
        };
        kind_of(path, file_type).or_else(of_config)
    }

    /// Whether no other program would give this name to what stands there. The name of a custom
    /// configuration is anybody's: `OPENCLAW_CONFIG_PATH=/src/Cargo` makes Cargo.lock one.
    pub(crate) fn is_unmistakable(&self, kind: Kind, name: &OsStr) -> bool {
        let is_custom = |config: &OsString| config.as_encoded_bytes() != DEFAULT_CONFIG && is_lock_of(name, config);
        // Where nobody else was looked for, nobody else's are found.
        kind.is_sure || (self.kind != RootKind::Path && !self.config.as_ref().is_some_and(is_custom))
    }

    /// Whether a directory below it is looked into.
    #[must_use]
    pub(crate) fn enters(&self, below: &Path) -> bool {
        match self.kind {
            RootKind::State => leads_to_locks(below, STATE_PLACES),
            RootKind::Temp => leads_to_locks(below, TEMP_PLACES),
            RootKind::Path | RootKind::Stage | RootKind::Package | RootKind::Config => true,
        }
    }

    /// Whether a walk of this root finds whatever one of the other would, were both the same directory.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let enters_as_much = self.kind == RootKind::Path || self.kind == other.kind;
        // A configuration's lock is known by the configuration's name.
        let knows_as_much = other.config.is_none() || self.config == other.config;
        enters_as_much && knows_as_much && self.depth >= other.depth
    }

    /// The path under which we reach it: `/proc/PID/root/…` for another process's.
    #[must_use]
    pub fn shown_path(&self, proc: &Path) -> PathBuf {
        match self.via {
            None => self.path.clone(),
            Some(pid) => {
                let inside = self.path.strip_prefix("/").unwrap_or(&self.path);
                proc.join(pid.to_string()).join("root").join(inside)
            }
        }
    }

    /// Whether nobody named it: another user's process may use it, and has not said so.
    pub(crate) fn is_presumed(&self) -> bool {
        let by_default = matches!(self.origin.named, Named::InHome(_) | Named::TempDirectory);
        by_default && self.authority != Authority::Own && !self.required
    }

    /// Where it begins and with whose authority it is opened, asked with our own rights.
    ///
    /// Errors: the process through which it is reached is gone, or a link on the way is not to
    /// be followed.
    pub fn start(&self, proc: Option<&ProcDir>) -> Result<Start, OpenError> {
        let (path, authority) = (self.path.clone(), self.authority.clone());
        // The directory of a single lock is not followed: whoever owns the stage root can put a link
        // there, and the operator who pastes the path of a lock means the one that was shown.
        let last = self.only.is_none();
        if let Some(pid) = self.via {
            let proc = proc.ok_or(Errno::NOENT)?;
            let process = proc.process(pid)?;
            let started = || Some(Identity::parse(&process.read("stat").ok()?)?.start_ticks);
            // Its number may have been given again, to a process with another root.
            if self.via_started.is_some() && started() != self.via_started {
                return Err(Errno::SRCH.into());
            }
            return Ok(Start { base: Base::Root(process.open_link("root")?, path), authority });
        }
        // Acting as the one who named it, or as an ordinary user, the kernel itself sees to it that
        // no link leads further than that user can reach.
        if authority != Authority::Own || !rustix::process::geteuid().is_root() {
            return Ok(Start { base: Base::Path { path, last }, authority });
        }
        let led = follow(&path, last).map_err(|astray| match astray {
            Astray::System(errno) => OpenError::System(errno),
            Astray::ForeignLink { link, target } => OpenError::ForeignLink { link, target },
        })?;
        // As another user the kernel follows it again: we came past directories that may keep that one out.
        let base = if led.authority == Authority::Own { Base::Pinned(led.dir) } else { Base::Path { path, last } };
        Ok(Start { base, authority: led.authority })
    }

    /// Which directory it is; an ordinary user needs no right to read it.
    ///
    /// Errors: as of opening it.
    pub(crate) fn identity(&self, proc: Option<&ProcDir>) -> Result<Meta, OpenError> {
        if self.via.is_none() && self.authority == Authority::Own && !rustix::process::geteuid().is_root() {
            return Ok(stat(CWD, self.path.as_os_str().as_bytes(), AtFlags::empty())?);
        }
        self.start(proc)?.with(|dir, _| Ok(dir.meta()?))?
    }
}

fn is_lock_of(name: &OsStr, config: &OsStr) -> bool {
    name.as_encoded_bytes().strip_suffix(b".lock") == Some(config.as_encoded_bytes())
}

/// Where opening a root begins.
#[derive(Debug)]
pub struct Start {
    base: Base,
    authority: Authority,
}

#[derive(Debug)]
enum Base {
    /// The root directory of a process, and a path in it.
    Root(Dir, PathBuf),
    /// A path of ours, and whether a link at its end is followed.
    Path { path: PathBuf, last: bool },
    /// What a path led to.
    Pinned(Dir),
}

impl Start {
    /// With whose authority it is opened.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Opens it. To be called with [`Start::authority`] taken.
    ///
    /// Errors: those of open(2).
    pub fn open(&self) -> Result<Dir, Errno> {
        match &self.base {
            Base::Root(root, path) => root.open_in_root(path),
            Base::Path { path, last: true } => Dir::open_root(path),
            Base::Path { path, last: false } => Dir::open_no_link(path),
            Base::Pinned(dir) => dir.reopen(),
        }
    }

    /// Opens it and works with it, as the one with whose authority it is opened.
    ///
    /// Errors: its authority cannot be taken; those of open(2).
    pub fn with<T: Send>(&self, work: impl FnOnce(Dir, &Taken<'_>) -> T + Send) -> Result<T, OpenError> {
        let opened = self.authority.run(|taken| Ok(work(self.open()?, taken)));
        opened.map_err(OpenError::Authority)?.map_err(OpenError::System)
    }
}

/// Why a root cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OpenError {
    /// A system call failed.
    System(Errno),
    /// The identity of the one who named it cannot be taken.
    Authority(Errno),
    /// A link on the way that its directory's owner does not own, or links of several users.
    ForeignLink {
        /// The link.
        link: PathBuf,
        /// What it leads to.
        target: PathBuf,
    },
}

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}
