//! The deadlines of a message's assembly (§10.4), on a clock that the tests turn.

use super::deadline::expires;
use super::*;

const ASSEMBLY: Duration = Duration::from_secs(120);

/// An end without another deadline.
fn unhurried(role: Role) -> End {
    End::with(Config::new(role).keep_alive(None), role)
}

fn stalled() -> ProtocolError {
    ProtocolError::MessageStalled { limit: ASSEMBLY }
}

#[test]
fn a_message_that_does_not_go_on_for_120_seconds_fails_the_connection() {
    for role in ROLES {
        let begun = [
            ("one byte of a header", vec![BINARY]),
            ("a header", header(BINARY, 1000, unhurried(role).peer_key())),
            ("a part of the payload", {
                let mut bytes = unhurried(role).frame(BINARY, &[7; 1000]);
                bytes.pop();
                bytes
            }),
            ("a fragment", unhurried(role).frame(TEXT_STARTS, b"begun")),
            ("one byte of a Ping", vec![PING]),
        ];
        for (what, bytes) in begun {
            let mut end = unhurried(role);
            end.reads(bytes);
            let start = end.now;
            end.waits(ASSEMBLY - Duration::from_nanos(1));
            assert_eq!(end.machine.handle_timeout(end.now), None, "{what}");
            assert_eq!(end.machine.poll_timeout(), Some(start + ASSEMBLY), "{what}");
            let failed = Some(Expired::Failed(stalled()));
            assert_eq!(expires(&mut end), failed, "{what}");

            // As after any broken rule: one Close, and nothing is delivered later.
            assert_eq!(end.machine.failure(), Some(stalled()));
            assert_eq!(stalled().section(), "RFC 6455 §10.4");
            assert_eq!(end.machine.poll_timeout(), Some(end.now + seconds(5)));
            assert_eq!(end.reads_frame(TEXT, b"late"), []);
            assert!(end.unread.is_empty());
            let reason = "message without progress for 120s";
            assert_eq!(end.writes(), [(CLOSE, close_body(1008, reason))], "{what}");
            assert_eq!(end.machine.handle_timeout(end.now), None);
        }
    }
}

#[test]
fn each_byte_of_the_payload_gives_a_message_120_seconds_more() {
    for role in ROLES {
        let mut end = End::with(
            Config::new(role)
                .keep_alive(None)
                .assembly_deadline(Duration::MAX),
            role,
        );
        let message = end.frame(BINARY, &[7; 50]);
        let payload_from = message.len() - 50;
        end.reads(&message[..payload_from]);
        for byte in &message[payload_from..] {
            end.waits(ASSEMBLY - seconds(1));
            assert_eq!(end.machine.handle_timeout(end.now), None);
            end.reads([*byte]);
        }
        assert_eq!(end.machine.poll_timeout(), None, "it is complete");
        end.waits(10 * ASSEMBLY);
        assert_eq!(end.reads_frame(TEXT, b"next"), [text("next")]);
    }
}

#[test]
fn what_brings_no_payload_gives_a_message_no_time() {
    for role in ROLES {
        let mut end = unhurried(role);
        end.reads_frame(BINARY_STARTS, &[7; 10]);
        let due = end.now + ASSEMBLY;
        for _ in 0..3 {
            end.waits(seconds(30));
            end.reads_frame(GOES_ON, b"");
            end.reads_frame(PING, b"p");
            end.reads_frame(PONG, b"");
            end.machine.send_text("ours", Cause::Push).unwrap();
            assert_eq!(end.machine.poll_timeout(), Some(due));
        }
        end.reads(&header(ENDS, 10, end.peer_key())[..1]);
        assert_eq!(end.machine.poll_timeout(), Some(due));
        end.waits(seconds(30));
        assert_eq!(expires(&mut end), Some(Expired::Failed(stalled())));
    }
}

#[test]
fn a_frame_that_begins_behind_others_has_120_seconds_of_its_own() {
    for role in ROLES {
        let mut end = unhurried(role);
        end.reads_frame(BINARY_STARTS, b"a");
        end.waits(seconds(100));
        let mut bytes = end.frame(ENDS, b"b");
        bytes.extend(end.frame(PING, b"p"));
        bytes.push(TEXT);
        end.reads(bytes);
        assert_eq!(end.machine.poll_timeout(), Some(end.now + ASSEMBLY));
    }
}

#[test]
fn a_compressed_message_is_given_time_by_what_comes_of_it_too() {
    let mut end = unhurried(Role::Client);
    let params = DeflateParams::default();
    let (config, pool) = (DeflateConfig::default(), DeflatePool::default());
    end.machine = end.machine.with_deflate(params, &config, pool);
    // Of "Hello", compressed: the first bytes make nothing yet.
    for byte in frame(0xc1, &hex("f2 48 cd c9 c9 07 00"), None) {
        end.waits(seconds(59));
        assert_eq!(end.machine.handle_timeout(end.now), None);
        end.arrives([byte]);
        let mut more = true;
        while more {
            let mut input = &mut end.unread[..];
            let mut room = [0; 100];
            let event = end
                .machine
                .receive_inflating(&mut input, &mut room, end.now);
            more = event.unwrap().is_some();
            end.unread = input.to_vec();
        }
    }
    assert_eq!(end.machine.poll_timeout(), None, "it is complete");
}

