//! The documented build is one file that needs nothing: no loader, no library, no shell beside it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)]

mod support;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use support::trace::{can_trace, traced_file};
use support::{Answer, DEPS, Stage, lab_required};

/// What docs/install.md promises.
const SIZE_LIMIT: u64 = 3_700_000;
/// `/bin/true` of Debian 12 makes 29.
const START_CALLS_LIMIT: usize = 100;

/// The documented command, run as it stands, in the build's own directory: what `.ci/run` has built
/// already is not built again. Cargo takes a lock there.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/install.md")).unwrap();
    let build = docs.lines().find(|line| line.starts_with("RUSTFLAGS=") && line.contains("cargo build"));
    let build = build.expect("docs/install.md names the command");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{build} --locked --quiet")]).current_dir(env!("CARGO_MANIFEST_DIR"));
    // Flags of this run, such as those of a coverage tool, are not the user's.
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTC_WRAPPER").env("CARGO_TARGET_DIR", target);
    assert!(command.stdin(Stdio::null()).status().unwrap().success(), "{build}");
    let below = docs.lines().find_map(|line| line.strip_prefix("target/")).expect("docs/install.md names the file");
    target.join(below.split_whitespace().next().unwrap())
});

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// The types of the program headers of a 64-bit little-endian ELF file (elf(5)).
fn program_headers(elf: &[u8]) -> Vec<u64> {
    assert_eq!(&elf[..6], b"\x7fELF\x02\x01");
    let (at, size, count) = (number(elf, 0x20, 8), number(elf, 0x36, 2), number(elf, 0x38, 2));
    (0..count).map(|index| number(elf, usize::try_from(at + index * size).unwrap(), 4)).collect()
}

#[test]
fn the_file_asks_for_no_loader_and_is_small() {
    const PT_INTERP: u64 = 3;
    const PT_LOAD: u64 = 1;
    let elf = std::fs::read(&*FILE).unwrap();
    let headers = program_headers(&elf);
    assert!(headers.contains(&PT_LOAD), "{headers:?}");
    assert!(!headers.contains(&PT_INTERP), "it names a loader");
    assert!(elf.len() as u64 <= SIZE_LIMIT, "{} bytes", elf.len());
    println!("{} bytes", elf.len());
    // The same question has the other answer for an ordinary build.
    assert!(program_headers(&std::fs::read("/proc/self/exe").unwrap()).contains(&PT_INTERP));
}

/// A start is what it asks of the kernel: a count, which no load changes.
#[test]
fn it_starts_without_much_ado() {
    if !can_trace() {
        return;
    }
    let (answer, trace) = traced_file(&FILE, &[], ["--version"]);
    assert_eq!(answer.code(), 0, "{}", answer.err());
    let calls = trace.lines().count();
    println!("{calls} system calls");
    assert!(calls <= START_CALLS_LIMIT, "{calls}:\n{trace}");
}

/// Pid 1 of new namespaces lays out the root, leaves a sleep as pid 2, and becomes the doctor.
const INIT: &str = r#"
    root=$1; shift
    # Its own /proc before anything is started, as a container has it.
    mount -t proc proc /proc
    mount --bind /proc "$root/proc"
    sleep 1000 >/dev/null 2>&1 &
    ticks() { read -r stat <"$root/proc/$1/stat"; set -- ${stat##*) }; echo "${20}"; }
    put() {
        mkdir -p "$root/stage/openclaw-2026.4.29-$1/.openclaw-runtime-deps.lock"
        echo "{\"pid\": $2, \"starttime\": $3, \"createdAtMs\": $(date +%s)000}" \
            >"$root/stage/openclaw-2026.4.29-$1/.openclaw-runtime-deps.lock/owner.json"
    }
    put aaaaaaaaaaaa $! "$(ticks $!)"
    put bbbbbbbbbbbb $! 7
    put cccccccccccc 30000 7
    put dddddddddddd 1 "$(ticks 1)"
    exec chroot "$root" /openclaw-doctor "$@"
"#;

fn in_empty_root(root: &Path, arguments: &[&str]) -> Answer {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("-Ur");
    }
    command.args(["--pid", "--mount", "--fork", "--kill-child", "sh", "-ec", INIT, "sh"]).arg(root).args(arguments);
    Answer(command.stdin(Stdio::null()).output().unwrap())
}

#[test]
fn it_works_in_a_root_that_holds_nothing_else() {
    let stage = Stage::new();
    let root = stage.path();
    // By another program: a file that we hold open for writing cannot be executed.
    assert!(Command::new("cp").arg(&*FILE).arg(root.join("openclaw-doctor")).status().unwrap().success());
    std::fs::create_dir(root.join("proc")).unwrap();

    let version = in_empty_root(root, &["--version"]);
    if version.0.status.code() != Some(0) {
        return lab_required(&format!("no namespaces or no chroot here: {}", version.err()));
    }
    let entries = |dir: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(entries(root), ["openclaw-doctor", "proc", "stage"]);

    let lock = |directory: &str| format!("{directory}/{DEPS}");
    let expected = [
        ("openclaw-2026.4.29-aaaaaaaaaaaa", "active"),
        ("openclaw-2026.4.29-bbbbbbbbbbbb", "stale-recycled-pid"),
        ("openclaw-2026.4.29-cccccccccccc", "stale-dead-pid"),
        ("openclaw-2026.4.29-dddddddddddd", "active"),
    ];
    for (flags, proven) in [(&[][..], false), (&["--assume-single-writer"], true)] {
        let answer = in_empty_root(root, &[&["scan", "--json", "/stage"], flags].concat());
        assert_eq!((answer.code(), answer.err()), (1, String::new()));
        assert_eq!(answer.json()["host"]["vantage"], "namespace");
        for (directory, class) in expected {
            let found = answer.lock_at(lock(directory));
            assert_eq!(found["classification"], class, "{found}");
            assert_eq!(found["proof"], proven && class != "active", "{found}");
        }
    }

    let repaired = in_empty_root(root, &["repair", "--assume-single-writer", "/stage"]);
    assert_eq!(repaired.code(), 0, "{}{}", repaired.out(), repaired.err());
    for (directory, class) in expected {
        assert_eq!(root.join("stage").join(lock(directory)).exists(), class == "active", "{directory}");
    }
}
