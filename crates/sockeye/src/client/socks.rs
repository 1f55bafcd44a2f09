//! The handshake with a SOCKS5 proxy (RFC 1928; RFC 1929 for the user name and password), sans-IO: the caller writes
//! and reads its stream as [`Socks::step`] says.
//!
//! ```text
//!   Greet ──▶ Method ──────────────────────────▶ Ask ──▶ Reply ──▶ Name ──▶ Rest ──▶ Done
//!                └─▶ Identify ──▶ Verdict ─────▶─┘         └──────────────▶──┘
//! ```

use std::io;
use std::net::IpAddr;

/// The state of one handshake with a proxy.
#[derive(Debug)]
pub(crate) struct Socks {
    state: State,
    auth: Option<Vec<u8>>,
    request: Vec<u8>,
}

/// The next step of the handshake.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SocksStep {
    Done,
    /// Read exactly this many bytes for [`Socks::receive`]. The bytes behind them may be the server's.
    Read(usize),
    Write(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greet,
    Method,
    Identify,
    Verdict,
    Ask,
    Reply,
    /// The length of the name that the proxy has bound.
    Name,
    Rest(usize),
    Done,
}

impl Socks {
    /// A handshake that asks for a connection to this host. An IPv6 address is in brackets.
    ///
    /// # Errors
    ///
    /// [`SocksError::Host`] for a host name of more than 255 bytes; [`SocksError::Credentials`] for such a user name or
    /// password.
    pub(crate) fn new(
        host: &str,
        port: u16,
        auth: Option<(&str, &str)>,
    ) -> Result<Self, SocksError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let mut request = vec![VERSION, CONNECT, 0];
        match bare.parse() {
            Ok(IpAddr::V4(ip)) => {
                request.push(IPV4);
                request.extend(ip.octets());
            }
            Ok(IpAddr::V6(ip)) => {
                request.push(IPV6);
                request.extend(ip.octets());
            }
            Err(_) => {
                request.push(NAME);
                request.extend(counted(host).ok_or(SocksError::Host)?);
            }
        }
        request.extend(port.to_be_bytes());
        let auth = auth.map(|(user, password)| {
            let parts = [vec![AUTH_VERSION], counted(user)?, counted(password)?];
            Some(parts.concat())
        });
        let auth = auth.map(|auth| auth.ok_or(SocksError::Credentials));
        Ok(Self {
            state: State::Greet,
            auth: auth.transpose()?,
            request,
        })
    }

    /// The next step. The bytes of a write are returned once.
    pub(crate) fn step(&mut self) -> SocksStep {
        match self.state {
            State::Greet => {
                self.state = State::Method;
                SocksStep::Write(match self.auth {
                    None => vec![VERSION, 1, NO_AUTH],
                    Some(_) => vec![VERSION, 2, NO_AUTH, PASSWORD],
                })
            }
            State::Identify => {
                self.state = State::Verdict;
                SocksStep::Write(self.auth.take().unwrap_or_default())
            }
            State::Ask => {
                self.state = State::Reply;
                SocksStep::Write(std::mem::take(&mut self.request))
            }
            State::Method | State::Verdict => SocksStep::Read(2),
            State::Reply => SocksStep::Read(4),
            State::Name => SocksStep::Read(1),
            State::Rest(len) => SocksStep::Read(len),
            State::Done => SocksStep::Done,
        }
    }

    /// Handles the bytes of a [`SocksStep::Read`].
    ///
    /// # Errors
    ///
    /// The proxy refused, or broke the protocol.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<(), SocksError> {
        self.state = match (self.state, bytes) {
            (State::Method, [VERSION, NO_AUTH]) => State::Ask,
            (State::Method, [VERSION, PASSWORD]) if self.auth.is_some() => State::Identify,
            (State::Method, [VERSION, NO_METHOD]) => return Err(SocksError::Unauthorized),
            (State::Verdict, [AUTH_VERSION, 0]) => State::Ask,
            (State::Verdict, [AUTH_VERSION, _]) => return Err(SocksError::Unauthorized),
            (State::Reply, [VERSION, 0, _, IPV4]) => State::Rest(4 + 2),
            (State::Reply, [VERSION, 0, _, IPV6]) => State::Rest(16 + 2),
            (State::Reply, [VERSION, 0, _, NAME]) => State::Name,
            (State::Reply, [VERSION, 0, ..]) => return Err(SocksError::Protocol),
            (State::Reply, [VERSION, code, ..]) => return Err(SocksError::Refused(*code)),
            (State::Name, [len]) => State::Rest(usize::from(*len) + 2),
            (State::Rest(_), _) => State::Done,
            _ => return Err(SocksError::Protocol),
        };
        Ok(())
    }
}

/// Why a SOCKS5 proxy did not connect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocksError {
    /// The user name or the password has more than 255 bytes, the most that SOCKS5 allows.
    #[error("the user name or the password has more than 255 bytes")]
    Credentials,
    /// The host name has more than 255 bytes, the most that SOCKS5 allows.
    #[error("the host name has more than 255 bytes")]
    Host,
    /// The transport to the proxy failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The proxy's answer is not SOCKS5.
    #[error("the proxy's answer is not SOCKS5")]
    Protocol,
    /// The proxy refused to connect, with this code (RFC 1928 §6).
    #[error("the proxy refused to connect: {}", reply(*.0))]
    Refused(u8),
    /// The proxy rejected the user name and password, or requires them.
    #[error("the proxy rejected the credentials, or requires a user name and a password")]
    Unauthorized,
}

