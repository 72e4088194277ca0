//! The table of DESIGN section 4, cell by cell, on real processes through the built binary.
//!
//! `undetermined` has no row of its own: only a proc directory that is no procfs gives it, and
//! with such a one `repair` refuses to run, which is checked here too.
//!
//! Every family that can be removed has its locks here, in the form in which its releases write
//! them. The two of the stage directory go through all of it: as root and as a user, on the host
//! and in containers. The others go through every row and column on the host, as the test's user.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::disallowed_methods)]

mod support;
#[path = "support/world.rs"]
mod world;
use openclaw_doctor::family::{FAMILIES, Removal, by_name};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use support::machine::{VOUCHED, moved_to_own_machine};
use support::{Answer, DEPS, Living, MIRROR, Stage, dead_pid, doctor, now_ms, record, runtime, wait_until};
use world::{Container, Doctor, Mounted, ORDINARY, age, give, is_root, living_as, open_dir, plant, skip};

const VERSION: &str = "openclaw-2026.4.29-f53b52ad6d21";

/// What a lock is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A directory with a record in it.
    Directory,
    /// A directory with nothing in it.
    Bare,
    /// A file that is its own record.
    File,
}
use Form::{Bare, Directory, File};

/// Where a family's locks lie and how its releases write them.
struct Kind {
    family: &'static str,
    /// Below the directory that is repaired.
    below: &'static str,
    form: Form,
    /// Its record, of this owner.
    record: fn(u32, Option<u64>) -> String,
    /// Whether its releases record a start time.
    has_ticks: bool,
    /// A record that no release writes.
    hostile: &'static str,
}

/// The stage directory's: they go through the whole of the matrix.
static STAGE: [Kind; 2] = [
    Kind::of("runtime-deps", "openclaw-2026.4.29-f53b52ad6d21/.openclaw-runtime-deps.lock", Directory, record),
    Kind::of("runtime-mirror", "openclaw-2026.4.29-f53b52ad6d21/.openclaw-runtime-mirror.lock", Directory, record),
];

/// All others that can be removed.
static OTHERS: [Kind; 13] = [
    Kind::of(
        "session-write",
        "agents/main/sessions/7c9e6679-7425-40de-944b-e07fc1f90ae7.jsonl.lock",
        File,
        |pid, ticks| json(&[pid_of(pid), created(), "\"maxHoldMs\": 300000".to_owned()], "starttime", ticks, "\n"),
    ),
    Kind::of("session-store", "agents/main/sessions/sessions.json.lock", File, |pid, ticks| {
        json(&[pid_of(pid), created()], "starttime", ticks, "")
    }),
    Kind::of("sandbox-registry", "sandbox/containers.json.lock", File, |pid, ticks| {
        json(&[pid_of(pid), created()], "starttime", ticks, "")
    }),
    Kind::of("gateway", "tmp/openclaw-0/gateway.5b681173.lock", File, |pid, ticks| {
        json(&[pid_of(pid), created(), "\"port\": 18789".to_owned()], "startTime", ticks, &trailer())
    }),
    Kind::of("gateway-state", "tmp/openclaw-0/gateway.state.lock", File, |pid, ticks| {
        json(&[pid_of(pid), created(), "\"role\": \"agent-embedded\"".to_owned()], "startTime", ticks, &trailer())
    }),
    Kind::of("file-lock", "agents/main/agent/auth-profiles.json.lock", File, file_lock),
    Kind::of(
        "fail-closed-file-lock",
        "locks/memory-promotion-5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e.lock",
        File,
        file_lock,
    ),
    Kind::of("reclaim-guard", "agents/main/agent/auth-profiles.json.lock.reclaim", File, file_lock),
    Kind::of("reclaim-guard", "credentials/telegram-pairing.json.lock.reclaim", Bare, file_lock),
    Kind::of("proper-lockfile", "agents/main/agent/auth.json.lock", Bare, file_lock),
    Kind::of("exec-approvals", "exec-approvals.json.lock", File, |pid, ticks| {
        json(&[pid_of(pid), created(), "\"nonce\": \"48fdbea2\"".to_owned()], "starttime", ticks, "\n")
    }),
    Kind {
        has_ticks: false,
        hostile: "0:1777458804809\n",
        ..Kind::of("short-term-promotion", "workspace/memory/.dreams/short-term-promotion.lock", File, |pid, _| {
            format!("{pid}:{}\n", now_ms())
        })
    },
    Kind {
        has_ticks: false,
        ..Kind::of("usage-cost", "agents/main/sessions/.usage-cost-cache.json.lock", File, |pid, _| {
            let now = now_ms();
            format!("{{\"pid\":{pid},\"startedAt\":{now},\"token\":\"{pid}:{now}:63346\"}}\n")
        })
    },
];

/// In the configuration's directory.
static CONFIG: [Kind; 1] = [Kind::of("config-clobber", "openclaw.json.clobber.lock", Bare, file_lock)];

fn pid_of(pid: u32) -> String {
    format!("\"pid\": {pid}")
}

