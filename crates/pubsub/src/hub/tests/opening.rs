//! Idle, Listening, Reading, Closing.

use super::*;

#[test]
fn idle_join_listens() {
    let world = World::window();
    world.join(1, Wants::Live);
    assert!(world.took(Row::IdleJoin));
    assert_eq!(world.requests(), [Request::Listen(vec![name(ROOM)])]);
    assert_eq!(world.requests(), []);
    assert_eq!(world.hub.topics(), 1);
}

#[test]
fn idle_join_beyond_the_limit_of_topics_is_too_many() {
    let world = World::with(History::off(), |config| config.max_topics = 1);
    world.join(1, Wants::Live);
    world
        .hub
        .join(&name("another"), History::off(), Wants::Live, 2);
    assert_eq!(world.told(), ["2 refused: too many"]);
    assert_eq!(world.hub.topics(), 1);
}

#[test]
fn listens_are_gathered_for_their_time_or_until_they_fill_a_batch() {
    let world = World::with(History::off(), |config| {
        config.gather = Duration::from_millis(2);
        config.batch = 3;
    });
    let join = |topic: &str| world.hub.join(&name(topic), History::off(), Wants::Live, 1);
    join("a");
    join("b");
    assert_eq!(world.requests(), []);
    world.pass(Duration::from_millis(2));
    let both = Request::Listen(vec![name("a"), name("b")]);
    assert_eq!(world.requests(), [both]);
    join("c");
    join("d");
    assert_eq!(world.requests(), []);
    join("e");
    let full = Request::Listen(vec![name("c"), name("d"), name("e")]);
    assert_eq!(world.requests(), [full]);
}

#[test]
fn listening_join_waits_with_the_others() {
    let world = World::off();
    world.join(1, Wants::Live);
    world.join(2, Wants::Live);
    assert!(world.took(Row::ListeningJoin));
    world.confirm(1);
    assert_eq!(
        world.told(),
        ["1 joined at -, fresh", "2 joined at -, fresh"]
    );
}

#[test]
fn listening_event_is_dropped() {
    let world = World::off();
    world.join(1, Wants::Live);
    world.deliver_unstored(7);
    assert!(world.took(Row::ListeningEvent));
    assert_eq!(world.told(), [] as [&str; 0]);
}

#[test]
fn listening_gap_changes_nothing() {
    let world = World::off();
    world.join(1, Wants::Live);
    world.gap();
    assert!(world.took(Row::ListeningGap));
    world.confirm(1);
    assert_eq!(world.told(), ["1 joined at -, fresh"]);
}

#[test]
fn listening_confirmed_without_history_is_live() {
    let world = World::off();
    world.join(1, Wants::Live);
    world.confirm(1);
    assert!(world.took(Row::ListeningConfirmedOff));
    world.deliver_unstored(7);
    assert_eq!(world.told(), ["1 joined at -, fresh", "[1] #7"]);
    assert_eq!(world.requests(), []);
}

#[test]
fn listening_confirmed_with_history_reads_the_top_if_no_join_wants_messages() {
    let world = World::window();
    world.join(1, Wants::Live);
    world.confirm(1);
    assert!(world.took(Row::ListeningConfirmed));
    assert_eq!(world.read().0, Since::Top);
}

#[test]
fn listening_confirmed_with_history_reads_the_window_if_a_join_wants_messages() {
    for wants in [Wants::Recent(3), Wants::After(at(1, 3))] {
        let world = World::window();
        world.join(1, Wants::Live);
        world.join(2, wants);
        world.confirm(1);
        assert_eq!(world.read().0, Since::Recent(100));
    }
}

#[test]
fn listening_error_refuses_the_joins_and_stops_to_listen() {
    let world = World::window();
    world.join(1, Wants::Live);
    assert_eq!(world.requests().len(), 1);
    world.hub.listen_done(&[name(ROOM)], Err(error()));
    assert!(world.took(Row::ListeningError));
    assert_eq!(world.told(), ["1 refused: unavailable"]);
    world.unlistened();
    assert_eq!(world.hub.topics(), 0);
}

#[test]
fn listening_without_a_join_waits_for_the_answer_and_closes() {
    let world = World::window();
    world.join(1, Wants::Live);
    assert_eq!(world.requests().len(), 1);
    assert_eq!(world.hub.cancel(ROOM, |&join| join == 1), 1);
    assert_eq!(world.requests(), []);
    world.listen_done(1);
    assert!(world.took(Row::ListeningLeft));
    world.unlistened();
    assert_eq!(world.hub.topics(), 0);
    assert_eq!(world.told(), [] as [&str; 0]);
}

