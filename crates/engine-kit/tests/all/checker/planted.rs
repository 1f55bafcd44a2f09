//! Logs with one planted violation each.

use sockeye_engine_kit::checker::Rule;

use super::{FOUR, refuses};

#[test]
fn a_stalled_subscriber() {
    refuses(
        &[
            FOUR,
            "5 @ann sub room at 7:0:0
            11 @ann msg room 7:1:a p/1
            21 @ann msg room 7:2:b p/2",
        ],
        Rule::Stall,
        "the client stands at",
    );
}

#[test]
fn a_join_that_is_never_answered() {
    refuses(&[FOUR, "5 @ann ask room"], Rule::Stall, "has no answer");
}

#[test]
fn a_hub_that_never_delivers_without_history() {
    refuses(
        &["
            topic news off
            1 @ann sub news at -
            10 publish news - p/1
            20000 publish news - p/2
            20001 @ann msg news - p/2
            30000 settled"],
        Rule::Acknowledged,
        "did not come by 2010 ms",
    );
}

#[test]
fn a_missed_that_is_too_large() {
    refuses(
        &[
            FOUR,
            "22 @ann sub room at 7:0:0 after 7:0:0 recovered missed 3
            23 @ann msg room 7:1:a p/1
            23 @ann msg room 7:2:b p/2
            31 @ann msg room 7:3:c p/3
            41 @ann msg room 7:4:d p/4",
        ],
        Rule::FalseRecovered,
        "`missed` is 3, and 2 messages were replayed",
    );
}

#[test]
fn a_missed_that_is_too_small() {
    refuses(
        &[
            FOUR,
            "42 @ann sub room at 7:2:b after 7:2:b recovered missed 1
            43 @ann msg room 7:3:c p/3 replay
            43 @ann msg room 7:4:d p/4 replay",
        ],
        Rule::FalseRecovered,
        "`missed` is 1, and more messages were replayed",
    );
}

#[test]
fn a_message_that_comes_twice() {
    refuses(
        &[
            FOUR,
            "5 @ann sub room at 7:0:0
            11 @ann msg room 7:1:a p/1
            21 @ann msg room 7:2:b p/2
            22 @ann msg room 7:2:b p/2
            31 @ann msg room 7:3:c p/3
            41 @ann msg room 7:4:d p/4",
        ],
        Rule::Duplicate,
        "which came before",
    );
}

#[test]
fn a_message_without_history_that_comes_twice() {
    refuses(
        &["
            topic news off
            1 @ann sub news at -
            10 publish news - p/1
            11 @ann msg news - p/1
            12 @ann msg news - p/1"],
        Rule::Duplicate,
        "came twice",
    );
}

#[test]
fn a_value_that_comes_twice_in_a_row() {
    refuses(
        &["
            topic price latest
            1 @ann sub price at 7:0:0
            10 publish price 7:1:a after 0 p/1
            11 @ann msg price 7:1:a p/1
            12 @ann msg price 7:1:a p/1"],
        Rule::Duplicate,
        "came twice in a row",
    );
}

#[test]
fn a_message_that_is_left_out() {
    refuses(
        &[
            FOUR,
            "5 @ann sub room at 7:0:0
            11 @ann msg room 7:1:a p/1
            31 @ann msg room 7:3:c p/3
            41 @ann msg room 7:4:d p/4",
        ],
        Rule::Gap,
        "which leaves messages out",
    );
}

#[test]
fn two_messages_that_change_places() {
    refuses(
        &[
            FOUR,
            "5 @ann sub room at 7:0:0
            11 @ann msg room 7:1:a p/1
            31 @ann msg room 7:3:c p/3
            32 @ann msg room 7:2:b p/2
            41 @ann msg room 7:4:d p/4",
        ],
        Rule::Order,
        "",
    );
}

#[test]
fn a_publishers_messages_that_change_places() {
    refuses(
        &["
            topic news off
            1 @ann sub news at -
            10 publish news - p/1
            20 publish news - p/2
            21 @ann msg news - p/2
            22 @ann msg news - p/1"],
        Rule::Order,
        "was confirmed before a message was sent that came earlier",
    );
}

#[test]
fn a_recovered_that_leaves_messages_out() {
    refuses(
        &[
            FOUR,
            "34 @ann sub room at 7:1:a after 7:1:a recovered missed 1
            35 @ann msg room 7:3:c p/3
            41 @ann msg room 7:4:d p/4",
        ],
        Rule::FalseRecovered,
        "the client was told `recovered`",
    );
}

#[test]
fn a_recovered_from_a_forged_position() {
    refuses(
        &[
            FOUR,
            "45 @ann sub room at 7:4:e after 7:4:e recovered
            46 @ann disconnected",
        ],
        Rule::FalseRecovered,
        "which the engine never stored",
    );
}

#[test]
fn two_branches_in_one_segment() {
    refuses(
        &["
            topic room window 100 60000 500000
            fault failover 25 30 confirmed
            10 publish room 7:1:a after 0 p/1
            20 publish room 7:2:b after a p/2
            40 publish room 7:2:e after a q/1
            50 publish room 7:3:f after e q/2
            5 @ann sub room at 7:0:0
            11 @ann msg room 7:1:a p/1
            22 @ann msg room 7:2:b p/2
            51 @ann msg room 7:3:f q/2
            15060 engine top room 7:3:f
            15061 settled"],
        Rule::Gap,
        "is on another branch",
    );
}

#[test]
fn two_epochs_in_one_segment() {
    refuses(
        &["
            topic room window 100 60000 500000
            fault flush 15 16 confirmed
            10 publish room 7:1:a after 0 p/1
            20 publish room 9:1:b after 0 p/2
            5 @ann sub room at 7:0:0
            11 @ann msg room 7:1:a p/1
            21 @ann msg room 9:1:b p/2
            30 engine top room 9:1:b
            31 settled"],
        Rule::Gap,
        "is of another epoch",
    );
}

#[test]
fn a_lost_branch_that_its_subscriber_does_not_hear_of() {
    refuses(
        &["
            topic room window 100 60000 500000
            fault failover 25 30 confirmed
            10 publish room 7:1:a after 0 p/1
            20 publish room 7:2:b after a p/2
            40 publish room 7:2:e after a q/1
            5 @ann sub room at 7:0:0
            11 @ann msg room 7:1:a p/1
            22 @ann msg room 7:2:b p/2
            15060 engine top room 7:2:e
            15061 settled"],
        Rule::Acknowledged,
        "the client holds a lost message, and was not told",
    );
}

#[test]
fn a_recovered_on_a_branch_that_was_lost() {
    refuses(
        &["
            topic room window 100 60000 500000
            fault failover 25 30 confirmed
            10 publish room 7:1:a after 0 p/1
            20 publish room 7:2:b after a p/2
            40 publish room 7:2:e after a q/1
            41 @ann sub room at 7:2:b after 7:2:b recovered
            15060 engine top room 7:2:e
            15061 settled"],
        Rule::FalseRecovered,
        "on a branch that was lost",
    );
}

#[test]
fn a_confirmed_message_that_is_not_stored() {
    refuses(
        &[FOUR, "45 p sent 5 room\n 45 p ok 5 7:5:e"],
        Rule::Acknowledged,
        "and is not stored",
    );
}

#[test]
fn a_confirmed_message_that_the_engine_loses_without_a_fault() {
    refuses(
        &["
            topic room window 100 60000 500000
            10 publish room 7:1:a after 0 p/1
            20 publish room 7:1:b after 0 p/2
            50 engine top room 7:1:b
            60 settled"],
        Rule::Acknowledged,
        "the engine has left that branch",
    );
}

#[test]
fn an_unsent_message_that_appears() {
    refuses(
        &[
            FOUR,
            "45 p sent 5 room
            46 p unsent 5
            46 engine stored room 7:5:e after d p/5
            47 engine top room 7:5:e",
        ],
        Rule::Outcome,
        "was reported as not published",
    );
}

#[test]
fn an_unsent_message_without_history_that_appears() {
    refuses(
        &["
            topic news off
            1 @ann sub news at -
            10 p sent 1 news
            11 p unsent 1
            12 @ann msg news - p/1"],
        Rule::Outcome,
        "was reported as not published",
    );
}

#[test]
fn an_unknown_message_that_appears_after_its_deadline() {
    refuses(
        &["
            topic room window 100 60000 500000
            10 p sent 1 room
            2010 p unknown 1
            3011 engine stored room 7:1:a after 0 p/1"],
        Rule::Outcome,
        "after 3010 ms",
    );
}

#[test]
fn an_unknown_message_that_appears_twice() {
    refuses(
        &["
            topic room window 100 60000 500000
            10 p sent 1 room
            11 p unknown 1
            10 engine stored room 7:1:a after 0 p/1
            12 engine stored room 7:2:b after a p/1"],
        Rule::Outcome,
        "stands twice on one branch",
    );
}

#[test]
fn a_repeated_key_that_is_stored_twice() {
    refuses(
        &["
            topic room window 100 60000 500000
            10 p sent 1 room key
            10 engine stored room 7:1:a after 0 p/1
            11 p unknown 1
            12 p sent 1 room key
            12 engine stored room 7:2:b after a p/1
            13 p ok 1 7:2:b"],
        Rule::Outcome,
        "stands twice on one branch",
    );
}

#[test]
fn two_contents_at_one_position() {
    refuses(
        &["
            topic price latest
            10 p sent 1 price
            10 p sent 2 price
            1 @ann sub price at 7:0:0
            11 @ann msg price 7:1:a p/1
            1 @ben sub price at 7:0:0
            11 @ben msg price 7:1:a p/2"],
        Rule::Agreement,
        "and others have",
    );
}

#[test]
fn a_latest_value_that_is_old() {
    refuses(
        &["
            topic price latest
            1 @ann sub price at 7:0:0
            10 publish price 7:1:a after 0 p/1
            20 publish price 7:2:b after a p/2
            11 @ann msg price 7:1:a p/1
            40 engine top price 7:2:b
            41 settled"],
        Rule::Latest,
        "and the engine",
    );
}

#[test]
fn a_ghost_member() {
    refuses(
        &["
            topic room off
            1 presence entered room 5 node 1
            2 presence left room 5
            1 presence entered room 6 node 1
            30 presence members room 5,6 settled"],
        Rule::Presence,
        "member 5 is listed, and has no live session",
    );
}

#[test]
fn a_member_of_a_dead_node_that_stays() {
    refuses(
        &["
            topic room off
            1 presence entered room 5 node 1
            1 presence entered room 6 node 2
            10 presence died node 1
            20011 presence members room 5,6"],
        Rule::Presence,
        "of a dead node",
    );
}

#[test]
fn a_live_session_that_is_no_member() {
    refuses(
        &["
            topic room off
            1 presence entered room 5 node 1
            1 presence entered room 6 node 1
            30 presence members room 6 settled"],
        Rule::Presence,
        "member 5 is not listed",
    );
}

#[test]
fn a_count_that_is_wrong() {
    refuses(
        &["
            topic room off
            1 presence entered room 5 node 1
            30 presence count room 2 settled"],
        Rule::Presence,
        "the count is 2, and 1 sessions are live",
    );
}

#[test]
fn a_needless_lost() {
    refuses(
        &[
            FOUR,
            "fault feed 15 16 nothing
            5 @ann sub room at 7:0:0
            11 @ann msg room 7:1:a p/1
            45 @ann lost room 7:4:d",
        ],
        Rule::NeedlessLost,
        "kept the 3 messages behind",
    );
}

#[test]
fn a_needless_lost_in_the_answer_to_a_join() {
    refuses(
        &[FOUR, "45 @ann sub room at 7:4:d after 7:1:a lost"],
        Rule::NeedlessLost,
        "kept the 3 messages behind",
    );
}

#[test]
fn an_answer_with_another_position_than_the_one_it_recovers() {
    refuses(
        &[
            FOUR,
            "45 @ann sub room at 7:4:d after 7:3:c recovered
            46 @ann disconnected",
        ],
        Rule::FalseRecovered,
        "and `at` is",
    );
}

#[test]
fn a_position_that_was_lost_and_messages_that_were_replayed() {
    refuses(
        &[
            FOUR,
            "45 @ann sub room at 7:3:c after 7:3:b lost missed 1
            45 @ann msg room 7:4:d p/4",
        ],
        Rule::FalseRecovered,
        "and the position was lost",
    );
}

#[test]
fn a_lost_with_a_position_that_was_never_stored() {
    refuses(
        &[
            FOUR,
            "fault cut 1 2 continuity
            5 @ann sub room at 7:0:0
            45 @ann lost room 7:4:e
            46 @ann disconnected",
        ],
        Rule::Gap,
        "`lost` names",
    );
}

#[test]
fn a_message_that_no_publisher_sent() {
    refuses(
        &["
            topic news off
            1 @ann sub news at -
            10 publish news - p/1
            11 @ann msg news - p/1
            12 @ann msg news - p/9"],
        Rule::Gap,
        "was never published to this topic",
    );
}

#[test]
fn a_message_after_the_subscription_has_ended() {
    refuses(
        &["
            topic news off
            1 @ann sub news at -
            5 @ann end news
            10 publish news - p/1
            11 @ann msg news - p/1"],
        Rule::Gap,
        "came without a subscription",
    );
}

#[test]
fn a_subscriber_that_stalls_between_two_marks() {
    refuses(
        &["
            topic room window 100 60000 500000
            1 @ann sub room at 7:0:0
            10 publish room 7:1:a after 0 p/1
            20 engine top room 7:1:a
            21 settled
            25 @ann msg room 7:1:a p/1
            40 engine top room 7:1:a
            41 settled"],
        Rule::Stall,
        "at 21 ms the client stands at",
    );
}

#[test]
fn two_servers_that_have_different_messages_at_one_position() {
    refuses(
        &[FOUR, "11 engine stored room 7:1:a after 0 p/2"],
        Rule::Agreement,
        "and elsewhere",
    );
}

#[test]
fn a_confirmed_message_that_is_stored_twice() {
    refuses(
        &["
            topic room window 100 60000 500000
            10 publish room 7:1:a after 0 p/1
            12 engine stored room 7:2:b after a p/1"],
        Rule::Duplicate,
        "stands twice on one branch",
    );
}

#[test]
fn an_entry_that_no_publisher_sent() {
    refuses(
        &["
            topic room window 100 60000 500000
            10 publish room 7:1:a after 0 p/1
            12 engine stored room 7:2:b after a p/9"],
        Rule::Outcome,
        "and was never published",
    );
}

#[test]
fn a_confirmed_message_without_a_position() {
    refuses(
        &["
            topic room window 100 60000 500000
            10 publish room - p/1"],
        Rule::Acknowledged,
        "was confirmed without a position",
    );
}

#[test]
fn a_message_that_was_confirmed_at_the_position_of_another_one() {
    refuses(
        &[FOUR, "45 p sent 5 room\n 45 p ok 5 7:4:d"],
        Rule::Acknowledged,
        "is stored there",
    );
}

#[test]
fn a_replay_that_a_lost_ends_early() {
    refuses(
        &[
            FOUR,
            "fault cut 1 2 continuity
            35 @ann sub room at 7:1:a after 7:1:a recovered missed 2
            35 @ann msg room 7:2:b p/2
            45 @ann lost room 7:4:d",
        ],
        Rule::FalseRecovered,
        "`missed` is 2, and 1 messages were replayed",
    );
}

#[test]
fn a_replay_that_ends_early_without_a_reason() {
    refuses(
        &[
            FOUR,
            "45 @ann sub room at 7:3:c after 7:3:c recovered missed 2
            45 @ann msg room 7:4:d p/4",
        ],
        Rule::FalseRecovered,
        "`missed` is 2, and 1 messages had come at 60 ms",
    );
}

#[test]
fn an_answer_that_does_not_say_whether_the_position_was_recovered() {
    refuses(
        &[FOUR, "45 @ann sub room at 7:4:d after 7:4:d"],
        Rule::FalseRecovered,
        "does not say whether the position was recovered",
    );
}

#[test]
fn an_answer_that_recovers_a_client_without_a_position() {
    refuses(
        &[
            FOUR,
            "45 @ann sub room at 7:4:d recovered\n 46 @ann disconnected",
        ],
        Rule::FalseRecovered,
        "the client gave no position",
    );
}

#[test]
fn an_answer_without_a_position() {
    refuses(
        &[FOUR, "45 @ann sub room at -\n 46 @ann disconnected"],
        Rule::Gap,
        "the answer has no position",
    );
}

#[test]
fn a_lost_without_a_subscription() {
    refuses(
        &["
            topic news off
            10 @ann lost news -"],
        Rule::Gap,
        "`lost` came without a subscription",
    );
}

#[test]
fn a_latest_topic_that_replays_two_values() {
    refuses(
        &["
            topic price latest
            10 publish price 7:1:a after 0 p/1
            20 publish price 7:2:b after a p/2
            30 @ann sub price at 7:0:0 missed 2
            31 @ann msg price 7:1:a p/1
            31 @ann msg price 7:2:b p/2"],
        Rule::FalseRecovered,
        "and the topic keeps one message",
    );
}

#[test]
fn a_message_of_a_window_without_a_position() {
    refuses(
        &[
            FOUR,
            "35 @ann sub room at 7:3:c\n 41 @ann msg room - p/4\n 42 @ann disconnected",
        ],
        Rule::Gap,
        "the message has no position",
    );
}

#[test]
fn a_value_without_a_position() {
    refuses(
        &["
            topic price latest
            1 @ann sub price at 7:0:0
            10 publish price 7:1:a after 0 p/1
            11 @ann msg price - p/1"],
        Rule::Gap,
        "the message has no position",
    );
}

#[test]
fn a_message_at_a_position_that_was_never_stored() {
    refuses(
        &[
            FOUR,
            "35 @ann sub room at 7:3:c\n 41 @ann msg room 7:4:e p/4\n 42 @ann disconnected",
        ],
        Rule::Gap,
        "the engine never stored an entry",
    );
}

#[test]
fn a_message_that_was_told_with_another_predecessor() {
    refuses(
        &[
            FOUR,
            "35 @ann sub room at 7:3:c\n 41 @ann msg room 7:4:d p/4 previous b",
        ],
        Rule::Gap,
        "with another predecessor than it has",
    );
}
