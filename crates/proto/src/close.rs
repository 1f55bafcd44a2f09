//! Close codes and reasons (RFC 6455 §5.5.1, §7.4). It knows neither frame headers nor the states of the
//! closing handshake.

use std::fmt;

/// Why a connection is closed, as a number (§7.4).
///
/// Two codes never stand in a Close frame: [`NO_STATUS`](Self::NO_STATUS) means a Close without a code, and
/// [`ABNORMAL`](Self::ABNORMAL) is for local reports only. Every other value of this type may stand in a Close frame.
///
/// ```
/// use sockeye_proto::CloseCode;
///
/// assert_eq!(CloseCode::try_from(4001).unwrap().get(), 4001);
/// assert!(CloseCode::try_from(1006).is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: a server goes down, or a browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of data that this endpoint cannot take.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005: a Close without a code. It is never on the wire: a Close with it is empty.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the connection ended without a Close. Never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: data that contradicts the type of its message, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: the peer broke a rule of this endpoint's own.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message too big to process.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: a client misses an extension in the server's handshake.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: a condition in this endpoint keeps it from going on.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service restarts (registered with IANA).
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the service is overloaded, try again later (registered with IANA).
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got a bad answer from the server behind it (registered with IANA).
    pub const BAD_GATEWAY: Self = Self(1014);

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether the code may stand in a Close frame (§7.4.1 keeps 1005 and 1006 off the wire).
    pub const fn is_sendable(self) -> bool {
        // 1000-1003 and 1007-1011 are the RFC's (§7.4.1), 1012-1014 IANA's later additions to the
        // same registry; 3000-4999 are for libraries and applications (§7.4.2).
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// Whether another connection may succeed after one that ended with this code.
    ///
    /// It may after 1001 (going away), 1006 (no Close), 1011 (internal error), 1012 (service restart), 1013 (try again
    /// later) and 1014 (bad gateway). All other codes are final. 1000 and 1005 are a normal end. 1002, 1003 and 1007 to
    /// 1010 come again after the same messages. Only the application knows the meaning of its own codes.
    pub const fn is_transient(self) -> bool {
        matches!(self.0, 1001 | 1006 | 1011..=1014)
    }
}

impl TryFrom<u16> for CloseCode {
    type Error = InvalidCloseReason;

    fn try_from(code: u16) -> Result<Self, InvalidCloseReason> {
        let code = Self(code);
        if code.is_sendable() {
            Ok(code)
        } else {
            Err(InvalidCloseReason::Code(code.0))
        }
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

/// A close code with the text that may explain it: the content of a Close frame.
///
/// ```
/// use sockeye_proto::{CloseCode, CloseReason};
///
/// let reason = CloseReason::new(CloseCode::GOING_AWAY, "restart").unwrap();
/// assert_eq!(reason.to_string(), "1001 restart");
/// assert!(CloseReason::new(CloseCode::NORMAL, &"x".repeat(124)).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CloseReason {
    code: CloseCode,
    reason: Box<str>,
}

impl CloseReason {
    /// The longest reason in bytes of UTF-8: the 125 bytes of a control frame less 2 for the code (§5.5).
    pub const MAX_REASON: usize = 123;

    /// A reason that can be sent. With [`CloseCode::NO_STATUS`] the Close is empty, as that of
    /// [`no_status`](Self::no_status). So each Close that a peer sent can be sent on.
    ///
    /// # Errors
    ///
    /// [`InvalidCloseReason`] when `code` must not stand on the wire, when `reason` is longer than
    /// [`MAX_REASON`](Self::MAX_REASON), or when there is a reason without a code.
    pub fn new(code: CloseCode, reason: &str) -> Result<Self, InvalidCloseReason> {
        if code == CloseCode::NO_STATUS {
            return match reason {
                "" => Ok(Self::no_status()),
                _ => Err(InvalidCloseReason::ReasonWithoutCode),
            };
        }
        if !code.is_sendable() {
            return Err(InvalidCloseReason::Code(code.get()));
        }
        if reason.len() > Self::MAX_REASON {
            return Err(InvalidCloseReason::ReasonTooLong(reason.len()));
        }
        Ok(Self {
            code,
            reason: reason.into(),
        })
    }

    /// The reason of a Close frame without a body, 1005. If it is sent, the Close frame has no body.
    pub fn no_status() -> Self {
        Self::bare(CloseCode::NO_STATUS)
    }

    /// The reason of a connection that ended without a Close frame, 1006, because of `cause`. It cannot be sent.
    pub fn abnormal(cause: &str) -> Self {
        Self::cut(CloseCode::ABNORMAL, cause)
    }

    /// The code.
    pub fn code(&self) -> CloseCode {
        self.code
    }

