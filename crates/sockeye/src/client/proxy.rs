//! Proxies: HTTP's CONNECT (RFC 9110 section 9.3.6) and SOCKS5 (RFC 1928, 1929). The result is a transport to the
//! server. Knows nothing of WebSocket.

use std::fmt;
use std::str::FromStr;

use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderValue, Request, Response};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Url;

use super::error::ProxyError;
use super::exchange::{self, Answered, HttpError, drive_until};
use super::observer::Observer;
use super::socks::{Socks, SocksError, SocksStep};
use super::target::{bare_host, basic};
use crate::transport::Stream;

/// A proxy that connects a client to servers.
///
/// ```
/// use sockeye::Client;
/// use sockeye::client::Proxy;
///
/// let proxy: Proxy = "socks5h://user:password@127.0.0.1:1080".parse()?;
/// let client = Client::builder().proxy(proxy).build();
/// # Ok::<(), sockeye::client::ProxyError>(())
/// ```
#[derive(Clone)]
pub struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    auth: Auth,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Http,
    Https,
    /// The client sends the proxy an address.
    Socks5,
    /// The client sends the proxy the host name.
    Socks5h,
}

#[derive(Clone)]
enum Auth {
    None,
    Basic(HeaderValue),
    Password(String, String),
}

impl Proxy {
    /// The proxy's host; an IPv6 address is without brackets.
    pub(crate) fn host(&self) -> &str {
        bare_host(&self.host)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether the client connects to the proxy by TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.kind == Kind::Https
    }

    /// Whether the client sends the proxy the server's address instead of its name.
    pub(crate) fn wants_address(&self) -> bool {
        self.kind == Kind::Socks5
    }

    pub(crate) fn is_socks(&self) -> bool {
        matches!(self.kind, Kind::Socks5 | Kind::Socks5h)
    }

    /// The request `CONNECT` for an HTTP proxy.
    pub(crate) fn connect_request(&self, authority: &str) -> Result<Request<()>, ProxyError> {
        let mut request = Request::connect(authority).header(HOST, authority);
        if let Auth::Basic(value) = &self.auth {
            request = request.header(PROXY_AUTHORIZATION, value);
        }
        let request = request.body(());
        request.map_err(|_| ProxyError::Url(authority.to_owned()))
    }

    /// The handshake with a SOCKS proxy.
    pub(crate) fn ask_socks(&self, host: &str, port: u16) -> Result<Socks, SocksError> {
        let auth = match &self.auth {
            Auth::Password(user, password) => Some((user.as_str(), password.as_str())),
            _ => None,
        };
        Socks::new(host, port, auth)
    }

    /// Parses the value of an environment variable. As in curl, an HTTP proxy without a port is at 1080.
    pub(super) fn of_environment(text: &str) -> Result<Self, ProxyError> {
        let mut proxy: Self = text.parse()?;
        if proxy.kind == Kind::Http && !has_port(text) {
            proxy.port = CURL_PORT;
        }
        Ok(proxy)
    }

    /// Asks the proxy at the other end of `stream` for a tunnel to a host. An IPv6 address is in brackets.
    pub(super) async fn tunnel(
        &self,
        stream: Stream,
        host: &str,
        port: u16,
        observer: &Observer,
    ) -> Result<Stream, ProxyError> {
        match self.is_socks() {
            true => Ok(self.socks(stream, host, port).await?),
            false => {
                let authority = format!("{host}:{port}");
                self.connect(stream, &authority, observer).await
            }
        }
    }

    async fn connect(
        &self,
        stream: Stream,
        authority: &str,
        observer: &Observer,
    ) -> Result<Stream, ProxyError> {
        let request = self.connect_request(authority)?;
        let answered = exchange::ask(stream, request, observer).await;
        let Answered {
            response,
            mut connection,
            sender,
        } = answered.map_err(ProxyError::unanswered)?;
        let (parts, body) = response.into_parts();
        if !parts.status.is_success() {
            let start = exchange::start_of(&mut connection, body).await;
            let response = Response::from_parts(parts, start);
            return Err(ProxyError::Refused(Box::new(response)));
        }
        drop(sender);
        let on_upgrade = hyper::upgrade::on(Response::from_parts(parts, body));
        let upgraded = drive_until(&mut connection, on_upgrade).await;
        let upgraded = upgraded.map_err(HttpError::new)?;
        match exchange::into_transport(upgraded) {
            // In TLS and HTTP the client speaks first, so bytes ahead are an error.
            Some((stream, read_ahead)) if read_ahead.is_empty() => Ok(stream),
            _ => Err(ProxyError::TooEarly),
        }
    }

