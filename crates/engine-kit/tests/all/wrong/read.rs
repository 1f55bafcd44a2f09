//! How a wrong engine reads.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sockeye_pubsub::engine::{Catchup, EngineError, Generation, Since};
use sockeye_pubsub::{Epoch, History, Kept, Position, Surroundings, TopicName};

use super::engine::Wrong;
use super::mutant::Mutant::*;

type Answer = Result<(Catchup, Generation), EngineError>;

impl Wrong {
    /// Reads messages, but for one thing.
    pub(super) async fn read(&self, topic: &TopicName, since: Since, history: History) -> Answer {
        let topic = &self.topic(topic, history);
        if self.common.mutant == RepeatsDroppedPublishes {
            self.repeat_pending().await;
        }
        let tops = self.inner.tops(std::slice::from_ref(topic)).await;
        if self.common.mutant == WaitsForEver && tops.is_err() {
            std::future::pending::<()>().await;
        }
        let top = tops?[0];
        let is_latest = history.is_latest();
        if self.common.mutant == SticksInReads {
            if self.common.is_busy.swap(true, Ordering::Relaxed) {
                let (catchup, generation) = self.right(topic, Since::Top, history).await?;
                let (Catchup::Whole { top, .. } | Catchup::Lost { top } | Catchup::None { top }) =
                    catchup;
                return Ok((Catchup::Lost { top }, generation));
            }
            let answer = self.right(topic, since, history).await;
            self.common.is_busy.store(false, Ordering::Relaxed);
            return answer;
        }
        let since = match (self.common.mutant, since) {
            (ReadsOneMore, Since::Recent(number)) => Since::Recent(number + 1),
            (ReadsTheWholeWindow, Since::After(_)) => Since::Recent(10_000),
            (ReadsWithTop, Since::Top) => Since::Recent(1),
            (IgnoresEpochs, Since::After(position)) => match top {
                Some(top) => Since::After(Position {
                    epoch: top.epoch,
                    ..position
                }),
                None => since,
            },
            (IgnoresIds, Since::After(position)) => {
                self.with_right_id(topic, position, history).await?
            }
            (RepeatsTheLatest, Since::After(_)) if is_latest => Since::Recent(1),
            _ => since,
        };
        if let (Since::After(position), Some(top)) = (since, top)
            && let Some(answer) = self.after(topic, position, top, history).await?
        {
            return Ok(answer);
        }
        if self.common.mutant == AcceptsUnknownTopics
            && let (Since::After(position), None) = (since, top)
        {
            return Ok((nothing_behind(position), Generation(1)));
        }
        let elsewhere = TopicName::new(format!("{topic}/elsewhere"));
        let topic = match (self.common.mutant, since, &elsewhere) {
            (ReadsTopElsewhere, Since::Top, Ok(elsewhere)) => elsewhere,
            _ => topic,
        };
        let answer = match (self.common.mutant, since) {
            (
                ReadsRecentBeyondCount | ReadsRecentBeyondAge | ReadsRecentBeyondBytes,
                Since::Recent(_),
            ) => {
                let history = self.longer(history);
                self.inner.catch_up(topic, since, history).await
            }
            _ => self.right(topic, since, history).await,
        };
        let (catchup, generation) = match answer {
            Err(_) if self.common.mutant == ReadsWhenStopped => {
                let top = Position::start(Epoch::new(1));
                (nothing_behind(top), Generation(1))
            }
            answer => answer?,
        };
        let generation = match self.common.mutant {
            InventsGenerations => Generation(99),
            ReadsInTheOldGeneration => Generation(1),
            _ => generation,
        };
        Ok((self.altered(topic, since, history, catchup), generation))
    }

    /// Reads as the right engine does, with the history that this engine has.
    async fn right(&self, topic: &TopicName, since: Since, history: History) -> Answer {
        self.inner
            .catch_up(topic, since, self.history(history))
            .await
    }

    /// Answers a read behind a position in a wrong way. `None` if the mutant reads rightly.
    async fn after(
        &self,
        topic: &TopicName,
        position: Position,
        top: Position,
        history: History,
    ) -> Result<Option<(Catchup, Generation)>, EngineError> {
        let lost = Catchup::Lost { top };
        let recent = Since::Recent(10_000);
        let catchup = match self.common.mutant {
            IgnoresIdsAtTheTop if position.offset == top.offset => nothing_behind(top),
            AcceptsTheFuture if position.offset > top.offset => nothing_behind(top),
            NeedsTheEpochOfTheLatest if position.epoch != top.epoch => lost,
            LosesTheTopWithItsMessages | NeedsTheOwnMessage => {
                let (kept, _) = self.right(topic, recent, history).await?;
                let Catchup::Whole {
                    before, entries, ..
                } = kept
                else {
                    return Ok(None);
                };
                let is_lost = match self.common.mutant {
                    LosesTheTopWithItsMessages => entries.is_empty(),
                    _ => position.offset > 0 && position.offset <= before.offset,
                };
                if !is_lost {
                    return Ok(None);
                }
                lost
            }
            _ => return Ok(None),
        };
        Ok(Some((catchup, Generation(1))))
    }

