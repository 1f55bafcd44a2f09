//! The log in one thread: what each member reads, whatever the others do.

use proptest::prelude::*;

use super::*;
use crate::fanout::unread::LEAST_WEIGHT;

fn members(many: u32) -> (Arc<Log>, Vec<Subscription>) {
    let log = Arc::new(Log::default());
    let members = (0..many).map(|index| log.subscription(index)).collect();
    (log, members)
}

fn text(text: &str) -> PreparedMessage {
    PreparedMessage::new(text)
}

fn frame(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    PreparedMessage::new(text).write_frame(&mut frame);
    frame
}

/// What a member reads at once; `None` where there is nothing. Says whether it has read all.
fn read(member: &Subscription, room: usize) -> (Vec<u8>, bool) {
    let (mut frames, mut all) = (Vec::new(), false);
    let any = member.read(
        room,
        || false,
        |read| frames.extend_from_slice(read),
        || all = true,
    );
    assert_eq!(any, !frames.is_empty());
    (frames, all)
}

/// As [`read`], of frames that are copied out.
fn copy(member: &Subscription, room: usize, copied: &mut Copied) -> (Vec<u8>, bool) {
    let mut all = false;
    let frames = member.copy(room, copied, || all = true);
    (frames.unwrap_or_default().to_vec(), all)
}

fn texts(messages: &[PreparedMessage]) -> Vec<&str> {
    let texts = messages.iter().map(|message| message.message().as_text());
    texts.map(Option::unwrap).collect()
}

#[test]
fn each_member_reads_all_from_its_beginning_on() {
    let (log, members) = members(2);
    members[0].begin();
    assert_eq!(log.push(&text("a")), Pushed::Kept(0));
    members[1].begin();
    assert_eq!(log.push(&text("b")), Pushed::Kept(1));
    assert_eq!(
        read(&members[0], 1000),
        ([frame("a"), frame("b")].concat(), true)
    );
    assert_eq!(read(&members[1], 1000), (frame("b"), true));
    assert_eq!(read(&members[1], 1000), (vec![], true));
}

#[test]
fn readers_are_told_once_until_one_of_them_does_something() {
    let something: [fn(&Subscription); 6] = [
        |member| drop(read(member, 1000)),
        |member| drop(copy(member, 1000, &mut Copied::default())),
        |member| member.catch_up(drop, || {}),
        |member| assert!(member.pass_over(0, |_| false, drop)),
        |member| member.end(drop, || {}),
        |member| member.log.subscription(2).begin(),
    ];
    for something in something {
        let (log, all) = members(2);
        all.iter().for_each(Subscription::begin);
        assert_eq!(log.push(&text("a")), Pushed::Kept(0));
        assert_eq!(
            log.push(&text("b")),
            Pushed::Kept(1),
            "not all were notified"
        );
        log.notified(2);
        assert_eq!(log.push(&text("c")), Pushed::Known(2));
        assert_eq!(log.push(&text("d")), Pushed::Known(2));
        something(&all[0]);
        assert_eq!(log.push(&text("e")), Pushed::Kept(4));

        let (log, all) = members(2);
        all.iter().for_each(Subscription::begin);
        assert_eq!(log.push(&text("a")), Pushed::Kept(0));
        something(&all[0]);
        log.notified(2);
        assert_eq!(log.push(&text("b")), Pushed::Kept(1), "as they were told");
    }
}

#[test]
fn a_read_ends_with_the_message_that_fills_the_room() {
    let (log, members) = members(1);
    members[0].begin();
    for message in ["a", "b", "c"] {
        log.push(&text(message));
    }
    // A frame has three bytes.
    let two = [frame("a"), frame("b")].concat();
    assert_eq!(read(&members[0], 4), (two, false));
    assert_eq!(read(&members[0], 3), (frame("c"), true));
}

