//! Recognises OpenClaw and JavaScript runtimes by name. Leans, never proves.
//!
//! Source: OpenClaw 2026.1.29 to 2026.9.6 set `process.title` to `openclaw` and then to
//! `openclaw-<subcommand>`, which replaces argv and (cut to 15 bytes) comm; before that, argv
//! is `node …/openclaw.mjs gateway`, `node dist/index.js gateway` or `node …/bin/openclaw gateway`.
//!
//! A title is anybody's to give: a shell script called `openclaw-cron` has it too. So what counts
//! as OpenClaw must be run by a JavaScript runtime, and the kernel says what a process executes.
//! An entry file is anybody's too (`node dist/index.js`): it counts inside an OpenClaw package
//! only, which [`super::packages`] looks for.

use crate::evidence::Role;

/// Interpreters that run OpenClaw. Node 24 calls its main thread `MainThread`.
const RUNTIMES: &[&[u8]] = &[b"node", b"nodejs", b"MainThread", b"bun", b"deno", b"electron"];
/// How the executables of runtimes begin: `node-22`, `nodejs`, `bun-linux-x64`.
const RUNTIME_STARTS: &[&[u8]] = &[b"node", b"bun", b"deno", b"electron"];
/// Executables that run another one, which only the arguments and the name tell.
const CARRIERS: &[&[u8]] = &[b"qemu-", b"rosetta", b"box64", b"FEX", b"ld-linux", b"ld-musl", b"ld.so", b"memfd:"];
const TITLES: &[&[u8]] = &[b"openclaw", b"clawdbot", b"moltbot"];
const ENTRY_FILES: &[&[u8]] =
    &[b"openclaw.mjs", b"dist/index.js", b"dist/entry.js", b"scripts/run-node.mjs", b"src/entry.ts", b"src/index.ts"];

/// What a process executes, by the name of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Executes {
    /// A JavaScript runtime, or OpenClaw as one file.
    Runtime,
    /// A program that runs another.
    Carrier,
    /// This program.
    Doctor,
    Other,
    /// It may not be read.
    Unreadable,
}

/// Whether a `comm` may be OpenClaw or what runs it: a cheap first look.
#[must_use]
pub fn may_be_runtime(comm: &[u8]) -> bool {
    is_title(comm) || is_runtime(comm) || comm.starts_with(b"claw")
}

/// What a process runs, from its name, its arguments and its executable. Who runs an entry file is
/// a JavaScript runtime here, whatever package that is of.
#[must_use]
pub fn role(comm: &[u8], argv: &[&[u8]], exe: Option<&[u8]>) -> Role {
    let first = argv.first().copied().unwrap_or_default();
    let executes = executes(exe);
    if executes == Executes::Doctor || executes == Executes::Unreadable && is_this_program(argv) {
        return Role::Other;
    }
    // A title replaces the first argument, as far as that has room; a script's name does not.
    let replaced = is_title(base(first)) || is_title(comm) && comm.starts_with(first);
    let is_openclaw = match executes {
        Executes::Runtime | Executes::Unreadable => replaced,
        Executes::Carrier => replaced || is_title(comm),
        Executes::Doctor | Executes::Other => false,
    };
    let may_be_runtime = || [comm, base(first), base(exe.unwrap_or_default())].into_iter().any(may_be_runtime);
    match is_openclaw {
        true => Role::OpenClaw,
        false if executes == Executes::Runtime || may_be_runtime() => Role::JavaScript,
        false => Role::Other,
    }
}

/// Whether what a process executes may be a JavaScript runtime, so that an entry file among its
/// arguments is run and not, say, edited.
#[must_use]
pub fn may_run_entry_file(comm: &[u8], argv: &[&[u8]], exe: Option<&[u8]>) -> bool {
    let first = argv.first().copied().unwrap_or_default();
    match executes(exe) {
        Executes::Runtime | Executes::Carrier => true,
        Executes::Unreadable => may_be_runtime(comm) || may_be_runtime(base(first)),
        Executes::Doctor | Executes::Other => false,
    }
}

fn executes(exe: Option<&[u8]>) -> Executes {
    let Some(exe) = exe else { return Executes::Unreadable };
    // What was replaced by an update is run on.
    let name = base(exe.strip_suffix(b" (deleted)").unwrap_or(exe));
    let begins = |starts: &[&[u8]]| starts.iter().any(|start| name.starts_with(start));
    if name.starts_with(env!("CARGO_PKG_NAME").as_bytes()) {
        Executes::Doctor
    } else if begins(RUNTIME_STARTS) || is_title(name) {
        Executes::Runtime
    } else if begins(CARRIERS) {
        Executes::Carrier
    } else {
        Executes::Other
    }
}

/// The files among the arguments by which the package that is run can be found: entry files, and
/// the link `bin/openclaw` to one.
pub fn entry_files<'a>(argv: &[&'a [u8]]) -> impl Iterator<Item = &'a [u8]> {
    let is_entry = |arg: &&[u8]| ENTRY_FILES.iter().any(|entry| ends_in(arg, entry)) || TITLES.contains(&base(arg));
    argv.iter().copied().skip(1).filter(is_entry)
}

/// Splits the bytes of /proc/PID/cmdline.
#[must_use]
pub fn split_argv(cmdline: &[u8]) -> Vec<&[u8]> {
    let trimmed = cmdline.strip_suffix(b"\0").unwrap_or(cmdline);
    trimmed.split(|byte| *byte == 0).collect()
}

