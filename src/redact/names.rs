//! Pseudonyms for names, and what needs none because Linux, containers or OpenClaw chose it.

use super::key::Key;
use crate::discover::version_of;
use crate::family;
use crate::record::PID_LIMIT;
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
pub(super) const HARMLESS_FILESYSTEMS: &str = "\
    9p afs bcachefs btrfs ceph cifs devtmpfs erofs exfat ext2 ext3 ext4 f2fs fuse fuse.glusterfs fuse.mergerfs \
    fuse.overlayfs fuse.rclone fuse.s3fs fuse.sshfs fuseblk gfs2 jfs lustre nfs nfs4 nilfs2 ocfs2 overlay ramfs \
    smb3 smbfs squashfs tmpfs vboxsf vfat virtiofs xfs zfs";

/// The pseudonyms given so far: the same name gets the same one throughout a report, and with a
/// key of the operator's own in every report.
pub(super) struct Pseudonyms<'a> {
    key: &'a Key,
    given: HashMap<&'static str, HashMap<Vec<u8>, String>>,
}

impl<'a> Pseudonyms<'a> {
    pub(super) fn new(key: &'a Key) -> Self {
        Self { key, given: HashMap::new() }
    }

    pub(super) fn of(&mut self, kind: &'static str, name: &[u8]) -> String {
        if self.key.is_kept() {
            return format!("{kind}-{:08x}", self.key.hash(kind, name) >> 32);
        }
        let given = self.given.entry(kind).or_default();
        if let Some(known) = given.get(name) {
            return known.clone();
        }
        let pseudonym = format!("{kind}-{}", given.len() + 1);
        given.insert(name.to_vec(), pseudonym.clone());
        pseudonym
    }

    /// A lock's id, which holds its name: keyed, so that no guess at the name can be tried.
    pub(super) fn id(&self, id: &str) -> String {
        self.key.id(id)
    }

    pub(super) fn program(&mut self, name: &str) -> String {
        if HARMLESS_PROGRAMS.contains(&name) { name.to_owned() } else { self.of("program", name.as_bytes()) }
    }

    pub(super) fn version(&mut self, version: &str) -> String {
        if is_plain_version(version) { version.to_owned() } else { self.of("version", version.as_bytes()) }
    }

    pub(super) fn path(&mut self, path: &Path) -> PathBuf {
        let mut out = PathBuf::new();
        let (mut above, mut depth) = (OsStr::new(""), 0);
        for component in path.components() {
            match component {
                Component::Normal(part) => {
                    out.push(self.part(part, above, depth));
                    (above, depth) = (part, depth + 1);
                }
                other => out.push(other),
            }
        }
        out
    }

    fn part(&mut self, part: &OsStr, above: &OsStr, depth: usize) -> String {
        let text = part.to_str().unwrap_or_default();
        if above == "home" || above == "Users" {
            return self.of("user", part.as_bytes());
        }
        // /proc/PID, and a host's /proc that is mounted in a pod.
        if above == "proc" && depth <= 2 && is_pid(text) {
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
        if let Some(uid) = text.strip_prefix("openclaw-").filter(|uid| uid.bytes().all(|byte| byte.is_ascii_digit())) {
            return format!("openclaw-{}", self.of("uid", uid.as_bytes()));
        }
        match text.strip_prefix(".openclaw-") {
            Some(_) => format!(".openclaw-{}", self.of("profile", part.as_bytes())),
            None => self.of("dir", part.as_bytes()),
        }
    }
}

pub(super) fn is_in(list: &str, word: &str) -> bool {
    list.split(' ').any(|known| known == word)
}

/// A number no larger than a pid can be.
fn is_pid(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse().is_ok_and(|pid: u32| pid <= PID_LIMIT)
}

/// `2026.4.30-beta.1`: a year, small numbers, and words that releases use; whoever writes a
/// package.json may put a telephone number there.
fn is_plain_version(version: &str) -> bool {
    let small = |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_year = |part: &str| part.len() == 4 && part.strip_prefix("20").is_some_and(small);
    let mut parts = version.split(['.', '-']);
    let dated = parts.next().is_some_and(is_year);
    let rest = || parts.clone();
    let plain = rest().count() <= 4 && rest().all(|part| small(part) || is_in(HARMLESS_VERSION_WORDS, part));
    version == "unknown" || (dated && plain)
}

/// A kernel's release: its numbers, and the words that distributions add. Who builds one may
/// name the machine in it.
pub(super) fn kernel(release: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_gets_one_pseudonym_and_numbers_stay() {
        let key = Key::random().unwrap();
        let mut names = Pseudonyms::new(&key);
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
}
