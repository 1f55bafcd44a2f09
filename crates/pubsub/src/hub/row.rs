//! The rows of the table of a topic's states, by their names.

/// What happened to a topic: one row of the table in `topic.rs`, or one cause of a loss. The hub reports each by
/// [`Outlet::took`](super::Outlet::took).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Row {
    /// Idle: a join came.
    IdleJoin,
    /// Listening: a join came.
    ListeningJoin,
    /// Listening: a message came.
    ListeningEvent,
    /// Listening: the engine reports a gap.
    ListeningGap,
    /// Listening: the engine listens, the topic has no history.
    ListeningConfirmedOff,
    /// Listening: the engine listens, the topic has a history.
    ListeningConfirmed,
    /// Listening: the engine cannot listen.
    ListeningError,
    /// Reading: a message came.
    ReadingEvent,
    /// Reading: a join came.
    ReadingJoin,
    /// Reading: the engine reports a gap.
    ReadingGap,
    /// Reading: the reply is of another generation, or stale.
    ReadingOutdated,
    /// Reading: the reply and the waiting messages fit together.
    ReadingReply,
    /// Reading: the reply and the waiting messages do not fit together.
    ReadingUnsettled,
    /// Reading: the read failed, or failed to settle three times.
    ReadingFailed,
    /// Live: the next message came.
    LiveContinuous,
    /// Live: a message came that subscribers have.
    LiveKnown,
    /// Live: another message came.
    LiveOther,
    /// Live: a join came that needs no messages of the past.
    LiveJoin,
    /// Live: a join came, and the tail has what it needs.
    LiveJoinTail,
    /// Live: a join came that needs a read.
    LiveJoinFlight,
    /// Live: the reply of a flight leads to the topic's position.
    LiveFlightReply,
    /// Live: the reply of a flight does not lead to the topic's position.
    LiveFlightApart,
    /// Live: the reply of a flight leads beyond the topic's position, and a join comes from there.
    LiveFlightAhead,
    /// Live: the reply of a flight is of another generation, or stale.
    LiveFlightOutdated,
    /// Live: a flight failed.
    LiveFlightFailed,
    /// Live: the engine reports a gap.
    LiveGap,
    /// Live: the engine's position, asked in turn, is the topic's.
    LiveTurnEqual,
    /// Live: the engine's position, asked in turn, is another one.
    LiveTurnOther,
    /// Live: the topic moved on after its position was asked in turn.
    LiveTurnMoved,
    /// Live: the last subscriber left.
    LiveLastLeft,
    /// Stale: a message came.
    StaleEvent,
    /// Stale: a join came.
    StaleJoin,
    /// Stale: the engine listens again, the topic has no history.
    StaleConfirmedOff,
    /// Stale: the engine listens again, the topic has a history.
    StaleConfirmed,
    /// Stale: the engine's position is the topic's.
    StaleEqual,
    /// Stale: the engine has newer messages.
    StaleHigher,
    /// Stale: the engine is on another branch.
    StaleLost,
    /// Stale: the engine knows nothing of the topic.
    StaleUnknown,
    /// Stale: the engine did not answer.
    StaleError,
    /// Stale: the engine reports a gap.
    StaleGap,
    /// Stale: the waiting messages do not fit to the position.
    StaleUnsettled,
    /// Refilling: a message came.
    RefillingEvent,
    /// Refilling: a join came.
    RefillingJoin,
    /// Refilling: the reply has the missing messages, and the waiting ones fit.
    RefillingWhole,
    /// Refilling: the waiting messages do not fit to the reply.
    RefillingUnsettled,
    /// Refilling: the missing messages are lost.
    RefillingLost,
    /// Refilling: the third reply did not settle.
    RefillingThird,
    /// Refilling: the reply is of another generation, or stale.
    RefillingOutdated,
    /// Refilling: the read failed.
    RefillingError,
    /// Refilling: the engine reports a gap.
    RefillingGap,
    /// Lingering: the next message came, or a known one.
    LingeringEvent,
    /// Lingering: a join came.
    LingeringJoin,
    /// Lingering: another message came.
    LingeringOther,
    /// Lingering: the engine reports a gap.
    LingeringGap,
    /// Lingering: the time is over.
    LingeringOver,
    /// Closing: a join came.
    ClosingJoin,
    /// Closing: the engine no longer listens, and a join waits.
    ClosingReopened,
    /// Closing: the engine no longer listens, and no join waits.
    ClosingDone,
    /// Listening: no join is left.
    ListeningLeft,
    /// Reading: no join is left.
    ReadingLeft,
    /// Stale: neither subscriber nor join is left.
    StaleLeft,
    /// Refilling: neither subscriber nor join is left.
    RefillingLeft,
    /// Any state: a join waited too long.
    JoinTimeout,
    /// Any state: joins were evicted.
    Evicted,
    /// A join is lost: its position is of another epoch.
    JoinLostEpoch,
    /// A join is lost: the messages behind its position are not kept.
    JoinLostOld,
    /// A join is lost: the message at its position is of another branch.
    JoinLostBranch,
    /// A join is lost: its position lies beyond the newest one.
    JoinLostAhead,
    /// A join is lost: it would be told too many messages or bytes.
    JoinLostMuch,
    /// A join is lost: the topic had a value, and has none.
    JoinLostValue,
    /// A join is lost: the topic has no history.
    JoinLostOff,
    /// Subscribers lost messages: the feed of a topic without history had a gap.
    LostOff,
    /// Subscribers lost messages: the engine has another epoch.
    LostEpoch,
    /// Subscribers lost messages: the engine's position is lower.
    LostLower,
    /// Subscribers lost messages: another message is at their position.
    LostBranch,
    /// Subscribers lost messages: the engine cannot read behind their position.
    LostRead,
    /// Subscribers lost messages: three replies did not settle.
    LostUnsettled,
    /// Subscribers lost the value of a topic.
    LostValue,
}

