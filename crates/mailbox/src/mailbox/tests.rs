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

fn close(reason: CloseReason) -> Option<Directive> {
    Some(Directive::Close(reason))
}

/// The directive that a driver finds.
fn directive(mailbox: &Arc<Mailbox>) -> Option<Directive> {
    let mut side = mailbox.side();
    side.drive();
    side.directive().cloned()
}

/// Takes all that is in, as text.
fn drain(mailbox: &Arc<Mailbox>) -> Vec<String> {
    std::iter::from_fn(|| mailbox.side().take_one())
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
    let mailbox = Mailbox::new(10 * LEAST_WEIGHT);
    mailbox.try_push(bytes(4)).unwrap();
    mailbox.try_push(bytes(6)).unwrap();
    assert_eq!(mailbox.bytes(), 10 * LEAST_WEIGHT);
    assert_eq!(mailbox.try_push(bytes(1)), Err(SendError::Full));
    mailbox.side().take_one();
    assert_eq!(mailbox.bytes(), 6 * LEAST_WEIGHT);
    mailbox.try_push(bytes(4)).unwrap();
    assert_eq!(mailbox.try_push(bytes(1)), Err(SendError::Full));
}

#[test]
fn what_is_short_or_empty_counts_for_what_carries_it() {
    let mailbox = Mailbox::new(10 * LEAST_WEIGHT);
    for _ in 0..5 {
        mailbox.try_push(text("")).unwrap();
        mailbox.try_push(text("a")).unwrap();
    }
    assert_eq!(mailbox.try_push(text("")), Err(SendError::Full));
    assert_eq!(mailbox.bytes(), 5, "of payload");
    let carries = size_of::<Item>();
    assert!(carries <= LEAST_WEIGHT, "{carries} bytes");
}

#[test]
fn one_item_larger_than_the_limit_is_taken_alone() {
    let mailbox = Mailbox::new(10 * LEAST_WEIGHT);
    mailbox.try_push(bytes(1)).unwrap();
    assert_eq!(mailbox.try_push(bytes(11)), Err(SendError::Full));
    mailbox.side().take_one();
    mailbox.try_push(bytes(11)).unwrap();
    assert_eq!(mailbox.try_push(bytes(1)), Err(SendError::Full));
}

#[test]
fn nobody_overtakes_those_who_wait_for_room() {
    let mailbox = Mailbox::new(10 * LEAST_WEIGHT);
    mailbox.try_push(bytes(8)).unwrap();
    let mut large = mailbox.send(bytes(9)).until_taken();
    assert!(!poll(&mut large));
    assert_eq!(mailbox.try_push(bytes(1)), Err(SendError::Full));
    let mut small = mailbox.send(bytes(1)).until_taken();
    assert!(!poll(&mut small));
    mailbox.side().take_one();
    assert!(!poll(&mut small));
    assert!(poll(&mut large));
    assert!(poll(&mut small));
}

#[test]
fn control_frames_go_first_and_find_room_always() {
    let mailbox = Mailbox::new(1);
    mailbox.try_push(text("a")).unwrap();
    mailbox.try_push(Item::Ping(b"1".to_vec())).unwrap();
    let mut waiting = mailbox.send(text("b")).until_taken();
    assert!(!poll(&mut waiting));
    let pong = Item::Pong(b"2".to_vec());
    assert!(poll(&mut mailbox.send(pong).until_taken()));
    assert_eq!(drain(&mailbox), ["ping 1", "pong 2", "a"]);
    assert!(poll(&mut waiting));
    assert_eq!(drain(&mailbox), ["b"]);
}

#[test]
fn of_more_than_64_control_frames_the_newest_are_kept() {
    let mailbox = Mailbox::new(1);
    let mut sent = Vec::new();
    for number in 0..=MAX_CONTROLS {
        let mut send = mailbox.send(Item::Ping(number.to_string().into_bytes()));
        assert!(!poll(&mut send));
        sent.push(send);
    }
    let taken = drain(&mailbox);
    assert_eq!(taken.len(), MAX_CONTROLS);
    assert_eq!(taken[0], "ping 1");
    assert_eq!(taken[63], "ping 64");
    // The task that waits for the dropped Ping does not wait forever.
    mailbox.side().wrote(mailbox.side().taken());
    assert!(sent.iter_mut().all(poll));
}

#[test]
fn messages_prepared_and_replies_keep_their_order() {
    let mailbox = Mailbox::new(1000);
    mailbox.try_push(text("a")).unwrap();
    mailbox.side().reply("b".into()).unwrap();
    let prepared = PreparedMessage::new("c");
    mailbox.try_push(Item::Message(prepared.into())).unwrap();
    mailbox.try_push(text("d")).unwrap();
    assert_eq!(drain(&mailbox), ["a", "b", "c", "d"]);
    assert_eq!(mailbox.bytes(), 0);
}