fn created() -> String {
    format!("\"createdAt\": \"{}\"", humantime::format_rfc3339_millis(SystemTime::now()))
}

fn json(fields: &[String], ticks_key: &str, ticks: Option<u64>, end: &str) -> String {
    let ticks = ticks.map(|ticks| format!("\"{ticks_key}\": {ticks}"));
    let fields: Vec<String> = fields.iter().cloned().chain(ticks).collect();
    format!("{{\n  {}\n}}{end}", fields.join(",\n  "))
}

/// The token that fs-safe writes in whitespace after a record.
fn trailer() -> String {
    format!("\n{}{}\n", "\t".repeat(8), " \t".repeat(60))
}

fn file_lock(pid: u32, ticks: Option<u64>) -> String {
    json(&[pid_of(pid), created()], "starttime", ticks, &trailer())
}

impl Kind {
    const fn of(family: &'static str, below: &'static str, form: Form, record: fn(u32, Option<u64>) -> String) -> Self {
        Self { family, below, form, record, has_ticks: true, hostile: "{\"pid\":0}" }
    }

    /// Whether a lock of this kind can be such a case.
    fn can_be(&self, case: &Case) -> bool {
        match (self.form, case.says) {
            (Bare, says) => says == Says::Nothing,
            (File, Says::Nothing) => false,
            (_, Says::Owner(_, Some(_))) => self.has_ticks,
            _ => true,
        }
    }

    fn text(&self, says: Says) -> Option<String> {
        match says {
            Says::Owner(pid, ticks) => Some((self.record)(pid, ticks)),
            Says::Empty => Some(String::new()),
            Says::Nothing => None,
            Says::Hostile => Some(self.hostile.to_owned()),
        }
    }

    /// Makes the lock of such a case; hands back its path and its text.
    fn plant(&self, base: &Path, case: &Case) -> (PathBuf, Option<String>) {
        let (lock, text) = (base.join(self.below), self.text(case.says));
        match (self.form, &text) {
            (File, text) => {
                std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
                std::fs::write(&lock, text.as_ref().unwrap()).unwrap();
            }
            (Bare | Directory, text) => {
                std::fs::create_dir_all(&lock).unwrap();
                if let Some(text) = text {
                    std::fs::write(lock.join("owner.json"), text).unwrap();
                }
            }
        }
        if case.old {
            age(&lock);
        }
        (lock, text)
    }

    fn removal(&self) -> Removal {
        by_name(self.family).unwrap().removal
    }

    fn left(&self, lock: &Path) -> Option<String> {
        let record = if self.form == File { lock.to_owned() } else { lock.join("owner.json") };
        record.exists().then(|| std::fs::read_to_string(&record).unwrap())
    }

    /// What stands first on the way to it.
    fn top(&self) -> &'static Path {
        Path::new(self.below.split('/').next().unwrap())
    }
}

fn others() -> impl Iterator<Item = &'static Kind> {
    OTHERS.iter().chain(&CONFIG)
}

#[test]
fn every_family_that_can_be_removed_is_in_the_matrix_and_no_other() {
    let names = |removable: bool| {
        let fits = FAMILIES.iter().filter(move |family| (family.removal != Removal::Never) == removable);
        fits.map(|family| family.name).collect::<BTreeSet<_>>()
    };
    let here: BTreeSet<&str> = STAGE.iter().chain(others()).map(|kind| kind.family).collect();
    assert_eq!(here, names(true));
    assert!(here.is_disjoint(&names(false)));
}

/// Another doctor may be taken for an OpenClaw while it ends: one test at a time on this machine.
static WHO_RUNS: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    WHO_RUNS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What stands of a lock's evidence: a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Proof,
    LikelyStale,
    OutOfSight,
    LikelyHeld,
    Active,
}

/// How the operator runs it: a column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    NoTerminal,
    TerminalYes,
    TerminalDefault,
    Yes,
    Named,
}

const COLUMNS: [Column; 5] =
    [Column::NoTerminal, Column::TerminalYes, Column::TerminalDefault, Column::Yes, Column::Named];

/// The table: outcome, consent, exit code. `recovers`: an OpenClaw may take up what was interrupted.
fn cell(row: Row, column: Column, removal: Removal, recovers: bool) -> (&'static str, Option<&'static str>, i32) {
    const HELD_BACK: (&str, Option<&str>, i32) = ("held-back", None, 1);
    match (row, column) {
        (Row::Active, _) => ("held-back", None, 0),
        (Row::Proof, Column::NoTerminal) if recovers => HELD_BACK,
        (Row::Proof, Column::TerminalYes) if recovers => ("removed", Some("answer"), 0),
        (Row::Proof, Column::TerminalDefault) if recovers => ("declined", None, 1),
        (Row::Proof, Column::Yes) if recovers => ("removed", Some("yes"), 0),
        (Row::Proof, Column::Named) if recovers => ("removed", Some("named"), 0),
        (Row::Proof, _) => ("removed", Some("proof"), 0),
        _ if removal == Removal::OnProof => HELD_BACK,
        (_, Column::Named) => ("removed", Some("named"), 0),
        (_, Column::NoTerminal) | (Row::LikelyHeld, _) => HELD_BACK,
        (Row::LikelyStale, Column::Yes) => ("removed", Some("yes"), 0),
        (Row::OutOfSight, Column::Yes) => HELD_BACK,
        (Row::LikelyStale | Row::OutOfSight, Column::TerminalYes) => ("removed", Some("answer"), 0),
        (Row::LikelyStale | Row::OutOfSight, Column::TerminalDefault) => ("declined", None, 1),
    }
}

