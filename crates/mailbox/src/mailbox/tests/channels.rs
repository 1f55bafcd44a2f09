//! Tests of channels in one thread: order, leaving, slots, and the limits of a mailbox.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::fanout::delivery::Deliverer;
use crate::fanout::log::{Copied, LOG_LIMIT, Slot};

mod config;
mod conflated;
mod memory;

// What is kept of a member is its number.
type Channel = crate::fanout::channel::Channel<(), u32>;

const LIMIT: usize = 1 << 20;

fn channels<const N: usize>() -> [Arc<Channel>; N] {
    std::array::from_fn(|_| Arc::default())
}

/// A mailbox that reads the log of its first channel, and joins the others behind it.
fn member_of(channels: &[Arc<Channel>], limit: usize, overflow: Overflow) -> Arc<Mailbox> {
    let policy = OverflowPolicy {
        broadcast: overflow,
        ..OverflowPolicy::default()
    };
    let (member, first) = channels[0].reserve();
    let mailbox = Mailbox::of_session(limit, policy, Some(first), None);
    channels[0].join(member, Arc::clone(&mailbox), member, None);
    for channel in &channels[1..] {
        join(channel, &mailbox);
    }
    mailbox
}

/// Makes a mailbox a member. Its number is kept of it.
fn join(channel: &Arc<Channel>, mailbox: &Arc<Mailbox>) -> u32 {
    let (member, _) = channel.reserve();
    channel.join(member, Arc::clone(mailbox), member, None);
    member
}

fn publish(channel: &Arc<Channel>, text: &str) -> usize {
    let lost = |member: &u32, lost| panic!("{member} lost {lost:?}");
    channel.publish(&PreparedMessage::new(text), lost)
}

/// The texts of frames.
fn texts(frames: &[u8]) -> Vec<String> {
    let mut rest = frames;
    let mut texts = Vec::new();
    while !rest.is_empty() {
        let (len, head) = match rest[1] {
            126 => (usize::from(u16::from_be_bytes([rest[2], rest[3]])), 4),
            len => (usize::from(len), 2),
        };
        texts.push(String::from_utf8(rest[head..head + len].to_vec()).unwrap());
        rest = &rest[head + len..];
    }
    texts
}

/// Acts as a driver that takes all there is.
fn take_all(mailbox: &Arc<Mailbox>) -> Vec<String> {
    let mut taken = Vec::new();
    loop {
        taken.extend(drain(mailbox));
        let mut read = Vec::new();
        if !mailbox
            .side()
            .read_log(LOG_LIMIT, |frames| read.extend_from_slice(frames))
            && mailbox.look().has_nothing_to_take()
        {
            return taken;
        }
        taken.extend(texts(&read));
    }
}

#[test]
fn a_member_gets_the_messages_of_all_its_channels() {
    let channels = channels::<3>();
    let mailbox = member_of(&channels, LIMIT, Overflow::Close);
    for text in ["a", "b"] {
        for channel in &channels {
            assert_eq!(publish(channel, text), 1);
        }
    }
    let mut taken = take_all(&mailbox);
    taken.sort();
    assert_eq!(taken, ["a", "a", "a", "b", "b", "b"]);
    assert!(take_all(&mailbox).is_empty());
}

#[test]
fn no_channel_keeps_the_others_waiting() {
    let channels = channels::<3>();
    let mailbox = member_of(&channels, LIMIT, Overflow::Close);
    let mut order = Vec::new();
    for _ in 0..6 {
        for (channel, text) in channels.iter().zip(["0", "1", "2"]) {
            publish(channel, text);
        }
        // A turn has room for one channel.
        mailbox
            .side()
            .read_log(LOG_LIMIT, |frames| order.push(texts(frames)[0].clone()));
    }
    assert_eq!(order, ["1", "2", "0", "1", "2", "0"]);
}

#[test]
fn an_own_send_comes_behind_what_its_channels_held_before() {
    let channels = channels::<3>();
    let mailbox = member_of(&channels, LIMIT, Overflow::Close);
    for (channel, text) in channels.iter().zip(["a", "b", "c"]) {
        publish(channel, text);
    }
    mailbox.try_push(text("own")).unwrap();
    publish(&channels[0], "later");
    assert_eq!(take_all(&mailbox), ["a", "b", "c", "own", "later"]);
}

