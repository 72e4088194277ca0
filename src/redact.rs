//! Makes a scan fit for a ticket: names of people, hosts and sessions become pseudonyms,
//! numbers that prove stay.
//!
//! Works by what is known to be harmless, not by what is known to be secret: a path keeps the
//! parts that OpenClaw and Linux name, a record the fields that the verdict rests on, a process
//! its name if it is a common program's. Sentences are made later, from what is redacted here: a
//! foreign name can only stand in a field, and the compiler lists the fields of each cause.

use crate::discover::{OpenError, version_of};
use crate::evidence::{ForeignKernel, LockFacts, Nested, NotSole, Reach, SoleAccess, VantageWhy};
use crate::family;
use crate::problem::{Cause, WhoRunsUnknown};
use crate::restraint::Restraint;
use crate::scan::{Blocks, JudgedLock, NotBlocking, Scan};
use crate::scope::Scope;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Parts of paths that Linux, containers and OpenClaw choose.
const HARMLESS_PARTS: &[&str] = &[
    "_data",
    "app",
    "bin",
    "boot",
    "bundled-plugin-runtime-deps",
    "containers",
    "dev",
    "dist",
    "dist-runtime",
    "docker",
    "etc",
    "extensions",
    "home",
    "host",
    "kubelet",
    "lib",
    "local",
    "media",
    "mnt",
    "node_modules",
    "openclaw",
    "opt",
    "owner.json",
    "plugin-runtime-deps",
    "pods",
    "proc",
    "root",
    "run",
    "sbin",
    "shm",
    "srv",
    "state",
    "sys",
    "tmp",
    "usr",
    "var",
    "volumes",
    ".clawdbot",
    ".moldbot",
    ".moltbot",
    ".openclaw",
];
/// Programs whose name says nothing of their user.
const HARMLESS_PROGRAMS: &[&str] = &[
    "MainThread",
    "bash",
    "bun",
    "busybox",
    "dash",
    "deno",
    "docker-init",
    "init",
    "node",
    "npm",
    "openclaw",
    "openclaw-agent",
    "openclaw-doctor",
    "openclaw-gatewa",
    "pnpm",
    "sh",
    "sleep",
    "systemd",
    "tini",
];
/// Package roots that images and npm choose, as OpenClaw 2026.4.29 and older hash them into the
/// names of version directories: /app, /usr/lib/node_modules/openclaw and
/// /usr/local/lib/node_modules/openclaw. Another hash would confirm a guessed home directory.
const HARMLESS_HASHES: &[&str] = &["f53b52ad6d21", "4eca5026e977", "17c3fa238f70"];
/// Words in versions of OpenClaw and of kernels.
const HARMLESS_VERSION_WORDS: &str = "\
    alpha amd64 arm64 aws azure beta canary cloud dev fly gcp generic gke linuxkit lts microsoft next nightly \
    orbstack pve raspi rc rpi rt standard unknown wsl2 x86 64";
/// Filesystem types that a mount table may name; a FUSE server chooses its own.
const HARMLESS_FILESYSTEMS: &str = "\
    9p afs bcachefs btrfs ceph cifs devtmpfs erofs exfat ext2 ext3 ext4 f2fs fuse fuse.glusterfs fuse.mergerfs \
    fuse.overlayfs fuse.rclone fuse.s3fs fuse.sshfs fuseblk gfs2 jfs lustre nfs nfs4 nilfs2 ocfs2 overlay ramfs \
    smb3 smbfs squashfs tmpfs vboxsf vfat virtiofs xfs zfs";
/// Fields of records that hold numbers which prove.
const HARMLESS_FIELDS: &[&str] =
    &["pid", "doctorPid", "starttime", "doctorStarttime", "startTime", "startedAt", "createdAtMs", "maxHoldMs"];