/// The cell of an ordinary family.
fn plain_cell(row: Row, column: Column) -> (&'static str, Option<&'static str>, i32) {
    cell(row, column, Removal::OnWarrant, false)
}

/// What a lock says of its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// This pid, with these start ticks.
    Owner(u32, Option<u64>),
    /// A record of no bytes.
    Empty,
    /// There is no record.
    Nothing,
    /// A record that no release writes.
    Hostile,
}

/// A lock that is a real case of one row.
struct Case {
    row: Row,
    what: &'static str,
    says: Says,
    old: bool,
}

impl Case {
    fn of(row: Row, what: &'static str, says: Says) -> Self {
        Self { row, what, says, old: false }
    }

    fn old(row: Row, what: &'static str, says: Says) -> Self {
        Self { row, what, says, old: true }
    }
}

/// One user in one world, and the directory where the locks are made.
struct Seat<'a> {
    doctor: &'a Doctor,
    owner: Option<u32>,
    base: &'a Path,
    /// The base as the doctor names it.
    seen: &'a Path,
    flags: &'a [&'a str],
}

impl Seat<'_> {
    fn check(&self, case: &Case) {
        for kind in &STAGE {
            self.check_kind(case, kind, false);
        }
    }

    fn check_kind(&self, case: &Case, kind: &Kind, recovers: bool) {
        for column in COLUMNS {
            self.check_cell(case, kind, column, recovers);
        }
    }

    fn check_cell(&self, case: &Case, kind: &Kind, column: Column, recovers: bool) {
        let (lock, text) = kind.plant(self.base, case);
        if let Some(uid) = self.owner {
            give(&self.base.join(kind.top()), uid);
        }
        let shown = self.seen.join(kind.below);
        let name = format!("{:?} ({}), {column:?}, {} {:?}", case.row, case.what, kind.family, kind.form);
        let answer = self.run(column, &shown);
        let judged = answer.lock();
        let (outcome, consent, code) = cell(case.row, column, kind.removal(), recovers);
        assert_eq!(judged["family"], kind.family, "{name}\n{}", answer.out());
        assert_eq!(judged["outcome"], outcome, "{name}\n{}", answer.out());
        assert_eq!(judged["consent"].as_str(), consent, "{name}\n{}", answer.out());
        assert_eq!(answer.code(), code, "{name}\n{}", answer.out());
        let row = match (judged["classification"].as_str(), judged["proof"].as_bool(), judged["leaning"].as_str()) {
            (Some("active"), ..) => Row::Active,
            (_, Some(true), _) => Row::Proof,
            (.., Some("likely-stale" | "undetermined")) => Row::LikelyStale,
            (.., Some("out-of-sight")) => Row::OutOfSight,
            _ => Row::LikelyHeld,
        };
        assert_eq!(row, case.row, "{name}\n{}", answer.out());
        let terminal = matches!(column, Column::TerminalYes | Column::TerminalDefault);
        let askable = match case.row {
            Row::LikelyStale | Row::OutOfSight => kind.removal() != Removal::OnProof,
            Row::Proof => recovers,
            Row::LikelyHeld | Row::Active => false,
        };
        assert_eq!(answer.err().contains("[y/N/e]"), terminal && askable, "{name}\n{}", answer.err());
        check_disk(&lock, kind, text.as_deref(), outcome == "removed", &name);
        clear(&self.base.join(kind.top()));
    }

    fn run(&self, column: Column, lock: &Path) -> Answer {
        let mut args: Vec<&std::ffi::OsStr> = vec!["repair".as_ref(), "--json".as_ref(), self.seen.as_os_str()];
        args.extend(self.flags.iter().map(|flag| -> &std::ffi::OsStr { flag.as_ref() }));
        match column {
            Column::NoTerminal => self.doctor.run(args),
            Column::Yes => self.doctor.run(args.into_iter().chain(["--yes".as_ref()])),
            Column::Named => {
                let id = self.id(&args[2..], lock);
                let named = ["--lock".as_ref(), std::ffi::OsStr::new(&id), "--yes".as_ref()];
                self.doctor.run(args.into_iter().chain(named))
            }
            Column::TerminalYes | Column::TerminalDefault => {
                let mut terminal = self.doctor.in_terminal(args);
                // Typed ahead: where no question comes, it answers nothing.
                terminal.types(if column == Column::TerminalYes { "y\n" } else { "\n" });
                terminal.end()
            }
        }
    }

    /// The id by which a scan names the lock.
    fn id(&self, scope: &[&std::ffi::OsStr], lock: &Path) -> String {
        let scan = self.doctor.run(["scan".as_ref(), "--json".as_ref()].into_iter().chain(scope.iter().copied()));
        scan.lock_at(lock)["id"].as_str().unwrap().to_owned()
    }
}

