//! The reasons for which a talk fails, and their exit codes.

use std::fmt::{self, Write};
use std::io;

use bytes::Bytes;
use http::Response;
use sockeye::client::{ConnectError, ProxyError};
use sockeye::error::ErrorChain;
use sockeye::proto::handshake::OfferError;
use sockeye::reconnect::topics::RequestError;
use sockeye::tls::TlsError;
use sockeye::{CloseReason, Error};

use super::credential::CredentialError;
use super::form::Refusal;
use super::hidden;
use super::input::InputError;
use super::record::RecordError;
use crate::escape::Escaped;
use crate::exit::Exit;

/// The reason for which a talk failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server closed the connection with a code that is not a normal one.
    Closed(CloseReason),
    /// The connection could not be opened.
    Connect(ConnectError),
    Credential(CredentialError),
    Input(InputError),
    /// The connection ended out of order.
    Lost(Error),
    /// A message of the command line is refused.
    Message(Refusal),
    Output(io::Error),
    /// The value of `--proxy` is not a proxy URL.
    Proxy(ProxyError),
    Record(RecordError),
    Signals(io::Error),
    /// The server does not speak the subprotocol of topics, or broke a rule of it.
    Subprotocol(CloseReason),
    /// The client of topics does not take a subscription or a message.
    Topic(String, RequestError),
    /// The certificates or the key cannot be used.
    Tls(TlsError),
    /// The peer ended without an answer to the Close, or did not answer in time.
    Unanswered,
    /// Number of message bytes that stdout did not accept in time.
    Unread(usize),
    /// The server ended all subscriptions.
    Unsubscribed,
}

impl Failure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Connect(ConnectError::Refused(_)) => Exit::Refused,
            Self::Connect(
                ConnectError::Offer(_) | ConnectError::Url(_) | ConnectError::WebSocketUri(_),
            )
            | Self::Credential(CredentialError::NoColon | CredentialError::Token)
            | Self::Message(_)
            | Self::Proxy(_)
            | Self::Topic(..) => Exit::Usage,
            Self::Connect(_)
            | Self::Credential(_)
            | Self::Input(_)
            | Self::Output(_)
            | Self::Record(_)
            | Self::Signals(_)
            | Self::Tls(_)
            | Self::Unread(_) => Exit::Failed,
            Self::Closed(_) | Self::Lost(_) | Self::Subprotocol(_) | Self::Unanswered => {
                Exit::Abnormal
            }
            Self::Unsubscribed => Exit::Unmet,
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(reason) => write!(f, "closed: {}", Escaped(&reason.to_string())),
            Self::Connect(ConnectError::Refused(response)) => {
                f.write_str("the server refused the handshake; its response:\n\n")?;
                write_response(f, response)
            }
            // The rejected name may be a secret token.
            Self::Connect(ConnectError::Offer(OfferError::SubprotocolNotAToken(name))) => write!(
                f,
                "the subprotocol {:?} is not a token: visible ASCII characters, no separators",
                hidden::subprotocols(name)
            ),
            Self::Connect(error) => {
                // The error may quote the peer.
                Escaped(&ErrorChain::new(error).to_string()).fmt(f)
            }
            Self::Credential(error) => error.fmt(f),
            Self::Input(error) => error.fmt(f),
            Self::Lost(error) => write!(f, "connection lost: {}", ErrorChain::new(error)),
            Self::Message(refusal) => write!(f, "a --message {refusal}"),
            Self::Output(error) => write!(f, "cannot write to stdout: {error}"),
            Self::Proxy(error) => ErrorChain::new(error).fmt(f),
            Self::Record(error) => error.fmt(f),
            Self::Signals(error) => write!(f, "cannot start: {error}"),
            Self::Subprotocol(reason) => f.write_str(reason.reason()),
            Self::Topic(topic, error) => write!(f, "{}: {error}", Escaped(topic)),
            Self::Tls(error) => ErrorChain::new(error).fmt(f),
            Self::Unanswered => f.write_str("the server did not answer the Close"),
            Self::Unsubscribed => f.write_str("the server ended all subscriptions"),
            Self::Unread(bytes) => write!(
                f,
                "cannot write to stdout: its reader does not read; {bytes} bytes of messages are lost"
            ),
        }
    }
}

/// Writes the head of a response, and the start of its body.
fn write_response(f: &mut fmt::Formatter<'_>, response: &Response<Bytes>) -> fmt::Result {
    write!(f, "{:?} {}", response.version(), response.status())?;
    for (name, value) in response.headers() {
        let value = hidden::value(name, value);
        write!(f, "\n{name}: {}", Escaped(&value))?;
    }
    let body = response.body();
    let start = body.get(..MAX_BODY).unwrap_or(body);
    if start.is_empty() {
        return Ok(());
    }
    f.write_char('\n')?;
    for line in String::from_utf8_lossy(start).lines() {
        write!(f, "\n{}", Escaped(line))?;
    }
    if start.len() < body.len() {
        f.write_str("\n...")?;
    }
    Ok(())
}

/// The number of bytes that are shown of a refusal's body.
const MAX_BODY: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_shown_with_its_status_its_fields_and_the_start_of_its_body() {
        let response = Response::builder()
            .status(403)
            .header("x-why", &b"no\tway \xff"[..])
            .body(Bytes::from("<h1>\u{1b}[31mno</h1>\n".repeat(100)))
            .expect("a response");
        let failure = Failure::from(ConnectError::Refused(Box::new(response)));
        let text = failure.to_string();
        let expected = "the server refused the handshake; its response:\n\nHTTP/1.1 403 Forbidden\n\
                        x-why: no\\tway \u{fffd}\n\n<h1>\\u{1b}[31mno</h1>\n";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("\n..."), "{text}");
        assert!(text.len() < 2000);
        assert_eq!(failure.exit(), Exit::Refused);
    }
}
