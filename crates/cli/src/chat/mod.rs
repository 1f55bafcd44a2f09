//! `/chat/{room}`: a connected client is a member of the room, and receives all messages in it.
//!
//! Messages are JSON objects in text messages; `docs/chat.md` shows a complete talk. A client sends
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
//! - The first message is the welcome: the client's name, and the members in the order of joining. The list has the
//!   newest 100 members; `more` is the number of the others.
//! - From then on the server sends each joining, leaving and renaming, so a client can keep its list correct. While very
//!   many members come and go, the server sends the whole list instead, once a second.
//! - The name is that of the query, for example `/chat/river?name=Ada`, or a guest's. If a name that looks the same is
//!   taken in the room, a number follows: `Ada-2`.
//! - A message goes to all members, also to its sender, in the same order to all.
//! - The answer to an invalid command is an error, and the connection stays open. A binary message closes the
//!   connection with 1003.
//! - A room holds a limited number of people (500 by default). The next client is closed with 1013.
//! - The server reads a client that exceeds its rate (20 messages a second, 50 at once, by default) more slowly.
//! - A speaker waits up to 100 ms for members that read more slowly than it speaks. A member whose outbox of 1 MiB is
//!   full leaves the room at once, and is closed with 1013. It may connect again.
//! - Both sides ignore unknown fields.

use std::time::SystemTime;

use sockeye::endpoint::Handshake;
use sockeye::{CloseCode, Session, server_endpoint};

mod message;
mod name;
mod refusal;
mod room;
mod roster;

use self::message::{Command, Event};
use self::name::{Name, RoomName};
use self::refusal::{MAX_TEXT, Refusal};
use self::room::{Member, RoomFull};
use crate::pace::{Pace, Rate, rate};

pub(crate) use self::room::MAX_PEOPLE;

/// The rooms of a chat whose members are sessions.
pub(crate) type Rooms = room::Rooms<Session>;

/// The size limit of a command, in bytes. It suffices for the longest text with each character as `\ud83d\ude00`.
pub(crate) const MAX_COMMAND: u64 = 64 << 10;

/// The default rate at which a connection may send commands.
pub(crate) const RATE: Rate = rate(20, 50);

/// The endpoint of one connection: its membership in a room.
#[derive(Debug)]
pub(crate) struct Chat {
    rooms: Rooms,
    // The name in the query.
    wanted: Option<Box<str>>,
    member: Option<Member<Session>>,
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
            member: None,
            pace: Pace::new(rate),
        }
    }

    async fn handle(&mut self, command: &str, room: &str) -> Result<(), Refusal> {
        let Some(member) = &self.member else {
            // Returns the reason why the client did not join.
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
                member.say(&text, SystemTime::now()).await;
            }
            Command::Name { name } => member.rename(&Name::parse(&name)?),
        }
        Ok(())
    }
}

#[server_endpoint("/chat/{room}")]
impl Chat {
    #[on_open]
    fn enter(&mut self, session: &Session, #[path] room: &str) {
        let refuse = |refusal| {
            // The outbox is empty, so this fails only if the connection is closing.
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
            Ok(member) => self.member = Some(member),
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
        self.member = None;
    }
}

fn refused(refusal: &Refusal) -> String {
    Event::Error {
        code: refusal.code(),
        message: &refusal.to_string(),
    }
    .to_json()
}
