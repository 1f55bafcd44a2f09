//! The names that are taken in a room, and the numbers behind equal names.
//!
//! The roster finds the least free number without a search. It counts the numbers of each name, and keeps those that
//! were given back. So a crowd with one name costs as much as a crowd with different names.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::name::Name;

/// The names of a room.
#[derive(Debug, Default)]
pub(super) struct Roster {
    // The keys of all taken names.
    taken: HashSet<String>,
    // By the key of the wanted name.
    numbers: HashMap<String, Numbers>,
}

/// The numbers behind one name.
#[derive(Debug)]
struct Numbers {
    // The least number that was never tried.
    next: usize,
    given_back: BTreeSet<usize>,
    in_use: usize,
}

/// A taken name, until it is [given back](Roster::give_back).
#[derive(Debug)]
pub(super) struct TakenName {
    name: Name,
    key: String,
    // The key of the wanted name, and the number behind it.
    number: Option<(String, usize)>,
}

impl TakenName {
    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn as_str(&self) -> &str {
        self.name.as_str()
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

impl Roster {
    /// Takes the wanted name, or that name with the least free number behind it. `is_elsewhere` says which keys members on
    /// other nodes have.
    pub(super) fn take(&mut self, wanted: &Name, is_elsewhere: impl Fn(&str) -> bool) -> TakenName {
        let wanted_key = wanted.key();
        if !is_elsewhere(&wanted_key) && self.taken.insert(wanted_key.clone()) {
            return TakenName {
                name: wanted.clone(),
                key: wanted_key,
                number: None,
            };
        }
        let numbers = self.numbers.entry(wanted_key.clone()).or_default();
        loop {
            let number = numbers.given_back.pop_first().unwrap_or_else(|| {
                numbers.next += 1;
                numbers.next - 1
            });
            let name = wanted.numbered(number);
            let key = name.key();
            // A member may have asked for `Ada-2` itself. Then that number is skipped.
            if !is_elsewhere(&key) && self.taken.insert(key.clone()) {
                numbers.in_use += 1;
                let number = Some((wanted_key, number));
                return TakenName { name, key, number };
            }
        }
    }

    /// Frees a name.
    pub(super) fn give_back(&mut self, taken: &TakenName) {
        self.taken.remove(&taken.key);
        let Some((wanted_key, number)) = &taken.number else {
            return;
        };
        if let Some(numbers) = self.numbers.get_mut(wanted_key) {
            numbers.given_back.insert(*number);
            numbers.in_use -= 1;
            if numbers.in_use == 0 {
                self.numbers.remove(wanted_key);
            }
        }
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            next: 2,
            given_back: BTreeSet::new(),
            in_use: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    #[test]
    fn the_least_free_number_follows_a_name_that_is_taken() {
        let mut roster = Roster::default();
        let mut taken: Vec<TakenName> = (0..5)
            .map(|_| roster.take(&name("Ada"), |_| false))
            .collect();
        let given: Vec<&str> = taken.iter().map(TakenName::as_str).collect();
        assert_eq!(given, ["Ada", "Ada-2", "Ada-3", "Ada-4", "Ada-5"]);
        for at in [3, 1] {
            roster.give_back(&taken.remove(at));
        }
        for expected in ["ada-2", "ada-4", "ada-6"] {
            assert_eq!(roster.take(&name("ada"), |_| false).as_str(), expected);
        }
        // The name itself is free after the first member has left.
        roster.give_back(&taken.remove(0));
        assert_eq!(roster.take(&name("ADA"), |_| false).as_str(), "ADA");
    }

    #[test]
    fn a_number_that_a_member_asked_for_by_name_is_skipped() {
        let mut roster = Roster::default();
        let all: Vec<TakenName> = ["Ada-2", "Ada-4", "Ada", "Ada", "Ada"]
            .map(|wanted| roster.take(&name(wanted), |_| false))
            .into();
        let given: Vec<&str> = all.iter().map(TakenName::as_str).collect();
        assert_eq!(given, ["Ada-2", "Ada-4", "Ada", "Ada-3", "Ada-5"]);
        assert_eq!(roster.take(&name("Ada-2"), |_| false).as_str(), "Ada-2-2");
    }

    #[test]
    fn a_name_of_a_member_on_another_node_is_skipped() {
        let mut roster = Roster::default();
        let elsewhere = |key: &str| matches!(key, "ada" | "ada-3");
        let given = ["Ada", "Ada", "Grace"].map(|wanted| roster.take(&name(wanted), elsewhere));
        let given = given.each_ref().map(TakenName::as_str);
        assert_eq!(given, ["Ada-2", "Ada-4", "Grace"]);
    }

    #[test]
    fn names_that_are_cut_for_their_number_are_told_apart() {
        let mut roster = Roster::default();
        let (one, other) = ("鮭".repeat(38) + "ab", "鮭".repeat(38) + "cd");
        let taken =
            [&one, &other, &one, &other].map(|wanted| roster.take(&name(wanted), |_| false));
        let given: HashSet<&str> = taken.iter().map(TakenName::as_str).collect();
        assert_eq!(given.len(), 4);
    }

    #[test]
    fn of_names_that_were_given_back_nothing_is_kept() {
        let mut roster = Roster::default();
        let taken: Vec<TakenName> = (0..500)
            .map(|_| roster.take(&name("Ada"), |_| false))
            .collect();
        taken.iter().for_each(|taken| roster.give_back(taken));
        assert!(roster.taken.is_empty() && roster.numbers.is_empty());
    }
}
