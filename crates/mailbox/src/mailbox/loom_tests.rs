//! Every interleaving of the tasks that share an outbox. A lost wake-up is a deadlock, which loom reports.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use loom::future::block_on;
use loom::thread;
use sockeye_proto::{CloseCode, CloseReason, MessageKind, PreparedMessage};

use super::item::{Item, LEAST_WEIGHT, Taken};
use super::policy::OverflowPolicy;
use super::state::Directive;
use crate::direct::Scripted;
use crate::error::SendError;
use crate::fanout::delivery::Deliverer;
use crate::fanout::log::Copied;
use crate::sync::{Arc, Mutex, lock};

mod channels;
mod written;

type Channel = crate::fanout::channel::Channel<Scripted, ()>;
type Mailbox = super::Mailbox<Scripted>;
type Parts = super::part::Parts<Scripted>;
type Sending = super::send::Sending<Scripted>;

/// Checks every interleaving of two threads. Of three threads or more it checks those with at most three preemptions:
/// all of them would take hours.
fn model(threads: usize, check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    if threads > 2 {
        builder.preemption_bound = Some(3);
    }
    builder.check(check);
}

/// Checks the interleavings with at most two preemptions, for long threads: more would take minutes.
fn model_long(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(check);
}

fn text(text: &str) -> Item {
    Item::Message(text.into())
}

