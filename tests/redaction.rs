//! A report for a ticket names nobody. Names of a user, a host, a token and a session are planted
//! wherever a scan looks, seen to reach the plain report, and none of them is in the redacted one.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)]

mod support;
use openclaw_doctor::redact::Key;
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::machine::{VOUCHED, moved_to_own_machine};
use support::{Answer, DEPS, Living, MIRROR, Stage, command, dead_pid, record, titled};

/// A user, a host, a token, a session and a customer's number.
const SECRETS: &[&str] = &["alicew", "acme07", "hunter2", "5e55ion", "/8675309"];

/// What is in a text that should not be: as it stands, in capitals, in hexadecimal.
const KEY: &[u8] = b"a key that an operator keeps";

fn leaks(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let hex = |secret: &str| secret.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let lines = text.lines().filter(|line| SECRETS.iter().any(|s| line.contains(s) || line.contains(&hex(s))));
    lines.map(str::to_owned).collect()
}

fn assert_clean(answer: &Answer) {
    assert!(answer.code() < 4, "{}", answer.err());
    assert!(!answer.out().is_empty(), "{}", answer.err());
    assert_eq!(leaks(&answer.out()), Vec::<String>::new());
    assert_eq!(leaks(&answer.err()), Vec::<String>::new());
}

/// A sleep under another name: the kernel names a process after the link that was executed.
fn sleep_named(dir: &Path, name: &str, cwd: &Path, prepare: impl FnOnce(&mut Command)) -> Living {
    let link = dir.join(name);
    if name.starts_with("openclaw") {
        titled(dir, name, "/bin/sleep");
    } else if !link.exists() {
        std::os::unix::fs::symlink("/bin/sleep", &link).unwrap();
    }
    let mut command = Command::new(link);
    command.arg("1000").current_dir(cwd).stdin(Stdio::null()).stdout(Stdio::null()).env_clear();
    prepare(&mut command);
    Living(command.spawn().unwrap())
}

struct Planted {
    tree: tempfile::TempDir,
    paths: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    _living: Vec<Living>,
}

impl Planted {
    fn path(&self) -> &Path {
        self.tree.path()
    }

    fn scan(&self, flags: &[&str]) -> Answer {
        let mut command = command();
        command.args(["scan", VOUCHED]).args(flags).arg("--").args(&self.paths).stdin(Stdio::null());
        Answer(command.current_dir(self.path()).envs(self.environment.iter().cloned()).output().unwrap())
    }
}

fn put(lock: &Path, record: &[u8]) {
    std::fs::create_dir_all(lock).unwrap();
    std::fs::write(lock.join("owner.json"), record).unwrap();
}

