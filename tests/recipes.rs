//! The recipes do what they say: their commands run where their containers would run, their YAML
//! fits the schemas of those who read it, their units pass systemd's own check.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)]

mod support;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::{Answer, DEPS, Living, Stage, dead_pid, lab_required, record, start_ticks, wait_until};

const DEAD: &str = "openclaw-2026.4.29-aaaaaaaaaaaa";
const LEGACY: &str = "openclaw-2026.4.26-f53b52ad6d21";
const HELD: &str = "openclaw-2026.4.29-f53b52ad6d21";
/// Where the recipes' containers have the volume.
const STATE: &str = "/var/lib/openclaw";

/// The blocks of all recipes that a comment marks: its text (`lab: host-scan`) to its lines.
fn blocks() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for part in text.split("<!-- ").skip(1) {
            let (mark, after) = part.split_once(" -->\n").unwrap();
            let (_, body) = after.strip_prefix("```").expect("a block follows its mark").split_once('\n').unwrap();
            let body = body.split_once("\n```").unwrap().0.to_owned();
            assert!(found.insert(mark.to_owned(), body).is_none(), "{mark} twice");
        }
    }
    found
}

fn block(mark: &str) -> String {
    blocks().remove(mark).unwrap_or_else(|| panic!("no recipe has a block {mark}"))
}

/// The doctor's part of a recipe's line.
fn invocation(line: &str) -> String {
    let at = line.rfind("openclaw-doctor ").unwrap_or_else(|| panic!("no call in {line}"));
    line[at..].trim().to_owned()
}

fn yaml(mark: &str) -> Value {
    serde_saphyr::from_str(&block(mark)).unwrap_or_else(|error| panic!("{mark}: {error}"))
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn lab() -> bool {
    let root = rustix::process::geteuid().is_root();
    let made = || Command::new("unshare").args(["--pid", "--mount", "--fork", "true"]).status();
    let there = root && made().is_ok_and(|status| status.success());
    if !there {
        lab_required("mounts and namespaces need root");
    }
    there
}

fn path_with_doctor() -> String {
    let doctor = Path::new(env!("CARGO_BIN_EXE_openclaw-doctor"));
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", doctor.parent().unwrap().display())
}

/// A container as a recipe's would be.
#[derive(Default)]
struct Container<'a> {
    /// Host directory and its mount point.
    volumes: Vec<(&'a Path, &'a str)>,
    /// The host's /proc, read-only.
    host_proc: Option<&'a str>,
    /// Joins the PID namespace of this process of ours; else it has its own.
    pid_of: Option<u32>,
    /// Shares the host's PID namespace.
    host_pid: bool,
    uid: u32,
}

impl Container<'_> {
    fn run(&self, line: &str) -> Answer {
        let mut script = String::from("set -e\n");
        // Their mount points are in private mounts: nothing is made on this machine.
        for (volume, target) in &self.volumes {
            let top = format!("/{}", target.split('/').nth(1).unwrap());
            script += &format!("from=$(mktemp -d /dev/shm/volume.XXXXXX); mount --bind '{}' $from\n", volume.display());
            script += &format!("mkdir -p {top} 2>/dev/null || true; mount -t tmpfs container {top}\n");
            script += &format!("mkdir -p {target}; mount --bind $from {target}; umount $from; rmdir $from\n");
        }
        if let Some(target) = self.host_proc {
            script +=
                &format!("mount -t tmpfs container /mnt; mkdir -p /mnt{target}; mount --bind /proc /mnt{target}\n");
            script += &format!("mount -o remount,bind,ro /mnt{target}\n");
        }
        let mut command = Command::new("unshare");
        if let Some(pid) = self.pid_of {
            command = Command::new("nsenter");
            command.args(["-t", &pid.to_string(), "--pid", "unshare"]);
        }
        command.args(["--mount", "--fork"]);
        if self.pid_of.is_none() && !self.host_pid {
            command.args(["--pid", "--kill-child"]);
        }
        if !self.host_pid {
            script += "mount -t proc proc /proc\n";
        }
        let line = line.replace("/host/proc", "/mnt/host/proc");
        script += &format!("exec setpriv --reuid={0} --regid={0} --clear-groups sh -c \"$1\"", self.uid);
        let home = tempfile::tempdir().unwrap();
        command.args(["sh", "-c", &script, "sh", &line]).env_clear().env("PATH", path_with_doctor());
        Answer(command.env("HOME", home.path()).stdin(Stdio::null()).output().unwrap())
    }
}

