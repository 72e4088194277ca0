//! Tells the compiler which commit it builds: from the environment, else from git, else none.

use std::process::Command;

#[expect(clippy::disallowed_methods, reason = "a build script has no other way to be told")]
fn main() {
    println!("cargo::rerun-if-env-changed=OPENCLAW_DOCTOR_COMMIT");
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/refs/heads");
    let given = std::env::var("OPENCLAW_DOCTOR_COMMIT").ok();
    let commit = given.or_else(from_git).unwrap_or_else(|| "no commit".to_owned());
    println!("cargo::rustc-env=OPENCLAW_DOCTOR_COMMIT={commit}");
}

fn from_git() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}
