//! Flights: reads of a live topic for joins.

use super::*;

/// A live topic at 1:5 with subscriber 1, and a flight for join 2. Returns the number of its read.
fn flight(wants: Wants) -> (World, ReadNumber) {
    let world = World::live();
    world.join(2, wants);
    let (since, read) = world.read();
    assert_eq!(since, Since::Recent(100));
    world.forget();
    (world, read)
}

#[test]
fn live_joins_of_a_flight_share_one_read() {
    let (world, read) = flight(Wants::After(at(1, 3)));
    for join in 3..1003 {
        world.join(join, Wants::After(at(1, 4)));
    }
    assert_eq!(world.requests(), []);
    world.reply_to(read, whole(entries(1..=5), at(1, 5)), 1);
    assert!(world.took(Row::LiveFlightReply));
    let told = world.told();
    assert_eq!(told.len(), 1001);
    assert_eq!(told[0], "2 joined at 1:3, recovered 2: 1:4 1:5");
    assert_eq!(told[1000], "1002 joined at 1:4, recovered 1: 1:5");
    assert_eq!(world.hub.subscribers(ROOM), 1002);
}

#[test]
fn live_flight_reply_is_merged_with_what_was_delivered_meanwhile() {
    let (world, read) = flight(Wants::After(at(1, 3)));
    world.deliver(entry(1, 6));
    world.deliver(entry(1, 7));
    world.forget();
    // The reply is older than the newest message.
    world.reply_to(read, whole(entries(1..=6), at(1, 6)), 1);
    world.deliver(entry(1, 8));
    assert_eq!(
        world.told(),
        [
            "2 joined at 1:3, recovered 4: 1:4 1:5 1:6 1:7",
            "[1, 2] 1:8"
        ]
    );
}

#[test]
fn live_flight_reply_is_cut_at_the_position_and_the_rest_comes_live() {
    let (world, read) = flight(Wants::After(at(1, 3)));
    world.reply_to(read, whole(entries(1..=7), at(1, 7)), 1);
    world.deliver(entry(1, 6));
    world.deliver(entry(1, 7));
    assert_eq!(
        world.told(),
        [
            "2 joined at 1:3, recovered 2: 1:4 1:5",
            "[1, 2] 1:6",
            "[1, 2] 1:7"
        ]
    );
}

#[test]
fn live_flight_reply_that_begins_at_the_position_has_nothing_to_replay() {
    let (world, read) = flight(Wants::After(at(1, 3)));
    world.reply_to(read, whole(entries(6..=7), at(1, 7)), 1);
    assert_eq!(world.told(), ["2 joined at 1:5, lost"]);
    assert!(world.took(Row::JoinLostOld));
}

#[test]
fn live_flight_reply_apart_from_the_position_makes_the_topic_read() {
    let (world, read) = flight(Wants::After(at(1, 3)));
    // The engine is on another branch.
    let mut stored = entries(1..=3);
    stored.extend([branch(4, 4), branch(5, 4)]);
    world.reply_to(read, whole(stored, other(1, 5)), 1);
    assert!(world.took(Row::LiveFlightApart));
    let (since, read) = world.read();
    assert_eq!(since, Since::After(at(1, 5)));
    world.reply_to(read, Catchup::Lost { top: other(1, 5) }, 1);
    assert_eq!(world.told(), ["[1] lost at 1:5:1005"]);
    // The join is a new one: a flight judges it.
    let mut stored = entries(1..=3);
    stored.extend([branch(4, 4), branch(5, 4)]);
    world.reply(whole(stored, other(1, 5)), 1);
    assert_eq!(
        world.told(),
        ["2 joined at 1:3, recovered 2: 1:4:1004 1:5:1005"]
    );
}

#[test]
fn live_flight_reply_of_another_generation_is_read_again_three_times_at_most() {
    let (world, read) = flight(Wants::After(at(1, 3)));
    world.reply_to(read, whole(entries(1..=5), at(1, 5)), 2);
    assert!(world.took(Row::LiveFlightOutdated));
    for _ in 0..2 {
        assert_eq!(world.told(), [] as [&str; 0]);
        assert_eq!(world.requests(), []);
        world.pass(MS_100);
        world.reply(whole(entries(1..=5), at(1, 5)), 2);
    }
    assert!(world.took(Row::LiveFlightFailed));
    assert_eq!(world.told(), ["2 refused: unavailable"]);
    assert_eq!(world.hub.subscribers(ROOM), 1);
}

