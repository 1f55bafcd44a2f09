//! The configurator of an endpoint, given by any expression. Warnings are errors.
#![deny(warnings, unused_qualifications)]

use std::sync::Arc;

use sockeye::endpoint::{Configurator, EndpointConfig, ServerEndpoint};
use sockeye::{Endpoint, Server, endpoint, server_endpoint};

#[derive(Default)]
struct Gate;

impl Configurator for Gate {}

struct Users(&'static [&'static str]);

impl Configurator for Users {}

impl Users {
    fn of_the_house() -> Self {
        Self(&["ann", "bob"])
    }
}

const NO_USERS: Users = Users(&[]);

mod guard {
    pub(crate) static WATCHES: bool = true;
}

macro_rules! annotated {
    ($name:ident, $($arguments:tt)*) => {
        #[derive(Default)]
        struct $name;

        #[server_endpoint($($arguments)*)]
        impl $name {
            #[on_message]
            fn text(&mut self, text: &str) {
                let _ = text;
            }
        }
    };
}

annotated!(Unit, "/unit", configurator = Gate);
annotated!(Constant, "/constant", subprotocols = ["a"], configurator = NO_USERS);
annotated!(Called, "/called", configurator = Users::of_the_house(), subprotocols = ["a"],);
annotated!(Built, "/built", configurator = Users(&["ann"]));
annotated!(Block, "/block", configurator = {
    assert!(guard::WATCHES);
    Gate
});

/// A configurator that depends on the block's parameters.
struct Generic<C>(C);

#[server_endpoint("/generic", configurator = C::default())]
impl<C: Configurator + Default> Generic<C> {
    #[on_message]
    fn text(&self, text: &str) {
        let _ = (text, &self.0);
    }
}

/// The same implementation as the attribute generates, written by hand.
struct ByHand;

impl Endpoint for ByHand {}

impl ServerEndpoint for ByHand {
    const PATH: &'static str = "/by-hand";

    fn configure(config: EndpointConfig) -> EndpointConfig {
        config.configurator(Gate)
    }
}

fn main() {
    assert_eq!(Users::of_the_house().0.len() + NO_USERS.0.len(), 2);
    let shared = Arc::new(Generic(Gate));
    let container = Server::builder()
        .default_endpoint::<Unit>()
        .endpoint(Constant::endpoint(|_| Constant))
        .endpoint(Called::endpoint(|_| Called).configurator(Gate))
        .default_endpoint::<Built>()
        .default_endpoint::<Block>()
        .endpoint(Generic::<Gate>::endpoint(move |_| Arc::clone(&shared)))
        .endpoint(ByHand::configure(endpoint(ByHand::PATH, |_| ByHand)))
        .container();
    assert!(container.is_ok());
}