fn plant() -> Planted {
    let tree = tempfile::Builder::new().prefix("alicew-at-acme07-").tempdir().unwrap();
    Command::new("chmod").arg("755").arg(tree.path()).status().unwrap();
    let at = |below: &str| tree.path().join(below);
    let programs = at("bin");
    std::fs::create_dir(&programs).unwrap();
    let mut living = Vec::new();

    // Each lock under a name that is hard to tell from what surrounds it.
    let mut stages: Vec<PathBuf> = [
        "home/alicew/.openclaw-hunter2/plugin-runtime-deps",
        "Users/alicew/.openclaw/plugin-runtime-deps",
        "srv/acme07 o'hara \"hunter2\" $(5e55ion)/x",
        "srv/alicew:hunter2,acme07;5e55ion=(alicew)",
        "srv/line\nalicew\u{1b}[31macme07",
        "srv/8675309/alicew.",
        "proc/5e55ion/root/ALICEW",
        ".openclaw-alicew",
    ]
    .iter()
    .map(|below| at(below))
    .collect();
    stages.push(tree.path().join(OsStr::from_bytes(b"srv/alicew-\xff\xfe-acme07")));
    let carrier = sleep_named(&programs, "alicew-job", tree.path(), |_| {});
    let (pid, ticks) = (carrier.pid(), carrier.ticks());
    living.push(carrier);
    for (index, stage) in stages.iter().enumerate() {
        let version = stage.join(format!("openclaw-2026.4.29-alicew-hunter2-{index:012x}"));
        put(&version.join(DEPS), record(pid, Some(ticks - 7)).as_bytes());
        put(&version.join(MIRROR), record(dead_pid(), Some(7)).as_bytes());
        put(&stage.join("openclaw-acme07-f53b52ad6d21").join(DEPS), record(pid, Some(ticks)).as_bytes());
        put(&stage.join("openclaw-2026.4.26-5e55ion/alicew").join(DEPS), record(pid, None).as_bytes());
        put(&stage.join("acme07-hunter2.lock"), b"{}");
    }

    families(&at("home/alicew/.openclaw-hunter2"), pid, ticks);

    // Records that say more than they should.
    let said = json!({
        "pid": pid, "starttime": ticks - 1, "createdAtMs": 1_770_000_000_000_u64, "host": "acme07",
        "user": {"alicew": ["hunter2"]}, "hunter2": 1, "sessionId": "5e55ion", "alicew": "x",
    });
    let said = said.to_string();
    let records: &[&[u8]] = &[
        said.as_bytes(),
        b"alicew@acme07 hunter2 5e55ion\xff\n",
        b"{\"pid\": 12, \"user\": \"alicew",
        b"{\"pid\": \"alicew\", \"starttime\": \"hunter2\", \"createdAtMs\": \"5e55ion\"}",
        b"{\"pid\": 12, \"pid\": \"acme07\"}",
        b"[\"alicew\", {\"hunter2\": \"acme07\"}]",
        b"\"5e55ion\"",
    ];
    for (index, record) in records.iter().enumerate() {
        put(&at(&format!("records/openclaw-2026.4.29-{index:012x}")).join(DEPS), record);
    }

    // A dead owner's child still works in the directory.
    let busy = at("busy/openclaw-2026.4.29-aaaaaaaaaaaa");
    put(&busy.join(DEPS), record(dead_pid(), Some(7)).as_bytes());
    living.push(sleep_named(&programs, "acme07-npm", &busy, |_| {}));

    // A running OpenClaw whose package, environment and name tell of its user.
    let package = at("alicew-package");
    std::fs::create_dir_all(package.join("extensions/hunter2")).unwrap();
    let version = json!({"name": "openclaw", "version": "2026.4.29-alicew hunter2/acme07 $'5e55ion"});
    std::fs::write(package.join("package.json"), version.to_string()).unwrap();
    put(&package.join("extensions/hunter2").join(DEPS), record(dead_pid(), Some(1)).as_bytes());
    let stage = at("stage-of-acme07");
    put(&stage.join("openclaw-2026.4.29-alicew-bbbbbbbbbbbb").join(DEPS), record(dead_pid(), Some(1)).as_bytes());
    std::fs::create_dir_all(at("home/alicew/.openclaw-5e55ion/plugin-runtime-deps")).unwrap();
    let home = at("home/alicew");
    living.push(sleep_named(&programs, "openclaw-alicew", &package, |command| {
        command.arg0("openclaw-gateway").env("OPENCLAW_PLUGIN_STAGE_DIR", &stage).env("HOME", &home);
        command.env("OPENCLAW_PROFILE", "5e55ion").env("OPENAI_API_KEY", "hunter2");
    }));

    // What cannot be looked at.
    std::fs::write(at("alicew-file"), "hunter2").unwrap();
    let mut paths: Vec<OsString> = stages.into_iter().map(OsString::from).collect();
    paths.extend(["records", "busy", "alicew-missing", "alicew-file", "srv"].map(|below| at(below).into()));
    paths.push(OsString::from_vec(b"acme07-missing-\xff".to_vec()));
    let environment = vec![
        ("HOME", home.into_os_string()),
        ("OPENCLAW_STATE_DIR", at("home/alicew/.openclaw-hunter2").into_os_string()),
        ("STATE_DIRECTORY", at("state-of-acme07").into_os_string()),
        ("OPENCLAW_GATEWAY_TOKEN", "hunter2".into()),
    ];
    Planted { tree, paths, environment, _living: living }
}

