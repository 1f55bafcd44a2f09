//! The link: how it opens, what it does about each fault, and what the hub is told.

use std::sync::Arc;
use std::time::Duration;

use sockeye_pubsub::engine::{
    Engine, EngineState, Generation, NodeId, NodeInfo, Since, WasPublished,
};
use sockeye_pubsub::{Body, History, MessageId, Publication, TopicName};
use tokio::time::{Instant, sleep, timeout};

use super::fake::{Fake, channel, confirmation, name};
use super::heard::{Event, Heard};
use super::peer::dial;
use crate::RedisEngine;
use crate::address::Address;
use crate::layout::Kind;
use crate::script::Script;

const READY: EngineState = EngineState::Ready;
/// The name under which the node begins.
const FIRST: &str = "0000000000000007";
const SECOND: Duration = Duration::from_secs(1);

/// A started engine, its server, and what it reported.
struct World {
    engine: Arc<RedisEngine>,
    fake: Fake,
    heard: Arc<Heard>,
}

impl World {
    /// Starts an engine that is ready. Gaps are noted for the topics `a` and `b`.
    async fn new() -> Self {
        let (dial, peers) = dial();
        let address = Address::parse("redis://localhost").unwrap();
        let engine = Arc::new(RedisEngine::with_dial(address, dial));
        let fake = Fake::serve(peers);
        let heard = Heard::new(&["a", "b"]);
        let started = engine.start(node(), heard.clone());
        started.await.unwrap();
        let first = heard.until_state(READY).await;
        assert_eq!(first.first(), Some(&Event::Nodes(vec![7])));
        Self {
            engine,
            fake,
            heard,
        }
    }

    async fn listen(&self, names: &[&str]) -> Vec<u64> {
        let generations = self.engine.listen(&topics(names)).await.unwrap();
        generations
            .into_iter()
            .map(|Generation(number)| number)
            .collect()
    }

    async fn publish(&self) -> Result<(), WasPublished> {
        let topic = &topics(&["a"])[0];
        let publication = Publication {
            id: MessageId::new(1),
            body: Body {
                message: sockeye_proto::Message::text("text"),
                compressible: true,
            },
            key: None,
        };
        let history = History::window(9, Duration::from_secs(60));
        let published = self.engine.publish(topic, publication, history).await;
        published.map(drop).map_err(|error| error.published)
    }

    /// Returns the name under which the node has renewed its lease last.
    fn last_lease(&self) -> String {
        let state = self.fake.state();
        state.leases.last().unwrap()[5].clone()
    }

    /// Waits until topics are listened to in this generation. Returns what was reported before.
    async fn relistened(&self, generation: u64) -> Vec<Event> {
        let is_it = |event: &Event| matches!(event, Event::Listened(of, _) if *of == generation);
        self.heard.until(is_it).await
    }
}

fn node() -> NodeInfo {
    NodeInfo {
        id: NodeId(7),
        name: "node".into(),
        fingerprint: 0xf,
    }
}

fn topics(names: &[&str]) -> Vec<TopicName> {
    names
        .iter()
        .map(|name| TopicName::new(*name).unwrap())
        .collect()
}

fn gap() -> Event {
    Event::Gap(vec!["a", "b"])
}

fn is_listened(event: &Event) -> bool {
    matches!(event, Event::Listened(..))
}

fn is_degraded(event: &Event) -> bool {
    matches!(event, Event::State(EngineState::Degraded(_)))
}

