//! Whole-process benches: `cargo bench`, or `cargo bench -- one many locks state processes` for some.
//!
//! Each number is of the release binary from start to exit, next to a command that does as much
//! as has to be done, in turns within one run: on a busy machine the ratio holds where the
//! milliseconds do not. Nothing fails here; docs/performance.md holds one run's table.
//!
//! `PROCESSES=10000 cargo bench -- processes` sets how many processes the sweep is tried on.
#![allow(missing_docs, clippy::print_stdout, clippy::disallowed_methods)]

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wait4::Wait4;

type Answer<T> = Result<T, Box<dyn Error>>;

const DOCTOR: &str = env!("CARGO_BIN_EXE_openclaw-doctor");
const LOCK: &str = ".openclaw-runtime-deps.lock";
const MIB: f64 = 1024.0 * 1024.0;
/// `find` and `cat` as an operator would use them to see every owner.
const FIND_AND_CAT: &str = "find \"$1\" -maxdepth 2 -name '*.lock' | sed 's|$|/owner.json|' | xargs cat";
/// The same for the sessions of all agents.
const FIND_SESSIONS: &str = "find \"$1\"/agents/*/sessions -name '*.jsonl.lock' | xargs cat";

fn main() -> Answer<()> {
    let names: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let owners = Owners::start()?;
    println!("{:<58} {:>10} {:>10} {:>7}  budget", "measurement", "doctor", "baseline", "ratio");
    if wanted("one") {
        one_healthy_host(&owners)?;
    }
    if wanted("many") {
        many_version_directories(&owners)?;
    }
    if wanted("locks") {
        cost_per_lock(&owners)?;
    }
    if wanted("state") {
        big_state_dir(&owners)?;
    }
    if wanted("processes") {
        cost_per_process(&owners)?;
    }
    Ok(())
}

/// One stage root, three locks: against a process that does nothing.
fn one_healthy_host(owners: &Owners) -> Answer<()> {
    let root = stage_root(3, owners)?;
    let [doctor, nothing] = in_turns(200, [scan(root.path(), false), Command::new("/bin/true")])?;
    let allowed = nothing.wall * 3 + Duration::from_millis(5);
    line("3 locks, table; baseline: /bin/true", &doctor, &nothing, "≤ 3 × + 5 ms", doctor.wall <= allowed);
    memory("3 locks, peak memory", &doctor, 12.0);
    Ok(())
}

/// 10,000 version directories with a lock each, and node_modules in twenty of them.
fn many_version_directories(owners: &Owners) -> Answer<()> {
    let root = stage_root(10_000, owners)?;
    node_modules(root.path(), 20, 5_000)?;
    let mut find = Command::new("sh");
    find.args(["-c", FIND_AND_CAT, "sh"]).arg(root.path());
    let [doctor, find] = in_turns(15, [scan(root.path(), true), find])?;
    line("10,000 locks, --json; baseline: find + cat", &doctor, &find, "≤ 1 ×", doctor.wall <= find.wall);
    let (ours, theirs) = (milliseconds(doctor.cpu), milliseconds(find.cpu));
    println!("{:<58} {ours:>7.1} ms {theirs:>7.1} ms {:>6.2}×", "  of it processor time", ours / theirs);
    memory("10,000 locks, peak memory", &doctor, 40.0);
    Ok(())
}

/// Whether the ten thousandth lock costs what the hundredth does.
fn cost_per_lock(owners: &Owners) -> Answer<()> {
    let roots = [stage_root(1, owners)?, stage_root(100, owners)?, stage_root(10_000, owners)?];
    let [one, hundred, all] = in_turns(25, roots.each_ref().map(|root| scan(root.path(), true)))?;
    let few = milliseconds(hundred.fastest.saturating_sub(one.fastest)) * 1000.0 / 99.0;
    let many = milliseconds(all.fastest.saturating_sub(one.fastest)) * 1000.0 / 9_999.0;
    flat("cost of a lock among 10,000; baseline: among 100", many, few);
    Ok(())
}

