//! The driver by itself, polled by hand: how often it wakes its task, and what it holds.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use sockeye_mailbox::{Copied, Deliver, Deliverer, Item, LOG_LIMIT, OverflowPolicy};
use sockeye_proto::{CloseCode, CloseReason, Message, MessageBuffer, MessageKind, PreparedMessage};

use super::wire::{PING, TEXT, masked, wire};
use super::*;
use crate::connection::budget::AssemblyBudget;
use crate::connection::direct::{Channel, Direct, Mailbox, Parts};
use crate::connection::driver::{Driver, Ending, Next};
use crate::connection::link::Link;
use crate::connection::reply::Reply;
use crate::connection::server_machine;
use crate::error::Error;
use crate::sync::Arc;

#[derive(Default)]
pub(super) struct Count(AtomicUsize);

impl Count {
    pub(super) fn woken(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A driver, its mailbox, its peer, and how often its task was woken.
pub(super) fn driver() -> (Driver<wire::Wire>, Arc<Mailbox>, Peer, Arc<Count>, Waker) {
    let (stream, peer) = wire();
    let mailbox = Mailbox::new(1 << 20);
    let link = Link::new(
        stream,
        server_machine(Config::new(Role::Server), None),
        &[],
        AssemblyBudget::of_others(),
    );
    let driver = Driver::new(link, Arc::clone(&mailbox));
    let count = Arc::new(Count::default());
    let waker = Arc::clone(&count).into();
    (driver, mailbox, peer, count, waker)
}

pub(super) fn poll<F: Future>(future: F, waker: &Waker) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

#[tokio::test(start_paused = true)]
async fn the_task_yields_after_128_kib_of_what_it_read_and_of_frames() {
    let (mut driver, _outbox, peer, count, waker) = driver();
    let many: Vec<u8> = (0..600).flat_map(|_| masked(TEXT, "x")).collect();
    peer.segment(many);
    // The read counts 5 KiB, each message 1 KiB.
    let mut turns = [123, 128, 128, 128, 93].into_iter().peekable();
    while let Some(turn) = turns.next() {
        for _ in 0..turn {
            let mut message = MessageBuffer::default();
            let Poll::Ready(Next::Message) = poll(driver.next(&mut message), &waker) else {
                panic!("a message");
            };
            driver
                .reply(Reply::Message(Message::from(message).into()))
                .unwrap();
        }
        assert_eq!(peer.reads(), 1);
        assert!(poll(driver.next(&mut MessageBuffer::default()), &waker).is_pending());
        assert_eq!(count.woken(), usize::from(turns.peek().is_some()));
        // What there is is written first.
        assert_eq!(peer.frames().len(), turn);
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_no_messages_make_the_task_yield_too() {
    const EMPTY_FRAGMENT: u8 = 0x00;
    for first in [PING, EMPTY_FRAGMENT] {
        let (mut driver, _outbox, peer, count, waker) = driver();
        peer.segment(masked(0x01, "a message is open"));
        for _ in 0..5 {
            peer.segment(masked(first, "").repeat(100));
        }
        let mut turns = 0;
        let mut is_woken = true;
        while is_woken {
            assert!(poll(driver.next(&mut MessageBuffer::default()), &waker).is_pending());
            turns += 1;
            is_woken = count.woken() > 0;
        }
        // 128 frames at least; of fragments all that were read at once.
        assert!((3..=5).contains(&turns), "{turns}");
        assert_eq!(peer.reads(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_of_the_handlers_own_wakes_nobody() {
    let (mut driver, mailbox, peer, count, waker) = driver();
    // The driver parks once, beside a handler and before it.
    assert!(poll(driver.next(&mut MessageBuffer::default()), &waker).is_pending());
    peer.segment(masked(TEXT, "x"));
    assert_eq!(count.woken(), 1);
    assert!(poll(driver.next(&mut MessageBuffer::default()), &waker).is_ready());
    let go = tokio::sync::Notify::new();
    let handler = async {
        mailbox.offer(Item::Message("1".into()), |_| ()).unwrap();
        go.notified().await;
        mailbox.offer(Item::Message("2".into()), |_| ()).unwrap();
        mailbox.offer(Item::Message("3".into()), |_| ()).unwrap();
    };
    let mut handler = pin!(handler);
    let mut running = Box::pin(driver.alongside(handler.as_mut()));
    let mut cx = Context::from_waker(&waker);
    // The first poll that finds it suspended asks once more: it may have been a mere yield.
    assert!(running.as_mut().poll(&mut cx).is_pending());
    assert_eq!(count.woken(), 1);
    assert!(running.as_mut().poll(&mut cx).is_pending());
    assert_eq!(count.woken(), 0);
    assert_eq!(peer.frames().len(), 1);
    go.notify_one();
    assert_eq!(count.woken(), 1);
    assert!(running.as_mut().poll(&mut cx).is_ready());
    assert_eq!(count.woken(), 0);
    drop(running);
    assert!(poll(driver.next(&mut MessageBuffer::default()), &waker).is_pending());
    assert_eq!((peer.frames().len(), count.woken()), (2, 0));
    // Another task's is a wake-up, however many follow.
    for _ in 0..10 {
        mailbox.offer(Item::Message("4".into()), |_| ()).unwrap();
    }
    assert_eq!(count.woken(), 1);
    assert!(poll(driver.next(&mut MessageBuffer::default()), &waker).is_pending());
    assert_eq!(peer.frames().len(), 10);
    assert_eq!(peer.writes(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_pushed_to_a_peer_that_does_not_read_wakes_nobody() {
    let (mut driver, mailbox, peer, count, waker) = driver();
    peer.close_window(0);
    assert!(poll(driver.next(&mut MessageBuffer::default()), &waker).is_pending());
    let large = || Item::Message(vec![0; 1000].into());
    mailbox.offer(large(), |_| ()).unwrap();
    assert_eq!(count.woken(), 1);
    assert!(poll(driver.next(&mut MessageBuffer::default()), &waker).is_pending());
    for _ in 0..100 {
        mailbox.offer(large(), |_| ()).unwrap();
    }
    assert_eq!(count.woken(), 0);
    peer.remove_window();
    assert_eq!(count.woken(), 1);
    assert!(poll(driver.next(&mut MessageBuffer::default()), &waker).is_pending());
    assert_eq!(peer.frames().len(), 101);
}

/// A driver with a seat at a log, parked, and whatever says something to all who sit there.
struct Hears {
    driver: Driver<wire::Wire>,
    mailbox: Arc<Mailbox>,
    peer: Peer,
    waker: Waker,
    count: Arc<Count>,
    channel: Arc<Channel<()>>,
    deliverer: Deliverer,
    delivered: Copied,
}

/// Whether the deliverer writes what is published, or the driver.
const EITHER: [bool; 2] = [false, true];

impl Hears {
    fn new(is_delivered: bool) -> Self {
        let (stream, peer) = wire();
        let beside = peer.clone();
        let direct = Direct::scripted(move |bytes| beside.write_beside(bytes));
        let (channel, deliverer) = (Arc::new(Channel::default()), Deliverer::new());
        let (member, first) = channel.reserve();
        let policy = OverflowPolicy::default();
        let mailbox = Mailbox::of_session(1 << 20, policy, Some(first), Some(direct));
        let delivery = is_delivered.then(|| deliverer.handle());
        channel.join(member, Arc::clone(&mailbox), (), delivery);
        let link = Link::new(
            stream,
            server_machine(Config::new(Role::Server), None),
            &[],
            AssemblyBudget::of_others(),
        );
        let count = Arc::new(Count::default());
        let mut hears = Self {
            driver: Driver::new(link, Arc::clone(&mailbox)),
            mailbox,
            peer,
            waker: Arc::clone(&count).into(),
            count,
            channel,
            deliverer,
            delivered: Copied::default(),
        };
        hears.run();
        hears
    }

    /// Runs the driver, which finds nothing to hand on.
    fn run(&mut self) {
        let mut message = MessageBuffer::default();
        assert!(poll(self.driver.next(&mut message), &self.waker).is_pending());
    }

    /// Publishes a text. Returns whether the channel waits for the deliverer.
    fn say(&self, text: &str) -> bool {
        let lost = |(): &(), lost| panic!("{lost:?}");
        assert_eq!(self.channel.publish(&PreparedMessage::new(text), lost), 1);
        let mut cx = Context::from_waker(Waker::noop());
        let next = self.deliverer.poll_next(&mut cx);
        self.channel.begin_delivery();
        matches!(next, Poll::Ready(Some(_)))
    }

    fn deliver(&mut self) {
        self.channel.deliver(0..1, &mut self.delivered);
    }

    /// Says it, and delivers it if it is to be.
    fn tell(&mut self, text: &str) {
        if self.say(text) {
            self.deliver();
        }
    }
}

fn texts(peer: &Peer) -> Vec<String> {
    let frames = peer.frames().into_iter();
    frames
        .map(|frame| String::from_utf8(frame.payload).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_said_to_many_goes_out_in_order_wherever_the_transport_stops() {
    const LEN: usize = 2 + 5 + 2 + 6;
    for (is_delivered, taken) in EITHER
        .into_iter()
        .flat_map(|is| (0..=LEN).map(move |n| (is, n)))
    {
        let mut hears = Hears::new(is_delivered);
        hears.peer.close_window(taken);
        assert_eq!(hears.say("first"), is_delivered);
        hears.say("second");
        if is_delivered {
            hears.deliver();
        }
        assert_eq!(hears.count.woken() > 0, !is_delivered || taken < LEN);
        hears.run();
        assert_eq!(hears.peer.written().len(), taken);
        assert_eq!(hears.peer.writes(), usize::from(taken > 0));
        hears.tell("third");
        let fourth = Item::Message("fourth".into());
        hears.mailbox.offer(fourth, |_| ()).unwrap();
        hears.peer.remove_window();
        hears.run();
        assert_eq!(texts(&hears.peer), ["first", "second", "third", "fourth"]);
        let retained = hears.driver.retained_bytes();
        assert!(retained < 100, "neither scratch nor output");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_to_many_comes_behind_what_was_sent_before_and_waits_for_what_came() {
    for is_delivered in EITHER {
        let mut hears = Hears::new(is_delivered);
        let first = Item::Message("first".into());
        hears.mailbox.offer(first, |_| ()).unwrap();
        hears.tell("second");
        let came = [masked(PING, "ping"), masked(TEXT, "for later")].concat();
        hears.peer.segment(came);
        let mut message = MessageBuffer::default();
        let Poll::Ready(Next::Message) = poll(hears.driver.next(&mut message), &hears.waker) else {
            panic!("a message");
        };
        hears.tell("third");
        let reply = Message::from("reply").into();
        hears.driver.reply(Reply::Message(reply)).unwrap();
        hears.run();
        let came = texts(&hears.peer);
        assert_eq!(came, ["first", "second", "ping", "third", "reply"]);
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_a_log_holds_goes_out_at_once() {
    const SMALL: usize = 64;
    const LARGE: usize = 8 * 1024;
    for (is_delivered, len) in [(false, SMALL), (false, LARGE), (true, SMALL), (true, LARGE)] {
        let mut hears = Hears::new(is_delivered);
        let many = LOG_LIMIT / len;
        for _ in 0..many {
            hears.say(&"x".repeat(len));
        }
        hears.deliver();
        hears.run();
        assert_eq!(texts(&hears.peer), vec!["x".repeat(len); many]);
        // A turn's output is bounded, a message more or less.
        assert_eq!(hears.peer.writes(), 1 + usize::from(len == SMALL));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_take_what_is_said_to_many_is_given_up_in_time() {
    for (is_delivered, taken) in [(false, 0), (false, 3), (true, 0), (true, 3)] {
        let mut hears = Hears::new(is_delivered);
        hears.peer.close_window(taken);
        hears.tell("never taken");
        hears.run();
        let Hears {
            mut driver,
            mailbox,
            waker,
            ..
        } = hears;
        let timeout = Config::new(Role::Server).write_timeout;
        let mut look = |after: Duration| {
            mailbox.sweep(tokio::time::Instant::now().into_std() + Duration::from_millis(1));
            let polled = poll(driver.next(&mut MessageBuffer::default()), &waker);
            assert_eq!(polled.is_ready(), after > timeout, "{after:?}");
        };
        let almost = timeout - Duration::from_secs(1);
        tokio::time::advance(almost).await;
        look(almost);
        tokio::time::advance(timeout - almost).await;
        // The transport is looked at again before it is given up.
        look(timeout);
        idle().await;
        look(timeout);
        idle().await;
        look(timeout + Duration::from_millis(2));
        let ending = driver.take_ending();
        assert!(
            matches!(ending, Ending::Failed(Error::WriteStalled)),
            "{ending:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_fails_under_what_is_said_to_many_ends_the_connection() {
    for is_delivered in EITHER {
        let mut hears = Hears::new(is_delivered);
        hears.peer.fail_writes(std::io::ErrorKind::BrokenPipe);
        hears.tell("lost");
        assert_eq!(hears.count.woken(), 1);
        let polled = poll(
            hears.driver.next(&mut MessageBuffer::default()),
            &hears.waker,
        );
        assert!(matches!(polled, Poll::Ready(Next::End)));
        let ending = hears.driver.take_ending();
        assert!(matches!(ending, Ending::Failed(Error::Io(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_wakes_no_driver_and_costs_one_write() {
    let mut hears = Hears::new(true);
    assert!(hears.say("a"));
    for text in ["b", "c"] {
        assert!(!hears.say(text), "the channel waits already");
    }
    assert_eq!(hears.peer.writes(), 0);
    hears.deliver();
    hears.deliver();
    assert_eq!((hears.peer.writes(), hears.count.woken()), (1, 0));
    assert_eq!(texts(&hears.peer), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_driver_that_runs_finds_first_is_not_delivered() {
    let mut hears = Hears::new(true);
    assert!(hears.say("a"));
    // It is woken for something else.
    hears.peer.segment(masked(PING, "ping"));
    hears.run();
    hears.deliver();
    assert_eq!(texts(&hears.peer), ["a", "ping"]);
    hears.peer.segment(masked(TEXT, "to a handler"));
    let mut message = MessageBuffer::default();
    assert!(poll(hears.driver.next(&mut message), &hears.waker).is_ready());
    assert!(!hears.say("b"), "the driver runs");
    hears.deliver();
    assert_eq!(hears.peer.writes(), 2);
    hears.run();
    assert_eq!(texts(&hears.peer), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_delivered_yet_goes_with_whatever_is_sent_behind_it() {
    let sends: [fn(&Arc<Mailbox>); 2] = [
        |mailbox| {
            mailbox
                .offer(Item::Message("behind".into()), |_| ())
                .unwrap();
        },
        |mailbox| drop(mailbox.flush()),
    ];
    for (send, expected) in sends.into_iter().zip([2, 1]) {
        let mut hears = Hears::new(true);
        assert!(hears.say("before"));
        send(&hears.mailbox);
        assert_eq!(hears.count.woken(), 1);
        hears.deliver();
        hears.run();
        assert_eq!(texts(&hears.peer), ["before", "behind"][..expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_delivers_any_more_the_driver_is_woken() {
    let mut hears = Hears::new(true);
    assert!(hears.say("a"));
    hears.channel.end_delivery();
    assert_eq!(hears.count.woken(), 1);
    hears.deliver();
    assert_eq!(hears.peer.writes(), 0, "it is the driver's now");
    hears.run();
    assert!(!hears.say("b"));
    assert_eq!(hears.count.woken(), 1);
    hears.run();
    assert_eq!(texts(&hears.peer), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_delivered_into_a_message_in_parts_or_behind_a_close() {
    let mut hears = Hears::new(true);
    let mut parts = Parts::new(&hears.mailbox, MessageKind::Text);
    let mut part = |text: &'static str, is_last| {
        let mut payload = Some(bytes::Bytes::from_static(text.as_bytes()));
        let waker = Waker::noop();
        let taken = parts.poll_part(&mut Context::from_waker(waker), &mut payload, is_last);
        assert!(taken.is_ready());
    };
    part("one, ", false);
    hears.run();
    hears.tell("behind");
    hears.deliver();
    hears.run();
    assert_eq!(hears.peer.writes(), 1);
    part("two", true);
    hears.run();
    assert_eq!(texts(&hears.peer), ["one, ", "two", "behind"]);
    assert!(hears.say("last"));
    let reason = CloseReason::new(CloseCode::NORMAL, "").unwrap();
    hears.mailbox.close(reason);
    hears.deliver();
    let mut message = MessageBuffer::default();
    assert!(poll(hears.driver.next(&mut message), &hears.waker).is_ready());
    let frames = hears.peer.frames();
    assert_eq!((frames.len(), &frames[0].payload[..]), (2, &b"last"[..]));
    assert_eq!(frames[1].code(), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_failed_takes_nothing_and_does_not_spin() {
    let (mut driver, mailbox, peer, _count, waker) = driver();
    peer.segment(b"\x81\x00".to_vec());
    assert!(matches!(
        poll(driver.next(&mut MessageBuffer::default()), &waker),
        Poll::Ready(Next::End)
    ));
    assert!(matches!(driver.take_ending(), Ending::Failed(_)));
    // Not settled yet, so items are still taken; then the Close goes out by itself.
    let mut handler = pin!(pending::<()>());
    let mut beside = Box::pin(driver.alongside(handler.as_mut()));
    let mut cx = Context::from_waker(&waker);
    for _ in 0..3 {
        assert!(beside.as_mut().poll(&mut cx).is_pending());
        let _ = mailbox.offer(Item::Message("late".into()), |_| ());
    }
    assert_eq!(peer.frames().last().unwrap().code(), 1002);
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_in_the_poll_that_reads_it() {
    let (mut driver, _outbox, peer, count, waker) = driver();
    peer.segment(masked(PING, "p"));
    assert!(poll(driver.next(&mut MessageBuffer::default()), &waker).is_pending());
    assert_eq!((peer.frames().len(), count.woken()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_message_in_pieces_is_one_message() {
    let (mut driver, _outbox, peer, _count, waker) = driver();
    for byte in masked(TEXT, "pieces") {
        assert!(poll(driver.next(&mut MessageBuffer::default()), &waker).is_pending());
        peer.segment([byte]);
    }
    let mut message = MessageBuffer::default();
    let Poll::Ready(Next::Message) = poll(driver.next(&mut message), &waker) else {
        panic!("a text");
    };
    assert_eq!(message, MessageBuffer::Text("pieces".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn more_than_a_read_may_have_come_with_the_handshake() {
    let (stream, peer) = wire();
    let ahead: Vec<u8> = (0..40_000).flat_map(|_| masked(TEXT, "x")).collect();
    assert!(ahead.len() > 256 * 1024);
    let link = Link::new(
        stream,
        server_machine(Config::new(Role::Server), None),
        &ahead[..ahead.len() - 3],
        AssemblyBudget::of_others(),
    );
    let mut driver = Driver::new(link, Mailbox::new(1 << 20));
    peer.segment(&ahead[ahead.len() - 3..]);
    let mut message = MessageBuffer::default();
    for _ in 0..40_000 {
        assert!(matches!(driver.next(&mut message).await, Next::Message));
    }
}
