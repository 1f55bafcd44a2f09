//! The layout of the server: partitions, their tags, and the names of keys and channels.
//!
//! A topic belongs to one of 256 partitions for ever. Each name carries the tag of its partition in braces, so that a
//! later cluster keeps the keys of a topic on one node, and spreads the partitions evenly.
//!
//! ```text
//!   sockeye:{70}:m:room/42        m meta, s stream, c channel, p members, n counts
//!   sockeye:{70}:k:HASH:room/42   a publish that was made a short time ago
//!   sockeye:{460}:nodes            for the whole engine, with the tag of partition 0: nodes, names, ctl, b:NODE, beats:NODE
//! ```

use std::fmt;
use std::sync::Arc;

use sockeye_pubsub::engine::NodeId;

/// The number of partitions. It is the same for ever: the names of keys depend on it.
pub(crate) const PARTITIONS: usize = 256;

/// One of the 256 parts of all topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Partition(u8);

/// Makes the names of keys and channels.
#[derive(Clone)]
pub(crate) struct Layout {
    /// `sockeye:{477}:` for each partition.
    heads: Arc<[Box<str>]>,
    /// The length of the prefix with its colon.
    prefix: usize,
}

/// What a name is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The position of the newest message.
    Meta,
    /// The messages of a window.
    Stream,
    /// The channel of live messages.
    Channel,
    /// The members of a topic.
    Members,
    /// The number of members of each node.
    Counts,
}

/// A channel that the feed knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FeedChannel<'a> {
    /// Messages of this topic.
    Topic(&'a str),
    /// Signals.
    Signals,
    /// Beats of a node.
    Beats,
}

impl Partition {
    /// The number of the partition, below [`PARTITIONS`].
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Returns all partitions.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self)
    }

    /// Returns the partition of a topic.
    pub(crate) fn of(topic: &str) -> Self {
        let [.., low] = fnv(topic.as_bytes()).to_be_bytes();
        Self(low)
    }
}

impl Layout {
    /// Makes the layout whose names begin with this prefix. The prefix has no brace.
    pub(crate) fn new(prefix: &str) -> Self {
        let heads = tags().map(|tag| format!("{prefix}:{{{tag}}}:").into());
        Self {
            heads: heads.into(),
            prefix: prefix.len() + 1,
        }
    }

    /// Returns the name of a key or a channel of a topic.
    pub(crate) fn name<'a>(&'a self, kind: Kind, topic: &'a str) -> Name<'a> {
        Name {
            head: self.head(Partition::of(topic)),
            kind: kind.letter(),
            detail: None,
            tail: topic,
        }
    }

    /// Returns the name of the key that remembers a publish by its hash.
    pub(crate) fn publish_key<'a>(&'a self, hash: &'a str, topic: &'a str) -> Name<'a> {
        Name {
            detail: Some(hash),
            kind: "k",
            ..self.name(Kind::Meta, topic)
        }
    }

    /// The name of the leases of all nodes.
    pub(crate) fn nodes(&self) -> String {
        format!("{}nodes", self.common())
    }

    /// The name of the names of all nodes.
    pub(crate) fn names(&self) -> String {
        format!("{}names", self.common())
    }

    /// The name of the channel of signals.
    pub(crate) fn signals(&self) -> String {
        format!("{}ctl", self.common())
    }

    /// The name of the channel of a node's beats.
    pub(crate) fn beat_channel(&self, node: NodeId) -> String {
        format!("{}b:{}", self.common(), NodeText(node))
    }

    /// The name of the counter of a node's beats.
    pub(crate) fn beat_counter(&self, node: NodeId) -> String {
        format!("{}beats:{}", self.common(), NodeText(node))
    }

    /// Finds out what a channel of the feed brings. `None` for a channel that is not of this layout.
    pub(crate) fn feed_channel<'a>(&self, channel: &'a [u8]) -> Option<FeedChannel<'a>> {
        let channel = std::str::from_utf8(channel).ok()?;
        if let Some(rest) = channel.strip_prefix(self.common()) {
            match rest {
                "ctl" => return Some(FeedChannel::Signals),
                _ if rest.starts_with("b:") => return Some(FeedChannel::Beats),
                _ => {}
            }
        }
        let (_, rest) = channel.get(self.prefix..)?.split_once("}:c:")?;
        let head = channel.get(..channel.len() - rest.len() - "c:".len())?;
        (head == self.head(Partition::of(rest))).then_some(FeedChannel::Topic(rest))
    }

    /// What the names of the whole engine begin with.
    fn common(&self) -> &str {
        self.head(Partition(0))
    }

    fn head(&self, partition: Partition) -> &str {
        self.heads.get(partition.index()).map_or("", |head| head)
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layout").field(&self.common()).finish()
    }
}

