//! What `sockeye connect` may be told.

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
/// Each line that is typed or piped in is sent as a text message; each message that comes is printed on a
/// line of its own. At the end of the input (Ctrl-D) the server is sent a Ping, and when it has answered that a
/// Close with 1000; what it still sends before its own Close is printed. If no message has come since the last one
/// was sent, the Close waits another second (--grace). Give a server that needs longer its time with --wait.
///
/// On a terminal lines are edited at a prompt, as in a shell. What is pasted is one message, line ends included.
/// Lines are kept from one run to the next in $XDG_STATE_HOME/sockeye/history, but not those that begin with a space.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The server's address, as ws://127.0.0.1:8080/echo or wss://chat.example/
    pub(super) url: String,

    /// Send this message, instead of what is typed or piped in; may be given more than once
    #[arg(
        short,
        long = "message",
        value_name = "MESSAGE",
        allow_hyphen_values = true
    )]
    pub(super) messages: Vec<String>,

    /// How a line, or a --message, is read
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(super) input: Input,

    /// Send the whole input as one message, with its line ends; --input raw sends its bytes
    #[arg(long, conflicts_with = "messages")]
    pub(super) whole: bool,

    /// How binary messages are printed; by default base64, and to a terminal their length
    #[arg(long, value_name = "FORM")]
    pub(super) binary: Option<Binary>,

    /// Print each message as JSON: indented to a terminal, elsewhere on one line
    #[arg(long)]
    pub(super) json: bool,

    /// Write what is sent and received to this new file, one JSON object a line. A file that exists is refused
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(super) record: Option<PathBuf>,

    /// Close when so many messages have come
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(super) count: Option<NonZeroU64>,

    /// Close when a text message has come in which this is found
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    pub(super) expect: Option<Regex>,

    /// Stay when the input has ended, until the server closes, or for so long
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "forever",
        value_parser = parse_wait
    )]
    pub(super) wait: Option<Wait>,

    /// How long to stay for an answer when the server has answered the Ping, and no message has come since the last one
    /// was sent; 0 for not at all
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1s",
        value_parser = parse_duration,
        allow_hyphen_values = true
    )]
    pub(super) grace: Duration,

    /// Connect again when the connection is lost or cannot be had, so many times in a row
    #[arg(
        long,
        value_name = "TIMES",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "4294967295"
    )]
    pub(super) retry: Option<u32>,

    /// Send a Ping at this interval, and say how long the answer took
    #[arg(long, value_name = "TIME", value_parser = parse_interval, allow_hyphen_values = true)]
    pub(super) ping: Option<Duration>,

    /// Send no Ping, neither behind the last message nor to a silent server. For servers that end the connection at a
    /// Ping, as Node's inspector does
    #[arg(long, conflicts_with = "ping")]
    pub(super) no_ping: bool,

    /// Show both sides of the opening handshake, and what they agreed on
    #[arg(short, long)]
    pub(super) verbose: bool,

    /// Show how long each part of connecting took, and the first message
    #[arg(short = 'w', long)]
    pub(super) timings: bool,

    /// The longest message that is taken; a longer one ends the connection
    #[arg(
        long,
        alias = "max-message",
        value_name = "SIZE",
        default_value = "16MiB",
        value_parser = parse_size,
        allow_hyphen_values = true
    )]
    pub(super) max_size: u64,

    /// How long the server may take to answer the Close, and the Ping before it
    #[arg(
        long,
        value_name = "SECS",
        default_value_t = 5,
        allow_hyphen_values = true
    )]
    pub(super) close_timeout: u32,

    /// A header field of the request; may be given more than once
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = HeaderParser, allow_hyphen_values = true, help_heading = REQUEST)]
    pub(super) header: Vec<(HeaderName, HeaderValue)>,

    /// The origin of the page that this stands for: scheme, host, and port where it is not the usual one
    #[arg(long, value_name = "ORIGIN", help_heading = REQUEST)]
    pub(super) origin: Option<HeaderValue>,

    /// A subprotocol to offer, the preferred first; may be given more than once
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, help_heading = REQUEST)]
    pub(super) subprotocol: Vec<String>,

    /// Authenticate with this token; @FILE reads it from a file
    #[arg(long, value_name = "TOKEN", conflicts_with = "basic", allow_hyphen_values = true, help_heading = REQUEST)]
    pub(super) bearer: Option<Secret>,

    /// Authenticate with this name and password; @FILE reads them from a file
    #[arg(long, value_name = "USER:PASSWORD", allow_hyphen_values = true, help_heading = REQUEST)]
    pub(super) basic: Option<Secret>,

    /// Compression to offer (permessage-deflate)
    #[arg(long, value_name = "MODE", default_value = "on", help_heading = REQUEST)]
    pub(super) deflate: Deflate,

    /// Trust the certificates in this PEM file, instead of what the system trusts
    #[arg(long, value_name = "FILE", allow_hyphen_values = true, help_heading = TLS)]
    pub(super) cacert: Option<PathBuf>,

    /// Show the server the certificate in this PEM file, if it asks for one
    #[arg(long, value_name = "FILE", requires = "key", allow_hyphen_values = true, help_heading = TLS)]
    pub(super) cert: Option<PathBuf>,

    /// The private key that belongs to --cert, a PEM file too
    #[arg(long, value_name = "FILE", requires = "cert", allow_hyphen_values = true, help_heading = TLS)]
    pub(super) key: Option<PathBuf>,

    /// Take any certificate, as curl -k does: anyone in between can read and change what is sent
    #[arg(long, conflicts_with = "cacert", help_heading = TLS)]
    pub(super) insecure: bool,

    /// The name to ask for, and to find in the certificate, instead of the URL's host
    #[arg(long, value_name = "NAME", help_heading = TLS)]
    pub(super) sni: Option<String>,

    /// The proxy: http://, https://, socks5:// or socks5h://; `none` for none. By default as the
    /// environment says
    #[arg(long, value_name = "URL", help_heading = NETWORK)]
    pub(super) proxy: Option<String>,

    /// Connect to this Unix socket; the URL says what to ask for
    #[arg(long, value_name = "PATH", conflicts_with_all = ["proxy", "resolve"], allow_hyphen_values = true, help_heading = NETWORK)]
    pub(super) unix: Option<PathBuf>,

    /// Use this address for a host; may be given more than once
    #[arg(long, value_name = "HOST:ADDR", value_parser = parse_resolve, help_heading = NETWORK)]
    pub(super) resolve: Vec<(String, IpAddr)>,

    /// Use IPv4 alone
    #[arg(short = '4', long, conflicts_with = "ipv6", help_heading = NETWORK)]
    pub(super) ipv4: bool,

    /// Use IPv6 alone
    #[arg(short = '6', long, help_heading = NETWORK)]
    pub(super) ipv6: bool,
}

