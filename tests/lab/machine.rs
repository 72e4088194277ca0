//! What this machine can do, and the aloud skip where it can't.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Something that a test can't do without.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// Uid 0 in the initial user namespace, or an equal of it.
    Root,
    /// The initial PID namespace, so that a vantage of `host` can be had at all.
    Host,
    /// PID and mount namespaces: as root, or in a user namespace.
    Namespaces,
    /// Time namespaces.
    TimeNamespace,
    /// Perl, for a system call that no tool makes.
    Perl,
    /// bubblewrap.
    Bubblewrap,
    /// qemu-user for aarch64, and a compiler for it.
    Emulator,
    /// bindfs and /dev/fuse.
    Fuse,
    /// A loop device, mkfs.ext4 and debugfs.
    Loop,
    /// System and temporary directories on filesystems whose device number tells them.
    Plain,
    /// The shell of SQLite.
    Sqlite,
    /// A Rust compiler for a helper that needs what safe Rust forbids.
    Compiler,
}

/// Whether all of it is here. Where it isn't, says so; fails if the lab is required.
pub fn have(needs: &[Need]) -> bool {
    let Some(missing) = needs.iter().find_map(|need| need.missing()) else { return true };
    let test = std::thread::current().name().unwrap_or("a lab test").to_owned();
    assert!(
        std::env::var_os("OPENCLAW_DOCTOR_LAB").is_none_or(|value| value != "required"),
        "OPENCLAW_DOCTOR_LAB=required, and {missing}"
    );
    // Not eprintln!, which the test harness hides for a test that passes.
    let _ = writeln!(std::io::stderr().lock(), "SKIPPED {test}: {missing}");
    false
}

impl Need {
    fn missing(self) -> Option<&'static str> {
        let (there, why) = match self {
            Self::Root => (is_root(), "it needs root"),
            Self::Host => (
                std::fs::read_link("/proc/self/ns/pid").is_ok_and(|id| id == Path::new("pid:[4026531836]")),
                "it needs the initial PID namespace: this is a container",
            ),
            Self::Namespaces => {
                let script = "mount -t proc proc /proc && echo 99 > /proc/sys/kernel/ns_last_pid";
                let flags = unshare_flags(&["--pid", "--mount", "--fork"]);
                let why = "PID namespaces can't be made here: be root, or allow user namespaces";
                (works("unshare", flags.iter().map(String::as_str).chain(["sh", "-c", script])), why)
            }
            Self::TimeNamespace => {
                let flags = ["--time", "--boottime", "1000", "--fork", "true"];
                (works("unshare", flags), "time namespaces can't be made here")
            }
            Self::Perl => (works("perl", ["-e", "1"]), "it needs perl"),
            Self::Bubblewrap => (works("bwrap", ["--dev-bind", "/", "/", "--unshare-pid", "true"]), "it needs bwrap"),
            Self::Emulator => {
                let there =
                    works("qemu-aarch64-static", ["--version"]) && works("aarch64-linux-gnu-gcc", ["--version"]);
                (there, "it needs qemu-aarch64-static and aarch64-linux-gnu-gcc")
            }
            Self::Fuse => {
                let there = Path::new("/dev/fuse").exists() && works("bindfs", ["--version"]);
                (there, "it needs bindfs and /dev/fuse")
            }
            Self::Loop => {
                let there = works("losetup", ["--find"]) && works("mkfs.ext4", ["-V"]) && works("debugfs", ["-V"]);
                (there, "it needs a loop device, mkfs.ext4 and debugfs")
            }
            Self::Plain => {
                const PLAIN: [u64; 4] = [0xEF53, 0x5846_5342, 0x0102_1994, 0xF2F5_2010];
                let plain = |path: &Path| {
                    let magic = rustix::fs::statfs(path).unwrap().f_type;
                    PLAIN.contains(&(u64::from_ne_bytes(magic.to_ne_bytes()) & 0xFFFF_FFFF))
                };
                (
                    plain(Path::new("/usr")) && plain(&std::env::temp_dir()),
                    "it needs /usr and the temporary directory on ext4, xfs, f2fs or tmpfs",
                )
            }
            Self::Sqlite => (works("sqlite3", ["--version"]), "it needs sqlite3"),
            Self::Compiler => (works("rustc", ["--version"]), "it needs rustc"),
        };
        (!there).then_some(why)
    }
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// An ordinary user gets the same namespaces inside a user namespace of his own.
pub fn unshare_flags(flags: &[&str]) -> Vec<String> {
    let own_users: &[&str] = if is_root() { &[] } else { &["--user", "--map-root-user"] };
    own_users.iter().chain(flags).map(|flag| (*flag).to_owned()).collect()
}

/// The system directories that hold mount(8), pivot_root(8) and the like, and our own PATH.
pub fn path() -> std::ffi::OsString {
    let mut path = std::ffi::OsString::from("/usr/sbin:/usr/bin:/sbin:/bin:");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

/// A command with a quiet environment.
pub fn tool(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", path()).stdin(Stdio::null());
    command
}

fn works<'a>(program: &str, args: impl IntoIterator<Item = &'a str>) -> bool {
    let status = tool(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Runs a tool to its end and wants success.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = tool(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A temporary directory that every user may enter.
pub struct Bench(tempfile::TempDir);

impl Bench {
    pub fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A new directory in it.
    pub fn dir(&self, name: &str) -> PathBuf {
        let dir = self.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// The built binary at a place where every user may run it.
    pub fn doctor(&self) -> PathBuf {
        let copy = self.path().join("openclaw-doctor");
        if !copy.exists() {
            std::fs::copy(env!("CARGO_BIN_EXE_openclaw-doctor"), &copy).unwrap();
        }
        copy
    }
}
