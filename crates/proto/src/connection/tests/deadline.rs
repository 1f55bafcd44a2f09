//! Keep-alive, the close deadline (§7.1.1) and the write deadline, on a clock that the tests turn.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::KeepAlive;

const INTERVAL: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_secs(20);

/// Turns the clock to the next deadline.
pub(super) fn expires(end: &mut End) -> Option<Expired> {
    end.now = end.machine.poll_timeout().unwrap();
    end.machine.handle_timeout(end.now)
}

/// The one Ping that is to be written.
fn ping(end: &mut End) -> Vec<u8> {
    let mut written = end.writes();
    assert_eq!(written.len(), 1);
    let (first, payload) = written.remove(0);
    assert_eq!(first, PING);
    payload
}

// Keep-alive

#[test]
fn a_silent_peer_is_pinged_after_20_seconds_and_dead_20_seconds_later() {
    for role in ROLES {
        let mut end = End::of(role);
        let start = end.now;
        assert_eq!(end.machine.poll_timeout(), Some(start + INTERVAL));
        assert_eq!(expires(&mut end), None);
        ping(&mut end);
        let due = start + INTERVAL + TIMEOUT;
        assert_eq!(end.machine.poll_timeout(), Some(due));
        assert_eq!(expires(&mut end), Some(Expired::PeerDead));
        assert!(end.machine.is_finished());
        assert_eq!(end.close_received(), None, "1006");
        assert_eq!(end.writes(), []);
        assert_eq!(end.machine.poll_timeout(), None);
    }
}

#[test]
fn nothing_happens_before_the_deadline() {
    for role in ROLES {
        let mut end = End::of(role);
        end.waits(INTERVAL - Duration::from_nanos(1));
        assert_eq!(end.machine.handle_timeout(end.now), None);
        assert_eq!(end.writes(), []);
    }
}

#[test]
fn any_byte_shows_that_the_peer_lives() {
    for role in ROLES {
        let mut end = End::with(Config::new(role).assembly_deadline(Duration::MAX), role);
        let payload = end.frame(BINARY, &[7; 200]);
        let mut bytes = payload.iter();
        for _ in 0..100 {
            end.waits(INTERVAL / 2);
            end.reads([*bytes.next().unwrap()]);
            assert_eq!(end.machine.poll_timeout(), Some(end.now + INTERVAL));
        }
        assert_eq!(expires(&mut end), None);
        ping(&mut end);
        end.waits(TIMEOUT - seconds(1));
        end.reads([*bytes.next().unwrap()]);
        assert_eq!(end.machine.poll_timeout(), Some(end.now + INTERVAL));
    }
}

#[test]
fn part_of_a_frame_that_is_shown_again_shows_nothing() {
    for role in ROLES {
        for (first, len) in [(TEXT, 1), (TEXT, 5), (BINARY, 7), (PING, 9)] {
            let mut end = End::of(role);
            let part = end.frame(first, &[b'x'; 20])[..len].to_vec();
            end.waits(INTERVAL / 2);
            end.reads(&part);
            let heard = end.now;
            for _ in 0..2 {
                end.waits(INTERVAL / 4);
                assert_eq!(end.reads([]), []);
                assert_eq!(end.machine.poll_timeout(), Some(heard + INTERVAL));
            }
            assert_eq!(expires(&mut end), None);
            ping(&mut end);
            assert_eq!(end.reads([]), []);
            assert_eq!(expires(&mut end), Some(Expired::PeerDead));
        }
    }
}

#[test]
fn less_than_was_left_before_is_new_once_that_is_taken() {
    let kinds = [
        (Role::Client, PING),
        (Role::Server, PING),
        (Role::Server, BINARY),
    ];
    for (role, first) in kinds {
        let mut end = End::of(role);
        let whole = end.frame(first, &[7; 20]);
        assert_eq!(end.reads(&whole[..5]), []);
        end.waits(INTERVAL / 2);
        assert_eq!(end.reads(&whole[5..]).len(), 1);
        end.waits(INTERVAL / 2);
        end.reads(&whole[..1]);
        assert_eq!(end.machine.poll_timeout(), Some(end.now + INTERVAL));
    }
}

#[test]
fn what_we_send_does_not_show_that_the_peer_lives() {
    let mut end = End::server();
    let due = end.machine.poll_timeout();
    end.waits(INTERVAL / 2);
    end.machine.send_text("Hello", Cause::Push).unwrap();
    end.reads([]);
    assert_eq!(end.machine.poll_timeout(), due);
}

#[test]
fn the_keep_alives_own_pong_is_no_event() {
    for role in ROLES {
        let mut end = End::of(role);
        assert_eq!(expires(&mut end), None);
        let payload = ping(&mut end);
        assert_eq!(end.reads_frame(PONG, &payload), []);
        assert!(end.unread.is_empty());
        assert_eq!(end.machine.poll_timeout(), Some(end.now + INTERVAL));
    }
}

