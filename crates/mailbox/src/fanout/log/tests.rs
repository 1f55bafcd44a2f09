//! The log in one thread: what each seat reads, whatever the others do.

use proptest::prelude::*;

use super::*;

fn seats(many: usize) -> (Arc<Log>, Vec<Seat>) {
    let log = Arc::new(Log::default());
    let seats = (0..many).map(|index| log.seat(index)).collect();
    (log, seats)
}

fn text(text: &str) -> PreparedMessage {
    PreparedMessage::new(text)
}

fn frame(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    PreparedMessage::new(text).write_frame(&mut frame);
    frame
}

/// What a seat reads at once; `None` where there is nothing. Says whether it has read all.
fn read(seat: &Seat, room: usize) -> (Vec<u8>, bool) {
    let (mut frames, mut all) = (Vec::new(), false);
    let any = seat.read(
        room,
        || false,
        |read| frames.extend_from_slice(read),
        || all = true,
    );
    assert_eq!(any, !frames.is_empty());
    (frames, all)
}

/// As [`read`], of frames that are copied out.
fn copy(seat: &Seat, room: usize, copied: &mut Copied) -> (Vec<u8>, bool) {
    let mut all = false;
    let frames = seat.copy(room, copied, || all = true);
    (frames.unwrap_or_default().to_vec(), all)
}

fn texts(messages: &[PreparedMessage]) -> Vec<&str> {
    let texts = messages.iter().map(|message| message.message().as_text());
    texts.map(Option::unwrap).collect()
}

#[test]
fn each_seat_reads_all_from_when_it_sat_down_on() {
    let (log, seats) = seats(2);
    seats[0].sit();
    assert_eq!(log.push(&text("a")), Pushed::Kept(0));
    seats[1].sit();
    assert_eq!(log.push(&text("b")), Pushed::Kept(1));
    assert_eq!(
        read(&seats[0], 1000),
        ([frame("a"), frame("b")].concat(), true)
    );
    assert_eq!(read(&seats[1], 1000), (frame("b"), true));
    assert_eq!(read(&seats[1], 1000), (vec![], true));
}

#[test]
fn readers_are_told_once_until_one_of_them_does_something() {
    let something: [fn(&Seat); 6] = [
        |seat| drop(read(seat, 1000)),
        |seat| drop(copy(seat, 1000, &mut Copied::default())),
        |seat| seat.catch_up(drop),
        |seat| assert!(seat.pass_over(0, drop)),
        |seat| seat.leave(&mut (), |(), message| drop(message), |()| {}),
        |seat| seat.log.seat(2).sit(),
    ];
    for something in something {
        let (log, all) = seats(2);
        all.iter().for_each(Seat::sit);
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

        let (log, all) = seats(2);
        all.iter().for_each(Seat::sit);
        assert_eq!(log.push(&text("a")), Pushed::Kept(0));
        something(&all[0]);
        log.notified(2);
        assert_eq!(log.push(&text("b")), Pushed::Kept(1), "as they were told");
    }
}

#[test]
fn a_read_ends_with_the_message_that_fills_the_room() {
    let (log, seats) = seats(1);
    seats[0].sit();
    for message in ["a", "b", "c"] {
        log.push(&text(message));
    }
    // A frame has three bytes.
    let two = [frame("a"), frame("b")].concat();
    assert_eq!(read(&seats[0], 4), (two, false));
    assert_eq!(read(&seats[0], 3), (frame("c"), true));
}

#[test]
fn those_who_read_the_same_share_a_copy() {
    let (log, seats) = seats(4);
    seats.iter().for_each(Seat::sit);
    let mut copied = Copied::default();
    log.push(&text("a"));
    assert_eq!(copy(&seats[0], 9, &mut copied), (frame("a"), true));
    let first = copied.frames().as_ptr();
    assert_eq!(copy(&seats[1], 9, &mut copied), (frame("a"), true));
    assert_eq!(copied.frames().as_ptr(), first);
    log.push(&text("b"));
    let both = [frame("a"), frame("b")].concat();
    assert_eq!(copy(&seats[2], 9, &mut copied), (both.clone(), true));
    assert_eq!(copy(&seats[0], 9, &mut copied), (frame("b"), true));
    assert_eq!(copy(&seats[3], 1, &mut copied), (frame("a"), false));
    assert_eq!(copy(&seats[3], 1, &mut copied), (frame("b"), true));
    assert_eq!(copy(&seats[3], 1, &mut copied), (vec![], true));
}

#[test]
fn nothing_is_read_where_others_come_first() {
    let (log, seats) = seats(1);
    seats[0].sit();
    log.push(&text("a"));
    let any = seats[0].read(9, || true, |_| panic!("read"), || panic!("read all"));
    assert!(!any);
    assert_eq!(read(&seats[0], 9), (frame("a"), true));
}

#[test]
fn what_is_larger_than_the_bound_is_not_kept() {
    let (log, seats) = seats(1);
    let largest = "x".repeat(Log::MAX_MESSAGE);
    assert_eq!(log.push(&text(&largest)), Pushed::Unfit, "no seat is taken");
    seats[0].sit();
    assert_eq!(log.push(&text(&largest)), Pushed::Kept(0));
    assert_eq!(log.push(&text(&(largest + "x"))), Pushed::Unfit);
}

