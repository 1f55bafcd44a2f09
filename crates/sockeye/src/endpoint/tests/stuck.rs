//! Callbacks that do not return, or that wait for the end of their own session: the resources that are freed when the
//! peer is gone.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sockeye_proto::CloseReason;

use super::*;
use crate::connection::tests::wire::{CLOSE, TEXT, close_body, masked};
use crate::endpoint::{Incoming, Reply};
use crate::error::{Error, HandlerResult};

/// What a callback does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stuck {
    AwaitsItsEnd,
    NeverReturns,
    /// It closes the session, and awaits that.
    ClosesAndAwaits,
}

/// Which callback does it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Callback {
    Open,
    Message,
    Error,
    Close,
}

struct Endangered {
    stuck: Stuck,
    callback: Callback,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The callback that is stuck has begun.
    begun: AtomicBool,
    /// The callback was dropped, or returned.
    over: AtomicBool,
    closed: std::sync::Mutex<Option<u16>>,
}

struct Guard(Arc<Seen>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}

impl Endangered {
    async fn reached(&self, callback: Callback, session: &Session) {
        if callback != self.callback {
            return;
        }
        self.seen.begun.store(true, Ordering::SeqCst);
        let _guard = Guard(Arc::clone(&self.seen));
        match self.stuck {
            Stuck::NeverReturns => pending().await,
            Stuck::AwaitsItsEnd => drop(session.closed().await),
            Stuck::ClosesAndAwaits => {
                session.close(sockeye_proto::CloseCode::NORMAL, "").unwrap();
                session.closed().await;
            }
        }
    }
}

impl Endpoint for Endangered {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        self.reached(Callback::Open, session).await;
        Ok(())
    }

    async fn on_message<'m>(
        &mut self,
        session: &Session,
        _: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        if self.callback == Callback::Error {
            return Err("it fails".into());
        }
        self.reached(Callback::Message, session).await;
        Ok(Reply::None)
    }

    async fn on_error(&mut self, session: &Session, _: &Error) {
        self.reached(Callback::Error, session).await;
    }

    async fn on_close(&mut self, session: &Session, reason: CloseReason) -> HandlerResult {
        *self.seen.closed.lock().unwrap() = Some(reason.code().into());
        self.reached(Callback::Close, session).await;
        Ok(())
    }
}

/// How the peer goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leaves {
    Closes,
    ClosesAndEnds,
    Ends,
    Resets,
}

async fn start_stuck(stuck: Stuck, callback: Callback) -> (Started, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let shared = Arc::clone(&seen);
    let started = start(move |_| Endangered {
        stuck,
        callback,
        seen: Arc::clone(&shared),
    });
    // A message that waits for `on_open` would hide the peer's end.
    if callback != Callback::Open {
        started.peer.segment(masked(TEXT, "begin"));
    }
    idle().await;
    (started, seen)
}

fn leave(peer: &Peer, leaves: Leaves) {
    if matches!(leaves, Leaves::Closes | Leaves::ClosesAndEnds) {
        peer.segment(masked(CLOSE, close_body(1001, "")));
    }
    match leaves {
        Leaves::Closes => {}
        Leaves::ClosesAndEnds | Leaves::Ends => peer.end(),
        Leaves::Resets => peer.fail_reads(std::io::ErrorKind::ConnectionReset),
    }
}

const ALL: [(Callback, Leaves); 16] = {
    use Callback::{Close, Error, Message, Open};
    use Leaves::{Closes, ClosesAndEnds, Ends, Resets};
    [
        (Open, Closes),
        (Open, ClosesAndEnds),
        (Open, Ends),
        (Open, Resets),
        (Message, Closes),
        (Message, ClosesAndEnds),
        (Message, Ends),
        (Message, Resets),
        (Error, Closes),
        (Error, ClosesAndEnds),
        (Error, Ends),
        (Error, Resets),
        (Close, Closes),
        (Close, ClosesAndEnds),
        (Close, Ends),
        (Close, Resets),
    ]
};

/// Twice the close timeout, for a peer that closes and does not end: once for its Close, and once for its end.
const LET_GO: Duration = Duration::from_millis(10_100);

#[tokio::test(start_paused = true)]
async fn whatever_a_callback_waits_for_the_transport_and_the_place_are_let_go_when_the_peer_goes() {
    for (callback, leaves) in ALL {
        for stuck in [Stuck::AwaitsItsEnd, Stuck::NeverReturns] {
            let case = format!("{stuck:?} {callback:?} {leaves:?}");
            let (started, seen) = start_stuck(stuck, callback).await;
            let Started { peer, session, .. } = &started;
            leave(peer, leaves);
            tokio::time::sleep(LET_GO).await;
            assert!(seen.begun.load(Ordering::SeqCst), "{case}");
            assert!(peer.is_dropped(), "{case}");
            assert!(started.is_gone(), "{case}");
            let closed = tokio::time::timeout(seconds(1), session.closed()).await;
            let code: u16 = closed.expect(&case).code().into();
            let expected = match leaves {
                Leaves::Closes | Leaves::ClosesAndEnds => 1001,
                Leaves::Ends | Leaves::Resets => 1006,
            };
            assert_eq!(code, expected, "{case}");
            // The peer has cancelled nothing.
            let is_over = seen.over.load(Ordering::SeqCst);
            assert_eq!(is_over, stuck == Stuck::AwaitsItsEnd, "{case}");
            let told = *seen.closed.lock().unwrap();
            let is_told = stuck == Stuck::AwaitsItsEnd || callback == Callback::Close;
            assert_eq!(told, is_told.then_some(expected), "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_closes_its_session_and_awaits_that_goes_on_when_the_peer_has_answered() {
    let (started, seen) = start_stuck(Stuck::ClosesAndAwaits, Callback::Message).await;
    let peer = &started.peer;
    assert_eq!(peer.frames().last().map(|frame| frame.code()), Some(1000));
    peer.segment(masked(CLOSE, close_body(1000, "")));
    idle().await;
    assert!(peer.is_shut() && !seen.over.load(Ordering::SeqCst));
    peer.end();
    idle().await;
    assert!(seen.over.load(Ordering::SeqCst) && peer.is_dropped() && started.is_gone());
    assert_eq!(*seen.closed.lock().unwrap(), Some(1000));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_only_slow_keeps_its_place_for_the_close_timeout() {
    let (started, seen) = start_stuck(Stuck::NeverReturns, Callback::Message).await;
    leave(&started.peer, Leaves::Ends);
    tokio::time::sleep(Duration::from_millis(4_900)).await;
    assert!(started.peer.is_dropped() && !started.is_gone());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(started.is_gone() && !seen.over.load(Ordering::SeqCst));
    // A stop still drops it.
    started.session.abort();
    idle().await;
    assert!(seen.over.load(Ordering::SeqCst));
}
