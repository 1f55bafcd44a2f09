//! Every interleaving of tasks that share several channels and mailboxes.

use super::*;

/// The mailbox of a session that is a member of these channels.
fn member_of(channels: &[&Arc<Channel>]) -> Arc<Mailbox> {
    let reserved: Vec<_> = channels.iter().map(|channel| channel.reserve()).collect();
    let first = reserved[0].1.clone();
    let mailbox = Mailbox::of_session(1000, OverflowPolicy::default(), Some(first), None);
    for (channel, (member, _)) in channels.iter().zip(reserved) {
        channel.join(member, Arc::clone(&mailbox), (), None);
    }
    mailbox
}

fn two_channels() -> [Arc<Channel>; 2] {
    std::array::from_fn(|_| Arc::default())
}

/// Whether the letters of `part` stand in `whole` in this order.
fn keeps_order(whole: &str, part: &str) -> bool {
    let mut letters = whole.chars().filter(|letter| part.contains(*letter));
    letters.by_ref().eq(part.chars())
}

#[test]
fn the_messages_of_each_channel_keep_their_order_and_none_is_lost() {
    model_long(|| {
        let [one, other] = two_channels();
        let mailbox = member_of(&[&one, &other]);
        let publisher = thread::spawn(move || {
            for (channel, text) in [(&one, "a"), (&other, "x"), (&one, "b"), (&other, "y")] {
                assert!(publish(channel, text));
            }
        });
        let taken = block_on(take_all(&mailbox, 4));
        let is_kept = keeps_order(&taken, "ab") && keeps_order(&taken, "xy");
        assert!(is_kept, "{taken}");
        publisher.join().unwrap();
    });
}

#[test]
fn an_own_send_stands_behind_what_was_in_any_channel_before() {
    model_long(|| {
        let channels = two_channels();
        let mailbox = member_of(&[&channels[0], &channels[1]]);
        let other = Arc::clone(&mailbox);
        let sender = thread::spawn(move || {
            assert!(publish(&channels[0], "a"));
            assert!(publish(&channels[1], "x"));
            other.try_push(text("s")).unwrap();
            assert!(publish(&channels[1], "y"));
        });
        let taken = block_on(take_all(&mailbox, 4));
        assert!(["axsy", "xasy"].contains(&taken.as_str()), "{taken}");
        sender.join().unwrap();
    });
}

#[test]
fn a_driver_that_parks_misses_no_message_of_any_channel() {
    model_long(|| {
        let channels = two_channels();
        let mailbox = member_of(&[&channels[0], &channels[1]]);
        let publishers = channels.map(|channel| thread::spawn(move || publish(&channel, "a")));
        assert_eq!(block_on(take_all(&mailbox, 2)), "aa");
        for publisher in publishers {
            assert!(publisher.join().unwrap());
        }
    });
}

#[test]
fn a_message_to_two_sessions_is_delivered_or_their_drivers_write_it() {
    model_long(|| {
        let channels = two_channels();
        let deliverer = Arc::new(Deliverer::new());
        let members =
            [0, 1].map(|_| delivered_to(&[&channels[0], &channels[1]], &deliverer, usize::MAX));
        let [(mailbox, transport), (parked, its_transport)] = members;
        assert!(parked.park(&mut None, Waker::noop(), true, &None));
        let other = Arc::clone(&mailbox);
        let publisher = thread::spawn(move || {
            for (channel, text) in channels.iter().zip(["a", "b"]) {
                assert_eq!(channel.publish(&PreparedMessage::new(text), |_, _| ()), 2);
            }
            deliver(&deliverer);
            other.try_push(text("z")).unwrap();
        });
        block_on(write_all(&mailbox, &transport, 'z'));
        publisher.join().unwrap();
        for (transport, last) in [(transport, "z"), (its_transport, "")] {
            let written = lock(&transport.0).clone();
            let is_whole = ["ab", "ba"].map(|both| written == format!("{both}{last}"));
            assert!(is_whole.contains(&true), "{written}");
        }
    });
}

#[test]
fn who_leaves_during_a_delivery_gets_whole_frames_and_nothing_afterwards() {
    model_long(|| {
        let channels = two_channels();
        let deliverer = Arc::new(Deliverer::new());
        // The transport takes a part of a frame at a time.
        let (mailbox, transport) = delivered_to(&[&channels[0], &channels[1]], &deliverer, 3);
        assert!(mailbox.park(&mut None, Waker::noop(), true, &None));
        let other = Arc::clone(&channels[1]);
        let publisher = thread::spawn(move || {
            publish(&other, "ab");
            deliver(&deliverer);
        });
        channels[1].leave(0, |()| true);
        assert_eq!(
            channels[1].publish(&PreparedMessage::new("z"), |_, _| ()),
            0
        );
        publisher.join().unwrap();
        let mut directive = None;
        if let Some(reason) = mailbox.drive(&mut directive) {
            transport.write(&reason.unsent);
        }
        while mailbox.read_log(1000, |frames| transport.write(frames)) {}
        let written = lock(&transport.0).clone();
        assert!(["", "ab"].contains(&written.as_str()), "{written}");
    });
}

#[test]
fn a_channel_in_a_slot_that_another_channel_left_loses_no_message() {
    model_long(|| {
        let channels = two_channels();
        let next = Arc::<Channel>::default();
        let mailbox = member_of(&[&channels[0], &channels[1]]);
        let late = Arc::clone(&channels[1]);
        let late = thread::spawn(move || publish(&late, "old"));
        let (other, joined) = (Arc::clone(&mailbox), Arc::clone(&channels[1]));
        let joins = thread::spawn(move || {
            joined.leave(0, |()| true);
            let (member, _) = next.reserve();
            next.join(member, other, (), None);
            assert!(publish(&next, "n"));
        });
        let taken = block_on(take_until(&mailbox, 'n'));
        assert!(["n", "oldn"].contains(&taken.as_str()), "{taken}");
        late.join().unwrap();
        joins.join().unwrap();
    });
}

#[test]
fn a_full_log_moves_what_a_slow_session_has_not_read_into_its_outbox() {
    model_long(|| {
        let (channel, mailbox) = session_with_channel();
        // The log has room for two such messages.
        let publisher = thread::spawn(move || {
            for message in ["a", "b", "c", "d"] {
                assert!(publish(&channel, message));
            }
        });
        assert_eq!(block_on(take_all(&mailbox, 4)), "abcd");
        publisher.join().unwrap();
    });
}

#[test]
fn what_was_accepted_is_sent_though_an_own_send_fills_the_outbox_meanwhile() {
    model(2, || {
        let channel = Arc::new(Channel::default());
        let (member, first) = channel.reserve();
        let policy = OverflowPolicy {
            broadcast: crate::Overflow::DropNewest,
            ..OverflowPolicy::default()
        };
        let mailbox = Mailbox::of_session(LEAST_WEIGHT, policy, Some(first), None);
        channel.join(member, Arc::clone(&mailbox), (), None);
        let publisher = thread::spawn(move || publish(&channel, "a"));
        mailbox.try_push(text("own")).unwrap();
        let is_accepted = publisher.join().unwrap();
        drop(mailbox.flush());
        let lost = mailbox.sweep(std::time::Instant::now());
        assert!(!is_accepted || lost.is_none(), "it was accepted: {lost:?}");
    });
}
