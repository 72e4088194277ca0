//! Which OpenClaw package a process runs.
//!
//! A title hides the arguments, so that a release under nvm, pnpm, brew or `npm --prefix` is found
//! by what is left: files of a package that are mapped or open, the working directory, and the place
//! of the executable (`<prefix>/bin/node` stands beside `<prefix>/lib/node_modules/openclaw`).
//!
//! In: a process and its root directory. Out: packages, with their versions.

use super::openclaw;
use super::proc_dir::ProcessDir;
use crate::sys::tree::{Dir, ReadError};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where OpenClaw's package is installed by its image and by npm.
pub const PACKAGE_PLACES: &[&str] =
    &["/app", "/usr/lib/node_modules/openclaw", "/usr/local/lib/node_modules/openclaw", "/opt/openclaw"];

const MAX_PACKAGE_JSON_BYTES: u64 = 256 * 1024;
/// Open files that are looked at; a gateway opens its package's files first.
const MAX_OPEN_FILES: usize = 512;
const MODULES: &str = "/node_modules/";

/// An OpenClaw package on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its directory, as its process sees it.
    pub path: PathBuf,
    /// `version` of its package.json.
    pub version: String,
}

/// The package that a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runs {
    /// This one.
    Package(Package),
    /// It cannot be told; these stand at the usual places in its root.
    Unknown(Vec<Package>),
}

impl Runs {
    /// What it may run.
    #[must_use]
    pub fn packages(&self) -> &[Package] {
        match self {
            Self::Package(package) => std::slice::from_ref(package),
            Self::Unknown(packages) => packages,
        }
    }

    /// The release that it runs, if it can be told.
    #[must_use]
    pub fn release(&self) -> Option<&str> {
        match self {
            Self::Package(package) => Some(&package.version),
            Self::Unknown(_) => None,
        }
    }
}

/// The package that a process runs, by the first sign that leads to one.
#[must_use]
pub fn of(root: &Dir, process: &ProcessDir) -> Runs {
    let cwd = link(process, "cwd");
    let cmdline = process.read("cmdline").unwrap_or_default();
    let at = |place: &PathBuf| package_at(root, place).ok().flatten();
    let entered = places_of_entry(&openclaw::split_argv(&cmdline), cwd.as_deref());
    let told = entered.iter().find_map(at);
    let told = told.or_else(|| used(process).iter().find_map(at)).or_else(|| cwd.as_ref().and_then(at));
    let told = told.or_else(|| at(&beside(&link(process, "exe")?)?));
    told.map_or_else(
        || Runs::Unknown(PACKAGE_PLACES.iter().filter_map(|place| at(&PathBuf::from(place))).collect()),
        Runs::Package,
    )
}

/// Whether an entry file among the arguments is one of an OpenClaw package.
///
/// Errors: it cannot be told, since the directory above it cannot be looked into.
pub fn runs_entry_of_package(root: &Dir, cwd: Option<&Path>, argv: &[&[u8]]) -> Result<bool, Errno> {
    for place in places_of_entry(argv, cwd) {
        if package_at(root, &place)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The directories that may be the package of an entry file among the arguments.
fn places_of_entry(argv: &[&[u8]], cwd: Option<&Path>) -> Vec<PathBuf> {
    let mut places = Vec::new();
    for file in openclaw::entry_files(argv) {
        let file = cwd.unwrap_or(Path::new("/")).join(OsStr::from_bytes(file));
        places.extend(file.ancestors().skip(1).take(3).map(Path::to_owned));
        if let Some(parent) = file.parent().filter(|_| file.extension().is_none()) {
            // A directory that is run, and npm's links to the entry file: global, and of a project.
            places.push(file.clone());
            places.push(parent.join("../lib/node_modules/openclaw"));
            places.push(parent.join("../openclaw"));
        }
    }
    places
}

/// The directories of packages whose files, or whose dependencies' files, a process has mapped or open.
fn used(process: &ProcessDir) -> Vec<PathBuf> {
    let maps = process.read("maps").unwrap_or_default();
    let mapped = maps.split(|byte| *byte == b'\n').filter_map(|line| {
        let path = line.iter().position(|byte| *byte == b'/')?;
        line.get(path..).map(<[u8]>::to_vec)
    });
    let fds = process.numbers("fd").into_iter().flatten().filter_map(Result::ok).take(MAX_OPEN_FILES);
    let open = fds.filter_map(|fd| process.link(&format!("fd/{fd}")).ok());
    let mut places = Vec::new();
    for file in mapped.chain(open).filter(|file| file.starts_with(b"/")) {
        let file = Path::new(OsStr::from_bytes(&file)).to_string_lossy().into_owned();
        let Some((before, _)) = file.split_once(MODULES) else { continue };
        // Dependencies stand below the package, or beside it where npm has raised them.
        for place in [PathBuf::from(format!("{before}{MODULES}openclaw")), PathBuf::from(before)] {
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    places
}

/// Where npm installs for the runtime at this path.
fn beside(exe: &Path) -> Option<PathBuf> {
    let bin = exe.parent().filter(|parent| parent.file_name() == Some(OsStr::new("bin")))?;
    Some(bin.parent()?.join("lib/node_modules/openclaw"))
}

fn link(process: &ProcessDir, name: &str) -> Option<PathBuf> {
    process.link(name).ok().map(|path| PathBuf::from(OsStr::from_bytes(&path)))
}

/// The OpenClaw package in this directory, if there is one.
///
/// Errors: it cannot be told.
pub fn package_at(root: &Dir, place: &Path) -> Result<Option<Package>, Errno> {
    let read = root.open_in_root(place).map_err(ReadError::System);
    match read.and_then(|dir| dir.read_file(b"package.json", MAX_PACKAGE_JSON_BYTES)) {
        Ok((_, bytes)) => Ok(version(&bytes).map(|version| Package { path: place.to_owned(), version })),
        Err(ReadError::System(Errno::NOENT | Errno::NOTDIR) | ReadError::NotRegular) => Ok(None),
        Err(error) => Err(error.errno()),
    }
}

/// The version that a package.json names, if it is OpenClaw's.
#[must_use]
pub fn version(package_json: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(package_json).ok()?;
    let field = |name| json.get(name)?.as_str().map(str::trim).map(str::to_owned);
    let version = field("version").filter(|version| !version.is_empty())?;
    (field("name")? == "openclaw").then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_file_leads_to_the_directories_that_may_be_its_package() {
        let places = |argv: &[&str], cwd: &str| {
            let argv: Vec<&[u8]> = argv.iter().map(|arg| arg.as_bytes()).collect();
            places_of_entry(&argv, Some(Path::new(cwd)))
                .iter()
                .map(|place| place.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(places(&["node", "dist/index.js", "gateway"], "/app"), ["/app/dist", "/app", "/"]);
        let linked = places(&["node", "/usr/bin/openclaw"], "/");
        assert!(linked.contains(&"/usr/bin/../lib/node_modules/openclaw".to_owned()), "{linked:?}");
        assert!(places(&["node", "server.js"], "/app").is_empty());
    }

    #[test]
    fn npm_installs_beside_the_runtime() {
        let place = |exe| beside(Path::new(exe)).map(|place| place.display().to_string());
        assert_eq!(
            place("/home/u/.nvm/versions/node/v24.1.0/bin/node").as_deref(),
            Some("/home/u/.nvm/versions/node/v24.1.0/lib/node_modules/openclaw")
        );
        assert_eq!(place("/opt/node"), None);
    }
}
