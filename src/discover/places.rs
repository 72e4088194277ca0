//! The places where OpenClaw keeps its locks, as a list. Pure but for the listing of homes.
//!
//! Source: OpenClaw 2026.1.29 to 2026.9.6. `OPENCLAW_PLUGIN_STAGE_DIR` is a list since
//! 2026.4.26 and moves the stage root; so does systemd's `STATE_DIRECTORY`; else it lies in
//! the state dir, which `OPENCLAW_STATE_DIR` moves and which is `~/.openclaw`,
//! `~/.openclaw-<profile>` or, from older releases, `~/.clawdbot`, `~/.moltbot`, `~/.moldbot`.

use super::root::{RootKind, RootSpec, STAGE_DEPTH};
use crate::process::roots::{PACKAGE_PLACES, Package, Running};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

const STAGE_NAME: &str = "plugin-runtime-deps";
const STATE_NAMES: &[&str] = &[".openclaw", ".clawdbot", ".moltbot", ".moldbot"];
const PROFILE_PREFIX: &[u8] = b".openclaw-";
/// State dirs and stage roots of images, units and compose files.
const SYSTEM_STATE_DIRS: &[&str] = &["/var/lib/openclaw", "/home/node/.openclaw", "/opt/openclaw"];
const PACKAGES_IN_HOME: &[&str] =
    &[".npm-global/lib/node_modules/openclaw", ".local/lib/node_modules/openclaw", "openclaw"];
/// Where plugins stand in a package: each takes the lock in its own directory.
const PLUGIN_DIRS: &[&str] = &["extensions", "dist/extensions", "dist-runtime/extensions"];

/// An environment: ours, or a running OpenClaw's.
#[derive(Debug, Default)]
pub struct Environment {
    values: Vec<(String, OsString)>,
}

impl Environment {
    /// Takes pairs of name and value; others than the known ones are never asked for.
    pub fn new(pairs: impl IntoIterator<Item = (String, OsString)>) -> Self {
        Self { values: pairs.into_iter().collect() }
    }

    /// A variable that is set, not blank, and not the text of a missing JavaScript value.
    fn get(&self, name: &str) -> Option<&[u8]> {
        let value = self.values.iter().find(|(known, _)| known == name)?.1.as_bytes().trim_ascii();
        (!value.is_empty() && value != b"undefined" && value != b"null").then_some(value)
    }

    /// The home directory that OpenClaw would use.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        let os_home = self.get("HOME").map(path);
        match self.get("OPENCLAW_HOME") {
            Some(moved) => Some(expand(moved, os_home.as_deref())),
            None => os_home,
        }
    }

    /// The user who called us through sudo(8), if we are root.
    #[must_use]
    pub fn sudo_uid(&self) -> Option<u32> {
        let uid = std::str::from_utf8(self.get("SUDO_UID")?).ok()?.parse().ok()?;
        rustix::process::geteuid().is_root().then_some(uid)
    }

    /// The stage roots that this environment names.
    #[must_use]
    pub fn stage_roots(&self, who: &str) -> Vec<RootSpec> {
        let home = self.home();
        let mut roots = Vec::new();
        let mut add = |path: PathBuf, name: &str| roots.push(RootSpec::stage(path, &format!("{name}{who}")));
        let list = |name| self.get(name).into_iter().flat_map(|value| value.split(|byte| *byte == b':'));
        let blank = |entry: &&[u8]| !entry.trim_ascii().is_empty();
        for entry in list("OPENCLAW_PLUGIN_STAGE_DIR").filter(blank) {
            add(expand(entry.trim_ascii(), home.as_deref()), "OPENCLAW_PLUGIN_STAGE_DIR");
        }
        for entry in list("STATE_DIRECTORY").filter(blank) {
            add(path(entry.trim_ascii()).join(STAGE_NAME), "STATE_DIRECTORY");
        }
        for name in ["OPENCLAW_STATE_DIR", "CLAWDBOT_STATE_DIR"] {
            if let Some(value) = self.get(name) {
                add(expand(value, home.as_deref()).join(STAGE_NAME), name);
            }
        }
        for state in STATE_NAMES {
            let home = home.as_deref().filter(|home| home.is_absolute());
            if let Some(home) = home {
                add(home.join(state).join(STAGE_NAME), &format!("~/{state}"));
            }
        }
        if let (Some(profile), Some(home)) = (self.get("OPENCLAW_PROFILE"), home) {
            let mut name = PROFILE_PREFIX.to_vec();
            name.extend_from_slice(profile);
            add(home.join(path(&name)).join(STAGE_NAME), "OPENCLAW_PROFILE");
        }
        roots
    }
}

/// The stage roots of every state dir in a home directory: the default one, those of older
/// releases, and one for each profile found there. Packages: see [`package_places`].
#[must_use]
pub fn in_home(home: &Path, origin: &str) -> Vec<RootSpec> {
    let named = STATE_NAMES.iter().map(|state| home.join(state).join(STAGE_NAME));
    let mut roots: Vec<RootSpec> = named.map(|path| RootSpec::stage(path, origin)).collect();
    let entries = crate::sys::tree::list_names(home);
    for name in entries.into_iter().filter(|name| name.as_bytes().starts_with(PROFILE_PREFIX)) {
        roots.push(RootSpec::stage(home.join(name).join(STAGE_NAME), origin));
    }
    roots
}

/// The places of images, units and documentation.
#[must_use]
pub fn system() -> Vec<RootSpec> {
    let places = SYSTEM_STATE_DIRS.iter().map(|state| Path::new(state).join(STAGE_NAME));
    places.map(|path| RootSpec::stage(path, "system place")).collect()
}

