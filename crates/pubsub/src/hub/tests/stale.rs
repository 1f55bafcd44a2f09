//! Stale: after a gap.

use super::*;

/// A stale topic at 1:5 with subscriber 1, which listens again in generation 2.
fn confirmed() -> World {
    confirmed_of(World::live())
}

fn confirmed_of(world: World) -> World {
    world.gap();
    world.listened(2);
    world
}

#[test]
fn stale_event_is_dropped_while_the_engine_does_not_listen() {
    let world = World::live();
    world.gap();
    world.deliver(entry(1, 6));
    assert!(world.took(Row::StaleEvent));
    world.listened(2);
    world.answer(Some(at(1, 5)));
    assert_eq!(world.told(), [] as [&str; 0]);
}

#[test]
fn stale_event_waits_once_the_engine_listens() {
    let world = confirmed();
    let read = world.ask();
    world.deliver(entry(1, 6));
    assert_eq!(world.told(), [] as [&str; 0]);
    world.answer_to(read, Some(at(1, 5)));
    assert!(world.took(Row::StaleEqual));
    assert_eq!(world.told(), ["[1] 1:6"]);
    assert_eq!(world.position(), Some(at(1, 6)));
}

#[test]
fn stale_join_waits_and_is_a_new_join_when_the_topic_is_live() {
    let world = confirmed();
    world.join(2, Wants::Live);
    assert!(world.took(Row::StaleJoin));
    let read = world.ask();
    world.deliver(entry(1, 6));
    world.answer_to(read, Some(at(1, 5)));
    assert_eq!(world.told(), ["[1] 1:6", "2 joined at 1:6, fresh"]);
}

#[test]
fn stale_confirmed_without_history_tells_lost_and_attaches_the_joins() {
    let world = World::live_off();
    world.gap();
    world.join(2, Wants::Live);
    world.listened(2);
    assert!(world.took(Row::StaleConfirmedOff));
    assert!(world.took(Row::LostOff));
    assert_eq!(world.told(), ["[1] lost at -", "2 joined at -, fresh"]);
    assert_eq!(world.requests(), []);
}

#[test]
fn stale_confirmed_with_history_asks_for_the_position() {
    let world = World::live();
    world.gap();
    assert_eq!(world.requests(), []);
    world.listened(2);
    assert!(world.took(Row::StaleConfirmed));
    world.ask();
}

#[test]
fn stale_topics_are_asked_for_in_one_batch() {
    let world = World::window();
    for topic in ["a", "b", "c"] {
        world.hub.join(&name(topic), world.history, Wants::Live, 1);
    }
    let all = [name("a"), name("b"), name("c")];
    world.requests();
    world.hub.listen_done(&all, Ok(vec![Generation(1); 3]));
    for request in world.requests() {
        let Request::CatchUp { topic, read, .. } = request else {
            panic!("expected a read, found {request:?}");
        };
        let reply = Ok((whole(vec![], at(1, 5)), Generation(1)));
        world.hub.caught_up(&topic, read, reply);
    }
    world.hub.gap(&|topic| topic != "b");
    world.hub.listened(Generation(2), &[name("a"), name("c")]);
    let requests = world.requests();
    let [Request::Tops { topics, .. }] = requests.as_slice() else {
        panic!("expected one question, found {requests:?}");
    };
    assert_eq!(*topics, [name("a"), name("c")]);
}

#[test]
fn stale_equal_position_is_live_and_the_tail_answers_again() {
    let world = World::live();
    world.deliver(entry(1, 6));
    let world = confirmed_of(world);
    world.answer(Some(at(1, 6)));
    world.forget();
    world.join(2, Wants::After(at(1, 5)));
    assert_eq!(world.told(), ["2 joined at 1:5, recovered 1: 1:6"]);
}

#[test]
fn stale_equal_position_with_events_that_do_not_fit_is_read() {
    let world = confirmed();
    let read = world.ask();
    world.deliver(entry(1, 7));
    world.answer_to(read, Some(at(1, 5)));
    assert!(world.took(Row::StaleUnsettled));
    world.reply(whole(entries(6..=7), at(1, 7)), 2);
    assert_eq!(world.told(), ["[1] 1:6", "[1] 1:7"]);
}