const REQUEST: &str = "What is asked for";
const TLS: &str = "TLS";
const NETWORK: &str = "The way there";

const AFTER_HELP: &str = "\
Messages on stdout, one on a line and nothing else:
  a text           JSON as it came, but without line feeds between its values;
                   other text with \\n, \\u{1b} and the like for control
                   characters, and \\\\ for a backslash; a tab stays, except on
                   a terminal. --input escaped reads such lines
  a binary message in base64; on a terminal as `<N bytes>`; else as --binary
                   says, where `raw` is the bytes alone, and no line's end
  with --json      a JSON object, array, number, boolean or null as it came;
                   other text as a string; a binary message as
                   {\"binary\":\"...\"}, in base64 or hex. --input json reads
                   such lines, with base64

The end:
  The connection is closed when the input has ended and the server has answered
  a Ping behind it. If no message has come since the last one was sent, it stays
  open for --grace, and a server that still says nothing is a line on stderr.
  --no-ping sends no Ping, and always stays for --grace after a message was sent.
  The connection is closed with --wait when the server closes it, or when the time has
  passed. With --count or --expect it stays
  until that has come; --wait=TIME says how long after the input's end. A
  signal (Ctrl-C, SIGTERM) closes it as well; a second one ends the program
  at once.

  --retry connects again, after a pause that grows to 30 s and is random, when
  the connection is lost or the server's Close says that it will be back. What
  was sent is not sent again.

Secrets:
  A command line can be seen by others on the same machine. --bearer and --basic
  read a file where they are given as @FILE; the variables SOCKEYE_BEARER and
  SOCKEYE_BASIC hold what neither option gives.

A TIME is numbers with units: 500ms, 1.5s, 5m, 1h 30m. A SIZE is a number, with
a unit or without: 500000, 64KiB, 1.5MiB, 2MB. Proxies come from the
variables http_proxy (for ws://, in lower case only), HTTPS_PROXY (for wss://),
ALL_PROXY and NO_PROXY, by the rules of curl. NO_COLOR turns colours off.

Exit codes:
  0    closed with 1000, 1001 or no code; what --count and --expect asked for
       has come; or the reader of stdout is gone
  1    no connection: the server cannot be reached, or speaks no WebSocket;
       or a file or stdin cannot be read, or stdout cannot be written, or
       takes no byte for the close timeout
  2    the command line is wrong
  3    the server refused the handshake: its answer is on stderr
  4    the connection was lost, the server broke the protocol or did not answer
       the Close, or it closed with another code
  5    closed in order, without what --count or --expect asked for
  130  ended by a second signal, or by one before there was a connection
  131  ended by Ctrl-\\ (SIGQUIT) at the prompt

Log lines go to stderr. The variable SOCKEYE_LOG says which:
`debug`, `sockeye=trace`, ...; by default `warn`.";

/// What a line of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Input {
    /// A text message
    Text,
    /// A text message, with escapes as in the output: `\n`, `\\`, `\u{1b}`
    Escaped,
    /// A JSON string: the text in it; {"binary":"..."}: bytes in base64; other JSON: a text
    Json,
    /// A binary message, the bytes as they are
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

/// How binary messages are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Binary {
    Base64,
    Hex,
    /// The bytes alone, without a line's end
    Raw,
}

/// What is offered about compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Deflate {
    Off,
    /// Each message for itself
    On,
    /// With what earlier messages had
    Takeover,
}

/// How long to stay when the input has ended.
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

/// Parses the value of `--header`. It may be a secret: errors do not repeat it.
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
        let text = value.to_str().ok_or_else(|| "it is not UTF-8".to_owned());
        text.and_then(parse_header).map_err(|problem| {
            let text = format!("a --header is refused: {problem}");
            clap::Error::raw(ErrorKind::ValueValidation, text).with_cmd(command)
        })
    }
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("no colon: write 'Name: value'")?;
    let name = HeaderName::from_bytes(name.trim().as_bytes())
        .map_err(|_| "the text before the colon is not the name of a header field".to_owned())?;
    let value = HeaderValue::from_bytes(value.trim().as_bytes())
        .map_err(|_| "the value has control characters".to_owned())?;
    Ok((name, value))
}

fn parse_resolve(text: &str) -> Result<(String, IpAddr), String> {
    let (host, address) = text.split_once(':').ok_or("no colon: write HOST:ADDRESS")?;
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(address);
    let address = address
        .parse()
        .map_err(|_| format!("`{address}` is no address: write HOST:ADDRESS, without a port"))?;
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
