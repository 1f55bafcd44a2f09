//! Refilling: messages are missing.

use super::*;

/// A topic at 1:5 with subscriber 1. The message 1:8 came. Returns the number of the read.
fn refilling() -> (World, ReadNumber) {
    let world = World::live();
    world.deliver(entry(1, 8));
    let (since, read) = world.read();
    assert_eq!(since, Since::After(at(1, 5)));
    world.forget();
    (world, read)
}

#[test]
fn refilling_event_and_join_wait() {
    let (world, read) = refilling();
    world.deliver(entry(1, 9));
    assert!(world.took(Row::RefillingEvent));
    world.join(2, Wants::After(at(1, 6)));
    assert!(world.took(Row::RefillingJoin));
    assert_eq!(world.told(), [] as [&str; 0]);
    world.reply_to(read, whole(entries(6..=8), at(1, 8)), 1);
    assert!(world.took(Row::RefillingWhole));
    assert_eq!(
        world.told(),
        [
            "[1] 1:6",
            "[1] 1:7",
            "[1] 1:8",
            "[1] 1:9",
            "2 joined at 1:6, recovered 3: 1:7 1:8 1:9",
        ]
    );
}

#[test]
fn refilling_reply_without_the_event_is_delivered_and_read_again() {
    let (world, read) = refilling();
    world.reply_to(read, whole(entries(6..=6), at(1, 6)), 1);
    assert!(world.took(Row::RefillingUnsettled));
    assert_eq!(world.told(), ["[1] 1:6"]);
    assert_eq!(world.requests(), []);
    world.pass(MS_100);
    let (since, read) = world.read();
    assert_eq!(since, Since::After(at(1, 6)));
    world.reply_to(read, whole(entries(7..=8), at(1, 8)), 1);
    assert_eq!(world.told(), ["[1] 1:7", "[1] 1:8"]);
}

#[test]
fn refilling_lost_is_told_with_the_new_position() {
    let (world, read) = refilling();
    world.reply_to(read, Catchup::Lost { top: at(1, 8) }, 1);
    assert!(world.took(Row::RefillingLost));
    assert!(world.took(Row::LostRead));
    world.deliver(entry(1, 9));
    assert_eq!(world.told(), ["[1] lost at 1:8", "[1] 1:9"]);
}

#[test]
fn refilling_lost_with_events_that_do_not_fit_is_read_again() {
    let (world, read) = refilling();
    world.deliver(entry(1, 12));
    world.reply_to(read, Catchup::Lost { top: at(1, 9) }, 1);
    assert!(world.took(Row::RefillingUnsettled));
    world.pass(MS_100);
    world.reply(whole(entries(10..=12), at(1, 12)), 1);
    assert_eq!(
        world.told(),
        ["[1] lost at 1:9", "[1] 1:10", "[1] 1:11", "[1] 1:12"]
    );
}

#[test]
fn refilling_third_reply_that_does_not_settle_is_lost() {
    let (world, read) = refilling();
    world.reply_to(read, whole(vec![], at(1, 5)), 1);
    world.pass(MS_100);
    world.reply(whole(vec![], at(1, 5)), 1);
    world.pass(MS_100);
    assert_eq!(world.told(), [] as [&str; 0]);
    world.reply(whole(vec![], at(1, 5)), 1);
    assert!(world.took(Row::RefillingThird));
    assert!(world.took(Row::LostUnsettled));
    assert_eq!(world.told(), ["[1] lost at 1:5"]);
    world.deliver(entry(1, 6));
    assert_eq!(world.told(), ["[1] 1:6"]);
}

#[test]
fn refilling_reply_of_another_generation_is_read_again() {
    let (world, read) = refilling();
    world.reply_to(read, whole(entries(6..=8), at(1, 8)), 2);
    assert!(world.took(Row::RefillingOutdated));
    assert_eq!(world.told(), [] as [&str; 0]);
    world.pass(MS_100);
    world.reply(whole(entries(6..=8), at(1, 8)), 1);
    assert_eq!(world.told(), ["[1] 1:6", "[1] 1:7", "[1] 1:8"]);
}

#[test]
fn refilling_overflow_is_read_again_and_never_lost() {
    let world = World::with(History::window(100, seconds(60)), |config| {
        config.waiting_events = 2
    })
    .lived();
    world.deliver(entry(1, 8));
    for round in 1..=5 {
        let (_, read) = world.read();
        let (first, top) = (round * 10, round * 10 + 4);
        for offset in first + 5..=first + 9 {
            world.deliver(entry(1, offset));
        }
        let last = world.position().expect("a position").offset;
        world.reply_to(read, whole(entries(last + 1..=top), at(1, top)), 1);
        assert!(world.took(Row::RefillingOutdated));
        world.pass(MS_100);
    }
    world.reply(whole(entries(55..=60), at(1, 60)), 1);
    let expected: Vec<String> = (6..=60).map(|offset| format!("[1] 1:{offset}")).collect();
    assert_eq!(world.told(), expected);
}

