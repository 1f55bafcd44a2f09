//! `/chat/{room}`: clients that connect are in the room, and hear what is said in it.
//!
//! Messages are JSON objects in text messages; `docs/chat.md` shows a whole talk. A client sends
//!
//! ```json
//! {"type":"message","text":"Has the run begun?"}
//! {"type":"name","name":"Ada"}
//! ```
//!
//! and is sent
//!
//! ```json
//! {"type":"welcome","room":"river","name":"Ada","people":["Grace","Ada"]}
//! {"type":"joined","name":"Linus"}
//! {"type":"left","name":"Linus"}
//! {"type":"renamed","from":"Ada","to":"Ada L."}
//! {"type":"people","people":["Linus","Ada L."],"more":350}
//! {"type":"message","from":"Ada","text":"Has the run begun?","time":"2026-07-09T16:04:05.678Z"}
//! {"type":"error","code":"text-too-long","message":"the text is longer than 4000 characters"}
//! ```
//!
//! - The first message is the welcome: the name that was given, and who is here, in the order of coming. The list has
//!   the 100 that came last; `more` says how many others there are.
//! - From then on every joining, leaving and renaming is told, so a list that is kept by them is right. While very many
//!   come and go, the whole list is told instead, once a second.
//! - The name is the one in the query, as in `/chat/river?name=Ada`, or a guest's. If a name that looks the same is taken
//!   in the room, a number follows: `Ada-2`.
//! - A message goes to all in the room, the sender included, in the same order to all.
//! - A command that cannot be done is answered with an error, and the connection stays open. A binary message closes
//!   the connection: 1003.
//! - A room holds a limited number of people (500 by default). The next client is closed with 1013.
//! - A client that sends faster than its rate (20 messages a second, 50 at once, by default) is read more slowly.
//! - A speaker waits up to 100 ms for members that read more slowly than it speaks. A member that reads so slowly that
//!   its outbox is full, 1 MiB, is out of the room at once, and closed with 1013: it may connect again.
//! - Fields that are not known are ignored, on both sides.

use std::time::SystemTime;

use sockeye::{CloseCode, Handshake, Session, server_endpoint};

mod message;
mod name;
mod room;
mod roster;

use self::message::{Command, Event, Refusal};
use self::name::{Name, RoomName};
use self::room::{RoomFull, Seat};
use crate::pace::{Pace, Rate, rate};

pub(crate) use self::room::MAX_PEOPLE;

/// The rooms of a chat among sessions.
pub(crate) type Rooms = room::Rooms<Session>;

/// The most characters of a text.
const MAX_TEXT: usize = 4000;

/// The most bytes of a command. It holds the longest text with each character written as `\ud83d\ude00`.
pub(crate) const MAX_COMMAND: u64 = 64 << 10;

/// How fast a connection may send commands, unless options say otherwise.
pub(crate) const RATE: Rate = rate(20, 50);

/// One for each connection: its seat in a room.
#[derive(Debug)]
pub(crate) struct Chat {
    rooms: Rooms,
    // What the query asks for.
    wanted: Option<Box<str>>,
    seat: Option<Seat<Session>>,
    pace: Pace,
}

impl Chat {
    /// A connection that is not in a room yet.
    pub(crate) fn new(rooms: Rooms, rate: Rate, request: &Handshake) -> Self {
        let query = request.query().unwrap_or_default();
        let wanted = url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == "name")
            .map(|(_, value)| value.into());
        Self {
            rooms,
            wanted,
            seat: None,
            pace: Pace::new(rate),
        }
    }

    async fn handle(&mut self, command: &str, room: &str) -> Result<(), Refusal> {
        let Some(seat) = &self.seat else {
            // Why there is none.
            return RoomName::parse(room).map(drop);
        };
        match Command::parse(command)? {
            Command::Message { text } => {
                if text.trim().is_empty() {
                    return Err(Refusal::TextEmpty);
                }
                if text.chars().count() > MAX_TEXT {
                    return Err(Refusal::TextTooLong);
                }
                seat.say(&text, SystemTime::now()).await;
            }
            Command::Name { name } => seat.rename(&Name::parse(&name)?),
        }
        Ok(())
    }
}

#[server_endpoint("/chat/{room}")]
impl Chat {
    #[on_open]
    fn enter(&mut self, session: &Session, #[path] room: &str) {
        let refuse = |refusal| {
            // Nothing else was sent yet, so there is room; or the connection is closing already.
            let _ = session.async_remote().send_text(refused(&refusal));
        };
        let room = match RoomName::parse(room) {
            Ok(room) => room,
            Err(refusal) => return refuse(refusal),
        };
        let wanted = self.wanted.take().map(|wanted| Name::parse(&wanted));
        let (name, refusal) = match wanted {
            Some(Ok(name)) => (name, None),
            Some(Err(refusal)) => (Name::guest(session.id()), Some(refusal)),
            None => (Name::guest(session.id()), None),
        };
        match self.rooms.join(&room, &name, session.clone()) {
            Ok(seat) => self.seat = Some(seat),
            Err(RoomFull) => {
                let closed = session.close(CloseCode::TRY_AGAIN_LATER, "the room is full");
                debug_assert!(closed.is_ok(), "1013 may be sent");
                return;
            }
        }
        if let Some(refusal) = refusal {
            refuse(refusal);
        }
    }

    #[on_message]
    async fn heard(&mut self, session: &Session, text: &str, #[path] room: &str) -> Option<String> {
        self.pace.turn(session).await;
        self.handle(text, room)
            .await
            .err()
            .map(|refusal| refused(&refusal))
    }

    #[on_close]
    fn leave(&mut self) {
        self.seat = None;
    }
}

fn refused(refusal: &Refusal) -> String {
    Event::Error {
        code: refusal.code(),
        message: &refusal.to_string(),
    }
    .to_json()
}
