//! The servers: each an echo as its library's users write it, in the best honest form that its interface has.

mod fastwebsockets;
mod raw;
mod sockeye;
mod tokio_websockets;
mod tungstenite;

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;

use tokio::net::{TcpListener, TcpStream};

use crate::Result;

/// What a server is to do, and how: the same for all that can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Setting {
    #[arg(long, value_enum, default_value_t)]
    pub(crate) job: Job,
    /// Compress messages, at this level of zlib's
    #[arg(long, value_name = "LEVEL")]
    pub(crate) deflate: Option<u32>,
    /// With context takeover in both directions; else without in either
    #[arg(long, requires = "deflate")]
    pub(crate) takeover: bool,
    /// Speak TLS, with a certificate made at the start
    #[arg(long)]
    pub(crate) tls: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Job {
    /// Each message goes back to who sent it
    #[default]
    Echo,
    /// Each message that comes on a connection to `/publish` goes to all connections to `/subscribe`
    FanOut,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    name: String,
    #[command(flatten)]
    setting: Setting,
}

/// A server that can be measured.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    supports: fn(&Setting) -> bool,
    serve: fn(&Setting) -> Result<()>,
}

impl Server {
    /// Whether it echoes bytes alone: the floor that the others stand on.
    pub(crate) fn is_raw(&self) -> bool {
        self.name.starts_with("raw")
    }

    /// Whether it can do that at all.
    pub(crate) fn supports(&self, setting: &Setting) -> bool {
        (self.supports)(setting)
    }

    /// Gets what it needs.
    pub(crate) fn install(&self) -> Result<()> {
        Ok(())
    }

    /// The version of its library.
    pub(crate) fn version(&self) -> String {
        String::new()
    }

    /// What has to be known of it to read its figures.
    pub(crate) fn note(&self) -> &'static str {
        ""
    }

    /// What runs it, in a process of its own whose first line on stdout is its address.
    pub(crate) fn command(&self, setting: &Setting) -> Result<Command> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(own);
        command.args(["serve", self.name]).args(setting.arguments());
        Ok(command)
    }
}

impl Setting {
    fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if self.job == Job::FanOut {
            arguments.extend(["--job", "fan-out"].map(str::to_owned));
        }
        if let Some(level) = self.deflate {
            arguments.push(format!("--deflate={level}"));
        }
        if self.takeover {
            arguments.push("--takeover".to_owned());
        }
        if self.tls {
            arguments.push("--tls".to_owned());
        }
        arguments
    }

    /// Whether it asks for nothing but an echo.
    fn is_plain_echo(&self) -> bool {
        self.job == Job::Echo && self.deflate.is_none() && !self.tls
    }
}

pub(crate) const ALL: &[Server] = &[
    Server {
        name: "raw-epoll",
        supports: Setting::is_plain_echo,
        serve: |_| raw::epoll(),
    },
    Server {
        name: "raw-tokio",
        supports: Setting::is_plain_echo,
        serve: |_| raw::tokio(),
    },
    Server {
        name: "sockeye-endpoint",
        supports: Setting::is_plain_echo,
        serve: |_| sockeye::endpoint(),
    },
    Server {
        name: "sockeye-endpoint-threads",
        supports: Setting::is_plain_echo,
        serve: |_| sockeye::endpoint_on_threads(),
    },
    Server {
        name: "sockeye-connection",
        supports: Setting::is_plain_echo,
        serve: |_| sockeye::connection(),
    },
    Server {
        name: "tokio-tungstenite",
        supports: Setting::is_plain_echo,
        serve: |_| tungstenite::batched(),
    },
    Server {
        name: "tokio-tungstenite-send",
        supports: Setting::is_plain_echo,
        serve: |_| tungstenite::plain(),
    },
    Server {
        name: "fastwebsockets",
        supports: Setting::is_plain_echo,
        serve: |_| fastwebsockets::serve(),
    },
    Server {
        name: "tokio-websockets",
        supports: Setting::is_plain_echo,
        serve: |_| tokio_websockets::batched(),
    },
];

pub(crate) fn serve(options: &Options) -> Result<()> {
    let server = ALL.iter().find(|server| server.name == options.name);
    let server = server.ok_or_else(|| format!("no server is called `{}`", options.name))?;
    (server.serve)(&options.setting)
}

/// Whoever started this waits for the line.
fn announce(addr: SocketAddr) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{addr}")
        .and_then(|()| stdout.flush())
        .map_err(|error| error.to_string())
}

/// Runs a server on one thread.
fn block_on(serving: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(serving)
}

/// Accepts for ever, each connection in a task of its own. What ends a connection is none of ours.
async fn accept<F>(serve: impl Fn(TcpStream) -> F) -> Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| error.to_string())?;
    announce(listener.local_addr().map_err(|error| error.to_string())?)?;
    loop {
        let (tcp, _) = listener.accept().await.map_err(|error| error.to_string())?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        tokio::spawn(serve(tcp));
    }
}
