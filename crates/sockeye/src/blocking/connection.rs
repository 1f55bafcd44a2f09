//! An open blocking connection: one protocol machine, which the caller's calls drive.

use std::fmt;
use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use sockeye_mailbox::SendError;
use sockeye_proto::{
    Cause, CloseCode, CloseReason, Connection as Machine, Event, Message, Outgoing,
};

use super::stream::Stream;
use crate::connection::ConnectionEvent;
use crate::connection::assembly::{Assembly, Giving};
use crate::connection::budget::AssemblyBudget;
use crate::error::Error;
use crate::sync::Arc;

/// An open WebSocket connection of a client, in the caller's thread.
///
/// While [`recv`](Self::recv) waits, the connection answers pings, sends its own, and enforces deadlines. Between
/// calls it does nothing. A peer that sends without reading and a caller that sends without receiving block each
/// other until the write timeout.
///
/// Dropping the connection ends the transport without a Close.
///
/// ```no_run
/// use std::task::Poll;
/// use std::time::Duration;
///
/// # let mut ws = sockeye::blocking::connect("ws://127.0.0.1:8080/push")?;
/// match ws.recv_timeout(Duration::from_secs(1))? {
///     Poll::Ready(Some(message)) => println!("{message}"),
///     Poll::Ready(None) => println!("closed"),
///     Poll::Pending => println!("nothing has come"),
/// }
/// # Ok::<(), sockeye::Error>(())
/// ```
pub struct Connection {
    stream: Stream,
    machine: Machine,
    /// The bytes that were read and not consumed yet.
    input: Vec<u8>,
    /// The buffer in which compressed messages are inflated; empty without compression.
    inflated: Vec<u8>,
    /// The message that has begun; with the memory budget of all unfinished messages of the client.
    assembly: Option<Assembly>,
    budget: Arc<AssemblyBudget>,
    /// Whether messages are dropped, because the connection is closing.
    discards: bool,
    subprotocol: Option<String>,
    read_timeout: Option<Duration>,
    /// Whether the caller waits for Pings and Pongs too.
    shows_control: bool,
    is_over: bool,
}

impl Connection {
    pub(super) fn new(
        stream: Stream,
        machine: Machine,
        read_ahead: Vec<u8>,
        subprotocol: Option<String>,
        budget: Arc<AssemblyBudget>,
    ) -> Self {
        Self {
            stream,
            inflated: vec![0; if machine.compresses() { READ } else { 0 }],
            machine,
            input: read_ahead,
            assembly: None,
            budget,
            discards: false,
            subprotocol,
            read_timeout: None,
            shows_control: false,
            is_over: false,
        }
    }