impl Kind {
    fn letter(self) -> &'static str {
        match self {
            Self::Meta => "m",
            Self::Stream => "s",
            Self::Channel => "c",
            Self::Members => "p",
            Self::Counts => "n",
        }
    }
}

/// The name of a key or a channel. It is written without an allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a> {
    head: &'a str,
    kind: &'static str,
    detail: Option<&'a str>,
    tail: &'a str,
}

impl Name<'_> {
    /// The length in bytes.
    pub(crate) fn len(self) -> usize {
        let detail = self.detail.map_or(0, |detail| detail.len() + 1);
        self.head.len() + self.kind.len() + 1 + detail + self.tail.len()
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.head)?;
        f.write_str(self.kind)?;
        f.write_str(":")?;
        if let Some(detail) = self.detail {
            f.write_str(detail)?;
            f.write_str(":")?;
        }
        f.write_str(self.tail)
    }
}

/// The text of a node's id: 16 hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeText(pub(crate) NodeId);

impl NodeText {
    /// Reads the text of a node's id.
    pub(crate) fn parse(text: &str) -> Option<NodeId> {
        word(text).map(NodeId)
    }
}

impl fmt::Display for NodeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0.0)
    }
}

/// Reads 64 bits of 16 hexadecimal digits, in lower case.
pub(crate) fn word(text: &str) -> Option<u64> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_word = text.len() == 16 && text.bytes().all(is_digit);
    is_word.then(|| u64::from_str_radix(text, 16).ok())?
}

/// Finds the tag of each partition: the smallest integer whose slot lies in the partition's share of all slots.
fn tags() -> [u32; PARTITIONS] {
    const SLOTS_OF_PARTITION: usize = SLOTS / PARTITIONS;
    let mut tags = [None; PARTITIONS];
    let mut missing = PARTITIONS;
    let mut tag = 0_u32;
    while missing > 0 {
        let share = slot(tag.to_string().as_bytes()) / SLOTS_OF_PARTITION;
        if let Some(place @ None) = tags.get_mut(share) {
            *place = Some(tag);
            missing -= 1;
        }
        tag += 1;
    }
    tags.map(Option::unwrap_or_default)
}

/// The number of hash slots of a cluster.
const SLOTS: usize = 1 << 14;

/// Returns the hash slot of a tag: CRC-16 (XMODEM) modulo the number of slots, as the cluster's specification says.
fn slot(tag: &[u8]) -> usize {
    let crc = tag.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
        })
    });
    usize::from(crc) % SLOTS
}

