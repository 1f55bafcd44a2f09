//! The word `topics` without the feature `topics-wire`.

use sockeye::server_endpoint;

struct Chat;

#[server_endpoint("/chat", topics)]
impl Chat {
    #[on_message]
    fn text(&mut self, text: &str) {
        let _ = text;
    }
}

fn main() {}
