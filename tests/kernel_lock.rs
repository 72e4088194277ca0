//! Kernel locks of other processes are told, and told by asking alone.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)]

#[path = "kernel_lock/held.rs"]
mod held;
mod support;

use openclaw_doctor::hold::{Access, KernelHold, Untold};
use openclaw_doctor::process::kernel_holders::{Asked, Holder, Holders, Kind, list};
use openclaw_doctor::process::proc_dir::ProcDir;
use openclaw_doctor::sys::kernel_lock::look;
use openclaw_doctor::sys::tree::{Dir, Meta};
use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use support::{Living, lab_required};

/// SQLite's bytes: what `BEGIN EXCLUSIVE` locks, and what a reader does.
const EXCLUSIVE: [&str; 2] = ["1073741824", "512"];
const SHARED: [&str; 2] = ["1073741826", "510"];
const NAME: &str = "coordinator.lock.sqlite";
const VARIABLE: &str = "KERNEL_LOCK_FILE";
const PROGRAM: &str = "KERNEL_LOCK_PROGRAM";

/// The program that holds locks; nothing safe takes one on a range, or one of an open file.
static HELPER: LazyLock<PathBuf> = LazyLock::new(|| {
    // Ours, in a process that we started: a program is not linked anew while others run it.
    if let Some(program) = std::env::var_os(PROGRAM) {
        return program.into();
    }
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/helpers/file_lock.rs");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("file-lock");
    let fresh = program.with_extension(std::process::id().to_string());
    let mut command = Command::new("rustc");
    assert!(command.args(["--edition=2024", "-o"]).arg(&fresh).arg(source).status().unwrap().success());
    std::fs::rename(fresh, &program).unwrap();
    program
});

struct File(tempfile::TempDir);

impl File {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join(NAME), "SQLite format 3").unwrap();
        Self(temp)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join(NAME)
    }

    fn lock(&self, call: &str, access: &str, range: [&str; 2]) -> Living {
        lock(&self.path(), call, access, range)
    }

    fn seen(&self) -> (Dir, Meta) {
        let dir = Dir::open_root(self.0.path()).unwrap();
        let seen = dir.meta_of(NAME.as_bytes()).unwrap();
        (dir, seen)
    }

    fn look(&self) -> KernelHold {
        let (dir, seen) = self.seen();
        look(&dir, NAME.as_bytes(), &seen).unwrap()
    }

    fn holders(&self) -> (Vec<Holder>, Option<Untold>) {
        let found = self.listed();
        (found.by, found.unknown)
    }

    fn listed(&self) -> Holders {
        listed(&self.seen().1)
    }
}

/// What the kernel's list says of a file.
fn listed(seen: &Meta) -> Holders {
    let proc = ProcDir::open(Path::new("/proc")).unwrap();
    let asked = Asked { device: seen.device, superblock: None, inode: seen.inode };
    list(&proc, &HashSet::from([seen.inode])).on(&proc, &asked)
}