/// A gateway in a container of its own: a sleep as pid 2 of a PID namespace. Also its pid here.
fn gateway() -> (Living, u32) {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "sh", "-c", "sleep 1000 & wait"]);
    let living = Living(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    let child = |pid: u32| {
        let mut children = String::new();
        wait_until("a child", || {
            children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            !children.is_empty()
        });
        children.split_whitespace().next().unwrap().parse().unwrap()
    };
    let sleep = child(child(living.pid()));
    (living, sleep)
}

/// A volume with a dead owner's lock, one without start time whose pid lives, and a gateway's.
fn volume(gateway: Option<u32>) -> Stage {
    let stage = Stage::new();
    // Start tick 7 is too low for any process.
    stage.lock(DEAD, DEPS, Some(&record(dead_pid(), Some(7))));
    stage.lock(LEGACY, DEPS, Some(&record(1, None)));
    if let Some(pid) = gateway {
        stage.lock(HELD, DEPS, Some(&record(2, Some(start_ticks(pid)))));
    }
    let everyone = Command::new("chmod").args(["-R", "a+rwX"]).arg(stage.path()).status().unwrap();
    assert!(everyone.success());
    stage
}

fn left(stage: &Stage) -> Vec<&'static str> {
    [DEAD, LEGACY, HELD].into_iter().filter(|version| stage.path().join(version).join(DEPS).exists()).collect()
}

#[test]
fn every_marked_block_is_tested_here() {
    let known = [
        "lab: compose-exec",
        "lab: compose-host",
        "lab: compose-sidecar",
        "lab: host-quiet",
        "lab: host-repair",
        "lab: host-scan",
        "lab: nas-mounted",
        "lab: nas-samba",
        "unit: dropin",
        "unit: user",
        "yaml: compose",
        "yaml: kubernetes-daemonset",
        "yaml: kubernetes-init",
        "yaml: kubernetes-job",
    ];
    assert_eq!(blocks().into_keys().collect::<Vec<_>>(), known);
}

#[test]
fn compose_on_the_host_everything_is_proven() {
    if !lab() {
        return;
    }
    let (_living, pid) = gateway();
    let stage = volume(Some(pid));
    std::fs::remove_dir_all(stage.path().join(LEGACY)).unwrap();
    let line = invocation(&block("lab: compose-host"));
    let (call, path) = line.rsplit_once(' ').unwrap();
    let host = Container { volumes: vec![(stage.path(), path)], host_pid: true, ..Container::default() };
    let answer = host.run(&format!("{call} --json {path}"));
    if answer.json()["host"]["vantage"] != "host" {
        return lab_required("this machine's /proc is not the host's");
    }
    assert_eq!((answer.code(), left(&stage)), (0, vec![HELD]), "{}", answer.out());
}

#[test]
fn compose_shares_the_pid_namespace_and_sees_the_gateway() {
    let service = yaml("yaml: compose")["services"]["openclaw-doctor"].clone();
    assert_eq!(service["pid"], "service:openclaw-gateway");
    if !lab() {
        return;
    }
    let (_living, pid) = gateway();
    let stage = volume(Some(pid));
    let target = "/var/lib/openclaw/plugin-runtime-deps";
    let uid = service["user"].as_str().unwrap().split(':').next().unwrap().parse().unwrap();
    let volumes = vec![(stage.path(), target)];
    let answer = Container { volumes, pid_of: Some(pid), uid, ..Container::default() }
        .run(&words(&service["command"]).join(" "));
    assert_eq!((answer.code(), left(&stage)), (1, vec![LEGACY, HELD]), "{}{}", answer.out(), answer.err());
}

