//! Calls of cargo, from the workspace's root and with the cargo that runs us.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// Runs `cargo` with these arguments.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<()> {
    finish(cargo(root).args(arguments), arguments)
}

/// Runs `cargo` with these variables.
pub(crate) fn run_with(root: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Result<()> {
    let mut command = cargo(root);
    command.args(arguments).envs(variables.iter().copied());
    finish(&mut command, arguments)
}

/// Runs `cargo` with more flags in a variable such as `RUSTFLAGS`, after those that it already has.
pub(crate) fn run_with_flags(
    root: &Path,
    arguments: &[&str],
    (variable, flags): (&str, &str),
) -> Result<()> {
    let flags = match env::var(variable) {
        Ok(given) => format!("{given} {flags}"),
        Err(_) => flags.to_owned(),
    };
    finish(cargo(root).args(arguments).env(variable, flags), arguments)
}

/// What came of a call of cargo.
pub(crate) struct Outcome {
    pub(crate) has_passed: bool,
    /// All that it printed.
    pub(crate) text: String,
}

/// Runs `cargo` with these variables, which take the place of others. Prints nothing.
pub(crate) fn outcome(
    root: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Result<Outcome> {
    let mut command = cargo(root);
    command.args(arguments).envs(variables.iter().copied());
    let output = command
        .output()
        .map_err(|error| format!("cannot start `cargo {}`: {error}", arguments.join(" ")))?;
    let text = [output.stdout, output.stderr].concat();
    Ok(Outcome {
        has_passed: output.status.success(),
        text: String::from_utf8_lossy(&text).into_owned(),
    })
}

/// Installs exactly this version of a subcommand of cargo, unless it is there. A network that fails once may
/// not the second time.
pub(crate) fn install(root: &Path, subcommand: &str, version: &str) -> Result<()> {
    let installed = cargo(root).args([subcommand, "--version"]).output();
    if installed.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout)
            .trim()
            .ends_with(version)
    }) {
        return Ok(());
    }
    let package = format!("cargo-{subcommand}");
    let install = ["install", &package, "--version", version, "--locked"];
    run(root, &install).or_else(|_| run(root, &install))
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn finish(command: &mut Command, arguments: &[&str]) -> Result<()> {
    let line = format!("cargo {}", arguments.join(" "));
    let status = command
        .status()
        .map_err(|error| format!("cannot start `{line}`: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{line}` failed ({status})"))
    }
}