#[test]
fn a_reply_is_taken_though_there_is_no_room() {
    let mailbox = Mailbox::new(1);
    mailbox.try_push(text("a")).unwrap();
    mailbox.side().reply("reply".into()).unwrap();
    assert_eq!(drain(&mailbox), ["a", "reply"]);
}

#[test]
fn a_send_dropped_before_it_found_room_is_not_sent() {
    let mailbox = Mailbox::new(1);
    mailbox.try_push(text("a")).unwrap();
    let mut send = mailbox.send(text("b"));
    assert!(!poll(&mut send));
    drop(send);
    drop(mailbox.send(text("never polled")));
    assert_eq!(drain(&mailbox), ["a"]);
    mailbox.try_push(text("c")).unwrap();
    assert_eq!(drain(&mailbox), ["c"]);
}

#[test]
fn a_send_dropped_after_it_found_room_is_sent_once() {
    let mailbox = Mailbox::new(1);
    let mut send = mailbox.send(text("a"));
    assert!(!poll(&mut send));
    drop(send);
    assert_eq!(drain(&mailbox), ["a"]);
}

#[test]
fn a_send_completes_when_it_is_written_and_not_before() {
    let mailbox = Mailbox::new(10 * LEAST_WEIGHT);
    let mut first = mailbox.send(text("a"));
    let mut second = mailbox.send(text("b"));
    let mut flush = mailbox.flush();
    assert!(poll(&mut flush), "nothing was in before it");
    assert!(!poll(&mut first));
    assert!(!poll(&mut second));
    let mut flush = mailbox.flush();
    mailbox.side().take_one();
    let taken = mailbox.side().taken();
    mailbox.side().take_one();
    assert!(!poll(&mut first));
    mailbox.side().wrote(taken);
    assert_eq!(poll_send(&mut first), Poll::Ready(Ok(())));
    assert!(!poll(&mut second));
    assert!(!poll(&mut flush));
    mailbox.side().wrote(mailbox.side().taken());
    assert_eq!(poll_send(&mut second), Poll::Ready(Ok(())));
    assert_eq!(poll_send(&mut flush), Poll::Ready(Ok(())));
}

#[test]
fn after_a_close_nothing_is_taken_and_what_is_in_is_given() {
    let mailbox = Mailbox::new(1);
    mailbox.try_push(text("a")).unwrap();
    let mut waiting = mailbox.send(text("b"));
    assert!(!poll(&mut waiting));
    mailbox.close(reason());
    mailbox.close(CloseReason::new(CloseCode::GOING_AWAY, "").unwrap());
    assert_eq!(directive(&mailbox), close(reason()), "the first counts");
    assert_eq!(poll_send(&mut waiting), Poll::Ready(Err(SendError::Closed)));
    assert_eq!(mailbox.try_push(text("c")), Err(SendError::Closed));
    assert_eq!(mailbox.side().reply("d".into()), Err(SendError::Closed));
    assert_eq!(
        mailbox.try_push(Item::Ping(Vec::new())),
        Err(SendError::Closed)
    );
    assert!(!mailbox.is_open());
    assert_eq!(drain(&mailbox), ["a"]);
}

#[test]
fn an_abort_overrules_a_close() {
    let mailbox = Mailbox::new(1);
    mailbox.close(reason());
    mailbox.abort();
    mailbox.close(reason());
    assert_eq!(directive(&mailbox), Some(Directive::Abort));
}

#[test]
fn shut_drops_what_is_in_and_tells_those_who_wait() {
    let mailbox = Mailbox::new(1);
    let mut written = mailbox.send(text("a"));
    let mut room = mailbox.send(text("b"));
    assert!(!poll(&mut written));
    assert!(!poll(&mut room));
    mailbox.shut();
    assert_eq!(poll_send(&mut written), Poll::Ready(Err(SendError::Closed)));
    assert_eq!(poll_send(&mut room), Poll::Ready(Err(SendError::Closed)));
    assert_eq!(mailbox.try_push(text("c")), Err(SendError::Closed));
    assert!(mailbox.side().take_one().is_none());
    assert_eq!(mailbox.bytes(), 0);
}

#[test]
fn a_notice_wakes_a_parked_driver_and_waits_until_the_owner_is_idle() {
    let mailbox = Mailbox::new(1024);
    let woken = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut side = mailbox.side();
    assert!(side.park_for_owner(&waker, true));
    mailbox.notify();
    mailbox.notify();
    assert_eq!(woken.woken(), 1);
    // Beside a callback the driver leaves the notice, and parks.
    assert!(side.drive().is_none() && !mailbox.look().is_plain());
    assert!(side.park(&waker, true));
    // The owner is idle.
    assert!(!side.park_for_owner(&waker, false));
    assert!(side.take_notice());
    assert!(mailbox.look().is_plain() && !side.take_notice());
    assert!(side.park_for_owner(&waker, false));
}

