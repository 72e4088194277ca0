//! Looks through all roots without waiting for a dead one.
//!
//! A thread walks the roots one after another; at a root that makes no headway another thread
//! goes on with the next, and the root is given up after [`bounded::SILENCE`] (a mount whose server
//! is gone blocks every system call on it), or when it was waited for [`bounded::WAITING`]. The
//! thread is left behind, and holds nothing but descriptors.
//!
//! What cannot be hoped for is not begun: other places on the filesystem of a root that gives no
//! answer, and the rest of what a process names of whom two places gave none. They wait for what
//! becomes of that one.
//!
//! What a thread finds it leaves in a queue, and wakes nobody: a wake for each of ten thousand
//! locks costs as much as reading them.

use super::ceilings::{Finds, NAMES, Problems};
use super::root::{OpenError, RootKind, RootSpec};
use super::walk::{Event, FoundLock, Walk, problem};
use super::{Idle, LookAlike, Origin, places};
use crate::problem::{Act, Cause, Kept, Problem};
use crate::process::proc_dir::ProcDir;
use crate::record::Record;
use crate::sys::authority::Authority;
use crate::sys::bounded::{self, Thread, Watch};
use crate::sys::filesystem::Filesystem;
use crate::sys::mounts::{Mount, MountTable};
use crate::sys::tree::{Dir, Meta};
use rustix::io::Errno;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Roots that one process names, and of all, that are waited for together.
const STUCK_OF_ONE: usize = 2;
const STUCK: usize = 16;
/// A root without headway for this long lets the next one start.
const OVERTAKE: Duration = Duration::from_millis(150);
const TICK: Duration = Duration::from_millis(50);

/// What became of one root.
#[derive(Debug, Clone)]
pub struct RootReport {
    /// The path under which it is reached.
    pub path: PathBuf,
    /// Its path with no link on the way, if it is one of our own mount namespace.
    pub real_path: Option<PathBuf>,
    /// How it was named, by the first to do so.
    pub spec: RootSpec,
    /// Everybody else who named it.
    pub also: Vec<Origin>,
    /// Another root is the same directory, and was named by somebody with other rights; listed once.
    pub repeats: bool,
    /// Its identity, once it was opened.
    pub meta: Option<Meta>,
    /// Its filesystem, once it was opened.
    pub filesystem: Option<Filesystem>,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// The roots that exist, each once.
    pub roots: Vec<RootReport>,
    /// The locks; `root` is an index into `roots`.
    pub locks: Vec<FoundLock>,
    /// Files of kernel locks that nobody holds.
    pub idle: Vec<Idle>,
    /// Directories that look like locks.
    pub look_alikes: Vec<LookAlike>,
    /// What could not be looked at.
    pub problems: Vec<Problem>,
    /// Places that were looked for and are not there.
    pub absent: Vec<RootSpec>,
    /// Entries that vanished while they were looked at.
    pub vanished: usize,
    /// Directory entries seen.
    pub entries: u64,
}

/// How far a run has come, for a progress line.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Directory entries seen.
    pub entries: u64,
    /// Locks found.
    pub locks: usize,
}

enum Message {
    Opened(usize, Box<Opened>),
    Unopened(usize, Problem),
    SameAs(usize, usize),
    Absent(usize),
    Walk(Event),
    Started(usize, Arc<Thread>),
    PutOff(usize),
    Done(usize),
}

struct Opened {
    /// Another than the root's own if that was a link to a lock.
    spec: RootSpec,
    real_path: Option<PathBuf>,
    meta: Meta,
    filesystem: Option<Filesystem>,
}

/// A directory by device and inode, the one name in it, if only that was asked for, and as whom
/// it is looked at.
type Claim = ((u32, u32), u64, Option<OsString>, Authority);

/// A name in a directory by device and inode. Not the inode that the name stands for: a file
/// with two names holds two gateways up.
type Name = ((u32, u32), u64, OsString);

