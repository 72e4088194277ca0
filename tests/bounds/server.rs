//! A filesystem that stops answering, and runs that are given so long and no longer.

use super::support::{Answer, command, lab_required};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// In which any run ends. An idle machine needs a quarter of it at most (docs/limits.md, "How long it
/// waits"); what is held by a dead mount never ends.
pub const IN_TIME: Duration = Duration::from_secs(60);

/// A FUSE server over a directory, and more of them over the first one: when that stops, these have
/// read a request that they never answer, for which a thread waits uninterruptibly.
pub struct Server {
    base: tempfile::TempDir,
    servers: Vec<Child>,
    mounts: Vec<PathBuf>,
}

impl Server {
    /// `None`, aloud, where FUSE cannot be had. `outer`: how many are mounted over the first one.
    pub fn new(outer: usize) -> Option<Self> {
        Self::with(&[], outer)
    }

    /// With options of bindfs(1).
    pub fn with(options: &[&str], outer: usize) -> Option<Self> {
        let base = tempfile::tempdir().unwrap();
        let source = base.path().join("source");
        std::fs::create_dir(&source).unwrap();
        let mut server = Self { base, servers: Vec::new(), mounts: Vec::new() };
        let inner = server.mount(options, &source, "inner")?;
        for index in 0..outer {
            server.mount(&[], &inner, &format!("outer-{index}"))?;
        }
        Some(server)
    }

    fn mount(&mut self, options: &[&str], from: &Path, name: &str) -> Option<PathBuf> {
        let at = self.base.path().join(name);
        std::fs::create_dir(&at).unwrap();
        let mut bindfs = Command::new("bindfs");
        bindfs
            .arg("-f")
            .args(options)
            .args([from, &at])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = match bindfs.spawn() {
            Ok(child) => child,
            Err(error) => {
                lab_required(&format!("bindfs: {error}"));
                return None;
            }
        };
        let began = Instant::now();
        let is_mounted = || {
            let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
            table.lines().any(|line| line.split(' ').nth(4) == at.to_str())
        };
        while !is_mounted() {
            if child.try_wait().unwrap().is_some() || began.elapsed() > Duration::from_secs(30) {
                lab_required("bindfs cannot mount here");
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.servers.push(child);
        self.mounts.push(at.clone());
        Some(at)
    }

    /// A directory of its own.
    pub fn path(&self) -> &Path {
        self.base.path()
    }

    /// The directory that they all show.
    pub fn source(&self) -> PathBuf {
        self.base.path().join("source")
    }

    /// A directory that no server answers for. Its path comes before those of the mounts.
    pub fn beside(&self) -> PathBuf {
        self.base.path().join("beside")
    }

    /// The mount of the first server, whose questions a signal ends.
    pub fn inner(&self) -> &Path {
        &self.mounts[0]
    }

    /// A mount whose server waits itself.
    pub fn outer(&self, index: usize) -> &Path {
        &self.mounts[index + 1]
    }

    /// From now on nobody answers.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// And now they do again.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // Where it could not be had there is none.
        if let Some(first) = self.servers.first() {
            kill_process(Pid::from_child(first), signal).unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.go_on();
        for mount in self.mounts.iter().rev() {
            let _ = Command::new("umount").arg("-l").arg(mount).stderr(Stdio::null()).status();
        }
        for server in self.servers.iter_mut().rev() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Runs the doctor; fails if it has not ended in time, or keeps its output open.
pub fn in_time<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Answer {
    let mut doctor = command();
    doctor.args(args);
    ended(doctor)
}

pub fn ended(mut command: Command) -> Answer {
    let shown = format!("{command:?}");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait(child, &shown)
}

/// Waits for a run that is to end.
pub fn wait(child: Child, shown: &str) -> Answer {
    let pid = Pid::from_child(&child);
    let (sender, receiver) = channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(IN_TIME) {
        Ok(output) => Answer(output.unwrap()),
        Err(_) => {
            let _ = kill_process(pid, Signal::KILL);
            panic!("it does not end: {shown}");
        }
    }
}

/// The lines of a run's output, each awaited for as long as a run may take.
pub struct Lines(Receiver<String>);

impl Lines {
    pub fn of(child: &mut Child) -> Self {
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, receiver) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self(receiver)
    }

    pub fn next(&self) -> String {
        self.0.recv_timeout(IN_TIME).expect("it says nothing more")
    }

    /// What is left of them, when the run is over.
    pub fn rest(&self) -> String {
        self.0.iter().map(|line| line + "\n").collect()
    }
}