#[test]
fn a_control_frame_moves_nothing_out_of_a_log() {
    let channels = channels::<1>();
    let mailbox = member_of(&channels, LIMIT, Overflow::Close);
    publish(&channels[0], "a");
    mailbox.try_push(Item::Ping(Vec::new())).unwrap();
    assert_eq!(mailbox.bytes(), 0);
    assert_eq!(take_all(&mailbox), ["ping ", "a"]);
}

#[test]
fn a_member_that_left_gets_nothing_and_its_slot_serves_the_next_channel() {
    let channels = channels::<3>();
    let mailbox = member_of(&channels[..2], LIMIT, Overflow::Close);
    publish(&channels[1], "before");
    channels[1].leave(0, |_| true);
    assert_eq!(publish(&channels[1], "after"), 0);
    let member = join(&channels[2], &mailbox);
    publish(&channels[2], "next");
    assert_eq!(take_all(&mailbox), ["next"]);
    channels[2].leave(member, |_| true);
    publish(&channels[0], "first");
    assert_eq!(take_all(&mailbox), ["first"], "the first channel stays");
}

#[test]
fn a_member_that_left_its_first_channel_shares_no_position_with_the_next_one_of_its_number() {
    let [channel] = channels();
    let left = member_of(std::slice::from_ref(&channel), LIMIT, Overflow::Close);
    publish(&channel, "a");
    assert_eq!(channel.leave(0, |_| true), Some(0));
    let next = member_of(std::slice::from_ref(&channel), LIMIT, Overflow::Close);
    publish(&channel, "b");
    assert!(take_all(&left).is_empty());
    left.retire();
    publish(&channel, "c");
    assert_eq!(take_all(&next), ["b", "c"]);
}

#[test]
fn a_mailbox_takes_the_messages_of_channels_beyond_its_slots_as_items() {
    let channels = channels::<{ Slot::MANY + 1 }>();
    let mailbox = member_of(&channels, LIMIT, Overflow::Close);
    for (number, channel) in channels.iter().enumerate() {
        assert_eq!(publish(channel, &number.to_string()), 1);
        let is_logged = number < Slot::MANY;
        assert_eq!(mailbox.bytes() > 0, !is_logged, "{number}");
    }
    let mut taken = take_all(&mailbox);
    taken.sort_by_key(|number| number.parse::<usize>().unwrap());
    let all: Vec<_> = (0..=Slot::MANY).map(|number| number.to_string()).collect();
    assert_eq!(taken, all);
    // A slot that becomes free serves a channel again.
    channels[7].leave(0, |_| true);
    channels[Slot::MANY].leave(0, |_| true);
    join(&channels[Slot::MANY], &mailbox);
    publish(&channels[Slot::MANY], "logged");
    assert_eq!(mailbox.bytes(), 0);
    assert_eq!(take_all(&mailbox), ["logged"]);
}

#[test]
fn a_mailbox_that_cannot_share_frames_takes_all_messages_as_items() {
    let [channel] = channels();
    let mailbox = Mailbox::of_session(LIMIT, OverflowPolicy::default(), None, None);
    join(&channel, &mailbox);
    assert_eq!(publish(&channel, "a"), 1);
    assert_eq!(mailbox.bytes(), 1);
    assert_eq!(take_all(&mailbox), ["a"]);
}

#[test]
fn a_mailbox_that_exists_subscribes_late_and_leaves_by_its_number() {
    let [broadcasts, channel] = channels();
    let mailbox = member_of(&[broadcasts], LIMIT, Overflow::Close);
    publish(&channel, "early");
    let first = channel.subscribe(Arc::clone(&mailbox), 70, None);
    let second = channel.subscribe(Arc::clone(&mailbox), 80, None);
    assert_ne!(first, second);
    assert_eq!(publish(&channel, "a"), 2);
    assert_eq!(channel.leave(first, |kept| *kept == 80), None);
    assert_eq!(channel.leave(first, |kept| *kept == 70), Some(70));
    assert_eq!(channel.leave(first, |_| true), None, "it has left");
    assert_eq!(publish(&channel, "b"), 1);
    assert_eq!(take_all(&mailbox), ["a", "b"]);
    assert_eq!(
        channel.subscribe(mailbox, 90, None),
        first,
        "the place is free"
    );
}