#[test]
fn a_parked_driver_is_woken_once_and_a_running_one_never() {
    let mailbox = Mailbox::new(1000);
    let count = Arc::new(Count::default());
    let waker = Arc::clone(&count).into();
    mailbox.try_push(text("a")).unwrap();
    assert!(!mailbox.side().park(&waker, true), "something is in");
    drain(&mailbox);
    assert!(mailbox.side().park(&waker, true));
    for _ in 0..10 {
        mailbox.try_push(text("b")).unwrap();
    }
    assert_eq!(count.woken(), 1);
    directive(&mailbox);
    mailbox.try_push(text("c")).unwrap();
    assert_eq!(count.woken(), 1);
}

#[test]
fn a_driver_without_room_is_woken_by_orders_only() {
    let mailbox = Mailbox::new(1000);
    let count = Arc::new(Count::default());
    let waker = Arc::clone(&count).into();
    mailbox.try_push(text("a")).unwrap();
    assert!(mailbox.side().park(&waker, false));
    mailbox.try_push(text("b")).unwrap();
    assert_eq!(count.woken(), 0);
    mailbox.close(reason());
    assert_eq!(count.woken(), 1);
    assert!(!mailbox.side().park(&waker, false), "an order is new");
    let mut side = mailbox.side();
    side.drive();
    assert!(side.park(&waker, false), "the order is known");
    mailbox.abort();
    assert_eq!(count.woken(), 2);
}

#[test]
fn the_end_is_told_before_and_after_it_comes() {
    let mailbox = Mailbox::new(1000);
    let mut before = mailbox.ended();
    assert!(!poll(&mut before));
    mailbox.end(reason());
    mailbox.end(CloseReason::no_status());
    let mut cx = Context::from_waker(Waker::noop());
    for mut ended in [before, mailbox.ended()] {
        assert_eq!(Pin::new(&mut ended).poll(&mut cx), Poll::Ready(reason()));
    }
}

fn parts(mailbox: &Arc<Mailbox>) -> Parts {
    Parts::new(mailbox, MessageKind::Text)
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
    let mailbox = Mailbox::new(1000);
    mailbox.try_push(text("before")).unwrap();
    let mut message = parts(&mailbox);
    assert_eq!(poll_part(&mut message, "a", false), TAKEN);
    mailbox.try_push(text("behind")).unwrap();
    assert!(!mailbox.look().is_held());
    assert_eq!(drain(&mailbox), ["before", "part a"]);
    assert!(mailbox.look().is_held());
    assert!(mailbox.look().has_nothing_to_take() && !mailbox.look().is_quiet());
    mailbox.try_push(Item::Ping(b"1".to_vec())).unwrap();
    mailbox.side().reply("reply".into()).unwrap();
    assert_eq!(drain(&mailbox), ["ping 1"]);
    assert_eq!(poll_part(&mut message, "b", false), TAKEN);
    assert_eq!(poll_part(&mut message, "c", true), TAKEN);
    assert_eq!(drain(&mailbox), ["part b", "part c.", "behind", "reply"]);
    assert!(!mailbox.look().is_held() && mailbox.look().is_quiet());
    assert_eq!(mailbox.bytes(), 0);
    let more = poll_part(&mut message, "d", false);
    assert_eq!(more, Poll::Ready(Err(SendError::Finished)));
}

#[test]
fn a_message_of_one_part_is_taken_as_any_other() {
    let mailbox = Mailbox::new(1000);
    let mut message = parts(&mailbox);
    assert_eq!(poll_part(&mut message, "all", true), TAKEN);
    mailbox.try_push(text("behind")).unwrap();
    drop(message);
    assert_eq!(drain(&mailbox), ["part all.", "behind"]);
    assert!(!mailbox.look().is_held());
    assert!(mailbox.is_open());
}

