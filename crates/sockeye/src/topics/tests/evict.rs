//! Evictions: the application ends subscriptions.

use super::*;
use crate::topics::Subscribers;

#[tokio::test(start_paused = true)]
async fn subscriptions_of_a_session_a_principal_or_all_are_ended() {
    let world = World::with(kept(3));
    let ann = || world.open(None, Some("ann"), |_| {});
    let clients = [
        ann(),
        ann(),
        world.open(None, Some("bob"), |_| {}),
        world.raw(),
    ];
    for client in &clients {
        client.session.subscribe("a/1").await.unwrap();
        client.session.subscribe("a/2").await.unwrap();
    }
    let left = |topic: &str| {
        let is_in = |client: &&Client| client.session.subscriptions().contains(&topic.to_owned());
        let members = clients.iter().map(move |client| is_in(&client));
        members.collect::<Vec<_>>()
    };
    let id = clients[3].session.id();
    let cases = [
        (Subscribers::Session(id), 1, [true, true, true, false]),
        (
            Subscribers::Principal("ann".to_owned()),
            2,
            [false, false, true, false],
        ),
        (
            Subscribers::Principal("nemo".to_owned()),
            0,
            [false, false, true, false],
        ),
        (Subscribers::All, 1, [false; 4]),
    ];
    for (subscribers, ended, stay) in cases {
        let evicted = world.topics.evict("a/1", subscribers).await;
        assert_eq!((evicted.acknowledged, evicted.live), (1, 1));
        assert_eq!(evicted.ended_here, ended);
        assert_eq!(left("a/1"), stay);
    }
    assert_eq!(left("a/2"), [true; 4]);
    world.publish("a/1", "for none").await;
    world.publish("a/2", "for all").await;
    for client in &clients {
        assert_eq!(client.read().await, ["for all"]);
    }
    // An evicted session may come again.
    clients[0].session.subscribe("a/1").await.unwrap();
    assert_eq!(world.topics.subscribers("a/1"), 1);
}

#[cfg(feature = "topics-wire")]
#[tokio::test(start_paused = true)]
async fn a_client_of_the_subprotocol_is_told_that_it_was_evicted() {
    use crate::topics::Clients;

    let world = World::with(kept(3).clients(Clients::subscribe()));
    let client = world.enveloped().await;
    assert_eq!(client.ask(r#"{"sub":"a/1","ref":1}"#).await.len(), 1);
    world.topics.evict("a/1", Subscribers::All).await;
    let told = client.read().await;
    assert_eq!(told, ["{\"end\":\"a/1\",\"code\":\"evicted\"}\n"]);
    world.publish("a/1", "for none").await;
    assert_eq!(client.read().await, [""; 0]);
}
