//! A frame: a header, a line feed, and a body. The header is empty, or one JSON object.

use sockeye_proto::{CloseCode, CloseReason};
use thiserror::Error;

use super::content::Content;

/// The subprotocols of this version, the preferred one first. A client offers all of them.
pub const SUBPROTOCOLS: [&str; 1] = ["sockeye.topics.v0"];

/// The length of the longest header, in bytes without the line feed. The answer to `who` alone may be longer, up to
/// [`MAX_MEMBERS_HEADER`].
pub const MAX_HEADER: usize = 4096;

/// The length of the longest answer to `who`, in bytes without the line feed.
pub const MAX_MEMBERS_HEADER: usize = 256 * 1024;

/// A frame, cut at its first line feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// The header without the line feed: empty, or text that begins like a JSON object.
    pub(crate) header: &'a str,
    /// The body.
    pub(crate) body: Content<'a>,
}

/// A broken rule of the grammar. The receiver of the frame closes the connection: nothing tells what the sender meant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Violation {
    /// The frame has no line feed.
    #[error("the frame has no line feed behind its header")]
    NoLineFeed,
    /// The header is too long.
    #[error("the header is longer than {limit} bytes")]
    HeaderTooLong {
        /// The length of the longest header in bytes.
        limit: usize,
    },
    /// The header of a binary frame is not UTF-8.
    #[error("the header is not UTF-8")]
    NotUtf8,
    /// The header is not empty, and no JSON object.
    #[error("the header is not a JSON object")]
    NotAnObject,
    /// The header begins like a JSON object, and is not valid, or names a field twice.
    #[error("the header is not valid JSON: {0}")]
    Json(String),
    /// A request has no reference, so it cannot be answered.
    #[error("the header has `{verb}`, and its `ref` is not a number from 1 to 2147483648")]
    Reference {
        /// The verb of the request.
        verb: &'static str,
    },
    /// A request has the reference of a request that is not answered yet.
    #[error("the header has `ref` {0}, and a request with it is not answered yet")]
    ReferenceInUse(u32),
    /// A field of a server's header is missing, or has a value of another kind.
    #[error("the header has `{verb}`, and its `{field}` is not valid")]
    Field {
        /// The verb of the header.
        verb: &'static str,
        /// The field.
        field: &'static str,
    },
}

impl<'a> Frame<'a> {
    /// Cuts a frame at its first line feed. The header has at most `limit` bytes.
    pub(crate) fn split(frame: Content<'a>, limit: usize) -> Result<Self, Violation> {
        let bytes = frame.as_bytes();
        let searched = bytes.get(..=limit).unwrap_or(bytes);
        let Some(end) = searched.iter().position(|byte| *byte == b'\n') else {
            return Err(if searched.len() > limit {
                Violation::HeaderTooLong { limit }
            } else {
                Violation::NoLineFeed
            });
        };
        let (header, body) = match frame {
            Content::Text(text) => {
                let (header, body) = text.split_at_checked(end).unwrap_or_default();
                (header, Content::Text(body.get(1..).unwrap_or_default()))
            }
            Content::Binary(bytes) => {
                let (header, body) = bytes.split_at_checked(end).unwrap_or_default();
                let header = std::str::from_utf8(header).map_err(|_| Violation::NotUtf8)?;
                (header, Content::Binary(body.get(1..).unwrap_or_default()))
            }
        };
        // Without this check, an array would be taken for the fields in their order.
        if !header.is_empty() && !header.trim_start().starts_with('{') {
            return Err(Violation::NotAnObject);
        }
        Ok(Self { header, body })
    }
}

/// Makes a close reason of a text, which is cut if it is too long for a Close frame.
pub(crate) fn close_reason(code: CloseCode, text: &str) -> CloseReason {
    let lengths = (0..=text.len().min(CloseReason::MAX_REASON)).rev();
    let mut texts = lengths.filter_map(|len| text.get(..len));
    let reason = CloseReason::new(code, texts.next().unwrap_or_default());
    reason.unwrap_or_else(|_| CloseReason::no_status())
}
