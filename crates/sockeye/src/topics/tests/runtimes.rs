//! Topics of several servers, of several runtimes, and of a program without a server.

use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::topics::Presence;

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn two_endpoints_share_topics() {
    let topics = Topics::default();
    let worlds = [World::new(topics.clone()), World::new(topics.clone())];
    let clients = [worlds[0].raw(), worlds[1].raw()];
    for client in &clients {
        client.session.subscribe("a").await.unwrap();
    }
    topics.publish("a", "for both").await.unwrap();
    for client in &clients {
        assert_eq!(client.read().await, ["for both"]);
    }
}

#[test]
fn topics_go_on_in_another_runtime_when_the_first_one_has_ended() {
    let policy = Policy::new().presence(Presence::members(9));
    let topics = Topics::builder().pattern("a/**", policy).build().unwrap();
    let first = runtime();
    let task = first.block_on(async {
        topics.start().await.unwrap();
        topics.0.hub.outlet().timer().is_watched()
    });
    assert!(task);
    drop(first);
    assert!(!topics.0.hub.outlet().timer().is_watched());
    runtime().block_on(async {
        // No server starts here any more: the first use of the topics starts their task.
        let sessions = OpenSessions::with_topics(Arc::default());
        sessions.set_topics(Arc::new(topics.clone()));
        let world = World {
            topics: topics.clone(),
            sessions,
            endpoint: Arc::default(),
        };
        let client = world.raw();
        client.session.subscribe("a/1").member("1").await.unwrap();
        assert!(topics.0.hub.outlet().timer().is_watched());
        idle().await;
        client.session.unsubscribe("a/1");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(topics.0.hub.topics(), 0, "the topic was forgotten in time");
    });
}

#[test]
fn no_task_is_left_when_everything_is_dropped() {
    let runtime = runtime();
    runtime.block_on(async {
        let policy = kept(3).presence(Presence::members(9));
        let world = World::with(policy);
        let clients = [world.raw(), world.raw()];
        for client in &clients {
            client.session.subscribe("a/1").member("1").await.unwrap();
        }
        world.publish("a/1", "x").await;
        idle().await;
        for client in clients {
            client.peer.end();
        }
        drop(world);
        // A sweeper looks at its sessions once in a second.
        tokio::time::sleep(Duration::from_secs(5)).await;
    });
    assert_eq!(runtime.metrics().num_alive_tasks(), 0);
}

#[test]
fn a_program_without_a_server_publishes_and_reads() {
    let topics = Topics::builder().pattern("a/**", kept(3)).build().unwrap();
    runtime().block_on(async {
        topics.start().await.unwrap();
        topics.publish("a/1", "x").await.unwrap();
        let since = sockeye_pubsub::engine::Since::Recent(5);
        assert!(topics.history("a/1", since).await.is_ok());
        topics.stop(Duration::from_secs(1)).await.unwrap();
        assert!(topics.publish("a/1", "x").await.is_err());
    });
}