#[test]
fn a_member_that_takes_items_gets_a_message_although_no_other_member_has_read_the_last_one() {
    let [channel] = channels();
    let reads = member_of(std::slice::from_ref(&channel), LIMIT, Overflow::Close);
    publish(&channel, "a");
    publish(&channel, "b");
    let takes = Mailbox::of_session(LIMIT, OverflowPolicy::default(), None, None);
    join(&channel, &takes);
    assert_eq!(publish(&channel, "c"), 2);
    assert_eq!(take_all(&takes), ["c"]);
    assert_eq!(take_all(&reads), ["a", "b", "c"]);
}

#[test]
fn a_closing_mailbox_joins_no_channel_and_gets_no_message() {
    let channels = channels::<2>();
    let ends: [fn(&Arc<Mailbox>); 3] = [
        |mailbox| mailbox.close(reason()),
        |mailbox| mailbox.abort(),
        |mailbox| mailbox.shut(),
    ];
    for end in ends {
        let mailbox = member_of(&channels[..1], LIMIT, Overflow::Close);
        end(&mailbox);
        assert_eq!(publish(&channels[0], "a"), 0);
        join(&channels[1], &mailbox);
        assert_eq!(publish(&channels[1], "a"), 0);
        assert!(take_all(&mailbox).is_empty());
    }
}

#[test]
fn what_the_channels_held_before_a_close_goes_out_before_it() {
    let channels = channels::<3>();
    let mailbox = member_of(&channels, LIMIT, Overflow::Close);
    for (channel, text) in channels.iter().zip(["a", "b", "c"]) {
        publish(channel, text);
    }
    mailbox.close(reason());
    assert_eq!(take_all(&mailbox), ["a", "b", "c"]);
    assert_eq!(directive(&mailbox), close(reason()));
}

#[test]
fn admitted_messages_exceed_the_limit_behind_what_the_channels_held() {
    let [channel] = channels();
    let mailbox = member_of(
        std::slice::from_ref(&channel),
        LEAST_WEIGHT,
        Overflow::Close,
    );
    assert_eq!(mailbox.push_admitted([]), Ok(None));
    publish(&channel, "live");
    let replay = ["a", "b", "c"].map(Into::into);
    let ticket = mailbox.push_admitted(replay).unwrap().unwrap();
    assert_eq!(mailbox.bytes(), 7);
    assert_eq!(mailbox.try_push(text("own")), Err(SendError::Full));
    let mut written = mailbox.written(ticket);
    assert_eq!(drain(&mailbox), ["live", "a", "b", "c"]);
    assert!(!mailbox.is_written(ticket));
    assert!(poll_send(&mut written).is_pending());
    mailbox.side().wrote(mailbox.side().taken());
    assert!(mailbox.is_written(ticket));
    assert_eq!(poll_send(&mut written), Poll::Ready(Ok(())));
    mailbox.close(reason());
    let late = std::iter::once_with(|| panic!("it is closing"));
    assert_eq!(mailbox.push_admitted(late), Err(SendError::Closed));
}

#[test]
fn messages_to_some_members_keep_their_order_with_those_to_all() {
    let [channel] = channels();
    let one = member_of(std::slice::from_ref(&channel), LIMIT, Overflow::Close);
    let other = member_of(std::slice::from_ref(&channel), LIMIT, Overflow::Close);
    publish(&channel, "a");
    let lost = |_: &u32, _| panic!("there is room");
    let many = channel.publish_to(&PreparedMessage::new("b"), |member| *member == 1, lost);
    assert_eq!(many, 1);
    publish(&channel, "c");
    assert_eq!(take_all(&one), ["a", "c"]);
    assert_eq!(take_all(&other), ["a", "b", "c"]);
}

/// Fills the log with this many messages of the least weight.
fn fill(channel: &Arc<Channel>, many: usize) -> usize {
    (0..many)
        .map(|number| publish(channel, &format!("{number}")))
        .sum()
}

