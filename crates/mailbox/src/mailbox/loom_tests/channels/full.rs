//! Every interleaving of the tasks that share a log or an outbox without room.

use super::*;

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
