//! One place to look in, before and after it is opened.

use crate::process::proc_dir::ProcDir;
use crate::sys::tree::Dir;
use rustix::io::Errno;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Depth below an explicit PATH in which known lock names are looked for.
pub(crate) const PATH_DEPTH: usize = 6;
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
}

/// A place to look in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootSpec {
    /// Its path, as the process named in `via` sees it.
    pub path: PathBuf,
    /// The process whose root directory the path starts from; ours if absent.
    pub via: Option<u32>,
    /// Who named it.
    pub origin: String,
    /// What kind of place it is.
    pub kind: RootKind,
    /// How deep to look.
    pub depth: usize,
    /// Only this name in it: the operator named a single lock.
    pub only: Option<OsString>,
    /// Its absence is a problem: the operator named it.
    pub required: bool,
}

impl RootSpec {
    /// A PATH argument: a directory to look below, or a single lock.
    #[must_use]
    pub fn from_argument(path: &Path) -> Self {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let lock = absolute.file_name().filter(|name| crate::family::by_lock_name(name.as_encoded_bytes()).is_some());
        let parent = absolute.parent().filter(|_| lock.is_some());
        Self {
            path: parent.unwrap_or(&absolute).to_owned(),
            via: None,
            origin: "PATH argument".to_owned(),
            kind: RootKind::Path,
            depth: if lock.is_some() { 1 } else { PATH_DEPTH },
            only: lock.map(ToOwned::to_owned),
            required: true,
        }
    }

    /// The lock that a PATH leads to through a symbolic link of another name.
    pub(crate) fn lock_behind(&self, opened: &Dir) -> Option<Self> {
        let asks_for_directory = self.kind == RootKind::Path && self.only.is_none();
        let behind = Self::from_argument(&opened.kernel_path().filter(|_| asks_for_directory)?);
        behind.only.is_some().then_some(behind)
    }

    /// A stage root that somebody else named.
    #[must_use]
    pub fn stage(path: PathBuf, origin: &str) -> Self {
        Self {
            path,
            via: None,
            origin: origin.to_owned(),
            kind: RootKind::Stage,
            depth: STAGE_DEPTH,
            only: None,
            required: false,
        }
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

    /// Opens it; a root that is a symbolic link is resolved, once, inside its own root. The
    /// directory of a single lock is not: whoever owns the stage root can put a link there, and
    /// the operator who pastes the path of a lock means the one that was shown.
    pub(crate) fn open(&self, proc: Option<&ProcDir>) -> Result<Dir, Errno> {
        match (self.via, proc) {
            (None, _) if self.only.is_some() => Dir::open_no_link(&self.path),
            (None, _) => Dir::open_root(&self.path),
            (Some(pid), Some(proc)) => proc.process(pid)?.open_link("root")?.open_in_root(&self.path),
            (Some(_), None) => Err(Errno::NOENT),
        }
    }
}
