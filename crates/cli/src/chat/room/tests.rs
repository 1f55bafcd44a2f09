//! Rooms without sockets: who listens writes down what it is told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::*;

/// Reads what it is told when asked to, and holds `limit` messages until then.
#[derive(Clone, Debug)]
struct Ear(Arc<Heard>);

#[derive(Debug)]
struct Heard {
    limit: usize,
    messages: Mutex<VecDeque<String>>,
    given_up: AtomicBool,
}

impl Ear {
    fn new() -> Self {
        Self::of_limit(usize::MAX)
    }

    fn of_limit(limit: usize) -> Self {
        Self(Arc::new(Heard {
            limit,
            messages: Mutex::default(),
            given_up: AtomicBool::new(false),
        }))
    }

    fn heard(&self) -> Vec<Value> {
        let messages = std::mem::take(&mut *lock(&self.0.messages));
        let values = messages.iter().map(|text| serde_json::from_str(text));
        values.collect::<Result<_, _>>().expect("JSON")
    }
}

impl Listener for Ear {
    fn tell(&self, message: &PreparedMessage) -> Result<(), SendError> {
        let mut messages = lock(&self.0.messages);
        if messages.len() >= self.0.limit {
            return Err(SendError::Full);
        }
        let text = message.message().as_text().expect("a text");
        messages.push_back(text.to_owned());
        Ok(())
    }

