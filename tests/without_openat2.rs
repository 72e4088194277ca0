//! Kernels before 5.6, and sandboxes whose filter does not know openat2(2) or statx(2), lose no
//! safety; nor does a place without procfs.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)]

mod support;

use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use support::machine::moved_to_own_machine;
use support::trace::{can_trace, traced};
use support::{DEPS, Living, MIRROR, Stage, command, dead_pid, doctor, lab_required, record};

const VERSION: &str = "openclaw-2026.4.29-aaaaaaaaaaaa";
/// What an old kernel says, and what an old seccomp filter says.
const ANSWERS: [&str; 2] = ["ENOSYS", "EPERM"];

fn without(error: &str) -> String {
    format!("inject=openat2:error={error}")
}

fn locks(json: &Value) -> Vec<(String, String, bool)> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let locks = json["locks"].as_array().unwrap().iter();
    locks.map(|lock| (word(&lock["path"]), word(&lock["classification"]), lock["proof"].as_bool().unwrap())).collect()
}

/// Docker before 18.04 forbids statx(2), which kernels before 4.11 do not have.
#[test]
fn where_statx_is_forbidden_everything_is_found_and_repaired() {
    if !can_trace() {
        return;
    }
    for error in ANSWERS {
        let (stage, owner) = (Stage::new(), Living::sleep());
        let dead = stage.lock(VERSION, DEPS, Some(&record(dead_pid(), Some(7))));
        let living = stage.lock(VERSION, MIRROR, Some(&record(owner.pid(), Some(owner.ticks()))));
        let args =
            |verb: &str| [verb.into(), "--json".into(), "--assume-single-writer".into(), stage.path().to_owned()];
        let with = doctor(args("scan"));
        let inject = format!("inject=statx:error={error}");
        let (answer, trace) = traced(&["-e", "trace=statx", "-e", &inject], args("scan"));
        assert!(trace.contains("(INJECTED)"), "statx was never asked for: {trace}");
        assert_eq!((answer.code(), locks(&answer.json())), (1, locks(&with.json())), "{error}: {}", answer.out());
        let (answer, _) = traced(&["-e", "trace=statx", "-e", &inject], args("repair"));
        assert_eq!((answer.code(), &answer.json()["summary"]["removed"]), (0, &1.into()), "{error}: {}", answer.out());
        assert!(!dead.exists() && living.join("owner.json").exists(), "{error}");
    }
}

/// The command that is named next must be one that works there.
#[test]
fn without_procfs_the_next_step_is_no_command_that_refuses() {
    if moved_to_own_machine() {
        return;
    }
    let (stage, empty) = (Stage::new(), Stage::new());
    stage.lock(VERSION, DEPS, Some(&record(dead_pid(), Some(7))));
    let run = |verb: &str, proc: Option<&Path>| {
        let doctor = command();
        let mut shell = Command::new("unshare");
        let script = if proc.is_some() { "exec \"$@\"" } else { "umount -l /proc && exec \"$@\"" };
        shell.args(["-m", "sh", "-c", script, "sh"]).arg(doctor.get_program()).arg(verb).arg(stage.path());
        shell.args(proc.iter().flat_map(|proc| ["--proc".as_ref(), proc.as_os_str()]));
        support::Answer(shell.stdin(Stdio::null()).output().unwrap())
    };
    for (proc, step) in [(None, "mount procfs on /proc"), (Some(empty.path()), "leave out --proc")] {
        let scan = run("scan", proc);
        let next = scan.out().lines().find_map(|line| line.strip_prefix("Next: ").map(str::to_owned)).unwrap();
        assert!(next.starts_with(step), "{next}: {}{}", scan.out(), scan.err());
        assert_eq!(scan.code(), 1, "{}", scan.out());
        let repair = run("repair", proc);
        assert_eq!((repair.code(), repair.err().lines().count()), (2, 1), "{}{}", repair.out(), repair.err());
        assert!(repair.err().contains(step), "{}", repair.err());
    }
}

#[test]
fn plain_roots_are_scanned_and_repaired_component_by_component() {
    if !can_trace() {
        return;
    }
    for error in ANSWERS {
        let (stage, outside, owner) = (Stage::new(), Stage::new(), Living::sleep());
        let dead = stage.lock(VERSION, DEPS, Some(&record(dead_pid(), Some(7))));
        let living = stage.lock(VERSION, MIRROR, Some(&record(owner.pid(), Some(owner.ticks()))));
        let deep = stage.lock("a/b/c", DEPS, Some(&record(dead_pid(), Some(7))));
        let far = outside.lock(VERSION, DEPS, Some(&record(dead_pid(), Some(7))));
        std::os::unix::fs::symlink(outside.path().join(VERSION), stage.path().join("link")).unwrap();
        std::fs::create_dir(stage.path().join("linked")).unwrap();
        std::os::unix::fs::symlink(&far, stage.path().join("linked").join(DEPS)).unwrap();

        let args = |verb: &str, more: &[&str]| {
            let mut args = vec![verb.into(), "--assume-single-writer".into(), stage.path().to_owned()];
            args.extend(more.iter().map(PathBuf::from));
            args
        };
        let with = doctor(args("scan", &["--json"]));
        let (answer, trace) = traced(&["-e", "trace=openat2", "-e", &without(error)], args("scan", &["--json"]));
        assert!(trace.contains("(INJECTED)"), "openat2 was never asked for: {trace}");
        assert_eq!((answer.code(), locks(&answer.json())), (1, locks(&with.json())), "{error}");
        assert_eq!(locks(&answer.json()).len(), 4, "{error}: {}", answer.out());

        let (answer, _) = traced(&["-e", "trace=openat2", "-e", &without(error)], args("repair", &["--json"]));
        assert_eq!(answer.json()["summary"]["removed"], 2, "{error}: {}", answer.out());
        // The link where a lock should be is nobody's lock: it remains, and is reported.
        assert_eq!(answer.code(), 1, "{error}: {}", answer.out());
        assert!(!dead.exists() && !deep.exists(), "{error}");
        assert!(living.join("owner.json").exists() && far.join("owner.json").exists(), "{error}");
        assert!(stage.path().join("linked").join(DEPS).is_symlink(), "{error}");
    }
}

