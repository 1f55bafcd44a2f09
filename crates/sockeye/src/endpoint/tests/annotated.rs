//! A generated handler costs what a handler without the attribute costs.

use super::life::{messages, numbers, texts};
use super::*;

#[derive(Default)]
struct Echo;

#[crate::server_endpoint("/echo")]
impl Echo {
    #[on_message]
    async fn echo<'m>(&mut self, text: &'m str) -> &'m str {
        text
    }
}

#[tokio::test(start_paused = true)]
async fn sixteen_messages_in_one_segment_are_answered_with_one_write() {
    let Started { peer, .. } = start(|_| Echo);
    peer.segment(messages(16));
    idle().await;
    assert_eq!(texts(&peer.frames()), numbers(16));
    assert_eq!((peer.reads(), peer.writes()), (1, 1));
    // Again, after the task was parked.
    peer.segment(messages(16));
    idle().await;
    assert_eq!(texts(&peer.frames()), numbers(16));
    assert_eq!((peer.reads(), peer.writes()), (2, 2));
}
