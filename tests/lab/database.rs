//! An open database is a sign of life that crosses PID namespaces.

use super::container::{Container, Process};
use super::machine::Need::{Host, Namespaces, Root, Sqlite};
use super::machine::{Bench, have, run};
use super::view::{on_host, verdict};
use crate::support::{age, dead_pid, now_ms, wait_until};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// A gateway's lock of an hour ago, in the form of 2026.8.1 and later, with these fields besides.
fn lock_below(state: &Path, pid: u32, fields: &str) -> PathBuf {
    let place = state.join("tmp/openclaw-0");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::create_dir_all(state.join("state")).unwrap();
    let lock = place.join("gateway.state.lock");
    let hour_ago = UNIX_EPOCH + Duration::from_millis(u64::try_from(now_ms()).unwrap() - 3_600_000);
    let hour_ago = humantime::format_rfc3339_millis(hour_ago);
    let record = format!("{{\n  \"pid\": {pid},\n{fields}  \"createdAt\": \"{hour_ago}\",\n  \"startTime\": 77\n}}\n");
    let _ = std::fs::remove_file(&lock);
    std::fs::write(&lock, record).unwrap();
    age(&lock);
    lock
}

const GATEWAY: &str = "  \"ownerId\": \"0b0e3a43-54ff-4a27-b0c8-1f4a9e5d7c11\",\n";
const MAINTENANCE: &str =
    "  \"ownerId\": \"0b0e3a43-54ff-4a27-b0c8-1f4a9e5d7c11\",\n  \"role\": \"sqlite-maintenance\",\n";
const WAL: &str = "pragma journal_mode=wal; create table if not exists t(x); insert into t values(1);";
const OUT_OF_SIGHT: &str = "shared-volume out-of-sight namespace 1";
const LEFT: &str = "database-not-open likely-stale namespace 1";

fn told(container: &Container, lock: &Path) -> (String, Value) {
    let answer = container.scan(&[lock]);
    (verdict(&answer), answer.lock()["evidence"]["volume_in_use"].clone())
}

fn sqlite(database: &Path, orders: &str) {
    run("sqlite3", &[database.to_str().unwrap(), orders]);
}

/// Opens the database in a container as a gateway does, and keeps it open.
fn open_in(container: &mut Container) -> Process {
    container.sh("rm -f /tmp/orders; mkfifo /tmp/orders");
    let process = container.spawn("sh -c 'exec sqlite3 /vol/state/openclaw.sqlite 0<> /tmp/orders'");
    container.sh("echo 'select count(*) from t;' > /tmp/orders");
    process
}

#[test]
fn a_database_that_another_containers_process_has_open_shows_its_life_and_its_death() {
    if !have(&[Root, Host, Namespaces, Sqlite]) {
        return;
    }
    let bench = Bench::new();
    let volume = bench.dir("volume");
    let lock = lock_below(&volume, dead_pid(), GATEWAY);
    let inside = Path::new("/vol").join(lock.strip_prefix(&volume).unwrap());
    let mut gateway = Container::new(&bench, &volume);
    let sidecar = Container::new(&bench, &volume);
    let is = |seen: &(String, Value), verdict: &str, used: Value| {
        assert!(seen.0.ends_with(verdict) && seen.1 == used, "{seen:?}, not {verdict} {used}");
    };

    is(&told(&sidecar, &inside), OUT_OF_SIGHT, Value::Null);
    sqlite(&volume.join("state/openclaw.sqlite"), WAL);
    // Closed in order, its index is gone: nothing says whether the owner has it open.
    is(&told(&sidecar, &inside), OUT_OF_SIGHT, Value::Null);

    let holder = open_in(&mut gateway);
    wait_until("the open database to show", || told(&sidecar, &inside).1 == true);
    is(&told(&sidecar, &inside), OUT_OF_SIGHT, true.into());
    let sentence = String::from_utf8(sidecar.run(&["scan".as_ref(), inside.as_os_str()]).0.stdout).unwrap();
    assert!(sentence.contains("has the database of its state dir open"), "{sentence}");
    let by = on_host(&lock).lock()["evidence"]["volume_in_use_by"].clone();
    assert_eq!((by["pid"].as_u64(), by["program"].as_str()), (Some(holder.host_pid.into()), Some("sqlite3")), "{by}");

    gateway.kill(holder);
    is(&told(&sidecar, &inside), LEFT, false.into());

    // Leaning, it goes when it is named as a whole, and not without.
    let place = inside.parent().unwrap();
    assert_ne!(sidecar.run(&["repair".as_ref(), place.as_os_str()]).code(), 0);
    assert!(lock.exists());
    let answer = sidecar.run(&["repair".as_ref(), place.as_os_str(), "--yes".as_ref()]);
    assert!(!lock.exists(), "{:?}", answer.0);

    // A lock that is younger than the last use of the database: its owner may use another.
    lock_below(&volume, dead_pid(), GATEWAY);
    is(&told(&sidecar, &inside), OUT_OF_SIGHT, Value::Null);

    // Another role takes the same lock, and closes the database in between.
    lock_below(&volume, dead_pid(), MAINTENANCE);
    let holder = open_in(&mut gateway);
    wait_until("the open database to show", || told(&sidecar, &inside).1 == true);
    gateway.kill(holder);
    is(&told(&sidecar, &inside), OUT_OF_SIGHT, false.into());
}

#[test]
fn a_database_that_may_lie_elsewhere_for_the_owner_says_nothing() {
    if !have(&[Root, Host, Namespaces, Sqlite]) {
        return;
    }
    let bench = Bench::new();
    let volume = bench.dir("volume");
    let lock = lock_below(&volume, dead_pid(), GATEWAY);
    let inside = Path::new("/vol").join(lock.strip_prefix(&volume).unwrap());
    sqlite(&volume.join("state/openclaw.sqlite"), WAL);
    let mut gateway = Container::new(&bench, &volume);
    let holder = open_in(&mut gateway);
    let mut sidecar = Container::new(&bench, &volume);
    wait_until("the open database to show", || told(&sidecar, &inside).1 == true);
    gateway.kill(holder);
    assert_eq!(told(&sidecar, &inside).1, false);

    // Mounts of the sidecar's own over parts of the state dir.
    for part in ["state", "tmp"] {
        sidecar.sh(&format!("mount --bind /vol/{part} /vol/{part}"));
        assert!(told(&sidecar, &inside).1.is_null(), "{part}");
        sidecar.sh(&format!("umount /vol/{part}"));
    }
    // What stands at its name is another kind of thing, which is not opened.
    for change in ["ln -s other", "mkfifo", "mkdir"] {
        sidecar.sh("mv /vol/state/openclaw.sqlite-shm /vol/state/other");
        sidecar.sh(&format!("{change} /vol/state/openclaw.sqlite-shm"));
        assert!(told(&sidecar, &inside).1.is_null(), "{change}");
        sidecar.sh("rm -rf /vol/state/openclaw.sqlite-shm; mv /vol/state/other /vol/state/openclaw.sqlite-shm");
    }
    assert_eq!(told(&sidecar, &inside).1, false);
}