/// What the threads share.
struct Shared {
    specs: Vec<RootSpec>,
    proc: Option<Arc<ProcDir>>,
    proc_path: PathBuf,
    /// Headway of each root, in directory entries.
    headway: Vec<AtomicU64>,
    /// Which root claimed a directory first.
    claimed: Mutex<HashMap<Claim, usize>>,
    /// The next root that nobody has started on.
    next: AtomicUsize,
    /// Roots that were put off and may be begun now.
    again: Mutex<Vec<usize>>,
    /// The roots that give no answer at the moment or ever.
    stuck: Mutex<Vec<usize>>,
    /// Our own mounts that a server answers for, and the points of all.
    mounts: OnceLock<Mounts>,
    /// What was told and not yet taken, in order.
    told: Mutex<Vec<Message>>,
}

impl Shared {
    fn tell(&self, messages: impl IntoIterator<Item = Message>) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).extend(messages);
    }

    fn take_told(&self) -> Vec<Message> {
        std::mem::take(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn claim_next(&self) -> Option<usize> {
        loop {
            let again = self.again.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let next = again.unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed));
            if next >= self.specs.len() {
                return None;
            }
            if !self.is_hopeless(next, &self.stuck.lock().unwrap_or_else(PoisonError::into_inner)) {
                return Some(next);
            }
            self.tell([Message::PutOff(next)]);
        }
    }

    /// Whether a root need not be begun while, or since, these give no answer.
    fn is_hopeless(&self, root: usize, stuck: &[usize]) -> bool {
        if stuck.is_empty() {
            return false;
        }
        let process = |root: usize| self.specs.get(root).and_then(|spec| spec.origin.process);
        let of_same = |other: &&usize| process(root).is_some() && process(**other) == process(root);
        let server = self.server_of(root);
        let on_same = |other: &usize| server.is_some() && self.server_of(*other) == server;
        stuck.len() >= STUCK || stuck.iter().filter(of_same).count() >= STUCK_OF_ONE || stuck.iter().any(on_same)
    }

    /// The filesystem that a root lies on by its path, if a server answers for it.
    fn server_of(&self, root: usize) -> Option<(u32, u32)> {
        let spec = self.specs.get(root)?;
        let theirs = match (spec.via, &self.proc) {
            (Some(pid), Some(proc)) => Some(proc.process(pid).ok()?.mounts(&Mount::has_server).ok()?),
            _ => None,
        };
        let mounts = theirs.as_ref().unwrap_or(&self.mounts().with_server);
        mounts.by_path(&spec.path).map(|mount| mount.device)
    }

    fn mounts(&self) -> &Mounts {
        self.mounts.get_or_init(Mounts::read)
    }

    /// Whether as many names were seen, of this root or of all, as may be.
    fn is_over(&self, root: usize) -> bool {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let own = self.headway.get(root).map_or(0, of);
        // All are added up now and then only.
        own >= NAMES || (own.is_multiple_of(1024) && self.headway.iter().map(of).sum::<u64>() >= 2 * NAMES)
    }

    fn all_claimed(&self) -> bool {
        let again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        again.is_empty() && self.next.load(Ordering::Relaxed) >= self.specs.len()
    }
}

/// Opens and walks the roots in order.
///
/// `proc_path` names the proc directory in messages; `progress` is called about twenty times a second.
pub fn gather(
    specs: Vec<RootSpec>,
    proc: Option<Arc<ProcDir>>,
    proc_path: PathBuf,
    progress: &mut dyn FnMut(Progress),
) -> Findings {
    let headway = specs.iter().map(|_| AtomicU64::new(0)).collect();
    let claimed = Mutex::new(HashMap::new());
    let (next, told) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let (again, stuck, mounts) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()), OnceLock::new());
    let shared = Arc::new(Shared { specs, proc, proc_path, headway, claimed, next, again, stuck, mounts, told });
    let (sender, receiver) = channel();
    Collector::new(Arc::clone(&shared)).collect(&sender, &receiver, progress)
}

