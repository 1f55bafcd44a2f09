//! The options of `sockeye connect`.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue};
use regex::Regex;

use super::credential::Secret;
use crate::size::parse_size;
use crate::time::parse_duration;

/// Talk to a WebSocket server
///
/// sockeye connect sends each line of stdin as a text message, and prints each received message on its own line. At the
/// end of the input (Ctrl-D) it sends a Ping. When the server has answered the Ping, it sends a Close with 1000, and
/// prints the messages that arrive before the server's Close. If no message has arrived since the last one was sent,
/// the Close waits another second (--grace). For a server that needs longer, use --wait.
///
/// On a terminal, lines are edited at a prompt, as in a shell. A paste becomes one message, with its line ends. The
/// history is kept in $XDG_STATE_HOME/sockeye/history, without the lines that begin with a space.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The server's URL, for example ws://127.0.0.1:8080/echo or wss://chat.example/
    pub(super) url: String,

    /// Send this message instead of the lines of stdin. May be repeated
    #[arg(
        short,
        long = "message",
        value_name = "MESSAGE",
        allow_hyphen_values = true
    )]
    pub(super) messages: Vec<String>,

    /// Format of each input line and of each --message
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(super) input: Input,

    /// Send all of stdin as one message, with its line ends. With --input raw, send it as bytes
    #[arg(long, conflicts_with = "messages")]
    pub(super) whole: bool,

    /// Output format of binary messages. By default base64; on a terminal, only their length
    #[arg(long, value_name = "FORM")]
    pub(super) binary: Option<Binary>,

    /// Print each message as JSON: indented on a terminal, on one line elsewhere
    #[arg(long)]
    pub(super) json: bool,

    /// Record sent and received messages in this new file, one JSON object on each line. The file must not exist
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(super) record: Option<PathBuf>,

    /// Close after this number of received messages
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(super) count: Option<NonZeroU64>,

    /// Close after a text message that matches this regular expression
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    pub(super) expect: Option<Regex>,

    /// Stay connected after the end of the input: until the server closes, or for this time
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "forever",
        value_parser = parse_wait
    )]
    pub(super) wait: Option<Wait>,

    /// How long to wait for a message after the server has answered the Ping, if none has arrived since the last one was
    /// sent. 0 turns the wait off
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1s",
        value_parser = parse_duration,
        allow_hyphen_values = true
    )]
    pub(super) grace: Duration,

    /// Connect again when the connection is lost or cannot be opened. TIMES limits the failures in a row
    #[arg(
        long,
        value_name = "TIMES",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "4294967295"
    )]
    pub(super) retry: Option<u32>,

    /// Send a Ping at this interval, and print the time until its answer
    #[arg(long, value_name = "TIME", value_parser = parse_interval, allow_hyphen_values = true)]
    pub(super) ping: Option<Duration>,

    /// Send no Ping, neither after the last message nor to a silent server. For servers that end the connection at a
    /// Ping, such as Node's inspector
    #[arg(long, conflicts_with = "ping")]
    pub(super) no_ping: bool,

    /// Show the request and the response of the opening handshake, and the agreed subprotocol and extensions
    #[arg(short, long)]
    pub(super) verbose: bool,

    /// Show how long each step of connecting took, and the time until the first message
    #[arg(short = 'w', long)]
    pub(super) timings: bool,

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