#[test]
fn compose_exec_into_the_gateway_shows_and_proves_nothing() {
    if !lab() {
        return;
    }
    let (_living, pid) = gateway();
    let stage = volume(Some(pid));
    let volumes = vec![(stage.path(), "/var/lib/openclaw/plugin-runtime-deps")];
    let inside = Container { volumes, pid_of: Some(pid), ..Container::default() };
    let line = invocation(&block("lab: compose-exec"));
    let answer = inside.run(&format!("{line} --json"));
    assert_eq!(answer.code(), 1, "{}", answer.err());
    assert_eq!(answer.lock_at(format!("{HELD}/{DEPS}"))["classification"], "active");
    let dead = answer.lock_at(format!("{DEAD}/{DEPS}"));
    assert_eq!((&dead["proof"], &dead["leaning"]), (&json!(false), &json!("out-of-sight")));
    let vouched = inside.run(&format!("{line} --json --assume-single-writer"));
    assert_eq!(vouched.lock_at(format!("{DEAD}/{DEPS}"))["proof"], true);
}

#[test]
fn a_sidecar_leaves_the_lock_of_a_gateway_that_it_cannot_see() {
    if !lab() {
        return;
    }
    let (_living, pid) = gateway();
    let stage = volume(Some(pid));
    std::fs::remove_dir_all(stage.path().join(LEGACY)).unwrap();
    let volumes = vec![(stage.path(), "/var/lib/openclaw/plugin-runtime-deps")];
    let sidecar = Container { volumes, ..Container::default() };
    let line = invocation(&block("lab: compose-sidecar"));
    let scan = sidecar.run(&format!("{} --json", line.replace("repair --yes", "scan")));
    let held = scan.lock_at(format!("{HELD}/{DEPS}"));
    assert_eq!((&held["leaning"], &held["proof"]), (&json!("out-of-sight"), &json!(false)), "{held}");
    let answer = sidecar.run(&line);
    assert_eq!((answer.code(), left(&stage)), (1, vec![DEAD, HELD]), "{}", answer.out());
}

fn doctor_container(mark: &str) -> (Value, Value) {
    let spec = yaml(mark)["spec"]["template"]["spec"].clone();
    let container = spec.get("initContainers").unwrap_or(&spec["containers"])[0].clone();
    assert_eq!(container["name"], "doctor");
    (spec, container)
}

/// `command` of a container as one line of a shell.
fn line_of(container: &Value) -> String {
    let words = words(&container["command"]);
    if words[..2] == ["sh", "-c"] { words[2].clone() } else { words.join(" ") }
}

