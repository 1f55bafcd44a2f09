//! The arguments of a [`WebSocket`](super::WebSocket)'s methods, and the errors for invalid arguments.

use sockeye_proto::handshake::OfferError;
use sockeye_proto::{CloseCode, CloseReason, InvalidCloseReason};

use crate::client::{Client, ConnectError, Target};
use crate::error::Error;

/// The arguments of [`WebSocket::close`](super::WebSocket::close): nothing (`()`), a code, a reason, or both.
#[derive(Clone, Debug, Default)]
pub struct CloseArgs {
    code: Option<u16>,
    reason: String,
}

impl CloseArgs {
    /// Checks the arguments. As in WHATWG the code comes first, and the reason is checked with or without a code.
    pub(super) fn into_reason(self) -> Result<CloseReason, CloseError> {
        if let Some(code) = self.code
            && code != CloseCode::NORMAL.get()
            && !(3000..=4999).contains(&code)
        {
            return Err(CloseError::InvalidAccess(InvalidAccess(code)));
        }
        let code = match self.code {
            None if self.reason.is_empty() => return Ok(CloseReason::no_status()),
            None => CloseCode::NORMAL,
            Some(code) => CloseCode::try_from(code)
                .map_err(|_| CloseError::InvalidAccess(InvalidAccess(code)))?,
        };
        CloseReason::new(code, &self.reason).map_err(|error| CloseError::Syntax(error.into()))
    }
}

impl From<()> for CloseArgs {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<u16> for CloseArgs {
    fn from(code: u16) -> Self {
        Self::from((code, ""))
    }
}

/// The reason, with the code 1000.
impl From<&str> for CloseArgs {
    fn from(reason: &str) -> Self {
        Self {
            code: None,
            reason: reason.to_owned(),
        }
    }
}

impl From<(u16, &str)> for CloseArgs {
    fn from((code, reason): (u16, &str)) -> Self {
        Self {
            code: Some(code),
            reason: reason.to_owned(),
        }
    }
}

/// An invalid URL, subprotocol or close reason: WHATWG's `SyntaxError`.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SyntaxError(Culprit);

#[derive(Debug, thiserror::Error)]
enum Culprit {
    #[error(transparent)]
    Offer(Box<ConnectError>),
    #[error(transparent)]
    Reason(InvalidCloseReason),
}

impl From<ConnectError> for SyntaxError {
    fn from(error: ConnectError) -> Self {
        Self(Culprit::Offer(Box::new(error)))
    }
}

impl From<OfferError> for SyntaxError {
    fn from(error: OfferError) -> Self {
        ConnectError::from(error).into()
    }
}

impl From<InvalidCloseReason> for SyntaxError {
    fn from(error: InvalidCloseReason) -> Self {
        Self(Culprit::Reason(error))
    }
}

impl From<SyntaxError> for Error {
    fn from(error: SyntaxError) -> Self {
        Self::Connect(error.into())
    }
}

/// The connection is not open yet: WHATWG's `InvalidStateError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection is not open yet")]
pub struct InvalidState;

/// A close code that is neither 1000 nor in 3000-4999: WHATWG's `InvalidAccessError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("close code {0} is not allowed: expected 1000 or 3000 to 4999")]
pub struct InvalidAccess(u16);

/// The error of [`WebSocket::close`](super::WebSocket::close) for invalid arguments.
#[derive(Debug, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "WHATWG's two")]
pub enum CloseError {
    /// A program must not close with this code.
    #[error(transparent)]
    InvalidAccess(#[from] InvalidAccess),
    /// The reason has more than 123 bytes.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
}

/// The client with a browser's rules for this target. It follows no redirects, its offer must be legal, and the server
/// must choose one of the offered subprotocols. WHATWG is stricter here than RFC 6455.
pub(super) fn for_browser(mut client: Client, target: &Target) -> Result<Client, SyntaxError> {
    client.handshake(target)?;
    refuse_repeated(&client.subprotocols)?;
    client.require_subprotocol = !client.subprotocols.is_empty();
    client.redirects = 0;
    Ok(client)
}

/// Refuses two subprotocols that differ only in case, as browsers do. RFC 6455 compares them exactly.
fn refuse_repeated(subprotocols: &[String]) -> Result<(), SyntaxError> {
    for (index, name) in subprotocols.iter().enumerate() {
        let earlier = &subprotocols[..index];
        if earlier.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(OfferError::SubprotocolRepeated(name.clone()).into());
        }
    }
    Ok(())
}
