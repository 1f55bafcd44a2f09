//! The proxies themselves: Debian's packages, unpacked under `target/judges/proxies` and not installed, so that
//! no service starts. Each wants a user and a password, so that who gets through was let through.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::error::Result;
use crate::process::Child;
use crate::{debian, judges, port};

/// Where the proxies are.
pub(super) struct Programs {
    folder: PathBuf,
}

/// A running proxy; it ends with this value.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    process: Child,
}

impl Programs {
    /// The programs, unpacked if need be.
    pub(super) async fn ready(folder: &Path) -> Result<Self> {
        let stamp = folder.join("installed");
        let packages = PACKAGES.join("\n");
        if !fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == packages) {
            println!("proxies: unpacking them");
            debian::unpack_own(&folder.join("debian"), &PACKAGES).await?;
            judges::write(&stamp, packages)?;
        }
        let folder = folder.to_owned();
        Ok(Self { folder })
    }

    /// HTTP's CONNECT.
    pub(super) async fn tinyproxy(&self) -> Result<Running> {
        let address = port::pick_free().await?;
        let (ip, port) = (address.ip(), address.port());
        let config = self.folder.join("tinyproxy.conf");
        let lines = format!(
            "Port {port}\nListen {ip}\nAllow {ip}\nTimeout 60\nBasicAuth {USER} {PASSWORD}\n"
        );
        judges::write(&config, lines)?;
        let mut command = Command::new(self.program("tinyproxy"));
        self.run(command.arg("-d").arg("-c").arg(config), address)
            .await
    }

    /// SOCKS5.
    pub(super) async fn microsocks(&self) -> Result<Running> {
        let address = port::pick_free().await?;
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let mut command = Command::new(self.program("microsocks"));
        let listen = command.args(["-i", &ip, "-p", &port]);
        self.run(listen.args(["-u", USER, "-P", PASSWORD]), address)
            .await
    }

    fn program(&self, name: &str) -> PathBuf {
        self.folder.join("debian/root/usr/bin").join(name)
    }

    async fn run(&self, command: &mut Command, address: SocketAddr) -> Result<Running> {
        let mut process = Child::spawn(command, &self.folder)?;
        port::await_listener(address, &mut process).await?;
        Ok(Running { address, process })
    }
}

impl Running {
    /// Fails when it has ended, with its last words.
    pub(super) fn check_running(&mut self) -> Result<()> {
        self.process.check_running()
    }
}

pub(super) const USER: &str = "salmon";
pub(super) const PASSWORD: &str = "upstream";
const PACKAGES: [&str; 2] = ["microsocks", "tinyproxy-bin"];
