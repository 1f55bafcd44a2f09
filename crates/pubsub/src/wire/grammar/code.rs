//! References of requests, and the errors that answer them.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use crate::engine::{EngineError, EngineErrorKind, WasPublished};
use crate::error::{PublishError, SubscribeError};

/// The reference of a request: a number from 1 to 2³¹ that the client chooses. Its answer repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference(NonZeroU32);

impl Reference {
    /// The smallest reference: 1.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The largest reference: 2³¹.
    pub const MAX: u32 = 1 << 31;

    /// Returns the reference of this number; `None` for 0, and for more than [`MAX`](Self::MAX).
    pub fn new(number: u32) -> Option<Self> {
        let number = NonZeroU32::new(number)?;
        (number.get() <= Self::MAX).then_some(Self(number))
    }

    /// Returns the number.
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// Returns the reference that follows this one. The largest is followed by 1.
    #[must_use]
    pub fn next(self) -> Self {
        Self::new(self.get() + 1).unwrap_or(Self::FIRST)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The code of an error, or of the end of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// `bad-request`: the header is a JSON object, and no valid request.
    BadRequest,
    /// `bad-topic`: the text is not the name of a topic.
    BadTopic,
    /// `denied`: the server does not allow the request.
    Denied,
    /// `too-many`: the session or the node has as many subscriptions or topics as its limit allows.
    TooMany,
    /// `too-large`: the message, or what a member says of itself, is too large.
    TooLarge,
    /// `rate`: the client sends requests too fast.
    Rate,
    /// `unavailable`: the request was not carried out, and may succeed later.
    Unavailable,
    /// `evicted`: the server ended the subscription or the join.
    Evicted,
    /// `unknown`: the message may have been published.
    Unknown,
    /// `internal`: the server failed. The request was not carried out.
    Internal,
}

impl ErrorCode {
    const ALL: [Self; 10] = [
        Self::BadRequest,
        Self::BadTopic,
        Self::Denied,
        Self::TooMany,
        Self::TooLarge,
        Self::Rate,
        Self::Unavailable,
        Self::Evicted,
        Self::Unknown,
        Self::Internal,
    ];

    /// Returns the code as it stands in a header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::BadTopic => "bad-topic",
            Self::Denied => "denied",
            Self::TooMany => "too-many",
            Self::TooLarge => "too-large",
            Self::Rate => "rate",
            Self::Unavailable => "unavailable",
            Self::Evicted => "evicted",
            Self::Unknown => "unknown",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A code that this version does not know is `internal`: a newer server has it.
impl FromStr for ErrorCode {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|code| code.as_str() == text);
        Ok(known.unwrap_or(Self::Internal))
    }
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code, for programs.
    pub code: ErrorCode,
    /// The message, for people.
    pub message: Cow<'static, str>,
    /// The time after which the same request may succeed. `None` if repeating does not help.
    pub retry: Option<Duration>,
}

impl Failure {
    /// Makes a failure that repeating does not help.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retry: None,
        }
    }

    /// Makes a failure of a request that came too early: it may succeed after this time.
    pub fn rate(message: &'static str, retry: Duration) -> Self {
        Self::new(ErrorCode::Rate, message).retry(retry)
    }

    /// Sets the time after which the same request may succeed.
    #[must_use]
    pub fn retry(self, retry: Duration) -> Self {
        Self {
            retry: Some(retry),
            ..self
        }
    }
}

impl From<SubscribeError> for Failure {
    fn from(error: SubscribeError) -> Self {
        let code = match &error {
            SubscribeError::Invalid(name) => {
                return Self::new(ErrorCode::BadTopic, name.to_string());
            }
            SubscribeError::Unavailable { retry } => {
                let message = "the topic is unavailable now";
                return Self::new(ErrorCode::Unavailable, message).retry(*retry);
            }
            SubscribeError::Denied(why) => return Self::new(ErrorCode::Denied, why.clone()),
            SubscribeError::TooMany => ErrorCode::TooMany,
            SubscribeError::MemberTooLarge { .. } => ErrorCode::TooLarge,
            SubscribeError::MemberNotJson => ErrorCode::BadRequest,
            SubscribeError::Evicted => ErrorCode::Evicted,
            SubscribeError::Closed => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        let code = match &error {
            PublishError::Invalid(name) => {
                return Self::new(ErrorCode::BadTopic, name.to_string());
            }
            PublishError::Full => {
                return Self::new(ErrorCode::Unavailable, error.to_string()).retry(ENGINE_RETRY);
            }
            PublishError::Engine(error) => return error.into(),
            PublishError::TooLarge { .. } => ErrorCode::TooLarge,
            PublishError::Denied(why) => return Self::new(ErrorCode::Denied, why.clone()),
            PublishError::Key(_) => ErrorCode::BadRequest,
            PublishError::Encode(_) => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}

/// The details of the engine's error may name its address, so they stay on the server.
impl From<&EngineError> for Failure {
    fn from(error: &EngineError) -> Self {
        if error.published == WasPublished::Maybe {
            return Self::new(ErrorCode::Unknown, "the message may have been published");
        }
        match error.kind {
            EngineErrorKind::Rejected | EngineErrorKind::Unsupported => {
                Self::new(ErrorCode::Internal, "the engine refused the request")
            }
            EngineErrorKind::Unavailable
            | EngineErrorKind::Timeout
            | EngineErrorKind::Late
            | EngineErrorKind::Full => {
                let message = "the engine is unavailable now";
                Self::new(ErrorCode::Unavailable, message).retry(ENGINE_RETRY)
            }
        }
    }
}

/// When a request that the engine could not take may be repeated.
const ENGINE_RETRY: Duration = Duration::from_secs(1);
