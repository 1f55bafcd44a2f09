//! Judges beats: whether the server answers, whether it kept its memory, and whether the feed brings what is published.
//!
//! A beat is a script. It counts on the server, and publishes the count on a channel of this node. The reply proves the
//! connection for commands. The count proves the memory of the server. The message proves the feed. Time is an argument.
//!
//! ```text
//!  sent ──▶ reply within 2 s ──▶ message on the feed within 3 s of the reply ──▶ proved
//!    │            └ later: slow           └ two beats without it: the feed is dead
//!    └ no reply of any kind for 10 s: both connections are dead
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::fault::Fault;

/// The time between two beats.
pub(crate) const PERIOD: Duration = Duration::from_secs(5);
/// The time after which a server without a reply is slow.
pub(crate) const SLOW: Duration = Duration::from_secs(2);
/// The time from the reply to a beat until its message is missing on the feed.
const ON_FEED: Duration = Duration::from_secs(3);
/// The time after which a server that answers nothing is lost.
const SILENT: Duration = Duration::from_secs(10);
/// The number of missing beats in a row that proves a dead feed.
const MISSING: u8 = 2;
/// A judge that is called so late did not run. That time counts for nothing.
const STOPPED: Duration = Duration::from_secs(1);

/// The judge of the beats of one node.
#[derive(Debug)]
pub(crate) struct Judge {
    /// The beats that lack their reply or their message, the oldest first.
    waiting: VecDeque<Beat>,
    /// The last count that the server replied.
    count: u64,
    /// The number of beats in a row whose message is missing.
    missing: u8,
    has_feed: bool,
    is_slow: bool,
    /// The number of the beat that found a loss of memory, until the feed has brought it or a later one.
    unproved: Option<u64>,
    /// The number of the next beat.
    number: u64,
    next_beat: Instant,
    /// When the judge wants to be called.
    wanted: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Beat {
    number: u64,
    nonce: u64,
    sent: Instant,
    /// The count of the server is higher than this, unless its memory went back.
    counted: u64,
    reply: Option<(u64, Instant)>,
    /// The count that the feed brought.
    seen: Option<u64>,
}

/// What the judge found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It is time to send a beat.
    Beat,
    /// The server is slow.
    Slow,
    /// The server is no longer slow.
    Prompt,
    /// The server lost what it had written: the count went back.
    MemoryLost,
    /// The feed has brought a message that was published after the loss of memory.
    Proved,
    /// The feed brings nothing.
    FeedDead,
    /// The server answers nothing.
    Silent,
}