/// Locks whose names and records tell of agents, sessions, channels, accounts and configurations.
fn families(state: &Path, pid: u32, ticks: u64) {
    let write = |below: &str, text: String| {
        std::fs::create_dir_all(state.join(below).parent().unwrap()).unwrap();
        std::fs::write(state.join(below), text).unwrap();
    };
    let said = |key: &str| {
        json!({
            "pid": pid, key: ticks - 3, "createdAt": "2026-11-01T10:00:00.000Z", "startedAt": 1_770_000_000_000_u64,
            "ownerId": "5e55ion-7425-40de-944b-e07fc1f90ae7", "configPath": "/home/alicew/acme07/openclaw.json",
            "stateDir": "/home/alicew/.openclaw-hunter2", "role": "alicew", "token": "hunter2", "port": 18789,
        })
        .to_string()
    };
    for below in NAMED {
        write(below, said(if below.contains("gateway.") { "startTime" } else { "starttime" }));
    }
    write("workspace-alicew/memory/.dreams/short-term-promotion.lock", format!("{pid}:1770000000000\n"));
    write("agents/acme07/agent/openclaw-agent.sqlite.lock", "alicew@acme07 hunter2".to_owned());
    // Free coordinators, and locks that name nobody.
    write("tmp/openclaw-8675309/device-identity-alicew.lock.sqlite", String::new());
    write("tmp/plugin-captures/5e55ion/owner.sqlite", String::new());
    for below in ["alicew.json.clobber.lock", "credentials/hunter2-pairing.json.lock", "alicew.lock.reclaim"] {
        std::fs::create_dir_all(state.join(below)).unwrap();
    }
}

const NAMED: &[&str] = &[
    "agents/alicew/sessions/5e55ion-acme07.jsonl.lock",
    "agents/alicew/sessions/session-locks/alicew-5e55ion.sqlite-transcript.lock",
    "agents/alicew/sessions/sessions.json.lock",
    "agents/alicew/sessions/.usage-cost-cache.json.lock",
    "agents/alicew/agent/auth-profiles.json.lock",
    "agents/alicew/qmd-write.lock.lock",
    "credentials/telegram-alicew-allowFrom.json.lock",
    "credentials/acme07-pairing.json.lock",
    "feishu/dedup/hunter2.json.lock",
    "matrix/accounts/alicew/acme07__alicew/hunter2/crypto-idb-snapshot.json.lock",
    "tools/crabbox/hunter2/acme07.publication.lock",
    "skill-workshop/locks/alicew-hunter2.target.lock",
    "tmp/openclaw-8675309/gateway.5b681173.lock",
    "tmp/openclaw-8675309/gateway.state.lock",
    "msteams-acme07.json.lock",
    "exec-approvals.json.lock",
];

/// The numbers and words that a verdict rests on.
fn proof(lock: &Value) -> Value {
    let sightings = lock["sightings"].as_array().unwrap().iter();
    let numbers = |sighting: &Value| {
        json!([
            sighting["host_pid"],
            sighting["ns_pid"],
            sighting["start_ticks"],
            sighting["life"],
            sighting["is_owner"]
        ])
    };
    let workers = lock["evidence"]["in_use_by"].as_array().unwrap().iter();
    json!({
        "class": [lock["classification"], lock["reason"], lock["proof"], lock["leaning"], lock["family"]],
        "owner": [lock["owner"]["pid"], lock["owner"]["start_ticks"], lock["owner"]["created_at_ms"]],
        "sightings": sightings.map(numbers).collect::<Vec<_>>(),
        "workers": workers.map(|worker| worker["pid"].clone()).collect::<Vec<_>>(),
        "evidence": [lock["evidence"]["rule"], lock["evidence"]["filesystem"], lock["evidence"]["vantage"]],
        "times": [
            lock["times"]["lock_modified_ms"], lock["times"]["record_modified_ms"], lock["times"]["record_born_ms"],
        ],
        "blocks": lock["blocks"]["answer"],
    })
}

fn array<'a>(report: &'a Value, name: &str) -> &'a Vec<Value> {
    report[name].as_array().unwrap()
}

/// The locks of the planted tree, by what a redacted report keeps of them.
fn ours(plain: &Value, tree: &Path) -> Vec<(String, Value)> {
    let under = |lock: &&Value| Path::new(lock["path"].as_str().unwrap()).starts_with(tree);
    let locks = array(plain, "locks").iter().filter(under);
    locks.map(|lock| (lock["id"].as_str().unwrap().to_owned(), proof(lock))).collect()
}

