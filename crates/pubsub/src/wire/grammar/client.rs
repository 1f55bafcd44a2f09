//! The frames of a client: requests, pings, and messages of the application.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use sockeye_proto::Message;

use super::code::{ErrorCode, Failure, Reference};
use super::content::Content;
use super::frame::{Frame, MAX_HEADER, Violation};
use super::json;
use crate::hub::Wants;
use crate::name::TopicName;

/// A frame of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the frames of one version")]
pub enum ClientFrame<'a> {
    /// A message of the application: the header is empty.
    App(Content<'a>),
    /// `ping`: asks for a `pong` with the same number.
    Ping(u64),
    /// A request about a topic, which is answered once.
    Request {
        /// The reference.
        reference: Reference,
        /// The topic.
        topic: TopicName,
        /// What the client asks for.
        request: Request<'a>,
    },
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the verbs of one version")]
pub enum Request<'a> {
    /// `sub`: subscribe.
    Subscribe {
        /// The stored messages that come first: all behind `at`, the last `recent`, or none.
        wants: Wants,
        /// What the member says of itself: JSON of at most [`MAX_MEMBER`] bytes. `None`: it does not join presence.
        member: Option<&'a str>,
    },
    /// `unsub`: leave.
    Unsubscribe,
    /// `pub`: publish.
    Publish {
        /// The key, which makes a repeated publish the same message.
        key: Option<Cow<'a, str>>,
        /// The message.
        body: Content<'a>,
    },
    /// `who`: list the members.
    Who {
        /// The most members to list. `None` leaves it to the server.
        max: Option<u32>,
    },
    /// `count`: count the members.
    Count,
}

/// Why a frame of a client is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a server acts on each")]
pub enum Unusable {
    /// The server answers with `err`, and the connection stays. A request without a reference is answered with 0.
    Refused {
        /// The reference of the request.
        reference: Option<Reference>,
        /// The answer.
        failure: Failure,
    },
    /// The server closes the connection with 1008.
    Violation(Violation),
}

/// The bytes that a header gets room for. Most are shorter.
const ROOM: usize = 96;

/// The longest text of a member about itself, in bytes of JSON.
pub const MAX_MEMBER: usize = 1024;

/// Returns whether a text can be what a member says of itself: JSON in one line, at most [`MAX_MEMBER`] bytes. A line feed
/// would end the header.
pub(crate) fn is_member(text: &str) -> bool {
    text.len() <= MAX_MEMBER
        && !text.contains('\n')
        && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The fields of a header. `null` is the same as no field.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields<'a> {
    #[serde(borrow)]
    sub: Option<&'a RawValue>,
    #[serde(borrow)]
    unsub: Option<&'a RawValue>,
    #[serde(borrow, rename = "pub")]
    publish: Option<&'a RawValue>,
    #[serde(borrow)]
    who: Option<&'a RawValue>,
    #[serde(borrow)]
    count: Option<&'a RawValue>,
    #[serde(borrow)]
    ping: Option<&'a RawValue>,
    #[serde(borrow, rename = "ref")]
    reference: Option<&'a RawValue>,
    #[serde(borrow)]
    at: Option<&'a RawValue>,
    #[serde(borrow)]
    recent: Option<&'a RawValue>,
    #[serde(borrow)]
    member: Option<&'a RawValue>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    max: Option<&'a RawValue>,
}

#[derive(Clone, Copy)]
enum Verb {
    Sub,
    Unsub,
    Pub,
    Who,
    Count,
}

