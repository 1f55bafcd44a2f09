//! A client: its subscriptions with their positions, its publishes, and what it does when a connection is lost.
//!
//! The machine has no socket, task or clock. Its owner tells it of connections and frames, sends the frames that it
//! gives, and takes its events. It fits beside any rule for reconnects: [`ClientMachine::closed`] has one, and an owner
//! with a rule of its own calls [`ClientMachine::disconnected`] and [`ClientMachine::end`].
//!
//! ```text
//!             connected                      wants_close
//!   Offline ─────────────▶ Online ─────────────────────────▶ Broken
//!      ▲                     │ disconnected                     │
//!      └─────────────────────┴──────────────────────────────────┤ end
//!                                                               ▼
//!                                                             Over
//! ```

mod backoff;
mod event;
mod machine;
mod receive;
mod request;
mod send;
mod subscription;

pub use self::backoff::Backoff;
pub use self::event::{
    ClientEvent, NotAccepted, PublishFailure, RefusedRequest, RequestNumber, UnsupportedProtocol,
};
pub use self::machine::ClientMachine;