#[test]
fn stale_higher_position_is_read() {
    let world = confirmed();
    world.answer(Some(at(1, 7)));
    assert!(world.took(Row::StaleHigher));
    let (since, read) = world.read();
    assert_eq!(since, Since::After(at(1, 5)));
    world.reply_to(read, whole(entries(6..=7), at(1, 7)), 2);
    assert_eq!(world.told(), ["[1] 1:6", "[1] 1:7"]);
}

#[test]
fn stale_position_of_another_branch_is_lost_without_a_read() {
    for (top, row, told) in [
        (at(2, 1), Row::LostEpoch, "[1] lost at 2:1"),
        (at(1, 4), Row::LostLower, "[1] lost at 1:4"),
        (other(1, 5), Row::LostBranch, "[1] lost at 1:5:1005"),
    ] {
        let world = confirmed();
        world.answer(Some(top));
        assert!(world.took(Row::StaleLost));
        assert!(world.took(row), "{row:?}");
        assert_eq!(world.told(), [told]);
        assert_eq!(world.position(), Some(top));
        assert_eq!(world.requests(), []);
    }
}

#[test]
fn stale_lost_takes_the_events_of_the_new_branch() {
    let world = confirmed();
    let read = world.ask();
    world.deliver(branch(5, 4));
    world.deliver(branch(6, 4));
    world.answer_to(read, Some(other(1, 5)));
    assert_eq!(world.told(), ["[1] lost at 1:5:1005", "[1] 1:6:1006"]);
}

#[test]
fn stale_lost_with_events_that_do_not_fit_is_read() {
    let world = confirmed();
    let read = world.ask();
    world.deliver(entry(2, 3));
    world.answer_to(read, Some(at(2, 1)));
    assert!(world.took(Row::StaleUnsettled));
    let (since, read) = world.read();
    assert_eq!(since, Since::After(at(2, 1)));
    world.reply_to(read, whole(vec![entry(2, 2), entry(2, 3)], at(2, 3)), 2);
    assert_eq!(world.told(), ["[1] lost at 2:1", "[1] 2:2", "[1] 2:3"]);
}

#[test]
fn stale_tail_never_reaches_back_over_a_loss() {
    let world = World::live();
    world.deliver(entry(1, 6));
    let world = confirmed_of(world);
    world.answer(Some(other(1, 6)));
    world.forget();
    world.join(2, Wants::After(at(1, 5)));
    assert!(world.took(Row::LiveJoinFlight));
}

#[test]
fn stale_topic_that_the_engine_does_not_know_is_begun() {
    let world = confirmed();
    world.answer(None);
    assert!(world.took(Row::StaleUnknown));
    let (since, read) = world.read();
    assert_eq!(since, Since::Top);
    world.reply_to(read, whole(vec![], at(2, 0)), 2);
    assert!(world.took(Row::LostEpoch));
    assert_eq!(world.told(), ["[1] lost at 2:0"]);
}

#[test]
fn stale_errors_are_repeated_after_a_pause() {
    let world = confirmed();
    let read = world.ask();
    world.hub.tops(&[name(ROOM)], read, Err(error()));
    assert!(world.took(Row::StaleError));
    assert_eq!(world.requests(), []);
    world.pass(seconds(5));
    world.answer(None);
    world.fail_read();
    world.pass(seconds(5));
    world.answer(Some(at(1, 5)));
    assert!(world.took(Row::StaleEqual));
}

#[test]
fn stale_reply_to_a_question_from_before_a_gap_does_not_count() {
    let world = confirmed();
    let old = world.ask();
    world.deliver(entry(1, 6));
    world.gap();
    assert!(world.took(Row::StaleGap));
    world.listened(3);
    let new = world.ask();
    world.answer_to(old, Some(at(9, 9)));
    assert_eq!(world.told(), [] as [&str; 0]);
    world.answer_to(new, Some(at(1, 5)));
    assert_eq!(world.told(), [] as [&str; 0]);
    assert_eq!(world.position(), Some(at(1, 5)));
}