#[test]
fn the_keep_alives_late_pong_is_no_event_either() {
    for role in ROLES {
        let mut end = End::of(role);
        expires(&mut end);
        let first = ping(&mut end);
        end.reads_frame(TEXT, b"the peer lives");
        expires(&mut end);
        let second = ping(&mut end);
        assert_ne!(first, second);
        assert_eq!(end.reads_frame(PONG, &first), []);
        assert_eq!(end.reads_frame(PONG, &second), []);
    }
}

#[test]
fn other_pongs_are_events_while_the_keep_alive_waits_for_its_own() {
    for role in ROLES {
        let mut end = End::of(role);
        expires(&mut end);
        let payload = ping(&mut end);
        let mut next = payload.clone();
        *next.last_mut().unwrap() += 1;
        for other in [b"mine".to_vec(), payload[..7].to_vec(), vec![], next] {
            let seen = end.reads_frame(PONG, &other);
            assert_eq!(seen, [Seen::Pong(other)]);
        }
    }
}

#[test]
fn a_pong_that_looks_like_the_keep_alives_is_an_event_before_any_ping() {
    let mut end = End::server();
    for count in [0, 1] {
        let looks_so = [b's', b'k', b'y', 0, 0, 0, 0, count];
        let none_sent = end.reads_frame(PONG, &looks_so);
        assert_eq!(none_sent, [Seen::Pong(looks_so.to_vec())]);
    }
}

#[test]
fn while_reading_is_paused_the_peers_silence_is_ours() {
    for role in ROLES {
        let mut end = End::of(role);
        end.machine.pause_reading(end.now);
        assert_eq!(end.machine.poll_timeout(), None);
        end.waits(seconds(3600));
        assert_eq!(end.machine.handle_timeout(end.now), None);
        assert_eq!(end.writes(), []);
        end.machine.resume_reading(end.now);
        assert_eq!(end.machine.poll_timeout(), Some(end.now + INTERVAL));
    }
}

#[test]
fn pausing_forgets_the_ping_that_waits_for_its_pong() {
    for role in ROLES {
        let mut end = End::of(role);
        expires(&mut end);
        ping(&mut end);
        end.waits(TIMEOUT - seconds(1));
        end.machine.pause_reading(end.now);
        end.waits(seconds(3600));
        assert_eq!(end.machine.handle_timeout(end.now), None);
        end.machine.resume_reading(end.now);
        assert_eq!(end.machine.poll_timeout(), Some(end.now + INTERVAL));
        assert!(end.machine.can_send());
    }
}

#[test]
fn resuming_what_was_not_paused_changes_nothing() {
    let mut end = End::server();
    let due = end.machine.poll_timeout();
    end.waits(seconds(10));
    end.machine.resume_reading(end.now);
    assert_eq!(end.machine.poll_timeout(), due);
}

#[test]
fn without_keep_alive_an_open_connection_has_no_deadline() {
    for role in ROLES {
        let mut end = End::with(Config::new(role).keep_alive(None), role);
        assert_eq!(end.machine.poll_timeout(), None);
        end.waits(seconds(1_000_000));
        assert_eq!(end.machine.handle_timeout(end.now), None);
        assert_eq!(end.writes(), []);
    }
}

#[test]
fn a_keep_alive_of_ones_own_is_kept() {
    let keep_alive = KeepAlive::new(seconds(3), seconds(2));
    let config = Config::new(Role::Server).keep_alive(keep_alive);
    let mut end = End::with(config, Role::Server);
    let start = end.now;
    assert_eq!(end.machine.poll_timeout(), Some(start + seconds(3)));
    assert_eq!(expires(&mut end), None);
    assert_eq!(end.machine.poll_timeout(), Some(start + seconds(5)));
}

#[test]
fn durations_beyond_the_clock_are_never_over() {
    for role in ROLES {
        let never = KeepAlive::new(Duration::MAX, Duration::MAX);
        let config = Config::new(role)
            .keep_alive(never)
            .assembly_timeout(Duration::MAX)
            .assembly_deadline(Duration::MAX)
            .close_timeout(Duration::MAX)
            .write_timeout(Duration::MAX);
        let mut end = End::with(config, role);
        end.reads_frame(TEXT_STARTS, b"begun");
        assert_eq!(end.machine.poll_timeout(), None);
        end.sends_close(1000, "");
        end.machine.handle_written(0, end.now);
        assert_eq!(end.machine.poll_timeout(), None);
        assert_eq!(end.machine.handle_timeout(end.now), None);
    }
}

// The close deadline

