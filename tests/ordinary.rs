//! Ordinary places, where the tool must stay useful: what is proven there, what is held back, and
//! with which exit code.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)]

mod support;
use serde_json::Value;

use std::path::Path;
use std::process::{Command, Stdio};
use support::machine::VOUCHED;
use support::users::{STRANGER, dir, ground, is_elsewhere, openclaw, stale};
use support::{Answer, DEPS, Living, command, dead_pid, lab_required};

const USER: u32 = 54_331;
/// Capabilities of a container under Docker's default profile (moby, oci/caps/defaults.go).
const DOCKER: &str = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,\
    +net_raw,+sys_chroot,+mknod,+audit_write,+setfcap";

/// The doctor as this user, with this home.
fn as_user(uid: u32, home: &Path, args: &[&str]) -> Answer {
    let doctor = home.join("doctor-of-test");
    assert!(Command::new("cp").arg(command().get_program()).arg(&doctor).status().unwrap().success());
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".to_owned()]).arg(&doctor);
    command.args(args).env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").current_dir("/");
    Answer(command.stdin(Stdio::null()).output().unwrap())
}

/// An ordinary user on a shared host, beside another user's gateway.
#[test]
fn an_ordinary_user_is_answered_about_the_own_places() {
    if is_elsewhere() {
        return;
    }
    let ground = ground();
    let (mine, theirs) = (ground.path().join("mine"), ground.path().join("theirs"));
    dir(&mine, USER, USER, 0o755);
    dir(&theirs, STRANGER, STRANGER, 0o700);
    let lock = stale(&mine.join(".openclaw"), USER);
    let other = stale(&theirs.join(".openclaw"), STRANGER);
    let gateway = openclaw(ground.path(), STRANGER, STRANGER, &[], &[("HOME", &theirs)]);

    let seen = as_user(USER, &mine, &["scan", VOUCHED]);
    assert_eq!(seen.code(), 1, "the own lock is stale: {}{}", seen.out(), seen.err());
    assert!(!seen.out().contains(other.to_str().unwrap()), "{}", seen.out());
    let repaired = as_user(USER, &mine, &["repair", VOUCHED]);
    assert_eq!((repaired.code(), lock.exists(), other.exists()), (0, false, true), "{}", repaired.out());

    let healthy = as_user(USER, &mine, &["scan", VOUCHED]);
    assert_eq!(healthy.code(), 0, "a neighbour's gateway is no reason to fail: {}{}", healthy.out(), healthy.err());
    assert!(healthy.out().contains("openclaw-gatewa"), "whose places were not looked at: {}", healthy.out());
    let json = as_user(USER, &mine, &["scan", "--json", "--redact", VOUCHED]).json();
    let stranger = &json["not_looked_at"][0];
    assert_eq!((&stranger["pid"], &stranger["uid"]), (&gateway.pid().into(), &STRANGER.into()), "{json}");
}

/// A user without any OpenClaw place of its own (monitoring, a forgotten sudo) beside a running gateway.
#[test]
fn who_has_no_place_of_its_own_is_not_told_that_all_is_well() {
    if is_elsewhere() {
        return;
    }
    let ground = ground();
    let (mine, theirs) = (ground.path().join("mine"), ground.path().join("theirs"));
    dir(&mine, USER, USER, 0o755);
    dir(&theirs, STRANGER, STRANGER, 0o700);
    stale(&theirs.join(".openclaw"), STRANGER);
    let _gateway = openclaw(ground.path(), STRANGER, STRANGER, &[], &[("HOME", &theirs)]);
    let answer = as_user(USER, &mine, &["scan", VOUCHED]);
    assert_eq!(answer.code(), 3, "{}{}", answer.out(), answer.err());
    assert!(!answer.out().contains("Nothing stale"), "{}", answer.out());
}