#[test]
fn refilling_error_is_repeated_after_a_pause() {
    let (world, read) = refilling();
    world.hub.caught_up(&name(ROOM), read, Err(error()));
    assert!(world.took(Row::RefillingError));
    assert_eq!(world.requests(), []);
    world.pass(seconds(5));
    world.reply(whole(entries(6..=8), at(1, 8)), 1);
    assert_eq!(world.told(), ["[1] 1:6", "[1] 1:7", "[1] 1:8"]);
}

#[test]
fn refilling_gap_forgets_the_read_and_the_events() {
    let (world, read) = refilling();
    world.gap();
    assert!(world.took(Row::RefillingGap));
    world.reply_to(read, whole(entries(6..=8), at(1, 8)), 1);
    world.listened(2);
    world.answer(Some(at(1, 5)));
    assert_eq!(world.told(), [] as [&str; 0]);
    assert_eq!(world.position(), Some(at(1, 5)));
}

#[test]
fn refilling_without_subscriber_and_join_closes() {
    let (world, _) = refilling();
    world.leave(1);
    assert!(world.took(Row::RefillingLeft));
    world.unlistened();
}

#[test]
fn refilling_drops_events_of_a_branch_that_the_engine_left_before_the_read() {
    let world = World::live();
    world.deliver(branch(6, 4));
    world.deliver(entry(2, 1));
    let (_, read) = world.read();
    world.reply_to(read, whole(entries(6..=7), at(1, 7)), 1);
    assert_eq!(world.told(), ["[1] 1:6", "[1] 1:7"]);
    assert_eq!(world.requests(), []);
}

#[test]
fn refilling_reads_again_for_events_of_another_branch_after_the_read() {
    let (world, read) = refilling();
    world.deliver(entry(2, 1));
    world.reply_to(read, whole(entries(6..=8), at(1, 8)), 1);
    assert!(world.took(Row::RefillingUnsettled));
    world.pass(MS_100);
    world.reply(Catchup::Lost { top: at(2, 1) }, 1);
    assert_eq!(
        world.told(),
        ["[1] 1:6", "[1] 1:7", "[1] 1:8", "[1] lost at 2:1"]
    );
}

#[test]
fn refilling_drops_events_that_came_before_the_top_itself() {
    // The engine does not keep as much as came: the reply has the top alone.
    let (world, read) = refilling();
    for offset in 9..=12 {
        world.deliver(entry(1, offset));
    }
    world.reply_to(read, Catchup::Lost { top: at(1, 11) }, 1);
    assert_eq!(world.told(), ["[1] lost at 1:11", "[1] 1:12"]);
    assert_eq!(world.requests(), []);
}

#[test]
fn latest_refill_delivers_the_value_unless_it_is_known() {
    let world = World::latest().lived();
    world.deliver(branch(4, 3));
    world.reply(whole(vec![entry(1, 5)], at(1, 5)), 1);
    assert_eq!(world.told(), [] as [&str; 0]);
    world.deliver(entry(1, 6));
    assert_eq!(world.told(), ["[1] 1:6"]);
}

#[test]
fn latest_third_reply_that_does_not_settle_is_not_lost() {
    let world = World::latest().lived();
    world.deliver(branch(4, 3));
    for round in 1..=3 {
        let (_, read) = world.read();
        world.deliver(branch(3, 3));
        let value = entry(1, 6 + round);
        world.reply_to(read, whole(vec![value.clone()], value.position), 1);
        world.pass(MS_100);
    }
    assert!(world.took(Row::RefillingThird));
    assert_eq!(world.told(), ["[1] 1:7", "[1] 1:8", "[1] 1:9"]);
}

#[test]
fn reads_beyond_the_limit_wait_in_their_order() {
    let world = World::with(History::window(100, seconds(60)), |config| {
        config.max_reads = 1
    });
    for topic in ["a", "b"] {
        world
            .hub
            .join(&name(topic), world.history, Wants::Recent(1), 1);
    }
    world.requests();
    let both = [name("a"), name("b")];
    world.hub.listen_done(&both, Ok(vec![Generation(1); 2]));
    let requests = world.requests();
    let [Request::CatchUp { topic, read, .. }] = requests.as_slice() else {
        panic!("expected one read, found {requests:?}");
    };
    assert_eq!(*topic, name("a"));
    let reply = Ok((whole(vec![], at(1, 5)), Generation(1)));
    world.hub.caught_up(topic, *read, reply);
    let requests = world.requests();
    assert!(matches!(requests.as_slice(), [Request::CatchUp { topic, .. }] if *topic == name("b")));
}

#[test]
fn reads_beyond_their_rate_wait() {
    let world = World::with(History::window(100, seconds(60)), |config| {
        config.reads_per_second = 10
    });
    for topic in ["a", "b", "c"] {
        world
            .hub
            .join(&name(topic), world.history, Wants::Recent(1), 1);
    }
    world.requests();
    let all = [name("a"), name("b"), name("c")];
    world.hub.listen_done(&all, Ok(vec![Generation(1); 3]));
    assert_eq!(world.requests().len(), 1);
    world.pass(MS_100);
    assert_eq!(world.requests().len(), 1);
    assert_eq!(world.requests().len(), 0);
    world.pass(MS_100);
    assert_eq!(world.requests().len(), 1);
}
