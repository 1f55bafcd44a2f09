//! The grammar of frames. Each frame is parsed into a type whose values are legal, and each such value is written as a
//! frame. Nothing here has a state.
//!
//! ```text
//! frame  = header LF body
//! header = "" / JSON object of at most 4,096 bytes
//! ```

mod client;
mod code;
mod content;
mod envelope;
mod frame;
mod json;
mod members;
mod server;
mod server_reader;

pub(crate) use self::client::is_member;
pub use self::client::{ClientFrame, MAX_MEMBER, Request, Unusable};
pub use self::code::{ErrorCode, Failure, Reference};
pub use self::content::Content;
pub(crate) use self::content::body_of;
pub use self::envelope::{app_frame, envelope};
pub(crate) use self::frame::close_reason;
pub use self::frame::{MAX_HEADER, MAX_MEMBERS_HEADER, SUBPROTOCOLS, Violation};
pub use self::members::{member_info, members};
pub use self::server::{Hello, OkAnswer, ServerFrame};
