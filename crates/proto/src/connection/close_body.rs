//! The body of a Close frame (RFC 6455 §5.5.1): nothing, or a code and the text that may explain it. This module knows
//! no frame headers and no states.

use crate::close::{CloseCode, CloseReason};
use crate::error::ProtocolError;

/// Parses the unmasked body of a Close frame.
pub(super) fn parse(body: &[u8]) -> Result<CloseReason, ProtocolError> {
    let Some((code, reason)) = body.split_first_chunk::<2>() else {
        // §5.5.1: a body that is not empty starts with the two bytes of the code.
        return if body.is_empty() {
            Ok(CloseReason::no_status())
        } else {
            Err(ProtocolError::CloseBodyTooShort)
        };
    };
    let code = u16::from_be_bytes(*code);
    let code = CloseCode::try_from(code).map_err(|_| ProtocolError::InvalidCloseCode { code })?;
    // §8.1: a reason that is not UTF-8 fails the connection.
    let reason =
        std::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8InCloseReason)?;
    // §5.5: a control frame has at most 125 bytes, so nothing is cut off here.
    Ok(CloseReason::cut(code, reason))
}

/// Writes the body of a Close frame. It is empty for [`CloseReason::no_status`].
pub(super) fn write(reason: &CloseReason) -> Vec<u8> {
    if !reason.code().is_sendable() {
        return Vec::new();
    }
    let code = reason.code().get().to_be_bytes();
    [&code[..], reason.reason().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_parsed_as_section_5_5_1_says() {
        assert_eq!(parse(b""), Ok(CloseReason::no_status()));
        assert_eq!(parse(b"\x03"), Err(ProtocolError::CloseBodyTooShort));
        assert_eq!(
            parse(b"\x03\xe8bye"),
            Ok(CloseReason::new(CloseCode::NORMAL, "bye").unwrap())
        );
        assert_eq!(
            parse(b"\x03\xee"),
            Err(ProtocolError::InvalidCloseCode { code: 1006 })
        );
        assert_eq!(
            parse(b"\x03\xe8\xc3\x28"),
            Err(ProtocolError::InvalidUtf8InCloseReason)
        );
    }

    #[test]
    fn the_longest_reason_of_a_control_frame_is_not_cut() {
        let reason = "x".repeat(CloseReason::MAX_REASON);
        let body = [b"\x03\xe8", reason.as_bytes()].concat();
        assert_eq!(parse(&body).unwrap().reason(), reason);
    }

    #[test]
    fn no_status_is_written_as_an_empty_body() {
        assert_eq!(write(&CloseReason::no_status()), b"");
        let reason = CloseReason::new(CloseCode::NORMAL, "bye").unwrap();
        assert_eq!(write(&reason), b"\x03\xe8bye");
    }
}
