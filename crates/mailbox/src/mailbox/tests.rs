//! Tests of the outbox in one thread: limits, order, and futures that are dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use sockeye_proto::{CloseCode, CloseReason, Message, MessageKind, PreparedMessage};

use super::item::{Item, LEAST_WEIGHT, Taken};
use super::offer::Offer;
use super::part::UNFINISHED;
use super::policy::{Overflow, OverflowPolicy, Overflowed};
use super::queue::MAX_CONTROLS;
use super::state::Directive;
use crate::error::SendError;
use crate::sync::{Arc, lock};

mod channels;
mod overflow;

type Mailbox = super::Mailbox<()>;
type Sending = super::send::Sending<()>;
type Parts = super::part::Parts<()>;

#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn woken(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll(future: &mut (impl Future + Unpin)) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    Pin::new(future).poll(&mut cx).is_ready()
}

fn poll_send(send: &mut Sending) -> Poll<Result<(), SendError>> {
    let mut cx = Context::from_waker(Waker::noop());
    Pin::new(send).poll(&mut cx)
}

/// A message that counts for this many of the shortest ones.
fn bytes(shortest: usize) -> Item {
    Item::Message(Message::binary(vec![0; shortest * LEAST_WEIGHT]).into())
}

fn text(text: &str) -> Item {
    Item::Message(Message::text(text).into())
}

fn reason() -> CloseReason {
    CloseReason::new(CloseCode::NORMAL, "bye").unwrap()
}

fn close(reason: CloseReason) -> Option<Box<Directive>> {
    Some(Box::new(Directive::Close(reason)))
}

/// The directive that a driver finds.
fn directive(outbox: &Mailbox) -> Option<Box<Directive>> {
    let mut directive = None;
    outbox.drive(&mut directive);
    directive
}

/// Takes all that is in, as text.
fn drain(outbox: &Mailbox) -> Vec<String> {
    std::iter::from_fn(|| outbox.take())
        .map(|item| match item {
            Taken::Message(outgoing) | Taken::Reply(outgoing) => outgoing.message().to_string(),
            Taken::Ping(payload) => format!("ping {}", String::from_utf8(payload).unwrap()),
            Taken::Pong(payload) => format!("pong {}", String::from_utf8(payload).unwrap()),
            Taken::Part(part) => {
                let text = std::str::from_utf8(&part.payload).unwrap();
                format!("part {text}{}", if part.is_last { "." } else { "" })
            }
        })
        .collect()
}

#[test]
fn the_limit_is_inclusive() {
    let outbox = Mailbox::new(10 * LEAST_WEIGHT);
    outbox.try_push(bytes(4)).unwrap();
    outbox.try_push(bytes(6)).unwrap();
    assert_eq!(outbox.bytes(), 10 * LEAST_WEIGHT);
    assert_eq!(outbox.try_push(bytes(1)), Err(SendError::Full));
    outbox.take();
    assert_eq!(outbox.bytes(), 6 * LEAST_WEIGHT);
    outbox.try_push(bytes(4)).unwrap();
    assert_eq!(outbox.try_push(bytes(1)), Err(SendError::Full));
}

#[test]
fn what_is_short_or_empty_counts_for_what_carries_it() {
    let outbox = Mailbox::new(10 * LEAST_WEIGHT);
    for _ in 0..5 {
        outbox.try_push(text("")).unwrap();
        outbox.try_push(text("a")).unwrap();
    }
    assert_eq!(outbox.try_push(text("")), Err(SendError::Full));
    assert_eq!(outbox.bytes(), 5, "of payload");
    let carries = size_of::<Item>();
    assert!(carries <= LEAST_WEIGHT, "{carries} bytes");
}

#[test]
fn one_item_larger_than_the_limit_is_taken_alone() {
    let outbox = Mailbox::new(10 * LEAST_WEIGHT);
    outbox.try_push(bytes(1)).unwrap();
    assert_eq!(outbox.try_push(bytes(11)), Err(SendError::Full));
    outbox.take();
    outbox.try_push(bytes(11)).unwrap();
    assert_eq!(outbox.try_push(bytes(1)), Err(SendError::Full));
}

