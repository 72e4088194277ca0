//! Builds a stuck host in a temporary directory and shows what `openclaw-doctor scan` says of it:
//!
//! ```sh
//! cargo run --release --example stuck-host            # scan, then clean up
//! cargo run --release --example stuck-host -- --hold  # stay until Enter, to try other commands
//! ```
//!
//! The owners are real processes: a gateway that lives, one that has died, and a bystander that
//! carries the pid of two more. `tests/readme.rs` runs this same file and compares the answer
//! with the one in README.md. Nothing outlives a run, Ctrl-C included: the processes end with
//! their standard input, which this program holds, and a shell that waits for the same end
//! removes the directory.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::disallowed_methods)]

use std::error::Error;
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

type Answer<T> = Result<T, Box<dyn Error>>;

/// A host whose gateway hangs at `starting…`; gone when dropped.
pub struct StuckHost {
    directory: PathBuf,
    /// Living owners and bystanders.
    _processes: Vec<Process>,
    /// Declared last, so dropped last: removes the directory.
    _broom: Process,
}

impl StuckHost {
    pub fn build() -> Answer<Self> {
        let directory = tempfile::Builder::new().prefix("openclaw-stuck-host-").tempdir()?.keep();
        let broom = Process::broom(&directory)?;

        // The gateway runs a package of its own, so that the doctor knows which locks block it.
        let package = directory.join("app");
        std::fs::create_dir(&package)?;
        std::fs::write(package.join("package.json"), r#"{ "name": "openclaw", "version": "2026.4.29" }"#)?;
        let gateway = Process::named("openclaw-gateway", &package)?;
        let bystander = Process::named("cat", &package)?;
        let dead = {
            let predecessor = Process::named("openclaw-gateway", &package)?;
            (predecessor.pid(), predecessor.start_ticks()?)
        };

        let host = Self { directory, _processes: Vec::new(), _broom: broom };
        let (mirror, deps) = (".openclaw-runtime-mirror.lock", ".openclaw-runtime-deps.lock");
        let now = "openclaw-2026.4.29-f53b52ad6d21";
        host.lock(now, mirror, gateway.pid(), Some(gateway.start_ticks()?), MINUTE)?;
        // A pid in use again: who carries it now started later than the recorded owner.
        host.lock(now, deps, bystander.pid(), Some(bystander.start_ticks()? / 2), 4 * HOUR)?;
        host.lock("openclaw-2026.4.29-8e01b7c4a9d2", deps, dead.0, Some(dead.1), 20 * MINUTE)?;
        // Before 2026.4.29 records had no start time.
        host.lock("openclaw-2026.4.26-41d0c92be7a5", deps, bystander.pid(), None, 9 * DAY)?;
        Ok(Self { _processes: vec![gateway, bystander], ..host })
    }

    pub fn stage_root(&self) -> PathBuf {
        self.directory.join("plugin-runtime-deps")
    }

    /// The command that an operator would type.
    pub fn scan(&self, doctor: &Path) -> Command {
        let mut command = Command::new(doctor);
        command.arg("scan").arg(self.stage_root());
        // The width where there is no terminal to ask.
        if std::env::var_os("COLUMNS").is_none() {
            command.env("COLUMNS", "100");
        }
        command
    }

    fn lock(&self, version: &str, name: &str, pid: u32, ticks: Option<u64>, age: u64) -> Answer<()> {
        let lock = self.stage_root().join(version).join(name);
        std::fs::create_dir_all(&lock)?;
        let created = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() - u128::from(age) * 1000;
        let ticks = ticks.map(|ticks| format!("  \"starttime\": {ticks},\n")).unwrap_or_default();
        let record = format!("{{\n  \"pid\": {pid},\n{ticks}  \"createdAtMs\": {created}\n}}\n");
        Ok(std::fs::write(lock.join("owner.json"), record)?)
    }
}

/// A child that ends with its standard input: when dropped, or when this program ends.
struct Process(Child);

impl Process {
    /// A `cat` under another name; what an OpenClaw executes is called `node`.
    fn named(name: &str, cwd: &Path) -> Answer<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let cat = std::env::split_paths(&path).map(|place| place.join("cat")).find(|cat| cat.exists());
        let (cat, node, link) = (cat.ok_or("no cat in PATH")?, cwd.join("node"), cwd.join(name));
        if !link.exists() && name == "cat" {
            std::os::unix::fs::symlink(&cat, &link)?;
        } else if !link.exists() {
            std::fs::copy(&cat, &node)?;
            std::os::unix::fs::symlink(&node, &link)?;
        }
        let mut command = Command::new(link);
        command.arg0(name).current_dir(cwd).stdin(Stdio::piped()).stdout(Stdio::null());
        Ok(Self(command.spawn()?))
    }

    /// Removes the directory in the end.
    fn broom(directory: &Path) -> Answer<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' INT TERM HUP; read -r _; rm -rf -- \"$1\"", "sh"]).arg(directory);
        Ok(Self(command.stdin(Stdio::piped()).spawn()?))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Field 22 of /proc/PID/stat.
    fn start_ticks(&self) -> Answer<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        let (_, after) = stat.rsplit_once(')').ok_or("a stat line without a name")?;
        Ok(after.split_whitespace().nth(19).ok_or("a short stat line")?.parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The doctor that lies beside this example, built anew if cargo runs us.
#[allow(dead_code, reason = "tests know their binary")]
fn doctor() -> Answer<PathBuf> {
    let examples = std::env::current_exe()?;
    let doctor = examples.ancestors().nth(2).ok_or("an example in no target directory")?.join("openclaw-doctor");
    if let Some(cargo) = std::env::var_os("CARGO") {
        let release: &[&str] = if cfg!(debug_assertions) { &[] } else { &["--release"] };
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--bin", "openclaw-doctor"]).args(release);
        build.current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
    }
    if !doctor.exists() {
        return Err(format!("no {}: build it with cargo build --release", doctor.display()).into());
    }
    Ok(doctor)
}

#[allow(dead_code, reason = "tests call the rest")]
fn main() -> Answer<ExitCode> {
    let doctor = doctor()?;
    let host = StuckHost::build()?;
    println!("$ openclaw-doctor scan {}", host.stage_root().display());
    let status = host.scan(&doctor).status()?;
    if std::env::args().any(|argument| argument == "--hold") {
        print!("\nThe host stands until you press Enter. ");
        std::io::stdout().flush()?;
        std::io::stdin().lock().read_line(&mut String::new())?;
    }
    // 1 says that stale locks remain, which is what was built.
    Ok(if status.code() == Some(1) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