/// Replaces everything in a scan that may name a person, a host or a session.
pub fn redact(scan: &mut Scan) {
    let mut names = Pseudonyms::default();
    for root in &mut scan.roots {
        root.path = names.path(&root.path);
        root.spec.path = names.path(&root.spec.path);
    }
    for spec in &mut scan.absent {
        spec.path = names.path(&spec.path);
    }
    for lock in &mut scan.locks {
        names.lock(lock);
    }
    for idle in &mut scan.idle {
        idle.path = names.path(&idle.path);
    }
    for look_alike in &mut scan.look_alikes {
        look_alike.path = names.path(&look_alike.path);
    }
    for problem in &mut scan.problems {
        problem.path = names.path(&problem.path);
        names.cause(&mut problem.cause);
    }
    for version in &mut scan.versions {
        *version = names.version(version);
    }
    scan.host.kernel = kernel(&scan.host.kernel);
    names.seen(&mut scan.view.seen);
    names.scope(&mut scan.view.scope);
}

/// The pseudonyms given so far: the same name gets the same one throughout a report.
#[derive(Default)]
struct Pseudonyms {
    given: HashMap<&'static str, HashMap<Vec<u8>, String>>,
}

impl Pseudonyms {
    fn of(&mut self, kind: &'static str, name: &[u8]) -> String {
        let given = self.given.entry(kind).or_default();
        if let Some(known) = given.get(name) {
            return known.clone();
        }
        let pseudonym = format!("{kind}-{}", given.len() + 1);
        given.insert(name.to_vec(), pseudonym.clone());
        pseudonym
    }

    fn lock(&mut self, lock: &mut JudgedLock) {
        lock.path = self.path(&lock.path);
        lock.found.below = self.path(&lock.found.below);
        lock.found.reading.raw = record(&lock.found.reading.raw);
        match &mut lock.blocks {
            Blocks::Yes { version } => *version = self.version(version),
            Blocks::No { why, known } => {
                if let NotBlocking::OtherVersion(version) = why {
                    *version = self.version(version);
                }
                known.iter_mut().for_each(|version| *version = self.version(version));
            }
            Blocks::NoneFound => {}
        }
        lock.state_dir = lock.state_dir.as_deref().map(|dir| self.path(dir));
        match &mut lock.restraint {
            Some(Restraint::Recovery(version)) => *version = version.as_deref().map(|version| self.version(version)),
            Some(Restraint::SelfHealing(user) | Restraint::InUse(user)) => {
                user.program = self.program(&user.program);
                user.versions.iter_mut().for_each(|version| *version = self.version(version));
            }
            None => {}
        }
        self.facts(&mut lock.facts);
    }

    fn facts(&mut self, facts: &mut LockFacts) {
        for candidate in facts.candidates.iter_mut().chain(&mut facts.kernel_holders) {
            if let Some(program) = &candidate.program {
                candidate.program = Some(self.program(program));
            }
            // Docker's default for the container's host name.
            candidate.container = candidate.container.as_ref().map(|id| self.of("container", id.as_bytes()));
        }
        for worker in &mut facts.in_use.by {
            worker.program = self.program(&worker.program);
        }
        if let Reach::OtherKernelPossible(why) = &mut facts.reach {
            self.foreign_kernel(why);
        }
        if let SoleAccess::No(why) = &mut facts.sole_access {
            self.not_sole(why);
        }
    }

    fn cause(&mut self, cause: &mut Cause) {
        match cause {
            Cause::Environment { program } | Cause::Authority { program, .. } => *program = self.program(program),
            Cause::Root(OpenError::ForeignLink { link, target }) => {
                *link = self.path(link);
                *target = self.path(target);
            }
            Cause::WhoRuns(WhoRunsUnknown::NotSeen(seen)) => self.seen(seen),
            Cause::WhoRuns(WhoRunsUnknown::TookTooLong)
            | Cause::System { .. }
            | Cause::Root(OpenError::System(_) | OpenError::Authority(_))
            | Cause::Link
            | Cause::NoHeadway { .. }
            | Cause::HomesTookTooLong => {}
        }
    }

