//! Decoders and encoders that do not fit.
#![allow(unused_variables)]

use sockeye::endpoint::{Decoder, Json, Parsed};
use sockeye::server_endpoint;

struct Own;

struct Undecodable;

#[server_endpoint("/undecodable")]
impl Undecodable {
    #[on_message]
    fn parsed(&mut self, message: Parsed<Own>) {}
}

struct Unknown;

#[server_endpoint("/unknown")]
impl Unknown {
    #[on_message]
    async fn json(&mut self, message: Json<Own>) {}
}

struct Unencodable;

#[server_endpoint("/unencodable")]
impl Unencodable {
    #[on_message]
    async fn message(&mut self, text: &str) -> Json<Own> {
        Json(Own)
    }
}

struct Text;

impl Decoder for Text {
    type Message = str;
    type Error = String;

    fn decode(text: &str) -> Result<Self, String> {
        Ok(Self)
    }
}

struct Rivals;

#[server_endpoint("/rivals")]
impl Rivals {
    #[on_message]
    fn decoded(&mut self, message: Text) {}

    #[on_message]
    fn parsed(&mut self, message: Parsed<u32>) {}
}

struct Chars;

impl Decoder for Chars {
    type Message = [char];
    type Error = String;

    fn decode(message: &[char]) -> Result<Self, String> {
        Ok(Self)
    }
}

fn main() {}
