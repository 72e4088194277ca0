//! What running OpenClaw processes say of themselves: where they keep their locks, which
//! release they are.
//!
//! In: a process that looks like OpenClaw. Out: a few variables of its environment, its mounts
//! and its version, or why that cannot be told. The environment itself never leaves this module.

use super::credentials::{self, Credentials, NoAuthority};
use super::identity::{Observed, Reader, observe};
use super::openclaw;
use super::packages::{self, Runs};
use super::proc_dir::{ProcDir, ProcessDir};
use super::status::{Identity, Status};
use super::table::Entry;
use crate::evidence::{Life, Role, VantageWhy};
use crate::sys::authority::{Authority, Ids};
use crate::sys::each::each;
use crate::sys::mounts::Mount;
use crate::units::{ClockReading, StartTicks};
use crate::who::{NotLooked, Unknown, What, WhyUnknown};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

/// The variables that move a lock root, for [`crate::discover::places`].
pub const VARIABLES: &[&str] = &[
    "OPENCLAW_PLUGIN_STAGE_DIR",
    "OPENCLAW_STATE_DIR",
    "CLAWDBOT_STATE_DIR",
    "OPENCLAW_HOME",
    "OPENCLAW_PROFILE",
    "OPENCLAW_CONFIG_PATH",
    "OPENCLAW_OAUTH_DIR",
    "STATE_DIRECTORY",
    "HOME",
    "TMPDIR",
    "TMP",
    "TEMP",
];

/// A running OpenClaw.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its pid in the proc directory.
    pub pid: u32,
    /// Its name, raw.
    pub program: String,
    /// With whose rights it acts.
    pub ids: Ids,
    /// Its start time, as this run reads it: by pid and start time it is found again.
    pub started: Option<StartTicks>,
    /// With whose authority it names places.
    pub authority: Result<Authority, NoAuthority>,
    /// The variables of [`VARIABLES`] that it has.
    pub environment: Vec<(&'static str, OsString)>,
    /// Its working directory, as it sees it.
    pub cwd: PathBuf,
    /// It sees the same mounts as we do, so that its paths are ours.
    pub same_mounts: bool,
    /// Mount points of its own that OpenClaw's documentation uses.
    pub mount_points: Vec<PathBuf>,
    /// The package that it runs.
    pub runs: Runs,
}

/// The OpenClaws that run here, as far as that can be told.
#[derive(Debug)]
pub struct WhoRuns {
    /// Those that are known, with all that was to be read of them.
    pub known: Vec<Running>,
    /// Processes that are OpenClaws, or may be, of which something could not be read.
    pub unknown: Vec<Unknown>,
    /// Why there may be more of whom nothing is known.
    pub not_looked: Option<NotLooked>,
}

impl WhoRuns {
    /// Before anybody was looked at.
    #[must_use]
    pub fn not_asked() -> Self {
        Self { known: Vec::new(), unknown: Vec::new(), not_looked: Some(NotLooked::NotAsked) }
    }
}

/// Finds the OpenClaws among the processes of a sweep. `hidden`: why the sweep has not seen all.
#[must_use]
pub fn look(
    proc: &Arc<ProcDir>,
    entries: &[Entry],
    reader: Reader,
    clock: ClockReading,
    hidden: Option<VantageWhy>,
) -> WhoRuns {
    let suspects: Vec<Entry> = entries.iter().filter(|entry| entry.may_be_runtime).copied().collect();
    let not_looked = hidden.map(NotLooked::NotSeen);
    let mut who = WhoRuns { known: Vec::new(), unknown: Vec::new(), not_looked };
    let ask = {
        let proc = Arc::clone(proc);
        move |entry: &Entry| look_at(&proc, entry.pid, &reader, &clock)
    };
    let (answers, unanswered) = match each(suspects.clone(), ask) {
        Ok(answers) => (answers, WhyUnknown::OutOfTime),
        Err(errno) => (Vec::new(), WhyUnknown::NoThread(errno)),
    };
    for (entry, answer) in suspects.iter().zip(answers.into_iter().chain(std::iter::repeat_with(|| None))) {
        match answer {
            Some(Seen::OpenClaw(running)) => who.known.push(*running),
            Some(Seen::Unknown(unknown)) => who.unknown.push(unknown),
            Some(Seen::Other) => {}
            None => who.unknown.push(unanswered_by(proc, entry.pid, unanswered)),
        }
    }
    who
}

