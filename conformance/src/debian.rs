//! Debian's packages, for judges that need programs which this machine lacks. They are installed for the whole system, or
//! unpacked into a folder of our own where the system must not change.

use std::fs;
use std::path::Path;

use tokio::process::Command;

use crate::error::Result;
use crate::judges;
use crate::process::{run, run_with_retries};

/// Installs packages system-wide, with the lists brought up to date first.
pub(crate) async fn install(packages: &[&str]) -> Result<()> {
    println!("installing Debian's {}", packages.join(", "));
    run_with_retries(as_root("apt-get")?.arg("update"))
        .await
        .map_err(|error| format!("cannot install {}: {error}", packages.join(", ")))?;
    run_with_retries(
        as_root("apt-get")?
            .args([
                "install",
                "-y",
                "--no-install-recommends",
                "-o",
                "Dpkg::Use-Pty=0",
            ])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
    .await?;
    Ok(())
}

/// Unpacks packages of another Debian release into `folder/root`. The system's own package lists
/// and database are neither read nor changed, and no right of root is needed.
pub(crate) async fn unpack(folder: &Path, release: &str, packages: &[&str]) -> Result<()> {
    let archives = folder.join("archives");
    for part in [
        "lists/partial",
        "cache/archives/partial",
        "archives",
        "root",
    ] {
        judges::make_folder(&folder.join(part))?;
    }
    let mirror = mirror().await?;
    let keyring = Path::new(KEYRING);
    let signed_by = if keyring.exists() {
        format!("[signed-by={KEYRING}] ")
    } else {
        String::new()
    };
    let sources = folder.join("sources.list");
    judges::write(
        &sources,
        format!("deb {signed_by}{mirror} {release} main\n"),
    )?;

    let mut options = vec!["-o".to_owned(), "APT::Sandbox::User=root".to_owned()];
    for (key, value) in [
        ("Dir::Etc::sourcelist", sources.display().to_string()),
        ("Dir::Etc::sourceparts", "-".to_owned()),
        (
            "Dir::State::lists",
            folder.join("lists").display().to_string(),
        ),
        ("Dir::Cache", folder.join("cache").display().to_string()),
    ] {
        options.extend(["-o".to_owned(), format!("{key}={value}")]);
    }
    run_with_retries(Command::new("apt-get").args(&options).arg("update")).await?;
    run_with_retries(
        Command::new("apt-get")
            .args(&options)
            .arg("download")
            .args(packages)
            .current_dir(&archives),
    )
    .await?;
    unpack_archives(&archives, &folder.join("root")).await
}

/// Unpacks packages of this machine's release into `folder/root`, so that nothing they would set up or
/// start is.
pub(crate) async fn unpack_own(folder: &Path, packages: &[&str]) -> Result<()> {
    let archives = folder.join("archives");
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    judges::make_folder(&archives)?;
    run_with_retries(as_root("apt-get")?.arg("update")).await?;
    run_with_retries(
        Command::new("apt-get")
            .arg("download")
            .args(packages)
            .current_dir(&archives),
    )
    .await?;
    unpack_archives(&archives, &folder.join("root")).await
}

async fn unpack_archives(archives: &Path, root: &Path) -> Result<()> {
    for archive in fs::read_dir(archives)? {
        run(Command::new("dpkg")
            .arg("-x")
            .arg(archive?.path())
            .arg(root))
        .await?;
    }
    Ok(())
}

/// The mirror that this machine is set up with: wherever it stands, it has the older releases too.
async fn mirror() -> Result<String> {
    run(Command::new("apt-get").args(["indextargets", "--format", "$(SITE)"]))
        .await?
        .lines()
        .find(|site| !site.is_empty() && !site.contains("security"))
        .map(str::to_owned)
        .ok_or_else(|| "apt-get names no mirror of Debian: is this a Debian machine?".into())
}

fn as_root(program: &str) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    Ok(command)
}

/// Whether this process has the rights of root.
#[cfg(unix)]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    // Our own entry in /proc belongs to our effective user.
    fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

/// There is no Debian here: starting `apt-get` fails, and says so.
#[cfg(not(unix))]
fn is_root() -> bool {
    true
}

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