    fn give_up(&self) {
        self.0.given_up.store(true, Ordering::SeqCst);
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn room(text: &str) -> RoomName {
    RoomName::parse(text).expect("a room's name")
}

#[test]
fn who_joins_is_told_who_is_here_and_the_others_that_somebody_came() {
    let rooms = Rooms::default();
    let (ada, grace) = (Ear::new(), Ear::new());
    let _ada = rooms.join(&room("river"), &name("Ada"), ada.clone());
    let _grace = rooms.join(&room("river"), &name("Grace"), grace.clone());
    assert_eq!(
        ada.heard(),
        [
            json!({"type": "welcome", "room": "river", "name": "Ada", "people": ["Ada"]}),
            json!({"type": "joined", "name": "Grace"}),
        ]
    );
    assert_eq!(
        grace.heard(),
        [json!({"type": "welcome", "room": "river", "name": "Grace", "people": ["Ada", "Grace"]})]
    );
}

#[test]
fn what_is_said_is_heard_in_the_room_and_nowhere_else() {
    let rooms = Rooms::default();
    let (ada, grace, linus) = (Ear::new(), Ear::new(), Ear::new());
    let seat = rooms.join(&room("river"), &name("Ada"), ada.clone());
    let _grace = rooms.join(&room("river"), &name("Grace"), grace.clone());
    let _linus = rooms.join(&room("sea"), &name("Linus"), linus.clone());
    for ear in [&ada, &grace, &linus] {
        ear.heard();
    }
    seat.say("hi", UNIX_EPOCH);
    let time = "1970-01-01T00:00:00.000Z";
    let said = json!({"type": "message", "from": "Ada", "text": "hi", "time": time});
    assert_eq!(ada.heard(), std::slice::from_ref(&said));
    assert_eq!(grace.heard(), [said]);
    assert!(linus.heard().is_empty());
}

#[test]
fn a_name_that_is_taken_gets_a_number_whatever_its_case() {
    let rooms = Rooms::default();
    let ear = Ear::new();
    let here = room("river");
    let _first = rooms.join(&here, &name("Ada"), Ear::new());
    let second = rooms.join(&here, &name("ada"), Ear::new());
    let _third = rooms.join(&here, &name("ADA"), ear.clone());
    assert_eq!(ear.heard()[0]["people"], json!(["Ada", "ada-2", "ADA-3"]));
    drop(second);
    let _fourth = rooms.join(&here, &name("Ada"), Ear::new());
    let told = ear.heard();
    assert_eq!(told[0], json!({"type": "left", "name": "ada-2"}));
    assert_eq!(told[1], json!({"type": "joined", "name": "Ada-2"}));
    let elsewhere = Ear::new();
    let _fifth = rooms.join(&room("sea"), &name("Ada"), elsewhere.clone());
    assert_eq!(elsewhere.heard()[0]["name"], "Ada");
}

#[test]
fn a_new_name_is_told_to_all_and_the_old_one_is_free() {
    let rooms = Rooms::default();
    let ear = Ear::new();
    let ada = rooms.join(&room("river"), &name("Ada"), ear.clone());
    let grace = rooms.join(&room("river"), &name("Grace"), Ear::new());
    ear.heard();
    grace.rename(&name("Ada"));
    ada.rename(&name("Ada"));
    ada.rename(&name("ADA"));
    grace.rename(&name("Ada L."));
    let renamed = |from, to| json!({"type": "renamed", "from": from, "to": to});
    assert_eq!(
        ear.heard(),
        [
            renamed("Grace", "Ada-2"),
            renamed("Ada", "ADA"),
            renamed("Ada-2", "Ada L."),
        ]
    );
    let _other = rooms.join(&room("river"), &name("Grace"), ear.clone());
    assert_eq!(ear.heard()[1]["name"], "Grace");
}

#[test]
fn who_does_not_keep_up_is_out_at_once_and_the_others_are_told() {
    let rooms = Rooms::default();
    let (ada, slow, slower) = (Ear::new(), Ear::of_limit(3), Ear::of_limit(2));
    let talker = rooms.join(&room("river"), &name("Ada"), ada.clone());
    let slow_seat = rooms.join(&room("river"), &name("Slow"), slow.clone());
    let slower_seat = rooms.join(&room("river"), &name("Slower"), slower.clone());
    ada.heard();
    talker.say("one", UNIX_EPOCH);
    assert!(!slow.0.given_up.load(Ordering::SeqCst));
    talker.say("two", UNIX_EPOCH);
    assert!(slow.0.given_up.load(Ordering::SeqCst));
    assert!(slower.0.given_up.load(Ordering::SeqCst));
    let told = ada.heard();
    let kinds: Vec<_> = told.iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["message", "message", "left", "left"]);
    // What they say now, and that they leave, concerns nobody.
    slow_seat.say("late", UNIX_EPOCH);
    slow_seat.rename(&name("Late"));
    drop(slow_seat);
    drop(slower_seat);
    assert!(ada.heard().is_empty());
    let back = rooms.join(&room("river"), &name("Slow"), Ear::new());
    assert_eq!(ada.heard(), [json!({"type": "joined", "name": "Slow"})]);
    drop(back);
}

#[test]
fn a_room_is_gone_with_the_last_who_leaves_it() {
    let rooms = Rooms::default();
    let ada = rooms.join(&room("river"), &name("Ada"), Ear::new());
    let grace = rooms.join(&room("river"), &name("Grace"), Ear::new());
    drop(ada);
    assert_eq!(lock(&rooms.0).len(), 1);
    drop(grace);
    assert_eq!(lock(&rooms.0).len(), 0);
}

#[test]
fn a_room_is_gone_also_when_its_last_member_was_given_up() {
    let rooms = Rooms::default();
    let seat = rooms.join(&room("river"), &name("Ada"), Ear::of_limit(1));
    seat.say("too much", UNIX_EPOCH);
    assert!(lock(&seat.room).members.is_empty());
    drop(seat);
    assert_eq!(lock(&rooms.0).len(), 0);
}

#[test]
fn who_finds_a_closed_room_opens_another() {
    let rooms = Rooms::default();
    let seat = rooms.join(&room("river"), &name("Ada"), Ear::new());
    // As if the last one had left, and not yet taken the room off the list.
    let old = rooms.find_or_open(&room("river"));
    lock(&old).closed = true;
    let ear = Ear::new();
    let _other = rooms.join(&room("river"), &name("Grace"), ear.clone());
    assert_eq!(ear.heard()[0]["people"], json!(["Grace"]));
    // Leaving the old one does not take the new one away.
    drop(seat);
    assert_eq!(lock(&rooms.0).len(), 1);
}

#[test]
fn a_list_kept_by_the_events_is_right_whoever_comes_and_goes_at_once() {
    const PEOPLE: usize = 8;
    const TURNS: usize = 200;
    let rooms = Rooms::default();
    let witness = Ear::new();
    let seat = rooms.join(&room("river"), &name("Witness"), witness.clone());
    let _ = thread::scope(|scope| {
        let threads: Vec<_> = (0..PEOPLE)
            .map(|person| {
                let rooms = rooms.clone();
                scope.spawn(move || {
                    for turn in 0..TURNS {
                        let ear = Ear::new();
                        let seat = rooms.join(&room("river"), &name("Ada"), ear.clone());
                        seat.say("here", UNIX_EPOCH);
                        if turn % 3 == person % 3 {
                            seat.rename(&name("Grace"));
                        }
                        drop(seat);
                        check(&ear.heard());
                        // A room that is empty again and again.
                        drop(rooms.join(&room("sea"), &name("Ada"), Ear::new()));
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .count()
    });
    assert_eq!(check(&witness.heard()), ["Witness"]);
    drop(seat);
    assert!(lock(&rooms.0).is_empty());
}

/// Keeps the list as a client does, and gives the one it ends with.
fn check(events: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut people: Vec<String> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        let position = |name: &Value| people.iter().position(|known| *known == text(name));
        match event["type"].as_str().expect("a type") {
            "welcome" => {
                assert_eq!(at, 0, "the welcome comes first, and once");
                people = event["people"]
                    .as_array()
                    .expect("a list")
                    .iter()
                    .map(text)
                    .collect();
                assert_eq!(people.last(), Some(&text(&event["name"])));
            }
            "joined" => {
                assert_eq!(position(&event["name"]), None, "{event}");
                people.push(text(&event["name"]));
            }
            "left" => {
                let at = position(&event["name"]).expect("somebody who is here");
                people.remove(at);
            }
            "renamed" => {
                let at = position(&event["from"]).expect("somebody who is here");
                assert_eq!(position(&event["to"]), None, "{event}");
                people[at] = text(&event["to"]);
            }
            "message" => assert!(position(&event["from"]).is_some(), "{event}"),
            other => panic!("{other}"),
        }
    }
    people
}
