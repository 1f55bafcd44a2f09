//! Parsing the frames of a server.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::code::{ErrorCode, Reference};
use super::content::Content;
use super::frame::{Frame, MAX_MEMBERS_HEADER, Violation};
use super::json;
use super::server::{Hello, OkAnswer, ServerFrame};
use crate::position::Position;

impl<'a> ServerFrame<'a> {
    /// Parses a frame of a server. Returns also the length of the header without its line feed, and the body.
    ///
    /// # Errors
    ///
    /// [`Violation`]: the client closes the connection.
    pub fn parse(frame: Content<'a>) -> Result<(Self, usize, Content<'a>), Violation> {
        let Frame { header, body } = Frame::split(frame, MAX_MEMBERS_HEADER)?;
        let parsed = if header.is_empty() {
            Self::App
        } else if let Some(message) = plain_message(header) {
            message
        } else {
            json::fields::<Fields<'_>>(header)?.parse()?
        };
        Ok((parsed, header.len(), body))
    }
}

/// The fields of a header. `null` is the same as no field.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields<'a> {
    #[serde(borrow)]
    m: Option<&'a RawValue>,
    #[serde(borrow)]
    at: Option<&'a RawValue>,
    #[serde(borrow)]
    ok: Option<&'a RawValue>,
    #[serde(borrow)]
    err: Option<&'a RawValue>,
    #[serde(borrow)]
    lost: Option<&'a RawValue>,
    #[serde(borrow)]
    end: Option<&'a RawValue>,
    #[serde(borrow)]
    stir: Option<&'a RawValue>,
    #[serde(borrow)]
    pong: Option<&'a RawValue>,
    #[serde(borrow)]
    hello: Option<&'a RawValue>,
    #[serde(borrow)]
    bye: Option<&'a RawValue>,
    #[serde(borrow)]
    topic: Option<&'a RawValue>,
    #[serde(borrow)]
    recovered: Option<&'a RawValue>,
    #[serde(borrow)]
    missed: Option<&'a RawValue>,
    #[serde(borrow)]
    stored: Option<&'a RawValue>,
    #[serde(borrow)]
    members: Option<&'a RawValue>,
    #[serde(borrow)]
    all: Option<&'a RawValue>,
    #[serde(borrow)]
    count: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    retry: Option<&'a RawValue>,
    #[serde(borrow)]
    me: Option<&'a RawValue>,
    #[serde(borrow)]
    node: Option<&'a RawValue>,
    #[serde(borrow)]
    ping: Option<&'a RawValue>,
    #[serde(borrow)]
    topics: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
}

