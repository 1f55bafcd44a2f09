//! Conflated channels: a member that has not read the last value reads the newest one in its place.

use super::*;
use crate::ChannelConfig;
use crate::mailbox::part::Parts;

/// A value that does not fit into a log.
fn large(text: &str) -> String {
    format!("{text}{}", "x".repeat(9000))
}

pub(super) fn conflated() -> Arc<Channel> {
    crate::Channel::new(ChannelConfig {
        is_conflated: true,
        ..ChannelConfig::default()
    })
}

/// A mailbox that reads logs, and one that takes all messages as items. Both are members of the channel.
fn both(channel: &Arc<Channel>) -> [Arc<Mailbox>; 2] {
    let [broadcasts] = channels();
    let reads = member_of(&[broadcasts], LIMIT, Overflow::Close);
    let takes = Mailbox::of_session(LIMIT, OverflowPolicy::default(), None, None);
    for mailbox in [&reads, &takes] {
        join(channel, mailbox);
    }
    [reads, takes]
}

#[test]
fn a_member_that_has_not_read_gets_the_newest_value_only() {
    let channel = conflated();
    let members = both(&channel);
    for value in ["a", "b", "c"] {
        assert_eq!(publish(&channel, value), 2);
    }
    for mailbox in &members {
        assert_eq!(take_all(mailbox), ["c"]);
        assert_eq!(mailbox.bytes(), 0);
    }
    publish(&channel, "d");
    for mailbox in &members {
        assert_eq!(take_all(mailbox), ["d"]);
    }
}

#[test]
fn a_value_too_large_for_the_log_takes_the_place_of_a_small_one_and_the_other_way_round() {
    let channel = conflated();
    let members = both(&channel);
    let values = [large("a"), "b".into(), large("c"), large("d"), "e".into()];
    for published in 1..=values.len() {
        for value in &values[..published] {
            assert_eq!(publish(&channel, value), 2);
        }
        for mailbox in &members {
            assert_eq!(take_all(mailbox), [values[published - 1].as_str()]);
        }
    }
}

#[test]
fn a_member_reads_the_newest_value_while_another_one_has_not_read_an_older_one() {
    let channel = conflated();
    let [one, _] = both(&channel);
    let [other, _] = both(&channel);
    publish(&channel, "a");
    assert_eq!(take_all(&one), ["a"]);
    publish(&channel, "b");
    publish(&channel, "c");
    assert_eq!(take_all(&one), ["c"]);
    assert_eq!(take_all(&other), ["c"]);
}

#[test]
fn values_take_no_room_and_overflow_nothing() {
    let channel = conflated();
    let [broadcasts] = channels();
    let reads = member_of(&[broadcasts], LEAST_WEIGHT, Overflow::Close);
    let takes = Mailbox::of_session(LEAST_WEIGHT, OverflowPolicy::default(), None, None);
    for mailbox in [&reads, &takes] {
        join(&channel, mailbox);
        mailbox.try_push(text("own")).unwrap();
    }
    for value in ["a".into(), large("b"), "c".into()] {
        assert_eq!(publish(&channel, &value), 2);
    }
    for mailbox in [reads, takes] {
        assert_eq!(mailbox.bytes(), 3);
        assert_eq!(directive(&mailbox), None);
        assert_eq!(take_all(&mailbox), ["own", "c"]);
    }
}

#[test]
fn an_own_send_moves_no_value_into_the_outbox() {
    let channel = conflated();
    let [reads, _] = both(&channel);
    publish(&channel, "a");
    reads.try_push(text("own")).unwrap();
    assert_eq!(reads.bytes(), 3);
    publish(&channel, "b");
    assert_eq!(take_all(&reads), ["own", "b"]);
}

