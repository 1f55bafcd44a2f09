//! The states of the link, as a table without a clock and without a socket.
//!
//! The link begins in Starting, with both connections open.
//!
//! ```text
//!            pause is over            both are open              all is subscribed
//!   Down ───────────────▶ Connecting ──────────────▶ Subscribing ────────────────▶ Ready
//!    ▲ ▲                       │                      │  ▲     │                   │  │
//!    │ └── it fails ───────────┘           feed opens │  │     │ feed ends         │  │
//!    │                                                │  └──── Deaf ◀──────────────┘  │
//!    └── commands end ── Deaf, Subscribing ◀──────────┘                               │
//!    └── commands end ────────────────────────────────────────────────────────────────┘
//!
//!   Starting ── all is subscribed ──▶ Ready     Starting ── feed ends ──▶ Deaf
//!   Starting ── commands end ──▶ Down           any ── stop ──▶ Stopped
//! ```

use sockeye_pubsub::engine::EngineState;

/// The state of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// Both connections are open for the first time. The topics are being subscribed, and nothing was lost.
    Starting,
    /// There is no connection. The link waits before it tries again.
    Down,
    /// The link opens both connections.
    Connecting,
    /// Both connections are open. The topics are being subscribed.
    Subscribing,
    /// All works.
    Ready,
    /// Commands work. The link opens the feed again.
    Deaf,
    /// The engine was stopped. The link never leaves this state.
    Stopped,
}

/// What happens to the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkEvent {
    /// The pause before a new attempt is over.
    PauseOver,
    /// The connections cannot be opened.
    ConnectFailed,
    /// Both connections are open.
    Connected,
    /// The feed is open again.
    FeedOpened,
    /// All topics are subscribed.
    Subscribed,
    /// The feed ended.
    FeedEnded,
    /// The connection for commands ended.
    CommandsEnded,
    /// The engine is to stop.
    Stop,
}

impl LinkState {
    /// Returns the state behind an event. `None` for an event that comes too late for this state.
    pub(crate) fn after(self, event: LinkEvent) -> Option<Self> {
        use LinkEvent as E;
        Some(match (self, event) {
            (Self::Stopped, _) => return None,
            (_, E::Stop) => Self::Stopped,
            (Self::Down, E::PauseOver) => Self::Connecting,
            (Self::Connecting, E::ConnectFailed) => Self::Down,
            (Self::Starting, E::Connected) => Self::Starting,
            (Self::Connecting, E::Connected) | (Self::Deaf, E::FeedOpened) => Self::Subscribing,
            (Self::Starting | Self::Subscribing, E::Subscribed) => Self::Ready,
            (Self::Starting | Self::Subscribing | Self::Ready, E::FeedEnded) => Self::Deaf,
            (Self::Starting | Self::Subscribing | Self::Ready | Self::Deaf, E::CommandsEnded) => {
                Self::Down
            }
            _ => return None,
        })
    }

    /// Returns what the hub and operators are told. A slow server is degraded, and so is a link whose feed is not complete:
    /// publishes and reads work.
    pub(crate) fn to_engine(self, is_slow: bool) -> EngineState {
        match self {
            Self::Down | Self::Connecting | Self::Stopped => EngineState::Down,
            Self::Starting => EngineState::Degraded("topics are being subscribed"),
            Self::Subscribing => EngineState::Degraded("topics are being subscribed again"),
            Self::Deaf => EngineState::Degraded("messages of other nodes do not come"),
            Self::Ready if is_slow => EngineState::Degraded("the server answers slowly"),
            Self::Ready => EngineState::Ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LinkEvent as E;
    use super::LinkState as S;
    use super::*;

    const STATES: [S; 7] = [
        S::Starting,
        S::Down,
        S::Connecting,
        S::Subscribing,
        S::Ready,
        S::Deaf,
        S::Stopped,
    ];

    #[test]
    fn the_states_follow_the_graph_and_no_other_way() {
        let graph = [
            (S::Starting, E::Connected, S::Starting),
            (S::Starting, E::Subscribed, S::Ready),
            (S::Starting, E::FeedEnded, S::Deaf),
            (S::Starting, E::CommandsEnded, S::Down),
            (S::Down, E::PauseOver, S::Connecting),
            (S::Connecting, E::ConnectFailed, S::Down),
            (S::Connecting, E::Connected, S::Subscribing),
            (S::Subscribing, E::Subscribed, S::Ready),
            (S::Subscribing, E::FeedEnded, S::Deaf),
            (S::Subscribing, E::CommandsEnded, S::Down),
            (S::Ready, E::FeedEnded, S::Deaf),
            (S::Ready, E::CommandsEnded, S::Down),
            (S::Deaf, E::FeedOpened, S::Subscribing),
            (S::Deaf, E::CommandsEnded, S::Down),
        ];
        for from in STATES {
            for event in [
                E::PauseOver,
                E::ConnectFailed,
                E::Connected,
                E::FeedOpened,
                E::Subscribed,
                E::FeedEnded,
                E::CommandsEnded,
            ] {
                let drawn = graph
                    .iter()
                    .find(|(state, on, _)| (*state, *on) == (from, event));
                let expected = drawn.map(|(_, _, to)| *to);
                assert_eq!(from.after(event), expected, "{from:?} on {event:?}");
            }
            let stopped = (from != S::Stopped).then_some(S::Stopped);
            assert_eq!(from.after(E::Stop), stopped, "{from:?}");
        }
    }

    #[test]
    fn the_engine_is_down_exactly_while_commands_do_not_work() {
        for state in STATES {
            let is_down = matches!(state, S::Down | S::Connecting | S::Stopped);
            for is_slow in [false, true] {
                let told = state.to_engine(is_slow);
                assert_eq!(told == EngineState::Down, is_down, "{state:?}");
            }
        }
        assert_eq!(S::Ready.to_engine(false), EngineState::Ready);
        assert_ne!(S::Ready.to_engine(true), EngineState::Ready);
    }
}
