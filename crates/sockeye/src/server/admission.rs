//! The admission of connections: how many there may be, how many of them may owe their first request, and which of them
//! give way to a new one.
//!
//! ```text
//!   accepted ─▶ silent ─▶ owes its request ─▶ answered: HTTP's, or a session
//!                 │             │                │
//!                 │             │                └─ waits for another request: gives way
//!                 │             └─ dropped after a part of the handshake timeout, while another waits
//!                 └─ gives way at once
//! ```

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use crate::connection::permit::SessionPermit;
use crate::deadline;
use crate::observer::Event;
use crate::stats::Counters;
use crate::sync::{Arc, Mutex, lock};

/// The limits on connections, and the connections that may give way.
#[derive(Debug)]
pub(super) struct Admission {
    connections: Arc<Semaphore>,
    max_connections: u32,
    pending: Arc<Semaphore>,
    max_pending: u32,
    /// For connections beyond `max_connections`, which are answered 503.
    refusals: Arc<Semaphore>,
    max_refusals: u32,
    /// How many new connections wait until another connection sends its request, or ends.
    waiting: watch::Sender<usize>,
    yielding: Mutex<Yielding>,
    /// Notified when a connection does not owe its request any more.
    changed: Notify,
    counters: Arc<Counters>,
}

/// The connections that can give way to a new one.
#[derive(Debug, Default)]
struct Yielding {
    /// Connections that have sent no byte.
    silent: Line,
    /// Connections of HTTP that had their answer, and may send another request.
    idle: Line,
}

/// Connections in the order of their arrival.
#[derive(Debug, Default)]
struct Line {
    /// Indexed by number, minus `first`. `None` is a connection that has left. The front is never `None`.
    places: VecDeque<Option<Arc<Standing>>>,
    /// The number of the front.
    first: u64,
    len: usize,
}

/// The state that a connection, its stream and the admission share.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Whether the server itself answers a request. To a request that it cannot read hyper has its own answer.
    is_answering: AtomicBool,
    /// The connection is to give way.
    asked: Notify,
    /// The connection has given way, or it cannot.
    resolved: Notify,
}

/// A connection that is admitted.
#[derive(Debug)]
pub(super) struct Guest {
    /// Held as long as the connection. `None` if there are as many as there may be: the connection is answered 503, and
    /// ends.
    pub(super) permit: Option<ConnectionPermit>,
    pub(super) pending: Pending,
    /// The last field: the admission goes on when all other fields are dropped.
    pub(super) entry: Entry,
}

/// The permit of one TCP connection.
///
/// HTTP/1.1 makes at most one session of a connection, so connections and sessions have one count: the connection's
/// permit becomes that of its session.
#[derive(Debug)]
pub(super) struct ConnectionPermit(SessionPermit);

impl ConnectionPermit {
    /// Turns the permit of a connection into that of its only session.
    pub(super) fn into_session(self) -> SessionPermit {
        self.0
    }
}

impl From<OwnedSemaphorePermit> for ConnectionPermit {
    fn from(permit: OwnedSemaphorePermit) -> Self {
        Self(permit.into())
    }
}

/// A connection's debt: it owes its first request.
#[derive(Debug)]
pub(super) struct Pending {
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    admission: Arc<Admission>,
}

/// The entry of a connection in the lines of those that give way. It may be in none.
#[derive(Debug)]
pub(super) struct Entry {
    admission: Arc<Admission>,
    standing: Arc<Standing>,
    state: Mutex<State>,
}

/// The state of a connection, and its number in its line.
#[derive(Clone, Copy, Debug)]
enum State {
    Silent(u64),
    Engaged,
    Idle(u64),
}

impl Admission {
    pub(super) fn new(max_connections: usize, max_pending: usize, counters: Arc<Counters>) -> Self {
        let max_refusals = permits(refusals(max_connections));
        let max_connections = permits(max_connections);
        let max_pending = permits(max_pending.max(1));
        Self {
            connections: Arc::new(Semaphore::new(max_connections as usize)),
            max_connections,
            pending: Arc::new(Semaphore::new(max_pending as usize)),
            max_pending,
            refusals: Arc::new(Semaphore::new(max_refusals as usize)),
            max_refusals,
            waiting: watch::Sender::new(0),
            yielding: Mutex::default(),
            changed: Notify::new(),
            counters,
        }
    }