/// FNV-1a with 64 bits. It decides the partition of a topic, so it never changes.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_tags_are_small_and_spread_evenly_over_the_slots() {
        let tags = tags();
        assert_eq!(tags.iter().max(), Some(&477));
        for (index, tag) in tags.iter().enumerate() {
            let slot = slot(tag.to_string().as_bytes());
            assert_eq!(slot / 64, index, "{tag}");
        }
        for (nodes, least, most) in [(3, 85, 86), (5, 50, 52), (7, 36, 37)] {
            let mut partitions = vec![0; nodes];
            for tag in tags {
                let slot = slot(tag.to_string().as_bytes());
                partitions[slot * nodes / SLOTS] += 1;
            }
            assert_eq!(partitions.iter().min(), Some(&least), "{nodes} nodes");
            assert_eq!(partitions.iter().max(), Some(&most), "{nodes} nodes");
        }
    }

    #[test]
    fn slots_and_hashes_are_those_of_the_published_examples() {
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn the_names_of_a_topic_carry_its_tag() {
        let layout = Layout::new("sockeye");
        // These names are on servers: they are the same for ever.
        for (kind, name) in [
            (Kind::Meta, "sockeye:{70}:m:room/42"),
            (Kind::Stream, "sockeye:{70}:s:room/42"),
            (Kind::Channel, "sockeye:{70}:c:room/42"),
            (Kind::Members, "sockeye:{70}:p:room/42"),
            (Kind::Counts, "sockeye:{70}:n:room/42"),
        ] {
            let made = layout.name(kind, "room/42");
            assert_eq!(
                (made.to_string(), made.len()),
                (name.to_owned(), name.len())
            );
        }
        let key = layout.publish_key("HASH", "room/42");
        assert_eq!(key.to_string(), "sockeye:{70}:k:HASH:room/42");
        assert_eq!(key.len(), key.to_string().len());
    }

    #[test]
    fn the_names_of_the_engine_carry_the_first_tag() {
        let layout = Layout::new("a:b");
        let node = NodeId(0xab);
        assert_eq!(layout.nodes(), "a:b:{460}:nodes");
        assert_eq!(layout.names(), "a:b:{460}:names");
        assert_eq!(layout.signals(), "a:b:{460}:ctl");
        assert_eq!(layout.beat_channel(node), "a:b:{460}:b:00000000000000ab");
        assert_eq!(
            layout.beat_counter(node),
            "a:b:{460}:beats:00000000000000ab"
        );
    }

    #[test]
    fn a_channel_of_the_feed_names_what_it_brings() {
        let layout = Layout::new("a:b");
        let channel = |name: String| {
            layout
                .feed_channel(name.as_bytes())
                .map(|c| format!("{c:?}"))
        };
        assert_eq!(channel(layout.signals()).unwrap(), "Signals");
        assert_eq!(channel(layout.beat_channel(NodeId(1))).unwrap(), "Beats");
        let topic = "room}:c:/{1}";
        let name = layout.name(Kind::Channel, topic).to_string();
        assert_eq!(
            layout.feed_channel(name.as_bytes()),
            Some(FeedChannel::Topic(topic))
        );
        for name in [
            layout.name(Kind::Meta, "room").to_string(),
            layout.nodes(),
            Layout::new("a:c").name(Kind::Channel, "room").to_string(),
            layout
                .name(Kind::Channel, "room")
                .to_string()
                .replace("room", "other"),
            String::new(),
            "é".repeat(4),
        ] {
            assert_eq!(layout.feed_channel(name.as_bytes()), None, "{name}");
        }
        assert_eq!(layout.feed_channel(b"\xff"), None);
    }

    #[test]
    fn the_id_of_a_node_has_one_text() {
        for id in [0, 0xab, u64::MAX] {
            let text = NodeText(NodeId(id)).to_string();
            assert_eq!(NodeText::parse(&text), Some(NodeId(id)));
        }
        for text in [
            "",
            "ab",
            "00000000000000AB",
            "+0000000000000ab",
            "00000000000000abc",
        ] {
            assert_eq!(NodeText::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn each_topic_is_found_again_in_its_channel(topic in "\\PC{1,20}", prefix in "[^{}]{1,8}") {
            let layout = Layout::new(&prefix);
            let name = layout.name(Kind::Channel, &topic).to_string();
            prop_assert_eq!(layout.feed_channel(name.as_bytes()), Some(FeedChannel::Topic(&topic)));
        }

        #[test]
        fn no_channel_is_too_strange(channel: Vec<u8>) {
            let layout = Layout::new("sockeye");
            prop_assert_eq!(layout.feed_channel(&channel), None);
        }
    }
}