impl SocksError {
    /// Whether the same request may succeed later: the network, the server or the route to it failed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Io(_) => true,
            Self::Refused(code) => matches!(code, 1 | 3..=6),
            _ => false,
        }
    }
}

fn reply(code: u8) -> String {
    let text = match code {
        1 => "general failure",
        2 => "its rules forbid the connection",
        3 => "the network is unreachable",
        4 => "the host is unreachable",
        5 => "the server refused the connection",
        6 => "the time to live has expired",
        7 => "it does not support the command CONNECT",
        8 => "it does not support this type of address",
        _ => return format!("code {code}"),
    };
    text.to_owned()
}

/// A text with its length in front, as one byte.
fn counted(text: &str) -> Option<Vec<u8>> {
    let len = u8::try_from(text.len()).ok()?;
    Some([&[len], text.as_bytes()].concat())
}

const VERSION: u8 = 5;
const AUTH_VERSION: u8 = 1;
const NO_AUTH: u8 = 0;
const PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that the client writes to a proxy that sends `proxy`, read in the pieces that the steps ask for.
    fn said(mut socks: Socks, mut proxy: &[u8]) -> Result<Vec<u8>, SocksError> {
        let mut written = Vec::new();
        loop {
            match socks.step() {
                SocksStep::Write(bytes) => written.extend(bytes),
                SocksStep::Read(len) => {
                    let (now, rest) = proxy.split_at(len);
                    socks.receive(now)?;
                    proxy = rest;
                }
                SocksStep::Done => {
                    assert_eq!(proxy, b"", "not all of it is the proxy's");
                    return Ok(written);
                }
            }
        }
    }

    fn to(host: &str, auth: Option<(&str, &str)>) -> Socks {
        Socks::new(host, 258, auth).unwrap()
    }

    #[test]
    fn a_host_is_asked_for_by_name_or_by_address() {
        let granted = b"\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00";
        for (host, asked) in [
            ("a.b", &b"\x03\x03a.b"[..]),
            ("1.2.3.4", b"\x01\x01\x02\x03\x04"),
            ("[::1]", b"\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"),
        ] {
            let expected = [b"\x05\x01\x00\x05\x01\x00", asked, b"\x01\x02"].concat();
            assert_eq!(said(to(host, None), granted).unwrap(), expected, "{host}");
        }
    }

    #[test]
    fn credentials_are_sent_only_to_a_proxy_that_asks_for_them() {
        let auth = Some(("u", "pw"));
        let wants = b"\x05\x02\x01\x00\x05\x00\x00\x03\x02ab\x00\x00";
        let written = said(to("h", auth), wants).unwrap();
        let expected = b"\x05\x02\x00\x02\x01\x01u\x02pw\x05\x01\x00\x03\x01h\x01\x02";
        assert_eq!(written, expected);
        let open = [b"\x05\x00\x05\x00\x00\x04", &[0; 18][..]].concat();
        let written = said(to("h", auth), &open).unwrap();
        assert_eq!(written, b"\x05\x02\x00\x02\x05\x01\x00\x03\x01h\x01\x02");
    }

    #[test]
    fn final_refusals_are_told_from_transient_ones() {
        let auth = Some(("u", "p"));
        let fails = |proxy: &[u8]| said(to("h", auth), proxy).unwrap_err();
        for proxy in [&b"\x05\xff"[..], b"\x05\x02\x01\x01"] {
            let error = fails(proxy);
            assert!(matches!(error, SocksError::Unauthorized) && !error.is_transient());
        }
        for code in 1..=9 {
            let error = fails(&[5, 0, 5, code, 0, 1]);
            assert!(matches!(error, SocksError::Refused(told) if told == code));
            let passes = [1, 3, 4, 5, 6].contains(&code);
            assert_eq!(error.is_transient(), passes, "{error}");
        }
        assert!(SocksError::from(io::Error::from(io::ErrorKind::UnexpectedEof)).is_transient());
    }

    #[test]
    fn bytes_that_are_not_socks_are_refused_at_each_step() {
        let auth = Some(("u", "p"));
        for proxy in [
            &b"HT"[..],
            b"\x05\x03",
            b"\x05\x02\x05\x00",
            b"\x05\x00HTTP",
        ] {
            let error = said(to("h", auth), proxy).unwrap_err();
            assert!(matches!(error, SocksError::Protocol), "{proxy:?}");
            assert!(!error.is_transient());
        }
        // The proxy chose a method that was not offered.
        let error = said(to("h", None), b"\x05\x02").unwrap_err();
        assert!(matches!(error, SocksError::Protocol));
        let error = said(to("h", None), b"\x05\x00\x05\x00\x00\x02").unwrap_err();
        assert!(matches!(error, SocksError::Protocol));
    }

    #[test]
    fn names_and_passwords_have_255_bytes_at_most() {
        let (most, more) = ("x".repeat(255), "x".repeat(256));
        assert!(Socks::new(&most, 1, Some((&most, &most))).is_ok());
        let error = Socks::new(&more, 1, None).unwrap_err();
        assert!(matches!(error, SocksError::Host));
        for auth in [(&more, &most), (&most, &more)] {
            let error = Socks::new("h", 1, Some((auth.0, auth.1))).unwrap_err();
            assert!(matches!(error, SocksError::Credentials));
        }
    }
}
