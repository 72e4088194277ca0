//! Words for verdicts: one sentence with the numbers in it, and what to do next.
//!
//! In: facts and a verdict. Out: text. Pure; the caller prints, colours and sanitises.

use crate::evidence::{
    Candidate, Copied, DatabaseUse, Halted, Life, LockFacts, NotAsked, NotComparable, OwnView, Reach, SoleAccess,
    Synchroniser, Vantage, View,
};
use crate::family::{Family, Removal};
use crate::hold::KernelHold;
use crate::record::{Owner, Record, Unread};
use crate::restraint::{By, Reader, Restraint};
use crate::ticks::{Doubt, doubt};
use crate::units::EpochMs;
use crate::verdict::{Classification, Leaning, Reason, Standing, Verdict, deciding};
use rustix::io::Errno;
use std::fmt;

/// One sentence that says why, with the numbers that decided.
#[must_use]
pub fn sentence(lock: &LockFacts, verdict: &Verdict, view: &View) -> String {
    let why = reason_in_words(lock, verdict, view);
    let lives = match &lock.database {
        DatabaseUse::Held(holder) if matches!(verdict.standing, Standing::Leaning(_)) => {
            let holder = holder.as_ref().map(|holder| format!(": {} (pid {})", holder.program, holder.pid));
            format!("; a process has the database of its state dir open{}", holder.unwrap_or_default())
        }
        DatabaseUse::Held(_) | DatabaseUse::Free(_) | DatabaseUse::CannotTell(_) => String::new(),
    };
    format!("{why}{lives}")
}

