//! Limits that are not valid, as the compiler finds.
#![allow(unused_variables)]

use sockeye::endpoint::{Ping, Pong};
use sockeye::server_endpoint;

struct Pongs;

#[server_endpoint("/pongs")]
impl Pongs {
    #[on_message(max = 5)]
    fn pong(&mut self, pong: Pong) {}

    #[on_message(max = 126)]
    fn ping(&mut self, ping: Ping) {}
}

struct Words;

#[server_endpoint("/words")]
impl Words {
    #[on_message(max = "5")]
    fn said(&mut self, text: &str) {}
}

fn main() {}
