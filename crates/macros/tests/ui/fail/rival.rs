//! Two methods for one event or kind of message, as the macro finds.
#![allow(unused_variables)]

use bytes::Bytes;
use sockeye::endpoint::{BinaryReader, Pong};
use sockeye::proto::Text;
use sockeye::{CloseReason, Error, Session, server_endpoint};

struct Open;

#[server_endpoint("/open")]
impl Open {
    #[on_open]
    fn one(&mut self) {}

    #[on_open]
    async fn other(&mut self, session: &Session) {}
}

struct Close;

#[server_endpoint("/close")]
impl Close {
    #[on_close]
    fn one(&mut self, reason: CloseReason) {}

    #[on_close]
    fn other(&mut self) {}
}

struct Failure;

#[server_endpoint("/error")]
impl Failure {
    #[on_error]
    fn one(&mut self, error: &Error) {}

    #[on_error]
    fn other(&mut self) {}
}

struct TwoTexts;

#[server_endpoint("/text")]
impl TwoTexts {
    #[on_message]
    fn one(&mut self, text: &str) {}

    #[on_message]
    fn other(&mut self, text: String) {}
}

struct ThreeTexts;

#[server_endpoint("/text")]
impl ThreeTexts {
    #[on_message]
    fn first(&mut self, text: Text) {}

    #[on_message]
    fn second(&mut self, text: std::string::String, session: &Session) {}

    #[on_message]
    fn third<'m>(&mut self, text: &'m str) {}
}

struct TwoBinaries;

#[server_endpoint("/binary")]
impl TwoBinaries {
    #[on_message]
    fn one(&mut self, data: &[u8]) {}

    #[on_message]
    fn text(&mut self, text: &str) {}

    #[on_message]
    fn other(&mut self, data: Bytes) {}
}

struct TwoVectors;

#[server_endpoint("/vector")]
impl TwoVectors {
    #[on_message]
    fn one(&mut self, data: Vec<u8>) {}

    #[on_message]
    fn other(&mut self, data: std::vec::Vec<u8>) {}
}

struct TwoPongs;

#[server_endpoint("/pong")]
impl TwoPongs {
    #[on_message]
    fn one(&mut self, pong: Pong) {}

    #[on_message]
    fn other(&mut self, pong: Pong, session: &Session) {}
}

struct Readers;

#[server_endpoint("/reader")]
impl Readers {
    #[on_message]
    fn whole(&mut self, text: &str) {}

    #[on_message]
    async fn read(&mut self, body: sockeye::endpoint::TextReader) {}

    #[on_message]
    async fn read_bytes(&mut self, body: BinaryReader) {}

    #[on_message]
    fn bytes(&mut self, bytes: &[u8]) {}
}

fn main() {}