#[test]
fn nobody_overtakes_those_who_wait_for_room() {
    let outbox = Mailbox::new(10 * LEAST_WEIGHT);
    outbox.try_push(bytes(8)).unwrap();
    let mut large = outbox.feed(bytes(9));
    assert!(!poll(&mut large));
    assert_eq!(outbox.try_push(bytes(1)), Err(SendError::Full));
    let mut small = outbox.feed(bytes(1));
    assert!(!poll(&mut small));
    outbox.take();
    assert!(!poll(&mut small));
    assert!(poll(&mut large));
    assert!(poll(&mut small));
}

#[test]
fn control_frames_go_first_and_find_room_always() {
    let outbox = Mailbox::new(1);
    outbox.try_push(text("a")).unwrap();
    outbox.try_push(Item::Ping(b"1".to_vec())).unwrap();
    let mut waiting = outbox.feed(text("b"));
    assert!(!poll(&mut waiting));
    assert!(poll(&mut outbox.feed(Item::Pong(b"2".to_vec()))));
    assert_eq!(drain(&outbox), ["ping 1", "pong 2", "a"]);
    assert!(poll(&mut waiting));
    assert_eq!(drain(&outbox), ["b"]);
}

#[test]
fn of_more_than_64_control_frames_the_newest_are_kept() {
    let outbox = Mailbox::new(1);
    let mut sent = Vec::new();
    for number in 0..=MAX_CONTROLS {
        let mut send = outbox.send(Item::Ping(number.to_string().into_bytes()));
        assert!(!poll(&mut send));
        sent.push(send);
    }
    let taken = drain(&outbox);
    assert_eq!(taken.len(), MAX_CONTROLS);
    assert_eq!(taken[0], "ping 1");
    assert_eq!(taken[63], "ping 64");
    // The task that waits for the dropped Ping does not wait forever.
    outbox.wrote(outbox.taken());
    assert!(sent.iter_mut().all(poll));
}

