//! Makes the protocol machine of a new connection: its role, its compression and its masking keys. Takes the time of
//! its opening from the clock.

use sockeye_proto::{
    Config, Connection as Machine, DeflateConfig, DeflateParams, DeflatePool, MaskingKey,
    MaskingKeys,
};
use tokio::time::Instant;

use crate::sync::Arc;

/// The compression that the handshake agreed on: its parameters, its settings, and the pool of its states.
#[derive(Clone, Debug)]
pub(crate) struct Compression {
    pub(crate) params: DeflateParams,
    pub(crate) config: DeflateConfig,
    pub(crate) pool: DeflatePool,
}

/// A client's machine. Its connection is opened now.
pub(crate) fn client_machine(
    config: impl Into<Arc<Config>>,
    compression: Option<Compression>,
) -> Machine {
    let machine = Machine::client(config, masking_keys(), Instant::now().into_std());
    with_compression(machine, compression)
}

/// A server's machine. Its connection is opened now.
pub(crate) fn server_machine(
    config: impl Into<Arc<Config>>,
    compression: Option<Compression>,
) -> Machine {
    let machine = Machine::server(config, Instant::now().into_std());
    with_compression(machine, compression)
}

fn with_compression(machine: Machine, compression: Option<Compression>) -> Machine {
    match compression {
        Some(Compression {
            params,
            config,
            pool,
        }) => machine.with_deflate(params, &config, pool),
        None => machine,
    }
}

/// Unpredictable masking keys (§10.3). The thread's generator is ChaCha, seeded by the system.
pub(super) fn masking_keys() -> MaskingKeys {
    Box::new(|| MaskingKey::new(rand::random()))
}
