//! The table of DESIGN section 4, cell by cell, on real processes through the built binary.
//!
//! `undetermined` has no row of its own: only a proc directory that is no procfs gives it, and
//! with such a one `repair` refuses to run, which is checked here too.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::disallowed_methods)]

mod support;
#[path = "support/world.rs"]
mod world;
use serde_json::Value;
use std::path::{Path, PathBuf};
use support::{Answer, DEPS, Living, MIRROR, Stage, dead_pid, doctor, record};
use world::{Container, Doctor, Mounted, ORDINARY, age, give, is_root, living_as, open_dir, plant, skip};

const FAMILIES: [&str; 2] = [DEPS, MIRROR];
const VERSION: &str = "openclaw-2026.4.29-f53b52ad6d21";

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

/// The table: outcome, consent, exit code.
fn cell(row: Row, column: Column) -> (&'static str, Option<&'static str>, i32) {
    const HELD_BACK: (&str, Option<&str>, i32) = ("held-back", None, 1);
    match (row, column) {
        (Row::Active, _) => ("held-back", None, 0),
        (Row::Proof, _) => ("removed", Some("proof"), 0),
        (_, Column::Named) => ("removed", Some("named"), 0),
        (_, Column::NoTerminal) | (Row::LikelyHeld, _) => HELD_BACK,
        (Row::LikelyStale, Column::Yes) => ("removed", Some("yes"), 0),
        (Row::OutOfSight, Column::Yes) => HELD_BACK,
        (Row::LikelyStale | Row::OutOfSight, Column::TerminalYes) => ("removed", Some("answer"), 0),
        (Row::LikelyStale | Row::OutOfSight, Column::TerminalDefault) => ("declined", None, 1),
    }
}

/// A lock that is a real case of one row.
struct Case {
    row: Row,
    what: &'static str,
    record: Option<String>,
    old: bool,
}

impl Case {
    fn of(row: Row, what: &'static str, record: String) -> Self {
        Self { row, what, record: Some(record), old: false }
    }

    fn unwritten(row: Row, what: &'static str, record: Option<&str>, old: bool) -> Self {
        Self { row, what, record: record.map(str::to_owned), old }
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
        for family in FAMILIES {
            for column in COLUMNS {
                self.check_cell(case, family, column);
            }
        }
    }

    fn check_cell(&self, case: &Case, family: &str, column: Column) {
        let lock = plant(self.base, VERSION, family, case.record.as_deref().map(str::as_bytes));
        if case.old {
            age(&lock);
        }
        if let Some(uid) = self.owner {
            give(&self.base.join(VERSION), uid);
        }
        let shown = self.seen.join(VERSION).join(family);
        let name = format!("{:?} ({}), {column:?}, {family}", case.row, case.what);
        let answer = self.run(column, &shown);
        let judged = answer.lock();
        let (outcome, consent, code) = cell(case.row, column);
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
        let asks = !matches!(column, Column::NoTerminal | Column::Yes | Column::Named)
            && matches!(case.row, Row::LikelyStale | Row::OutOfSight);
        assert_eq!(answer.err().contains("[y/N/e]"), asks, "{name}\n{}", answer.err());
        self.check_disk(&lock, case, outcome == "removed", &name);
        clear(&self.base.join(VERSION));
    }

