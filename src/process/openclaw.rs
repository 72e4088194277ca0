//! Recognises OpenClaw and JavaScript runtimes by name. Leans, never proves.
//!
//! Source: OpenClaw 2026.1.29 to 2026.9.6 set `process.title` to `openclaw` and then to
//! `openclaw-<subcommand>`, which replaces argv and (cut to 15 bytes) comm; before that, argv
//! is `node …/openclaw.mjs gateway` or `node dist/index.js gateway`.

use crate::evidence::Role;

/// Interpreters that run OpenClaw. Node 24 calls its main thread `MainThread`.
const RUNTIMES: &[&[u8]] = &[b"node", b"nodejs", b"MainThread", b"bun", b"deno", b"electron"];
const TITLES: &[&[u8]] = &[b"openclaw", b"clawdbot", b"moltbot"];
const ENTRY_FILES: &[&[u8]] =
    &[b"openclaw.mjs", b"dist/index.js", b"dist/entry.js", b"scripts/run-node.mjs", b"src/entry.ts", b"src/index.ts"];

/// Whether a `comm` may be OpenClaw or what runs it: a cheap first look.
#[must_use]
pub fn may_be_runtime(comm: &[u8]) -> bool {
    is_title(comm) || is_runtime(comm) || comm.starts_with(b"claw")
}

/// What a process runs, from its name, its arguments and its executable.
#[must_use]
pub fn role(comm: &[u8], argv: &[&[u8]], exe: Option<&[u8]>) -> Role {
    let first = argv.first().copied().unwrap_or_default();
    if is_this_program(argv) {
        return Role::Other;
    }
    let runs_entry_file = || argv.iter().skip(1).any(|arg| ENTRY_FILES.iter().any(|entry| ends_in(arg, entry)));
    if is_title(comm) || is_title(base(first)) || argv.iter().any(|arg| base(arg) == b"openclaw.mjs") {
        return Role::OpenClaw;
    }
    let runtime = [comm, base(first), base(exe.unwrap_or_default())].into_iter().any(may_be_runtime);
    match (runtime, runtime && runs_entry_file()) {
        (_, true) => Role::OpenClaw,
        (true, false) => Role::JavaScript,
        (false, _) => Role::Other,
    }
}

/// The entry file among the arguments, from which the package can be found.
#[must_use]
pub fn entry_file<'a>(argv: &[&'a [u8]]) -> Option<&'a [u8]> {
    argv.iter().copied().find(|arg| ENTRY_FILES.iter().any(|entry| ends_in(arg, entry)))
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
    RUNTIMES.contains(&name)
}

/// `openclaw`, `openclaw-gateway`, and what 15 bytes leave of it.
fn is_title(name: &[u8]) -> bool {
    let titled = |title: &&[u8]| name == *title || (name.starts_with(title) && name.get(title.len()) == Some(&b'-'));
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
    fn openclaw_is_known_by_title_and_by_entry_file() {
        for (comm, argv) in [
            ("openclaw-gatewa", &["openclaw-gateway"][..]),
            ("openclaw", &["openclaw"]),
            ("node", &["node", "/app/dist/index.js", "gateway"]),
            ("node", &["node", "dist/index.js", "gateway"]),
            ("MainThread", &["/usr/bin/node", "/usr/lib/node_modules/openclaw/openclaw.mjs"]),
            ("x", &["/usr/bin/openclaw-gateway"]),
        ] {
            assert_eq!(role_of(comm, argv, None), Role::OpenClaw, "{argv:?}");
        }
    }

    #[test]
    fn a_runtime_is_not_taken_for_openclaw_and_a_sleep_not_for_a_runtime() {
        assert_eq!(role_of("node", &["node", "server.js"], None), Role::JavaScript);
        assert_eq!(role_of("npm install", &["npm install"], Some("/usr/bin/node")), Role::JavaScript);
        assert_eq!(role_of("sleep", &["sleep", "1000"], Some("/usr/bin/sleep")), Role::Other);
        assert_eq!(role_of("vim", &["vim", "dist/index.js"], Some("/usr/bin/vim")), Role::Other);
    }

    #[test]
    fn a_doctor_of_ours_is_no_openclaw_and_openclaws_own_is() {
        assert_eq!(role_of("openclaw-doctor", &["./openclaw-doctor", "scan"], None), Role::Other);
        assert_eq!(role_of("openclaw-doctor", &["openclaw-doctor", "", ""], None), Role::OpenClaw);
        assert_eq!(role_of("openclaw-doctor", &["openclaw-doctor"], None), Role::OpenClaw);
    }

    #[test]
    fn arguments_keep_their_empty_places() {
        assert_eq!(split_argv(b"node\0\0x\0"), [&b"node"[..], b"", b"x"]);
    }
}
