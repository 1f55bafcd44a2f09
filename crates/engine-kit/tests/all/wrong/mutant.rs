//! What each wrong engine does wrong, the check that must find it, and the reason that the check must give.

use self::Mutant::*;

/// The one thing that a wrong engine does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutant {
    /// It does nothing wrong.
    Right,
    /// The offset in the answer to a publish is doubled.
    DoublesOffsets,
    /// A publish draws another id.
    DrawsIds,
    /// A message that comes names no message before it.
    ForgetsPrevious,
    /// A message with an even offset comes before the one with the odd offset.
    SwapsPairs,
    /// A binary message comes as text.
    TurnsBinaryToText,
    /// A message that may not be compressed is stored as one that may.
    ForgetsUncompressed,
    /// A message that comes is cut at 32 KiB.
    CutsLongMessages,
    /// Topics that differ in upper case are one.
    FoldsTopics,
    /// Messages swap places at the second node alone.
    SwapsAtTheSecondNode,
    /// Another history is another topic.
    SplitsByHistory,
    /// `listen` answers for its first topic alone.
    AnswersOneTopic,
    /// The first message of a topic does not come.
    LosesTheFirstMessage,
    /// A publish begins to listen.
    ListensToPublished,
    /// `unlisten` does nothing.
    IgnoresUnlisten,
    /// A message comes as often as the node has listened.
    DeliversForEachListen,
    /// `unlisten` takes back one `listen`.
    CountsListens,
    /// A topic that was unlistened is never listened to again.
    ListensOnce,
    /// A message does not come back to its own node.
    LosesEchoes,
    /// A message without history stays on its node.
    KeepsUnstoredLocal,
    /// `unlisten` holds for all nodes.
    UnlistensEverywhere,
    /// A read names a generation that never was.
    InventsGenerations,
    /// A topic without history has a window of one message.
    StoresUnstored,
    /// A publish without history begins an epoch.
    BeginsEpochsWithoutHistory,
    /// A key without history is ignored.
    IgnoresKeysWithoutHistory,
    /// `Recent(n)` reads one message more.
    ReadsOneMore,
    /// `After` reads the whole window.
    ReadsTheWholeWindow,
    /// `After` leaves the first message out.
    LeavesTheFirstOut,
    /// A window has one message more.
    KeepsOneMore,
    /// A window has one message less.
    KeepsOneLess,
    /// The age of a window is ignored.
    IgnoresAge,
    /// The age of a window is a third of what it should be.
    AgesTooFast,
    /// The bytes of a window are ignored.
    IgnoresBytes,
    /// A window has one byte less.
    KeepsOneByteLess,
    /// The top is lost when all messages are too old.
    LosesTheTopWithItsMessages,
    /// A position is lost when its own message is too old.
    NeedsTheOwnMessage,
    /// A read has at most 256 messages.
    CutsLongReads,
    /// The epoch of a position is ignored.
    IgnoresEpochs,
    /// The id of a position before the top is ignored.
    IgnoresIds,
    /// The id of a position at the top is ignored.
    IgnoresIdsAtTheTop,
    /// Behind a position of the future lies nothing.
    AcceptsTheFuture,
    /// `Top` begins an epoch each time.
    BeginsEpochsAgain,
    /// `Top` reads the newest message.
    ReadsWithTop,
    /// Behind a position of an unknown topic lies nothing.
    AcceptsUnknownTopics,
    /// `tops` begins epochs.
    BeginsEpochsWithTops,
    /// `tops` answers in another order.
    ReversesTops,
    /// All topics have one epoch.
    HasOneEpoch,
    /// The latest value needs a position of its epoch.
    NeedsTheEpochOfTheLatest,
    /// The latest value comes again to a client that has it.
    RepeatsTheLatest,
    /// A topic without a value answers that nothing is missing.
    HidesAMissingValue,
    /// The latest value is kept for ever.
    KeepsTheLatestForEver,
    /// Values that another value follows do not come.
    LeavesValuesOut,
    /// The time of a value begins with the first publish of the topic.
    AgesTheLatestFromTheFirst,
    /// Keys are ignored.
    IgnoresKeys,
    /// A repeated publish comes again.
    DeliversRepeatedKeys,
    /// Keys that differ in upper case are one.
    FoldsKeys,
    /// All parties share their keys.
    SharesKeys,
    /// All topics share their keys.
    SharesKeysOfTopics,
    /// The keys of clients live as long as those of servers.
    KeepsClientKeysLong,
    /// The keys of servers live as short as those of clients.
    KeepsServerKeysShort,
    /// The keys of latest values are ignored.
    IgnoresKeysOfLatest,
    /// A forgotten topic goes on with its epoch.
    KeepsForgottenEpochs,
    /// No gap is reported.
    HidesGaps,
    /// The generation stays the same behind a gap.
    KeepsTheGeneration,
    /// `signals_lost` is not reported.
    HidesLostSignals,
    /// A late publish is accepted.
    AcceptsLatePublishes,
    /// A late publish is refused, and stored.
    StoresLatePublishes,
    /// The engine says that it is degraded.
    IsDegraded,
    /// `stop` does nothing.
    IgnoresStop,
    /// A stopped engine says that the message may have been published.
    SaysMaybeWhenStopped,
    /// A signal does not come back to its sender.
    LosesOwnSignals,
    /// A signal comes twice.
    RepeatsSignals,
    /// A signal names another sender.
    NamesAnotherSender,
    /// The live nodes are not reported.
    HidesNodes,
    /// A node that is gone is not reported.
    HidesDeadNodes,
    /// What a member says of itself is forgotten.
    ForgetsInfo,
    /// `leave` does nothing.
    IgnoresLeave,
    /// A member that enters again stays as it was.
    KeepsTheFirstEntry,
    /// The maximum of a list is ignored.
    IgnoresTheMaximum,
    /// A member leaves all topics at once.
    LeavesEverywhere,
    /// A count is added to the one before.
    AddsCounts,
    /// A node lists its own members alone.
    ListsOwnMembers,
    /// The members of a stopped node stay.
    KeepsMembersOfStopped,
    /// The members of a killed node stay.
    KeepsMembersOfKilled,
    /// A member is gone after a day.
    ForgetsMembersAfterADay,
    /// A call of `listen` reaches 512 topics.
    ListensTo512,
    /// Two publishes at once have one position.
    SharesPositions,
    /// The second node misses one message of fifty.
    LosesOneOfFifty,
    /// A publish whose future was dropped is repeated.
    RepeatsDroppedPublishes,
    /// A publish happens before its future is polled.
    PublishesUnpolled,
    /// Behind a dropped `listen` no other one works.
    SticksInListen,
    /// Behind a dropped read no other one works.
    SticksInReads,
    /// Behind a dropped `enter` no other one works.
    SticksInEnter,
    /// `Recent` ignores the number of messages of a window.
    ReadsRecentBeyondCount,
    /// `Recent` ignores the age of a window.
    ReadsRecentBeyondAge,
    /// `Recent` ignores the bytes of a window.
    ReadsRecentBeyondBytes,
    /// `Top` reads another topic.
    ReadsTopElsewhere,
    /// A message comes to the topic above its own, too.
    CopiesUpwards,
    /// A repeated publish is stored again, and has the first position.
    StoresRepeatedKeys,
    /// The count of a stopped node stays.
    KeepsCountsOfStopped,
    /// The count of a killed node stays.
    KeepsCountsOfKilled,
    /// A stopped engine listens.
    ListensWhenStopped,
    /// A stopped engine reads.
    ReadsWhenStopped,
    /// A stopped engine sends signals.
    SignalsWhenStopped,
    /// A stopped engine publishes.
    PublishesWhenStopped,
    /// A read behind a cut names the generation before it.
    ReadsInTheOldGeneration,
    /// `listen` is confirmed, and begins with the next `listen`.
    ListensLate,
    /// A read of a silent backend waits for ever.
    WaitsForEver,
    /// `tops` of a silent backend answers that there are none.
    InventsTops,
    /// A publish into a silence is stored later, and reported as not published.
    StoresUnsent,
    /// Behind a dropped `set_count` no other one works.
    SticksInCounts,
    /// Behind a dropped `stop` no other one works.
    SticksInStop,
}

