//! Owners that record the start time of somebody else: no /proc of their own, or an emulator's.
//!
//! Each owner is a shell that signs its lock as OpenClaw does: `$$`, which is what getpid()
//! said at its start, and field 22 of `/proc/$$/stat` as it reads it.

use super::container::Container;
use super::machine::Need::{Bubblewrap, Emulator, Host, Namespaces, Root};
use super::machine::{Bench, have, run, tool};
use super::view::{as_nobody, lock, on_host, stage, verdict};
use crate::support::{Answer, Living, Stage, doctor, now_ms, record, start_ticks};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Becomes a shell that signs.
const SIGN: &str = r#"exec sh -c 'IFS= read -r stat < /proc/$$/stat || stat=; pid=$$; set -- ${stat##*) }; shift 19; echo "$pid $1"; exec sleep 1000'"#;

/// A process that has signed, until it is dropped.
struct Owner {
    leader: Child,
    pid: u32,
    ticks: u64,
}

impl Owner {
    /// Starts a command that runs `$SIGN` somewhere.
    fn start(mut command: Command) -> Self {
        let mut leader = command.env("SIGN", SIGN).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(leader.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let numbers: Vec<u64> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let [pid, ticks] = numbers[..] else { panic!("it did not sign: {line:?}") };
        Self { leader, pid: u32::try_from(pid).unwrap(), ticks }
    }

    fn record(&self) -> String {
        format!("{{\"pid\":{},\"starttime\":{},\"createdAtMs\":{}}}", self.pid, self.ticks, now_ms())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // --kill-child and --die-with-parent take the rest along.
        let _ = self.leader.kill();
        let _ = self.leader.wait();
    }
}

fn command(words: &[&str]) -> Command {
    let mut command = tool(words[0]);
    command.args(&words[1..]);
    command
}

/// A living owner's lock stays, whoever asks and however.
fn stays(bench: &Bench, stage: &Stage, owner: &Owner, what: &str) {
    let file = lock(stage.path(), &owner.record()).join("owner.json");
    for answer in [on_host(stage.path()), as_nobody(bench, stage.path())] {
        let lock = answer.lock();
        assert_eq!(lock["proof"], false, "{what}: {lock}");
        assert!(
            ["active", "legacy-unverifiable"].contains(&lock["classification"].as_str().unwrap()),
            "{what}: {lock}"
        );
    }
    let answer = doctor(["repair".as_ref(), stage.path().as_os_str(), "--yes".as_ref()]);
    assert!(file.exists(), "{what}: a living owner's lock was removed: {}", answer.out());
}

#[test]
fn an_owner_in_a_pid_namespace_without_its_own_proc_keeps_its_lock() {
    if !have(&[Root, Host, Bubblewrap]) {
        return;
    }
    // A number that few namespaces have in use: what others look like is not of this test.
    let number = kernel_thread();
    let child = format!("echo {} > /proc/sys/kernel/ns_last_pid; ({SIGN}) & wait", number - 1);
    let bwrap = ["bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--die-with-parent", "--cap-add", "ALL"];
    let bwrap = [&bwrap[..], &["sh", "-c", &child]].concat();
    let first = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", SIGN];
    let later = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", &child];
    for (words, pid) in [(&bwrap[..], number), (&first, 1), (&later, number)] {
        let (bench, stage) = (Bench::new(), stage());
        let owner = Owner::start(command(words));
        assert_eq!(owner.pid, pid, "{words:?}");
        // What it read is the start time of the process that has its number outside.
        assert_eq!(owner.ticks, start_ticks(owner.pid), "{words:?}");
        stays(&bench, &stage, &owner, words[0]);
        assert_eq!(verdict(&on_host(stage.path())), "active owner-alive held host 0", "{words:?}");
        // The stranger's number may have been another's at that time.
        lock(stage.path(), &record(owner.pid, Some(owner.ticks + 7_000)));
        let answer = on_host(stage.path());
        if pid == 1 {
            // Every namespace here has one, and some may not be read for a moment.
            let lock = answer.lock();
            assert_eq!((&lock["leaning"], &lock["proof"]), (&"likely-held".into(), &false.into()), "{lock}");
        } else {
            let held = "legacy-unverifiable ticks-not-comparable likely-held host 1";
            assert_eq!(verdict(&answer), held, "{words:?}: {}", answer.out());
        }
    }
}

/// `nsenter -p` leaves the mounts, and with them /proc, as they are.
#[test]
fn an_owner_that_entered_a_pid_namespace_with_the_hosts_proc_keeps_its_lock() {
    if !have(&[Root, Host, Namespaces]) {
        return;
    }
    let (bench, stage, mut container) = (Bench::new(), stage(), Container::bare());
    let number = kernel_thread();
    container.sh(&format!("echo {} > /proc/sys/kernel/ns_last_pid", number - 1));
    let target = container.init.to_string();
    let owner = Owner::start(command(&["nsenter", "--target", &target, "--pid", "sh", "-c", SIGN]));
    assert_eq!(owner.pid, number);
    stays(&bench, &stage, &owner, "nsenter -p");
    assert_eq!(verdict(&on_host(stage.path())), "active owner-alive held host 0");
}

/// The namespace outside of it is a container's: its procfs has another device than ours.
#[test]
fn an_owner_in_a_sandbox_with_its_containers_proc_keeps_its_lock() {
    if !have(&[Root, Host, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let mut container = Container::bare();
    let stranger = container.spawn_at(31_041, "sleep 1000");
    // In one clock tick both would start at the same time.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let namesake = format!("echo 31040 > /proc/sys/kernel/ns_last_pid; ({SIGN}) & wait");
    let mut enter = container.enter(&["--pid", "--mount"]);
    enter.args(["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", &namesake]);
    let owner = Owner::start(enter);
    assert_eq!((owner.pid, owner.ticks), (stranger.pid, stranger.ticks));
    stays(&bench, &stage, &owner, "a sandbox in a container");
    assert_eq!(verdict(&on_host(stage.path())), "active owner-alive held host 0");
    // Once the stranger has gone, nobody has the recorded ticks.
    container.kill(stranger);
    stays(&bench, &stage, &owner, "a sandbox in a container, later");
    let held = "legacy-unverifiable ticks-not-comparable likely-held host 1";
    let answer = on_host(stage.path());
    assert_eq!(verdict(&answer), held, "{}", answer.out());
    // Who may not look through its root is told by its ancestors, whose mounts all can read.
    assert_eq!(verdict(&as_nobody(&bench, stage.path())), held);
    assert_eq!(verdict(&container.scan(&[stage.path()])), held.replace("host", "namespace"));
}

/// A procfs that was mounted after the owner had read another one.
#[test]
fn an_owner_that_signed_before_its_own_proc_was_mounted_keeps_its_lock() {
    if !have(&[Root, Host, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let late = format!("(\n{SIGN}\n) & sleep .3; mount -t proc proc /proc; wait");
    let flags = ["unshare", "--pid", "--mount", "--fork", "--kill-child", "sh", "-c", &late];
    let owner = Owner::start(command(&flags));
    let of_owner = host_pid(&owner);
    while device_of_proc(of_owner) == device_of_proc(std::process::id()) {
        std::thread::yield_now();
    }
    stays(&bench, &stage, &owner, "a late /proc");
}

fn device_of_proc(pid: u32) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(format!("/proc/{pid}/root/proc")).unwrap().dev()
}

/// The number by which we know the owner: a descendant of what we started.
fn host_pid(owner: &Owner) -> u32 {
    let mut below = vec![owner.leader.id()];
    while let Some(pid) = below.pop() {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        if ids.split_whitespace().count() > 1 && ids.split_whitespace().next_back() == Some(&owner.pid.to_string()) {
            return pid;
        }
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        below.extend(children.split_whitespace().map(|child| child.parse::<u32>().unwrap()));
    }
    panic!("no process of ours is {} inside", owner.pid);
}

/// qemu-user makes field 22 up from its own clock.
#[test]
fn an_owner_under_an_emulator_keeps_its_lock() {
    if !have(&[Root, Host, Emulator]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let program = foreign_program(&bench);
    let owner = Owner::start(command(&["qemu-aarch64-static", program.to_str().unwrap()]));
    assert_eq!(owner.pid, owner.leader.id());
    stays(&bench, &stage, &owner, "qemu-user");
    if owner.ticks != start_ticks(owner.pid) {
        let answer = on_host(stage.path());
        assert_eq!(verdict(&answer), "legacy-unverifiable ticks-not-comparable likely-held host 1");
        assert!(answer.lock()["explanation"].as_str().unwrap().contains("emulator"), "{}", answer.out());
    }
}

/// A program of another architecture that signs as OpenClaw does.
fn foreign_program(bench: &Bench) -> PathBuf {
    let (source, program) = (bench.path().join("owner.c"), bench.path().join("owner"));
    let text = r#"
        #include <stdio.h>
        #include <string.h>
        #include <unistd.h>
        int main(void) {
            char path[64], stat[4096];
            usleep(200000);
            snprintf(path, sizeof path, "/proc/%d/stat", (int)getpid());
            FILE *file = fopen(path, "r");
            if (!file || !fgets(stat, sizeof stat, file)) return 1;
            char *field = strrchr(stat, ')');
            for (int i = 0; i < 20; i++) field = strchr(field + 1, ' ');
            printf("%d %lld\n", (int)getpid(), strtoll(field, 0, 10));
            fflush(stdout);
            for (;;) pause();
        }
    "#;
    std::fs::write(&source, text.replace("#include <unistd.h>", "#include <stdlib.h>\n#include <unistd.h>")).unwrap();
    let paths = [source.to_str().unwrap(), "-o", program.to_str().unwrap()];
    run("aarch64-linux-gnu-gcc", &[&["-static", "-O1"][..], &paths].concat());
    program
}

/// The other side: most processes read their own ticks, and cost no proof.
#[test]
fn a_recycled_pid_is_proven_in_every_ordinary_place() {
    if !have(&[Root, Host, Namespaces]) {
        return;
    }
    let proven = "stale-recycled-pid start-ticks-differ PROOF host 1";
    let (bench, stage) = (Bench::new(), stage());
    let plant = |pid: u32, ticks: u64| lock(stage.path(), &record(pid, Some(ticks - 7)));
    let process = Living::sleep();
    plant(process.pid(), process.ticks());
    assert_eq!(verdict(&on_host(stage.path())), proven);
    assert_eq!(verdict(&as_nobody(&bench, stage.path())), proven, "another user's process on a plain host");

    // A container's process; and beside it a neighbour's with the same number inside.
    let (mut container, mut neighbour) = (Container::new(&bench, stage.path()), Container::new(&bench, stage.path()));
    let inside = container.spawn_at(31_051, "sleep 1000");
    neighbour.spawn_at(31_051, "sleep 1000");
    plant(31_051, inside.ticks);
    assert_eq!(verdict(&on_host(stage.path())), proven);

    // The first process of a container mounts /proc after its own start. Others have that number.
    plant(1, start_ticks(container.init));
    assert_eq!(own_view(&on_host(stage.path()), container.init), "true-ticks");

    // A service manager gives a process of the host a /proc of its own before it executes it.
    let service = Living(
        command(&["unshare", "--mount", "sh", "-c", "mount -t proc -o hidepid=2 proc /proc; exec sleep 1000"])
            .spawn()
            .unwrap(),
    );
    while std::fs::read_to_string(format!("/proc/{}/comm", service.pid())).unwrap() != "sleep\n" {
        std::thread::yield_now();
    }
    plant(service.pid(), service.ticks());
    assert_eq!(verdict(&on_host(stage.path())), proven);
}

/// Only root may look below the root of another user's sandbox; what it can see costs a proof.
#[test]
fn what_only_root_could_see_is_no_proof_to_others() {
    if !have(&[Root, Host, Bubblewrap]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let words = ["bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "--die-with-parent"];
    let owner = Owner::start(command(&[&words[..], &["sh", "-c", SIGN]].concat()));
    let pid = host_pid(&owner);
    assert_eq!(owner.ticks, start_ticks(pid));
    stays(&bench, &stage, &owner, "bwrap --proc");
    lock(stage.path(), &record(owner.pid, Some(owner.ticks - 7)));
    assert_eq!(own_view(&on_host(stage.path()), pid), "true-ticks");
    let blind = as_nobody(&bench, stage.path());
    assert_eq!(own_view(&blind, pid), "refused");
    assert_eq!(blind.lock()["proof"], false);
}

fn own_view(answer: &Answer, host_pid: u32) -> String {
    let lock = answer.lock();
    let all = lock["sightings"].as_array().unwrap();
    let sighting = all.iter().find(|sighting| sighting["host_pid"] == host_pid);
    sighting.unwrap_or_else(|| panic!("no {host_pid} in {lock}"))["own_view"].as_str().unwrap().to_owned()
}

/// A mount table of any length is read to the line that counts.
#[test]
fn thousands_of_mounts_do_not_hide_whose_proc_it_is() {
    if !have(&[Root, Host, Namespaces]) {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let mut crowded = Container::mounts();
    // Long lines fill it sooner than many.
    let many = bench.dir(&[&*"x".repeat(250); 12].join("/"));
    crowded
        .sh(&format!("for i in $(seq 400); do mount -t tmpfs -o size=4k $(printf %0200d $i) {}; done", many.display()));
    let bytes = std::fs::read(format!("/proc/{}/mountinfo", crowded.init)).unwrap().len();
    assert!(bytes > 1024 * 1024, "{bytes} bytes");
    let process = crowded.spawn("sleep 1000");
    lock(stage.path(), &record(process.pid, Some(process.ticks - 7)));
    for answer in [on_host(stage.path()), crowded.scan(&[stage.path()])] {
        assert_eq!(verdict(&answer), "stale-recycled-pid start-ticks-differ PROOF host 1");
    }
}

/// A pid that is a kernel thread's here, and that no process has in a namespace below: any of them,
/// so that two runs of the tests at the same time seldom choose one.
fn kernel_thread() -> u32 {
    let processes = std::fs::read_dir("/proc").unwrap();
    let pids = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    let statuses = pids.filter_map(|pid| Some((pid, std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)));
    let (mut threads, mut inner) = (Vec::new(), Vec::new());
    for (pid, status) in statuses {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        // Workers of the kernel come and go.
        if field("PPid:").trim() == "2" && !field("Name:").trim().starts_with("kworker") {
            threads.push(pid);
        }
        inner.extend(field("NSpid:").split_whitespace().skip(1).map(|pid| pid.parse::<u32>().unwrap()));
    }
    threads.retain(|pid| !inner.contains(pid));
    threads[usize::try_from(now_ms()).unwrap() % threads.len()]
}
