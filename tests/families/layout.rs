//! A host as OpenClaw lays it out, with one lock or more of every family.

use super::support::{Answer, Living, command, dead_pid};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// From where a lock's place counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    State,
    Temp,
    Config,
    Credentials,
    Home,
    /// In the state dir, where discovery does not look: found by PATH.
    Hidden,
}

/// What stands there.
#[derive(Debug, Clone, Copy)]
pub enum What {
    /// A file with the bytes of a fixture, pid and start ticks replaced.
    File(&'static str),
    /// The same as `owner.json` in a directory.
    Record(&'static str),
    /// A file with these bytes.
    Text(&'static str),
    Directory,
    /// A file that nobody has locked.
    Unlocked,
}

#[derive(Debug, Clone, Copy)]
pub struct Spot {
    pub family: &'static str,
    pub from: From,
    /// `{64}` and `{32}` stand for so many digits, `{uid}` for ours.
    pub below: &'static str,
    pub what: What,
}

const fn spot(family: &'static str, from: From, below: &'static str, what: What) -> Spot {
    Spot { family, from, below, what }
}

const FILE_LOCK: What = What::File("records/2026.9.6/file-lock/openclaw.json.lock");
const OLD_FILE_LOCK: What = What::File("records/2026.4.29/file-lock/auth-profiles.json.lock");
const DEPS: What = What::Record("records/2026.4.29/runtime-deps/owner.json");
const MIRROR: What = What::Record("records/2026.4.29/runtime-mirror/owner.json");
const SESSION: What = What::File("records/2026.4.29/session-write/7c9e6679-7425-40de-944b-e07fc1f90ae7.jsonl.lock");
const NEW_SESSION: What =
    What::File("records/2026.7.2-beta.7/session-write/7c9e6679-7425-40de-944b-e07fc1f90ae7.jsonl.lock");
const STORE: What = What::File("records/2026.4.29/session-store/sessions.json.lock");
const REGISTRY: What = What::File("records/2026.4.29/sandbox-registry/containers.json.lock");
const GATEWAY: What = What::File("records/2026.4.29/gateway/gateway.5b681173.lock");
const NEW_GATEWAY: What = What::File("records/2026.9.6/gateway/gateway.5b681173.lock");
const GATEWAY_STATE: What = What::File("records/2026.9.6/gateway-state/gateway.state.lock");
const APPROVALS: What = What::File("records/2026.7.2-beta.2/exec-approvals/exec-approvals.json.lock");
const PROMOTION: What = What::File("records/2026.5.28/short-term-promotion/short-term-promotion.lock");
const COST: What = What::File("records/2026.5.28/usage-cost/.usage-cost-cache.json.lock");
const PACKAGE: What = What::File("records/2026.9.6/package-lifecycle/.openclaw-lifecycle-lock");
const GUARD: What = What::File("constructed/reclaim-guard/file/auth-profiles.json.lock.reclaim");
const TRANSFER: What = What::Text("{\n  \"ownerToken\": \"x\",\n  \"createdAt\": \"2026-11-23T10:00:00.000Z\"\n}\n");
const RECOVERY: What = What::Record("constructed/crabbox-recovery/2026.9.6/owner.json");

pub const SPOTS: &[Spot] = &[
    spot(
        "runtime-deps",
        From::State,
        "plugin-runtime-deps/openclaw-2026.4.29-f53b52ad6d21/.openclaw-runtime-deps.lock",
        DEPS,
    ),
    spot(
        "runtime-mirror",
        From::State,
        "plugin-runtime-deps/openclaw-2026.4.29-f53b52ad6d21/.openclaw-runtime-mirror.lock",
        MIRROR,
    ),
    spot("session-write", From::State, "agents/main/sessions/7c9e6679-7425-40de-944b-e07fc1f90ae7.jsonl.lock", SESSION),
    spot(
        "session-write",
        From::State,
        "agents/main/sessions/session-locks/main-7c9e6679.sqlite-transcript.lock",
        NEW_SESSION,
    ),
    spot("session-store", From::State, "agents/main/sessions/sessions.json.lock", STORE),
    spot("usage-cost", From::State, "agents/main/sessions/.usage-cost-cache.json.lock", COST),
    spot("sandbox-registry", From::State, "sandbox/containers.json.lock", REGISTRY),
    spot("sandbox-registry", From::State, "sandbox/browsers.json.lock", REGISTRY),
    spot("sandbox-registry", From::State, "sandbox/containers/{64}.json.lock", REGISTRY),
    spot("gateway", From::Temp, "openclaw-{uid}/gateway.5b681173.lock", GATEWAY),
    spot("gateway", From::State, "tmp/openclaw-{uid}/gateway.5b681173.lock", NEW_GATEWAY),
    spot("gateway-state", From::State, "tmp/openclaw-{uid}/gateway.state.lock", GATEWAY_STATE),
    spot("sqlite-coordinator", From::State, "tmp/openclaw-{uid}/gateway.state.lock.sqlite", What::Unlocked),
    spot("sqlite-coordinator", From::State, "tmp/plugin-captures/1234/owner.sqlite", What::Unlocked),
    spot(
        "sqlite-coordinator",
        From::Temp,
        "openclaw-state-locks-{uid}/gateway-lifecycle.c3867134.lock.sqlite",
        What::Unlocked,
    ),
    spot(
        "sqlite-coordinator",
        From::Home,
        ".cache/openclaw/openclaw-sqlite-readonly-v2-1234/owner.sqlite",
        What::Unlocked,
    ),
    spot("file-lock", From::State, "agents/main/agent/auth-profiles.json.lock", OLD_FILE_LOCK),
    spot("file-lock", From::State, "agents/main/agent/openclaw-agent.sqlite.lock", FILE_LOCK),
    spot("file-lock", From::State, "agents/main/agent/auth.json.lock", FILE_LOCK),
    spot("file-lock", From::State, "agents/main/agent/settings.json.lock", FILE_LOCK),
    spot("file-lock", From::State, "agents/main/qmd-write.lock.lock", FILE_LOCK),
    spot("file-lock", From::State, "locks/oauth-refresh/sha256-{64}.lock", FILE_LOCK),
    spot("file-lock", From::Credentials, "telegram-pairing.json.lock", OLD_FILE_LOCK),
    spot("file-lock", From::Credentials, "telegram-work-allowFrom.json.lock", OLD_FILE_LOCK),
    spot("file-lock", From::State, "openclaw.json.lock", FILE_LOCK),
    spot("file-lock", From::Config, "openclaw.json.lock", FILE_LOCK),
    spot("file-lock", From::State, "acp/event-ledger.json.lock", FILE_LOCK),
    spot("file-lock", From::State, "commitments/commitments.json.lock", FILE_LOCK),
    spot("file-lock", From::State, "skill-workshop/locks/proposals-manifest.lock", FILE_LOCK),
    spot("file-lock", From::State, "skill-workshop/locks/5e5e.target.lock", FILE_LOCK),
    spot("file-lock", From::State, "mcp-oauth/notion-5e5e5e5e5e5e5e5e.json.lock", FILE_LOCK),
    spot("file-lock", From::State, "imessage/catchup/main.json.lock", FILE_LOCK),
    spot("file-lock", From::State, "qmd/embed.lock.lock", FILE_LOCK),
    spot("file-lock", From::State, "matrix/accounts/default/host__user/0f0f/crypto-idb-snapshot.json.lock", FILE_LOCK),
    spot("file-lock", From::State, "feishu/dedup/default.json.lock", FILE_LOCK),
    spot("file-lock", From::State, "discord/model-picker-preferences.json.lock", FILE_LOCK),
    spot("file-lock", From::State, "msteams-polls.json.lock", FILE_LOCK),
    spot("file-lock", From::State, ".memory-host-events-export-{32}.lock", FILE_LOCK),
    spot("file-lock", From::State, "migration/onboarding.lock-target.lock", FILE_LOCK),
    spot("file-lock", From::State, "debug-proxy/certs/root-ca-key.pem.lock", FILE_LOCK),
    spot("file-lock", From::State, "state/openclaw.sqlite.sandbox-{64}.lock", FILE_LOCK),
    spot("file-lock", From::State, "tools/crabbox/1.2.3/linux.publication.lock", FILE_LOCK),
    spot("file-lock", From::State, ".fs-safe-write-{64}.lock", FILE_LOCK),
    spot("file-lock", From::Home, ".config/systemd/user/.openclaw-{64}.lock", FILE_LOCK),
    spot("file-lock", From::Temp, "openclaw/service-lifecycle-{64}.lock", FILE_LOCK),
    spot("file-lock", From::Temp, ".openclaw-terminal-staging-{uid}/terminal-upload-lock/admission.lock", FILE_LOCK),
    spot("fail-closed-file-lock", From::State, "locks/memory-promotion-{64}.lock", FILE_LOCK),
    spot("fail-closed-file-lock", From::State, "locks/provider-auth-persistence/lock-{64}.lock", FILE_LOCK),
    spot("fail-closed-file-lock", From::State, ".fs-safe-transfer-{32}.lock", TRANSFER),
    spot("reclaim-guard", From::State, "agents/main/agent/auth-profiles.json.lock.reclaim", What::Directory),
    spot("reclaim-guard", From::State, "locks/oauth-refresh/sha256-{64}.lock.reclaim", GUARD),
    spot("proper-lockfile", From::State, "agents/old/agent/auth-profiles.json.lock", What::Directory),
    spot("proper-lockfile", From::State, "agents/old/agent/settings.json.lock", What::Directory),
    spot("proper-lockfile", From::Credentials, "slack-pairing.json.lock", What::Directory),
    spot("exec-approvals", From::State, "exec-approvals.json.lock", APPROVALS),
    spot("short-term-promotion", From::State, "workspace/memory/.dreams/short-term-promotion.lock", PROMOTION),
    spot("short-term-promotion", From::State, "workspace-dev/memory/.dreams/short-term-promotion.lock", PROMOTION),
    spot("package-lifecycle", From::Home, ".npm-global/lib/node_modules/openclaw/.openclaw-lifecycle-lock", PACKAGE),
    spot("config-clobber", From::State, "openclaw.json.clobber.lock", What::Directory),
    spot("config-clobber", From::Config, "openclaw.json.clobber.lock", What::Directory),
    spot("crabbox-recovery", From::Hidden, "sync/copy-7c9e6679-7425-40de-944b-e07fc1f90ae7/recovery.lock", RECOVERY),
];

/// Who is recorded in the locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Living,
    Dead,
    Recycled,
    WithoutTicks,
}

impl Spot {
    pub fn is_kernel_lock(&self) -> bool {
        matches!(self.what, What::Unlocked)
    }

    pub fn form(&self) -> &'static str {
        match self.what {
            What::File(_) | What::Text(_) => "file",
            What::Record(_) => "directory",
            What::Directory => "empty-directory",
            What::Unlocked => "kernel-lock",
        }
    }

    pub fn name(&self) -> String {
        let uid = rustix::process::geteuid().as_raw().to_string();
        self.below.replace("{64}", &"5e".repeat(32)).replace("{32}", &"5e".repeat(16)).replace("{uid}", &uid)
    }

    /// Whether its release writes start ticks.
    fn has_ticks(&self) -> bool {
        let (What::File(fixture) | What::Record(fixture)) = self.what else { return false };
        let text = read(fixture);
        text.contains("\"starttime\"") || text.contains("\"startTime\"")
    }

    pub fn class(&self, owner: Owner) -> &'static str {
        let names_somebody = matches!(self.what, What::File(_) | What::Record(_));
        match owner {
            _ if !names_somebody => "legacy-unverifiable",
            Owner::Dead => "stale-dead-pid",
            Owner::Living if self.has_ticks() => "active",
            Owner::Recycled if self.has_ticks() => "stale-recycled-pid",
            Owner::Living | Owner::Recycled | Owner::WithoutTicks => "legacy-unverifiable",
        }
    }

