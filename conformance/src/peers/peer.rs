//! The list of peers: which library, which roles it is tried in, how its puppet is started.

use tokio::process::Command;

use super::install::Tools;
use crate::inside::Host;

/// A foreign library with its puppet.
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) roles: &'static [Role],
    /// Whether the peer connects to something that passes everything on.
    pub(super) through: Option<Proxy>,
    /// The server of others in which Sockeye's end is, instead of its own.
    pub(super) inside: Option<Host>,
    /// Whether it compresses what it sends, once that is agreed on.
    pub(super) compresses: bool,
    /// How many sets of parameters are agreed on when the peer demands, and when Sockeye does; in the
    /// order of `roles`. That fewer are agreed on than yesterday is a fault, even if all goes well.
    pub(super) agreements: &'static [[usize; 2]],
    puppet: Program,
}

/// The part that Sockeye plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// What may stand between a peer and Sockeye.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proxy {
    Nginx,
}

/// What runs a puppet.
enum Program {
    Java(&'static str),
    /// Which endpoints its clients are.
    Tomcat(&'static str),
    Node(&'static str),
    Python(&'static str),
    Tungstenite,
}

impl Peer {
    /// What starts its puppet.
    pub(super) fn command(&self, tools: &Tools) -> Command {
        match self.puppet {
            Program::Java(source) => tools.java(source),
            Program::Tomcat(clients) => tools.tomcat_puppet(clients),
            Program::Node(script) => tools.node(script),
            Program::Python(script) => tools.python(script),
            Program::Tungstenite => tools.tungstenite(),
        }
    }

    /// How many agreements there have to be in this role.
    pub(super) fn agreements_as(&self, role: Role) -> [usize; 2] {
        let at = self.roles.iter().position(|known| *known == role);
        at.and_then(|at| self.agreements.get(at))
            .copied()
            .unwrap_or_default()
    }
}

const BOTH: &[Role] = &[Role::Server, Role::Client];

pub(super) const PEERS: &[Peer] = &[
    Peer {
        name: "Python websockets",
        roles: BOTH,
        through: None,
        inside: None,
        compresses: true,
        agreements: &[[224, 224], [224, 224]],
        puppet: Program::Python("websockets_puppet.py"),
    },
    Peer {
        name: "Python websockets",
        roles: &[Role::Server],
        through: Some(Proxy::Nginx),
        inside: None,
        compresses: true,
        agreements: &[[224, 224]],
        puppet: Program::Python("websockets_puppet.py"),
    },
    Peer {
        name: "Python aiohttp",
        roles: BOTH,
        through: None,
        inside: None,
        compresses: true,
        agreements: &[[7, 224], [0, 224]],
        puppet: Program::Python("aiohttp_puppet.py"),
    },
    Peer {
        name: "Python tornado",
        roles: BOTH,
        through: None,
        inside: None,
        compresses: true,
        agreements: &[[0, 224], [0, 224]],
        puppet: Program::Python("tornado_puppet.py"),
    },
    Peer {
        name: "Node ws",
        roles: BOTH,
        through: None,
        inside: None,
        compresses: true,
        agreements: &[[256, 256], [256, 256]],
        puppet: Program::Node("ws_puppet.js"),
    },
    Peer {
        name: "Node ws",
        roles: &[Role::Server],
        through: None,
        inside: Some(Host::Axum),
        compresses: true,
        agreements: &[[256, 256]],
        puppet: Program::Node("ws_puppet.js"),
    },
    Peer {
        name: "Node ws",
        roles: &[Role::Server],
        through: None,
        inside: Some(Host::Hyper),
        compresses: true,
        agreements: &[[256, 256]],
        puppet: Program::Node("ws_puppet.js"),
    },
    Peer {
        name: "Node's WebSocket",
        roles: &[Role::Server],
        through: None,
        inside: None,
        compresses: false,
        agreements: &[[0, 256]],
        puppet: Program::Node("native_puppet.js"),
    },
    Peer {
        name: "tokio-tungstenite",
        roles: BOTH,
        through: None,
        inside: None,
        compresses: false,
        agreements: &[[0, 0], [0, 0]],
        puppet: Program::Tungstenite,
    },
    Peer {
        name: "Java's HttpClient",
        roles: &[Role::Server],
        through: None,
        inside: None,
        compresses: false,
        agreements: &[[0, 0]],
        puppet: Program::Java("JavaPuppet.java"),
    },
    Peer {
        name: "Tomcat's programmatic endpoint",
        roles: BOTH,
        through: None,
        inside: None,
        compresses: true,
        agreements: &[[32, 32], [0, 32]],
        puppet: Program::Tomcat("programmatic"),
    },
    Peer {
        name: "Tomcat's annotated endpoint",
        roles: &[Role::Server],
        through: None,
        inside: None,
        compresses: false,
        agreements: &[[0, 0]],
        puppet: Program::Tomcat("annotated"),
    },
];