#[test]
fn live_flight_whose_copies_overflowed_is_read_again() {
    let world = World::with(History::window(100, seconds(60)), |config| {
        config.waiting_events = 2
    })
    .lived();
    world.join(2, Wants::After(at(1, 3)));
    let (_, read) = world.read();
    for offset in 6..=8 {
        world.deliver(entry(1, offset));
    }
    world.forget();
    world.reply_to(read, whole(entries(1..=5), at(1, 5)), 1);
    assert!(world.took(Row::LiveFlightOutdated));
    world.pass(MS_100);
    world.reply(whole(entries(1..=8), at(1, 8)), 1);
    assert_eq!(
        world.told(),
        ["2 joined at 1:3, recovered 5: 1:4 1:5 1:6 1:7 1:8"]
    );
}

#[test]
fn live_flight_error_makes_its_joins_unavailable() {
    let (world, read) = flight(Wants::After(at(1, 3)));
    world.hub.caught_up(&name(ROOM), read, Err(error()));
    assert!(world.took(Row::LiveFlightFailed));
    assert_eq!(world.told(), ["2 refused: unavailable"]);
    world.deliver(entry(1, 6));
    assert_eq!(world.told(), ["[1] 1:6"]);
}

#[test]
fn live_gap_forgets_the_flight_and_its_joins_wait() {
    let (world, read) = flight(Wants::After(at(1, 3)));
    world.gap();
    world.reply_to(read, whole(entries(1..=5), at(1, 5)), 1);
    assert_eq!(world.told(), [] as [&str; 0]);
    world.listened(2);
    world.answer(Some(at(1, 5)));
    world.reply(whole(entries(1..=5), at(1, 5)), 2);
    assert_eq!(world.told(), ["2 joined at 1:3, recovered 2: 1:4 1:5"]);
}

#[test]
fn live_flight_goes_on_when_the_last_subscriber_leaves() {
    let (world, read) = flight(Wants::After(at(1, 3)));
    world.leave(1);
    assert!(!world.took(Row::LiveLastLeft));
    world.deliver(entry(1, 6));
    world.reply_to(read, whole(entries(1..=6), at(1, 6)), 1);
    assert_eq!(world.told(), ["2 joined at 1:3, recovered 3: 1:4 1:5 1:6"]);
}

#[test]
fn live_flight_ends_when_neither_subscriber_nor_join_is_left() {
    let (world, read) = flight(Wants::After(at(1, 3)));
    world.leave(1);
    assert_eq!(world.hub.cancel(ROOM, |&join| join == 2), 1);
    assert!(world.took(Row::LiveLastLeft));
    world.reply_to(read, whole(entries(1..=5), at(1, 5)), 1);
    assert_eq!(world.told(), [] as [&str; 0]);
}

#[test]
fn a_flight_fills_the_tail_so_that_later_joins_need_none() {
    let (world, read) = flight(Wants::After(at(1, 3)));
    world.reply_to(read, whole(entries(1..=5), at(1, 5)), 1);
    world.forget();
    world.join(3, Wants::After(at(1, 1)));
    assert_eq!(
        world.told(),
        ["3 joined at 1:1, recovered 4: 1:2 1:3 1:4 1:5"]
    );
    // How old the messages were is not known, so the tail answers with them for a minute.
    world.pass(seconds(61));
    world.join(4, Wants::After(at(1, 1)));
    assert_eq!(world.read().0, Since::Recent(100));
}

#[test]
fn latest_flight_gives_the_value() {
    let world = World::latest().lived();
    // The tail no longer answers with the value that was read.
    world.pass(seconds(61));
    world.join(2, Wants::Live);
    let (since, read) = world.read();
    assert_eq!(since, Since::Recent(1));
    world.reply_to(read, whole(vec![entry(1, 5)], at(1, 5)), 1);
    assert_eq!(world.told(), ["2 joined at 1:0, fresh: 1:5"]);
}

