//! The places where OpenClaw keeps its locks, as a list. Pure but for the listing of homes.
//!
//! Source: OpenClaw 2026.1.29 to 2026.9.6. `OPENCLAW_PLUGIN_STAGE_DIR` is a list since
//! 2026.4.26 and moves the stage root; so does systemd's `STATE_DIRECTORY`; else it lies in
//! the state dir, which `OPENCLAW_STATE_DIR` moves and which is `~/.openclaw`,
//! `~/.openclaw-<profile>` or, from older releases, `~/.clawdbot`, `~/.moltbot`, `~/.moldbot`.
//! All other locks lie in the state dir ([`crate::family::STATE_PLACES`]), in the temp directory
//! (`TMPDIR`, `TMP`, `TEMP`, else /tmp), beside the configuration or in the credentials directory,
//! which `OPENCLAW_CONFIG_PATH` and `OPENCLAW_OAUTH_DIR` move, and beside systemd's units.

use super::origin::{Named, Origin};
use super::root::RootKind::{Config, Package as InPackage, Stage, State, Temp};
use super::root::RootSpec;
use crate::family::{STATE_PLACES, leads_to_locks};
use crate::process::packages::{PACKAGE_PLACES, Package};
use crate::process::roots::Running;
use crate::sys::authority::{Authority, Ids};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Entries of one list that are looked at, and mounts of one process.
pub const MOST: usize = 32;
const STAGE_NAME: &str = "plugin-runtime-deps";
const STATE_NAMES: &[&str] = &[".openclaw", ".clawdbot", ".moltbot", ".moldbot"];
const PROFILE_PREFIX: &[u8] = b".openclaw-";
/// By these files a state dir is known that has another name.
pub(crate) const CONFIG_NAMES: &[&str] = &["openclaw.json", "clawdbot.json"];
/// A directory of the temp directory, not of a profile.
const STAGING_PREFIX: &[u8] = b".openclaw-terminal-staging-";
/// State dirs and stage roots of images, units and compose files.
const SYSTEM_STATE_DIRS: &[&str] = &["/var/lib/openclaw", "/home/node/.openclaw", "/opt/openclaw"];
const PACKAGES_IN_HOME: &[&str] =
    &[".npm-global/lib/node_modules/openclaw", ".local/lib/node_modules/openclaw", "openclaw"];
/// Where Node.js puts temporary files without TMPDIR, and OpenClaw its coordinators with it.
const TEMP_DIR: &str = "/tmp";
/// Beside whose files OpenClaw takes a lock when it installs itself as a service.
const SYSTEM_UNITS: &str = "/etc/systemd/system";
const USER_UNITS: &str = ".config/systemd/user";
/// Copies of databases that are open for reading (2026.9).
const CACHE: &str = ".cache/openclaw";
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

    /// The entries of a list that are not blank.
    fn list(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let entries = self.get(name).into_iter().flat_map(|value| value.split(|byte| *byte == b':'));
        entries.filter(|entry| !entry.trim_ascii().is_empty())
    }

    /// Whether a list of it has more entries than are looked at.
    #[must_use]
    pub fn names_too_many(&self) -> bool {
        ["OPENCLAW_PLUGIN_STAGE_DIR", "STATE_DIRECTORY"].iter().any(|name| self.list(name).nth(MOST).is_some())
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

    /// The places that this environment names, of this process or our own.
    #[must_use]
    pub fn roots(&self, process: Option<u32>) -> Vec<RootSpec> {
        let home = self.home();
        let mut roots = Vec::new();
        let origin = |named| Origin { named, process };
        let place = |kind, path: PathBuf, name| RootSpec::place(kind, path, origin(Named::Variable(name)));
        for entry in self.list("OPENCLAW_PLUGIN_STAGE_DIR").take(MOST) {
            roots.push(place(Stage, expand(entry.trim_ascii(), home.as_deref()), "OPENCLAW_PLUGIN_STAGE_DIR"));
        }
        for entry in self.list("STATE_DIRECTORY").take(MOST) {
            roots.push(place(Stage, path(entry.trim_ascii()).join(STAGE_NAME), "STATE_DIRECTORY"));
        }
        let mut add_state = |dir: PathBuf, named| roots.extend(state_dir(dir, origin(named)));
        for name in ["OPENCLAW_STATE_DIR", "CLAWDBOT_STATE_DIR"] {
            if let Some(value) = self.get(name) {
                add_state(expand(value, home.as_deref()), Named::Variable(name));
            }
        }
        for state in STATE_NAMES {
            let home = home.as_deref().filter(|home| home.is_absolute());
            if let Some(home) = home {
                add_state(home.join(state), Named::InHome(state));
            }
        }
        if let (Some(profile), Some(home)) = (self.get("OPENCLAW_PROFILE"), &home) {
            let mut name = PROFILE_PREFIX.to_vec();
            name.extend_from_slice(profile);
            add_state(home.join(path(&name)), Named::Variable("OPENCLAW_PROFILE"));
        }
        if let Some(config) = self.get("OPENCLAW_CONFIG_PATH") {
            let config = expand(config, home.as_deref());
            let directory = config.parent().unwrap_or(&config).to_owned();
            let config = config.file_name().map(ToOwned::to_owned);
            roots.push(RootSpec { config, ..place(Config, directory, "OPENCLAW_CONFIG_PATH") });
        }
        if let Some(credentials) = self.get("OPENCLAW_OAUTH_DIR") {
            roots.push(place(Config, expand(credentials, home.as_deref()), "OPENCLAW_OAUTH_DIR"));
        }
        // Node.js takes the first of them; the coordinators stay in /tmp.
        if let Some((name, value)) = ["TMPDIR", "TMP", "TEMP"].iter().find_map(|name| Some((name, self.get(name)?))) {
            roots.push(place(Temp, path(value), name));
        }
        roots.push(RootSpec::place(Temp, PathBuf::from(TEMP_DIR), origin(Named::TempDirectory)));
        roots
    }
}