/// `docker exec -u root` beside a gateway of uid 1000, under Docker's default capabilities: its
/// environment is protected from root there, and read with its own ids.
#[test]
fn root_of_a_container_sees_and_clears_what_its_gateways_user_left() {
    if is_elsewhere() {
        return;
    }
    let ground = ground();
    let state = ground.path().join("volume");
    let lock = stale(&state, STRANGER);
    let _gateway = openclaw(ground.path(), STRANGER, STRANGER, &[], &[("OPENCLAW_STATE_DIR", &state)]);
    let run = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args([format!("--bounding-set={DOCKER}"), format!("--inh-caps={DOCKER}")]);
        command.arg(support::command().get_program()).args(args).env_clear().env("HOME", "/root");
        Answer(command.stdin(Stdio::null()).output().unwrap())
    };
    let seen = run(&["scan", "--json", VOUCHED]);
    assert_eq!(seen.code(), 1, "{}{}", seen.out(), seen.err());
    assert_eq!(seen.lock_at(DEPS)["proof"], true, "{}", seen.out());
    assert_eq!(seen.json()["problems"], Value::Array(Vec::new()), "{}", seen.out());
    let repaired = run(&["repair", VOUCHED]);
    assert_eq!((repaired.code(), lock.exists()), (0, false), "{}{}", repaired.out(), repaired.err());
}

/// A NAS with ten containers, each with a gateway that is pid 7 on a volume of its own: one restarted
/// container's stale lock is held up by none of the nine neighbours.
#[test]
fn neighbours_with_the_same_pid_hold_up_nobodys_lock() {
    if is_elsewhere() {
        return;
    }
    let ground = ground();
    let volumes = ground.path().join("volumes");
    std::fs::create_dir(&volumes).unwrap();
    let script = "set -e; mount -t tmpfs volume \"$1\"; echo 6 >/proc/sys/kernel/ns_last_pid; \"$2\" 1000 & wait";
    let mut gateways = Vec::new();
    for index in 0..10 {
        let volume = volumes.join(index.to_string());
        std::fs::create_dir(&volume).unwrap();
        let program = support::titled(ground.path(), "openclaw-gateway", "/bin/sleep");
        let mut container = Command::new("unshare");
        container.args(["--pid", "--mount", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script, "sh"]);
        container.arg(&volume).arg(program).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        gateways.push(Living(container.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()));
    }
    let pid_7 = || {
        let status = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let names = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
        let pids = names.filter_map(|name| name.into_string().ok()).filter(|name| name.parse::<u32>().is_ok());
        let is_7 = |status: &String| {
            let levels = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
            status.starts_with("Name:\topenclaw-gatewa") && levels.split_whitespace().nth(1) == Some("7")
        };
        pids.map(|pid| status(&pid)).filter(is_7).count()
    };
    support::wait_until("ten gateways of pid 7", || pid_7() == 10);
    // A volume that was mounted after they were started is in nobody's mount table but ours.
    let stopped = ground.path().join("stopped");
    std::fs::create_dir(&stopped).unwrap();
    rustix::mount::mount("volume", &stopped, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
    let stage = stopped.join("plugin-runtime-deps");
    let lock = stage.join("openclaw-2026.4.26-aaaaaaaaaaaa").join(DEPS);
    std::fs::create_dir_all(&lock).unwrap();
    // As 2026.4.26 wrote it: no start time.
    std::fs::write(lock.join("owner.json"), "{\"pid\":7,\"createdAtMs\":1777458804809}").unwrap();
    let mut scan = command();
    scan.args(["scan", "--json", VOUCHED]).arg(&stage).stdin(Stdio::null());
    let answer = Answer(scan.output().unwrap());
    let lock = answer.lock();
    assert_eq!(lock["leaning"], "likely-stale", "{lock}");
}

/// A board without a clock: it starts in 1970, OpenClaw writes its lock, and then the time is set.
#[test]
fn a_wrong_clock_at_boot_costs_no_living_owner_its_lock() {
    if is_elsewhere() {
        return;
    }
    let ground = ground();
    let stage = ground.path().join("plugin-runtime-deps");
    let living = Living::sleep();
    let plant = |name: &str, pid: u32, ticks: Option<u64>, at: i64| {
        let lock = stage.join(format!("openclaw-2026.4.29-{name:0>12}")).join(DEPS);
        std::fs::create_dir_all(&lock).unwrap();
        let ticks = ticks.map(|ticks| format!(",\"starttime\":{ticks}")).unwrap_or_default();
        std::fs::write(lock.join("owner.json"), format!("{{\"pid\":{pid}{ticks},\"createdAtMs\":{at}}}")).unwrap();
        lock
    };
    let year_2100 = 4_102_444_800_000;
    for (name, at) in [("a", 5_000), ("b", year_2100)] {
        let held = plant(name, living.pid(), Some(living.ticks()), at);
        let gone = plant(&format!("d{name}"), dead_pid(), Some(7), at);
        let mut repair = command();
        repair.args(["repair", "--yes", VOUCHED]).arg(&stage).stdin(Stdio::null());
        let answer = Answer(repair.output().unwrap());
        assert!(held.exists() && !gone.exists(), "{at}: {}{}", answer.out(), answer.err());
        let mut scan = command();
        scan.args(["scan", "--json", VOUCHED]).arg(&stage).stdin(Stdio::null());
        let classes = Answer(scan.output().unwrap()).json();
        let classes = classes["locks"].as_array().unwrap().clone();
        assert!(classes.iter().all(|lock| lock["classification"] == "active"), "{classes:?}");
    }
}

/// An id-mapped mount, as a rootless or user-namespaced container has its volume.
#[test]
fn an_id_mapped_volume_is_used_as_its_mapped_owner() {
    if is_elsewhere() {
        return;
    }
    let ground = ground();
    let (source, target) = (ground.path().join("source"), ground.path().join("volume"));
    std::fs::create_dir(&target).unwrap();
    // On disk it is uid 0's; through the mount, the gateway's.
    let lock = stale(&source, 0);
    let mapped = Command::new("/usr/bin/python3")
        .args(["-c", IDMAP])
        .args([&source, &target])
        .arg(STRANGER.to_string())
        .output();
    let mapped = match mapped {
        Ok(output) => output,
        Err(error) => return lab_required(&format!("python3: {error}")),
    };
    if !mapped.status.success() {
        return lab_required(&format!("no id-mapped mounts: {}", String::from_utf8_lossy(&mapped.stderr)));
    }
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&target).unwrap());
    assert_eq!(uid, STRANGER, "the mapping");
    let _gateway = openclaw(ground.path(), STRANGER, STRANGER, &[], &[("OPENCLAW_STATE_DIR", &target)]);
    let mut repair = command();
    repair.args(["repair", "--yes", VOUCHED]).stdin(Stdio::null());
    let answer = Answer(repair.output().unwrap());
    assert!(!lock.exists(), "{}{}", answer.out(), answer.err());
    // Another user's gateway aims there in vain.
    let lock = stale(&source, 0);
    let other = dir(&ground.path().join("other"), USER, USER, 0o755);
    drop(_gateway);
    let _gateway = openclaw(&other, USER, USER, &[], &[("OPENCLAW_STATE_DIR", &target)]);
    let mut repair = command();
    repair.args(["repair", "--yes", VOUCHED]).stdin(Stdio::null());
    let answer = Answer(repair.output().unwrap());
    assert!(lock.exists(), "{}{}", answer.out(), answer.err());
}