/// Its status is there whatever else hangs: the sweep has read it a moment ago.
fn unanswered_by(proc: &ProcDir, pid: u32, cause: WhyUnknown) -> Unknown {
    let status = proc.read(&format!("{pid}/status")).ok().and_then(|bytes| Status::parse(&bytes));
    let program = status.as_ref().map(|status| status.name.clone());
    Unknown { pid, program, ids: status.and_then(|status| status.ids), cause }
}

/// What a process turned out to be.
enum Seen {
    OpenClaw(Box<Running>),
    Unknown(Unknown),
    /// Another program, or it has ended.
    Other,
}

/// What may not be read as ourselves may be as the process's own user: root in a container without
/// `SYS_PTRACE` may take every uid, and no process of another uid shows it its environment.
fn look_at(proc: &ProcDir, pid: u32, reader: &Reader, clock: &ClockReading) -> Seen {
    // Held from before: as long as it answers, all that was read is of this one process.
    let held = proc.process(pid);
    let before = rights(&held);
    match look_with_leave(proc, pid, reader, clock, &held) {
        Seen::OpenClaw(running) => {
            let (Ok(dir), Some((credentials, _))) = (&held, &before) else { return Seen::OpenClaw(running) };
            // It has executed another program, or changed its ids, since: its environment is from before, its
            // ids are from after, and who executes a set-uid program chooses when.
            let authority = if rights(&held) == before {
                credentials::authority(proc, dir, credentials, running.same_mounts)
            } else if has_ended(dir) {
                return Seen::Other;
            } else {
                Err(NoAuthority::MixedIds)
            };
            Seen::OpenClaw(Box::new(Running { authority, ..*running }))
        }
        seen => seen,
    }
}

/// With which ids a process runs which program, if that may be read; `None` where its ids cannot be.
fn rights(held: &Result<ProcessDir, Errno>) -> Option<(Credentials, Option<Vec<u8>>)> {
    let held = held.as_ref().ok()?;
    Some((Credentials::parse(&held.read("status").ok()?)?, held.link("exe").ok()))
}

fn look_with_leave(
    proc: &ProcDir,
    pid: u32,
    reader: &Reader,
    clock: &ClockReading,
    held: &Result<ProcessDir, Errno>,
) -> Seen {
    let seen = look_once(proc, pid, reader, clock);
    let Seen::Unknown(Unknown { ids: Some(ids), cause: WhyUnknown::Unread(_, Errno::ACCESS | Errno::PERM), .. }) =
        &seen
    else {
        return seen;
    };
    let theirs = Authority::of(ids.clone());
    if theirs == Authority::Own || !theirs.can_be_taken() || held.is_err() {
        return seen;
    }
    match theirs.run(|_| look_once(proc, pid, reader, clock)) {
        Ok(told) => told,
        Err(_) => seen,
    }
}

fn look_once(proc: &ProcDir, pid: u32, reader: &Reader, clock: &ClockReading) -> Seen {
    let (process, dir) = match observe(proc, pid, reader, clock) {
        Observed::Process(process, dir) => (process, dir),
        Observed::Gone | Observed::KernelThread(_) => return Seen::Other,
        Observed::Unreadable => {
            return Seen::Unknown(Unknown { pid, program: None, ids: None, cause: WhyUnknown::Unidentified });
        }
    };
    if process.is_self || process.life == Life::Dead {
        return Seen::Other;
    }
    let status = dir.read("status").ok().and_then(|bytes| Status::parse(&bytes));
    let (ids, program) = (status.and_then(|status| status.ids), process.program.unwrap_or_default());
    let found = match (process.role, &ids) {
        (Role::Other, _) => return Seen::Other,
        (Role::Unreadable, _) | (_, None) => Err(WhyUnknown::Unidentified),
        (Role::OpenClaw, Some(ids)) => describe(proc, &dir, pid, &program, ids),
        (Role::JavaScript, Some(ids)) => match runs_entry(&dir, &program) {
            Ok(false) => return Seen::Other,
            Ok(true) => describe(proc, &dir, pid, &program, ids),
            Err(cause) => Err(cause),
        },
    };
    match found {
        Ok(running) => Seen::OpenClaw(Box::new(running)),
        // What cannot be read any more, of a process that has ended, is used by nobody.
        Err(_) if has_ended(&dir) => Seen::Other,
        Err(cause) => Seen::Unknown(Unknown { pid, program: Some(program), ids, cause }),
    }
}

/// Whether a process has ended, or has nothing left but its exit code.
fn has_ended(dir: &ProcessDir) -> bool {
    match dir.read("stat") {
        Ok(bytes) => Identity::parse(&bytes).is_some_and(|identity| matches!(identity.state, 'Z' | 'X' | 'x')),
        Err(errno) => matches!(errno, Errno::NOENT | Errno::SRCH),
    }
}

