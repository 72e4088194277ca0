//! What a run may cost at most (docs/limits.md), measured by its peak resident memory.

use super::server::{IN_TIME, Server};
use super::support::machine::{VOUCHED, moved_to_own_machine};
use super::support::{Answer, DEPS, Stage, command, dead_pid, lab_required, record};
use std::ffi::OsStr;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;
use wait4::Wait4;

const MIB: u64 = 1024 * 1024;

/// A run, the most that it held, in bytes, and how long it took, in milliseconds.
fn measured<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> (Answer, u64) {
    let mut doctor = command();
    // One process, whose memory is its own.
    doctor.args(args).env("OPENCLAW_DOCTOR_FRONT", "0");
    let began = Instant::now();
    let mut child = doctor.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    let ended = child.wait4().unwrap();
    assert!(began.elapsed() < IN_TIME * 2, "it took {:?}", began.elapsed());
    let output = std::process::Output { status: ended.status, stdout: out, stderr: Vec::new() };
    (Answer(output), ended.rusage.maxrss)
}

fn assert_within(peak: u64, mib: u64, what: &str) {
    assert!(peak <= mib * MIB, "{what}: {} MiB, at most {mib} were allowed", peak / MIB);
}

/// Files that take no room on any disk.
#[test]
fn five_thousand_sparse_records_of_64_kib_take_40_mib() {
    let stage = Stage::new();
    for number in 0..5_000 {
        let lock = stage.lock(&format!("openclaw-2026.4.29-{number:012x}"), DEPS, Some(""));
        std::fs::File::create(lock.join("owner.json")).unwrap().set_len(65_536).unwrap();
    }
    let (answer, peak) = measured(["scan".as_ref(), "--json".as_ref(), stage.path().as_os_str()]);
    assert_eq!(answer.json()["summary"]["locks"], 5_000);
    assert_eq!(answer.json()["locks"][0]["owner"]["raw_cut_from"], 65_536);
    assert_within(peak, 40, "5,000 sparse records");
}

/// A variable that is a list may be as long as an argument may be, and each entry is looked for
/// below a working directory with a path as long as a path may be.
#[test]
fn a_process_that_names_thousands_of_places_takes_40_mib() {
    if moved_to_own_machine() {
        return;
    }
    let stage = Stage::new();
    let mut deep = stage.path().to_owned();
    while deep.as_os_str().len() < 3_700 {
        deep.push("d".repeat(200));
    }
    // Step by step: no path is longer than a path may be.
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("package.json"), "{\"name\":\"openclaw\",\"version\":\"2026.9.6\"}").unwrap();
    let program = super::support::titled(stage.path(), "openclaw-gateway", "/bin/sleep");
    let list: String = (0..26_000).map(|number| format!("{number:04x}:")).collect();
    let mut gateway = Command::new(program);
    gateway.arg("1000").env_clear().current_dir(&deep);
    for name in ["OPENCLAW_PLUGIN_STAGE_DIR", "STATE_DIRECTORY"] {
        gateway.env(name, &list[..list.len().min(131_000)]);
    }
    let gateway = gateway.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let gateway = super::support::settled(gateway);
    let (answer, peak) = measured(["scan", "--json", VOUCHED]);
    assert_within(peak, 40, "lists of 128 KB");
    assert_eq!(answer.code(), 3, "{}", answer.out());
    let told = format!("/proc/{}", gateway.pid());
    let problems = answer.json()["problems"].clone();
    let of_it = problems.as_array().unwrap().iter().find(|problem| problem["path"] == told.as_str());
    assert!(of_it.unwrap()["cause"].as_str().unwrap().contains("more than 32 places"), "{problems}");
}

