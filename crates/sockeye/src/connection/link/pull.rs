//! Takes messages and control frames from the input, one for each call. A message that lies complete in the input has
//! a fast path. The link assembles any other message. Nothing here reads or writes.

use sockeye_proto::{CloseReason, Event, Exchange, MessageBuffer, ProtocolError, WholeMessage};
use tokio::time::Instant;

use super::Link;
use crate::connection::assembly::Giving;
use crate::connection::pool::{self, Scratch};
use crate::connection::turn_budget::TurnBudget;

/// A message or control frame that the layers above act on.
#[derive(Debug)]
pub(crate) enum Received<M> {
    Message(M),
    /// The next part of a message that is taken [in parts](super::InParts), and whether it is the last part. A text is
    /// cut between characters.
    Part(M, bool),
    /// The machine has answered it.
    Ping,
    Pong(Vec<u8>),
    Close(CloseReason),
}

/// A whole message that the caller of a pull takes, into a buffer of the caller or as a buffer of its own.
#[derive(Debug)]
pub(crate) enum Whole<'a> {
    /// Lent from the scratch.
    Lent(WholeMessage<'a>),
    /// Assembled from several reads or frames, or inflated.
    Assembled(MessageBuffer),
}

impl Whole<'_> {
    /// Puts the message into a buffer that was used before.
    pub(crate) fn put_into(self, message: &mut MessageBuffer) {
        match self {
            Self::Lent(lent) => pool::set_message(message, lent),
            Self::Assembled(assembled) => {
                pool::recycle_message(message);
                *message = assembled;
            }
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
    /// The next message or control frame of the input. `None` if the link has to read more. `take` gets a message.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke.
    #[inline(always)]
    pub(crate) fn pull<M>(
        &mut self,
        take: impl FnOnce(Whole<'_>) -> M,
    ) -> Result<Option<Received<M>>, ProtocolError> {
        if self.wants_input() {
            return Ok(None);
        }
        self.pull_what_came(take)
    }

    /// Whether only more input can bring an event.
    #[inline]
    pub(crate) fn wants_input(&self) -> bool {
        self.input.is_empty() && self.machine.is_between_messages()
    }

    #[inline]
    fn pull_what_came<M>(
        &mut self,
        take: impl FnOnce(Whole<'_>) -> M,
    ) -> Result<Option<Received<M>>, ProtocolError> {
        if !self.input.is_empty()
            && let Some(message) = self.pull_whole()
        {
            return Ok(Some(Received::Message(take(Whole::Lent(message)))));
        }
        self.pull_any(take)
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

    // `None` also means that the turn is over, or that the message waits for a share of the budget.
    fn pull_any<M>(
        &mut self,
        take: impl FnOnce(Whole<'_>) -> M,
    ) -> Result<Option<Received<M>>, ProtocolError> {
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
        loop {
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
                    let message = Whole::Lent(WholeMessage::Text(text));
                    return Ok(Some(Received::Message(take(message))));
                }
                Some(Event::Binary(bytes)) => {
                    let message = Whole::Lent(WholeMessage::Binary(bytes));
                    return Ok(Some(Received::Message(take(message))));
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
                            let part = Whole::Assembled(part);
                            return Ok(Some(Received::Part(take(part), is_last)));
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
                    let message = Whole::Assembled(message);
                    return Ok(Some(match assembly.giving {
                        Giving::Parts { .. } => Received::Part(take(message), true),
                        _ => Received::Message(take(message)),
                    }));
                }
                Some(Event::Ping(_)) => return Ok(Some(Received::Ping)),
                Some(Event::Pong(payload)) => return Ok(Some(Received::Pong(payload.to_vec()))),
                Some(Event::Close(reason)) => {
                    self.forget_message();
                    return Ok(Some(Received::Close(reason)));
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
                    let part = part.map(Whole::Assembled);
                    return Ok(part.map(|part| Received::Part(take(part), false)));
                }
            }
        }
    }
}
