//! Names as keys of hash maps. A name is hashed once for the choice of its shard and for each look-up in it.
//!
//! Clients choose names, so the hash has a random key: names that collide cannot be prepared.

use std::borrow::Borrow;
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};

use crate::name::TopicName;

/// A map from names.
pub(super) type NameMap<V> = HashMap<Name, V, NameHashing>;

/// A set of names.
pub(super) type NameSet = HashSet<Name, NameHashing>;

/// Hashes names. Its clones hash alike.
#[derive(Clone, Debug, Default)]
pub(super) struct NameHashing(RandomState);

/// A name as the key of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(pub(super) TopicName);

/// A name to be looked up, with its hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct LookUp<'n> {
    name: &'n str,
    hash: u64,
}

/// What a look-up compares: a [`Name`] or a [`LookUp`].
pub(super) trait Named {
    /// Returns the name.
    fn name(&self) -> &str;
    /// Gives a [`NameHasher`] the name, or its hash.
    fn feed(&self, hasher: &mut dyn Hasher);
}

/// The hasher of a map of names: takes one name, or the hash of one.
#[derive(Debug)]
pub(super) struct NameHasher {
    key: RandomState,
    hash: u64,
}

impl NameHashing {
    /// Hashes a name.
    pub(super) fn look_up<'n>(&self, name: &'n str) -> LookUp<'n> {
        let hash = self.0.hash_one(name.as_bytes());
        LookUp { name, hash }
    }
}

impl<'n> LookUp<'n> {
    /// Returns the number of the name's shard, among 64.
    pub(super) fn shard(&self) -> usize {
        // A map takes the lowest and the highest bits.
        (self.hash >> 32) as usize % 64
    }

    /// Returns the name.
    pub(super) fn name(&self) -> &'n str {
        self.name
    }

    /// Returns the form in which maps take the name.
    pub(super) fn key(&self) -> &(dyn Named + 'n) {
        self
    }
}

impl BuildHasher for NameHashing {
    type Hasher = NameHasher;

    fn build_hasher(&self) -> NameHasher {
        NameHasher {
            key: self.0.clone(),
            hash: 0,
        }
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, name: &[u8]) {
        self.hash = self.key.hash_one(name);
    }

    fn write_u64(&mut self, hash: u64) {
        self.hash = hash;
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

impl Named for Name {
    fn name(&self) -> &str {
        &self.0
    }

    fn feed(&self, hasher: &mut dyn Hasher) {
        hasher.write(self.0.as_bytes());
    }
}

impl Named for LookUp<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn feed(&self, hasher: &mut dyn Hasher) {
        hasher.write_u64(self.hash);
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.feed(state);
    }
}

impl<'n> Borrow<dyn Named + 'n> for Name {
    fn borrow(&self) -> &(dyn Named + 'n) {
        self
    }
}

impl Hash for dyn Named + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.feed(state);
    }
}

impl PartialEq for dyn Named + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for dyn Named + '_ {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_its_hash() {
        let hashing = NameHashing::default();
        let mut names = NameSet::with_hasher(hashing.clone());
        for index in 0..1000 {
            names.insert(Name(TopicName::new(format!("t/{index}")).unwrap()));
        }
        for index in 0..1000 {
            let name = format!("t/{index}");
            assert!(names.contains(hashing.look_up(&name).key()));
        }
        assert!(!names.contains(hashing.look_up("t/1000").key()));
    }

    #[test]
    fn names_are_spread_over_all_shards() {
        let hashing = NameHashing::default();
        let mut shards = [0; 64];
        for index in 0..64_000 {
            shards[hashing.look_up(&format!("t/{index}")).shard()] += 1;
        }
        assert!(shards.iter().all(|number| (500..1500).contains(number)));
    }

    /// A map has at most 16 / 7 places for each key, and one byte for each place.
    #[test]
    fn a_topic_with_a_listener_costs_at_most_40_bytes() {
        assert!((size_of::<Name>() + 1) * 16 <= 40 * 7);
    }
}
