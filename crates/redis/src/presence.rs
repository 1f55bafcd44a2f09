//! Presence: the members of topics on all nodes. Each member is a field of a hash, under the node that wrote it. A node
//! that is not live any more has no members: readers hide them, and remove them.
//!
//! Each change is counted by the node's counter of beats, behind the change. So the next change or beat finds that the server
//! lost a change that it had confirmed, although no beat came between.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use redis::{Cmd, Pipeline, RedisWrite as _, Value};
use serde_json::value::RawValue;
use sockeye_pubsub::TopicName;
use sockeye_pubsub::engine::{
    EngineError, EngineErrorKind, EngineFuture, Member, MemberId, NodeId, PresenceStore,
    WasPublished,
};
use tokio::time::Instant;

use crate::commands::{Commands, CurrentCommands};
use crate::connection::ANSWER_WITHIN;
use crate::encoding;
use crate::incarnation::{Incarnation, Names};
use crate::layout::{Kind, Layout, NodeText, word};
use crate::outcome::CallError;
use crate::reply;

/// The members of topics, on the server.
#[derive(Debug)]
pub(crate) struct Presence {
    current: Arc<CurrentCommands>,
    layout: Layout,
    /// The name under which this node writes now.
    incarnation: Arc<Incarnation>,
    /// The name under which this node began. It signs what goes to the feeds of others.
    node: NodeId,
}

impl Presence {
    pub(crate) fn new(
        current: Arc<CurrentCommands>,
        layout: Layout,
        incarnation: Arc<Incarnation>,
    ) -> Self {
        Self {
            current,
            layout,
            node: incarnation.id(),
            incarnation,
        }
    }

    async fn write(&self, topic: &TopicName, members: &[Member]) -> Result<(), EngineError> {
        for batch in members.chunks(BATCH) {
            let Names { present, former } = self.incarnation.names();
            let mut set = self.command("HSET", Kind::Members, topic);
            for member in batch {
                set.write_arg_fmt(Field(present, member.id));
                set.arg(json_of(member)?);
            }
            let mut pipeline = Pipeline::with_capacity(4);
            pipeline.add_command(set);
            if !former.is_empty() {
                // Behind the new fields, so that no reader misses a member.
                let ids = batch.iter().map(|member| member.id);
                pipeline.add_command(self.delete_fields(topic, &former, ids));
            }
            pipeline.add_command(self.expire(Kind::Members, topic));
            self.change(pipeline).await?;
        }
        Ok(())
    }

    async fn remove(&self, topic: &TopicName, members: &[MemberId]) -> Result<(), EngineError> {
        for batch in members.chunks(BATCH) {
            let Names {
                present,
                former: mut names,
            } = self.incarnation.names();
            names.push(present);
            let mut pipeline = Pipeline::with_capacity(2);
            pipeline.add_command(self.delete_fields(topic, &names, batch.iter().copied()));
            self.change(pipeline).await?;
        }
        Ok(())
    }

    fn delete_fields(
        &self,
        topic: &TopicName,
        names: &[NodeId],
        members: impl Iterator<Item = MemberId>,
    ) -> Cmd {
        let mut delete = self.command("HDEL", Kind::Members, topic);
        for member in members {
            for name in names {
                delete.write_arg_fmt(Field(*name, member));
            }
        }
        delete
    }

    async fn write_count(&self, topic: &TopicName, count: u64) -> Result<(), EngineError> {
        let Names { present, former } = self.incarnation.names();
        let mut pipeline = Pipeline::with_capacity(4);
        let mut gone = former;
        if count == 0 {
            gone.push(present);
        } else {
            let mut set = self.command("HSET", Kind::Counts, topic);
            set.write_arg_fmt(NodeText(present));
            set.arg(count);
            pipeline.add_command(set);
        }
        if !gone.is_empty() {
            let mut delete = self.command("HDEL", Kind::Counts, topic);
            for name in gone {
                delete.write_arg_fmt(NodeText(name));
            }
            pipeline.add_command(delete);
        }
        if count > 0 {
            pipeline.add_command(self.expire(Kind::Counts, topic));
        }
        self.change(pipeline).await?;
        Ok(())
    }

    /// Reads members in pages. Each page comes with the time and the leases, which the server reads behind it.
    async fn read(&self, topic: &TopicName, max: usize) -> Result<Vec<Member>, EngineError> {
        let mut members = HashMap::new();
        let mut cursor = 0;
        let end = Instant::now() + READ_WITHIN;
        while members.len() < max {
            let mut scan = self.command("HSCAN", Kind::Members, topic);
            scan.arg(cursor).arg("COUNT").arg(PAGE);
            let (commands, page, live) = self.read_with_leases(scan).await?;
            let (next, fields) = page_of(&page).ok_or(CallError::Malformed("HSCAN"))?;
            let mut dead = Vec::new();
            for (field, json) in fields {
                match Field::parse(&field) {
                    Some(Field(node, id)) if live.contains(&node) => {
                        // A scan may give a member twice.
                        members.extend(member_of(id, &json).map(|member| (id, member)));
                    }
                    Some(_) => dead.push(field),
                    None => {}
                }
            }
            self.forget(&commands, Kind::Members, topic, &dead).await;
            cursor = next;
            if cursor == 0 {
                break;
            }
            if Instant::now() >= end {
                return Err(CallError::Timeout.into());
            }
        }
        Ok(members.into_values().take(max).collect())
    }

