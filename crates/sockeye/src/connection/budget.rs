//! The budget of memory for all unfinished messages of a server, or of a client and its clones. Time is an argument.
//! Nothing here knows of sockets or of the protocol.
//!
//! The first [`FREE`] bytes of each connection are free. For more, a message holds shares of [`SHARE`] bytes. When no share
//! is left, messages wait in a line, and their connections do not read. While messages wait, the budget looks at the
//! progress of the messages that hold shares, every [`PATIENCE`]. It gives up the message that made the least progress,
//! and messages that made almost none, as many as the waiting messages need.
//!
//! ```text
//!            a share is left                    it is complete, or its connection ends
//!   ask ───────────────────────▶ Holds(shares) ─────────────────────────────────────────▶ given back
//!    │                            │        ▲ │ least progress while others wait
//!    │ none is left               │ more   │ └──────────────────────────────▶ GivenUp ──▶ given back
//!    └──────────▶ Waits ◀─────────┘        │
//!                   └──────────────────────┘ a share is given back
//! ```

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::memory_limit::memory_limit;
use crate::sync::{Arc, Mutex, lock};

/// The bytes that an unfinished message takes without a share.
pub(crate) const FREE: usize = 64 * 1024;
/// About the bytes of an inflater in the middle of a message. They count among the free bytes while the message waits for
/// its peer.
pub(crate) const INFLATER: usize = 48 * 1024;
/// The unit in which the budget counts memory.
pub(crate) const SHARE: usize = 64 * 1024;
/// Messages wait for so long before the budget gives up others for them.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// A message that brings fewer bytes in [`PATIENCE`] makes almost no progress.
const STANDSTILL: u64 = 4 * 1024;

/// The memory for the unfinished messages of many connections.
pub(crate) struct AssemblyBudget {
    shares: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: usize,
    // The messages that hold shares, and the messages that wait for one share each. The keys are numbers in the order of
    // arrival, so the first message of `waiting` is served first.
    holders: BTreeMap<u64, Arc<Holder>>,
    waiting: BTreeMap<u64, Arc<Holder>>,
    numbers: u64,
    // The begin of the current look at progress. `None` while no message waits.
    watched_since: Option<Instant>,
    given_up: u64,
}

/// The part of one message in the budget. Its connection and the budget share it.
#[derive(Default)]
pub(crate) struct Holder {
    // Bytes of the message's payload, as they came from the transport.
    received: AtomicU64,
    // `received` at the begin of the current look. `UNMARKED` if the message took its first share later.
    mark: AtomicU64,
    is_given_up: AtomicBool,
    claim: Mutex<Claim>,
}

#[derive(Default)]
struct Claim {
    shares: usize,
    // The message's keys in `holders` and in `waiting`.
    held_as: Option<u64>,
    waits_as: Option<u64>,
    waker: Option<Waker>,
}

const UNMARKED: u64 = u64::MAX;

