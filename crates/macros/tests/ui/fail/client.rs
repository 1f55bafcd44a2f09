//! Arguments and marks that only an endpoint of a server may have.
#![allow(unused_variables)]

use sockeye::{Endpoint, Error, Session, client_endpoint};

struct Watch;

#[client_endpoint("/chat")]
impl Watch {
    #[on_message]
    fn path(&mut self, text: &str) {}
}

#[client_endpoint(subprotocols = ["chat"])]
impl Watch {
    #[on_message]
    fn subprotocols(&mut self, text: &str) {}
}

#[client_endpoint(configurator = Gate)]
impl Watch {
    #[on_message]
    fn configurator(&mut self, text: &str) {}
}

#[client_endpoint(topics)]
impl Watch {
    #[on_message]
    fn topics(&mut self, text: &str) {}
}

#[client_endpoint(max = 5)]
impl Watch {
    #[on_message]
    fn max(&mut self, text: &str) {}
}

#[client_endpoint]
impl Watch {
    #[on_open]
    fn parameter(&mut self, session: &Session, #[path] room: &str) {}

    #[on_message]
    fn named(&mut self, text: &str, #[path("room")] number: u32) {}

    #[on_close]
    fn stray(&mut self, room: String) {}

    fn unmarked(&mut self, #[path] room: &str) {}
}

#[client_endpoint]
impl Endpoint for Watch {
    #[on_message]
    fn text(&mut self, text: &str) {}
}

#[client_endpoint]
struct Block;

#[client_endpoint]
impl Watch {
    fn nothing(&mut self) {}
}

#[client_endpoint]
impl Watch {
    #[on_message]
    fn first(&mut self, text: &str) {}

    #[on_message]
    fn second(&mut self, text: String) {}

    #[on_error]
    fn owned(&mut self, error: Error) {}
}

fn main() {}