    /// Admits one more connection. If there is no room, the oldest silent connection gives way; if none is silent, the one
    /// that has waited longest for another request of HTTP. If there is neither, this waits while connections owe their
    /// request. Else the connection is admitted without a permit, to be refused.
    pub(super) async fn admit(self: &Arc<Self>) -> Guest {
        let mut waiting = None;
        loop {
            let changed = self.changed.notified();
            let permit = Arc::clone(&self.connections).try_acquire_owned().ok();
            let is_full = permit.is_none();
            if let Some(permit) = permit
                && let Ok(pending) = Arc::clone(&self.pending).try_acquire_owned()
            {
                return self.guest(Some(permit.into()), pending);
            }
            if let Some(oldest) = self.oldest(|yielding| &mut yielding.silent) {
                self.counters.observe(Event::SilentConnectionDropped);
                oldest.give_way().await;
                continue;
            }
            if is_full && let Some(oldest) = self.oldest(|yielding| &mut yielding.idle) {
                oldest.give_way().await;
                continue;
            }
            // While a connection waits here, connections that owe their request have less time.
            let _waiting = waiting.get_or_insert_with(|| Waiting::begin(&self.waiting));
            if is_full && self.pending.available_permits() == self.max_pending as usize {
                self.counters.observe(Event::ConnectionRefused);
                let permit = Arc::clone(&self.refusals).acquire_owned();
                return self.guest(None, permit.await.expect("never closed"));
            }
            tokio::select! {
                permit = self.pending.acquire(), if !is_full => drop(permit),
                permit = self.connections.acquire(), if is_full => drop(permit),
                () = changed => {}
            }
        }
    }

    /// Makes room when the system has no descriptor. The oldest tenth of the silent connections gives way; if none is
    /// silent, of those that wait for another request of HTTP. Returns how many connections were asked.
    pub(super) async fn make_room(&self) -> usize {
        let (all, are_silent) = {
            let yielding = &mut *lock(&self.yielding);
            let are_silent = yielding.silent.len > 0;
            let of = if are_silent {
                &mut yielding.silent
            } else {
                &mut yielding.idle
            };
            let count = of.len.div_ceil(10);
            let all: Vec<_> = (0..count).map_while(|_| of.leave_first()).collect();
            (all, are_silent)
        };
        for oldest in &all {
            if are_silent {
                self.counters.observe(Event::SilentConnectionDropped);
            }
            oldest.give_way().await;
        }
        all.len()
    }

    fn oldest(&self, of: impl FnOnce(&mut Yielding) -> &mut Line) -> Option<Arc<Standing>> {
        of(&mut lock(&self.yielding)).leave_first()
    }

    fn guest(
        self: &Arc<Self>,
        permit: Option<ConnectionPermit>,
        pending: OwnedSemaphorePermit,
    ) -> Guest {
        let standing = Arc::default();
        let number = lock(&self.yielding).silent.enter(&standing);
        let entry = Entry {
            admission: Arc::clone(self),
            standing,
            state: Mutex::new(State::Silent(number)),
        };
        Guest {
            permit,
            pending: Pending {
                permit: Mutex::new(Some(pending)),
                admission: Arc::clone(self),
            },
            entry,
        }
    }

    /// Completes when the time of a connection that owes its request is over: after `timeout`, or after [`Self::short`] of
    /// it while others wait to be admitted. So slow connections hold up others only briefly.
    pub(super) async fn out_of_patience(&self, timeout: Duration) {
        let soon = self.short(timeout);
        deadline::pass(soon).await;
        let mut waiting = self.waiting.subscribe();
        tokio::select! {
            () = deadline::pass(timeout - soon) => {}
            Ok(_) = waiting.wait_for(|waiting| *waiting > 0) => {}
        }
    }

    /// Returns a tenth of the handshake timeout if 1,024 connections or more may owe their request. If fewer may, it is
    /// less in proportion, but a fiftieth at least. So as many are admitted in a second, however few may owe a request.
    fn short(&self, timeout: Duration) -> Duration {
        const MANY: u32 = 1024;
        let pending = self.max_pending.min(self.max_connections);
        let share = f64::from(pending.min(MANY)) / f64::from(MANY);
        (timeout / 10).mul_f64(share).max(timeout / 50)
    }

