//! The settings of a channel.

use super::budget::Budget;
use crate::mailbox::policy::Overflow;
use crate::sync::Arc;

/// The settings of a channel. The default is that of an endpoint's broadcasts.
#[derive(Clone, Debug, Default)]
pub struct ChannelConfig {
    /// The policy for a message of this channel that finds no room in an outbox. Without one each mailbox's policy for
    /// broadcasts holds.
    pub overflow: Option<Overflow>,
    /// Whether the channel keeps only its newest message for a member that has not read. Such a message takes no room of
    /// an outbox, and has no order with the messages of other senders.
    pub is_conflated: bool,
    /// The budget of the bytes that the channel's log keeps. A message that it has no bytes for goes to each member by
    /// itself.
    pub budget: Option<Arc<Budget>>,
}
