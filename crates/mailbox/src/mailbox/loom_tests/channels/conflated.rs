//! Every interleaving of the tasks that share a conflated channel.

use super::*;
use crate::{Budget, ChannelConfig};

fn conflated() -> Arc<Channel> {
    Channel::new(ChannelConfig {
        is_conflated: true,
        // For one short value. A longer one waits in the mailbox.
        budget: Some(Budget::new(LEAST_WEIGHT)),
        ..ChannelConfig::default()
    })
}

/// A value that the log has no room for.
fn long(letter: &str) -> String {
    format!("{letter}{}", "-".repeat(LEAST_WEIGHT))
}

/// A member that reads the log of the channel, and one that takes all messages as items.
fn both(channel: &Arc<Channel>) -> [Arc<Mailbox>; 2] {
    let takes = Mailbox::of_session(1000, OverflowPolicy::default(), None, None);
    channel.subscribe(Arc::clone(&takes), (), None);
    [member_of(&[channel]), takes]
}

/// Acts as a driver that does not park: takes what it finds at once.
fn take_now(mailbox: &Arc<Mailbox>) -> String {
    let shared = Shared(Arc::new(Mutex::new(String::new())));
    mailbox.side().drive();
    while !mailbox.look().has_nothing_to_take() {
        if let Some(item) = mailbox.side().take_one() {
            shared.write(payload(&item).as_bytes());
        } else {
            mailbox.side().read_log(1000, |frames| shared.write(frames));
        }
    }
    lock(&shared.0).clone()
}

#[test]
fn a_driver_that_parks_gets_the_newest_value() {
    for values in [
        ["a".into(), "b".into()],
        ["a".into(), long("b")],
        [long("a"), "b".into()],
    ] {
        for member in [0, 1] {
            let values = values.clone();
            model(3, move || {
                let channel = conflated();
                let mailbox = both(&channel).into_iter().nth(member).unwrap();
                let values = values.clone();
                let publisher = thread::spawn(move || {
                    for value in values {
                        channel.publish(&PreparedMessage::new(value), |_, _| ());
                    }
                });
                let taken = block_on(take_until(&mailbox, 'b'));
                assert!(["b", "ab"].contains(&taken.as_str()), "{taken}");
                publisher.join().unwrap();
                assert_eq!(take_now(&mailbox), "");
            });
        }
    }
}

#[test]
fn a_read_while_a_value_is_unread_yields_a_value() {
    for values in [
        ["a".into(), "b".into()],
        ["a".into(), long("b")],
        [long("a"), "b".into()],
    ] {
        for member in [0, 1] {
            let values = values.clone();
            model(2, move || {
                let channel = conflated();
                let mailbox = both(&channel).into_iter().nth(member).unwrap();
                let [first, second] = values.clone();
                channel.publish(&PreparedMessage::new(first), |_, _| ());
                let publisher = thread::spawn(move || {
                    channel.publish(&PreparedMessage::new(second), |_, _| ());
                });
                let mut taken = take_now(&mailbox);
                assert!(["a", "b", "ab"].contains(&taken.as_str()), "{taken}");
                publisher.join().unwrap();
                taken.push_str(&take_now(&mailbox));
                assert!(["b", "ab"].contains(&taken.as_str()), "{taken}");
            });
        }
    }
}

#[test]
fn the_newest_value_is_delivered_or_the_driver_writes_it() {
    model_long(|| {
        let channel = conflated();
        let deliverer = Deliverer::new();
        // The transport takes a part of a frame at a time.
        let (mailbox, transport) = delivered_to(&[&channel], &deliverer, 3);
        let publisher = thread::spawn(move || {
            for value in ["ab", "cd"] {
                publish(&channel, value);
                deliver(&deliverer);
            }
        });
        block_on(write_all(&mailbox, &transport, 'd'));
        let written = lock(&transport.0).clone();
        assert!(["cd", "abcd"].contains(&written.as_str()), "{written}");
        publisher.join().unwrap();
    });
}

#[test]
fn who_leaves_during_a_delivery_gets_whole_values_and_nothing_afterwards() {
    model_long(|| {
        let broadcasts = Arc::default();
        let channel = conflated();
        let deliverer = Deliverer::new();
        let (mailbox, transport) = delivered_to(&[&broadcasts, &channel], &deliverer, 3);
        assert!(mailbox.side().park(Waker::noop(), true));
        let other = Arc::clone(&channel);
        let publisher = thread::spawn(move || {
            publish(&other, "ab");
            deliver(&deliverer);
            other.publish(&PreparedMessage::new(long("c")), |_, _| ());
        });
        channel.leave(0, |()| true);
        assert!(!publish(&channel, "z"));
        publisher.join().unwrap();
        if let Some(reason) = mailbox.side().drive() {
            transport.write(&reason.unsent);
        }
        let before = lock(&transport.0).clone();
        assert!(["", "ab"].contains(&before.as_str()), "{before}");
        assert_eq!(take_now(&mailbox), "");
    });
}

#[test]
fn a_conflated_channel_in_a_slot_that_another_channel_left_loses_no_value() {
    for is_conflated in [false, true] {
        model_long(move || {
            let broadcasts = Arc::default();
            let left = if is_conflated {
                conflated()
            } else {
                Arc::default()
            };
            let mailbox = member_of(&[&broadcasts, &left]);
            let late = Arc::clone(&left);
            let late = thread::spawn(move || publish(&late, "old"));
            let other = Arc::clone(&mailbox);
            let joins = thread::spawn(move || {
                left.leave(0, |()| true);
                let next = conflated();
                next.subscribe(other, (), None);
                for value in ["m", "n"] {
                    assert!(publish(&next, value));
                }
            });
            let taken = block_on(take_until(&mailbox, 'n'));
            let is_whole = ["n", "mn", "oldn", "oldmn"].contains(&taken.as_str());
            assert!(is_whole, "{taken}");
            late.join().unwrap();
            joins.join().unwrap();
        });
    }
}
