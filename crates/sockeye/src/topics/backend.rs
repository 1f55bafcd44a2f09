//! The engine behind the topics.

use sockeye_pubsub::MemoryEngine;
use sockeye_pubsub::engine::{Engine, EngineState};

use crate::sync::Arc;

/// The engine. The memory engine answers at once, so it is called without a boxed future.
#[expect(clippy::large_enum_variant, reason = "a node has one")]
pub(super) enum Backend {
    Memory(MemoryEngine),
    Networked(Arc<dyn Engine>),
}

impl Backend {
    /// Returns the engine with boxed futures, for what is rare.
    pub(super) fn engine(&self) -> &dyn Engine {
        match self {
            Self::Memory(engine) => engine,
            Self::Networked(engine) => &**engine,
        }
    }

    pub(super) fn state(&self) -> EngineState {
        match self {
            Self::Memory(engine) => engine.state(),
            Self::Networked(engine) => engine.state(),
        }
    }
}