#[test]
fn the_init_container_removes_only_proofs_and_lets_the_gateway_start() {
    let (_, container) = doctor_container("yaml: kubernetes-init");
    if !lab() {
        return;
    }
    let stage = volume(None);
    let uid = u32::try_from(container["securityContext"]["runAsUser"].as_u64().unwrap()).unwrap();
    let pod = Container { volumes: vec![(stage.path(), STATE)], uid, ..Container::default() };
    // What every ext4 volume has, and a link that leads to what is mounted elsewhere.
    std::fs::create_dir(stage.path().join("lost+found")).unwrap();
    std::fs::set_permissions(stage.path().join("lost+found"), PermissionsExt::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink("/run", stage.path().join("credentials")).unwrap();
    let guard = guard(stage.path());
    let line = line_of(&container);
    let answer = pod.run(&line);
    assert_eq!((answer.code(), left(&stage)), (0, vec![LEGACY]), "{}{}", answer.out(), answer.err());
    assert!(!guard.exists(), "a guard is never proven and keeps the gateway down: {}{}", answer.out(), answer.err());
    // Without the tolerance the pod would not start: something stayed.
    assert_ne!(pod.run("openclaw-doctor repair --assume-single-writer /var/lib/openclaw").code(), 0);
    // Wrong usage is no state of the volume: the pod must not start as if all were well.
    assert_eq!(pod.run(&line.replace("repair ", "repair --no-such-flag ")).code(), 1);
}

/// A reclaim guard that a killed OpenClaw left beside its lock.
fn guard(below: &Path) -> PathBuf {
    let state = below.join(".openclaw");
    let guard = state.join("openclaw.json.lock.reclaim");
    std::fs::create_dir_all(&guard).unwrap();
    support::age(&guard);
    assert!(Command::new("chmod").args(["-R", "a+rwX"]).arg(&state).status().unwrap().success());
    guard
}

#[test]
fn the_job_sees_the_host_and_repairs_what_is_proven() {
    let (spec, container) = doctor_container("yaml: kubernetes-job");
    assert_eq!(spec["hostPID"], true);
    if !lab() {
        return;
    }
    let (_living, pid) = gateway();
    let stage = volume(Some(pid));
    std::fs::remove_dir_all(stage.path().join(LEGACY)).unwrap();
    let volumes = vec![(stage.path(), STATE)];
    let node = Container { volumes, host_proc: Some("/host/proc"), host_pid: true, ..Container::default() };
    let answer = node.run(&format!("{} --json", line_of(&container)));
    if answer.json()["host"]["vantage"] != "host" {
        return lab_required("this machine's /proc is not the host's");
    }
    assert_eq!((answer.code(), left(&stage)), (0, vec![HELD]), "{}", answer.out());
}

#[test]
fn the_daemon_set_sees_the_host_through_its_proc_alone() {
    let (spec, container) = doctor_container("yaml: kubernetes-daemonset");
    assert_eq!((spec.get("hostPID"), &container["volumeMounts"][0]["readOnly"]), (None, &json!(true)));
    if !lab() {
        return;
    }
    let (_living, pid) = gateway();
    let stage = volume(Some(pid));
    let volumes = vec![(stage.path(), STATE)];
    let node = Container { volumes, host_proc: Some("/host/proc"), ..Container::default() };
    let line = line_of(&container);
    let call = invocation(line.split_once("; sleep").unwrap().0);
    let answer = node.run(&call.replace(" --redact", ""));
    let host = &answer.json()["host"];
    if host["vantage"] != "host" {
        return lab_required("this machine's /proc is not the host's");
    }
    assert_eq!((answer.code(), &host["proc_source"]), (1, &json!("foreign")));
    assert_eq!(answer.lock_at(format!("{HELD}/{DEPS}"))["classification"], "active");
    assert_eq!(answer.lock_at(format!("{DEAD}/{DEPS}"))["proof"], true);
    assert_eq!(node.run(&call).json()["summary"], answer.json()["summary"]);
}

#[test]
fn yaml_fits_the_schemas_of_compose_and_kubernetes() {
    let schema = |name: &str| -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/schemas").join(name);
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let errors = |schema: &Value, instance: &Value| -> Vec<String> {
        let validator = jsonschema::validator_for(schema).unwrap();
        validator.iter_errors(instance).map(|error| format!("{error} at {}", error.instance_path())).collect()
    };
    let compose = schema("compose-spec.json");
    assert_eq!(errors(&compose, &yaml("yaml: compose")), Vec::<String>::new());
    let mut wrong = yaml("yaml: compose");
    wrong["services"]["openclaw-doctor"]["pidd"] = json!("x");
    assert_ne!(errors(&compose, &wrong), Vec::<String>::new());

    for (mark, version, name) in [
        ("yaml: kubernetes-init", "apps/v1", "io.k8s.api.apps.v1.Deployment"),
        ("yaml: kubernetes-job", "batch/v1", "io.k8s.api.batch.v1.Job"),
        ("yaml: kubernetes-daemonset", "apps/v1", "io.k8s.api.apps.v1.DaemonSet"),
    ] {
        let mut kind = schema("kubernetes-1.37.json");
        kind["oneOf"] = json!([{"$ref": format!("#/definitions/{name}")}]);
        let manifest = yaml(mark);
        assert_eq!((&manifest["apiVersion"], manifest["kind"].as_str()), (&json!(version), name.rsplit('.').next()));
        assert_eq!(errors(&kind, &manifest), Vec::<String>::new(), "{mark}");
        let mut wrong = manifest.clone();
        wrong["spec"]["template"]["spec"]["hostPid"] = json!(true);
        assert_ne!(errors(&kind, &wrong), Vec::<String>::new(), "{mark}");
        // Each mount names a volume, and each volume is mounted.
        let spec = &manifest["spec"]["template"]["spec"];
        let named = |list: &Value| -> std::collections::BTreeSet<String> {
            list.as_array().into_iter().flatten().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
        };
        let containers = ["initContainers", "containers"].iter().filter_map(|key| spec[*key].as_array()).flatten();
        let mounted = containers.flat_map(|container| named(&container["volumeMounts"])).collect();
        assert_eq!(named(&spec["volumes"]), mounted, "{mark}");
    }
}

/// A whole unit around a drop-in, with programs that are here.
fn unit(mark: &str) -> String {
    let body = block(mark).replace("/usr/local/bin/openclaw-doctor", env!("CARGO_BIN_EXE_openclaw-doctor"));
    format!("[Unit]\nDescription=OpenClaw gateway\n{body}\nExecStart=/bin/sleep 1\n")
}

#[test]
fn units_pass_systemds_own_check() {
    if !Command::new("systemd-analyze").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return lab_required("systemd-analyze is not installed");
    }
    let verify = |text: &str| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("openclaw-gateway.service");
        std::fs::write(&file, text).unwrap();
        let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output().unwrap();
        // Of other units on this machine it may complain; ours is named in what concerns us.
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        said.lines().filter(|line| line.contains("openclaw-gateway.service")).map(str::to_owned).collect::<Vec<_>>()
    };
    for mark in ["unit: dropin", "unit: user"] {
        assert_eq!(verify(&unit(mark)), Vec::<String>::new(), "{mark}");
    }
    assert_ne!(verify(&unit("unit: dropin").replace("ExecStartPre=-", "ExecStartPree=")), Vec::<String>::new());
}

