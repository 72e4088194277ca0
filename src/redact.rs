//! Makes a scan fit for a ticket: names of people, hosts and sessions become pseudonyms,
//! numbers that prove stay.
//!
//! Works by what is known to be harmless, not by what is known to be secret: a path keeps the
//! parts that OpenClaw and Linux name, a record the fields that the verdict rests on, a process
//! its name if it is a common program's. Sentences are made later, from what is redacted here: a
//! foreign name can only stand in a field, and the compiler lists the fields of each cause.

mod key;
mod names;

pub use key::{Key, MIN_KEY_BYTES};

use crate::discover::OpenError;
use crate::evidence::{DatabaseUse, ForeignKernel, LockFacts, Nested, NotSole, Reach, SoleAccess, VantageWhy};
use crate::problem::Cause;
use crate::record::Record;
use crate::release::ReleaseUnknown;
use crate::restraint::{By, Reader, Restraint, User};
use crate::scan::{Blocks, BlocksUnknown, JudgedLock, NotBlocking, Scan};
use crate::scope::Scope;
use crate::units::{EpochMs, StartTicks};
use crate::who::{CannotTell, NotLooked};
use names::{HARMLESS_FILESYSTEMS, Pseudonyms, is_in, kernel};

/// Replaces everything in a scan that may name a person, a host or a session.
///
/// `key` makes the ids; one that the operator keeps makes the pseudonyms too.
pub fn redact(scan: &mut Scan, key: &Key) {
    let mut names = Pseudonyms::new(key);
    let limits = Limits::of(scan);
    for root in &mut scan.roots {
        root.path = names.path(&root.path);
        root.spec.path = names.path(&root.spec.path);
    }
    for spec in &mut scan.absent {
        spec.path = names.path(&spec.path);
    }
    for lock in &mut scan.locks {
        names.lock(lock, &limits);
    }
    for idle in &mut scan.idle {
        idle.path = names.path(&idle.path);
    }
    for look_alike in &mut scan.look_alikes {
        look_alike.path = names.path(&look_alike.path);
    }
    for problem in &mut scan.problems {
        problem.path = names.path(&problem.path);
        names.cause(&mut problem.cause);
    }
    for stranger in &mut scan.not_looked_at {
        stranger.program = stranger.program.as_deref().map(|program| names.program(program));
    }
    for version in &mut scan.versions {
        *version = names.version(version);
    }
    scan.host.kernel = kernel(&scan.host.kernel);
    names.seen(&mut scan.view.seen);
    names.scope(&mut scan.view.scope);
}

/// Within which a number of a record can be what it says it is. Beyond it anybody may have written
/// it: a telephone number is no start time.
struct Limits {
    /// Start ticks: how long the machine has been up.
    ticks: StartTicks,
    /// Times: from OpenClaw's first year to a day from now.
    times: std::ops::RangeInclusive<EpochMs>,
}

impl Limits {
    fn of(scan: &Scan) -> Self {
        /// 2025-01-01.
        const FIRST: EpochMs = EpochMs(1_735_689_600_000);
        const DAY_MS: i64 = 86_400_000;
        let ticks = scan.clock.boot_ms.unsigned_abs().saturating_mul(scan.clock.ticks_per_second) / 1000;
        Self { ticks: StartTicks(ticks), times: FIRST..=EpochMs(scan.clock.wall.0.saturating_add(DAY_MS)) }
    }

    fn apply(&self, record: &mut Record) {
        let time = |time: &mut Option<EpochMs>| *time = time.filter(|time| self.times.contains(time));
        match record {
            Record::Owner(owner) => {
                owner.start_ticks = owner.start_ticks.filter(|ticks| *ticks <= self.ticks);
                time(&mut owner.created_at);
            }
            Record::Anonymous { created_at } => time(created_at),
            _ => {}
        }
    }
}

