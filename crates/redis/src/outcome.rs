//! Why a call failed, and whether the message of a publish that failed may have been published.

use std::fmt;

use redis::RedisError;
use sockeye_pubsub::engine::{EngineError, EngineErrorKind, WasPublished};
use thiserror::Error;

/// Why a call has no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CallError {
    /// The command was never handed to a connection.
    #[error("{0}")]
    Unsent(&'static str),
    /// No answer came in time.
    #[error("no answer came in time")]
    Timeout,
    /// The connection ended, or its bytes cannot be read.
    #[error("the connection ended: {0}")]
    Ended(String),
    /// The server answered with an error.
    #[error("{0}")]
    Refused(Refusal),
    /// The answer is not one that the command can have.
    #[error("the server's answer to {0} cannot be read")]
    Malformed(&'static str),
}

/// An error with which the server answered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the server answered {code}: {text}")]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) text: String,
}

/// The first word of an error of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// Our script `publish`: the deadline is over.
    Late,
    ReadOnly,
    Loading,
    Oom,
    NoReplicas,
    MisConf,
    Moved,
    Ask,
    TryAgain,
    ClusterDown,
    MasterDown,
    NoScript,
    NoPerm,
    NoAuth,
    WrongPass,
    /// Any other.
    Other(Box<str>),
}

impl Code {
    pub(crate) fn of(word: &str) -> Self {
        let known = KNOWN.iter().find(|(known, _)| *known == word);
        known.map_or_else(|| Self::Other(word.into()), |(_, code)| code.clone())
    }

    /// Returns whether the server refused the whole request, so that nothing was written.
    fn refuses_all(&self) -> bool {
        !matches!(self, Self::WrongPass | Self::Other(_))
    }

    /// Returns whether the connection has to be opened anew: the server is a replica now, it starts, or it has lost our
    /// scripts.
    pub(crate) fn ends_link(&self) -> bool {
        matches!(self, Self::ReadOnly | Self::Loading | Self::NoScript)
    }

    fn kind(&self) -> EngineErrorKind {
        match self {
            Self::Late => EngineErrorKind::Late,
            Self::Oom => EngineErrorKind::Full,
            Self::ReadOnly
            | Self::Loading
            | Self::NoReplicas
            | Self::MisConf
            | Self::TryAgain
            | Self::ClusterDown
            | Self::MasterDown
            | Self::NoScript => EngineErrorKind::Unavailable,
            Self::Moved
            | Self::Ask
            | Self::NoPerm
            | Self::NoAuth
            | Self::WrongPass
            | Self::Other(_) => EngineErrorKind::Rejected,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = KNOWN.iter().find(|(_, code)| code == self);
        match (self, known) {
            (Self::Other(word), _) => f.write_str(word),
            (_, Some((word, _))) => f.write_str(word),
            (_, None) => Ok(()),
        }
    }
}

impl CallError {
    /// Judges an error of the `redis` crate.
    pub(crate) fn of(error: &RedisError) -> Self {
        match refusal_of(error) {
            Some(refusal) => Self::Refused(refusal),
            // The crate gives the same error whether bytes have left or not.
            None if error.is_timeout() => Self::Timeout,
            None => Self::Ended(error.to_string()),
        }
    }

    /// Returns whether the connection has to be opened anew before the next call can succeed.
    pub(crate) fn ends_link(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.code.ends_link(),
            Self::Unsent(_) | Self::Timeout | Self::Ended(_) | Self::Malformed(_) => false,
        }
    }
}

impl From<CallError> for EngineError {
    fn from(error: CallError) -> Self {
        Self {
            published: was_published(&error),
            kind: kind(&error),
            text: error.to_string(),
        }
    }
}

/// Judges whether the message of a publish that failed may have been published. A call whose command was handed to the
/// connection may have run, unless the server says that it has refused the whole of it.
pub(crate) fn was_published(error: &CallError) -> WasPublished {
    match error {
        CallError::Unsent(_) => WasPublished::No,
        CallError::Refused(refusal) if refusal.code.refuses_all() => WasPublished::No,
        CallError::Refused(_)
        | CallError::Timeout
        | CallError::Ended(_)
        | CallError::Malformed(_) => WasPublished::Maybe,
    }
}

/// Returns the kind of an engine's error.
pub(crate) fn kind(error: &CallError) -> EngineErrorKind {
    match error {
        CallError::Unsent(_) | CallError::Ended(_) => EngineErrorKind::Unavailable,
        CallError::Timeout => EngineErrorKind::Timeout,
        CallError::Refused(refusal) => refusal.code.kind(),
        CallError::Malformed(_) => EngineErrorKind::Rejected,
    }
}

/// Finds the error with which the server answered. `None` if the error is not the server's.
pub(crate) fn refusal_of(error: &RedisError) -> Option<Refusal> {
    let code = error.code()?;
    let text = error.detail().unwrap_or_default();
    let (code, text) = match code {
        "ERR" => error_in_script(text).unwrap_or((code, text)),
        code => (code, text),
    };
    // Servers add the place in the script: `TEXT script: HASH, on @user_script:9.`
    let text = match text.rsplit_once(" script: ") {
        Some((text, place)) if place.contains("@user_script:") => text,
        _ => text,
    };
    Some(Refusal {
        code: Code::of(code),
        text: text.to_owned(),
    })
}

