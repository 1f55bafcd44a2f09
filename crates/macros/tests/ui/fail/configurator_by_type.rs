//! Configurators that are not valid, as the compiler finds.

use sockeye::endpoint::Configurator;
use sockeye::server_endpoint;

struct Chat;

#[server_endpoint("/none", configurator = NoGate)]
impl Chat {
    #[on_message]
    fn none(&mut self, text: &str) {
        let _ = text;
    }
}

struct NoGate;

struct Talk;

#[server_endpoint("/type", configurator = Users)]
impl Talk {
    #[on_message]
    fn no_value(&mut self, text: &str) {
        let _ = text;
    }
}

struct Users {
    names: Vec<String>,
}

impl Configurator for Users {}

fn main() {
    let _ = Users { names: Vec::new() }.names;
}
