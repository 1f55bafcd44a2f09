//! permessage-deflate (RFC 7692): what is agreed on in the opening handshake, and the compression of
//! messages. Knows no frames: RSV1 and fragments are the business of [`connection`](crate::connection).

mod codec;
mod negotiation;
mod pool;
mod probe;
mod shared;
mod step;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod tests;
mod window;

pub use self::codec::InvalidDeflate;
pub(crate) use self::codec::{Deflater, Inflater};
pub use self::negotiation::{DeflateConfig, DeflateParams, InvalidAnswer, WindowBits};
pub use self::pool::DeflatePool;
pub(crate) use self::shared::SharedPayload;
