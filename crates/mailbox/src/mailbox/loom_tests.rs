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
async fn take(mailbox: &Mailbox, items: usize) -> Vec<String> {
    let mut taken = Vec::new();
    let (mut directive, mut known) = (None, None);
    poll_fn(|cx| {
        loop {
            mailbox.drive(&mut directive);
            while let Some(item) = mailbox.take() {
                taken.push(payload(&item).to_owned());
                if taken.len() == items {
                    return Poll::Ready(());
                }
            }
            if mailbox.park(&mut known, cx.waker(), true, &directive) {
                return Poll::Pending;
            }
        }
    })
    .await;
    taken
}

/// Acts as a driver that has written all that it took.
fn write(mailbox: &Mailbox) {
    mailbox.wrote(mailbox.taken());
}

/// Runs a task in a thread of its own.
fn spawn<F>(future: F) -> thread::JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    thread::spawn(move || block_on(future))
}

fn close(reason: CloseReason) -> Option<Box<Directive>> {
    Some(Box::new(Directive::Close(reason)))
}

/// Acts as a driver whose transport takes nothing: it waits for a directive.
async fn await_directive(mailbox: &Mailbox) -> Option<Box<Directive>> {
    let (mut directive, mut known) = (None, None);
    poll_fn(|cx| {
        loop {
            mailbox.drive(&mut directive);
            if directive.is_some() {
                return Poll::Ready(directive.take());
            }
            if mailbox.park(&mut known, cx.waker(), false, &directive) {
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
        assert!(mailbox.park(&mut None, &waker, true, &None));
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
        assert_eq!(payload(&mailbox.take().unwrap()), "last");
        assert!(mailbox.take().is_none());
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
        let (mut directive, mut known) = (None, None);
        block_on(poll_fn(|cx| {
            loop {
                mailbox.drive(&mut directive);
                if directive.as_deref() == Some(&Directive::Abort) {
                    return Poll::Ready(());
                }
                if mailbox.park(&mut known, cx.waker(), true, &directive) {
                    return Poll::Pending;
                }
            }
        }));
        closer.join().unwrap();
        aborter.join().unwrap();
    });
}

#[test]
fn senders_find_room_in_the_order_in_which_they_came() {
    model(3, || {
        let mailbox = Mailbox::new(1);
        mailbox.try_push(text("0")).unwrap();
        let mut first = mailbox.feed(text("1"));
        let mut second = mailbox.feed(text("2"));
        enqueue(&mut first);
        enqueue(&mut second);
        let senders = [first, second].map(spawn);
        assert_eq!(payload(&mailbox.take().unwrap()), "0");
        for (number, sender) in ["1", "2"].into_iter().zip(senders) {
            // Nothing else is taken meanwhile: each sender is woken by the one before.
            sender.join().unwrap().unwrap();
            assert_eq!(payload(&mailbox.take().unwrap()), number);
        }
    });
}

#[test]
fn room_for_two_is_found_by_two() {
    model(3, || {
        let mailbox = Mailbox::new(2 * LEAST_WEIGHT);
        let both = "0".repeat(2 * LEAST_WEIGHT);
        mailbox.try_push(text(&both)).unwrap();
        let mut first = mailbox.feed(text("1"));
        let mut second = mailbox.feed(text("2"));
        enqueue(&mut first);
        enqueue(&mut second);
        let senders = [first, second].map(spawn);
        assert_eq!(payload(&mailbox.take().unwrap()), both);
        for sender in senders {
            sender.join().unwrap().unwrap();
        }
        assert_eq!(payload(&mailbox.take().unwrap()), "1");
        assert_eq!(payload(&mailbox.take().unwrap()), "2");
    });
}

#[test]
fn a_sender_that_leaves_the_queue_hands_its_turn_on() {
    model(3, || {
        let mailbox = Mailbox::new(1);
        mailbox.try_push(text("0")).unwrap();
        let mut first = mailbox.feed(text("1"));
        let mut second = mailbox.feed(text("2"));
        enqueue(&mut first);
        enqueue(&mut second);
        let leaver = thread::spawn(move || drop(first));
        let sender = spawn(second);
        assert_eq!(payload(&mailbox.take().unwrap()), "0");
        sender.join().unwrap().unwrap();
        assert_eq!(payload(&mailbox.take().unwrap()), "2");
        leaver.join().unwrap();
    });
}

#[test]
fn a_sender_without_room_learns_of_the_close() {
    model(2, || {
        let mailbox = Mailbox::new(1);
        mailbox.try_push(text("0")).unwrap();
        let sender = spawn(mailbox.feed(text("1")));
        mailbox.close(reason());
        assert_eq!(sender.join().unwrap(), Err(SendError::Closed));
    });
}

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
        mailbox.take();
        write(&mailbox);
        mailbox.take();
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
        mailbox.take();
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
        assert_eq!(payload(&mailbox.take().unwrap()), "a");
        assert_eq!(payload(&mailbox.take().unwrap()), "b");
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

/// A channel, and the mailbox of a session that is a member of it.
fn session_with_channel() -> (Arc<Channel>, Arc<Mailbox>) {
    let channel = Arc::new(Channel::default());
    let (member, first) = channel.reserve();
    let mailbox = Mailbox::of_session(1000, OverflowPolicy::default(), Some(first), None);
    channel.join(member, Arc::clone(&mailbox), (), None);
    (channel, mailbox)
}

/// Publishes to a channel with one member. Returns whether it takes the message.
fn publish(channel: &Arc<Channel>, text: &str) -> bool {
    channel.publish(&PreparedMessage::new(text), |_, _| ()) == 1
}

/// The payloads of frames that have two bytes of header and one of payload.
fn payloads(frames: &[u8]) -> impl Iterator<Item = char> + '_ {
    frames.chunks(3).map(|frame| char::from(frame[2]))
}

/// Acts as a driver that reads a log, until it has this many messages or a directive.
async fn take_all(mailbox: &Mailbox, many: usize) -> String {
    let mut heard = String::new();
    let (mut directive, mut known) = (None, None);
    poll_fn(|cx| {
        loop {
            mailbox.drive(&mut directive);
            loop {
                if let Some(item) = mailbox.take() {
                    heard.push_str(payload(&item));
                } else if !mailbox.read_log(1000, |frames| heard.extend(payloads(frames)))
                    && mailbox.has_nothing_to_take()
                {
                    break;
                }
            }
            if heard.len() == many || directive.is_some() {
                return Poll::Ready(());
            }
            if mailbox.park(&mut known, cx.waker(), true, &directive) {
                return Poll::Pending;
            }
        }
    })
    .await;
    heard
}

/// Acts as a driver until it has taken a message that ends with this letter.
async fn take_until(mailbox: &Mailbox, last: char) -> String {
    let shared = Shared(Arc::new(Mutex::new(String::new())));
    write_all(mailbox, &shared, last).await;
    lock(&shared.0).clone()
}

#[test]
fn broadcasts_and_what_one_sends_itself_keep_their_order() {
    model(3, || {
        let (channel, mailbox) = session_with_channel();
        let other = Arc::clone(&mailbox);
        let sender = thread::spawn(move || {
            other.try_push(text("a")).unwrap();
            assert!(publish(&channel, "b"));
            other.try_push(text("c")).unwrap();
        });
        assert_eq!(block_on(take_all(&mailbox, 3)), "abc");
        sender.join().unwrap();
    });
}

#[test]
fn a_driver_that_parks_misses_no_broadcast_whoever_else_sends() {
    model_long(|| {
        let (channel, mailbox) = session_with_channel();
        let broadcaster = thread::spawn(move || {
            assert!(publish(&channel, "a"));
        });
        let other = Arc::clone(&mailbox);
        let sender = thread::spawn(move || other.try_push(text("x")).map(drop).unwrap());
        let heard = block_on(take_all(&mailbox, 2));
        assert!(["xa", "ax"].contains(&heard.as_str()), "{heard}");
        broadcaster.join().unwrap();
        sender.join().unwrap();
    });
}

#[test]
fn a_driver_misses_no_broadcast_of_several_of_which_it_is_told_once() {
    model(3, || {
        let (channel, mailbox) = session_with_channel();
        let broadcaster = thread::spawn(move || {
            for message in ["a", "b", "c"] {
                assert!(publish(&channel, message));
            }
        });
        assert_eq!(block_on(take_all(&mailbox, 3)), "abc");
        broadcaster.join().unwrap();
    });
}

#[test]
fn what_was_heard_before_a_close_goes_out_before_it() {
    model_long(|| {
        let (channel, mailbox) = session_with_channel();
        let broadcaster = thread::spawn(move || publish(&channel, "a"));
        let other = Arc::clone(&mailbox);
        let closer = thread::spawn(move || other.close(reason()));
        let heard = block_on(take_all(&mailbox, usize::MAX));
        let was_heard = broadcaster.join().unwrap();
        closer.join().unwrap();
        // A broadcast that a Close of the same moment takes along does not count as taken.
        assert!(heard == "a" || !was_heard, "{heard}");
    });
}

/// The bytes that a transport has taken from the driver and from the deliverer.
#[derive(Clone)]
struct Shared(Arc<Mutex<String>>);

impl Shared {
    fn write(&self, frames: &[u8]) {
        let text = frames.iter().filter(|byte| byte.is_ascii_lowercase());
        lock(&self.0).extend(text.map(|byte| char::from(*byte)));
    }

    fn has(&self, last: char) -> bool {
        lock(&self.0).contains(last)
    }
}

/// A channel with a deliverer, a member, and its transport, which takes `at_once` bytes of a write.
fn delivered(at_once: usize) -> (Arc<Channel>, Arc<Deliverer>, Arc<Mailbox>, Shared) {
    let channel = Arc::new(Channel::default());
    let deliverer = Arc::new(Deliverer::new());
    let (mailbox, shared) = delivered_to(&[&channel], &deliverer, at_once);
    (channel, deliverer, mailbox, shared)
}

/// The mailbox of a session that is a member of these channels, and its transport.
fn delivered_to(
    channels: &[&Arc<Channel>],
    deliverer: &Deliverer,
    at_once: usize,
) -> (Arc<Mailbox>, Shared) {
    let shared = Shared(Arc::new(Mutex::new(String::new())));
    let transport = shared.clone();
    let direct = Scripted::new(move |frames: &[u8]| {
        let len = frames.len().min(at_once);
        transport.write(&frames[..len]);
        len
    });
    let reserved: Vec<_> = channels.iter().map(|channel| channel.reserve()).collect();
    let first = reserved[0].1.clone();
    let mailbox = Mailbox::of_session(1000, OverflowPolicy::default(), Some(first), Some(direct));
    for (channel, (member, _)) in channels.iter().zip(reserved) {
        channel.join(member, Arc::clone(&mailbox), (), Some(deliverer.handle()));
    }
    (mailbox, shared)
}

/// Acts as a deliverer for the channels that wait for one now.
fn deliver(deliverer: &Deliverer) {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(channel)) = deliverer.poll_next(&mut cx) {
        channel.begin_delivery();
        channel.deliver(0..2, &mut Copied::default());
    }
}

