//! The tasks that an endpoint of a client costs.

use tokio::runtime::Handle;
use tokio::time::sleep;

use super::*;
use crate::connection::Connection;

struct Silent;

impl Endpoint for Silent {}

fn connect() -> (Peer, Session) {
    let (stream, peer) = wire();
    let session = Connection::client(stream, Config::new(Role::Client)).serve(Silent);
    (peer, session)
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_of_a_client_costs_one_task_and_all_share_one_sweeper() {
    let clients: Vec<_> = (0..100).map(|_| connect()).collect();
    idle().await;
    assert_eq!(tasks(), clients.len() + 1);
    for (_, session) in &clients {
        session.abort();
    }
    sleep(seconds(2)).await;
    assert_eq!(tasks(), 0);

    // The next session starts another sweeper.
    let _client = connect();
    idle().await;
    assert_eq!(tasks(), 2);
}

#[test]
fn a_runtime_that_ends_takes_its_sweeper_along_and_no_other() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let (first, second) = (runtime(), runtime());
    let in_first = first.block_on(async { connect() });
    let in_second = second.block_on(async { connect() });
    drop(first);
    assert!(!in_first.1.is_open());
    assert_eq!(second.metrics().num_alive_tasks(), 2);
    assert!(in_second.1.is_open());
}
