//! Takes messages and control frames from the input, one for each call. A message that lies complete in the input has
//! a fast path. The link assembles any other message. Nothing here reads or writes.

use sockeye_proto::{
    CloseReason, Event, Exchange, Message, MessageBuffer, ProtocolError, WholeMessage,
};
use tokio::time::Instant;

use super::Link;
use crate::connection::assembly::Giving;
use crate::connection::pool::{self, Scratch};
use crate::connection::turn_budget::TurnBudget;

/// What the link took from the input: a message, a part of a message, or a control frame.
#[derive(Debug)]
pub(crate) enum Received<'a> {
    /// A message in the read buffer.
    Message(WholeMessage<'a>),
    /// A message that was assembled from several reads or frames, or inflated.
    Assembled(MessageBuffer),
    /// The next part of a message that is taken [in parts](super::Wanted::in_parts), and whether it is the last part. A text is
    /// cut between characters.
    Part(MessageBuffer, bool),
    /// A Ping, which the machine has answered. It has its payload if Pings are [wanted](super::Wanted).
    Ping(Option<&'a [u8]>),
    Pong(&'a [u8]),
    Close(CloseReason),
}

impl Received<'_> {
    /// Whether more parts of the same message follow.
    pub(crate) fn is_unfinished(&self) -> bool {
        matches!(self, Self::Part(_, false))
    }

    /// Puts a message or a part into a buffer that was used before. False for a control frame.
    #[inline]
    pub(crate) fn put_into(self, message: &mut MessageBuffer) -> bool {
        match self {
            Self::Message(lent) => pool::set_message(message, lent),
            Self::Assembled(buffer) | Self::Part(buffer, _) => {
                pool::recycle_message(message);
                *message = buffer;
            }
            Self::Ping(_) | Self::Pong(_) | Self::Close(_) => return false,
        }
        true
    }

    /// The message or the part as a value of its own. A message in the read buffer is copied, so that it does not keep
    /// that buffer. `None` for a control frame.
    #[inline]
    pub(crate) fn into_message(self) -> Option<Message> {
        match self {
            Self::Message(lent) => Some(lent.into()),
            Self::Assembled(buffer) | Self::Part(buffer, _) => Some(pool::into_message(buffer)),
            Self::Ping(_) | Self::Pong(_) | Self::Close(_) => None,
        }
    }
}

/// Takes whole messages from the input and answers them. Made by [`Link::exchange`].
pub(crate) struct Exchanged<'l> {
    /// Sends the answers.
    pub(crate) exchange: Exchange<'l>,
    unread: &'l mut [u8],
    // Where the unread input begins. It is updated at once, because a handler may panic.
    start: &'l mut usize,
    turn: &'l mut TurnBudget,
    turn_end: u64,
}

impl<'l> Exchanged<'l> {
    /// The next whole message. After `None` the input may hold anything else.
    #[inline(always)]
    pub(crate) fn pull(&mut self) -> Option<WholeMessage<'l>> {
        if self.exchange.frames_received() >= self.turn_end && self.ends_turn() {
            return None;
        }
        let len = self.unread.len();
        let whole = self.exchange.receive(&mut self.unread);
        *self.start += len - self.unread.len();
        whole
    }
}

impl Exchanged<'_> {
    #[cold]
    fn ends_turn(&mut self) -> bool {
        let frames = self.exchange.frames_received();
        let ends = self.turn.ends(frames, Instant::now);
        self.turn_end = self.turn.end();
        ends
    }
}

impl<T> Link<T> {
    /// Gives the next message or control frame of the input to `take`. `None` if the link has to read more.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke.
    #[inline(always)]
    pub(crate) fn pull<R>(
        &mut self,
        take: impl FnOnce(Received<'_>) -> R,
    ) -> Result<Option<R>, ProtocolError> {
        if let Some(message) = self.pull_whole() {
            return Ok(Some(take(Received::Message(message))));
        }
        self.pull_any(take)
    }

    /// Whether only more input can bring an event.
    #[inline]
    pub(crate) fn wants_input(&self) -> bool {
        self.input.is_empty() && self.machine.is_between_messages()
    }

    /// The next message, if it lies complete in the input: the fast path of [`pull`](Self::pull).
    #[inline(always)]
    pub(crate) fn pull_whole(&mut self) -> Option<WholeMessage<'_>> {
        let now = self.now.into_std();
        let (mut unread, start) = self.input.unread();
        let len = unread.len();
        let whole = self.machine.receive_whole(&mut unread, now);
        *start += len - unread.len();
        whole
    }