/// Acts as a driver until `last` is written, by itself or by the deliverer. It may not park with something left.
async fn write_all(mailbox: &Mailbox, transport: &Shared, last: char) {
    let (mut directive, mut known) = (None, None);
    poll_fn(|cx| {
        loop {
            if let Some(reason) = mailbox.drive(&mut directive) {
                transport.write(&reason.unsent);
            }
            loop {
                if let Some(item) = mailbox.take() {
                    transport.write(payload(&item).as_bytes());
                } else if !mailbox.read_log(1000, |frames| transport.write(frames))
                    && mailbox.has_nothing_to_take()
                {
                    break;
                }
            }
            if transport.has(last) {
                return Poll::Ready(());
            }
            if mailbox.park(&mut known, cx.waker(), true, &directive) {
                return Poll::Pending;
            }
        }
    })
    .await;
}

#[test]
fn what_is_delivered_keeps_its_order_with_what_is_sent_and_wakes_whoever_has_to_go_on() {
    // The transport takes all at once, or a part of the frame.
    for at_once in [usize::MAX, 3] {
        model_long(move || {
            let (channel, deliverer, mailbox, transport) = delivered(at_once);
            let other = Arc::clone(&mailbox);
            let deliverer = thread::spawn(move || {
                assert!(publish(&channel, "ab"));
                deliver(&deliverer);
                other.try_push(text("z")).unwrap();
            });
            let other = Arc::clone(&mailbox);
            let sender = thread::spawn(move || other.try_push(text("x")).map(drop).unwrap());
            block_on(write_all(&mailbox, &transport, 'z'));
            deliverer.join().unwrap();
            sender.join().unwrap();
            block_on(write_all(&mailbox, &transport, 'x'));
            let written = lock(&transport.0).replace('x', "");
            assert_eq!(written, "abz");
            assert!(["xabz", "abxz", "abzx"].contains(&lock(&transport.0).as_str()));
        });
    }
}

