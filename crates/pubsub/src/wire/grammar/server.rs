//! The frames of a server: answers, messages of topics, notices, and messages of the application. `server_reader` parses
//! them.

use std::borrow::Cow;
use std::time::Duration;

use sockeye_proto::{Message, Text};

use super::code::{ErrorCode, Reference};
use super::content::Content;
use super::json;
use crate::position::Position;

/// A frame of a server, but for its body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the verbs of one version")]
pub enum ServerFrame<'a> {
    /// A message of the application: the header is empty, the body is the message.
    App,
    /// `hello`: the first frame.
    Hello(Hello<'a>),
    /// `ok`: a request was carried out.
    Ok {
        /// The reference of the request.
        reference: Reference,
        /// What the request asked for.
        answer: OkAnswer<'a>,
    },
    /// `err`: a request failed.
    Err {
        /// The reference of the request. `None` (0 in the header) if the request had none.
        reference: Option<Reference>,
        /// The code.
        code: ErrorCode,
        /// The message, for people.
        message: Cow<'a, str>,
        /// The time after which the request may succeed.
        retry: Option<Duration>,
    },
    /// `m`: a message of a topic, which is the body.
    Message {
        /// The topic.
        topic: Cow<'a, str>,
        /// Where the message stands. `None` without history.
        at: Option<Position>,
    },
    /// `lost`: messages of a topic may be missing.
    Lost {
        /// The topic.
        topic: Cow<'a, str>,
        /// The position from which on the subscription is live. `None` without history.
        at: Option<Position>,
    },
    /// `end`: the server ended a subscription.
    End {
        /// The topic.
        topic: Cow<'a, str>,
        /// The reason.
        code: ErrorCode,
    },
    /// `stir`: the members of a topic have changed.
    Stir {
        /// The topic.
        topic: Cow<'a, str>,
    },
    /// `pong`: the answer to a `ping` with this number.
    Pong(u64),
    /// `bye`: the server closes the connection. The client comes back after a time in this range.
    Bye {
        /// The shortest pause.
        least: Duration,
        /// The longest pause.
        most: Duration,
    },
    /// A verb of a newer server. The client ignores it.
    Unknown,
}

/// The fields of `hello`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The client's public member id.
    pub me: Cow<'a, str>,
    /// The name of the node.
    pub node: Cow<'a, str>,
    /// The client sends a `ping` if nothing came for this time.
    pub ping: Duration,
    /// The most subscriptions of the session.
    pub topics: u32,
}

/// What an `ok` says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the answers of one version")]
pub enum OkAnswer<'a> {
    /// The answer to `sub`.
    Subscribed {
        /// The topic.
        topic: Cow<'a, str>,
        /// The position before the first message of the replay. Without a replay it is the newest position. `None`
        /// without history.
        at: Option<Position>,
        /// Whether the client continues where it was. `None` if it gave no position.
        recovered: Option<bool>,
        /// The number of messages of the replay, which follow.
        missed: u32,
    },
    /// The answer to `pub` on a topic with history: where the message stands.
    Stored(Position),
    /// The answer to `who`.
    Members {
        /// A JSON array of members.
        members: &'a str,
        /// Whether all members are in it.
        all: bool,
    },
    /// The answer to `count`.
    Count(u64),
    /// The answer to `unsub`, and to `pub` on a topic without history.
    Done,
}

/// The bytes that a header gets room for. Most are shorter.
const ROOM: usize = 96;

impl ServerFrame<'_> {
    /// Writes the header without its line feed.
    pub(super) fn write(&self, out: &mut String) {
        match self {
            Self::App => return,
            Self::Hello(hello) => {
                out.push_str(r#"{"hello":1,"me":"#);
                json::write_text(out, &hello.me);
                out.push_str(r#","node":"#);
                json::write_text(out, &hello.node);
                let (ping, topics) = (hello.ping.as_secs(), hello.topics);
                json::write_display(out, format_args!(r#","ping":{ping},"topics":{topics}"#));
            }
            Self::Ok { reference, answer } => {
                out.push_str(r#"{"ok":"#);
                json::write_number(out, reference.get().into());
                answer.write(out);
            }
            Self::Err {
                reference,
                code,
                message,
                retry,
            } => {
                let number = reference.map_or(0, Reference::get);
                json::write_display(
                    out,
                    format_args!(r#"{{"err":{number},"code":"{code}","message":"#),
                );
                json::write_text(out, message);
                if let Some(retry) = retry {
                    // Rounded up, so that no client comes back too early.
                    let retry = retry.as_nanos().div_ceil(1_000_000).max(1);
                    json::write_display(out, format_args!(r#","retry":{retry}"#));
                }
            }
            Self::Message { topic, at } => write_place(out, "m", topic, *at),
            Self::Lost { topic, at } => write_place(out, "lost", topic, *at),
            Self::End { topic, code } => {
                write_place(out, "end", topic, None);
                json::write_display(out, format_args!(r#","code":"{code}""#));
            }
            Self::Stir { topic } => write_place(out, "stir", topic, None),
            Self::Pong(number) => json::write_display(out, format_args!(r#"{{"pong":{number}"#)),
            Self::Bye { least, most } => {
                let (least, most) = (least.as_millis(), most.as_millis());
                json::write_display(out, format_args!(r#"{{"bye":1,"after":[{least},{most}]"#));
            }
            Self::Unknown => out.push('{'),
        }
        out.push('}');
    }

    /// Writes the frame without a body.
    pub fn to_text(&self) -> Text {
        let mut header = String::with_capacity(ROOM);
        self.write(&mut header);
        header.push('\n');
        header.into()
    }

    /// Writes the frame with a body.
    pub fn to_message(&self, body: Content<'_>) -> Message {
        let mut header = String::with_capacity(ROOM);
        self.write(&mut header);
        body.framed(&header)
    }
}

impl OkAnswer<'_> {
    fn write(&self, out: &mut String) {
        match self {
            Self::Subscribed {
                topic,
                at,
                recovered,
                missed,
            } => {
                out.push_str(r#","topic":"#);
                json::write_text(out, topic);
                write_position(out, "at", *at);
                let recovered = match recovered {
                    None => "null",
                    Some(true) => "true",
                    Some(false) => "false",
                };
                json::write_display(
                    out,
                    format_args!(r#","recovered":{recovered},"missed":{missed}"#),
                );
            }
            Self::Stored(at) => write_position(out, "stored", Some(*at)),
            Self::Members { members, all } => {
                json::write_display(out, format_args!(r#","members":{members},"all":{all}"#));
            }
            Self::Count(count) => json::write_display(out, format_args!(r#","count":{count}"#)),
            Self::Done => {}
        }
    }
}

fn write_place(out: &mut String, verb: &str, topic: &str, at: Option<Position>) {
    out.push_str("{\"");
    out.push_str(verb);
    out.push_str("\":");
    json::write_text(out, topic);
    write_position(out, "at", at);
}

fn write_position(out: &mut String, field: &str, at: Option<Position>) {
    if let Some(at) = at {
        out.push_str(",\"");
        out.push_str(field);
        out.push_str("\":");
        json::write_position(out, at);
    }
}
