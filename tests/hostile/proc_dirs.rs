//! `--proc DIR` where DIR is no procfs: it may inform, it never proves.

use super::look::look;
use super::support::{Answer, DEPS, Living, Stage, dead_pid, doctor, record};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A start right after boot: long before any record that a test writes.
const TICKS: u64 = 123;

fn status(pid: u32) -> String {
    format!(
        "Name:\tnode\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t{pid}\nNgid:\t0\nPid:\t{pid}\nPPid:\t1\nTracerPid:\t0\n\
        Uid:\t1000\t1000\t1000\t1000\nGid:\t0\t0\t0\t0\nNSpid:\t{pid}\nThreads:\t1\n"
    )
}

fn stat(pid: u32) -> String {
    format!(
        "{pid} (node) S 1 {pid} {pid} 0 -1 4194560 100 0 0 0 5 3 0 0 20 0 11 0 {TICKS} 1000000 500 18446744073709551615 \
        1 1 0 0 0 0 0 16781312 134217730 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    )
}

struct Proc(Stage);

impl Proc {
    fn new() -> Self {
        Self(Stage::new())
    }

    fn process(&self, pid: &str, status: impl AsRef<[u8]>, stat: impl AsRef<[u8]>) -> PathBuf {
        let directory = self.0.path().join(pid);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("status"), status).unwrap();
        std::fs::write(directory.join("stat"), stat).unwrap();
        directory
    }
}

fn look_through(proc: &Path, stage: &Stage) -> Answer {
    let args: [&OsStr; 3] = [stage.path().as_os_str(), "--proc".as_ref(), proc.as_os_str()];
    let answer = look(stage.path(), &args);
    for lock in answer.json()["locks"].as_array().unwrap() {
        assert_eq!(lock["proof"], false, "{lock}");
    }
    answer
}

fn word(answer: &Answer, version: &str) -> (String, String, String) {
    let lock = answer.lock_at(format!("{version}/{DEPS}"));
    let word = |field: &str| lock[field].as_str().unwrap_or("none").to_owned();
    (word("classification"), word("reason"), word("leaning"))
}

fn words(class: &str, reason: &str, leaning: &str) -> (String, String, String) {
    (class.to_owned(), reason.to_owned(), leaning.to_owned())
}

/// One lock of every kind of owner.
fn owners(living: &Living) -> Stage {
    let stage = Stage::new();
    stage.lock("alive", DEPS, Some(&record(living.pid(), Some(living.ticks()))));
    stage.lock("recycled", DEPS, Some(&record(living.pid(), Some(living.ticks() - 7))));
    stage.lock("dead", DEPS, Some(&record(dead_pid(), Some(7))));
    stage.lock("legacy", DEPS, Some(&record(living.pid(), None)));
    stage.lock("missing", DEPS, None);
    stage
}

#[test]
fn without_a_process_table_nobody_is_declared_dead() {
    let living = Living::sleep();
    let stage = owners(&living);
    let (gone, file) = (stage.path().join("gone"), stage.path().join("file"));
    std::fs::write(&file, "").unwrap();
    for proc in [&gone, &file] {
        let answer = look_through(proc, &stage);
        for version in ["alive", "recycled", "dead", "legacy"] {
            let expected = words("legacy-unverifiable", "process-table-unreadable", "out-of-sight");
            assert_eq!(word(&answer, version), expected, "{version}");
        }
        assert_eq!(answer.json()["host"]["proc_source"], "unreadable");
    }
}

/// Where running gateways cannot be asked for their directories, "none found" is half an answer.
#[test]
fn without_a_process_table_discovery_is_incomplete() {
    let home = Stage::new();
    let gone = home.path().join("gone");
    let mut blind = super::support::command();
    blind.args(["scan", "--json", "--proc"]).arg(&gone).env("HOME", home.path());
    let answer = Answer(super::look::guarded(blind));
    assert_eq!(answer.code(), 3, "{}", answer.out());
    assert_eq!(answer.json()["problems"][0]["path"], gone.to_str().unwrap());
}

#[test]
fn an_empty_process_table_proves_no_death() {
    let (living, proc) = (Living::sleep(), Stage::new());
    let stage = owners(&living);
    let answer = look_through(proc.path(), &stage);
    for version in ["alive", "recycled", "dead", "legacy"] {
        assert_eq!(word(&answer, version), words("stale-dead-pid", "not-procfs", "undetermined"), "{version}");
    }
    assert_eq!(answer.json()["host"]["processes_seen"], 0);
}

#[test]
fn a_copied_process_table_is_read_and_proves_nothing() {
    let proc = Proc::new();
    proc.process("512", status(512), stat(512));
    let stage = Stage::new();
    stage.lock("alive", DEPS, Some(&record(512, Some(TICKS))));
    stage.lock("recycled", DEPS, Some(&record(512, Some(TICKS - 1))));
    stage.lock("dead", DEPS, Some(&record(513, Some(TICKS))));
    stage.lock("legacy", DEPS, Some(&record(512, None)));
    let answer = look_through(proc.0.path(), &stage);
    assert_eq!(answer.json()["host"]["proc_source"], "not-procfs");
    assert_eq!(word(&answer, "alive").0, "active");
    // Which ticks its owner read cannot be asked in a copy.
    assert_eq!(word(&answer, "recycled"), words("legacy-unverifiable", "ticks-not-comparable", "likely-held"));
    assert_eq!(word(&answer, "dead"), words("stale-dead-pid", "not-procfs", "undetermined"));
    assert_eq!(word(&answer, "legacy").0, "legacy-unverifiable");
}

