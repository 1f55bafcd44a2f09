//! One end of a connection with its caller's part of the contract, and what has to hold of it after
//! each call, whatever came in.

use std::sync::LazyLock;
use std::time::Instant;

use bytes::Buf;
use sockeye_proto::{
    CloseReason, Config, Connection, DeflateConfig, DeflateParams, DeflatePool, Event, MaskingKey,
    MessageAssembler, MessageBuffer, Output, ProtocolError, Role,
};

use crate::wire::{Frame, frames};

/// What came of input, without where it was cut.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Message(MessageBuffer),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(CloseReason),
    Failed(ProtocolError),
}

impl Seen {
    pub(crate) fn is_end(&self) -> bool {
        matches!(self, Self::Close(_) | Self::Failed(_))
    }
}

/// How one end is set up.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) role: Role,
    pub(crate) max_message: usize,
    pub(crate) max_fragments: u32,
    pub(crate) output_mark: usize,
    /// What was agreed on, and how this end compresses.
    pub(crate) deflate: Option<(DeflateParams, DeflateConfig)>,
    /// How much room there is for what is inflated at once.
    pub(crate) room: usize,
    /// After which of each eight events the connection rests.
    pub(crate) rests: u8,
}

impl Setup {
    pub(crate) fn new(role: Role) -> Self {
        Self {
            role,
            max_message: 1 << 20,
            max_fragments: 131_072,
            output_mark: 256 * 1024,
            deflate: None,
            room: 4096,
            rests: 0,
        }
    }
}

pub(crate) struct End {
    pub(crate) connection: Connection,
    pub(crate) now: Instant,
    pub(crate) seen: Vec<Seen>,
    /// What was written to the transport.
    pub(crate) output: Vec<u8>,
    setup: Setup,
    unread: Vec<u8>,
    room: Vec<u8>,
    assembler: MessageAssembler,
    // The most output that has waited at once.
    peak: usize,
    // How often something was pushed, each time perhaps a segment of the output.
    pushes: usize,
    // How many events there were, and commands.
    steps: u32,
}

