//! Methods and parameters that a callback cannot have.
#![allow(unused_variables)]

use std::sync::Arc;

use sockeye::endpoint::Pong;
use sockeye::{CloseReason, Error, Session, server_endpoint};

struct Path;

#[server_endpoint("/chat/{room}/{seat}")]
impl Path {
    #[on_open]
    fn unknown(&mut self, #[path] rom: &str) {}

    #[on_message]
    fn pattern(&mut self, text: &str, #[path] (room, seat): (String, u32)) {}

    #[on_close]
    fn forms(
        &mut self,
        #[path("stool")] seat: u32,
        #[path = "seat"] assigned: u32,
        #[path(seat)] bare: u32,
    ) {
    }

    #[on_error]
    fn reference(&mut self, #[path] room: &String) {}
}

struct NoVariables;

#[server_endpoint("/chat")]
impl NoVariables {
    #[on_open]
    fn open(&mut self, #[path] room: &str) {}
}

struct Unmarked;

#[server_endpoint("/chat/{room}")]
impl Unmarked {
    #[on_open]
    fn open(&mut self, room: &str) {}

    #[on_message]
    fn message(&mut self, text: &str, room: String) {}
}

struct Stray;

#[server_endpoint("/stray")]
impl Stray {
    #[on_open]
    fn open(&mut self, text: String) {}

    #[on_message]
    fn text(&mut self, text: String, number: i32) {}

    #[on_message]
    fn binary(&mut self, data: &[u8], last: bool) {}

    #[on_message]
    fn pong(&mut self, pong: Pong, last: bool) {}

    #[on_close]
    fn close(&mut self, error: &Error) {}

    #[on_error]
    fn error(&mut self, reason: CloseReason) {}
}

struct Borrowing;

#[server_endpoint("/borrowing")]
impl Borrowing {
    #[on_open]
    fn open(&mut self, session: Session) {}

    #[on_message]
    fn message(&mut self, session: &mut Session, text: &mut str) {}

    #[on_error]
    fn error(&mut self, error: Error) {}
}

struct Message;

#[server_endpoint("/message")]
impl Message {
    #[on_message]
    fn nothing(&mut self, session: &Session) {}

    #[on_message]
    fn anything(&mut self, message: impl AsRef<str>) {}

    #[on_message]
    fn generic<M>(&mut self, message: M) {}
}

struct Receiver;

#[server_endpoint("/receiver")]
impl Receiver {
    #[on_open]
    fn by_value(self) {}

    #[on_message]
    fn without(text: &str) {}

    #[on_close]
    fn smart(self: Arc<Self>) {}
}

struct Signature;

#[server_endpoint("/signature")]
impl Signature {
    #[on_open]
    unsafe fn open(&mut self) {}

    #[on_error]
    fn error(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

fn main() {}