#[test]
fn exec_start_pre_repairs_the_state_directory_as_the_units_user() {
    for (mark, variable) in [("unit: dropin", "${STATE_DIRECTORY}"), ("unit: user", "%h")] {
        let text = block(mark);
        let lines: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("ExecStartPre=-/usr/local/bin/")).collect();
        let [repair, guards] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(lines.iter().all(|line| line.contains(variable)), "{lines:?}");
        let stage = Stage::new();
        stage.lock(&format!(".openclaw/plugin-runtime-deps/{DEAD}"), DEPS, Some(&record(dead_pid(), Some(7))));
        let living = Living::sleep();
        stage.lock(
            &format!(".openclaw/plugin-runtime-deps/{HELD}"),
            DEPS,
            Some(&record(living.pid(), Some(living.ticks()))),
        );
        let run = |line: &str| plain(&line.replace(variable, &stage.path().display().to_string()), stage.path());
        let answer = run(repair);
        if !answer.out().contains("proven") && answer.code() == 1 {
            return lab_required("this machine's /proc is not the host's");
        }
        assert_eq!(answer.code(), 0, "{}{}", answer.out(), answer.err());
        let there =
            |version: &str| stage.path().join(".openclaw/plugin-runtime-deps").join(version).join(DEPS).exists();
        assert_eq!((there(DEAD), there(HELD)), (false, true), "{repair}");
        let guard = guard(stage.path());
        assert_eq!((run(repair).code(), guard.exists()), (1, true), "it is never proven");
        let answer = run(guards);
        assert_eq!((answer.code(), guard.exists()), (0, false), "{}{}", answer.out(), answer.err());
    }
}

