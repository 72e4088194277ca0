//! Kernel locks that real processes hold: named wherever they can be seen, never removed.

use super::container::{Container, Process};
use super::machine::Need::{Compiler, Host, Namespaces, Root};
use super::machine::{Bench, have, is_root, tool};
use super::view::{NOBODY, on_host, stage, verdict};
use crate::support::{Answer, HANG, Living, Stage, doctor};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What `BEGIN EXCLUSIVE` of SQLite locks.
const EXCLUSIVE: [&str; 4] = ["setlk", "write", "1073741824", "512"];
const NAME: &str = "gateway.5b681173.lock.sqlite";
const PROGRAM: &str = "holder";
const HELD: &str = "active kernel-lock-held held";

/// A coordinator as OpenClaw leaves it, and the program that locks it, where all can reach both.
fn coordinator() -> (Stage, PathBuf) {
    let stage = stage();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/helpers/file_lock.rs");
    let mut rustc = Command::new("rustc");
    assert!(
        rustc.args(["--edition=2024", "-o"]).arg(stage.path().join(PROGRAM)).arg(source).status().unwrap().success()
    );
    let file = file_in(stage.path());
    (stage, file)
}

fn file_in(state: &Path) -> PathBuf {
    let directory = state.join("tmp/openclaw-1000");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(NAME), "").unwrap();
    directory.join(NAME)
}

