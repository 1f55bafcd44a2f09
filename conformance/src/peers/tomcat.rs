//! Debian's Tomcat with the examples that come with it, in a folder of its own (`CATALINA_BASE`).

use std::fs;
use std::net::SocketAddr;

use tokio::process::Command;

use crate::error::Result;
use crate::process::{Child, run};
use crate::{judges, port};

use super::install::Tools;

/// A running Tomcat; it ends with this value.
pub(super) struct Tomcat {
    address: SocketAddr,
    version: String,
    process: Child,
}

impl Tomcat {
    pub(super) async fn start(tools: &Tools) -> Result<Self> {
        let share = tools.debian().join("usr/share");
        let base = tools.folder().join("tomcat");
        if base.exists() {
            fs::remove_dir_all(&base)?;
        }
        for folder in ["conf", "logs", "temp", "webapps"] {
            judges::make_folder(&base.join(folder))?;
        }
        judges::write(&base.join("conf/server.xml"), SERVER)?;
        judges::write(&base.join("conf/web.xml"), WEB)?;
        let address = port::pick_free().await?;
        let home = share.join("tomcat10");
        let property = |name: &str, value: String| format!("-D{name}={value}");
        let path = |path: std::path::PathBuf| path.display().to_string();
        let jars = ["bootstrap.jar", "tomcat-juli.jar"].map(|jar| path(home.join("bin").join(jar)));
        let mut command = Command::new("java");
        command
            .args(["-cp", &jars.join(":")])
            .arg(property("catalina.home", path(home.clone())))
            .arg(property("catalina.base", path(base.clone())))
            .arg(property("java.io.tmpdir", path(base.join("temp"))))
            .arg(property("judge.port", address.port().to_string()))
            .arg(property(
                "judge.examples",
                path(share.join("tomcat10-examples/examples")),
            ))
            .args(["org.apache.catalina.startup.Bootstrap", "start"]);
        let mut process = Child::spawn(&mut command, &base)?;
        port::await_listener(address, &mut process).await?;
        let catalina = path(home.join("lib/catalina.jar"));
        let said = run(Command::new("java").args([
            "-cp",
            &catalina,
            "org.apache.catalina.util.ServerInfo",
        ]))
        .await?;
        let number = said
            .lines()
            .find_map(|line| line.strip_prefix("Server number:"));
        Ok(Self {
            address,
            version: number.ok_or("Tomcat has no version")?.trim().to_owned(),
            process,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Asks it to stop, as a system does that shuts down.
    pub(super) async fn stop(&self) -> Result<()> {
        let id = self.process.id().ok_or("Tomcat has ended by itself")?;
        run(Command::new("kill").args(["-TERM", &id.to_string()])).await?;
        Ok(())
    }
}

const SERVER: &str = include_str!("tomcat/server.xml");
const WEB: &str = include_str!("tomcat/web.xml");
