//! Mistakes in the method for gaps.
#![allow(unused_variables)]

use sockeye::topics::Gap;
use sockeye::{Session, server_endpoint};

struct Chat;

#[server_endpoint("/owned")]
impl Chat {
    #[on_gap]
    fn owned(&mut self, gap: Gap) {}
}

#[server_endpoint("/mutable")]
impl Chat {
    #[on_gap]
    fn mutable(&mut self, gap: &mut Gap) {}
}

#[server_endpoint("/other")]
impl Chat {
    #[on_gap]
    fn other(&mut self, gap: &Gap, session: &Session, text: &str) {}
}

#[server_endpoint("/arguments")]
impl Chat {
    #[on_gap(topic = "room")]
    fn arguments(&mut self) {}
}

#[server_endpoint("/twice")]
impl Chat {
    #[on_gap]
    fn first(&mut self) {}

    #[on_gap]
    fn second(&mut self) {}
}

struct Returning;

#[server_endpoint("/returning")]
impl Returning {
    #[on_gap]
    fn returning(&mut self) -> String {
        String::new()
    }
}

#[sockeye::endpoint::on_gap]
fn outside() {}

fn main() {}