#[test]
fn what_nobody_delivers_any_more_the_driver_writes() {
    model_long(|| {
        let (channel, deliverer, mailbox, transport) = delivered(usize::MAX);
        let other = Arc::clone(&channel);
        let broadcaster = thread::spawn(move || assert!(publish(&other, "a")));
        let ender = thread::spawn(move || {
            deliverer.end().for_each(|channel| channel.end_delivery());
        });
        block_on(write_all(&mailbox, &transport, 'a'));
        broadcaster.join().unwrap();
        ender.join().unwrap();
    });
}

#[test]
fn nothing_is_delivered_once_the_outbox_is_shut() {
    model(2, || {
        let (channel, deliverer, mailbox, transport) = delivered(usize::MAX);
        let waker = Waker::noop();
        assert!(mailbox.park(&mut None, waker, true, &None));
        assert!(publish(&channel, "a"));
        let deliverer = thread::spawn(move || deliver(&deliverer));
        mailbox.drive(&mut None);
        let before = lock(&transport.0).clone();
        mailbox.shut();
        deliverer.join().unwrap();
        assert_eq!(*lock(&transport.0), before);
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
        assert!(!mailbox.is_held());
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
async fn await_release(mailbox: &Mailbox) -> usize {
    let (mut directive, mut known) = (None, None);
    let mut sent = 0;
    poll_fn(|cx| {
        loop {
            mailbox.drive(&mut directive);
            while mailbox.take().is_some() {
                sent += 1;
            }
            if !mailbox.is_paused() {
                return Poll::Ready(());
            }
            if mailbox.park(&mut known, cx.waker(), true, &directive) {
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
        mailbox.pause();
        let resuming = Arc::clone(&mailbox);
        let resumer = thread::spawn(move || resuming.resume());
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
