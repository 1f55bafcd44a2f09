//! The lease of a node, and its beats: what a node sends every 5 s. A node takes a new name when its lease was over, or when
//! the link asks for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{Cmd, Pipeline, RedisWrite as _, Value};
use sockeye_pubsub::engine::{NodeId, NodeInfo};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::clock::{EngineClock, millis};
use crate::commands::Commands;
use crate::connection::ANSWER_WITHIN;
use crate::incarnation::{Incarnation, Names};
use crate::layout::{Layout, NodeText, word};
use crate::outcome::CallError;
use crate::reply;
use crate::script::Script;

/// The lease of this node.
#[derive(Debug)]
pub(crate) struct Lease {
    layout: Layout,
    node: NodeInfo,
    incarnation: Arc<Incarnation>,
    clock: Arc<EngineClock>,
    /// Whether the next renewal takes a new name.
    wants_new: AtomicBool,
    /// Held while the lease is renewed.
    standing: Mutex<Standing>,
}

/// What is known of the lease of the present name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The node has just begun.
    New,
    /// The name has a lease.
    Leased,
    /// The name is not the first one. No call has answered yet that it has a lease.
    Moved,
}

/// The answer to a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Renewal {
    /// All live nodes by the names with which they began, this one included. Each is here once.
    pub(crate) live: Vec<NodeInfo>,
    /// All names under which members are listed, in order.
    pub(crate) incarnations: Vec<NodeId>,
    /// Whether the node has a new name. Then it has to write all its members again.
    pub(crate) has_moved: bool,
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
            wants_new: AtomicBool::new(false),
            standing: Mutex::new(Standing::New),
        }
    }

    /// Lets the next renewal take a new name: the server may have lost what it had confirmed.
    pub(crate) fn want_new_name(&self) {
        self.wants_new.store(true, Ordering::Release);
    }

    /// Renews the lease for 15 s, sets the server's clock, and lists the live nodes. The caller renews every 5 s. A former
    /// name keeps what is left of its lease, so that its members stay listed until they are written again.
    ///
    /// # Errors
    ///
    /// [`CallError`]: then the lease may have been renewed.
    pub(crate) async fn renew(&self, commands: &Commands) -> Result<Renewal, CallError> {
        let mut standing = self.standing.lock().await;
        if self.wants_new.swap(false, Ordering::AcqRel) && *standing != Standing::New {
            self.incarnation.take_new();
            *standing = Standing::Moved;
        }
        loop {
            let (is_new, mut renewal) = self.call(commands).await?;
            if *standing == Standing::Leased && is_new {
                // Others may remove what stands under the old name, at any time.
                self.incarnation.take_new();
                *standing = Standing::Moved;
                continue;
            }
            let before = std::mem::replace(&mut *standing, Standing::Leased);
            renewal.has_moved = before == Standing::Moved;
            return Ok(renewal);
        }
    }

    /// Gives up the former names: all members stand under the present one.
    ///
    /// # Errors
    ///
    /// [`CallError`]: then their leases may last for 15 s.
    pub(crate) async fn give_up_former(&self, commands: &Commands) -> Result<(), CallError> {
        let Names { former, .. } = self.incarnation.names();
        if former.is_empty() {
            return Ok(());
        }
        self.remove(commands, &former).await?;
        self.incarnation.forget(&former);
        Ok(())
    }

    /// Gives the lease back.
    ///
    /// # Errors
    ///
    /// [`CallError`]: then the lease may last for 15 s.
    pub(crate) async fn release(&self, commands: &Commands) -> Result<(), CallError> {
        let Names {
            present,
            former: mut names,
        } = self.incarnation.names();
        names.push(present);
        self.remove(commands, &names).await
    }

    async fn remove(&self, commands: &Commands, names: &[NodeId]) -> Result<(), CallError> {
        let mut pipeline = Pipeline::with_capacity(2);
        for (command, key) in [("ZREM", self.layout.nodes()), ("HDEL", self.layout.names())] {
            let mut cmd = Cmd::new();
            cmd.arg(command).arg(key);
            for name in names {
                cmd.write_arg_fmt(NodeText(*name));
            }
            pipeline.add_command(cmd);
        }
        let until = Instant::now() + ANSWER_WITHIN;
        commands.call_all(&pipeline, until).await.map(drop)
    }

    async fn call(&self, commands: &Commands) -> Result<(bool, Renewal), CallError> {
        let (nodes, names) = (self.layout.nodes(), self.layout.names());
        let mut command = Script::Lease.call(&[&nodes, &names], 128);
        command.write_arg_fmt(NodeText(self.incarnation.id()));
        command.arg(millis(LEASE));
        command.write_arg_fmt(format_args!(
            "{:016x} {} {}",
            self.node.fingerprint,
            NodeText(self.node.id),
            self.node.name
        ));
        command.arg(millis(REMEMBERED));
        let sent = Instant::now();
        let answer = commands.call(&command, sent + ANSWER_WITHIN).await?;
        let answered = Instant::now();
        let (now, is_new, renewal) = read(&answer).ok_or(CallError::Malformed("lease"))?;
        self.clock.set(now, sent, answered);
        Ok((is_new, renewal))
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
    let count = reply::number(&answer).ok_or(CallError::Malformed("beat"))?;
    commands.note_beat(count);
    Ok(count)
}

/// How long a lease lasts behind its renewal.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

/// How long a node whose lease is over stays in the list.
const REMEMBERED: Duration = Duration::from_secs(60);

const LIFE_OF_COUNTER: Duration = Duration::from_secs(600);

/// Reads the answer: the time, whether the name had no lease, and what is live.
fn read(answer: &Value) -> Option<(u64, bool, Renewal)> {
    let [now, is_new, nodes @ ..] = reply::items(answer)? else {
        return None;
    };
    let nodes = nodes.chunks_exact(2).filter_map(|two| {
        let [id, name] = two else {
            return None;
        };
        node(&reply::text(id)?, &reply::text(name)?)
    });
    let (mut incarnations, mut live): (Vec<_>, Vec<_>) = nodes.unzip();
    incarnations.sort_unstable_by_key(|id| id.0);
    live.sort_unstable_by_key(|node: &NodeInfo| node.id.0);
    live.dedup_by_key(|node| node.id);
    let renewal = Renewal {
        live,
        incarnations,
        has_moved: false,
    };
    Some((reply::number(now)?, reply::number(is_new)? == 1, renewal))
}

/// Reads the present name of a node, and what is known of the node: fingerprint, the name with which it began, and label.
fn node(present: &str, known: &str) -> Option<(NodeId, NodeInfo)> {
    let present = NodeText::parse(present)?;
    let mut known = known.splitn(3, ' ');
    let fingerprint = known.next().and_then(word);
    let id = known.next().and_then(NodeText::parse);
    let node = NodeInfo {
        // A node of which nothing is known is still live.
        id: id.unwrap_or(present),
        name: known.next().unwrap_or_default().into(),
        fingerprint: fingerprint.unwrap_or_default(),
    };
    Some((present, node))
}
