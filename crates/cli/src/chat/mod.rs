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
//! {"type":"welcome","room":"river","name":"Ada","people":["Grace","Ada"],"id":"8Xj2…","at":"…","history":"room/river"}
//! {"type":"joined","name":"Linus","id":"pQ0w…"}
//! {"type":"left","name":"Linus","id":"pQ0w…"}
//! {"type":"renamed","from":"Ada","to":"Ada L.","id":"8Xj2…"}
//! {"type":"people","people":["Linus","Ada L."],"more":350}
//! {"type":"message","from":"Ada","text":"Has the run begun?","time":"2026-07-09T16:04:05.678Z","id":"8Xj2…"}
//! {"type":"error","code":"text-too-long","message":"the text is longer than 4000 characters"}
//! ```
//!
//! - The server publishes the events to the topic `room/{id}`, so all members on all nodes get them in one order. A raw client
//!   gets them as they are. A client of the subprotocol `sockeye.topics.v0` subscribes to the topic `history` itself, and
//!   the list of the welcome is right for the position `at`.
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
//! - A member has the public member id of its session. If its node ends, the other nodes tell that it left (`watch`).
//! - Both sides ignore unknown fields.

use std::time::SystemTime;

use sockeye::endpoint::Handshake;
use sockeye::topics::Gap;
use sockeye::{CloseCode, Session, server_endpoint};

#[cfg(test)]
mod ear;
mod message;
mod name;
mod others;
mod refusal;
mod room;
mod roster;
mod seat;
mod state;
mod watch;

use self::message::{Command, Event};
use self::name::{Name, RoomName};
use self::refusal::{MAX_TEXT, Refusal};
use self::room::{JoinError, Member};
use self::seat::SessionSeat;
use crate::pace::{Pace, Rate, rate};

pub(crate) use self::room::{MAX_PEOPLE, Nodes};

/// The rooms of a chat whose members are sessions.
pub(crate) type Rooms = room::Rooms<SessionSeat>;

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
    member: Option<Member<SessionSeat>>,
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
                let said = member.say(&text, SystemTime::now()).await;
                said.map_err(|_| Refusal::Unavailable)
            }
            Command::Name { name } => {
                let renamed = member.rename(&Name::parse(&name)?).await;
                renamed.map_err(|_| Refusal::Unavailable)
            }
        }
    }
}

#[server_endpoint("/chat/{room}", topics)]
impl Chat {
    #[on_open]
    async fn enter(&mut self, session: &Session, #[path] room: &str) {
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
        let seat = SessionSeat(session.clone());
        let why = match self.rooms.join(&room, &name, seat).await {
            Ok(member) => {
                self.member = Some(member);
                refusal.map(refuse);
                return;
            }
            Err(JoinError::Full) => "the room is full",
            Err(JoinError::Unavailable) => "the room is not available",
        };
        let closed = session.close(CloseCode::TRY_AGAIN_LATER, why);
        debug_assert!(closed.is_ok(), "1013 may be sent");
    }

    #[on_message]
    async fn heard(&mut self, session: &Session, text: &str, #[path] room: &str) -> Option<String> {
        self.pace.turn(session).await;
        self.handle(text, room)
            .await
            .err()
            .map(|refusal| refused(&refusal))
    }

    /// A raw client cannot ask for what it missed, so it is told.
    #[on_gap]
    fn gap(&mut self, session: &Session, gap: &Gap) {
        // The topic in which the members are present has no messages.
        if !gap.topic().starts_with("room/") {
            return;
        }
        // If the outbox is full, the topic closes the session.
        let _ = session.async_remote().send_text(refused(&Refusal::Missing));
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