    /// Gives a position before the top the id that its offset has.
    async fn with_right_id(
        &self,
        topic: &TopicName,
        position: Position,
        history: History,
    ) -> Result<Since, EngineError> {
        let (kept, _) = self.right(topic, Since::Recent(10_000), history).await?;
        let Catchup::Whole { entries, .. } = kept else {
            return Ok(Since::After(position));
        };
        let same = entries
            .iter()
            .find(|entry| entry.before().offset == position.offset);
        let position = same.map_or(position, |entry| Position {
            id: entry.previous,
            ..position
        });
        Ok(Since::After(position))
    }

    /// Changes the answer of the right engine.
    fn altered(
        &self,
        topic: &TopicName,
        since: Since,
        history: History,
        catchup: Catchup,
    ) -> Catchup {
        let Catchup::Whole {
            before,
            mut entries,
            mut top,
        } = catchup
        else {
            return match (self.common.mutant, catchup) {
                (HidesAMissingValue, Catchup::None { top }) => nothing_behind(top),
                (_, catchup) => catchup,
            };
        };
        let is_after = matches!(since, Since::After(_));
        match self.common.mutant {
            LeavesTheFirstOut if is_after && entries.len() > 1 => {
                entries.remove(0);
            }
            CutsLongReads => entries.truncate(256),
            ForgetsUncompressed => {
                for entry in &mut entries {
                    entry.body.compressible = true;
                }
            }
            BeginsEpochsAgain if top.offset == 0 => {
                top.epoch = Epoch::new(self.common.clock.random());
                return nothing_behind(top);
            }
            AgesTheLatestFromTheFirst => {
                if let Kept::Latest { ttl } = history.kept() {
                    let first = self.common.known().first.get(topic).copied();
                    let now = self.common.clock.now();
                    if first.is_some_and(|first| first + ttl <= now) {
                        return Catchup::None { top };
                    }
                }
            }
            _ => {}
        }
        Catchup::Whole {
            before,
            entries,
            top,
        }
    }

    /// Returns a window without one of its limits.
    fn longer(&self, history: History) -> History {
        let Kept::Window { count, age, bytes } = history.kept() else {
            return history;
        };
        match self.common.mutant {
            ReadsRecentBeyondCount => History::window(History::MAX_COUNT, age).bytes(bytes),
            ReadsRecentBeyondAge => History::window(count, History::MAX_AGE).bytes(bytes),
            ReadsRecentBeyondBytes => History::window(count, age).bytes(History::MAX_BYTES),
            _ => history,
        }
    }

    /// Returns the history with which this engine stores.
    pub(super) fn stored_history(&self, history: History) -> History {
        self.longer(self.history(history))
    }

    /// Returns the history that this engine has.
    pub(super) fn history(&self, history: History) -> History {
        match (self.common.mutant, history.kept()) {
            (StoresUnstored, Kept::Off) => History::window(1, Duration::from_secs(60)),
            (KeepsOneMore, Kept::Window { count, age, bytes }) => {
                History::window(count + 1, age).bytes(bytes)
            }
            (KeepsOneLess, Kept::Window { count, age, bytes }) => {
                History::window(count - 1, age).bytes(bytes)
            }
            (IgnoresAge, Kept::Window { count, bytes, .. }) => {
                History::window(count, History::MAX_AGE).bytes(bytes)
            }
            (AgesTooFast, Kept::Window { count, age, bytes }) => {
                History::window(count, age / 3).bytes(bytes)
            }
            (IgnoresBytes, Kept::Window { count, age, .. }) => {
                History::window(count, age).bytes(History::MAX_BYTES)
            }
            (KeepsOneByteLess, Kept::Window { count, age, bytes }) => {
                History::window(count, age).bytes(bytes - 1)
            }
            (KeepsTheLatestForEver, Kept::Latest { .. }) => History::latest().ttl(History::MAX_TTL),
            _ => history,
        }
    }
}

fn nothing_behind(top: Position) -> Catchup {
    Catchup::Whole {
        before: top,
        entries: Vec::new(),
        top,
    }
}
