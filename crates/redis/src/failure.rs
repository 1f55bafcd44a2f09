//! Why a connection to the server does not open, and what to change then.

use sockeye_pubsub::engine::{EngineError, EngineErrorKind, WasPublished};
use thiserror::Error;

use crate::outcome::{Code, Refusal};

/// Why a connection did not open. The text names what to change.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ConnectError {
    /// The server cannot be reached.
    #[error("cannot connect to {server}: {reason}")]
    Unreachable { server: String, reason: String },
    /// The server does not know the user, or the password is wrong.
    #[error(
        "the server refused the user or the password; check both in the URL, and the server's ACL"
    )]
    WrongPassword,
    /// The server wants a password.
    #[error("the server wants a password; write it as redis://user:password@host")]
    NoPassword,
    /// The user may not run a command, or may not use the keys or channels.
    #[error(
        "the server's ACL does not let the user run {command} ({text}); allow the user `{ALLOWED}`, with PREFIX as in the URL"
    )]
    NotPermitted { command: String, text: String },
    /// The server is too old.
    #[error("the server is {found}: Redis 6.2 or Valkey 7.2 or later is needed")]
    TooOld { found: String },
    /// The server is a sentinel, or a node of a cluster.
    #[error("the server is {0}, which is not supported yet: use one standalone server")]
    ManyServers(&'static str),
    /// The server is a replica.
    #[error("the server is a replica; use the address of its primary")]
    Replica,
    /// The server would drop keys when its memory is full.
    #[error(
        "the server's maxmemory-policy is `{0}`, so it may drop history; run CONFIG SET maxmemory-policy noeviction"
    )]
    Eviction(String),
    /// The server refused a command.
    #[error("the server refused {command}: {text}")]
    Refused { command: String, text: String },
    /// The server answers in a way that no supported server does.
    #[error("the server's answer to {0} cannot be read")]
    Malformed(&'static str),
}

/// The permissions that the engine needs, in this order.
pub(crate) const ALLOWED: &str = "~PREFIX:* &PREFIX:* -@all +@connection +@pubsub +@scripting +@read +@write -@dangerous +role +time";

impl ConnectError {
    /// Makes the error of a login that was refused.
    pub(crate) fn of_login(refusal: Refusal) -> Self {
        match refusal.code {
            Code::WrongPass => Self::WrongPassword,
            Code::NoAuth => Self::NoPassword,
            _ if refusal.text.contains("unknown command") => Self::too_old("a version before 6.0"),
            _ => Self::of_setup("HELLO or SELECT", refusal),
        }
    }

    /// Makes the error of a command that sets up a connection.
    pub(crate) fn of_setup(command: &'static str, refusal: Refusal) -> Self {
        let Refusal { code, text } = refusal;
        let command = command.to_owned();
        // Inside a script, servers answer a lack of permission with the code ERR.
        let is_acl = ["ACL failure", "user executing the script", "no permissions"]
            .iter()
            .any(|words| text.contains(words));
        match code {
            Code::NoPerm => Self::NotPermitted { command, text },
            _ if is_acl => Self::NotPermitted { command, text },
            Code::ReadOnly => Self::Replica,
            code => Self::Refused {
                command,
                text: format!("{code} {text}"),
            },
        }
    }

    pub(crate) fn too_old(found: impl Into<String>) -> Self {
        Self::TooOld {
            found: found.into(),
        }
    }

    /// Returns whether an operator has to change the URL or the server before a connection can open. Otherwise a later
    /// attempt may succeed.
    pub(crate) fn is_mistake(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Refused { .. } | Self::Malformed(_) => false,
            // A replica may become the primary.
            Self::Replica => false,
            Self::WrongPassword
            | Self::NoPassword
            | Self::NotPermitted { .. }
            | Self::TooOld { .. }
            | Self::ManyServers(_)
            | Self::Eviction(_) => true,
        }
    }
}

impl From<ConnectError> for EngineError {
    fn from(error: ConnectError) -> Self {
        Self {
            published: WasPublished::No,
            kind: if error.is_mistake() {
                EngineErrorKind::Rejected
            } else {
                EngineErrorKind::Unavailable
            },
            text: error.to_string(),
        }
    }
}