    fn bytes(&self, pid: u32, ticks: Option<u64>) -> String {
        match self.what {
            What::File(fixture) | What::Record(fixture) => signed(&read(fixture), pid, ticks),
            What::Text(text) => text.to_owned(),
            What::Directory | What::Unlocked => String::new(),
        }
    }
}

fn read(fixture: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A recorded lock as this process would have written it; without `ticks`, as a release did that
/// recorded none.
pub fn signed(text: &str, pid: u32, ticks: Option<u64>) -> String {
    if let Some((_, at)) = text.split_once(':').filter(|_| !text.starts_with('{')) {
        return format!("{pid}:{at}");
    }
    let mut text = put(text, "\"pid\":", &pid.to_string());
    for key in ["\"starttime\":", "\"startTime\":"] {
        if text.contains(key) {
            text = match ticks {
                Some(ticks) => put(&text, key, &ticks.to_string()),
                None => text.replace(key, "\"formerly\":"),
            };
        }
    }
    text
}

/// The number after a key.
fn put(text: &str, key: &str, number: &str) -> String {
    let (front, after) = text.split_once(key).unwrap_or_else(|| panic!("no {key} in {text}"));
    let start = after.find(|c: char| c.is_ascii_digit()).unwrap();
    let digits = after[start..].find(|c: char| !c.is_ascii_digit()).unwrap();
    format!("{front}{key}{}{number}{}", &after[..start], &after[start + digits..])
}

/// How the state dir is named, and with it the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    Home,
    StateDir,
    Profile,
    Legacy,
}

