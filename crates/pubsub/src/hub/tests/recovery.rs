//! What a join gets of the past.

use super::*;

/// Joins a topic with a window, and returns the answer. The engine has the messages 3 to 8 of epoch 1.
fn answer(history: History, wants: Wants) -> (String, World) {
    let world = World::new(history);
    world.join(1, wants);
    world.join(2, Wants::Recent(1));
    world.confirm(1);
    world.reply(whole(entries(3..=8), at(1, 8)), 1);
    let told = world.told();
    (told[0].clone(), world)
}

fn hour(count: u32) -> History {
    History::window(count, seconds(3600))
}

#[test]
fn a_position_that_the_next_message_names_is_recovered() {
    for (position, expected) in [
        (at(1, 8), "1 joined at 1:8, recovered 0"),
        (at(1, 7), "1 joined at 1:7, recovered 1: 1:8"),
        (
            at(1, 2),
            "1 joined at 1:2, recovered 6: 1:3 1:4 1:5 1:6 1:7 1:8",
        ),
    ] {
        let (told, _) = answer(hour(100), Wants::After(position));
        assert_eq!(told, expected);
    }
}

#[test]
fn any_other_position_is_lost_and_disturbs_no_other_join() {
    for (position, row) in [
        (at(1, 1), Row::JoinLostOld),
        (at(1, 0), Row::JoinLostOld),
        (at(2, 5), Row::JoinLostEpoch),
        (other(1, 5), Row::JoinLostBranch),
        (other(1, 2), Row::JoinLostBranch),
        (other(1, 8), Row::JoinLostBranch),
        (at(1, 9), Row::JoinLostAhead),
        (at(1, u64::MAX), Row::JoinLostAhead),
    ] {
        let (told, world) = answer(hour(100), Wants::After(position));
        assert_eq!(told, "1 joined at 1:8, lost", "{row:?}");
        assert!(world.took(row), "{row:?}");
        assert_eq!(world.requests(), []);
        world.deliver(entry(1, 9));
        assert_eq!(world.told(), ["[1, 2] 1:9"]);
    }
}

#[test]
fn a_replay_beyond_the_limits_of_the_window_is_lost() {
    let (told, world) = answer(hour(3), Wants::After(at(1, 4)));
    assert_eq!(told, "1 joined at 1:8, lost");
    assert!(world.took(Row::JoinLostMuch));
    let (told, _) = answer(hour(3), Wants::After(at(1, 5)));
    assert_eq!(told, "1 joined at 1:5, recovered 3: 1:6 1:7 1:8");
    let len = body().len();
    let (told, _) = answer(hour(100).bytes(2 * len), Wants::After(at(1, 5)));
    assert_eq!(told, "1 joined at 1:8, lost");
    let (told, _) = answer(hour(100).bytes(2 * len), Wants::After(at(1, 6)));
    assert_eq!(told, "1 joined at 1:6, recovered 2: 1:7 1:8");
}

#[test]
fn recent_messages_are_those_that_there_are() {
    for (wants, expected) in [
        (Wants::Recent(0), "1 joined at 1:8, fresh"),
        (Wants::Recent(2), "1 joined at 1:6, fresh: 1:7 1:8"),
        (
            Wants::Recent(50),
            "1 joined at 1:2, fresh: 1:3 1:4 1:5 1:6 1:7 1:8",
        ),
    ] {
        let (told, _) = answer(hour(100), wants);
        assert_eq!(told, expected);
    }
    let (told, _) = answer(hour(2), Wants::Recent(50));
    assert_eq!(told, "1 joined at 1:6, fresh: 1:7 1:8");
    let (told, _) = answer(hour(9).bytes(3 * body().len()), Wants::Recent(50));
    assert_eq!(told, "1 joined at 1:5, fresh: 1:6 1:7 1:8");
}

#[test]
fn a_tail_that_begins_with_the_epoch_has_all_recent_messages() {
    let world = World::window();
    world.join(1, Wants::Live);
    world.confirm(1);
    world.reply(whole(vec![], at(1, 0)), 1);
    for offset in 1..=3 {
        world.deliver(entry(1, offset));
    }
    world.forget();
    world.join(2, Wants::Recent(50));
    world.join(3, Wants::After(at(1, 0)));
    assert_eq!(
        world.told(),
        [
            "2 joined at 1:0, fresh: 1:1 1:2 1:3",
            "3 joined at 1:0, recovered 3: 1:1 1:2 1:3"
        ]
    );
}

