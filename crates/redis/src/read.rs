//! Reading: stored messages, the newest positions of topics, and longer lives for their keys.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Pipeline, RedisWrite as _, Value};
use sockeye_pubsub::engine::{Catchup, EngineError, EngineErrorKind, Since, WasPublished};
use sockeye_pubsub::{Entry, Epoch, History, Kept, MessageId, Position, TopicName};
use tokio::time::Instant;

use crate::clock::millis;
use crate::commands::Commands;
use crate::connection::ANSWER_WITHIN;
use crate::encoding;
use crate::layout::{Kind, Layout, Name, Partition};
use crate::outcome::CallError;
use crate::reply;
use crate::script::Script;

/// Reads stored messages of a topic, page by page. Begins an epoch if the topic has none. Each page takes at most 2 s, and
/// the whole read 10 s.
///
/// # Errors
///
/// [`EngineError`]: [`EngineErrorKind::Unsupported`] for a topic without history.
pub(crate) async fn catch_up(
    commands: &Commands,
    layout: &Layout,
    topic: &TopicName,
    since: Since,
    history: History,
) -> Result<Catchup, EngineError> {
    let read = Read::new(layout, topic, since, history.kept())?;
    let end = Instant::now() + READ_WITHIN;
    let mut found = match read.page(commands, &read.first()).await? {
        Page::Found(found) => found,
        Page::Lost { top } => return Ok(Catchup::Lost { top }),
        Page::None { top } => return Ok(Catchup::None { top }),
    };
    let mut fits = read.fit(&mut found);
    while fits && !found.is_last {
        if Instant::now() >= end {
            return Err(CallError::Timeout.into());
        }
        let next = read.after(found.end());
        match read.page(commands, &next).await? {
            Page::Found(next) => found.append(next)?,
            Page::Lost { top } | Page::None { top } => return Ok(Catchup::Lost { top }),
        }
        fits = read.fit(&mut found);
    }
    let Found {
        before,
        entries,
        top,
        ..
    } = found;
    Ok(match fits {
        true => Catchup::Whole {
            before,
            entries,
            top,
        },
        false => Catchup::Lost { top },
    })
}

/// Returns the newest position of each topic. `None` for a topic of which the server knows nothing. Creates nothing.
///
/// # Errors
///
/// [`CallError`] if one of the reads failed.
pub(crate) async fn tops(
    commands: &Commands,
    layout: &Layout,
    topics: &[TopicName],
) -> Result<Vec<Option<Position>>, CallError> {
    let mut tops = Vec::with_capacity(topics.len());
    for batch in topics.chunks(BATCH) {
        let mut pipeline = Pipeline::with_capacity(batch.len());
        for topic in batch {
            let meta = layout.name(Kind::Meta, topic);
            let mut command = Cmd::with_capacity(5, meta.len() + 8);
            command.arg("HMGET");
            command.write_arg_fmt(meta);
            command.arg("e").arg("o").arg("i");
            pipeline.add_command(command);
        }
        let until = Instant::now() + ANSWER_WITHIN;
        let answers = commands.call_all(&pipeline, until).await?;
        for answer in answers {
            tops.push(top(&answer).ok_or(CallError::Malformed("HMGET"))?);
        }
    }
    Ok(tops)
}

/// Gives the positions of topics at least this much life, where they exist. Positions of topics without a message live
/// for 10 minutes; those of others for the age of the history and 24 hours.
///
/// # Errors
///
/// [`CallError`] if a call failed.
pub(crate) async fn keep(
    commands: &Commands,
    layout: &Layout,
    topics: &[TopicName],
    life: Duration,
) -> Result<(), CallError> {
    let mut topics: Vec<(Partition, &TopicName)> = topics
        .iter()
        .map(|topic| (Partition::of(topic), topic))
        .collect();
    topics.sort_unstable_by_key(|(partition, _)| *partition);
    for topics in topics.chunk_by(|(one, _), (other, _)| one == other) {
        for batch in topics.chunks(BATCH) {
            let names = batch
                .iter()
                .map(|(_, topic)| layout.name(Kind::Meta, topic));
            let names: Vec<Name<'_>> = names.collect();
            let command = {
                // They are not `Send`, so they end before the call.
                let keys: Vec<&dyn fmt::Display> = names.iter().map(|name| name as _).collect();
                let mut command = Script::Keep.call(&keys, 16);
                command.arg(millis(life));
                command
            };
            let until = Instant::now() + ANSWER_WITHIN;
            commands.call(&command, until).await?;
        }
    }
    Ok(())
}

