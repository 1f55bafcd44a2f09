//! Logs that break no rule.

use super::{FOUR, accepts};

#[test]
fn a_subscriber_that_gets_each_message_once() {
    accepts(&[
        FOUR,
        "5 @ann sub room at 7:0:0
        11 @ann msg room 7:1:a p/1
        21 @ann msg room 7:2:b p/2
        31 @ann msg room 7:3:c p/3
        41 @ann msg room 7:4:d p/4",
    ]);
}

#[test]
fn a_client_that_was_cut_off_and_recovers_two_messages() {
    accepts(&[
        FOUR,
        "5 @ann sub room at 7:0:0
        11 @ann msg room 7:1:a p/1
        12 @ann disconnected
        32 @ann connected
        33 @ann ask room
        34 @ann sub room at 7:1:a after 7:1:a recovered missed 2
        35 @ann msg room 7:2:b p/2
        35 @ann msg room 7:3:c p/3
        41 @ann msg room 7:4:d p/4 live",
    ]);
}

#[test]
fn a_replay_that_a_second_cut_ends_early() {
    accepts(&[
        FOUR,
        "34 @ann sub room at 7:1:a after 7:1:a recovered missed 2
        35 @ann msg room 7:2:b p/2
        36 @ann disconnected
        38 @ann connected
        39 @ann sub room at 7:2:b after 7:2:b recovered missed 1
        39 @ann msg room 7:3:c p/3
        42 @ann msg room 7:4:d p/4",
    ]);
}

