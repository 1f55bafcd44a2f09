//! The forms in which sessions take the messages of topics.

#[cfg(feature = "topics-wire")]
use sockeye_pubsub::wire::{self, ErrorCode, ServerFrame};
use sockeye_pubsub::{Delivered, Entry, TopicName};

use crate::endpoint::Session;
use crate::proto::Outgoing;

/// The form in which a session takes the messages of topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The message as it was published.
    Raw,
    /// The message behind a header of the subprotocol.
    #[cfg(feature = "topics-wire")]
    Enveloped,
}

/// Why the server ends a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The permission has ended.
    Denied,
    /// The application has ended it.
    Evicted,
}

impl Form {
    #[cfg(not(feature = "topics-wire"))]
    pub(super) const ALL: [Self; 1] = [Self::Raw];
    #[cfg(feature = "topics-wire")]
    pub(super) const ALL: [Self; 2] = [Self::Raw, Self::Enveloped];

    /// Returns the form that a session takes.
    pub(super) fn of(session: &Session) -> Self {
        #[cfg(feature = "topics-wire")]
        if session.is_enveloped() {
            return Self::Enveloped;
        }
        let _ = session;
        Self::Raw
    }

    /// Returns a message in this form.
    pub(super) fn message(self, topic: &TopicName, delivered: &Delivered) -> Outgoing {
        let _ = topic;
        match self {
            Self::Raw => delivered.body().clone().into(),
            #[cfg(feature = "topics-wire")]
            Self::Enveloped => wire::envelope(topic, delivered.position(), delivered.body()),
        }
    }

    /// Tells a session that the server has ended its subscription.
    pub(super) fn tell_end(self, session: &Session, topic: &TopicName, ending: Ending) {
        match self {
            Self::Raw => {}
            #[cfg(feature = "topics-wire")]
            Self::Enveloped => {
                let code = match ending {
                    Ending::Denied => ErrorCode::Denied,
                    Ending::Evicted => ErrorCode::Evicted,
                };
                session.push_frames([ServerFrame::End {
                    topic: topic.as_str().into(),
                    code,
                }
                .to_text()]);
            }
        }
        let _ = (session, topic, ending);
    }

    /// Returns a stored message in this form.
    pub(super) fn entry(self, topic: &TopicName, entry: &Entry) -> Outgoing {
        let _ = topic;
        match self {
            Self::Raw => entry.body.clone().into(),
            #[cfg(feature = "topics-wire")]
            Self::Enveloped => wire::envelope(topic, Some(entry.position), &entry.body),
        }
    }
}
