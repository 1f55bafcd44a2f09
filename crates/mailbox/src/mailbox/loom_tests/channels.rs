//! Every interleaving of the tasks that share channels and mailboxes: publishers, drivers, and a deliverer.

use super::*;

mod conflated;
mod full;
mod two_deliveries;

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
async fn take_all(mailbox: &Arc<Mailbox>, many: usize) -> String {
    let mut heard = String::new();
    let mut side = mailbox.side();
    poll_fn(|cx| {
        loop {
            side.drive();
            loop {
                if let Some(item) = mailbox.side().take_one() {
                    heard.push_str(payload(&item));
                } else if !mailbox
                    .side()
                    .read_log(1000, |frames| heard.extend(payloads(frames)))
                    && mailbox.look().has_nothing_to_take()
                {
                    break;
                }
            }
            if heard.len() == many || side.directive().is_some() {
                return Poll::Ready(());
            }
            if side.park(cx.waker(), true) {
                return Poll::Pending;
            }
        }
    })
    .await;
    heard
}

/// Acts as a driver until it has taken a message that ends with this letter.
async fn take_until(mailbox: &Arc<Mailbox>, last: char) -> String {
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
fn an_own_send_between_two_messages_of_a_channel_hides_none_of_them() {
    model_long(|| {
        let (channel, mailbox) = session_with_channel();
        assert!(publish(&channel, "a"));
        let publisher = thread::spawn(move || publish(&channel, "b"));
        let other = Arc::clone(&mailbox);
        let sender = thread::spawn(move || other.try_push(text("x")).map(drop).unwrap());
        let taken = block_on(take_all(&mailbox, 3));
        assert!(["abx", "axb"].contains(&taken.as_str()), "{taken}");
        assert!(publisher.join().unwrap());
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
async fn write_all(mailbox: &Arc<Mailbox>, transport: &Shared, last: char) {
    let mut side = mailbox.side();
    poll_fn(|cx| {
        loop {
            if let Some(reason) = side.drive() {
                transport.write(&reason.unsent);
            }
            loop {
                if let Some(item) = mailbox.side().take_one() {
                    transport.write(payload(&item).as_bytes());
                } else if !mailbox
                    .side()
                    .read_log(1000, |frames| transport.write(frames))
                    && mailbox.look().has_nothing_to_take()
                {
                    break;
                }
            }
            if transport.has(last) {
                return Poll::Ready(());
            }
            if side.park(cx.waker(), true) {
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
        assert!(mailbox.side().park(waker, true));
        assert!(publish(&channel, "a"));
        let deliverer = thread::spawn(move || deliver(&deliverer));
        mailbox.side().drive();
        let before = lock(&transport.0).clone();
        mailbox.shut();
        deliverer.join().unwrap();
        assert_eq!(*lock(&transport.0), before);
    });
}

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
        assert!(parked.side().park(Waker::noop(), true));
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
        assert!(mailbox.side().park(Waker::noop(), true));
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
        if let Some(reason) = mailbox.side().drive() {
            transport.write(&reason.unsent);
        }
        while mailbox
            .side()
            .read_log(1000, |frames| transport.write(frames))
        {}
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
