//! The programs that the puppets run on, under `target/judges/peers`. Python's and Node's packages are installed by name
//! and version; Node itself is a package of Python. Tomcat's jars and nginx come from this Debian. They are unpacked and
//! not installed, so that no service starts.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::error::Result;
use crate::process::{Child, run, run_with_retries};
use crate::{debian, judges, port, python};

/// Everything that runs puppets.
pub(super) struct Tools {
    folder: PathBuf,
    node: PathBuf,
}

impl Tools {
    /// The tools, installed if need be.
    pub(super) async fn ready(folder: &Path) -> Result<Self> {
        let mut tools = Self {
            folder: folder.to_owned(),
            node: PathBuf::new(),
        };
        let stamp = folder.join("installed");
        let versions = [&PYTHON_PACKAGES[..], &NODE_PACKAGES, &DEBIAN_PACKAGES].concat();
        let is_current = fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == versions.join("\n"));
        if !is_current {
            println!("peers: installing them");
            tools.install_python().await?;
        }
        tools.node = python::find_node(&folder.join("venv")).await?;
        if !is_current {
            tools.install_node_packages().await?;
            debian::unpack_own(&folder.join("debian"), &DEBIAN_PACKAGES).await?;
            judges::write(&stamp, versions.join("\n"))?;
        }
        if run(Command::new("javac").arg("--version")).await.is_err() {
            debian::install(&["default-jdk-headless"]).await?;
        }
        tools.build_tungstenite().await?;
        judges::make_folder(&tools.puppets())?;
        for (name, source) in PUPPETS {
            judges::write(&tools.puppets().join(name), source)?;
        }
        Ok(tools)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn python(&self, script: &str) -> Command {
        let mut command = Command::new(self.folder.join("venv/bin/python"));
        command.arg(self.puppets().join(script));
        command
    }

    pub(super) fn node(&self, script: &str) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(self.puppets().join(script));
        command
    }

    /// Node itself, without a script.
    pub(super) fn bare_node(&self) -> Command {
        Command::new(&self.node)
    }

    pub(super) fn bokeh(&self) -> Command {
        Command::new(self.folder.join("venv/bin/bokeh"))
    }

    /// Mosquitto, with the libraries that are unpacked beside it.
    pub(super) fn mosquitto(&self) -> Result<Command> {
        let root = self.debian();
        let mut libraries = Vec::new();
        for parent in ["lib", "usr/lib"] {
            let parent = root.join(parent);
            let entries = fs::read_dir(&parent)
                .map_err(|error| format!("cannot read {}: {error}", parent.display()))?;
            for entry in entries {
                let folder = entry?.path();
                if folder.to_string_lossy().ends_with("-linux-gnu") {
                    libraries.push(folder.display().to_string());
                }
            }
        }
        let mut command = Command::new(root.join("usr/sbin/mosquitto"));
        command.env("LD_LIBRARY_PATH", libraries.join(":"));
        Ok(command)
    }

    pub(super) fn java(&self, source: &str) -> Command {
        let mut command = Command::new("java");
        command.arg(self.puppets().join(source));
        command
    }

    /// Tomcat's puppet, with clients that are endpoints of this kind.
    pub(super) fn tomcat_puppet(&self, clients: &str) -> Command {
        let mut command = Command::new("java");
        let jars = self.debian().join("usr/share/java");
        let jars = TOMCAT_JARS.map(|jar| jars.join(jar).display().to_string());
        command
            .args(["-cp", &jars.join(":")])
            .arg(self.puppets().join("TomcatPuppet.java"))
            .arg(clients);
        command
    }

    pub(super) fn tungstenite(&self) -> Command {
        Command::new(self.folder.join("tungstenite/release/tungstenite-puppet"))
    }

    /// An nginx that passes everything on to `upstream`.
    pub(super) async fn nginx(&self, upstream: SocketAddr) -> Result<Nginx> {
        let program = self.debian().join("usr/sbin/nginx");
        let folder = self.folder.join("nginx");
        judges::make_folder(&folder)?;
        let address = port::pick_free().await?;
        let config = folder.join("nginx.conf");
        judges::write(&config, nginx_config(&folder, address, upstream))?;
        // Said on stderr, `nginx version: nginx/1.22.1`.
        let said = Command::new(&program).arg("-v").output().await?;
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        let (_, version) = said.trim().rsplit_once('/').ok_or("nginx has no version")?;
        let mut command = Command::new(&program);
        command.arg("-e").arg("stderr").arg("-c").arg(&config);
        let mut process = Child::spawn(&mut command, &folder)?;
        port::await_listener(address, &mut process).await?;
        Ok(Nginx {
            address,
            version: version.to_owned(),
            _process: process,
        })
    }

    async fn install_python(&self) -> Result<()> {
        python::install(&self.folder.join("venv"), &PYTHON_PACKAGES).await
    }

    async fn install_node_packages(&self) -> Result<()> {
        let npm = "../lib/node_modules/npm/bin/npm-cli.js";
        let npm = self.node.parent().ok_or("Node in no folder")?.join(npm);
        run_with_retries(
            Command::new(&self.node)
                .arg(npm)
                .args(["install", "--no-audit", "--no-fund", "--prefix"])
                .arg(&self.folder)
                .args(NODE_PACKAGES),
        )
        .await?;
        Ok(())
    }

    async fn build_tungstenite(&self) -> Result<()> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tungstenite/Cargo.toml");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        run_with_retries(
            Command::new(cargo)
                .args(["build", "--release", "--locked", "--manifest-path"])
                .arg(manifest)
                .arg("--target-dir")
                .arg(self.folder.join("tungstenite")),
        )
        .await?;
        Ok(())
    }

    /// What is unpacked of Debian's packages.
    pub(super) fn debian(&self) -> PathBuf {
        self.folder.join("debian/root")
    }

    /// Beside `node_modules`, where Node looks for packages.
    fn puppets(&self) -> PathBuf {
        self.folder.join("puppets")
    }
}

