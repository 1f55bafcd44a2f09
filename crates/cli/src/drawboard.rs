//! `/drawboard`: one shared sheet. All clients draw on it at once, and see the same picture.
//!
//! Messages are JSON objects in text messages. A client sends
//!
//! ```json
//! {"type":"draw","color":2,"width":6,"points":[10,20,14,26],"tag":7}
//! {"type":"clear"}
//! ```
//!
//! and is sent
//!
//! ```json
//! {"type":"welcome","width":1600,"height":1200,"you":4,"people":2,"strokes":[{"color":2,"width":6,"points":[10,20,14,26]}]}
//! {"type":"drawn","by":4,"tag":7,"color":2,"width":6,"points":[10,20,14,26],"dropped":0}
//! {"type":"cleared","by":4}
//! {"type":"people","people":3}
//! {"type":"error","message":"expected a colour from 0 to 8"}
//! ```
//!
//! - The first message is the welcome, with the current picture. All later messages but errors go to all clients in the
//!   same order, also to the client that caused them, so all pictures are the same. `tag` comes back unchanged.
//! - The points of a stroke are x and y in turn, within the sheet. Colours are 0 to 8, of which 8 is that of the paper.
//!   Widths are 1 to 60.
//! - The sheet holds 20,000 points. Each stroke counts for 4 more points than it has. Beyond that the server removes the
//!   oldest strokes for all clients: `dropped` is their number.
//! - The answer to an invalid command is an error, and the connection stays open. A command of more than 4,096 bytes
//!   closes the connection with 1009.
//! - If a client sends more than 40 messages a second, or 80 at once after a pause, the server reads its messages more
//!   slowly.
//! - 64 clients may draw. The next client is closed with 1013. After each stroke the server waits up to 100 ms for clients
//!   that read too slowly, before it handles the next stroke of that client. A client whose outbox is full is closed with
//!   1013, too.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sockeye::proto::{Outgoing, PreparedMessage};
use sockeye::{CloseCode, Session, server_endpoint};

use crate::audience::{Audience, Gathering, Shared};
use crate::pace::{Pace, Rate, rate};

/// The size limit of a command, in bytes. The longest stroke needs about 2,600.
pub(crate) const MAX_COMMAND: u64 = 4096;

/// A handle of the shared sheet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<Shared<State>>);

#[derive(Debug, Default)]
struct State {
    sheet: Sheet,
    people: Audience<Session>,
}

impl Gathering for State {
    type Listener = Session;

    fn audience(&mut self) -> &mut Audience<Session> {
        &mut self.people
    }
}

/// The endpoint of one connection.
#[derive(Debug)]
pub(crate) struct Drawboard {
    board: Board,
    id: Option<u64>,
    pace: Pace,
}

impl Drawboard {
    pub(crate) fn new(board: Board) -> Self {
        Self {
            board,
            id: None,
            pace: Pace::new(RATE),
        }
    }
}

#[server_endpoint("/drawboard")]
impl Drawboard {
    #[on_open]
    fn enter(&mut self, session: &Session) {
        self.id = self.board.enter(session);
    }

    #[on_message]
    async fn heard(&mut self, session: &Session, text: &str) -> Option<String> {
        self.pace.turn(session).await;
        let id = self.id?;
        let refused = match Command::parse(text) {
            Ok(Command::Draw { stroke, tag }) => {
                self.board.draw(id, tag, &stroke).await;
                return None;
            }
            Ok(Command::Clear) => {
                self.board.clear(id).await;
                return None;
            }
            Err(message) => Event::Error { message },
        };
        Some(refused.to_json())
    }

    #[on_close]
    fn closed(&mut self) {
        self.leave();
    }
}

impl Drawboard {
    fn leave(&mut self) {
        if let Some(id) = self.id.take() {
            self.board.leave(id);
        }
    }
}

/// Leaves the board. `on_close` does not run if the task of the session is dropped.
impl Drop for Drawboard {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Board {
    /// Adds a session. Returns its number, or `None` if the board is full.
    fn enter(&self, session: &Session) -> Option<u64> {
        let mut state = self.0.lock();
        if state.people.len() >= MAX_PEOPLE {
            let closed = session.close(CloseCode::TRY_AGAIN_LATER, "the drawboard is full");
            debug_assert!(closed.is_ok(), "1013 may be sent");
            return None;
        }
        let people = state.people.len() + 1;
        state.tell(&Event::People { people });
        let id = state.people.admit(session.clone());
        // The picture has up to 300 KB. To compress it for each new client would cost the server more than the handshake
        // costs that client.
        let welcome = Outgoing::uncompressed(state.sheet.welcome(id, people));
        // The outbox is empty, so this fails only if the connection is closing.
        let _ = session.async_remote().send(welcome);
        Some(id)
    }

    fn leave(&self, id: u64) {
        let mut state = self.0.lock();
        state.people.remove(id);
        let people = state.people.len();
        state.tell(&Event::People { people });
    }

