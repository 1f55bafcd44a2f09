//! Every interleaving of a driver and the tasks that wait for a write, or for the end.

use super::*;

#[test]
fn whoever_waits_for_the_write_is_told_of_it() {
    model(2, || {
        let mailbox = Mailbox::new(1000);
        let sender = spawn(mailbox.send(text("a")));
        block_on(take(&mailbox, 1));
        write(&mailbox);
        assert_eq!(sender.join().unwrap(), Ok(()));
    });
}

#[test]
fn each_who_waits_for_the_write_is_told_of_it() {
    model(3, || {
        let mailbox = Mailbox::new(1000);
        let mut first = mailbox.send(text("a"));
        let mut second = mailbox.send(text("b"));
        enqueue(&mut first);
        enqueue(&mut second);
        let senders = [first, second].map(spawn);
        mailbox.side().take_one();
        write(&mailbox);
        mailbox.side().take_one();
        write(&mailbox);
        for sender in senders {
            assert_eq!(sender.join().unwrap(), Ok(()));
        }
    });
}

#[test]
fn whoever_waits_for_the_write_is_told_that_it_will_not_be() {
    model(3, || {
        let mailbox = Mailbox::new(1);
        mailbox.try_push(text("0")).unwrap();
        let sender = spawn(mailbox.send(text("1")));
        let flusher = spawn(mailbox.flush());
        mailbox.shut();
        assert_eq!(sender.join().unwrap(), Err(SendError::Closed));
        assert_eq!(flusher.join().unwrap(), Err(SendError::Closed));
        assert_eq!(mailbox.bytes(), 0);
    });
}

#[test]
fn what_was_written_before_the_end_counts_as_written() {
    model(2, || {
        let mailbox = Mailbox::new(1000);
        mailbox.try_push(text("0")).unwrap();
        let flusher = spawn(mailbox.flush());
        mailbox.side().take_one();
        write(&mailbox);
        mailbox.shut();
        assert_eq!(flusher.join().unwrap(), Ok(()));
    });
}

#[test]
fn a_sender_dropped_while_it_waits_for_the_write_is_in_nobodys_way() {
    model(3, || {
        let mailbox = Mailbox::new(1000);
        let mut dropped = mailbox.send(text("a"));
        let mut kept = mailbox.send(text("b"));
        enqueue(&mut dropped);
        enqueue(&mut kept);
        let dropper = thread::spawn(move || drop(dropped));
        let sender = spawn(kept);
        assert_eq!(payload(&mailbox.side().take_one().unwrap()), "a");
        assert_eq!(payload(&mailbox.side().take_one().unwrap()), "b");
        write(&mailbox);
        assert_eq!(sender.join().unwrap(), Ok(()));
        dropper.join().unwrap();
    });
}

#[test]
fn all_who_wait_for_the_end_are_told_of_it() {
    model(3, || {
        let mailbox = Mailbox::new(1000);
        let waiters = [mailbox.ended(), mailbox.ended()].map(spawn);
        mailbox.end(reason());
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), reason());
        }
    });
}
