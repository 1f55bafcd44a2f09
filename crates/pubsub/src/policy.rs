//! What holds for the topics of a pattern: history, presence, and what clients may do.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

/// The rules for the topics of one pattern, as an application writes them. They are checked when they are added to
/// [`Patterns`](crate::Patterns).
///
/// ```
/// use std::time::Duration;
/// use sockeye_pubsub::{History, Policy, Presence};
///
/// let chat = Policy::new()
///     .history(History::window(100, Duration::from_secs(3600)))
///     .presence(Presence::members(500));
/// # let _ = chat;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Policy(Rules);

/// The checked rules for the topics of one pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// The messages that the engine keeps.
    pub history: History,
    /// Whether topics know their members.
    pub presence: Presence,
    /// What clients may do.
    pub clients: Clients,
    /// The variable of the pattern that must equal a client's principal.
    pub owner: Option<Arc<str>>,
    /// The length of the longest message, in bytes.
    pub max_message: usize,
    /// What becomes of a message for a subscriber that reads too slowly. It holds for topics without history.
    pub slow_subscriber: SlowSubscriber,
}

/// Which messages of a topic an engine keeps for subscribers that come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct History {
    kept: Kept,
    /// The first setting that does not fit what is kept.
    unfit: Option<Unfit>,
}

/// The messages that a history keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "an engine keeps each in its own way"
)]
pub enum Kept {
    /// None.
    #[default]
    Off,
    /// The newest message.
    Latest {
        /// The time for which the message is kept.
        ttl: Duration,
    },
    /// The newest messages. A message is readable while all three limits hold.
    Window {
        /// The number of messages.
        count: u32,
        /// The age at which a message is no longer readable.
        age: Duration,
        /// The number of payload bytes, counted back from the newest message.
        bytes: usize,
    },
}

/// A setting that does not fit the kind of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unfit {
    Ttl,
    Bytes,
}

/// Whether a topic knows its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct Presence {
    known: Known,
    /// Whether `show_principal` was set on a presence without members.
    unfit: bool,
}

/// What a topic knows of its members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the hub serves each in its own way"
)]
pub enum Known {
    /// Nothing.
    #[default]
    Off,
    /// Their number.
    Count,
    /// Each member.
    Members {
        /// The number of members beyond which a list is cut.
        max: u32,
        /// Whether clients see the principals of members.
        show_principal: bool,
    },
}

/// What clients may do with the topics of a pattern by the subprotocol. Server code may do everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Clients {
    may_subscribe: bool,
    may_publish: bool,
}

/// What becomes of a message of a topic without history for a subscriber that reads too slowly. It is not the `Overflow` of
/// an endpoint, which is the policy for what an application sends to one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlowSubscriber {
    /// The session is closed with 1013, "try again later".
    #[default]
    Close,
    /// The oldest messages that wait are dropped.
    DropOldest,
    /// The new message is dropped.
    DropNewest,
}

/// The error for a policy that breaks a limit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("topic pattern `{pattern}`: {mistake}")]
pub struct PolicyError {
    pattern: Box<str>,
    mistake: PolicyMistake,
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PolicyMistake {
    /// The number of messages of a window is out of range.
    #[error("a window has 1 to {max} messages, not {count}", max = History::MAX_COUNT)]
    Count {
        /// The number that was given.
        count: u32,
    },
    /// The age of a window is out of range.
    #[error("the age of a window is 1 ms to {max:?}, not {age:?}", max = History::MAX_AGE)]
    Age {
        /// The age that was given.
        age: Duration,
    },
    /// The time for which the latest message is kept is out of range.
    #[error("the latest message is kept for 1 ms to {max:?}, not {ttl:?}", max = History::MAX_TTL)]
    Ttl {
        /// The time that was given.
        ttl: Duration,
    },
    /// The number of bytes of a window is out of range.
    #[error("a window has 1 to {max} bytes, not {bytes}", max = History::MAX_BYTES)]
    Bytes {
        /// The number that was given.
        bytes: usize,
    },
    /// The longest message is longer than the window.
    #[error(
        "a window of {bytes} bytes cannot hold a message of {max_message} bytes; raise `bytes` or lower `max_message`"
    )]
    WindowTooSmall {
        /// The bytes of the window.
        bytes: usize,
        /// The length of the longest message.
        max_message: usize,
    },
    /// A setting does not fit the kind of history.
    #[error("`{setting}` is a setting of {kind}, which this history is not")]
    Setting {
        /// The name of the setting.
        setting: &'static str,
        /// The kind of history that has the setting.
        kind: &'static str,
    },
    /// The limit of members is out of range.
    #[error("a list of members has 1 to {limit} members, not {max}", limit = Presence::MAX_MEMBERS)]
    Members {
        /// The limit that was given.
        max: u32,
    },
    /// Principals are shown, but members are not.
    #[error("`show_principal` is a setting of `Presence::members`, which this presence is not")]
    Principal,
    /// The limit of a message is out of range.
    #[error("the longest message has 1 to {limit} bytes, not {max_message}", limit = Policy::MAX_MESSAGE)]
    Message {
        /// The limit that was given.
        max_message: usize,
    },
    /// The owner is not a variable of the pattern.
    #[error(
        "the owner `{owner}` is not a variable of the pattern; write `{{{owner}}}` as one of its segments"
    )]
    Owner {
        /// The name that was given.
        owner: Arc<str>,
    },
}