    fn check_disk(&self, lock: &Path, case: &Case, gone: bool, name: &str) {
        assert!(lock.parent().unwrap().is_dir(), "{name}: the version directory is gone");
        if gone {
            assert!(!lock.exists(), "{name}: still there");
            return;
        }
        let record = lock.join("owner.json");
        let left = record.exists().then(|| std::fs::read_to_string(&record).unwrap());
        assert!(lock.is_dir(), "{name}: removed");
        assert_eq!(left, case.record, "{name}: its record is another");
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

/// Removes a tree. A FUSE server learns of the last close of a file after the one who closed it
/// has gone on, and keeps a removed file under a hidden name until then.
fn clear(tree: &Path) {
    let began = std::time::Instant::now();
    while let Err(error) = std::fs::remove_dir_all(tree) {
        let busy = error.kind() == std::io::ErrorKind::DirectoryNotEmpty;
        assert!(busy && began.elapsed() < std::time::Duration::from_secs(10), "{}: {error}", tree.display());
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
        Case::of(Row::Proof, "dead", record(dead_pid(), Some(7))),
        Case::of(Row::Proof, "dead, without start time", record(dead_pid(), None)),
        Case::of(Row::Proof, "recycled", record(sleeper.pid(), Some(sleeper.ticks() + 7))),
        Case::of(Row::LikelyStale, "a sleep has its pid", record(sleeper.pid(), None)),
        Case::unwritten(Row::LikelyStale, "old, never written", None, true),
        Case::of(Row::LikelyHeld, "a runtime has its pid", record(node.pid(), None)),
        Case::unwritten(Row::LikelyHeld, "fresh, not yet written", Some(""), false),
        Case::of(Row::LikelyHeld, "hostile", "{\"pid\":0}".to_owned()),
        Case::of(Row::Active, "alive", record(sleeper.pid(), Some(sleeper.ticks()))),
    ]
}

#[test]
fn no_cell_of_the_table_removes_more_or_less_on_the_host() {
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

#[test]
fn what_another_machine_may_hold_is_only_removed_on_somebodys_word() {
    let (backing, at) = (open_dir(), open_dir());
    let Some(mount) = Mounted::fuse(backing.path(), at.path()) else {
        return skip("no FUSE mount can be had (bindfs)");
    };
    for user in users() {
        let doctor = doctor_of(user);
        let seat = Seat { doctor: &doctor, owner: user, base: &mount.0, seen: &mount.0, flags: &[] };
        seat.check(&Case::of(Row::OutOfSight, "dead here", record(dead_pid(), Some(7))));
        // The operator's word for this container says nothing of other machines.
        let seat = Seat { flags: &["--assume-single-writer"], ..seat };
        seat.check(&Case::of(Row::OutOfSight, "dead here", record(dead_pid(), Some(7))));
    }
}

#[test]
fn what_a_living_child_of_the_dead_owner_works_in_is_left() {
    if !sees_the_host() {
        return skip("not in the initial PID namespace");
    }
    let stage = open_dir();
    let version = stage.path().join("openclaw-2026.4.29-bbbbbbbbbbbb");
    std::fs::create_dir(&version).unwrap();
    let mut install = std::process::Command::new("sleep");
    let _install = Living(install.arg("1000").current_dir(&version).spawn().unwrap());
    for family in FAMILIES {
        for column in COLUMNS {
            let lock = plant(&version, "", family, Some(record(dead_pid(), Some(7)).as_bytes()));
            let own = Doctor::own();
            let seat = Seat { doctor: &own, owner: None, base: stage.path(), seen: stage.path(), flags: &[] };
            let answer = seat.run(column, &lock);
            let (outcome, consent, code) = cell(Row::LikelyHeld, column);
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
        Case::of(Row::OutOfSight, "dead here", record(inside.dead, Some(7))),
        Case::of(Row::OutOfSight, "recycled here", record(inside.sleeper, Some(inside.sleeper_ticks + 7))),
        Case::of(Row::OutOfSight, "a sleep has its pid", record(inside.sleeper, None)),
        Case::of(Row::LikelyStale, "a restarted container", record(inside.gateway, Some(7))),
        Case::unwritten(Row::LikelyStale, "old, never written", None, true),
        Case::of(Row::LikelyHeld, "a runtime has its pid", record(inside.node, None)),
        Case::of(Row::LikelyHeld, "hostile", "{\"pid\":0}".to_owned()),
        Case::of(Row::Active, "alive", record(inside.sleeper, Some(inside.sleeper_ticks))),
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
        Case::of(Row::Proof, "dead here", record(inside.dead, Some(7))),
        Case::of(Row::Proof, "recycled here", record(inside.sleeper, Some(inside.sleeper_ticks + 7))),
        Case::of(Row::LikelyStale, "a sleep has its pid", record(inside.sleeper, None)),
        Case::of(Row::LikelyHeld, "a runtime has its pid", record(inside.node, None)),
        Case::of(Row::LikelyHeld, "hostile", "{\"pid\":0}".to_owned()),
        Case::of(Row::Active, "alive", record(inside.sleeper, Some(inside.sleeper_ticks))),
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
    let (stage, fixture) = (Stage::new(), Stage::new());
    let lock = stage.lock(VERSION, DEPS, Some(&record(dead_pid(), Some(7))));
    for more in [&["--yes".as_ref()][..], &["--yes".as_ref(), "--lock".as_ref(), lock.as_os_str()]] {
        let args = ["repair".as_ref(), stage.path().as_os_str(), "--proc".as_ref(), fixture.path().as_os_str()];
        let answer = doctor(args.into_iter().chain(more.iter().copied()));
        assert_eq!((answer.code(), answer.out().as_str()), (2, ""));
        assert!(answer.err().contains("not a procfs"), "{}", answer.err());
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
                lock("openclaw-2026.4.29-bbbbbbbbbbbb", record(pid, Some(ticks + 7))),
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
    let left = doctor.run(["repair".as_ref(), seen.as_os_str()]);
    assert_eq!(left.code(), 1, "{what}: {}", left.out());
    let line = printed_command(&left);
    let answer = doctor.run_printed(&line);
    assert!(!lock.exists(), "{what}: {line}\n{}{}", answer.out(), answer.err());
    assert_eq!(answer.code(), 0, "{what}: {line}\n{}", answer.out());
}

#[test]
fn the_command_printed_for_what_is_left_takes_it() {
    if !sees_the_host() {
        return skip("not in the initial PID namespace");
    }
    let (sleeper, node, stage) = (Living::sleep(), living_as("node"), open_dir());
    let base = stage.path().join("it's a $(stage) root");
    for case in host_cases(&sleeper, &node).into_iter().filter(|case| !matches!(case.row, Row::Proof | Row::Active)) {
        let lock = plant(&base, VERSION, DEPS, case.record.as_deref().map(str::as_bytes));
        if case.old {
            age(&lock);
        }
        advice_works(&Doctor::own(), &base, &lock, case.what);
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
