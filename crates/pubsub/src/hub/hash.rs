//! The hash of topic names, for the shards and their maps. Clients choose names, so the hash has a secret seed.

use std::hash::{BuildHasher, Hasher};

/// Makes hashers of one seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed {
    first: u64,
    second: u64,
}

/// Hashes by multiplying words and folding the product.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameHasher {
    state: u64,
    key: u64,
}

impl Seed {
    /// Makes a seed of random bits.
    pub(super) fn new(first: u64, second: u64) -> Self {
        Self {
            first,
            // An even factor would lose bits.
            second: second | 1,
        }
    }
}

impl BuildHasher for Seed {
    type Hasher = NameHasher;

    fn build_hasher(&self) -> NameHasher {
        NameHasher {
            state: self.first,
            key: self.second,
        }
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let word = word.try_into().map_or(0, u64::from_le_bytes);
            self.state = fold(self.state ^ word, self.key);
        }
        let rest = words.remainder();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // The length keeps names apart that differ in zero bytes alone.
        let last = u64::from_le_bytes(last) ^ (bytes.len() as u64).rotate_right(8);
        self.state = fold(self.state ^ last, self.key);
    }

    fn write_u8(&mut self, _: u8) {
        // The end mark of a `str`. The length is in the hash already, and a name is hashed alone.
    }

    fn finish(&self) -> u64 {
        fold(self.state, GOLDEN)
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The fraction of the golden ratio, in 64 bits.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

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
            let hash = seed.hash_one(format!("user/{number}/orders").as_str());
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
        let hashes: HashSet<u64> = names.iter().map(|name| seed.hash_one(*name)).collect();
        assert_eq!(hashes.len(), names.len());
    }

    #[test]
    fn another_seed_gives_other_hashes() {
        assert_ne!(
            Seed::new(1, 2).hash_one("room/1"),
            Seed::new(3, 4).hash_one("room/1")
        );
    }
}
