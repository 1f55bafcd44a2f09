//! A client's opening handshake, kept for the application.

use std::time::Duration;

use http::{Request, Response};
use sockeye_proto::DeflateParams;

/// A client's opening handshake (RFC 6455 section 4): the request, and the answer that opened the connection.
///
/// ```no_run
/// # async fn example() -> sockeye::Result {
/// let ws = sockeye::connect("ws://127.0.0.1:8080/echo").await?;
/// let opening = ws.opening().expect("a client's");
/// println!("{:?}", opening.response.headers().get("server"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Opening {
    /// The request. Its target is in origin form; secrets in its fields are marked as sensitive.
    pub request: Request<()>,
    /// The accepting answer: a 101.
    pub response: Response<()>,
    /// The time that each step took.
    pub timings: Timings,
    pub(crate) deflate: Option<DeflateParams>,
}

impl Opening {
    /// The extensions that the server chose, as its answer has them. Empty if it chose none.
    pub fn extensions(&self) -> String {
        let chosen = self.response.headers().get_all("sec-websocket-extensions");
        let chosen: Vec<_> = chosen
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        chosen.join(", ")
    }
}

/// The time that each step of connecting took. The steps follow one another. After redirects, the last attempt counts.
///
/// ```no_run
/// # async fn example() -> sockeye::Result {
/// let ws = sockeye::connect("wss://chat.example/").await?;
/// let timings = ws.opening().expect("a client's").timings;
/// println!("TLS took {:?}, the upgrade {:?}", timings.tls, timings.upgrade);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Finding the addresses of the host, or of the proxy. `None` if the address was known.
    pub resolve: Option<Duration>,
    /// The handshake of TCP, or connecting the Unix socket.
    pub connect: Duration,
    /// The proxy's connection to the server, with the proxy's own TLS. `None` without a proxy.
    pub proxy: Option<Duration>,
    /// The TLS handshake with the server. `None` for `ws:`.
    pub tls: Option<Duration>,
    /// From the request to its answer.
    pub upgrade: Duration,
}