#[test]
fn messages_prepared_and_replies_keep_their_order() {
    let outbox = Mailbox::new(1000);
    outbox.try_push(text("a")).unwrap();
    outbox.push_reply("b".into()).unwrap();
    let prepared = PreparedMessage::new("c");
    outbox.try_push(Item::Message(prepared.into())).unwrap();
    outbox.try_push(text("d")).unwrap();
    assert_eq!(drain(&outbox), ["a", "b", "c", "d"]);
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn a_reply_is_taken_though_there_is_no_room() {
    let outbox = Mailbox::new(1);
    outbox.try_push(text("a")).unwrap();
    outbox.push_reply("reply".into()).unwrap();
    assert_eq!(drain(&outbox), ["a", "reply"]);
}

#[test]
fn a_send_dropped_before_it_found_room_is_not_sent() {
    let outbox = Mailbox::new(1);
    outbox.try_push(text("a")).unwrap();
    let mut send = outbox.send(text("b"));
    assert!(!poll(&mut send));
    drop(send);
    drop(outbox.send(text("never polled")));
    assert_eq!(drain(&outbox), ["a"]);
    outbox.try_push(text("c")).unwrap();
    assert_eq!(drain(&outbox), ["c"]);
}

#[test]
fn a_send_dropped_after_it_found_room_is_sent_once() {
    let outbox = Mailbox::new(1);
    let mut send = outbox.send(text("a"));
    assert!(!poll(&mut send));
    drop(send);
    assert_eq!(drain(&outbox), ["a"]);
}

#[test]
fn a_send_completes_when_it_is_written_and_not_before() {
    let outbox = Mailbox::new(10 * LEAST_WEIGHT);
    let mut first = outbox.send(text("a"));
    let mut second = outbox.send(text("b"));
    let mut flush = outbox.flush();
    assert!(poll(&mut flush), "nothing was in before it");
    assert!(!poll(&mut first));
    assert!(!poll(&mut second));
    let mut flush = outbox.flush();
    outbox.take();
    let taken = outbox.taken();
    outbox.take();
    assert!(!poll(&mut first));
    outbox.wrote(taken);
    assert_eq!(poll_send(&mut first), Poll::Ready(Ok(())));
    assert!(!poll(&mut second));
    assert!(!poll(&mut flush));
    outbox.wrote(outbox.taken());
    assert_eq!(poll_send(&mut second), Poll::Ready(Ok(())));
    assert_eq!(poll_send(&mut flush), Poll::Ready(Ok(())));
}

#[test]
fn after_a_close_nothing_is_taken_and_what_is_in_is_given() {
    let outbox = Mailbox::new(1);
    outbox.try_push(text("a")).unwrap();
    let mut waiting = outbox.send(text("b"));
    assert!(!poll(&mut waiting));
    outbox.close(reason());
    outbox.close(CloseReason::new(CloseCode::GOING_AWAY, "").unwrap());
    assert_eq!(directive(&outbox), close(reason()), "the first counts");
    assert_eq!(poll_send(&mut waiting), Poll::Ready(Err(SendError::Closed)));
    assert_eq!(outbox.try_push(text("c")), Err(SendError::Closed));
    assert_eq!(outbox.push_reply("d".into()), Err(SendError::Closed));
    assert_eq!(
        outbox.try_push(Item::Ping(Vec::new())),
        Err(SendError::Closed)
    );
    assert!(!outbox.is_open());
    assert_eq!(drain(&outbox), ["a"]);
}

#[test]
fn an_abort_overrules_a_close() {
    let outbox = Mailbox::new(1);
    outbox.close(reason());
    outbox.abort();
    outbox.close(reason());
    assert_eq!(directive(&outbox).as_deref(), Some(&Directive::Abort));
}

#[test]
fn shut_drops_what_is_in_and_tells_those_who_wait() {
    let outbox = Mailbox::new(1);
    let mut written = outbox.send(text("a"));
    let mut room = outbox.send(text("b"));
    assert!(!poll(&mut written));
    assert!(!poll(&mut room));
    outbox.shut();
    assert_eq!(poll_send(&mut written), Poll::Ready(Err(SendError::Closed)));
    assert_eq!(poll_send(&mut room), Poll::Ready(Err(SendError::Closed)));
    assert_eq!(outbox.try_push(text("c")), Err(SendError::Closed));
    assert!(outbox.take().is_none());
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn a_parked_driver_is_woken_once_and_a_running_one_never() {
    let outbox = Mailbox::new(1000);
    let count = Arc::new(Count::default());
    let waker = Arc::clone(&count).into();
    outbox.try_push(text("a")).unwrap();
    assert!(
        !outbox.park(&mut None, &waker, true, &None),
        "something is in"
    );
    drain(&outbox);
    assert!(outbox.park(&mut None, &waker, true, &None));
    for _ in 0..10 {
        outbox.try_push(text("b")).unwrap();
    }
    assert_eq!(count.woken(), 1);
    directive(&outbox);
    outbox.try_push(text("c")).unwrap();
    assert_eq!(count.woken(), 1);
}

#[test]
fn a_driver_without_room_is_woken_by_orders_only() {
    let outbox = Mailbox::new(1000);
    let count = Arc::new(Count::default());
    let waker = Arc::clone(&count).into();
    outbox.try_push(text("a")).unwrap();
    assert!(outbox.park(&mut None, &waker, false, &None));
    outbox.try_push(text("b")).unwrap();
    assert_eq!(count.woken(), 0);
    outbox.close(reason());
    assert_eq!(count.woken(), 1);
    assert!(
        !outbox.park(&mut None, &waker, false, &None),
        "an order is new"
    );
    assert!(outbox.park(&mut None, &waker, false, &close(reason())));
    outbox.abort();
    assert_eq!(count.woken(), 2);
}

#[test]
fn the_end_is_told_before_and_after_it_comes() {
    let outbox = Mailbox::new(1000);
    let mut before = outbox.ended();
    assert!(!poll(&mut before));
    outbox.end(reason());
    outbox.end(CloseReason::no_status());
    let mut cx = Context::from_waker(Waker::noop());
    for mut ended in [before, outbox.ended()] {
        assert_eq!(Pin::new(&mut ended).poll(&mut cx), Poll::Ready(reason()));
    }
}

fn parts(outbox: &Arc<Mailbox>) -> Parts {
    Parts::new(outbox, MessageKind::Text)
}

fn poll_part(parts: &mut Parts, part: &str, is_last: bool) -> Poll<Result<(), SendError>> {
    poll_part_by(Waker::noop(), parts, part, is_last)
}

/// Returns the outcome. A part that is not taken stays.
fn poll_part_by(
    waker: &Waker,
    parts: &mut Parts,
    part: &str,
    is_last: bool,
) -> Poll<Result<(), SendError>> {
    let mut part = Some(Bytes::copy_from_slice(part.as_bytes()));
    let polled = parts.poll_part(&mut Context::from_waker(waker), &mut part, is_last);
    assert_eq!(part.is_none(), polled == TAKEN);
    polled
}

const TAKEN: Poll<Result<(), SendError>> = Poll::Ready(Ok(()));
const REFUSED: Poll<Result<(), SendError>> = Poll::Ready(Err(SendError::Closed));

#[test]
fn between_the_parts_of_a_message_nothing_is_taken_but_control_frames() {
    let outbox = Mailbox::new(1000);
    outbox.try_push(text("before")).unwrap();
    let mut message = parts(&outbox);
    assert_eq!(poll_part(&mut message, "a", false), TAKEN);
    outbox.try_push(text("behind")).unwrap();
    assert!(!outbox.is_held());
    assert_eq!(drain(&outbox), ["before", "part a"]);
    assert!(outbox.is_held());
    assert!(outbox.has_nothing_to_take() && !outbox.is_quiet());
    outbox.try_push(Item::Ping(b"1".to_vec())).unwrap();
    outbox.push_reply("reply".into()).unwrap();
    assert_eq!(drain(&outbox), ["ping 1"]);
    assert_eq!(poll_part(&mut message, "b", false), TAKEN);
    assert_eq!(poll_part(&mut message, "c", true), TAKEN);
    assert_eq!(drain(&outbox), ["part b", "part c.", "behind", "reply"]);
    assert!(!outbox.is_held() && outbox.is_quiet());
    assert_eq!(outbox.bytes(), 0);
    let more = poll_part(&mut message, "d", false);
    assert_eq!(more, Poll::Ready(Err(SendError::Finished)));
}

#[test]
fn a_message_of_one_part_is_taken_as_any_other() {
    let outbox = Mailbox::new(1000);
    let mut message = parts(&outbox);
    assert_eq!(poll_part(&mut message, "all", true), TAKEN);
    outbox.try_push(text("behind")).unwrap();
    drop(message);
    assert_eq!(drain(&outbox), ["part all.", "behind"]);
    assert!(!outbox.is_held());
    assert!(outbox.is_open());
}

#[test]
fn a_message_in_parts_takes_its_turn_with_its_first_and_waits_with_the_second_until_it_is_in_front()
{
    let outbox = Mailbox::new(1000);
    let (mut one, mut other) = (parts(&outbox), parts(&outbox));
    assert_eq!(poll_part(&mut one, "a", false), TAKEN);
    assert_eq!(poll_part(&mut other, "x", false), TAKEN);
    let count = Arc::new(Count::default());
    let waker = Arc::clone(&count).into();
    assert!(poll_part_by(&waker, &mut other, "y", true).is_pending());
    assert_eq!(drain(&outbox), ["part a"]);
    assert!(poll_part_by(&waker, &mut other, "y", true).is_pending());
    assert_eq!(poll_part(&mut one, "b", true), TAKEN);
    assert_eq!(count.woken(), 0);
    assert_eq!(drain(&outbox), ["part b.", "part x"]);
    assert_eq!(count.woken(), 1);
    assert_eq!(poll_part(&mut other, "y", true), TAKEN);
    assert_eq!(drain(&outbox), ["part y."]);
}

#[test]
fn the_parts_of_the_message_in_front_need_none_of_the_room_that_others_wait_for() {
    let outbox = Mailbox::new(10 * LEAST_WEIGHT);
    let mut message = parts(&outbox);
    assert_eq!(poll_part(&mut message, "a", false), TAKEN);
    outbox.try_push(bytes(9)).unwrap();
    let mut waiting = outbox.feed(text("waits"));
    assert!(!poll(&mut waiting));
    assert!(outbox.take().is_some());
    for part in ["b", "c", "d"] {
        assert_eq!(poll_part(&mut message, part, part == "d"), TAKEN);
    }
    assert_eq!(drain(&outbox)[..3], ["part b", "part c", "part d."]);
    assert!(poll(&mut waiting));
}

#[test]
fn a_first_part_waits_for_room_among_the_others_and_leaves_its_place_when_it_is_dropped() {
    let outbox = Mailbox::new(10 * LEAST_WEIGHT);
    outbox.try_push(bytes(10)).unwrap();
    let mut message = parts(&outbox);
    assert!(poll_part(&mut message, "a", false).is_pending());
    let mut behind = outbox.feed(text("behind"));
    assert!(!poll(&mut behind));
    outbox.take();
    assert!(!poll(&mut behind), "it is not first");
    drop(message);
    assert!(poll(&mut behind));
    assert!(outbox.is_open(), "nothing had begun");
}

#[test]
fn of_a_message_in_parts_256_kib_wait_or_one_part() {
    const HALF: usize = 128 * 1024;
    let outbox = Mailbox::new(1000);
    let mut message = parts(&outbox);
    let half = "x".repeat(HALF);
    for _ in 0..2 {
        assert_eq!(poll_part(&mut message, &half, false), TAKEN);
    }
    assert!(poll_part(&mut message, "x", false).is_pending());
    assert!(outbox.take().is_some());
    assert_eq!(poll_part(&mut message, &half, false), TAKEN);
    while outbox.take().is_some() {}
    assert_eq!(poll_part(&mut message, &"x".repeat(4 * HALF), false), TAKEN);
    assert!(poll_part(&mut message, "x", false).is_pending());
    assert_eq!(outbox.bytes(), 4 * HALF);
}

#[test]
fn whoever_leaves_a_message_unfinished_closes_the_connection_behind_what_it_sent() {
    let outbox = Mailbox::new(1000);
    let mut message = parts(&outbox);
    assert_eq!(poll_part(&mut message, "a", false), TAKEN);
    drop(message);
    let unfinished = CloseReason::new(CloseCode::INTERNAL_ERROR, UNFINISHED).unwrap();
    assert_eq!(directive(&outbox), close(unfinished));
    assert_eq!(outbox.try_push(text("late")), Err(SendError::Closed));
    assert_eq!(drain(&outbox), ["part a"]);
    assert!(outbox.has_nothing_to_take(), "the Close is next");
}

#[test]
fn a_close_cuts_a_message_off_and_tells_whoever_waits_to_go_on_with_it() {
    let outbox = Mailbox::new(1000);
    let (mut one, mut other) = (parts(&outbox), parts(&outbox));
    assert_eq!(poll_part(&mut one, "a", false), TAKEN);
    assert_eq!(poll_part(&mut other, "x", false), TAKEN);
    let count = Arc::new(Count::default());
    let waker = Arc::clone(&count).into();
    assert!(poll_part_by(&waker, &mut other, "y", true).is_pending());
    outbox.close(reason());
    assert_eq!(count.woken(), 1);
    assert_eq!(poll_part(&mut one, "b", true), REFUSED);
    assert_eq!(poll_part(&mut other, "y", true), REFUSED);
    drop((one, other));
    assert_eq!(directive(&outbox), close(reason()), "the first counts");
    assert_eq!(drain(&outbox), ["part a"]);
    assert!(outbox.has_nothing_to_take());
    outbox.shut();
    assert!(!outbox.is_held());
}
