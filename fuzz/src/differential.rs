//! The same bytes to Sockeye and to tungstenite: the same messages, and failed or not alike. Where the
//! two do not agree, [`Disagreement`] has to know why.

use std::io::{self, Read, Write};

use sockeye_proto::{MessageBuffer, ProtocolError, Role};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

use crate::end::{End, Seen, Setup};

/// The first byte sets both ends up, the second says how many bytes come at a time (in hundreds where messages
/// may be long).
pub fn differential(data: &[u8]) {
    let Some((&[bits, step], bytes)) = data.split_first_chunk::<2>() else {
        return;
    };
    let role = if bits & 1 != 0 {
        Role::Client
    } else {
        Role::Server
    };
    let (limit, step) = if bits & 2 != 0 {
        (300, usize::from(step))
    } else {
        (66_000, usize::from(step) * 100)
    };
    let _ = compare(role, limit, step, bytes);
}

/// A difference between the two that is as it should be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Disagreement {
    /// IANA has registered 1014 (Bad Gateway) since. tungstenite takes it for a reserved code.
    BadGateway,
    /// RFC 6455 §5.5: the seven bits of a control frame's length are at most 125. tungstenite takes a longer
    /// form that says as much.
    ControlLengthNotMinimal,
    /// RFC 6455 §5.2: a length stands in its shortest form. tungstenite takes any, and goes on.
    LengthNotMinimal,
    /// RFC 6455 §7.4: a reserved code in a Close breaks the protocol. tungstenite takes the Close for one
    /// with 1002 and answers that, without an error.
    ReservedCloseCode,
}

impl Disagreement {
    fn of(ours: &Outcome, theirs: &Outcome) -> Option<Self> {
        let same_so_far = ours.seen == theirs.seen;
        let replaced = theirs.end
            == (Ending::Closed {
                code: Some(1002),
                reason: VIOLATION.into(),
            });
        let more = theirs.seen.strip_prefix(&ours.seen[..]);
        match &ours.end {
            Ending::Failed(Some(ProtocolError::ControlFrameTooLong)) => {
                let control = match more? {
                    [] => matches!(theirs.end, Ending::Closed { .. }),
                    [next, ..] => matches!(next, Seen::Ping(_) | Seen::Pong(_)),
                };
                control.then_some(Self::ControlLengthNotMinimal)
            }
            Ending::Failed(Some(ProtocolError::LengthNotMinimal)) => {
                more.map(|_| Self::LengthNotMinimal)
            }
            Ending::Failed(Some(ProtocolError::InvalidCloseCode { .. })) => {
                (same_so_far && replaced).then_some(Self::ReservedCloseCode)
            }
            Ending::Closed {
                code: Some(1014), ..
            } => (same_so_far && replaced).then_some(Self::BadGateway),
            _ => None,
        }
    }
}

/// What came of the bytes.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// Messages, Pings and Pongs.
    seen: Vec<Seen>,
    end: Ending,
}

#[derive(Debug)]
enum Ending {
    Open,
    Closed {
        code: Option<u16>,
        reason: String,
    },
    /// With the rule, where we know it.
    Failed(Option<ProtocolError>),
}

/// Failed is failed, whatever for.
impl PartialEq for Ending {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Open, Self::Open) | (Self::Failed(_), Self::Failed(_)) => true,
            (
                Self::Closed { code, reason },
                Self::Closed {
                    code: other_code,
                    reason: other_reason,
                },
            ) => (code, reason) == (other_code, other_reason),
            _ => false,
        }
    }
}

fn compare(role: Role, limit: usize, step: usize, bytes: &[u8]) -> Option<Disagreement> {
    let bytes = with_its_last_frame_complete(bytes, limit);
    let ours = sockeye(role, limit, step, &bytes);
    let theirs = tungstenite(role, limit, step, &bytes);
    if ours == theirs {
        return None;
    }
    let explained = Disagreement::of(&ours, &theirs);
    assert!(
        explained.is_some(),
        "Sockeye: {ours:?}\ntungstenite: {theirs:?}"
    );
    explained
}

