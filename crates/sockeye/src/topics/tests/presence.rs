//! Presence: members, their number, and what subscribers are told of changes.

use super::*;
use crate::topics::{Presence, SubscribeError};

fn members() -> Policy {
    Policy::new().presence(Presence::members(500))
}

async fn infos(world: &World, topic: &str) -> Vec<String> {
    let listed = world.topics.members(topic, 100).await.unwrap();
    assert!(listed.all);
    let infos = listed
        .members
        .iter()
        .map(|member| member.info.clone().unwrap());
    infos.map(|info| info.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_says_something_of_itself_is_a_member_until_it_leaves() {
    let world = World::with(members());
    let clients = [world.raw(), world.raw(), world.raw()];
    let [ann, bob, silent] = &clients;
    ann.session
        .subscribe("a/1")
        .member("\"ann\"")
        .await
        .unwrap();
    bob.session
        .subscribe("a/1")
        .member("\"bob\"")
        .await
        .unwrap();
    silent.session.subscribe("a/1").await.unwrap();
    let mut here = infos(&world, "a/1").await;
    here.sort();
    assert_eq!(here, ["\"ann\"", "\"bob\""]);
    ann.session.unsubscribe("a/1");
    assert_eq!(infos(&world, "a/1").await, ["\"bob\""]);
    bob.peer.end();
    idle().await;
    assert_eq!(infos(&world, "a/1").await, [""; 0]);
    assert_eq!(world.topics.subscribers("a/1"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_subscribes_again_says_something_else_of_itself() {
    let world = World::with(members());
    let client = world.raw();
    let member = async || {
        let listed = world.topics.members("a/1", 9).await.unwrap();
        let one = listed.members.first().cloned();
        assert_eq!(listed.members.len(), usize::from(one.is_some()));
        one.map(|member| (member.info.map(|info| info.to_string()), member.since))
    };
    client.session.subscribe("a/1").await.unwrap();
    assert_eq!(member().await, None);
    let say = async |info: &'static str| {
        client.session.subscribe("a/1").member(info).await.unwrap();
    };
    say("1").await;
    let (said, since) = member().await.unwrap();
    assert_eq!(said.as_deref(), Some("1"));
    say("2").await;
    assert_eq!(member().await, Some((Some("2".to_owned()), since)));
    // Without a word it says what it said.
    client.session.subscribe("a/1").await.unwrap();
    assert_eq!(member().await, Some((Some("2".to_owned()), since)));
    client.session.unsubscribe("a/1");
    assert_eq!(member().await, None);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_members_is_known_without_their_names() {
    let world = World::with(Policy::new().presence(Presence::count()));
    let clients = [world.raw(), world.raw()];
    for client in &clients {
        client.session.subscribe("a/1").member("1").await.unwrap();
    }
    assert_eq!(world.topics.count("a/1").await, Ok(2));
    assert_eq!(infos(&world, "a/1").await, [""; 0]);
    clients[0].session.unsubscribe("a/1");
    assert_eq!(world.topics.count("a/1").await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_topic_without_presence_has_no_members() {
    let world = World::with(Policy::new());
    let client = world.raw();
    client.session.subscribe("a/1").member("1").await.unwrap();
    assert_eq!(world.topics.count("a/1").await, Ok(0));
    assert_eq!(world.topics.subscribers("a/1"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_member_says_at_most_a_kilobyte_of_itself() {
    let world = World::with(members());
    let client = world.raw();
    for (len, is_taken) in [(1024, true), (1025, false)] {
        let json = "1".repeat(len);
        let subscribed = client.session.subscribe("a/1").member(json).await;
        let refused = Err(SubscribeError::MemberTooLarge {
            len: 1025,
            limit: 1024,
        });
        match is_taken {
            true => assert!(subscribed.is_ok()),
            false => assert_eq!(subscribed, refused),
        }
        client.session.unsubscribe("a/1");
    }
}

#[cfg(feature = "topics-wire")]
#[tokio::test(start_paused = true)]
async fn a_member_says_json_of_itself_and_others_see_it_on_one_line() {
    let world = World::with(members());
    let client = world.raw();
    let subscribed = client.session.subscribe("a/1").member("no JSON").await;
    assert_eq!(subscribed, Err(SubscribeError::MemberNotJson));
    let json = "{\n\"a\": 1\n}";
    client.session.subscribe("a/1").member(json).await.unwrap();
    assert_eq!(infos(&world, "a/1").await, ["{ \"a\": 1 }"]);
}

#[cfg(feature = "topics-wire")]
mod clients {
    use super::*;
    use crate::topics::{Clients, History};

    const STIR: &str = "{\"stir\":\"a/1\"}\n";

    #[tokio::test(start_paused = true)]
    async fn changes_are_told_at_once_and_then_at_most_once_in_three_seconds() {
        let world = World::with(members());
        let watcher = world.enveloped().await;
        watcher.session.subscribe("a/1").await.unwrap();
        let member = world.raw();
        for _ in 0..5 {
            member.session.subscribe("a/1").member("1").await.unwrap();
            member.session.unsubscribe("a/1");
        }
        assert_eq!(watcher.read().await, [STIR]);
        member.session.subscribe("a/1").member("1").await.unwrap();
        assert_eq!(watcher.read().await, [""; 0]);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(watcher.read().await, [STIR]);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(watcher.read().await, [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_notice_never_takes_the_place_of_the_newest_value() {
        let world = World::with(members().history(History::latest()));
        let slow = world.enveloped().await;
        slow.session.subscribe("a/1").await.unwrap();
        slow.peer.close_window(0);
        let member = world.raw();
        for n in 0..3 {
            world.publish("a/1", &n.to_string()).await;
            member.session.subscribe("a/1").member("1").await.unwrap();
            member.session.unsubscribe("a/1");
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        slow.peer.remove_window();
        let frames = slow.read().await;
        let values: Vec<_> = frames.iter().filter(|frame| *frame != STIR).collect();
        let mut bodies = values.iter().map(|frame| frame.split_once('\n').unwrap().1);
        assert_eq!(bodies.next_back(), Some("2"));
        assert!(frames.iter().any(|frame| frame == STIR));
    }

    #[tokio::test(start_paused = true)]
    async fn clients_see_principals_only_where_the_policy_shows_them() {
        for is_shown in [false, true] {
            let presence = Presence::members(500);
            let presence = if is_shown {
                presence.show_principal()
            } else {
                presence
            };
            let policy = Policy::new()
                .presence(presence)
                .clients(Clients::subscribe());
            let world = World::with(policy);
            let client = world.named(Some("ann@example.org")).await;
            client
                .ask(r#"{"sub":"a/1","ref":1,"member":{"name":"Ann"}}"#)
                .await;
            let answers = client.ask(r#"{"who":"a/1","ref":2}"#).await;
            let answer = answers.last().unwrap();
            assert!(answer.contains(r#""info":{"name":"Ann"}"#), "{answer}");
            assert_eq!(answer.contains("ann@example.org"), is_shown, "{answer}");
            let listed = world.topics.members("a/1", 9).await.unwrap();
            let ann = &listed.members[0];
            assert_eq!(ann.principal.as_deref(), Some("ann@example.org"));
            assert_eq!(ann.id, client.session.member_id());
            let shown = format!(r#""id":"{}""#, ann.id);
            assert!(answer.contains(&shown), "{answer}");
            let id = client.session.id().to_string();
            assert!(!answer.contains(&id), "the id of a session may be a secret");
            let count = client.ask(r#"{"count":"a/1","ref":3}"#).await;
            assert_eq!(count, ["{\"ok\":3,\"count\":1}\n"]);
        }
    }
}
