//! Upkeep: the server forgets the position of a topic without publishers, unless a node that listens renews it.

use std::time::Duration;

use sockeye_pubsub::TopicName;
use tokio::time::Instant;

use crate::commands::Commands;
use crate::layout::{Layout, Partition};
use crate::listening::Upkeep;
use crate::outcome::CallError;
use crate::presence;
use crate::publish::LIFE_OF_META;
use crate::read::{self, LIFE_OF_NEW_META};
use crate::reports::Reports;

/// When each kind of upkeep is due.
#[derive(Debug)]
pub(crate) struct Schedule([(Upkeep, Instant); 3]);

/// The time between two rounds at most. A round comes up to a quarter of it earlier, so that nodes come at different times.
fn period(what: Upkeep) -> Duration {
    match what {
        Upkeep::Empty => Duration::from_secs(4 * 60),
        Upkeep::Window | Upkeep::Members => Duration::from_secs(6 * 3600),
    }
}

impl Schedule {
    /// Makes a schedule. `random` is from 0 to 1.
    pub(crate) fn new(now: Instant, mut random: impl FnMut() -> f64) -> Self {
        let all = [Upkeep::Empty, Upkeep::Window, Upkeep::Members];
        Self(all.map(|what| (what, after(now, what, random()))))
    }

    /// Returns when the next round is due.
    pub(crate) fn next(&self) -> Instant {
        let [first, rest @ ..] = &self.0;
        rest.iter().map(|(_, at)| *at).fold(first.1, Instant::min)
    }

    /// Takes a round that is due.
    pub(crate) fn take(&mut self, now: Instant, random: f64) -> Option<Upkeep> {
        let (what, at) = self.0.iter_mut().find(|(_, at)| *at <= now)?;
        *at = after(now, *what, random);
        Some(*what)
    }
}

fn after(now: Instant, what: Upkeep, random: f64) -> Instant {
    now + period(what).mul_f64(1.0 - random / 4.0)
}

/// Renews what the topics of this node want. What fails is renewed in the next round: each life is longer than two rounds.
pub(crate) async fn renew(
    commands: &Commands,
    layout: &Layout,
    reports: &Reports,
    what: Upkeep,
) -> Result<(), CallError> {
    for partition in Partition::all() {
        // Not held across an await.
        let mut wanting = reports.listening().to_keep(partition, what);
        wanting.sort_unstable_by_key(|(age, _)| *age);
        for group in wanting.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((age, _)) = group.first() else {
                continue;
            };
            let topics: Vec<TopicName> = group.iter().map(|(_, topic)| topic.clone()).collect();
            match what {
                Upkeep::Empty => read::keep(commands, layout, &topics, LIFE_OF_NEW_META).await?,
                Upkeep::Window => {
                    read::keep(commands, layout, &topics, *age + LIFE_OF_META).await?;
                }
                Upkeep::Members => presence::keep(commands, layout, &topics).await?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rounds_come_in_their_period_or_a_quarter_of_it_earlier() {
        let now = Instant::now();
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let mut schedule = Schedule::new(now, || 1.0);
        assert_eq!(schedule.next(), now + minutes(3));
        assert_eq!(schedule.take(now, 0.0), None);
        assert_eq!(schedule.take(now + minutes(3), 0.0), Some(Upkeep::Empty));
        assert_eq!(schedule.take(now + minutes(3), 0.0), None);
        assert_eq!(schedule.next(), now + minutes(7));
        let late = now + minutes(270);
        let due: Vec<_> = std::iter::from_fn(|| schedule.take(late, 0.0)).collect();
        assert_eq!(due, [Upkeep::Empty, Upkeep::Window, Upkeep::Members]);
        assert_eq!(schedule.next(), late + minutes(4));
    }
}