impl Policy {
    /// The highest limit for one message, in bytes.
    pub const MAX_MESSAGE: usize = 16 << 20;

    /// Makes a policy without history and presence. Clients may neither subscribe nor publish.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets which messages are kept for subscribers that come later. By default none is.
    pub fn history(mut self, history: History) -> Self {
        self.0.history = history;
        self
    }

    /// Sets whether topics know their members. By default they do not.
    pub fn presence(mut self, presence: Presence) -> Self {
        self.0.presence = presence;
        self
    }

    /// Sets what clients may do. By default they may do nothing.
    pub fn clients(mut self, clients: Clients) -> Self {
        self.0.clients = clients;
        self
    }

    /// Names a variable of the pattern. Clients may use a topic only if its value for the variable is their principal.
    pub fn owner(mut self, variable: impl Into<Arc<str>>) -> Self {
        self.0.owner = Some(variable.into());
        self
    }

    /// Sets the length of the longest message, in bytes. The default is 64 KiB.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.0.max_message = bytes;
        self
    }

    /// Sets what becomes of a message for a subscriber that reads too slowly. By default its session is closed. The
    /// setting holds for topics without history.
    pub fn slow_subscriber(mut self, then: SlowSubscriber) -> Self {
        self.0.slow_subscriber = then;
        self
    }

    /// Checks the policy for a pattern with these variables.
    pub(crate) fn check<'v>(
        self,
        pattern: &str,
        mut variables: impl Iterator<Item = &'v str>,
    ) -> Result<Rules, PolicyError> {
        let rules = self.0;
        let refuse = |mistake| PolicyError {
            pattern: pattern.into(),
            mistake,
        };
        rules.check().map_err(refuse)?;
        if let Some(owner) = &rules.owner
            && !variables.any(|variable| variable == &**owner)
        {
            return Err(refuse(PolicyMistake::Owner {
                owner: owner.clone(),
            }));
        }
        Ok(rules)
    }
}

impl Rules {
    fn check(&self) -> Result<(), PolicyMistake> {
        let max_message = self.max_message;
        if !(1..=Policy::MAX_MESSAGE).contains(&max_message) {
            return Err(PolicyMistake::Message { max_message });
        }
        self.history.check()?;
        if let Kept::Window { bytes, .. } = self.history.kept
            && bytes < max_message
        {
            return Err(PolicyMistake::WindowTooSmall { bytes, max_message });
        }
        self.presence.check()
    }
}

impl History {
    /// The highest number of messages of a window.
    pub const MAX_COUNT: u32 = 10_000;
    /// The highest age of a message in a window.
    pub const MAX_AGE: Duration = Duration::from_secs(7 * DAY);
    /// The longest time for which the latest message is kept.
    pub const MAX_TTL: Duration = Duration::from_secs(365 * DAY);
    /// The highest number of bytes of a window.
    pub const MAX_BYTES: usize = 64 << 20;

    /// Keeps nothing.
    pub fn off() -> Self {
        Self::of(Kept::Off)
    }

    /// Keeps the newest message, for 7 days.
    pub fn latest() -> Self {
        Self::of(Kept::Latest {
            ttl: Duration::from_secs(7 * DAY),
        })
    }

    /// Keeps the newest messages: at most `count`, none older than `age`, and 512 KiB in all.
    pub fn window(count: u32, age: Duration) -> Self {
        Self::of(Kept::Window {
            count,
            age,
            bytes: 512 << 10,
        })
    }

    /// Sets the time for which the [latest](Self::latest) message is kept.
    pub fn ttl(mut self, time: Duration) -> Self {
        match &mut self.kept {
            Kept::Latest { ttl } => *ttl = time,
            Kept::Off | Kept::Window { .. } => self.unfit = self.unfit.or(Some(Unfit::Ttl)),
        }
        self
    }

    /// Sets the number of payload bytes that a [window](Self::window) keeps.
    pub fn bytes(mut self, number: usize) -> Self {
        match &mut self.kept {
            Kept::Window { bytes, .. } => *bytes = number,
            Kept::Off | Kept::Latest { .. } => self.unfit = self.unfit.or(Some(Unfit::Bytes)),
        }
        self
    }

