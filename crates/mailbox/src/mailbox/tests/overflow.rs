//! Tests of the overflow policies: which messages give way, and what their handles return.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 4;

/// An outbox with room for four of the shortest messages.
fn mailbox(overflow: Overflow) -> Arc<Mailbox> {
    outbox_with(OverflowPolicy {
        remote: overflow,
        ..OverflowPolicy::default()
    })
}

fn outbox_with(policy: OverflowPolicy) -> Arc<Mailbox> {
    Mailbox::of_session(LIMIT * LEAST_WEIGHT, policy, None, None)
}

fn try_offer(mailbox: &Arc<Mailbox>, item: Item) -> Result<Sending, SendError> {
    let receipt = mailbox.offer(item, |_| ())?;
    Ok(mailbox.written(receipt))
}

fn offer(mailbox: &Arc<Mailbox>, name: &str) -> Sending {
    try_offer(mailbox, text(name)).unwrap()
}

fn broadcast(mailbox: &Arc<Mailbox>, name: &str) -> Offer {
    mailbox.offer_item(&PreparedMessage::new(name), None)
}

/// What a message that was offered made the session lose.
fn lost(offer: Offer) -> Option<Overflowed> {
    match offer {
        Offer::Overflowed(lost) => Some(lost),
        Offer::Taken | Offer::Closed => None,
    }
}

/// Acts as the driver: takes an item, and writes it.
fn write_one(mailbox: &Arc<Mailbox>) -> Option<String> {
    let item = mailbox.side().take_one()?;
    mailbox.side().wrote(mailbox.side().taken());
    match item {
        Taken::Message(outgoing) => Some(outgoing.message().to_string()),
        other => panic!("{other:?} was never put in"),
    }
}

fn is_written(send: &mut Sending) -> bool {
    poll_send(send) == Poll::Ready(Ok(()))
}

fn is_dropped(send: &mut Sending) -> bool {
    poll_send(send) == Poll::Ready(Err(SendError::Full))
}

#[test]
fn by_default_what_finds_no_room_is_refused() {
    let mailbox = outbox_with(OverflowPolicy::default());
    for name in ["a", "b", "c", "d"] {
        offer(&mailbox, name);
    }
    let refused = try_offer(&mailbox, text("e")).map(drop);
    assert_eq!(refused, Err(SendError::Full));
    assert_eq!(drain(&mailbox), ["a", "b", "c", "d"]);
}

#[test]
fn of_drop_newest_the_newest_is_dropped_and_its_handle_says_so() {
    let mailbox = mailbox(Overflow::DropNewest);
    let mut kept: Vec<Sending> = ["a", "b", "c", "d"]
        .map(|name| offer(&mailbox, name))
        .into();
    let mut dropped = offer(&mailbox, "e");
    assert!(is_dropped(&mut dropped));
    while write_one(&mailbox).is_some() {}
    assert!(kept.iter_mut().all(is_written));
}

#[test]
fn of_drop_oldest_as_many_give_way_as_the_newest_needs_and_their_handles_say_so() {
    let mailbox = mailbox(Overflow::DropOldest);
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| offer(&mailbox, name));
    let woken = Arc::new(Count::default());
    let waker = Waker::from(woken.clone());
    let waiting = Pin::new(&mut a).poll(&mut Context::from_waker(&waker));
    assert!(waiting.is_pending());
    let mut large = try_offer(&mailbox, bytes(3)).unwrap();
    assert_eq!(
        woken.woken(),
        1,
        "the task that waited for the dropped message"
    );
    assert!(is_dropped(&mut a) && is_dropped(&mut b));
    assert_eq!(mailbox.bytes(), 1 + 3 * LEAST_WEIGHT);
    assert_eq!(write_one(&mailbox).as_deref(), Some("c"));
    assert!(is_written(&mut c) && !poll(&mut large));
}