/// A running nginx; it ends with this value.
pub(super) struct Nginx {
    address: SocketAddr,
    version: String,
    _process: Child,
}

impl Nginx {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }
}

/// The lines that nginx's manual gives for WebSocket; one process, and all its files in `folder`.
fn nginx_config(folder: &Path, address: SocketAddr, upstream: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
master_process off;
pid {folder}/pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {address};
        location / {{
            proxy_pass http://{upstream};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection \"upgrade\";
        }}
    }}
}}
"
    )
}

const PUPPETS: [(&str, &str); 9] = [
    ("puppet.py", include_str!("puppets/puppet.py")),
    (
        "websockets_puppet.py",
        include_str!("puppets/websockets_puppet.py"),
    ),
    (
        "aiohttp_puppet.py",
        include_str!("puppets/aiohttp_puppet.py"),
    ),
    (
        "tornado_puppet.py",
        include_str!("puppets/tornado_puppet.py"),
    ),
    ("puppet.js", include_str!("puppets/puppet.js")),
    ("ws_puppet.js", include_str!("puppets/ws_puppet.js")),
    ("native_puppet.js", include_str!("puppets/native_puppet.js")),
    ("JavaPuppet.java", include_str!("puppets/JavaPuppet.java")),
    (
        "TomcatPuppet.java",
        include_str!("puppets/TomcatPuppet.java"),
    ),
];
const PYTHON_PACKAGES: [&str; 5] = [
    "websockets==17.4",
    "aiohttp==3.14.5",
    "tornado==6.6.1",
    "bokeh==3.9.2",
    python::NODE,
];
const NODE_PACKAGES: [&str; 1] = ["ws@8.23.0"];
/// Mosquitto's libraries are beside it: most machines lack them.
const DEBIAN_PACKAGES: [&str; 11] = [
    "libcjson1",
    "libdlt2",
    "libnsl2",
    "libtirpc3",
    "libtomcat10-embed-java",
    "libtomcat10-java",
    "libwrap0",
    "mosquitto",
    "nginx",
    "tomcat10-common",
    "tomcat10-examples",
];
const TOMCAT_JARS: [&str; 4] = [
    "tomcat10-annotations-api.jar",
    "tomcat10-embed-core.jar",
    "tomcat10-embed-el.jar",
    "tomcat10-embed-websocket.jar",
];