    /// Returns what is kept.
    pub fn kept(self) -> Kept {
        self.kept
    }

    /// Returns whether nothing is kept.
    pub fn is_off(self) -> bool {
        self.kept == Kept::Off
    }

    /// Returns whether only the newest message is kept.
    pub fn is_latest(self) -> bool {
        matches!(self.kept, Kept::Latest { .. })
    }

    fn of(kept: Kept) -> Self {
        Self { kept, unfit: None }
    }

    fn check(self) -> Result<(), PolicyMistake> {
        match self.unfit {
            Some(Unfit::Ttl) => {
                return Err(PolicyMistake::Setting {
                    setting: "ttl",
                    kind: "`History::latest`",
                });
            }
            Some(Unfit::Bytes) => {
                return Err(PolicyMistake::Setting {
                    setting: "bytes",
                    kind: "`History::window`",
                });
            }
            None => {}
        }
        match self.kept {
            Kept::Off => Ok(()),
            Kept::Latest { ttl } if !(MOMENT..=Self::MAX_TTL).contains(&ttl) => {
                Err(PolicyMistake::Ttl { ttl })
            }
            Kept::Window { count, .. } if !(1..=Self::MAX_COUNT).contains(&count) => {
                Err(PolicyMistake::Count { count })
            }
            Kept::Window { age, .. } if !(MOMENT..=Self::MAX_AGE).contains(&age) => {
                Err(PolicyMistake::Age { age })
            }
            Kept::Window { bytes, .. } if !(1..=Self::MAX_BYTES).contains(&bytes) => {
                Err(PolicyMistake::Bytes { bytes })
            }
            Kept::Latest { .. } | Kept::Window { .. } => Ok(()),
        }
    }
}

impl Presence {
    /// The highest limit for a list of members.
    pub const MAX_MEMBERS: u32 = 10_000;

    /// Topics know nothing of their members.
    pub fn off() -> Self {
        Self::of(Known::Off)
    }

    /// Topics know the number of their members.
    pub fn count() -> Self {
        Self::of(Known::Count)
    }

    /// Topics know their members. A list has at most `max`.
    pub fn members(max: u32) -> Self {
        Self::of(Known::Members {
            max,
            show_principal: false,
        })
    }

    /// Shows the principals of members to clients. A principal is often an e-mail address.
    pub fn show_principal(mut self) -> Self {
        match &mut self.known {
            Known::Members { show_principal, .. } => *show_principal = true,
            Known::Off | Known::Count => self.unfit = true,
        }
        self
    }

    /// Returns what is known.
    pub fn known(self) -> Known {
        self.known
    }

    fn of(known: Known) -> Self {
        Self {
            known,
            unfit: false,
        }
    }

    fn check(self) -> Result<(), PolicyMistake> {
        match self.known {
            _ if self.unfit => Err(PolicyMistake::Principal),
            Known::Members { max, .. } if !(1..=Self::MAX_MEMBERS).contains(&max) => {
                Err(PolicyMistake::Members { max })
            }
            Known::Off | Known::Count | Known::Members { .. } => Ok(()),
        }
    }
}

impl Clients {
    /// Clients may do nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Clients may subscribe.
    pub fn subscribe() -> Self {
        Self {
            may_subscribe: true,
            may_publish: false,
        }
    }

    /// Clients may subscribe and publish.
    pub fn publish() -> Self {
        Self {
            may_subscribe: true,
            may_publish: true,
        }
    }

    /// Returns whether clients may subscribe.
    pub fn may_subscribe(self) -> bool {
        self.may_subscribe
    }

    /// Returns whether clients may publish.
    pub fn may_publish(self) -> bool {
        self.may_publish
    }
}

impl PolicyError {
    /// Returns the pattern whose policy is wrong.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Returns what is wrong.
    pub fn mistake(&self) -> &PolicyMistake {
        &self.mistake
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            history: History::default(),
            presence: Presence::default(),
            clients: Clients::default(),
            owner: None,
            max_message: 64 << 10,
            slow_subscriber: SlowSubscriber::default(),
        }
    }
}

impl Default for History {
    fn default() -> Self {
        Self::off()
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self::off()
    }
}

/// The number of seconds of a day.
const DAY: u64 = 24 * 3600;