#[test]
fn listening_by_the_engine_itself_closes_at_once_when_no_join_is_left() {
    let world = World::window();
    world.join(1, Wants::Live);
    world.confirm(1);
    world.gap();
    world.hub.cancel(ROOM, |_| true);
    assert!(world.took(Row::ListeningLeft));
    assert!(
        world
            .requests()
            .contains(&Request::Unlisten(vec![name(ROOM)]))
    );
}

#[test]
fn listening_takes_the_newer_generation_of_the_answer_and_the_report() {
    let world = World::window();
    world.join(1, Wants::Live);
    world.listened(2);
    world.confirm(1);
    let (_, read) = world.read();
    world.reply_to(read, whole(vec![], at(1, 5)), 2);
    assert_eq!(world.told(), ["1 joined at 1:5, fresh"]);
}

#[test]
fn a_newer_generation_that_the_engine_reports_is_a_gap() {
    // The gap came while the topic was Listening, before the answer of the old generation.
    let world = World::off();
    world.join(1, Wants::Live);
    assert_eq!(world.requests().len(), 1);
    world.gap();
    world.listen_done(1);
    world.listened(2);
    assert_eq!(world.told(), ["1 joined at -, fresh", "[1] lost at -"]);
    world.listened(2);
    assert_eq!(world.told(), [] as [&str; 0]);
}

#[test]
fn reading_event_waits_and_is_delivered_after_the_reply() {
    let world = World::window();
    world.join(1, Wants::Recent(2));
    world.confirm(1);
    let (_, read) = world.read();
    world.deliver(entry(1, 6));
    assert!(world.took(Row::ReadingEvent));
    world.reply_to(read, whole(entries(3..=5), at(1, 5)), 1);
    assert!(world.took(Row::ReadingReply));
    assert_eq!(world.told(), ["1 joined at 1:3, fresh: 1:4 1:5", "[1] 1:6"]);
}

#[test]
fn reading_join_is_judged_on_the_same_copy() {
    let world = World::window();
    world.join(1, Wants::Recent(1));
    world.confirm(1);
    let (_, read) = world.read();
    world.join(2, Wants::After(at(1, 4)));
    assert!(world.took(Row::ReadingJoin));
    world.reply_to(read, whole(entries(1..=5), at(1, 5)), 1);
    assert_eq!(
        world.told(),
        [
            "1 joined at 1:4, fresh: 1:5",
            "2 joined at 1:4, recovered 1: 1:5"
        ]
    );
    assert_eq!(world.requests(), []);
}

#[test]
fn reading_join_waits_for_the_next_read_if_this_one_asks_for_the_top_alone() {
    let world = World::window();
    world.join(1, Wants::Live);
    world.confirm(1);
    let (since, read) = world.read();
    assert_eq!(since, Since::Top);
    world.join(2, Wants::After(at(1, 4)));
    world.reply_to(read, whole(vec![], at(1, 5)), 1);
    assert_eq!(world.told(), ["1 joined at 1:5, fresh"]);
    world.reply(whole(entries(1..=5), at(1, 5)), 1);
    assert_eq!(world.told(), ["2 joined at 1:4, recovered 1: 1:5"]);
}

#[test]
fn reading_join_from_a_node_that_is_ahead_of_the_read_is_recovered() {
    let world = World::window();
    world.join(1, Wants::After(at(1, 6)));
    world.confirm(1);
    let (_, read) = world.read();
    world.deliver(entry(1, 6));
    world.deliver(entry(1, 7));
    world.reply_to(read, whole(entries(1..=5), at(1, 5)), 1);
    assert_eq!(world.told(), ["1 joined at 1:6, recovered 1: 1:7"]);
}

#[test]
fn reading_gap_forgets_the_read_and_the_waiting_events() {
    let world = World::window();
    world.join(1, Wants::Recent(9));
    world.confirm(1);
    let (_, old) = world.read();
    world.deliver(entry(1, 6));
    world.gap();
    assert!(world.took(Row::ReadingGap));
    world.reply_to(old, whole(entries(1..=5), at(1, 5)), 1);
    assert_eq!(world.told(), [] as [&str; 0]);
    world.listened(2);
    world.reply(whole(entries(1..=2), at(1, 2)), 2);
    assert_eq!(world.told(), ["1 joined at 1:0, fresh: 1:1 1:2"]);
}

#[test]
fn reading_reply_of_another_generation_is_read_again() {
    let world = World::window();
    world.join(1, Wants::Live);
    world.confirm(1);
    world.reply(whole(vec![], at(1, 5)), 2);
    assert!(world.took(Row::ReadingOutdated));
    assert_eq!(world.requests(), []);
    world.pass(MS_100);
    world.reply(whole(entries(1..=5), at(1, 5)), 1);
    assert_eq!(world.told(), ["1 joined at 1:5, fresh"]);
}