fn reason_in_words(lock: &LockFacts, verdict: &Verdict, view: &View) -> String {
    let owner = lock.record.owner();
    let pid = owner.map_or(0, |owner| owner.pid);
    let carrier = || carriers(&deciding(verdict.reason, lock));
    let proc = match verdict.classification {
        Classification::StaleDeadPid => format!("no living process has pid {pid}"),
        Classification::StaleRecycledPid => recycled(owner, lock, verdict.reason),
        _ => String::new(),
    };
    match verdict.reason {
        Reason::OwnerAlive => match owning(lock) {
            Some(process) if matches!(process.own_view, OwnView::Shows(_)) => format!(
                "{} is the recorded owner: the /proc that it sees shows start tick {} under its pid{}",
                name(process),
                ticks(owner),
                halt(process)
            ),
            Some(process) => {
                format!("{} is the recorded owner: it started at tick {}{}", name(process), ticks(owner), halt(process))
            }
            None => format!("pid {pid} is the recorded owner"),
        },
        Reason::IdentityContradicted => format!(
            "pid {pid} with start tick {} lives, but record and file are more than a minute older than that process",
            ticks(owner)
        ),
        Reason::NoSuchProcess | Reason::StartTicksDiffer => proc,
        Reason::StartTicksUnreadable => {
            format!("pid {pid} is {}, and its start time cannot be read: it may be the owner", carrier())
        }
        Reason::TicksNotComparable | Reason::OwnTicksUnseen => not_comparable(owner, lock, view, verdict.reason),
        Reason::CarrierNotJavascript => format!(
            "the record has no start time to tell the owner by; pid {pid} is now {}, not a JavaScript runtime",
            carrier()
        ),
        Reason::CarrierStartedLater => format!(
            "the record has no start time; pid {pid} is now {}, which started after the lock was made",
            carrier()
        ),
        Reason::CarrierMayBeOwner => format!(
            "the record has no start time to tell the owner by, and pid {pid} is {}, which may be it{}",
            carrier(),
            halted(lock, verdict).map(halt).unwrap_or_default()
        ),
        Reason::CarrierCannotReach => format!(
            "pid {pid} is {}: its start cannot be compared, but it has no mount of this lock's filesystem and nothing of it open",
            carrier()
        ),
        Reason::RecordMissing => unwritten("there is no owner record", lock, view),
        Reason::RecordEmpty => unwritten("the owner record is empty", lock, view),
        Reason::RecordTruncated => unwritten("the owner record is cut short", lock, view),
        Reason::RecordNotJson => unwritten("the owner record is garbled", lock, view),
        Reason::OwnerNotRecorded => unwritten("a lock of this kind names nobody", lock, view),
        Reason::KernelLockHeld => {
            let named = whatever_proc_shows(owner);
            let halt = halted(lock, verdict).map(halt).unwrap_or_default();
            match holders(lock) {
                Some(holders) => format!("{named}the kernel says that {holders} holds a lock on this file{halt}"),
                None => format!(
                    "{named}the kernel says that this file is locked, by a process that cannot be seen from here"
                ),
            }
        }
        Reason::CoordinatorHeld => {
            let (named, holder) = (whatever_proc_shows(owner), holders(lock));
            let holder = holder.unwrap_or_else(|| "a living process".to_owned());
            format!(
                "{named}the kernel says that {holder} holds the file beside it that ends with .sqlite, which OpenClaw holds for as long as this lock"
            )
        }
        Reason::KernelLockUnknown => kernel_unknown(&proc, lock),
        Reason::RecordUnreadable => match &lock.record {
            Record::Unreadable(Unread::System(errno)) => {
                format!("the owner record cannot be read: {}", crate::sys::words(*errno))
            }
            _ => "the owner record cannot be opened safely without a mounted /proc".to_owned(),
        },
        Reason::RecordWithoutPid => unwritten("the record names no pid: a lease", lock, view),
        Reason::RecordNotObject => impossible("it is not a JSON object"),
        Reason::RecordTooDeep => impossible("its JSON is nested too deep"),
        Reason::RecordDuplicateKeys => impossible("it has a key twice"),
        Reason::RecordTooLarge => impossible("it is over 64 KiB"),
        Reason::RecordSymlink => impossible("it is a symbolic link"),
        Reason::RecordNotRegular => impossible("it is not a regular file"),
        Reason::RecordHardLinked => impossible("it has a second hard link"),
        Reason::PidZero => impossible("its pid is 0"),
        Reason::PidNegative => impossible("its pid is negative"),
        Reason::PidFractional => impossible("its pid is not a whole number"),
        Reason::PidNotANumber => impossible("its pid is not a number"),
        Reason::PidTooLarge => impossible("its pid is above the kernel's largest"),
        Reason::StartTicksInvalid => impossible("its start time is no number of ticks"),
        Reason::CreatedAtInvalid => impossible("its time of creation is no time"),
        Reason::LockSymlink => "the lock is a symbolic link, which OpenClaw never makes".to_owned(),
        Reason::LockNotDirectory => "the lock is not a directory, which OpenClaw never makes".to_owned(),
        Reason::LockNotFile => "the lock is not a regular file, which OpenClaw never makes".to_owned(),
        Reason::LockNotEmpty => "the lock is a directory that should be empty and is not".to_owned(),
        Reason::ForeignKernelPossible => match &lock.reach {
            Reach::OtherKernelPossible(why) => {
                format!("{}; but {why}, so the owner may run under another kernel", here(&proc, lock, verdict.reason))
            }
            Reach::ThisKernel => proc,
        },
        Reason::DatabaseNotOpen => format!(
            "{} in what this run can see; and no process of this kernel has the database of its state dir open, which the owner of such a lock keeps open",
            here(&proc, lock, verdict.reason)
        ),
        Reason::CopiedRecord => {
            let what = match lock.times.copied() {
                Copied::Yes => "the record was copied here, from another machine or out of a backup",
                Copied::No | Copied::CannotTell => "the record may have been copied here",
            };
            match lock.synchroniser {
                Some(Synchroniser { pid, program }) => format!(
                    "{}; but {what}, and {program} (pid {pid}) runs: the owner may live on the other machine, and lose its lock too",
                    here(&proc, lock, verdict.reason)
                ),
                None => format!("{}; but {what}, so its pid says nothing here", here(&proc, lock, verdict.reason)),
            }
        }
        Reason::OwnerHidden => {
            format!("{} in what this run can see, but {}", here(&proc, lock, verdict.reason), view.seen.sentence())
        }
        Reason::RootInUse => {
            let workers: Vec<String> =
                lock.in_use.by.iter().map(|worker| format!("{} (pid {})", worker.program, worker.pid)).collect();
            format!("{}; but {} still works in that directory", here(&proc, lock, verdict.reason), workers.join(", "))
        }
        Reason::SharedVolume => match &lock.sole_access {
            SoleAccess::No(why) => format!("{proc} in this container, but {why}"),
            SoleAccess::OwnLayer | SoleAccess::OwnSystem => proc,
        },
        Reason::RestartedContainer => {
            let twins = "a container that was restarted looks like this, and so does a living sidecar that has the same pid in its own container and uses the same volume";
            match &lock.sole_access {
                SoleAccess::No(why) => format!("{proc}; {twins}: {why}"),
                SoleAccess::OwnLayer | SoleAccess::OwnSystem => format!("{proc}; {twins}"),
            }
        }
        Reason::CheckpointPossible => {
            format!(
                "{proc}, but a process in a time namespace of its own may have been restored with another start time"
            )
        }
        Reason::NotProcfs => format!("{}, but {}", here(&proc, lock, verdict.reason), view.seen.sentence()),
        Reason::ProcessTableUnreadable => format!("the record names pid {pid}, but {}", view.seen.sentence()),
    }
}

