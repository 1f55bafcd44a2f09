//! `/drawboard`: one sheet on which everybody draws at once, and sees the same picture.
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
//! {"type":"error","message":"a stroke has 1 to 256 points"}
//! ```
//!
//! - The first message is the welcome, with the picture as it is. What comes behind it comes to all in the same
//!   order, to who drew it too, so all pictures are the same. `tag` comes back as it was.
//! - A stroke's points are x and y by turns, within the sheet. Colours are 0 to 8, of which 8 is the paper's; widths
//!   1 to 60.
//! - The sheet holds 20,000 points. Beyond that the oldest strokes are gone for all: `dropped` says how many.
//! - What cannot be done is answered with an error, and the connection stays open.
//! - 64 may draw; who comes then is closed with 1013, and so is who does not read for so long that the outbox is full.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use sockeye::{CloseCode, PreparedMessage, Session, server_endpoint};

/// The sheet that all draw on. A handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    sheet: Sheet,
    people: Vec<(u64, Session)>,
    next_id: u64,
}

/// One for each connection.
#[derive(Debug)]
pub(crate) struct Drawboard {
    board: Board,
    id: Option<u64>,
}

impl Drawboard {
    pub(crate) fn new(board: Board) -> Self {
        Self { board, id: None }
    }
}

#[server_endpoint("/drawboard")]
impl Drawboard {
    #[on_open]
    fn enter(&mut self, session: &Session) {
        self.id = self.board.enter(session);
    }

    #[on_message]
    fn heard(&mut self, text: &str) -> Option<String> {
        let id = self.id?;
        let refused = match Command::parse(text) {
            Ok(Command::Draw { stroke, tag }) => {
                self.board.draw(id, tag, &stroke);
                return None;
            }
            Ok(Command::Clear) => {
                self.board.clear(id);
                return None;
            }
            Err(message) => Event::Error { message },
        };
        Some(refused.to_json())
    }
}