/// Whatever such a directory holds: no crash, no hang, and the carrier stays in the picture.
#[test]
fn a_forged_process_table_crashes_nothing_and_kills_nobody() {
    let proc = Proc::new();
    let whole = stat(7);
    let stats: Vec<Vec<u8>> = (0..whole.len())
        .step_by(9)
        .map(|end| whole.as_bytes()[..end].to_vec())
        .chain([
            b"".to_vec(),
            b"\xff\xfe\xfd".to_vec(),
            b"  (x) S 1 1 1".to_vec(),
            b"\t\n(x) S 1 1 1".to_vec(),
            "\u{3000}(x) S 1 1".as_bytes().to_vec(),
            "7\u{e9}(x) S 1 1".as_bytes().to_vec(),
            b"7\xff(x) S 1 1".to_vec(),
            b")(".to_vec(),
            b"7 (x)".to_vec(),
            b"7 (x) ".to_vec(),
            b"7 (x)\xc2".to_vec(),
            b"7 (x) S ".repeat(20_000),
            b"(".repeat(70_000),
            [b"7 (", &b"\xf0"[..], b") S 1 1"].concat(),
            whole.replace(" 123 ", " -123 ").into_bytes(),
            whole.replace(" 123 ", " 99999999999999999999999 ").into_bytes(),
            whole.replace(") S ", ") \u{1b} ").into_bytes(),
        ])
        .collect();
    let stage = Stage::new();
    for (index, stat) in stats.iter().enumerate() {
        let pid = 1000 + u32::try_from(index).unwrap();
        proc.process(&pid.to_string(), status(pid), stat);
        stage.lock(&format!("v{pid}"), DEPS, Some(&record(pid, Some(TICKS))));
        stage.lock(&format!("w{pid}"), DEPS, Some(&record(pid, None)));
    }
    let whole = status(7);
    for (index, status) in [
        b"".to_vec(),
        b"\xff\xfe\0\0".to_vec(),
        whole.as_bytes()[..40].to_vec(),
        whole.replace("NSpid:\t7", "NSpid:").into_bytes(),
        whole.replace("NSpid:\t7", "NSpid:\t7 x 9").into_bytes(),
        whole.replace("Pid:\t7", "Pid:\t-7").into_bytes(),
        whole.replace("Threads:\t1", "Threads:\t99999999999").into_bytes(),
        whole.replace("Name:\tnode", "Name:\t\u{1b}[31m\u{202e}").into_bytes(),
        [b"Name:\t\xff\x9b\n", whole.as_bytes()].concat(),
        [whole.as_bytes(), &b"x".repeat(2 * 1024 * 1024)].concat(),
        b"Name:\t".repeat(174_000),
    ]
    .iter()
    .enumerate()
    {
        let pid = 2000 + index;
        proc.process(&pid.to_string(), status, stat(7));
        stage.lock(&format!("v{pid}"), DEPS, Some(&record(u32::try_from(pid).unwrap(), Some(TICKS))));
    }
    for name in ["0", "00", "+5", "-1", "4294967295", "99999999999999999999", "x"] {
        proc.process(name, status(7), stat(7));
    }
    let odd = proc.0.path().join("3000");
    std::fs::create_dir(&odd).unwrap();
    std::os::unix::fs::symlink("/dev/zero", odd.join("status")).unwrap();
    let fifo = proc.process("3001", status(3001), "").join("stat");
    std::fs::remove_file(&fifo).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    stage.lock("v3001", DEPS, Some(&record(3001, Some(TICKS))));
    std::fs::write(proc.0.path().join("3002"), "a file").unwrap();
    std::fs::create_dir_all(proc.0.path().join("sys/kernel/random")).unwrap();
    std::fs::write(proc.0.path().join("sys/kernel/pid_max"), "\u{1b}many").unwrap();
    std::fs::write(proc.0.path().join("sys/kernel/random/boot_id"), "\u{1b}[31m\u{202e}").unwrap();
    let answer = look_through(proc.0.path(), &stage);
    for (index, stat) in stats.iter().enumerate() {
        for kind in ["v", "w"] {
            let (class, ..) = word(&answer, &format!("{kind}{}", 1000 + index));
            assert_ne!(class, "stale-dead-pid", "its status says that it lives: {stat:?}");
        }
    }
    // Through the same directory, discovery finds nothing and breaks nothing either.
    let found = doctor(["scan".as_ref(), "--json".as_ref(), "--proc".as_ref(), proc.0.path().as_os_str()]);
    assert!([0, 1, 3].contains(&found.code()), "{}", found.err());
}