    /// Begins to take whole messages from the input and to answer them. It goes on while less than `until` bytes of
    /// output wait and the task's turn lasts.
    #[inline(always)]
    pub(crate) fn exchange(&mut self, until: usize) -> Option<Exchanged<'_>> {
        let now = self.now.into_std();
        let (unread, start) = self.input.unread();
        if unread.is_empty() {
            return None;
        }
        Some(Exchanged {
            exchange: self.machine.exchange(unread, until, now)?,
            unread,
            start,
            turn_end: self.turn.end(),
            turn: &mut self.turn,
        })
    }

    /// Gives the next message or control frame to `take`, after [`pull_whole`](Self::pull_whole) has found no message.
    // `None` also means that the turn is over, or that the message waits for a share of the budget.
    pub(crate) fn pull_any<R>(
        &mut self,
        take: impl FnOnce(Received<'_>) -> R,
    ) -> Result<Option<R>, ProtocolError> {
        if let Some(error) = self
            .assembly
            .as_mut()
            .and_then(|assembly| assembly.take_failure())
        {
            self.forget_message();
            return Err(error);
        }
        self.now = Instant::now();
        if let Some(assembly) = &self.assembly
            && assembly.is_given_up()
        {
            self.forget_message();
            return Err(self.machine.give_up_message(self.now.into_std()));
        }
        // The machine inflates the chunks of a compressed message into this.
        let mut room = self.machine.compresses().then(Scratch::take);
        let received = loop {
            let Some(most) = self.most_of_message() else {
                self.is_starved = true;
                return Ok(None);
            };
            let (mut unread, start) = self.input.unread();
            let len = unread.len();
            let room = room.as_deref_mut().unwrap_or_default();
            let room_len = most.min(room.len());
            let room = room.get_mut(..room_len).unwrap_or_default();
            let event = self
                .machine
                .receive_inflating(&mut unread, room, self.now.into_std());
            let taken = len - unread.len();
            *start += taken;
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    self.forget_message();
                    return Err(error);
                }
            };
            match event {
                Some(Event::Text(text)) => {
                    break Received::Message(WholeMessage::Text(text));
                }
                Some(Event::Binary(bytes)) => {
                    break Received::Message(WholeMessage::Binary(bytes));
                }
                Some(Event::MessageStart(kind)) => self.begin_message(kind),
                Some(Event::Chunk(chunk)) => {
                    let work = self.machine.take_work();
                    self.turn.charge(work);
                    if let Some(assembly) = &mut self.assembly {
                        assembly.receive(taken);
                        assembly.append(chunk);
                        if let Giving::Parts { kind, .. } = assembly.giving
                            && let Some((part, is_last)) = self.next_part(kind)?
                        {
                            break Received::Part(part, is_last);
                        }
                    }
                    // Inflating lets other tasks run in the middle of a message.
                    if work > 0 && self.has_had_its_turn() && self.is_turn_over() {
                        return Ok(None);
                    }
                }
                Some(Event::MessageEnd) => {
                    let Some(mut assembly) = self.assembly.take() else {
                        continue;
                    };
                    self.turn.charge(assembly.take_uncounted());
                    if assembly.giving == Giving::Nothing {
                        continue;
                    }
                    // The machine has checked that it is UTF-8.
                    let message = assembly.end().map_err(|_| ProtocolError::InvalidUtf8)?;
                    break match assembly.giving {
                        Giving::Parts { .. } => Received::Part(message, true),
                        _ => Received::Assembled(message),
                    };
                }
                Some(Event::Ping(payload)) => {
                    break Received::Ping(self.wanted.pings.then_some(payload));
                }
                Some(Event::Pong(payload)) => break Received::Pong(payload),
                Some(Event::Close(reason)) => {
                    self.forget_message();
                    break Received::Close(reason);
                }
                Some(_) => {}
                // The machine stopped in front of the payload of another fragment.
                None if most == 0 && self.machine.payload_remaining() > Some(0) => {}
                None => {
                    let work = self.machine.take_work();
                    self.turn.charge(work);
                    let part = match &mut self.assembly {
                        Some(assembly) => {
                            self.turn.charge(assembly.take_uncounted());
                            self.part_so_far()?
                        }
                        None => None,
                    };
                    let Some(part) = part else {
                        return Ok(None);
                    };
                    break Received::Part(part, false);
                }
            }
        };
        Ok(Some(take(received)))
    }
}
