//! Where a client stands in one topic while its log is read.

use sockeye_pubsub::{MessageId, Position};

use super::logs::Millis;

/// Where a client stands in one topic.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    /// Whether the client has this standing: the others are of earlier clients.
    pub(super) is_touched: bool,
    pub(super) is_subscribed: bool,
    /// Since when a join waits for its answer.
    pub(super) asked: Option<Millis>,
    /// The number of the segment, which differs between all clients and topics. 0 before the first.
    pub(super) segment: u32,
    /// The last position that the client was told.
    pub(super) at: Option<Position>,
    /// The last message of the segment, of a topic that keeps the latest value.
    pub(super) value: Option<MessageId>,
    /// When the subscription began.
    pub(super) since: Millis,
    /// Whether the subscription recovered.
    pub(super) recovered: bool,
    /// Whether a message came since the subscription began.
    pub(super) has_message: bool,
    /// How many messages the replay has.
    pub(super) missed: u32,
    /// How many messages of the replay are still to come.
    pub(super) replay: u32,
}

impl Standing {
    /// Begins a new segment at a position.
    pub(super) fn begin(&mut self, segment: u32, at: Option<Position>) {
        self.segment = segment;
        self.at = at;
        self.value = None;
    }

    /// Ends the subscription. The position stays.
    pub(super) fn end(&mut self) {
        self.is_subscribed = false;
        self.asked = None;
        self.replay = 0;
    }

    /// Returns whether the messages that come now are a part of what `recovered: true` promised.
    pub(super) fn is_recovering(&self) -> bool {
        self.recovered && (self.replay > 0 || !self.has_message)
    }
}
