//! Turns of connection attempts (RFC 6455 section 4.1): a client opens one connection to an address at a time. Knows
//! nothing of how a connection is opened.

use std::collections::HashMap;
use std::fmt;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

use crate::sync::{Arc, Mutex, lock};

/// The locks that a client and its clones share: their attempts take turns.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Shared>);

struct Shared {
    locks: Mutex<HashMap<Peer, Arc<PeerLock>>>,
    by_proxy: Arc<Semaphore>,
}

/// The lock that a connection attempt holds for one peer. Waiting attempts get it in the order of their arrival.
struct PeerLock {
    mutex: Arc<tokio::sync::Mutex<()>>,
    /// The time by which the holder should have released the lock; `None` for no limit.
    until: Mutex<Option<Instant>>,
}

/// The peer that a lock is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Peer {
    Address(SocketAddr),
    /// §4.1: when a proxy resolves the address, each host name counts as a host of its own.
    Name(String, u16),
}

/// The turn of one connection attempt: the locks of all its peers. Dropping it releases them.
#[derive(Debug)]
pub(crate) struct Turn {
    peers: Vec<PeerTurn>,
    _by_proxy: Option<OwnedSemaphorePermit>,
}

/// An attempt's turn at one peer: it waits for the peer's lock, or holds it.
struct PeerTurn {
    turns: Turns,
    peer: Peer,
    lock: Option<Arc<PeerLock>>,
    held: Option<OwnedMutexGuard<()>>,
}

/// The most connections that are opened at a time by proxies that resolve the address (§4.1: a reasonably low number).
const MAX_BY_PROXY: usize = 8;

impl Turns {
    /// The turns of all objects in the process that have no client of their own.
    pub(super) fn of_process() -> Self {
        static TURNS: LazyLock<Turns> = LazyLock::new(Turns::default);
        TURNS.clone()
    }

    /// Waits until no other attempt connects to any of these peers. The turn may take `allowance`. An attempt that is
    /// no longer polled may hold its turn for longer: waiters then go on without it.
    ///
    /// Dropping the future releases all that it holds, and stops waiting.
    pub(super) async fn wait(&self, mut peers: Vec<Peer>, allowance: Duration) -> Turn {
        // All attempts take their locks in the same order, so they cannot deadlock.
        peers.sort_unstable();
        peers.dedup();
        let mut held = Vec::with_capacity(peers.len());
        let is_by_proxy = peers.iter().any(|peer| matches!(peer, Peer::Name(..)));
        for peer in peers {
            let mut peer_turn = PeerTurn::new(self, peer, allowance);
            peer_turn.hold(allowance).await;
            held.push(peer_turn);
        }
        let by_proxy = match is_by_proxy {
            true => {
                let permit = Arc::clone(&self.0.by_proxy).acquire_owned();
                timeout(allowance, permit).await.ok().and_then(Result::ok)
            }
            false => None,
        };
        Turn {
            peers: held,
            _by_proxy: by_proxy,
        }
    }

    /// Waits in the caller's thread, as [`wait`](Self::wait) does in a task. It needs no runtime.
    pub(crate) fn wait_blocking(&self, mut peers: Vec<Peer>, allowance: Duration) -> Turn {
        peers.sort_unstable();
        peers.dedup();
        let is_by_proxy = peers.iter().any(|peer| matches!(peer, Peer::Name(..)));
        let hold = |peer| {
            let mut peer_turn = PeerTurn::new(self, peer, allowance);
            peer_turn.hold_blocking(allowance);
            peer_turn
        };
        let held = peers.into_iter().map(hold).collect();
        let by_proxy = is_by_proxy.then(|| {
            let permit = Arc::clone(&self.0.by_proxy).acquire_owned();
            let until = Instant::now().checked_add(allowance);
            block_until(pin!(permit), || until).and_then(Result::ok)
        });
        Turn {
            peers: held,
            _by_proxy: by_proxy.flatten(),
        }
    }
}

/// Waits for a future in the caller's thread, until a time that may move. `None` if that has passed before. The future
/// must need no runtime.
fn block_until<F: Future>(
    mut future: Pin<&mut F>,
    until: impl Fn() -> Option<Instant>,
) -> Option<F::Output> {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        match until().map(|until| until.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => return None,
            Some(left) => thread::park_timeout(left),
            None => thread::park(),
        }
    }
}