#[test]
fn a_full_log_moves_what_the_slowest_member_has_not_read_into_its_outbox() {
    let [channel] = channels();
    let slow = member_of(std::slice::from_ref(&channel), LIMIT, Overflow::Close);
    let fast = member_of(std::slice::from_ref(&channel), LIMIT, Overflow::Close);
    let many = LOG_LIMIT / LEAST_WEIGHT;
    assert_eq!(fill(&channel, many), 2 * many);
    assert_eq!(take_all(&fast).len(), many);
    assert_eq!(slow.bytes(), 0);
    assert_eq!(publish(&channel, "last"), 2);
    assert!(slow.bytes() > 0);
    let mut expected: Vec<_> = (0..many).map(|number| number.to_string()).collect();
    expected.push("last".into());
    assert_eq!(take_all(&slow), expected);
    assert_eq!(take_all(&fast), ["last"]);
}

/// A channel with a member whose driver is parked, and which a deliverer serves.
fn parked() -> (Arc<Channel>, Deliverer, Arc<Mailbox>, Arc<Count>) {
    let [channel] = channels();
    let deliverer = Deliverer::new();
    let (member, first) = channel.reserve();
    let mailbox = Mailbox::of_session(LIMIT, OverflowPolicy::default(), Some(first), Some(()));
    channel.join(
        member,
        Arc::clone(&mailbox),
        member,
        Some(deliverer.handle()),
    );
    let woken = Arc::new(Count::default());
    assert!(mailbox.side().park(&woken.clone().into(), true));
    (channel, deliverer, mailbox, woken)
}

#[test]
fn a_driver_that_waits_for_a_deliverer_is_woken_for_what_moves_out_of_a_full_log() {
    let (channel, _deliverer, mailbox, woken) = parked();
    let many = LOG_LIMIT / LEAST_WEIGHT;
    fill(&channel, many);
    assert_eq!(woken.woken(), 0, "the deliverer has it");
    publish(&channel, "last");
    assert_eq!(woken.woken(), 1);
    mailbox.side().drive();
    assert_eq!(take_all(&mailbox).len(), many + 1);
}

#[test]
fn a_channel_asks_for_another_delivery_once_one_has_begun() {
    let (channel, deliverer, mailbox, woken) = parked();
    let mut cx = Context::from_waker(Waker::noop());
    for text in ["a", "b"] {
        publish(&channel, text);
        let Poll::Ready(Some(wanted)) = deliverer.poll_next(&mut cx) else {
            panic!("{text} wants a delivery");
        };
        wanted.begin_delivery();
        mailbox.side().drive();
        assert_eq!(take_all(&mailbox), [text]);
        assert!(mailbox.side().park(&woken.clone().into(), true));
    }
}

#[test]
fn a_delivery_for_a_channel_that_left_the_slot_writes_nothing_of_the_next_one() {
    let (channel, _deliverer, mailbox, woken) = parked();
    publish(&channel, "a");
    let left = Arc::default();
    mailbox.deliver(Slot::FIRST, &left, &mut Copied::default());
    assert_eq!(woken.woken(), 0, "nothing was begun");
    mailbox.side().drive();
    assert_eq!(take_all(&mailbox), ["a"]);
}

/// A mailbox with a small outbox, whose channels hold this many messages of 8 KiB. The logs of five channels are what may
/// move beyond the limit.
fn crowded(many: usize, overflow: Overflow) -> (Arc<Mailbox>, [Arc<Channel>; 6]) {
    let channels = channels();
    let mailbox = member_of(&channels, 4 * LEAST_WEIGHT, overflow);
    for number in 0..many {
        publish(&channels[number / 8], &format!("{number:08192}"));
    }
    (mailbox, channels)
}

/// The numbers of the messages that a driver takes.
fn numbers(mailbox: &Arc<Mailbox>) -> Vec<usize> {
    let taken = take_all(mailbox).into_iter();
    taken.map(|text| text.parse().unwrap()).collect()
}

