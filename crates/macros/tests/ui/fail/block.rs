//! The attribute, or a mark, on an item that cannot have it.
#![allow(unused_variables)]

use sockeye::endpoint::{on_close, on_error, on_message, on_open};
use sockeye::{Endpoint, server_endpoint};

#[server_endpoint("/struct")]
struct Chat;

#[server_endpoint("/trait")]
impl Endpoint for Chat {}

#[server_endpoint("/unmarked")]
impl Chat {
    fn said(&mut self, text: &str) {}
}

#[server_endpoint("/name")]
impl Chat {
    #[on_open]
    fn open(&mut self) {}

    fn endpoint() {}
}

#[server_endpoint("/marks")]
impl Chat {
    #[on_open]
    #[on_close]
    fn both(&mut self) {}

    #[on_error(max = 5)]
    fn limited(&mut self) {}

    fn unmarked(&mut self, #[path] room: &str) {}
}

impl Chat {
    #[on_open]
    fn outside_open(&mut self) {}

    #[on_message]
    fn outside_message(&mut self, text: &str) {}
}

#[on_close]
fn outside_close() {}

#[on_error]
fn outside_error() {}

fn main() {}