#[test]
fn what_is_awaited_by_the_basic_remote_never_gives_way() {
    let mailbox = mailbox(Overflow::DropOldest);
    let mut first = mailbox.send(text("first"));
    assert!(!poll(&mut first));
    let [mut a, mut b] = ["a", "b"].map(|name| offer(&mailbox, name));
    let mut second = mailbox.send(text("second"));
    assert!(!poll(&mut second));
    let [mut c, mut d, mut e] = ["c", "d", "e"].map(|name| offer(&mailbox, name));
    assert!([&mut a, &mut b, &mut c].into_iter().all(is_dropped));

    assert_eq!(write_one(&mailbox).as_deref(), Some("first"));
    assert!(is_written(&mut first) && !poll(&mut second));
    assert_eq!(write_one(&mailbox).as_deref(), Some("second"));
    assert!(is_written(&mut second) && !poll(&mut d));
    assert_eq!(drain(&mailbox), ["d", "e"]);
    mailbox.side().wrote(mailbox.side().taken());
    assert!(is_written(&mut d) && is_written(&mut e));
}

#[test]
fn a_message_in_parts_keeps_its_place_while_others_give_way_behind_it() {
    let mailbox = mailbox(Overflow::DropOldest);
    let mut streamed = parts(&mailbox);
    assert!(poll_part(&mut streamed, "1", false).is_ready());
    assert!(mailbox.side().take_one().is_some());
    let mut dropped = ["a", "b", "c"].map(|name| offer(&mailbox, name));
    let mut kept = ["d", "e", "f", "g"].map(|name| offer(&mailbox, name));
    assert!(dropped.iter_mut().all(is_dropped));
    assert!(poll_part(&mut streamed, "2", false).is_ready());
    assert_eq!(drain(&mailbox), ["part 2"]);
    assert!(poll_part(&mut streamed, "3", true).is_ready());
    assert_eq!(drain(&mailbox), ["part 3.", "d", "e", "f", "g"]);
    mailbox.side().wrote(mailbox.side().taken());
    assert!(kept.iter_mut().all(is_written));
    assert_eq!(lock(&mailbox.state).weight, 0);
}

#[test]
fn where_nothing_can_give_way_the_newest_is_dropped_and_nothing_else() {
    let mailbox = mailbox(Overflow::DropOldest);
    let mut sends = ["1", "2", "3"].map(|name| mailbox.send(text(name)));
    assert!(!sends.iter_mut().any(poll));
    let mut kept = offer(&mailbox, "a");
    let mut too_large = try_offer(&mailbox, bytes(2)).unwrap();
    assert!(is_dropped(&mut too_large) && !poll(&mut kept));
    assert_eq!(drain(&mailbox), ["1", "2", "3", "a"]);
}

#[test]
fn one_that_is_larger_than_the_limit_is_taken_alone_in_the_place_of_all() {
    let mailbox = mailbox(Overflow::DropOldest);
    let mut small = offer(&mailbox, "a");
    let mut large = try_offer(&mailbox, bytes(LIMIT + 1)).unwrap();
    assert!(is_dropped(&mut small) && !poll(&mut large));
    let mut newest = offer(&mailbox, "b");
    assert!(is_dropped(&mut large) && !poll(&mut newest));
}

#[test]
fn what_gives_way_does_not_pass_those_who_wait_for_room() {
    let mailbox = mailbox(Overflow::DropOldest);
    for name in ["a", "b", "c", "d"] {
        offer(&mailbox, name);
    }
    let mut waits = mailbox.send(bytes(LIMIT));
    assert!(!poll(&mut waits));
    // It takes the place of a loose one, and not the room of the sender that waits.
    let mut e = offer(&mailbox, "e");
    assert_eq!(drain(&mailbox), ["b", "c", "d", "e"]);
    assert!(is_dropped(&mut offer(&mailbox, "f")));
    assert!(!poll(&mut waits), "it is in");
    assert!(write_one(&mailbox).is_some() && is_written(&mut waits));
    assert!(is_written(&mut e));
}