#[test]
fn stale_event_overflow_is_read_and_not_lost() {
    let world = World::with(History::window(100, seconds(60)), |config| {
        config.waiting_events = 2
    });
    let world = confirmed_of(world.lived());
    let read = world.ask();
    for offset in 6..=8 {
        world.deliver(entry(1, offset));
    }
    world.answer_to(read, Some(at(1, 5)));
    assert!(world.took(Row::StaleUnsettled));
    world.reply(whole(entries(6..=8), at(1, 8)), 2);
    assert_eq!(world.told(), ["[1] 1:6", "[1] 1:7", "[1] 1:8"]);
}

#[test]
fn stale_without_subscriber_and_join_closes() {
    let world = World::live();
    world.gap();
    world.leave(1);
    assert!(world.took(Row::StaleLeft));
    world.unlistened();
}

#[test]
fn stale_latest_with_another_value_is_read() {
    for top in [Some(at(1, 9)), Some(at(1, 2)), Some(at(2, 1)), None] {
        let world = confirmed_of(World::latest().lived());
        world.answer(top);
        assert!(world.took(Row::StaleHigher), "{top:?}");
        let (since, read) = world.read();
        assert_eq!(since, Since::After(at(1, 5)));
        world.reply_to(read, whole(vec![entry(2, 1)], at(2, 1)), 2);
        assert_eq!(world.told(), ["[1] 2:1"]);
    }
}

#[test]
fn stale_latest_without_a_value_is_lost() {
    let world = confirmed_of(World::latest().lived());
    world.answer(None);
    world.reply(Catchup::None { top: at(2, 0) }, 2);
    assert!(world.took(Row::LostValue));
    assert_eq!(world.told(), ["[1] lost at 2:0"]);
    world.deliver(entry(2, 1));
    assert_eq!(world.told(), ["[1] 2:1"]);
}

#[test]
fn turn_equal_changes_nothing() {
    let (world, read) = turning();
    world.answer_to(read, Some(at(1, 5)));
    assert!(world.took(Row::LiveTurnEqual));
    assert_eq!(world.requests(), []);
    // Each topic has its turn once in five minutes.
    world.pass(seconds(299));
    assert_eq!(world.requests(), []);
    world.pass(seconds(6));
    world.ask();
}

#[test]
fn turn_other_position_is_handled_as_in_stale() {
    let (world, read) = turning();
    world.answer_to(read, Some(at(1, 6)));
    assert!(world.took(Row::LiveTurnOther));
    world.reply(whole(entries(6..=6), at(1, 6)), 1);
    assert_eq!(world.told(), ["[1] 1:6"]);

    let (world, read) = turning();
    world.answer_to(read, Some(at(2, 0)));
    assert_eq!(world.told(), ["[1] lost at 2:0"]);
    world.deliver(entry(2, 1));
    assert_eq!(world.told(), ["[1] 2:1"]);

    let (world, read) = turning();
    world.answer_to(read, None);
    assert_eq!(world.read().0, Since::Top);
}

#[test]
fn turn_is_ignored_if_the_topic_moved_since() {
    let (world, read) = turning();
    world.deliver(entry(1, 6));
    world.answer_to(read, Some(at(1, 5)));
    assert!(world.took(Row::LiveTurnMoved));
    assert_eq!(world.told(), ["[1] 1:6"]);
    assert_eq!(world.requests(), []);
}

#[test]
fn turn_is_forgotten_at_a_gap() {
    let (world, read) = turning();
    world.gap();
    world.listened(2);
    world.answer(Some(at(1, 5)));
    world.answer_to(read, Some(at(9, 9)));
    assert_eq!(world.told(), [] as [&str; 0]);
}

#[test]
fn turns_end_without_topics_and_begin_again() {
    let (world, read) = turning();
    world.answer_to(read, Some(at(1, 5)));
    world.leave(1);
    world.pass(seconds(10));
    world.unlistened();
    world.pass(seconds(700));
    assert_eq!(world.hub.next_timeout(), None);
    let world = world.lived();
    world.pass(seconds(305));
    world.ask();
}

/// A live topic whose turn has come.
fn turning() -> (World, ReadNumber) {
    let history = History::window(100, seconds(3600));
    let world = World::with(history, |config| config.turns_per_second = 500).lived();
    let turn = || {
        world.pass(seconds(1));
        world.requests().pop()
    };
    let Some(Request::Tops { read, .. }) = (0..300).find_map(|_| turn()) else {
        panic!("each topic has its turn in five minutes");
    };
    (world, read)
}