fn lock(path: &Path, call: &str, access: &str, range: [&str; 2]) -> Living {
    let mut command = Command::new(&*HELPER);
    let command = command.args([call, access]).args(range).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut living = Living(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(living.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    living
}

fn held(pid: Option<u32>, access: Access) -> KernelHold {
    KernelHold::Held { pid, access }
}

#[test]
fn a_holder_is_named_while_it_holds_and_the_file_is_free_once_it_is_dead() {
    let file = File::new();
    assert_eq!((file.look(), file.holders()), (KernelHold::Free, (vec![], None)));
    for (name, access, range) in [("write", Access::Write, EXCLUSIVE), ("read", Access::Read, SHARED)] {
        let living = file.lock("setlk", name, range);
        let pid = living.pid();
        assert_eq!(file.look(), held(Some(pid), access));
        assert_eq!(file.holders(), (vec![Holder { pid, access, kind: Kind::Posix }], None));
        drop(living);
        assert_eq!((file.look(), file.holders()), (KernelHold::Free, (vec![], None)));
    }
}

#[test]
fn a_writer_is_not_hidden_by_readers() {
    let file = File::new();
    let _readers = [file.lock("setlk", "read", SHARED), file.lock("setlk", "read", ["0", "1"])];
    let writer = file.lock("setlk", "write", ["1073741825", "1"]);
    let _late = file.lock("setlk", "read", SHARED);
    assert_eq!(file.look(), held(Some(writer.pid()), Access::Write));
    assert_eq!(file.holders().0.len(), 4);
}

#[test]
fn a_lock_of_an_open_file_is_held_by_somebody_who_is_not_named() {
    let file = File::new();
    let _living = file.lock("ofd", "write", EXCLUSIVE);
    assert_eq!(file.look(), held(None, Access::Write));
    let (by, unknown) = file.holders();
    assert_eq!((by, unknown), (vec![], Some(Untold::Nameless)));
}

#[test]
fn asking_changes_nothing_and_keeps_nobody_out() {
    let file = File::new();
    // An access time before the last change is what relatime would move on a read.
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(1_000_000);
    std::fs::File::options()
        .write(true)
        .open(file.path())
        .unwrap()
        .set_times(std::fs::FileTimes::new().set_accessed(old))
        .unwrap();
    let state = || {
        let meta = std::fs::metadata(file.path()).unwrap();
        (meta.atime(), meta.atime_nsec(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec(), meta.size())
    };
    let before = state();
    assert_eq!(file.look(), KernelHold::Free);
    let living = file.lock("setlk", "write", EXCLUSIVE);
    assert_eq!(file.look(), held(Some(living.pid()), Access::Write));
    assert_eq!(file.look(), held(Some(living.pid()), Access::Write), "the first look took it away");
    assert_eq!(state(), before);
}

#[test]
fn a_flock_left_to_a_child_is_not_said_to_be_its_parents() {
    let file = File::new();
    let open = std::fs::File::open(file.path()).unwrap();
    open.lock_shared().unwrap();
    assert_eq!(file.look(), KernelHold::Free, "F_GETLK tells nothing of flock(2)");
    let pid = std::process::id();
    assert_eq!(file.holders(), (vec![Holder { pid, access: Access::Read, kind: Kind::Flock }], None));

    let _child = Living(Command::new("sleep").arg("1000").stdin(Stdio::from(open)).spawn().unwrap());
    let (by, unknown) = file.holders();
    assert!(by.is_empty(), "the list names us, and we have it open no more: {by:?}");
    assert_eq!(unknown, Some(Untold::PassedOn(pid)));
    assert_eq!(file.listed().hold, KernelHold::Held { pid: None, access: Access::Read }, "somebody holds it");
}

/// Looks at a file from inside a PID namespace that does not show the holder.
#[test]
#[ignore = "the part of another process"]
fn look_from_inside() {
    let path = PathBuf::from(std::env::var_os(VARIABLE).unwrap());
    let dir = Dir::open_root(path.parent().unwrap()).unwrap();
    let seen = dir.meta_of(NAME.as_bytes()).unwrap();
    assert_eq!(look(&dir, NAME.as_bytes(), &seen), Ok(held(None, Access::Write)));
    let found = listed(&seen);
    assert_eq!((found.by, found.unknown), (vec![], None), "the list leaves out whom the namespace does not show");
}

#[test]
fn a_holder_outside_our_pid_namespace_holds_though_proc_does_not_list_it() {
    let root: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(root).args(["--pid", "--fork", "--mount-proc"]);
        command
    };
    if !unshare().arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        lab_required("PID namespaces can't be made here");
        return;
    }
    let file = File::new();
    let _living = file.lock("setlk", "write", EXCLUSIVE);
    let mut command = unshare();
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "look_from_inside", "--ignored"]);
    let output = command.env(VARIABLE, file.path()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// An overlay over two file systems: stat(2) and the kernel's list give its files different devices.
#[test]
fn a_holder_is_named_where_stat_gives_another_device_than_the_list() {
    let temp = tempfile::tempdir().unwrap();
    let script = r#"
        set -e; cd "$1"; mkdir lower tmp merged; echo x > lower/x
        mount -t tmpfs tmpfs tmp; mkdir tmp/upper tmp/work
        mount -t overlay overlay -o lowerdir=lower,upperdir=tmp/upper,workdir=tmp/work merged
        echo > "merged/$2""#;
    let own = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let inner = format!("{script}\nexec \"$3\" --exact look_at_an_overlay --ignored");
    command.args(["--mount", "sh", "-c", &inner, "sh"]).arg(temp.path()).arg(NAME).arg(own);
    command.env(PROGRAM, &*HELPER);
    let output = command.env(VARIABLE, temp.path().join("merged").join(NAME)).stdin(Stdio::null()).output();
    let output = output.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    if !told.contains("running 1 test") {
        lab_required(&format!("no overlay can be mounted here: {}", String::from_utf8_lossy(&output.stderr)));
        return;
    }
    assert!(output.status.success(), "{told}");
}

#[test]
#[ignore = "the part of another process"]
fn look_at_an_overlay() {
    let path = PathBuf::from(std::env::var_os(VARIABLE).unwrap());
    let dir = Dir::open_root(path.parent().unwrap()).unwrap();
    let seen = dir.meta_of(NAME.as_bytes()).unwrap();
    let living = lock(&path, "setlk", "write", EXCLUSIVE);
    let pid = living.pid();
    assert_eq!(look(&dir, NAME.as_bytes(), &seen), Ok(held(Some(pid), Access::Write)));
    let list = std::fs::read_to_string("/proc/locks").unwrap();
    let device = format!("{:02x}:{:02x}:{}", seen.device.0, seen.device.1, seen.inode);
    assert!(list.contains(&format!(" {pid} ")) && !list.contains(&format!(" {pid} {device} ")), "{device}\n{list}");
    let found = listed(&seen);
    assert_eq!(found.by, [Holder { pid, access: Access::Write, kind: Kind::Posix }]);
    assert_eq!(found.unknown, None);
    // What lies below the overlay is another file to the kernel's locks.
    let upper = Dir::open_root(&path.parent().unwrap().with_file_name("tmp").join("upper")).unwrap();
    let below = upper.meta_of(NAME.as_bytes()).unwrap();
    assert_eq!(look(&upper, NAME.as_bytes(), &below), Ok(KernelHold::Free));
}