#[test]
fn a_failover_that_loses_two_confirmed_messages_and_says_so() {
    accepts(&["
        topic room window 100 60000 500000
        fault failover 25 30 confirmed
        10 publish room 7:1:a after 0 p/1
        20 publish room 7:2:b after a p/2
        21 publish room 7:3:c after b p/3
        # The replica has the first message only.
        40 publish room 7:2:e after a q/1
        50 publish room 7:3:f after e q/2
        5 @ann sub room at 7:0:0
        11 @ann msg room 7:1:a p/1
        22 @ann msg room 7:2:b p/2
        45 @ann lost room 7:2:e
        51 @ann msg room 7:3:f q/2
        # Ben never had the lost branch: nothing is missing for him.
        6 @ben sub room at 7:0:0
        12 @ben msg room 7:1:a p/1
        41 @ben msg room 7:2:e q/1
        51 @ben msg room 7:3:f q/2
        # Cid asks for a position on the lost branch.
        52 @cid sub room at 7:3:f after 7:3:c lost
        15060 engine top room 7:3:f
        15061 settled"]);
}

#[test]
fn an_engine_that_forgets_everything_and_a_lost_that_says_so() {
    accepts(&["
        topic room window 100 60000 500000
        fault flush 15 16 confirmed
        10 publish room 7:1:a after 0 p/1
        5 @ann sub room at 7:0:0
        11 @ann msg room 7:1:a p/1
        18 @ann lost room 9:0:0
        20 publish room 9:1:b after 0 p/2
        21 @ann msg room 9:1:b p/2
        30 engine top room 9:1:b
        31 settled"]);
}

#[test]
fn an_unknown_publish_that_appears_behind_its_successor() {
    accepts(&["
        topic room window 100 60000 500000
        1 @ann sub room at 7:0:0
        10 p sent 1 room
        11 p unknown 1
        20 p sent 2 room
        20 engine stored room 7:1:b after 0 p/2
        21 p ok 2 7:1:b
        30 engine stored room 7:2:a after b p/1
        31 @ann msg room 7:1:b p/2
        31 @ann msg room 7:2:a p/1
        40 engine top room 7:2:a
        41 settled"]);
}

#[test]
fn a_publish_with_a_key_that_is_repeated_after_an_unknown_outcome() {
    accepts(&["
        topic room window 100 60000 500000
        1 @ann sub room at 7:0:0
        10 p sent 1 room key
        10 engine stored room 7:1:a after 0 p/1
        11 p unknown 1
        20 p sent 1 room key
        21 p ok 1 7:1:a
        22 @ann msg room 7:1:a p/1
        40 engine top room 7:1:a
        41 settled"]);
}

#[test]
fn a_message_that_is_published_twice_without_a_key_comes_twice() {
    accepts(&["
        topic room window 100 60000 500000
        topic news off
        1 @ann sub room at 7:0:0
        1 @ann sub news at -
        10 publish room 7:1:a after 0 p/1
        20 publish room 7:2:b after a p/1
        30 publish news - p/2
        40 publish news - p/2
        41 @ann msg room 7:1:a p/1
        41 @ann msg room 7:2:b p/1
        42 @ann msg news - p/2
        42 @ann msg news - p/2
        50 engine top room 7:2:b
        51 settled"]);
}

#[test]
fn a_latest_topic_leaves_values_out() {
    accepts(&["
        topic price latest
        1 @ann sub price at 7:0:0
        10 publish price 7:1:a after 0 p/1
        20 publish price 7:2:b after a p/2
        30 publish price 7:3:c after b p/3
        11 @ann msg price 7:1:a p/1
        31 @ann msg price 7:3:c p/3
        # Ben joins late, and gets the newest value.
        32 @ben sub price at 7:0:0 missed 1
        32 @ben msg price 7:3:c p/3
        # Cid has it already.
        33 @cid sub price at 7:3:c after 7:3:c recovered
        40 engine top price 7:3:c
        41 settled"]);
}

#[test]
fn a_topic_without_history_may_miss_messages_around_a_fault() {
    accepts(&["
        topic news off
        fault cut 20 30 continuity
        1 @ann sub news at -
        10 publish news - p/1
        25 publish news - p/2
        40000 publish news - p/3
        11 @ann msg news - p/1
        31 @ann lost news -
        40001 @ann msg news - p/3
        50000 settled"]);
}

#[test]
fn a_window_that_was_outrun_is_lost_rightly() {
    accepts(&["
        topic room window 2 60000 500000
        10 publish room 7:1:a after 0 p/1
        20 publish room 7:2:b after a p/2
        30 publish room 7:3:c after b p/3
        31 @ann sub room at 7:3:c after 7:0:0 lost
        32 @ben sub room at 7:1:a after 7:1:a recovered missed 2
        32 @ben msg room 7:2:b p/2
        32 @ben msg room 7:3:c p/3
        50 engine top room 7:3:c
        60 settled"]);
}

#[test]
fn members_of_a_killed_node_leave_with_its_lease() {
    accepts(&["
        topic room off
        1 presence entered room 5 node 1
        1 presence entered room 6 node 2
        2 presence members room 5,6 settled
        10 presence died node 1
        15000 presence members room 5,6
        20011 presence members room 6 settled
        20011 presence count room 1 settled"]);
}

#[test]
fn an_entry_that_the_observer_finds_on_two_servers() {
    accepts(&[FOUR, "11 engine stored room 7:1:a after 0 p/1"]);
}

#[test]
fn a_cut_in_the_middle_of_a_replay_that_never_goes_on() {
    accepts(&[
        FOUR,
        "45 @ann sub room at 7:0:0 after 7:0:0 recovered missed 4
        45 @ann msg room 7:1:a p/1
        46 @ann disconnected",
    ]);
}

#[test]
fn the_newest_two_messages_and_then_live_ones() {
    accepts(&[
        FOUR,
        "35 @ann sub room at 7:1:a missed 2
        35 @ann msg room 7:2:b p/2 replay
        35 @ann msg room 7:3:c p/3 replay
        41 @ann msg room 7:4:d p/4 live",
    ]);
}

#[test]
fn a_client_goes_on_from_the_position_of_another_one() {
    accepts(&[
        FOUR,
        "5 @ann sub room at 7:0:0
        11 @ann msg room 7:1:a p/1
        12 @ann end room
        45 @ann sub room at 7:3:c after 7:3:c recovered missed 1
        45 @ann msg room 7:4:d p/4",
    ]);
}

#[test]
fn a_join_that_is_refused_and_repeated() {
    accepts(&[
        FOUR,
        "5 @ann ask room
        15 @ann refused room
        44 @ann ask room
        45 @ann sub room at 7:4:d",
    ]);
}

#[test]
fn a_topic_that_two_marks_judge() {
    accepts(&["
        topic room window 100 60000 500000
        1 @ann sub room at 7:0:0
        10 publish room 7:1:a after 0 p/1
        11 @ann msg room 7:1:a p/1
        20 engine top room 7:1:a
        21 settled
        30 publish room 7:2:b after a p/2
        31 @ann msg room 7:2:b p/2
        40 engine top room 7:2:b
        41 settled"]);
}
