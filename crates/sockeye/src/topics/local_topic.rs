//! The subscribers of one topic on this node.
//!
//! A topic has a channel for each form in which its subscribers take messages: *raw*, which is the message as it was
//! published, and *enveloped*, with the header of the subprotocol. A channel exists once it has a subscriber. Each message
//! is framed once for each channel.

use std::sync::OnceLock;

use sockeye_mailbox::ChannelConfig;
use sockeye_pubsub::TopicName;

use super::form::Form;
use crate::connection::direct::Channel;
use crate::endpoint::Session;
use crate::sync::Arc;

/// The subscribers of one topic.
pub(super) struct LocalTopic {
    name: TopicName,
    #[cfg(feature = "topics-wire")]
    is_conflated: bool,
    raw: OnceLock<Arc<Channel<Session>>>,
    #[cfg(feature = "topics-wire")]
    enveloped: OnceLock<Arc<Channel<Session>>>,
}

impl LocalTopic {
    /// The place for the subscribers of a topic. With `is_conflated` a slow one gets only the newest message.
    pub(super) fn new(name: TopicName, is_conflated: bool) -> Self {
        let _ = is_conflated;
        Self {
            name,
            #[cfg(feature = "topics-wire")]
            is_conflated,
            raw: OnceLock::new(),
            #[cfg(feature = "topics-wire")]
            enveloped: OnceLock::new(),
        }
    }

    #[cfg(feature = "topics-wire")]
    pub(super) fn is_conflated(&self) -> bool {
        self.is_conflated
    }

    pub(super) fn name(&self) -> &TopicName {
        &self.name
    }

    /// Returns the channel of a form, if it ever had a subscriber.
    pub(super) fn existing(&self, form: Form) -> Option<&Arc<Channel<Session>>> {
        self.place(form).get()
    }

    /// Returns the channel of a form. `config` makes the settings of a new one.
    pub(super) fn channel(
        &self,
        form: Form,
        config: impl FnOnce() -> ChannelConfig,
    ) -> &Arc<Channel<Session>> {
        self.place(form).get_or_init(|| Channel::new(config()))
    }

    fn place(&self, form: Form) -> &OnceLock<Arc<Channel<Session>>> {
        match form {
            Form::Raw => &self.raw,
            #[cfg(feature = "topics-wire")]
            Form::Enveloped => &self.enveloped,
        }
    }
}
