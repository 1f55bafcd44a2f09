//! What a channel settles for itself: the policy for a message that finds no room, and a budget of the bytes of its log.

use super::*;
use crate::ChannelConfig;
use crate::fanout::budget::Budget;

const POLICIES: [Overflow; 4] = [
    Overflow::Refuse,
    Overflow::DropNewest,
    Overflow::DropOldest,
    Overflow::Close,
];

fn with_overflow(overflow: Overflow) -> Arc<Channel> {
    crate::Channel::new(ChannelConfig {
        overflow: Some(overflow),
        ..ChannelConfig::default()
    })
}

fn with_budget(budget: &Arc<Budget>, is_conflated: bool) -> Arc<Channel> {
    crate::Channel::new(ChannelConfig {
        budget: Some(Arc::clone(budget)),
        is_conflated,
        ..ChannelConfig::default()
    })
}

/// A mailbox with room for two of the shortest messages, which reads logs or takes all messages as items.
fn small(reads_logs: bool, overflow: Overflow) -> Arc<Mailbox> {
    let [broadcasts] = channels();
    let policy = OverflowPolicy {
        broadcast: overflow,
        ..OverflowPolicy::default()
    };
    let (_, first) = broadcasts.reserve();
    Mailbox::of_session(2 * LEAST_WEIGHT, policy, reads_logs.then_some(first), None)
}

/// Publishes, and returns what is lost.
fn publish_and_lose(channel: &Arc<Channel>, text: &str) -> Vec<Overflowed> {
    let mut all = Vec::new();
    channel.publish(&PreparedMessage::new(text), |_, lost| all.push(lost));
    all
}

#[test]
fn a_channel_has_its_own_policy_in_place_of_the_mailbox_s() {
    for reads_logs in [true, false] {
        for (overflow, other) in POLICIES.into_iter().zip(POLICIES.into_iter().rev()) {
            let channel = with_overflow(overflow);
            let mailbox = small(reads_logs, other);
            join(&channel, &mailbox);
            // An own send, so that the outbox is not empty.
            mailbox.try_push(text("own")).unwrap();
            assert!(publish_and_lose(&channel, "a").is_empty());
            let lost = publish_and_lose(&channel, "b");
            let [lost] = lost.try_into().unwrap();
            assert_eq!((lost.policy, lost.dropped), (overflow, 1));
            assert_eq!(directive(&mailbox).is_some(), overflow == Overflow::Close);
            let kept = if overflow == Overflow::DropOldest {
                "b"
            } else {
                "a"
            };
            assert_eq!(take_all(&mailbox), ["own", kept], "{overflow:?}");
        }
    }
}

#[test]
fn a_message_that_moves_out_of_a_log_meets_the_policy_of_its_channel() {
    let mailbox = small(true, Overflow::Close);
    let channels: [_; 6] = std::array::from_fn(|_| with_overflow(Overflow::DropNewest));
    for channel in &channels {
        join(channel, &mailbox);
        for _ in 0..8 {
            assert!(publish_and_lose(channel, &"x".repeat(8192)).is_empty());
        }
    }
    drop(mailbox.flush());
    let lost = mailbox.retire().unwrap();
    assert_eq!(lost.policy, Overflow::DropNewest);
    assert_eq!(directive(&mailbox), None);
}

#[test]
fn logs_keep_no_more_than_their_budget_and_what_exceeds_it_goes_as_items() {
    let budget = Budget::new(4 * LEAST_WEIGHT);
    let channels = [with_budget(&budget, false), with_budget(&budget, false)];
    let mailbox = member_of(&channels, LIMIT, Overflow::Close);
    for text in ["a", "b"] {
        for channel in &channels {
            assert_eq!(publish(channel, text), 1);
        }
    }
    assert_eq!(budget.kept(), 4 * LEAST_WEIGHT);
    assert_eq!(mailbox.bytes(), 0);
    assert_eq!(publish(&channels[0], "c"), 1);
    assert_eq!(mailbox.bytes(), 5, "the messages before it go first");
    assert_eq!(budget.kept(), 0);
    assert_eq!(take_all(&mailbox), ["a", "b", "a", "b", "c"]);
}

#[test]
fn what_leaves_a_log_is_given_back_to_the_budget() {
    type Leaves = fn(&Arc<Channel>, &Arc<Mailbox>);
    let leaves: [Leaves; 5] = [
        |_, mailbox| drop(take_all(mailbox)),
        |channel, _| assert_eq!(channel.leave(0, |_| true), Some(0)),
        |_, mailbox| mailbox.shut(),
        |_, mailbox| mailbox.close(reason()),
        |_, mailbox| drop(mailbox.flush()),
    ];
    for leaves in leaves {
        let budget = Budget::new(Budget::DEFAULT_LIMIT);
        let channel = with_budget(&budget, false);
        let mailbox = member_of(std::slice::from_ref(&channel), LIMIT, Overflow::Close);
        publish(&channel, "a");
        publish(&channel, &"b".repeat(1000));
        assert_eq!(budget.kept(), LEAST_WEIGHT + 1000);
        leaves(&channel, &mailbox);
        assert_eq!(budget.kept(), 0);
    }
}

#[test]
fn a_channel_that_is_dropped_gives_back_what_it_keeps() {
    let budget = Budget::new(Budget::DEFAULT_LIMIT);
    for is_conflated in [false, true] {
        let channel = with_budget(&budget, is_conflated);
        let mailbox = member_of(std::slice::from_ref(&channel), LIMIT, Overflow::Close);
        publish(&channel, "a");
        publish(&channel, "b");
        assert_eq!(
            budget.kept(),
            if is_conflated { 1 } else { 2 } * LEAST_WEIGHT
        );
        drop((channel, mailbox));
        assert_eq!(budget.kept(), 0);
    }
}

#[test]
fn a_value_that_exceeds_the_budget_takes_the_place_of_the_older_one() {
    let budget = Budget::new(2 * LEAST_WEIGHT);
    let channel = with_budget(&budget, true);
    let mailbox = member_of(std::slice::from_ref(&channel), LIMIT, Overflow::Close);
    publish(&channel, "a");
    let larger = "b".repeat(3 * LEAST_WEIGHT);
    assert_eq!(publish(&channel, &larger), 1);
    assert_eq!(budget.kept(), 0);
    assert_eq!(take_all(&mailbox), [larger]);
}

#[test]
fn the_messages_of_each_channel_are_activity() {
    let broadcasts = channels::<1>();
    let reads = member_of(&broadcasts, LIMIT, Overflow::Close);
    let takes = Mailbox::of_session(LIMIT, OverflowPolicy::default(), None, None);
    for is_conflated in [false, true] {
        let channel = crate::Channel::new(ChannelConfig {
            is_conflated,
            ..ChannelConfig::default()
        });
        for mailbox in [&reads, &takes] {
            join(&channel, mailbox);
        }
        for text in ["small", &"large".repeat(2000)] {
            let before = [&reads, &takes].map(|mailbox| mailbox.activity());
            publish(&channel, text);
            let after = [&reads, &takes].map(|mailbox| mailbox.activity());
            assert!(
                before
                    .iter()
                    .zip(&after)
                    .all(|(before, after)| before != after)
            );
            let again = [&reads, &takes].map(|mailbox| mailbox.activity());
            assert_eq!(after, again);
        }
    }
    let before = reads.activity();
    publish(&broadcasts[0], "a");
    assert_ne!(reads.activity(), before);
}
