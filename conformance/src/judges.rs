//! Where judges keep what they install and what they report: `target/judges/`, out of git's sight
//! and gone with `cargo clean`; and the pages of `docs/` that they write.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Result;

/// The folder of one judge, made if it is missing.
pub(crate) fn folder(judge: &str) -> Result<PathBuf> {
    let path = workspace()?.join("target/judges").join(judge);
    make_folder(&path)?;
    Ok(path)
}

/// A folder under `target/` for what a judge finds, made if it is missing.
pub(crate) fn output(name: &str) -> Result<PathBuf> {
    let path = workspace()?.join("target").join(name);
    make_folder(&path)?;
    Ok(path)
}

/// Writes a page of `docs/`, and says so when it has changed.
pub(crate) fn write_document(name: &str, text: &str) -> Result<()> {
    let path = workspace()?.join("docs").join(name);
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        println!("docs/{name} still says what was found");
        return Ok(());
    }
    println!("docs/{name} is written anew: look at its difference");
    write(&path, text)
}

fn workspace() -> Result<&'static Path> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("the conformance crate lies outside a workspace")?)
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
