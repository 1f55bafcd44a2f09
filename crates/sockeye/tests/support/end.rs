//! An endpoint at either end of a connection, and a peer that speaks bytes at the other.

use std::ops::{Deref, DerefMut};

use sockeye::proto::{Config, Role};
use sockeye::{Client, Endpoint, Server, endpoint};

use super::{CLOSE, Raw, listen, masked, raw_server, serve, unmasked};

/// The end at which the endpoint is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum At {
    Server,
    Client,
}

pub(crate) const BOTH: [At; 2] = [At::Server, At::Client];

/// The peer of an endpoint, at the other end.
pub(crate) struct Far {
    raw: Raw,
    at: At,
}

impl Far {
    /// Opens a connection whose endpoint is there, with limits that `configure` sets.
    pub(crate) async fn of<E: Endpoint + Clone + Sync>(
        at: At,
        configure: impl FnOnce(Config) -> Config,
        near: E,
    ) -> Self {
        let raw = match at {
            At::Server => {
                let config = configure(Config::new(Role::Server));
                let made = endpoint("/", move |_| near.clone());
                let addr = serve(Server::builder().config(config).endpoint(made)).await;
                Raw::open(addr, "/").await
            }
            At::Client => {
                let (listener, url) = listen().await;
                let client = Client::builder()
                    .config(configure(Config::new(Role::Client)))
                    .build();
                let connecting = client.connect_endpoint(url, near);
                let (session, raw) = tokio::join!(connecting, raw_server(&listener, "", b""));
                session.expect("a connection");
                raw
            }
        };
        Self { raw, at }
    }

    /// Sends a frame, masked if this peer is a client.
    pub(crate) async fn send(&mut self, opcode: u8, payload: &[u8]) {
        let frame = match self.at {
            At::Server => masked(opcode, payload),
            At::Client => unmasked(opcode, payload),
        };
        self.raw.write(&frame).await;
    }

    pub(crate) async fn send_close(&mut self, code: u16, reason: &str) {
        let code = code.to_be_bytes();
        let body = [&code[..], reason.as_bytes()].concat();
        self.send(CLOSE, &body).await;
    }

    /// A reset.
    pub(crate) fn rst(self) {
        self.raw.rst();
    }
}

impl Deref for Far {
    type Target = Raw;

    fn deref(&self) -> &Raw {
        &self.raw
    }
}

impl DerefMut for Far {
    fn deref_mut(&mut self) -> &mut Raw {
        &mut self.raw
    }
}
