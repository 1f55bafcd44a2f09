//! The rejection of a request that is not a handshake.

use std::fmt;

use axum_core::body::Body;
use axum_core::response::IntoResponse;
use bytes::Bytes;
use http::{Response, StatusCode};

use crate::peer_text::PeerText;

/// The rejection of [`WebSocketUpgrade`](super::WebSocketUpgrade): the request is not a valid handshake, or its connection
/// cannot be upgraded. As a response it has the status of a server's endpoint, and the reason in its body.
///
/// | status | reason |
/// |---|---|
/// | 400 | a field is missing, repeated or malformed |
/// | 405 | the method is not GET |
/// | 426 | the request asks for no upgrade, or for another version than 13 |
/// | 500 | the HTTP server cannot upgrade the connection |
/// | 505 | the request is HTTP/1.0 |
///
/// A handler may look at it:
///
/// ```
/// use axum::response::{IntoResponse, Response};
/// use sockeye::axum::{WebSocketUpgrade, WebSocketUpgradeRejection};
///
/// /// A page for browsers, and a WebSocket for its script, at one path.
/// async fn page(upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>) -> Response {
///     match upgrade {
///         Ok(upgrade) => upgrade.on_upgrade(|_ws| async {}),
///         Err(rejection) if rejection.status() == 426 => "the page".into_response(),
///         Err(rejection) => rejection.into_response(),
///     }
/// }
/// # let _ = page;
/// ```
pub struct WebSocketUpgradeRejection(pub(super) Box<Response<Bytes>>);

impl WebSocketUpgradeRejection {
    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    fn reason(&self) -> PeerText<'_> {
        PeerText(self.0.body().trim_ascii())
    }
}

impl IntoResponse for WebSocketUpgradeRejection {
    fn into_response(self) -> Response<Body> {
        self.0.map(Body::from)
    }
}

impl fmt::Display for WebSocketUpgradeRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not a WebSocket handshake: {}: {}",
            self.status(),
            self.reason()
        )
    }
}

impl fmt::Debug for WebSocketUpgradeRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketUpgradeRejection")
            .field("status", &self.status())
            .field("reason", &self.reason())
            .finish()
    }
}

impl std::error::Error for WebSocketUpgradeRejection {}
