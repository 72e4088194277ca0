//! What may stand in place of a lock or its record.

use super::look::{by_name_only, is_root, look, skip, verdict};
use super::support::{DEPS, Living, MIRROR, Stage, age, command, dead_pid, record, titled};
use rustix::fs::{CWD, FileType, Mode};
use std::os::unix::fs::symlink;
use std::path::Path;

fn make_node(path: &Path, kind: FileType, device: u64) -> rustix::io::Result<()> {
    rustix::fs::mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device)
}

#[test]
fn what_is_no_regular_file_is_never_opened_as_a_record() {
    let stage = Stage::new();
    let at = |name: &str| stage.lock(name, DEPS, None).join("owner.json");
    make_node(&at("fifo"), FileType::Fifo, 0).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    std::fs::create_dir(at("directory")).unwrap();
    let mut expected = vec!["fifo", "socket", "directory"];
    match make_node(&at("device"), FileType::CharacterDevice, rustix::fs::makedev(1, 3)) {
        Ok(()) => expected.push("device"),
        Err(error) => {
            std::fs::remove_dir(at("device").parent().unwrap()).unwrap();
            if is_root() {
                skip(&format!("a device as record: mknod: {error}"));
            }
        }
    }
    let answer = look(stage.path(), &[stage.path()]);
    for name in expected {
        assert_eq!(verdict(&answer, format!("{name}/{DEPS}")), by_name_only("record-not-regular"), "{name}");
    }
    assert_eq!(answer.code(), 1);
    drop(socket);
}

#[test]
fn what_is_no_directory_is_never_entered_as_a_lock() {
    let stage = Stage::new();
    let real = stage.lock("real", DEPS, Some(&record(dead_pid(), Some(7))));
    let at = |name: &str| {
        std::fs::create_dir(stage.path().join(name)).unwrap();
        stage.path().join(name).join(DEPS)
    };
    std::fs::write(at("file"), record(dead_pid(), Some(7))).unwrap();
    make_node(&at("fifo"), FileType::Fifo, 0).unwrap();
    symlink(&real, at("link")).unwrap();
    symlink("/nowhere", at("dangling")).unwrap();
    symlink(DEPS, at("loop")).unwrap();
    // A hard link gives one file two names: both stand in a gateway's way.
    std::fs::hard_link(stage.path().join("file").join(DEPS), at("second-name")).unwrap();
    let answer = look(stage.path(), &[stage.path()]);
    for (name, reason) in [
        ("file", "lock-not-directory"),
        ("second-name", "lock-not-directory"),
        ("fifo", "lock-not-directory"),
        ("link", "lock-symlink"),
        ("dangling", "lock-symlink"),
        ("loop", "lock-symlink"),
    ] {
        assert_eq!(verdict(&answer, format!("{name}/{DEPS}")), by_name_only(reason), "{name}");
    }
    assert_eq!(answer.lock_at(format!("real/{DEPS}"))["classification"], "stale-dead-pid");
    assert_eq!(answer.json()["summary"]["locks"], 7);
}

#[test]
fn a_record_that_leads_elsewhere_is_not_believed() {
    let (stage, outside) = (Stage::new(), Stage::new());
    let believable = record(dead_pid(), Some(7));
    let elsewhere = outside.path().join("owner.json");
    std::fs::write(&elsewhere, &believable).unwrap();
    let fifo = outside.path().join("fifo");
    make_node(&fifo, FileType::Fifo, 0).unwrap();
    let at = |name: &str| stage.lock(name, DEPS, None).join("owner.json");
    symlink("/nowhere/owner.json", at("dangling")).unwrap();
    symlink(&elsewhere, at("outside")).unwrap();
    symlink(&fifo, at("to-fifo")).unwrap();
    symlink("/dev/zero", at("to-device")).unwrap();
    std::fs::hard_link(&elsewhere, at("hard-linked")).unwrap();
    let answer = look(stage.path(), &[stage.path()]);
    for name in ["dangling", "outside", "to-fifo", "to-device"] {
        assert_eq!(verdict(&answer, format!("{name}/{DEPS}")), by_name_only("record-symlink"), "{name}");
    }
    assert_eq!(verdict(&answer, format!("hard-linked/{DEPS}")), by_name_only("record-hard-linked"));
}