/// The places in a home directory: its state dirs (the default one, those of older releases, and
/// one for each profile found there), units and caches. Packages: see [`package_places`].
#[must_use]
pub fn in_home(home: &Path, origin: Origin) -> Vec<RootSpec> {
    let named = STATE_NAMES.iter().map(|state| home.join(state));
    let entries = crate::sys::tree::list_names(home).into_iter();
    let profiles = entries.filter(|name| name.as_bytes().starts_with(PROFILE_PREFIX)).map(|name| home.join(name));
    let mut roots: Vec<RootSpec> = named.chain(profiles).flat_map(|dir| state_dir(dir, origin)).collect();
    roots.push(RootSpec::place(Config, home.join(USER_UNITS), origin));
    roots.push(RootSpec { depth: 2, ..RootSpec::place(Config, home.join(CACHE), origin) });
    roots
}

/// The places in another user's home directory, looked at as that user.
#[must_use]
pub fn in_users_home(home: &UsersHome, origin: Origin) -> Vec<RootSpec> {
    let is_own = home.ids.uid == rustix::process::geteuid().as_raw();
    let authority = if is_own { Authority::Own } else { Authority::of(home.ids.clone()) };
    let mut roots = in_home(&home.path, origin);
    roots.iter_mut().for_each(|root| root.authority.clone_from(&authority));
    roots
}

/// A state dir, and the stage root in it: that one may be a volume of its own, or a link to one.
fn state_dir(dir: PathBuf, origin: Origin) -> [RootSpec; 2] {
    [RootSpec::place(Stage, dir.join(STAGE_NAME), origin), RootSpec::place(State, dir, origin)]
}

/// The places of images, units and documentation.
#[must_use]
pub fn system() -> Vec<RootSpec> {
    let origin = Named::System.into();
    let units = RootSpec::place(Config, PathBuf::from(SYSTEM_UNITS), origin);
    let states = SYSTEM_STATE_DIRS.iter().flat_map(|state| state_dir(PathBuf::from(state), origin));
    states.chain([units]).collect()
}

/// The directories of a package in which its plugins take locks.
#[must_use]
pub fn in_package(package: &Package, via: Option<u32>, origin: Origin) -> Vec<RootSpec> {
    let root = |path: PathBuf| RootSpec { via, ..RootSpec::place(InPackage, path, origin) };
    let own = RootSpec { depth: 1, ..root(package.path.clone()) };
    let plugins = PLUGIN_DIRS.iter().map(|dir| root(package.path.join(dir)));
    std::iter::once(own).chain(plugins).collect()
}

