//! Worlds to repair in: users, containers, mounts and terminals, all of them real.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, clippy::indexing_slicing)]

use super::support::{Answer, HANG, Living, now_ms};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A uid that no account has.
pub const ORDINARY: u32 = 54_321;
/// And another.
pub const STRANGER: u32 = 54_322;

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says that a part was skipped, past the capture of output; a failure where the lab is required.
pub fn skip(why: &str) {
    assert!(std::env::var_os("OPENCLAW_DOCTOR_LAB").is_none_or(|lab| lab != "required"), "cannot be skipped: {why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED in {test}: {why}");
}

/// Runs a tool of the test's own and insists on its success.
pub fn tool<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) {
    let mut command = Command::new(program);
    let output = command.args(args).stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Whether a tool is there and does this.
pub fn can<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> bool {
    let mut command = Command::new(program);
    let command = command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A temporary directory that every user may enter.
pub fn open_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

/// Gives a tree to a user.
pub fn give(path: &Path, uid: u32) {
    for entry in walkdir::WalkDir::new(path) {
        rustix::fs::chownat(
            rustix::fs::CWD,
            entry.unwrap().path(),
            Some(rustix::fs::Uid::from_raw(uid)),
            Some(rustix::fs::Gid::from_raw(uid)),
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
    }
}

/// Makes a lock in a version directory below `base`.
pub fn plant(base: &Path, version: &str, name: &str, record: Option<&[u8]>) -> PathBuf {
    let lock = base.join(version).join(name);
    std::fs::create_dir_all(&lock).unwrap();
    if let Some(record) = record {
        std::fs::write(lock.join("owner.json"), record).unwrap();
    }
    lock
}

/// Makes a lock look an hour old.
pub fn age(lock: &Path) {
    let then = i64::try_from(now_ms() / 1000).unwrap() - 3600;
    let stamp = Timespec { tv_sec: then, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: stamp, last_modification: stamp };
    for path in [lock.join("owner.json"), lock.to_owned()] {
        let set = rustix::fs::utimensat(rustix::fs::CWD, &path, &times, rustix::fs::AtFlags::empty());
        assert!(set.is_ok() || !path.exists(), "{set:?}");
    }
}

/// A `sleep` that calls itself `name` in its arguments, as a runtime would.
pub fn living_as(name: &str) -> Living {
    Living(Command::new("sleep").arg0(name).arg("1000").stdin(Stdio::null()).spawn().unwrap())
}

/// The built binary as one user of one world runs it.
pub struct Doctor {
    prefix: Vec<OsString>,
    binary: PathBuf,
    _home: Option<tempfile::TempDir>,
}

impl Doctor {
    /// As the test itself.
    pub fn own() -> Self {
        Self { prefix: Vec::new(), binary: env!("CARGO_BIN_EXE_openclaw-doctor").into(), _home: None }
    }

    /// On the host, as this user. Needs root unless it is our own uid.
    pub fn of_user(uid: u32) -> Self {
        if rustix::process::geteuid().as_raw() == uid {
            return Self::own();
        }
        let home = open_dir();
        let binary = copy_binary(home.path());
        Self { prefix: user_prefix(uid), binary, _home: Some(home) }
    }

    /// In a container, as this user.
    pub fn in_container(container: &Container, uid: u32) -> Self {
        let mut prefix: Vec<OsString> =
            ["nsenter", "--pid", "--mount", "--root", "--wd", "--target"].iter().map(Into::into).collect();
        prefix.extend([container.init.to_string().into(), "--".into()]);
        prefix.extend(user_prefix(uid));
        let binary = Path::new("/").join(container.binary.strip_prefix(container.root()).unwrap_or(&container.binary));
        Self { prefix, binary, _home: None }
    }

    /// The command line, as words.
    pub fn words<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Vec<OsString> {
        let mut words = self.prefix.clone();
        words.push(self.binary.clone().into());
        words.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        words
    }

    pub fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Command {
        command_of(&self.words(args))
    }

    /// Runs it without a terminal.
    pub fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Answer {
        Answer(self.command(args).stdin(Stdio::null()).output().unwrap())
    }

    /// Runs it in a terminal of its own.
    pub fn in_terminal<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Terminal {
        Terminal::start(&self.words(args))
    }

    /// What a shell makes of a line that the doctor printed.
    pub fn run_printed(&self, line: &str) -> Answer {
        let mut words = self.prefix.clone();
        let script = format!("PATH={}:$PATH; {line}", self.binary.parent().unwrap().display());
        words.extend(["bash".into(), "-c".into(), script.into()]);
        Answer(command_of(&words).stdin(Stdio::null()).output().unwrap())
    }
}

fn command_of(words: &[OsString]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir("/");
    command
}

fn user_prefix(uid: u32) -> Vec<OsString> {
    if rustix::process::geteuid().as_raw() == uid {
        return Vec::new();
    }
    let id = uid.to_string();
    ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--"].iter().map(Into::into).collect()
}

/// A copy that other users can reach, wherever the build directory is.
fn copy_binary(to: &Path) -> PathBuf {
    let (built, copy) = (env!("CARGO_BIN_EXE_openclaw-doctor"), to.join("openclaw-doctor"));
    if std::fs::hard_link(built, &copy).is_err() {
        std::fs::copy(built, &copy).unwrap();
    }
    copy
}

/// A PID namespace with processes in it.
pub struct Container {
    process: Child,
    /// The host pid of its pid 1.
    pub init: u32,
    /// A `sleep`: its pid inside, and its start ticks.
    pub sleeper: u32,
    pub sleeper_ticks: u64,
    /// Something that calls itself `node`.
    pub node: u32,
    /// Something that calls itself `openclaw-gateway`.
    pub gateway: u32,
    /// A pid that was and is no more.
    pub dead: u32,
    binary: PathBuf,
    _home: tempfile::TempDir,
}

const INHABITANTS: &str = r#"
sleep 1000 & sleeper=$!
exec -a node sleep 1000 & node=$!
runtime=$(mktemp -d); cp "$(command -v sleep)" "$runtime/node"
exec -a openclaw-gateway "$runtime/node" 1000 & gateway=$!
true & dead=$!
wait $dead
for pid in $sleeper $node $gateway; do
    until [ "$(cat /proc/$pid/comm)" != bash ]; do sleep 0.01; done
done
rm -r "$runtime"
read -r -a stat < /proc/$sleeper/stat
echo "$sleeper ${stat[21]} $node $gateway $dead"
exec sleep 1000
"#;

impl Container {
    /// A PID namespace that shares all directories with the host; none where it cannot be had.
    pub fn shared() -> Option<Self> {
        if !is_root() || !can("unshare", ["--pid", "--mount", "--fork", "--mount-proc", "true"]) {
            return None;
        }
        let home = open_dir();
        let binary = copy_binary(home.path());
        Some(Self::start(home, &binary, &["--mount-proc"], INHABITANTS))
    }

    /// A PID namespace with a root of its own: an overlay, as a container engine makes it.
    pub fn with_own_root() -> Option<Self> {
        let home = open_dir();
        let script = format!(
            "set -e; cd {}; mount -t tmpfs tmpfs .; cd {0}; mkdir up work root; \
             mount -t overlay overlay -o lowerdir=/,upperdir=up,workdir=work root; \
             mount -t proc proc root/proc; mount --bind /dev root/dev; ",
            home.path().display()
        );
        let works = format!("{script} true");
        if !is_root() || !can("unshare", ["--pid", "--mount", "--fork", "bash", "-c", &works]) {
            return None;
        }
        let quoted = INHABITANTS.replace('\'', "'\\''");
        let mut container =
            Self::start(home, Path::new(""), &[], &format!("{script} exec chroot root bash -c '{quoted}'"));
        std::fs::create_dir_all(container.root().join("tmp")).unwrap();
        std::fs::set_permissions(container.root().join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
        let own = container.root().join("tmp/doctor");
        std::fs::create_dir(&own).unwrap();
        container.binary = copy_binary(&own);
        Some(container)
    }

    fn start(home: tempfile::TempDir, binary: &Path, more: &[&str], script: &str) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--mount", "--fork", "--kill-child"]).args(more).args(["bash", "-c", script]);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let numbers: Vec<u64> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let [sleeper, sleeper_ticks, node, gateway, dead] = numbers[..] else { panic!("no inhabitants: {line:?}") };
        let pid = process.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let small = |number: u64| u32::try_from(number).unwrap();
        Self {
            process,
            init: children.trim().parse().unwrap(),
            sleeper: small(sleeper),
            sleeper_ticks,
            node: small(node),
            gateway: small(gateway),
            dead: small(dead),
            binary: binary.to_owned(),
            _home: home,
        }
    }

    /// Its root directory, as the host reaches it.
    pub fn root(&self) -> PathBuf {
        format!("/proc/{}/root", self.init).into()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A mount that ends with its test.
pub struct Mounted(pub PathBuf);

impl Mounted {
    /// A tmpfs. Root only.
    pub fn tmpfs(at: &Path) -> Self {
        tool("mount", [OsStr::new("-t"), "tmpfs".as_ref(), "tmpfs".as_ref(), at.as_os_str()]);
        std::fs::set_permissions(at, PermissionsExt::from_mode(0o755)).unwrap();
        Self(at.to_owned())
    }

    /// One file or directory over another. Root only.
    pub fn bind(from: &Path, at: &Path) -> Self {
        tool("mount", [OsStr::new("--bind"), from.as_os_str(), at.as_os_str()]);
        Self(at.to_owned())
    }

    /// A directory seen through a FUSE server, which another machine might share; none where
    /// there is no FUSE.
    pub fn fuse(from: &Path, at: &Path) -> Option<Self> {
        can("bindfs", [from, at]).then(|| Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = can("umount", [OsStr::new("--lazy"), self.0.as_os_str()])
            || can("fusermount", [OsStr::new("-u"), self.0.as_os_str()]);
    }
}

/// A program with a pseudo-terminal as its input, its errors and its controlling terminal.
/// Standard output is a pipe, so that a JSON report can be read apart from the questions.
pub struct Terminal {
    pub child: Child,
    master: OwnedFd,
    screen: Vec<u8>,
    /// What of the screen was already waited for.
    known: usize,
    out: JoinHandle<Vec<u8>>,
}

impl Terminal {
    pub fn start(words: &[OsString]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        // Who runs the tests in the background may have signals ignored, and what is ignored stays so.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP,INT,QUIT,TERM", "setsid", "--ctty", "--wait"]).args(words);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir("/");
        command.stdin(slave.try_clone().unwrap()).stderr(slave).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut pipe = child.stdout.take().unwrap();
        let out = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).unwrap();
            bytes
        });
        Self { child, master, screen: Vec::new(), known: 0, out }
    }

    /// Waits until the screen shows this, after what was waited for before.
    pub fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + HANG;
        loop {
            let fresh = String::from_utf8_lossy(&self.screen[self.known..]).into_owned();
            if let Some(at) = fresh.find(text) {
                self.known += at + text.len();
                return;
            }
            assert!(Instant::now() < deadline && self.read_some(), "no {text:?} on the screen:\n{}", self.shown());
        }
    }

    /// Types the bytes.
    pub fn types(&mut self, bytes: &str) {
        let mut rest = bytes.as_bytes();
        while !rest.is_empty() {
            let count = rustix::io::write(&self.master, rest).unwrap();
            rest = &rest[count..];
        }
    }

    /// Waits for a question and answers it.
    pub fn answers(&mut self, bytes: &str) {
        self.wait_for("[y/N/e]");
        self.types(bytes);
    }

    /// Everything on the screen so far.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen).into_owned()
    }

    /// Waits for the end; standard error of the answer is the screen.
    pub fn end(mut self) -> Answer {
        let deadline = Instant::now() + HANG;
        while self.read_some() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("it does not end:\n{}", self.shown());
            }
        }
        let status = self.child.wait().unwrap();
        Answer(std::process::Output { status, stdout: self.out.join().unwrap(), stderr: self.screen })
    }

    /// Closes the terminal, as a lost connection does, and waits for the program's end.
    pub fn hang_up(self) -> std::process::ExitStatus {
        let Self { mut child, master, out, .. } = self;
        drop(master);
        let deadline = Instant::now() + HANG;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                let _ = out.join();
                return status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("it outlives its terminal");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Reads what is there, waiting a little; false once the other side has hung up.
    fn read_some(&mut self) -> bool {
        let wait = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        if poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&wait)).unwrap() == 0 {
            return true;
        }
        let mut chunk = [0_u8; 4096];
        match rustix::io::read(&self.master, &mut chunk) {
            Ok(count) if count > 0 => {
                self.screen.extend_from_slice(&chunk[..count]);
                true
            }
            // EIO: nobody holds the other side any more.
            _ => false,
        }
    }
}
