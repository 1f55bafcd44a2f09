//! Topics in the terminal: `sockeye connect --topics` receives, and `sockeye publish` sends.

mod attempt;
mod listen;
mod notice;
mod options;
mod publish;

pub(super) use self::listen::listen;
pub(crate) use self::options::PublishOptions;
pub(super) use self::publish::publish;