#[test]
fn a_peer_that_does_not_answer_our_close_is_dropped_after_5_seconds() {
    for role in ROLES {
        let mut end = End::of(role);
        end.waits(seconds(1));
        end.sends_close(1000, "");
        assert_eq!(end.machine.poll_timeout(), Some(end.now + seconds(5)));
        end.waits(seconds(4));
        end.reads_frame(TEXT, b"not a Close");
        assert_eq!(end.machine.handle_timeout(end.now), None);
        assert_eq!(expires(&mut end), Some(Expired::CloseTimeout));
        assert!(end.machine.is_finished());
        assert_eq!(end.close_received(), None, "1006");
        assert_eq!(end.machine.poll_timeout(), None);
    }
}

#[test]
fn a_peer_that_answers_but_keeps_the_transport_open_is_dropped_after_5_seconds() {
    for role in ROLES {
        let mut end = End::of(role);
        let close_sent = end.now;
        end.sends_close(1000, "");
        end.waits(seconds(3));
        end.reads(end.close_frame(1000, ""));
        assert_eq!(expires(&mut end), Some(Expired::CloseTimeout));
        assert_eq!(end.now, close_sent + seconds(5));
        assert_eq!(end.close_received(), Some((1000, "")), "it was clean");
    }
}

#[test]
fn a_peer_whose_close_was_answered_is_dropped_5_seconds_after_the_answer() {
    for role in ROLES {
        let mut end = End::of(role);
        end.arrives(end.close_frame(1000, ""));
        end.pull();
        end.waits(seconds(3));
        end.pull();
        assert_eq!(end.machine.poll_timeout(), Some(end.now + seconds(5)));
        assert_eq!(expires(&mut end), Some(Expired::CloseTimeout));
        assert_eq!(end.close_received(), Some((1000, "")));
    }
}

#[test]
fn a_peer_that_broke_a_rule_is_dropped_5_seconds_after_our_close() {
    for role in ROLES {
        let mut end = End::of(role);
        end.reads([0xff]);
        end.pull();
        assert_eq!(end.machine.poll_timeout(), Some(end.now + seconds(5)));
        end.reads([0xff; 1000]);
        assert_eq!(expires(&mut end), Some(Expired::CloseTimeout));
        assert!(end.machine.failure().is_some());
    }
}

#[test]
fn a_failure_behind_our_close_does_not_move_the_close_deadline() {
    for role in ROLES {
        let mut end = End::of(role);
        let due = end.now + seconds(5);
        end.sends_close(1000, "");
        end.waits(seconds(2));
        end.reads([0xff]);
        end.pull();
        assert_eq!(end.machine.poll_timeout(), Some(due));
        assert_eq!(expires(&mut end), Some(Expired::CloseTimeout));
        assert!(end.machine.failure().is_some());
    }
}

#[test]
fn there_is_no_keep_alive_while_closing() {
    for role in ROLES {
        let config = Config::new(role).close_timeout(seconds(3600));
        let mut end = End::with(config, role);
        end.sends_close(1000, "");
        end.writes();
        end.waits(seconds(600));
        assert_eq!(end.machine.handle_timeout(end.now), None);
        assert_eq!(end.writes(), []);
    }
}

// The write deadline

#[test]
fn a_peer_that_takes_no_output_for_30_seconds_is_dropped() {
    for role in ROLES {
        let mut end = End::of(role);
        end.machine.send_binary(&[7; 100], Cause::Push).unwrap();
        end.machine.handle_written(0, end.now);
        let blocked = end.now;
        for _ in 0..29 {
            end.waits(seconds(1));
            end.reads_frame(PONG, b"it sends");
            end.machine.handle_written(0, end.now);
            assert_eq!(end.machine.handle_timeout(end.now), None);
        }
        assert_eq!(end.machine.poll_timeout(), Some(blocked + seconds(30)));
        assert_eq!(expires(&mut end), Some(Expired::WriteStalled));
        assert!(end.machine.is_finished());
        assert_eq!(end.machine.poll_timeout(), None);
    }
}

#[test]
fn a_peer_that_takes_some_output_now_and_then_is_kept() {
    for role in ROLES {
        let mut end = End::with(Config::new(role).keep_alive(None), role);
        end.machine.send_binary(&[7; 100], Cause::Push).unwrap();
        end.machine.handle_written(0, end.now);
        for _ in 0..50 {
            end.waits(seconds(29));
            end.machine.handle_written(1, end.now);
            assert_eq!(end.machine.handle_timeout(end.now), None);
            assert_eq!(end.machine.poll_timeout(), Some(end.now + seconds(30)));
        }
        let rest = end.machine.output().remaining();
        end.machine.handle_written(rest, end.now);
        assert_eq!(end.machine.poll_timeout(), None);
    }
}

