//! Members whose node has ended, in rooms on two or three nodes with one topic.

use serde_json::{Value, json};
use sockeye::Topics;
use sockeye::topics::{Catchup, History, Policy, Since};

use super::*;
use crate::chat::ear::{Ear, Here, without_ids};
use crate::chat::name::{Name, RoomName};
use crate::chat::room::{MAX_PEOPLE, Member, Nodes, Rooms};
use crate::chat::state::State;
use crate::pace::rate;

struct World {
    topics: Topics,
    here: Here,
}

impl World {
    fn new() -> Self {
        let policy = Policy::new().history(History::window(100, Duration::from_secs(3600)));
        let topics = Topics::builder().pattern("room/{id}", policy).build();
        Self {
            topics: topics.expect("a valid pattern"),
            here: Here::default(),
        }
    }

    fn node(&self) -> Rooms<Ear> {
        Rooms::new(self.topics.clone(), MAX_PEOPLE, Nodes::Many)
    }

    async fn enter(&self, node: &Rooms<Ear>, name: &str) -> (Member<Ear>, Ear) {
        let ear = Ear::among(&self.here);
        let name = Name::parse(name).expect("a name");
        let room = RoomName::parse("river").expect("a room's name");
        let member = node.join(&room, &name, ear.clone()).await;
        (member.expect("the room is not full"), ear)
    }

    /// Returns the kinds and the names of the room's events.
    async fn events(&self) -> Vec<String> {
        let page = self.topics.history("room/river", Since::Recent(100)).await;
        let Ok(Catchup::Whole { entries, .. }) = page else {
            panic!("{page:?}");
        };
        let texts = entries.iter().map(|entry| &entry.body.message);
        let events = texts.map(|text| without_ids(text.as_text().expect("a text")));
        let words = |event: &Value, field: &str| event[field].as_str().unwrap_or("").to_owned();
        let said = events.map(|event| (words(&event, "type"), words(&event, "name")));
        said.map(|(kind, name)| format!("{kind} {name}")).collect()
    }
}

/// Lets each node read who is present, twice and once more.
async fn wait() {
    sleep(3 * PERIOD).await;
}