#[test]
fn messages_that_move_may_exceed_the_limit_by_what_they_were_accepted_for() {
    let (mailbox, _channels) = crowded(40, Overflow::Close);
    drop(mailbox.flush());
    assert_eq!(directive(&mailbox), None);
    assert_eq!(numbers(&mailbox), (0..40).collect::<Vec<_>>());
    assert_eq!(mailbox.retire(), None);
}

#[test]
fn a_message_that_moves_beyond_that_meets_the_policy() {
    for (overflow, expected) in [
        (Overflow::Refuse, 0..40),
        (Overflow::DropNewest, 0..40),
        (Overflow::DropOldest, 1..41),
        (Overflow::Close, 0..40),
    ] {
        let (mailbox, _channels) = crowded(41, overflow);
        drop(mailbox.flush());
        let lost = mailbox.retire().unwrap();
        assert_eq!(
            (lost.policy, lost.dropped, lost.is_first),
            (overflow, 1, true)
        );
        assert_eq!(directive(&mailbox).is_some(), overflow == Overflow::Close);
        assert_eq!(
            numbers(&mailbox),
            expected.collect::<Vec<_>>(),
            "{overflow:?}"
        );
        assert_eq!(mailbox.retire(), None, "it is told once");
    }
}

#[test]
fn a_message_that_was_accepted_finds_its_room_later() {
    let [channel] = channels();
    let (member, first) = channel.reserve();
    let mailbox = Mailbox::of_session(
        4 * LEAST_WEIGHT,
        OverflowPolicy::default(),
        Some(first),
        None,
    );
    channel.join(member, Arc::clone(&mailbox), member, None);
    mailbox.try_push(text("own")).unwrap();
    let mut lost = None;
    let mut publish =
        |text| channel.publish(&PreparedMessage::new(text), |_, one| lost = Some(one));
    assert_eq!(
        ["a", "b", "c"].map(&mut publish),
        [1; 3],
        "four of them fill it"
    );
    assert_eq!(publish("d"), 0);
    let lost = lost.unwrap();
    assert_eq!((lost.policy, lost.dropped), (Overflow::Close, 1));
    assert_eq!(take_all(&mailbox), ["own", "a", "b", "c"]);
    assert!(directive(&mailbox).is_some());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish(usize, usize),
    Send(usize),
    Take(usize),
    Read(usize, usize),
    Leave(usize, usize),
    Join(usize, usize),
}

/// The channels of the model. The last one is conflated.
const MANY: usize = 4;
const CONFLATED: usize = MANY - 1;
const OWN: usize = MANY;

fn step() -> impl Strategy<Value = Step> {
    let one = || 0..3_usize;
    prop_oneof![
        6 => (one(), 0..2000_usize).prop_map(|(channel, len)| Step::Publish(channel, len)),
        3 => (0..12_000_usize).prop_map(|len| Step::Publish(CONFLATED, len)),
        2 => one().prop_map(Step::Send),
        2 => one().prop_map(Step::Take),
        4 => (one(), 1..4000_usize).prop_map(|(member, room)| Step::Read(member, room)),
        1 => (one(), 1..MANY).prop_map(|(member, channel)| Step::Leave(member, channel)),
        2 => (one(), 1..MANY).prop_map(|(member, channel)| Step::Join(member, channel)),
    ]
}

/// One member: what it has still to get of each channel and of itself, and its number in each channel.
struct Member {
    mailbox: Arc<Mailbox>,
    due: [VecDeque<String>; MANY + 1],
    numbers: [Option<u32>; MANY],
}

impl Member {
    /// Takes one text that came, which has to be the next one of its source.
    fn came(&mut self, text: &str) -> Result<(), TestCaseError> {
        let source = text.split(' ').next().unwrap().parse::<usize>().unwrap();
        let next = self.due[source].pop_front();
        prop_assert_eq!(next.as_deref(), Some(text));
        if source == OWN {
            // What the channels held before the send came before it. A value has no order with it.
            let before = number(text);
            for due in &self.due[..CONFLATED] {
                let earlier = due.iter().filter(|text| number(text) < before).count();
                prop_assert_eq!(earlier, 0, "{} overtook", text);
            }
        }
        Ok(())
    }
}

