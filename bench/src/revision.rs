//! Programs of this revision and of another one. The tree of the other one is unpacked under
//! `bench/target/against`, and is built there with a target folder of its own. Nothing is left in git.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::machine;

/// Another revision of this repository, unpacked.
#[derive(Debug)]
pub(crate) struct Revision {
    /// The first twelve digits of its commit.
    pub(crate) commit: String,
    tree: PathBuf,
}

impl Revision {
    /// Unpacks the tree of that revision. A tree that an earlier run has unpacked is used again.
    pub(crate) fn unpack(name: &str) -> Result<Self> {
        let wanted = format!("{name}^{{commit}}");
        let parse = ["rev-parse", "--verify", "--quiet", "--short=12", &wanted];
        let commit = output(git().args(parse))
            .map_err(|_| format!("`{name}` is not a revision of this repository"))?;
        let tree = folder().join(&commit);
        if !tree.exists() {
            // Renamed when it is complete, so that no later run builds half of it.
            let partial = folder().join(format!("{commit}.partial"));
            extract(&commit, &partial)?;
            fs::rename(&partial, &tree).map_err(|error| at(&tree, &error))?;
        }
        Ok(Self { commit, tree })
    }

    /// Builds the revision's own `bench`, and with it the echo servers that are linked with its crates.
    pub(crate) fn build_bench(&self) -> Result<PathBuf> {
        self.build(BENCH, "bench")
    }

    /// Builds the revision's program `sockeye`.
    pub(crate) fn build_sockeye(&self) -> Result<PathBuf> {
        self.build(SOCKEYE, "sockeye")
    }

    /// Whether one of these files is another one here, committed or not.
    pub(crate) fn differs_in(&self, paths: &[&str]) -> bool {
        let diff = git()
            .args(["diff", "--quiet", &self.commit, "--"])
            .args(paths)
            .status();
        diff.is_ok_and(|status| status.code() == Some(1))
    }

    /// Builds a program, and keeps it apart from those of other revisions.
    fn build(&self, arguments: &[&str], program: &str) -> Result<PathBuf> {
        let target = folder().join("target");
        eprintln!("building `{program}` of {}", self.commit);
        cargo_build(&self.tree, arguments, Some(&target))?;
        let programs = folder().join("programs").join(&self.commit);
        fs::create_dir_all(&programs).map_err(|error| at(&programs, &error))?;
        let kept = programs.join(program);
        fs::copy(target.join("release").join(program), &kept).map_err(|error| at(&kept, &error))?;
        Ok(kept)
    }
}

/// Builds this tree's program `sockeye`, as README.md says it.
pub(crate) fn build_own_sockeye() -> Result<PathBuf> {
    let root = machine::root();
    eprintln!("building `sockeye`");
    cargo_build(&root, SOCKEYE, None)?;
    Ok(target_folder(&root)?.join("release/sockeye"))
}

fn cargo_build(folder: &Path, arguments: &[&str], target: Option<&Path>) -> Result<()> {
    let mut command = cargo(folder);
    command
        .args(["build", "--release", "--locked"])
        .args(arguments);
    if let Some(target) = target {
        command.arg("--target-dir").arg(target);
    }
    let status = command.status();
    let status = status.map_err(|error| format!("cannot start `cargo`: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("cannot build {}: see above", folder.display()))
}

/// Where cargo puts what it builds of that workspace.
fn target_folder(workspace: &Path) -> Result<PathBuf> {
    let metadata = ["metadata", "--no-deps", "--format-version=1"];
    let metadata = output(cargo(workspace).args(metadata))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).map_err(|error| error.to_string())?;
    let folder = metadata["target_directory"].as_str();
    let folder = folder.ok_or("`cargo metadata` does not tell the target folder")?;
    Ok(folder.into())
}

/// Writes the files of a commit into an empty folder.
fn extract(commit: &str, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| at(folder, &error))?;
    }
    fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
    let mut archive = git()
        .args(["archive", "--format=tar", commit])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start `git`: {error}"))?;
    let files = archive.stdout.take().ok_or("stdout is piped")?;
    let unpacked = Command::new("tar")
        .arg("-x")
        .arg("-C")
        .arg(folder)
        .stdin(files)
        .status()
        .map_err(|error| format!("cannot start `tar`: {error}"))?;
    let archived = archive.wait().map_err(|error| error.to_string())?;
    if archived.success() && unpacked.success() {
        return Ok(());
    }
    Err(format!("cannot unpack {commit} into {}", folder.display()))
}

/// What a program that succeeds says, without the end of its last line.
fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start `{program}`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{program}` failed ({})", output.status));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.trim_end().to_owned())
}

fn git() -> Command {
    let mut git = Command::new("git");
    git.current_dir(machine::root());
    git
}

/// The cargo that runs this program.
fn cargo(folder: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(folder);
    command
}

fn folder() -> PathBuf {
    machine::root().join("bench/target/against")
}

fn at(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

const BENCH: &[&str] = &["--manifest-path", "bench/Cargo.toml"];
const SOCKEYE: &[&str] = &["-p", "sockeye-cli"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_revision_is_an_error() {
        let error = Revision::unpack("no-such-revision").unwrap_err();
        assert_eq!(
            error,
            "`no-such-revision` is not a revision of this repository"
        );
    }
}
