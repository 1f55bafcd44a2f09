//! The application's word about clients.

use std::sync::Mutex;
use std::time::SystemTime;

use sockeye_proto::Outgoing;

use super::*;
use crate::topics::{Authorize, Clients, Denied, Grant, Topic};

/// Decides by the name of the topic, and notes what it is asked.
#[derive(Clone, Default)]
struct ByName(Arc<Mutex<Vec<String>>>);

impl ByName {
    fn note(&self, topic: &Topic) {
        let id = topic.variable("id").unwrap_or_default();
        self.0
            .lock()
            .unwrap()
            .push(format!("{} {id}", topic.pattern().unwrap()));
    }
}

async fn decide(topic: &Topic) -> Result<(), Denied> {
    match topic.name() {
        "a/no" => Err(Denied::new("not on Sundays")),
        "a/hangs" => std::future::pending().await,
        "a/panics" => panic!("it panics"),
        _ => Ok(()),
    }
}

impl Authorize for ByName {
    async fn subscribe(&self, _: &Session, topic: &Topic) -> Result<Grant, Denied> {
        self.note(topic);
        decide(topic).await?;
        match topic.name() {
            "a/hour" => Ok(Grant::until(SystemTime::now() + HOUR)),
            _ => Ok(Grant::default()),
        }
    }

    async fn publish(
        &self,
        _: &Session,
        topic: &Topic,
        message: Outgoing,
    ) -> Result<Outgoing, Denied> {
        self.note(topic);
        decide(topic).await?;
        let text = message.message().as_text().unwrap_or_default();
        Ok(format!("{text}, censored").into())
    }
}

fn world() -> (World, ByName) {
    let authority = ByName::default();
    let topics = Topics::builder()
        .pattern("a/{id}", kept(3).clients(Clients::publish()))
        .pattern("closed/{id}", kept(3))
        .authorize(authority.clone());
    (World::new(topics.build().unwrap()), authority)
}