impl Row {
    /// All rows, in the order of the table.
    pub const ALL: &[Self] = &[
        Self::IdleJoin,
        Self::ListeningJoin,
        Self::ListeningEvent,
        Self::ListeningGap,
        Self::ListeningConfirmedOff,
        Self::ListeningConfirmed,
        Self::ListeningError,
        Self::ReadingEvent,
        Self::ReadingJoin,
        Self::ReadingGap,
        Self::ReadingOutdated,
        Self::ReadingReply,
        Self::ReadingUnsettled,
        Self::ReadingFailed,
        Self::LiveContinuous,
        Self::LiveKnown,
        Self::LiveOther,
        Self::LiveJoin,
        Self::LiveJoinTail,
        Self::LiveJoinFlight,
        Self::LiveFlightReply,
        Self::LiveFlightApart,
        Self::LiveFlightAhead,
        Self::LiveFlightOutdated,
        Self::LiveFlightFailed,
        Self::LiveGap,
        Self::LiveTurnEqual,
        Self::LiveTurnOther,
        Self::LiveTurnMoved,
        Self::LiveLastLeft,
        Self::StaleEvent,
        Self::StaleJoin,
        Self::StaleConfirmedOff,
        Self::StaleConfirmed,
        Self::StaleEqual,
        Self::StaleHigher,
        Self::StaleLost,
        Self::StaleUnknown,
        Self::StaleError,
        Self::StaleGap,
        Self::StaleUnsettled,
        Self::RefillingEvent,
        Self::RefillingJoin,
        Self::RefillingWhole,
        Self::RefillingUnsettled,
        Self::RefillingLost,
        Self::RefillingThird,
        Self::RefillingOutdated,
        Self::RefillingError,
        Self::RefillingGap,
        Self::LingeringEvent,
        Self::LingeringJoin,
        Self::LingeringOther,
        Self::LingeringGap,
        Self::LingeringOver,
        Self::ClosingJoin,
        Self::ClosingReopened,
        Self::ClosingDone,
        Self::ListeningLeft,
        Self::ReadingLeft,
        Self::StaleLeft,
        Self::RefillingLeft,
        Self::JoinTimeout,
        Self::Evicted,
        Self::JoinLostEpoch,
        Self::JoinLostOld,
        Self::JoinLostBranch,
        Self::JoinLostAhead,
        Self::JoinLostMuch,
        Self::JoinLostValue,
        Self::JoinLostOff,
        Self::LostOff,
        Self::LostEpoch,
        Self::LostLower,
        Self::LostBranch,
        Self::LostRead,
        Self::LostUnsettled,
        Self::LostValue,
    ];
}
