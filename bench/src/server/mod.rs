//! The servers. Each is written as its library's users write servers, in the best honest form that the interface allows.
//! A server `…-send` has the form of the library's own example, where that differs.

mod actix;
mod axum;
mod fastwebsockets;
mod foreign;
pub(crate) mod lock;
mod raw;
mod sockeye;
mod sockudo;
mod task;
mod tls;
mod tokio_websockets;
mod tungstenite;
mod yawc;

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rlimit::Resource;

use self::foreign::Foreign;
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
    /// Publish to this many topics in turn: a connection to `/subscribe/N` subscribes to topic N alone
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) topics: Option<u8>,
    /// Share the topics with the other nodes at the same Redis server
    #[arg(long, value_enum, requires = "topics", requires = "redis")]
    pub(crate) shared: Option<Shared>,
    /// The address of that server
    #[arg(long, value_name = "ADDR")]
    pub(crate) redis: Option<SocketAddr>,
    /// Let clients of Sockeye's subprotocol subscribe at `/topics`
    #[arg(long)]
    pub(crate) subprotocol: bool,
}

/// What is kept of the messages of shared topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shared {
    /// Nothing
    Live,
    /// The last 100 of each topic
    Window,
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
    program: Program,
    note: &'static str,
}

/// What a server understands, and what it sends for a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Dialect {
    /// Messages in frames, after the opening handshake
    #[default]
    WebSocket,
    /// Bytes alone: neither HTTP nor WebSocket
    Raw,
    /// Events of Socket.IO, in text messages
    SocketIo,
}

impl Dialect {
    /// The options by which the load is told of it.
    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::WebSocket => &[],
            Self::Raw => &["--dialect=raw"],
            Self::SocketIo => &["--dialect=socket-io"],
        }
    }
}

/// What a server runs as.
enum Program {
    /// As this program again, with a library that `Cargo.lock` has.
    Own {
        library: &'static str,
        serve: fn(&Setting) -> Result<()>,
    },
    /// As a foreign program, which has to be built or installed first.
    Foreign(&'static Foreign),
}

impl Server {
    /// Whether it echoes bytes alone: the floor that the others stand on.
    pub(crate) fn is_raw(&self) -> bool {
        self.name.starts_with("raw")
    }

    /// How the load has to speak to it.
    pub(crate) fn dialect(&self) -> Dialect {
        match self.name {
            "socket-io" => Dialect::SocketIo,
            _ if self.is_raw() => Dialect::Raw,
            _ => Dialect::WebSocket,
        }
    }

    /// Whether it is made of Sockeye.
    pub(crate) fn is_sockeye(&self) -> bool {
        let Program::Own { library, .. } = &self.program else {
            return false;
        };
        *library == "sockeye"
    }

    /// Whether it can do that at all.
    pub(crate) fn supports(&self, setting: &Setting) -> bool {
        let has_topics = setting.topics.is_none() || WITH_TOPICS.contains(&self.name);
        let shares = setting.shared.is_none() || SHARING.contains(&self.name);
        let speaks = !setting.subprotocol || self.name == "sockeye-endpoint";
        has_topics && shares && speaks && (self.supports)(setting)
    }

    /// Sees that what it runs on is there; that may take a minute the first time, and nothing after.
    pub(crate) fn install(&self) -> Result<()> {
        match &self.program {
            Program::Own { .. } => Ok(()),
            Program::Foreign(foreign) => foreign.install(),
        }
    }

    /// The library that it is made of, and its version.
    pub(crate) fn version(&self) -> String {
        match &self.program {
            Program::Own { library, .. } => lock::version(library),
            Program::Foreign(foreign) => foreign.version(),
        }
    }

    /// What a reader of its figures should know; empty when there is nothing.
    pub(crate) fn note(&self) -> &'static str {
        self.note
    }

    /// The command that runs the server in a process of its own. The first line on stdout is the server's address. The
    /// command needs no environment, so a caller may put another program before it.
    pub(crate) fn command(&self, setting: &Setting) -> Result<Command> {
        // A child inherits the limit, whatever it runs on.
        raise_descriptors();
        match &self.program {
            Program::Own { .. } => {
                let own = std::env::current_exe().map_err(|error| error.to_string())?;
                let mut command = Command::new(own);
                command.args(["serve", self.name]).args(setting.arguments());
                Ok(command)
            }
            Program::Foreign(foreign) => foreign.command(setting),
        }
    }
}

