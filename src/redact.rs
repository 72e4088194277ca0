//! Makes a scan fit for a ticket: names of people, hosts and sessions become pseudonyms,
//! numbers that prove stay.
//!
//! Works by what is known to be harmless, not by what is known to be secret: a path keeps the
//! parts that OpenClaw and Linux name, a record the fields that the verdict rests on, a process
//! its name if it is a common program's. Everything else is replaced. Pure.

use crate::discover::version_of;
use crate::evidence::{LockFacts, Reach, SoleAccess};
use crate::scan::{Blocks, JudgedLock, Scan};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Parts of paths that Linux, containers and OpenClaw choose.
const HARMLESS_PARTS: &[&str] = &[
    "app",
    "bin",
    "boot",
    "bundled-plugin-runtime-deps",
    "dev",
    "dist",
    "dist-runtime",
    "etc",
    "extensions",
    "home",
    "lib",
    "local",
    "media",
    "mnt",
    "node_modules",
    "openclaw",
    "opt",
    "owner.json",
    "plugin-runtime-deps",
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
/// Fields of records that hold numbers which prove.
const HARMLESS_FIELDS: &[&str] = &["pid", "starttime", "createdAtMs"];

/// Replaces everything in a scan that may name a person, a host or a session.
pub fn redact(scan: &mut Scan) {
    let mut names = Pseudonyms::default();
    for root in &mut scan.roots {
        root.path = names.path(&root.path);
        root.spec.path = names.path(&root.spec.path);
    }
    for lock in &mut scan.locks {
        names.lock(lock);
    }
    for look_alike in &mut scan.look_alikes {
        look_alike.path = names.path(&look_alike.path);
    }
    for problem in &mut scan.problems {
        problem.path = names.path(&problem.path);
        problem.cause = names.text(&problem.cause);
        problem.next_step = names.text(&problem.next_step);
    }
    for version in &mut scan.versions {
        *version = names.version(version);
    }
    scan.view.why = names.text(&scan.view.why);
    scan.view.lift = scan.view.lift.as_deref().map(|lift| names.text(lift));
}

/// The pseudonyms given so far: the same name gets the same one throughout a report.
#[derive(Default)]
struct Pseudonyms {
    given: HashMap<(&'static str, Vec<u8>), String>,
}

impl Pseudonyms {
    fn of(&mut self, kind: &'static str, name: &[u8]) -> String {
        let next = self.given.keys().filter(|(known, _)| *known == kind).count() + 1;
        self.given.entry((kind, name.to_vec())).or_insert_with(|| format!("{kind}-{next}")).clone()
    }

    fn lock(&mut self, lock: &mut JudgedLock) {
        lock.path = self.path(&lock.path);
        lock.found.below = self.path(&lock.found.below);
        lock.found.reading.raw = record(&lock.found.reading.raw);
        lock.blocks = match &lock.blocks {
            Blocks::Yes(why) => Blocks::Yes(self.text(why)),
            Blocks::No(why) => Blocks::No(self.text(why)),
            Blocks::Unknown(why) => Blocks::Unknown(self.text(why)),
        };
        self.facts(&mut lock.facts);
    }

    fn facts(&mut self, facts: &mut LockFacts) {
        for candidate in &mut facts.candidates {
            if let Some(program) = &candidate.program {
                let shown = if candidate.kernel_thread { program.clone() } else { self.program(program) };
                candidate.program = Some(shown);
            }
        }
        for worker in &mut facts.in_use.by {
            worker.program = self.program(&worker.program);
        }
        if let Reach::OtherKernelPossible(why) = &facts.reach {
            facts.reach = Reach::OtherKernelPossible(self.text(why));
        }
        if let SoleAccess::No(why) = &facts.sole_access {
            facts.sole_access = SoleAccess::No(self.text(why));
        }
    }

    fn program(&mut self, name: &str) -> String {
        if HARMLESS_PROGRAMS.contains(&name) { name.to_owned() } else { self.of("program", name.as_bytes()) }
    }

    fn version(&mut self, version: &str) -> String {
        let plain = version.starts_with(|c: char| c.is_ascii_digit())
            && version.bytes().all(|byte| byte.is_ascii_digit() || b".-".contains(&byte) || byte.is_ascii_lowercase());
        if plain && version.len() < 24 { version.to_owned() } else { self.of("version", version.as_bytes()) }
    }

    fn path(&mut self, path: &Path) -> PathBuf {
        let mut out = PathBuf::new();
        let mut in_home = false;
        for component in path.components() {
            match component {
                Component::Normal(part) => {
                    let shown = self.part(part, in_home);
                    in_home = part == "home" || part == "Users";
                    out.push(shown);
                }
                other => out.push(other),
            }
        }
        out
    }

    fn part(&mut self, part: &OsStr, in_home: bool) -> String {
        let text = part.to_str().unwrap_or_default();
        let number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() < 8;
        let lock = crate::family::by_lock_name(part.as_bytes()).is_some();
        if in_home {
            return self.of("user", part.as_bytes());
        }
        match version_of(part).map(|version| self.version(version) == version) {
            Some(true) => return text.to_owned(),
            Some(false) => return self.of("version-dir", part.as_bytes()),
            None => {}
        }
        if number || lock || HARMLESS_PARTS.contains(&text) {
            return text.to_owned();
        }
        match text.strip_prefix(".openclaw-") {
            Some(_) => format!(".openclaw-{}", self.of("profile", part.as_bytes())),
            None => self.of("dir", part.as_bytes()),
        }
    }

    /// Our own sentences: every path in them, as [`shell_word`](crate::quote::shell_word) wrote it.
    fn text(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['/', '$']) {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let length = if from.starts_with("$'") {
                quoted_length(from)
            } else {
                from.find([' ', '(', ')', ',', ';', ':']).unwrap_or(from.len())
            };
            let (word, after) = from.split_at(length.max(1));
            let is_path = word.starts_with('/') && before.is_empty() || before.ends_with([' ', '(']);
            match (is_path, word.starts_with("$'")) {
                (_, true) => out.push_str(&self.of("path", word.as_bytes())),
                (true, false) => out.push_str(&self.path(Path::new(word)).to_string_lossy()),
                (false, false) => out.push_str(word),
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// The length of a `$'…'` word at the start of a text.
fn quoted_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(2) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' => return at + 1,
            _ => {}
        }
    }
    text.len()
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
        assert_eq!(path(&mut names, "/srv/openclaw-alice-f53b52ad6d21"), "/srv/version-dir-1");
    }

    #[test]
    fn a_sentence_keeps_its_words_and_loses_its_paths() {
        let mut names = Pseudonyms::default();
        let text = names.text("the lock lies on the mount /srv/acme-host1 (ext4), which other containers may share");
        assert_eq!(text, "the lock lies on the mount /srv/dir-1 (ext4), which other containers may share");
        let odd = crate::quote::shell_word(Path::new("/srv/Alice O'Hara/x"));
        let text = names.text(&format!("{odd} is exported by NFS from this machine (pid 7/8)"));
        assert_eq!(text, "path-1 is exported by NFS from this machine (pid 7/8)");
    }

    #[test]
    fn a_record_keeps_only_the_numbers_that_prove() {
        let shown = record(b"{\"pid\":7,\"starttime\":5,\"host\":\"acme\",\"token\":1}");
        assert_eq!(String::from_utf8(shown).unwrap(), "{\"pid\":7,\"starttime\":5} (redacted: 2 more fields)");
        assert_eq!(record(b"alice"), b"redacted: 5 bytes");
    }
}