impl Judge {
    /// Makes a judge. The first beat is due at once.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            count: 0,
            missing: 0,
            has_feed: true,
            is_slow: false,
            unproved: None,
            number: 0,
            next_beat: now,
            wanted: now,
        }
    }

    /// Starts anew on a new feed. The beats that are under way no longer have to come by the feed.
    pub(crate) fn feed_opened(&mut self, now: Instant) {
        self.waiting.clear();
        self.has_feed = true;
        self.unproved = None;
        self.next_beat = now;
        self.wanted = now;
    }

    /// The feed ended. Until the next one opens, beats prove the connection for commands alone.
    pub(crate) fn feed_ended(&mut self) {
        self.has_feed = false;
        self.missing = 0;
    }

    /// The server refused to count a beat. So the beat proves the connection for commands alone.
    pub(crate) fn refused(&mut self, nonce: u64, now: Instant) -> Vec<Finding> {
        let place = self.waiting.iter().position(|beat| beat.nonce == nonce);
        let beat = place.and_then(|place| self.waiting.remove(place));
        beat.and_then(|beat| self.note_reply(beat.sent, now))
            .into_iter()
            .collect()
    }

    /// A beat was sent. `counted` is the highest count that the server has confirmed to something else.
    pub(crate) fn sent(&mut self, nonce: u64, counted: u64, now: Instant) {
        self.number += 1;
        self.waiting.push_back(Beat {
            number: self.number,
            nonce,
            sent: now,
            counted,
            reply: None,
            seen: None,
        });
        self.next_beat = now + PERIOD;
    }

    /// The server has replied to a beat.
    pub(crate) fn replied(&mut self, nonce: u64, count: u64, now: Instant) -> Vec<Finding> {
        let mut findings = Vec::new();
        let Some(beat) = self.waiting.iter_mut().find(|beat| beat.nonce == nonce) else {
            return findings;
        };
        beat.reply = Some((count, now));
        let (number, sent, counted) = (beat.number, beat.sent, beat.counted);
        findings.extend(self.note_reply(sent, now));
        let least = counted.max(std::mem::replace(&mut self.count, count));
        if count <= least && !Fault::NoCountedBeat.is_on() {
            self.unproved = Some(number);
            // These beats were sent when the loss was not known.
            self.waiting.iter_mut().for_each(|beat| beat.counted = 0);
            findings.push(Finding::MemoryLost);
        }
        findings.extend(self.compare(nonce));
        findings
    }

    /// Something else than a beat has found a loss of memory. A beat is due at once: it proves that the feed is behind the
    /// loss.
    pub(crate) fn memory_lost(&mut self, now: Instant) {
        self.count = 0;
        self.waiting.iter_mut().for_each(|beat| beat.counted = 0);
        self.unproved = Some(self.number + 1);
        self.next_beat = now;
        self.wanted = now;
    }

    /// The last worker of the feed has seen the message of a beat.
    pub(crate) fn seen(&mut self, nonce: u64, count: u64) -> Vec<Finding> {
        let Some(beat) = self.waiting.iter_mut().find(|beat| beat.nonce == nonce) else {
            return Vec::new();
        };
        beat.seen = Some(count);
        self.compare(nonce).into_iter().collect()
    }

    /// Acts on the time. `heard` is when the server last replied to anything.
    pub(crate) fn time(&mut self, now: Instant, heard: Instant) -> Vec<Finding> {
        self.forgive(now);
        let mut findings = Vec::new();
        let unanswered = self.waiting.iter().find(|beat| beat.reply.is_none());
        if let Some(beat) = unanswered {
            if beat.sent.max(heard) + SILENT <= now {
                return vec![Finding::Silent];
            }
            if beat.sent + SLOW <= now && !std::mem::replace(&mut self.is_slow, true) {
                findings.push(Finding::Slow);
            }
        }
        while let Some(beat) = self.waiting.front()
            && beat.is_missing(now)
        {
            self.waiting.pop_front();
            if self.has_feed {
                findings.extend(self.note_missing());
            }
        }
        if self.next_beat <= now {
            findings.push(Finding::Beat);
        }
        findings
    }

    /// Returns when [`time`](Self::time) has something to do.
    pub(crate) fn next(&mut self, heard: Instant) -> Instant {
        let mut next = self.next_beat;
        for beat in &self.waiting {
            next = next.min(match beat.reply {
                Some((_, replied)) => replied + ON_FEED,
                None if self.is_slow => beat.sent.max(heard) + SILENT,
                None => beat.sent + SLOW,
            });
        }
        self.wanted = next;
        next
    }

    /// Compares the reply to a beat with its message, if both are there.
    fn compare(&mut self, nonce: u64) -> Option<Finding> {
        let place = self.waiting.iter().position(|beat| beat.nonce == nonce)?;
        let beat = self.waiting.get(place)?;
        let ((replied, _), seen) = (beat.reply?, beat.seen?);
        if replied != seen {
            self.waiting.remove(place);
            return self.note_missing();
        }
        let number = beat.number;
        // Replies and messages keep their order, so nothing more comes of the beats before this one.
        self.waiting.drain(..=place);
        self.missing = 0;
        let is_proved = self.unproved.take_if(|unproved| *unproved <= number);
        is_proved.map(|_| Finding::Proved)
    }

    fn note_reply(&mut self, sent: Instant, now: Instant) -> Option<Finding> {
        let was_prompt = now.saturating_duration_since(sent) <= SLOW;
        (was_prompt && std::mem::take(&mut self.is_slow)).then_some(Finding::Prompt)
    }

    fn note_missing(&mut self) -> Option<Finding> {
        self.missing = self.missing.saturating_add(1);
        (self.missing >= MISSING).then_some(Finding::FeedDead)
    }

    /// Moves all times on by the time in which this process did not run: the replies of that time lie in its sockets.
    fn forgive(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.wanted);
        if late < STOPPED {
            return;
        }
        self.wanted = now;
        for beat in &mut self.waiting {
            beat.sent += late;
            if let Some((_, replied)) = &mut beat.reply {
                *replied += late;
            }
        }
    }
}

