//! The subprotocol `sockeye.topics.v0`, sans-IO: its grammar, and the state machines of both ends.
//!
//! ```text
//! {"sub":"room/42","ref":1,"recent":50}⏎                      ─▶
//!                              ◀─ {"ok":1,"topic":"room/42","at":"…","recovered":null,"missed":1}⏎
//!                              ◀─ {"m":"room/42","at":"…"}⏎ hello
//! ```
//!
//! A frame is a header, a line feed, and a body. The header is one JSON object. The body is a message as it is, so
//! nothing is escaped twice, and binary messages work. An empty header makes the body a message of the application.
//!
//! - [`ClientFrame`] and [`ServerFrame`]: the frames of each end. [`envelope`]: the frame of a message, made once for
//!   all subscribers.
//! - [`ServerMachine`]: one session of a server. It keeps the budgets of the connection and answers each request once.
//! - [`ClientMachine`]: one client. It keeps positions, resumes after each reconnect, and repeats publishes with keys.

mod client;
mod grammar;
mod server;

pub use self::client::{
    Backoff, ClientEvent, ClientMachine, NotAccepted, PublishFailure, RefusedRequest,
    RequestNumber, UnsupportedProtocol,
};
pub use self::grammar::{
    ClientFrame, Content, ErrorCode, Failure, Hello, MAX_HEADER, MAX_MEMBER, MAX_MEMBERS_HEADER,
    OkAnswer, Reference, Request, SUBPROTOCOLS, ServerFrame, Unusable, Violation, app_frame,
    envelope, member_info, members,
};
pub use self::server::{Publish, Reply, ServerLimits, ServerMachine, Step, subscribed};
