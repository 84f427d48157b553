//! Where things are in the repository, and how a chore runs a program.
//!
//! Invariant: `CARGO_TARGET_DIR` is honoured, so two working trees can share one or keep apart.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// How the variables begin that `cargo run` sets about the package it runs.
const OF_THIS_PACKAGE: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |named| root().join(named))
}

/// `cargo`, the one that runs this chore, at the repository's root.
///
/// `cargo run` tells this chore about its own package in variables that some build scripts watch: left in
/// place, they would have those crates built anew whenever a chore and a plain `cargo` take turns.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if OF_THIS_PACKAGE.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// Shows a command and runs it; a bad end is an error.
pub(crate) fn run(command: &mut Command) -> Result {
    let shown = show(command);
    println!("$ {shown}");
    let status = command.status().map_err(|e| format!("cannot run {shown}: {e}"))?;
    if !status.success() {
        return Err(format!("{shown}: {status}").into());
    }
    Ok(())
}

/// A command as a reader would type it into a shell.
pub(crate) fn show(command: &Command) -> String {
    let program =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    command.get_args().fold(program, |line, arg| {
        let arg = arg.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
        if !arg.is_empty() && arg.chars().all(plain) {
            return format!("{line} {arg}");
        }
        format!("{line} '{}'", arg.replace('\'', "'\\''"))
    })
}

/// The release binary, built now. `None` where the binary has no verb `migrate` yet.
pub(crate) fn build_switchover() -> Result<Option<PathBuf>> {
    println!("building the binary (the first time takes some minutes)");
    run(cargo().args(["build", "--release", "--package", "switchover-cli"]))?;
    let binary = target().join("release/switchover");
    let output = Command::new(&binary).arg("--help").stdin(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).contains("migrate").then_some(binary))
}
