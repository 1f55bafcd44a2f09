//! What a client's opening handshake said, kept for who asks.

use std::time::Duration;

use http::{Request, Response};
use sockeye_proto::DeflateParams;

/// The two sides of an opening handshake (RFC 6455 section 4): what the client asked for, and the answer
/// that opened the connection.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
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
    /// The answer, a 101.
    pub response: Response<()>,
    /// How long it took to come to it.
    pub timings: Timings,
    pub(crate) deflate: Option<DeflateParams>,
}

impl Opening {
    /// The extensions that the server chose, as its answer has them; empty where it chose none.
    pub fn extensions(&self) -> String {
        let chosen = self.response.headers().get_all("sec-websocket-extensions");
        let chosen: Vec<_> = chosen
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        chosen.join(", ")
    }
}

/// How long each part of connecting took. They follow one another; of several attempts, as redirects ask for,
/// the last one counts.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let ws = sockeye::connect("wss://chat.example/").await?;
/// let timings = ws.opening().expect("a client's").timings;
/// println!("TLS took {:?}, the upgrade {:?}", timings.tls, timings.upgrade);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Finding the addresses of the host, or of the proxy; `None` where there was no host to find.
    pub resolve: Option<Duration>,
    /// TCP's handshake, or that of a Unix socket.
    pub connect: Duration,
    /// The proxy's way to the server, its own TLS included; `None` without a proxy.
    pub proxy: Option<Duration>,
    /// The TLS handshake with the server; `None` for `ws:`.
    pub tls: Option<Duration>,
    /// From the request to its answer.
    pub upgrade: Duration,
}