/// A state dir of 50 agents with 2,000 sessions and 200 locks, beside which stands a workspace of
/// 20,000 files: against `find` and `cat` over the agents alone, and by the directories listed.
fn big_state_dir(owners: &Owners) -> Answer<()> {
    let root = tempfile::Builder::new().prefix("bench-").tempdir()?;
    let state = root.path().join(".openclaw");
    for agent in 0..50 {
        let sessions = state.join(format!("agents/agent-{agent}/sessions"));
        std::fs::create_dir_all(&sessions)?;
        std::fs::create_dir_all(state.join(format!("agents/agent-{agent}/agent")))?;
        for session in 0..40 {
            let transcript = sessions.join(format!("{agent:08x}-{session:04x}.jsonl"));
            std::fs::write(&transcript, "")?;
            if session % 10 == 0 {
                let record = owners.record(agent * 4 + session / 10)?.replace("createdAtMs", "madeAt");
                std::fs::write(transcript.with_extension("jsonl.lock"), record)?;
            }
        }
    }
    for file in 0..20_000 {
        let place = if file < 5_000 { "workspace/node_modules" } else { "workspace/src" };
        let module = state.join(place).join(format!("module-{}", file / 50));
        std::fs::create_dir_all(&module)?;
        std::fs::write(module.join(format!("{file}.ts")), "")?;
    }
    std::fs::create_dir_all(state.join("workspace/memory/.dreams"))?;
    let mut find = Command::new("sh");
    find.args(["-c", FIND_SESSIONS, "sh"]).arg(&state);
    let discovery = || {
        let mut doctor = Command::new(DOCTOR);
        doctor.args(["scan", "--json"]).env("HOME", root.path()).stdin(Stdio::null());
        doctor
    };
    let [doctor, find] = in_turns(40, [discovery(), find])?;
    line("200 of 2,000 sessions locked; baseline: find + cat", &doctor, &find, "≤ 2 ×", doctor.wall <= find.wall * 2);
    let (ours, theirs) = (milliseconds(doctor.cpu), milliseconds(find.cpu));
    println!("{:<58} {ours:>7.1} ms {theirs:>7.1} ms {:>6.2}×", "  of it processor time", ours / theirs);
    // The state dir, its agents, each agent and its two, the workspace down to its memory.
    let needed = 2 + 50 * 3 + 3;
    match listed(&state, &discovery())? {
        Some(listed) => println!(
            "{:<58} {listed:>10} {needed:>10} {:>7}  as many: {}",
            "  directories listed",
            "",
            said(listed == needed)
        ),
        None => println!("{:<58} strace is not there, or may not trace", "  directories listed"),
    }
    Ok(())
}

/// How many directories of a tree a run lists; `None` without strace(1).
fn listed(root: &Path, run: &Command) -> Answer<Option<usize>> {
    let log = tempfile::NamedTempFile::new()?;
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-y", "-e", "trace=getdents64", "-o"]).arg(log.path());
    strace
        .arg(run.get_program())
        .args(run.get_args())
        .envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if !strace.status().is_ok_and(|status| matches!(status.code(), Some(0 | 1))) {
        return Ok(None);
    }
    let trace = std::fs::read_to_string(log.path())?;
    let root = format!("<{}", root.display());
    // A directory is listed until a call gives nothing more.
    Ok(Some(trace.lines().filter(|line| line.contains(&root) && line.ends_with("= 0")).count()))
}

/// Whether the last process of many costs what the first ones do.
fn cost_per_process(owners: &Owners) -> Answer<()> {
    let most: u32 =
        std::env::var_os("PROCESSES").map_or(Some(2_000), |value| value.to_str()?.parse().ok()).unwrap_or(0);
    let root = stage_root(3, owners)?;
    let measure = |processes: u32| -> Answer<f64> {
        let _crowd = Crowd::start(processes)?;
        let [taken] = in_turns(25, [scan(root.path(), true)])?;
        Ok(milliseconds(taken.fastest) * 1000.0)
    };
    let quarter = most / 4;
    let (none, few, many) = (measure(0)?, measure(quarter)?, measure(most)?);
    let name = format!("cost of a process among {most}; baseline: among {quarter}");
    flat(&name, (many - none) / f64::from(most), (few - none) / f64::from(quarter));
    Ok(())
}

fn line(name: &str, ours: &Taken, theirs: &Taken, budget: &str, holds: bool) {
    let (ours, theirs) = (milliseconds(ours.wall), milliseconds(theirs.wall));
    let ratio = ours / theirs;
    println!("{name:<58} {ours:>7.1} ms {theirs:>7.1} ms {ratio:>6.2}×  {budget}: {}", said(holds));
}

fn memory(name: &str, ours: &Taken, most_mib: f64) {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let mib = ours.peak as f64 / MIB;
    println!("{name:<58} {mib:>6.1} MiB {:>10} {:>7}  ≤ {most_mib} MiB: {}", "", "", said(mib <= most_mib));
}

/// Flat: not half as much again. Less is no fault.
fn flat(name: &str, many_us: f64, few_us: f64) {
    let ratio = many_us / few_us;
    println!("{name:<58} {many_us:>7.1} µs {few_us:>7.1} µs {ratio:>6.2}×  flat: {}", said(ratio < 1.5));
}

fn said(holds: bool) -> &'static str {
    if holds { "holds" } else { "BROKEN" }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// What a run took.