    fn seen(&mut self, seen: &mut VantageWhy) {
        match seen {
            VantageWhy::Initial { proc, .. }
            | VantageWhy::Below { proc, .. }
            | VantageWhy::NamespaceUnknown { proc }
            | VantageWhy::Hidden { proc }
            | VantageWhy::OptionsUnknown { proc }
            | VantageWhy::NotProcfs { proc }
            | VantageWhy::NotOpened { proc, .. } => *proc = self.path(proc),
            VantageWhy::Unreadable { .. } | VantageWhy::NotListed { .. } => {}
        }
    }

    fn scope(&mut self, scope: &mut Scope) {
        scope.proc = self.path(&scope.proc);
        scope.paths.iter_mut().for_each(|path| *path = self.path(path));
    }

    fn foreign_kernel(&mut self, why: &mut ForeignKernel) {
        match why {
            ForeignKernel::Exported(path) => *path = self.path(path),
            // Names of our own tables: of filesystems by their number, of servers.
            ForeignKernel::FilesystemUnknown
            | ForeignKernel::SharedFilesystem(_)
            | ForeignKernel::Server { .. }
            | ForeignKernel::ExportsUnreadable => {}
        }
    }

    fn not_sole(&mut self, why: &mut NotSole) {
        match why {
            NotSole::NotInNamespace(seen) => self.seen(seen),
            NotSole::Mount { point, filesystem } => {
                *point = self.path(point);
                if !is_in(HARMLESS_FILESYSTEMS, filesystem) {
                    *filesystem = self.of("filesystem", filesystem.as_bytes());
                }
            }
            // Of our own list.
            NotSole::Nested(
                Nested::Sandbox(_) | Nested::Pid1Unreadable | Nested::SingleId | Nested::UserNamespaceUnreadable,
            )
            | NotSole::ForeignPids
            | NotSole::SecondProcfs
            | NotSole::MountUnknown => {}
        }
    }

    fn program(&mut self, name: &str) -> String {
        if HARMLESS_PROGRAMS.contains(&name) { name.to_owned() } else { self.of("program", name.as_bytes()) }
    }

    fn version(&mut self, version: &str) -> String {
        if is_plain_version(version) { version.to_owned() } else { self.of("version", version.as_bytes()) }
    }

    fn path(&mut self, path: &Path) -> PathBuf {
        let mut out = PathBuf::new();
        let mut above: &OsStr = OsStr::new("");
        for component in path.components() {
            match component {
                Component::Normal(part) => {
                    out.push(self.part(part, above));
                    above = part;
                }
                other => out.push(other),
            }
        }
        out
    }

    fn part(&mut self, part: &OsStr, above: &OsStr) -> String {
        let text = part.to_str().unwrap_or_default();
        if above == "home" || above == "Users" {
            return self.of("user", part.as_bytes());
        }
        if above == "proc" && is_pid(text) {
            return text.to_owned();
        }
        if let Some(version) = version_of(part) {
            let hash = text.rsplit_once('-').map(|(_, hash)| hash).unwrap_or_default();
            let shown_hash =
                if HARMLESS_HASHES.contains(&hash) { hash.to_owned() } else { self.of("package", hash.as_bytes()) };
            return format!("openclaw-{}-{shown_hash}", self.version(version));
        }
        if HARMLESS_PARTS.contains(&text) || family::names_place(text) {
            return text.to_owned();
        }
        if let Some((head, chosen, tail)) = family::fixed_ends(text) {
            let chosen = if chosen.is_empty() { String::new() } else { self.of("lock", chosen.as_bytes()) };
            return format!("{head}{chosen}{tail}");
        }
        if let Some(uid) = text.strip_prefix("openclaw-").filter(|uid| is_pid(uid)) {
            return format!("openclaw-{}", self.of("uid", uid.as_bytes()));
        }
        match text.strip_prefix(".openclaw-") {
            Some(_) => format!(".openclaw-{}", self.of("profile", part.as_bytes())),
            None => self.of("dir", part.as_bytes()),
        }
    }
}

fn is_in(list: &str, word: &str) -> bool {
    list.split(' ').any(|known| known == word)
}