impl Turn {
    /// Releases the locks of all peers except the address that TCP has connected to.
    pub(crate) fn keep(&mut self, address: SocketAddr) {
        let chosen = Peer::Address(address);
        if self.peers.iter().any(|turn| turn.peer == chosen) {
            self.peers.retain(|turn| turn.peer == chosen);
        }
    }
}

impl PeerTurn {
    fn new(turns: &Turns, peer: Peer, allowance: Duration) -> Self {
        let mut locks = lock(&turns.0.locks);
        let peer_lock = locks.entry(peer.clone());
        let peer_lock = peer_lock.or_insert_with(|| PeerLock::new(allowance));
        Self {
            turns: turns.clone(),
            lock: Some(Arc::clone(peer_lock)),
            peer,
            held: None,
        }
    }

    async fn hold(&mut self, allowance: Duration) {
        while let Some(peer_lock) = self.lock.clone() {
            tokio::select! {
                biased;
                held = Arc::clone(&peer_lock.mutex).lock_owned() => {
                    *lock(&peer_lock.until) = Instant::now().checked_add(allowance);
                    self.held = Some(held);
                    return;
                }
                () = peer_lock.is_overdue() => self.move_on(&peer_lock, allowance),
            }
        }
    }

    fn hold_blocking(&mut self, allowance: Duration) {
        while let Some(peer_lock) = self.lock.clone() {
            let locking = pin!(Arc::clone(&peer_lock.mutex).lock_owned());
            if let Some(held) = block_until(locking, || *lock(&peer_lock.until)) {
                *lock(&peer_lock.until) = Instant::now().checked_add(allowance);
                self.held = Some(held);
                return;
            }
            self.move_on(&peer_lock, allowance);
        }
    }

    /// Leaves an overdue lock. The first waiter that leaves it creates a new one, and the others queue there.
    fn move_on(&mut self, overdue: &Arc<PeerLock>, allowance: Duration) {
        let mut locks = lock(&self.turns.0.locks);
        let peer_lock = locks.entry(self.peer.clone());
        let peer_lock = peer_lock.or_insert_with(|| PeerLock::new(allowance));
        if Arc::ptr_eq(peer_lock, overdue) {
            *peer_lock = PeerLock::new(allowance);
        }
        self.lock = Some(Arc::clone(peer_lock));
    }
}

impl PeerLock {
    fn new(allowance: Duration) -> Arc<Self> {
        Arc::new(Self {
            mutex: Arc::default(),
            until: Mutex::new(Instant::now().checked_add(allowance)),
        })
    }

    /// Completes when the holder has used up its time.
    async fn is_overdue(&self) {
        loop {
            let until = *lock(&self.until);
            match until {
                Some(until) if until <= Instant::now() => return,
                Some(until) => sleep_until(until).await,
                None => pending().await,
            }
        }
    }
}

/// The last waiter or holder of a lock removes it from the map.
impl Drop for PeerTurn {
    fn drop(&mut self) {
        let mut locks = lock(&self.turns.0.locks);
        self.held = None;
        self.lock = None;
        let is_unwanted = |peer_lock: &Arc<PeerLock>| Arc::strong_count(peer_lock) == 1;
        if locks.get(&self.peer).is_some_and(is_unwanted) {
            locks.remove(&self.peer);
        }
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Shared {
            locks: Mutex::default(),
            by_proxy: Arc::new(Semaphore::new(MAX_BY_PROXY)),
        }))
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").finish_non_exhaustive()
    }
}