#[test]
fn latest_flight_prefers_a_value_that_was_delivered_meanwhile() {
    let world = World::latest().lived();
    world.pass(seconds(61));
    world.join(2, Wants::Live);
    let (_, read) = world.read();
    world.deliver(entry(1, 7));
    world.reply_to(read, whole(vec![entry(1, 5)], at(1, 5)), 1);
    assert_eq!(world.told(), ["[1] 1:7", "2 joined at 1:0, fresh: 1:7"]);
}

#[test]
fn latest_flight_with_a_newer_value_makes_the_topic_read() {
    let world = World::latest().lived();
    world.pass(seconds(61));
    world.join(2, Wants::Live);
    world.reply(whole(vec![entry(1, 8)], at(1, 8)), 1);
    assert!(world.took(Row::LiveFlightApart));
    world.reply(whole(vec![entry(1, 8)], at(1, 8)), 1);
    world.deliver(entry(1, 8));
    assert_eq!(world.told(), ["[1] 1:8", "2 joined at 1:0, fresh: 1:8"]);
}

#[test]
fn latest_flight_with_a_value_newer_than_those_delivered_meanwhile_makes_the_topic_read() {
    // The feed of this node lags: the client has the value 1:8 of another node.
    let world = World::latest().lived();
    world.join(2, Wants::After(at(1, 8)));
    let (_, read) = world.read();
    world.deliver(entry(1, 6));
    world.reply_to(read, whole(vec![entry(1, 8)], at(1, 8)), 1);
    assert!(world.took(Row::LiveFlightApart));
    world.reply(whole(vec![entry(1, 8)], at(1, 8)), 1);
    assert_eq!(
        world.told(),
        ["[1] 1:6", "[1] 1:8", "2 joined at 1:8, recovered 0"]
    );
}

#[test]
fn latest_flight_without_a_value_where_this_node_has_one_makes_the_topic_read() {
    // The memory of the engine was lost. The client knows it already, from another node.
    let world = World::latest().lived();
    world.join(2, Wants::After(at(2, 0)));
    world.reply(Catchup::None { top: at(2, 0) }, 1);
    assert!(world.took(Row::LiveFlightApart));
    world.reply(Catchup::None { top: at(2, 0) }, 1);
    assert_eq!(
        world.told(),
        ["[1] lost at 2:0", "2 joined at 2:0, recovered 0"]
    );
}

#[test]
fn latest_flight_without_a_value_is_lost_for_a_join_that_had_one() {
    let world = World::latest();
    world.join(1, Wants::Live);
    world.join(2, Wants::After(at(7, 3)));
    world.join(3, Wants::After(at(7, 0)));
    world.confirm(1);
    world.reply(Catchup::None { top: at(1, 0) }, 1);
    assert!(world.took(Row::JoinLostValue));
    assert_eq!(
        world.told(),
        [
            "1 joined at 1:0, fresh",
            "2 joined at 1:0, lost",
            "3 joined at 1:0, recovered 0"
        ]
    );
    // The hub knows now that there is no value.
    world.join(4, Wants::Live);
    assert_eq!(world.told(), ["4 joined at 1:0, fresh"]);
}

#[test]
fn live_flight_reply_beyond_the_position_makes_the_topic_read_for_a_join_from_there() {
    // The client comes from a node that is ahead of this one.
    let (world, read) = flight(Wants::After(at(1, 7)));
    world.join(3, Wants::After(at(1, 4)));
    world.reply_to(read, whole(entries(1..=7), at(1, 7)), 1);
    assert!(world.took(Row::LiveFlightAhead));
    assert_eq!(world.told(), ["3 joined at 1:4, recovered 1: 1:5"]);
    let (since, read) = world.read();
    assert_eq!(since, Since::After(at(1, 5)));
    world.reply_to(read, whole(entries(6..=7), at(1, 7)), 1);
    assert_eq!(
        world.told(),
        ["[1, 3] 1:6", "[1, 3] 1:7", "2 joined at 1:7, recovered 0"]
    );
}
