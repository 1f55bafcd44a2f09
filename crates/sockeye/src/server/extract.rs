//! What the extractor of `sockeye::axum` needs of a server.

use bytes::Bytes;
use http::{Request, Response, request};
use sockeye_proto::handshake::ServerHandshake;

use super::acceptor::{Acceptor, AcceptorBuilder, DEFAULT};
use super::foreign::{Facts, ForeignRequest, not_upgradable};
use super::options::Options;
use super::rules::not_a_handshake;
use super::upgrading::{self, Upgrading};

impl ForeignRequest {
    /// Copies the head of a request.
    pub(crate) fn of(request: &mut request::Parts) -> Self {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = request.method.clone();
        head.uri = request.uri.clone();
        head.version = request.version;
        head.headers = request.headers.clone();
        Self {
            head,
            facts: Facts::take(&mut request.extensions),
        }
    }
}

impl Acceptor {
    /// Returns the acceptor of `accept` and `upgrade`, which have the default options.
    pub(crate) fn of_process() -> &'static Self {
        &DEFAULT
    }

    /// Returns a builder with the options of this acceptor. What is built shares its compressors.
    pub(crate) fn to_builder(&self) -> AcceptorBuilder {
        AcceptorBuilder(Options::clone(&self.0))
    }

    /// Looks at the form of a request inside another HTTP server, and at whether that server can upgrade it. Returns the
    /// response that refuses the request if it is wrong.
    pub(crate) fn examine(
        &self,
        request: &ForeignRequest,
    ) -> Result<ServerHandshake, Box<Response<Bytes>>> {
        let ForeignRequest { head, facts } = request;
        let examined = match not_a_handshake(head) {
            Some(error) => Err(error),
            None => ServerHandshake::receive(head),
        };
        let rules = self.0.rules();
        let offer = examined.map_err(|error| rules.report(error.into(), facts.info))?;
        match facts.on_upgrade {
            Some(_) => Ok(offer),
            None => Err(not_upgradable(&self.0.counters)),
        }
    }

    /// Answers a request inside another HTTP server.
    pub(crate) fn upgrade_foreign(&self, request: ForeignRequest) -> (Response<Bytes>, Upgrading) {
        upgrading::upgrade(&self.0, &request.head, request.facts)
    }
}