/// A process of our own that holds it.
fn hold(stage: &Stage, file: &Path) -> Living {
    let mut command = Command::new(stage.path().join(PROGRAM));
    command.args(EXCLUSIVE).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut living = Living(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(living.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    living
}

/// A process of a container that holds a file of its view.
fn hold_inside(container: &mut Container, file: &str) -> Process {
    hold_as(container, file, Container::spawn)
}

fn hold_as(container: &mut Container, file: &str, spawn: impl FnOnce(&mut Container, &str) -> Process) -> Process {
    container.sh("rm -f /vol/in /vol/out; mkfifo /vol/in");
    let command = format!("sh -c 'exec /vol/{PROGRAM} {} {file} <>/vol/in >/vol/out'", EXCLUSIVE.join(" "));
    let process = spawn(container, &command);
    let deadline = Instant::now() + HANG;
    while container.sh("cat /vol/out") != "held" {
        assert!(Instant::now() < deadline, "it does not get the lock");
    }
    process
}

/// The only holder that a report names: its pid here and there, and its program.
fn holder(answer: &Answer) -> (u64, u64, String) {
    let lock = answer.lock();
    let [seen] = lock["sightings"].as_array().unwrap().as_slice() else { panic!("{lock}") };
    let number = |field: &str| seen[field].as_u64().unwrap();
    (number("host_pid"), number("ns_pid"), seen["program"].as_str().unwrap().to_owned())
}

fn explain(path: &Path) -> Answer {
    doctor([OsStr::new("explain"), path.as_os_str()])
}

/// Neither `--yes` nor the lock's own name removes it.
fn assert_stays(file: &Path) {
    let inode = || std::fs::symlink_metadata(file).unwrap().ino();
    let before = inode();
    for args in [
        vec![OsStr::new("repair"), "--yes".as_ref(), file.parent().unwrap().as_os_str()],
        vec!["repair".as_ref(), "--yes".as_ref(), file.as_os_str()],
        vec!["repair".as_ref(), "--lock".as_ref(), file.as_os_str(), "--yes".as_ref()],
    ] {
        let answer = doctor(args);
        assert!(!answer.out().contains("removed "), "{}", answer.out());
        assert_eq!(inode(), before, "{}", answer.out());
    }
}

#[test]
fn a_holder_is_named_and_its_file_stays() {
    if !have(&[Compiler, Host]) {
        return;
    }
    let (stage, file) = coordinator();
    let living = hold(&stage, &file);
    for path in [stage.path(), &file] {
        let answer = on_host(path);
        assert_eq!(verdict(&answer), format!("{HELD} host 0"), "{}", answer.out());
        let pid = u64::from(living.pid());
        assert_eq!(holder(&answer), (pid, pid, PROGRAM.to_owned()));
        assert_eq!(
            (&answer.lock()["family"], &answer.lock()["form"]),
            (&"sqlite-coordinator".into(), &"kernel-lock".into())
        );
        assert_eq!(answer.json()["summary"]["idle"], 0);
    }
    let told = explain(&file).out();
    assert!(told.contains(&format!("{PROGRAM} (pid {}) holds a lock on this file", living.pid())), "{told}");
    assert_stays(&file);
    drop(living);
    assert_eq!(on_host(&file).json()["summary"]["idle"], 1);
    assert_stays(&file);
}

#[test]
fn a_free_file_is_no_lock_and_is_said_to_be_nobodys() {
    let stage = stage();
    let file = file_in(stage.path());
    for path in [stage.path(), &file] {
        let answer = on_host(path);
        let report = answer.json();
        assert_eq!((&report["locks"], &report["summary"]["idle"]), (&serde_json::json!([]), &1.into()));
        assert_eq!((answer.code(), &report["summary"]["problems"]), (0, &0.into()));
    }
    let told = explain(&file);
    assert!(told.code() == 0 && told.out().contains("nobody holds"), "{}{}", told.out(), told.err());
    assert_stays(&file);
}

#[test]
fn a_holder_in_a_container_is_named_inside_outside_and_through_its_root() {
    if !have(&[Compiler, Root, Host, Namespaces]) {
        return;
    }
    let ((stage, file), bench) = (coordinator(), Bench::new());
    let mut container = Container::new(&bench, stage.path());
    let process = hold_inside(&mut container, &format!("/vol/tmp/openclaw-1000/{NAME}"));
    let answer = on_host(&file);
    assert_eq!(verdict(&answer), format!("{HELD} host 0"));
    assert_eq!(holder(&answer), (process.host_pid.into(), process.pid.into(), PROGRAM.to_owned()));
    let answer = container.scan(&["/vol"]);
    assert_eq!(verdict(&answer), format!("{HELD} namespace 0"));
    assert_eq!(holder(&answer), (process.pid.into(), process.pid.into(), PROGRAM.to_owned()));
    let answer = on_host(&container.outside(&format!("/vol/tmp/openclaw-1000/{NAME}")));
    assert_eq!(holder(&answer).0, u64::from(process.host_pid));
    // A sibling cannot see who it is, and must not take it for nobody.
    let sibling = Container::new(&bench, stage.path());
    let answer = sibling.scan(&["/vol"]);
    assert_eq!(verdict(&answer), format!("{HELD} namespace 0"));
    assert_eq!(answer.lock()["sightings"], serde_json::json!([]));
    assert!(answer.lock()["explanation"].as_str().unwrap().contains("cannot be seen from here"), "{}", answer.out());
    container.kill(process);
    assert_eq!(on_host(&file).json()["summary"]["idle"], 1);
}

/// The overlay that is a container's root gives its files devices that the kernel's list has not.
#[test]
fn a_holder_on_a_containers_own_layer_is_named_from_the_host() {
    if !have(&[Compiler, Root, Host, Namespaces]) {
        return;
    }
    let ((stage, _), bench) = (coordinator(), Bench::new());
    let mut container = Container::new(&bench, stage.path());
    container.sh(&format!("mkdir -p /own/tmp/openclaw-1000; : > /own/tmp/openclaw-1000/{NAME}"));
    let process = hold_inside(&mut container, &format!("/own/tmp/openclaw-1000/{NAME}"));
    let answer = on_host(&container.outside("/own"));
    assert_eq!(verdict(&answer), format!("{HELD} host 0"), "{}", answer.out());
    assert_eq!(holder(&answer), (process.host_pid.into(), process.pid.into(), PROGRAM.to_owned()));
    assert_eq!(holder(&container.scan(&["/own"])).0, u64::from(process.pid));
}

/// A pod with the host's /proc sees the host's pids.
#[test]
fn a_holder_is_named_by_the_pids_of_the_proc_directory_that_is_read() {
    if !have(&[Compiler, Root, Host, Namespaces]) {
        return;
    }
    let ((stage, _), bench) = (coordinator(), Bench::new());
    let mut container = Container::with_host_proc(&bench, stage.path());
    let process = hold_inside(&mut container, &format!("/vol/tmp/openclaw-1000/{NAME}"));
    let answer = container.scan(&["/vol", "--proc=/host/proc"]);
    assert_eq!(verdict(&answer), format!("{HELD} host 0"), "{}", answer.out());
    assert_eq!(holder(&answer), (process.host_pid.into(), process.pid.into(), PROGRAM.to_owned()));
}

#[test]
fn a_file_that_may_not_be_opened_is_neither_held_nor_free() {
    let (stage, bench) = (stage(), Bench::new());
    let file = file_in(stage.path());
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o000)).unwrap();
    let scan = |command: &str, more: &[&str]| {
        let mut doctor = if is_root() {
            let mut setpriv = tool("setpriv");
            setpriv.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]).arg(bench.doctor());
            setpriv
        } else {
            tool(bench.doctor())
        };
        Answer(doctor.arg(command).args(more).arg(&file).output().unwrap())
    };
    let answer = scan("scan", &["--json"]);
    let lock = answer.lock();
    assert_eq!(
        (&lock["classification"], &lock["reason"]),
        (&"legacy-unverifiable".into(), &"kernel-lock-unknown".into())
    );
    assert_eq!((&lock["leaning"], answer.code()), (&"likely-held".into(), 1));
    assert_eq!(answer.json()["summary"]["idle"], 0);
    assert_eq!(scan("repair", &["--yes", "--lock"]).code(), 1);
    assert!(file.exists());
}

