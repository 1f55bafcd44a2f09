//! A server that runs out of descriptors. A binary of its own: the limit is the whole process's.
#![cfg(unix)]

mod support;

use std::fs::File;
use std::os::fd::AsRawFd;

use rlimit::Resource;
use sockeye::{Endpoint, Incoming, Reply, Result, Server, Session, endpoint};
use support::{Raw, TEXT};

struct Echo;

impl Endpoint for Echo {
    async fn on_message<'m>(&mut self, _: &Session, message: Incoming<'m>) -> Result<Reply<'m>> {
        Ok(Reply::from(message))
    }
}

#[tokio::test]
async fn a_server_out_of_descriptors_serves_whom_it_has_and_accepts_again_when_some_are_free() {
    const ROOM: usize = 3;
    let builder = Server::builder().endpoint(endpoint("/", |_| Echo));
    let server = builder.bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr();
    // They wait in the system's queue: nothing is accepted yet.
    let mut peers = Vec::new();
    for _ in 0..3 * ROOM {
        peers.push(Raw::connect(addr).await);
    }
    // Descriptors are given out from the lowest: what a file gets now is the next.
    let next = File::open("/dev/null").unwrap().as_raw_fd() as u64;
    let (soft, hard) = rlimit::getrlimit(Resource::NOFILE).unwrap();
    rlimit::setrlimit(Resource::NOFILE, next + ROOM as u64, hard).unwrap();
    tokio::spawn(server.serve());

    let mut left = peers.split_off(ROOM);
    for peer in &mut peers {
        let answer = peer.request(&support::request(addr, "/", "")).await;
        assert_eq!(answer.status, 101);
    }
    // By now accepting has failed. Those who were accepted are served.
    assert!(File::open("/dev/null").is_err());
    for peer in &mut peers {
        peer.send(TEXT, b"still served").await;
        assert_eq!(peer.recv_text().await, "still served");
    }
    for peer in peers {
        peer.close().await;
    }
    // Each that ended freed two: the server's and the test's own.
    for peer in &mut left {
        let answer = peer.request(&support::request(addr, "/", "")).await;
        assert_eq!(answer.status, 101);
    }
    rlimit::setrlimit(Resource::NOFILE, soft, hard).unwrap();
}