/// A home, a state dir, a temp directory, a configuration and credentials of their own.
pub struct Layout {
    tree: tempfile::TempDir,
    pub state: PathBuf,
    pub environment: Vec<(&'static str, PathBuf)>,
    moved: bool,
}

impl Layout {
    pub fn new(named: Named) -> Self {
        let tree = tempfile::Builder::new().prefix("families-").tempdir().unwrap();
        std::fs::set_permissions(tree.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let home = tree.path().join("home/u");
        let moved = named != Named::Home;
        let (state, variable) = match named {
            Named::Home => (home.join(".openclaw"), None),
            Named::StateDir => {
                (tree.path().join("var/mine"), Some(("OPENCLAW_STATE_DIR", tree.path().join("var/mine"))))
            }
            Named::Profile => (home.join(".openclaw-work"), Some(("OPENCLAW_PROFILE", "work".into()))),
            Named::Legacy => (home.join(".clawdbot"), None),
        };
        let mut environment = vec![("HOME", home), ("TMPDIR", tree.path().join("temp"))];
        environment.extend(variable);
        if moved {
            environment.push(("OPENCLAW_CONFIG_PATH", tree.path().join("etc/openclaw.json")));
            environment.push(("OPENCLAW_OAUTH_DIR", tree.path().join("oauth")));
        }
        std::fs::create_dir_all(&state).unwrap();
        std::fs::write(state.join("openclaw.json"), "{}").unwrap();
        Self { tree, state, environment, moved }
    }

    pub fn path(&self) -> &Path {
        self.tree.path()
    }

    pub fn at(&self, spot: &Spot) -> PathBuf {
        let from = match spot.from {
            From::State | From::Hidden => self.state.clone(),
            From::Temp => self.path().join("temp"),
            From::Config => self.path().join("etc"),
            From::Credentials if self.moved => self.path().join("oauth"),
            From::Credentials => self.state.join("credentials"),
            From::Home => self.path().join("home/u"),
        };
        from.join(spot.name())
    }

    pub fn has(&self, spot: &Spot) -> bool {
        self.moved || spot.from != From::Config
    }

    /// The locks that are there.
    pub fn spots(&self) -> impl Iterator<Item = &'static Spot> {
        SPOTS.iter().filter(|spot| self.has(spot))
    }