/// What an operator does next: words, and a command to paste, which must not be broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What to do or to know before the command; may be empty where there is one.
    pub words: String,
    /// The command.
    pub command: Option<String>,
}

impl Advice {
    fn words(words: impl Into<String>) -> Self {
        Self { words: words.into(), command: None }
    }

    fn command(words: &str, command: String) -> Self {
        Self { words: words.to_owned(), command: Some(command) }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.command {
            None => f.write_str(&self.words),
            Some(command) if self.words.is_empty() => f.write_str(command),
            Some(command) => write!(f, "{}: {command}", self.words),
        }
    }
}

/// What an operator does next about a lock that stays.
#[must_use]
pub fn advice(
    family: &Family,
    lock: &LockFacts,
    verdict: &Verdict,
    restraint: Option<&Restraint>,
    path: &str,
    view: &View,
) -> Advice {
    let repair = |flags: &str| format!("openclaw-doctor repair{}{flags} {path}", view.scope.flags());
    let named = || format!("openclaw-doctor repair{} --lock {path} --yes", view.scope.flags());
    match &verdict.standing {
        Standing::Held if let Some(process) = halted(lock, verdict) => resume(process),
        Standing::Held => match holder(lock, verdict) {
            Some(process) => Advice::words(format!(
                "wait for {}, or stop it (openclaw gateway stop; else kill {}) and scan again",
                name(process),
                process.pid
            )),
            None => Advice::words("wait for the owner to finish"),
        },
        _ if family.removal == Removal::Never => Advice::words("leave it: locks of this kind are never removed"),
        Standing::Leaning(_) if family.removal == Removal::OnProof => Advice::words(
            "nobody's word is enough for a lock of this kind: stop every OpenClaw that uses this directory and scan again; what is then still not proven is removed by hand",
        ),
        // Repair refuses there, whatever the word.
        _ if !view.source.is_procfs() => {
            let lift = view.seen.lift().unwrap_or("mount procfs on /proc");
            Advice::words(format!("{lift}, and scan again"))
        }
        Standing::Proven(_) | Standing::Leaning(Leaning::LikelyStale | Leaning::Undetermined | Leaning::OutOfSight)
            if let Some(Restraint::InUse(by) | Restraint::SelfHealing(by)) = restraint =>
        {
            let words = match (by, restraint) {
                (By::CannotTell(why), _) => {
                    format!("{}; or, if you know that no running OpenClaw uses this directory", why.lift())
                }
                (By::User(user), Some(Restraint::InUse(_))) => {
                    format!("stop {} (pid {}) first; or, if you know that it does not hold it", user.program, user.pid)
                }
                (By::User(user), _) if user.versions.is_empty() => {
                    format!("stop {} (pid {}) first, which may remove it by itself; or", user.program, user.pid)
                }
                (By::User(user), _) => {
                    format!("leave it: {} (pid {}) removes it by itself; if it does not", user.program, user.pid)
                }
            };
            Advice::command(&words, named())
        }
        Standing::Proven(_) | Standing::Leaning(Leaning::LikelyStale | Leaning::Undetermined)
            if let Some(Restraint::Recovery { running, .. }) = restraint =>
        {
            // It reads such locks at its start only.
            let start = match running {
                Some(user) => format!("restart {} (pid {})", user.program, user.pid),
                None => "start OpenClaw".to_owned(),
            };
            let words = format!("{start}, which takes up the interrupted turn and removes it; to give that turn up");
            Advice::command(&words, repair(" --yes"))
        }
        Standing::Proven(_) => Advice::command("", repair("")),
        Standing::Leaning(Leaning::LikelyStale | Leaning::Undetermined) => {
            Advice::command("stop the gateway if you can, then", repair(" --yes"))
        }
        // No removal takes what is not of the lock's form, whatever the word.
        Standing::Leaning(_)
            if matches!(
                verdict.reason,
                Reason::LockSymlink | Reason::LockNotDirectory | Reason::LockNotFile | Reason::LockNotEmpty
            ) =>
        {
            Advice::words("look at what stands there, and remove it by hand if it is nobody's")
        }
        Standing::Leaning(_) if verdict.reason == Reason::RecordUnreadable => Advice::words(match &lock.record {
            Record::Unreadable(Unread::System(Errno::ACCESS | Errno::PERM)) => {
                "run it as root, or as the user who owns the lock"
            }
            Record::Unreadable(Unread::NoProcfs) => "mount procfs on /proc and run again",
            _ => "look at the filesystem's state (dmesg, mount) and run again",
        }),
        Standing::Leaning(Leaning::OutOfSight) => {
            let alone = "run it on the host; or, if nothing outside this container writes there";
            // What the operator's word for this container would make of it: a proof, or less.
            let vouched = View { assume_single_writer: true, ..view.clone() };
            let vouched = crate::verdict::judge(family, lock, &vouched).standing;
            match (vouched, view.vantage, view.seen.lift()) {
                (Standing::Proven(_), Vantage::Namespace, _) if restraint.is_none() => {
                    Advice::command(alone, repair(" --assume-single-writer"))
                }
                (Standing::Proven(_) | Standing::Leaning(Leaning::LikelyStale), Vantage::Namespace, _) => {
                    Advice::command(alone, repair(" --assume-single-writer --yes"))
                }
                (_, Vantage::Restricted, Some(lift)) => {
                    Advice::command(&format!("{lift}; or, if you know that nobody holds it"), named())
                }
                _ => Advice::command("make sure on every machine that shares it, then", named()),
            }
        }
        Standing::Leaning(Leaning::LikelyHeld) if let Some(process) = halted(lock, verdict) => resume(process),
        Standing::Leaning(Leaning::LikelyHeld) => {
            Advice::command("look first; if you know that nobody holds it", named())
        }
    }
}