#[test]
fn reading_stale_reply_is_read_again() {
    let world = World::with(History::window(100, seconds(60)), |config| {
        config.waiting_events = 2
    });
    world.join(1, Wants::Live);
    world.confirm(1);
    let (_, read) = world.read();
    for offset in 6..=8 {
        world.deliver(entry(1, offset));
    }
    world.reply_to(read, whole(vec![], at(1, 5)), 1);
    assert!(world.took(Row::ReadingOutdated));
    world.pass(MS_100);
    world.reply(whole(entries(1..=8), at(1, 8)), 1);
    assert_eq!(world.told(), ["1 joined at 1:8, fresh"]);
}

#[test]
fn reading_unsettled_reply_is_read_again_with_messages() {
    let world = World::window();
    world.join(1, Wants::Live);
    world.confirm(1);
    let (_, read) = world.read();
    world.deliver(entry(1, 8));
    world.reply_to(read, whole(vec![], at(1, 5)), 1);
    assert!(world.took(Row::ReadingUnsettled));
    world.pass(MS_100);
    let (since, read) = world.read();
    assert_eq!(since, Since::Recent(100));
    world.reply_to(read, whole(entries(1..=8), at(1, 8)), 1);
    assert_eq!(world.told(), ["1 joined at 1:8, fresh"]);
}

#[test]
fn reading_third_reply_that_does_not_settle_makes_the_joins_unavailable() {
    let world = World::window();
    world.join(1, Wants::Live);
    world.confirm(1);
    for _ in 0..3 {
        let (_, read) = world.read();
        world.deliver(entry(1, 8));
        world.deliver(entry(1, 12));
        world.reply_to(read, whole(vec![], at(1, 5)), 1);
        world.pass(MS_100);
    }
    assert!(world.took(Row::ReadingFailed));
    assert_eq!(world.told(), ["1 refused: unavailable"]);
    world.unlistened();
    assert_eq!(world.hub.topics(), 0);
}

#[test]
fn reading_error_makes_the_joins_unavailable() {
    let world = World::window();
    world.join(1, Wants::Live);
    world.confirm(1);
    world.fail_read();
    assert!(world.took(Row::ReadingFailed));
    assert_eq!(world.told(), ["1 refused: unavailable"]);
    world.unlistened();
}

#[test]
fn reading_without_a_join_closes() {
    let world = World::window();
    world.join(1, Wants::Live);
    world.confirm(1);
    let (_, read) = world.read();
    world.hub.cancel(ROOM, |_| true);
    assert!(world.took(Row::ReadingLeft));
    world.reply_to(read, whole(vec![], at(1, 5)), 1);
    world.unlistened();
    assert_eq!(world.hub.topics(), 0);
}

#[test]
fn a_read_that_is_no_longer_wanted_is_not_sent() {
    let world = World::window();
    world.join(1, Wants::Live);
    world.confirm(1);
    world.gap();
    assert_eq!(world.requests(), []);
}

#[test]
fn closing_join_waits_and_listens_again() {
    let world = World::live_off();
    world.leave(1);
    world.pass(seconds(7));
    world.join(2, Wants::Live);
    assert!(world.took(Row::ClosingJoin));
    world.unlistened();
    assert!(world.took(Row::ClosingReopened));
    world.confirm(1);
    assert_eq!(world.told(), ["2 joined at -, fresh"]);
}

#[test]
fn closing_without_a_join_is_forgotten() {
    let world = World::live_off();
    world.leave(1);
    world.pass(seconds(7));
    world.unlistened();
    assert!(world.took(Row::ClosingDone));
    assert_eq!(world.hub.topics(), 0);
    assert_eq!(world.hub.with(ROOM, |_| ()), None);
}

#[test]
fn any_join_that_waited_10_seconds_is_unavailable() {
    let world = World::window();
    world.join(1, Wants::Live);
    world.pass(seconds(4));
    world.join(2, Wants::Live);
    world.pass(seconds(6));
    assert!(world.took(Row::JoinTimeout));
    assert_eq!(world.told(), ["1 refused: unavailable"]);
    world.pass(seconds(4));
    assert_eq!(world.told(), ["2 refused: unavailable"]);
}

#[test]
fn any_evict_answers_the_joins_that_are_meant() {
    let world = World::window();
    world.join(1, Wants::Live);
    world.join(2, Wants::Live);
    assert_eq!(world.hub.evict(ROOM, |&join| join == 1, |_| 0), 1);
    assert!(world.took(Row::Evicted));
    assert_eq!(world.told(), ["1 refused: evicted"]);
    world.confirm(1);
    world.reply(whole(vec![], at(1, 5)), 1);
    assert_eq!(world.told(), ["2 joined at 1:5, fresh"]);
}
