//! One protocol machine on one transport. The link reads, writes, and runs the timer for the machine. It holds all
//! partial input and output. No future holds any, so a caller may drop its future at any point. The link knows nothing
//! of outboxes, handlers or tasks.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use sockeye_proto::{Connection as Machine, MessageKind};
use tokio::time::Instant;

use self::input::Input;
use super::assembly::Assembly;
use super::budget::AssemblyBudget;
use super::pool;
use super::turn_budget::TurnBudget;
use crate::deadline::InputDeadline;
use crate::sync::Arc;

mod alarm;
mod input;
mod io;
mod linger;
mod part;
mod pull;

pub(crate) use self::pull::Received;

/// What the owner of a link wants besides whole messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Text messages in parts, as they come.
    pub(crate) text_parts: bool,
    /// Binary messages in parts, as they come.
    pub(crate) binary_parts: bool,
    /// The peer's Pings. The machine answers them in any case.
    pub(crate) pings: bool,
}

impl Wanted {
    /// All messages in parts.
    pub(crate) const ALL_PARTS: Self = Self {
        text_parts: true,
        binary_parts: true,
        pings: false,
    };

    /// Returns whether messages of this kind are wanted in parts.
    pub(crate) fn in_parts(self, kind: MessageKind) -> bool {
        match kind {
            MessageKind::Text => self.text_parts,
            MessageKind::Binary => self.binary_parts,
        }
    }
}

// In this order: see `Running`.
#[repr(C)]
pub(crate) struct Link<T> {
    // The unfinished message. Boxed: an idle connection has none, and most messages come whole.
    assembly: Option<Box<Assembly>>,
    // What all unfinished messages of a server or a client may hold.
    budget: Arc<AssemblyBudget>,
    // `None` once the transport is lost. Its descriptor is free then, even if a handler still runs.
    stream: Option<T>,
    machine: Machine,
    input: Input,
    // The time of the last read that brought bytes, or a later time.
    now: Instant,
    // When the task is woken for the machine's deadline. Without a timer, the sweeper of the runtime wakes it.
    alarm: Option<Instant>,
    timer: Option<Box<Timer>>,
    written: u64,
    turn: TurnBudget,
    output_lent: bool,
    // Whether the transport has handed on all that it took (TLS keeps records).
    flushed: bool,
    transport: Transport,
    left_unwritten: bool,
    wanted: Wanted,
    // Whether the message waits for a share of the budget. The link takes no input meanwhile.
    is_starved: bool,
    // Whether the link throws messages away as they come.
    discards: bool,
}

struct Timer {
    deadline: Pin<Box<InputDeadline>>,
    // Of the task that the timer wakes.
    waker: Waker,
}

/// Whether the task's turn goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    GoesOn,
    Over,
}

/// How far the end of the transport has come.
#[derive(Debug, PartialEq, Eq)]
enum Transport {
    Open,
    /// This side has ended its stream. The peer may still write.
    WriteShut,
    /// The link neither reads nor writes it any more.
    Lost,
}

impl<T> Link<T> {
    /// A link on `stream`. The bytes `read_ahead` were read from it before.
    pub(crate) fn new(
        stream: T,
        machine: Machine,
        read_ahead: &[u8],
        budget: Arc<AssemblyBudget>,
    ) -> Self {
        let now = Instant::now();
        let turn = TurnBudget::new(machine.frames_received(), now);
        Self {
            stream: Some(stream),
            machine,
            input: Input {
                end: read_ahead.len(),
                kept: read_ahead.into(),
                ..Input::default()
            },
            assembly: None,
            budget,
            is_starved: false,
            discards: false,
            wanted: Wanted::default(),
            now,
            alarm: None,
            timer: None,
            output_lent: false,
            flushed: true,
            written: 0,
            turn,
            transport: Transport::Open,
            left_unwritten: false,
        }
    }

    #[inline]
    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    #[inline]
    pub(crate) fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// The machine, with buffers for its output.
    #[inline]
    pub(crate) fn sending(&mut self) -> &mut Machine {
        if !self.output_lent {
            self.lend_output();
        }
        &mut self.machine
    }

    fn lend_output(&mut self) {
        self.machine.give_output(pool::take_output());
        self.output_lent = true;
    }

    /// Stops the deadlines on the peer's silence: this side does not read for now.
    pub(crate) fn pause_reading(&mut self) {
        if self.machine.is_reading() {
            self.now = Instant::now();
            self.machine.pause_reading(self.now.into_std());
        }
    }