#[test]
fn no_name_survives_and_every_number_that_proves_does() {
    if moved_to_own_machine() {
        return;
    }
    let planted = plant();
    let flags = ["--discover", "--json", "--color=never"];
    let plain = planted.scan(&flags).json();
    let key = planted.path().join("key");
    std::fs::write(&key, KEY).unwrap();
    let kept = ["--redact", "--redact-key", key.to_str().unwrap()];
    let answer = planted.scan(&[&flags[..], &kept].concat());
    let redacted = answer.json();
    assert_clean(&answer);
    assert_clean(&planted.scan(&[&flags[..], &["--redact"]].concat()));

    // The plants reached the report: else their absence would show nothing.
    let text = plain.to_string();
    for needle in ["alicew-job", "acme07-npm", "hunter2/acme07", "sessionId", "alicew@acme07", "acme07-hunter2.lock"] {
        assert!(text.contains(needle), "{needle} is not in the plain report");
    }
    for needle in ["alicew-package", "stage-of-acme07", ".openclaw-5e55ion", "alicew-missing", "alicew-file", "8675309"]
    {
        assert!(text.contains(needle), "{needle} is not in the plain report");
    }

    let before = ours(&plain, planted.path());
    assert!(before.len() >= 9 * 4 + 7 + 3, "{}", before.len());
    for (id, proof_before) in &before {
        let id = Key::kept(KEY).unwrap().id(id);
        let after = array(&redacted, "locks").iter().find(|lock| lock["id"] == id);
        assert_eq!(&proof(after.expect(&id)), proof_before, "{id}");
    }
    let classes: std::collections::BTreeSet<_> =
        before.iter().map(|(_, proof)| proof["class"][1].as_str().unwrap().to_owned()).collect();
    for reason in ["owner-alive", "start-ticks-differ", "no-such-process", "carrier-not-javascript", "record-not-json"]
    {
        assert!(classes.contains(reason), "{reason} in {classes:?}");
    }
    let identity = |root: &Value| root["path"].is_string().then(|| (root["device"].clone(), root["inode"].clone()));
    let inodes = |report: &Value| array(report, "roots").iter().filter_map(identity).collect::<Vec<_>>();
    for root in array(&plain, "roots") {
        if Path::new(root["path"].as_str().unwrap()).starts_with(planted.path()) {
            assert!(inodes(&redacted).contains(&identity(root).unwrap()), "{root}");
        }
    }
    assert_eq!(plain["host"]["boot_id"], redacted["host"]["boot_id"]);

    let schema: Value = serde_json::from_str(&std::fs::read_to_string("docs/scan-v1.schema.json").unwrap()).unwrap();
    if schema != json!({}) {
        let errors: Vec<String> = jsonschema::validator_for(&schema)
            .unwrap()
            .iter_errors(&redacted)
            .map(|error| format!("{error} at {}", error.instance_path()))
            .collect();
        assert_eq!(errors, Vec::<String>::new());
    }
}