/// The owner, or who may be it, if it lives and cannot run: to wait for it would be to wait for ever.
#[must_use]
pub fn halted<'a>(lock: &'a LockFacts, verdict: &Verdict) -> Option<&'a Candidate> {
    let owner = match verdict.reason {
        Reason::OwnerAlive | Reason::KernelLockHeld | Reason::CoordinatorHeld => holder(lock, verdict),
        Reason::CarrierMayBeOwner => deciding(verdict.reason, lock).first().copied(),
        _ => None,
    };
    owner.filter(|process| process.halted.word().is_some())
}

/// What lets a halted process go on.
#[must_use]
pub fn resume(process: &Candidate) -> Advice {
    let (name, pid) = (name(process), process.pid);
    match (process.halted, &process.container) {
        (Halted::Frozen, Some(id)) => Advice::command(
            &format!("{name} is in a paused container and releases nothing until that goes on: resume it with"),
            format!("docker unpause {id}"),
        ),
        (Halted::Frozen, None) => Advice::words(format!(
            "{name} is in a frozen cgroup and releases nothing until that is thawed: systemctl thaw its unit, or write 0 to its cgroup.freeze (THAWED to its freezer.state)"
        )),
        (Halted::Traced, _) => Advice::words(format!(
            "a debugger holds {name}, which releases nothing until it goes on: let it go on there, or end the debugger"
        )),
        _ => Advice::command(
            &format!("{name} is stopped and releases nothing until it goes on: resume it with"),
            format!("kill -CONT {pid}"),
        ),
    }
}

/// What a sentence says of a process that cannot run.
fn halt(process: &Candidate) -> String {
    process.halted.word().map(|word| format!("; it is {word}, so that it releases nothing")).unwrap_or_default()
}

/// Why a stale lock is left to OpenClaw, in a sentence.
#[must_use]
pub fn left_to(restraint: &Restraint) -> String {
    match restraint {
        Restraint::Recovery { reader: Reader::Release(version), .. } => {
            format!("OpenClaw {version} reads it at its next start, to take up the turn that was interrupted")
        }
        Restraint::Recovery { reader: Reader::Unknown(why), .. } => format!(
            "OpenClaw 2026.4.25 to 2026.7 reads it at its next start, to take up the turn that was interrupted, and {}",
            why.sentence()
        ),
        Restraint::InUse(By::User(user)) => {
            format!(
                "{} (pid {}) uses this directory, and nothing on the lock tells whether it holds it",
                user.program, user.pid
            )
        }
        Restraint::InUse(By::CannotTell(why)) => {
            format!("nothing on the lock tells whether it is held, and it cannot be told who runs: {}", why.sentence())
        }
        Restraint::SelfHealing(By::User(user)) => {
            let removes = if user.versions.is_empty() { "may remove" } else { "removes" };
            format!(
                "{} (pid {}) uses this directory and {removes} it by itself when it next needs it",
                user.program, user.pid
            )
        }
        Restraint::SelfHealing(By::CannotTell(why)) => {
            format!("a running OpenClaw may remove it by itself, and it cannot be told who runs: {}", why.sentence())
        }
    }
}