/// We refuse a frame at the first byte that breaks a rule, tungstenite when it has all of it (or its
/// header, where that declares more than the limit). So both get all of it, with zeros for what is missing.
fn with_its_last_frame_complete(bytes: &[u8], limit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let mut complete = |len: usize| {
            let to = bytes.len().max(at + len);
            bytes.resize(to, 0);
            bytes[at..at + len].to_vec()
        };
        let second = complete(2)[1];
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let key = if second & 0x80 == 0 { 0 } else { 4 };
        let header = complete(2 + extended + key);
        let len = match extended {
            0 => u64::from(second & 0x7f),
            _ => header[2..2 + extended]
                .iter()
                .fold(0, |len, byte| len << 8 | u64::from(*byte)),
        };
        if len > limit as u64 {
            break;
        }
        let len = header.len() + usize::try_from(len).unwrap();
        complete(len);
        at += len;
    }
    bytes
}

fn sockeye(role: Role, limit: usize, step: usize, bytes: &[u8]) -> Outcome {
    let mut end = End::new(Setup {
        max_message: limit,
        ..Setup::new(role)
    });
    end.reads(bytes, [step]);
    let mut seen = end.seen;
    let ending = match seen.pop_if(|seen| seen.is_end()) {
        None => Ending::Open,
        Some(Seen::Close(reason)) => Ending::Closed {
            code: reason.code().is_sendable().then(|| reason.code().get()),
            reason: reason.reason().to_owned(),
        },
        Some(Seen::Failed(error)) => Ending::Failed(Some(error)),
        Some(seen) => unreachable!("{seen:?}"),
    };
    Outcome { seen, end: ending }
}

fn tungstenite(role: Role, limit: usize, step: usize, bytes: &[u8]) -> Outcome {
    let role = match role {
        Role::Client => tungstenite::protocol::Role::Client,
        Role::Server => tungstenite::protocol::Role::Server,
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(0)
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit));
    let step = if step == 0 { usize::MAX } else { step };
    let mut socket = WebSocket::from_raw_socket(Transport { bytes, step }, role, Some(config));
    let mut seen = Vec::new();
    let end = loop {
        seen.push(match socket.read() {
            Ok(Message::Text(text)) => Seen::Message(MessageBuffer::Text(text.as_str().to_owned())),
            Ok(Message::Binary(bytes)) => Seen::Message(MessageBuffer::Binary(bytes.to_vec())),
            Ok(Message::Ping(payload)) => Seen::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Seen::Pong(payload.to_vec()),
            Ok(Message::Close(None)) => {
                break Ending::Closed {
                    code: None,
                    reason: String::new(),
                };
            }
            Ok(Message::Close(Some(close))) => {
                break Ending::Closed {
                    code: Some(CloseCode::into(close.code)),
                    reason: close.reason.as_str().to_owned(),
                };
            }
            Ok(Message::Frame(frame)) => unreachable!("{frame:?}"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                break Ending::Open;
            }
            Err(_) => break Ending::Failed(None),
        });
    };
    Outcome { seen, end }
}

/// Gives some bytes at a time, then says that there are none yet. What is written vanishes.
struct Transport<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Transport<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = self.bytes.len().min(self.step);
        let (mut piece, _) = self.bytes.split_at(len);
        let read = piece.read(buffer)?;
        self.bytes = &self.bytes[read..];
        Ok(read)
    }
}

impl Write for Transport<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite makes of a reason whose code it does not take.
const VIOLATION: &str = "Protocol violation";

#[cfg(test)]
mod tests {
    use super::*;

    /// A disagreement that is none any more leaves the list.
    #[test]
    fn each_disagreement_is_real() {
        for (bytes, disagreement) in [
            (
                &b"\x89\x7e\x00\x01a"[..],
                Disagreement::ControlLengthNotMinimal,
            ),
            (
                &b"\x82\x7e\x00\x01x\x82\x01y"[..],
                Disagreement::LengthNotMinimal,
            ),
            (
                b"\x82\x01x\x88\x02\x03\xec",
                Disagreement::ReservedCloseCode,
            ),
            (b"\x88\x02\x03\xf6", Disagreement::BadGateway),
        ] {
            assert_eq!(compare(Role::Client, 300, 0, bytes), Some(disagreement));
        }
    }

    #[test]
    fn what_breaks_a_rule_is_refused_by_both() {
        for bytes in [
            &b"\x83\x00"[..],
            b"\x81\x01\xff",
            b"\x80\x00",
            b"\x81\x80\0\0\0\0",
            b"\x89\x7e\0\x7e",
        ] {
            let theirs = tungstenite(
                Role::Client,
                300,
                1,
                &with_its_last_frame_complete(bytes, 300),
            );
            assert_eq!(theirs.end, Ending::Failed(None));
            assert_eq!(compare(Role::Client, 300, 1, bytes), None);
        }
    }
}
