//! What has to come back is checked here, whole or in parts.

use crate::Result;

/// Checks the replies of all connections.
pub(super) trait Replies {
    /// Takes what came on a connection, and says how many replies that completed.
    fn take(&mut self, connection: usize, bytes: &[u8]) -> Result<usize>;
}

/// The header of a server's frame (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) first: u8,
    /// How long it is itself.
    pub(crate) len: usize,
    pub(crate) payload: usize,
}

impl Header {
    /// `None` while it is not whole.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let (len, payload) = match *bytes {
            [_, length @ 0..=125, ..] => (2, length.into()),
            [_, 126, a, b, ..] => (4, u16::from_be_bytes([a, b]).into()),
            [_, 127, a, b, c, d, e, f, g, h, ..] => {
                (10, u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
            [_, 128..=255, ..] => return Err("a reply is masked".to_owned()),
            _ => return Ok(None),
        };
        let payload = usize::try_from(payload).map_err(|error| error.to_string())?;
        let first = bytes[0];
        Ok(Some(Self {
            first,
            len,
            payload,
        }))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::message::frame;

    /// Shows a stream in parts of that length.
    pub(in crate::load) fn take_in_parts(
        replies: &mut impl Replies,
        bytes: &[u8],
        part: usize,
    ) -> Result<usize> {
        let parts = bytes.chunks(part);
        let counts: Result<Vec<usize>> = parts.map(|bytes| replies.take(0, bytes)).collect();
        Ok(counts?.iter().sum())
    }

    #[test]
    fn a_header_is_waited_for_to_its_last_byte() {
        for payload in [0, 125, 126, 65_535, 65_536] {
            let frame = frame(0x82, &vec![7; payload], None);
            let len = frame.len() - payload;
            for end in 0..len {
                assert_eq!(Header::parse(&frame[..end]), Ok(None));
            }
            let whole = Header {
                first: 0x82,
                len,
                payload,
            };
            assert_eq!(Header::parse(&frame), Ok(Some(whole)));
        }
        assert!(Header::parse(&frame(0x82, b"", Some([1; 4]))).is_err());
    }
}
