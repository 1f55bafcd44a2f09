//! The WebSocket protocol (RFC 6455), sans-IO: frames, messages, the closing handshake, deadlines, and
//! the rules of the opening handshake. The crate has no socket, clock, task or randomness. Bytes, time and
//! masking keys are arguments.
//!
//! [`Connection`] is one end of an open connection, and [`handshake`] opens it. Most programs use the crate
//! `sockeye`, which puts both on real transports.

mod close;
mod connection;
mod deflate;
mod error;
mod frame;
pub mod handshake;
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
pub use self::mask::MaskingKey;
pub use self::message::{Message, MessageAssembler, MessageBuffer, MessageKind};
pub use self::utf8::{InvalidUtf8, Text, Utf8Validator, into_string};
