//! Where judges keep what they install and what they report: `target/judges/`, out of git's sight
//! and gone with `cargo clean`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Result;

/// The folder of one judge, made if it is missing.
pub(crate) fn folder(judge: &str) -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("the conformance crate lies outside a workspace")?
        .join("target/judges")
        .join(judge);
    make_folder(&path)?;
    Ok(path)
}

/// Makes `path` and its parents; the error names it.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path)
        .map_err(|error| format!("cannot make {}: {error}", path.display()).into())
}

/// Writes a file whole; the error names it.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, content)
        .map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}
