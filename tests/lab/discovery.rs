//! Locks found through running OpenClaw processes, without any PATH.

use super::container::{Container, Process};
use super::machine::Need::{Namespaces, Root};
use super::machine::{Bench, have};
use super::view::{VERSION_DIRECTORY, lock, stage};
use crate::support::machine::moved_to_own_machine;
use crate::support::{Answer, DEPS, doctor, record};
use serde_json::Value;
use std::path::Path;

const VERSION: &str = "2026.4.29";

/// Starts what looks like a gateway, with these variables.
fn gateway(container: &mut Container, environment: &str) -> Process {
    container.sh("cp $(command -v sleep) /usr/local/bin/node; ln -sf node /usr/local/bin/openclaw-gateway");
    container.spawn(&format!("env -i {environment} /usr/local/bin/openclaw-gateway 1000"))
}

fn discover() -> Answer {
    doctor(["scan", "--json"])
}

/// The locks of a report that a process of the container leads to.
fn locks_via(answer: &Answer, process: Process) -> Vec<Value> {
    let through = format!("/proc/{}/root/", process.host_pid);
    let json = answer.json();
    let locks = json["locks"].as_array().unwrap();
    locks.iter().filter(|lock| lock["path"].as_str().unwrap().starts_with(&through)).cloned().collect()
}

#[test]
fn a_containers_volume_is_found_from_the_host() {
    if !have(&[Root, Namespaces]) || moved_to_own_machine() {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let mut container = Container::new(&bench, stage.path());
    let process = gateway(&mut container, "HOME=/home/node OPENCLAW_PLUGIN_STAGE_DIR=/vol/stage");
    lock(&stage.path().join("stage"), &record(process.pid, Some(process.ticks)));
    let answer = discover();
    let locks = locks_via(&answer, process);
    assert_eq!(locks.len(), 1, "{}", answer.out());
    let expected = format!("/proc/{}/root/vol/stage/{VERSION_DIRECTORY}/{DEPS}", process.host_pid);
    assert_eq!(locks[0]["path"], expected.as_str());
    assert_eq!(locks[0]["classification"], "active");
    // Its number is a kernel thread's on the host, too.
    let sighting = locks[0]["sightings"].as_array().unwrap().iter().find(|s| s["is_owner"] == true).unwrap();
    assert_eq!((&sighting["host_pid"], &sighting["ns_pid"]), (&process.host_pid.into(), &process.pid.into()));
    assert_eq!((&sighting["program"], &sighting["role"]), (&"openclaw-gatewa".into(), &"openclaw".into()));
}

#[test]
fn an_absolute_symlink_in_a_container_stays_in_the_container() {
    if !have(&[Root, Namespaces]) || moved_to_own_machine() {
        return;
    }
    let (bench, stage, hosts) = (Bench::new(), stage(), stage());
    // The same path on both sides of the border, with another pid in each record.
    let (path, name) = (hosts.path().to_str().unwrap().to_owned(), hosts.path().file_name().unwrap().to_owned());
    lock(hosts.path(), &record(1_234, Some(1)));
    let mut container = Container::new(&bench, stage.path());
    container.sh(&format!("mount -t tmpfs tmpfs /tmp; mkdir -p {path} /home/node; ln -s {path} /home/node/link"));
    let process = gateway(&mut container, "HOME=/home/node OPENCLAW_PLUGIN_STAGE_DIR=/home/node/link");
    assert_eq!(locks_via(&discover(), process), Vec::<Value>::new(), "{name:?} on the host was reached");
    lock(&container.outside(&path), &record(4_321, Some(1)));
    let locks = locks_via(&discover(), process);
    assert_eq!(locks.len(), 1);
    assert_eq!(locks[0]["owner"]["pid"], 4_321);
}

#[test]
fn a_state_dir_that_is_a_link_to_a_volume_is_one_root_however_often_it_is_named() {
    if !have(&[Root, Namespaces]) || moved_to_own_machine() {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let mut container = Container::new(&bench, stage.path());
    container.sh("mkdir -p /home/node; ln -s /vol/state /home/node/.openclaw");
    lock(&stage.path().join("state/plugin-runtime-deps"), &record(31_013, Some(1)));
    let process = gateway(&mut container, "HOME=/home/node OPENCLAW_STATE_DIR=/vol/state");
    let mut sibling = Container::new(&bench, stage.path());
    let _other = gateway(&mut sibling, "HOME=/nowhere OPENCLAW_STATE_DIR=/vol/state");
    let answer = discover();
    let json = answer.json();
    let root = stage.path().join("state/plugin-runtime-deps");
    let stat = rustix::fs::stat(&root).unwrap();
    let device = format!("{}:{}", rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    let is_it = |root: &&Value| root["inode"] == stat.st_ino && root["device"] == device;
    let roots: Vec<&Value> = json["roots"].as_array().unwrap().iter().filter(is_it).collect();
    assert_eq!(roots.len(), 1, "{}", answer.out());
    let named = roots[0]["also"].as_array().unwrap().len() + 1;
    assert!(named >= 3, "by a variable, by the home, and by the sibling: {}", roots[0]);
    let locks = json["locks"].as_array().unwrap();
    let ours = locks.iter().filter(|lock| lock["owner"]["pid"] == 31_013 && lock["owner"]["start_ticks"] == 1).count();
    assert_eq!(ours, 1, "{}", answer.out());
    let direct = locks_via(&answer, process);
    assert!(direct.len() <= 1);
}

#[test]
fn a_lock_blocks_only_the_release_that_runs() {
    if !have(&[Root, Namespaces]) || moved_to_own_machine() {
        return;
    }
    let (bench, stage) = (Bench::new(), stage());
    let mut container = Container::new(&bench, stage.path());
    let package = format!("{{\"name\":\"openclaw\",\"version\":\"{VERSION}-lab\"}}");
    container.sh(&format!("mkdir -p /app; echo '{package}' > /app/package.json; cd /app"));
    let process = gateway(&mut container, "HOME=/home/node OPENCLAW_PLUGIN_STAGE_DIR=/vol");
    for (version, answer) in [(format!("{VERSION}-lab"), "yes"), (format!("{VERSION}-other.lab"), "no")] {
        let directory = format!("openclaw-{version}-0123456789ab");
        stage.lock(&directory, DEPS, Some(&record(31_013, Some(1))));
        let report = discover();
        assert!(
            report.json()["host"]["openclaw_versions"].as_array().unwrap().contains(&format!("{VERSION}-lab").into())
        );
        let at = Path::new(&directory).join(DEPS);
        let lock = locks_via(&report, process);
        let lock = lock.iter().find(|lock| Path::new(lock["path"].as_str().unwrap()).ends_with(&at)).unwrap();
        assert_eq!(lock["blocks"]["answer"], answer, "{lock}");
        // With a PATH, the same running process is compared with.
        let report = doctor(["scan".as_ref(), stage.path().as_os_str(), "--json".as_ref()]);
        assert_eq!(report.lock_at(&at)["blocks"]["answer"], answer);
    }
}