/// A gateway holds its coordinator for as long as its lock, and the kernel knows of both containers.
#[test]
fn a_gateway_of_a_sibling_container_is_known_by_its_coordinator() {
    if !have(&[Compiler, Root, Namespaces]) {
        return;
    }
    const PID: u32 = 207;
    let ((stage, _), bench) = (coordinator(), Bench::new());
    let mut gateways = Container::new(&bench, stage.path());
    for name in ["gateway.state.lock", "gateway.5b681173.lock"] {
        let (place, inside) = (stage.path().join("s/tmp/openclaw-1000"), "/vol/s/tmp/openclaw-1000");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join(format!("{name}.sqlite")), "").unwrap();
        let holder = hold_as(&mut gateways, &format!("{inside}/{name}.sqlite"), |container, command| {
            container.spawn_at(PID, command)
        });
        let lock = place.join(name);
        let text = format!(
            "{{\"pid\":{PID},\"createdAt\":\"2026-11-23T13:43:26.337Z\",\"configPath\":\"/c\",\"startTime\":{}}}\n",
            holder.ticks
        );
        std::fs::write(&lock, text).unwrap();

        let mut sibling = Container::new(&bench, stage.path());
        sibling.sh("cp $(command -v sleep) /usr/local/bin/node; ln -s node /usr/local/bin/openclaw-gateway");
        let namesake = sibling.spawn_at(PID, "/usr/local/bin/openclaw-gateway 1000");
        if namesake.ticks == holder.ticks {
            sibling.recycle(namesake, "/usr/local/bin/openclaw-gateway 1000");
        }
        let at = format!("{inside}/{name}");
        let scan = |more: &[&str]| verdict(&sibling.scan(&[&[at.as_str()], more].concat()));
        let repair = |more: &[&str]| sibling.run(&[&["repair"], more].concat());
        let single = "--assume-single-writer";
        for more in [&[][..], &[single]] {
            assert_eq!(scan(more), "active coordinator-held held namespace 0", "{name} {more:?}");
        }
        for more in [&[at.as_str()][..], &["--yes", &at], &[single, "--yes", &at], &["--lock", &at, "--yes"]] {
            let answer = repair(more);
            assert_eq!((answer.code(), lock.exists()), (0, true), "{name} {more:?}: {}", answer.out());
            assert!(!answer.out().contains("removed "), "{name} {more:?}: {}", answer.out());
        }
        gateways.kill(holder);
        assert_eq!(scan(&[]), "stale-recycled-pid restarted-container out-of-sight namespace 1", "{name}");
        assert_eq!(scan(&[single]), "stale-recycled-pid start-ticks-differ PROOF namespace 1", "{name}");
        let answer = repair(&[single, &at]);
        assert_eq!((answer.code(), lock.exists()), (0, false), "{name}: {}{}", answer.out(), answer.err());
        assert!(place.join(format!("{name}.sqlite")).exists());
    }
}
