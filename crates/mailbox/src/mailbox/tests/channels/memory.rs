//! What channels and subscriptions take on the heap, growth slack of vectors included.

use super::*;
use crate::ChannelConfig;
use crate::fanout::log::Subscription;

/// What an `Arc` takes besides its value.
const COUNTS: usize = 2 * size_of::<usize>();

#[test]
fn a_channel_with_one_member_that_has_read_all_takes_220_bytes_at_most() {
    for is_conflated in [false, true] {
        // What is kept of a member is a pointer, such as a session.
        let channel = crate::Channel::<(), Arc<()>>::new(ChannelConfig {
            is_conflated,
            ..ChannelConfig::default()
        });
        let [broadcasts] = channels();
        let mailbox = member_of(&[broadcasts], LIMIT, Overflow::Close);
        channel.subscribe(Arc::clone(&mailbox), Arc::default(), None);
        let bytes = || COUNTS + size_of_val(&*channel) + channel.retained_bytes();
        let idle = bytes();
        assert!(idle <= 220, "{idle} bytes");
        for text in ["a", "b", &"c".repeat(8000)] {
            channel.publish(&PreparedMessage::new(text), |_, _| ());
        }
        assert!(bytes() > idle);
        take_all(&mailbox);
        assert_eq!(bytes(), idle);
    }
}

#[test]
fn a_member_takes_27_bytes_of_its_channel_at_most() {
    let [channel] = channels();
    let [broadcasts] = channels();
    let mailbox = member_of(&[broadcasts], LIMIT, Overflow::Close);
    let empty = channel.retained_bytes();
    for many in 1..100 {
        join(&channel, &mailbox);
        let members = channel.retained_bytes() - empty;
        assert!(members <= 27 * many, "{members} bytes for {many} members");
    }
}

#[test]
fn a_further_subscription_takes_18_bytes_of_its_mailbox_at_most() {
    let [broadcasts] = channels();
    let mailbox = member_of(&[broadcasts], LIMIT, Overflow::Close);
    let subscriptions = || {
        let state = lock(&mailbox.state);
        state
            .others
            .as_ref()
            .map_or(0, |others| others.retained_bytes())
    };
    assert_eq!(subscriptions(), 0, "the first one lies in the mailbox");
    let channels = channels::<{ Slot::MANY + 2 }>();
    join(&channels[0], &mailbox);
    let one = subscriptions();
    assert!(one <= 64, "{one} bytes");
    for (more, channel) in channels[1..].iter().enumerate() {
        join(channel, &mailbox);
        let further = subscriptions() - one;
        assert!(
            further <= 18 * (more + 1),
            "{further} bytes for {more} further ones"
        );
    }
}

#[test]
fn what_a_mailbox_takes_before_it_is_used() {
    assert_eq!(size_of::<Option<Subscription>>(), 16);
    assert_eq!(size_of::<Mailbox>(), MAILBOX);
}

/// The size of a mailbox without a way past its driver.
const MAILBOX: usize = 208;