#[test]
fn a_topic_without_history_recovers_no_position() {
    let world = World::live_off();
    world.join(2, Wants::After(at(1, 3)));
    world.join(3, Wants::Recent(5));
    assert_eq!(
        world.told(),
        ["2 joined at -, lost", "3 joined at -, fresh"]
    );
    assert!(world.took(Row::JoinLostOff));
}

#[test]
fn the_tail_does_not_answer_with_messages_that_are_too_old() {
    let world = World::new(History::window(100, seconds(30))).lived();
    world.deliver(entry(1, 6));
    world.pass(seconds(20));
    world.join(2, Wants::After(at(1, 5)));
    world.deliver(entry(1, 7));
    world.forget();
    world.pass(seconds(15));
    world.join(3, Wants::After(at(1, 6)));
    assert_eq!(world.told(), ["3 joined at 1:6, recovered 1: 1:7"]);
    world.join(4, Wants::After(at(1, 5)));
    assert_eq!(world.read().0, Since::Recent(100));
}

#[test]
fn the_tail_holds_32_messages_and_no_more_than_its_bytes() {
    let world = World::live();
    for offset in 6..=60 {
        world.deliver(entry(1, offset));
    }
    world.forget();
    world.join(2, Wants::After(at(1, 28)));
    assert_eq!(world.told().len(), 1);
    world.join(3, Wants::After(at(1, 27)));
    assert_eq!(world.read().0, Since::Recent(100));

    let world = World::with(hour(100), |config| {
        config.tail_bytes = 2 * (size_of::<Entry>() + body().len());
    })
    .lived();
    for offset in 6..=8 {
        world.deliver(entry(1, offset));
    }
    world.forget();
    world.join(2, Wants::After(at(1, 6)));
    assert_eq!(world.told(), ["2 joined at 1:6, recovered 2: 1:7 1:8"]);
    world.join(3, Wants::After(at(1, 5)));
    assert_eq!(world.read().0, Since::Recent(100));
}

#[test]
fn tails_of_all_topics_share_their_room() {
    let world = World::with(hour(100), |config| {
        config.all_tails_bytes = 3 * (size_of::<Entry>() + body().len());
    })
    .lived();
    for offset in 6..=8 {
        world.deliver(entry(1, offset));
    }
    // There is no room for a fourth message: a tail may not have a hole, so it is given up.
    world.deliver(entry(1, 9));
    world.deliver(entry(1, 10));
    world.forget();
    world.join(2, Wants::After(at(1, 9)));
    assert_eq!(world.told(), ["2 joined at 1:9, recovered 1: 1:10"]);
    world.join(3, Wants::After(at(1, 8)));
    assert_eq!(world.read().0, Since::Recent(100));
}

/// A topic whose window of 100 was just read for a client that missed 50 messages.
fn after_a_read_of_fifty(bytes: usize) -> World {
    let world = World::with(hour(100), |config| config.wide_tail_bytes = bytes);
    world.join(1, Wants::After(at(1, 50)));
    world.confirm(1);
    world.reply(whole(entries(1..=100), at(1, 100)), 1);
    assert_eq!(world.told().len(), 1);
    world.forget();
    world
}

#[test]
fn after_a_read_the_tail_answers_a_crowd_that_missed_more_than_it_holds_else() {
    let world = after_a_read_of_fifty(1 << 20);
    world.deliver(entry(1, 101));
    world.forget();
    for join in 2..=20 {
        world.join(join, Wants::After(at(1, 50)));
    }
    let told = world.told();
    assert_eq!(told.len(), 19);
    assert!(told[0].starts_with("2 joined at 1:50, recovered 51: 1:51 1:52"));
}

#[test]
fn the_tail_is_wide_for_30_seconds_and_then_gives_its_memory_back() {
    let world = after_a_read_of_fifty(1 << 20);
    world.pass(seconds(29));
    world.join(2, Wants::After(at(1, 50)));
    assert_eq!(world.told().len(), 1);
    world.forget();
    world.pass(seconds(2));
    world.join(3, Wants::After(at(1, 68)));
    assert_eq!(world.told().len(), 1);
    world.join(4, Wants::After(at(1, 67)));
    assert_eq!(world.read().0, Since::Recent(100));
}

#[test]
fn a_wide_tail_has_its_own_limit_of_bytes() {
    let cost = size_of::<Entry>() + body().len();
    let world = after_a_read_of_fifty(60 * cost);
    world.join(2, Wants::After(at(1, 40)));
    assert_eq!(world.told().len(), 1);
    world.join(3, Wants::After(at(1, 39)));
    assert_eq!(world.read().0, Since::Recent(100));
}