    /// Starts the deadlines on the peer's silence again, if [`pause_reading`](Self::pause_reading) stopped them.
    pub(crate) fn resume_reading(&mut self) {
        if !self.machine.is_reading() {
            self.now = Instant::now();
            self.machine.resume_reading(self.now.into_std());
        }
    }

    /// The bytes written since the connection was opened.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Whether the task's turn is over, so that other tasks run next. Then another turn begins.
    #[inline]
    pub(crate) fn ends_turn(&mut self) -> bool {
        self.has_had_its_turn() && self.judge_turn() == Turn::Over
    }

    /// Whether the turn may be over. [`judge_turn`](Self::judge_turn) decides.
    #[inline]
    pub(crate) fn has_had_its_turn(&self) -> bool {
        self.turn.is_reached(self.machine.frames_received())
    }

    /// Looks at the clock when half of a turn's work is done. If the turn is over, begins another one.
    #[cold]
    pub(crate) fn judge_turn(&mut self) -> Turn {
        if self.is_turn_over() {
            self.turn
                .begin_behind_others(self.machine.frames_received());
            return Turn::Over;
        }
        Turn::GoesOn
    }

    fn is_turn_over(&mut self) -> bool {
        self.turn.ends(self.machine.frames_received(), Instant::now)
    }

    fn start_turn(&mut self) {
        self.turn.begin(self.machine.frames_received());
    }

    /// The bytes that the unfinished message may still take. `None` if it waits for a share of the budget.
    #[inline]
    fn most_of_message(&mut self) -> Option<usize> {
        if self.assembly.is_some() {
            return self.most_of_begun();
        }
        Some(usize::MAX)
    }

    fn most_of_begun(&mut self) -> Option<usize> {
        let (unread, _) = self.input.unread();
        let is_here = self.machine.message_is_complete_in(unread);
        let missing = self.machine.payload_remaining();
        let assembly = self.assembly.as_mut()?;
        assembly.set_here(is_here);
        // Between two fragments the link does not know whether more will come.
        let wants_more = assembly.is_compressed() || missing > Some(0);
        if wants_more && !assembly.may_grow(&self.budget, missing) {
            return None;
        }
        let room = assembly.room();
        self.machine.limit_chunks(room);
        Some(room)
    }

    /// Whether the message waits for a share of the budget. Then the link does not read.
    #[inline]
    pub(crate) fn is_starved(&self) -> bool {
        self.is_starved
    }

    /// Whether a read straight into the message needs a share of the budget that is not free.
    #[inline]
    pub(crate) fn lacks_memory(&mut self) -> bool {
        if self.assembly.is_some() && !self.is_starved {
            self.is_starved = self.most_of_begun().is_none();
        }
        self.is_starved
    }

    /// Waits for a share of the budget, if the message needs one.
    pub(crate) fn poll_memory(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_starved {
            return Poll::Pending;
        }
        if let Some(assembly) = &mut self.assembly {
            ready!(assembly.poll_share(cx));
        }
        self.is_starved = false;
        Poll::Ready(())
    }

    /// Drops the unfinished message and its memory. The link throws the rest of it away as it comes.
    fn forget_message(&mut self) {
        self.assembly = None;
        self.is_starved = false;
        // The rest needs no room.
        self.machine.limit_chunks(usize::MAX);
    }

    /// Drops the transport: it has ended, failed, or outlived its deadline.
    pub(crate) fn lose(&mut self) {
        self.machine.handle_end();
        self.forget_message();
        self.input = Input::default();
        self.transport = Transport::Lost;
        self.stream = None;
    }

    /// Returns the buffers that an idle connection does not need. Unread input moves to a buffer of its own size. The
    /// task's next turn is a whole one.
    #[inline]
    pub(crate) fn release_buffers(&mut self) {
        self.start_turn();
        self.give_back();
    }

    /// Returns the buffers that an idle connection does not need, within the task's turn.
    #[inline]
    pub(crate) fn give_back(&mut self) {
        self.input.release_buffers();
        self.machine.rest();
        if let Some(output) = self.machine.take_output() {
            pool::recycle_output(output);
            self.output_lent = false;
        }
    }

    /// The bytes of memory that this connection's buffers take.
    pub(crate) fn retained_bytes(&self) -> usize {
        let scratch = self
            .input
            .scratch
            .as_ref()
            .map_or(0, |scratch| scratch.len());
        scratch
            + self.input.kept.len()
            + self
                .assembly
                .as_ref()
                .map_or(0, |assembly| assembly.retained_bytes())
            + self.machine.retained_bytes()
    }
}

impl<T> fmt::Debug for Link<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("machine", &self.machine)
            .field("unread", &(self.input.end - self.input.start))
            .finish_non_exhaustive()
    }
}