/// The lock is gone and nothing is in its place, or it is as it was.
fn check_disk(lock: &Path, kind: &Kind, text: Option<&str>, gone: bool, name: &str) {
    let parent = lock.parent().unwrap();
    let beside: Vec<_> = std::fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    // What a FUSE server keeps of a removed file until its last close.
    let beside: Vec<_> = beside.iter().filter(|name| !name.to_string_lossy().starts_with(".fuse_hidden")).collect();
    if gone {
        assert_eq!(beside, Vec::<&std::ffi::OsString>::new(), "{name}: something is left");
        return;
    }
    assert_eq!(beside, [lock.file_name().unwrap()], "{name}: removed, or something is beside it");
    assert_eq!(lock.is_dir(), kind.form != File, "{name}: it has changed its form");
    assert_eq!(kind.left(lock).as_deref(), text, "{name}: its record is another");
}

/// Removes a tree. A FUSE server learns of the last close of a file after the one who closed it
/// has gone on, and keeps a removed file under a hidden name until then.
fn clear(tree: &Path) {
    if !tree.is_dir() {
        let _ = std::fs::remove_file(tree);
        return;
    }
    let began = std::time::Instant::now();
    while let Err(error) = std::fs::remove_dir_all(tree) {
        let busy = error.kind() == std::io::ErrorKind::DirectoryNotEmpty;
        assert!(busy && began.elapsed() < support::HANG, "{}: {error}", tree.display());
    }
}

/// The users that can be had here: ourselves, and as root an ordinary one as well.
fn users() -> Vec<Option<u32>> {
    if is_root() { vec![None, Some(ORDINARY)] } else { vec![None] }
}

fn doctor_of(user: Option<u32>) -> Doctor {
    user.map_or_else(Doctor::own, Doctor::of_user)
}

fn sees_the_host() -> bool {
    let scan = doctor(["scan".as_ref(), "--json".as_ref(), Stage::new().path().as_os_str()]).json();
    scan["host"]["vantage"] == "host"
}

fn host_cases(sleeper: &Living, node: &Living) -> Vec<Case> {
    vec![
        Case::of(Row::Proof, "dead", Says::Owner(dead_pid(), Some(7))),
        Case::of(Row::Proof, "dead, without start time", Says::Owner(dead_pid(), None)),
        Case::of(Row::Proof, "recycled", Says::Owner(sleeper.pid(), Some(sleeper.ticks() - 7))),
        Case::of(Row::LikelyStale, "a sleep has its pid", Says::Owner(sleeper.pid(), None)),
        Case::old(Row::LikelyStale, "old, never written", Says::Nothing),
        Case::old(Row::LikelyStale, "old, empty", Says::Empty),
        Case::of(Row::LikelyHeld, "a runtime has its pid", Says::Owner(node.pid(), None)),
        Case::of(Row::LikelyHeld, "fresh, empty", Says::Empty),
        Case::of(Row::LikelyHeld, "fresh, not yet written", Says::Nothing),
        Case::of(Row::LikelyHeld, "hostile", Says::Hostile),
        Case::of(Row::Active, "alive", Says::Owner(sleeper.pid(), Some(sleeper.ticks()))),
    ]
}

#[test]
fn no_cell_of_the_table_removes_more_or_less_on_the_host() {
    let _turn = turn();
    if !sees_the_host() {
        return skip("not in the initial PID namespace");
    }
    if !is_root() {
        skip("not root: the cells of root are not checked");
    }
    let (sleeper, node) = (Living::sleep(), living_as("node"));
    for user in users() {
        let (doctor, stage) = (doctor_of(user), open_dir());
        let base = stage.path();
        let seat = Seat { doctor: &doctor, owner: user, base, seen: base, flags: &[] };
        for case in host_cases(&sleeper, &node) {
            seat.check(&case);
        }
    }
}

/// Whether no OpenClaw is known to run: who looks at PATHs does not ask what is installed.
fn none_is_known() -> bool {
    let stage = Stage::new();
    std::fs::write(stage.path().join("sessions.json.lock"), "").unwrap();
    let report = doctor(["scan".as_ref(), "--json".as_ref(), stage.path().as_os_str()]);
    report.json()["host"]["openclaw_versions"].as_array().unwrap().is_empty()
}

