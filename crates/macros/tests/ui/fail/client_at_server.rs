//! A client's endpoint where a server needs a path.

use sockeye::{Server, client_endpoint};

#[derive(Default)]
struct Watch;

#[client_endpoint]
impl Watch {
    #[on_message]
    fn text(&mut self, text: &str) {
        let _ = text;
    }
}

fn main() {
    let _ = Server::builder().default_endpoint::<Watch>();
}
