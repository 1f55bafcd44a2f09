//! The attacker: one thread, one poll. It sends what the sockets take, reads and drops all that comes, and
//! opens each connection anew that the server ends.

use std::io::{self, BufRead, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde::{Deserialize, Serialize};
use socket2::SockRef;

use crate::Result;
use crate::load::PATIENCE;
use crate::load::opening::Opening;
use crate::server::Setting;

use super::ProcessOptions;
use super::attack::{Attack, Traffic};

/// What an attack came to.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Tally {
    pub(crate) seconds: f64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    /// How many connections were opened.
    pub(crate) opened: u64,
    /// How many open connections the server ended.
    pub(crate) ended: u64,
    /// How many connections the server did not open.
    pub(crate) refused: u64,
}

/// Attacks until a line comes on stdin, or its end.
pub(crate) fn attack(options: &ProcessOptions) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut attacker = Attacker::new(options, options.attack()?)?;
    attacker.open_all()?;
    println!("ready");
    let stopped = Arc::clone(&stop);
    thread::spawn(move || {
        let _ = io::stdin().lock().read_line(&mut String::new());
        stopped.store(true, Ordering::Relaxed);
    });
    let begun = Instant::now();
    attacker.tally = Tally::default();
    while !stop.load(Ordering::Relaxed) {
        attacker.turn()?;
    }
    attacker.tally.seconds = begun.elapsed().as_secs_f64();
    let tally = serde_json::to_string(&attacker.tally).map_err(|error| error.to_string())?;
    println!("{tally}");
    Ok(())
}

struct Attacker {
    attack: &'static Attack,
    addr: SocketAddr,
    poll: Poll,
    events: Events,
    slots: Vec<Slot>,
    greeting: Greeting,
    /// What the first connection sends, and what all others send.
    bytes: [Vec<u8>; 2],
    buffer: Vec<u8>,
    tally: Tally,
    /// Why the last connection that was refused was refused.
    refusal: Option<String>,
    /// Whether the last turn left something to do at once.
    busy: bool,
}

/// A place for a connection.
enum Slot {
    Connected(Connection),
    /// The system gave no connection: to be tried again at that time.
    Vacant(Instant),
}

struct Connection {
    tcp: TcpStream,
    stage: Stage,
    /// What the poll has told and no call has disproved since.
    readable: bool,
    writable: bool,
}

enum Stage {
    /// So much of the request is written, and this came as the answer.
    Opening {
        written: usize,
        answer: Vec<u8>,
    },
    /// So much of the bytes is written.
    Sending {
        written: usize,
    },
    Resting {
        until: Instant,
    },
}

/// What a connection sends first, and what has to come before it is open.
enum Greeting {
    WebSocket(Opening),
    /// The bare echo sends the request back.
    Echoed(Opening),
    /// The bare fan-out is told what a connection is, and does not answer.
    Role,
    /// The bare echo is open at once.
    None,
}

/// What became of a connection that was driven.
#[derive(PartialEq, Eq)]
enum Outcome {
    /// There may be more to do at once.
    Busy,
    /// It waits for the poll or for the clock.
    Idle,
    /// To be opened anew.
    Over,
}

impl Attacker {
    fn new(options: &ProcessOptions, attack: &'static Attack) -> Result<Self> {
        let poll = Poll::new().map_err(|error| error.to_string())?;
        let now = Instant::now();
        let mut slots = Vec::new();
        slots.resize_with(attack.connections, || Slot::Vacant(now));
        let setting = Setting {
            deflate: attack.compressed.then_some(6),
            ..Setting::default()
        };
        let opening = Opening::new(options.addr, attack.path, &setting);
        let greeting = match attack.traffic {
            _ if !options.raw => Greeting::WebSocket(opening),
            Traffic::Churn => Greeting::Echoed(opening),
            Traffic::Room(_) => Greeting::Role,
            Traffic::Flood(_) | Traffic::Trickle(..) => Greeting::None,
        };
        Ok(Self {
            attack,
            addr: options.addr,
            poll,
            events: Events::with_capacity(1024),
            slots,
            greeting,
            bytes: [attack.bytes(0), attack.bytes(1)],
            buffer: vec![0; BUFFER],
            tally: Tally::default(),
            refusal: None,
            busy: true,
        })
    }

