//! The hash of topic names, for shards and their tables. It is cheaper than that of the standard library.
//!
//! Clients choose names, so the hash has a secret seed: names that collide cannot be prepared.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// The secret seed of a hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed {
    first: u64,
    second: u64,
}

/// A name to be looked up, with its hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LookUp<'n> {
    name: &'n str,
    hash: u64,
}

impl Seed {
    /// Makes a seed of random bits.
    pub(crate) fn new(first: u64, second: u64) -> Self {
        Self {
            first,
            // An even factor would lose bits.
            second: second | 1,
        }
    }

    /// Makes a seed of the bits that the standard library draws for a map.
    pub(crate) fn random() -> Self {
        let state = RandomState::new();
        Self::new(state.hash_one(1_u8), state.hash_one(2_u8))
    }

    /// Hashes a name for a look-up.
    pub(crate) fn look_up<'n>(&self, name: &'n str) -> LookUp<'n> {
        LookUp {
            name,
            hash: self.hash(name),
        }
    }

    /// Multiplies words, and folds the products.
    pub(crate) fn hash(&self, name: &str) -> u64 {
        let mut state = self.first;
        let mut words = name.as_bytes().chunks_exact(8);
        for word in &mut words {
            let word = word.try_into().map_or(0, u64::from_le_bytes);
            state = fold(state ^ word, self.second);
        }
        let rest = words.remainder();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // The length keeps names apart that differ in zero bytes alone.
        let last = u64::from_le_bytes(last) ^ (name.len() as u64).rotate_right(8);
        state = fold(state ^ last, self.second);
        fold(state, GOLDEN)
    }
}

impl<'n> LookUp<'n> {
    /// Returns the number of the name's shard, among [`SHARDS`].
    pub(crate) fn shard(&self) -> usize {
        // A table takes the lowest and the highest bits.
        (self.hash >> 40) as usize % SHARDS
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Returns the name.
    pub(crate) fn name(&self) -> &'n str {
        self.name
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The fraction of the golden ratio, in 64 bits.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number of shards of a hub, and of the memory engine.
pub(crate) const SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_of_one_pattern_spread_evenly_over_shards() {
        let seed = Seed::new(0x1234_5678_9abc_def0, 0x0fed_cba9_8765_4321);
        let mut shards = [0_u32; 64];
        let mut hashes = HashSet::new();
        for number in 0..64_000 {
            let hash = seed.hash(format!("user/{number}/orders").as_str());
            shards[(hash >> 40) as usize % 64] += 1;
            hashes.insert(hash);
        }
        assert_eq!(hashes.len(), 64_000);
        assert!(
            shards.iter().all(|&n| (850..1150).contains(&n)),
            "{shards:?}"
        );
    }

    #[test]
    fn a_name_and_its_beginning_have_different_hashes() {
        let seed = Seed::new(7, 9);
        let names = ["a", "a\0", "a\0\0", "aaaaaaaa", "aaaaaaaa\0", "aaaaaaaaa"];
        let hashes: HashSet<u64> = names.iter().map(|name| seed.hash(name)).collect();
        assert_eq!(hashes.len(), names.len());
    }

    #[test]
    fn another_seed_gives_other_hashes() {
        assert_ne!(
            Seed::new(1, 2).hash("room/1"),
            Seed::new(3, 4).hash("room/1")
        );
    }
}