/// What OpenClaw names stays: a ticket is of no use that does not say which kind of lock it is.
#[test]
fn of_a_lock_its_kind_and_its_place_stay_and_what_a_user_chose_goes() {
    if moved_to_own_machine() {
        return;
    }
    let planted = plant();
    let flags = ["--discover", "--json", "--color=never"];
    let text = planted.scan(&flags).out();
    for below in NAMED {
        assert!(text.contains(below), "{below} is not in the plain report");
    }
    for needle in ["18789", "5e55ion-7425", "/home/alicew/acme07/openclaw.json", "hunter2-pairing.json.lock"] {
        assert!(text.contains(needle), "{needle} is not in the plain report");
    }
    let answer = planted.scan(&[&flags[..], &["--redact"]].concat());
    assert_clean(&answer);
    let report = answer.json();
    let paths: Vec<&str> = array(&report, "locks").iter().map(|lock| lock["path"].as_str().unwrap()).collect();
    let state = paths.iter().find_map(|path| path.strip_suffix("/exec-approvals.json.lock")).unwrap().to_owned();
    assert!(state.contains("/home/user-1/.openclaw-profile-"), "{state}");
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    for shape in [
        "agents/dir-#/sessions/lock-#.jsonl.lock",
        "agents/dir-#/sessions/session-locks/lock-#.sqlite-transcript.lock",
        "agents/dir-#/sessions/sessions.json.lock",
        "agents/dir-#/sessions/.usage-cost-cache.json.lock",
        "agents/dir-#/agent/auth-profiles.json.lock",
        "agents/dir-#/agent/openclaw-agent.sqlite.lock",
        "agents/dir-#/qmd-write.lock.lock",
        "credentials/lock-#-pairing.json.lock",
        "credentials/lock-#-allowFrom.json.lock",
        "feishu/dedup/lock-#.json.lock",
        "matrix/accounts/dir-#/dir-#/dir-#/crypto-idb-snapshot.json.lock",
        "tools/crabbox/dir-#/lock-#.publication.lock",
        "tmp/openclaw-uid-#/gateway.lock-#.lock",
        "tmp/openclaw-uid-#/gateway.state.lock",
        "msteams-lock-#.json.lock",
        "lock-#.lock.reclaim",
        "lock-#.clobber.lock",
    ] {
        let matches = |path: &&&str| {
            let Some(mut rest) = path.strip_prefix(&format!("{state}/")) else { return false };
            for (index, part) in shape.split('#').enumerate() {
                if index > 0 {
                    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                    let (digits, after) = rest.split_at(digits);
                    if !number(digits) {
                        return false;
                    }
                    rest = after;
                }
                let Some(after) = rest.strip_prefix(part) else { return false };
                rest = after;
            }
            rest.is_empty()
        };
        assert!(paths.iter().find(matches).is_some(), "nothing is {shape}:\n{}", paths.join("\n"));
    }
    // A hash of the configuration's path would confirm a guessed home; a uuid is of one start.
    for secret in ["5b681173", "18789", "7425-40de"] {
        assert!(!answer.out().contains(secret), "{secret}");
    }
    // Each state dir is the one of its locks.
    for lock in array(&report, "locks").iter().filter(|lock| lock["path"].as_str().unwrap().starts_with(&state)) {
        assert_eq!(lock["state_dir"], state.as_str(), "{lock}");
    }
    for flags in [&["--redact", "--discover"][..], &["--redact", "--verbose", "--discover"]] {
        let told = planted.scan(flags);
        assert_clean(&told);
        assert!(told.out().contains(".jsonl.lock") && !told.out().contains("5b681173"), "{}", told.out());
    }
}

#[test]
fn one_name_has_one_pseudonym_in_all_of_a_report() {
    if moved_to_own_machine() {
        return;
    }
    let planted = plant();
    let report = planted.scan(&["--json", "--redact"]).json();
    let programs: std::collections::BTreeSet<&str> = array(&report, "locks")
        .iter()
        .flat_map(|lock| lock["sightings"].as_array().unwrap())
        .filter_map(|sighting| sighting["program"].as_str())
        .collect();
    let explained = array(&report, "locks").iter().filter(|lock| lock["reason"] == "start-ticks-differ");
    for lock in explained {
        let program = lock["sightings"].as_array().unwrap()[0]["program"].as_str().unwrap();
        assert!(lock["explanation"].as_str().unwrap().contains(program), "{lock}");
    }
    assert!(programs.iter().any(|program| program.starts_with("program-")), "{programs:?}");
}

#[test]
fn the_table_names_nobody_either() {
    if moved_to_own_machine() {
        return;
    }
    let planted = plant();
    for flags in [&["--redact"][..], &["--redact", "--verbose", "--discover"], &["--redact", "--color=always"]] {
        let answer = planted.scan(flags);
        assert_clean(&answer);
        assert!(answer.out().contains("program-"), "{}", answer.out());
    }
}

#[test]
fn a_proc_directory_is_named_by_no_sentence() {
    if moved_to_own_machine() {
        return;
    }
    let planted = plant();
    std::os::unix::fs::symlink("/proc", planted.path().join("alicew-proc:acme07")).unwrap();
    std::fs::create_dir(planted.path().join("hunter2 copy")).unwrap();
    let absolute = planted.path().join("alicew-proc:acme07").display().to_string();
    for proc in ["alicew-proc:acme07", "hunter2 copy", "5e55ion-missing", &absolute] {
        for form in [&["--redact"][..], &["--redact", "--json"], &["--redact", "--verbose"]] {
            assert_clean(&planted.scan(&[&["--proc", proc], form].concat()));
        }
        let plain = planted.scan(&["--proc", proc, "--json"]).json();
        let why = plain["host"]["vantage_why"].as_str().unwrap();
        assert!(!leaks(why).is_empty(), "{why}");
    }
}