/// A span of time as people say it: `45 s`, `12 min`, `3 h`, `9 days`.
#[must_use]
pub fn span(milliseconds: i64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        ..0 => "in the future".to_owned(),
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The living process to show for a lock.
#[must_use]
pub fn carrier(lock: &LockFacts) -> Option<&Candidate> {
    living(lock).first().copied()
}

/// Since when the lock stands: as recorded, else as the file says.
#[must_use]
pub fn since(lock: &LockFacts) -> Option<EpochMs> {
    lock.record.created_at().or(lock.times.newest())
}

/// The living process with the recorded pid and start time, or the one that the kernel names.
#[must_use]
pub fn owning(lock: &LockFacts) -> Option<&Candidate> {
    if matches!(lock.record, Record::KernelHeld { .. }) {
        return lock.candidates.first();
    }
    let recorded = lock.record.owner()?.start_ticks?;
    lock.candidates.iter().find(|candidate| candidate.life != Life::Dead && candidate.would_record(recorded))
}

/// The living process that holds a lock with this verdict, if it is known.
#[must_use]
pub fn holder<'a>(lock: &'a LockFacts, verdict: &Verdict) -> Option<&'a Candidate> {
    let kernels = matches!(verdict.reason, Reason::KernelLockHeld | Reason::CoordinatorHeld);
    if kernels { kernel_holders(lock).first() } else { owning(lock) }
}

/// The processes that the kernel names as holders of its locks on a lock.
#[must_use]
pub fn kernel_holders(lock: &LockFacts) -> &[Candidate] {
    if matches!(lock.record, Record::KernelHeld { .. }) { &lock.candidates } else { &lock.kernel_holders }
}

/// Those in words: three, and how many more.
fn holders(lock: &LockFacts) -> Option<String> {
    let all = kernel_holders(lock);
    let mut names: Vec<String> = all.iter().take(NAMED).map(name).collect();
    if all.len() > NAMED {
        names.push(format!("{} more", all.len() - NAMED));
    }
    (!names.is_empty()).then(|| names.join(" and "))
}

fn whatever_proc_shows(owner: Option<&Owner>) -> String {
    owner.map(|owner| format!("whatever /proc shows of pid {}, ", owner.pid)).unwrap_or_default()
}

fn kernel_unknown(proc: &str, lock: &LockFacts) -> String {
    let (what, why) = match (&lock.coordinator, &lock.kernel_lock) {
        (KernelHold::Unknown(why), _) => ("the file beside it that ends with .sqlite", *why),
        (_, KernelHold::Unknown(why)) => ("this file", *why),
        _ => return "it cannot be told whether the kernel's lock on this file is held".to_owned(),
    };
    let shown = match lock.record.owner() {
        Some(_) if !proc.is_empty() || !living(lock).is_empty() => {
            format!("{}; but ", here(proc, lock, Reason::KernelLockUnknown))
        }
        Some(owner) => format!("the record names pid {}; but ", owner.pid),
        None => String::new(),
    };
    format!("{shown}it cannot be told whether the kernel's lock on {what} is held: {why}")
}

fn program(process: &Candidate) -> &str {
    process.program.as_deref().unwrap_or("a process that cannot be read")
}

fn name(process: &Candidate) -> String {
    let program = program(process);
    match (&process.container, process.own_namespace) {
        (Some(container), _) => format!("{program} (pid {} here, container {container})", process.pid),
        (None, true) => format!("{program} (pid {})", process.pid),
        (None, false) => format!("{program} (pid {} here, {} in its container)", process.pid, process.ns_pid),
    }
}

/// The living processes that carry the pid.
fn living(lock: &LockFacts) -> Vec<&Candidate> {
    lock.candidates.iter().filter(|candidate| candidate.life != Life::Dead).collect()
}

/// How many processes a sentence names; the others are counted.
const NAMED: usize = 3;

