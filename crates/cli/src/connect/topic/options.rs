//! The options of `sockeye publish`.

use clap::Args;

use crate::connect::options::Input;
use crate::connect::reach::ReachOptions;

/// Publish messages to a topic
///
/// sockeye publish sends its messages, or each line of stdin, to a topic of a server that speaks sockeye.topics.v0, for
/// example `sockeye serve`. It waits until the server has published each of them.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct PublishOptions {
    /// The URL of the server's topics, for example ws://127.0.0.1:8080/topics
    pub(super) url: String,

    /// The topic, for example demo/1
    pub(super) topic: String,

    /// The messages. Without one, each line of stdin is a message
    #[arg(value_name = "MESSAGE", allow_hyphen_values = true)]
    pub(super) messages: Vec<String>,

    /// Format of each message
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(super) input: Input,

    /// Send all of stdin as one message, with its line ends. With --input raw, send it as bytes
    #[arg(long, conflicts_with = "messages")]
    pub(super) whole: bool,

    /// Connect again when the connection is lost or cannot be opened. TIMES limits the failures in a row
    #[arg(
        long,
        value_name = "TIMES",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "4294967295"
    )]
    pub(super) retry: Option<u32>,

    #[command(flatten)]
    pub(super) reach: ReachOptions,
}

impl PublishOptions {
    pub(in crate::connect) fn url(&self) -> &str {
        &self.url
    }
}

const AFTER_HELP: &str = "\
With --verbose, stdout has one line for each published message: its position,
or `-` if the topic has no history. The opening handshake is on stderr.

A message that was sent on a connection that is lost may have been published.
With --retry it is sent again on the next connection, if the topic has history
and 45 s have not passed. The server then publishes it once. Otherwise it is
reported, and not sent again. The program subscribes to the topic, so that it
knows whether there is history.

Exit codes:
  0    all messages are published
  1    cannot connect: the server is not reachable, or is no WebSocket server;
       cannot read stdin; cannot write to stdout
  2    invalid command line
  3    the server refused the handshake; its response is on stderr
  4    the connection was lost, or the server does not speak topics; a message
       may or may not be published
  5    the server refused a message
  130  ended by a second signal, or by a signal before there was a connection";
