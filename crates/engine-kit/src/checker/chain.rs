//! Rules 1 to 5 for one message: it follows the one before, and has the content that others have at its position.

use sockeye_pubsub::{Kept, MessageId, Position};

use super::findings::Findings;
use super::index::{ByPosition, Index};
use super::logs::{Client, ClientEvent, Millis, Stamp, Topic};
use super::standing::Standing;
use super::violation::Rule;

/// A message as a client got it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) client: Client,
    pub(super) topic: Topic,
    pub(super) event: usize,
    pub(super) at: Option<Position>,
    pub(super) previous: Option<MessageId>,
    pub(super) stamp: Stamp,
    pub(super) replayed: Option<bool>,
}

/// What the messages of all clients are compared with.
#[derive(Debug)]
pub(super) struct Chain {
    /// For each message the last segment that it came in.
    seen: Vec<u32>,
    /// For each topic and publisher the last segment, and the newest first sending of a message in it.
    latest_sent: Vec<(u32, u32)>,
    /// The content of positions that the observer did not see.
    holders: ByPosition<Stamp>,
}

impl Received {
    fn find(&self, findings: &mut Findings<'_>, rule: Rule, reason: impl FnOnce() -> String) {
        findings.client(rule, self.client, self.topic, self.event, reason);
    }
}

impl Chain {
    pub(super) fn new(index: &Index<'_>) -> Self {
        let logs = index.logs;
        Self {
            seen: vec![0; index.publishes().len()],
            latest_sent: vec![(0, 0); logs.topics.len() * logs.publishers.len()],
            holders: ByPosition::default(),
        }
    }

    /// Judges a message, and moves the client's standing.
    pub(super) fn check(
        &mut self,
        index: &Index<'_>,
        findings: &mut Findings<'_>,
        received: Received,
        standing: &mut Standing,
    ) {
        if !standing.is_subscribed {
            received.find(findings, Rule::Gap, || {
                "a message came without a subscription".to_owned()
            });
            return;
        }
        let publish = index.publish(received.stamp);
        if publish.is_none_or(|publish| publish.topic != Some(received.topic)) {
            received.find(findings, Rule::Gap, || {
                format!("{} was never published to this topic", received.stamp)
            });
            return;
        }
        if publish.is_some_and(|publish| publish.is_unsent()) {
            received.find(findings, Rule::Outcome, || {
                format!("{} came, and was reported as not published", received.stamp)
            });
        }
        let kept = index.kept(received.topic);
        let follows = match kept {
            Kept::Off => true,
            Kept::Latest { .. } => self.value(index, findings, &received, standing),
            Kept::Window { .. } => self.entry(index, findings, &received, standing),
        };
        standing.has_message = true;
        standing.replay = standing.replay.saturating_sub(1);
        // A topic that keeps the latest value may return to an older one with a branch that the engine lost.
        let is_latest = matches!(kept, Kept::Latest { .. });
        if follows && !(is_latest && index.may_forget) {
            self.publisher(index, findings, &received, standing.segment);
        }
    }

    /// Judges a message of a topic that keeps the latest value. Returns whether it is another one than before.
    fn value(
        &mut self,
        index: &Index<'_>,
        findings: &mut Findings<'_>,
        received: &Received,
        standing: &mut Standing,
    ) -> bool {
        let Some(at) = received.at else {
            received.find(findings, Rule::Gap, || {
                "the message has no position".to_owned()
            });
            return false;
        };
        self.agree(index, findings, received, at);
        let is_twice = at.id.is_some() && standing.value == at.id;
        standing.at = Some(at);
        standing.value = at.id;
        if is_twice {
            received.find(findings, Rule::Duplicate, || {
                format!("the value at {at} came twice in a row")
            });
        }
        !is_twice
    }

    /// Judges a message of a topic with a window. Returns whether it follows the one before.
    fn entry(
        &mut self,
        index: &Index<'_>,
        findings: &mut Findings<'_>,
        received: &Received,
        standing: &mut Standing,
    ) -> bool {
        let Some(at) = received.at else {
            received.find(findings, Rule::Gap, || {
                "the message has no position".to_owned()
            });
            return false;
        };
        let last = standing.at.replace(at);
        let Some(entry) = index.entry(received.topic, at) else {
            received.find(findings, Rule::Gap, || {
                format!("the engine never stored an entry at {at}")
            });
            return false;
        };
        self.agree(index, findings, received, at);
        let told = received.previous;
        if told.is_some() && told != entry.previous {
            received.find(findings, Rule::Gap, || {
                format!("the entry at {at} was told with another predecessor than it has")
            });
        }
        let before = Position {
            offset: at.offset.saturating_sub(1),
            id: entry.previous,
            ..at
        };
        if let Some(last) = last.filter(|last| *last != before) {
            standing.at = Some(judge_break(index, findings, received, standing, (last, at)));
            return false;
        }
        judge_replay(index, findings, received, standing, entry.time);
        true
    }