#[test]
fn no_cell_removes_more_or_less_of_any_other_family() {
    if moved_to_own_machine() {
        return;
    }
    let (sleeper, node, own, stage) = (Living::sleep(), living_as("node"), Doctor::own(), open_dir());
    let seat = Seat { doctor: &own, owner: None, base: stage.path(), seen: stage.path(), flags: &[VOUCHED] };
    let (backing, at) = (open_dir(), open_dir());
    let mount = Mounted::fuse(backing.path(), at.path());
    for kind in others() {
        let mut rows = BTreeSet::new();
        for case in host_cases(&sleeper, &node).iter().filter(|case| kind.can_be(case)) {
            rows.insert(format!("{:?}", case.row));
            seat.check_kind(case, kind, kind.family == "session-write");
        }
        let Some(mount) = &mount else { continue };
        let seat = Seat { base: &mount.0, seen: &mount.0, ..seat };
        let elsewhere = match kind.form {
            Bare => Case::old(Row::OutOfSight, "old, another machine's", Says::Nothing),
            File | Directory => Case::of(Row::OutOfSight, "dead here", Says::Owner(dead_pid(), None)),
        };
        seat.check_kind(&elsewhere, kind, kind.family == "session-write");
        let all = if kind.form == Bare { 2 } else { 3 + usize::from(kind.has_ticks) };
        assert_eq!(rows.len(), all, "{}: {rows:?}", kind.family);
    }
    if mount.is_none() {
        skip("no FUSE mount can be had (bindfs)");
    }
}