/// An OpenClaw with mounts of its own: what it calls its stage is not what we find at that path.
struct Container {
    shell: Child,
    stage: Stage,
}

impl Container {
    fn start() -> Option<Self> {
        let stage = Stage::new();
        // Comm says openclaw; it waits until its standard input ends.
        let program = stage.path().join("openclaw-gateway");
        std::fs::copy("/bin/sh", &program).unwrap();
        stage.lock(&format!("state/{VERSION}"), DEPS, Some(&record(dead_pid(), Some(7))));
        let script = format!(
            "mount -t tmpfs inside state && mkdir -p 'state/{VERSION}/{DEPS}' && \
             echo '{}' > 'state/{VERSION}/{DEPS}/owner.json' && echo ready && exec ./openclaw-gateway -c 'read line'",
            record(dead_pid(), Some(7)).trim()
        );
        let mut command = Command::new("unshare");
        command
            .args(["-m", "sh", "-c", &script])
            .current_dir(stage.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command.env("OPENCLAW_PLUGIN_STAGE_DIR", stage.path().join("state")).stderr(Stdio::null());
        let mut shell = command.spawn().ok()?;
        let mut ready = [0; 6];
        let started = shell.stdout.take().unwrap().read_exact(&mut ready).is_ok();
        let container = Self { shell, stage };
        while started && !container.comm().starts_with("openclaw") {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        started.then_some(container)
    }

    fn comm(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/comm", self.shell.id())).unwrap()
    }

    /// The lock in the container's own mount, as the doctor reaches it.
    fn inside(&self) -> PathBuf {
        let at = self.at_the_same_path();
        Path::new("/proc").join(self.shell.id().to_string()).join("root").join(at.strip_prefix("/").unwrap())
    }

    /// Another lock, at the same path on our side.
    fn at_the_same_path(&self) -> PathBuf {
        self.stage.path().join("state").join(VERSION).join(DEPS)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[test]
fn a_containers_root_is_skipped_and_reported_where_it_cannot_be_resolved_safely() {
    if moved_to_own_machine() || !can_trace() {
        return;
    }
    let Some(container) = Container::start() else {
        lab_required("a mount namespace needs root");
        return;
    };
    let inside = container.inside();
    let ours = |json: &Value| {
        let all = json["locks"].as_array().unwrap();
        all.iter().filter(|lock| lock["path"] == inside.to_str().unwrap()).cloned().collect::<Vec<_>>()
    };
    // With openat2 it is found: so the rest of this test is about openat2.
    let found = doctor(["scan", "--json"]);
    let found = ours(&found.json());
    assert_eq!(found.len(), 1, "the container's lock was not found");
    let id = found[0]["id"].as_str().unwrap();

    for error in ANSWERS {
        let (answer, _) = traced(&["-e", "trace=openat2", "-e", &without(error)], ["scan", "--json"]);
        let json = answer.json();
        assert_eq!(answer.code(), 3, "{error}");
        assert_eq!(ours(&json), Vec::<Value>::new(), "{error}");
        let root = Path::new("/proc").join(container.shell.id().to_string());
        let told = json["problems"].as_array().unwrap().iter();
        let told = told.filter(|problem| Path::new(problem["path"].as_str().unwrap()).starts_with(&root));
        assert!(told.count() > 0, "{error}: nothing is said of the container: {}", json["problems"]);
        // Only this lock is in scope, so that nothing else of this machine is touched.
        let args = ["repair", "--lock", id, "--yes", "--json"];
        let (answer, _) = traced(&["-e", "trace=openat2", "-e", &without(error)], args);
        assert_eq!(answer.code(), 3, "{error}: {}", answer.out());
        for lock in [&inside, &container.at_the_same_path()] {
            assert!(lock.join("owner.json").exists(), "{error}: {}", lock.display());
        }
    }
    let answer = command().args(["repair", "--lock", id, "--yes", "--json"]).output().unwrap();
    let outcome: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(outcome["summary"]["removed"], 1, "{outcome}");
    assert!(!inside.exists() && container.at_the_same_path().join("owner.json").exists());
}