#[test]
fn of_close_the_connection_closes_1013_behind_what_is_in() {
    let mailbox = mailbox(Overflow::Close);
    for name in ["a", "b", "c", "d"] {
        offer(&mailbox, name);
    }
    assert_eq!(directive(&mailbox), None);
    let refused = try_offer(&mailbox, text("e")).map(drop);
    assert_eq!(refused, Err(SendError::Full));
    let Some(Directive::Close(reason)) = directive(&mailbox) else {
        panic!("no Close was asked for");
    };
    assert_eq!(reason.code(), CloseCode::TRY_AGAIN_LATER);
    assert_eq!(drain(&mailbox), ["a", "b", "c", "d"]);
    let closed = try_offer(&mailbox, text("f")).map(drop);
    assert_eq!(closed, Err(SendError::Closed));
}

#[test]
fn by_default_a_broadcast_that_finds_no_room_closes_1013_behind_what_is_in() {
    let mailbox = outbox_with(OverflowPolicy::default());
    for name in ["a", "b", "c", "d"] {
        assert_eq!(broadcast(&mailbox, name), Offer::Taken);
    }
    let overflowed = Overflowed {
        policy: Overflow::Close,
        ticket: None,
        dropped: 1,
        is_first: true,
    };
    assert_eq!(broadcast(&mailbox, "e"), Offer::Overflowed(overflowed));
    let Some(Directive::Close(reason)) = directive(&mailbox) else {
        panic!("no Close was asked for");
    };
    assert_eq!(reason.code(), CloseCode::TRY_AGAIN_LATER);
    assert_eq!(broadcast(&mailbox, "f"), Offer::Closed);
    assert_eq!(drain(&mailbox), ["a", "b", "c", "d"]);
}

#[test]
fn the_remote_and_broadcasts_have_a_policy_each() {
    let mailbox = outbox_with(OverflowPolicy {
        remote: Overflow::Refuse,
        broadcast: Overflow::DropOldest,
    });
    offer(&mailbox, "a");
    for name in ["b", "c", "d"] {
        broadcast(&mailbox, name);
    }
    let refused = try_offer(&mailbox, text("e")).map(drop);
    assert_eq!(refused, Err(SendError::Full));
    let dropped = lost(broadcast(&mailbox, "f")).map(|lost| lost.dropped);
    assert_eq!(dropped, Some(1));
    assert_eq!(drain(&mailbox), ["a", "c", "d", "f"]);

    mailbox.set_overflow(|policy| policy.broadcast = Overflow::Refuse);
    mailbox.set_overflow(|policy| policy.remote = Overflow::Close);
    for name in ["a", "b", "c", "d"] {
        offer(&mailbox, name);
    }
    assert!(lost(broadcast(&mailbox, "e")).is_some());
    assert_eq!(directive(&mailbox), None);
    let refused = try_offer(&mailbox, text("e")).map(drop);
    assert_eq!(refused, Err(SendError::Full));
    assert_ne!(directive(&mailbox), None);
}

#[test]
fn what_is_lost_is_told_each_time_and_only_the_first_time_as_the_first() {
    for policy in [Overflow::Refuse, Overflow::DropNewest, Overflow::DropOldest] {
        let mailbox = outbox_with(OverflowPolicy {
            remote: policy,
            broadcast: policy,
        });
        for name in ["a", "b", "c", "d"] {
            broadcast(&mailbox, name);
        }
        let mut of_remote = None;
        let _ = mailbox.offer(bytes(2), |lost| of_remote = Some(lost));
        let of_broadcast = lost(broadcast(&mailbox, "f"));
        let told = |lost: Option<Overflowed>| lost.map(|lost| (lost.dropped, lost.is_first));
        let expected = match policy {
            // The sender gets an error.
            Overflow::Refuse => [None, Some((1, true))],
            // The two messages, of which one had had room, and the next one.
            Overflow::DropOldest => [Some((2, true)), Some((1, false))],
            _ => [Some((1, true)), Some((1, false))],
        };
        assert_eq!(
            [told(of_remote), told(of_broadcast)],
            expected,
            "{policy:?}"
        );
    }
}

