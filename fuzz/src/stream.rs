//! Bytes to one end of an open connection, in any pieces, while its application sends, writes, waits and
//! closes as it likes.

use std::time::Duration;

use sockeye_proto::{
    Cause, CloseReason, DeflateConfig, DeflateParams, Expired, Message, MessageKind,
    PreparedMessage, Role,
};

use crate::end::{End, Seen, Setup, WHOLE};

/// What a client may send to a server.
pub fn server_stream(data: &[u8]) {
    stream(Role::Server, data);
}

/// What a server may send to a client.
pub fn client_stream(data: &[u8]) {
    stream(Role::Client, data);
}

/// Runs one end on the bytes of a peer. The first byte of `data` sets the end up, the second is the length of the script
/// that follows. The rest is what the peer sent. The script is repeated until the end has read the rest.
fn stream(role: Role, data: &[u8]) {
    let Some((&[setup, count], rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let (script, bytes) = rest.split_at(usize::from(count % 32).min(rest.len()));
    let setup = set_up(role, setup);
    let script: Vec<Step> = script.iter().map(|byte| Step::of(*byte)).collect();

    if script.iter().all(|step| matches!(step, Step::Read(_))) {
        let lens: Vec<u8> = script.iter().map(Step::len).collect();
        reads_alike_however_it_is_cut(&setup, bytes, &lens);
    } else {
        run(setup, &script, bytes);
    }
}

fn set_up(role: Role, bits: u8) -> Setup {
    let mut setup = Setup::new(role);
    if bits & 1 != 0 {
        let mut params = DeflateParams::default();
        params.server_no_context_takeover = bits & 2 != 0;
        params.client_no_context_takeover = bits & 4 != 0;
        setup.deflate = Some((params, DeflateConfig::default().threshold(1)));
    }
    setup.max_message = if bits & 8 != 0 { 300 } else { 70_000 };
    setup.max_fragments = if bits & 16 != 0 { 3 } else { 131_072 };
    setup.output_mark = if bits & 32 != 0 { 200 } else { 256 * 1024 };
    setup.room = if bits & 64 != 0 { 5 } else { 4096 };
    setup
}

/// Without an application that interferes, what comes of the bytes is decided by the bytes alone.
fn reads_alike_however_it_is_cut(setup: &Setup, bytes: &[u8], lens: &[u8]) {
    let mut whole = End::new(setup.clone());
    whole.reads(bytes, WHOLE);
    let mut cut = End::new(setup.clone());
    cut.reads(bytes, lens.iter().copied());
    for end in [&mut whole, &mut cut] {
        finish(end, false);
        // Each Ping that was seen is answered, in order.
        let sent = end.legal_output();
        let pongs = sent.iter().filter(|frame| frame.first == 0x8a);
        let pings = end.seen.iter().filter_map(|seen| match seen {
            Seen::Ping(payload) => Some(&payload[..]),
            _ => None,
        });
        assert!(pings.eq(pongs.map(|frame| &frame.payload[..])));
    }
    if setup.deflate.is_none() {
        assert_eq!(cut.seen, whole.seen);
        assert_eq!(cut.output, whole.output);
    } else {
        // How far the inflater gets before it finds a second fault depends on how much it is shown.
        let without_rule = |end: &End| -> Vec<Seen> {
            let seen = end.seen.iter().cloned();
            seen.filter(|seen| !matches!(seen, Seen::Failed(_)))
                .collect()
        };
        assert_eq!(without_rule(&cut), without_rule(&whole));
        let failed = |end: &End| end.connection.failure().is_some();
        assert_eq!(failed(&cut), failed(&whole));
    }
}

fn run(setup: Setup, script: &[Step], mut bytes: &[u8]) {
    let mut end = End::new(setup);
    let mut closed = false;
    // A script that reads is repeated while there is something to read.
    for round in 0.. {
        for step in script {
            let can_send = end.connection.can_send();
            match step {
                Step::Read(len) => {
                    let (piece, rest) = bytes.split_at((*len).min(bytes.len()));
                    bytes = rest;
                    end.receives(piece);
                }
                Step::Close(code) => {
                    let reason = CloseReason::new((*code).try_into().unwrap(), "").unwrap();
                    let sent = end.connection.send_close(&reason, end.now);
                    assert_eq!(sent.is_ok(), can_send);
                    assert!(!end.connection.can_send());
                    closed |= sent.is_ok();
                    end.pushed();
                }
                Step::Wait(seconds) => {
                    end.now += Duration::from_secs(*seconds);
                    let due = end.connection.poll_timeout();
                    let waits = !end.connection.output().is_empty();
                    let expired = end.connection.handle_timeout(end.now);
                    end.pushed();
                    assert!(expired.is_none() || due.is_some_and(|due| due <= end.now));
                    match expired {
                        None => {}
                        // As if a frame had broken a rule.
                        Some(Expired::Failed(error)) => end.seen.push(Seen::Failed(error)),
                        Some(_) => return ended(&mut end, waits),
                    }
                }
                Step::End => {
                    let waits = !end.connection.output().is_empty();
                    end.connection.handle_end();
                    return ended(&mut end, waits);
                }
                // An application that heeds what waits.
                step if step.sends() && end.connection.output().len() > MAX_WAITING => {}
                step => step.take(&mut end),
            }
        }
        let reads = script.iter().any(|step| matches!(step, Step::Read(_)));
        if bytes.is_empty() || !reads || round == MAX_ROUNDS {
            break;
        }
    }
    // What is left comes at once, to a peer that reads.
    end.receives(bytes);
    end.take_events_and_write();
    finish(&mut end, closed);
}

/// What holds when all has been read: a rule that was broken, and the peer's Close, each have one Close
/// for an answer, with a fitting code.
fn finish(end: &mut End, closed: bool) {
    end.connection.conclude(end.now);
    end.writes(usize::MAX);
    let sent = end.legal_output();
    let close = sent.last().filter(|frame| frame.first == 0x88);
    let code = close.map(|close| {
        close
            .payload
            .first_chunk()
            .map(|code| u16::from_be_bytes(*code))
    });
    let over = end.seen.last().filter(|seen| seen.is_end());
    assert_eq!(code.is_some(), closed || over.is_some());
    if !closed {
        match over {
            Some(Seen::Failed(error)) => {
                assert_eq!(code, Some(Some(error.close_code().get())));
                assert!(!error.section().is_empty());
            }
            Some(Seen::Close(reason)) if reason.code().is_sendable() => {
                assert_eq!(code, Some(Some(reason.code().get())));
            }
            Some(_) => assert_eq!(code, Some(None)),
            None => {}
        }
    }
    let failure = match over {
        Some(Seen::Failed(error)) => Some(*error),
        _ => None,
    };
    assert_eq!(end.connection.failure(), failure);

    if over.is_some() {
        assert!(end.connection.is_finished());
        let sent = end.output.len();
        end.reads(b"\x81\x04late\x81\x84\0\0\0\0late", WHOLE);
        assert_eq!(end.output.len(), sent, "something behind the Close");
    }
}

fn ended(end: &mut End, cut: bool) {
    end.has_ended();
    if !cut {
        end.legal_output();
    }
}

/// What is done to an end.
#[derive(Clone, Copy, Debug)]
enum Step {
    Read(usize),
    Text(usize, Cause),
    Binary(usize, Cause),
    Prepared(usize),
    Part(MessageKind, bool),
    Ping(usize),
    Pong(usize),
    Close(u16),
    Conclude,
    Write(usize),
    Wait(u64),
    Pause,
    Resume,
    LendOutput,
    End,
}

impl Step {
    fn of(byte: u8) -> Self {
        let Some(other) = byte.checked_sub(READS) else {
            return Self::Read(usize::from(byte));
        };
        let size = other / 16;
        let len = LENS[usize::from(size)];
        let cause = if size % 2 == 0 {
            Cause::Push
        } else {
            Cause::Input
        };
        let kind = if size % 2 == 0 {
            MessageKind::Text
        } else {
            MessageKind::Binary
        };
        match other % 16 {
            0 => Self::Text(len, cause),
            1 => Self::Binary(len, cause),
            2 => Self::Prepared(len),
            3 => Self::Part(kind, size % 3 == 0),
            4 => Self::Ping(len.min(125)),
            5 => Self::Pong(len.min(125)),
            6 => Self::Close(1000 + 1000 * u16::from(size % 2) * 3),
            7 => Self::Conclude,
            8 | 9 => Self::Write(len),
            10 => Self::Write(usize::MAX),
            11 => Self::Wait(4 * u64::from(size)),
            12 => Self::Pause,
            13 => Self::Resume,
            14 => Self::LendOutput,
            _ => Self::End,
        }
    }

    fn sends(self) -> bool {
        matches!(self, Self::Text(..) | Self::Binary(..) | Self::Prepared(_))
    }

    /// How much is read; nothing for other steps.
    fn len(&self) -> u8 {
        match self {
            Self::Read(len) => u8::try_from(*len).unwrap_or(u8::MAX),
            _ => 0,
        }
    }

    fn take(self, end: &mut End) {
        let can_send = end.connection.can_send();
        match self {
            Self::Text(len, cause) => {
                let text = "a".repeat(len);
                // Replies are few and small: the gate is for them.
                if cause == Cause::Push {
                    let sent = end.connection.send_text(&text, cause);
                    assert!(can_send || sent.is_err());
                } else if !end.connection.is_gated() && len <= 1000 {
                    let _ = end.connection.send_text(&text, cause);
                }
            }
            Self::Binary(len, cause) => {
                let message = Message::from(vec![7; len]);
                if cause == Cause::Push || (!end.connection.is_gated() && len <= 1000) {
                    let sent = end.connection.send_message(message, cause);
                    assert!(can_send || sent.is_err());
                }
            }
            Self::Prepared(len) => {
                let prepared = PreparedMessage::new("p".repeat(len));
                let sent = end.connection.send_message(&prepared, Cause::Push);
                assert!(can_send || sent.is_err());
            }
            Self::Part(kind, last) => {
                let sent = end.connection.send_part(kind, b"part", last, Cause::Push);
                assert!(can_send || sent.is_err());
            }
            Self::Ping(len) => {
                assert_eq!(end.connection.send_ping(&vec![b'p'; len]).is_ok(), can_send);
            }
            Self::Pong(len) => {
                assert_eq!(end.connection.send_pong(&vec![b'q'; len]).is_ok(), can_send);
            }
            Self::Conclude => {
                end.connection.conclude(end.now);
                assert!(!end.connection.owes_close());
            }
            Self::Write(count) => end.writes(count),
            Self::Pause => end.connection.pause_reading(end.now),
            Self::Resume => end.connection.resume_reading(end.now),
            Self::LendOutput => {
                if let Some(output) = end.connection.take_output() {
                    end.connection.give_output(output);
                }
            }
            Self::Read(_) | Self::Close(_) | Self::Wait(_) | Self::End => unreachable!("{self:?}"),
        }
        end.pushed();
    }
}

/// Bytes of a script below this read so many bytes.
const READS: u8 = 0x60;
/// Lengths at which something changes.
const LENS: [usize; 10] = [0, 1, 125, 126, 200, 1000, 5000, 65_535, 65_536, 70_000];
/// Scripts that send much and read little have said what they have to say after this.
const MAX_ROUNDS: usize = 16;
const MAX_WAITING: usize = 200_000;