/// Finds the code and the text of an error inside a script. Redis 6.2 hides them behind its own:
/// `ERR Error running script (call to f_HASH): @user_script:9: @user_script: 9: -OOM command not allowed`.
fn error_in_script(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("Error running script")?;
    let (_, rest) = rest.rsplit_once("@user_script:")?;
    let (_, rest) = rest.split_once(": ")?;
    let (code, text) = rest.strip_prefix('-').unwrap_or(rest).split_once(' ')?;
    let is_code = code.len() > 1 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    is_code.then_some((code, text))
}

const KNOWN: [(&str, Code); 15] = [
    ("LATE", Code::Late),
    ("READONLY", Code::ReadOnly),
    ("LOADING", Code::Loading),
    ("OOM", Code::Oom),
    ("NOREPLICAS", Code::NoReplicas),
    ("MISCONF", Code::MisConf),
    ("MOVED", Code::Moved),
    ("ASK", Code::Ask),
    ("TRYAGAIN", Code::TryAgain),
    ("CLUSTERDOWN", Code::ClusterDown),
    ("MASTERDOWN", Code::MasterDown),
    ("NOSCRIPT", Code::NoScript),
    ("NOPERM", Code::NoPerm),
    ("NOAUTH", Code::NoAuth),
    ("WRONGPASS", Code::WrongPass),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> CallError {
        CallError::Refused(Refusal {
            code: Code::of(code),
            text: "text".to_owned(),
        })
    }

    #[test]
    fn each_code_says_whether_the_message_may_have_been_published_and_whether_the_link_ends() {
        use EngineErrorKind::{Full, Late, Rejected, Unavailable};
        use WasPublished::{Maybe, No};
        for (code, published, kind, ends_link) in [
            ("LATE", No, Late, false),
            ("READONLY", No, Unavailable, true),
            ("LOADING", No, Unavailable, true),
            ("OOM", No, Full, false),
            ("NOREPLICAS", No, Unavailable, false),
            ("MISCONF", No, Unavailable, false),
            ("MOVED", No, Rejected, false),
            ("ASK", No, Rejected, false),
            ("TRYAGAIN", No, Unavailable, false),
            ("CLUSTERDOWN", No, Unavailable, false),
            ("MASTERDOWN", No, Unavailable, false),
            ("NOSCRIPT", No, Unavailable, true),
            ("NOPERM", No, Rejected, false),
            ("NOAUTH", No, Rejected, false),
            ("WRONGPASS", Maybe, Rejected, false),
            ("ERR", Maybe, Rejected, false),
            ("WRONGTYPE", Maybe, Rejected, false),
            ("BUSY", Maybe, Rejected, false),
            ("UNBLOCKED", Maybe, Rejected, false),
        ] {
            let error = refused(code);
            assert_eq!(was_published(&error), published, "{code}");
            assert_eq!(super::kind(&error), kind, "{code}");
            assert_eq!(error.ends_link(), ends_link, "{code}");
            assert_eq!(
                error.to_string(),
                format!("the server answered {code}: text")
            );
        }
    }

    #[test]
    fn only_a_command_that_was_never_handed_over_is_certainly_not_published() {
        use EngineErrorKind::{Rejected, Timeout, Unavailable};
        use WasPublished::{Maybe, No};
        for (error, published, kind) in [
            (CallError::Unsent("the link is down"), No, Unavailable),
            (CallError::Timeout, Maybe, Timeout),
            (
                CallError::Ended("broken pipe".to_owned()),
                Maybe,
                Unavailable,
            ),
            (CallError::Malformed("publish"), Maybe, Rejected),
        ] {
            assert_eq!(was_published(&error), published, "{error}");
            assert_eq!(super::kind(&error), kind, "{error}");
            assert!(!error.ends_link(), "{error}");
        }
    }

    #[test]
    fn the_code_of_an_error_inside_a_script_is_found_on_old_servers_too() {
        for (text, error) in [
            (
                "Error running script (call to f_bae77): @user_script:1: @user_script: 1: -READONLY You can't write",
                Some(("READONLY", "You can't write")),
            ),
            (
                "Error running script (call to f_bae77): @user_script:12: WRONGTYPE Operation against",
                Some(("WRONGTYPE", "Operation against")),
            ),
            (
                "Error running script (call to f_bae77): @user_script:1: @user_script: 1: The user executing the script",
                None,
            ),
            ("Error running script", None),
            ("unknown command", None),
        ] {
            assert_eq!(error_in_script(text), error, "{text}");
        }
    }

    #[test]
    fn the_place_in_a_script_is_left_out() {
        for (text, shown) in [
            ("no memory script: aed62c, on @user_script:29.", "no memory"),
            ("no memory script: on @user_script:29.", "no memory"),
            (
                "ACL failure in script: no rights script: on @user_script:1.",
                "ACL failure in script: no rights",
            ),
            (
                "ACL failure in script: no rights",
                "ACL failure in script: no rights",
            ),
        ] {
            let error = redis::make_extension_error("OOM".to_owned(), Some(text.to_owned()));
            assert_eq!(refusal_of(&error).unwrap().text, shown);
        }
    }
}