/// Our own mounts, as far as a look through the roots needs them.
struct Mounts {
    with_server: MountTable,
    /// The directory that each mount point shows, by its filesystem.
    points: HashMap<PathBuf, ((u32, u32), PathBuf)>,
}

impl Mounts {
    /// Where the table cannot be read nothing is known of any mount: each is looked at by itself.
    fn read() -> Self {
        let proc = ProcDir::open(Path::new("/proc"));
        let table = proc.and_then(|proc| proc.own_mounts()).unwrap_or_default();
        let points = table.iter().map(|mount| (mount.mount_point.clone(), (mount.device, mount.root.clone())));
        Self { points: points.collect(), with_server: table.only(&Mount::has_server) }
    }
}

struct Running {
    root: usize,
    headway: u64,
    thread: Arc<Thread>,
    watch: Watch,
}

struct Collector {
    shared: Arc<Shared>,
    reports: Vec<Option<RootReport>>,
    findings: Findings,
    problems: Problems,
    finds: Finds,
    seen: HashSet<Name>,
    running: Vec<Running>,
    /// Roots that were not begun.
    put_off: Vec<usize>,
    /// Roots that were given up.
    given_up: Vec<usize>,
}

impl Collector {
    fn new(shared: Arc<Shared>) -> Self {
        let reports = shared.specs.iter().map(|_| None).collect();
        Self {
            shared,
            reports,
            findings: Findings::default(),
            problems: Problems::default(),
            finds: Finds::default(),
            seen: HashSet::new(),
            running: Vec::new(),
            put_off: Vec::new(),
            given_up: Vec::new(),
        }
    }

    fn collect(mut self, sender: &Sender<()>, receiver: &Receiver<()>, progress: &mut dyn FnMut(Progress)) -> Findings {
        let mut last_progress = Instant::now();
        loop {
            let stuck = self.running.iter().all(|running| running.watch.silent > OVERTAKE);
            if let Some(root) = stuck.then(|| self.shared.claim_next()).flatten() {
                self.start(root, sender);
            }
            if self.running.is_empty() && self.put_off.is_empty() && self.shared.all_claimed() {
                break;
            }
            if receiver.recv_timeout(TICK) == Err(RecvTimeoutError::Disconnected) {
                break;
            }
            self.take_all();
            if last_progress.elapsed() > TICK {
                last_progress = Instant::now();
                self.check_headway();
                self.look_at_put_off();
                progress(Progress { entries: self.entries(), locks: self.findings.locks.len() });
            }
        }
        // What a thread told before it was given up is kept.
        self.take_all();
        self.finish()
    }

    fn take_all(&mut self) {
        for message in self.shared.take_told() {
            self.take(message);
        }
    }

