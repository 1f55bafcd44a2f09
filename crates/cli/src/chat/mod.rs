//! `/chat/{room}`: who connects is in the room, and hears what is said in it.
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
//! {"type":"message","from":"Ada","text":"Has the run begun?","time":"2026-07-09T16:04:05.678Z"}
//! {"type":"error","code":"text-too-long","message":"a text has at most 4000 characters"}
//! ```
//!
//! - The first message is the welcome: the name that was given, and who is here, in the order of coming.
//!   From then on every joining, leaving and renaming is told, so that a list kept by them is never wrong.
//! - The name is what the query says, as in `/chat/river?name=Ada`, else a guest's. If somebody in the room
//!   has it already, however the letters' case, a number follows: `Ada-2`.
//! - A message goes to everybody in the room, the sender included, in the same order to all.
//! - What cannot be done is answered with an error, and the connection stays open. A binary message is not
//!   spoken here: 1003.
//! - Who does not read for so long that the outbox is full, 1 MiB, is out of the room at once, and closed
//!   with 1013: connect again.
//! - Fields that are not known are ignored, on both sides.

use std::time::SystemTime;

use sockeye::{Handshake, PreparedMessage, SendError, Session, server_endpoint};

mod message;
mod name;
mod room;

use self::message::{Command, Event, Refusal};
use self::name::{Name, RoomName};
use self::room::{Listener, Seat};

/// The rooms of a chat among sessions.
pub(crate) type Rooms = room::Rooms<Session>;

/// The most characters of a text.
const MAX_TEXT: usize = 4000;

/// One for each connection: its seat in a room.
#[derive(Debug)]
pub(crate) struct Chat {
    rooms: Rooms,
    // What the query asks for.
    wanted: Option<Box<str>>,
    seat: Option<Seat<Session>>,
}

impl Chat {
    /// Somebody at the door.
    pub(crate) fn new(rooms: Rooms, request: &Handshake) -> Self {
        let query = request.query().unwrap_or_default();
        let wanted = url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == "name")
            .map(|(_, value)| value.into());
        Self {
            rooms,
            wanted,
            seat: None,
        }
    }

    fn handle(&mut self, command: &str, room: &str) -> Result<(), Refusal> {
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
                seat.say(&text, SystemTime::now());
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
        self.seat = Some(self.rooms.join(&room, &name, session.clone()));
        if let Some(refusal) = refusal {
            refuse(refusal);
        }
    }

    #[on_message]
    fn heard(&mut self, text: &str, #[path] room: &str) -> Option<String> {
        self.handle(text, room)
            .err()
            .map(|refusal| refused(&refusal))
    }

    #[on_close]
    fn leave(&mut self) {
        self.seat = None;
    }
}

impl Listener for Session {
    fn tell(&self, message: &PreparedMessage) -> Result<(), SendError> {
        self.async_remote().send(message).map(drop)
    }

    fn give_up(&self) {
        let closed = self.close(sockeye::CloseCode::TRY_AGAIN_LATER, "you read too slowly");
        debug_assert!(closed.is_ok(), "1013 may be sent");
    }
}

fn refused(refusal: &Refusal) -> String {
    Event::Error {
        code: refusal.code(),
        message: &refusal.to_string(),
    }
    .to_json()
}
