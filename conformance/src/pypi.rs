//! PyPI's packages, unpacked into a folder of our own. Nothing that they would set up runs.

use std::fs;
use std::path::Path;

use tokio::process::Command;

use crate::error::Result;
use crate::process::run_with_retries;
use crate::{judges, python};

/// Unpacks a package without those that it depends on into `folder/root`. `package` names its version: `name==1.2.3`.
pub(crate) async fn unpack(folder: &Path, package: &str) -> Result<()> {
    let (venv, root) = (folder.join("venv"), folder.join("root"));
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    judges::make_folder(folder)?;
    python::install(&venv, &["pip"]).await?;
    run_with_retries(
        Command::new(venv.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--no-deps"])
            .args(["--only-binary=:all:", "--target"])
            .args([root.as_os_str(), package.as_ref()]),
    )
    .await?;
    Ok(())
}