    fn start(&mut self, root: usize, sender: &Sender<()>) {
        let (shared, sender, thread) = (Arc::clone(&self.shared), sender.clone(), Arc::new(Thread::default()));
        let its = Arc::clone(&thread);
        let worker = std::thread::Builder::new().name("roots".to_owned());
        let spawned = worker.spawn(move || {
            let mut root = root;
            its.begins();
            loop {
                walk_root(&shared, root);
                // Told as one, so that the run does not look finished in between.
                let next = shared.claim_next();
                shared.tell(
                    [Message::Done(root)].into_iter().chain(next.map(|next| Message::Started(next, Arc::clone(&its)))),
                );
                let Some(next) = next else { break };
                root = next;
            }
            its.ends();
            // A receiver that is gone means that the run is over.
            let _ = sender.send(());
        });
        match spawned {
            Ok(_) => self.take(Message::Started(root, thread)),
            Err(error) => {
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::AGAIN);
                let problem = problem(self.shown(root), Act::StartThread, errno);
                self.take(Message::Unopened(root, problem));
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Opened(root, opened) => {
                let Opened { spec, real_path, meta, filesystem } = *opened;
                let path = spec.shown_path(&self.shared.proc_path);
                let repeats = self.add_namer(&meta, &spec);
                let also = Vec::new();
                self.set_report(
                    root,
                    Some(RootReport { path, real_path, spec, also, repeats, meta: Some(meta), filesystem }),
                );
            }
            Message::Unopened(root, problem) => {
                self.problems.push(problem);
                let report = self.unopened(root);
                self.set_report(root, report);
            }
            Message::SameAs(root, first) => {
                let origin = self.shared.specs.get(root).map(|spec| spec.origin);
                if let Some(Some(report)) = self.reports.get_mut(first) {
                    report.also.extend(origin.filter(|origin| *origin != report.spec.origin));
                }
            }
            Message::Absent(root) => self.findings.absent.extend(self.shared.specs.get(root).cloned()),
            Message::Walk(Event::Lock(found)) => {
                self.take_lock(*found);
            }
            Message::Walk(Event::LookAlike(look_alike, directory)) => {
                let (have, path) = (self.findings.look_alikes.len(), || look_alike.path.clone());
                if self.is_new(&directory, look_alike.path.file_name())
                    && self.finds.keeps(Kept::LookAlikes, have, path)
                {
                    self.findings.look_alikes.push(look_alike);
                }
            }
            Message::Walk(Event::Idle(idle, directory)) => {
                let (have, path) = (self.findings.idle.len(), || idle.path.clone());
                if self.is_new(&directory, idle.path.file_name()) && self.finds.keeps(Kept::Idle, have, path) {
                    self.findings.idle.push(idle);
                }
            }
            Message::Walk(Event::Problem(problem)) => self.problems.push(problem),
            Message::Walk(Event::Vanished) => self.findings.vanished += 1,
            Message::Started(root, thread) => {
                self.running.push(Running { root, headway: 0, thread, watch: Watch::default() });
            }
            Message::PutOff(root) => self.put_off.push(root),
            Message::Done(root) => self.running.retain(|running| running.root != root),
        }
    }

    /// Whether this directory is listed already; who named it again is added there.
    fn add_namer(&mut self, meta: &Meta, spec: &RootSpec) -> bool {
        let same = |report: &&mut RootReport| {
            report.meta.is_some_and(|listed| listed.same_file(meta)) && report.spec.only == spec.only
        };
        let Some(listed) = self.reports.iter_mut().flatten().find(same) else { return false };
        if listed.spec.origin != spec.origin && !listed.also.contains(&spec.origin) {
            listed.also.push(spec.origin);
        }
        true
    }

    /// Takes a lock, unless another root has it: then the one whose record could be read stays.
    fn take_lock(&mut self, found: FoundLock) {
        if self.is_new(&found.guarded, found.below.file_name()) {
            let root = self.reports.get(found.root).and_then(Option::as_ref);
            let path = || root.map(|root| root.path.join(&found.below)).unwrap_or_default();
            if self.finds.keeps(Kept::Locks, self.findings.locks.len(), path) {
                self.findings.locks.push(found);
            }
            return;
        }
        let is_same = |known: &&mut FoundLock| known.guarded.same_file(&found.guarded) && known.name() == found.name();
        let unreadable = |lock: &FoundLock| matches!(lock.reading.record, Record::Unreadable(_));
        if !unreadable(&found)
            && let Some(known) = self.findings.locks.iter_mut().filter(|known| unreadable(known)).find(is_same)
        {
            *known = found;
        }
    }

    fn is_new(&mut self, directory: &Meta, name: Option<&OsStr>) -> bool {
        self.seen.insert((directory.device, directory.inode, name.unwrap_or_default().to_owned()))
    }