#[tokio::test(start_paused = true)]
async fn the_members_of_a_node_that_ended_have_left_once_for_all() {
    let world = World::new();
    let [one, other, third] = [(); 3].map(|()| world.node());
    let (_ada, ear) = world.enter(&one, "Ada").await;
    let (_grace, _) = world.enter(&third, "Grace").await;
    let (_linus, gone) = world.enter(&other, "Linus").await;
    let before = ["joined Ada", "joined Grace", "joined Linus"];
    wait().await;
    assert_eq!(world.events().await, before);
    ear.heard();

    world.here.remove(&gone);
    wait().await;
    let events = world.events().await;
    assert_eq!(events[..3], before);
    // Two nodes have found it.
    assert_eq!(events[3..], ["left Linus"]);
    // Both have the list without it.
    for node in [&one, &third] {
        let (_late, ear) = world.enter(node, "Late").await;
        let people = ear.heard().swap_remove(0)["people"].clone();
        let names = people.as_array().expect("a list");
        assert!(!names.contains(&json!("Linus")), "{people}");
        assert!(names.contains(&json!("Ada")), "{people}");
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_publish_with_one_key_that_a_member_left_until_it_joins_again() {
    let joined = r#"{"type":"joined","name":"Ada","id":"1"}"#;
    let at = |offset: u64| {
        format!("AAAAAAAAAAE:{offset}:AAAAAAAAAAE")
            .parse()
            .expect("a position")
    };
    let [mut one, mut other] = [(); 2].map(|()| State::<Ear>::new(rate(1000, 5000)));
    let mut keys = Vec::new();
    for offset in [1, 7] {
        // The other node has learned of the member from its message.
        one.apply(joined, at(offset));
        let said = r#"{"type":"message","from":"Ada","text":"hi","time":"","id":"1"}"#;
        for state in [&mut one, &mut other] {
            state.apply(said, at(offset + 1));
        }
        let gone = [&mut one, &mut other].map(|state| state.remove_gone("1", Instant::now()));
        let [first, second] = gone;
        assert_eq!(first, second);
        keys.extend(first.map(|(_, key)| key));
        assert_eq!(one.remove_gone("1", Instant::now()), None);
    }
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_leaves_in_order_has_left_once() {
    let world = World::new();
    let [one, other] = [(); 2].map(|()| world.node());
    let (_ada, _) = world.enter(&one, "Ada").await;
    let (grace, gone) = world.enter(&other, "Grace").await;
    wait().await;
    // Its session ends, and its node tells that it left.
    world.here.remove(&gone);
    drop(grace);
    wait().await;
    assert_eq!(
        world.events().await,
        ["joined Ada", "joined Grace", "left Grace"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_missing_in_one_reading_stays() {
    let world = World::new();
    let [one, other] = [(); 2].map(|()| world.node());
    let (_ada, _) = world.enter(&one, "Ada").await;
    let (_grace, late) = world.enter(&other, "Grace").await;
    wait().await;
    world.here.remove(&late);
    sleep(PERIOD).await;
    world.here.add(&late);
    wait().await;
    assert_eq!(world.events().await, ["joined Ada", "joined Grace"]);
}

#[tokio::test(start_paused = true)]
async fn a_member_of_a_node_that_was_frozen_joins_again_and_may_be_gone_again() {
    let world = World::new();
    let [one, other] = [(); 2].map(|()| world.node());
    let (_ada, _) = world.enter(&one, "Ada").await;
    let (grace, frozen) = world.enter(&other, "Grace").await;
    wait().await;
    let mut expected = vec!["joined Ada", "joined Grace"];
    for _ in 0..2 {
        world.here.remove(&frozen);
        wait().await;
        expected.push("left Grace");
        assert_eq!(world.events().await, expected);
        world.here.add(&frozen);
        let now = std::time::SystemTime::now();
        grace.say("I am here", now).await.expect("it is told");
        expected.extend(["message ", "joined Grace"]);
        assert_eq!(world.events().await, expected);
        wait().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_member_that_was_taken_for_gone_joins_again_when_its_node_is_back() {
    let world = World::new();
    let [one, other] = [(); 2].map(|()| world.node());
    let (_ada, _) = world.enter(&one, "Ada").await;
    let (_grace, cut_off) = world.enter(&other, "Grace").await;
    wait().await;
    let mut expected = vec!["joined Ada", "joined Grace"];
    for _ in 0..2 {
        world.here.remove(&cut_off);
        wait().await;
        expected.push("left Grace");
        assert_eq!(world.events().await, expected);
        world.here.add(&cut_off);
        wait().await;
        expected.push("joined Grace");
        assert_eq!(world.events().await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn members_on_other_nodes_stay_when_events_of_the_room_are_lost() {
    let world = World::new();
    let [one, other] = [(); 2].map(|()| world.node());
    let (ada, _) = world.enter(&one, "Ada").await;
    let (_grace, gone) = world.enter(&other, "Grace").await;
    let now = std::time::SystemTime::now();
    ada.say("I know Grace", now).await.expect("it is told");
    for _ in 0..100 {
        let event = sockeye::proto::PreparedMessage::new("{}");
        let published = world.topics.publish("room/river", &event).await;
        published.expect("it is published");
    }
    ada.say("I have lost events", now)
        .await
        .expect("it is told");
    let (_late, ear) = world.enter(&one, "Late").await;
    let people = ear.heard().swap_remove(0)["people"].clone();
    assert_eq!(people, json!(["Grace", "Ada", "Late"]));
    world.here.remove(&gone);
    wait().await;
    assert_eq!(ear.heard(), [json!({"type": "left", "name": "Grace"})]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lost_the_events_of_the_room_takes_no_member_for_gone_at_once() {
    let world = World::new();
    let [one, other] = [(); 2].map(|()| world.node());
    let (ada, ear) = world.enter(&one, "Ada").await;
    let (_grace, late) = world.enter(&other, "Grace").await;
    let now = std::time::SystemTime::now();
    ada.say("I know Grace", now).await.expect("it is told");
    ear.heard();
    for _ in 0..101 {
        let event = sockeye::proto::PreparedMessage::new("{}");
        let published = world.topics.publish("room/river", &event).await;
        published.expect("it is published");
    }
    world.here.remove(&late);
    wait().await;
    world.here.add(&late);
    wait().await;
    assert_eq!(ear.heard(), [json!(null); 0]);

    world.here.remove(&late);
    wait().await;
    wait().await;
    assert_eq!(ear.heard(), [json!({"type": "left", "name": "Grace"})]);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_opens_after_the_end_of_a_node_learns_that_its_members_are_gone() {
    let world = World::new();
    let [one, other] = [(); 2].map(|()| world.node());
    let (_grace, gone) = world.enter(&other, "Grace").await;
    world.here.remove(&gone);
    let (_ada, ear) = world.enter(&one, "Ada").await;
    let people = ear.heard().swap_remove(0)["people"].clone();
    assert_eq!(people, json!(["Grace", "Ada"]));
    wait().await;
    assert_eq!(ear.heard(), [json!({"type": "left", "name": "Grace"})]);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_opens_later_knows_the_members_that_its_events_no_longer_name() {
    let world = World::new();
    let [one, other] = [(); 2].map(|()| world.node());
    let (_grace, _) = world.enter(&other, "Grace").await;
    let (ada, silent) = world.enter(&other, "Ada").await;
    let name = Name::parse("Ada L.").expect("a name");
    ada.rename(&name).await.expect("it is told");
    for _ in 0..100 {
        let event = sockeye::proto::PreparedMessage::new("{}");
        let published = world.topics.publish("room/river", &event).await;
        published.expect("it is published");
    }
    let (_late, ear) = world.enter(&one, "Grace").await;
    let people = ear.heard().swap_remove(0)["people"].clone();
    let mut people: Vec<_> = people.as_array().expect("a list").iter().collect();
    // Both came at the same time, as far as the test says.
    people[..2].sort_by_key(ToString::to_string);
    // Its present name is known, and a name that is taken is not given again.
    assert_eq!(people, ["Ada L.", "Grace", "Grace-2"]);
    // Its end is noticed.
    wait().await;
    world.here.remove(&silent);
    wait().await;
    assert_eq!(ear.heard(), [json!({"type": "left", "name": "Ada L."})]);
}