#[test]
fn while_reading_is_paused_a_message_that_does_not_go_on_is_ours() {
    for role in ROLES {
        let mut end = unhurried(role);
        end.reads_frame(TEXT_STARTS, b"begun");
        end.waits(seconds(100));
        end.machine.pause_reading(end.now);
        end.waits(10 * ASSEMBLY);
        assert_eq!(end.machine.poll_timeout(), None);
        assert_eq!(end.machine.handle_timeout(end.now), None);
        end.machine.resume_reading(end.now);
        let left = ASSEMBLY - seconds(100);
        assert_eq!(end.machine.poll_timeout(), Some(end.now + left));
        assert_eq!(expires(&mut end), Some(Expired::Failed(stalled())));
    }
}

#[test]
fn who_is_read_by_fits_and_starts_has_no_longer_for_its_message() {
    for role in ROLES {
        let mut end = unhurried(role);
        end.reads_frame(TEXT_STARTS, b"begun");
        let mut read = seconds(0);
        while read + seconds(7) < ASSEMBLY {
            // A Pong is no progress.
            end.reads_frame(PONG, b"");
            end.machine.pause_reading(end.now);
            end.waits(seconds(50));
            end.machine.resume_reading(end.now);
            end.waits(seconds(7));
            read += seconds(7);
            assert_eq!(end.machine.handle_timeout(end.now), None);
        }
        assert_eq!(end.machine.poll_timeout(), Some(end.now + ASSEMBLY - read));
        end.reads_frame(GOES_ON, b"!");
        end.machine.pause_reading(end.now);
        end.machine.resume_reading(end.now);
        assert_eq!(end.machine.poll_timeout(), Some(end.now + ASSEMBLY));
    }
}

#[test]
fn behind_our_close_the_close_deadline_is_the_only_one() {
    for role in ROLES {
        let mut end = End::with(
            Config::new(role)
                .keep_alive(None)
                .close_timeout(seconds(600)),
            role,
        );
        end.reads_frame(TEXT_STARTS, b"begun");
        end.sends_close(1000, "");
        end.waits(seconds(300));
        assert_eq!(end.machine.handle_timeout(end.now), None);
        assert_eq!(end.reads_frame(ENDS, b"!"), [chunk(b"!"), Seen::End]);
    }
}

#[test]
fn an_assembly_timeout_of_ones_own_is_kept() {
    let config = Config::new(Role::Server).assembly_timeout(seconds(3));
    let mut end = End::with(config, Role::Server);
    end.reads_frame(TEXT_STARTS, b"begun");
    assert_eq!(end.machine.poll_timeout(), Some(end.now + seconds(3)));
    let failed = ProtocolError::MessageStalled { limit: seconds(3) };
    assert_eq!(expires(&mut end), Some(Expired::Failed(failed)));
}

/// Brings a byte of the message each second, for `time` seconds.
fn trickles(end: &mut End, time: u64) {
    for _ in 0..time {
        end.waits(seconds(1));
        end.reads_frame(GOES_ON, b"x");
        assert_eq!(end.machine.handle_timeout(end.now), None);
    }
}

fn trickling(role: Role) -> End {
    End::with(Config::new(role).keep_alive(None), role)
}

#[test]
fn a_message_that_comes_steadily_has_10_minutes_from_its_first_byte() {
    let failed = Expired::Failed(ProtocolError::MessageTooSlow {
        limit: seconds(600),
    });
    for role in ROLES {
        let mut end = trickling(role);
        end.reads_frame(TEXT_STARTS, b"begun");
        trickles(&mut end, 599);
        assert_eq!(end.machine.poll_timeout(), Some(end.now + seconds(1)));
        assert!(!end.machine.expires_by(end.now));
        end.waits(seconds(1));
        assert!(end.machine.expires_by(end.now));
        assert_eq!(end.machine.handle_timeout(end.now), Some(failed));
        // One that is complete by then passes, and the next one has as long.
        let mut end = trickling(role);
        end.reads_frame(TEXT_STARTS, b"begun");
        trickles(&mut end, 599);
        end.reads_frame(ENDS, b"!");
        end.reads_frame(TEXT_STARTS, b"another");
        trickles(&mut end, 599);
    }
}

#[test]
fn a_deadline_of_ones_own_for_whole_messages_is_kept_and_may_be_waived_for_one() {
    for role in ROLES {
        let config = Config::new(role).keep_alive(None);
        let mut end = End::with(config.assembly_deadline(seconds(7)), role);
        end.reads_frame(TEXT_STARTS, b"handed on in parts");
        end.machine.waive_assembly_deadline();
        trickles(&mut end, 100);
        end.reads_frame(ENDS, b"!");
        end.reads_frame(TEXT_STARTS, b"assembled");
        assert_eq!(end.machine.poll_timeout(), Some(end.now + seconds(7)));
    }
}

#[test]
fn time_in_which_the_caller_does_not_read_is_not_the_messages() {
    for role in ROLES {
        let mut end = trickling(role);
        end.reads_frame(TEXT_STARTS, b"begun");
        trickles(&mut end, 500);
        end.machine.pause_reading(end.now);
        end.waits(seconds(1000));
        assert_eq!(end.machine.handle_timeout(end.now), None);
        end.machine.resume_reading(end.now);
        trickles(&mut end, 99);
        assert_eq!(end.machine.poll_timeout(), Some(end.now + seconds(1)));
    }
}