/// However the session ends, it is none of the people then.
impl Drop for Drawboard {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.board.leave(id);
        }
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` when there is no room.
    fn enter(&self, session: &Session) -> Option<u64> {
        let mut state = self.lock();
        if state.people.len() >= MAX_PEOPLE {
            give_up(session, "as many draw as may");
            return None;
        }
        let id = state.next_id;
        state.next_id += 1;
        let people = state.people.len() + 1;
        let welcome = Event::Welcome {
            width: WIDTH,
            height: HEIGHT,
            you: id,
            people,
            strokes: &state.sheet.strokes,
        };
        // It is the first that is sent, so there is room; or the connection is closing already.
        let _ = session.async_remote().send_text(welcome.to_json());
        state.tell(&Event::People { people });
        state.people.push((id, session.clone()));
        Some(id)
    }

    fn leave(&self, id: u64) {
        let mut state = self.lock();
        state.people.retain(|(known, _)| *known != id);
        let people = state.people.len();
        state.tell(&Event::People { people });
    }

    fn draw(&self, by: u64, tag: u32, stroke: &Stroke) {
        let mut state = self.lock();
        let dropped = state.sheet.draw(stroke.clone());
        state.tell(&Event::Drawn {
            by,
            tag,
            stroke,
            dropped,
        });
    }

    fn clear(&self, by: u64) {
        let mut state = self.lock();
        state.sheet = Sheet::default();
        state.tell(&Event::Cleared { by });
    }
}

impl State {
    /// Tells all, in one order: the lock is held. Who does not keep up is out.
    fn tell(&mut self, event: &Event<'_>) {
        let message = PreparedMessage::new(event.to_json());
        for (_, session) in &self.people {
            if let Err(sockeye::SendError::Full) = session.async_remote().send(&message) {
                give_up(session, "you read too slowly");
            }
        }
        // What is closing is told nothing more.
        self.people.retain(|(_, session)| session.is_open());
    }
}

fn give_up(session: &Session, reason: &str) {
    let closed = session.close(CloseCode::TRY_AGAIN_LATER, reason);
    debug_assert!(closed.is_ok(), "1013 may be sent");
}

/// What is drawn, the oldest stroke first.
#[derive(Debug, Default)]
struct Sheet {
    strokes: VecDeque<Stroke>,
    points: usize,
}

impl Sheet {
    /// Says how many of the oldest strokes had to go for it.
    fn draw(&mut self, stroke: Stroke) -> usize {
        self.points += stroke.points.len() / 2;
        self.strokes.push_back(stroke);
        let mut dropped = 0;
        while self.points > MAX_POINTS
            && let Some(oldest) = self.strokes.pop_front()
        {
            self.points -= oldest.points.len() / 2;
            dropped += 1;
        }
        dropped
    }
}

/// A line through points.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
struct Stroke {
    color: u8,
    width: u8,
    points: Vec<u16>,
}

impl Stroke {
    fn check(&self) -> Result<(), &'static str> {
        let (points, rest) = self.points.as_chunks::<2>();
        if !rest.is_empty() || !(1..=MAX_STROKE).contains(&points.len()) {
            return Err("a stroke has 1 to 256 points, each of an x and a y");
        }
        if points.iter().any(|[x, y]| *x > WIDTH || *y > HEIGHT) {
            return Err("a point is not on the sheet");
        }
        if self.color > MAX_COLOR {
            return Err("a colour is 0 to 8");
        }
        if !(1..=MAX_WIDTH).contains(&self.width) {
            return Err("a width is 1 to 60");
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
        // Nothing that can be drawn is longer: so much is not even looked at.
        if text.len() > MAX_COMMAND {
            return Err("a message has at most 4096 bytes");
        }
        let command = serde_json::from_str(text).map_err(|_| "this is not spoken here")?;
        if let Self::Draw { stroke, .. } = &command {
            stroke.check()?;
        }
        Ok(command)
    }
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Event<'a> {
    Welcome {
        width: u16,
        height: u16,
        you: u64,
        people: usize,
        strokes: &'a VecDeque<Stroke>,
    },
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
/// Of a stroke, and of the sheet.
const MAX_STROKE: usize = 256;
const MAX_POINTS: usize = 20_000;
const MAX_COMMAND: usize = 4096;

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
    fn whatever_else_a_peer_sends_is_refused_with_a_reason() {
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
            (draw("0", "1", "[-1,1]"), "not spoken"),
            (draw("0", "1", "[0.5,1]"), "not spoken"),
            (draw("0", "1", "[70000,1]"), "not spoken"),
            ("{}".to_owned(), "not spoken"),
            (String::new(), "not spoken"),
            ("[".repeat(4000), "not spoken"),
            (" ".repeat(4097), "at most 4096"),
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
            while board.lock().people.len() < people.len() {
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
        while !board.lock().people.is_empty() {
            tokio::task::yield_now().await;
        }
        // The picture stays.
        assert_eq!(board.lock().sheet.strokes.len(), MAX_PEOPLE);
    }

    #[test]
    fn the_sheet_is_bounded_and_says_how_many_of_the_oldest_are_gone() {
        let mut sheet = Sheet::default();
        assert!((0..100).all(|_| sheet.draw(stroke(200)) == 0));
        assert_eq!(sheet.points, MAX_POINTS);
        assert_eq!(sheet.draw(stroke(1)), 1);
        assert_eq!(sheet.draw(stroke(199)), 0);
        assert_eq!(sheet.draw(stroke(256)), 2);
        assert_eq!(sheet.strokes.len(), 100);
        assert!(sheet.points <= MAX_POINTS);
    }

    #[test]
    fn a_full_sheet_is_far_below_what_an_outbox_takes() {
        let mut sheet = Sheet::default();
        for _ in 0..MAX_POINTS {
            sheet.draw(Stroke {
                color: 8,
                width: 60,
                points: vec![1600, 1200],
            });
        }
        let welcome = Event::Welcome {
            width: WIDTH,
            height: HEIGHT,
            you: u64::MAX,
            people: 1,
            strokes: &sheet.strokes,
        };
        // An outbox takes one message whatever its size; but what follows has to have room behind it.
        assert!(welcome.to_json().len() < 1 << 20);
    }
}