impl Setting {
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if self.job == Job::FanOut {
            arguments.push("--job=fan-out".to_owned());
        }
        if let Some(level) = self.deflate {
            arguments.push(format!("--deflate={level}"));
        }
        if let Some(topics) = self.topics {
            arguments.push(format!("--topics={topics}"));
        }
        match self.shared {
            None => {}
            Some(Shared::Live) => arguments.push("--shared=live".to_owned()),
            Some(Shared::Window) => arguments.push("--shared=window".to_owned()),
        }
        if let Some(redis) = self.redis {
            arguments.push(format!("--redis={redis}"));
        }
        if self.subprotocol {
            arguments.push("--subprotocol".to_owned());
        }
        if self.takeover {
            arguments.push("--takeover".to_owned());
        }
        if self.tls {
            arguments.push("--tls".to_owned());
        }
        arguments
    }

    /// Whether it asks for what who has but zlib's default level can do.
    fn is_level_six(&self) -> bool {
        !self.tls && self.deflate.is_none_or(|level| level == 6)
    }

    /// Whether it asks for nothing but an echo.
    fn is_plain_echo(&self) -> bool {
        self.job == Job::Echo && self.deflate.is_none() && !self.tls
    }
}

/// The servers that publish to topics.
const WITH_TOPICS: [&str; 6] = [
    "raw-epoll",
    "sockeye-endpoint",
    "sockeye-endpoint-threads",
    "node-ws",
    "socket-io",
    "uwebsockets-bun",
];

/// The servers that share topics through a Redis server.
const SHARING: [&str; 3] = ["raw-epoll", "sockeye-endpoint", "socket-io"];

pub(crate) const ALL: &[Server] = &[
    Server {
        name: "raw-epoll",
        supports: |setting| setting.deflate.is_none() && !setting.tls,
        program: Program::Own {
            library: "mio",
            serve: raw::epoll,
        },
        note: "",
    },
    Server {
        name: "raw-tokio",
        supports: |setting| setting.job == Job::Echo && setting.deflate.is_none(),
        program: Program::Own {
            library: "tokio",
            serve: raw::tokio,
        },
        note: "",
    },
    Server {
        name: "sockeye-endpoint",
        supports: |_| true,
        program: Program::Own {
            library: "sockeye",
            serve: sockeye::endpoint,
        },
        note: "",
    },
    Server {
        name: "sockeye-endpoint-bytes",
        supports: |_| true,
        program: Program::Own {
            library: "sockeye",
            serve: sockeye::owning_endpoint,
        },
        note: "its handlers take their messages for themselves, and return them",
    },
    Server {
        name: "sockeye-endpoint-threads",
        supports: |_| true,
        program: Program::Own {
            library: "sockeye",
            serve: sockeye::endpoint_on_threads,
        },
        note: "on a runtime of several threads, as `#[tokio::main]` makes it",
    },
    Server {
        name: "sockeye-connection",
        supports: Setting::is_plain_echo,
        program: Program::Own {
            library: "sockeye",
            serve: |_| sockeye::connection(),
        },
        note: "",
    },
    Server {
        name: "sockeye-accept",
        supports: Setting::is_plain_echo,
        program: Program::Own {
            library: "sockeye",
            serve: |_| sockeye::accepted(),
        },
        note: "",
    },
    Server {
        name: "sockeye-axum",
        supports: Setting::is_plain_echo,
        program: Program::Own {
            library: "sockeye",
            serve: |_| sockeye::in_axum(),
        },
        note: "the extractor `sockeye::axum::WebSocketUpgrade`",
    },
    Server {
        name: "tokio-tungstenite",
        supports: |setting| {
            setting.deflate.is_none() && !(setting.tls && setting.job == Job::FanOut)
        },
        program: Program::Own {
            library: "tokio-tungstenite",
            serve: |setting| tungstenite::serve(setting, Form::Batched),
        },
        note: "",
    },
    Server {
        name: "tokio-tungstenite-send",
        supports: |setting| {
            setting.deflate.is_none() && !(setting.tls && setting.job == Job::FanOut)
        },
        program: Program::Own {
            library: "tokio-tungstenite",
            serve: |setting| tungstenite::serve(setting, Form::Plain),
        },
        note: "",
    },
    Server {
        name: "tokio-websockets",
        supports: |setting| setting.deflate.is_none() && !setting.tls,
        program: Program::Own {
            library: "tokio-websockets",
            serve: |setting| tokio_websockets::serve(setting, Form::Batched),
        },
        note: "",
    },
    Server {
        name: "tokio-websockets-send",
        supports: |setting| setting.deflate.is_none() && !setting.tls,
        program: Program::Own {
            library: "tokio-websockets",
            serve: |setting| tokio_websockets::serve(setting, Form::Plain),
        },
        note: "",
    },
    Server {
        name: "sockudo-ws",
        supports: |setting| !setting.tls && (setting.job == Job::Echo || setting.deflate.is_none()),
        program: Program::Own {
            library: "sockudo-ws",
            serve: |setting| sockudo::serve(setting, Form::Batched),
        },
        note: "",
    },
    Server {
        name: "sockudo-ws-send",
        supports: |setting| !setting.tls && (setting.job == Job::Echo || setting.deflate.is_none()),
        program: Program::Own {
            library: "sockudo-ws",
            serve: |setting| sockudo::serve(setting, Form::Plain),
        },
        note: "",
    },
    Server {
        name: "yawc",
        supports: |setting| setting.job == Job::Echo && !setting.tls,
        program: Program::Own {
            library: "yawc",
            serve: |setting| yawc::serve(setting, Form::Batched),
        },
        note: "",
    },
    Server {
        name: "yawc-send",
        supports: |setting| setting.job == Job::Echo && !setting.tls,
        program: Program::Own {
            library: "yawc",
            serve: |setting| yawc::serve(setting, Form::Plain),
        },
        note: "",
    },
    Server {
        name: "axum",
        supports: Setting::is_plain_echo,
        program: Program::Own {
            library: "axum",
            serve: |_| axum::serve(Form::Batched),
        },
        note: "",
    },
    Server {
        name: "axum-send",
        supports: Setting::is_plain_echo,
        program: Program::Own {
            library: "axum",
            serve: |_| axum::serve(Form::Plain),
        },
        note: "",
    },
    Server {
        name: "actix-ws",
        supports: Setting::is_plain_echo,
        program: Program::Own {
            library: "actix-ws",
            serve: |_| actix::serve(),
        },
        note: "",
    },
    Server {
        name: "fastwebsockets",
        supports: |setting| setting.deflate.is_none() && !setting.tls,
        program: Program::Own {
            library: "fastwebsockets",
            serve: fastwebsockets::serve,
        },
        note: "",
    },
    Server {
        name: "node-ws",
        supports: |setting| !setting.tls,
        program: Program::Foreign(&foreign::WS),
        note: "zlib runs on threads of Node's",
    },
    Server {
        name: "socket-io",
        supports: |setting| setting.topics.is_some() && setting.deflate.is_none() && !setting.tls,
        program: Program::Foreign(&foreign::SOCKET_IO),
        note: "its rooms; its messages are events, 10 B longer; nodes share them by its Redis adapter, without a history",
    },
    Server {
        name: "uwebsockets-bun",
        supports: Setting::is_level_six,
        program: Program::Foreign(&foreign::BUN),
        note: "informative only: the library without Bun's JavaScript costs less",
    },
    Server {
        name: "tomcat",
        supports: Setting::is_level_six,
        program: Program::Foreign(&foreign::TOMCAT),
        note: "",
    },
];