impl Pseudonyms<'_> {
    fn lock(&mut self, lock: &mut JudgedLock, limits: &Limits) {
        lock.id = self.id(&lock.id);
        lock.path = self.path(&lock.path);
        lock.found.below = self.path(&lock.found.below);
        if !lock.found.reading.raw.is_empty() {
            // What proves of it stands in the owner's fields.
            lock.found.reading.raw = format!("redacted: {} bytes", lock.found.reading.raw.len()).into_bytes();
        }
        limits.apply(&mut lock.facts.record);
        limits.apply(&mut lock.found.reading.record);
        match &mut lock.blocks {
            Blocks::Yes { version } => *version = self.version(version),
            Blocks::No { why, known } => {
                if let NotBlocking::OtherVersion(version) = why {
                    *version = self.version(version);
                }
                known.iter_mut().for_each(|version| *version = self.version(version));
            }
            Blocks::Unknown(why) => self.blocks_unknown(why),
        }
        lock.state_dir = lock.state_dir.as_deref().map(|dir| self.path(dir));
        match &mut lock.restraint {
            Some(Restraint::Recovery { reader, running }) => {
                match reader {
                    Reader::Release(version) => *version = self.version(version),
                    Reader::Unknown(why) => self.release_unknown(why),
                }
                running.iter_mut().for_each(|user| self.user(user));
            }
            Some(Restraint::SelfHealing(By::User(user)) | Restraint::InUse(By::User(user))) => self.user(user),
            Some(Restraint::SelfHealing(By::CannotTell(why)) | Restraint::InUse(By::CannotTell(why))) => {
                self.cannot_tell(why);
            }
            None => {}
        }
        self.facts(&mut lock.facts);
    }

    fn user(&mut self, user: &mut User) {
        user.program = self.program(&user.program);
        user.versions.iter_mut().for_each(|version| *version = self.version(version));
    }

    fn blocks_unknown(&mut self, why: &mut BlocksUnknown) {
        match why {
            BlocksUnknown::WhoRuns(why) => self.cannot_tell(why),
            BlocksUnknown::Release(why) => self.release_unknown(why),
            BlocksUnknown::NoneFound | BlocksUnknown::Installed => {}
        }
    }

    fn release_unknown(&mut self, why: &mut ReleaseUnknown) {
        match why {
            ReleaseUnknown::WhoRuns(why) => self.cannot_tell(why),
            ReleaseUnknown::NoStateDir
            | ReleaseUnknown::NotWritten
            | ReleaseUnknown::NotRead(_)
            | ReleaseUnknown::NotJson
            | ReleaseUnknown::Runs(_) => {}
        }
    }

    fn cannot_tell(&mut self, why: &mut CannotTell) {
        match why {
            CannotTell::Process { first, .. } => {
                first.program = first.program.as_deref().map(|program| self.program(program));
            }
            CannotTell::NotLooked(NotLooked::NotSeen(seen)) => self.seen(seen),
            CannotTell::NotLooked(NotLooked::NotAsked) => {}
        }
    }

    fn facts(&mut self, facts: &mut LockFacts) {
        for candidate in facts.candidates.iter_mut().chain(&mut facts.kernel_holders) {
            if let Some(program) = &candidate.program {
                candidate.program = Some(self.program(program));
            }
            // Docker's default for the container's host name.
            candidate.container = candidate.container.as_ref().map(|id| self.of("container", id.as_bytes()));
        }
        let holder = match &mut facts.database {
            DatabaseUse::Held(holder) => holder.as_mut(),
            DatabaseUse::Free(_) | DatabaseUse::CannotTell(_) => None,
        };
        for worker in facts.in_use.by.iter_mut().chain(holder) {
            worker.program = self.program(&worker.program);
        }
        if let Reach::OtherKernelPossible(why) = &mut facts.reach {
            self.foreign_kernel(why);
        }
        if let SoleAccess::No(why) = &mut facts.sole_access {
            self.not_sole(why);
        }
    }

    fn cause(&mut self, cause: &mut Cause) {
        match cause {
            Cause::Authority { program, .. } => *program = self.program(program),
            Cause::Root(OpenError::ForeignLink { link, target }) => {
                *link = self.path(link);
                *target = self.path(target);
            }
            Cause::WhoRuns(why) => self.cannot_tell(why),
            Cause::System { .. }
            | Cause::Root(OpenError::System(_) | OpenError::Authority(_))
            | Cause::Link
            | Cause::NoHeadway { .. }
            | Cause::Hopeless
            | Cause::TooManyNames { .. }
            | Cause::TooManyFinds { .. }
            | Cause::TooManyPlaces { .. }
            | Cause::TooDeep { .. }
            | Cause::HomesTookTooLong => {}
            Cause::More { like, .. } => self.cause(like),
        }
    }

    fn seen(&mut self, seen: &mut VantageWhy) {
        match seen {
            VantageWhy::Initial { proc, .. }
            | VantageWhy::Below { proc, .. }
            | VantageWhy::NamespaceUnknown { proc }
            | VantageWhy::Hidden { proc }
            | VantageWhy::OptionsUnknown { proc }
            | VantageWhy::NotProcfs { proc }
            | VantageWhy::NotOpened { proc, .. } => *proc = self.path(proc),
            VantageWhy::Unreadable { .. } | VantageWhy::NotListed { .. } => {}
        }
    }

    fn scope(&mut self, scope: &mut Scope) {
        scope.proc = self.path(&scope.proc);
        scope.paths.iter_mut().for_each(|path| *path = self.path(path));
    }

    fn foreign_kernel(&mut self, why: &mut ForeignKernel) {
        match why {
            ForeignKernel::Exported(path) => *path = self.path(path),
            // Names of our own tables: of filesystems by their number, of servers.
            ForeignKernel::FilesystemUnknown
            | ForeignKernel::SharedFilesystem(_)
            | ForeignKernel::Server { .. }
            | ForeignKernel::ExportsUnreadable => {}
        }
    }

    fn not_sole(&mut self, why: &mut NotSole) {
        match why {
            NotSole::NotInNamespace(seen) => self.seen(seen),
            NotSole::Mount { point, filesystem } => {
                *point = self.path(point);
                if !is_in(HARMLESS_FILESYSTEMS, filesystem) {
                    *filesystem = self.of("filesystem", filesystem.as_bytes());
                }
            }
            // Of our own list.
            NotSole::Nested(
                Nested::Sandbox(_) | Nested::Pid1Unreadable | Nested::SingleId | Nested::UserNamespaceUnreadable,
            )
            | NotSole::ForeignPids
            | NotSole::SecondProcfs
            | NotSole::MountUnknown => {}
        }
    }
}
