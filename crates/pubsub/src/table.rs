//! Hash tables of entries that have the name of a topic.
//!
//! An entry holds its own name, so a place of a table takes as much as the entry, and one byte. That counts: a table has up
//! to 16/7 places for each entry. A name is hashed once for the choice of its shard and for all look-ups in it.

use hashbrown::HashTable;

use crate::name::TopicName;
use crate::seed::{LookUp, Seed};

/// The entries of a table, by their names.
#[derive(Debug)]
pub(crate) struct NameTable<T> {
    entries: HashTable<T>,
    seed: Seed,
}

/// An entry of a table.
pub(crate) trait Named {
    /// Returns the name.
    fn name(&self) -> &str;
}

impl<T: Named> NameTable<T> {
    /// Makes a table without entries.
    pub(crate) fn new(seed: Seed) -> Self {
        Self {
            entries: HashTable::new(),
            seed,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the entry with a name.
    pub(crate) fn get(&self, name: &LookUp<'_>) -> Option<&T> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries.find(name.hash(), is_named(name))
    }

    /// Returns the entry with a name.
    pub(crate) fn get_mut(&mut self, name: &LookUp<'_>) -> Option<&mut T> {
        self.entries.find_mut(name.hash(), is_named(name))
    }

    /// Hashes a name for a look-up.
    pub(crate) fn look_up<'n>(&self, name: &'n str) -> LookUp<'n> {
        self.seed.look_up(name)
    }

    /// Returns the entry with a name that was not hashed yet.
    pub(crate) fn find(&self, name: &str) -> Option<&T> {
        self.get(&self.look_up(name))
    }

    /// Adds an entry, whose name no other entry has. Returns it.
    pub(crate) fn insert(&mut self, name: &LookUp<'_>, entry: T) -> &mut T {
        let seed = self.seed;
        let hash = |entry: &T| seed.hash(entry.name());
        self.entries
            .insert_unique(name.hash(), entry, hash)
            .into_mut()
    }

    /// Removes the entry with a name.
    pub(crate) fn remove(&mut self, name: &LookUp<'_>) -> Option<T> {
        let entry = self.entries.find_entry(name.hash(), is_named(name));
        let (removed, _) = entry.ok()?.remove();
        // A crowd of topics leaves no memory behind.
        if self.len() < self.entries.capacity() / 8 {
            let seed = self.seed;
            let hash = |entry: &T| seed.hash(entry.name());
            self.entries.shrink_to(self.entries.len() * 2, hash);
        }
        Some(removed)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut()
    }

    /// Returns the bytes of the places, without what the entries own.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.entries.allocation_size()
    }
}

fn is_named<T: Named>(name: &LookUp<'_>) -> impl Fn(&T) -> bool {
    let name = name.name();
    move |entry| entry.name() == name
}

impl Named for TopicName {
    fn name(&self) -> &str {
        self
    }
}

impl<T: Named> Named for Box<T> {
    fn name(&self) -> &str {
        (**self).name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: impl Into<std::sync::Arc<str>> + AsRef<str>) -> TopicName {
        TopicName::new(text).expect("a name")
    }

    #[test]
    fn names_of_one_hash_are_told_apart() {
        // This seed ignores the order of words.
        let seed = Seed::new(0, 0);
        let names = ["one-wordtwo-word", "two-wordone-word"];
        assert_eq!(seed.hash(names[0]), seed.hash(names[1]));
        let mut table = NameTable::new(seed);
        for text in names {
            table.insert(&seed.look_up(text), name(text));
        }
        assert_eq!(table.remove(&seed.look_up(names[0])), Some(name(names[0])));
        assert_eq!(table.find(names[0]), None);
        assert_eq!(table.find(names[1]), Some(&name(names[1])));
    }

    #[test]
    fn a_table_that_was_full_gives_its_memory_back() {
        let seed = Seed::random();
        let mut table = NameTable::new(seed);
        let names: Vec<_> = (0..1000)
            .map(|number| name(format!("t/{number}")))
            .collect();
        for name in &names {
            table.insert(&seed.look_up(name), name.clone());
        }
        assert_eq!(table.iter().count(), 1000);
        let full = table.bytes();
        // A place takes the entry and one byte, and there are at most 16/7 places for an entry.
        assert!(full <= 1000 * (size_of::<TopicName>() + 1) * 16 / 7 + 64);
        for name in &names[1..] {
            table.remove(&seed.look_up(name));
        }
        assert!(table.bytes() < full / 50);
        assert_eq!(table.iter().next(), names.first());
    }
}