/// The number of topics of one pipeline, and of keys of one call.
const BATCH: usize = 512;

/// The bytes of messages that one answer may hold.
const PAGE: usize = 262_144;

/// The life of a position that a read has made.
pub(crate) const LIFE_OF_NEW_META: Duration = Duration::from_secs(600);

/// The time of a read of many pages.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// A read of one topic.
struct Read<'a> {
    meta: Name<'a>,
    stream: Name<'a>,
    since: Since,
    /// The number of messages that may be read.
    count: u64,
    /// The bytes of messages that may be read.
    bytes: usize,
    age: Duration,
    is_latest: bool,
}

/// What one call asks for.
struct Request {
    kind: &'static str,
    after: Option<Position>,
    /// The most entries.
    most: u64,
}

/// The answer to one call.
enum Page {
    Found(Found),
    Lost { top: Position },
    None { top: Position },
}

/// An unbroken branch behind `before`.
struct Found {
    before: Position,
    entries: Vec<Entry>,
    top: Position,
    /// Whether the branch ends at the top.
    is_last: bool,
}

impl<'a> Read<'a> {
    fn new(
        layout: &'a Layout,
        topic: &'a TopicName,
        since: Since,
        kept: Kept,
    ) -> Result<Self, EngineError> {
        let (count, bytes, age) = match kept {
            Kept::Window { count, age, bytes } => (u64::from(count), bytes, age),
            Kept::Latest { ttl } => (1, usize::MAX, ttl),
            Kept::Off => {
                return Err(EngineError {
                    published: WasPublished::No,
                    kind: EngineErrorKind::Unsupported,
                    text: "the topic has no history".to_owned(),
                });
            }
        };
        Ok(Self {
            meta: layout.name(Kind::Meta, topic),
            stream: layout.name(Kind::Stream, topic),
            since,
            count,
            bytes,
            age,
            is_latest: matches!(kept, Kept::Latest { .. }),
        })
    }

    fn first(&self) -> Request {
        let (kind, after, most) = match self.since {
            Since::Top | Since::Recent(0) => ("top", None, self.count),
            Since::Recent(number) => ("recent", None, self.count.min(number.into())),
            Since::After(position) => ("after", Some(position), self.count),
        };
        let kind = if self.is_latest && kind != "top" {
            "latest"
        } else {
            kind
        };
        Request { kind, after, most }
    }

    /// Continues behind the last entry of a page.
    fn after(&self, position: Position) -> Request {
        Request {
            kind: "after",
            after: Some(position),
            most: self.count,
        }
    }

    async fn page(&self, commands: &Commands, request: &Request) -> Result<Page, CallError> {
        let mut command = Script::CatchUp.call(&[&self.meta, &self.stream], 160);
        command.arg(request.kind);
        match request.after {
            Some(position) => {
                command.write_arg_fmt(position.epoch);
                command.arg(position.offset);
                match position.id {
                    Some(id) => command.write_arg_fmt(id),
                    None => command.write_arg(b"0"),
                }
            }
            None => {
                command.arg("").arg("").arg("");
            }
        }
        command
            .arg(request.most)
            .arg(self.bytes)
            .arg(millis(self.age))
            .arg(PAGE);
        command.write_arg_fmt(Epoch::new(rand::random()));
        command.arg(millis(LIFE_OF_NEW_META));
        let until = Instant::now() + ANSWER_WITHIN;
        let answer = commands.call(&command, until).await?;
        Page::of(answer).ok_or(CallError::Malformed("catch_up"))
    }