#[test]
fn those_who_read_the_same_share_a_copy() {
    let (log, members) = members(4);
    members.iter().for_each(Subscription::begin);
    let mut copied = Copied::default();
    log.push(&text("a"));
    assert_eq!(copy(&members[0], 9, &mut copied), (frame("a"), true));
    let first = copied.frames().as_ptr();
    assert_eq!(copy(&members[1], 9, &mut copied), (frame("a"), true));
    assert_eq!(copied.frames().as_ptr(), first);
    log.push(&text("b"));
    let both = [frame("a"), frame("b")].concat();
    assert_eq!(copy(&members[2], 9, &mut copied), (both.clone(), true));
    assert_eq!(copy(&members[0], 9, &mut copied), (frame("b"), true));
    assert_eq!(copy(&members[3], 1, &mut copied), (frame("a"), false));
    assert_eq!(copy(&members[3], 1, &mut copied), (frame("b"), true));
    assert_eq!(copy(&members[3], 1, &mut copied), (vec![], true));
}

#[test]
fn nothing_is_read_where_others_come_first() {
    let (log, members) = members(1);
    members[0].begin();
    log.push(&text("a"));
    let any = members[0].read(9, || true, |_| panic!("read"), || panic!("read all"));
    assert!(!any);
    assert_eq!(read(&members[0], 9), (frame("a"), true));
}

#[test]
fn what_is_larger_than_the_bound_is_not_kept() {
    let (log, members) = members(1);
    let largest = "x".repeat(Log::MAX_MESSAGE);
    assert_eq!(
        log.push(&text(&largest)),
        Pushed::Unfit,
        "no member is taken"
    );
    members[0].begin();
    assert_eq!(log.push(&text(&largest)), Pushed::Kept(0));
    assert_eq!(log.push(&text(&(largest + "x"))), Pushed::Unfit);
}

#[test]
fn a_full_log_names_the_slowest_and_takes_more_when_they_have_caught_up() {
    let (log, members) = members(3);
    members.iter().for_each(Subscription::begin);
    let message = "x".repeat(Log::MAX_MESSAGE);
    let many = LOG_LIMIT / Log::MAX_MESSAGE;
    for _ in 0..many {
        assert!(matches!(log.push(&text(&message)), Pushed::Kept(_)));
        read(&members[1], usize::MAX);
    }
    assert_eq!(log.push(&text("")), Pushed::Full(vec![0, 2]));
    let mut caught = Vec::new();
    members[0].catch_up(|message| caught.push(message), || {});
    assert_eq!(caught.len(), many);
    assert_eq!(log.push(&text("")), Pushed::Full(vec![2]));
    members[2].end(drop, || {});
    assert_eq!(log.push(&text("")), Pushed::Kept(many as u64));
    let state = lock(&log.state);
    let unread = state.unread.as_ref().unwrap();
    assert_eq!(unread.len(), 1, "the rest is forgotten");
}

#[test]
fn a_message_that_is_passed_over_is_not_read_and_those_before_it_are_taken_out() {
    let (log, members) = members(1);
    members[0].begin();
    for message in ["a", "b", "c"] {
        log.push(&text(message));
    }
    let mut taken = Vec::new();
    let none = |_| panic!("there is room");
    assert!(!members[0].pass_over(1, |weight| weight == LEAST_WEIGHT, none));
    assert!(members[0].pass_over(
        1,
        |weight| weight > LEAST_WEIGHT,
        |message| taken.push(message)
    ));
    assert_eq!(texts(&taken), ["a"]);
    assert_eq!(read(&members[0], 9), (frame("c"), true));
    assert!(!members[0].pass_over(2, |_| false, |_| panic!("it is read already")));
}

