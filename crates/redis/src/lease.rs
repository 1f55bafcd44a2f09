//! The lease of a node, and its beats: what a node sends every 5 s. A node whose lease was over takes a new name.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{Cmd, Pipeline, RedisWrite as _, Value};
use sockeye_pubsub::engine::{NodeId, NodeInfo};
use tokio::time::Instant;

use crate::clock::{EngineClock, millis};
use crate::commands::Commands;
use crate::connection::ANSWER_WITHIN;
use crate::layout::{Layout, NodeText, word};
use crate::outcome::CallError;
use crate::reply;
use crate::script::Script;

/// The name under which a node is known to others: it changes when the lease was over.
#[derive(Debug)]
pub(crate) struct Incarnation(AtomicU64);

/// The lease of this node.
#[derive(Debug)]
pub(crate) struct Lease {
    layout: Layout,
    node: NodeInfo,
    incarnation: Arc<Incarnation>,
    clock: Arc<EngineClock>,
    past: Mutex<Past>,
}

/// What became of the leases before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    /// There was none.
    None,
    /// The incarnation has a lease.
    Renewed,
    /// The lease of the old incarnation was over. No call has answered yet that the new one has a lease.
    Lapsed { old: NodeId },
}

/// The answer to a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Renewal {
    /// All live nodes, this one included.
    pub(crate) live: Vec<NodeInfo>,
    /// Whether the lease was over. Then the node has a new incarnation, and has to write all its members again.
    pub(crate) has_lapsed: bool,
}

impl Incarnation {
    pub(crate) fn new(id: NodeId) -> Self {
        Self(AtomicU64::new(id.0))
    }

    /// Returns the present name.
    pub(crate) fn id(&self) -> NodeId {
        NodeId(self.0.load(Ordering::Relaxed))
    }
}

impl Lease {
    /// Makes the lease of a node, which has none yet. `incarnation` begins with the node's id.
    pub(crate) fn new(
        layout: Layout,
        node: NodeInfo,
        incarnation: Arc<Incarnation>,
        clock: Arc<EngineClock>,
    ) -> Self {
        Self {
            layout,
            node,
            incarnation,
            clock,
            past: Mutex::new(Past::None),
        }
    }

    /// Returns the name under which the node has its lease now.
    pub(crate) fn id(&self) -> NodeId {
        self.incarnation.id()
    }

    /// Renews the lease for 15 s, sets the server's clock, and lists the live nodes. The caller renews every 5 s, one
    /// renewal after another.
    ///
    /// # Errors
    ///
    /// [`CallError`]: then the lease may have been renewed.
    pub(crate) async fn renew(&self, commands: &Commands) -> Result<Renewal, CallError> {
        loop {
            let past = *self.past();
            let old = match past {
                Past::None | Past::Renewed => None,
                Past::Lapsed { old } => Some(old),
            };
            let (is_new, live) = self.call(commands, old).await?;
            if past == Past::Renewed && is_new {
                // Others may remove what stands under the old name, at any time.
                let old = self.incarnation.id();
                *self.past() = Past::Lapsed { old };
                let new: u64 = rand::random();
                self.incarnation.0.store(new, Ordering::Relaxed);
                continue;
            }
            *self.past() = Past::Renewed;
            return Ok(Renewal {
                live,
                has_lapsed: old.is_some(),
            });
        }
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the lease back.
    ///
    /// # Errors
    ///
    /// [`CallError`]: then the lease may last for 15 s.
    pub(crate) async fn release(&self, commands: &Commands) -> Result<(), CallError> {
        let node = self.incarnation.id();
        let mut pipeline = Pipeline::with_capacity(2);
        for (command, key) in [("ZREM", self.layout.nodes()), ("HDEL", self.layout.names())] {
            let mut cmd = Cmd::new();
            cmd.arg(command).arg(key);
            cmd.write_arg_fmt(NodeText(node));
            pipeline.add_command(cmd);
        }
        let until = Instant::now() + ANSWER_WITHIN;
        commands.call_all(&pipeline, until).await.map(drop)
    }

    async fn call(
        &self,
        commands: &Commands,
        remove: Option<NodeId>,
    ) -> Result<(bool, Vec<NodeInfo>), CallError> {
        let (nodes, names) = (self.layout.nodes(), self.layout.names());
        let mut command = Script::Lease.call(&[&nodes, &names], 128);
        command.write_arg_fmt(NodeText(self.incarnation.id()));
        command.arg(millis(LEASE));
        command.write_arg_fmt(format_args!(
            "{:016x} {}",
            self.node.fingerprint, self.node.name
        ));
        command.arg(millis(REMEMBERED));
        if let Some(node) = remove {
            command.write_arg_fmt(NodeText(node));
        }
        let sent = Instant::now();
        let answer = commands.call(&command, sent + ANSWER_WITHIN).await?;
        let answered = Instant::now();
        let (now, is_new, live) = read(&answer).ok_or(CallError::Malformed("lease"))?;
        self.clock.set(now, sent, answered);
        Ok((is_new, live))
    }
}

/// Counts a beat of a node and sends it to the node's feed. The answer is the server's number of this beat: it grows
/// unless the server's memory went back.
///
/// # Errors
///
/// [`CallError`]: then the beat may be on its way.
pub(crate) async fn beat(
    commands: &Commands,
    layout: &Layout,
    node: NodeId,
    nonce: u64,
    until: Instant,
) -> Result<u64, CallError> {
    let (counter, channel) = (layout.beat_counter(node), layout.beat_channel(node));
    let mut command = Script::Beat.call(&[&counter, &channel], 48);
    command.arg(nonce).arg(millis(LIFE_OF_COUNTER));
    let answer = commands.call(&command, until).await?;
    reply::number(&answer).ok_or(CallError::Malformed("beat"))
}

/// How long a lease lasts behind its renewal.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

/// How long a node whose lease is over stays in the list.
const REMEMBERED: Duration = Duration::from_secs(60);

const LIFE_OF_COUNTER: Duration = Duration::from_secs(600);

/// Reads the answer: the time, whether the node had no lease, and the live nodes.
fn read(answer: &Value) -> Option<(u64, bool, Vec<NodeInfo>)> {
    let [now, is_new, nodes @ ..] = reply::items(answer)? else {
        return None;
    };
    let nodes = nodes.chunks_exact(2).filter_map(|two| {
        let [id, name] = two else {
            return None;
        };
        node(&reply::text(id)?, &reply::text(name)?)
    });
    Some((
        reply::number(now)?,
        reply::number(is_new)? == 1,
        nodes.collect(),
    ))
}

fn node(id: &str, name: &str) -> Option<NodeInfo> {
    // A node without a name is still live.
    let (fingerprint, name) = name.split_once(' ').unwrap_or(("", ""));
    Some(NodeInfo {
        id: NodeText::parse(id)?,
        name: name.into(),
        fingerprint: word(fingerprint).unwrap_or_default(),
    })
}
