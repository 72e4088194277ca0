//! Tells the compiler which commit it builds: from the environment, else from git, else none.

use std::process::Command;

#[expect(clippy::disallowed_methods, reason = "a build script has no other way to be told")]
fn main() {
    println!("cargo::rerun-if-env-changed=OPENCLAW_DOCTOR_COMMIT");
    println!("cargo::rerun-if-changed=src/build.rs");
    // Where git keeps them: elsewhere in a worktree. Naming a file that is not there would
    // build everything anew each time.
    for name in ["HEAD", "refs/heads"] {
        let path = git(&["rev-parse", "--git-path", name]).filter(|path| std::path::Path::new(path).exists());
        if let Some(path) = path {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let given = std::env::var("OPENCLAW_DOCTOR_COMMIT").ok();
    let commit = given.or_else(from_git).unwrap_or_else(|| "no commit".to_owned());
    println!("cargo::rustc-env=OPENCLAW_DOCTOR_COMMIT={commit}");
}

fn from_git() -> Option<String> {
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