#[test]
fn a_record_of_a_gigabyte_is_not_read() {
    let stage = Stage::new();
    let lock = stage.lock("huge", DEPS, None);
    let file = std::fs::File::create(lock.join("owner.json")).unwrap();
    file.set_len(1 << 30).unwrap();
    let edge = stage.lock("edge", DEPS, None);
    let padding = 64 * 1024 - record(1, None).len();
    std::fs::write(edge.join("owner.json"), record(dead_pid(), Some(7)) + &" ".repeat(padding + 64)).unwrap();
    let fits = stage.lock("fits", DEPS, None);
    let text = record(dead_pid(), Some(7));
    std::fs::write(fits.join("owner.json"), text.clone() + &" ".repeat(64 * 1024 - text.len())).unwrap();
    let answer = look(stage.path(), &[stage.path()]);
    assert_eq!(verdict(&answer, format!("huge/{DEPS}")), by_name_only("record-too-large"));
    assert_eq!(verdict(&answer, format!("edge/{DEPS}")), by_name_only("record-too-large"));
    assert_eq!(answer.lock_at(format!("fits/{DEPS}"))["classification"], "stale-dead-pid");
    assert!(answer.0.stdout.len() < 100_000, "the report holds the record: {} bytes", answer.0.stdout.len());
}

/// What a report keeps of a record that names nobody, in bytes.
const NAMELESS: usize = 1024;

/// Every one of these is made by nobody's OpenClaw, or cut short: no class but the cautious one.
#[test]
fn no_broken_record_is_taken_for_a_dead_owner() {
    let dead = dead_pid();
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("empty", Vec::new(), "record-empty"),
        ("cut", format!("{{\n  \"pid\": {dead}").into_bytes(), "record-truncated"),
        ("words", b"pid 7".to_vec(), "record-not-json"),
        ("nul", vec![0; 512], "record-not-json"),
        ("nul-after", [record(dead, Some(7)).into_bytes(), vec![0]].concat(), "record-not-json"),
        ("bom", [b"\xef\xbb\xbf".to_vec(), record(dead, Some(7)).into_bytes()].concat(), "record-not-json"),
        ("two", record(dead, Some(7)).repeat(2).into_bytes(), "record-not-json"),
        ("utf-16", "{\"pid\":7}".encode_utf16().flat_map(u16::to_le_bytes).collect(), "record-not-json"),
        ("deep", format!("{{\"a\":{}", "[".repeat(30_000)).into_bytes(), "record-too-deep"),
        ("deep-object", format!("{}1", "{\"a\":".repeat(10_000)).into_bytes(), "record-too-deep"),
        ("twice", format!("{{\"pid\":1,\"pid\":{dead}}}").into_bytes(), "record-duplicate-keys"),
        ("escaped-twice", format!("{{\"pid\":1,\"\\u0070id\":{dead}}}").into_bytes(), "record-duplicate-keys"),
        ("list", format!("[{{\"pid\":{dead}}}]").into_bytes(), "record-not-object"),
        ("zero", b"{\"pid\":0}".to_vec(), "pid-zero"),
        ("minus", b"{\"pid\":-1}".to_vec(), "pid-negative"),
        ("fraction", b"{\"pid\":1.5}".to_vec(), "pid-fractional"),
        ("text", format!("{{\"pid\":\"{dead}\"}}").into_bytes(), "pid-not-a-number"),
        ("null", b"{\"pid\":null}".to_vec(), "pid-not-a-number"),
        ("true", b"{\"pid\":true}".to_vec(), "pid-not-a-number"),
        ("huge-pid", b"{\"pid\":1099511627776}".to_vec(), "pid-too-large"),
        ("huge-digits", format!("{{\"pid\":{}}}", "9".repeat(300)).into_bytes(), "pid-too-large"),
        ("text-ticks", format!("{{\"pid\":{dead},\"starttime\":\"7\"}}").into_bytes(), "start-ticks-invalid"),
        ("list-ticks", format!("{{\"pid\":{dead},\"starttime\":[7]}}").into_bytes(), "start-ticks-invalid"),
        ("text-time", format!("{{\"pid\":{dead},\"createdAtMs\":\"now\"}}").into_bytes(), "created-at-invalid"),
    ];
    let stage = Stage::new();
    for (name, bytes, _) in cases {
        std::fs::write(stage.lock(name, MIRROR, None).join("owner.json"), bytes).unwrap();
    }
    stage.lock("missing", MIRROR, None);
    let answer = look(stage.path(), &[stage.path()]);
    for (name, bytes, reason) in cases {
        assert_eq!(verdict(&answer, format!("{name}/{MIRROR}")), by_name_only(reason), "{name}");
        let raw = answer.lock_at(format!("{name}/{MIRROR}"))["owner"]["raw"].clone();
        let shown =
            (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes[..bytes.len().min(NAMELESS)]).into_owned());
        assert_eq!(raw.as_str().map(str::to_owned), shown, "{name}");
    }
    assert_eq!(verdict(&answer, format!("missing/{MIRROR}")), by_name_only("record-missing"));
    assert_eq!(answer.json()["summary"]["locks"], cases.len() + 1);
    assert_eq!(answer.code(), 1);
}