#[test]
fn a_member_that_left_keeps_no_message() {
    let (log, members) = members(2);
    members.iter().for_each(Subscription::begin);
    log.push(&text("a"));
    members[0].end(drop, || {});
    assert_eq!(read(&members[0], 9), (vec![], true));
    assert_eq!(read(&members[1], 9), (frame("a"), true));
    assert!(lock(&log.state).unread.is_none());
    members[0].begin();
    log.push(&text("b"));
    assert_eq!(read(&members[0], 9), (frame("b"), true));
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Read(usize, usize),
    Copy(usize, usize),
    CatchUp(usize),
    Leave(usize),
    Begin(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let member = || 0..3_usize;
    prop_oneof![
        4 => (0..Log::MAX_MESSAGE).prop_map(Step::Push),
        4 => (member(), 0..20_000_usize).prop_map(|(member, room)| Step::Read(member, room)),
        4 => (member(), 0..20_000_usize).prop_map(|(member, room)| Step::Copy(member, room)),
        1 => member().prop_map(Step::CatchUp),
        1 => member().prop_map(Step::Leave),
        2 => member().prop_map(Step::Begin),
    ]
}

proptest! {
    #[test]
    fn each_member_gets_each_message_once_and_in_order(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let (log, members) = members(3);
        // What each member has still to get.
        let mut expected: Vec<Option<Vec<u8>>> = vec![None; 3];
        let mut copied = Copied::default();
        for (i, step) in steps.into_iter().enumerate() {
            let mut out_of_log = Vec::new();
            match step {
                Step::Push(len) => {
                    let message = PreparedMessage::new(vec![u8::try_from(i).unwrap(); len]);
                    while let Pushed::Full(slow) = log.push(&message) {
                        prop_assert!(!slow.is_empty());
                        let slow = slow.into_iter().map(|member| member as usize);
                        // There may be free numbers among them.
                        for member in slow.filter(|member| expected[*member].is_some()).collect::<Vec<_>>() {
                            let mut frames = Vec::new();
                            members[member].catch_up(|message| message.write_frame(&mut frames), || {});
                            let all = expected[member].take().unwrap();
                            prop_assert_eq!(&frames, &all);
                            expected[member] = Some(Vec::new());
                        }
                    }
                    for expected in expected.iter_mut().flatten() {
                        message.write_frame(expected);
                    }
                }
                // Only a member reads.
                Step::Read(member, _)
                | Step::Copy(member, _)
                | Step::CatchUp(member)
                | Step::Leave(member)
                    if expected[member].is_none() => {}
                Step::Read(member, room) | Step::Copy(member, room) => {
                    let (frames, all) = match step {
                        Step::Read(..) => read(&members[member], room),
                        _ => copy(&members[member], room, &mut copied),
                    };
                    let left = expected[member].clone().unwrap_or_default();
                    prop_assert!(left.starts_with(&frames));
                    prop_assert_eq!(all, left.len() == frames.len());
                    prop_assert_eq!(frames.is_empty(), left.is_empty());
                    if let Some(expected) = &mut expected[member] {
                        expected.drain(..frames.len());
                    }
                }
                Step::CatchUp(member) => {
                    members[member].catch_up(|message| message.write_frame(&mut out_of_log), || {});
                    let all = expected[member].as_mut().map(std::mem::take);
                    prop_assert_eq!(out_of_log, all.unwrap_or_default());
                }
                Step::Leave(member) => {
                    members[member].end(drop, || {});
                    expected[member] = None;
                }
                Step::Begin(member) if expected[member].is_none() => {
                    members[member].begin();
                    expected[member] = Some(Vec::new());
                }
                Step::Begin(_) => {}
            }
            let state = lock(&log.state);
            let needed = expected.iter().flatten().map(Vec::len).max().unwrap_or(0);
            prop_assert_eq!(state.unread.is_some(), needed > 0);
            if let Some(unread) = &state.unread {
                prop_assert!(unread.weight() <= LOG_LIMIT);
                prop_assert!(unread.framed() <= 2 * needed + Log::MAX_MESSAGE, "{}", unread.framed());
            }
        }
    }
}
