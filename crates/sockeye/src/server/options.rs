//! The options of an acceptor: it answers a request by them, and makes the connection of what was agreed on. Knows no
//! stream that speaks HTTP.

use std::fmt;
use std::time::Duration;

use http::Response;
use sockeye_proto::handshake::OriginPolicy;
use sockeye_proto::{Config, DeflateConfig, DeflatePool, Role};

use super::rules::{Agreement, Answer, Asked, Known, Refused, Rules, not_a_handshake};
use super::shared::HeadLimits;
use crate::connection::budget::AssemblyBudget;
use crate::connection::{Connection, server_machine};
use crate::endpoint::{HandshakeResponse, Refusal};
use crate::handshake::Handshake;
use crate::stats::Counters;
use crate::sync::Arc;
use crate::transport::Stream;

/// A function that sees a request and may change its answer, or refuse.
pub(super) type Hook =
    dyn Fn(&Handshake, &mut HandshakeResponse) -> Result<(), Refusal> + Send + Sync;

/// The options of an acceptor.
#[derive(Clone)]
pub(crate) struct Options {
    pub(super) subprotocols: Vec<String>,
    pub(super) origins: OriginPolicy,
    pub(super) any_host: bool,
    pub(super) config: Arc<Config>,
    pub(super) compression: Option<DeflateConfig>,
    pub(super) deflate_pool: DeflatePool,
    pub(super) budget: Arc<AssemblyBudget>,
    pub(super) handshake_timeout: Duration,
    pub(super) head_limits: HeadLimits,
    pub(super) hook: Option<Arc<Hook>>,
    /// They also hold the limits of log lines.
    pub(super) counters: Arc<Counters>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            subprotocols: Vec::new(),
            origins: OriginPolicy::default(),
            any_host: false,
            config: Arc::new(Config::new(Role::Server)),
            compression: None,
            deflate_pool: DeflatePool::default(),
            budget: AssemblyBudget::of_others(),
            handshake_timeout: Duration::from_secs(10),
            head_limits: HeadLimits::default(),
            hook: None,
            counters: Arc::default(),
        }
    }
}

impl Options {
    /// Answers a request.
    pub(super) fn answer(&self, asked: Asked<'_>, known: Known) -> Answer {
        let info = asked.info;
        let rules = self.rules();
        let agreed = self.agree(&rules, asked, known);
        agreed.map_err(|refused| rules.report(refused, info))
    }

    pub(super) fn rules(&self) -> Rules<'_> {
        Rules {
            origins: &self.origins,
            any_host: self.any_host,
            subprotocols: &self.subprotocols,
            compression: self.compression.as_ref().zip(Some(&self.deflate_pool)),
            counters: &self.counters,
        }
    }

    fn agree(
        &self,
        rules: &Rules<'_>,
        asked: Asked<'_>,
        known: Known,
    ) -> Result<(Response<()>, Box<Agreement>), Refused> {
        if let Some(error) = not_a_handshake(asked.request) {
            return Err(error.into());
        }
        let request = asked.request;
        let (mut response, mut agreement) = rules.agree(asked, None)?;
        match &self.hook {
            Some(hook) => {
                let mut changed = known.changeable(&response);
                let decided = hook(&agreement.handshake, &mut changed);
                decided.map_err(|refusal| rules.refused_by_hook(refusal))?;
                rules.configure(request, &mut response, &mut agreement, changed)?;
            }
            None => agreement.know(known),
        }
        Ok((response, Box::new(agreement)))
    }

    /// Makes the connection on a stream that has left HTTP. `read_ahead` is the input behind the handshake.
    pub(super) fn open(
        &self,
        stream: Stream,
        read_ahead: &[u8],
        agreement: Agreement,
    ) -> Connection {
        let Agreement {
            handshake,
            compression,
        } = agreement;
        let machine = server_machine(Arc::clone(&self.config), compression);
        let subprotocol = handshake.subprotocol().map(str::to_owned);
        let budget = Arc::clone(&self.budget);
        Connection::new(stream, machine, read_ahead, subprotocol, budget).with_request(handshake)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("subprotocols", &self.subprotocols)
            .field("origins", &self.origins)
            .field("config", &self.config)
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}
