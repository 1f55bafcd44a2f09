//! Drives one connection for an endpoint or a split connection. It reads, hands on what came, and coalesces what is
//! sent. It goes on with all of it while a handler is suspended. It knows nothing of endpoints: it gives one [`Next`]
//! after another, and runs a handler's future beside its own work. A handler that has no future is called where a message
//! lies, by way of [`AnswerAtOnce`]: so reading, answering and writing are one poll.
//!
//! ```text
//!          ┌──────────────────────── input came ───────────────────────┐
//!          ▼                                                           │
//!   events of the read ──▶ outbox to output, one write ──▶ read ───────┘
//!          │                                                 │ nothing to read
//!          ▼                                                 ▼
//!        Next                              park: no buffers, one waker in the outbox
//! ```
//!
//! While a handler is suspended the same loop runs until it has one `Next` ahead. Then reading stops, and that is the
//! backpressure. A Close or a broken rule found ahead waits there too. It takes effect when it is handed on, or when the
//! machine's deadline for the Close that it owes passes.

mod answer;
mod beside;
mod core;
mod ending;
mod event;
mod flush;
mod phase;
pub(crate) mod rest;
mod running;
mod turn;

pub(crate) use self::answer::{Answer, AnswerAtOnce, Answered};
pub(crate) use self::event::{Ending, Next};
pub(crate) use self::running::Driver;