    async fn read_count(&self, topic: &TopicName) -> Result<u64, EngineError> {
        let read = self.command("HGETALL", Kind::Counts, topic);
        let (commands, counts, live) = self.read_with_leases(read).await?;
        let counts = pairs(&counts).ok_or(CallError::Malformed("HGETALL"))?;
        let mut sum = 0_u64;
        let mut dead = Vec::new();
        for (node, count) in counts {
            match NodeText::parse(&node) {
                Some(id) if live.contains(&id) => {
                    sum = sum.saturating_add(count.parse().unwrap_or(0));
                }
                Some(_) => dead.push(node),
                None => {}
            }
        }
        self.forget(&commands, Kind::Counts, topic, &dead).await;
        Ok(sum)
    }

    /// Sends a read, and behind it a read of the nodes that are live. The answer of the read, and these nodes.
    async fn read_with_leases(
        &self,
        read: Cmd,
    ) -> Result<(Arc<Commands>, Value, HashSet<NodeId>), CallError> {
        let commands = self.current.now()?;
        let mut pipeline = Pipeline::with_capacity(3);
        pipeline.add_command(read);
        pipeline.cmd("TIME");
        pipeline.cmd("ZRANGE").arg(self.layout.nodes());
        pipeline.arg(0).arg(-1).arg("WITHSCORES");
        let until = Instant::now() + ANSWER_WITHIN;
        let answers = commands.call_all(&pipeline, until).await?;
        let answers = <[Value; 3]>::try_from(answers);
        let [read, time, leases] = answers.map_err(|_| CallError::Malformed("a pipeline"))?;
        let live = live(&time, &leases).ok_or(CallError::Malformed("ZRANGE"))?;
        Ok((commands, read, live))
    }

    /// Removes fields of nodes that were not live behind the read of these fields. A failure does not matter: the next
    /// reader removes them.
    async fn forget(&self, commands: &Commands, kind: Kind, topic: &TopicName, fields: &[String]) {
        for batch in fields.chunks(BATCH) {
            let mut delete = self.command("HDEL", kind, topic);
            delete.arg(batch);
            let until = Instant::now() + ANSWER_WITHIN;
            let _ = commands.call(&delete, until).await;
        }
    }

    /// Sends changes of a hash, and lets the server count them.
    async fn change(&self, mut changes: Pipeline) -> Result<(), CallError> {
        // A snapshot of the server that has the count has the changes, because the count comes behind them.
        changes.cmd("INCR").arg(self.layout.beat_counter(self.node));
        let commands = self.current.now()?;
        let before = commands.counted();
        let until = Instant::now() + ANSWER_WITHIN;
        let answers = commands.call_all(&changes, until).await?;
        let count = answers.last().and_then(reply::number);
        commands.note_change(before, count.ok_or(CallError::Malformed("INCR"))?);
        Ok(())
    }

    /// Gives a hash its whole life again.
    fn expire(&self, kind: Kind, topic: &TopicName) -> Cmd {
        let mut expire = self.command("EXPIRE", kind, topic);
        expire.arg(LIFE);
        expire
    }

    /// Tells the feeds of all nodes that the members of a topic have changed here.
    async fn tell(&self, topic: &TopicName) -> Result<(), EngineError> {
        let mut publish = self.command("PUBLISH", Kind::Channel, topic);
        publish.arg(encoding::stir(self.node));
        self.call(&publish).await?;
        Ok(())
    }

    async fn call(&self, command: &Cmd) -> Result<Value, CallError> {
        let until = Instant::now() + ANSWER_WITHIN;
        self.current.now()?.call(command, until).await
    }

    fn command(&self, name: &str, kind: Kind, topic: &TopicName) -> Cmd {
        command(&self.layout, name, kind, topic)
    }
}

impl PresenceStore for Presence {
    fn enter<'a>(&'a self, topic: &'a TopicName, members: &'a [Member]) -> EngineFuture<'a, ()> {
        Box::pin(self.write(topic, members))
    }

    fn leave<'a>(&'a self, topic: &'a TopicName, members: &'a [MemberId]) -> EngineFuture<'a, ()> {
        Box::pin(self.remove(topic, members))
    }

    fn members<'a>(&'a self, topic: &'a TopicName, max: usize) -> EngineFuture<'a, Vec<Member>> {
        Box::pin(self.read(topic, max))
    }

    fn set_count<'a>(&'a self, topic: &'a TopicName, count: u64) -> EngineFuture<'a, ()> {
        Box::pin(self.write_count(topic, count))
    }

    fn count<'a>(&'a self, topic: &'a TopicName) -> EngineFuture<'a, u64> {
        Box::pin(self.read_count(topic))
    }

    fn announce<'a>(&'a self, topic: &'a TopicName) -> EngineFuture<'a, ()> {
        Box::pin(self.tell(topic))
    }
}

