//! Two methods for one kind of message, as the compiler finds.
#![allow(unused_variables)]

use sockeye::server_endpoint;

type Line = String;

struct Aliased;

#[server_endpoint("/alias")]
impl Aliased {
    #[on_message]
    fn borrowed(&mut self, text: &str) {}

    #[on_message]
    fn owned(&mut self, text: Line) {}
}

struct Either;

#[server_endpoint("/either")]
impl Either {
    #[on_message]
    fn all(&mut self, message: sockeye::Message) {}

    #[on_message]
    fn binary(&mut self, bytes: &[u8]) {}
}

fn main() {}