    async fn socks(&self, mut stream: Stream, host: &str, port: u16) -> Result<Stream, SocksError> {
        let mut socks = self.ask_socks(host, port)?;
        loop {
            match socks.step() {
                SocksStep::Write(bytes) => stream.write_all(&bytes).await?,
                SocksStep::Read(len) => {
                    let mut bytes = vec![0; len];
                    stream.read_exact(&mut bytes).await?;
                    socks.receive(&bytes)?;
                }
                SocksStep::Done => return Ok(stream),
            }
        }
    }
}

/// Parses a proxy URL: `http://`, `https://`, `socks5://` (the client resolves the server's name) or `socks5h://` (the
/// proxy resolves it). Without a scheme it is `http://`. It may hold a user name and a password. The default ports are
/// 80, 443 and 1080.
impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        // The error does not show the text, because it may hold a password.
        let wrong = || ProxyError::Url("the given text".to_owned());
        let text = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let url = Url::parse(&text).map_err(|_| wrong())?;
        let kind = Kind::of(url.scheme()).ok_or_else(wrong)?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let decoded = |part: &str| percent_decode_str(part).collect::<Vec<u8>>();
        let user = decoded(url.username());
        let password = decoded(url.password().unwrap_or_default());
        let auth = match kind {
            _ if user.is_empty() && password.is_empty() => Auth::None,
            Kind::Http | Kind::Https => Auth::Basic(basic(&user, &password)),
            Kind::Socks5 | Kind::Socks5h => {
                let text = |bytes| String::from_utf8(bytes).map_err(|_| ProxyError::Credentials);
                Auth::Password(text(user)?, text(password)?)
            }
        };
        Ok(Self {
            kind,
            host: host.ok_or_else(wrong)?.to_owned(),
            port: url.port().unwrap_or(kind.default_port()),
            auth,
        })
    }
}

/// Whether a proxy's URL names a port. [`Url`] itself drops the default port of a scheme.
fn has_port(text: &str) -> bool {
    let (_, rest) = text.split_once("://").unwrap_or(("", text));
    Url::parse(&format!("proxy://{rest}")).is_ok_and(|url| url.port().is_some())
}

const CURL_PORT: u16 = 1080;

/// Shows no password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("kind", &self.kind)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Kind {
    fn of(scheme: &str) -> Option<Self> {
        match scheme {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            "socks5" => Some(Self::Socks5),
            "socks5h" => Some(Self::Socks5h),
            _ => None,
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Socks5 | Self::Socks5h => 1080,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_url_has_a_scheme_a_host_a_port_and_credentials() {
        for (url, kind, host, port) in [
            ("http://proxy:3128", Kind::Http, "proxy", 3128),
            ("proxy:3128", Kind::Http, "proxy", 3128),
            ("http://proxy", Kind::Http, "proxy", 80),
            ("https://[::1]", Kind::Https, "::1", 443),
            ("socks5://127.0.0.1", Kind::Socks5, "127.0.0.1", 1080),
            ("socks5h://u:p@proxy:9", Kind::Socks5h, "proxy", 9),
        ] {
            let proxy: Proxy = url.parse().unwrap();
            assert_eq!((proxy.kind, proxy.host(), proxy.port()), (kind, host, port));
        }
        for url in ["", "ftp://proxy", "http://", "socks5://", "socks4://proxy"] {
            assert!(
                matches!(url.parse::<Proxy>(), Err(ProxyError::Url(_))),
                "{url}"
            );
        }
    }

    #[test]
    fn neither_a_proxy_nor_its_errors_show_the_password() {
        let proxy: Proxy = "http://user:secret@proxy".parse().unwrap();
        assert!(!format!("{proxy:?}").contains("secret"));
        let error = "ftp://user:secret@proxy".parse::<Proxy>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