/// The directories of a package in which its plugins take locks.
#[must_use]
pub fn in_package(package: &Package, via: Option<u32>, origin: &str) -> Vec<RootSpec> {
    let root = |path: PathBuf, depth| RootSpec {
        path,
        via,
        origin: origin.to_owned(),
        kind: RootKind::Package,
        depth,
        only: None,
        required: false,
    };
    let plugins = PLUGIN_DIRS.iter().map(|dir| root(package.path.join(dir), STAGE_DEPTH));
    std::iter::once(root(package.path.clone(), 1)).chain(plugins).collect()
}

/// Where packages may be installed, for this home.
#[must_use]
pub fn package_places(home: Option<&Path>) -> Vec<PathBuf> {
    let system = PACKAGE_PLACES.iter().map(PathBuf::from);
    let own = home.into_iter().flat_map(|home| PACKAGES_IN_HOME.iter().map(|place| home.join(place)));
    system.chain(own).collect()
}

/// The places that a running OpenClaw uses, reached through its own root directory.
#[must_use]
pub fn of_running(process: &Running) -> Vec<RootSpec> {
    let who = format!(" of OpenClaw process {}", process.pid);
    let via = (!process.same_mounts).then_some(process.pid);
    let pairs = process.environment.iter().flatten().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let mut roots = Environment::new(pairs).stage_roots(&who);
    for point in &process.mount_points {
        let is_stage = point.file_name() == Some(OsStr::new(STAGE_NAME));
        let path = if is_stage { point.clone() } else { point.join(STAGE_NAME) };
        roots.push(RootSpec::stage(path, &format!("mount{who}")));
    }
    for package in &process.packages {
        roots.extend(in_package(package, via, &format!("package{who}")));
    }
    for root in &mut roots {
        root.via = via;
    }
    // OpenClaw resolves a relative path against its working directory.
    for root in roots.iter_mut().filter(|root| !root.path.is_absolute()) {
        root.path = process.cwd.as_deref().unwrap_or(Path::new("/")).join(&root.path);
    }
    roots
}

/// The home directories of passwd(5), for `--all-users`.
#[must_use]
pub fn homes(passwd: &[u8]) -> Vec<PathBuf> {
    let lines = passwd.split(|byte| *byte == b'\n');
    let mut homes: Vec<PathBuf> = lines
        .filter_map(|line| line.split(|byte| *byte == b':').nth(5))
        .filter(|home| home.starts_with(b"/") && *home != b"/" && *home != b"/nonexistent")
        .map(path)
        .collect();
    homes.sort();
    homes.dedup();
    homes
}

/// Whether a name is one under which OpenClaw keeps locks: a state dir, a stage root or a
/// version directory.
pub(super) fn is_place(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    let state = STATE_NAMES.iter().any(|state| state.as_bytes() == bytes) || bytes.starts_with(PROFILE_PREFIX);
    state || bytes == STAGE_NAME.as_bytes() || super::version_of(name).is_some()
}

/// The home directory of a user in passwd(5).
#[must_use]
pub fn home_of(passwd: &[u8], uid: u32) -> Option<PathBuf> {
    let uid = uid.to_string();
    let entries = passwd.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == b':').collect::<Vec<_>>());
    let mut homes =
        entries.filter(|entry| entry.get(2) == Some(&uid.as_bytes())).filter_map(|entry| entry.get(5).copied());
    homes.next().filter(|home| home.starts_with(b"/")).map(path)
}

fn expand(value: &[u8], home: Option<&Path>) -> PathBuf {
    match (value.strip_prefix(b"~"), home) {
        (Some(b""), Some(home)) => home.to_owned(),
        (Some([b'/', rest @ ..]), Some(home)) => home.join(path(rest)),
        _ => path(value),
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(pairs: &[(&str, &str)]) -> Vec<String> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value)));
        let roots = Environment::new(pairs).stage_roots("");
        roots.iter().map(|root| root.path.display().to_string()).collect()
    }

    #[test]
    fn a_list_names_every_layer_and_the_home_is_expanded() {
        let found = paths(&[("OPENCLAW_PLUGIN_STAGE_DIR", " ~/a : /b::"), ("HOME", "/home/u")]);
        assert_eq!(found.get(..2), Some(&["/home/u/a".to_owned(), "/b".to_owned()][..]));
        assert!(found.contains(&"/home/u/.openclaw/plugin-runtime-deps".to_owned()));
    }

    #[test]
    fn systemd_and_state_dir_and_profile_move_the_root() {
        let found = paths(&[
            ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"),
            ("OPENCLAW_STATE_DIR", "~/s"),
            ("OPENCLAW_HOME", "~/oc"),
            ("OPENCLAW_PROFILE", "dev"),
            ("HOME", "/home/u"),
        ]);
        for expected in [
            "/var/lib/a/plugin-runtime-deps",
            "/var/lib/b/plugin-runtime-deps",
            "/home/u/oc/s/plugin-runtime-deps",
            "/home/u/oc/.openclaw-dev/plugin-runtime-deps",
        ] {
            assert!(found.contains(&expected.to_owned()), "{expected} in {found:?}");
        }
    }

    #[test]
    fn the_text_of_a_missing_value_is_no_home() {
        assert_eq!(paths(&[("OPENCLAW_HOME", "undefined"), ("HOME", "null")]), Vec::<String>::new());
    }

    #[test]
    fn a_users_home_is_found_by_uid() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000:,,,:/home/u:/bin/sh\nbroken:x:7\n";
        assert_eq!(home_of(passwd, 1000), Some("/home/u".into()));
        assert_eq!(home_of(passwd, 7), None);
    }

    #[test]
    fn homes_are_the_sixth_field() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:1:1::/nonexistent:/bin/false\nbroken\nx:x:2:2::/root:\n";
        assert_eq!(homes(passwd), [PathBuf::from("/root")]);
    }
}
