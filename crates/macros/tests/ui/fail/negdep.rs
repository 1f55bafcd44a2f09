//! The refused deployments of the Jakarta TCK (negdep) that are in no other program here.
//!
//! | what is wrong | program |
//! |---|---|
//! | two methods for onOpen, onClose or onError | `rival.rs` |
//! | onOpen with a String, onClose with an exception, onError with a CloseReason | `parameter.rs` |
//! | onOpen with a Throwable | here |
//! | two for text or binary messages or pongs, whole | `rival.rs`, `rival_by_type.rs`, `codec.rs` |
//! | two of which one takes parts | `part.rs`, here |
//! | a parameter too many: (String, int), (InputStream, boolean), (Pong, boolean) | `parameter.rs`, `part.rs` |
//! | (ByteBuffer, int) | here |
//! | a type without a decoder | `type.rs`, `codec.rs` |
//! | a path parameter of a type of its own, in onOpen | `type.rs` |
//! | in onMessage, onClose and onError, with a decoder for it and without | here |
//! | the path `""` | `argument.rs` |
//! | two endpoints at one path | a test of the crate `sockeye`: it is known when they are deployed |
#![allow(unused_variables)]

use bytes::Bytes;
use sockeye::endpoint::{Decoder, Parsed};
use sockeye::{Error, server_endpoint};

struct Throwable;

#[server_endpoint("/throwable")]
impl Throwable {
    #[on_open]
    fn open(&mut self, error: &Error) {}
}

struct PartsAndObject;

#[server_endpoint("/parts/object")]
impl PartsAndObject {
    #[on_message]
    fn parts(&mut self, part: (String, bool)) {}

    #[on_message]
    fn object(&mut self, number: Parsed<u32>) {}
}

struct BinaryAndParts;

#[server_endpoint("/binary/parts")]
impl BinaryAndParts {
    #[on_message]
    fn binary(&mut self, bytes: Bytes) {}

    #[on_message]
    fn parts(&mut self, part: (Bytes, bool)) {}
}

struct Number;

#[server_endpoint("/number")]
impl Number {
    #[on_message]
    fn binary(&mut self, bytes: &[u8], number: i32) {}
}

struct Own;

struct Decodable;

impl Decoder for Decodable {
    type Message = str;
    type Error = String;

    fn decode(text: &str) -> Result<Self, String> {
        Ok(Self)
    }
}

struct Path;

#[server_endpoint("/path/{own}")]
impl Path {
    #[on_message]
    fn message(&mut self, text: &str, #[path] own: Own) {}

    #[on_close]
    fn close(&mut self, #[path] own: Decodable) {}

    #[on_error]
    fn error(&mut self, #[path] own: Own) {}
}

fn main() {}