impl Beat {
    fn is_missing(&self, now: Instant) -> bool {
        let is_due = |(_, replied)| replied + ON_FEED <= now;
        self.seen.is_none() && self.reply.is_some_and(is_due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Clock {
        start: Instant,
        judge: Judge,
    }

    impl Clock {
        fn new() -> Self {
            let start = Instant::now();
            Self {
                start,
                judge: Judge::new(start),
            }
        }

        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        fn sent(&mut self, nonce: u64, at: u64) {
            let at = self.at(at);
            self.judge.sent(nonce, 0, at);
        }

        fn replied(&mut self, nonce: u64, count: u64, at: u64) -> Vec<Finding> {
            let at = self.at(at);
            self.judge.replied(nonce, count, at)
        }

        /// Lets time pass until `at`, and returns what the judge finds on the way. Nothing was heard since the start.
        fn until(&mut self, at: u64) -> Vec<(u64, Finding)> {
            let mut findings = Vec::new();
            loop {
                let next = self.judge.next(self.start);
                if next > self.at(at) {
                    return findings;
                }
                let millis = (next - self.start).as_millis() as u64;
                for finding in self.judge.time(next, self.start) {
                    findings.push((millis, finding));
                    match finding {
                        Finding::Beat => self.sent(millis, millis),
                        Finding::Silent | Finding::FeedDead => return findings,
                        _ => {}
                    }
                }
            }
        }
    }

    #[test]
    fn a_beat_is_due_at_once_and_then_every_five_seconds() {
        let mut clock = Clock::new();
        let mut beats = Vec::new();
        for at in [0, 5_000, 10_000] {
            beats.extend(clock.until(at));
            clock.replied(at, at + 1, at);
            clock.judge.seen(at, at + 1);
        }
        assert_eq!(beats, [0, 5_000, 10_000].map(|at| (at, Finding::Beat)));
    }

    #[test]
    fn a_feed_that_dies_behind_a_beat_is_found_within_fifteen_seconds() {
        let mut clock = Clock::new();
        clock.until(0);
        clock.replied(0, 1, 0);
        clock.judge.seen(0, 1);
        assert_eq!(clock.until(5_000), [(5_000, Finding::Beat)]);
        clock.replied(5_000, 2, 6_900);
        assert_eq!(clock.until(10_000), [(10_000, Finding::Beat)]);
        clock.replied(10_000, 3, 11_900);
        assert_eq!(clock.until(15_000), [(14_900, Finding::FeedDead)]);
    }

    #[test]
    fn one_missing_beat_is_forgiven() {
        let mut clock = Clock::new();
        clock.until(0);
        clock.replied(0, 1, 0);
        assert_eq!(clock.until(5_000), [(5_000, Finding::Beat)]);
        clock.replied(5_000, 2, 5_000);
        assert_eq!(clock.judge.seen(5_000, 2), []);
        assert_eq!(clock.until(10_000), [(10_000, Finding::Beat)]);
        clock.replied(10_000, 3, 10_000);
        assert_eq!(clock.until(14_000), []);
    }

    #[test]
    fn a_message_with_another_count_is_a_missing_beat() {
        let mut clock = Clock::new();
        clock.sent(1, 0);
        clock.replied(1, 7, 0);
        assert_eq!(clock.judge.seen(1, 8), []);
        clock.sent(2, 10);
        assert_eq!(clock.judge.seen(2, 9), []);
        assert_eq!(clock.replied(2, 8, 20), [Finding::FeedDead]);
    }

    #[test]
    fn a_slow_server_is_slow_and_its_feed_stays() {
        let mut clock = Clock::new();
        assert_eq!(
            clock.until(2_000),
            [(0, Finding::Beat), (2_000, Finding::Slow)]
        );
        assert_eq!(clock.until(8_000), [(5_000, Finding::Beat)]);
        assert_eq!(clock.replied(0, 1, 8_000), []);
        assert_eq!(clock.replied(5_000, 2, 8_000), []);
        assert_eq!(clock.judge.seen(0, 1), []);
        assert_eq!(clock.judge.seen(5_000, 2), []);
        assert_eq!(clock.until(10_000), [(10_000, Finding::Beat)]);
        assert_eq!(clock.replied(10_000, 3, 10_500), [Finding::Prompt]);
    }

    #[test]
    fn a_server_that_answers_nothing_for_ten_seconds_is_lost() {
        let mut clock = Clock::new();
        let found = clock.until(20_000);
        assert_eq!(found.last(), Some(&(10_000, Finding::Silent)));
    }

    #[test]
    fn a_server_that_answers_others_is_not_lost() {
        let mut clock = Clock::new();
        clock.sent(1, 0);
        let (now, heard) = (clock.at(11_000), clock.at(8_000));
        clock.judge.next(heard);
        clock.judge.wanted = now;
        assert!(!clock.judge.time(now, heard).contains(&Finding::Silent));
    }

    #[test]
    fn a_count_that_went_back_is_a_loss_of_memory() {
        for count in [1, 4, 5] {
            let mut clock = Clock::new();
            clock.sent(1, 0);
            assert_eq!(clock.replied(1, 5, 0), []);
            assert_eq!(clock.judge.seen(1, 5), []);
            clock.sent(2, 5_000);
            assert_eq!(clock.replied(2, count, 5_000), [Finding::MemoryLost]);
            assert_eq!(clock.judge.seen(2, count), [Finding::Proved]);
        }
    }

    #[test]
    fn a_count_that_is_lower_than_that_of_a_change_between_two_beats_is_a_loss_of_memory() {
        let mut clock = Clock::new();
        clock.sent(1, 0);
        clock.replied(1, 5, 0);
        clock.judge.seen(1, 5);
        // Changes were counted up to 9. Then the server went back to its state right behind the first beat.
        clock.judge.sent(2, 9, clock.at(5_000));
        clock.judge.sent(3, 9, clock.at(5_000));
        assert_eq!(clock.replied(2, 6, 5_000), [Finding::MemoryLost]);
        // The next beat was on its way already. It finds no second loss.
        assert_eq!(clock.replied(3, 7, 5_000), []);
        assert_eq!(clock.judge.seen(2, 6), [Finding::Proved]);
        clock.judge.sent(4, 9, clock.at(10_000));
        assert_eq!(clock.replied(4, 10, 10_000), []);
    }

    #[test]
    fn a_loss_that_a_change_has_found_is_proved_by_the_next_beat() {
        let mut clock = Clock::new();
        clock.sent(1, 0);
        clock.replied(1, 5, 0);
        clock.judge.sent(2, 9, clock.at(5_000));
        clock.judge.memory_lost(clock.at(5_100));
        assert_eq!(clock.until(5_100), [(5_100, Finding::Beat)]);
        assert_eq!(clock.replied(2, 6, 5_100), []);
        assert_eq!(clock.judge.seen(2, 6), []);
        assert_eq!(clock.replied(5_100, 7, 5_100), []);
        assert_eq!(clock.judge.seen(5_100, 7), [Finding::Proved]);
    }

    #[test]
    fn a_loss_is_proved_at_once_if_the_feed_was_faster_than_the_reply() {
        let mut clock = Clock::new();
        clock.sent(1, 0);
        clock.replied(1, 5, 0);
        clock.judge.seen(1, 5);
        clock.sent(2, 5_000);
        assert_eq!(clock.judge.seen(2, 1), []);
        let found = clock.replied(2, 1, 5_001);
        assert_eq!(found, [Finding::MemoryLost, Finding::Proved]);
    }

    #[test]
    fn a_message_of_an_older_beat_proves_nothing() {
        let mut clock = Clock::new();
        clock.sent(1, 0);
        clock.replied(1, 5, 0);
        clock.sent(2, 5_000);
        assert_eq!(clock.replied(2, 1, 5_000), [Finding::MemoryLost]);
        assert_eq!(clock.judge.seen(1, 5), []);
        clock.sent(3, 10_000);
        assert_eq!(clock.replied(3, 2, 10_000), []);
        assert_eq!(clock.judge.seen(3, 2), [Finding::Proved]);
    }

    #[test]
    fn time_in_which_the_process_was_stopped_counts_for_nothing() {
        let mut clock = Clock::new();
        clock.until(0);
        clock.judge.next(clock.start);
        // The judge was wanted at 2 s, and is called at 22 s.
        let found = clock.judge.time(clock.at(22_000), clock.start);
        assert_eq!(found, [Finding::Slow, Finding::Beat]);
    }

    #[test]
    fn a_new_feed_owes_no_old_beat() {
        let mut clock = Clock::new();
        clock.sent(1, 0);
        clock.replied(1, 5, 0);
        let opened = clock.at(4_000);
        clock.judge.feed_opened(opened);
        assert_eq!(clock.judge.time(opened, opened), [Finding::Beat]);
        clock.sent(2, 4_000);
        clock.replied(2, 6, 4_000);
        clock.judge.seen(2, 6);
        assert_eq!(clock.until(8_999), []);
    }

    #[test]
    fn unknown_beats_are_ignored() {
        let mut clock = Clock::new();
        assert_eq!(clock.replied(9, 1, 0), []);
        assert_eq!(clock.judge.seen(9, 1), []);
    }
}
