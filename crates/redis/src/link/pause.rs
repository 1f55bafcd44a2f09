//! How long the link waits before it opens a connection again: a random time, so that nodes do not come all at once.

use std::time::Duration;

/// The pauses of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    /// The longest pause.
    pub(crate) most: Duration,
}

impl Pauses {
    /// The shortest pause.
    const LEAST: Duration = Duration::from_millis(100);

    /// The longest pause before the first new feed while commands work. It doubles with each attempt that fails.
    const OF_FEED: Duration = Duration::from_millis(500);

    /// Draws the pause before both connections are opened again.
    pub(crate) fn of_link(self) -> Duration {
        Self::draw(self.most)
    }

    /// Draws the pause before the feed is opened again, after this many attempts that failed.
    pub(crate) fn of_feed(self, failed: u32) -> Duration {
        let doubled = Self::OF_FEED.saturating_mul(1 << failed.min(16));
        Self::draw(self.most.min(doubled))
    }

    fn draw(most: Duration) -> Duration {
        let least = Self::LEAST.min(most);
        least + (most - least).mul_f64(rand::random())
    }
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            most: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_between_a_tenth_of_a_second_and_their_limit() {
        let millis = Duration::from_millis;
        let pauses = Pauses::default();
        for _ in 0..1_000 {
            assert!((millis(100)..=millis(5_000)).contains(&pauses.of_link()));
            assert!((millis(100)..=millis(500)).contains(&pauses.of_feed(0)));
            assert!((millis(100)..=millis(5_000)).contains(&pauses.of_feed(u32::MAX)));
        }
        let short = Pauses { most: millis(10) };
        assert_eq!(
            (short.of_link(), short.of_feed(3)),
            (millis(10), millis(10))
        );
    }
}
