//! Parameters for parts of messages that are not valid, or whose kind another method takes whole.
#![allow(unused_variables)]

use bytes::Bytes;
use sockeye::endpoint::{Pong, partial};
use sockeye::{Session, server_endpoint};

struct Stray;

#[server_endpoint("/stray")]
impl Stray {
    #[on_message]
    fn text(&mut self, part: (String, u32)) {}

    #[on_message]
    fn pong(&mut self, part: (Pong, bool)) {}
}

struct Separate;

#[server_endpoint("/separate")]
impl Separate {
    #[on_message]
    fn text(&mut self, part: &str, is_last: bool) {}
}

struct Rivals;

#[server_endpoint("/rivals")]
impl Rivals {
    #[on_message]
    fn whole(&mut self, text: &str) {}

    #[on_message]
    fn parts(&mut self, part: (String, bool)) {}
}

fn handlers(session: &Session) {
    let _ = session.add_message_handler(partial(|(part, is_last): (Bytes, u8)| async {}));
}

fn main() {}