#[test]
fn a_member_that_leaves_gets_no_value_that_it_has_not_read() {
    for value in ["a".into(), large("a")] {
        let channel = conflated();
        let members = both(&channel);
        publish(&channel, &value);
        for (number, mailbox) in (0..).zip(&members) {
            channel.leave(number, |_| true).unwrap();
            assert!(take_all(mailbox).is_empty());
            assert!(mailbox.look().has_nothing_to_take());
        }
    }
}

#[test]
fn values_that_were_not_read_before_a_close_go_out_before_it() {
    let channel = conflated();
    for value in ["a".into(), large("a")] {
        let members = both(&channel);
        publish(&channel, &value);
        members.iter().for_each(|mailbox| mailbox.close(reason()));
        assert_eq!(publish(&channel, "late"), 0);
        for mailbox in &members {
            assert_eq!(take_all(mailbox), [value.as_str()]);
        }
    }
}

#[test]
fn an_abort_and_a_shut_drop_values() {
    let ends: [fn(&Arc<Mailbox>); 2] = [|mailbox| mailbox.abort(), |mailbox| mailbox.shut()];
    let channel = conflated();
    for end in ends {
        let [reads, takes] = both(&channel);
        publish(&channel, "a");
        end(&reads);
        assert!(take_all(&reads).is_empty());
        takes.shut();
        assert!(take_all(&takes).is_empty());
    }
}

#[test]
fn a_value_waits_until_a_message_in_parts_ends() {
    let channel = conflated();
    for mailbox in both(&channel) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut parts = Parts::new(&mailbox, MessageKind::Text);
        let mut part = |payload: &str, is_last| {
            let polled = parts.poll_part(&mut cx, &mut Some(payload.to_owned().into()), is_last);
            assert!(matches!(polled, Poll::Ready(Ok(()))));
        };
        part("begun", false);
        drain(&mailbox);
        publish(&channel, &large("a"));
        assert!(take_all(&mailbox).is_empty());
        publish(&channel, "b");
        assert!(take_all(&mailbox).is_empty());
        part("ends", true);
        assert_eq!(take_all(&mailbox), ["part ends.", "b"]);
    }
}

#[test]
fn the_values_of_several_channels_take_turns() {
    let mailbox = Mailbox::of_session(LIMIT, OverflowPolicy::default(), None, None);
    let channels = [conflated(), conflated(), conflated()];
    for channel in &channels {
        join(channel, &mailbox);
    }
    let mut taken = Vec::new();
    for _ in 0..2 * channels.len() {
        for (channel, text) in channels.iter().zip(["0", "1", "2"]) {
            publish(channel, text);
        }
        mailbox
            .side()
            .take(1, 1, |item| taken.push(format!("{item:?}")));
    }
    let (first, second) = taken.split_at(channels.len());
    assert_eq!(first, second);
    let different: std::collections::BTreeSet<_> = first.iter().collect();
    assert_eq!(different.len(), channels.len());
}

#[test]
fn a_driver_is_woken_for_a_value_past_the_log() {
    for value in ["a".into(), large("a")] {
        let channel = conflated();
        let members = both(&channel).map(|mailbox| {
            let woken = Arc::new(Count::default());
            assert!(mailbox.side().park(&woken.clone().into(), true));
            (mailbox, woken)
        });
        publish(&channel, "older");
        publish(&channel, &value);
        for (mailbox, woken) in members {
            assert_eq!(woken.woken(), 1);
            mailbox.side().drive();
            assert_eq!(take_all(&mailbox), [value.as_str()]);
        }
    }
}

#[test]
fn a_value_to_some_members_takes_the_place_of_one_to_all() {
    let channel = conflated();
    let members = both(&channel);
    publish(&channel, "a");
    let lost = |_: &u32, _| panic!("a value takes no room");
    let many = channel.publish_to(&PreparedMessage::new("b"), |member| *member == 0, lost);
    assert_eq!(many, 1);
    assert_eq!(take_all(&members[0]), ["b"]);
    assert_eq!(take_all(&members[1]), ["a"]);
}