/// The one verb of a header, and its value.
enum Named<'a> {
    Request(Verb, &'a RawValue),
    Ping(&'a RawValue),
}

impl<'a> ClientFrame<'a> {
    /// Parses a frame of a client.
    ///
    /// # Errors
    ///
    /// [`Unusable`], which says whether the connection stays.
    pub fn parse(frame: Content<'a>) -> Result<Self, Unusable> {
        let Frame { header, body } = Frame::split(frame, MAX_HEADER)?;
        if header.is_empty() {
            return Ok(Self::App(body));
        }
        let fields: Fields<'_> = json::fields(header)?;
        let named = fields
            .reference
            .and_then(|raw| Reference::new(json::number(raw)?));
        let refuse = |failure| Unusable::Refused {
            reference: named,
            failure,
        };
        let (verb, topic) = match fields.verb().map_err(refuse)? {
            Named::Request(verb, topic) => (verb, topic),
            Named::Ping(number) => {
                let number = json::number(number).ok_or_else(|| refuse(not_valid("ping")));
                return number.map(Self::Ping);
            }
        };
        let Some(reference) = named else {
            return Err(Violation::Reference { verb: verb.name() }.into());
        };
        let topic = topic_name(verb, topic).map_err(refuse)?;
        let request = match verb {
            Verb::Sub => Request::Subscribe {
                wants: fields.wants().map_err(refuse)?,
                member: fields.member().map_err(refuse)?,
            },
            Verb::Unsub => Request::Unsubscribe,
            Verb::Pub => Request::Publish {
                key: fields.key().map_err(refuse)?,
                body,
            },
            Verb::Who => Request::Who {
                max: number("max", fields.max).map_err(refuse)?,
            },
            Verb::Count => Request::Count,
        };
        Ok(Self::Request {
            reference,
            topic,
            request,
        })
    }

    /// Writes the frame.
    pub fn to_message(&self) -> Message {
        let mut header = String::with_capacity(ROOM);
        let mut content = Content::Text("");
        match self {
            Self::App(body) => content = *body,
            Self::Ping(number) => {
                json::write_display(&mut header, format_args!(r#"{{"ping":{number}}}"#))
            }
            Self::Request {
                reference,
                topic,
                request,
            } => {
                header.push_str("{\"");
                header.push_str(request.verb().name());
                header.push_str("\":");
                json::write_text(&mut header, topic);
                header.push_str(r#","ref":"#);
                json::write_number(&mut header, reference.get().into());
                request.write(&mut header);
                header.push('}');
                if let Request::Publish { body, .. } = request {
                    content = *body;
                }
            }
        }
        content.framed(&header)
    }
}

impl Request<'_> {
    fn verb(&self) -> Verb {
        match self {
            Self::Subscribe { .. } => Verb::Sub,
            Self::Unsubscribe => Verb::Unsub,
            Self::Publish { .. } => Verb::Pub,
            Self::Who { .. } => Verb::Who,
            Self::Count => Verb::Count,
        }
    }

    /// Writes the fields behind the topic and the reference.
    fn write(&self, out: &mut String) {
        match self {
            Self::Subscribe { wants, member } => {
                match wants {
                    Wants::Live => {}
                    Wants::Recent(count) => {
                        json::write_display(out, format_args!(r#","recent":{count}"#))
                    }
                    Wants::After(at) => {
                        out.push_str(r#","at":"#);
                        json::write_position(out, *at);
                    }
                }
                if let Some(member) = member {
                    json::write_display(out, format_args!(r#","member":{member}"#));
                }
            }
            Self::Publish { key: Some(key), .. } => {
                out.push_str(r#","key":"#);
                json::write_text(out, key);
            }
            Self::Who { max: Some(max) } => {
                json::write_display(out, format_args!(r#","max":{max}"#))
            }
            Self::Publish { key: None, .. }
            | Self::Who { max: None }
            | Self::Unsubscribe
            | Self::Count => {}
        }
    }
}

impl<'a> Fields<'a> {
    fn verb(&self) -> Result<Named<'a>, Failure> {
        let requests = [
            (Verb::Sub, self.sub),
            (Verb::Unsub, self.unsub),
            (Verb::Pub, self.publish),
            (Verb::Who, self.who),
            (Verb::Count, self.count),
        ];
        let mut requests = requests
            .into_iter()
            .filter_map(|(verb, value)| Some((verb, value?)));
        match (requests.next(), requests.next(), self.ping) {
            (Some((verb, value)), None, None) => Ok(Named::Request(verb, value)),
            (None, _, Some(number)) => Ok(Named::Ping(number)),
            (None, _, None) => Err(bad_request("the header has no verb that this server knows")),
            _ => Err(bad_request("the header has more than one verb")),
        }
    }

    fn wants(&self) -> Result<Wants, Failure> {
        Ok(match (self.at, number("recent", self.recent)?) {
            (None, None) => Wants::Live,
            (None, Some(count)) => Wants::Recent(count),
            (Some(at), None) => {
                let at = json::text(at).and_then(|at| at.parse().ok());
                Wants::After(at.ok_or_else(|| not_valid("at"))?)
            }
            (Some(_), Some(_)) => return Err(bad_request("the header has both `at` and `recent`")),
        })
    }

    fn member(&self) -> Result<Option<&'a str>, Failure> {
        let member = self.member.map(RawValue::get);
        if member.is_some_and(|member| member.len() > MAX_MEMBER) {
            return Err(Failure::new(
                ErrorCode::TooLarge,
                "`member` is longer than 1024 bytes",
            ));
        }
        Ok(member)
    }

    fn key(&self) -> Result<Option<Cow<'a, str>>, Failure> {
        let Some(raw) = self.key else { return Ok(None) };
        let key = json::text(raw).filter(|key| is_key(key));
        key.map(Some)
            .ok_or_else(|| bad_request("`key` is not a text of 22 to 64 visible ASCII characters"))
    }
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Sub => "sub",
            Self::Unsub => "unsub",
            Self::Pub => "pub",
            Self::Who => "who",
            Self::Count => "count",
        }
    }
}

impl From<Violation> for Unusable {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// Returns whether a text can be the key of a client's publish: 22 to 64 visible ASCII characters.
fn is_key(key: &str) -> bool {
    (22..=64).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

fn topic_name(verb: Verb, raw: &RawValue) -> Result<TopicName, Failure> {
    let name = json::text(raw).ok_or_else(|| not_valid(verb.name()))?;
    TopicName::new(&*name).map_err(|error| Failure::new(ErrorCode::BadTopic, error.to_string()))
}

fn number(field: &'static str, raw: Option<&RawValue>) -> Result<Option<u32>, Failure> {
    let Some(raw) = raw else { return Ok(None) };
    json::number(raw).map(Some).ok_or_else(|| not_valid(field))
}

fn not_valid(field: &str) -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        format!("the value of `{field}` is not valid"),
    )
}

fn bad_request(message: &'static str) -> Failure {
    Failure::new(ErrorCode::BadRequest, message)
}