impl End {
    pub(crate) fn new(setup: Setup) -> Self {
        let now = *START;
        let config = Config::new(setup.role)
            .max_message(setup.max_message as u64)
            .max_fragments(setup.max_fragments)
            .output_mark(setup.output_mark);
        let mut connection = match setup.role {
            Role::Client => {
                let mut count = 0_u32;
                let next = move || {
                    count = count.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15);
                    MaskingKey::new(count.to_be_bytes())
                };
                Connection::client(config, Box::new(next), now)
            }
            Role::Server => Connection::server(config, now),
        };
        if let Some((params, config)) = &setup.deflate {
            // A pool for this end alone: an input must not depend on those before it.
            connection = connection.with_deflate(*params, config, DeflatePool::default());
        }
        Self {
            connection,
            now,
            seen: Vec::new(),
            output: Vec::new(),
            room: vec![0; setup.room],
            setup,
            unread: Vec::new(),
            assembler: MessageAssembler::default(),
            peak: 0,
            pushes: 0,
            steps: 0,
        }
    }

    /// Reads all of `bytes` in pieces of these lengths, over and over (longer ones where there would be
    /// thousands of pieces), and writes what this causes.
    pub(crate) fn reads<I>(&mut self, mut bytes: &[u8], steps: I)
    where
        I: IntoIterator<Item: Into<usize>, IntoIter: Clone>,
    {
        let least = bytes.len() / 1000;
        let steps = steps.into_iter().map(Into::into);
        let mut steps = steps.filter(|step| *step > 0).cycle();
        while !bytes.is_empty() {
            let step = steps.next().unwrap_or(bytes.len()).max(least);
            let (piece, rest) = bytes.split_at(step.min(bytes.len()));
            bytes = rest;
            self.unread.extend_from_slice(piece);
            self.take_events_and_write();
        }
    }

    /// Shows `piece` to the connection, behind what it left before.
    pub(crate) fn receives(&mut self, piece: &[u8]) {
        self.unread.extend_from_slice(piece);
        self.take_events();
    }

    pub(crate) fn take_events_and_write(&mut self) {
        loop {
            let unread = self.unread.len();
            self.take_events();
            self.writes(usize::MAX);
            if self.unread.len() == unread {
                return;
            }
        }
    }

    fn take_events(&mut self) {
        let mut at = 0;
        loop {
            let mut input = &mut self.unread[at..];
            let before = input.len();
            let event = self
                .connection
                .receive_inflating(&mut input, &mut self.room, self.now);
            at += before - input.len();
            let given = !matches!(event, Ok(None));
            if given {
                let over = self.seen.last().is_some_and(Seen::is_end);
                assert!(!over, "{event:?} after {:?}", self.seen.last());
            }
            let seen = match event {
                Ok(None) => None,
                Ok(Some(Event::Text(text))) => {
                    Some(Seen::Message(MessageBuffer::Text(text.to_owned())))
                }
                Ok(Some(Event::Binary(bytes))) => {
                    Some(Seen::Message(MessageBuffer::Binary(bytes.to_vec())))
                }
                Ok(Some(Event::MessageStart(kind))) => {
                    assert!(!self.assembler.is_open());
                    self.assembler.start(kind, Vec::new());
                    None
                }
                Ok(Some(Event::Chunk(chunk))) => {
                    assert!(self.assembler.is_open());
                    self.assembler.chunk(chunk);
                    None
                }
                Ok(Some(Event::MessageEnd)) => {
                    // A text that the connection passed is UTF-8.
                    Some(Seen::Message(self.assembler.end().unwrap()))
                }
                Ok(Some(Event::Ping(payload))) => Some(Seen::Ping(payload.to_vec())),
                Ok(Some(Event::Pong(payload))) => Some(Seen::Pong(payload.to_vec())),
                Ok(Some(Event::Close(reason))) => Some(Seen::Close(reason)),
                Ok(Some(event)) => unreachable!("{event:?}"),
                Err(error) => Some(Seen::Failed(error)),
            };
            if let Some(Seen::Message(message)) = &seen {
                assert!(message.len() <= self.setup.max_message);
            }
            self.seen.extend(seen);
            self.rest();
            self.check();
            if !given {
                break;
            }
        }
        self.unread.drain(..at);
        let left = self.unread.len();
        assert!(
            left <= MAX_LEFT || self.connection.is_gated() || self.inflates(),
            "{left} left"
        );
    }

    /// Writes `count` bytes at most.
    pub(crate) fn writes(&mut self, count: usize) {
        let mut left = count;
        // Pongs may wait behind what is written.
        while left > 0 && !self.connection.output().is_empty() {
            let output = self.connection.output();
            let chunk = output.chunk();
            let written = chunk.len().min(left);
            self.output.extend_from_slice(&chunk[..written]);
            self.connection.handle_written(written, self.now);
            left -= written;
        }
        self.check();
    }

    /// To be called after each command.
    pub(crate) fn pushed(&mut self) {
        self.pushes += 1;
        self.rest();
        self.check();
    }

    fn rest(&mut self) {
        if self.setup.rests.rotate_right(self.steps) & 1 != 0 {
            self.connection.rest();
        }
        self.steps += 1;
    }

    /// Returns the frames that the end wrote, after checking them: whole legal frames, masked by clients only, fragments
    /// in sequence, one Close at most and nothing behind it.
    pub(crate) fn legal_output(&self) -> Vec<Frame> {
        let sent = frames(&self.output);
        let mut open = false;
        for (i, frame) in sent.iter().enumerate() {
            assert_eq!(frame.key.is_some(), self.setup.role == Role::Client);
            let rsv1 = if self.setup.deflate.is_some() {
                0x40
            } else {
                0
            };
            match frame.first {
                0x88 => assert_eq!(i, sent.len() - 1, "something behind the Close"),
                0x89 | 0x8a => {}
                first if matches!(first & !0x80 & !rsv1, 0x01 | 0x02) => {
                    assert!(!open, "a message inside a message");
                    open = first & 0x80 == 0;
                }
                0x00 | 0x80 => {
                    assert!(open, "a continuation of nothing");
                    open = frame.first == 0;
                }
                first => panic!("{first:x}"),
            }
            assert!(frame.first & 0x8 == 0 || frame.payload.len() <= 125);
        }
        sent
    }

    /// Whether input may be left because the room was used up: a compressed message is open.
    fn inflates(&self) -> bool {
        self.setup.deflate.is_some() && self.assembler.is_open()
    }

    /// What buffers may take, by the limits.
    fn check(&mut self) {
        let output = self.connection.output();
        let (waiting, caused) = (output.len(), output.caused_by_input());
        // Beyond the mark there may be what one event causes: a reply, a pong, the Close, the pongs that
        // waited for it.
        let most = self.setup.output_mark + MAX_REPLY + (Connection::MAX_PONGS + 2) * MAX_CONTROL;
        assert!(caused <= most, "{caused} of {most} caused by input wait");

        self.peak = self.peak.max(waiting);
        let pongs = Connection::MAX_PONGS * (MAX_CONTROL + 2 * size_of::<Box<[u8]>>());
        let output = 2 * (2 * self.peak + Output::SHARED_FROM) + 256 * (self.pushes + 8);
        let most = pongs + self.deflate_bytes() + output;
        let retained = self.connection.retained_bytes();
        assert!(retained <= most, "{retained} of {most} bytes");
        // An idle end has no output buffers, once they are taken away.
        if let Some(output) = self.connection.take_output() {
            let most = pongs + self.deflate_bytes();
            let retained = self.connection.retained_bytes();
            assert!(retained <= most, "{retained} of {most} bytes");
            self.connection.give_output(output);
        }

        let assembled = self.assembler.retained_bytes();
        let most = 2 * self.setup.max_message + 64;
        assert!(assembled <= most, "{assembled} of {most} bytes");
    }

    /// The transport has ended: nothing is left to do, and nothing kept for it.
    pub(crate) fn has_ended(&mut self) {
        assert!(self.connection.is_finished());
        assert!(self.connection.output().is_empty());
        assert_eq!(self.connection.poll_timeout(), None);
        let (retained, most) = (
            self.connection.retained_bytes(),
            1024 + self.deflater_bytes(),
        );
        assert!(retained <= most, "{retained} of {most} bytes");
    }

    /// What compression may take. Without context takeover nothing is kept between messages, and after the
    /// end nothing at all for inflating.
    fn deflate_bytes(&self) -> usize {
        let Some((params, _)) = &self.setup.deflate else {
            return 0;
        };
        let peers_no_takeover = match self.setup.role {
            Role::Client => params.server_no_context_takeover,
            Role::Server => params.client_no_context_takeover,
        };
        let over = self.seen.last().is_some_and(Seen::is_end);
        // A server may doubt that the client keeps no window: it keeps one for it until that is shown, and inflates what
        // shows it with a second state.
        let states = match (over, self.setup.role, peers_no_takeover) {
            (true, ..) => 0,
            (false, Role::Server, true) => 2,
            (false, _, false) => 1,
            (false, Role::Client, true) => usize::from(self.assembler.is_open()),
        };
        1024 + self.deflater_bytes() + states * INFLATE_STATE
    }

    fn deflater_bytes(&self) -> usize {
        match (&self.setup.deflate, self.setup.role) {
            (Some((params, _)), Role::Client) if !params.client_no_context_takeover => {
                DEFLATE_STATE
            }
            (Some((params, _)), Role::Server) if !params.server_no_context_takeover => {
                DEFLATE_STATE
            }
            _ => 0,
        }
    }
}

/// Steps to read all at once.
pub(crate) const WHOLE: [usize; 0] = [];
/// What the caller has to keep of the input at most: a header, or a control frame, less a byte.
const MAX_LEFT: usize = 131;
/// A masked control frame.
const MAX_CONTROL: usize = 131;
/// The largest message that targets send in reply to input, with what DEFLATE may add.
pub(crate) const MAX_REPLY: usize = 1100;
/// The states, each with a window beside it.
const DEFLATE_STATE: usize = (288 + 32) * 1024;
const INFLATE_STATE: usize = (48 + 32) * 1024;

/// Only differences count.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);
