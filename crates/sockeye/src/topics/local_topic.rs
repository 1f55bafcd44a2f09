//! The subscribers of one topic on this node.
//!
//! A topic has a channel for each form in which its subscribers take messages. *Raw* is the message as it was published.
//! *Enveloped* is the message behind a header of the subprotocol. A channel exists once it has a subscriber. Each message is
//! framed once for each channel.

use sockeye_mailbox::ChannelConfig;
use sockeye_pubsub::TopicName;

use super::form::Form;
use crate::connection::direct::Channel;
use crate::endpoint::Session;
use crate::sync::Arc;

/// The sessions that take the messages of a topic in one form.
pub(super) type TopicChannel = Channel<Session, TopicName>;

/// The subscribers of one topic.
#[derive(Default)]
pub(super) struct LocalTopic {
    raw: Option<Arc<TopicChannel>>,
    #[cfg(feature = "topics-wire")]
    enveloped: Option<Arc<TopicChannel>>,
}

impl LocalTopic {
    /// Returns the channel of a form, if it ever had a subscriber.
    pub(super) fn existing(&self, form: Form) -> Option<&Arc<TopicChannel>> {
        match form {
            Form::Raw => self.raw.as_ref(),
            #[cfg(feature = "topics-wire")]
            Form::Enveloped => self.enveloped.as_ref(),
        }
    }

    /// Returns the channel of a form. A new one gets the topic's name, and its settings by `config`.
    pub(super) fn channel(
        &mut self,
        form: Form,
        name: &TopicName,
        config: impl FnOnce() -> ChannelConfig,
    ) -> &Arc<TopicChannel> {
        let place = match form {
            Form::Raw => &mut self.raw,
            #[cfg(feature = "topics-wire")]
            Form::Enveloped => &mut self.enveloped,
        };
        place.get_or_insert_with(|| Channel::named(name.clone(), config()))
    }
}
