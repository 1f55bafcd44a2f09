//! Named checks of an engine, each of which can be called alone.
//!
//! A check makes two engines on one backend, or one if the backend has no more. It uses topics of its own.

mod dropped;
mod failure;
mod ground;
mod key;
mod latest;
mod list;
mod listen;
mod loss;
mod node;
mod order;
mod poll;
mod position;
mod presence;
mod recorder;
mod report;
mod storm;
mod unstored;
mod window;

pub use self::failure::Failure;
pub use self::list::{CHECKS, Check};
pub use self::report::{Outcome, Report};

use crate::backend::Backend;

/// Runs all checks, one after another. A call of the engine that never ends lets its check wait for ever: the caller bounds the
/// time of the whole.
pub async fn check_engine(backend: &dyn Backend) -> Report {
    let mut outcomes = Vec::with_capacity(CHECKS.len());
    for check in CHECKS {
        outcomes.push((check.name, check.run(backend).await));
    }
    Report::new(outcomes)
}
