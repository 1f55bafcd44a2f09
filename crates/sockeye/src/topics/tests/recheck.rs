//! After a loss of signals the application is asked again about each client.

use std::collections::HashSet;

use tokio::time::Instant;

use super::*;
use crate::topics::work::Events;
use crate::topics::{Authorize, Clients, Denied, Grant, Topic};
use sockeye_pubsub::engine::EngineEvents;

/// Denies some principals. Where there are no permits, a question waits.
#[derive(Clone)]
struct Rights(Arc<State>);

struct State {
    denied: Mutex<HashSet<String>>,
    asked: Mutex<Vec<String>>,
    answers: Semaphore,
}

impl Authorize for Rights {
    async fn subscribe(&self, session: &Session, topic: &Topic) -> Result<Grant, Denied> {
        let name = session.principal().unwrap_or_default();
        let is_denied = self.0.denied.lock().unwrap().contains(name);
        let asked = format!("{name} {}", topic.name());
        self.0.asked.lock().unwrap().push(asked);
        self.0.answers.acquire().await.unwrap().forget();
        match is_denied {
            true => Err(Denied::default()),
            false => Ok(Grant::default()),
        }
    }
}

impl Rights {
    fn deny(&self, name: &str) {
        self.0.denied.lock().unwrap().insert(name.to_owned());
    }

    /// Returns what was asked since the last call, in alphabetical order.
    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.0.asked.lock().unwrap());
        asked.sort();
        asked
    }
}

fn world() -> (World, Rights) {
    let rights = Rights(Arc::new(State {
        denied: Mutex::default(),
        asked: Mutex::default(),
        answers: Semaphore::new(Semaphore::MAX_PERMITS),
    }));
    let topics = Topics::builder()
        .pattern("a/{id}", kept(3).clients(Clients::subscribe()))
        .authorize(rights.clone());
    (World::new(topics.build().unwrap()), rights)
}

fn lose_signals(world: &World) {
    Events(Arc::downgrade(&world.topics.0)).signals_lost();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_denied_now_is_no_subscriber_any_more() {
    let (world, rights) = world();
    let [ann, bob] = [
        world.named(Some("ann")).await,
        world.named(Some("bob")).await,
    ];
    for client in [&ann, &bob] {
        client.ask(r#"{"sub":"a/1","ref":1}"#).await;
        client.ask(r#"{"sub":"a/2","ref":2}"#).await;
    }
    let raw = |name| world.open(None, Some(name), |_| {});
    let [as_client, trusted] = [raw("cid"), raw("cid")];
    let joined = as_client.session.subscribe("a/1").as_client().await;
    joined.unwrap();
    trusted.session.subscribe("a/1").await.unwrap();
    rights.asked();

    rights.deny("ann");
    rights.deny("cid");
    lose_signals(&world);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = ["ann a/1", "ann a/2", "bob a/1", "bob a/2", "cid a/1"];
    assert_eq!(rights.asked(), asked);
    let mut told = ann.read().await;
    told.sort();
    let end = |topic: &str| format!("{{\"end\":\"{topic}\",\"code\":\"denied\"}}\n");
    assert_eq!(told, [end("a/1"), end("a/2")]);
    assert_eq!(bob.read().await, [""; 0]);
    world.publish("a/1", "for those that stay").await;
    assert_eq!(ann.read().await, [""; 0]);
    assert_eq!(bob.read().await.len(), 1);
    assert_eq!(as_client.read().await, [""; 0]);
    // Server code is trusted, and nothing is asked about it.
    assert_eq!(trusted.read().await, ["for those that stay"]);

    // The next loss begins another round.
    lose_signals(&world);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rights.asked(), ["bob a/1", "bob a/2"]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_questions_are_asked_in_a_second() {
    let (world, rights) = world();
    let mut clients = Vec::new();
    for _ in 0..600 {
        let client = world.raw();
        for topic in ["a/1", "a/2"] {
            client.session.subscribe(topic).as_client().await.unwrap();
        }
        clients.push(client);
    }
    rights.asked();
    let start = Instant::now();
    lose_signals(&world);
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let asked = rights.asked().len();
    assert!((900..=1001).contains(&asked), "{asked}");
    while rights.0.asked.lock().unwrap().len() + asked < 1200 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(start.elapsed() >= Duration::from_millis(1199));
}

#[tokio::test(start_paused = true)]
async fn a_permission_from_before_the_loss_is_asked_for_again() {
    let (world, rights) = world();
    let ann = world.named(Some("ann")).await;
    rights.0.answers.forget_permits(Semaphore::MAX_PERMITS);
    ann.ask(r#"{"sub":"a/1","ref":1}"#).await;
    // The question waits, and its answer will be yes.
    rights.deny("ann");
    lose_signals(&world);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rights.asked(), ["ann a/1"]);
    rights.0.answers.add_permits(2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rights.asked(), ["ann a/1"]);
    let told = ann.read().await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with(r#"{"ok":1"#), "{told:?}");
    assert_eq!(told[1], "{\"end\":\"a/1\",\"code\":\"denied\"}\n");
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_ends_its_subscription_alone() {
    let (world, rights) = world();
    let clients = [
        world.named(Some("ann")).await,
        world.named(Some("bob")).await,
    ];
    for client in &clients {
        client.ask(r#"{"sub":"a/1","ref":1}"#).await;
    }
    rights.0.answers.forget_permits(Semaphore::MAX_PERMITS);
    lose_signals(&world);
    tokio::time::sleep(Duration::from_secs(1)).await;
    // One of the two is answered.
    rights.0.answers.add_permits(1);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let left = clients
        .iter()
        .map(|client| client.session.subscriptions().len());
    assert_eq!(left.sum::<usize>(), 1);
}