#[test]
fn whichever_deadline_is_first_is_due() {
    for role in ROLES {
        let mut end = End::of(role);
        end.machine.send_text("Hello", Cause::Push).unwrap();
        end.machine.handle_written(0, end.now);
        end.waits(seconds(27));
        end.sends_close(1000, "");
        assert_eq!(end.machine.poll_timeout(), Some(end.now + seconds(3)));
        assert_eq!(expires(&mut end), Some(Expired::WriteStalled));
        assert_eq!(end.machine.poll_timeout(), None);
    }
}

#[test]
fn only_what_ends_the_connection_expires_it() {
    for role in ROLES {
        let mut end = End::of(role);
        end.waits(seconds(20));
        assert!(!end.machine.expires_by(end.now), "a Ping is due");
        assert_eq!(end.machine.handle_timeout(end.now), None);
        end.waits(seconds(20));
        assert!(end.machine.expires_by(end.now), "its Pong is late");
        end.reads_frame(PONG, b"any");
        assert!(!end.machine.expires_by(end.now));
    }
}

// Timers

/// A step that may change the time of the next deadline.
#[derive(Clone, Copy, Debug)]
enum Step {
    Waits(u64),
    Reads(u8),
    ReadsPartOfAFrame,
    Sends,
    Writes(usize),
    Pauses,
    Resumes,
    Closes,
    LooksAtTheTime,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..30_u64).prop_map(Step::Waits),
        prop_oneof![
            Just(TEXT),
            Just(TEXT_STARTS),
            Just(GOES_ON),
            Just(ENDS),
            Just(PING),
            Just(PONG),
            Just(CLOSE)
        ]
        .prop_map(Step::Reads),
        Just(Step::ReadsPartOfAFrame),
        Just(Step::Sends),
        (0..40_usize).prop_map(Step::Writes),
        Just(Step::Pauses),
        Just(Step::Resumes),
        Just(Step::Closes),
        Just(Step::LooksAtTheTime),
    ]
}

impl Step {
    fn happens(self, end: &mut End) {
        match self {
            Self::Waits(time) => end.waits(seconds(time)),
            Self::Reads(first) => drop(end.reads_frame(first, b"")),
            Self::ReadsPartOfAFrame => {
                let frame = end.frame(PONG, b"Hello");
                end.reads(&frame[..3]);
                end.waits(seconds(1));
                end.reads(&frame[3..]);
            }
            Self::Sends => drop(end.machine.send_text("Hello", Cause::Push)),
            Self::Writes(most) => {
                let len = end.machine.output().remaining().min(most);
                end.machine.handle_written(len, end.now);
            }
            Self::Pauses => end.machine.pause_reading(end.now),
            Self::Resumes => end.machine.resume_reading(end.now),
            Self::Closes => drop(end.machine.send_close(&close_reason(1000, ""), end.now)),
            Self::LooksAtTheTime => drop(end.machine.handle_timeout(end.now)),
        }
    }
}

proptest! {
    #[test]
    fn a_timer_is_early_enough_until_it_is_told_that_a_deadline_came_nearer(
        role in prop_oneof![Just(Role::Client), Just(Role::Server)],
        interval in 1..60_u64,
        timeout in 1..60_u64,
        assembly in 1..60_u64,
        write in 1..60_u64,
        steps in vec(step(), 1..60),
    ) {
        let config = Config::new(role)
            .keep_alive(KeepAlive::new(seconds(interval), seconds(timeout)))
            .assembly_timeout(seconds(assembly))
            .write_timeout(seconds(write));
        let mut end = End::with(config, role);
        prop_assert!(end.machine.timeout_came_nearer(), "no timer is set");
        let mut timer = end.machine.poll_timeout();
        for step in steps {
            step.happens(&mut end);
            let due = end.machine.poll_timeout();
            let fired = timer.is_some_and(|timer| timer <= end.now);
            if end.machine.timeout_came_nearer() || fired {
                timer = due;
            }
            let is_early = due.is_none_or(|due| timer.is_some_and(|timer| timer <= due));
            prop_assert!(is_early, "{due:?} is before {timer:?} after {step:?}");
        }
    }
}

#[test]
fn what_only_postpones_a_deadline_is_not_told() {
    for role in ROLES {
        let mut end = End::of(role);
        assert!(end.machine.timeout_came_nearer());
        for first in [TEXT, BINARY, PING, PONG] {
            end.waits(seconds(1));
            end.reads_frame(first, b"Hello");
            end.machine.send_text("Hello", Cause::Input).unwrap();
            let all = end.machine.output().remaining();
            end.machine.handle_written(all, end.now);
            assert!(!end.machine.timeout_came_nearer());
        }
    }
}