/// Gives the members of these topics their whole life again, where they exist. A node calls it every 6 h.
///
/// # Errors
///
/// [`CallError`] if a call failed.
pub(crate) async fn keep(
    commands: &Commands,
    layout: &Layout,
    topics: &[TopicName],
) -> Result<(), CallError> {
    for batch in topics.chunks(BATCH) {
        let mut pipeline = Pipeline::with_capacity(2 * batch.len());
        for topic in batch {
            for kind in [Kind::Members, Kind::Counts] {
                let mut expire = command(layout, "EXPIRE", kind, topic);
                expire.arg(LIFE);
                pipeline.add_command(expire);
            }
        }
        let until = Instant::now() + ANSWER_WITHIN;
        commands.call_all(&pipeline, until).await?;
    }
    Ok(())
}

fn command(layout: &Layout, name: &str, kind: Kind, topic: &TopicName) -> Cmd {
    let mut command = Cmd::new();
    command.arg(name);
    command.write_arg_fmt(layout.name(kind, topic));
    command
}

/// The seconds for which a topic's members live behind the last change.
const LIFE: u64 = 24 * 3600;

/// The fields of one command.
const BATCH: usize = 512;

/// The fields of one page of a scan, about.
const PAGE: usize = 500;

/// The time of a read of many pages.
const READ_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// The name of a member's field: the node, a dot, the member.
struct Field(NodeId, MemberId);

impl Field {
    fn parse(text: &str) -> Option<Self> {
        let (node, member) = text.split_once('.')?;
        Some(Self(NodeText::parse(node)?, MemberId(word(member)?)))
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:016x}", NodeText(self.0), self.1.0)
    }
}

/// Writes what is known of a member, as JSON.
fn json_of(member: &Member) -> Result<String, EngineError> {
    let mut json = format!("{{\"since\":{}", member.since);
    if let Some(principal) = &member.principal {
        let principal = serde_json::Value::from(&**principal);
        let _ = write!(json, ",\"principal\":{principal}");
    }
    if let Some(info) = &member.info {
        if serde_json::from_str::<&RawValue>(info).is_err() {
            return Err(EngineError {
                published: WasPublished::No,
                kind: EngineErrorKind::Rejected,
                text: "what a member says of itself is not JSON".to_owned(),
            });
        }
        let _ = write!(json, ",\"info\":{}", info.trim());
    }
    json.push('}');
    Ok(json)
}

/// Reads what is known of a member. `None` if a stranger wrote it.
fn member_of(id: MemberId, json: &str) -> Option<Member> {
    let fields: HashMap<&str, &RawValue> = serde_json::from_str(json).ok()?;
    let text = |name| fields.get(name).map(|value| value.get());
    let principal = match text("principal") {
        Some(text) => Some(serde_json::from_str::<String>(text).ok()?),
        None => None,
    };
    Some(Member {
        id,
        info: text("info").map(Into::into),
        principal: principal.map(Into::into),
        since: text("since")?.parse().ok()?,
    })
}

/// Reads a page of a scan: the cursor of the next one, and the fields with their values.
fn page_of(page: &Value) -> Option<(u64, Vec<(String, String)>)> {
    let [cursor, fields] = reply::items(page)? else {
        return None;
    };
    Some((reply::number(cursor)?, pairs(fields)?))
}

/// Reads pairs of texts: a map, or a list in which a value follows each name. Pairs that are not text are left out.
fn pairs(value: &Value) -> Option<Vec<(String, String)>> {
    let pair = |name, value| {
        let (name, value) = (reply::text(name)?, reply::text(value)?);
        Some((name.into_owned(), value.into_owned()))
    };
    Some(match value {
        Value::Map(pairs) => pairs.iter().filter_map(|(a, b)| pair(a, b)).collect(),
        value => {
            let pairs = reply::items(value)?.chunks_exact(2);
            let pairs = pairs.filter_map(|two| pair(two.first()?, two.get(1)?));
            pairs.collect()
        }
    })
}

/// Finds the nodes whose leases are not over: the time, and each node with the end of its lease in milliseconds.
fn live(time: &Value, leases: &Value) -> Option<HashSet<NodeId>> {
    let [seconds, micros] = reply::items(time)? else {
        return None;
    };
    let now = reply::number(seconds)? as f64 * 1000.0 + (reply::number(micros)? / 1000) as f64;
    let leases = reply::items(leases)?.iter();
    let is_live = |lease: &Value| {
        let [node, end] = reply::items(lease)? else {
            return None;
        };
        let end = match end {
            Value::Double(end) => *end,
            end => reply::text(end)?.parse().ok()?,
        };
        (end >= now).then(|| NodeText::parse(&reply::text(node)?))?
    };
    Some(leases.filter_map(is_live).collect())
}