    fn check_headway(&mut self) {
        let shared = Arc::clone(&self.shared);
        let limit = bounded::patience(bounded::SILENCE);
        let mut given_up = Vec::new();
        let mut in_vain = Duration::ZERO;
        for running in &mut self.running {
            let headway = shared.headway.get(running.root).map_or(0, |count| count.load(Ordering::Relaxed));
            running.watch.look(&running.thread);
            if headway != running.headway {
                (running.headway, running.watch.silent) = (headway, Duration::ZERO);
            }
            let Watch { silent, waited, .. } = running.watch;
            if silent >= limit || waited >= bounded::WAITING {
                in_vain = in_vain.max(silent);
                running.thread.leave();
                given_up.push((running.root, silent.max(waited.min(bounded::WAITING))));
            }
        }
        bounded::waited_in_vain(in_vain);
        self.running.retain(|running| !given_up.iter().any(|(root, _)| *root == running.root));
        for (root, waited) in given_up {
            self.given_up.push(root);
            self.give_up(root, Cause::NoHeadway { seconds: waited.as_secs() });
        }
        let silent = self.running.iter().filter(|running| running.watch.silent > OVERTAKE).map(|running| running.root);
        *shared.stuck.lock().unwrap_or_else(PoisonError::into_inner) = silent.chain(self.given_up.clone()).collect();
    }

    /// Begins what was put off, or gives it up, when it is known what becomes of the others.
    fn look_at_put_off(&mut self) {
        let shared = Arc::clone(&self.shared);
        let stuck = shared.stuck.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (hopeless, rest): (Vec<usize>, Vec<usize>) =
            std::mem::take(&mut self.put_off).into_iter().partition(|root| shared.is_hopeless(*root, &self.given_up));
        hopeless.into_iter().for_each(|root| self.give_up(root, Cause::Hopeless));
        let (wait, again): (Vec<usize>, Vec<usize>) =
            rest.into_iter().partition(|root| shared.is_hopeless(*root, &stuck));
        self.put_off = wait;
        shared.again.lock().unwrap_or_else(PoisonError::into_inner).extend(again);
    }

    fn give_up(&mut self, root: usize, cause: Cause) {
        self.problems.push(Problem { path: self.shown(root), cause });
        if self.reports.get(root).is_some_and(Option::is_none) {
            let report = self.unopened(root);
            self.set_report(root, report);
        }
    }

    fn set_report(&mut self, root: usize, report: Option<RootReport>) {
        if let Some(slot) = self.reports.get_mut(root) {
            *slot = report;
        }
    }

    fn unopened(&self, root: usize) -> Option<RootReport> {
        let spec = self.shared.specs.get(root)?;
        Some(RootReport {
            path: self.shown(root),
            real_path: None,
            spec: spec.clone(),
            also: Vec::new(),
            repeats: false,
            meta: None,
            filesystem: None,
        })
    }

    fn shown(&self, root: usize) -> PathBuf {
        let spec = self.shared.specs.get(root);
        spec.map(|spec| spec.shown_path(&self.shared.proc_path)).unwrap_or_default()
    }