/// Parses the header of a message in the form in which Sockeye writes it: most frames of a server have it. `None` for any
/// other form.
fn plain_message(header: &str) -> Option<ServerFrame<'_>> {
    let (topic, rest) = header.strip_prefix(r#"{"m":""#)?.split_once('"')?;
    if topic.bytes().any(|byte| byte == b'\\' || byte < b' ') {
        return None;
    }
    let at = match rest {
        "}" => None,
        rest => {
            let at = rest.strip_prefix(r#","at":""#)?.strip_suffix(r#""}"#)?;
            Some(at.parse().ok()?)
        }
    };
    let topic = topic.into();
    Some(ServerFrame::Message { topic, at })
}

impl<'a> Fields<'a> {
    fn parse(self) -> Result<ServerFrame<'a>, Violation> {
        // In the order in which a client sees them most often. A header has one verb.
        if let Some(topic) = self.m {
            let verb = Verb("m");
            return Ok(ServerFrame::Message {
                topic: verb.text("m", Some(topic))?,
                at: verb.position("at", self.at)?,
            });
        }
        if let Some(number) = self.ok {
            let reference = Verb("ok").value("ok", Some(number))?;
            let reference = reference.and_then(Reference::new);
            return Ok(ServerFrame::Ok {
                reference: reference.ok_or(Verb("ok").invalid("ok"))?,
                answer: self.answer()?,
            });
        }
        if let Some(number) = self.err {
            return self.failure(number);
        }
        if let Some(topic) = self.lost {
            let verb = Verb("lost");
            return Ok(ServerFrame::Lost {
                topic: verb.text("lost", Some(topic))?,
                at: verb.position("at", self.at)?,
            });
        }
        if let Some(topic) = self.end {
            let verb = Verb("end");
            return Ok(ServerFrame::End {
                topic: verb.text("end", Some(topic))?,
                code: verb.code(self.code)?,
            });
        }
        if let Some(topic) = self.stir {
            return Ok(ServerFrame::Stir {
                topic: Verb("stir").text("stir", Some(topic))?,
            });
        }
        if let Some(number) = self.pong {
            return Ok(ServerFrame::Pong(
                Verb("pong").required("pong", Some(number))?,
            ));
        }
        if self.hello.is_some() {
            return self.hello().map(ServerFrame::Hello);
        }
        if self.bye.is_some() {
            return self.bye();
        }
        Ok(ServerFrame::Unknown)
    }

    fn answer(&self) -> Result<OkAnswer<'a>, Violation> {
        let verb = Verb("ok");
        Ok(if self.topic.is_some() {
            OkAnswer::Subscribed {
                topic: verb.text("topic", self.topic)?,
                at: verb.position("at", self.at)?,
                recovered: verb.value("recovered", self.recovered)?,
                missed: verb.value("missed", self.missed)?.unwrap_or_default(),
            }
        } else if let Some(at) = verb.position("stored", self.stored)? {
            OkAnswer::Stored(at)
        } else if let Some(members) = self.members {
            if !members.get().starts_with('[') {
                return Err(verb.invalid("members"));
            }
            OkAnswer::Members {
                members: members.get(),
                all: verb.value("all", self.all)?.unwrap_or_default(),
            }
        } else if self.count.is_some() {
            OkAnswer::Count(verb.required("count", self.count)?)
        } else {
            OkAnswer::Done
        })
    }

    fn failure(&self, number: &'a RawValue) -> Result<ServerFrame<'a>, Violation> {
        let verb = Verb("err");
        let number: u32 = verb.required("err", Some(number))?;
        let reference = Reference::new(number);
        if reference.is_none() && number != 0 {
            return Err(verb.invalid("err"));
        }
        let retry = verb.value("retry", self.retry)?;
        Ok(ServerFrame::Err {
            reference,
            code: verb.code(self.code)?,
            message: match self.message {
                Some(_) => verb.text("message", self.message)?,
                None => Cow::default(),
            },
            retry: retry.map(Duration::from_millis),
        })
    }

    fn hello(&self) -> Result<Hello<'a>, Violation> {
        let verb = Verb("hello");
        Ok(Hello {
            me: verb.text("me", self.me)?,
            node: verb.text("node", self.node)?,
            ping: Duration::from_secs(verb.required("ping", self.ping)?),
            topics: verb.required("topics", self.topics)?,
        })
    }

    fn bye(&self) -> Result<ServerFrame<'a>, Violation> {
        let verb = Verb("bye");
        let (least, most): (u64, u64) = verb.required("after", self.after)?;
        if least > most {
            return Err(verb.invalid("after"));
        }
        Ok(ServerFrame::Bye {
            least: Duration::from_millis(least),
            most: Duration::from_millis(most),
        })
    }
}

/// The verb of a header whose fields are read. Errors name it.
#[derive(Clone, Copy)]
struct Verb(&'static str);

impl Verb {
    fn invalid(self, field: &'static str) -> Violation {
        Violation::Field {
            verb: self.0,
            field,
        }
    }

    /// Reads a field that may be missing.
    fn value<'a, T: Deserialize<'a>>(
        self,
        field: &'static str,
        raw: Option<&'a RawValue>,
    ) -> Result<Option<T>, Violation> {
        let Some(raw) = raw else { return Ok(None) };
        json::value(raw).map(Some).ok_or(self.invalid(field))
    }

    /// Reads a field that must be there.
    fn required<'a, T: Deserialize<'a>>(
        self,
        field: &'static str,
        raw: Option<&'a RawValue>,
    ) -> Result<T, Violation> {
        self.value(field, raw)?.ok_or(self.invalid(field))
    }

    /// Reads a text that must be there.
    fn text<'a>(
        self,
        field: &'static str,
        raw: Option<&'a RawValue>,
    ) -> Result<Cow<'a, str>, Violation> {
        raw.and_then(json::text).ok_or(self.invalid(field))
    }

    fn code(self, raw: Option<&RawValue>) -> Result<ErrorCode, Violation> {
        let text = self.text("code", raw)?;
        Ok(text.parse().unwrap_or(ErrorCode::Internal))
    }

    fn position(
        self,
        field: &'static str,
        raw: Option<&RawValue>,
    ) -> Result<Option<Position>, Violation> {
        let Some(raw) = raw else { return Ok(None) };
        let at = json::text(raw).and_then(|text| text.parse().ok());
        at.map(Some).ok_or(self.invalid(field))
    }
}