/// Runs a recipe's line as it stands, as this user, with a home of its own.
fn plain(line: &str, home: &Path) -> Answer {
    let mut command = Command::new("sh");
    command.args(["-c", line]).env_clear().env("PATH", path_with_doctor()).env("HOME", home);
    Answer(command.stdin(Stdio::null()).output().unwrap())
}

#[test]
fn on_a_plain_host_the_home_is_found_and_repaired() {
    let home = Stage::new();
    let lock = home.lock(&format!(".openclaw/plugin-runtime-deps/{DEAD}"), DEPS, Some(&record(dead_pid(), Some(7))));
    let scan = plain(&block("lab: host-scan"), home.path());
    assert!(scan.out().contains(DEAD) && (1..=3).contains(&scan.code()), "{}", scan.out());
    let quiet = plain(&block("lab: host-quiet"), home.path());
    assert_eq!((quiet.code(), quiet.out()), (1, String::new()));
    let repair = plain(&block("lab: host-repair"), home.path());
    if scan.out().contains("Seen from: ") {
        return lab_required("this machine's /proc is not the host's");
    }
    assert_eq!((repair.code(), lock.exists()), (0, false), "{}", repair.out());
    assert_eq!(plain(&block("lab: host-quiet"), home.path()).code(), 0);
}

/// A FUSE mount, as a client of the NAS has it; taken away with the test.
struct Fuse(PathBuf);

impl Drop for Fuse {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_mounted_share_of_a_nas_is_left_alone() {
    if !lab() {
        return;
    }
    let stage = volume(None);
    let point = tempfile::tempdir().unwrap();
    if !Command::new("bindfs").arg(stage.path()).arg(point.path()).output().is_ok_and(|o| o.status.success()) {
        return lab_required("bindfs cannot mount here");
    }
    let _fuse = Fuse(point.path().to_owned());
    std::fs::remove_dir_all(stage.path().join(LEGACY)).unwrap();
    let line = block("lab: nas-mounted").replace("/mnt/nas/openclaw", &point.path().display().to_string());
    let scan = plain(&format!("{} --json", line.replace("repair --yes", "scan")), point.path()).lock();
    assert_eq!((&scan["reason"], &scan["leaning"]), (&json!("foreign-kernel-possible"), &json!("out-of-sight")));
    let answer = plain(&line, point.path());
    assert_eq!((answer.code(), left(&stage)), (1, vec![DEAD]), "{}", answer.out());
}

#[test]
fn on_a_nas_the_operator_names_the_one_lock() {
    if !lab() {
        return;
    }
    let stage = volume(None);
    // At the path of the recipe there is a dead owner's lock; nothing is proven of it on that filesystem.
    stage.lock(HELD, DEPS, Some(&record(dead_pid(), Some(7))));
    let point = tempfile::tempdir().unwrap();
    if !Command::new("bindfs").arg(stage.path()).arg(point.path()).output().is_ok_and(|o| o.status.success()) {
        return lab_required("bindfs cannot mount here");
    }
    let _fuse = Fuse(point.path().to_owned());
    let nas = Container { volumes: vec![(point.path(), "/volume1/docker/openclaw")], ..Container::default() };
    let line = block("lab: nas-samba");
    let unnamed = nas.run("openclaw-doctor repair --yes --assume-single-writer /volume1/docker/openclaw");
    assert!(left(&stage).contains(&HELD), "{}", unnamed.out());
    let answer = nas.run(&line);
    assert!(left(&stage).contains(&DEAD) && !left(&stage).contains(&HELD), "{}{}", answer.out(), answer.err());
}