/// Sees that Redis is there, and returns its version.
pub(crate) fn install_redis() -> Result<String> {
    foreign::REDIS.install()?;
    Ok(foreign::REDIS.version())
}

/// The command that runs Redis. More arguments are lines of its configuration.
pub(crate) fn redis() -> Result<Command> {
    raise_descriptors();
    let mut command = foreign::REDIS.program()?;
    command.arg(foreign::REDIS.source_file());
    Ok(command)
}

pub(crate) fn serve(options: &Options) -> Result<()> {
    raise_descriptors();
    let server = ALL.iter().find(|server| server.name == options.name);
    let server = server.ok_or_else(|| {
        let known = ALL.iter().map(|server| {
            let (name, version, note) = (server.name, server.version(), server.note());
            format!("\n    {name:26}{version:40}{note}")
        });
        format!(
            "unknown server `{}`: expected one of{}",
            options.name,
            known.collect::<String>()
        )
    })?;
    if !server.supports(&options.setting) {
        return Err(format!("{} cannot do that", server.name));
    }
    match &server.program {
        Program::Own { serve, .. } => serve(&options.setting),
        Program::Foreign(foreign) => {
            server.install()?;
            Err(foreign.command(&options.setting)?.exec().to_string())
        }
    }
}

/// How a server sends what there is to send.
#[derive(Clone, Copy)]
enum Form {
    /// Flushed when there is nothing more to receive: the best that most interfaces offer.
    Batched,
    /// Each message by itself, as the library's own example has it.
    Plain,
}

/// Prints the address. The parent process waits for this line.
fn announce(addr: SocketAddr) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{addr}")
        .and_then(|()| stdout.flush())
        .map_err(|error| error.to_string())
}

/// Room for 20,000 connections, or for as many as the system lets us have.
fn raise_descriptors() {
    const WANTED: u64 = 32 * 1024;
    let Ok((soft, hard)) = Resource::NOFILE.get() else {
        return;
    };
    if soft >= WANTED {
        return;
    }
    // Only root may have more than the hard limit.
    if Resource::NOFILE.set(WANTED, hard.max(WANTED)).is_err() {
        let _ = rlimit::increase_nofile_limit(WANTED);
    }
}