const AFTER_HELP: &str = "\
Output on stdout, one line for each message:
  text message     JSON stays as it is, but without line feeds between its
                   values. Other text has escapes such as \\n and \\u{1b} for
                   control characters, and \\\\ for a backslash. A tab is
                   escaped only on a terminal. --input escaped reads this form
  binary message   base64; on a terminal `<N bytes>`; or the form of --binary.
                   `raw` prints only the bytes, without a line end
  with --json      JSON objects, arrays, numbers, booleans and null stay as
                   they are. Other text becomes a JSON string, and a binary
                   message {\"binary\":\"...\"}, in base64 or hex. --input json
                   reads this form, with base64

End of the connection:
  After the end of the input the program sends a Ping. When the server has
  answered the Ping, the program closes the connection. If no message has
  arrived since the last one was sent, the connection stays open for --grace.
  A server that still sends no message is reported on stderr.
  With --no-ping there is no Ping, and the connection always stays open for
  --grace after a message was sent.
  With --wait the connection stays open until the server closes it, or until
  the time has passed. With --count or --expect it stays open until the goal
  is reached; --wait=TIME limits the time after the end of the input.
  A signal (Ctrl-C, SIGTERM) closes the connection. A second signal ends the
  program at once.

  --retry connects again when the connection is lost, or when the code of the
  server's Close says that the server will come back. The pause before each
  attempt is random, and grows up to 20 s. Messages are not sent twice.

Secrets:
  Other users of this machine can see the command line. --bearer @FILE and
  --basic @FILE read the secret from a file. Without these options the
  variables SOCKEYE_BEARER and SOCKEYE_BASIC apply.

Times, sizes and environment:
  TIME is numbers with units: 500ms, 1.5s, 5m, 1h 30m.
  SIZE is a number with or without a unit: 500000, 64KiB, 1.5MiB, 2MB.
  Proxies: http_proxy (for ws://, in lower case only), HTTPS_PROXY (for
  wss://), ALL_PROXY and NO_PROXY, by the rules of curl.
  NO_COLOR turns colours off.

Exit codes:
  0    closed with 1000, 1001 or no code; the goal of --count and --expect is
       reached; or the reader of stdout is gone
  1    cannot connect: the server is not reachable, or is no WebSocket server;
       cannot read a file or stdin; cannot write to stdout; or stdout accepted
       no byte for the close timeout
  2    invalid command line
  3    the server refused the handshake; its response is on stderr
  4    the connection was lost; the server broke the protocol, did not answer
       the Close, or closed with another code
  5    closed in order before the goal of --count or --expect was reached
  130  ended by a second signal, or by a signal before there was a connection
  131  ended by Ctrl-\\ (SIGQUIT) at the prompt

Log lines go to stderr. The variable SOCKEYE_LOG selects them: `debug`,
`sockeye=trace`, ... The default is `warn`.";

/// How an input line becomes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Input {
    /// A text message
    Text,
    /// A text message with the escapes of the output: `\n`, `\\`, `\u{1b}`
    Escaped,
    /// A JSON value. A string is sent as its text, {"binary":"..."} as bytes from base64, other JSON as text
    Json,
    /// A binary message: the bytes of the line
    Raw,
    /// A binary message in base64
    Base64,
    /// A binary message in hexadecimal digits
    Hex,
}

impl Input {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Escaped => "escaped text",
            Self::Json => "JSON",
            Self::Raw => "bytes",
            Self::Base64 => "base64",
            Self::Hex => "hexadecimal",
        }
    }
}

/// Output format of binary messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Binary {
    Base64,
    Hex,
    /// The bytes, without a line end
    Raw,
}

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

/// How long the connection stays open after the end of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Forever,
    For(Duration),
}

fn parse_wait(text: &str) -> Result<Wait, String> {
    if text == "forever" {
        return Ok(Wait::Forever);
    }
    parse_duration(text).map(Wait::For)
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if interval < Duration::from_millis(1) {
        return Err("shorter than 1ms".to_owned());
    }
    Ok(interval)
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

    #[test]
    fn an_interval_is_one_millisecond_or_longer() {
        assert_eq!(parse_interval("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(parse_interval("1ms"), Ok(Duration::from_millis(1)));
        assert!(parse_interval("0s").is_err());
        assert!(parse_interval("999us").is_err());
        assert_eq!(parse_wait("0s"), Ok(Wait::For(Duration::ZERO)));
        assert_eq!(parse_wait("forever"), Ok(Wait::Forever));
    }
}
