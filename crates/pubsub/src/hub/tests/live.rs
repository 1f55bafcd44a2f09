//! Live and Lingering.

use super::*;

#[test]
fn live_continuous_event_is_delivered() {
    let world = World::live();
    world.deliver(entry(1, 6));
    world.deliver(entry(1, 7));
    assert!(world.took(Row::LiveContinuous));
    assert_eq!(world.told(), ["[1] 1:6", "[1] 1:7"]);
    assert_eq!(world.position(), Some(at(1, 7)));
    assert_eq!(world.requests(), []);
}

#[test]
fn live_event_without_history_is_delivered_each_time() {
    let world = World::live_off();
    world.deliver_unstored(7);
    world.deliver_unstored(7);
    assert_eq!(world.told(), ["[1] #7", "[1] #7"]);
}

#[test]
fn live_known_event_is_dropped() {
    let world = World::live();
    world.deliver(entry(1, 6));
    world.deliver(entry(1, 7));
    world.forget();
    for offset in [7, 6] {
        world.deliver(entry(1, offset));
    }
    assert!(world.took(Row::LiveKnown));
    assert_eq!(world.told(), [] as [&str; 0]);
    assert_eq!(world.requests(), []);
}

#[test]
fn live_event_behind_a_hole_waits_for_a_read() {
    let world = World::live();
    world.deliver(entry(1, 8));
    assert!(world.took(Row::LiveOther));
    assert_eq!(world.told(), [] as [&str; 0]);
    let (since, read) = world.read();
    assert_eq!(since, Since::After(at(1, 5)));
    world.reply_to(read, whole(entries(6..=8), at(1, 8)), 1);
    assert_eq!(world.told(), ["[1] 1:6", "[1] 1:7", "[1] 1:8"]);
}

#[test]
fn live_event_of_another_branch_does_not_follow() {
    let world = World::live();
    // The offset follows, and the message before it is another one.
    world.deliver(branch(6, 4));
    assert!(world.took(Row::LiveOther));
    world.reply(Catchup::Lost { top: other(1, 6) }, 1);
    assert_eq!(world.told(), ["[1] lost at 1:6:1006"]);
}

#[test]
fn live_event_of_another_epoch_does_not_follow() {
    let world = World::live();
    world.deliver(entry(2, 6));
    assert!(world.took(Row::LiveOther));
    world.reply(Catchup::Lost { top: at(2, 6) }, 1);
    assert_eq!(world.told(), ["[1] lost at 2:6"]);
}

#[test]
fn live_event_of_another_policy_has_no_place_in_a_history() {
    let world = World::live();
    world.deliver_unstored(7);
    assert_eq!(world.told(), [] as [&str; 0]);
    assert_eq!(world.requests(), []);
}

#[test]
fn live_event_with_a_position_is_delivered_without_it_if_the_topic_has_no_history() {
    let world = World::live_off();
    world.deliver(entry(1, 6));
    assert_eq!(world.told(), ["[1] #6"]);
}

#[test]
fn live_join_without_position_is_attached_at_the_newest_message() {
    let world = World::live();
    world.join(2, Wants::Live);
    assert!(world.took(Row::LiveJoin));
    world.deliver(entry(1, 6));
    assert_eq!(world.told(), ["2 joined at 1:5, fresh", "[1, 2] 1:6"]);
    assert_eq!(world.hub.subscribers(ROOM), 2);
}

#[test]
fn live_join_that_the_tail_proves_is_attached_at_once() {
    let world = World::live();
    for offset in 6..=8 {
        world.deliver(entry(1, offset));
    }
    world.forget();
    for (join, wants) in [
        (2, Wants::After(at(1, 6))),
        (3, Wants::After(at(1, 5))),
        (4, Wants::After(at(1, 8))),
        (5, Wants::Recent(2)),
    ] {
        world.join(join, wants);
    }
    assert!(world.took(Row::LiveJoinTail));
    assert_eq!(
        world.told(),
        [
            "2 joined at 1:6, recovered 2: 1:7 1:8",
            "3 joined at 1:5, recovered 3: 1:6 1:7 1:8",
            "4 joined at 1:8, recovered 0",
            "5 joined at 1:6, fresh: 1:7 1:8",
        ]
    );
    assert_eq!(world.requests(), []);
}

#[test]
fn live_join_that_the_tail_does_not_prove_starts_a_flight() {
    for wants in [
        Wants::After(at(1, 3)),
        Wants::After(other(1, 6)),
        Wants::After(at(2, 6)),
        Wants::After(at(1, 9)),
        Wants::Recent(3),
    ] {
        let world = World::live();
        world.deliver(entry(1, 6));
        world.deliver(entry(1, 7));
        world.forget();
        world.join(2, wants);
        assert!(world.took(Row::LiveJoinFlight), "{wants:?}");
        assert_eq!(world.told(), [] as [&str; 0], "{wants:?}");
        assert_eq!(world.read().0, Since::Recent(100), "{wants:?}");
    }
}

#[test]
fn live_join_while_the_engine_is_down_is_unavailable() {
    let world = World::live();
    world.hub.engine_state(EngineState::Down);
    world.join(2, Wants::Live);
    assert_eq!(world.told(), ["2 refused: unavailable"]);
    world.hub.engine_state(EngineState::Ready);
    world.join(2, Wants::Live);
    assert_eq!(world.told(), ["2 joined at 1:5, fresh"]);
}

