//! The WebSocket protocol (RFC 6455), sans-IO: frames, messages, the closing handshake, deadlines, and
//! the rules of the opening handshake. The crate has no socket, clock, task or randomness. Bytes, time and
//! masking keys are arguments.
//!
//! [`Connection`] is one end of an open connection, and [`handshake`] opens it. Most programs use the crate
//! `sockeye`, which puts both on real transports.
//!
//! # Contract
//!
//! - `receive` and `handle_*` take what network and clock bring. `send_*` are commands. `output` and `poll_timeout` say
//!   what to write and when to call again. Time is an argument. Masking keys come from a source given at construction.
//! - One call takes one event. The caller holds back the peer by not calling. The caller keeps what a call leaves: 131 B
//!   at most.
//! - A message is a start, chunks and an end. A whole message in one frame is one event, and has a fast path that answers
//!   it (`connection/exchange.rs`). Payloads are borrowed from the input, or from room that the caller gives for
//!   inflating.
//! - `fail_connection` is the only way in which a broken rule ends a connection: one Close, one code, nothing delivered
//!   later.
//! - A Close that answers or fails waits until the caller pulls again (or calls `conclude`), so that earlier replies go
//!   first.
//! - Output that input causes gates input above `Config::output_mark`. Pushed output never stops reading.
//! - Lengths are `u64` until they are compared with a limit. Memory follows the bytes that came, not the announced
//!   length.

mod close;
mod connection;
mod deflate;
mod error;
mod frame;
pub mod handshake;
#[cfg(feature = "json")]
mod json;
mod mask;
mod message;
mod utf8;

pub use self::close::{CloseCode, CloseReason, InvalidCloseReason};
pub use self::connection::config::{Config, KeepAlive};
pub use self::connection::output::{Cause, Output};
pub use self::connection::{
    Connection, Event, Exchange, Expired, MaskingKeys, Outgoing, PreparedMessage, WholeMessage,
};
pub use self::deflate::{
    DeflateConfig, DeflateParams, DeflatePool, InvalidAnswer, InvalidDeflate, WindowBits,
};
pub use self::error::{ProtocolError, SendError};
pub use self::frame::{FrameHeader, OpCode, ReservedBits, Role};
#[cfg(feature = "json")]
pub use self::json::JsonError;
pub use self::mask::MaskingKey;
pub use self::message::{Message, MessageAssembler, MessageBuffer, MessageKind};
pub use self::utf8::{InvalidUtf8, Text, Utf8Validator, into_string};
