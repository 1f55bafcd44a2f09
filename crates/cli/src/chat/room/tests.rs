//! Tests of rooms without sockets.

use std::thread;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};
use sockeye::topics::{Clients, History, Policy};
use tokio::task::yield_now;

use super::*;
use crate::chat::ear::{Ear, without_ids};

fn topics() -> Topics {
    let policy = Policy::new()
        .history(History::window(100, Duration::from_secs(3600)))
        .clients(Clients::subscribe());
    let topics = Topics::builder().pattern("room/{id}", policy).build();
    topics.expect("a valid pattern")
}

fn rooms() -> Rooms<Ear> {
    Rooms::new(topics(), MAX_PEOPLE, Nodes::One)
}

impl Rooms<Ear> {
    /// Joins a room that is not full.
    async fn enter(&self, room: &RoomName, name: &Name, ear: Ear) -> Member<Ear> {
        let joined = self.join(room, name, ear).await;
        joined.expect("the room is not full")
    }
}

/// Lets a member leave.
async fn leave(member: Member<Ear>) {
    drop(member);
    // The task that leaves waits for nothing else.
    yield_now().await;
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
    let _ada = rooms.enter(&room("river"), &name("Ada"), ada.clone()).await;
    let _grace = rooms
        .enter(&room("river"), &name("Grace"), grace.clone())
        .await;
    assert_eq!(
        ada.heard(),
        [
            json!({"type": "welcome", "room": "river", "name": "Ada", "people": ["Ada"], "history": "room/river"}),
            json!({"type": "joined", "name": "Grace"}),
        ]
    );
    assert_eq!(
        grace.heard(),
        [
            json!({"type": "welcome", "room": "river", "name": "Grace", "people": ["Ada", "Grace"], "history": "room/river"})
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_said_is_heard_in_the_room_and_nowhere_else() {
    let rooms = rooms();
    let (ada, grace, linus) = (Ear::new(), Ear::new(), Ear::new());
    let member = rooms.enter(&room("river"), &name("Ada"), ada.clone()).await;
    let _grace = rooms
        .enter(&room("river"), &name("Grace"), grace.clone())
        .await;
    let _linus = rooms
        .enter(&room("sea"), &name("Linus"), linus.clone())
        .await;
    for ear in [&ada, &grace, &linus] {
        ear.heard();
    }
    member.say("hi", UNIX_EPOCH).await.expect("it is told");
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
    let _first = rooms.enter(&here, &name("Ada"), Ear::new()).await;
    let second = rooms.enter(&here, &name("ada"), Ear::new()).await;
    let _third = rooms.enter(&here, &name("ADA"), ear.clone()).await;
    assert_eq!(ear.heard()[0]["people"], json!(["Ada", "ada-2", "ADA-3"]));
    leave(second).await;
    let _fourth = rooms.enter(&here, &name("Ada"), Ear::new()).await;
    let told = ear.heard();
    assert_eq!(told[0], json!({"type": "left", "name": "ada-2"}));
    assert_eq!(told[1], json!({"type": "joined", "name": "Ada-2"}));
    let elsewhere = Ear::new();
    let _fifth = rooms
        .enter(&room("sea"), &name("Ada"), elsewhere.clone())
        .await;
    assert_eq!(elsewhere.heard()[0]["name"], "Ada");
}

#[tokio::test(start_paused = true)]
async fn a_new_name_is_told_to_all_and_the_old_one_is_free() {
    let rooms = rooms();
    let ear = Ear::new();
    let ada = rooms.enter(&room("river"), &name("Ada"), ear.clone()).await;
    let grace = rooms
        .enter(&room("river"), &name("Grace"), Ear::new())
        .await;
    ear.heard();
    grace.rename(&name("Ada")).await.expect("it is told");
    ada.rename(&name("Ada")).await.expect("it is told");
    ada.rename(&name("ADA")).await.expect("it is told");
    grace.rename(&name("Ada L.")).await.expect("it is told");
    let renamed = |from, to| json!({"type": "renamed", "from": from, "to": to});
    assert_eq!(
        ear.heard(),
        [
            renamed("Grace", "Ada-2"),
            renamed("Ada", "ADA"),
            renamed("Ada-2", "Ada L."),
        ]
    );
    let _other = rooms
        .enter(&room("river"), &name("Grace"), ear.clone())
        .await;
    assert_eq!(ear.heard()[1]["name"], "Grace");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_keep_up_is_dropped_at_once_and_the_others_learn_of_it() {
    let rooms = rooms();
    let (ada, slow, slower) = (Ear::new(), Ear::of_limit(3), Ear::of_limit(2));
    let talker = rooms.enter(&room("river"), &name("Ada"), ada.clone()).await;
    let slow_seat = rooms
        .enter(&room("river"), &name("Slow"), slow.clone())
        .await;
    let slower_seat = rooms
        .enter(&room("river"), &name("Slower"), slower.clone())
        .await;
    ada.heard();
    talker.say("one", UNIX_EPOCH).await.expect("it is told");
    assert!(!slow.was_given_up());
    talker.say("two", UNIX_EPOCH).await.expect("it is told");
    assert!(slow.was_given_up());
    assert!(slower.was_given_up());
    let told = ada.heard();
    let kinds: Vec<_> = told.iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["message", "message", "left", "left"]);
    // Their further texts, and their leaving, are not sent to the others.
    slow_seat.say("late", UNIX_EPOCH).await.expect("it is told");
    slow_seat.rename(&name("Late")).await.expect("it is told");
    leave(slow_seat).await;
    leave(slower_seat).await;
    assert!(ada.heard().is_empty());
    let back = rooms.enter(&room("river"), &name("Slow"), Ear::new()).await;
    assert_eq!(ada.heard(), [json!({"type": "joined", "name": "Slow"})]);
    drop(back);
}

#[tokio::test(start_paused = true)]
async fn a_room_is_gone_when_its_last_member_leaves() {
    let rooms = rooms();
    let ada = rooms.enter(&room("river"), &name("Ada"), Ear::new()).await;
    let grace = rooms
        .enter(&room("river"), &name("Grace"), Ear::new())
        .await;
    leave(ada).await;
    assert_eq!(lock(&rooms.listed).len(), 1);
    leave(grace).await;
    assert_eq!(lock(&rooms.listed).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_room_is_gone_also_when_its_last_member_was_given_up() {
    let rooms = rooms();
    let member = rooms
        .enter(&room("river"), &name("Ada"), Ear::of_limit(1))
        .await;
    member
        .say("too much", UNIX_EPOCH)
        .await
        .expect("it is told");
    assert!(member.room.state.lock().is_empty());
    leave(member).await;
    assert_eq!(lock(&rooms.listed).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_finds_a_closed_room_opens_another() {
    let rooms = rooms();
    let member = rooms.enter(&room("river"), &name("Ada"), Ear::new()).await;
    let old = rooms.find_or_open("river", &room("river"));
    let order = old.order.lock().await;
    // Ada leaves before Grace joins.
    leave(member).await;
    let ear = Ear::new();
    let joining = tokio::spawn({
        let (rooms, ear) = (rooms.clone(), ear.clone());
        async move { rooms.enter(&room("river"), &name("Grace"), ear).await }
    });
    yield_now().await;
    drop(order);
    let _grace = joining.await.expect("no panic");
    assert_eq!(ear.heard()[0]["people"], json!(["Grace"]));
    assert!(old.state.lock().closed);
    assert_eq!(lock(&rooms.listed).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_room_is_gone_also_when_its_first_client_goes_while_it_joins() {
    let rooms = rooms();
    let room = room("river");
    let opened = rooms.find_or_open("river", &room);
    // The client goes before it has a place.
    drop(Member {
        number: None,
        key: "river".to_owned(),
        room: opened,
        rooms: rooms.clone(),
    });
    yield_now().await;
    assert!(lock(&rooms.listed).is_empty());
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
    let (here, wanted) = (room("river"), name("Witness"));
    let member = runtime.block_on(rooms.enter(&here, &wanted, witness.clone()));
    let _ = thread::scope(|scope| {
        let threads: Vec<_> = (0..PEOPLE)
            .map(|person| {
                let rooms = rooms.clone();
                scope.spawn(move || {
                    let _in_runtime = handle.enter();
                    for turn in 0..TURNS {
                        let ear = Ear::new();
                        handle.block_on(async {
                            let member =
                                rooms.enter(&room("river"), &name("Ada"), ear.clone()).await;
                            member.say("here", UNIX_EPOCH).await.expect("it is told");
                            if turn % 3 == person % 3 {
                                member.rename(&name("Grace")).await.expect("it is told");
                            }
                            drop(member);
                            check(&ear.heard());
                            // This room becomes empty again and again.
                            drop(rooms.enter(&room("sea"), &name("Ada"), Ear::new()).await);
                        });
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .count()
    });
    runtime.block_on(async {
        while member.room.state.lock().len() > 1 {
            yield_now().await;
        }
        // The last one to leave tells it under the order.
        drop(member.room.order.lock().await);
        assert_eq!(check(&witness.heard()), ["Witness"]);
        drop(member);
        while !lock(&rooms.listed).is_empty() {
            yield_now().await;
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_room_holds_as_many_people_as_it_may_and_a_place_is_free_when_one_leaves() {
    let rooms = rooms();
    let here = room("river");
    let mut members = Vec::new();
    for _ in 0..MAX_PEOPLE.get() {
        members.push(rooms.enter(&here, &name("Ada"), Ear::new()).await);
    }
    let late = Ear::new();
    let refused = rooms.join(&here, &name("Late"), late.clone()).await;
    assert_eq!(refused.err(), Some(JoinError::Full));
    assert!(late.heard().is_empty());
    // Other rooms have free places.
    let _sea = rooms.enter(&room("sea"), &name("Late"), Ear::new()).await;
    leave(members.pop().expect("a member")).await;
    assert!(rooms.join(&here, &name("Late"), Ear::new()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_welcome_lists_the_100_that_came_last_and_counts_the_others() {
    let rooms = rooms();
    let here = room("river");
    let mut members = Vec::new();
    let mut welcomes = Vec::new();
    for number in 1..=101 {
        let ear = Ear::new();
        members.push(
            rooms
                .enter(&here, &name(&format!("P{number}")), ear.clone())
                .await,
        );
        welcomes.push(ear.heard().swap_remove(0));
    }
    let hundredth = &welcomes[99];
    assert_eq!(hundredth["people"].as_array().map(Vec::len), Some(100));
    assert_eq!(hundredth.get("more"), None);
    let next = &welcomes[100];
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
    let _witness = rooms.enter(&here, &name("Witness"), witness.clone()).await;
    witness.heard();
    // Five members cost 1 + 2 + 3 + 4 deliveries, which is one more than the budget.
    let first = Ear::new();
    let mut members = vec![rooms.enter(&here, &name("P1"), first.clone()).await];
    for number in 2..=5 {
        members.push(
            rooms
                .enter(&here, &name(&format!("P{number}")), Ear::new())
                .await,
        );
    }
    let told = witness.heard();
    assert_eq!(told.len(), 4);
    assert_eq!(told[3], json!({"type": "joined", "name": "P4"}));
    // The list includes the changes until it is sent.
    members[0].rename(&name("First")).await.expect("it is told");
    let renamed = json!({"type": "renamed", "from": "P1", "to": "First"});
    assert_eq!(
        first.heard().pop(),
        Some(renamed),
        "a member always learns its own name"
    );
    leave(members.remove(1)).await;
    members[0]
        .say("hello", UNIX_EPOCH)
        .await
        .expect("it is told");
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
    leave(members.pop().expect("a member")).await;
    assert_eq!(witness.heard(), [json!({"type": "left", "name": "P5"})]);
}

#[tokio::test(start_paused = true)]
async fn what_a_crowd_costs_grows_with_its_size_and_not_with_the_square() {
    let told_to_all = |people: usize| async move {
        let rooms = rooms();
        let ears: Vec<Ear> = (0..people).map(|_| Ear::new()).collect();
        let mut members = Vec::new();
        for ear in &ears {
            members.push(rooms.enter(&room("river"), &name("Ada"), ear.clone()).await);
        }
        sleep(LIST_PERIOD * 2).await;
        // The crowd changes its names, and leaves.
        for member in &members {
            member.rename(&name("Grace")).await.expect("it is told");
        }
        sleep(LIST_PERIOD * 2).await;
        let told = ears.iter().map(|ear| ear.heard().len()).sum::<usize>();
        drop(members);
        while !lock(&rooms.listed).is_empty() {
            yield_now().await;
        }
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
    let talker = rooms.enter(&here, &name("Ada"), talks).await;
    let ears: Vec<Ear> = (0..400).map(|_| Ear::new()).collect();
    let mut deaf = Vec::new();
    for ear in &ears {
        deaf.push(rooms.enter(&here, &name("Deaf"), ear.clone()).await);
    }
    let _witness = rooms.enter(&here, &name("Grace"), witness.clone()).await;
    sleep(LIST_PERIOD * 20).await;
    witness.heard();
    for ear in &ears {
        ear.read_nothing();
    }
    talker.say("hello", UNIX_EPOCH).await.expect("it is told");
    sleep(LIST_PERIOD * 20).await;
    assert!(ears.iter().all(|ear| ear.was_given_up()));
    // The budget suffices for 2,500 changes in a room of two.
    let told = witness.heard();
    assert_eq!(told[0]["type"], "message");
    assert!(told[1..].iter().all(|event| event["type"] == "left"));
    assert_eq!(told.len(), 1 + 400);
    assert_eq!(talker.room.state.lock().len(), 2);
    drop(deaf);
}

#[tokio::test(start_paused = true)]
async fn the_topic_has_each_event_that_a_member_hears_in_the_same_order() {
    let rooms = rooms();
    let ear = Ear::new();
    let ada = rooms.enter(&room("river"), &name("Ada"), ear.clone()).await;
    ada.say("hi", UNIX_EPOCH).await.expect("it is told");
    ada.rename(&name("Ada L.")).await.expect("it is told");
    leave(
        rooms
            .enter(&room("River"), &name("Grace"), Ear::new())
            .await,
    )
    .await;
    ada.say("bye", UNIX_EPOCH).await.expect("it is told");
    let heard = ear.heard();
    let events = events_of(&rooms.topics).await;
    assert_eq!(events[0], json!({"type": "joined", "name": "Ada"}));
    assert_eq!(events[1..], heard[1..]);
    assert_eq!(events.len(), 6);
}

/// Returns the events of the room `river`.
async fn events_of(topics: &Topics) -> Vec<Value> {
    let page = topics.history("room/river", RECENT).await;
    let Ok(Catchup::Whole { entries, .. }) = page else {
        panic!("{page:?}");
    };
    let texts = entries
        .iter()
        .map(|entry| entry.body.message.as_text().expect("a text"));
    texts.map(without_ids).collect()
}

#[tokio::test(start_paused = true)]
async fn a_node_gives_no_name_that_it_knows_from_another_node() {
    let topics = topics();
    let [one, other] = [(); 2].map(|()| Rooms::new(topics.clone(), MAX_PEOPLE, Nodes::One));
    let ear = Ear::new();
    let _ada = one.enter(&room("river"), &name("Ada"), Ear::new()).await;
    let _other = other.enter(&room("river"), &name("Ada"), ear.clone()).await;
    let welcome = ear.heard().swap_remove(0);
    assert_eq!(welcome["people"], json!(["Ada", "Ada-2"]));
}

#[tokio::test(start_paused = true)]
async fn of_two_nodes_that_give_one_name_the_later_one_gives_another_to_its_own_member() {
    let topics = topics();
    let [one, other] = [(); 2].map(|()| Rooms::new(topics.clone(), MAX_PEOPLE, Nodes::One));
    let [first, second] = [(); 2].map(|()| Ear::new());
    let _linus = one
        .enter(&room("river"), &name("Linus"), first.clone())
        .await;
    let grace = other
        .enter(&room("river"), &name("Grace"), second.clone())
        .await;
    // The other node has not heard of it.
    let ada = one.enter(&room("river"), &name("Ada"), Ear::new()).await;
    second.heard();
    grace.rename(&name("Ada")).await.expect("it is told");
    let renamed = |from, to| json!({"type": "renamed", "from": from, "to": to});
    let told = [renamed("Grace", "Ada"), renamed("Ada", "Ada-2")];
    assert_eq!(second.heard(), told);
    assert_eq!(events_of(&topics).await[3..], told);
    // Both nodes have the same list.
    for rooms in [&one, &other] {
        let late = Ear::new();
        leave(
            rooms
                .enter(&room("river"), &name("Late"), late.clone())
                .await,
        )
        .await;
        let mut people: Vec<Value> = late.heard()[0]["people"]
            .as_array()
            .expect("a list")
            .clone();
        people.sort_by_key(Value::to_string);
        assert_eq!(people, ["Ada", "Ada-2", "Late", "Linus"]);
    }
    leave(ada).await;
}

#[tokio::test(start_paused = true)]
async fn a_room_that_opens_again_has_no_member_of_before() {
    let rooms = Rooms {
        changes: rate(1, 3),
        ..rooms()
    };
    let here = room("river");
    let mut members = Vec::new();
    for _ in 0..4 {
        members.push(rooms.enter(&here, &name("Ada"), Ear::new()).await);
    }
    // The budget is used up: they leave without an event of their own, but for the list.
    drop(members);
    yield_now().await;
    assert!(lock(&rooms.listed).is_empty());
    let ear = Ear::new();
    let _ada = rooms.enter(&here, &name("Ada"), ear.clone()).await;
    assert_eq!(ear.heard()[0]["people"], json!(["Ada"]));
}

#[tokio::test(start_paused = true)]
async fn rooms_whose_names_look_the_same_are_one_room() {
    let rooms = rooms();
    let ear = Ear::new();
    let _ada = rooms.enter(&room("river"), &name("Ada"), Ear::new()).await;
    let _grace = rooms
        .enter(&room("Ri\u{200d}VER"), &name("Grace"), ear.clone())
        .await;
    assert_eq!(ear.heard()[0]["people"], json!(["Ada", "Grace"]));
    assert_eq!(lock(&rooms.listed).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_looks_like_one_that_is_taken_gets_a_number() {
    let rooms = rooms();
    let ear = Ear::new();
    let _ada = rooms.enter(&room("river"), &name("Ada"), ear.clone()).await;
    let others = ["A\u{200d}da", "Ａda", "ADA"];
    let mut members = Vec::new();
    for other in others {
        members.push(rooms.enter(&room("river"), &name(other), Ear::new()).await);
    }
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