    /// Compares the content at a position with what the observer or another client has there.
    fn agree(
        &mut self,
        index: &Index<'_>,
        findings: &mut Findings<'_>,
        received: &Received,
        at: Position,
    ) {
        let Received { topic, stamp, .. } = *received;
        let other = match index.entry(topic, at) {
            Some(entry) => entry.stamp,
            None => *self.holders.entry((topic, at)).or_insert(stamp),
        };
        if other != stamp {
            received.find(findings, Rule::Agreement, || {
                format!("at {at} the client has {stamp}, and others have {other}")
            });
        }
    }

    /// Judges that no message comes twice, and none behind one that its publisher sent later.
    fn publisher(
        &mut self,
        index: &Index<'_>,
        findings: &mut Findings<'_>,
        received: &Received,
        segment: u32,
    ) {
        let Received { topic, stamp, .. } = *received;
        let Some(place) = index.place(stamp) else {
            return;
        };
        let publish = &index.publishes()[place];
        let is_once = publish.copies() == 1;
        if !matches!(index.kept(topic), Kept::Latest { .. }) {
            if self.seen[place] == segment && is_once {
                received.find(findings, Rule::Duplicate, || format!("{stamp} came twice"));
                return;
            }
            self.seen[place] = segment;
        }
        let publishers = index.logs.publishers.len();
        let slot = topic.0 as usize * publishers + stamp.publisher.0 as usize;
        let (of, latest) = self.latest_sent[slot];
        let latest = if of == segment { latest } else { 0 };
        if is_once && publish.ok.is_some_and(|ok| ok.index < latest) {
            received.find(findings, Rule::Order, || {
                format!("{stamp} was confirmed before a message was sent that came earlier")
            });
        }
        let sent = publish.first_sent.map_or(0, |sent| sent.index);
        self.latest_sent[slot] = (segment, latest.max(sent));
    }
}

/// Finds the rule that a message breaks which does not follow the one before. Returns where the client stands now.
fn judge_break(
    index: &Index<'_>,
    findings: &mut Findings<'_>,
    received: &Received,
    standing: &Standing,
    (last, at): (Position, Position),
) -> Position {
    let (rule, now, what) = if segment_before(index, received).any(|other| other == at) {
        (Rule::Duplicate, last, "came before")
    } else if standing.is_recovering() {
        (
            Rule::FalseRecovered,
            at,
            "does not follow, and the client was told `recovered`",
        )
    } else if last.epoch != at.epoch {
        (Rule::Gap, at, "is of another epoch")
    } else if index.is_behind(received.topic, last, at) {
        (Rule::Order, last, "stands before it")
    } else if !index.is_behind(received.topic, at, last) {
        (Rule::Gap, at, "is on another branch")
    } else if segment_behind(index, received).any(|other| other.offset == last.offset + 1) {
        (Rule::Order, at, "came before its predecessor")
    } else {
        (Rule::Gap, at, "leaves messages out")
    };
    received.find(findings, rule, || {
        format!("behind {last} came {at}, which {what}")
    });
    now
}

/// Returns the positions of the segment before a message, newest first. Only for a violation: it reads the log back.
fn segment_before<'i>(
    index: &Index<'i>,
    received: &Received,
) -> impl Iterator<Item = Position> + use<'i> {
    let events = &index.logs.clients[received.client.0 as usize].events;
    segment(events[..received.event].iter().rev(), received.topic)
}

/// Returns the positions of the segment behind a message.
fn segment_behind<'i>(
    index: &Index<'i>,
    received: &Received,
) -> impl Iterator<Item = Position> + use<'i> {
    let events = &index.logs.clients[received.client.0 as usize].events;
    segment(events[received.event + 1..].iter(), received.topic)
}

/// Returns the positions of a topic's messages up to the end of the segment.
fn segment<'i>(
    events: impl Iterator<Item = &'i (Millis, ClientEvent)>,
    of: Topic,
) -> impl Iterator<Item = Position> {
    let inside = events.map(|(_, event)| event).take_while(move |event| {
        !matches!(event, ClientEvent::Lost { topic, .. } if *topic == of)
            && !matches!(event, ClientEvent::Subscribed { topic, recovered, .. }
                if *topic == of && *recovered != Some(true))
    });
    inside.filter_map(move |event| match event {
        ClientEvent::Message { topic, at, .. } if *topic == of => *at,
        _ => None,
    })
}

/// Compares the number of replayed messages with `missed`.
fn judge_replay(
    index: &Index<'_>,
    findings: &mut Findings<'_>,
    received: &Received,
    standing: &mut Standing,
    stored: Millis,
) {
    let Standing { missed, replay, .. } = *standing;
    // The answer was read before it came, so an entry that was stored later is no part of it.
    let is_live = received.replayed == Some(false) || stored > standing.since + index.bounds.skew;
    if replay > 0 && is_live {
        standing.replay = 0;
        received.find(findings, Rule::FalseRecovered, || {
            let came = missed - replay;
            format!("`missed` is {missed}, and {came} messages were replayed before this live one")
        });
    } else if replay == 0 && received.replayed == Some(true) {
        received.find(findings, Rule::FalseRecovered, || {
            format!("`missed` is {missed}, and more messages were replayed")
        });
    }
}
