//! Who is let in: how many connections there may be, and how many of them may still owe a request.

use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::deadline;
use crate::endpoint::life::Place;
use crate::sync::{Arc, Mutex, lock};

/// How many there may be.
#[derive(Debug)]
pub(super) struct Admission {
    connections: Arc<Semaphore>,
    max_connections: u32,
    pending: Arc<Semaphore>,
    max_pending: u32,
    /// How many wait for one that owes a request to make it, or to go.
    waiting: watch::Sender<usize>,
}

/// A connection that is let in.
#[derive(Debug)]
pub(super) struct Guest {
    /// Kept for as long as the connection is. `None` when there are as many as there may be: it is told
    /// so, and goes.
    pub(super) place: Option<Place>,
    pub(super) pending: Pending,
}

/// That a connection owes its first request.
#[derive(Debug)]
pub(super) struct Pending(Mutex<Option<OwnedSemaphorePermit>>);

impl Admission {
    pub(super) fn new(max_connections: usize, max_pending: usize) -> Self {
        let max_connections = permits(max_connections);
        let max_pending = permits(max_pending.max(1));
        Self {
            connections: Arc::new(Semaphore::new(max_connections as usize)),
            max_connections,
            pending: Arc::new(Semaphore::new(max_pending as usize)),
            max_pending,
            waiting: watch::Sender::new(0),
        }
    }

    /// Lets one more in; waits while as many owe a request as may.
    pub(super) async fn admit(&self) -> Guest {
        let permit = match Arc::clone(&self.pending).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _waiting = Waiting::begin(&self.waiting);
                let permit = Arc::clone(&self.pending).acquire_owned();
                permit.await.expect("never closed")
            }
        };
        let place = Arc::clone(&self.connections).try_acquire_owned().ok();
        Guest {
            place,
            pending: Pending(Mutex::new(Some(permit))),
        }
    }

    /// Completes when a connection that still owes its request has had time enough: after `timeout`,
    /// or, while others wait at the door, after a tenth of it. So a crowd of silent ones holds nobody up
    /// for long, and an honest crowd is taken one after the other.
    pub(super) async fn out_of_patience(&self, timeout: Duration) {
        let soon = timeout / 10;
        deadline::pass(soon).await;
        let mut waiting = self.waiting.subscribe();
        tokio::select! {
            () = deadline::pass(timeout - soon) => {}
            Ok(_) = waiting.wait_for(|waiting| *waiting > 0) => {}
        }
    }

    /// Completes when all that were let in have gone.
    pub(super) async fn all_gone(&self) {
        let connections = self.connections.acquire_many(self.max_connections);
        let _ = connections.await.expect("never closed");
        let pending = self.pending.acquire_many(self.max_pending);
        let _ = pending.await.expect("never closed");
    }
}

/// That somebody waits, for as long as this lives.
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
    /// The request has come.
    pub(super) fn end(&self) {
        drop(lock(&self.0).take());
    }

    pub(super) fn has_ended(&self) -> bool {
        lock(&self.0).is_none()
    }
}

fn permits(count: usize) -> u32 {
    u32::try_from(count.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::time::Instant;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn one_that_owes_its_request_has_the_time_that_is_set() {
        let admission = Admission::new(10, 10);
        let begun = Instant::now();
        admission.out_of_patience(TIMEOUT).await;
        assert_eq!(begun.elapsed().as_secs(), TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_owes_its_requests_is_given_a_tenth_of_it_while_others_wait() {
        let admission = Admission::new(10, 2);
        let (first, second) = (admission.admit().await, admission.admit().await);
        let begun = Instant::now();
        let leaving = async {
            tokio::join!(
                admission.out_of_patience(TIMEOUT),
                admission.out_of_patience(TIMEOUT)
            );
            drop((first, second));
            begun.elapsed()
        };
        let (left, third) = tokio::join!(leaving, admission.admit());
        assert_eq!(left.as_secs(), TIMEOUT.as_secs() / 10);
        // Nobody waits when the third is in.
        assert!(third.place.is_some());
        admission.out_of_patience(TIMEOUT).await;
        assert!(begun.elapsed() >= left + TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_has_its_time_again_when_the_last_who_waited_gave_up() {
        let admission = Admission::new(10, 1);
        let _guest = admission.admit().await;
        for _ in 0..2 {
            let mut one = Box::pin(admission.admit());
            let mut other = Box::pin(admission.admit());
            let brief = Duration::from_millis(1);
            assert!(tokio::time::timeout(brief, one.as_mut()).await.is_err());
            assert!(tokio::time::timeout(brief, other.as_mut()).await.is_err());
            drop(one);
            let begun = Instant::now();
            admission.out_of_patience(TIMEOUT).await;
            assert_eq!(begun.elapsed().as_secs(), TIMEOUT.as_secs() / 10);
            drop(other);
            let begun = Instant::now();
            admission.out_of_patience(TIMEOUT).await;
            assert_eq!(begun.elapsed().as_secs(), TIMEOUT.as_secs());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_has_come_makes_room_for_the_next() {
        let admission = Admission::new(10, 1);
        let guest = admission.admit().await;
        let mut next = pin!(admission.admit());
        assert!(tokio::time::timeout(TIMEOUT, next.as_mut()).await.is_err());
        assert!(!guest.pending.has_ended());
        guest.pending.end();
        assert!(guest.pending.has_ended());
        next.await;
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_places_are_given_as_there_are_and_given_again() {
        let admission = Admission::new(2, 10);
        let first = admission.admit().await;
        let second = admission.admit().await;
        assert!(first.place.is_some() && second.place.is_some());
        assert!(admission.admit().await.place.is_none());
        drop(first);
        assert!(admission.admit().await.place.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_gone_when_the_last_has_left_its_place() {
        let admission = Admission::new(usize::MAX, usize::MAX);
        let Guest { place, pending, .. } = admission.admit().await;
        let mut gone = pin!(admission.all_gone());
        assert!(tokio::time::timeout(TIMEOUT, gone.as_mut()).await.is_err());
        drop(place);
        assert!(tokio::time::timeout(TIMEOUT, gone.as_mut()).await.is_err());
        pending.end();
        gone.await;
    }
}