/// Whether a JavaScript runtime runs an entry file of an OpenClaw package.
fn runs_entry(dir: &ProcessDir, comm: &str) -> Result<bool, WhyUnknown> {
    let cmdline = dir.read("cmdline").map_err(|errno| WhyUnknown::Unread(What::Arguments, errno))?;
    let argv = openclaw::split_argv(&cmdline);
    let exe = dir.link("exe").ok();
    let is_run = openclaw::may_run_entry_file(comm.as_bytes(), &argv, exe.as_deref());
    if !is_run || openclaw::entry_files(&argv).next().is_none() {
        return Ok(false);
    }
    let cwd = cwd(dir)?;
    let root = dir.open_link("root").map_err(|errno| WhyUnknown::Unread(What::Root, errno))?;
    let runs = packages::runs_entry_of_package(&root, Some(&cwd), &argv);
    runs.map_err(|errno| WhyUnknown::Unread(What::Package, errno))
}

fn cwd(dir: &ProcessDir) -> Result<PathBuf, WhyUnknown> {
    let path = dir.link("cwd").map_err(|errno| WhyUnknown::Unread(What::WorkingDirectory, errno))?;
    Ok(PathBuf::from(OsStr::from_bytes(&path)))
}

/// All that tells which places an OpenClaw uses, and which release it is.
fn describe(proc: &ProcDir, dir: &ProcessDir, pid: u32, program: &str, ids: &Ids) -> Result<Running, WhyUnknown> {
    let environ = dir.read("environ").map_err(|errno| WhyUnknown::Unread(What::Environment, errno))?;
    let same = |name: &str| match (proc.link(&format!("self/{name}")), dir.link(name)) {
        (_, Err(errno)) => Err(WhyUnknown::Unread(What::Mounts, errno)),
        // We are not there: its mounts are others, or are reached as if they were.
        (ours, Ok(theirs)) => Ok(ours.is_ok_and(|ours| ours == theirs)),
    };
    let same_mounts = same("ns/mnt")? && same("root")?;
    let mount_points = if same_mounts { Vec::new() } else { mount_points(dir)? };
    let runs = dir.open_link("root").map_or(Runs::Unknown(Vec::new()), |root| packages::of(&root, dir));
    Ok(Running {
        pid,
        program: program.to_owned(),
        ids: ids.clone(),
        // Told by the caller, who has looked before and looks again after.
        authority: Err(NoAuthority::Unreadable(Errno::ACCESS)),
        started: Identity::parse(&dir.read("stat").map_err(|errno| WhyUnknown::Unread(What::Mounts, errno))?)
            .map(|identity| identity.start_ticks),
        environment: variables(&environ),
        cwd: cwd(dir)?,
        same_mounts,
        mount_points,
        runs,
    })
}

fn mount_points(dir: &ProcessDir) -> Result<Vec<PathBuf>, WhyUnknown> {
    let is_openclaws = |mount: &Mount| mount.mount_point.components().any(|part| names_openclaw(part.as_os_str()));
    let mounts = dir.mounts(&is_openclaws).map_err(|errno| WhyUnknown::Unread(What::Mounts, errno))?;
    let mut points: Vec<PathBuf> = mounts.iter().map(|mount| mount.mount_point.clone()).collect();
    points.sort();
    points.dedup();
    Ok(points)
}

fn names_openclaw(part: &OsStr) -> bool {
    let part = part.as_bytes();
    part.ends_with(b"openclaw") || part.starts_with(b".openclaw") || part == b"plugin-runtime-deps"
}

/// The variables of [`VARIABLES`] in the bytes of an environ file (proc_pid_environ(5)).
#[must_use]
pub fn variables(environ: &[u8]) -> Vec<(&'static str, OsString)> {
    let entries = environ.split(|byte| *byte == 0);
    entries
        .filter_map(|entry| {
            let at = entry.iter().position(|byte| *byte == b'=')?;
            let (name, value) = entry.split_at(at);
            let known = VARIABLES.iter().find(|known| known.as_bytes() == name)?;
            Some((*known, OsStr::from_bytes(value.get(1..)?).to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_variables_that_move_a_root_are_kept() {
        let environ = b"HOME=/home/node\0OPENAI_API_KEY=secret\0STATE_DIRECTORY=/var/lib/openclaw\0=x\0HOMER=1\0";
        let kept = variables(environ);
        let names: Vec<_> = kept.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["HOME", "STATE_DIRECTORY"]);
    }
}