/// Where packages may be installed, for this home.
#[must_use]
pub fn package_places(home: Option<&Path>) -> Vec<PathBuf> {
    let system = PACKAGE_PLACES.iter().map(PathBuf::from);
    let own = home.into_iter().flat_map(|home| PACKAGES_IN_HOME.iter().map(|place| home.join(place)));
    system.chain(own).collect()
}

/// Whether a running OpenClaw names more places than are looked at.
#[must_use]
pub fn names_too_many(process: &Running) -> bool {
    let pairs = process.environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    process.mount_points.len() > MOST || Environment::new(pairs).names_too_many()
}

/// The places that a running OpenClaw uses, reached through its own root directory.
#[must_use]
pub fn of_running(process: &Running) -> Vec<RootSpec> {
    let Ok(authority) = &process.authority else { return Vec::new() };
    let of = |named| Origin { named, process: Some(process.pid) };
    let via = (!process.same_mounts).then_some(process.pid);
    let pairs = process.environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let mut roots = Environment::new(pairs).roots(Some(process.pid));
    for point in process.mount_points.iter().take(MOST) {
        let mount = of(Named::Mount);
        if point.file_name() == Some(OsStr::new(STAGE_NAME)) {
            roots.push(RootSpec::place(Stage, point.clone(), mount));
        } else {
            roots.extend(state_dir(point.clone(), mount));
        }
    }
    for package in process.runs.packages() {
        roots.extend(in_package(package, via, of(Named::Package)));
    }
    for root in &mut roots {
        root.via = via;
        root.via_started = process.started.filter(|_| via.is_some());
        root.authority.clone_from(authority);
    }
    // OpenClaw resolves a relative path against its working directory.
    for root in roots.iter_mut().filter(|root| !root.path.is_absolute()) {
        root.path = process.cwd.join(&root.path);
    }
    roots
}

/// A home directory of passwd(5), and whose it is there. Not the owner of the directory: that one
/// may have been given away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsersHome {
    /// The directory.
    pub path: PathBuf,
    /// The user's ids; no supplementary groups.
    pub ids: Ids,
}

/// The home directories of passwd(5), for `--all-users`.
#[must_use]
pub fn homes(passwd: &[u8]) -> Vec<UsersHome> {
    // By their parts: `//` is the root too.
    let real = |home: &UsersHome| ![Path::new("/"), Path::new("/nonexistent")].contains(&home.path.as_path());
    let mut homes: Vec<UsersHome> = users(passwd).filter(real).collect();
    homes.sort_by(|one, other| one.path.cmp(&other.path));
    // A home that several users share is the first one's: less rights than all of theirs.
    homes.dedup_by(|one, other| one.path == other.path);
    homes
}

/// Whether a name is one under which OpenClaw keeps locks: a state dir, a stage root or a
/// version directory.
pub(super) fn is_place(name: &OsStr) -> bool {
    names_state_dir(Path::new(name)) || name == OsStr::new(STAGE_NAME) || super::version_of(name).is_some()
}

/// Whether a directory is one in which OpenClaw keeps locks, or leads to one, whatever the state dir
/// is called that it may be in.
pub(super) fn leads_to_place(below: &Path) -> bool {
    let parts: Vec<&OsStr> = below.iter().collect();
    let deepest = STATE_PLACES.iter().map(|place| place.split('/').count()).max().unwrap_or(0);
    let from = parts.len().saturating_sub(deepest);
    let ends = (from..parts.len()).filter_map(|at| parts.get(at..));
    below.file_name().is_some_and(is_place)
        || ends.map(|end| end.iter().collect::<PathBuf>()).any(|end| leads_to_locks(&end, STATE_PLACES))
}

/// The part of a path below a root that lies below the innermost state dir on its way, which
/// may be the root itself.
pub(super) fn in_state_dir(below: &Path, root_is_one: bool) -> Option<&Path> {
    let parent = below.parent()?;
    let state_dir = parent.ancestors().find(|dir| names_state_dir(dir));
    match state_dir {
        Some(dir) => below.strip_prefix(dir).ok(),
        None => root_is_one.then_some(below),
    }
}