/// The number of the step in which a text was published or sent.
fn number(text: &str) -> usize {
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

proptest! {
    #[test]
    fn each_member_gets_each_message_once_in_order_and_each_newest_value_and_own_sends_overtake_nothing(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let [one, other, third] = channels();
        let channels = [one, other, third, conflated::conflated()];
        let mut members: Vec<Member> = (0..2)
            .map(|member| Member {
                mailbox: member_of(&channels[..1], 1 << 30, Overflow::Close),
                due: Default::default(),
                numbers: [Some(member), None, None, None],
            })
            .collect();
        let takes_items = Mailbox::of_session(1 << 30, OverflowPolicy::default(), None, None);
        members.push(Member {
            numbers: [Some(join(&channels[0], &takes_items)), None, None, None],
            mailbox: takes_items,
            due: Default::default(),
        });
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Publish(channel, len) => {
                    let text = format!("{channel} {at} {}", "x".repeat(len));
                    let mut many = 0;
                    for member in members.iter_mut().filter(|m| m.numbers[channel].is_some()) {
                        if channel == CONFLATED {
                            member.due[channel].clear();
                        }
                        member.due[channel].push_back(text.clone());
                        many += 1;
                    }
                    prop_assert_eq!(publish(&channels[channel], &text), many);
                }
                Step::Send(member) => {
                    let text = format!("{OWN} {at} ");
                    let member = &mut members[member];
                    member.due[OWN].push_back(text.clone());
                    member.mailbox.try_push(super::text(&text)).unwrap();
                }
                Step::Take(member) => {
                    let member = &mut members[member];
                    for text in drain(&member.mailbox) {
                        member.came(&text)?;
                    }
                }
                Step::Read(member, room) => {
                    let member = &mut members[member];
                    let mut read = Vec::new();
                    member.mailbox.side().read_log(room, |frames| read.extend_from_slice(frames));
                    for text in texts(&read) {
                        member.came(&text)?;
                    }
                }
                Step::Leave(member, channel) => {
                    let member = &mut members[member];
                    if let Some(number) = member.numbers[channel].take() {
                        // What it moved into its outbox before, it still gets, but no value.
                        if channel != CONFLATED {
                            for text in drain(&member.mailbox) {
                                member.came(&text)?;
                            }
                        }
                        channels[channel].leave(number, |_| true);
                        member.due[channel].clear();
                    }
                }
                Step::Join(member, channel) => {
                    let member = &mut members[member];
                    if member.numbers[channel].is_none() {
                        member.numbers[channel] = Some(join(&channels[channel], &member.mailbox));
                    }
                }
            }
        }
        for member in &mut members {
            loop {
                for text in drain(&member.mailbox) {
                    member.came(&text)?;
                }
                let mut read = Vec::new();
                let any = member.mailbox.side().read_log(LOG_LIMIT, |frames| read.extend_from_slice(frames));
                for text in texts(&read) {
                    member.came(&text)?;
                }
                if !any && member.mailbox.look().has_nothing_to_take() {
                    break;
                }
            }
            let left: usize = member.due.iter().map(VecDeque::len).sum();
            prop_assert_eq!(left, 0, "all came");
        }
    }
}

#[test]
fn what_was_accepted_is_sent_though_a_message_in_parts_goes_on() {
    let [channel] = channels();
    let mailbox = member_of(
        std::slice::from_ref(&channel),
        4 * LEAST_WEIGHT,
        Overflow::DropNewest,
    );
    let mut cx = Context::from_waker(Waker::noop());
    let mut parts = Parts::new(&mailbox, MessageKind::Text);
    let mut part = |payload: String, is_last| {
        let polled = parts.poll_part(&mut cx, &mut Some(payload.into()), is_last);
        assert!(matches!(polled, Poll::Ready(Ok(()))));
    };
    part("begun".into(), false);
    assert_eq!(drain(&mailbox).len(), 1);
    assert_eq!(publish(&channel, "a") + publish(&channel, "b"), 2);
    part("x".repeat(10 * LEAST_WEIGHT), true);
    // Moves the log into the mailbox, as a full log does.
    drop(mailbox.flush());
    assert_eq!(mailbox.retire(), None, "both were accepted");
}