impl AssemblyBudget {
    /// A budget of so many bytes, beside the free bytes.
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            shares: usize::try_from(bytes / SHARE as u64).unwrap_or(usize::MAX),
            state: Mutex::default(),
        })
    }

    /// The default budget: the smaller of 256 MiB and a quarter of the process's memory limit.
    pub(crate) fn of_process() -> Arc<Self> {
        const MOST: u64 = 256 << 20;
        let quarter = memory_limit().map_or(MOST, |limit| limit / 4);
        Self::new(quarter.min(MOST))
    }

    /// The budget of all connections that were made from a stream, without a server or a client.
    pub(crate) fn of_others() -> Arc<Self> {
        static OTHERS: OnceLock<Arc<AssemblyBudget>> = OnceLock::new();
        Arc::clone(OTHERS.get_or_init(Self::of_process))
    }

    /// The bytes that messages hold, and the number of messages given up so far.
    pub(crate) fn usage(&self) -> (u64, u64) {
        let state = lock(&self.state);
        (state.held as u64 * SHARE as u64, state.given_up)
    }

    /// Gives a message up to `shares` shares, but at least one. False if none is left, or if messages wait.
    pub(crate) fn take(&self, holder: &Arc<Holder>, shares: usize) -> bool {
        let mut state = lock(&self.state);
        if !state.waiting.is_empty() {
            return false;
        }
        let left = self.shares.saturating_sub(state.held).min(shares.max(1));
        if left == 0 {
            return false;
        }
        state.give(holder, left);
        true
    }

    /// Puts a message at the end of the line for a share.
    pub(crate) fn wait(&self, holder: &Arc<Holder>, waker: &Waker, now: Instant) {
        let mut state = lock(&self.state);
        let mut claim = lock(&holder.claim);
        claim.waker = Some(waker.clone());
        if claim.waits_as.is_some() {
            return;
        }
        let number = state.number();
        claim.waits_as = Some(number);
        drop(claim);
        state.waiting.insert(number, Arc::clone(holder));
        if state.watched_since.is_none() {
            state.watch(now);
        }
        // A share may have returned since the message asked.
        self.serve(&mut state);
    }

    /// Takes back the shares of a message, and removes it from the line.
    pub(crate) fn give_back(&self, holder: &Arc<Holder>) {
        let mut state = lock(&self.state);
        let claim = std::mem::take(&mut *lock(&holder.claim));
        if let Some(number) = claim.waits_as {
            state.waiting.remove(&number);
        }
        if let Some(number) = claim.held_as {
            state.held -= claim.shares;
            state.holders.remove(&number);
        }
        self.serve(&mut state);
    }

    /// Looks at the progress of all messages, if messages have waited for [`PATIENCE`]. Returns when to call it again.
    pub(crate) fn relieve(&self, now: Instant) -> Instant {
        let mut state = lock(&self.state);
        let due = state.watched_since.unwrap_or(now) + PATIENCE;
        if now < due {
            return due;
        }
        let mut needed = state.waiting.len();
        let (leaving, staying): (Vec<_>, Vec<_>) = state
            .holders
            .values()
            .partition(|holder| holder.is_given_up());
        let mut candidates: Vec<_> = staying
            .into_iter()
            .filter_map(|holder| Some((holder.progress()?, holder)))
            .collect();
        candidates.sort_by_key(|(progress, holder)| (*progress, Reverse(holder.shares())));
        // The budget gives up at least one message, unless one given up before still holds shares.
        let mut goes_anyway = leaving.is_empty();
        let mut given_up = 0_u64;
        for (progress, holder) in candidates {
            if needed == 0 || progress >= STANDSTILL && !goes_anyway {
                break;
            }
            goes_anyway = false;
            needed = needed.saturating_sub(holder.give_up());
            given_up += 1;
        }
        // No message holds a share: the budget has none at all, and cannot serve.
        if state.holders.is_empty() {
            state.waiting.values().for_each(|holder| {
                holder.give_up();
            });
            given_up += state.waiting.len() as u64;
        }
        state.given_up += given_up;
        state.watch(now);
        now + PATIENCE
    }

    /// Gives the free shares to the messages that have waited longest.
    fn serve(&self, state: &mut State) {
        while state.held < self.shares
            && let Some((_, holder)) = state.waiting.pop_first()
        {
            state.give(&holder, 1);
            let mut claim = lock(&holder.claim);
            claim.waits_as = None;
            let waker = claim.waker.clone();
            drop(claim);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        if state.waiting.is_empty() {
            state.watched_since = None;
        }
    }
}

impl State {
    fn give(&mut self, holder: &Arc<Holder>, shares: usize) {
        self.held += shares;
        let mut claim = lock(&holder.claim);
        claim.shares += shares;
        if claim.held_as.is_none() {
            let number = self.number();
            claim.held_as = Some(number);
            holder.mark.store(UNMARKED, Relaxed);
            self.holders.insert(number, Arc::clone(holder));
        }
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Begins another look at progress.
    fn watch(&mut self, now: Instant) {
        self.watched_since = (!self.waiting.is_empty()).then_some(now);
        for holder in self.holders.values() {
            let received = holder.received.load(Relaxed);
            holder.mark.store(received, Relaxed);
        }
    }
}

impl Holder {
    /// Counts bytes of the payload that came from the transport.
    pub(crate) fn receive(&self, bytes: u64) {
        self.received.fetch_add(bytes, Relaxed);
    }

    /// The bytes of its shares.
    pub(crate) fn bytes(&self) -> usize {
        self.shares() * SHARE
    }

    fn shares(&self) -> usize {
        lock(&self.claim).shares
    }

    /// Whether the message waits in the line.
    pub(crate) fn waits(&self) -> bool {
        lock(&self.claim).waits_as.is_some()
    }

