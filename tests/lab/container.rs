//! A container without a container engine, and processes in it.

use super::machine::{self, Bench, tool, unshare_flags};
use crate::support::{Answer, HANG};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Instant;

/// What every setup begins with: our pid as the host knows it, and mounts of our own.
///
/// What whoever ran the tests left open is closed: a file of the volume's filesystem is a way to it.
const BEGIN: &str = "set -e
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
read -r host_pid rest < /proc/self/stat
";
/// An overlay as root, with a volume on /vol, procfs, a tmpfs as /dev and the doctor.
const OWN_ROOT: &str = r#"
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$BASE"
mkdir "$BASE/upper" "$BASE/work" "$BASE/root"
cp -a "$IMAGE" "$BASE/image"
mount -t overlay overlay -o "lowerdir=$BASE/image:/,upperdir=$BASE/upper,workdir=$BASE/work" "$BASE/root"
cd "$BASE/root"
mkdir -p vol old; : > doctor
mount --bind "$VOLUME" vol
mount --bind "$DOCTOR" doctor
[ -z "$HOST_PROC" ] || { mkdir -p host/proc; mount --rbind /proc host/proc; }
mount -t proc proc proc
mount -t tmpfs tmpfs dev; : > dev/null; mount --bind /dev/null dev/null
pivot_root . old
cd /
umount -l /old
"#;
/// A whole system in a container, as LXC and WSL make it: its own local filesystem as root, and
/// an init (by its name) as pid 1.
const OWN_SYSTEM: &str = r#"
mount --make-rprivate /
mkdir "$BASE/root"
mount -t tmpfs -o mode=755 tmpfs "$BASE/root"
cd "$BASE/root"
for top in bin sbin lib lib64; do
    if [ -L /$top ]; then cp -P /$top .; elif [ -d /$top ]; then mkdir $top; mount --rbind /$top $top; fi
done
mkdir -p usr etc proc dev tmp vol old home/node; : > doctor
mount --rbind /usr usr
mount --bind "$VOLUME" vol
mount --bind "$DOCTOR" doctor
mount -t proc proc proc
mount -t tmpfs tmpfs dev; : > dev/null; mount --bind /dev/null dev/null
pivot_root . old
cd /
umount -l /old
printf %s "$INIT" > /proc/$$/comm
"#;
/// A tmpfs as root with the host's programs, a volume on /vol, procfs and a tmpfs as /dev: each of
/// its mounts can be told from the host.
const OWN_MOUNTS: &str = r#"
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$BASE"
cd "$BASE"
mkdir usr proc dev tmp vol old
mount --bind /usr usr
for name in bin sbin lib lib32 lib64 libx32; do
    if [ -L /$name ]; then cp -d /$name .; elif [ -d /$name ]; then mkdir $name; mount --bind /$name $name; fi
done
[ -z "$VOLUME" ] || mount --bind "$VOLUME" vol
mount -t proc proc proc
mount -t tmpfs tmpfs dev; : > dev/null; mount --bind /dev/null dev/null
pivot_root . old
cd /
umount -l /old
"#;
/// The host's root with procfs of our own: what a user namespace allows.
const OWN_PROC: &str = "mount --make-rprivate /\nmount -t proc proc /proc\n";
/// Takes commands from the test, one a line, and answers each.
const SERVE: &str = r#"
set +e
echo "ready $host_pid"
while IFS= read -r line; do eval "$line"; printf '\ndone %s\n' $?; done
"#;

/// Namespaces that live until they are dropped, with a shell that takes orders.
pub struct Container {
    leader: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    flags: Vec<String>,
    /// The shell's pid on the host.
    pub init: u32,
    doctor: PathBuf,
}

/// A process in a container, as it would sign a lock.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    /// Its pid as it knows it.
    pub pid: u32,
    /// Its start ticks as it reads them.
    pub ticks: u64,
    /// Its pid on the host.
    pub host_pid: u32,
}

impl Container {
    /// Its own root, the volume on /vol, and the doctor at /doctor. Needs root.
    pub fn new(bench: &Bench, volume: &Path) -> Self {
        Self::of_parts(bench, volume, &bench.dir("empty-layer"), false)
    }