#[test]
fn a_message_in_parts_takes_its_turn_with_its_first_and_waits_with_the_second_until_it_is_in_front()
{
    let mailbox = Mailbox::new(1000);
    let (mut one, mut other) = (parts(&mailbox), parts(&mailbox));
    assert_eq!(poll_part(&mut one, "a", false), TAKEN);
    assert_eq!(poll_part(&mut other, "x", false), TAKEN);
    let count = Arc::new(Count::default());
    let waker = Arc::clone(&count).into();
    assert!(poll_part_by(&waker, &mut other, "y", true).is_pending());
    assert_eq!(drain(&mailbox), ["part a"]);
    assert!(poll_part_by(&waker, &mut other, "y", true).is_pending());
    assert_eq!(poll_part(&mut one, "b", true), TAKEN);
    assert_eq!(count.woken(), 0);
    assert_eq!(drain(&mailbox), ["part b.", "part x"]);
    assert_eq!(count.woken(), 1);
    assert_eq!(poll_part(&mut other, "y", true), TAKEN);
    assert_eq!(drain(&mailbox), ["part y."]);
}

#[test]
fn the_parts_of_the_message_in_front_need_none_of_the_room_that_others_wait_for() {
    let mailbox = Mailbox::new(10 * LEAST_WEIGHT);
    let mut message = parts(&mailbox);
    assert_eq!(poll_part(&mut message, "a", false), TAKEN);
    mailbox.try_push(bytes(9)).unwrap();
    let mut waiting = mailbox.send(text("waits")).until_taken();
    assert!(!poll(&mut waiting));
    assert!(mailbox.side().take_one().is_some());
    for part in ["b", "c", "d"] {
        assert_eq!(poll_part(&mut message, part, part == "d"), TAKEN);
    }
    assert_eq!(drain(&mailbox)[..3], ["part b", "part c", "part d."]);
    assert!(poll(&mut waiting));
}

#[test]
fn a_first_part_waits_for_room_among_the_others_and_leaves_its_place_when_it_is_dropped() {
    let mailbox = Mailbox::new(10 * LEAST_WEIGHT);
    mailbox.try_push(bytes(10)).unwrap();
    let mut message = parts(&mailbox);
    assert!(poll_part(&mut message, "a", false).is_pending());
    let mut behind = mailbox.send(text("behind")).until_taken();
    assert!(!poll(&mut behind));
    mailbox.side().take_one();
    assert!(!poll(&mut behind), "it is not first");
    drop(message);
    assert!(poll(&mut behind));
    assert!(mailbox.is_open(), "nothing had begun");
}

#[test]
fn of_a_message_in_parts_256_kib_wait_or_one_part() {
    const HALF: usize = 128 * 1024;
    let mailbox = Mailbox::new(1000);
    let mut message = parts(&mailbox);
    let half = "x".repeat(HALF);
    for _ in 0..2 {
        assert_eq!(poll_part(&mut message, &half, false), TAKEN);
    }
    assert!(poll_part(&mut message, "x", false).is_pending());
    assert!(mailbox.side().take_one().is_some());
    assert_eq!(poll_part(&mut message, &half, false), TAKEN);
    while mailbox.side().take_one().is_some() {}
    assert_eq!(poll_part(&mut message, &"x".repeat(4 * HALF), false), TAKEN);
    assert!(poll_part(&mut message, "x", false).is_pending());
    assert_eq!(mailbox.bytes(), 4 * HALF);
}

#[test]
fn whoever_leaves_a_message_unfinished_closes_the_connection_behind_what_it_sent() {
    let mailbox = Mailbox::new(1000);
    let mut message = parts(&mailbox);
    assert_eq!(poll_part(&mut message, "a", false), TAKEN);
    drop(message);
    let unfinished = CloseReason::new(CloseCode::INTERNAL_ERROR, UNFINISHED).unwrap();
    assert_eq!(directive(&mailbox), close(unfinished));
    assert_eq!(mailbox.try_push(text("late")), Err(SendError::Closed));
    assert_eq!(drain(&mailbox), ["part a"]);
    assert!(mailbox.look().has_nothing_to_take(), "the Close is next");
}

#[test]
fn a_close_cuts_a_message_off_and_tells_whoever_waits_to_go_on_with_it() {
    let mailbox = Mailbox::new(1000);
    let (mut one, mut other) = (parts(&mailbox), parts(&mailbox));
    assert_eq!(poll_part(&mut one, "a", false), TAKEN);
    assert_eq!(poll_part(&mut other, "x", false), TAKEN);
    let count = Arc::new(Count::default());
    let waker = Arc::clone(&count).into();
    assert!(poll_part_by(&waker, &mut other, "y", true).is_pending());
    mailbox.close(reason());
    assert_eq!(count.woken(), 1);
    assert_eq!(poll_part(&mut one, "b", true), REFUSED);
    assert_eq!(poll_part(&mut other, "y", true), REFUSED);
    drop((one, other));
    assert_eq!(directive(&mailbox), close(reason()), "the first counts");
    assert_eq!(drain(&mailbox), ["part a"]);
    assert!(mailbox.look().has_nothing_to_take());
    mailbox.shut();
    assert!(!mailbox.look().is_held());
}