    /// Whether the budget gave up the message.
    pub(crate) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Relaxed)
    }

    /// Keeps the waker of the task. The budget wakes it when it gives up the message, or gives it a share.
    pub(crate) fn keep(&self, waker: &Waker) {
        let mut claim = lock(&self.claim);
        match &mut claim.waker {
            Some(kept) => kept.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// The bytes that the message brought since the look began. `None` if it is unmarked. The connection of a waiting
    /// message does not read, so all bytes that it brought before count.
    fn progress(&self) -> Option<u64> {
        let (received, mark) = (self.received.load(Relaxed), self.mark.load(Relaxed));
        match mark {
            UNMARKED => None,
            _ if self.waits() => Some(received),
            mark => Some(received.saturating_sub(mark)),
        }
    }

    /// Gives up the message. Returns how many shares will come back.
    fn give_up(&self) -> usize {
        self.is_given_up.store(true, Relaxed);
        let claim = lock(&self.claim);
        let shares = claim.shares;
        let waker = claim.waker.clone();
        drop(claim);
        if let Some(waker) = waker {
            waker.wake();
        }
        shares
    }
}

impl fmt::Debug for AssemblyBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssemblyBudget")
            .field("shares", &self.shares)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holder")
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(shares: u64) -> Arc<AssemblyBudget> {
        AssemblyBudget::new(shares * SHARE as u64)
    }

    fn message(received: u64) -> Arc<Holder> {
        let holder = Arc::<Holder>::default();
        holder.receive(received);
        holder
    }

    fn holding(budget: &AssemblyBudget, shares: usize, received: u64) -> Arc<Holder> {
        let holder = message(received);
        assert!(budget.take(&holder, shares));
        assert_eq!(holder.shares(), shares);
        holder
    }

    fn waiting(budget: &AssemblyBudget, now: Instant) -> Arc<Holder> {
        let holder = message(64 * 1024);
        assert!(!budget.take(&holder, 1));
        budget.wait(&holder, Waker::noop(), now);
        assert!(holder.waits());
        holder
    }

    #[tokio::test]
    async fn shares_are_given_as_long_as_there_are_some_and_given_back_whole() {
        let budget = budget(3);
        let first = holding(&budget, 2, 0);
        let second = message(0);
        assert!(budget.take(&second, 2), "one of the two");
        assert_eq!(budget.usage().0, 3 * SHARE as u64);
        assert!(!budget.take(&first, 1));
        budget.give_back(&first);
        assert_eq!(budget.usage().0, SHARE as u64);
        budget.give_back(&second);
        assert_eq!(budget.usage(), (0, 0));
    }

    #[tokio::test]
    async fn those_that_wait_are_served_one_share_each_in_their_order_and_new_ones_behind_them() {
        let (budget, now) = (budget(2), Instant::now());
        let holder = holding(&budget, 2, 0);
        let waiting = [(); 3].map(|()| waiting(&budget, now));
        budget.give_back(&holder);
        let waits = waiting.each_ref().map(|holder| holder.waits());
        assert_eq!(waits, [false, false, true]);
        budget.give_back(&waiting[0]);
        assert_eq!(waiting[2].shares(), 1);
        assert!(!waiting[2].waits());
    }

    #[tokio::test]
    async fn one_that_stops_waiting_leaves_its_place_in_the_line() {
        let (budget, now) = (budget(1), Instant::now());
        let holder = holding(&budget, 1, 0);
        let [first, second] = [(); 2].map(|()| waiting(&budget, now));
        budget.give_back(&first);
        budget.give_back(&holder);
        assert!(!second.waits());
        assert_eq!(budget.usage().0, SHARE as u64);
    }

    #[tokio::test]
    async fn after_5_seconds_the_message_that_made_the_least_progress_is_given_up() {
        let (budget, now) = (budget(3), Instant::now());
        let holders = [(); 3].map(|()| holding(&budget, 1, 500_000));
        let waiting = waiting(&budget, now);
        for (holder, progress) in holders.iter().zip([50_000, 40_000, 60_000]) {
            holder.receive(progress);
        }
        let due = now + PATIENCE;
        assert_eq!(budget.relieve(due - Duration::from_millis(1)), due);
        assert_eq!(budget.usage().1, 0);
        assert_eq!(budget.relieve(due), due + PATIENCE);
        let given_up = holders.each_ref().map(|holder| holder.is_given_up());
        assert_eq!(given_up, [false, true, false]);
        budget.give_back(&holders[1]);
        assert!(!waiting.waits());
        assert_eq!(budget.usage().1, 1);
    }

    #[tokio::test]
    async fn messages_that_stand_still_are_given_up_as_far_as_others_need_it() {
        let (budget, now) = (budget(6), Instant::now());
        let holders = [(); 6].map(|()| holding(&budget, 1, 1000));
        let _waiting = [(); 4].map(|()| waiting(&budget, now));
        holders[0].receive(STANDSTILL);
        holders[1].receive(1);
        budget.relieve(now + PATIENCE);
        let given_up = holders.each_ref().map(|holder| holder.is_given_up());
        assert_eq!(given_up, [false, false, true, true, true, true]);
    }

    #[tokio::test]
    async fn of_those_that_wait_themselves_the_one_that_brought_the_least_goes_first() {
        let (budget, now) = (budget(2), Instant::now());
        let [honest, hostile] = [100_000, 1000].map(|received| holding(&budget, 1, received));
        for holder in [&honest, &hostile] {
            assert!(!budget.take(holder, 1));
            budget.wait(holder, Waker::noop(), now);
        }
        budget.relieve(now + PATIENCE);
        assert!(hostile.is_given_up() && !honest.is_given_up());
        budget.give_back(&hostile);
        assert_eq!(honest.shares(), 2);
    }

    #[tokio::test]
    async fn one_that_has_just_begun_is_not_judged() {
        let (budget, now) = (budget(2), Instant::now());
        let old = holding(&budget, 1, 1000);
        let leaving = holding(&budget, 1, 1000);
        let waiting = [(); 2].map(|()| waiting(&budget, now));
        budget.give_back(&leaving);
        budget.relieve(now + PATIENCE);
        assert!(old.is_given_up() && !waiting[0].is_given_up());
    }

    #[tokio::test]
    async fn a_budget_of_nothing_gives_up_those_that_have_waited() {
        let (budget, now) = (budget(0), Instant::now());
        let holder = waiting(&budget, now);
        budget.relieve(now + PATIENCE);
        assert!(holder.is_given_up());
    }
}
