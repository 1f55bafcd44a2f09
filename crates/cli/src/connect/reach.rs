//! The options of the commands that connect: how to reach the server, and what to tell it.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue};

use crate::secret::Secret;
use crate::size::parse_size;

/// How to reach the server, and the request.
#[derive(Debug, Args)]
pub(super) struct ReachOptions {
    /// Show the request and the response of the opening handshake, and the agreed subprotocol and extensions
    #[arg(short, long)]
    pub(super) verbose: bool,

    /// Size limit of received messages. A longer message ends the connection
    #[arg(
        long,
        alias = "max-message",
        value_name = "SIZE",
        default_value = "16MiB",
        value_parser = parse_size,
        allow_hyphen_values = true
    )]
    pub(super) max_size: u64,

    /// How long to wait for the server's answer to the Close, and to the Ping before it
    #[arg(
        long,
        value_name = "SECS",
        default_value_t = 5,
        allow_hyphen_values = true
    )]
    pub(super) close_timeout: u32,

    /// Header field to add to the request. May be repeated
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = HeaderParser, allow_hyphen_values = true, help_heading = REQUEST)]
    pub(super) header: Vec<(HeaderName, HeaderValue)>,

    /// Value of the Origin field: scheme, host, and port if it is not the scheme's default
    #[arg(long, value_name = "ORIGIN", help_heading = REQUEST)]
    pub(super) origin: Option<HeaderValue>,

    /// Subprotocol to offer. May be repeated, the preferred one first
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, help_heading = REQUEST)]
    pub(super) subprotocol: Vec<String>,

    /// Bearer token for authentication. @FILE reads it from a file
    #[arg(long, value_name = "TOKEN", conflicts_with = "basic", allow_hyphen_values = true, help_heading = REQUEST)]
    pub(super) bearer: Option<Secret>,

    /// User name and password for basic authentication. @FILE reads them from a file
    #[arg(long, value_name = "USER:PASSWORD", allow_hyphen_values = true, help_heading = REQUEST)]
    pub(super) basic: Option<Secret>,

    /// Compression to offer: permessage-deflate
    #[arg(long, value_name = "MODE", default_value = "on", help_heading = REQUEST)]
    pub(super) deflate: Deflate,

    /// Trust the certificates in this PEM file instead of the system's
    #[arg(long, value_name = "FILE", allow_hyphen_values = true, help_heading = TLS)]
    pub(super) cacert: Option<PathBuf>,

    /// Client certificate, a PEM file, for servers that ask for one
    #[arg(long, value_name = "FILE", requires = "key", allow_hyphen_values = true, help_heading = TLS)]
    pub(super) cert: Option<PathBuf>,

    /// Private key of --cert, a PEM file
    #[arg(long, value_name = "FILE", requires = "cert", allow_hyphen_values = true, help_heading = TLS)]
    pub(super) key: Option<PathBuf>,

    /// Accept any certificate, as curl -k does. An attacker on the network can then read and change the messages
    #[arg(long, conflicts_with = "cacert", help_heading = TLS)]
    pub(super) insecure: bool,

    /// Server name for TLS, instead of the URL's host: the client asks for it, and expects it in the certificate
    #[arg(long, value_name = "NAME", help_heading = TLS)]
    pub(super) sni: Option<String>,

    /// URL of the proxy: http://, https://, socks5:// or socks5h://. `none` uses no proxy. By default
    /// the environment variables apply
    #[arg(long, value_name = "URL", help_heading = NETWORK)]
    pub(super) proxy: Option<String>,

    /// Connect to this Unix socket. Host and path of the request are those of the URL
    #[arg(long, value_name = "PATH", conflicts_with_all = ["proxy", "resolve"], allow_hyphen_values = true, help_heading = NETWORK)]
    pub(super) unix: Option<PathBuf>,

    /// Connect to this address for this host. May be repeated
    #[arg(long, value_name = "HOST:ADDR", value_parser = parse_resolve, help_heading = NETWORK)]
    pub(super) resolve: Vec<(String, IpAddr)>,

    /// Use only IPv4 addresses
    #[arg(short = '4', long, conflicts_with = "ipv6", help_heading = NETWORK)]
    pub(super) ipv4: bool,

    /// Use only IPv6 addresses
    #[arg(short = '6', long, help_heading = NETWORK)]
    pub(super) ipv6: bool,
}

const REQUEST: &str = "Request";
const TLS: &str = "TLS";
const NETWORK: &str = "Network";

/// Compression that the client offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Deflate {
    /// No compression
    Off,
    /// Compress each message on its own
    On,
    /// Compress with the context of earlier messages (context takeover)
    Takeover,
}

/// Parser of the value of `--header`. The value may be a secret, so errors do not repeat it.
#[derive(Clone, Copy, Debug)]
struct HeaderParser;

impl TypedValueParser for HeaderParser {
    type Value = (HeaderName, HeaderValue);

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let text = value.to_str().ok_or_else(|| "not UTF-8".to_owned());
        text.and_then(parse_header).map_err(|problem| {
            let text = format!("invalid value for '--header': {problem}");
            clap::Error::raw(ErrorKind::ValueValidation, text).with_cmd(command)
        })
    }
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("no colon; write 'Name: value'")?;
    let name = HeaderName::from_bytes(name.trim().as_bytes())
        .map_err(|_| "the text before the colon is not a valid field name".to_owned())?;
    let value = HeaderValue::from_bytes(value.trim().as_bytes())
        .map_err(|_| "control characters after the colon".to_owned())?;
    Ok((name, value))
}

fn parse_resolve(text: &str) -> Result<(String, IpAddr), String> {
    let (host, address) = text.split_once(':').ok_or("no colon; write HOST:ADDRESS")?;
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(address);
    let address = address.parse().map_err(|_| {
        format!("not an IP address: `{address}`; write HOST:ADDRESS without a port")
    })?;
    Ok((host.to_owned(), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_field_is_a_name_a_colon_and_a_value() {
        let (name, value) = parse_header("Authorization:  Basic abc: ").expect("a field");
        assert_eq!(
            (name.as_str(), value.as_bytes()),
            ("authorization", &b"Basic abc:"[..])
        );
        for text in ["", "Cookie", ": x", "a b: c", "X: a\u{1}b", "X: a\nb"] {
            assert!(parse_header(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_address_for_a_host_may_be_of_either_family() {
        for (text, host, address) in [
            ("a.example:10.0.0.1", "a.example", "10.0.0.1"),
            ("b:::1", "b", "::1"),
            ("b:[::1]", "b", "::1"),
        ] {
            let expected = (host.to_owned(), address.parse().expect("an address"));
            assert_eq!(parse_resolve(text), Ok(expected));
        }
        for text in ["", "host", "host:443:10.0.0.1", "host:other"] {
            assert!(parse_resolve(text).is_err(), "{text:?}");
        }
    }
}
