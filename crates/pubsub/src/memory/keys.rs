//! The keys of publishes that were made a short time ago.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

use crate::position::Position;
use crate::publication::{KeyScope, PublishKey};

/// The keys of the topics of one shard. Keys of server code and of clients have separate limits: clients cannot displace
/// the keys of server code.
#[derive(Debug, Default)]
pub(super) struct Keys {
    server: Remembered,
    client: Remembered,
}

/// The hash of a topic's name, a scope and a key, in 128 bits with random keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyHash(u64, u64);

/// Hashes keys.
#[derive(Debug, Default)]
pub(super) struct KeyHashing(RandomState, RandomState);

/// The keys that are remembered for one time.
#[derive(Debug, Default)]
struct Remembered {
    positions: HashMap<KeyHash, Position>,
    /// The keys, and until when each is remembered: the oldest first.
    order: VecDeque<(u64, KeyHash)>,
}

impl KeyHashing {
    pub(super) fn hash(&self, topic: &str, key: &PublishKey) -> KeyHash {
        let named = (topic, &key.scope, &key.key);
        KeyHash(self.0.hash_one(named), self.1.hash_one(named))
    }
}

impl Keys {
    /// The number of keys of server code, and of keys of clients, that a shard remembers. Beyond it the oldest are
    /// forgotten early.
    pub(super) const MAX: usize = 8192;

    /// Returns the position of the publish with this key.
    pub(super) fn find(&mut self, scope: &KeyScope, key: KeyHash, now: u64) -> Option<Position> {
        let (keys, _) = self.of(scope);
        keys.prune(now);
        keys.positions.get(&key).copied()
    }

    /// Remembers a key that [`find`](Self::find) does not know, or whose position has been forgotten.
    pub(super) fn insert(&mut self, scope: &KeyScope, key: KeyHash, position: Position, now: u64) {
        let (keys, time) = self.of(scope);
        if keys.positions.insert(key, position).is_some() {
            keys.order.retain(|(_, known)| *known != key);
        }
        keys.order.push_back((now + time, key));
        if keys.order.len() > Self::MAX {
            keys.forget_oldest();
        }
    }

    /// Forgets the keys whose time is over.
    pub(super) fn prune(&mut self, now: u64) {
        self.server.prune(now);
        self.client.prune(now);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.server.order.is_empty() && self.client.order.is_empty()
    }

    /// Returns the keys of a scope, and how long each is remembered, in milliseconds.
    fn of(&mut self, scope: &KeyScope) -> (&mut Remembered, u64) {
        match scope {
            KeyScope::Server => (&mut self.server, 300_000),
            KeyScope::Principal(_) | KeyScope::Client => (&mut self.client, 60_000),
        }
    }
}

impl Remembered {
    fn prune(&mut self, now: u64) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
        if self.order.is_empty() && self.order.capacity() > 0 {
            *self = Self::default();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.positions.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{Epoch, MessageId};

    fn key(scope: KeyScope, key: &str) -> PublishKey {
        PublishKey {
            scope,
            key: key.into(),
        }
    }

    fn position(offset: u64) -> Position {
        Position {
            offset,
            id: Some(MessageId::new(offset)),
            ..Position::start(Epoch::new(1))
        }
    }

    #[test]
    fn equal_keys_of_different_scopes_and_topics_differ() {
        let hashing = KeyHashing::default();
        let scopes = [
            KeyScope::Server,
            KeyScope::Client,
            KeyScope::Principal("ann".into()),
            KeyScope::Principal("bob".into()),
        ];
        let mut hashes = Vec::new();
        for scope in scopes {
            for topic in ["a", "b"] {
                let hash = hashing.hash(topic, &key(scope.clone(), "k"));
                assert_eq!(hash, hashing.hash(topic, &key(scope.clone(), "k")));
                assert!(!hashes.contains(&hash));
                hashes.push(hash);
            }
        }
    }

    #[test]
    fn the_server_s_keys_are_remembered_for_5_minutes_and_others_for_60_seconds() {
        let hashing = KeyHashing::default();
        for (scope, time) in [
            (KeyScope::Server, 300_000),
            (KeyScope::Client, 60_000),
            (KeyScope::Principal("ann".into()), 60_000),
        ] {
            let mut keys = Keys::default();
            let hash = hashing.hash("a", &key(scope.clone(), "k"));
            keys.insert(&scope, hash, position(1), 1000);
            assert_eq!(keys.find(&scope, hash, 999 + time), Some(position(1)));
            assert_eq!(keys.find(&scope, hash, 1000 + time), None);
            assert!(keys.is_empty());
        }
    }

    #[test]
    fn beyond_the_limit_the_oldest_keys_are_forgotten_and_never_those_of_the_server() {
        let hashing = KeyHashing::default();
        let mut keys = Keys::default();
        let own = hashing.hash("a", &key(KeyScope::Server, "own"));
        keys.insert(&KeyScope::Server, own, position(1), 0);
        let hashes: Vec<_> = (0..=Keys::MAX)
            .map(|index| hashing.hash("a", &key(KeyScope::Client, &index.to_string())))
            .collect();
        for hash in &hashes {
            keys.insert(&KeyScope::Client, *hash, position(2), 0);
        }
        assert_eq!(keys.find(&KeyScope::Client, hashes[0], 0), None);
        assert!(keys.find(&KeyScope::Client, hashes[1], 0).is_some());
        assert!(keys.find(&KeyScope::Server, own, 0).is_some());
    }

    #[test]
    fn a_key_that_is_inserted_again_lives_from_then_on() {
        let hashing = KeyHashing::default();
        let mut keys = Keys::default();
        let hash = hashing.hash("a", &key(KeyScope::Client, "k"));
        keys.insert(&KeyScope::Client, hash, position(1), 0);
        keys.insert(&KeyScope::Client, hash, position(2), 30_000);
        assert_eq!(
            keys.find(&KeyScope::Client, hash, 60_000),
            Some(position(2))
        );
        assert_eq!(keys.find(&KeyScope::Client, hash, 90_000), None);
    }
}