    async fn draw(&self, by: u64, tag: u32, stroke: &Stroke) {
        let draw = |state: &mut State| {
            let dropped = state.sheet.draw(stroke);
            state.tell(&Event::Drawn {
                by,
                tag,
                stroke,
                dropped,
            });
        };
        self.0.speak(draw).await;
    }

    async fn clear(&self, by: u64) {
        let clear = |state: &mut State| {
            state.sheet = Sheet::default();
            state.tell(&Event::Cleared { by });
        };
        self.0.speak(clear).await;
    }
}

impl State {
    /// Sends an event to all clients, in one order, because the lock is held. Clients that do not keep up are dropped.
    /// They count as people until they leave.
    fn tell(&mut self, event: &Event<'_>) {
        self.people.tell_all(&PreparedMessage::new(event.to_json()));
    }
}

/// The picture, the oldest stroke first.
#[derive(Debug, Default)]
struct Sheet {
    // As JSON: for a new client the picture is copied, not encoded again.
    strokes: VecDeque<Drawn>,
    weight: usize,
}

#[derive(Debug)]
struct Drawn {
    json: Box<str>,
    weight: usize,
}

impl Sheet {
    /// Adds a stroke. Returns the number of the oldest strokes that were removed for it.
    fn draw(&mut self, stroke: &Stroke) -> usize {
        let weight = STROKE_WEIGHT + stroke.points.len() / 2;
        let json = serde_json::to_string(stroke).expect("a stroke is JSON");
        self.weight += weight;
        let json = json.into_boxed_str();
        self.strokes.push_back(Drawn { json, weight });
        let mut dropped = 0;
        while self.weight > MAX_POINTS
            && let Some(oldest) = self.strokes.pop_front()
        {
            self.weight -= oldest.weight;
            dropped += 1;
        }
        dropped
    }

    fn welcome(&self, you: u64, people: usize) -> String {
        let strokes: Vec<&str> = self.strokes.iter().map(|drawn| &*drawn.json).collect();
        format!(
            r#"{{"type":"welcome","width":{WIDTH},"height":{HEIGHT},"you":{you},"people":{people},"strokes":[{}]}}"#,
            strokes.join(",")
        )
    }
}

/// A line through points.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
struct Stroke {
    color: u8,
    width: u8,
    points: Vec<u16>,
}

impl Stroke {
    fn check(&self) -> Result<(), &'static str> {
        let (points, rest) = self.points.as_chunks::<2>();
        if !rest.is_empty() || !(1..=MAX_STROKE).contains(&points.len()) {
            return Err("expected 1 to 256 points in a stroke, each with an x and a y");
        }
        if points.iter().any(|[x, y]| *x > WIDTH || *y > HEIGHT) {
            return Err("a point is not on the sheet");
        }
        if self.color > MAX_COLOR {
            return Err("expected a colour from 0 to 8");
        }
        if !(1..=MAX_WIDTH).contains(&self.width) {
            return Err("expected a width from 1 to 60");
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Command {
    Draw {
        #[serde(flatten)]
        stroke: Stroke,
        #[serde(default)]
        tag: u32,
    },
    Clear,
}

impl Command {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let command = serde_json::from_str(text).map_err(|_| "not a command of the drawboard")?;
        if let Self::Draw { stroke, .. } = &command {
            stroke.check()?;
        }
        Ok(command)
    }
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Event<'a> {
    Drawn {
        by: u64,
        tag: u32,
        #[serde(flatten)]
        stroke: &'a Stroke,
        dropped: usize,
    },
    Cleared {
        by: u64,
    },
    People {
        people: usize,
    },
    Error {
        message: &'static str,
    },
}

impl Event<'_> {
    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an event is JSON")
    }
}

const WIDTH: u16 = 1600;
const HEIGHT: u16 = 1200;
const MAX_COLOR: u8 = 8;
const MAX_WIDTH: u8 = 60;
const MAX_PEOPLE: usize = 64;
/// The limit of points in a stroke.
const MAX_STROKE: usize = 256;
/// The limit of points on the sheet.
const MAX_POINTS: usize = 20_000;
/// The number of points for which a stroke counts in addition to its own: its colour and width are about as long in JSON.
const STROKE_WEIGHT: usize = 4;
/// The rate at which a connection may draw. The page sends 25 strokes a second while the pointer moves.
const RATE: Rate = rate(40, 80);

#[cfg(test)]
mod tests {
    use super::*;

    fn stroke(points: usize) -> Stroke {
        Stroke {
            color: 0,
            width: 1,
            points: vec![0; 2 * points],
        }
    }