    /// As [`Container::new`], with the host's procfs on /host/proc.
    pub fn with_host_proc(bench: &Bench, volume: &Path) -> Self {
        Self::of_parts(bench, volume, &bench.dir("empty-layer"), true)
    }

    /// As [`Container::new`], with a read-only layer over the host's root.
    pub fn of_image(bench: &Bench, volume: &Path, image: &Path) -> Self {
        Self::of_parts(bench, volume, image, false)
    }

    fn of_parts(bench: &Bench, volume: &Path, image: &Path, host_proc: bool) -> Self {
        let base = tempfile::tempdir_in(bench.path()).unwrap().keep();
        let doctor = bench.doctor();
        let variables = [
            ("BASE", base.as_os_str()),
            ("VOLUME", volume.as_os_str()),
            ("IMAGE", image.as_os_str()),
            ("DOCTOR", doctor.as_os_str()),
            ("HOST_PROC", OsStr::new(if host_proc { "yes" } else { "" })),
        ];
        let mut container = Self::start(&["--pid", "--mount"], OWN_ROOT, &variables);
        container.doctor = PathBuf::from("/doctor");
        container
    }

    /// A system with a root of its own, a volume on /vol, and a pid 1 of this name. Needs root.
    pub fn system(bench: &Bench, volume: &Path, init: &str) -> Self {
        let base = tempfile::tempdir_in(bench.path()).unwrap().keep();
        let doctor = bench.doctor();
        let variables = [
            ("BASE", base.as_os_str()),
            ("VOLUME", volume.as_os_str()),
            ("DOCTOR", doctor.as_os_str()),
            ("INIT", OsStr::new(init)),
        ];
        let mut container = Self::start(&["--pid", "--mount"], OWN_SYSTEM, &variables);
        container.doctor = PathBuf::from("/doctor");
        container
    }

    /// Its own PID namespace and procfs on the host's root. As root, or in a user namespace.
    pub fn bare() -> Self {
        Self::start(&["--pid", "--mount"], OWN_PROC, &[])
    }

    /// Its own root, with nothing of the host's filesystems but its programs, and this volume.
    pub fn apart(bench: &Bench, volume: Option<&Path>) -> Self {
        let base = tempfile::tempdir_in(bench.path()).unwrap().keep();
        let volume = volume.map_or(OsStr::new(""), Path::as_os_str);
        Self::start(&["--pid", "--mount"], OWN_MOUNTS, &[("BASE", base.as_os_str()), ("VOLUME", volume)])
    }

    /// Mounts of its own; processes are the host's.
    pub fn mounts() -> Self {
        Self::start(&["--mount"], "mount --make-rprivate /\n", &[])
    }

    /// A boot clock of its own, shifted by this many seconds.
    pub fn shifted(seconds: i64) -> Self {
        Self::start(&["--time", "--boottime", &seconds.to_string()], "", &[])
    }

    fn start(flags: &[&str], setup: &str, variables: &[(&str, &OsStr)]) -> Self {
        let flags = unshare_flags(flags);
        let mut leader = tool("unshare")
            .args(&flags)
            .args(["--fork", "--kill-child", "sh", "-c", &[BEGIN, setup, SERVE].concat()])
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let orders = leader.stdin.take().unwrap();
        let answers = BufReader::new(leader.stdout.take().unwrap());
        let doctor = PathBuf::from(env!("CARGO_BIN_EXE_openclaw-doctor"));
        let mut container = Self { leader, orders, answers, flags, init: 0, doctor };
        let ready = container.line();
        container.init = ready.strip_prefix("ready ").and_then(|pid| pid.parse().ok()).unwrap();
        container
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let count = self.answers.read_line(&mut line).unwrap();
        if count == 0 {
            let mut said = String::new();
            let _ = self.leader.stderr.take().unwrap().read_to_string(&mut said);
            panic!("the shell with {:?} has ended: {said}", self.flags);
        }
        line.trim_end().to_owned()
    }

    /// Runs one line in the container's shell and gives what it printed.
    pub fn sh(&mut self, line: &str) -> String {
        writeln!(self.orders, "{line}").unwrap();
        let mut output = Vec::new();
        loop {
            let next = self.line();
            if let Some(code) = next.strip_prefix("done ") {
                assert_eq!(code, "0", "{line}: {output:?}");
                return output.join("\n").trim_end().to_owned();
            }
            output.push(next);
        }
    }