#[test]
fn a_lock_dated_in_the_future_is_described_in_words_that_make_sense() {
    let stage = Stage::new();
    let future = std::time::SystemTime::now() + std::time::Duration::from_secs(400 * 86_400);
    for (name, text) in [("empty", ""), ("lease", "{\"createdAtMs\":9223372036854775807}")] {
        let lock = stage.lock(name, DEPS, Some(text));
        for path in [lock.join("owner.json"), lock.clone()] {
            std::fs::File::open(path).unwrap().set_modified(future).unwrap();
        }
    }
    let answer = look(stage.path(), &[stage.path()]);
    for name in ["empty", "lease"] {
        let lock = answer.lock_at(format!("{name}/{DEPS}"));
        // No patience has run out yet.
        assert_eq!(lock["leaning"], "likely-held", "{lock}");
        let explanation = lock["explanation"].as_str().unwrap();
        assert!(explanation.ends_with("dated in the future"), "{explanation}");
    }
    let told = super::support::doctor([std::ffi::OsStr::new("explain"), stage.path().as_os_str()]).out();
    assert!(told.contains("in the future") && !told.contains("future ago"), "{told}");
}

/// Node.js reads these records, and OpenClaw waits for their owner; a library for data may not.
#[test]
fn no_living_owner_loses_a_lock_whose_record_only_node_can_read() {
    let (stage, owner) = (Stage::new(), Living::sleep());
    let (pid, ticks) = (owner.pid(), owner.ticks());
    let names = format!("\"pid\":{pid},\"starttime\":{ticks}");
    let many = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let cases: &[(&str, String, &str)] = &[
        ("half-a-pair", format!("{{{names},\"note\":\"\\ud83d\"}}"), "owner-alive"),
        ("half-a-pair-as-key", format!("{{\"\\udc00\":1,\"\\udc01\":2,{names}}}"), "owner-alive"),
        ("infinite", format!("{{{names},\"note\":1e400}}"), "owner-alive"),
        ("infinite-below", format!("{{\"a\":[-1E+999],{names}}}"), "owner-alive"),
        ("escaped-key", format!("{{\"note\":\"\\udfff\",\"p\\u0069d\":{pid},\"starttime\":{ticks}.0}}"), "owner-alive"),
        ("deep", format!("{{{names},\"note\":{many}}}"), "record-too-deep"),
        ("infinite-pid", "{\"pid\":1e400,\"note\":\"\\ud83d\"}".to_owned(), "pid-too-large"),
        ("infinite-ticks", format!("{{\"pid\":{pid},\"starttime\":1e400}}"), "start-ticks-invalid"),
        ("infinite-time", format!("{{{names},\"createdAtMs\":1e400}}"), "created-at-invalid"),
        ("twice", format!("{{{names},\"note\":1e400,\"note\":0}}"), "record-duplicate-keys"),
    ];
    let locks: Vec<_> = cases
        .iter()
        .map(|(name, record, _)| {
            let lock = stage.lock(name, DEPS, Some(record));
            age(&lock.join("owner.json"));
            age(&lock);
            lock
        })
        .collect();
    let answer = look(stage.path(), &[stage.path()]);
    let removed = repaired(stage.path());
    for ((name, record, reason), lock) in cases.iter().zip(&locks) {
        assert_eq!(std::fs::read_to_string(lock.join("owner.json")).ok().as_ref(), Some(record), "{name}: {removed}");
        assert_eq!(answer.lock_at(format!("{name}/{DEPS}"))["reason"], *reason, "{name}");
    }
}

/// OpenClaw finds the pid in all of these, though none is what a release writes.
#[test]
fn no_living_owner_loses_a_lock_whose_line_is_not_whole() {
    let stage = Stage::new();
    let mut node = std::process::Command::new(titled(stage.path(), "node", "/bin/sleep"));
    let owner = super::support::settled(node.arg("1000").stdin(std::process::Stdio::null()).spawn().unwrap());
    let lines = ["PID:17774", "PID:", "  PID:1777458804809\n", "PID:1777458804809\n\n", "PID:soon\n"];
    let locks: Vec<_> = lines
        .iter()
        .enumerate()
        .map(|(number, line)| {
            let dreams = stage.path().join(format!("workspace-{number}/memory/.dreams"));
            std::fs::create_dir_all(&dreams).unwrap();
            let lock = dreams.join("short-term-promotion.lock");
            std::fs::write(&lock, line.replace("PID", &owner.pid().to_string())).unwrap();
            age(&lock);
            lock
        })
        .collect();
    let removed = repaired(stage.path());
    for (lock, line) in locks.iter().zip(lines) {
        assert!(lock.exists(), "{line:?}: {removed}");
    }
}

/// What `repair --yes` says.
fn repaired(path: &Path) -> String {
    let mut doctor = command();
    doctor.args(["repair", "--yes"]).arg(path);
    let output = super::look::guarded(doctor);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
