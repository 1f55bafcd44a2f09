//! The events of logs as text, for the reports of violations.

use std::fmt;

use sockeye_pubsub::Position;

use super::logs::{ClientEvent, PresenceEvent, PublisherEvent, Stamp, Topic};

/// A position that may be missing.
struct At<'e>(&'e Option<Position>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(position) => fmt::Display::fmt(position, f),
            None => f.write_str("no position"),
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {}", self.0)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {} of publisher {}", self.n, self.publisher.0)
    }
}

impl fmt::Display for ClientEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("connected"),
            Self::Disconnected => f.write_str("disconnected"),
            Self::Asked { topic } => write!(f, "asked for {topic}"),
            Self::Refused { topic } => write!(f, "refused {topic}"),
            Self::Ended { topic } => write!(f, "ended {topic}"),
            Self::Lost { topic, at } => write!(f, "lost {topic}, goes on at {}", At(at)),
            Self::Subscribed {
                topic,
                after,
                at,
                recovered,
                missed,
            } => {
                write!(f, "subscribed to {topic} at {}", At(at))?;
                if let Some(after) = after {
                    write!(f, " after {after}")?;
                }
                match recovered {
                    Some(true) => f.write_str(", recovered")?,
                    Some(false) => f.write_str(", not recovered")?,
                    None => {}
                }
                write!(f, ", missed {missed}")
            }
            Self::Message {
                topic,
                at,
                previous,
                stamp,
                replayed,
            } => {
                write!(f, "{stamp} in {topic} at {}", At(at))?;
                if let Some(previous) = previous {
                    write!(f, " behind {previous}")?;
                }
                match replayed {
                    Some(true) => f.write_str(", replayed"),
                    Some(false) => f.write_str(", live"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl fmt::Display for PublisherEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent { n, topic, keyed } => {
                let key = if *keyed { ", with a key" } else { "" };
                write!(f, "sent message {n} to {topic}{key}")
            }
            Self::Ok { n, at } => write!(f, "message {n} is confirmed at {}", At(at)),
            Self::Unsent { n } => write!(f, "message {n} is not published"),
            Self::Unknown { n } => write!(f, "message {n} may be published"),
        }
    }
}

impl fmt::Display for PresenceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settled = |is_settled: &bool| if *is_settled { ", settled" } else { "" };
        match self {
            Self::Entered {
                topic,
                member,
                node,
            } => write!(f, "member {member} entered {topic} at node {node}"),
            Self::Left { topic, member } => write!(f, "member {member} left {topic}"),
            Self::Died { node } => write!(f, "node {node} died"),
            Self::Members {
                topic,
                members,
                settled: is_settled,
            } => write!(f, "{topic} has members {members:?}{}", settled(is_settled)),
            Self::Count {
                topic,
                count,
                settled: is_settled,
            } => write!(f, "{topic} has {count} members{}", settled(is_settled)),
        }
    }
}
