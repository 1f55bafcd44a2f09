//! A server that answers by itself, as Redis 7.0 does. A test changes how it behaves, and cuts its connections.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sockeye_pubsub::engine::NodeId;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::peer::{NO_PERMISSION, Peer, Peers, bulk, hello, list};
use crate::layout::{Kind, Layout};
use crate::script::Script;

/// A server that answers by itself. Clones share it.
#[derive(Clone)]
pub(super) struct Fake(Arc<Mutex<State>>);

/// How the server behaves, and what it knows.
pub(super) struct State {
    /// The last count of a beat.
    pub(super) count: u64,
    /// The error with which it answers beats.
    pub(super) beat_error: Option<&'static str>,
    /// The error with which it answers publishes.
    pub(super) publish_error: Option<&'static str>,
    /// How long it waits before it answers a beat.
    pub(super) beat_delay: Duration,
    /// Whether it reads commands and answers none.
    pub(super) is_silent: bool,
    /// Whether beats wait in `held` instead of going to the feed.
    pub(super) holds_beats: bool,
    pub(super) held: Vec<Vec<u8>>,
    /// How many of the channels of a SUBSCRIBE it confirms at most.
    pub(super) confirms: usize,
    /// Whether the feed's connection is refused.
    pub(super) refuses_feed: bool,
    /// Whether it knows the lease of the node that asks.
    pub(super) knows_lease: bool,
    /// Nodes that it names beside the one that asks: id, name and fingerprint.
    pub(super) others: Vec<(NodeId, &'static str)>,
    /// The newest position of each topic.
    pub(super) top: &'static str,
    pub(super) subscribed: HashSet<String>,
    pub(super) leases: Vec<Vec<String>>,
    /// The commands that it does not answer in a way of its own.
    pub(super) commands: Vec<Vec<String>>,
    /// The connections that were opened: for commands, and feeds.
    pub(super) opened: [usize; 2],
    writers: [Option<mpsc::Sender<Vec<u8>>>; 2],
}

const COMMANDS: usize = 0;
const FEED: usize = 1;

impl Fake {
    /// Serves all streams that are opened.
    pub(super) fn serve(mut peers: Peers) -> Self {
        let fake = Self(Arc::new(Mutex::new(State {
            count: 0,
            beat_error: None,
            publish_error: None,
            beat_delay: Duration::ZERO,
            is_silent: false,
            holds_beats: false,
            held: Vec::new(),
            confirms: usize::MAX,
            refuses_feed: false,
            knows_lease: false,
            others: Vec::new(),
            top: "AAAAAAAAAAE:0:0",
            subscribed: HashSet::new(),
            leases: Vec::new(),
            commands: Vec::new(),
            opened: [0; 2],
            writers: [None, None],
        })));
        let served = fake.clone();
        tokio::spawn(async move {
            while let Some(peer) = peers.try_next().await {
                tokio::spawn(served.clone().connection(peer));
            }
        });
        fake
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Ends the connection for commands.
    pub(super) fn cut_commands(&self) {
        self.state().writers[COMMANDS] = None;
    }

    /// Ends the feed.
    pub(super) fn cut_feed(&self) {
        self.state().writers[FEED] = None;
    }

    /// Sends a message to the feed, if the feed has subscribed to its channel.
    pub(super) async fn publish(&self, channel: &str, payload: &[u8]) {
        let is_subscribed = self.state().subscribed.contains(channel);
        if is_subscribed {
            self.push(&message(channel, payload)).await;
        }
    }

    /// Sends bytes to the feed.
    pub(super) async fn push(&self, bytes: &[u8]) {
        let writer = self.state().writers[FEED].clone();
        writer.unwrap().send(bytes.to_vec()).await.unwrap();
    }

    /// Sends the beats to the feed that it has held.
    pub(super) async fn release_beats(&self) {
        let held = {
            let mut state = self.state();
            state.holds_beats = false;
            std::mem::take(&mut state.held)
        };
        for beat in held {
            self.push(&beat).await;
        }
    }

    async fn connection(self, mut peer: Peer) {
        let (writer, mut written) = mpsc::channel::<Vec<u8>>(64);
        // Until the name of the connection says which one it is.
        let mut unnamed = Some(writer);
        loop {
            tokio::select! {
                bytes = written.recv() => match bytes {
                    Some(bytes) => peer.answer(bytes).await,
                    None => return,
                },
                command = peer.try_command() => {
                    let Some(command) = command else {
                        return;
                    };
                    if command.get(2).is_some_and(|word| word == "SETNAME") {
                        let kind = usize::from(command[3].starts_with("sockeye-feed:"));
                        let mut state = self.state();
                        if kind == FEED && state.refuses_feed {
                            return;
                        }
                        if kind == FEED {
                            state.subscribed.clear();
                        }
                        state.opened[kind] += 1;
                        state.writers[kind] = unnamed.take();
                    }
                    if self.state().is_silent {
                        continue;
                    }
                    let answer = self.answer(&command).await;
                    peer.answer(answer).await;
                }
            }
        }
    }

    async fn answer(&self, command: &[String]) -> String {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        match words[..] {
            ["HELLO", ..] => hello("redis", "7.0.15", "standalone"),
            ["ROLE"] => list(&[bulk("master"), ":0\r\n".into(), list(&[])]),
            ["SCRIPT", "LOAD", text] => {
                let script = Script::ALL.into_iter().find(|script| script.text() == text);
                bulk(script.unwrap().hash())
            }
            ["INFO", ..] => NO_PERMISSION.into(),
            ["EVALSHA", hash, _, counter, channel, nonce, _] if hash == Script::Beat.hash() => {
                self.beat(counter, channel, nonce).await
            }
            ["EVALSHA", hash, _, _, _, node, _, name, ..] if hash == Script::Lease.hash() => {
                self.lease(command, node, name)
            }
            ["EVALSHA", hash, ..] if hash == Script::Publish.hash() => {
                let error = self.state().publish_error.take();
                error.map_or_else(|| bulk("AAAAAAAAAAE:1:AAAAAAAAAAE"), Into::into)
            }
            ["EVALSHA", hash, ..] if hash == Script::CatchUp.hash() => {
                let top = self.state().top;
                let start = [":0\r\n".to_owned(), bulk("0")];
                list(&[&[bulk("whole"), bulk(top)][..], &start].concat())
            }
            ["INCR", _] => {
                let mut state = self.state();
                state.count += 1;
                state.commands.push(command.to_vec());
                format!(":{}\r\n", state.count)
            }
            ["SUBSCRIBE", ref channels @ ..] => {
                let mut state = self.state();
                let confirmed = channels.iter().take(state.confirms);
                let confirmed = confirmed.map(|channel| {
                    state.subscribed.insert((*channel).to_owned());
                    confirmation("subscribe", channel)
                });
                confirmed.collect()
            }
            ["UNSUBSCRIBE", ref channels @ ..] => {
                let mut state = self.state();
                let confirmed = channels.iter().map(|channel| {
                    state.subscribed.remove(*channel);
                    confirmation("unsubscribe", channel)
                });
                confirmed.collect()
            }
            _ => {
                self.state().commands.push(command.to_vec());
                ":1\r\n".into()
            }
        }
    }

    async fn beat(&self, _: &str, channel: &str, nonce: &str) -> String {
        let delay = self.state().beat_delay;
        sleep(delay).await;
        let (count, beat, is_held) = {
            let mut state = self.state();
            if let Some(error) = state.beat_error {
                return error.into();
            }
            state.count += 1;
            let count = state.count;
            let beat = message(channel, format!("{nonce}:{count}").as_bytes());
            if state.holds_beats {
                state.held.push(beat.clone());
            }
            (
                count,
                beat,
                state.holds_beats || state.writers[FEED].is_none(),
            )
        };
        if !is_held {
            self.push(&beat).await;
        }
        format!(":{count}\r\n")
    }

    fn lease(&self, command: &[String], node: &str, name: &str) -> String {
        let mut state = self.state();
        state.leases.push(command.to_vec());
        let had_none = !std::mem::replace(&mut state.knows_lease, true);
        let mut items = vec![bulk("1000000"), format!(":{}\r\n", u8::from(had_none))];
        items.extend([bulk(node), bulk(name)]);
        for (id, name) in &state.others {
            items.extend([bulk(&format!("{:016x}", id.0)), bulk(name)]);
        }
        list(&items)
    }
}

/// The name of a topic's channel.
pub(super) fn channel(topic: &str) -> String {
    name(Kind::Channel, topic)
}

/// The name of a key or channel of a topic.
pub(super) fn name(kind: Kind, topic: &str) -> String {
    Layout::new("sockeye").name(kind, topic).to_string()
}

/// The bytes of a message of the feed.
pub(super) fn message(channel: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!(">3\r\n{}{}", bulk("message"), bulk(channel)).into_bytes();
    bytes.extend(format!("${}\r\n", payload.len()).bytes());
    bytes.extend(payload);
    bytes.extend(b"\r\n");
    bytes
}

/// The bytes of a confirmation.
pub(super) fn confirmation(what: &str, channel: &str) -> String {
    format!(">3\r\n{}{}:1\r\n", bulk(what), bulk(channel))
}