/// For each wrong engine a check that must fail, and a part of the reason that it must give.
pub(super) const ALL: &[(Mutant, &str, &str)] = &[
    (
        DoublesOffsets,
        "offsets_rise_by_one",
        "the offsets of five publishes",
    ),
    (
        DrawsIds,
        "ids_are_the_drawn_ones",
        "the id in the answer to a publish",
    ),
    (
        ForgetsPrevious,
        "messages_name_the_one_before",
        "the message before",
    ),
    (
        SwapsPairs,
        "messages_come_in_order",
        "the order in which messages came",
    ),
    (
        TurnsBinaryToText,
        "content_travels_unchanged",
        "the content that came",
    ),
    (
        ForgetsUncompressed,
        "content_travels_unchanged",
        "the content that was read",
    ),
    (
        CutsLongMessages,
        "a_large_message_travels_whole",
        "came with 32768 bytes",
    ),
    (
        FoldsTopics,
        "topics_do_not_mix",
        "the offset of the first message",
    ),
    (
        SwapsAtTheSecondNode,
        "nodes_see_one_order",
        "the order that node 2 saw",
    ),
    (
        SplitsByHistory,
        "a_history_that_changes_keeps_positions",
        "the offset behind a change",
    ),
    (
        AnswersOneTopic,
        "listen_answers_for_each_topic",
        "the generations of three topics",
    ),
    (
        LosesTheFirstMessage,
        "messages_after_listen_come",
        "missing: 1 messages",
    ),
    (
        ListensToPublished,
        "a_topic_without_listen_is_silent",
        "without `listen`",
    ),
    (
        IgnoresUnlisten,
        "an_unlistened_topic_is_silent",
        "one behind it: found 2",
    ),
    (
        DeliversForEachListen,
        "listening_twice_delivers_once",
        "how often a message came",
    ),
    (
        CountsListens,
        "listening_twice_delivers_once",
        "behind one `unlisten`",
    ),
    (
        ListensOnce,
        "listening_again_delivers_again",
        "missing: 1 messages",
    ),
    (
        LosesEchoes,
        "a_message_comes_back_to_its_node",
        "missing: 2 messages",
    ),
    (
        KeepsUnstoredLocal,
        "unstored_messages_come_to_each_node",
        "missing: 3 messages",
    ),
    (
        UnlistensEverywhere,
        "unlisten_leaves_other_nodes",
        "missing: 1 messages",
    ),
    (
        InventsGenerations,
        "reads_name_the_generation",
        "the generation of Top",
    ),
    (
        StoresUnstored,
        "without_history_there_is_no_position",
        "the answer to a publish without history",
    ),
    (
        BeginsEpochsWithoutHistory,
        "without_history_nothing_is_kept",
        "the top of a topic without history",
    ),
    (
        IgnoresKeysWithoutHistory,
        "without_history_a_key_is_refused",
        "was accepted",
    ),
    (
        ReadsOneMore,
        "recent_reads_the_newest",
        "the newest 0 of five",
    ),
    (
        ReadsTheWholeWindow,
        "after_reads_all_behind",
        "the begin of a read behind offset 1",
    ),
    (
        LeavesTheFirstOut,
        "after_reads_all_behind",
        "of a read does not follow",
    ),
    (
        KeepsOneMore,
        "the_count_is_a_limit",
        "six messages of a window of five",
    ),
    (
        KeepsOneLess,
        "the_count_is_a_limit",
        "expected all messages",
    ),
    (
        IgnoresAge,
        "the_age_is_a_limit",
        "a message that is too old",
    ),
    (AgesTooFast, "the_age_is_a_limit", "expected all messages"),
    (
        IgnoresBytes,
        "the_bytes_are_a_limit",
        "37 bytes of a window of 30",
    ),
    (
        KeepsOneByteLess,
        "the_bytes_are_a_limit",
        "expected all messages",
    ),
    (
        LosesTheTopWithItsMessages,
        "the_top_misses_nothing",
        "expected all messages",
    ),
    (
        NeedsTheOwnMessage,
        "a_window_goes_on_after_its_age",
        "expected all messages",
    ),
    (
        CutsLongReads,
        "a_long_read_is_whole",
        "a read does not end at its top",
    ),
    (
        IgnoresEpochs,
        "another_epoch_is_lost",
        "a position of another epoch",
    ),
    (
        IgnoresIds,
        "another_id_is_lost",
        "a position with another id",
    ),
    (
        IgnoresIdsAtTheTop,
        "another_id_at_the_top_is_lost",
        "a position at the top with another id",
    ),
    (
        AcceptsTheFuture,
        "a_future_offset_is_lost",
        "a position behind the top",
    ),
    (
        BeginsEpochsAgain,
        "top_begins_an_epoch",
        "the top of a new topic, read again",
    ),
    (
        ReadsWithTop,
        "top_reads_no_message",
        "the messages of `Top`",
    ),
    (
        AcceptsUnknownTopics,
        "a_position_of_an_unknown_topic_is_lost",
        "expected Lost",
    ),
    (
        BeginsEpochsWithTops,
        "tops_create_nothing",
        "the top of an unknown topic",
    ),
    (
        ReversesTops,
        "tops_answer_for_each_topic",
        "the tops of three topics",
    ),
    (HasOneEpoch, "epochs_are_drawn", "two topics have the epoch"),
    (
        NeedsTheEpochOfTheLatest,
        "latest_gives_the_newest",
        "expected all messages",
    ),
    (
        RepeatsTheLatest,
        "latest_repeats_no_value",
        "what lies behind the latest value",
    ),
    (
        HidesAMissingValue,
        "latest_without_a_value_says_so",
        "a topic without a value",
    ),
    (
        KeepsTheLatestForEver,
        "the_time_of_the_latest_is_a_limit",
        "whether a value that is too old is gone",
    ),
    (LeavesValuesOut, "each_value_comes", "missing: 10 messages"),
    (
        AgesTheLatestFromTheFirst,
        "a_new_value_has_its_whole_time",
        "expected all messages",
    ),
    (
        IgnoresKeys,
        "a_repeated_key_is_one_message",
        "the position of a repeated publish",
    ),
    (
        DeliversRepeatedKeys,
        "a_repeated_key_is_one_message",
        "how often a repeated publish came",
    ),
    (
        FoldsKeys,
        "other_keys_are_other_messages",
        "with the key \"Key\"",
    ),
    (
        SharesKeys,
        "keys_of_parties_are_apart",
        "with the key of Client",
    ),
    (
        SharesKeysOfTopics,
        "keys_of_topics_are_apart",
        "with a key of another topic",
    ),
    (
        KeepsClientKeysLong,
        "client_keys_live_for_a_minute",
        "repeated after 61 s",
    ),
    (
        KeepsServerKeysShort,
        "server_keys_live_for_five_minutes",
        "repeated after 299 s",
    ),
    (
        IgnoresKeysOfLatest,
        "latest_values_have_keys",
        "the position of a repeated value",
    ),
    (
        KeepsForgottenEpochs,
        "a_forgotten_topic_begins_anew",
        "goes on with its epoch",
    ),
    (HidesGaps, "a_cut_feed_reports_a_gap", "missing: a gap"),
    (
        KeepsTheGeneration,
        "a_cut_feed_reports_a_gap",
        "expected one above",
    ),
    (
        HidesLostSignals,
        "a_cut_feed_loses_signals",
        "missing: `signals_lost`",
    ),
    (
        AcceptsLatePublishes,
        "a_late_publish_is_refused",
        "was accepted",
    ),
    (
        StoresLatePublishes,
        "a_late_publish_is_refused",
        "the messages behind two late publishes",
    ),
    (
        IsDegraded,
        "a_started_engine_is_ready",
        "the state of node 1",
    ),
    (
        IgnoresStop,
        "a_stopped_engine_refuses",
        "the state of a stopped engine",
    ),
    (
        SaysMaybeWhenStopped,
        "a_stopped_engine_refuses",
        "whether a stopped engine has published",
    ),
    (
        LosesOwnSignals,
        "signals_reach_each_node",
        "missing: a signal of node 1 at node 1",
    ),
    (
        RepeatsSignals,
        "signals_reach_each_node",
        "how often a signal came",
    ),
    (
        NamesAnotherSender,
        "signals_reach_each_node",
        "the sender of a signal",
    ),
    (
        HidesNodes,
        "live_nodes_are_reported",
        "missing: all live nodes",
    ),
    (
        HidesDeadNodes,
        "a_killed_node_is_not_live",
        "missing: live nodes without the killed one",
    ),
    (
        ForgetsInfo,
        "entered_members_are_listed",
        "the members that node 1 lists",
    ),
    (
        IgnoresLeave,
        "members_that_left_are_gone",
        "the members that stayed",
    ),
    (
        KeepsTheFirstEntry,
        "a_member_that_enters_again_is_replaced",
        "a member that entered twice",
    ),
    (
        IgnoresTheMaximum,
        "lists_are_cut_at_their_maximum",
        "a list of at most 0 of ten members",
    ),
    (
        LeavesEverywhere,
        "members_of_topics_are_apart",
        "the members of the second topic",
    ),
    (AddsCounts, "counts_add_up", "the count at node 1"),
    (
        ListsOwnMembers,
        "members_of_all_nodes_are_listed",
        "the members that node 1 lists",
    ),
    (
        KeepsMembersOfStopped,
        "a_stopped_node_leaves_no_members",
        "the members without a stopped node",
    ),
    (
        KeepsMembersOfKilled,
        "a_killed_node_leaves_no_members",
        "the members without a killed node",
    ),
    (
        ForgetsMembersAfterADay,
        "members_of_a_live_node_stay",
        "the members after two days",
    ),
    (
        ListensTo512,
        "a_thousand_topics_at_once",
        "missing: 1 messages",
    ),
    (
        SharesPositions,
        "a_thousand_publishes_at_once",
        "have holes or repeat",
    ),
    (
        LosesOneOfFifty,
        "a_storm_passes_the_checker",
        "the checker found: rule 3",
    ),
    (
        RepeatsDroppedPublishes,
        "a_dropped_publish_happens_at_most_once",
        "is stored 2 times",
    ),
    (
        PublishesUnpolled,
        "a_dropped_publish_happens_at_most_once",
        "that was never polled is stored",
    ),
    (
        SticksInListen,
        "a_dropped_listen_disturbs_nothing",
        "missing: 1 messages",
    ),
    (
        SticksInReads,
        "a_dropped_read_disturbs_nothing",
        "expected all messages",
    ),
    (
        SticksInCounts,
        "a_dropped_count_can_be_repeated",
        "the count behind one that was dropped",
    ),
    (
        SticksInStop,
        "a_dropped_stop_can_be_repeated",
        "the state behind a `stop` that was dropped",
    ),
    (
        TurnsBinaryToText,
        "unstored_content_travels_unchanged",
        "the content that came without history",
    ),
    (
        ReadsRecentBeyondCount,
        "the_count_is_a_limit",
        "the newest eight of a window of five",
    ),
    (
        ReadsRecentBeyondAge,
        "the_age_is_a_limit",
        "the newest messages that are young enough",
    ),
    (
        ReadsRecentBeyondBytes,
        "the_bytes_are_a_limit",
        "the newest four of a window of 30 bytes",
    ),
    (
        ReadsTopElsewhere,
        "top_begins_an_epoch",
        "the epoch of the first message",
    ),
    (CopiesUpwards, "topics_do_not_mix", "the messages of"),
    (
        StoresRepeatedKeys,
        "a_repeated_key_is_one_message",
        "what is stored of a repeated publish",
    ),
    (
        KeepsCountsOfStopped,
        "a_stopped_node_leaves_no_members",
        "the count without a stopped node",
    ),
    (
        KeepsCountsOfKilled,
        "a_killed_node_leaves_no_members",
        "the count without a killed node",
    ),
    (
        ListensWhenStopped,
        "a_stopped_engine_refuses",
        "a stopped engine listens",
    ),
    (
        ReadsWhenStopped,
        "a_stopped_engine_refuses",
        "a stopped engine reads",
    ),
    (
        SignalsWhenStopped,
        "a_stopped_engine_refuses",
        "a stopped engine sends signals",
    ),
    (
        PublishesWhenStopped,
        "a_stopped_engine_refuses",
        "a stopped engine publishes",
    ),
    (
        ReadsInTheOldGeneration,
        "a_cut_feed_reports_a_gap",
        "the generation of a read behind a cut",
    ),
    (
        ListensLate,
        "messages_after_listen_come",
        "missing: 1 messages",
    ),
    (
        WaitsForEver,
        "calls_end_while_the_backend_is_silent",
        "`catch_up` of a silent backend did not end",
    ),
    (
        InventsTops,
        "calls_end_while_the_backend_is_silent",
        "`tops` of a silent backend succeeded",
    ),
    (
        StoresUnsent,
        "calls_end_while_the_backend_is_silent",
        "ended with Some(No), and is stored 1 times",
    ),
    (
        SticksInEnter,
        "a_dropped_enter_can_be_repeated",
        "behind an `enter` that was dropped",
    ),
];