#[test]
fn what_another_user_may_not_read_is_named_by_no_problem() {
    if moved_to_own_machine() {
        return;
    }
    let planted = plant();
    if !is_root() {
        return support::lab_required("another user needs root");
    }
    let closed = planted.path().join("srv/closed-to-alicew");
    std::fs::create_dir_all(&closed).unwrap();
    Command::new("chmod").arg("700").arg(&closed).status().unwrap();
    // Beside the tree: the build's own directory may be closed to that user.
    let doctor = planted.path().join("bin/openclaw-doctor");
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_openclaw-doctor")).arg(&doctor).status().unwrap().success());
    let scan = |flags: &[&str]| {
        let mut command = Command::new(&doctor);
        command.uid(65_534).gid(65_534).env_clear().envs(planted.environment.iter().cloned());
        command.args(["scan", "--all-users"]).args(flags).arg(planted.path()).current_dir("/").stdin(Stdio::null());
        Answer(command.output().unwrap())
    };
    let plain = scan(&["--json"]).json();
    let problems: Vec<&str> =
        array(&plain, "problems").iter().map(|problem| problem["cause"].as_str().unwrap()).collect();
    assert!(problems.iter().any(|cause| cause.contains("environment of openclaw-alicew")), "{problems:?}");
    assert!(plain.to_string().contains("closed-to-alicew"));
    for form in [&["--redact"][..], &["--redact", "--json"]] {
        assert_clean(&scan(form));
    }
}

