//! Limits that are not valid, as the macro finds.
#![allow(unused_variables)]

use sockeye::server_endpoint;

struct Chat;

#[server_endpoint("/empty")]
impl Chat {
    #[on_message()]
    fn empty(&mut self, text: &str) {}
}

#[server_endpoint("/assigned")]
impl Chat {
    #[on_message = 5]
    fn assigned(&mut self, text: &str) {}
}

#[server_endpoint("/bare")]
impl Chat {
    #[on_message(5)]
    fn bare(&mut self, text: &str) {}
}

#[server_endpoint("/other")]
impl Chat {
    #[on_message(limit = 5)]
    fn other(&mut self, text: &str) {}
}

#[server_endpoint("/valueless")]
impl Chat {
    #[on_message(max)]
    fn valueless(&mut self, text: &str) {}
}

#[server_endpoint("/two")]
impl Chat {
    #[on_message(max = 5, max = 6)]
    fn two(&mut self, text: &str) {}
}

fn main() {}