    /// Applies the limits to what was found until now: messages are added while pages are read. The newest ones lose the
    /// oldest entries. Returns false if what lies behind a position is more than may be read.
    fn fit(&self, found: &mut Found) -> bool {
        let mut bytes: usize = found.entries.iter().map(|entry| entry.body.len()).sum();
        let Since::Recent(number) = self.since else {
            return bytes <= self.bytes;
        };
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let mut over = found.entries.len().saturating_sub(number);
        for (index, entry) in found.entries.iter().enumerate() {
            if index >= over && bytes <= self.bytes {
                break;
            }
            bytes -= entry.body.len();
            over = over.max(index + 1);
        }
        if let Some(dropped) = found.entries.drain(..over).next_back() {
            found.before = dropped.position;
        }
        true
    }
}

impl Page {
    /// Reads the answer of the script. The bodies are not copied.
    fn of(answer: Value) -> Option<Self> {
        let Value::Array(fields) = answer else {
            return None;
        };
        let mut fields = fields.into_iter();
        let kind = fields.next()?;
        let top: Position = reply::text(&fields.next()?)?.parse().ok()?;
        let is_last = match &*reply::text(&kind)? {
            "lost" => return Some(Self::Lost { top }),
            "none" => return Some(Self::None { top }),
            "whole" => true,
            "more" => false,
            _ => return None,
        };
        let before = Position {
            epoch: top.epoch,
            offset: reply::number(&fields.next()?)?,
            id: id(&fields.next()?)?,
        };
        let mut at = before;
        let entries = fields.map(|entry| {
            let entry = read_entry(entry, top.epoch)?;
            let is_next = entry.before() == at;
            at = entry.position;
            is_next.then_some(entry)
        });
        let entries = entries.collect::<Option<Vec<Entry>>>()?;
        Some(Self::Found(Found {
            before,
            entries,
            top,
            is_last,
        }))
    }
}

impl Found {
    /// Returns the position of the last entry.
    fn end(&self) -> Position {
        self.entries
            .last()
            .map_or(self.before, |entry| entry.position)
    }

    /// Adds the page behind this one.
    fn append(&mut self, next: Self) -> Result<(), CallError> {
        let is_progress = next.is_last || !next.entries.is_empty();
        if next.before != self.end() || !is_progress {
            return Err(CallError::Malformed("catch_up"));
        }
        self.entries.extend(next.entries);
        self.top = next.top;
        self.is_last = next.is_last;
        Ok(())
    }
}

/// Reads an entry: offset, id, id before, milliseconds, body.
fn read_entry(entry: Value, epoch: Epoch) -> Option<Entry> {
    let Value::Array(fields) = entry else {
        return None;
    };
    let [offset, this, previous, _, body] = <[Value; 5]>::try_from(fields).ok()?;
    let Value::BulkString(body) = body else {
        return None;
    };
    Some(Entry {
        position: Position {
            epoch,
            offset: reply::number(&offset)?,
            id: Some(id(&this)??),
        },
        previous: id(&previous)?,
        body: encoding::read_body(Bytes::from(body)).ok()?,
    })
}

/// Reads an id. The inner `None` stands before the first message.
fn id(value: &Value) -> Option<Option<MessageId>> {
    encoding::read_id(&reply::text(value)?).ok()
}

/// Reads the fields e, o and i of a meta. The inner `None` is a topic of which the server knows nothing.
fn top(answer: &Value) -> Option<Option<Position>> {
    let [epoch, offset, this] = reply::items(answer)? else {
        return None;
    };
    if *epoch == Value::Nil {
        return Some(None);
    }
    Some(Some(Position {
        epoch: reply::text(epoch)?.parse().ok()?,
        offset: reply::number(offset)?,
        id: id(this)?,
    }))
}