fn payload(item: &Taken) -> &str {
    match item {
        Taken::Message(outgoing) => outgoing.message().as_text().unwrap(),
        Taken::Part(part) => std::str::from_utf8(&part.payload).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Acts as a driver until it has taken `items`.
async fn take(mailbox: &Arc<Mailbox>, items: usize) -> Vec<String> {
    let mut taken = Vec::new();
    let mut side = mailbox.side();
    poll_fn(|cx| {
        loop {
            side.drive();
            while let Some(item) = mailbox.side().take_one() {
                taken.push(payload(&item).to_owned());
                if taken.len() == items {
                    return Poll::Ready(());
                }
            }
            if side.park(cx.waker(), true) {
                return Poll::Pending;
            }
        }
    })
    .await;
    taken
}

/// Acts as a driver that has written all that it took.
fn write(mailbox: &Arc<Mailbox>) {
    mailbox.side().wrote(mailbox.side().taken());
}

/// Runs a task in a thread of its own.
fn spawn<F>(future: F) -> thread::JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    thread::spawn(move || block_on(future))
}

fn close(reason: CloseReason) -> Option<Directive> {
    Some(Directive::Close(reason))
}

/// Acts as a driver whose transport takes nothing: it waits for a directive.
async fn await_directive(mailbox: &Arc<Mailbox>) -> Option<Directive> {
    let mut side = mailbox.side();
    poll_fn(|cx| {
        loop {
            side.drive();
            if let Some(directive) = side.directive() {
                return Poll::Ready(Some(directive.clone()));
            }
            if side.park(cx.waker(), false) {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// Polls once, so that the task waits in its list.
fn enqueue(send: &mut Sending) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(send).poll(&mut cx).is_pending());
}

fn reason() -> CloseReason {
    CloseReason::new(CloseCode::NORMAL, "").unwrap()
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_driver_that_parks_misses_no_push() {
    model(3, || {
        let mailbox = Mailbox::new(1000);
        let pushers = ["a", "b"].map(|name| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.try_push(text(name)).map(drop).unwrap())
        });
        let mut taken = block_on(take(&mailbox, 2));
        taken.sort();
        assert_eq!(taken, ["a", "b"]);
        for pusher in pushers {
            pusher.join().unwrap();
        }
    });
}

#[test]
fn a_driver_that_parked_is_woken_once_however_many_push() {
    model(3, || {
        let mailbox = Mailbox::new(1000);
        let count = Arc::new(Count::default());
        let waker = Arc::clone(&count).into();
        assert!(mailbox.side().park(&waker, true));
        let pushers = ["a", "b"].map(|name| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                mailbox.try_push(text(name)).unwrap();
                mailbox.try_push(text(name)).unwrap();
            })
        });
        for pusher in pushers {
            pusher.join().unwrap();
        }
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_driver_that_parks_misses_no_close() {
    model(2, || {
        let mailbox = Mailbox::new(1000);
        let other = Arc::clone(&mailbox);
        let closer = thread::spawn(move || {
            other.try_push(text("last")).unwrap();
            other.close(reason());
        });
        assert_eq!(block_on(await_directive(&mailbox)), close(reason()));
        // The item that was put in before the Close goes out before it.
        assert_eq!(payload(&mailbox.side().take_one().unwrap()), "last");
        assert!(mailbox.side().take_one().is_none());
        closer.join().unwrap();
    });
}

#[test]
fn a_driver_that_parks_misses_no_abort_whoever_closes() {
    model(3, || {
        let mailbox = Mailbox::new(1000);
        let other = Arc::clone(&mailbox);
        let closer = thread::spawn(move || other.close(reason()));
        let other = Arc::clone(&mailbox);
        let aborter = thread::spawn(move || other.abort());
        let mut side = mailbox.side();
        block_on(poll_fn(|cx| {
            loop {
                side.drive();
                if side.directive() == Some(&Directive::Abort) {
                    return Poll::Ready(());
                }
                if side.park(cx.waker(), true) {
                    return Poll::Pending;
                }
            }
        }));
        closer.join().unwrap();
        aborter.join().unwrap();
    });
}

#[test]
fn an_idle_owner_misses_no_notice() {
    model(2, || {
        let mailbox = Mailbox::new(1024);
        let notifier = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.notify())
        };
        let mut side = mailbox.side();
        let mut has_been_beside = false;
        block_on(poll_fn(|cx| {
            loop {
                // Beside a callback first, which never sees the notice.
                if !std::mem::replace(&mut has_been_beside, true) {
                    assert!(side.drive().is_none());
                    assert!(side.park(cx.waker(), true));
                }
                side.drive();
                if side.take_notice() {
                    return Poll::Ready(());
                }
                if side.park_for_owner(cx.waker(), true) {
                    return Poll::Pending;
                }
            }
        }));
        notifier.join().unwrap();
        assert!(!side.take_notice());
    });
}

#[test]
fn senders_find_room_in_the_order_in_which_they_came() {
    model(3, || {
        let mailbox = Mailbox::new(1);
        mailbox.try_push(text("0")).unwrap();
        let mut first = mailbox.send(text("1")).until_taken();
        let mut second = mailbox.send(text("2")).until_taken();
        enqueue(&mut first);
        enqueue(&mut second);
        let senders = [first, second].map(spawn);
        assert_eq!(payload(&mailbox.side().take_one().unwrap()), "0");
        for (number, sender) in ["1", "2"].into_iter().zip(senders) {
            // Nothing else is taken meanwhile: each sender is woken by the one before.
            sender.join().unwrap().unwrap();
            assert_eq!(payload(&mailbox.side().take_one().unwrap()), number);
        }
    });
}

#[test]
fn room_for_two_is_found_by_two() {
    model(3, || {
        let mailbox = Mailbox::new(2 * LEAST_WEIGHT);
        let both = "0".repeat(2 * LEAST_WEIGHT);
        mailbox.try_push(text(&both)).unwrap();
        let mut first = mailbox.send(text("1")).until_taken();
        let mut second = mailbox.send(text("2")).until_taken();
        enqueue(&mut first);
        enqueue(&mut second);
        let senders = [first, second].map(spawn);
        assert_eq!(payload(&mailbox.side().take_one().unwrap()), both);
        for sender in senders {
            sender.join().unwrap().unwrap();
        }
        assert_eq!(payload(&mailbox.side().take_one().unwrap()), "1");
        assert_eq!(payload(&mailbox.side().take_one().unwrap()), "2");
    });
}

#[test]
fn a_sender_that_leaves_the_queue_hands_its_turn_on() {
    model(3, || {
        let mailbox = Mailbox::new(1);
        mailbox.try_push(text("0")).unwrap();
        let mut first = mailbox.send(text("1")).until_taken();
        let mut second = mailbox.send(text("2")).until_taken();
        enqueue(&mut first);
        enqueue(&mut second);
        let leaver = thread::spawn(move || drop(first));
        let sender = spawn(second);
        assert_eq!(payload(&mailbox.side().take_one().unwrap()), "0");
        sender.join().unwrap().unwrap();
        assert_eq!(payload(&mailbox.side().take_one().unwrap()), "2");
        leaver.join().unwrap();
    });
}

#[test]
fn a_sender_without_room_learns_of_the_close() {
    model(2, || {
        let mailbox = Mailbox::new(1);
        mailbox.try_push(text("0")).unwrap();
        let sender = spawn(mailbox.send(text("1")).until_taken());
        mailbox.close(reason());
        assert_eq!(sender.join().unwrap(), Err(SendError::Closed));
    });
}

/// Puts a part in when there is room.
async fn push_part(parts: &mut Parts, part: &'static str, is_last: bool) {
    let mut payload = Some(Bytes::from_static(part.as_bytes()));
    let taken = poll_fn(|cx| parts.poll_part(cx, &mut payload, is_last)).await;
    taken.unwrap();
}

#[test]
fn the_parts_of_a_message_are_taken_one_after_another_whatever_else_is_sent() {
    model_long(|| {
        let mailbox = Mailbox::new(100 * LEAST_WEIGHT);
        let sending = Arc::clone(&mailbox);
        let writer = spawn(async move {
            let mut parts = Parts::new(&sending, MessageKind::Text);
            push_part(&mut parts, "a", false).await;
            sending.try_push(text("behind")).unwrap();
            push_part(&mut parts, "b", true).await;
        });
        assert_eq!(block_on(take(&mailbox, 3)), ["a", "b", "behind"]);
        assert!(!mailbox.look().is_held());
        writer.join().unwrap();
    });
}

#[test]
fn whoever_waits_behind_another_message_to_go_on_with_its_own_is_woken() {
    model_long(|| {
        let mailbox = Mailbox::new(100 * LEAST_WEIGHT);
        let mut first = Parts::new(&mailbox, MessageKind::Text);
        block_on(push_part(&mut first, "a", false));
        let sending = Arc::clone(&mailbox);
        let writer = spawn(async move {
            let mut parts = Parts::new(&sending, MessageKind::Text);
            push_part(&mut parts, "x", false).await;
            push_part(&mut parts, "y", true).await;
        });
        assert_eq!(block_on(take(&mailbox, 1)), ["a"]);
        block_on(push_part(&mut first, "b", true));
        assert_eq!(block_on(take(&mailbox, 3)), ["b", "x", "y"]);
        writer.join().unwrap();
    });
}

/// Acts as a driver that is paused, and sends meanwhile.
async fn await_release(mailbox: &Arc<Mailbox>) -> usize {
    let mut side = mailbox.side();
    let mut sent = 0;
    poll_fn(|cx| {
        loop {
            side.drive();
            while mailbox.side().take_one().is_some() {
                sent += 1;
            }
            if !mailbox.look().is_paused() {
                return Poll::Ready(());
            }
            if side.park(cx.waker(), true) {
                return Poll::Pending;
            }
        }
    })
    .await;
    sent
}

#[test]
fn a_driver_that_is_paused_is_woken_by_whoever_resumes_it() {
    model(3, || {
        let mailbox = Mailbox::new(1000);
        mailbox.set_paused(true);
        let resuming = Arc::clone(&mailbox);
        let resumer = thread::spawn(move || resuming.set_paused(false));
        let sending = Arc::clone(&mailbox);
        let sender = thread::spawn(move || sending.try_push(text("a")).unwrap());
        let sent = block_on(await_release(&mailbox));
        if sent == 0 {
            assert_eq!(block_on(take(&mailbox, 1)), ["a"]);
        }
        resumer.join().unwrap();
        sender.join().unwrap();
    });
}
