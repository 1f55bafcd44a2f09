//! The options of `sockeye connect`.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use regex::Regex;

use super::reach::ReachOptions;
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

    /// Subscribe to these topics, and print their messages, each behind its topic and a tab. The server has to speak
    /// sockeye.topics.v0. The input is not read
    #[arg(
        long,
        value_name = "TOPIC,...",
        value_delimiter = ',',
        conflicts_with_all = ["messages", "input", "whole", "record", "grace", "ping", "no_ping", "timings"],
        help_heading = TOPICS
    )]
    pub(super) topics: Vec<String>,

    /// Print the newest stored messages of each topic first, at most this many
    #[arg(long, value_name = "N", requires = "topics", help_heading = TOPICS)]
    pub(super) recent: Option<u32>,

    /// Show how long each step of connecting took, and the time until the first message
    #[arg(short = 'w', long)]
    pub(super) timings: bool,

    #[command(flatten)]
    pub(super) reach: ReachOptions,
}

const TOPICS: &str = "Topics";

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
  with --topics    the topic, a tab, and the message as above. With --json an
                   object: {\"topic\":\"...\",\"at\":\"...\",\"message\":...}. `at`
                   is the position of the message, if the topic has history.
                   A message without a topic has an empty one

Topics:
  With --topics the connection stays open until the server closes it, until
  the time of --wait has passed, or until the goal of --count or --expect is
  reached. After a reconnect (--retry) missed messages follow if the topic has
  history. Missing messages are reported on stderr.

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
  5    closed in order before the goal of --count or --expect was reached; or
       the server ended all subscriptions
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

#[cfg(test)]
mod tests {
    use super::*;

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