    /// The text, often empty. It is for logs and debugging, not for end users (§5.5.1).
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// A reason that can be sent, whose text is cut at a character's boundary if it is longer than
    /// [`MAX_REASON`](Self::MAX_REASON): for a text that an error makes.
    ///
    /// # Errors
    ///
    /// [`InvalidCloseReason`] when `code` must not stand on the wire, or when there is a reason without a code.
    ///
    /// ```
    /// use sockeye_proto::{CloseCode, CloseReason};
    ///
    /// let long = CloseReason::truncated(CloseCode::POLICY_VIOLATION, &"x".repeat(500)).unwrap();
    /// assert_eq!(long.reason().len(), 123);
    /// ```
    pub fn truncated(code: CloseCode, reason: &str) -> Result<Self, InvalidCloseReason> {
        let end = char_boundary_at_most(reason, Self::MAX_REASON);
        Self::new(code, reason.get(..end).unwrap_or_default())
    }

    /// A reason whose text is cut at a character's boundary where it is too long.
    pub(crate) fn cut(code: CloseCode, reason: &str) -> Self {
        let end = char_boundary_at_most(reason, Self::MAX_REASON);
        Self {
            code,
            reason: reason.get(..end).unwrap_or_default().into(),
        }
    }

    fn bare(code: CloseCode) -> Self {
        Self {
            code,
            reason: "".into(),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reason.is_empty() {
            write!(f, "{}", self.code)
        } else {
            write!(f, "{} {}", self.code, self.reason)
        }
    }
}

/// A close code or reason that no Close frame may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCloseReason {
    /// The code is reserved (§7.4): sendable are 1000-1003, 1007-1014 and 3000-4999.
    #[error("close code {0} must not be sent (RFC 6455 §7.4)")]
    Code(u16),
    /// There is a reason without a code: an empty Close has no room for it.
    #[error("a Close without a code cannot have a reason (RFC 6455 §5.5.1)")]
    ReasonWithoutCode,
    /// The reason is longer than [`CloseReason::MAX_REASON`]; the field is its length in bytes.
    #[error("close reason of {0} bytes is longer than 123 (RFC 6455 §5.5)")]
    ReasonTooLong(usize),
}

/// The last boundary between characters at or before `max`.
// `str::floor_char_boundary` is younger than the oldest compiler that this crate supports.
fn char_boundary_at_most(text: &str, max: usize) -> usize {
    (0..=max.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_registry_and_of_applications_are_sendable_and_no_others() {
        let sendable: Vec<u16> = (0..=u16::MAX)
            .filter(|&code| CloseCode::try_from(code).is_ok())
            .collect();
        let expected: Vec<u16> = (1000..=1003)
            .chain(1007..=1014)
            .chain(3000..=4999)
            .collect();
        assert_eq!(sendable, expected);
    }

    #[test]
    fn reserved_codes_and_long_reasons_are_refused_where_they_are_made() {
        assert_eq!(
            CloseReason::new(CloseCode::ABNORMAL, ""),
            Err(InvalidCloseReason::Code(1006))
        );
        assert!(CloseReason::new(CloseCode::NORMAL, &"x".repeat(123)).is_ok());
        assert_eq!(
            CloseReason::new(CloseCode::NORMAL, &"x".repeat(124)),
            Err(InvalidCloseReason::ReasonTooLong(124))
        );
    }

    #[test]
    fn a_close_without_a_code_is_empty_and_has_no_room_for_a_reason() {
        let empty = CloseReason::new(CloseCode::NO_STATUS, "").unwrap();
        assert_eq!(empty, CloseReason::no_status());
        for make in [CloseReason::new, CloseReason::truncated] {
            let refused = make(CloseCode::NO_STATUS, "why");
            assert_eq!(refused, Err(InvalidCloseReason::ReasonWithoutCode));
        }
    }

    #[test]
    fn a_reason_that_is_truncated_fits_and_one_that_fits_stays_as_it_is() {
        let truncated = |text: &str| {
            let reason = CloseReason::truncated(CloseCode::NORMAL, text).unwrap();
            reason.reason().to_owned()
        };
        assert_eq!(truncated(&"x".repeat(123)), "x".repeat(123));
        assert_eq!(truncated(&"x".repeat(124)), "x".repeat(123));
        assert_eq!(truncated(&"é".repeat(62)), "é".repeat(61));
        let refused = CloseReason::truncated(CloseCode::ABNORMAL, "");
        assert_eq!(refused, Err(InvalidCloseReason::Code(1006)));
    }

    #[test]
    fn a_reason_that_is_cut_stays_utf8() {
        let reason = CloseReason::cut(CloseCode::INTERNAL_ERROR, &"é".repeat(100));
        assert_eq!(reason.reason(), "é".repeat(61));
    }
}
