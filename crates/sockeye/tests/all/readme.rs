//! The server of the README, run.
#![cfg(feature = "macros")]
#![allow(
    dead_code,
    clippy::print_stdout,
    reason = "it is as the README shows it"
)]

use crate::support::{Raw, TEXT, serve};

include!("../readme/server.inc");

#[test]
fn the_readme_shows_the_server_that_is_tested_here() {
    let readme = include_str!("../../../../README.md");
    assert!(readme.contains(include_str!("../readme/server.inc")));
}

#[tokio::test]
async fn a_message_said_in_one_room_of_the_readmes_server_reaches_this_room_alone() {
    let addr = serve(Server::builder().default_endpoint::<Chat>()).await;
    let mut ann = Raw::open(addr, "/chat/lobby").await;
    let mut bob = Raw::open(addr, "/chat/lobb%79").await;
    let mut eve = Raw::open(addr, "/chat/cellar").await;
    for (peer, room) in [
        (&mut ann, "lobby"),
        (&mut bob, "lobby"),
        (&mut eve, "cellar"),
    ] {
        assert_eq!(peer.recv_text().await, format!("welcome to {room}"));
    }
    ann.send(TEXT, b"hello").await;
    assert_eq!(ann.recv_text().await, "hello");
    assert_eq!(ann.recv_text().await, "that was your message 1");
    assert_eq!(bob.recv_text().await, "hello");
    // Her own message is the first that she receives.
    eve.send(TEXT, b"psst").await;
    assert_eq!(eve.recv_text().await, "psst");
    assert_eq!(eve.recv_text().await, "that was your message 1");
    bob.send(TEXT, b"bye").await;
    assert_eq!(ann.recv_text().await, "bye");
}
