//! The process that the shell waits for, and the one that works.
//!
//! A thread in an uninterruptible wait keeps its process: `exit_group(2)` leaves the leader a
//! zombie, which nobody can reap, until the wait is over (measured with a FUSE server that read a
//! request and stopped: `D` in `request_wait_answer`, not even SIGKILL ends it). A wait that a
//! fatal signal ends (a request that no server has read, NFS, a held mmap lock) goes with the process. So
//! before the first look at a filesystem that a server answers for, or at another mount namespace,
//! the work goes to a child: the same program with the same arguments, terminal and
//! environment. It ends with its threads, as a rule; where its leader has ended and a thread has
//! not, the child is left to init, and the code it ended with is this one's. On other machines
//! nobody pays for a second process (5 ms of 3, measured).
//!
//! The child goes with this process, whatever ends it (`PR_SET_PDEATHSIG`). Signals that end a
//! repair between two locks come to it from here alone, so that each counts once: Ctrl-C reaches both.
//! Without /proc, or where no process can be started, the work is done here.

use openclaw_doctor::process::proc_dir::ProcDir;
use openclaw_doctor::sys::{bounded, signals};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::low_level::pipe;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Set for the child: the pid of the process that waits for it. `0` asks for no child.
const MARK: &str = "OPENCLAW_DOCTOR_FRONT";
/// The exit code of a run without an answer.
const INCOMPLETE: u8 = 3;
/// How long a child that was told twice to end is waited for.
const LET_GO: Duration = Duration::from_secs(3);
/// How often a child that does not end is looked at.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };

/// From here on the work is not begun anew by a child.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// Which process this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The one that works, behind a front.
    Behind,
    /// The only one.
    Alone,
}

/// What asks a repair for its end.
pub(crate) struct Stop {
    /// It was asked for: the lock at work is finished.
    pub(crate) asked: Arc<AtomicBool>,
    /// It was asked for twice: what gives no answer is left.
    twice: Arc<AtomicBool>,
    /// Without a front, a byte for each signal.
    signals: Option<UnixStream>,
    /// How many of those.
    heard: AtomicUsize,
}

impl Stop {
    /// Catches what asks for an end from now on.
    ///
    /// Errors: those of sigaction(2).
    pub(crate) fn catch(place: Place) -> io::Result<Self> {
        BEGUN.store(true, Ordering::Relaxed);
        let (asked, twice) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let signals = match place {
            Place::Behind => {
                signal_hook::flag::register(SIGUSR1, Arc::clone(&asked))?;
                signal_hook::flag::register(SIGUSR2, Arc::clone(&twice))?;
                // They come to the front too, and from there.
                let unheard = Arc::new(AtomicBool::new(false));
                for signal in stop_signals() {
                    signal_hook::flag::register(signal, Arc::clone(&unheard))?;
                }
                None
            }
            Place::Alone => {
                let (signals, wake) = UnixStream::pair()?;
                signals.set_nonblocking(true)?;
                for signal in stop_signals() {
                    signal_hook::flag::register(signal, Arc::clone(&asked))?;
                    pipe::register(signal, wake.try_clone()?)?;
                }
                Some(signals)
            }
        };
        Ok(Self { asked, twice, signals, heard: AtomicUsize::new(0) })
    }

    /// Whether it was asked for twice, as far as was looked; to be called now and then.
    pub(crate) fn is_asked_twice(&self) -> bool {
        if let Some(mut signals) = self.signals.as_ref() {
            let heard = signals.read(&mut [0; 2]).unwrap_or(0);
            self.heard.fetch_add(heard, Ordering::Relaxed);
        }
        self.twice.load(Ordering::Relaxed) || self.heard.load(Ordering::Relaxed) > 1
    }
}

/// The signals that ask for an end. One that was ignored when the run began (nohup(1)) stays ignored.
fn stop_signals() -> impl Iterator<Item = i32> {
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !signals::is_ignored(*signal).unwrap_or(false))
}

/// Has `work` done here, or in a child from the moment when something may hold it for ever.
#[expect(clippy::disallowed_methods, reason = "the mark is between this program and itself")]
pub(crate) fn run(work: impl FnOnce(Place) -> ExitCode) -> ExitCode {
    match std::env::var_os(MARK) {
        Some(front) if front != "0" => return behind(&front.to_string_lossy(), work),
        Some(_) => {}
        None => bounded::before_risk(go_in_front),
    }
    work(Place::Alone)
}