/// A number no larger than a pid can be.
fn is_pid(text: &str) -> bool {
    (1..=7).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `2026.4.30-beta.1`: short numbers, and words that releases use.
fn is_plain_version(version: &str) -> bool {
    let number = |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = || version.split(['.', '-']);
    parts().count() <= 7 && parts().all(|part| number(part) || is_in(HARMLESS_VERSION_WORDS, part))
}

/// A kernel's release: its numbers, and the words that distributions add. Who builds one may
/// name the machine in it.
fn kernel(release: &str) -> String {
    let mut out = String::new();
    for part in release.split_inclusive(['.', '-', '_', '+']) {
        let word = part.trim_end_matches(['.', '-', '_', '+']);
        let (numbers, rest) = word.split_at(word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len()));
        let flavour =
            ["", "el", "fc", "rc", "deb", "bpo"].contains(&rest.trim_end_matches(|c: char| c.is_ascii_digit()));
        let known = is_in(HARMLESS_VERSION_WORDS, &word.to_ascii_lowercase());
        let short = numbers.len() <= 6 && rest.len() <= 8;
        out.push_str(if known || (short && flavour) { word } else { "redacted" });
        out.push_str(part.get(word.len()..).unwrap_or_default());
    }
    out
}

/// A record with only the numbers that prove; what is no JSON object is not shown at all.
fn record(raw: &[u8]) -> Vec<u8> {
    if raw.is_empty() {
        return Vec::new();
    }
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice(raw) else {
        return format!("redacted: {} bytes", raw.len()).into_bytes();
    };
    let total = fields.len();
    let kept: serde_json::Map<_, _> = fields
        .into_iter()
        .filter(|(name, value)| HARMLESS_FIELDS.contains(&name.as_str()) && value.is_number())
        .collect();
    let dropped = total - kept.len();
    let mut text = serde_json::Value::Object(kept).to_string();
    if dropped > 0 {
        text.push_str(&format!(" (redacted: {dropped} more fields)"));
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_gets_one_pseudonym_and_numbers_stay() {
        let mut names = Pseudonyms::default();
        let path = |names: &mut Pseudonyms, path: &str| names.path(Path::new(path)).display().to_string();
        let alice =
            "/home/alice/.openclaw/plugin-runtime-deps/openclaw-2026.4.26-f53b52ad6d21/.openclaw-runtime-deps.lock";
        assert_eq!(
            path(&mut names, alice),
            "/home/user-1/.openclaw/plugin-runtime-deps/openclaw-2026.4.26-f53b52ad6d21/.openclaw-runtime-deps.lock"
        );
        assert_eq!(path(&mut names, "/home/bob/x"), "/home/user-2/dir-1");
        assert_eq!(path(&mut names, "/home/alice/x"), "/home/user-1/dir-1");
        assert_eq!(path(&mut names, "/proc/4711/root/var/lib/openclaw"), "/proc/4711/root/var/lib/openclaw");
        assert_eq!(path(&mut names, "/srv/openclaw-alice-f53b52ad6d21"), "/srv/openclaw-version-1-f53b52ad6d21");
        assert_eq!(path(&mut names, "/openclaw-2026.4.29-alice-deadbeefcafe"), "/openclaw-version-2-package-1");
        assert_eq!(path(&mut names, "/srv/4711/x"), "/srv/dir-2/dir-1");
    }

    #[test]
    fn a_kernel_keeps_its_numbers_and_loses_who_built_it() {
        for release in ["6.1.0-13-amd64", "5.15.90.1-microsoft-standard-WSL2", "6.8.12-4-pve", "5.14.0-427.el9.x86_64"]
        {
            assert_eq!(kernel(release), release);
        }
        assert_eq!(kernel("6.1.0-alice-acme01"), "6.1.0-redacted-redacted");
    }

    #[test]
    fn a_record_keeps_only_the_numbers_that_prove() {
        let shown = record(b"{\"pid\":7,\"starttime\":5,\"host\":\"acme\",\"token\":1}");
        assert_eq!(String::from_utf8(shown).unwrap(), "{\"pid\":7,\"starttime\":5} (redacted: 2 more fields)");
        assert_eq!(record(b"alice"), b"redacted: 5 bytes");
    }
}
