//! Topics: named streams of messages.

mod gap;
mod session;

pub use self::gap::Gap;
pub(crate) use self::session::SessionTopics;
