//! The hub as a whole: what topics cost, and topics beside each other.

use super::*;

/// An outlet whose topics cost what a pointer costs.
struct Plain(Mutex<Duration>);

impl Surroundings for Plain {
    fn now(&self) -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now) + *lock(&self.0)
    }

    fn random(&self) -> u64 {
        0x9e37_79b9_7f4a_7c15
    }
}

impl Outlet for Plain {
    type Join = ();
    type Topic = Box<()>;

    fn attach(&self, _: &TopicName, _: &mut Box<()>, (): (), _: Welcome<'_>) -> bool {
        true
    }
    fn refuse(&self, (): (), error: SubscribeError) {
        panic!("no join fails: {error}");
    }
    fn deliver(&self, _: &mut Box<()>, _: &Delivered) {}
    fn lose(&self, _: &mut Box<()>, _: Option<Position>) {}
    fn wake_at(&self, _: Instant) {}
}

#[test]
fn a_topic_with_a_subscriber_costs_90_bytes() {
    const TOPICS: usize = 100_000;
    let config = HubConfig {
        gather: Duration::ZERO,
        turns_per_second: 0,
        reads_per_second: u32::MAX,
        tops_per_second: u32::MAX,
        ..HubConfig::default()
    };
    let hub = Hub::new(Plain(Mutex::default()), config);
    let history = History::window(100, seconds(3600));
    for number in 0..TOPICS {
        hub.join(&name(&format!("room/{number}")), history, Wants::Live, ());
    }
    while let Some(request) = hub.next_request() {
        match request {
            Request::Listen(topics) => {
                hub.listen_done(&topics, Ok(vec![Generation(1); topics.len()]));
            }
            Request::CatchUp { topic, read, .. } => {
                let reply = Ok((whole(vec![], at(1, 5)), Generation(1)));
                hub.caught_up(&topic, read, reply);
            }
            other => panic!("expected a listen or a read, found {other:?}"),
        }
    }
    // The times at which the joins would have waited too long are forgotten.
    *lock(&hub.outlet().0) = seconds(10);
    hub.handle_timeout();
    assert_eq!(hub.topics(), TOPICS);
    let bytes: usize = hub
        .shards
        .iter()
        .map(|shard| shard.lock().expect("no panic").bytes())
        .sum();
    let subscribers = size_of::<Box<()>>() * TOPICS;
    // No topic has a part of its own: nothing was published.
    let own = (bytes - subscribers) as f64 / TOPICS as f64;
    assert!(own <= 90.0, "{own} bytes for each topic");
}

#[test]
fn topics_do_not_disturb_each_other() {
    let world = World::live();
    let history = world.history;
    world.hub.join(&name("other"), history, Wants::Live, 9);
    assert_eq!(world.requests(), [Request::Listen(vec![name("other")])]);
    world.hub.gap(&|topic| topic == "other");
    world.deliver(entry(1, 6));
    assert_eq!(world.told(), ["[1] 1:6"]);
    assert_eq!(world.hub.topics(), 2);
    assert_eq!(world.hub.subscribers("other"), 0);
}

#[test]
fn an_answer_for_a_topic_that_is_unknown_is_ignored() {
    let world = World::window();
    world.listen_done(1);
    world.listened(1);
    world.hub.unlistened(&[name(ROOM)]);
    world.answer_to(ReadNumber(7), Some(at(1, 1)));
    world.reply_to(ReadNumber(7), whole(vec![], at(1, 1)), 1);
    world.deliver(entry(1, 1));
    assert_eq!(world.leave(1), 0);
    assert_eq!(world.hub.cancel(ROOM, |_| true), 0);
    assert_eq!(world.told(), [] as [&str; 0]);
    assert_eq!(world.requests(), []);
}

#[test]
fn the_hub_asks_to_be_called_when_the_first_topic_has_to_act() {
    let world = World::window();
    assert_eq!(world.hub.next_timeout(), None);
    world.join(1, Wants::Live);
    let now = world.hub.outlet().now();
    assert_eq!(world.hub.next_timeout(), Some(now + seconds(10)));
}

#[test]
fn a_hub_may_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Hub<Plain>>();
}