fn carriers(deciding: &[&Candidate]) -> String {
    // The sentence has named the pid already.
    let name = |process: &&Candidate| {
        if process.pid == process.ns_pid { program(process).to_owned() } else { name(process) }
    };
    let names: Vec<String> = deciding.iter().take(NAMED).map(name).collect();
    match deciding.len().saturating_sub(NAMED) {
        0 => names.join(" and "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

fn recycled(owner: Option<&Owner>, lock: &LockFacts, reason: Reason) -> String {
    let deciding = deciding(reason, lock);
    let started: Vec<String> = deciding
        .iter()
        .filter_map(|candidate| candidate.start_ticks.last().map(|ticks| ticks.0.to_string()))
        .take(NAMED)
        .collect();
    format!(
        "pid {} is now {}, started at tick {}, not {} as recorded",
        owner.map_or(0, |owner| owner.pid),
        carriers(&deciding),
        started.join(", "),
        ticks(owner)
    )
}

/// What keeps other ticks from telling the owner, said of the process that is most in doubt.
fn not_comparable(owner: Option<&Owner>, lock: &LockFacts, view: &View, reason: Reason) -> String {
    let Some(recorded) = owner.and_then(|owner| owner.start_ticks) else { return recycled(owner, lock, reason) };
    let doubts = living(lock).into_iter().filter_map(|process| {
        let doubt = doubt(process, recorded, view.ticks_per_second)?;
        Some((process, doubt))
    });
    let Some((process, doubt)) = doubts.min_by_key(|(_, doubt)| doubt.only_refused()) else {
        return recycled(owner, lock, reason);
    };
    let started = process.start_ticks.last().map_or_else(|| "unknown".to_owned(), |ticks| ticks.0.to_string());
    let pid = owner.map_or(0, |owner| owner.pid);
    let is = format!("pid {pid} is {}, started at tick {started}, not {} as recorded", name(process), recorded.0);
    match doubt {
        Doubt::Emulated(ahead) => format!(
            "{is}; but the record is only {} ms ahead, as under an emulator (qemu-user), so that it may be the owner",
            ahead.saturating_mul(1000) / view.ticks_per_second.max(1)
        ),
        Doubt::NotComparable(NotComparable::NoProcfs) => {
            format!("{is}; but no procfs is mounted on its /proc, so that it may have recorded another's start time")
        }
        Doubt::NotComparable(NotComparable::OuterNamespace) | Doubt::ShowsAnother(_) => format!(
            "{is}; but its /proc is that of another PID namespace and shows a stranger under its pid, so that it may be the owner"
        ),
        Doubt::NotComparable(NotComparable::SharedOutside) => format!(
            "{is}; but a process outside its PID namespace sees the same /proc, and only root may look whom that shows under its pid, so that it may be the owner"
        ),
        Doubt::NotComparable(NotComparable::NotListed) => format!(
            "{is}; but its /proc is that of another PID namespace and lists nobody under its pid now, so that it may have recorded another's start time"
        ),
        Doubt::NotComparable(NotComparable::MountedLater) => format!(
            "{is}; but its /proc was mounted after it started, so that it may have recorded another's start time before"
        ),
        Doubt::NotAsked(NotAsked::Refused) => format!(
            "{is}; but only root may see whether that process reads its own start time in its /proc, as nearly all do"
        ),
        Doubt::NotAsked(NotAsked::NoAnswer | NotAsked::NotNeeded) => {
            format!("{is}; but it could not be read which start time it sees for itself, so that it may be the owner")
        }
    }
}

fn ticks(owner: Option<&Owner>) -> String {
    owner.and_then(|owner| owner.start_ticks).map_or_else(|| "unknown".to_owned(), |ticks| ticks.0.to_string())
}

fn here(proc: &str, lock: &LockFacts, reason: Reason) -> String {
    if !proc.is_empty() {
        return proc.to_owned();
    }
    match lock.record.owner() {
        Some(owner) => format!("pid {} is {}", owner.pid, carriers(&deciding(reason, lock))),
        None => "nobody is named".to_owned(),
    }
}

fn unwritten(what: &str, lock: &LockFacts, view: &View) -> String {
    match since(lock) {
        Some(since) if since > view.now => format!("{what}, dated in the future"),
        Some(since) => format!("{what}, {} old", span(view.now.since_ms(since))),
        None => what.to_owned(),
    }
}

fn impossible(why: &str) -> String {
    format!("no OpenClaw release writes this owner record: {why}")
}