    /// The state dir that a lock is said to be of.
    pub fn state_of(&self, spot: &Spot) -> Option<&Path> {
        self.at(spot).starts_with(&self.state).then_some(self.state.as_path())
    }

    /// Puts every lock there.
    pub fn plant(&self, owner: Owner, living: &Living) {
        let (pid, ticks) = match owner {
            Owner::Living => (living.pid(), Some(living.ticks())),
            Owner::Dead => (dead_pid(), Some(living.ticks())),
            Owner::Recycled => (living.pid(), Some(living.ticks() - 7)),
            Owner::WithoutTicks => (living.pid(), None),
        };
        for spot in self.spots() {
            let at = self.at(spot);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            match spot.what {
                What::Record(_) => {
                    std::fs::create_dir_all(&at).unwrap();
                    std::fs::write(at.join("owner.json"), spot.bytes(pid, ticks)).unwrap();
                }
                What::Directory => std::fs::create_dir_all(&at).unwrap(),
                What::File(_) | What::Text(_) | What::Unlocked => {
                    std::fs::write(&at, spot.bytes(pid, ticks)).unwrap();
                }
            }
        }
        let package = self.path().join("home/u/.npm-global/lib/node_modules/openclaw/package.json");
        std::fs::create_dir_all(package.parent().unwrap()).unwrap();
        std::fs::write(package, "{\"name\":\"openclaw\",\"version\":\"2026.9.6\"}").unwrap();
    }

    /// Runs the binary with this host's environment.
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Answer {
        let mut doctor = command();
        doctor.args(args).envs(self.environment.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        Answer(doctor.output().unwrap())
    }

    /// The locks of a report that are in this tree, by path.
    pub fn locks(&self, answer: &Answer) -> BTreeMap<PathBuf, Value> {
        let json = answer.json();
        let locks = json["locks"].as_array().unwrap().iter();
        let all = locks.map(|lock| (PathBuf::from(lock["path"].as_str().unwrap()), lock.clone()));
        all.filter(|(path, _)| path.starts_with(self.path())).collect()
    }

    /// What a report has to say of these locks.
    pub fn expected(&self, keep: impl Fn(&Spot) -> bool, owner: Owner) -> BTreeMap<PathBuf, [String; 3]> {
        let said = |spot: &Spot| [spot.family, spot.form(), spot.class(owner)].map(str::to_owned);
        let kept = self.spots().filter(|spot| !spot.is_kernel_lock() && keep(spot));
        kept.map(|spot| (self.at(spot), said(spot))).collect()
    }
}

/// Family, form and class of each.
pub fn said(locks: &BTreeMap<PathBuf, Value>) -> BTreeMap<PathBuf, [String; 3]> {
    let words = |lock: &Value| ["family", "form", "classification"].map(|word| lock[word].as_str().unwrap().to_owned());
    locks.iter().map(|(path, lock)| (path.clone(), words(lock))).collect()
}
