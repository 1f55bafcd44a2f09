//! The method for gaps. Warnings are errors.
#![deny(warnings, unused_qualifications)]

use std::sync::Arc;

use sockeye::endpoint::SharedEndpoint;
use sockeye::topics::Gap;
use sockeye::{Endpoint, HandlerResult, Session, client_endpoint, server_endpoint};

struct Exclusive(Vec<String>);

#[server_endpoint("/{room}")]
impl Exclusive {
    #[on_gap]
    async fn gap(&mut self, #[path] room: &str, gap: &Gap, session: &Session) -> HandlerResult {
        session.async_remote().send_text(room)?.await?;
        self.0.push(gap.topic().to_owned());
        Ok(())
    }
}

struct Shared;

#[server_endpoint("/shared")]
impl Shared {
    #[sockeye::endpoint::on_gap]
    fn gap(&self, gap: &Gap) {
        let _ = gap;
    }
}

struct Client;

#[client_endpoint]
impl Client {
    #[on_gap]
    fn gap(&mut self) {}
}

struct Generic<T>(T);

#[server_endpoint("/generic")]
impl<T: Send + Sync + 'static> Generic<T> {
    #[on_gap]
    fn gap(&self, session: &Session) {
        let _ = (session, &self.0);
    }
}

fn is_endpoint<E: Endpoint>(_: E) {}

fn is_shared<E: SharedEndpoint>(_: E) {}

fn main() {
    is_endpoint(Exclusive(Vec::new()));
    is_endpoint(Arc::new(Shared));
    is_shared(Shared);
    is_endpoint(Client);
    is_shared(Generic(0));
}
