//! Two deliveries to one mailbox at the same time: a runtime with several threads has them.

use super::*;
use crate::fanout::delivery::Deliver as _;

/// Delivers what one channel holds for its members.
fn deliver_channel(channel: &Channel) {
    channel.begin_delivery();
    channel.deliver(0..2, &mut Copied::default());
}

/// A parked mailbox that is a member of these channels, and its transport. No task delivers what they hold yet.
fn parked_in(channels: &[&Arc<Channel>], deliverer: &Deliverer) -> (Arc<Mailbox>, Shared) {
    let (mailbox, transport) = delivered_to(channels, deliverer, usize::MAX);
    assert!(mailbox.side().park(Waker::noop(), true));
    (mailbox, transport)
}

#[test]
fn a_delivery_waits_for_that_of_another_channel() {
    model(3, || {
        let channels = two_channels();
        let deliverer = Deliverer::new();
        let (_mailbox, transport) = parked_in(&[&channels[0], &channels[1]], &deliverer);
        let deliveries = channels.map(|channel| {
            thread::spawn(move || {
                assert!(publish(&channel, "a"));
                deliver_channel(&channel);
            })
        });
        for delivery in deliveries {
            delivery.join().unwrap();
        }
        assert_eq!(*lock(&transport.0), "aa");
    });
}

#[test]
fn a_message_that_comes_during_a_delivery_is_in_it_or_in_the_next_one() {
    model(3, || {
        let channel = Arc::<Channel>::default();
        let deliverer = Deliverer::new();
        let (_mailbox, transport) = parked_in(&[&channel], &deliverer);
        assert!(publish(&channel, "a"));
        let other = Arc::clone(&channel);
        let first = thread::spawn(move || deliver_channel(&other));
        let second = thread::spawn(move || {
            assert!(publish(&channel, "b"));
            deliver_channel(&channel);
        });
        first.join().unwrap();
        second.join().unwrap();
        assert_eq!(*lock(&transport.0), "ab");
    });
}