/// Whether a directory is called like a state dir.
pub(crate) fn names_state_dir(dir: &Path) -> bool {
    let name = dir.file_name().unwrap_or_default().as_bytes();
    let is_profile = name.starts_with(PROFILE_PREFIX) && !name.starts_with(STAGING_PREFIX);
    STATE_NAMES.iter().any(|state| state.as_bytes() == name) || is_profile
}

/// The home directory of a user in passwd(5).
#[must_use]
pub fn home_of(passwd: &[u8], uid: u32) -> Option<UsersHome> {
    users(passwd).find(|home| home.ids.uid == uid)
}

fn users(passwd: &[u8]) -> impl Iterator<Item = UsersHome> {
    let entries = passwd.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == b':').collect::<Vec<_>>());
    entries.filter_map(|entry| {
        let id = |at: usize| std::str::from_utf8(entry.get(at)?).ok()?.parse().ok();
        let home = entry.get(5).filter(|home| home.starts_with(b"/"))?;
        Some(UsersHome { path: path(home), ids: Ids { uid: id(2)?, gid: id(3)?, groups: Vec::new() } })
    })
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
        let roots = Environment::new(pairs).roots(None);
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
    fn temp_directory_configuration_and_credentials_can_be_moved() {
        let found = paths(&[
            ("OPENCLAW_CONFIG_PATH", "~/c/openclaw.json"),
            ("OPENCLAW_OAUTH_DIR", "/o"),
            ("TMP", "/t2"),
            ("TMPDIR", "/t1"),
            ("HOME", "/home/u"),
        ]);
        for expected in ["/home/u/c", "/o", "/t1", "/tmp", "/home/u/.openclaw"] {
            assert!(found.contains(&expected.to_owned()), "{expected} in {found:?}");
        }
        assert!(!found.contains(&"/t2".to_owned()), "{found:?}");
    }

    #[test]
    fn a_state_dir_on_the_way_is_known_by_its_name() {
        let inside = |below, root_is_one| in_state_dir(Path::new(below), root_is_one).and_then(Path::to_str);
        assert_eq!(inside("u/.openclaw/workspace/src", false), Some("workspace/src"));
        assert_eq!(inside("u/.openclaw/workspace/.openclaw-dev/browser", false), Some("browser"));
        assert_eq!(inside("u/.openclaw", false), None);
        assert_eq!((inside("browser/x", true), inside("browser/x", false)), (Some("browser/x"), None));
    }

    #[test]
    fn the_way_to_a_place_is_known_under_any_name_of_its_state_dir() {
        for (below, expected) in [
            ("a/b/oc7/config/agents", true),
            ("a/b/oc7/config/agents/main/sessions", true),
            ("a/b/.openclaw", true),
            ("a/plugin-runtime-deps", true),
            ("a/openclaw-2026.4.29-0123456789ab", true),
            ("a/b/oc7/config", false),
            ("a/agents/main/sessions/archive", false),
        ] {
            assert_eq!(leads_to_place(Path::new(below)), expected, "{below}");
        }
    }

    #[test]
    fn the_text_of_a_missing_value_is_no_home() {
        assert_eq!(paths(&[("OPENCLAW_HOME", "undefined"), ("HOME", "null")]), ["/tmp"]);
    }

    #[test]
    fn a_users_home_is_found_by_uid() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000:,,,:/home/u:/bin/sh\nbroken:x:7\n";
        let home = home_of(passwd, 1000).unwrap();
        assert_eq!((home.path, home.ids.uid, home.ids.gid), ("/home/u".into(), 1000, 1000));
        assert_eq!(home_of(passwd, 7), None);
    }

    #[test]
    fn homes_are_the_sixth_field() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:1:1::/nonexistent:/bin/false\nbroken\nx:x:2:2::/root:\nsys:x:3:3:://:\n";
        let homes: Vec<_> = homes(passwd).into_iter().map(|home| (home.path, home.ids.uid)).collect();
        assert_eq!(homes, [(PathBuf::from("/root"), 0)]);
    }
}