#[test]
fn a_volume_of_a_container_is_named_by_no_reason() {
    if moved_to_own_machine() {
        return;
    }
    let planted = plant();
    let unshare = |flags: &[&str]| {
        // Only one procfs: a second one would be the reason, before the mount is named.
        let script = "umount -l /proc 2>/dev/null; mount -t proc proc /proc && mount -t tmpfs alicew-source 'srv/alicew vol' && mkdir -p \"srv/alicew vol/openclaw-2026.4.29-aaaaaaaaaaaa/$1\" \
            && printf '{\"pid\":4000000,\"starttime\":7}' >\"srv/alicew vol/openclaw-2026.4.29-aaaaaaaaaaaa/$1/owner.json\" && shift && exec \"$@\"";
        let mut command = Command::new("unshare");
        if !is_root() {
            command.arg("-Ur");
        }
        command.args(["--pid", "--mount", "--fork", "--kill-child", "sh", "-c", script, "sh", DEPS]);
        command.arg(env!("CARGO_BIN_EXE_openclaw-doctor")).arg("scan").args(flags).arg("srv/alicew vol");
        Answer(command.current_dir(planted.path()).stdin(Stdio::null()).output().unwrap())
    };
    std::fs::create_dir_all(planted.path().join("srv/alicew vol")).unwrap();
    let probe = unshare(&["--json"]);
    if probe.0.stdout.is_empty() {
        return support::lab_required("namespaces cannot be made here");
    }
    let why = probe.lock()["evidence"]["sole_access_why"].as_str().unwrap().to_owned();
    if why.contains("a second procfs") {
        return support::lab_required("another procfs is mounted, which cannot be taken away here");
    }
    if why.contains("maps a single id") {
        return support::lab_required("a container that is no sandbox needs root");
    }
    assert!(why.contains("alicew"), "{why}");
    for form in [&["--redact"][..], &["--redact", "--json"]] {
        let answer = unshare(form);
        assert_clean(&answer);
        assert!(answer.out().contains("which other containers may share"), "{}", answer.out());
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// An id that anybody can compute again tells whether a guess at a name is right: a telephone number
/// in a file's name came back in half a second.
#[test]
fn no_id_lets_a_guess_be_tried_and_one_key_gives_the_same_everywhere() {
    let stage = Stage::new();
    let state = stage.path().join(".openclaw/credentials");
    std::fs::create_dir_all(&state).unwrap();
    let said = format!("{{\"pid\":{},\"createdAt\":\"2026-01-01T00:00:00.000Z\"}}", dead_pid());
    std::fs::write(state.join("+4915112345678-pairing.json.lock"), said).unwrap();
    let key = stage.path().join("key");
    std::fs::write(&key, KEY).unwrap();
    let scan = |flags: &[&str]| {
        let mut command = command();
        command.args(["scan", "--json"]).args(flags).arg(stage.path()).stdin(Stdio::null());
        Answer(command.output().unwrap())
    };
    let id = |answer: &Answer| answer.lock()["id"].as_str().unwrap().to_owned();
    let plain = id(&scan(&[]));
    assert_eq!(plain, id(&scan(&[])), "plain ids are stable");
    let ids = [id(&scan(&["--redact"])), id(&scan(&["--redact"]))];
    assert!(ids[0] != ids[1] && !ids.contains(&plain), "{plain} {ids:?}");
    let kept = ["--redact", "--redact-key", key.to_str().unwrap()];
    let reports = [scan(&kept), scan(&kept)];
    assert_eq!(id(&reports[0]), id(&reports[1]));
    assert_eq!(reports[0].lock()["path"], reports[1].lock()["path"], "and the same pseudonyms");
    assert!(!reports[0].out().contains("15112345678") && id(&reports[0]) != plain);

    let named = |id: &str, key: Option<&Path>| {
        let mut command = command();
        command.args(["repair", "--dry-run", "--lock", id]).arg(stage.path()).stdin(Stdio::null());
        command.args(key.into_iter().flat_map(|key| [OsStr::new("--redact-key"), key.as_os_str()]));
        Answer(command.output().unwrap()).code()
    };
    assert_eq!(named(&id(&reports[0]), None), 2, "an id of a redacted report says nothing without its key");
    assert_eq!(named(&id(&reports[0]), Some(&key)), 1);
    std::fs::write(&key, "short").unwrap();
    assert_eq!(scan(&kept).code(), 2);
}

/// Whoever writes a record chooses its numbers.
#[test]
fn a_number_that_cannot_be_what_it_says_is_not_shown() {
    let stage = Stage::new();
    let owner = Living::sleep();
    let version = "openclaw-2026.4.29-aaaaaaaaaaaa";
    let told = [
        format!("{{\"pid\":{},\"starttime\":4915112345678,\"createdAtMs\":4915112345678}}", owner.pid()),
        "{\"pid\":4915112345678,\"starttime\":4915112345678}".to_owned(),
        format!("{{\"pid\":{},\"maxHoldMs\":4915112345678,\"n\":[4915112345678]}}", owner.pid()),
        "{\"createdAtMs\":4915112345678}".to_owned(),
    ];
    for (index, record) in told.iter().enumerate() {
        stage.lock(&format!("{version}{index}"), DEPS, Some(record));
        stage.lock(&format!("{index}/{version}"), DEPS, Some(record));
    }
    stage.lock("openclaw-4915.1123.4567-aaaaaaaaaaaa", DEPS, Some("{}"));
    stage.lock("proc/4915112/x/openclaw-2026.4.29-aaaaaaaaaaaa", DEPS, Some("{}"));
    for flags in [&["--json"][..], &[], &["--verbose"]] {
        let mut command = command();
        command.args(["scan", "--redact"]).args(flags).arg(stage.path()).stdin(Stdio::null());
        let answer = Answer(command.output().unwrap());
        for number in ["4915112345678", "15112345678", "4915.1123", "4915112/", "4915112"] {
            assert!(!answer.out().contains(number), "{number}: {}", answer.out());
        }
        assert!(answer.out().contains(&owner.pid().to_string()), "numbers that prove stay: {}", answer.out());
    }
}

/// The next command of a redacted report must not look at more than the run did.
#[test]
fn the_next_command_names_the_places_of_this_run() {
    let stage = Stage::new();
    stage.lock("alicew/openclaw-2026.4.29-aaaaaaaaaaaa", DEPS, Some(&record(dead_pid(), Some(7))));
    let mut command = command();
    command.args(["scan", "--redact", "--family", "runtime-deps", VOUCHED]).arg(stage.path().join("alicew"));
    let answer = Answer(command.stdin(Stdio::null()).output().unwrap());
    let next = answer.out().lines().find(|line| line.starts_with("Next: ")).unwrap().to_owned();
    assert!(next.contains("repair --assume-single-writer --family runtime-deps /tmp/dir-"), "{next}");
    assert_eq!(leaks(&answer.out()), Vec::<String>::new());
}