/// open_tree(2), mount_setattr(2) and move_mount(2), for which util-linux before 2.39 has no option:
/// uid and gid 0 of the source become those of the argument.
const IDMAP: &str = r#"
import ctypes, os, struct, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    result = libc.syscall(number, *args)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
source, target, uid = sys.argv[1].encode(), sys.argv[2].encode(), int(sys.argv[3])
holder = subprocess.Popen(["unshare", "--user", "sleep", "60"])
try:
    while os.readlink(f"/proc/{holder.pid}/ns/user") == os.readlink("/proc/self/ns/user"):
        time.sleep(0.01)
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{holder.pid}/{name}", "w") as file:
            file.write(f"0 {uid} 1")
    user = os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY)
    AT_FDCWD, AT_EMPTY_PATH, OPEN_TREE_CLONE, MOUNT_ATTR_IDMAP = -100, 0x1000, 1, 0x100000
    tree = call(428, AT_FDCWD, source, OPEN_TREE_CLONE | os.O_CLOEXEC)
    attributes = struct.pack("QQQQ", MOUNT_ATTR_IDMAP, 0, 0, user)
    call(442, tree, b"", AT_EMPTY_PATH, attributes, len(attributes))
    call(429, tree, b"", AT_FDCWD, target, 4)
finally:
    holder.kill()
"#;