#[tokio::test(start_paused = true)]
async fn the_application_is_asked_after_the_pattern_has_allowed() {
    let (world, authority) = world();
    let client = world.enveloped().await;
    for (header, answer) in [
        (r#"{"sub":"closed/1","ref":1}"#, "denied"),
        (r#"{"pub":"closed/1","ref":1}"#, "denied"),
        (r#"{"sub":"a/1","ref":1}"#, r#"{"ok":1,"#),
        (r#"{"sub":"a/no","ref":1}"#, "not on Sundays"),
        (r#"{"pub":"a/no","ref":1}"#, "not on Sundays"),
    ] {
        let answers = client.ask(header).await;
        assert!(answers[0].contains(answer), "{answers:?}");
    }
    let asked = ["a/{id} 1", "a/{id} no", "a/{id} no"];
    assert_eq!(*authority.0.lock().unwrap(), asked);
    // Server code is trusted.
    client.session.subscribe("closed/1").await.unwrap();
    assert_eq!(client.session.subscriptions(), ["a/1", "closed/1"]);
}

#[tokio::test(start_paused = true)]
async fn the_application_may_rewrite_a_message() {
    let (world, _) = world();
    let listener = world.raw();
    listener.session.subscribe("a/1").await.unwrap();
    let client = world.enveloped().await;
    client.say(r#"{"pub":"a/1","ref":1}"#, "hello").await;
    assert_eq!(listener.read().await, ["hello, censored"]);
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_hangs_is_a_refusal_after_five_seconds_for_its_session_alone() {
    let (world, _) = world();
    let (hanging, other) = (world.enveloped().await, world.enveloped().await);
    assert_eq!(hanging.ask(r#"{"sub":"a/hangs","ref":1}"#).await, [""; 0]);
    // The input of the session goes on: a client that comes back asks for many topics.
    let answers = hanging.ask(r#"{"sub":"a/1","ref":2}"#).await;
    assert!(answers[0].starts_with(r#"{"ok":2"#), "{answers:?}");
    let answers = other.ask(r#"{"sub":"a/1","ref":1}"#).await;
    assert!(answers[0].starts_with(r#"{"ok":1"#), "{answers:?}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let answers = hanging.read().await;
    assert!(
        answers[0].contains("the server did not decide in time"),
        "{answers:?}"
    );
    // A publish that waits keeps the input of its session waiting.
    assert_eq!(hanging.ask(r#"{"pub":"a/hangs","ref":3}"#).await, [""; 0]);
    assert_eq!(hanging.ask(r#"{"ping":4}"#).await, [""; 0]);
    assert_eq!(other.ask(r#"{"ping":4}"#).await.len(), 1);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let answers = hanging.read().await;
    assert!(
        answers[0].contains("denied") && answers[1].contains("pong"),
        "{answers:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_panics_is_a_refusal() {
    let (world, _) = world();
    let client = world.enveloped().await;
    for header in [
        r#"{"sub":"a/panics","ref":1}"#,
        r#"{"pub":"a/panics","ref":1}"#,
    ] {
        let answers = client.ask(header).await;
        assert!(
            answers[0].contains("the server could not decide"),
            "{answers:?}"
        );
    }
    assert!(client.session.is_open());
}

/// Panics before it returns a future.
struct AtOnce;

impl Authorize for AtOnce {
    fn subscribe(
        &self,
        _: &Session,
        topic: &Topic,
    ) -> impl Future<Output = Result<Grant, Denied>> + Send {
        assert_ne!(topic.name(), "a/panics");
        async { Ok(Grant::default()) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_before_its_future_is_a_refusal_too() {
    let topics = Topics::builder()
        .pattern("a/**", kept(3).clients(Clients::publish()))
        .authorize(AtOnce);
    let world = World::new(topics.build().unwrap());
    let client = world.enveloped().await;
    let answers = client.ask(r#"{"sub":"a/panics","ref":1}"#).await;
    assert!(
        answers[0].contains("the server could not decide"),
        "{answers:?}"
    );
    assert!(client.session.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_subscription_ends_with_its_permission_and_the_client_may_ask_again() {
    let (world, _) = world();
    let client = world.enveloped().await;
    for round in 1..3 {
        client
            .ask(&format!(r#"{{"sub":"a/hour","ref":{round}}}"#))
            .await;
        tokio::time::sleep(HOUR - Duration::from_secs(9)).await;
        assert_eq!(client.read().await, [""; 0]);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let told = client.read().await;
        assert_eq!(told, ["{\"end\":\"a/hour\",\"code\":\"denied\"}\n"]);
        assert_eq!(world.topics.subscribers("a/hour"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_permission_of_an_earlier_subscription_does_not_end_a_later_one() {
    let (world, _) = world();
    let client = world.enveloped().await;
    for n in 0..20 {
        client
            .ask(&format!(r#"{{"sub":"a/hour","ref":{}}}"#, 2 * n + 1))
            .await;
        client
            .ask(&format!(r#"{{"unsub":"a/hour","ref":{}}}"#, 2 * n + 2))
            .await;
    }
    let endings = world.topics.0.hub.outlet().endings();
    assert_eq!(endings.next_due(), None, "nothing is kept of them");
    client.session.subscribe("a/hour").await.unwrap();
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(client.session.subscriptions(), ["a/hour"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_unsubscribes_while_the_application_decides_is_no_subscriber_later() {
    let (world, _) = world();
    let client = world.enveloped().await;
    client.ask(r#"{"sub":"a/hangs","ref":1}"#).await;
    let mut answers = client.ask(r#"{"unsub":"a/hangs","ref":2}"#).await;
    answers.sort();
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert!(answers[0].contains("evicted") && answers[1].contains(r#"{"ok":2}"#));
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(client.read().await, [""; 0]);
    assert_eq!(client.session.subscriptions(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_reference_that_waits_for_its_answer_may_not_be_used_again() {
    let (world, _) = world();
    let client = world.enveloped().await;
    client.ask(r#"{"sub":"a/hangs","ref":7}"#).await;
    let header = "{\"sub\":\"a/1\",\"ref\":7}\n";
    client.peer.segment(masked(TEXT, header));
    idle().await;
    let (code, reason) = client.close().expect("a Close");
    assert_eq!(code, 1008);
    assert!(reason.contains('7'), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_ends_the_question() {
    let (world, _) = world();
    let client = world.enveloped().await;
    client.ask(r#"{"sub":"a/hangs","ref":1}"#).await;
    let before = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    client.peer.end();
    idle().await;
    assert!(client.is_gone());
    let after = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert!(after <= before - 2, "the session's task and the question's");
}