/// A process that is called and looks like an OpenClaw of this release, and uses this state dir.
fn running(release: &str, state_dir: &Path, package: &Path) -> Living {
    std::fs::create_dir_all(package).unwrap();
    let described = format!("{{\"name\": \"openclaw\", \"version\": \"{release}\"}}");
    std::fs::write(package.join("package.json"), described).unwrap();
    let mut command = Command::new(runtime(package, "/bin/bash"));
    command.arg0("node").args(["-c", "echo; read _", "node"]).arg(package.join("openclaw.mjs"));
    command.env_clear().env("OPENCLAW_STATE_DIR", state_dir);
    let mut living = Living(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    // It says a word once it is what it is called.
    std::io::Read::read_exact(living.0.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    living
}

fn kind(family: &str) -> &'static Kind {
    others().find(|kind| kind.family == family).unwrap()
}

#[test]
fn a_session_lock_is_left_where_its_turn_will_be_taken_up_and_only_there() {
    if moved_to_own_machine() {
        return;
    }
    let (own, stage, package) = (Doctor::own(), open_dir(), open_dir());
    let seat = Seat { doctor: &own, owner: None, base: stage.path(), seen: stage.path(), flags: &[VOUCHED] };
    let dead = || Case::of(Row::Proof, "dead", Says::Owner(dead_pid(), Some(7)));
    let known = |release: &str| running(release, stage.path(), &package.path().join(release));
    for (releases, recovers) in [
        (&["2026.4.25"][..], true),
        (&["2026.7.2-beta.7"], true),
        (&["2026.7.1", "2026.9.6"], true),
        (&["2026.8.1"], false),
        (&["2026.8.1", "2026.9.6"], false),
        (&["2026.4.24"], false),
    ] {
        let _known: Vec<Living> = releases.iter().map(|release| known(release)).collect();
        seat.check_kind(&dead(), kind("session-write"), recovers);
    }
}

#[test]
fn a_lock_that_a_running_openclaw_clears_is_left_to_it_but_by_name() {
    if moved_to_own_machine() {
        return;
    }
    let (own, stage, package) = (Doctor::own(), open_dir(), open_dir());
    let seat = Seat { doctor: &own, owner: None, base: stage.path(), seen: stage.path(), flags: &[VOUCHED] };
    let user = running("2026.9.6", stage.path(), package.path());
    for (family, says, old, heals) in [
        ("file-lock", Says::Owner(dead_pid(), Some(7)), false, true),
        ("config-clobber", Says::Nothing, true, true),
        ("usage-cost", Says::Owner(dead_pid(), None), false, false),
        // Nobody clears these: a proof is a proof.
        ("gateway", Says::Owner(dead_pid(), Some(7)), false, false),
        ("gateway-state", Says::Owner(dead_pid(), Some(7)), false, false),
        ("exec-approvals", Says::Owner(dead_pid(), Some(7)), false, false),
    ] {
        let kind = kind(family);
        for column in COLUMNS {
            let (lock, text) = kind.plant(stage.path(), &Case { row: Row::Proof, what: "", says, old });
            let answer = seat.run(column, &lock);
            let (judged, name) = (answer.lock(), format!("{family}, {column:?}\n{}", answer.out()));
            let expected = match (heals, column) {
                (false, _) => ("removed", Some("proof"), 0),
                (true, Column::Named) => ("removed", Some("named"), 0),
                (true, _) => ("held-back", None, 1),
            };
            let found = (judged["outcome"].as_str().unwrap(), judged["consent"].as_str(), answer.code());
            assert_eq!(found, expected, "{name}");
            let left = judged["left_to_openclaw"]["reason"].as_str();
            assert_eq!(left, heals.then_some("self-healing"), "{name}");
            let why = judged["left_to_openclaw"]["why"].as_str().unwrap_or_default();
            assert_eq!(why.contains(&format!("(pid {})", user.pid())), heals, "{name}");
            check_disk(&lock, kind, text.as_deref(), expected.0 == "removed", &name);
            clear(&stage.path().join(kind.top()));
        }
    }
    drop(user);
    // It runs no more: nothing holds the lock back.
    seat.check_kind(&Case::of(Row::Proof, "dead", Says::Owner(dead_pid(), Some(7))), kind("file-lock"), false);
}

#[test]
fn what_another_machine_may_hold_is_only_removed_on_somebodys_word() {
    let _turn = turn();
    let (backing, at) = (open_dir(), open_dir());
    let Some(mount) = Mounted::fuse(backing.path(), at.path()) else {
        return skip("no FUSE mount can be had (bindfs)");
    };
    for user in users() {
        let doctor = doctor_of(user);
        let seat = Seat { doctor: &doctor, owner: user, base: &mount.0, seen: &mount.0, flags: &[] };
        seat.check(&Case::of(Row::OutOfSight, "dead here", Says::Owner(dead_pid(), Some(7))));
        // The operator's word for this container says nothing of other machines.
        let seat = Seat { flags: &["--assume-single-writer"], ..seat };
        seat.check(&Case::of(Row::OutOfSight, "dead here", Says::Owner(dead_pid(), Some(7))));
    }
}

#[test]
fn what_a_living_child_of_the_dead_owner_works_in_is_left() {
    let _turn = turn();
    if !sees_the_host() {
        return skip("not in the initial PID namespace");
    }
    let stage = open_dir();
    let version = stage.path().join("openclaw-2026.4.29-bbbbbbbbbbbb");
    std::fs::create_dir(&version).unwrap();
    let mut install = std::process::Command::new("sleep");
    let _install = Living(install.arg("1000").current_dir(&version).spawn().unwrap());
    for family in [DEPS, MIRROR] {
        for column in COLUMNS {
            let lock = plant(&version, "", family, Some(record(dead_pid(), Some(7)).as_bytes()));
            let own = Doctor::own();
            let seat = Seat { doctor: &own, owner: None, base: stage.path(), seen: stage.path(), flags: &[] };
            let answer = seat.run(column, &lock);
            let (outcome, consent, code) = plain_cell(Row::LikelyHeld, column);
            let judged = answer.lock();
            let found = (judged["outcome"].as_str(), judged["consent"].as_str(), answer.code());
            assert_eq!(found, (Some(outcome), consent, code), "{column:?}\n{}", answer.out());
            assert_eq!(judged["reason"], "root-in-use");
            assert_eq!(lock.exists(), outcome != "removed");
            let _ = std::fs::remove_dir_all(&lock);
        }
    }
}

/// A volume that a container shares with the host: not its own layer, whatever lies below.
fn volume() -> (tempfile::TempDir, Mounted) {
    let dir = open_dir();
    let mount = Mounted::tmpfs(dir.path());
    (dir, mount)
}

#[test]
fn no_cell_of_the_table_removes_more_or_less_in_a_container() {
    if !is_root() {
        return skip("no PID namespace without root");
    }
    let (_dir, volume) = volume();
    let Some(inside) = Container::shared() else { return skip("no PID namespace can be had") };
    let cases = [
        Case::of(Row::OutOfSight, "dead here", Says::Owner(inside.dead, Some(7))),
        Case::of(Row::OutOfSight, "recycled here", Says::Owner(inside.sleeper, Some(inside.sleeper_ticks - 7))),
        Case::of(Row::OutOfSight, "a sleep has its pid", Says::Owner(inside.sleeper, None)),
        Case::of(Row::OutOfSight, "a restarted container, or a sidecar", Says::Owner(inside.gateway, Some(7))),
        Case::old(Row::LikelyStale, "old, never written", Says::Nothing),
        Case::of(Row::LikelyHeld, "a runtime has its pid", Says::Owner(inside.node, None)),
        Case::of(Row::LikelyHeld, "hostile", Says::Hostile),
        Case::of(Row::Active, "alive", Says::Owner(inside.sleeper, Some(inside.sleeper_ticks))),
    ];
    for user in [None, Some(ORDINARY)] {
        let doctor = Doctor::in_container(&inside, user.unwrap_or(0));
        let seat = Seat { doctor: &doctor, owner: user, base: &volume.0, seen: &volume.0, flags: &[] };
        for case in &cases {
            seat.check(case);
        }
    }
}

#[test]
fn the_operators_word_for_a_container_is_a_proof_there_and_no_more() {
    if !is_root() {
        return skip("no PID namespace without root");
    }
    let (_dir, volume) = volume();
    let Some(inside) = Container::shared() else { return skip("no PID namespace can be had") };
    let cases = [
        Case::of(Row::Proof, "dead here", Says::Owner(inside.dead, Some(7))),
        Case::of(Row::Proof, "recycled here", Says::Owner(inside.sleeper, Some(inside.sleeper_ticks - 7))),
        Case::of(Row::LikelyStale, "a sleep has its pid", Says::Owner(inside.sleeper, None)),
        Case::of(Row::LikelyHeld, "a runtime has its pid", Says::Owner(inside.node, None)),
        Case::of(Row::LikelyHeld, "hostile", Says::Hostile),
        Case::of(Row::Active, "alive", Says::Owner(inside.sleeper, Some(inside.sleeper_ticks))),
    ];
    for user in [None, Some(ORDINARY)] {
        let doctor = Doctor::in_container(&inside, user.unwrap_or(0));
        let flags = &["--assume-single-writer"];
        let seat = Seat { doctor: &doctor, owner: user, base: &volume.0, seen: &volume.0, flags };
        for case in &cases {
            seat.check(case);
        }
    }
}

#[test]
fn naming_one_lock_leaves_all_others_alone() {
    let _turn = turn();
    let (stage, sleeper) = (Stage::new(), Living::sleep());
    let named = stage.lock("openclaw-2026.4.29-aaaaaaaaaaaa", DEPS, Some("{\"pid\":0}"));
    let others = [
        stage.lock("openclaw-2026.4.29-aaaaaaaaaaaa", MIRROR, Some("{\"pid\":0}")),
        stage.lock("openclaw-2026.4.29-bbbbbbbbbbbb", DEPS, Some(&record(dead_pid(), Some(7)))),
        stage.lock("openclaw-2026.4.29-cccccccccccc", DEPS, Some(&record(sleeper.pid(), None))),
    ];
    let args = ["repair".as_ref(), "--json".as_ref(), "--yes".as_ref(), stage.path().as_os_str(), "--lock".as_ref()];
    let answer = doctor(args.into_iter().chain([named.as_os_str()]));
    assert_eq!((answer.lock()["outcome"].as_str(), answer.code()), (Some("removed"), 0));
    assert!(!named.exists());
    for other in others {
        assert!(other.join("owner.json").exists(), "{}", other.display());
    }
}

#[test]
fn nothing_is_touched_where_the_processes_are_a_fixture() {
    let _turn = turn();
    let (stage, fixture) = (Stage::new(), Stage::new());
    let lock = stage.lock(VERSION, DEPS, Some(&record(dead_pid(), Some(7))));
    for more in [&["--yes".as_ref()][..], &["--yes".as_ref(), "--lock".as_ref(), lock.as_os_str()]] {
        let args = ["repair".as_ref(), stage.path().as_os_str(), "--proc".as_ref(), fixture.path().as_os_str()];
        let answer = doctor(args.into_iter().chain(more.iter().copied()));
        assert_eq!((answer.code(), answer.out().as_str()), (2, ""));
        assert!(answer.err().contains("is not procfs"), "{}", answer.err());
        assert!(lock.join("owner.json").exists());
    }
}

/// The four locks of DESIGN section 5, last paragraph.
struct PlainUser {
    active: PathBuf,
    stale: [PathBuf; 2],
    legacy: PathBuf,
}

impl PlainUser {
    fn plant(base: &Path, owner: Option<u32>, sleeper: (u32, u64), dead: u32) -> Self {
        let (pid, ticks) = sleeper;
        let lock = |version: &str, text: String| plant(base, version, DEPS, Some(text.as_bytes()));
        let locks = Self {
            active: lock("openclaw-2026.4.29-aaaaaaaaaaaa", record(pid, Some(ticks))),
            stale: [
                lock("openclaw-2026.4.29-bbbbbbbbbbbb", record(pid, Some(ticks - 7))),
                lock("openclaw-2026.4.29-cccccccccccc", record(dead, Some(7))),
            ],
            legacy: lock("openclaw-2026.4.26-dddddddddddd", record(pid, None)),
        };
        if let Some(uid) = owner {
            give(base, uid);
        }
        locks
    }

    fn check(&self, doctor: &Doctor, seen: &Path) {
        let first = doctor.run(["repair".as_ref(), seen.as_os_str()]);
        assert!(self.stale.iter().all(|lock| !lock.exists()), "{}", first.out());
        assert!(self.legacy.join("owner.json").exists() && self.active.join("owner.json").exists());
        assert_eq!(first.code(), 1, "{}", first.out());
        let second = doctor.run(["repair".as_ref(), "--yes".as_ref(), seen.as_os_str()]);
        assert!(!self.legacy.exists(), "{}", second.out());
        assert!(self.active.join("owner.json").exists(), "{}", second.out());
        assert_eq!(second.code(), 0, "{}", second.out());
        std::fs::remove_dir_all(self.active.parent().unwrap()).unwrap();
    }
}

#[test]
fn a_plain_user_loses_no_living_lock_and_keeps_no_dead_one_on_the_host() {
    let _turn = turn();
    let sleeper = Living::sleep();
    for user in users() {
        let (doctor, stage) = (doctor_of(user), open_dir());
        let dead = dead_pid();
        PlainUser::plant(stage.path(), user, (sleeper.pid(), sleeper.ticks()), dead).check(&doctor, stage.path());
    }
}

#[test]
fn a_plain_user_loses_no_living_lock_and_keeps_no_dead_one_in_a_container() {
    if !is_root() {
        return skip("no container without root");
    }
    let Some(inside) = Container::with_own_root() else { return skip("no overlay root can be had") };
    for user in [None, Some(ORDINARY)] {
        let doctor = Doctor::in_container(&inside, user.unwrap_or(0));
        let seen = Path::new("/tmp").join(format!("stage-{}", user.unwrap_or(0)));
        let base = inside.root().join(seen.strip_prefix("/").unwrap());
        let sleeper = (inside.sleeper, inside.sleeper_ticks);
        PlainUser::plant(&base, user, sleeper, inside.dead).check(&doctor, &seen);
    }
}

/// The command in the line that follows the one that says what is left.
fn printed_command(answer: &Answer) -> String {
    let text = answer.out();
    let line = text.lines().skip_while(|line| !line.starts_with("left ")).nth(1).unwrap_or_default().to_owned();
    let at = line.find("openclaw-doctor").unwrap_or_else(|| panic!("no command in {text}"));
    line[at..].to_owned()
}

/// Checks that what is printed for a lock that is left takes the lock, when typed as it stands.
fn advice_works(doctor: &Doctor, seen: &Path, lock: &Path, what: &str) {
    let mut code = None;
    // A process that starts or ends at this moment cannot be told, and holds such a lock back.
    wait_until(&format!("{what}: the printed command to take it"), || {
        let left = doctor.run(["repair".as_ref(), seen.as_os_str()]);
        assert_eq!(left.code(), 1, "{what}: {}", left.out());
        code = Some(doctor.run_printed(&printed_command(&left)).code());
        !lock.exists()
    });
    assert_eq!(code, Some(0), "{what}");
}

#[test]
fn the_command_printed_for_what_is_left_takes_it() {
    let _turn = turn();
    if !sees_the_host() {
        return skip("not in the initial PID namespace");
    }
    let (sleeper, node, stage) = (Living::sleep(), living_as("node"), open_dir());
    let base = stage.path().join("it's a $(stage) root");
    for kind in STAGE.iter().chain(others()).filter(|kind| kind.removal() != Removal::OnProof) {
        let taken = |case: &Case| match case.row {
            Row::Active => false,
            Row::Proof => kind.family == "session-write" && none_is_known(),
            Row::LikelyStale | Row::OutOfSight | Row::LikelyHeld => kind.can_be(case),
        };
        for case in host_cases(&sleeper, &node).iter().filter(|case| taken(case)) {
            let (lock, _) = kind.plant(&base, case);
            advice_works(&Doctor::own(), &base, &lock, &format!("{}: {}", kind.family, case.what));
            clear(&base.join(kind.top()));
        }
    }
    let (backing, at) = (open_dir(), open_dir());
    let Some(mount) = Mounted::fuse(backing.path(), at.path()) else { return skip("no FUSE mount (bindfs)") };
    let lock = plant(&mount.0, VERSION, DEPS, Some(record(dead_pid(), Some(7)).as_bytes()));
    advice_works(&Doctor::own(), &mount.0, &lock, "another machine may hold it");
}

#[test]
fn the_command_printed_in_a_container_takes_what_is_left() {
    if !is_root() {
        return skip("no PID namespace without root");
    }
    let (_dir, volume) = volume();
    let (backing, at) = (open_dir(), open_dir());
    let fuse = Mounted::fuse(backing.path(), at.path());
    let Some(inside) = Container::shared() else { return skip("no PID namespace can be had") };
    let doctor = Doctor::in_container(&inside, 0);
    let dead = record(inside.dead, Some(7));
    for (what, text) in [("dead here", dead.clone()), ("a sleep has its pid", record(inside.sleeper, None))] {
        let lock = plant(&volume.0, VERSION, DEPS, Some(text.as_bytes()));
        advice_works(&doctor, &volume.0, &lock, what);
    }
    let Some(mount) = fuse else { return skip("no FUSE mount (bindfs)") };
    let lock = plant(&mount.0, VERSION, DEPS, Some(dead.as_bytes()));
    advice_works(&doctor, &mount.0, &lock, "another machine may hold it, seen from a container");
}

/// The report of a run says whose word was given for the container.
#[test]
fn the_report_says_what_the_operator_vouched_for() {
    let _turn = turn();
    let stage = Stage::new();
    let scope = |args: &[&str]| -> Value {
        let answer = doctor(
            ["repair", "--json"]
                .iter()
                .chain(args)
                .map(AsRef::<std::ffi::OsStr>::as_ref)
                .chain([stage.path().as_os_str()]),
        );
        answer.json()["scope"]["assume_single_writer"].clone()
    };
    assert_eq!((scope(&[]), scope(&["--assume-single-writer"])), (false.into(), true.into()));
}