    /// Sets for how long [`recv`](Self::recv) waits for a message; `None`, the default, means without limit. After that time
    /// it returns [`Error::Io`] with [`io::ErrorKind::TimedOut`]. The connection stays open, and no byte is lost.
    /// [`recv_timeout`](Self::recv_timeout) has a time of its own.
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
    }

    /// Returns for how long [`recv`](Self::recv) waits for a message.
    pub fn read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }

    /// The subprotocol that the server chose in the handshake.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The code and reason of the peer's Close, once it has come.
    pub fn close_received(&self) -> Option<&CloseReason> {
        self.machine.close_received()
    }

    /// Waits for the next message; `None` once the connection is closed in order.
    ///
    /// # Errors
    ///
    /// Once, the error that ended the connection. Later calls return `None`. [`Error::Io`] with
    /// [`io::ErrorKind::TimedOut`] when no message came within the [read timeout](Self::set_read_timeout): that error does
    /// not end the connection.
    pub fn recv(&mut self) -> Result<Option<Message>, Error> {
        self.shows_control = false;
        let received = self.receive_in_time()?;
        Ok(received.and_then(ConnectionEvent::into_message))
    }

    /// Waits for the next message, Ping or Pong; `None` once the connection is closed in order. Otherwise this is
    /// [`recv`](Self::recv), which skips Pings and Pongs. Pings are answered in any case.
    ///
    /// # Errors
    ///
    /// The errors of [`recv`](Self::recv).
    pub fn recv_event(&mut self) -> Result<Option<ConnectionEvent>, Error> {
        self.shows_control = true;
        self.receive_in_time()
    }

    /// Receives within the read timeout.
    fn receive_in_time(&mut self) -> Result<Option<ConnectionEvent>, Error> {
        let until = self
            .read_timeout
            .and_then(|timeout| Instant::now().checked_add(timeout));
        match self.receive(until)? {
            Poll::Ready(received) => Ok(received),
            Poll::Pending => Err(Error::Io(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Waits for the next message, at most for `timeout`. Returns [`Poll::Pending`] if none has come; no byte is lost
    /// then. With [`Duration::ZERO`] it reads the bytes in the socket and does not wait: a program that polls in this
    /// way answers pings and notices the peer's Close.
    ///
    /// # Errors
    ///
    /// The errors of [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Poll<Option<Message>>, Error> {
        self.shows_control = false;
        let received = self.receive(Instant::now().checked_add(timeout))?;
        Ok(received.map(|event| event.and_then(ConnectionEvent::into_message)))
    }

    /// Sends a message. When this returns, the system has taken all its bytes.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] once the connection is closing; else the error that ended it.
    pub fn send(&mut self, message: impl Into<Outgoing>) -> Result<(), Error> {
        let sent = self.machine.send_message(message.into(), Cause::Push);
        sent.map_err(|error| Error::Send(error.into()))?;
        self.flush().inspect_err(|_| self.lose())
    }

    /// Closes the connection: sends a Close, waits for the peer's Close, and ends the transport. Messages that come
    /// meanwhile are dropped. It takes at most the close timeout. A second call does nothing.
    ///
    /// # Errors
    ///
    /// [`SendError::InvalidClose`] for a code or reason that no Close may carry.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        let reason = CloseReason::new(code, reason).map_err(SendError::from)?;
        if !self.is_over {
            // Refused if this side has sent its Close already: then it only waits.
            let _ = self.machine.send_close(&reason, Instant::now());
            self.linger();
        }
        Ok(())
    }

    fn receive(&mut self, until: Option<Instant>) -> Result<Poll<Option<ConnectionEvent>>, Error> {
        self.machine.resume_reading(Instant::now());
        let received = self.receive_reading(until);
        self.machine.pause_reading(Instant::now());
        received
    }

    fn receive_reading(
        &mut self,
        until: Option<Instant>,
    ) -> Result<Poll<Option<ConnectionEvent>>, Error> {
        let mut late = 0;
        while !self.is_over {
            match self.pull() {
                Ok(Pulled::Event(event)) => return Ok(Poll::Ready(Some(event))),
                Ok(Pulled::Close) => {
                    self.linger();
                    break;
                }
                Ok(Pulled::Nothing) => {}
                Ok(Pulled::Starved) => {
                    if self.has_memory(until)? {
                        continue;
                    }
                    return Ok(Poll::Pending);
                }
                Err(error) => {
                    self.linger();
                    return Err(error);
                }
            }
            if late > LATE {
                return Ok(Poll::Pending);
            }
            let due = self.machine.poll_timeout();
            let deadline = [due, until].into_iter().flatten().min();
            self.write(deadline).inspect_err(|_| self.lose())?;
            self.machine.rest();
            match self.read(deadline) {
                Ok(0) => {
                    self.lose();
                    return Err(Error::UnexpectedEnd);
                }
                Ok(read) => {
                    if until.is_some_and(|until| until <= Instant::now()) {
                        late += read;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    let now = Instant::now();
                    if let Some(expired) = self.machine.handle_timeout(now) {
                        let error = Error::from(expired);
                        // A peer that broke a rule gets a Close; a dead peer does not.
                        match error {
                            Error::Protocol(_) => self.linger(),
                            _ => self.lose(),
                        }
                        return Err(error);
                    }
                    if until.is_some_and(|until| until <= now) {
                        return Ok(Poll::Pending);
                    }
                }
                Err(error) => {
                    self.lose();
                    return Err(error.into());
                }
            }
        }
        Ok(Poll::Ready(None))
    }

    /// Waits for memory for the message that has begun: other messages of the client have to end first. False if
    /// there is none by `until`.
    fn has_memory(&mut self, until: Option<Instant>) -> Result<bool, Error> {
        // This side does not read meanwhile, so the peer's deadlines are paused.
        self.machine.pause_reading(Instant::now());
        let has_memory = self
            .assembly
            .as_mut()
            .is_none_or(|assembly| assembly.wait_until(until));
        self.machine.resume_reading(Instant::now());
        if self.assembly.as_ref().is_some_and(Assembly::is_given_up) {
            let error = self.machine.give_up_message(Instant::now());
            self.linger();
            return Err(error.into());
        }
        Ok(has_memory)
    }

    /// The number of bytes by which the message that has begun may grow; `None` if it has to wait for memory.
    fn most_of_message(&mut self, consumed: usize) -> Option<usize> {
        let Some(assembly) = &mut self.assembly else {
            return Some(usize::MAX);
        };
        let unread = self.input.get(consumed..).unwrap_or_default();
        assembly.set_here(self.machine.message_is_complete_in(unread));
        let missing = self.machine.payload_remaining();
        // Between two fragments the number of further bytes is unknown.
        let wants_more = assembly.is_compressed() || missing > Some(0);
        if wants_more && !assembly.may_grow(&self.budget, missing) {
            return None;
        }
        let room = assembly.room();
        self.machine.limit_chunks(room);
        Some(room)
    }

    /// Takes the next message or Close from the bytes that were read.
    fn pull(&mut self) -> Result<Pulled, Error> {
        let now = Instant::now();
        let mut consumed = 0;
        let pulled = loop {
            let Some(most) = self.most_of_message(consumed) else {
                break Ok(Pulled::Starved);
            };
            let mut unread = self.input.get_mut(consumed..).unwrap_or_default();
            let len = unread.len();
            let room = self.inflated.len().min(most);
            let room = self.inflated.get_mut(..room).unwrap_or_default();
            let event = self.machine.receive_inflating(&mut unread, room, now);
            let taken = len - unread.len();
            consumed += taken;
            match event {
                Ok(Some(Event::Text(text))) => break Ok(Pulled::message(text)),
                Ok(Some(Event::Binary(bytes))) => {
                    break Ok(Pulled::message(bytes.to_vec()));
                }
                Ok(Some(Event::MessageStart(_))) if self.discards => {}
                Ok(Some(Event::MessageStart(kind))) => {
                    let is_compressed = self.machine.inflates_message();
                    let assembly = Assembly::start(kind, Giving::Whole, is_compressed);
                    self.assembly = Some(assembly);
                }
                Ok(Some(Event::Chunk(chunk))) => {
                    if let Some(assembly) = &mut self.assembly {
                        assembly.receive(taken);
                        assembly.append(chunk);
                    }
                }
                Ok(Some(Event::MessageEnd)) => {
                    let Some(mut assembly) = self.assembly.take() else {
                        continue;
                    };
                    // The machine has checked the text while it came.
                    let message = assembly.end().map_err(io::Error::other)?;
                    break Ok(Pulled::message(message));
                }
                Ok(Some(Event::Ping(payload))) if self.shows_control => {
                    let payload = Bytes::copy_from_slice(payload);
                    break Ok(Pulled::Event(ConnectionEvent::Ping(payload)));
                }
                Ok(Some(Event::Pong(payload))) if self.shows_control => {
                    let payload = Bytes::copy_from_slice(payload);
                    break Ok(Pulled::Event(ConnectionEvent::Pong(payload)));
                }
                Ok(Some(Event::Close(_))) => break Ok(Pulled::Close),
                Ok(Some(_)) => {}
                // The machine stopped in front of the payload of another fragment.
                Ok(None) if most == 0 && self.machine.payload_remaining() > Some(0) => {}
                Ok(None) => break Ok(Pulled::Nothing),
                Err(error) => break Err(error.into()),
            }
        };
        self.input.drain(..consumed);
        pulled
    }

    fn read(&mut self, deadline: Option<Instant>) -> io::Result<usize> {
        let start = self.input.len();
        self.input.resize(start + READ, 0);
        let room = self.input.get_mut(start..).unwrap_or_default();
        let read = self.stream.read_until(room, deadline);
        self.input.truncate(start + *read.as_ref().unwrap_or(&0));
        read
    }

    /// Writes the output, until the deadline or for the write timeout. After the latter the machine reports a stalled
    /// write.
    fn write(&mut self, deadline: Option<Instant>) -> Result<(), Error> {
        while !self.machine.output().is_empty() {
            let started = Instant::now();
            let patience = started.checked_add(self.machine.config().write_timeout);
            let deadline = [deadline, patience].into_iter().flatten().min();
            let output = self.machine.output();
            match self.stream.write_until(output.chunk(), deadline) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(written) => self.machine.handle_written(written, Instant::now()),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    self.machine.handle_written(0, started);
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        let started = Instant::now();
        let patience = started.checked_add(self.machine.config().write_timeout);
        let deadline = [deadline, patience].into_iter().flatten().min();
        match self.stream.flush_until(deadline) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let is_stalled = patience.is_some_and(|patience| patience <= Instant::now());
                match deadline == patience || is_stalled {
                    true => Err(Error::WriteStalled),
                    false => Ok(()),
                }
            }
            flushed => Ok(flushed?),
        }
    }

    /// Writes all output. The peer has the write timeout for each part of it.
    fn flush(&mut self) -> Result<(), Error> {
        self.write(None)?;
        if !self.machine.output().is_empty() {
            return Err(Error::WriteStalled);
        }
        Ok(())
    }

    /// Writes the remaining output, then waits for the end of the peer's stream, within the close timeout (§7.1.1).
    // A loop apart from `receive_reading`: it has one deadline of its own, drops each message, and returns no error.
    fn linger(&mut self) {
        let patience = self.machine.config().close_timeout;
        let end = Instant::now() + patience;
        self.discards = true;
        self.assembly = None;
        while !self.is_over {
            // Takes the peer's Close if it has come, and drops all messages.
            while let Ok(Pulled::Event(_)) = self.pull() {}
            self.machine.conclude(Instant::now());
            if self.flush().is_err() {
                break;
            }
            if self.machine.failure().is_some() {
                self.stream.shut();
            }
            match self.read(Some(end)) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        self.lose();
    }

    fn lose(&mut self) {
        self.machine.handle_end();
        self.stream.shut();
        self.input = Vec::new();
        self.assembly = None;
        self.is_over = true;
    }
}

/// What the input holds next.
enum Pulled {
    Close,
    Event(ConnectionEvent),
    Nothing,
    /// The message that has begun needs memory that other messages hold.
    Starved,
}

impl Pulled {
    fn message(message: impl Into<Message>) -> Self {
        Self::Event(ConnectionEvent::Message(message.into()))
    }
}

/// The most bytes that are read, or inflated, at once.
const READ: usize = 16 * 1024;
/// The most bytes that [`Connection::recv_timeout`] reads after its time. So a peer that sends pings or parts of a
/// message without end does not hold the caller.
const LATE: usize = 128 * 1024;

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("subprotocol", &self.subprotocol)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}