    #[test]
    fn a_stroke_within_the_sheet_is_taken_with_its_tag_or_without() {
        let text = r#"{"type":"draw","color":8,"width":60,"points":[0,0,1600,1200],"tag":7}"#;
        let Ok(Command::Draw { stroke, tag }) = Command::parse(text) else {
            panic!("{:?}", Command::parse(text));
        };
        assert_eq!((stroke.points, tag), (vec![0, 0, 1600, 1200], 7));
        let text = r#"{"type":"draw","color":0,"width":1,"points":[5,5]}"#;
        assert!(matches!(
            Command::parse(text),
            Ok(Command::Draw { tag: 0, .. })
        ));
        assert_eq!(Command::parse(r#"{"type":"clear"}"#), Ok(Command::Clear));
    }

    #[test]
    fn any_other_text_is_refused_with_a_reason() {
        let draw = |color: &str, width: &str, points: &str| {
            format!(r#"{{"type":"draw","color":{color},"width":{width},"points":{points}}}"#)
        };
        let many = format!("[{}0]", "0,".repeat(513));
        for (text, reason) in [
            (draw("9", "1", "[1,1]"), "colour"),
            (draw("0", "0", "[1,1]"), "width"),
            (draw("0", "61", "[1,1]"), "width"),
            (draw("0", "1", "[]"), "points"),
            (draw("0", "1", "[1,1,1]"), "points"),
            (draw("0", "1", &many), "points"),
            (draw("0", "1", "[1601,1]"), "not on the sheet"),
            (draw("0", "1", "[1,1201]"), "not on the sheet"),
            (draw("0", "1", "[-1,1]"), "not a command"),
            (draw("0", "1", "[0.5,1]"), "not a command"),
            (draw("0", "1", "[70000,1]"), "not a command"),
            ("{}".to_owned(), "not a command"),
            (String::new(), "not a command"),
            ("[".repeat(4000), "not a command"),
        ] {
            let refusal = Command::parse(&text).unwrap_err();
            assert!(refusal.contains(reason), "{text}: {refusal}");
        }
    }

    #[tokio::test]
    async fn as_many_draw_as_may_and_all_are_told_the_same_in_one_order() {
        let board = Board::default();
        let shared = board.clone();
        let endpoint = Drawboard::endpoint(move |_| Drawboard::new(shared.clone()));
        let builder = sockeye::Server::builder().endpoint(endpoint);
        let server = builder.bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/drawboard", server.local_addr());
        tokio::spawn(server.serve());
        let mut people = Vec::new();
        for _ in 0..MAX_PEOPLE {
            people.push(sockeye::connect(&*url).await.unwrap());
            while board.0.lock().people.len() < people.len() {
                tokio::task::yield_now().await;
            }
        }
        let mut late = sockeye::connect(&*url).await.unwrap();
        assert!(late.recv().await.unwrap().is_none());
        let told = late.close_received().expect("a Close");
        assert_eq!(told.code(), CloseCode::TRY_AGAIN_LATER);

        let stroke = r#"{"type":"draw","color":1,"width":2,"points":[3,4]}"#;
        for person in &mut people {
            person.send(stroke).await.unwrap();
        }
        let mut orders = Vec::new();
        for person in &mut people {
            let mut order = Vec::new();
            while order.len() < MAX_PEOPLE {
                let event = person.recv().await.unwrap().expect("an event").to_string();
                let event: serde_json::Value = serde_json::from_str(&event).unwrap();
                if event["type"] == "drawn" {
                    order.push(event["by"].as_u64().unwrap());
                }
            }
            orders.push(order);
        }
        assert!(orders.iter().all(|order| *order == orders[0]));
        drop(people);
        while board.0.lock().people.len() > 0 {
            tokio::task::yield_now().await;
        }
        // The picture stays.
        assert_eq!(board.0.lock().sheet.strokes.len(), MAX_PEOPLE);
    }

    #[test]
    fn the_sheet_is_bounded_and_says_how_many_of_the_oldest_are_gone() {
        let mut sheet = Sheet::default();
        assert!((0..100).all(|_| sheet.draw(&stroke(196)) == 0));
        assert_eq!(sheet.weight, MAX_POINTS);
        assert_eq!(sheet.draw(&stroke(1)), 1);
        assert_eq!(sheet.draw(&stroke(191)), 0);
        assert_eq!(sheet.draw(&stroke(256)), 2);
        assert_eq!(sheet.strokes.len(), 100);
        assert!(sheet.weight <= MAX_POINTS);
    }

    #[test]
    fn a_full_sheet_is_far_below_what_an_outbox_takes_however_it_is_drawn() {
        for points in [1, MAX_STROKE] {
            let mut sheet = Sheet::default();
            while sheet.draw(&Stroke {
                color: 8,
                width: 60,
                points: [1600, 1200].repeat(points),
            }) == 0
            {}
            // An empty outbox takes one message of any size. The next message needs room.
            assert!(sheet.welcome(u64::MAX, MAX_PEOPLE).len() < 300_000);
        }
    }

    #[test]
    fn the_welcome_is_json_with_the_picture_in_it() {
        let mut sheet = Sheet::default();
        sheet.draw(&stroke(1));
        sheet.draw(&stroke(2));
        let welcome: serde_json::Value = serde_json::from_str(&sheet.welcome(3, 2)).unwrap();
        let drawn = |points: &[u16]| serde_json::json!({"color": 0, "width": 1, "points": points});
        assert_eq!(
            welcome,
            serde_json::json!({
                "type": "welcome", "width": WIDTH, "height": HEIGHT, "you": 3, "people": 2,
                "strokes": [drawn(&[0; 2]), drawn(&[0; 4])],
            })
        );
    }
}
