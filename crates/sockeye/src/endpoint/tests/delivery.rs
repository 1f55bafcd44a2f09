//! Broadcasts to sessions that the endpoint's delivery writes to, past their tasks.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle, Runtime};

use super::life::texts;
use super::*;
use crate::connection::direct::Direct;
use crate::connection::tests::wire::{TEXT, masked};
use crate::endpoint::{Incoming, Reply};
use crate::error::HandlerResult;

struct Echo;

impl Endpoint for Echo {
    async fn on_message<'m>(
        &mut self,
        _: &Session,
        incoming: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        match incoming {
            Incoming::Text(text) => Ok(Reply::Text(text.into_str())),
            _ => Ok(Reply::None),
        }
    }
}

/// Sessions of one endpoint, and the number of writes to them past their tasks.
struct Audience {
    sessions: OpenSessions,
    peers: Vec<Peer>,
    delivered: Arc<AtomicUsize>,
}

impl Default for Audience {
    fn default() -> Self {
        Self {
            sessions: OpenSessions::uncounted(),
            peers: Vec::new(),
            delivered: Arc::default(),
        }
    }
}

impl Audience {
    /// Opens this many more sessions on the runtime of the caller.
    fn join(&mut self, many: usize) {
        let places = Arc::new(Semaphore::new(many));
        for _ in 0..many {
            let (stream, peer) = wire();
            let (beside, delivered) = (peer.clone(), Arc::clone(&self.delivered));
            let direct = Direct::scripted(move |bytes| {
                delivered.fetch_add(1, Ordering::SeqCst);
                beside.write_beside(bytes)
            });
            let opened = opened(stream, Config::new(Role::Server), &places);
            Factory(|_: &Handshake| Echo).start(opened, Some(direct), &self.sessions);
            self.peers.push(peer);
        }
    }

    /// Returns the number of writes past the tasks since the last call.
    fn delivered(&self) -> usize {
        self.delivered.swap(0, Ordering::SeqCst)
    }

    fn came(&self) -> Vec<Vec<String>> {
        self.peers
            .iter()
            .map(|peer| {
                let frames = peer.frames();
                texts(&frames).into_iter().map(str::to_owned).collect()
            })
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_to_all_is_written_to_each_at_once_however_many_there_are() {
    for many in [1, 31, 32, 33, 255, 256, 257, 1000] {
        let mut audience = Audience::default();
        audience.join(many);
        idle().await;
        for text in ["a", "b", "c"] {
            assert_eq!(audience.sessions.broadcast(text), many);
        }
        idle().await;
        assert_eq!(audience.came(), vec![["a", "b", "c"]; many]);
        assert_eq!(audience.delivered(), many);
        audience.sessions.broadcast("d");
        idle().await;
        assert_eq!(audience.came(), vec![["d"]; many]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_something_to_send_writes_for_itself() {
    let mut audience = Audience::default();
    audience.join(3);
    idle().await;
    audience.peers[1].segment(masked(TEXT, "for an echo"));
    tokio::task::yield_now().await;
    let sessions = audience.sessions.to_vec();
    let _sent = sessions[2].async_remote().send_text("before");
    assert_eq!(audience.sessions.broadcast("to all"), 3);
    idle().await;
    let came = audience.came();
    assert_eq!(came[0], ["to all"]);
    assert_eq!(came[1], ["for an echo", "to all"]);
    assert_eq!(came[2], ["before", "to all"]);
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_in_nobodys_way_and_loses_nothing() {
    let mut audience = Audience::default();
    audience.join(3);
    idle().await;
    audience.peers[0].close_window(1);
    audience.peers[1].trickle(3);
    let said: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    for text in &said {
        assert_eq!(audience.sessions.broadcast(text.as_str()), 3);
        idle().await;
    }
    assert_eq!(audience.peers[0].written().len(), 1);
    audience.peers[0].remove_window();
    idle().await;
    assert_eq!(audience.came(), vec![said; 3]);
}

#[tokio::test(start_paused = true)]
async fn those_who_close_get_what_was_said_before() {
    let mut audience = Audience::default();
    audience.join(2);
    idle().await;
    audience.sessions.broadcast("before");
    let session = audience.sessions.to_vec().remove(0);
    session.close(sockeye_proto::CloseCode::NORMAL, "").unwrap();
    assert_eq!(audience.sessions.broadcast("after"), 1);
    idle().await;
    let came = audience.came();
    assert_eq!(
        (&came[0][0], &came[1][..]),
        (&"before".into(), &["before", "after"].map(String::from)[..])
    );
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Lets all tasks of a runtime do what they can.
fn run(runtime: &Runtime) {
    runtime.block_on(async {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_session_on_another_runtime_writes_for_itself() {
    let (one, other) = (runtime(), runtime());
    let mut audience = Audience::default();
    for runtime in [&one, &other] {
        let _entered = runtime.enter();
        audience.join(1);
        run(runtime);
    }
    assert_eq!(audience.sessions.broadcast("a"), 2);
    run(&other);
    assert_eq!(
        (audience.came(), audience.delivered()),
        (vec![vec![], vec!["a".into()]], 0)
    );
    run(&one);
    assert_eq!(
        (audience.came(), audience.delivered()),
        (vec![vec!["a".into()], vec![]], 1)
    );
}

#[test]
fn the_end_of_the_runtime_that_delivers_leaves_the_others_their_messages() {
    let (one, other) = (runtime(), runtime());
    let mut audience = Audience::default();
    for runtime in [&one, &other] {
        let _entered = runtime.enter();
        audience.join(1);
        run(runtime);
    }
    drop(one);
    assert_eq!(audience.sessions.len(), 1);
    let entered = other.enter();
    audience.join(1);
    drop(entered);
    run(&other);
    assert_eq!(audience.sessions.broadcast("a"), 2);
    run(&other);
    assert_eq!(audience.came()[1..], [["a"], ["a"]]);
    // Only the new session is written to past its task: it joined after the first delivery had ended.
    assert_eq!(audience.delivered(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_delivers_ends_when_nobody_has_the_sessions_any_more() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let mut audience = Audience::default();
    audience.join(1);
    idle().await;
    audience.peers[0].end();
    // The sweep finds no session, and ends.
    tokio::time::sleep(seconds(10)).await;
    assert_eq!(tasks(), before + 1);
    drop(audience);
    idle().await;
    assert_eq!(tasks(), before);
}