    /// Goes on until as many connections have been opened as the attack has.
    fn open_all(&mut self) -> Result<()> {
        let wanted = self.slots.len() as u64;
        let end = Instant::now() + PATIENCE;
        while self.tally.opened < wanted && Instant::now() < end {
            self.turn()?;
        }
        if self.tally.opened > 0 || wanted == 0 {
            return Ok(());
        }
        let why = self.refusal.take();
        let why = why.unwrap_or_else(|| "the server does not answer".to_owned());
        Err(format!("the attack opened no connection: {why}"))
    }

    /// Waits for the sockets where nothing is to do at once, and drives each connection a little.
    fn turn(&mut self) -> Result<()> {
        let timeout = if self.busy { Duration::ZERO } else { TICK };
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            polled => polled.map_err(|error| error.to_string())?,
        }
        for event in &self.events {
            if let Some(Slot::Connected(connection)) = self.slots.get_mut(event.token().0) {
                connection.readable |= event.is_readable();
                connection.writable |= event.is_writable();
            }
        }
        self.busy = false;
        let now = Instant::now();
        for token in 0..self.slots.len() {
            match self.drive(token, now) {
                Outcome::Busy => self.busy = true,
                Outcome::Idle => {}
                Outcome::Over => {
                    // The old one is reset before the new one is opened.
                    self.slots[token] = Slot::Vacant(now);
                    self.busy = true;
                }
            }
        }
        Ok(())
    }

    fn drive(&mut self, token: usize, now: Instant) -> Outcome {
        match &mut self.slots[token] {
            Slot::Vacant(until) if now < *until => return Outcome::Idle,
            Slot::Vacant(_) => {
                self.slots[token] = match self.connect(token) {
                    Ok(connection) => Slot::Connected(connection),
                    Err(_) => Slot::Vacant(now + TICK),
                };
                return Outcome::Idle;
            }
            Slot::Connected(_) => {}
        }
        let read = self.read(token, now);
        if read == Outcome::Over {
            return read;
        }
        match self.write(token, now) {
            Outcome::Idle => read,
            written => written,
        }
    }

    fn connect(&self, token: usize) -> io::Result<Connection> {
        let mut tcp = TcpStream::connect(self.addr)?;
        // Reset at its end, so that no port is kept in TIME_WAIT.
        SockRef::from(&tcp).set_linger(Some(Duration::ZERO))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry.register(&mut tcp, Token(token), interest)?;
        Ok(Connection {
            tcp,
            stage: Stage::Opening {
                written: 0,
                answer: Vec::new(),
            },
            readable: false,
            writable: false,
        })
    }

    /// Reads once.
    fn read(&mut self, token: usize, now: Instant) -> Outcome {
        let Slot::Connected(connection) = &mut self.slots[token] else {
            return Outcome::Idle;
        };
        if !connection.readable {
            return Outcome::Idle;
        }
        match connection.tcp.read(&mut self.buffer) {
            Err(error) if is_early(&error) => {
                connection.readable = false;
                Outcome::Idle
            }
            Ok(read @ 1..) => {
                self.tally.received_bytes += read as u64;
                let Stage::Opening { answer, .. } = &mut connection.stage else {
                    return Outcome::Busy;
                };
                answer.extend_from_slice(&self.buffer[..read]);
                self.check_answer(token, now)
            }
            Ok(0) | Err(_) => self.lost(token, "the server ended the connection"),
        }
    }

    /// Looks whether a connection is open, after more of the answer has come.
    fn check_answer(&mut self, token: usize, now: Instant) -> Outcome {
        let Slot::Connected(connection) = &self.slots[token] else {
            return Outcome::Idle;
        };
        let Stage::Opening { answer, .. } = &connection.stage else {
            return Outcome::Busy;
        };
        let is_open = match &self.greeting {
            Greeting::WebSocket(opening) => opening.end_of_head(answer).map(|end| end.is_some()),
            Greeting::Echoed(opening) => Ok(answer == opening.request()),
            Greeting::Role | Greeting::None => Ok(true),
        };
        match is_open {
            Ok(false) => Outcome::Busy,
            Ok(true) => self.opened(token, now),
            Err(refusal) => self.lost(token, &refusal),
        }
    }

    /// Writes once: the rest of the request, or of the bytes.
    fn write(&mut self, token: usize, now: Instant) -> Outcome {
        let Slot::Connected(connection) = &mut self.slots[token] else {
            return Outcome::Idle;
        };
        if let Stage::Resting { until } = connection.stage {
            if now < until {
                return Outcome::Idle;
            }
            connection.stage = Stage::Sending { written: 0 };
        }
        let bytes = &self.bytes[token.min(1)];
        let (written, all) = match &mut connection.stage {
            Stage::Opening { written, .. } => (written, self.greeting.request(token)),
            Stage::Sending { written } => (written, &bytes[..]),
            Stage::Resting { .. } => return Outcome::Idle,
        };
        if !connection.writable || (*written == all.len() && !all.is_empty()) {
            return Outcome::Idle;
        }
        if !all.is_empty() {
            match connection.tcp.write(&all[*written..]) {
                Ok(more) => {
                    *written += more;
                    self.tally.sent_bytes += more as u64;
                }
                Err(error) if is_early(&error) => {
                    connection.writable = false;
                    return Outcome::Idle;
                }
                Err(error) => return self.lost(token, &error.to_string()),
            }
        }
        if *written < all.len() {
            return Outcome::Busy;
        }
        match (&mut connection.stage, &self.attack.traffic) {
            (Stage::Opening { .. }, _) if self.greeting.is_answered() => Outcome::Idle,
            (Stage::Opening { .. }, _) => self.opened(token, now),
            (stage, Traffic::Trickle(_, pause)) => {
                *stage = Stage::Resting {
                    until: now + *pause,
                };
                Outcome::Idle
            }
            _ if all.is_empty() => Outcome::Idle,
            (stage, _) => {
                *stage = Stage::Sending { written: 0 };
                Outcome::Busy
            }
        }
    }

    /// Counts a connection that is open, and begins what the attack does with it.
    fn opened(&mut self, token: usize, now: Instant) -> Outcome {
        self.tally.opened += 1;
        let share = token as f64 / self.slots.len() as f64;
        let Slot::Connected(connection) = &mut self.slots[token] else {
            return Outcome::Idle;
        };
        connection.stage = match self.attack.traffic {
            Traffic::Churn => return Outcome::Over,
            // They begin one after the other, and stay apart.
            Traffic::Trickle(_, pause) => Stage::Resting {
                until: now + pause.mul_f64(share),
            },
            Traffic::Flood(_) | Traffic::Room(_) => Stage::Sending { written: 0 },
        };
        Outcome::Busy
    }

    /// Counts a connection that the server refused or ended.
    fn lost(&mut self, token: usize, why: &str) -> Outcome {
        let is_opening = matches!(
            &self.slots[token],
            Slot::Connected(Connection {
                stage: Stage::Opening { .. },
                ..
            })
        );
        if is_opening {
            self.tally.refused += 1;
            self.refusal = Some(why.to_owned());
        } else {
            self.tally.ended += 1;
        }
        Outcome::Over
    }
}

impl Greeting {
    fn request(&self, token: usize) -> &[u8] {
        match self {
            Self::WebSocket(opening) | Self::Echoed(opening) => opening.request(),
            Self::Role if token == 0 => b"p",
            Self::Role => b"s",
            Self::None => &[],
        }
    }

    fn is_answered(&self) -> bool {
        matches!(self, Self::WebSocket(_) | Self::Echoed(_))
    }
}

/// Whether the socket has nothing to give or no room, or is not connected yet.
fn is_early(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, NotConnected, WouldBlock};
    matches!(error.kind(), WouldBlock | NotConnected | Interrupted)
}

/// What is read at once.
const BUFFER: usize = 64 * 1024;
/// How long a turn waits for the sockets, and a connection until it is tried again.
const TICK: Duration = Duration::from_millis(5);