/// Whether it is a doctor of ours. OpenClaw's own `openclaw doctor` gives itself that name too, but
/// its title leaves no arguments behind it.
fn is_this_program(argv: &[&[u8]]) -> bool {
    let [first, second, ..] = argv else { return false };
    base(first) == env!("CARGO_PKG_NAME").as_bytes() && !second.is_empty()
}

fn is_runtime(name: &[u8]) -> bool {
    RUNTIMES.contains(&name) || RUNTIME_STARTS.iter().any(|start| name.starts_with(start))
}

/// `openclaw`, `openclaw-gateway`, and what 15 bytes leave of it.
fn is_title(name: &[u8]) -> bool {
    let titled = |title: &&[u8]| {
        let starts = name.get(..title.len()).is_some_and(|start| start.eq_ignore_ascii_case(title));
        starts && matches!(name.get(title.len()), None | Some(b'-'))
    };
    TITLES.iter().any(titled)
}

fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

fn ends_in(path: &[u8], file: &[u8]) -> bool {
    path.strip_suffix(file).is_some_and(|front| front.is_empty() || front.ends_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role_of(comm: &str, argv: &[&str], exe: Option<&str>) -> Role {
        let argv: Vec<&[u8]> = argv.iter().map(|arg| arg.as_bytes()).collect();
        role(comm.as_bytes(), &argv, exe.map(str::as_bytes))
    }

    #[test]
    fn openclaw_is_known_by_its_title_and_what_runs_it() {
        for (comm, argv) in [
            ("openclaw-gatewa", &["openclaw-gateway"][..]),
            ("openclaw-gatewa", &["openc"]),
            ("openclaw-gatewa", &[]),
            ("openclaw", &["openclaw"]),
            ("x", &["/usr/bin/openclaw-gateway"]),
        ] {
            for exe in [None, Some("/usr/bin/node"), Some("/opt/node-22 (deleted)"), Some("/opt/openclaw")] {
                assert_eq!(role_of(comm, argv, exe), Role::OpenClaw, "{argv:?} {exe:?}");
            }
            for exe in ["/usr/bin/bash", "/usr/bin/sleep", "/usr/bin/openclaw-doctor"] {
                assert_ne!(role_of(comm, argv, Some(exe)), Role::OpenClaw, "{argv:?} {exe:?}");
            }
        }
    }

    #[test]
    fn a_script_that_is_called_openclaw_is_none() {
        for (argv, exe) in [
            (&["/bin/bash", "/usr/local/bin/openclaw-doctor-cron"][..], Some("/usr/bin/bash")),
            (&["/bin/bash", "/usr/local/bin/openclaw-doctor-cron"], None),
            (&["/usr/bin/node", "/usr/local/bin/openclaw-watch"], Some("/usr/bin/node")),
        ] {
            assert_ne!(role_of("openclaw-doctor", argv, exe), Role::OpenClaw, "{argv:?} {exe:?}");
        }
    }

    /// An emulator keeps its own arguments.
    #[test]
    fn what_an_emulator_runs_is_known_by_its_name() {
        let argv = ["/usr/bin/qemu-aarch64-static", "/usr/bin/node", "/app/openclaw.mjs"];
        assert_eq!(role_of("openclaw-gatewa", &argv, Some("/usr/bin/qemu-aarch64-static")), Role::OpenClaw);
    }

    #[test]
    fn a_runtime_is_not_taken_for_openclaw_and_a_sleep_not_for_a_runtime() {
        assert_eq!(role_of("node", &["node", "server.js"], None), Role::JavaScript);
        assert_eq!(role_of("node", &["node", "dist/index.js"], Some("/usr/bin/node")), Role::JavaScript);
        assert_eq!(role_of("npm install", &["npm install"], Some("/usr/bin/node")), Role::JavaScript);
        assert_eq!(role_of("sleep", &["sleep", "1000"], Some("/usr/bin/sleep")), Role::Other);
        assert_eq!(role_of("vim", &["vim", "dist/index.js"], Some("/usr/bin/vim")), Role::Other);
    }

    #[test]
    fn a_doctor_of_ours_is_no_openclaw_and_openclaws_own_is() {
        assert_eq!(role_of("openclaw-doctor", &["./openclaw-doctor", "scan"], None), Role::Other);
        assert_eq!(role_of("openclaw-doctor", &["./openclaw-doctor"], Some("/opt/openclaw-doctor")), Role::Other);
        for exe in [None, Some("/usr/bin/node")] {
            assert_eq!(role_of("openclaw-doctor", &["openclaw-doctor", "", ""], exe), Role::OpenClaw);
            assert_eq!(role_of("openclaw-doctor", &["openclaw-doctor"], exe), Role::OpenClaw);
        }
    }

    #[test]
    fn an_entry_file_is_run_and_not_edited() {
        let runs = |argv: &[&str], exe: Option<&str>| {
            let argv: Vec<&[u8]> = argv.iter().map(|arg| arg.as_bytes()).collect();
            may_run_entry_file(argv.first().unwrap(), &argv, exe.map(str::as_bytes)) && entry_files(&argv).count() == 1
        };
        for file in ["/app/dist/index.js", "dist/index.js", "/usr/bin/openclaw", "openclaw.mjs"] {
            assert!(runs(&["node", file], Some("/usr/bin/node")) && runs(&["node", file], None), "{file}");
            assert!(!runs(&["vim", file], Some("/usr/bin/vim")) && !runs(&["vim", file], None), "{file}");
        }
        assert!(!runs(&["node", "server.js"], None));
    }

    #[test]
    fn arguments_keep_their_empty_places() {
        assert_eq!(split_argv(b"node\0\0x\0"), [&b"node"[..], b"", b"x"]);
    }
}