/// Lets a child begin again and ends as it does. Nothing was told or changed until now.
#[expect(clippy::disallowed_methods, reason = "what runs here has nothing to tear down")]
fn go_in_front() {
    if BEGUN.load(Ordering::Relaxed) {
        return;
    }
    if let Some(front) = Front::start() {
        std::process::exit(front.wait().into());
    }
}

fn behind(front: &str, work: impl FnOnce(Place) -> ExitCode) -> ExitCode {
    let bound = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
    // It has ended before it was bound to: nobody waits for the answer any more.
    if bound.is_ok() && parent.as_deref() != Some(front) {
        return ExitCode::from(INCOMPLETE);
    }
    let code = work(Place::Behind);
    let_go_of_streams();
    code
}

/// Lets go of what a reader of our output waits for the end of: a thread that stays keeps
/// descriptors open.
fn let_go_of_streams() {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    if let Ok(null) = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty()) {
        // What cannot be let go of is held until the wait is over.
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

struct Front {
    child: Child,
    /// A byte for each signal.
    signals: UnixStream,
    /// The last signal that asked for an end; 0: none since it was looked at.
    asked: Arc<AtomicUsize>,
}

impl Front {
    fn start() -> Option<Self> {
        // Its own name, by which `ps` and other doctors know it.
        let program = std::env::current_exe().ok().filter(|path| path.exists())?;
        let (signals, wake) = UnixStream::pair().ok()?;
        pipe::register(SIGCHLD, wake.try_clone().ok()?).ok()?;
        let asked = Arc::new(AtomicUsize::new(0));
        for signal in stop_signals() {
            signal_hook::flag::register_usize(signal, Arc::clone(&asked), usize::try_from(signal).ok()?).ok()?;
            pipe::register(signal, wake.try_clone().ok()?).ok()?;
        }
        let mut arguments = std::env::args_os();
        let mut command = Command::new(program);
        command.arg0(arguments.next()?).args(arguments).env(MARK, std::process::id().to_string());
        Some(Self { child: command.spawn().ok()?, signals, asked })
    }

    fn wait(mut self) -> u8 {
        let (mut last, mut times, mut left) = (0, 0_u32, false);
        let mut since = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return end_as(status, last);
            }
            // Looked at twice: the leader of a process that ends goes before its threads.
            let leader = self.ended_leader();
            match leader {
                Some(status) if left => return end_as(status, last),
                seen => left = seen.is_some(),
            }
            match i32::try_from(self.asked.swap(0, Ordering::Relaxed)) {
                Ok(signal) if signal != 0 => {
                    self.forward(if times == 0 { Signal::USR1 } else { Signal::USR2 });
                    (last, times, since) = (signal, times.saturating_add(1), Instant::now());
                }
                _ if times > 1 && since.elapsed() > LET_GO => return end_by(last),
                _ => {}
            }
            let mut signals = [PollFd::new(&self.signals, PollFlags::IN)];
            if matches!(poll(&mut signals, Some(&LOOK)), Ok(1..)) {
                let _ = (&self.signals).read(&mut [0; 1]);
                left = false;
            }
        }
    }

    /// Not one signal twice, since two that wait come as one.
    fn forward(&self, signal: Signal) {
        let child = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // A child that has gone is met at the next look.
        let _ = child.map(|child| kill_process(child, signal));
    }

    /// The status that the child's leader ended with, if it has ended: the last field of
    /// proc_pid_stat(5) of a zombie, which cannot be waited for while a thread of it is left.
    fn ended_leader(&self) -> Option<ExitStatus> {
        let stat = ProcDir::open(Path::new("/proc")).and_then(|proc| proc.read(&format!("{}/stat", self.child.id())));
        let stat = String::from_utf8_lossy(&stat.ok()?).into_owned();
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        let is_zombie = fields.next() == Some("Z");
        let status = fields.next_back()?.parse().ok()?;
        is_zombie.then(|| ExitStatus::from_raw(status))
    }
}

/// Ends as the child did; `asked` is the signal that was passed on to it.
fn end_as(status: ExitStatus, asked: i32) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(INCOMPLETE),
        // Before it has anything to finish, it goes by the signal that only we send.
        (None, Some(SIGUSR1 | SIGUSR2)) if asked != 0 => end_by(asked),
        (None, Some(signal)) => end_by(signal),
        (None, None) => INCOMPLETE,
    }
}

/// Ends by a signal, as if it had not been caught.
fn end_by(signal: i32) -> u8 {
    let _ = signal_hook::low_level::emulate_default_handler(signal);
    INCOMPLETE
}