/// The shortest time for which a message is kept: engines count milliseconds.
const MOMENT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of the error for a policy of `room/{id}`.
    fn refusal(policy: Policy) -> String {
        policy
            .check("room/{id}", ["id"].into_iter())
            .unwrap_err()
            .to_string()
    }

    fn accepted(policy: Policy) -> Rules {
        policy.check("room/{id}", ["id"].into_iter()).unwrap()
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_new_policy_keeps_nothing_and_lets_clients_do_nothing() {
        let rules = accepted(Policy::new());
        assert_eq!(rules.history.kept(), Kept::Off);
        assert_eq!(rules.presence.known(), Known::Off);
        assert!(!rules.clients.may_subscribe() && !rules.clients.may_publish());
        assert_eq!(rules.max_message, 65_536);
        assert_eq!(rules.slow_subscriber, SlowSubscriber::Close);
        assert_eq!(rules.owner, None);
    }

    #[test]
    fn histories_have_their_defaults() {
        assert_eq!(
            History::window(100, HOUR).kept(),
            Kept::Window {
                count: 100,
                age: HOUR,
                bytes: 524_288
            }
        );
        assert_eq!(
            History::latest().kept(),
            Kept::Latest {
                ttl: Duration::from_secs(604_800)
            }
        );
        assert_eq!(
            History::latest().ttl(HOUR).kept(),
            Kept::Latest { ttl: HOUR }
        );
    }

    #[test]
    fn clients_that_may_publish_may_subscribe_too() {
        assert!(Clients::publish().may_subscribe() && Clients::publish().may_publish());
        assert!(Clients::subscribe().may_subscribe() && !Clients::subscribe().may_publish());
        assert_eq!(Clients::none(), Clients::default());
    }

    #[test]
    fn each_limit_is_accepted_itself() {
        let week = Duration::from_secs(604_800);
        for history in [
            History::window(1, Duration::from_millis(1)),
            History::window(10_000, week).bytes(64 << 20),
            History::latest().ttl(Duration::from_millis(1)),
            History::latest().ttl(History::MAX_TTL),
        ] {
            accepted(Policy::new().history(history));
        }
        for max in [1, 10_000] {
            accepted(Policy::new().presence(Presence::members(max).show_principal()));
        }
        for bytes in [1, 16 << 20] {
            accepted(Policy::new().max_message(bytes));
        }
        accepted(
            Policy::new()
                .history(History::window(1, HOUR).bytes(65_536))
                .owner("id"),
        );
    }

    #[test]
    fn a_broken_limit_is_refused_with_the_pattern_the_mistake_and_the_limit() {
        let window = |history| Policy::new().history(history);
        let second = Duration::from_secs(1);
        for (policy, text) in [
            (
                window(History::window(0, HOUR)),
                "a window has 1 to 10000 messages, not 0",
            ),
            (
                window(History::window(10_001, HOUR)),
                "a window has 1 to 10000 messages, not 10001",
            ),
            (
                window(History::window(1, Duration::ZERO)),
                "the age of a window is 1 ms to 604800s, not 0ns",
            ),
            (
                window(History::window(1, History::MAX_AGE + second)),
                "the age of a window is 1 ms to 604800s, not 604801s",
            ),
            (
                window(History::latest().ttl(Duration::ZERO)),
                "the latest message is kept for 1 ms to 31536000s, not 0ns",
            ),
            (
                window(History::latest().ttl(History::MAX_TTL + second)),
                "the latest message is kept for 1 ms to 31536000s, not 31536001s",
            ),
            (
                window(History::window(1, HOUR).bytes(0)),
                "a window has 1 to 67108864 bytes, not 0",
            ),
            (
                window(History::window(1, HOUR).bytes(67_108_865)),
                "a window has 1 to 67108864 bytes, not 67108865",
            ),
            (
                window(History::window(1, HOUR).bytes(65_535)),
                "a window of 65535 bytes cannot hold a message of 65536 bytes; raise `bytes` or lower `max_message`",
            ),
            (
                window(History::window(1, HOUR).ttl(HOUR)),
                "`ttl` is a setting of `History::latest`, which this history is not",
            ),
            (
                window(History::off().ttl(HOUR).bytes(1)),
                "`ttl` is a setting of `History::latest`, which this history is not",
            ),
            (
                window(History::latest().bytes(1)),
                "`bytes` is a setting of `History::window`, which this history is not",
            ),
            (
                Policy::new().presence(Presence::members(0)),
                "a list of members has 1 to 10000 members, not 0",
            ),
            (
                Policy::new().presence(Presence::members(10_001)),
                "a list of members has 1 to 10000 members, not 10001",
            ),
            (
                Policy::new().presence(Presence::count().show_principal()),
                "`show_principal` is a setting of `Presence::members`, which this presence is not",
            ),
            (
                Policy::new().max_message(0),
                "the longest message has 1 to 16777216 bytes, not 0",
            ),
            (
                Policy::new().max_message(16_777_217),
                "the longest message has 1 to 16777216 bytes, not 16777217",
            ),
            (
                Policy::new().owner("who"),
                "the owner `who` is not a variable of the pattern; write `{who}` as one of its segments",
            ),
        ] {
            assert_eq!(
                refusal(policy),
                format!("topic pattern `room/{{id}}`: {text}")
            );
        }
    }
}