#[derive(Clone, Copy)]
struct Taken {
    wall: Duration,
    /// The fastest run: where two runs are subtracted, others' work must not be left over.
    fastest: Duration,
    /// User and system time, of all its processes.
    cpu: Duration,
    /// Peak memory in bytes. The kernel counts what this program held when it forked, too:
    /// a few MiB, below every budget.
    peak: u64,
}

/// Runs the commands in turns, after one turn for the caches; the median of each.
fn in_turns<const N: usize>(turns: usize, mut commands: [Command; N]) -> Answer<[Taken; N]> {
    let mut taken: [Vec<Taken>; N] = [const { Vec::new() }; N];
    for turn in 0..=turns {
        for (command, taken) in commands.iter_mut().zip(&mut taken) {
            command.stdin(Stdio::null()).stdout(Stdio::null());
            let began = Instant::now();
            let used = command.spawn()?.wait4()?;
            let wall = began.elapsed();
            // 1 says that stale locks were found.
            if !matches!(used.status.code(), Some(0 | 1)) {
                return Err(format!("{command:?}: {}", used.status).into());
            }
            let cpu = used.rusage.utime + used.rusage.stime;
            taken.extend((turn > 0).then_some(Taken { wall, fastest: wall, cpu, peak: used.rusage.maxrss }));
        }
    }
    Ok(taken.map(|mut runs| {
        let mut median = |key: fn(&Taken) -> Duration| {
            runs.sort_by_key(key);
            runs.get(runs.len() / 2).map(key).unwrap_or_default()
        };
        let (wall, cpu) = (median(|taken| taken.wall), median(|taken| taken.cpu));
        let fastest = runs.iter().map(|taken| taken.wall).min().unwrap_or_default();
        Taken { wall, fastest, cpu, peak: runs.iter().map(|taken| taken.peak).max().unwrap_or_default() }
    }))
}

fn scan(root: &Path, json: bool) -> Command {
    let mut command = Command::new(DOCTOR);
    command.arg("scan").arg(root).args(json.then_some("--json"));
    command
}

/// A stage root with this many version directories, a lock in each, of all four classes in turn.
fn stage_root(locks: usize, owners: &Owners) -> Answer<tempfile::TempDir> {
    let root = tempfile::Builder::new().prefix("bench-").tempdir()?;
    for index in 0..locks {
        let lock = root.path().join(format!("openclaw-2026.4.29-{index:012x}")).join(LOCK);
        std::fs::create_dir_all(&lock)?;
        std::fs::write(lock.join("owner.json"), owners.record(index)?)?;
    }
    Ok(root)
}

fn node_modules(root: &Path, directories: usize, files: usize) -> Answer<()> {
    for index in 0..directories {
        let modules = root.join(format!("openclaw-2026.4.29-{:012x}", index * 500)).join("node_modules");
        for file in 0..files {
            let package: PathBuf = modules.join(format!("package-{}", file / 50));
            std::fs::create_dir_all(&package)?;
            std::fs::write(package.join(format!("{file}.js")), "")?;
        }
    }
    Ok(())
}

/// Processes that locks can name.
struct Owners {
    living: Crowd,
    dead: u32,
}

impl Owners {
    fn start() -> Answer<Self> {
        let mut gone = Command::new("true").spawn()?;
        let dead = gone.id();
        gone.wait()?;
        Ok(Self { living: Crowd::start(1)?, dead })
    }

    fn record(&self, index: usize) -> Answer<String> {
        let pid = self.living.0.id();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, after) = stat.rsplit_once(')').ok_or("a stat line without a name")?;
        let ticks: u64 = after.split_whitespace().nth(19).ok_or("a short stat line")?.parse()?;
        let (pid, ticks) = match index % 4 {
            0 => (self.dead, Some(ticks)),
            1 => (pid, Some(ticks)),
            2 => (pid, Some(ticks / 2)),
            _ => (pid, None),
        };
        let ticks = ticks.map(|ticks| format!("  \"starttime\": {ticks},\n")).unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        Ok(format!("{{\n  \"pid\": {pid},\n{ticks}  \"createdAtMs\": {now}\n}}\n"))
    }
}

/// Processes that wait for the end of their standard input, which comes when this is dropped.
struct Crowd(Child);

impl Crowd {
    fn start(processes: u32) -> Answer<Self> {
        let script = "i=0; while [ $i -lt $1 ]; do (read -r _ <&3) & i=$((i+1)); done 3<&0; echo; read -r _; wait";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", &processes.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let ready = child.stdout.take().ok_or("no pipe")?;
        BufReader::new(ready).read_line(&mut String::new())?;
        Ok(Self(child))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
