//! Fault schedules from seeds: the same seed gives the same schedule.
//!
//! ```
//! use sockeye_engine_kit::schedule::{FaultKind, Plan, Seed};
//!
//! let seed: Seed = "2a".parse().unwrap();
//! let faults = [
//!     FaultKind { kind: "feed cut", lasts: (0, 0), weight: 3 },
//!     FaultKind { kind: "engine frozen", lasts: (1_000, 20_000), weight: 1 },
//! ];
//! let plan = Plan { pause: (5_000, 15_000), until: 60_000 };
//! for step in plan.steps(seed, &faults) {
//!     println!("{} ms: {} for {} ms", step.from, step.kind, step.until - step.from);
//! }
//! assert_eq!(plan.steps(seed, &faults), plan.steps(seed, &faults));
//! ```

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::num::ParseIntError;
use std::str::FromStr;

use crate::checker::Millis;

/// The number from which all chance of a run comes. Its text is hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seed(pub u64);

impl Seed {
    /// Draws a seed.
    pub fn draw() -> Self {
        Self(RandomState::new().hash_one(0))
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for Seed {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// Random numbers that follow from a seed. They can be guessed.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// Begins the numbers of a seed.
    pub fn new(seed: Seed) -> Self {
        Self(seed.0)
    }

    /// Returns 64 random bits: SplitMix64.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Returns a number below a limit. 0 if the limit is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        let product = u128::from(self.bits()) * u128::from(limit);
        // The high half is below the limit.
        u64::try_from(product >> 64).unwrap_or_default()
    }

    /// Returns a number between two, both included.
    pub fn between(&mut self, (least, most): (u64, u64)) -> u64 {
        match most.saturating_sub(least).checked_add(1) {
            Some(count) => least + self.below(count),
            None => self.bits(),
        }
    }

    /// Returns true in one of so many cases.
    pub fn one_in(&mut self, cases: u64) -> bool {
        self.below(cases) == 0
    }

    /// Returns one of several things. `None` if there are none.
    pub fn pick<'t, T>(&mut self, things: &'t [T]) -> Option<&'t T> {
        let index = self.below(things.len() as u64);
        things.get(usize::try_from(index).ok()?)
    }
}

/// A fault that a schedule may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultKind<K> {
    /// What happens.
    pub kind: K,
    /// The shortest and the longest time that it lasts, in milliseconds.
    pub lasts: (Millis, Millis),
    /// How often it happens beside the others.
    pub weight: u32,
}

/// How faults follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The shortest and the longest pause before a fault, in milliseconds.
    pub pause: (Millis, Millis),
    /// The time at which all faults have ended.
    pub until: Millis,
}

/// One fault of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<K> {
    /// What happens.
    pub kind: K,
    /// When it begins.
    pub from: Millis,
    /// When it ends.
    pub until: Millis,
}

impl Plan {
    /// Draws a schedule. Its faults do not overlap.
    pub fn steps<K: Copy>(self, seed: Seed, faults: &[FaultKind<K>]) -> Vec<Step<K>> {
        let mut chance = Chance::new(seed);
        let mut steps = Vec::new();
        let mut now = 0;
        while let Some(fault) = choose(&mut chance, faults) {
            let from = now + chance.between(self.pause);
            let until = from + chance.between(fault.lasts);
            // A schedule without pauses and times would have no end.
            if until > self.until || until == now {
                break;
            }
            steps.push(Step {
                kind: fault.kind,
                from,
                until,
            });
            now = until;
        }
        steps
    }
}

fn choose<'f, K>(chance: &mut Chance, faults: &'f [FaultKind<K>]) -> Option<&'f FaultKind<K>> {
    let weights: u64 = faults.iter().map(|fault| u64::from(fault.weight)).sum();
    let mut left = chance.below(weights);
    faults.iter().find(|fault| {
        let weight = u64::from(fault.weight);
        let is_chosen = left < weight;
        left = left.saturating_sub(weight);
        is_chosen
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAULTS: [FaultKind<char>; 3] = [
        FaultKind {
            kind: 'a',
            lasts: (0, 0),
            weight: 1,
        },
        FaultKind {
            kind: 'b',
            lasts: (10, 20),
            weight: 3,
        },
        FaultKind {
            kind: 'c',
            lasts: (5, 5),
            weight: 0,
        },
    ];

    const PLAN: Plan = Plan {
        pause: (5, 15),
        until: 10_000,
    };

    #[test]
    fn a_seed_gives_one_schedule_and_another_seed_another_one() {
        let steps = PLAN.steps(Seed(1), &FAULTS);
        assert_eq!(PLAN.steps(Seed(1), &FAULTS), steps);
        assert_ne!(PLAN.steps(Seed(2), &FAULTS), steps);
    }

    #[test]
    fn steps_keep_their_pauses_and_times_and_the_end() {
        let steps = PLAN.steps(Seed(1), &FAULTS);
        let mut now = 0;
        for step in &steps {
            assert!((5..=15).contains(&(step.from - now)), "{step:?}");
            let lasts = step.until - step.from;
            assert!(if step.kind == 'a' {
                lasts == 0
            } else {
                (10..=20).contains(&lasts)
            });
            now = step.until;
        }
        assert!((10_000 - 35..=10_000).contains(&now), "{now}");
    }

    #[test]
    fn faults_happen_as_often_as_their_weights_say() {
        let steps = PLAN.steps(Seed(1), &FAULTS);
        let count = |kind| steps.iter().filter(|step| step.kind == kind).count();
        assert_eq!(count('c'), 0);
        let ratio = count('b') as f64 / count('a') as f64;
        assert!((2.0..4.5).contains(&ratio), "{ratio}");
    }

    #[test]
    fn without_faults_or_without_time_there_are_no_steps() {
        let none: [FaultKind<char>; 0] = [];
        assert_eq!(PLAN.steps(Seed(1), &none), []);
        let plan = Plan {
            pause: (0, 0),
            until: 100,
        };
        assert_eq!(plan.steps(Seed(1), &FAULTS[..1]), []);
    }

    #[test]
    fn a_seed_is_written_as_it_is_read() {
        let seed = Seed::draw();
        assert_eq!(seed.to_string().parse(), Ok(seed));
        assert_eq!("2A".parse(), Ok(Seed(42)));
        assert!("x".parse::<Seed>().is_err());
    }

    #[test]
    fn numbers_reach_both_ends_of_their_range() {
        let mut chance = Chance::new(Seed(7));
        let drawn: Vec<u64> = (0..100).map(|_| chance.between((3, 5))).collect();
        assert!([3, 4, 5].iter().all(|number| drawn.contains(number)));
        assert!(drawn.iter().all(|number| (3..=5).contains(number)));
        assert_eq!(chance.between((9, 9)), 9);
        assert_eq!(chance.below(0), 0);
        assert_ne!(chance.between((0, u64::MAX)), chance.between((0, u64::MAX)));
        assert!((0..100).any(|_| chance.one_in(10)));
        assert_eq!(chance.pick::<u8>(&[]), None);
        assert_eq!(chance.pick(&[1]), Some(&1));
    }
}