    /// Completes when all admitted connections are gone.
    pub(super) async fn all_gone(&self) {
        for (permits, all) in [
            (&self.connections, self.max_connections),
            (&self.pending, self.max_pending),
            (&self.refusals, self.max_refusals),
        ] {
            let _ = permits.acquire_many(all).await.expect("never closed");
        }
    }
}

/// Returns how many connections beyond the limit there may be at once, to be answered 503.
pub(super) fn refusals(max_connections: usize) -> usize {
    (max_connections / 16).clamp(1, 64)
}

impl Standing {
    /// The server begins to answer a request.
    pub(super) fn answer(&self) {
        self.is_answering.store(true, Relaxed);
    }

    /// Returns whether the server answers a request.
    pub(super) fn is_answering(&self) -> bool {
        self.is_answering.load(Relaxed)
    }

    /// Asks a connection to give way, and waits until it has, or cannot. It waits for [`ANSWER_TIMEOUT`] at most: the
    /// application may not poll the task of a connection that it brought.
    async fn give_way(&self) {
        self.asked.notify_one();
        let _ = timeout(ANSWER_TIMEOUT, self.resolved.notified()).await;
    }
}

impl Entry {
    pub(super) fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    /// The server begins to answer a request.
    pub(super) fn answer(&self) {
        self.standing.answer();
        self.engage();
    }

    /// Completes when the connection is to give way.
    pub(super) async fn asked(&self) {
        self.standing.asked.notified().await;
    }

    /// The connection cannot give way: it has sent something meanwhile.
    pub(super) fn refuse(&self) {
        self.standing.resolved.notify_one();
    }

    /// The connection waits for another request.
    pub(super) fn rest(&self) {
        self.engage();
        let yielding = &mut *lock(&self.admission.yielding);
        let number = yielding.idle.enter(&self.standing);
        *lock(&self.state) = State::Idle(number);
    }

    /// Returns whether the connection waits for another request.
    pub(super) fn is_idle(&self) -> bool {
        matches!(*lock(&self.state), State::Idle(_))
    }

    /// The connection has sent something.
    pub(super) fn engage(&self) {
        if matches!(*lock(&self.state), State::Engaged) {
            return;
        }
        let yielding = &mut *lock(&self.admission.yielding);
        match std::mem::replace(&mut *lock(&self.state), State::Engaged) {
            State::Silent(number) => yielding.silent.leave(number),
            State::Idle(number) => yielding.idle.leave(number),
            State::Engaged => {}
        }
    }
}

impl Line {
    /// Adds a connection, and returns its number.
    fn enter(&mut self, standing: &Arc<Standing>) -> u64 {
        let number = self.first + self.places.len() as u64;
        self.places.push_back(Some(Arc::clone(standing)));
        self.len += 1;
        number
    }

    /// Removes a connection. Does nothing if it has left already.
    fn leave(&mut self, number: u64) {
        let at = number.checked_sub(self.first).map(usize::try_from);
        if let Some(Ok(at)) = at
            && let Some(place) = self.places.get_mut(at)
            && place.take().is_some()
        {
            self.len -= 1;
            self.close_up();
        }
    }

    /// Removes the oldest connection.
    fn leave_first(&mut self) -> Option<Arc<Standing>> {
        let first = self.places.front_mut()?.take();
        self.len -= 1;
        self.close_up();
        first
    }

    /// Restores the rule that the front is never `None`.
    fn close_up(&mut self) {
        while let Some(None) = self.places.front() {
            self.places.pop_front();
            self.first += 1;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.engage();
        self.standing.resolved.notify_one();
    }
}

/// Counts a new connection as waiting while this lives.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

impl Pending {
    /// Ends the debt: the request has come.
    pub(super) fn end(&self) {
        let permit = lock(&self.permit).take();
        if permit.is_some() {
            drop(permit);
            self.admission.changed.notify_waiters();
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        lock(&self.permit).is_none()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.end();
    }
}

fn permits(count: usize) -> u32 {
    u32::try_from(count.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX)
}

/// How long the admission waits for a connection to give way.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Asserts that so much time passed, and no more than the looks at the sockets take.
    #[track_caller]
    fn assert_passed(begun: Instant, expected: Duration) {
        let passed = begun.elapsed();
        assert!(passed >= expected, "{passed:?}");
        assert!(passed < expected + Duration::from_millis(50), "{passed:?}");
    }