#[test]
fn live_gap_makes_the_topic_stale() {
    let world = World::live();
    world.gap();
    assert!(world.took(Row::LiveGap));
    world.join(2, Wants::Live);
    assert!(world.took(Row::StaleJoin));
    assert_eq!(world.told(), [] as [&str; 0]);
}

#[test]
fn live_last_subscriber_leaves_and_the_topic_lingers() {
    let world = World::live();
    world.join(2, Wants::Live);
    assert_eq!(world.leave(1), 1);
    assert!(!world.took(Row::LiveLastLeft));
    assert_eq!(world.leave(2), 1);
    assert!(world.took(Row::LiveLastLeft));
    world.pass(seconds(5) - MS_100);
    assert_eq!(world.requests(), []);
    world.pass(seconds(2) + MS_100);
    assert!(world.took(Row::LingeringOver));
    world.unlistened();
    assert_eq!(world.hub.topics(), 0);
}

#[test]
fn live_subscriber_that_is_gone_is_not_counted() {
    let world = World::live();
    world.is_gone(2);
    world.join(2, Wants::Live);
    assert_eq!(world.hub.subscribers(ROOM), 1);
    world.leave(1);
    assert!(world.took(Row::LiveLastLeft));
}

#[test]
fn live_evict_removes_subscribers() {
    let world = World::live();
    let evicted = world
        .hub
        .evict(ROOM, |_| true, |topic| std::mem::take(topic).len());
    assert_eq!(evicted, 1);
    assert!(world.took(Row::LiveLastLeft));
}

#[test]
fn lingering_event_keeps_position_and_tail() {
    let world = World::live();
    world.leave(1);
    world.deliver(entry(1, 6));
    world.deliver(entry(1, 6));
    assert!(world.took(Row::LingeringEvent));
    assert_eq!(world.position(), Some(at(1, 6)));
    world.join(2, Wants::After(at(1, 5)));
    assert!(world.took(Row::LingeringJoin));
    assert_eq!(world.told(), ["2 joined at 1:5, recovered 1: 1:6"]);
    world.pass(seconds(60));
    assert_eq!(world.requests(), []);
}

#[test]
fn lingering_join_without_history_is_attached() {
    let world = World::live_off();
    world.leave(1);
    world.deliver_unstored(7);
    world.join(2, Wants::Live);
    assert!(world.took(Row::LingeringJoin));
    assert_eq!(world.told(), ["2 joined at -, fresh"]);
}

#[test]
fn lingering_other_event_closes() {
    let world = World::live();
    world.leave(1);
    world.deliver(entry(1, 8));
    assert!(world.took(Row::LingeringOther));
    assert_eq!(world.position(), None);
    world.unlistened();
}

#[test]
fn lingering_gap_closes() {
    let world = World::live();
    world.leave(1);
    world.gap();
    assert!(world.took(Row::LingeringGap));
    world.unlistened();
}

#[test]
fn lingering_that_began_anew_lasts_its_whole_time() {
    let world = World::live();
    world.leave(1);
    world.pass(seconds(4));
    world.join(2, Wants::Live);
    world.leave(2);
    world.pass(seconds(4));
    assert!(!world.took(Row::LingeringOver));
    world.pass(seconds(3));
    assert!(world.took(Row::LingeringOver));
}

#[test]
fn latest_delivers_jumps_and_drops_what_it_knows() {
    let world = World::latest().lived();
    world.deliver(entry(1, 9));
    world.deliver(entry(1, 9));
    world.deliver(entry(2, 1));
    assert_eq!(world.told(), ["[1] 1:9", "[1] 2:1"]);
    assert_eq!(world.requests(), []);
}

#[test]
fn latest_reads_the_value_for_an_unknown_message_with_a_lower_offset() {
    let world = World::latest().lived();
    world.deliver(branch(4, 3));
    assert!(world.took(Row::LiveOther));
    let (since, read) = world.read();
    assert_eq!(since, Since::After(at(1, 5)));
    world.reply_to(read, whole(vec![branch(4, 3)], other(1, 4)), 1);
    assert_eq!(world.told(), ["[1] 1:4:1004"]);
    assert_eq!(world.position(), Some(other(1, 4)));
}

#[test]
fn latest_gives_a_join_the_newest_value_from_the_tail() {
    let world = World::latest().lived();
    world.deliver(entry(1, 9));
    world.forget();
    world.join(2, Wants::Live);
    world.join(3, Wants::Recent(5));
    world.join(4, Wants::After(at(1, 3)));
    world.join(5, Wants::After(at(1, 9)));
    assert_eq!(
        world.told(),
        [
            "2 joined at 1:0, fresh: 1:9",
            "3 joined at 1:0, fresh: 1:9",
            "4 joined at 1:3, recovered 1: 1:9",
            "5 joined at 1:9, recovered 0",
        ]
    );
    assert_eq!(world.requests(), []);
    // The value of a client that comes from a node ahead of this one may be newer.
    world.join(6, Wants::After(at(1, 10)));
    world.join(7, Wants::After(at(7, 3)));
    assert_eq!(world.told(), [] as [&str; 0]);
    world.reply(whole(vec![entry(1, 10)], at(1, 10)), 1);
    world.reply(whole(vec![entry(1, 10)], at(1, 10)), 1);
    assert_eq!(
        world.told(),
        ["[1, 2, 3, 4, 5] 1:10", "6 joined at 1:10, recovered 0",]
    );
    world.reply(whole(vec![entry(1, 10)], at(1, 10)), 1);
    assert_eq!(world.told(), ["7 joined at 7:3, recovered 1: 1:10"]);
}
