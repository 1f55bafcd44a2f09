//! Publishing: to topics with history by the script, to others by PUBLISH. Within 2 s in all.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use redis::{Cmd, RedisWrite as _, Value};
use sha2::{Digest as _, Sha256};
use sockeye_pubsub::engine::{EngineError, EngineErrorKind, NodeId, WasPublished};
use sockeye_pubsub::{
    Epoch, History, Kept, KeyScope, Position, Publication, PublishKey, TopicName,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::clock::{EngineClock, millis};
use crate::commands::CurrentCommands;
use crate::connection::ANSWER_WITHIN;
use crate::encoding;
use crate::fault::Fault;
use crate::layout::{Kind, Layout};
use crate::outcome::CallError;
use crate::reply;
use crate::script::Script;

/// Publishes messages and signals.
#[derive(Debug)]
pub(crate) struct Publisher {
    current: Arc<CurrentCommands>,
    layout: Layout,
    clock: Arc<EngineClock>,
    room: Semaphore,
}

impl Publisher {
    pub(crate) fn new(
        current: Arc<CurrentCommands>,
        layout: Layout,
        clock: Arc<EngineClock>,
    ) -> Self {
        Self {
            current,
            layout,
            clock,
            room: Semaphore::new(MAX_IN_FLIGHT),
        }
    }

    /// Publishes a message. The answer is its position; `None` without history. With history the server refuses the
    /// message 2 s after this call began, so a late one is never published.
    ///
    /// At most 4,096 publishes wait for the server; others wait for room within the same 2 s. Cancel safety: from the
    /// first poll on, the message may be published.
    ///
    /// # Errors
    ///
    /// [`EngineError`], which says whether the message may have been published.
    pub(crate) async fn publish(
        &self,
        topic: &TopicName,
        publication: Publication,
        history: History,
    ) -> Result<Option<Position>, EngineError> {
        let kept = history.kept();
        if kept == Kept::Off && publication.key.is_some() {
            return Err(EngineError {
                published: WasPublished::No,
                kind: EngineErrorKind::Rejected,
                text: "a topic without history has no keys".to_owned(),
            });
        }
        let began = Instant::now();
        let _room = self.room(began + ANSWER_WITHIN).await?;
        let commands = self.current.now()?;
        let command = match kept {
            Kept::Off => self.pass_on(topic, &publication),
            kept => {
                let deadline = self.clock.at(began + ANSWER_WITHIN);
                let deadline = deadline.ok_or(CallError::Unsent("the link has no lease yet"))?;
                let deadline = if Fault::NoDeadline.is_on() {
                    NEVER
                } else {
                    deadline
                };
                self.store(topic, publication, kept, deadline)
            }
        };
        let answer = commands.call(&command, began + ANSWER_WITHIN).await?;
        match kept {
            Kept::Off => Ok(None),
            _ => Ok(Some(position(&answer)?)),
        }
    }

    /// Sends a signal to all nodes, at most once.
    ///
    /// # Errors
    ///
    /// [`EngineError`], as for a message.
    pub(crate) async fn signal(&self, from: NodeId, payload: &Bytes) -> Result<(), EngineError> {
        let until = Instant::now() + ANSWER_WITHIN;
        let commands = self.current.now()?;
        let mut command = Cmd::new();
        command.arg("PUBLISH").arg(self.layout.signals());
        command.arg(encoding::signal(from, payload));
        commands.call(&command, until).await?;
        Ok(())
    }

    async fn room(&self, until: Instant) -> Result<SemaphorePermit<'_>, CallError> {
        let full = CallError::Unsent("too many publishes wait for the server");
        if let Ok(room) = self.room.try_acquire() {
            return Ok(room);
        }
        match timeout_at(until, self.room.acquire()).await {
            Ok(Ok(room)) => Ok(room),
            _ => Err(full),
        }
    }

    /// Makes the command for a topic without history.
    fn pass_on(&self, topic: &TopicName, publication: &Publication) -> Cmd {
        let channel = self.layout.name(Kind::Channel, topic);
        let message = encoding::unstored(publication.id, &publication.body);
        let mut command = Cmd::with_capacity(3, 16 + channel.len() + message.len());
        command.arg("PUBLISH");
        command.write_arg_fmt(channel);
        command.arg(message);
        command
    }

    /// Makes the command for a topic with history. `deadline` is on the server's clock.
    fn store(&self, topic: &TopicName, publication: Publication, kept: Kept, deadline: u64) -> Cmd {
        let Publication { id, body, key } = publication;
        let [meta, stream, channel] =
            [Kind::Meta, Kind::Stream, Kind::Channel].map(|kind| self.layout.name(kind, topic));
        let body = encoding::body(&body);
        let size = body.len() + 128;
        let mut command = match &key {
            None => Script::Publish.call(&[&meta, &stream, &channel], size),
            Some(key) => {
                let hash = hash_of(key);
                let key = self.layout.publish_key(&hash, topic);
                Script::Publish.call(&[&meta, &stream, &channel, &key], size)
            }
        };
        match kept {
            Kept::Window { count, age, .. } => {
                let life = millis(age + LIFE_OF_META);
                command.arg("window").arg(count).arg(millis(age)).arg(life);
            }
            Kept::Latest { ttl } => {
                let life = millis(ttl);
                command.arg("latest").arg(1).arg(life).arg(life);
            }
            Kept::Off => {}
        }
        command.write_arg_fmt(Epoch::new(rand::random()));
        command.write_arg_fmt(id);
        command.arg(body).arg(deadline);
        let remembered = key.map_or(LIFE_OF_CLIENT_KEY, |key| match key.scope {
            KeyScope::Server => LIFE_OF_SERVER_KEY,
            KeyScope::Principal(_) | KeyScope::Client => LIFE_OF_CLIENT_KEY,
        });
        command.arg(millis(remembered)).arg("PUBLISH");
        command
    }
}

/// A time of the server that does not come.
const NEVER: u64 = 1 << 50;

/// How long the position of a window lives behind its last message.
pub(crate) const LIFE_OF_META: Duration = Duration::from_secs(24 * 3600);

/// The number of publishes that wait for the server's answer.
const MAX_IN_FLIGHT: usize = 4096;

const LIFE_OF_SERVER_KEY: Duration = Duration::from_secs(300);
const LIFE_OF_CLIENT_KEY: Duration = Duration::from_secs(60);

/// Returns the first 128 bits of SHA-256 over scope, a zero byte and key, as 22 characters.
fn hash_of(key: &PublishKey) -> String {
    let mut hash = Sha256::new();
    match &key.scope {
        KeyScope::Server => hash.update("s"),
        KeyScope::Principal(principal) => {
            hash.update("p");
            hash.update(&**principal);
        }
        KeyScope::Client => hash.update("c"),
    }
    hash.update([0]);
    hash.update(&*key.key);
    let hash = hash.finalize();
    URL_SAFE_NO_PAD.encode(hash.get(..16).unwrap_or_default())
}

/// Reads the answer of the script: a position, or that of the first publish with this key and `again`.
fn position(answer: &Value) -> Result<Position, CallError> {
    let position = match reply::items(answer) {
        Some(again) => again.first(),
        None => Some(answer),
    };
    let position = position.and_then(reply::text);
    let position = position.and_then(|text| encoding::read_position(&text).ok());
    position.ok_or(CallError::Malformed("publish"))
}