#[test]
fn a_full_log_names_the_slowest_and_takes_more_when_they_have_caught_up() {
    let (log, seats) = seats(3);
    seats.iter().for_each(Seat::sit);
    let message = "x".repeat(Log::MAX_MESSAGE);
    let many = Log::LIMIT / Log::MAX_MESSAGE;
    for _ in 0..many {
        assert!(matches!(log.push(&text(&message)), Pushed::Kept(_)));
        read(&seats[1], usize::MAX);
    }
    assert_eq!(log.push(&text("")), Pushed::Full(vec![0, 2]));
    let mut caught = Vec::new();
    seats[0].catch_up(|message| caught.push(message));
    assert_eq!(caught.len(), many);
    assert_eq!(log.push(&text("")), Pushed::Full(vec![2]));
    seats[2].leave(&mut (), |(), _| {}, |()| {});
    assert_eq!(log.push(&text("")), Pushed::Kept(many as u64));
    assert_eq!(lock(&log.0).messages.len(), 1, "the rest is forgotten");
}

#[test]
fn a_message_that_is_passed_over_is_not_read_and_those_before_it_are_taken_out() {
    let (log, seats) = seats(1);
    seats[0].sit();
    for message in ["a", "b", "c"] {
        log.push(&text(message));
    }
    let mut taken = Vec::new();
    assert!(seats[0].pass_over(1, |message| taken.push(message)));
    assert_eq!(texts(&taken), ["a"]);
    assert_eq!(read(&seats[0], 9), (frame("c"), true));
    assert!(!seats[0].pass_over(2, |_| panic!("it is read already")));
}

#[test]
fn a_vacant_seat_is_in_nobodys_way() {
    let (log, seats) = seats(2);
    seats.iter().for_each(Seat::sit);
    log.push(&text("a"));
    seats[0].leave(&mut (), |(), _| {}, |()| {});
    assert_eq!(read(&seats[0], 9), (vec![], true));
    assert_eq!(read(&seats[1], 9), (frame("a"), true));
    assert_eq!(lock(&log.0).frames, b"");
    seats[0].sit();
    log.push(&text("b"));
    assert_eq!(read(&seats[0], 9), (frame("b"), true));
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Read(usize, usize),
    Copy(usize, usize),
    CatchUp(usize),
    Leave(usize),
    Sit(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let seat = || 0..3_usize;
    prop_oneof![
        4 => (0..Log::MAX_MESSAGE).prop_map(Step::Push),
        4 => (seat(), 0..20_000_usize).prop_map(|(seat, room)| Step::Read(seat, room)),
        4 => (seat(), 0..20_000_usize).prop_map(|(seat, room)| Step::Copy(seat, room)),
        1 => seat().prop_map(Step::CatchUp),
        1 => seat().prop_map(Step::Leave),
        2 => seat().prop_map(Step::Sit),
    ]
}

proptest! {
    #[test]
    fn each_seat_gets_each_message_once_and_in_order(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let (log, seats) = seats(3);
        // What each who sits has still to get.
        let mut expected: Vec<Option<Vec<u8>>> = vec![None; 3];
        let mut copied = Copied::default();
        for (i, step) in steps.into_iter().enumerate() {
            let mut out_of_log = Vec::new();
            match step {
                Step::Push(len) => {
                    let message = PreparedMessage::new(vec![u8::try_from(i).unwrap(); len]);
                    while let Pushed::Full(slow) = log.push(&message) {
                        prop_assert!(!slow.is_empty());
                        for seat in slow {
                            let mut frames = Vec::new();
                            seats[seat].catch_up(|message| message.write_frame(&mut frames));
                            let all = expected[seat].take().unwrap();
                            prop_assert_eq!(&frames, &all);
                            expected[seat] = Some(Vec::new());
                        }
                    }
                    for expected in expected.iter_mut().flatten() {
                        message.write_frame(expected);
                    }
                }
                Step::Read(seat, room) | Step::Copy(seat, room) => {
                    let (frames, all) = match step {
                        Step::Read(..) => read(&seats[seat], room),
                        _ => copy(&seats[seat], room, &mut copied),
                    };
                    let left = expected[seat].clone().unwrap_or_default();
                    prop_assert!(left.starts_with(&frames));
                    prop_assert_eq!(all, left.len() == frames.len());
                    prop_assert_eq!(frames.is_empty(), left.is_empty());
                    if let Some(expected) = &mut expected[seat] {
                        expected.drain(..frames.len());
                    }
                }
                Step::CatchUp(seat) => {
                    seats[seat].catch_up(|message| message.write_frame(&mut out_of_log));
                    let all = expected[seat].as_mut().map(std::mem::take);
                    prop_assert_eq!(out_of_log, all.unwrap_or_default());
                }
                Step::Leave(seat) => {
                    seats[seat].leave(&mut (), |(), _| {}, |()| {});
                    expected[seat] = None;
                }
                Step::Sit(seat) if expected[seat].is_none() => {
                    seats[seat].sit();
                    expected[seat] = Some(Vec::new());
                }
                Step::Sit(_) => {}
            }
            let state = lock(&log.0);
            prop_assert!(state.weight <= Log::LIMIT);
            let needed = expected.iter().flatten().map(Vec::len).max().unwrap_or(0);
            prop_assert!(state.frames.len() <= 2 * needed.max(1) + Log::MAX_MESSAGE, "{}", state.frames.len());
        }
    }
}