/// The peer is not slow if a large message waits.
#[test]
fn a_sender_that_waits_for_room_closes_no_session_that_has_room_for_a_broadcast() {
    let mailbox = outbox_with(OverflowPolicy::default());
    offer(&mailbox, "a");
    let mut waits = mailbox.send(bytes(LIMIT));
    assert!(!poll(&mut waits));
    assert_eq!(broadcast(&mailbox, "b"), Offer::Taken);
    assert_eq!(drain(&mailbox), ["a", "b"]);
    assert!(!poll(&mut waits), "it is in");
    assert!(write_one(&mailbox).is_some() && is_written(&mut waits));
}

#[test]
fn a_control_frame_never_overflows() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest, Overflow::Close] {
        let mailbox = mailbox(overflow);
        for name in ["a", "b", "c", "d"] {
            offer(&mailbox, name);
        }
        try_offer(&mailbox, Item::Ping(b"1".to_vec())).unwrap();
        assert_eq!(drain(&mailbox), ["ping 1", "a", "b", "c", "d"]);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Offer(usize),
    Send(usize),
    Write,
    Policy(Overflow),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let policy = prop_oneof![
        4 => Just(Overflow::DropOldest),
        1 => Just(Overflow::DropNewest),
        1 => Just(Overflow::Refuse),
    ];
    let step = prop_oneof![
        6 => (1..3_usize).prop_map(Step::Offer),
        3 => (1..3_usize).prop_map(Step::Send),
        3 => Just(Step::Write),
        1 => policy.prop_map(Step::Policy),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// The messages are written in order, whichever give way. Each handle returns what became of its own message, and not
    /// before that is decided.
    #[test]
    fn every_handle_tells_the_truth(steps in steps()) {
        let mailbox = mailbox(Overflow::DropOldest);
        let mut handles: Vec<Option<(Sending, bool)>> = Vec::new();
        let (mut written, mut offered) = (Vec::new(), Vec::new());
        let message = |number: usize, weight: usize| {
            let mut payload = vec![0; weight * LEAST_WEIGHT];
            payload[..8].copy_from_slice(&number.to_le_bytes());
            Item::Message(Message::binary(payload).into())
        };
        let drained = steps.into_iter().chain(std::iter::repeat_n(Step::Write, 100));
        for step in drained {
            let number = handles.len();
            match step {
                Step::Policy(overflow) => mailbox.set_overflow(|policy| policy.remote = overflow),
                Step::Offer(weight) => {
                    let taken = try_offer(&mailbox, message(number, weight));
                    handles.push(taken.ok().map(|send| (send, false)));
                    offered.push(number);
                }
                Step::Send(weight) => {
                    let mut send = mailbox.send(message(number, weight));
                    prop_assert!(!poll(&mut send));
                    handles.push(Some((send, true)));
                }
                Step::Write => {
                    if let Some(item) = mailbox.side().take_one() {
                        let Taken::Message(outgoing) = item else {
                            panic!("{item:?} was never put in");
                        };
                        let mut number = [0; 8];
                        number.copy_from_slice(&outgoing.message().as_bytes()[..8]);
                        written.push(usize::from_le_bytes(number));
                        mailbox.side().wrote(mailbox.side().taken());
                    }
                }
            }
            prop_assert!(lock(&mailbox.state).weight <= LIMIT * LEAST_WEIGHT);
            for (number, handle) in handles.iter_mut().enumerate() {
                let Some((send, is_basic)) = handle else { continue };
                match poll_send(send) {
                    Poll::Pending => continue,
                    Poll::Ready(Ok(())) => prop_assert!(written.contains(&number)),
                    Poll::Ready(Err(error)) => {
                        prop_assert_eq!(error, SendError::Full);
                        prop_assert!(!*is_basic && !written.contains(&number));
                    }
                }
                *handle = None;
            }
        }
        prop_assert!(handles.iter().all(Option::is_none), "each handle has its answer in the end");
        written.retain(|number| offered.contains(number));
        prop_assert!(written.is_sorted(), "{written:?}");
        prop_assert_eq!(lock(&mailbox.state).weight, 0);
        prop_assert!(mailbox.look().has_nothing_to_take());
    }
}