#[tokio::test(start_paused = true)]
async fn a_started_engine_delivers_what_its_topics_bring() {
    let world = World::new().await;
    assert_eq!(world.engine.state(), READY);
    assert_eq!(world.listen(&["a", "b"]).await, [1, 1]);
    world
        .fake
        .publish(&channel("a"), b"0 AAAAAAAAAAE\n\x00one")
        .await;
    let told = world
        .heard
        .until(|event| matches!(event, Event::Delivered(..)))
        .await;
    assert_eq!(told, [Event::Delivered("a".into(), "one".into())]);
    world.engine.unlisten(&topics(&["a"])).await.unwrap();
    world
        .fake
        .publish(&channel("a"), b"0 AAAAAAAAAAE\n\x00two")
        .await;
    sleep(SECOND).await;
    assert_eq!(world.heard.take(), []);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_cannot_connect_does_not_start_and_says_why() {
    let (dial, peers) = dial();
    drop(peers);
    let address = Address::parse("redis://:secret@redis.example").unwrap();
    let engine = RedisEngine::with_dial(address, dial);
    let error = engine.start(node(), Heard::new(&[])).await.unwrap_err();
    let text =
        "the engine is unavailable: cannot connect to redis.example:6379: connection refused";
    assert_eq!(error.to_string(), text);
    assert_eq!(engine.state(), EngineState::Down);
    assert!(engine.listen(&topics(&["a"])).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_quiet_link_beats_every_five_seconds_and_reports_nothing() {
    let world = World::new().await;
    world.listen(&["a"]).await;
    sleep(61 * SECOND).await;
    let beats = world.fake.state().count;
    assert!((12..=13).contains(&beats), "{beats}");
    assert_eq!(world.heard.take(), []);
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_dies_alone_is_opened_again_while_commands_work() {
    let world = World::new().await;
    world.listen(&["a", "b"]).await;
    world.fake.cut_feed();
    let told = world.heard.until(is_degraded).await;
    assert_eq!(told[..2], [gap(), Event::SignalsLost]);
    assert_eq!(world.publish().await, Ok(()));
    let told = world.heard.until_state(READY).await;
    let listened = Event::Listened(2, vec!["a".into(), "b".into()]);
    assert!(told.contains(&listened), "{told:?}");
    assert_eq!(world.fake.state().opened, [1, 2]);
    assert_eq!(world.listen(&["c"]).await, [2]);
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_brings_nothing_is_found_within_fifteen_seconds() {
    let world = World::new().await;
    world.listen(&["a"]).await;
    sleep(6 * SECOND).await;
    world.fake.state().holds_beats = true;
    let cut = Instant::now();
    world.heard.until(|event| *event == gap()).await;
    assert!(cut.elapsed() <= 15 * SECOND, "{:?}", cut.elapsed());
    world.fake.state().holds_beats = false;
    world.heard.until_state(READY).await;
    assert_eq!(world.fake.state().opened, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lost_its_memory_is_listened_to_again_behind_the_loss() {
    let world = World::new().await;
    world.listen(&["a", "b"]).await;
    sleep(11 * SECOND).await;
    {
        let mut state = world.fake.state();
        state.count = 0;
        state.holds_beats = true;
    }
    world.heard.until(|event| *event == gap()).await;
    // The members are written again under a new name, which has its lease first.
    let told = world
        .heard
        .until(|event| *event == Event::MembersLost)
        .await;
    assert_eq!(told, [Event::AnyMembersChanged, Event::MembersLost]);
    assert_ne!(world.last_lease(), FIRST);
    // The feed lags: what it brings now was sent before the loss.
    world
        .fake
        .publish(&channel("a"), b"0 AAAAAAAAAAE\n\x00old")
        .await;
    world
        .heard
        .until(|event| matches!(event, Event::Delivered(..)))
        .await;
    assert_eq!(world.heard.take(), []);
    world.fake.release_beats().await;
    let told = world.relistened(2).await;
    assert_eq!(told.len(), 1, "{told:?}");
    sleep(SECOND).await;
    assert_eq!(world.fake.state().opened, [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_loss_of_memory_while_there_is_no_feed_needs_no_proof_on_the_next_one() {
    let world = World::new().await;
    world.listen(&["a"]).await;
    sleep(11 * SECOND).await;
    world.fake.state().refuses_feed = true;
    world.fake.cut_feed();
    world.heard.until(is_degraded).await;
    world.fake.state().count = 0;
    world
        .heard
        .until(|event| *event == Event::MembersLost)
        .await;
    {
        let mut state = world.fake.state();
        state.holds_beats = true;
        state.refuses_feed = false;
    }
    let told = world.heard.until_state(READY).await;
    assert!(
        told.contains(&Event::Listened(3, vec!["a".into()])),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_beats_as_a_replica_or_while_loading_ends_the_link() {
    for error in [
        "-READONLY You can't write against a read only replica.\r\n",
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-NOSCRIPT No matching script. Please use EVAL.\r\n",
    ] {
        let world = World::new().await;
        world.listen(&["a", "b"]).await;
        world.fake.state().beat_error = Some(error);
        let told = world.heard.until_state(EngineState::Down).await;
        let expected = [gap(), Event::SignalsLost, Event::State(EngineState::Down)];
        assert_eq!(told, expected, "{error}");
        assert_eq!(world.publish().await, Err(WasPublished::No));
        world.fake.state().beat_error = None;
        let told = world.heard.until_state(READY).await;
        assert!(told.contains(&Event::Listened(2, vec!["a".into(), "b".into()])));
        assert_eq!(world.fake.state().opened, [2, 2]);
        assert_eq!(world.publish().await, Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_the_server_cannot_run_opens_the_link_anew() {
    let world = World::new().await;
    world.fake.state().publish_error = Some("-NOSCRIPT No matching script. Please use EVAL.\r\n");
    assert_eq!(world.publish().await, Err(WasPublished::No));
    world.heard.until_state(EngineState::Down).await;
    world.heard.until_state(READY).await;
    assert_eq!(world.fake.state().opened, [2, 2]);
    assert_eq!(world.publish().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_memory_is_full_keeps_the_link() {
    let world = World::new().await;
    world.fake.state().beat_error =
        Some("-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    sleep(60 * SECOND).await;
    assert_eq!(world.heard.take(), []);
    assert_eq!(world.fake.state().opened, [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_late_beat_makes_the_engine_degraded_and_interrupts_nothing() {
    let world = World::new().await;
    world.listen(&["a"]).await;
    world.fake.state().beat_delay = 3 * SECOND;
    let told = world.heard.until(is_degraded).await;
    assert_eq!(
        told,
        [Event::State(EngineState::Degraded(
            "the server answers slowly"
        ))]
    );
    world.fake.state().beat_delay = Duration::ZERO;
    assert_eq!(world.heard.until_state(READY).await, [Event::State(READY)]);
    assert_eq!(world.fake.state().opened, [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_nothing_is_lost_after_ten_seconds() {
    let world = World::new().await;
    world.listen(&["a", "b"]).await;
    world.fake.state().is_silent = true;
    let silent = Instant::now();
    let (published, told) =
        tokio::join!(world.publish(), world.heard.until_state(EngineState::Down));
    assert_eq!(published, Err(WasPublished::Maybe));
    assert!(is_degraded(&told[0]), "{told:?}");
    let elapsed = silent.elapsed();
    assert!(
        (10 * SECOND..=15 * SECOND).contains(&elapsed),
        "{elapsed:?}"
    );
    world.fake.state().is_silent = false;
    world.relistened(2).await;
    world.heard.until_state(READY).await;
}

#[tokio::test(start_paused = true)]
async fn half_of_the_confirmations_confirm_nothing_and_the_next_feed_asks_again() {
    let world = World::new().await;
    world.fake.state().confirms = 1;
    let engine = Arc::clone(&world.engine);
    let listening = tokio::spawn(async move { engine.listen(&topics(&["a", "b"])).await });
    sleep(5 * SECOND).await;
    assert!(!listening.is_finished());
    world.fake.state().confirms = usize::MAX;
    // The beats come back, but the batch is never complete. The call gives up, the topics are subscribed by the next feed.
    assert!(listening.await.unwrap().is_err());
    world.heard.until(|event| *event == gap()).await;
    let told = world.heard.until_state(READY).await;
    assert!(
        told.iter()
            .all(|event| !matches!(event, Event::Delivered(..)))
    );
    let subscribed = &world.fake.state().subscribed;
    assert!(subscribed.contains(&channel("a")) && subscribed.contains(&channel("b")));
}

#[tokio::test(start_paused = true)]
async fn a_listen_while_the_server_is_away_waits_for_it() {
    let world = World::new().await;
    world.fake.cut_commands();
    world.heard.until_state(EngineState::Down).await;
    assert_eq!(world.listen(&["a"]).await, [2]);
    world
        .fake
        .publish(&channel("a"), b"0 AAAAAAAAAAE\n\x00one")
        .await;
    world
        .heard
        .until(|event| *event == Event::Delivered("a".into(), "one".into()))
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_unlisten_while_the_server_is_away_is_done_at_once() {
    let world = World::new().await;
    world.listen(&["a", "b"]).await;
    world.fake.cut_commands();
    world.heard.until_state(EngineState::Down).await;
    let now = Instant::now();
    world.engine.unlisten(&topics(&["a"])).await.unwrap();
    assert_eq!(now.elapsed(), Duration::ZERO);
    world.heard.until_state(READY).await;
    assert!(!world.fake.state().subscribed.contains(&channel("a")));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_the_server_ends_by_itself_opens_the_feed_again() {
    let world = World::new().await;
    world.listen(&["a", "b"]).await;
    let ended = confirmation("unsubscribe", &channel("a"));
    world.fake.push(ended.as_bytes()).await;
    let told = world.heard.until_state(READY).await;
    assert_eq!(told[..2], [gap(), Event::SignalsLost]);
    assert!(told.contains(&Event::Listened(2, vec!["a".into(), "b".into()])));
    assert_eq!(world.fake.state().opened, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_cannot_be_opened_is_tried_again_and_again() {
    let world = World::new().await;
    world.fake.state().refuses_feed = true;
    world.fake.cut_feed();
    world.heard.until(is_degraded).await;
    sleep(60 * SECOND).await;
    assert_eq!(world.publish().await, Ok(()));
    world.fake.state().refuses_feed = false;
    world.heard.until_state(READY).await;
    assert_eq!(world.fake.state().opened, [1, 2]);
    // Without a feed the node still renewed its lease.
    assert!(world.fake.state().leases.len() > 10);
}

#[tokio::test(start_paused = true)]
async fn topics_are_subscribed_again_in_batches_at_a_limited_speed() {
    let world = World::new().await;
    let names: Vec<_> = (0..20_000).map(|number| format!("room/{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let began = Instant::now();
    assert_eq!(world.listen(&names).await.len(), 20_000);
    let elapsed = began.elapsed();
    let expected = Duration::from_millis(400);
    assert!(
        (expected - expected / 20..2 * expected).contains(&elapsed),
        "{elapsed:?}"
    );
    world.fake.cut_feed();
    let told = world.heard.until_state(READY).await;
    let batches = told.iter().filter_map(|event| match event {
        Event::Listened(2, topics) => Some(topics.len()),
        _ => None,
    });
    let batches: Vec<usize> = batches.collect();
    assert_eq!(batches.iter().sum::<usize>(), 20_000);
    assert!(batches.iter().all(|topics| *topics <= 512));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_lapsed_gives_the_node_a_new_name_and_the_hub_writes_again() {
    let world = World::new().await;
    sleep(6 * SECOND).await;
    world.fake.state().knows_lease = false;
    sleep(5 * SECOND).await;
    let told = [Event::AnyMembersChanged, Event::MembersLost];
    assert_eq!(world.heard.take(), told);
    assert_ne!(world.last_lease(), FIRST);
}

#[tokio::test(start_paused = true)]
async fn a_former_name_is_given_up_when_the_members_are_written_again() {
    let world = World::new().await;
    world.fake.cut_commands();
    world
        .heard
        .until(|event| *event == Event::MembersLost)
        .await;
    world.heard.until_state(READY).await;
    world.fake.state().commands.clear();
    let presence = world.engine.presence().unwrap();
    for expected in [2, 0] {
        presence.written_again().await.unwrap();
        let commands = std::mem::take(&mut world.fake.state().commands);
        assert_eq!(commands.len(), expected, "{commands:?}");
        assert!(commands.iter().all(|command| command[2..] == [FIRST]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_members_that_the_server_lost_between_beats_is_found_by_the_next_count() {
    for next_is_change in [false, true] {
        let world = World::new().await;
        world.listen(&["a", "b"]).await;
        sleep(SECOND).await;
        let before = world.fake.state().count;
        let presence = world.engine.presence().unwrap();
        let topic = &topics(&["a"])[0];
        presence.set_count(topic, 1).await.unwrap();
        // The server goes back to its state before the change, but not behind the beat.
        world.fake.state().count = before;
        if next_is_change {
            // Later changes would hide the loss from the next beat.
            for count in [2, 3, 4] {
                presence.set_count(topic, count).await.unwrap();
            }
        }
        // What was found is told once.
        sleep(60 * SECOND).await;
        assert_ne!(world.last_lease(), FIRST);
        let mut told = world.heard.take();
        assert!(told.iter().any(is_listened), "{told:?}");
        told.retain(|event| !is_listened(event));
        let expected = [gap(), Event::AnyMembersChanged, Event::MembersLost];
        assert_eq!(told, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_with_two_names_counts_once_and_its_former_name_is_missed_when_it_goes() {
    let world = World::new().await;
    let other = |id| (NodeId(id), "000000000000000f 0000000000000008 other");
    world.fake.state().others = vec![other(8), other(0xee)];
    let is_told = |event: &Event| matches!(event, Event::Nodes(_));
    let told = world.heard.until(is_told).await;
    assert_eq!(told, [Event::Nodes(vec![7, 8])]);
    world.fake.state().others.remove(0);
    sleep(11 * SECOND).await;
    assert_eq!(world.heard.take(), [Event::AnyMembersChanged]);
}

#[tokio::test(start_paused = true)]
async fn the_nodes_that_the_server_names_are_reported_when_they_change() {
    let world = World::new().await;
    world.fake.state().others = vec![(NodeId(8), "000000000000000f 0000000000000008 other")];
    let nodes = world
        .heard
        .until(|event| matches!(event, Event::Nodes(_)))
        .await;
    assert_eq!(nodes, [Event::Nodes(vec![7, 8])]);
    sleep(11 * SECOND).await;
    assert_eq!(world.heard.take(), []);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_engine_releases_its_lease_and_refuses() {
    let world = World::new().await;
    world.fake.state().confirms = 0;
    let engine = Arc::clone(&world.engine);
    let listening = tokio::spawn(async move { engine.listen(&topics(&["a"])).await });
    sleep(SECOND).await;
    world.engine.stop(SECOND).await.unwrap();
    assert!(listening.await.unwrap().is_err());
    assert_eq!(world.engine.state(), EngineState::Down);
    assert_eq!(world.publish().await, Err(WasPublished::No));
    let commands = std::mem::take(&mut world.fake.state().commands);
    let released: Vec<_> = commands.iter().map(|command| &*command[0]).collect();
    assert_eq!(released, ["ZREM", "HDEL"]);
    world.engine.stop(SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_bounded_while_the_server_answers_nothing() {
    let world = World::new().await;
    world.fake.state().is_silent = true;
    assert!(world.engine.stop(SECOND).await.is_err());
    assert_eq!(world.engine.state(), EngineState::Down);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_dropped_ends_its_connections() {
    let World {
        engine,
        fake,
        heard,
    } = World::new().await;
    drop(engine);
    sleep(60 * SECOND).await;
    assert_eq!(heard.take(), []);
    assert_eq!(fake.state().opened, [1, 1]);
    let beats = fake.state().count;
    assert_eq!(beats, 1);
}

#[tokio::test(start_paused = true)]
async fn the_members_are_written_again_behind_each_new_connection_for_commands() {
    let world = World::new().await;
    world.fake.cut_feed();
    let told = world.heard.until_state(READY).await;
    assert!(!told.contains(&Event::MembersLost), "{told:?}");
    assert_eq!(world.last_lease(), FIRST);
    world.fake.cut_commands();
    let told = world.heard.until_state(READY).await;
    assert!(told.contains(&Event::MembersLost), "{told:?}");
    // The server may be another one, which never got the leaves that the first one confirmed.
    assert_ne!(world.last_lease(), FIRST);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_members_is_announced_to_other_nodes() {
    let world = World::new().await;
    world.listen(&["a"]).await;
    let presence = world.engine.presence().unwrap();
    presence.announce(&topics(&["a"])[0]).await.unwrap();
    let commands = std::mem::take(&mut world.fake.state().commands);
    let [publish] = &commands[..] else {
        panic!("{commands:?}");
    };
    assert_eq!(
        publish[..],
        ["PUBLISH", &channel("a"), "2 0000000000000007\n"]
    );
    for payload in ["2 0000000000000007\n", "2 0000000000000008\n"] {
        world.fake.publish(&channel("a"), payload.as_bytes()).await;
    }
    sleep(SECOND).await;
    assert_eq!(world.heard.take(), [Event::MembersChanged("a".into())]);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_would_forget_of_topics_is_renewed() {
    let world = World::new().await;
    world.listen(&["a", "b"]).await;
    let window = History::window(9, Duration::from_secs(60));
    let [empty, full] = [0, 1].map(|index| topics(&["a", "b"])[index].clone());
    world
        .engine
        .catch_up(&empty, Since::Top, window)
        .await
        .unwrap();
    world.fake.state().top = "AAAAAAAAAAE:1:AAAAAAAAAAE";
    world
        .engine
        .catch_up(&full, Since::Top, window)
        .await
        .unwrap();
    let presence = world.engine.presence().unwrap();
    world.fake.state().commands.clear();
    presence.set_count(&full, 1).await.unwrap();
    world.fake.state().commands.clear();
    sleep(Duration::from_secs(4 * 60)).await;
    let commands = std::mem::take(&mut world.fake.state().commands);
    let [keep] = &commands[..] else {
        panic!("{commands:?}");
    };
    assert_eq!(keep[1..3], [Script::Keep.hash(), "1"]);
    assert_eq!(keep[3..], [name(Kind::Meta, "a"), "600000".to_owned()]);
    sleep(Duration::from_secs(6 * 3600)).await;
    let commands = std::mem::take(&mut world.fake.state().commands);
    let kept = |key: &str, life: &str| {
        let is_it = |command: &&Vec<String>| command.ends_with(&[key.to_owned(), life.to_owned()]);
        commands.iter().filter(is_it).count()
    };
    assert!(kept(&name(Kind::Meta, "a"), "600000") > 89);
    assert!((1..=2).contains(&kept(&name(Kind::Meta, "b"), "86460000")));
    assert!((1..=2).contains(&kept(&name(Kind::Counts, "b"), "86400")));
    assert_eq!(kept(&name(Kind::Counts, "a"), "86400"), 0);
}

#[tokio::test(start_paused = true)]
async fn signals_come_with_their_sender() {
    let world = World::new().await;
    let layout = crate::layout::Layout::new("sockeye");
    world
        .fake
        .publish(&layout.signals(), b"0000000000000009 text")
        .await;
    let signal = Event::Signal(NodeId(9), "text".into());
    let heard = world.heard.until(|event| *event == signal);
    timeout(SECOND, heard).await.unwrap();
}