impl fmt::Debug for PeerTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.peer.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCE: Duration = Duration::from_secs(20);

    fn address(last: u8, port: u16) -> Peer {
        Peer::Address(SocketAddr::from(([10, 0, 0, last], port)))
    }

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_has_one_at_a_time_and_others_do_not_wait() {
        let turns = Turns::default();
        let first = now(turns.wait(vec![address(1, 80)], ALLOWANCE)).unwrap();
        assert!(now(turns.clone().wait(vec![address(1, 80)], ALLOWANCE)).is_none());
        for other in [address(2, 80), address(1, 81)] {
            assert!(now(turns.wait(vec![other], ALLOWANCE)).is_some());
        }
        assert!(now(Turns::default().wait(vec![address(1, 80)], ALLOWANCE)).is_some());
        drop(first);
        assert!(now(turns.wait(vec![address(1, 80)], ALLOWANCE)).is_some());
        assert!(lock(&turns.0.locks).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_served_in_order_and_one_that_gives_up_delays_no_other() {
        let turns = Turns::default();
        let held = now(turns.wait(vec![address(1, 80)], ALLOWANCE)).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let mut gives_up = Box::pin(turns.wait(vec![address(1, 80)], ALLOWANCE));
        let mut second = Box::pin(turns.wait(vec![address(1, 80)], ALLOWANCE));
        let mut third = Box::pin(turns.wait(vec![address(1, 80)], ALLOWANCE));
        for waiting in [&mut gives_up, &mut second, &mut third] {
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
        }
        drop(held);
        // The lock passed to this waiter, which never takes it.
        drop(gives_up);
        assert!(third.as_mut().poll(&mut cx).is_pending());
        let Poll::Ready(turn) = second.as_mut().poll(&mut cx) else {
            panic!("it is second's turn");
        };
        assert!(third.as_mut().poll(&mut cx).is_pending());
        drop(turn);
        assert!(third.as_mut().poll(&mut cx).is_ready());
        drop((second, third));
        assert!(lock(&turns.0.locks).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_of_many_addresses_holds_them_all_until_one_is_chosen() {
        let turns = Turns::default();
        let both = || vec![address(2, 80), address(1, 80), address(2, 80)];
        let mut turn = now(turns.wait(both(), ALLOWANCE)).unwrap();
        assert!(now(turns.wait(vec![address(2, 80)], ALLOWANCE)).is_none());
        turn.keep("10.0.0.1:80".parse().unwrap());
        assert!(now(turns.wait(vec![address(2, 80)], ALLOWANCE)).is_some());
        assert!(now(turns.wait(vec![address(1, 80)], ALLOWANCE)).is_none());
        drop(turn);
        assert!(now(turns.wait(both(), ALLOWANCE)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn behind_a_proxy_names_are_hosts_of_their_own_and_few_at_a_time() {
        let turns = Turns::default();
        let name = |number: usize| vec![Peer::Name(format!("host{number}"), 80)];
        let mut held: Vec<_> = (0..MAX_BY_PROXY)
            .map(|number| now(turns.wait(name(number), ALLOWANCE)).unwrap())
            .collect();
        assert!(now(turns.wait(name(MAX_BY_PROXY), ALLOWANCE)).is_none());
        assert!(now(turns.wait(vec![address(1, 80)], ALLOWANCE)).is_some());
        held.pop();
        assert!(now(turns.wait(name(0), ALLOWANCE)).is_none());
        assert!(now(turns.wait(name(MAX_BY_PROXY), ALLOWANCE)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_is_not_polled_is_waited_for_no_longer_than_its_time() {
        let turns = Turns::default();
        let started = Instant::now();
        let stuck = now(turns.wait(vec![address(1, 80)], ALLOWANCE)).unwrap();
        let takes_half = async || {
            let turn = turns.wait(vec![address(1, 80)], ALLOWANCE).await;
            tokio::time::sleep(ALLOWANCE / 2).await;
            drop(turn);
            started.elapsed().as_secs()
        };
        let (one, other) = tokio::join!(takes_half(), takes_half());
        // Both found the lock overdue, and still took their turns one after the other.
        assert_eq!((one.min(other), one.max(other)), (30, 40));
        drop(stuck);
        assert!(lock(&turns.0.locks).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_waits_long_in_a_moving_queue_still_waits_for_its_turn() {
        let turns = Turns::default();
        let first = now(turns.wait(vec![address(1, 80)], ALLOWANCE)).unwrap();
        let started = Instant::now();
        let takes_its_time = async |held: Option<Turn>| {
            let turn = match held {
                Some(turn) => turn,
                None => turns.wait(vec![address(1, 80)], ALLOWANCE).await,
            };
            tokio::time::sleep(ALLOWANCE - Duration::from_secs(1)).await;
            drop(turn);
            started.elapsed().as_secs()
        };
        let ended = tokio::join!(
            takes_its_time(Some(first)),
            takes_its_time(None),
            takes_its_time(None)
        );
        assert_eq!(ended, (19, 38, 57));
    }
}