    fn entries(&self) -> u64 {
        self.shared.headway.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Numbers the roots that exist from 0, in their order.
    fn finish(mut self) -> Findings {
        let entries = self.entries();
        let mut place = HashMap::new();
        for (index, report) in self.reports.into_iter().enumerate() {
            if let Some(report) = report {
                place.insert(index, self.findings.roots.len());
                self.findings.roots.push(report);
            }
        }
        self.findings.locks.retain_mut(|lock| match place.get(&lock.root) {
            Some(index) => {
                lock.root = *index;
                true
            }
            None => false,
        });
        // Roots that overlap meet the same obstacle twice.
        let mut told = HashSet::new();
        let problems = self.problems.into_told().into_iter().chain(self.finds.problems());
        self.findings.problems = problems.filter(|one| told.insert((one.path.clone(), one.cause.clone()))).collect();
        let mut told = HashSet::new();
        self.findings.absent.retain(|spec| told.insert((spec.via, spec.path.clone())));
        self.findings.entries = entries;
        self.findings
    }
}

fn walk_root(shared: &Shared, index: usize) {
    let Some(spec) = shared.specs.get(index) else { return };
    let walked = spec.start(shared.proc.as_deref()).and_then(|start| {
        // What led here decides as whom it is looked at, now and when a lock is removed.
        let spec = RootSpec { authority: start.authority().clone(), ..spec.clone() };
        start.with(|root, _| walk_opened(shared, index, &spec, root))?.map_err(OpenError::System)
    });
    match walked {
        Ok(()) => {}
        // A link that leads nowhere leads to a volume that is not mounted here.
        Err(OpenError::System(Errno::NOENT | Errno::NOTDIR | Errno::SRCH)) if !spec.required && !is_link(spec) => {
            shared.tell([Message::Absent(index)]);
        }
        // What a process does not reach at a place that it never named is no place of its own.
        Err(OpenError::System(Errno::ACCESS | Errno::PERM)) if spec.is_presumed() => {
            shared.tell([Message::Absent(index)]);
        }
        Err(OpenError::System(errno @ (Errno::ACCESS | Errno::PERM))) if spec.authority != Authority::Own => {
            let (path, cause) = (spec.shown_path(&shared.proc_path), Cause::Root(OpenError::Authority(errno)));
            shared.tell([Message::Unopened(index, Problem { path, cause })]);
        }
        Err(error) => {
            let path = spec.shown_path(&shared.proc_path);
            shared.tell([Message::Unopened(index, Problem { path, cause: Cause::Root(error) })]);
        }
    }
}

/// Whether a symbolic link stands at a root's path, wherever it leads.
fn is_link(spec: &RootSpec) -> bool {
    spec.via.is_none() && rustix::fs::readlink(&spec.path, Vec::new()).is_ok()
}

/// Walks an open root, as whoever named it.
fn walk_opened(shared: &Shared, index: usize, spec: &RootSpec, root: Dir) -> Result<(), Errno> {
    let Some(headway) = shared.headway.get(index) else { return Ok(()) };
    let (spec, root) = match spec.lock_behind(&root) {
        Some(lock) => {
            let parent = Dir::open_no_link(&lock.path)?;
            (Cow::Owned(lock), parent)
        }
        None => (Cow::Borrowed(spec), root),
    };
    let meta = root.meta()?;
    let first = {
        let mut claimed = shared.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let claim = (meta.device, meta.inode, spec.only.clone(), spec.authority.clone());
        *claimed.entry(claim).or_insert(index)
    };
    let shown = spec.shown_path(&shared.proc_path);
    if first == index {
        let real_path = root.kernel_path().filter(|_| spec.via.is_none());
        let opened = Opened { spec: spec.as_ref().clone(), real_path, meta, filesystem: root.filesystem().ok() };
        shared.tell([Message::Opened(index, Box::new(opened))]);
    } else {
        shared.tell([Message::SameAs(index, first)]);
        // Walked already, unless this one looks deeper; what is found twice is told once.
        if shared.specs.get(first).is_none_or(|first| first.covers(&spec)) {
            return Ok(());
        }
    }
    let has = |name: &&str| root.meta_of(name.as_bytes()).is_ok();
    let is_state_dir =
        spec.kind == RootKind::Path && (places::names_state_dir(&spec.path) || places::CONFIG_NAMES.iter().any(has));
    let mounts = spec.via.is_none().then(|| shared.mounts());
    let shown_at = Mutex::new(HashMap::new());
    let is_repeated = |path: &Path| {
        let Some(shows) = mounts.and_then(|mounts| mounts.points.get(path)) else { return false };
        let mut shown_at = shown_at.lock().unwrap_or_else(PoisonError::into_inner);
        *shown_at.entry(shows).or_insert_with(|| path.to_owned()) != path
    };
    let is_over = || shared.is_over(index);
    let (is_over, is_repeated) = (&is_over, &is_repeated);
    let is_below = |other: &&RootSpec| {
        let is_path = other.kind == RootKind::Path && other.only.is_none();
        is_path && other.path != spec.path && other.path.starts_with(&spec.path)
    };
    let others: Vec<&Path> = shared.specs.iter().filter(is_below).map(|other| other.path.as_path()).collect();
    let others = &others;
    let walk = Walk { index: first, spec: &spec, root: &root, shown, is_state_dir, others, is_over, is_repeated };
    let alive = || {
        headway.fetch_add(1, Ordering::Relaxed);
    };
    walk.run(&alive, &|event| shared.tell([Message::Walk(event)]));
    Ok(())
}