/// Every namespace may hold a process of the recorded number.
#[test]
fn many_locks_of_one_pid_beside_many_namespaces_share_what_is_known_of_them() {
    if moved_to_own_machine() {
        return;
    }
    // A tenth of the 400 namespaces and half of the 4,000 locks of docs/limits.md.
    let (namespaces, locks) = (40, 2_000);
    let stage = Stage::new();
    let mut inits = Vec::new();
    for _ in 0..namespaces {
        let mut init = Command::new("unshare");
        init.args(["--pid", "--fork", "--kill-child", "sleep", "1000"]).stdin(Stdio::null()).stdout(Stdio::null());
        match init.spawn() {
            Ok(child) => inits.push(super::support::Living(child)),
            Err(error) => return lab_required(&format!("unshare: {error}")),
        }
    }
    for number in 0..locks {
        stage.lock(&format!("openclaw-2026.4.29-{number:012x}"), DEPS, Some(&record(1, None)));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    let (answer, peak) = measured(["scan".as_ref(), "--json".as_ref(), stage.path().as_os_str()]);
    let json = answer.json();
    let first = &json["locks"][0];
    let seen = first["sightings"].as_array().unwrap().len() as u64 + first["sightings_omitted"].as_u64().unwrap();
    assert!(seen >= namespaces, "{seen} carriers of pid 1: {first}");
    assert_eq!(first["sightings"].as_array().unwrap().len(), 8);
    assert_within(peak, 32, "locks beside namespaces");
    assert!(answer.0.stdout.len() < 10 * 1024 * 1024, "{} bytes of JSON", answer.0.stdout.len());
}

/// Names are listed, and not kept. The million of docs/limits.md is a tenth here.
#[test]
fn a_hundred_thousand_names_take_no_memory() {
    let stage = Stage::new();
    for directory in 0..10 {
        let directory = stage.path().join(directory.to_string());
        std::fs::create_dir(&directory).unwrap();
        for number in 0..10_000 {
            std::fs::File::create(directory.join(format!("{number:05}"))).unwrap();
        }
    }
    let (answer, peak) = measured(["scan".as_ref(), "--json".as_ref(), stage.path().as_os_str()]);
    assert_eq!(answer.code(), 0, "{}", answer.out());
    assert_within(peak, 16, "100,000 names");
}

/// Four hundred places on one dead mount are one wait, and other places are looked at all the same.
#[test]
fn hundreds_of_places_on_one_dead_mount_cost_one_wait() {
    if moved_to_own_machine() {
        return;
    }
    let Some(server) = Server::new(0) else { return };
    let stage = Stage::new();
    stage.lock("openclaw-2026.4.29-aaaaaaaaaaaa", DEPS, Some(&record(dead_pid(), Some(7))));
    server.stop();
    let places = (0..400).map(|number| server.inner().join(number.to_string()));
    let places: Vec<_> = places.chain([stage.path().to_owned()]).collect();
    let mut doctor = command();
    doctor.args(["scan", "--json", VOUCHED]).args(&places);
    let began = Instant::now();
    let answer = super::server::ended(doctor);
    assert_eq!((answer.code(), answer.json()["summary"]["locks"].as_u64()), (3, Some(1)), "{}", answer.out());
    let problems = answer.json()["problems"].as_array().unwrap().len();
    assert!(problems < 110, "{problems} lines");
    assert!(answer.out().contains("more of this kind"), "{}", answer.out());
    server.go_on();
    drop(server);
    assert!(began.elapsed() < IN_TIME);
}

/// A directory that is mounted everywhere is looked through once.
#[test]
fn a_directory_that_is_bound_a_hundred_times_is_walked_once() {
    if moved_to_own_machine() {
        return;
    }
    let stage = Stage::new();
    let source = stage.path().join("source");
    for number in 0..100 {
        std::fs::create_dir_all(source.join(number.to_string())).unwrap();
        let at = stage.path().join(format!("bound/{number}"));
        std::fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount").arg("--bind").args([&source, &at]).status().unwrap();
        if !mounted.success() {
            return lab_required("no bind mounts");
        }
    }
    let text = super::support::doctor(["scan", "-v", VOUCHED, stage.path().to_str().unwrap()]);
    let (_, trace) = super::support::trace::traced(
        &["-e", "trace=getdents64"],
        ["scan".as_ref(), VOUCHED.as_ref(), stage.path().as_os_str()],
    );
    let listings = trace.lines().filter(|line| line.contains("getdents64(")).count();
    assert!(listings < 1_000, "{listings} listings of about 300 directories: {}", text.out());
}

/// A table of mounts of any size is read: four thousand are a megabyte.
#[test]
fn a_mount_table_of_megabytes_hides_nothing() {
    if moved_to_own_machine() {
        return;
    }
    let stage = Stage::new();
    let base = stage.path().join("m".repeat(250)).join("n".repeat(250));
    std::fs::create_dir_all(&base).unwrap();
    let (at, script) = (
        base.to_str().unwrap(),
        "mount -t tmpfs t \"$1\" && cd \"$1\" && mkdir x && \
        n=0; while [ $n -lt 11 ]; do mkdir -p x/$n && mount --rbind . x/$n || exit 1; n=$((n + 1)); done",
    );
    let made = Command::new("sh").args(["-c", script, "sh", at]).output().unwrap();
    let table = std::fs::metadata("/proc/self/mountinfo").map(|_| std::fs::read("/proc/self/mountinfo").unwrap().len());
    if !made.status.success() || table.unwrap() < 1_100_000 {
        return lab_required(&format!("no table of a megabyte: {made:?}"));
    }
    let place = Stage::new();
    place.lock("openclaw-2026.4.29-aaaaaaaaaaaa", DEPS, Some(&record(dead_pid(), Some(7))));
    let answer =
        super::support::doctor(["scan".as_ref(), "--json".as_ref(), VOUCHED.as_ref(), place.path().as_os_str()]);
    assert_eq!(answer.json()["host"]["vantage"], "namespace", "{}", answer.out());
    assert_eq!(answer.lock()["proof"], true, "{}", answer.out());
}
