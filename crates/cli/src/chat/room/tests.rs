//! Tests of rooms without sockets: a listener keeps the messages that it gets.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};
use sockeye::error::SendError;

use super::*;

fn rooms() -> Rooms<Ear> {
    Rooms::new(MAX_PEOPLE)
}

/// A listener that reads its messages when the test asks for them, and holds `limit` messages until then.
#[derive(Clone, Debug)]
struct Ear(Arc<Heard>);

#[derive(Debug)]
struct Heard {
    limit: AtomicUsize,
    messages: Mutex<VecDeque<String>>,
    given_up: AtomicBool,
}

impl Ear {
    fn new() -> Self {
        Self::of_limit(usize::MAX)
    }

    fn of_limit(limit: usize) -> Self {
        Self(Arc::new(Heard {
            limit: AtomicUsize::new(limit),
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
    type Sent = Ready<Result<(), SendError>>;

    fn tell(&self, message: &PreparedMessage) -> Result<Self::Sent, SendError> {
        let mut messages = lock(&self.0.messages);
        if messages.len() >= self.0.limit.load(Ordering::SeqCst) {
            return Err(SendError::Full);
        }
        let text = message.message().as_text().expect("a text");
        messages.push_back(text.to_owned());
        Ok(ready(Ok(())))
    }

    fn give_up(&self) {
        self.0.given_up.store(true, Ordering::SeqCst);
    }
}

impl Rooms<Ear> {
    /// Joins a room that is not full.
    fn enter(&self, room: &RoomName, name: &Name, ear: Ear) -> Member<Ear> {
        self.join(room, name, ear).expect("the room is not full")
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn room(text: &str) -> RoomName {
    RoomName::parse(text).expect("a room's name")
}

#[tokio::test(start_paused = true)]
async fn a_new_member_gets_the_list_and_the_others_learn_of_it() {
    let rooms = rooms();
    let (ada, grace) = (Ear::new(), Ear::new());
    let _ada = rooms.enter(&room("river"), &name("Ada"), ada.clone());
    let _grace = rooms.enter(&room("river"), &name("Grace"), grace.clone());
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

#[tokio::test(start_paused = true)]
async fn what_is_said_is_heard_in_the_room_and_nowhere_else() {
    let rooms = rooms();
    let (ada, grace, linus) = (Ear::new(), Ear::new(), Ear::new());
    let member = rooms.enter(&room("river"), &name("Ada"), ada.clone());
    let _grace = rooms.enter(&room("river"), &name("Grace"), grace.clone());
    let _linus = rooms.enter(&room("sea"), &name("Linus"), linus.clone());
    for ear in [&ada, &grace, &linus] {
        ear.heard();
    }
    member.say("hi", UNIX_EPOCH).await;
    let time = "1970-01-01T00:00:00.000Z";
    let said = json!({"type": "message", "from": "Ada", "text": "hi", "time": time});
    assert_eq!(ada.heard(), std::slice::from_ref(&said));
    assert_eq!(grace.heard(), [said]);
    assert!(linus.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_taken_name_gets_a_number_in_any_letter_case() {
    let rooms = rooms();
    let ear = Ear::new();
    let here = room("river");
    let _first = rooms.enter(&here, &name("Ada"), Ear::new());
    let second = rooms.enter(&here, &name("ada"), Ear::new());
    let _third = rooms.enter(&here, &name("ADA"), ear.clone());
    assert_eq!(ear.heard()[0]["people"], json!(["Ada", "ada-2", "ADA-3"]));
    drop(second);
    let _fourth = rooms.enter(&here, &name("Ada"), Ear::new());
    let told = ear.heard();
    assert_eq!(told[0], json!({"type": "left", "name": "ada-2"}));
    assert_eq!(told[1], json!({"type": "joined", "name": "Ada-2"}));
    let elsewhere = Ear::new();
    let _fifth = rooms.enter(&room("sea"), &name("Ada"), elsewhere.clone());
    assert_eq!(elsewhere.heard()[0]["name"], "Ada");
}

#[tokio::test(start_paused = true)]
async fn a_new_name_is_told_to_all_and_the_old_one_is_free() {
    let rooms = rooms();
    let ear = Ear::new();
    let ada = rooms.enter(&room("river"), &name("Ada"), ear.clone());
    let grace = rooms.enter(&room("river"), &name("Grace"), Ear::new());
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
    let _other = rooms.enter(&room("river"), &name("Grace"), ear.clone());
    assert_eq!(ear.heard()[1]["name"], "Grace");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_keep_up_is_dropped_at_once_and_the_others_learn_of_it() {
    let rooms = rooms();
    let (ada, slow, slower) = (Ear::new(), Ear::of_limit(3), Ear::of_limit(2));
    let talker = rooms.enter(&room("river"), &name("Ada"), ada.clone());
    let slow_seat = rooms.enter(&room("river"), &name("Slow"), slow.clone());
    let slower_seat = rooms.enter(&room("river"), &name("Slower"), slower.clone());
    ada.heard();
    talker.say("one", UNIX_EPOCH).await;
    assert!(!slow.0.given_up.load(Ordering::SeqCst));
    talker.say("two", UNIX_EPOCH).await;
    assert!(slow.0.given_up.load(Ordering::SeqCst));
    assert!(slower.0.given_up.load(Ordering::SeqCst));
    let told = ada.heard();
    let kinds: Vec<_> = told.iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["message", "message", "left", "left"]);
    // Their further texts, and their leaving, are not sent to the others.
    slow_seat.say("late", UNIX_EPOCH).await;
    slow_seat.rename(&name("Late"));
    drop(slow_seat);
    drop(slower_seat);
    assert!(ada.heard().is_empty());
    let back = rooms.enter(&room("river"), &name("Slow"), Ear::new());
    assert_eq!(ada.heard(), [json!({"type": "joined", "name": "Slow"})]);
    drop(back);
}

#[tokio::test(start_paused = true)]
async fn a_room_is_gone_when_its_last_member_leaves() {
    let rooms = rooms();
    let ada = rooms.enter(&room("river"), &name("Ada"), Ear::new());
    let grace = rooms.enter(&room("river"), &name("Grace"), Ear::new());
    drop(ada);
    assert_eq!(lock(&rooms.listed).len(), 1);
    drop(grace);
    assert_eq!(lock(&rooms.listed).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_room_is_gone_also_when_its_last_member_was_given_up() {
    let rooms = rooms();
    let member = rooms.enter(&room("river"), &name("Ada"), Ear::of_limit(1));
    member.say("too much", UNIX_EPOCH).await;
    assert!(member.room.lock().people.is_empty());
    drop(member);
    assert_eq!(lock(&rooms.listed).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_finds_a_closed_room_opens_another() {
    let rooms = rooms();
    let member = rooms.enter(&room("river"), &name("Ada"), Ear::new());
    // The last member has left, but the room is still listed.
    let old = rooms.find_or_open("river");
    old.lock().closed = true;
    let ear = Ear::new();
    let _other = rooms.enter(&room("river"), &name("Grace"), ear.clone());
    assert_eq!(ear.heard()[0]["people"], json!(["Grace"]));
    // Leaving the old room does not remove the new one.
    drop(member);
    assert_eq!(lock(&rooms.listed).len(), 1);
}

#[test]
fn a_list_kept_by_the_events_is_right_while_many_join_and_leave_at_once() {
    const PEOPLE: usize = 8;
    const TURNS: usize = 200;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let handle = runtime.handle();
    let rooms = Rooms {
        changes: rate(1_000_000_000, 1_000_000_000),
        ..rooms()
    };
    let witness = Ear::new();
    let member = rooms.enter(&room("river"), &name("Witness"), witness.clone());
    let _ = thread::scope(|scope| {
        let threads: Vec<_> = (0..PEOPLE)
            .map(|person| {
                let rooms = rooms.clone();
                scope.spawn(move || {
                    for turn in 0..TURNS {
                        let ear = Ear::new();
                        let member = rooms.enter(&room("river"), &name("Ada"), ear.clone());
                        handle.block_on(member.say("here", UNIX_EPOCH));
                        if turn % 3 == person % 3 {
                            member.rename(&name("Grace"));
                        }
                        drop(member);
                        check(&ear.heard());
                        // This room becomes empty again and again.
                        drop(rooms.enter(&room("sea"), &name("Ada"), Ear::new()));
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
    drop(member);
    assert!(lock(&rooms.listed).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_room_holds_as_many_people_as_it_may_and_a_place_is_free_when_one_leaves() {
    let rooms = rooms();
    let here = room("river");
    let mut members: Vec<_> = (0..MAX_PEOPLE.get())
        .map(|_| rooms.enter(&here, &name("Ada"), Ear::new()))
        .collect();
    let late = Ear::new();
    let refused = rooms.join(&here, &name("Late"), late.clone());
    assert_eq!(refused.err(), Some(RoomFull));
    assert!(late.heard().is_empty());
    // Other rooms have free places.
    let _sea = rooms.enter(&room("sea"), &name("Late"), Ear::new());
    members.pop();
    assert!(rooms.join(&here, &name("Late"), Ear::new()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_welcome_lists_the_100_that_came_last_and_counts_the_others() {
    let rooms = rooms();
    let here = room("river");
    let mut members = Vec::new();
    let mut welcome_of = |text: &str| {
        let ear = Ear::new();
        members.push(rooms.enter(&here, &name(text), ear.clone()));
        ear.heard().swap_remove(0)
    };
    for number in 1..=99 {
        welcome_of(&format!("P{number}"));
    }
    let hundredth = welcome_of("P100");
    assert_eq!(hundredth["people"].as_array().map(Vec::len), Some(100));
    assert_eq!(hundredth.get("more"), None);
    let next = welcome_of("P101");
    assert_eq!(next["people"].as_array().map(Vec::len), Some(100));
    assert_eq!(
        (&next["people"][0], &next["people"][99]),
        (&json!("P2"), &json!("P101"))
    );
    assert_eq!(next["more"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_comes_is_told_one_by_one_until_the_budget_is_used_up_then_as_a_list() {
    let rooms = Rooms {
        changes: rate(1, 10),
        ..rooms()
    };
    let here = room("river");
    let witness = Ear::new();
    let _witness = rooms.enter(&here, &name("Witness"), witness.clone());
    witness.heard();
    // Five members cost 1 + 2 + 3 + 4 deliveries, which is one more than the budget.
    let first = Ear::new();
    let mut members = vec![rooms.enter(&here, &name("P1"), first.clone())];
    for number in 2..=5 {
        members.push(rooms.enter(&here, &name(&format!("P{number}")), Ear::new()));
    }
    let told = witness.heard();
    assert_eq!(told.len(), 4);
    assert_eq!(told[3], json!({"type": "joined", "name": "P4"}));
    // The list includes the changes until it is sent.
    members[0].rename(&name("First"));
    let renamed = json!({"type": "renamed", "from": "P1", "to": "First"});
    assert_eq!(
        first.heard().pop(),
        Some(renamed),
        "a member always learns its own name"
    );
    members.remove(1);
    members[0].say("hello", UNIX_EPOCH).await;
    let kinds: Vec<_> = witness
        .heard()
        .iter()
        .map(|event| event["type"].clone())
        .collect();
    assert_eq!(kinds, ["message"]);
    sleep(LIST_PERIOD * 2).await;
    let people = ["Witness", "First", "P3", "P4", "P5"];
    assert_eq!(
        witness.heard(),
        [json!({"type": "people", "people": people})]
    );
    // With a new budget each change is sent again.
    sleep(Duration::from_secs(60)).await;
    members.pop();
    assert_eq!(witness.heard(), [json!({"type": "left", "name": "P5"})]);
}

#[tokio::test(start_paused = true)]
async fn what_a_crowd_costs_grows_with_its_size_and_not_with_the_square() {
    let told_to_all = |people: usize| async move {
        let rooms = rooms();
        let ears: Vec<Ear> = (0..people).map(|_| Ear::new()).collect();
        let enter = |ear: &Ear| rooms.enter(&room("river"), &name("Ada"), ear.clone());
        let members: Vec<_> = ears.iter().map(enter).collect();
        sleep(LIST_PERIOD * 2).await;
        // The crowd changes its names, and leaves.
        for member in &members {
            member.rename(&name("Grace"));
        }
        sleep(LIST_PERIOD * 2).await;
        let told = ears.iter().map(|ear| ear.heard().len()).sum::<usize>();
        drop(members);
        assert!(lock(&rooms.listed).is_empty());
        told
    };
    // At most the burst and the budget of a few seconds, the welcomes, and two lists.
    assert!(told_to_all(500).await <= 5_000 + 5 * 1_000 + 500 + 2 * 500);
}

#[tokio::test(start_paused = true)]
async fn many_members_that_are_given_up_together_are_out_at_once_and_the_others_are_told() {
    let rooms = rooms();
    let here = room("river");
    let (talks, witness) = (Ear::new(), Ear::new());
    let talker = rooms.enter(&here, &name("Ada"), talks);
    let ears: Vec<Ear> = (0..400).map(|_| Ear::new()).collect();
    let enter = |ear: &Ear| rooms.enter(&here, &name("Deaf"), ear.clone());
    let deaf: Vec<_> = ears.iter().map(enter).collect();
    let _witness = rooms.enter(&here, &name("Grace"), witness.clone());
    sleep(LIST_PERIOD * 20).await;
    witness.heard();
    for ear in &ears {
        ear.0.limit.store(0, Ordering::SeqCst);
    }
    talker.say("hello", UNIX_EPOCH).await;
    sleep(LIST_PERIOD * 20).await;
    assert!(ears.iter().all(|ear| ear.0.given_up.load(Ordering::SeqCst)));
    // The budget suffices for 2,500 changes in a room of two.
    let told = witness.heard();
    assert_eq!(told[0]["type"], "message");
    assert!(told[1..].iter().all(|event| event["type"] == "left"));
    assert_eq!(told.len(), 1 + 400);
    assert_eq!(rooms.find_or_open("river").lock().people.len(), 2);
    drop(deaf);
}

#[tokio::test(start_paused = true)]
async fn rooms_whose_names_look_the_same_are_one_room() {
    let rooms = rooms();
    let ear = Ear::new();
    let _ada = rooms.enter(&room("river"), &name("Ada"), Ear::new());
    let _grace = rooms.enter(&room("Ri\u{200d}VER"), &name("Grace"), ear.clone());
    assert_eq!(ear.heard()[0]["people"], json!(["Ada", "Grace"]));
    assert_eq!(lock(&rooms.listed).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_looks_like_one_that_is_taken_gets_a_number() {
    let rooms = rooms();
    let ear = Ear::new();
    let _ada = rooms.enter(&room("river"), &name("Ada"), ear.clone());
    let others = ["A\u{200d}da", "Ａda", "ADA"];
    let _seats = others.map(|other| rooms.enter(&room("river"), &name(other), Ear::new()));
    let names: Vec<_> = ear
        .heard()
        .iter()
        .map(|event| event["name"].clone())
        .collect();
    assert_eq!(names, ["Ada", "A\u{200d}da-2", "Ａda-3", "ADA-4"]);
}

/// Applies events to a list, as a client does. Returns the final list.
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
                let at = position(&event["name"]).expect("a member");
                people.remove(at);
            }
            "renamed" => {
                let at = position(&event["from"]).expect("a member");
                assert_eq!(position(&event["to"]), None, "{event}");
                people[at] = text(&event["to"]);
            }
            "message" => assert!(position(&event["from"]).is_some(), "{event}"),
            other => panic!("{other}"),
        }
    }
    people
}
