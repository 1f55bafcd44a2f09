//! What a client's opening handshake said, kept for who asks.

use http::{Request, Response};

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