    /// Starts a command in the background; ready when its program runs.
    pub fn spawn(&mut self, command: &str) -> Process {
        let pid = self.sh(&format!("{command} < /dev/null > /dev/null 2>&1 & echo $!"));
        self.process(pid.parse().unwrap())
    }

    /// As [`Container::spawn`], with this very pid, which must be free.
    pub fn spawn_at(&mut self, pid: u32, command: &str) -> Process {
        self.sh(&format!("echo {} > /proc/sys/kernel/ns_last_pid", pid - 1));
        let process = self.spawn(command);
        assert_eq!(process.pid, pid);
        process
    }

    /// Kills the process, and starts the command with its pid and other start ticks.
    pub fn recycle(&mut self, old: Process, command: &str) -> Process {
        self.kill(old);
        loop {
            let new = self.spawn_at(old.pid, command);
            if new.ticks != old.ticks {
                return new;
            }
            self.kill(new);
        }
    }

    /// Kills a child of the shell and reaps it.
    pub fn kill(&mut self, process: Process) {
        self.sh(&format!("kill -9 {0}; wait {0}; true", process.pid));
    }

    fn process(&mut self, pid: u32) -> Process {
        let shell = self.sh("cat /proc/$$/comm");
        let deadline = Instant::now() + HANG;
        // env(1) is on the way to the program, too.
        while [shell.as_str(), "env"].contains(&self.sh(&format!("cat /proc/{pid}/comm")).as_str()) {
            assert!(Instant::now() < deadline, "{pid} runs no program");
        }
        let stat = self.sh(&format!("cat /proc/{pid}/stat"));
        let (_, after) = stat.rsplit_once(')').unwrap();
        let ticks = after.split_whitespace().nth(19).unwrap().parse().unwrap();
        Process { pid, ticks, host_pid: self.host_pid(pid) }
    }

    /// Our number for a process of the container.
    fn host_pid(&self, pid: u32) -> u32 {
        let namespace = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let ours = namespace(self.init);
        let pids =
            std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        let has_number = |candidate: &u32| {
            let status = std::fs::read_to_string(format!("/proc/{candidate}/status")).unwrap_or_default();
            let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
            ids.split_whitespace().next_back() == Some(pid.to_string().as_str())
        };
        pids.filter(has_number).find(|candidate| namespace(*candidate) == ours).unwrap()
    }

    /// A path below the container's root, for the host.
    pub fn outside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }

    /// Runs the doctor in it, as `docker exec` would: `scan ARGS --json`.
    pub fn scan<S: AsRef<OsStr>>(&self, args: &[S]) -> Answer {
        let scan = ["scan".as_ref()].into_iter().chain(args.iter().map(AsRef::as_ref)).chain(["--json".as_ref()]);
        self.run(&scan.collect::<Vec<&OsStr>>())
    }

    /// The same with any command.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Answer {
        let mut doctor = self.enter(&["--pid", "--mount", "--time"]);
        Answer(doctor.arg(&self.doctor).args(args).output().unwrap())
    }

    /// A command that enters those of these namespaces that are the container's own.
    pub fn enter(&self, namespaces: &[&str]) -> std::process::Command {
        let mut enter = tool("nsenter");
        enter.arg("--target").arg(self.init.to_string());
        if !machine::is_root() {
            enter.args(["--user", "--preserve-credentials"]);
        }
        enter.args(namespaces.iter().filter(|namespace| self.flags.iter().any(|flag| flag == *namespace))).arg("--");
        enter
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let kill = |pid: u32, act: fn(rustix::process::Pid) -> rustix::io::Result<()>| {
            let _ = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).map(act);
        };
        if self.flags.iter().any(|flag| flag == "--pid") {
            // The kernel ends the namespace with its init, and unshare(1) waits for that.
            kill(self.init, |pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        } else {
            kill(self.leader.id(), |pid| rustix::process::kill_process_group(pid, rustix::process::Signal::KILL));
        }
        let _ = self.leader.wait();
    }
}