    fn admission(max_connections: usize, max_pending: usize) -> Arc<Admission> {
        Arc::new(Admission::new(max_connections, max_pending, Arc::default()))
    }

    /// Admits a connection that sends its request at once.
    async fn admit_speaking(admission: &Arc<Admission>) -> Guest {
        let guest = admission.admit().await;
        guest.entry.engage();
        guest
    }

    /// Waits, as a connection's task does, until the admission asks it to give way.
    async fn give_way(guest: Guest) {
        guest.entry.asked().await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_owes_its_request_has_the_time_that_is_set() {
        let admission = admission(10, 10);
        let begun = Instant::now();
        admission.out_of_patience(TIMEOUT).await;
        assert_passed(begun, TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn while_another_waits_the_time_is_a_tenth_and_less_where_fewer_may_owe_a_request() {
        for (connections, pending, millis) in [
            (10_000, 2_000, 1_000),
            (10_000, 1_024, 1_000),
            (10_000, 512, 500),
            (512, 1_024, 500),
            (10_000, 1, 200),
        ] {
            let admission = admission(connections, pending);
            let mut guests = Vec::new();
            for _ in 0..connections.min(pending) {
                guests.push(admit_speaking(&admission).await);
            }
            let begun = Instant::now();
            let leaving = async {
                tokio::join!(
                    admission.out_of_patience(TIMEOUT),
                    admission.out_of_patience(TIMEOUT)
                );
                guests.clear();
                assert_passed(begun, Duration::from_millis(millis));
            };
            let ((), next) = tokio::join!(leaving, admit_speaking(&admission));
            // None waits when that one is in.
            assert!(next.permit.is_some());
            let begun = Instant::now();
            admission.out_of_patience(TIMEOUT).await;
            assert_passed(begun, TIMEOUT);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_has_its_time_again_when_the_last_that_waited_gave_up() {
        let admission = admission(10, 1);
        let _guest = admit_speaking(&admission).await;
        for _ in 0..2 {
            let mut one = Box::pin(admission.admit());
            let mut other = Box::pin(admission.admit());
            let brief = Duration::from_millis(1);
            assert!(timeout(brief, one.as_mut()).await.is_err());
            assert!(timeout(brief, other.as_mut()).await.is_err());
            drop(one);
            let begun = Instant::now();
            admission.out_of_patience(TIMEOUT).await;
            assert_passed(begun, TIMEOUT / 50);
            drop(other);
            let begun = Instant::now();
            admission.out_of_patience(TIMEOUT).await;
            assert_passed(begun, TIMEOUT);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_has_come_makes_room_for_the_next() {
        let admission = admission(10, 1);
        let guest = admit_speaking(&admission).await;
        let mut next = pin!(admission.admit());
        assert!(timeout(TIMEOUT, next.as_mut()).await.is_err());
        assert!(!guest.pending.has_ended());
        guest.pending.end();
        assert!(guest.pending.has_ended());
        next.await;
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_places_are_given_as_there_are_and_given_again() {
        let admission = admission(2, 10);
        let (first, second) = (
            admit_speaking(&admission).await,
            admit_speaking(&admission).await,
        );
        assert!(first.permit.is_some() && second.permit.is_some());
        first.pending.end();
        second.pending.end();
        assert!(admission.admit().await.permit.is_none());
        assert_eq!(admission.counters.snapshot(0).refused_connections, 1);
        drop(first);
        assert!(admission.admit().await.permit.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_session_of_a_connection_keeps_its_permit_and_no_second_one_is_counted() {
        let admission = admission(2, 10);
        let Guest {
            permit, pending, ..
        } = admit_speaking(&admission).await;
        pending.end();
        let session = permit.expect("there is room").into_session();
        let other = admit_speaking(&admission).await;
        assert!(other.permit.is_some());
        other.pending.end();
        assert!(admission.admit().await.permit.is_none());
        drop(session);
        assert!(admission.admit().await.permit.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_connection_owes_its_request_another_waits_for_its_place_and_is_refused_later()
    {
        let admission = admission(1, 10);
        let only = admit_speaking(&admission).await;
        let mut next = pin!(admission.admit());
        assert!(timeout(TIMEOUT, next.as_mut()).await.is_err());
        // It is a session now, and keeps its place.
        only.pending.end();
        assert!(next.await.permit.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_silent_connection_gives_way_and_one_that_has_sent_something_does_not() {
        for (max_connections, max_pending) in [(2, 10), (10, 2)] {
            let admission = admission(max_connections, max_pending);
            let spoken = admit_speaking(&admission).await;
            let silent = admission.admit().await;
            let silent = tokio::spawn(give_way(silent));
            let begun = Instant::now();
            let next = admission.admit().await;
            assert!(next.permit.is_some());
            silent.await.unwrap();
            assert_eq!(begun.elapsed(), Duration::ZERO);
            assert!(!spoken.pending.has_ended());
            assert_eq!(admission.counters.snapshot(0).dropped_silent_connections, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_for_another_request_gives_way_where_places_are_short() {
        let admission = admission(1, 10);
        let idle = admit_speaking(&admission).await;
        idle.pending.end();
        idle.entry.rest();
        let idle = tokio::spawn(give_way(idle));
        assert!(admission.admit().await.permit.is_some());
        idle.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_does_not_answer_the_door_holds_it_up_for_100_ms_at_most() {
        let admission = admission(1, 10);
        let silent = admission.admit().await;
        let begun = Instant::now();
        let mut next = pin!(admission.admit());
        assert!(timeout(ANSWER_TIMEOUT, next.as_mut()).await.is_err());
        drop(silent);
        assert!(next.await.permit.is_some());
        assert_eq!(begun.elapsed(), ANSWER_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_system_has_no_room_the_oldest_tenth_gives_way() {
        let admission = admission(100, 100);
        assert_eq!(admission.make_room().await, 0);
        let mut tasks = Vec::new();
        for _ in 0..11 {
            tasks.push(tokio::spawn(give_way(admission.admit().await)));
        }
        assert_eq!(admission.make_room().await, 2);
        tokio::task::yield_now().await;
        let gone = tasks.iter().map(|task| task.is_finished());
        assert_eq!(gone.filter(|gone| *gone).count(), 2);
        assert!(tasks[0].is_finished() && tasks[1].is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_gone_when_the_last_has_left_its_place() {
        let admission = admission(usize::MAX, usize::MAX);
        let Guest {
            permit, pending, ..
        } = admission.admit().await;
        let mut gone = pin!(admission.all_gone());
        assert!(timeout(TIMEOUT, gone.as_mut()).await.is_err());
        drop(permit);
        assert!(timeout(TIMEOUT, gone.as_mut()).await.is_err());
        pending.end();
        gone.await;
    }

    proptest! {
        #[test]
        fn a_line_is_left_in_any_order_and_by_the_oldest_first(
            steps in prop::collection::vec((0..3_u8, any::<prop::sample::Index>()), 0..60),
        ) {
            let mut line = Line::default();
            let mut expected: Vec<(u64, Arc<Standing>)> = Vec::new();
            let mut left = Vec::new();
            for (step, which) in steps {
                match step {
                    0 => {
                        let standing = Arc::default();
                        expected.push((line.enter(&standing), standing));
                    }
                    1 if !expected.is_empty() => {
                        let (number, _) = expected.remove(which.index(expected.len()));
                        line.leave(number);
                        left.push(number);
                    }
                    _ => {
                        let first = (!expected.is_empty()).then(|| expected.remove(0));
                        let standing = line.leave_first();
                        prop_assert_eq!(standing.is_some(), first.is_some());
                        if let (Some(standing), Some((number, expected))) = (standing, first) {
                            prop_assert!(Arc::ptr_eq(&standing, &expected));
                            left.push(number);
                        }
                    }
                }
                // A second `leave` changes nothing.
                left.iter().for_each(|number| line.leave(*number));
                prop_assert_eq!(line.len, expected.len());
                prop_assert!(!matches!(line.places.front(), Some(None)));
            }
        }
    }
}
