//! §10.4: what a peer can make this end hold.

use super::*;

const LIMIT: usize = 1000;

fn limited(role: Role) -> End {
    End::with(Config::new(role).max_message(LIMIT as u64), role)
}

fn too_big(size: u64, limit: u64) -> Seen {
    Seen::Failed(ProtocolError::MessageTooBig { size, limit })
}

/// One byte more than the limit.
fn one_too_many() -> Seen {
    too_big(LIMIT as u64 + 1, LIMIT as u64)
}

// Bytes

#[test]
fn a_message_of_exactly_the_limit_passes() {
    for role in ROLES {
        let mut end = limited(role);
        let seen = end.reads_frame(BINARY, &[7; LIMIT]);
        assert_eq!(seen, [Seen::Binary(vec![7; LIMIT])]);
        end.reads_frame(BINARY_STARTS, &[7; LIMIT - 1]);
        assert_eq!(end.reads_frame(ENDS, &[7]), [chunk(&[7]), Seen::End]);
        end.reads_frame(BINARY_STARTS, &[7; LIMIT]);
        assert_eq!(end.reads_frame(ENDS, &[]), [Seen::End]);
    }
}

#[test]
fn by_default_a_server_takes_1_mib_and_a_client_16_and_no_byte_more() {
    for (role, limit) in [(Role::Server, 1 << 20), (Role::Client, 16 << 20)] {
        let mut end = End::of(role);
        let seen = end.reads(header(BINARY, limit, end.peer_key()));
        assert_eq!(seen, [Seen::Start(MessageKind::Binary)]);
        let mut end = End::of(role);
        let seen = end.reads(header(BINARY, limit + 1, end.peer_key()));
        assert_eq!(seen, [too_big(limit + 1, limit)]);
    }
}

#[test]
fn a_longer_message_fails_at_its_header() {
    for role in ROLES {
        let mut end = limited(role);
        let header = header(BINARY, LIMIT as u64 + 1, end.peer_key());
        assert_eq!(end.reads(header), [one_too_many()]);
    }
}

#[test]
fn a_message_that_grows_beyond_the_limit_fails_at_the_fragments_header() {
    for role in ROLES {
        let mut end = limited(role);
        end.reads_frame(BINARY_STARTS, &[7; LIMIT - 1]);
        end.reads_frame(GOES_ON, &[7]);
        end.reads_frame(GOES_ON, &[]);
        let header = header(ENDS, 1, end.peer_key());
        assert_eq!(end.reads(header), [one_too_many()]);
    }
}

#[test]
fn each_kind_of_message_may_have_a_limit_of_its_own() {
    const LONG: usize = 70_000;
    for role in ROLES {
        let text = |limit| Config::new(role).max_message(LONG as u64).max_text(limit);
        let too_long = |limit| too_big(limit + 1, limit);
        // Less than that of the other kind.
        let mut end = End::with(text(5), role);
        assert_eq!(
            end.reads_frame(TEXT, b"12345"),
            [Seen::Text("12345".into())]
        );
        end.reads_frame(BINARY, &[7; LONG]);
        end.reads_frame(BINARY, &[7; 6]);
        end.reads_frame(TEXT_STARTS, b"123");
        assert_eq!(end.reads_frame(GOES_ON, b"456"), [too_long(5)]);
        let mut end = End::with(text(5), role);
        assert_eq!(end.reads_frame(TEXT, b"123456"), [too_long(5)]);
        // More.
        let long = 2 * LONG as u64;
        let mut end = End::with(text(long), role);
        end.reads_frame(TEXT_STARTS, &[b'x'; LONG]);
        assert_eq!(
            end.reads_frame(ENDS, &[b'x'; LONG]).last(),
            Some(&Seen::End)
        );
        let header = header(BINARY, LONG as u64 + 1, end.peer_key());
        assert_eq!(end.reads(header), [too_long(LONG as u64)]);
    }
}

#[test]
fn a_limit_that_is_set_later_holds_from_then_on_for_its_kind_alone() {
    const LONG: usize = 70_000;
    for role in ROLES {
        for set in [LIMIT / 2, LONG] {
            let mut end = limited(role);
            end.reads_frame(TEXT, &[b'x'; LIMIT]);
            end.machine.limit_messages(MessageKind::Text, set as u64);
            let seen = end.reads_frame(TEXT, &vec![b'x'; set]);
            assert_eq!(seen.last(), Some(&Seen::Text("x".repeat(set))));
            end.reads_frame(BINARY, &[7; LIMIT]);
            let seen = end.reads_frame(TEXT, &vec![b'x'; set + 1]);
            assert_eq!(seen, [too_big(set as u64 + 1, set as u64)]);
        }
        let mut end = limited(role);
        end.machine.limit_messages(MessageKind::Text, LONG as u64);
        assert_eq!(end.reads_frame(BINARY, &[7; LIMIT + 1]), [one_too_many()]);
    }
}

#[test]
fn the_limit_counts_each_message_anew() {
    for role in ROLES {
        let mut end = limited(role);
        for _ in 0..3 {
            end.reads_frame(BINARY_STARTS, &[7; LIMIT]);
            assert_eq!(end.reads_frame(ENDS, &[]), [Seen::End]);
        }
    }
}

#[test]
fn the_longest_length_that_a_header_can_tell_allocates_nothing() {
    for role in ROLES {
        for len in [(1 << 32) + 5, i64::MAX.unsigned_abs()] {
            let mut end = End::of(role);
            let limit = end.machine.config().max_message;
            let header = header(BINARY, len, end.peer_key());
            assert_eq!(end.reads(header), [too_big(len, limit)]);
            assert_eq!(end.machine.retained_bytes(), 0);
        }
    }
}

#[test]
fn a_length_of_2_to_the_63_and_more_allocates_nothing_whatever_the_limit() {
    for role in ROLES {
        for len in [1 << 63, u64::MAX] {
            let mut end = End::with(Config::new(role).max_message(u64::MAX), role);
            let header = header(BINARY, len, end.peer_key());
            let failed = Seen::Failed(ProtocolError::LengthOutOfRange);
            assert_eq!(end.reads(header), [failed]);
            assert_eq!(end.machine.retained_bytes(), 0);
        }
    }
}

#[test]
fn without_a_limit_the_longest_length_allocates_nothing_either() {
    for role in ROLES {
        let mut end = End::with(Config::new(role).max_message(u64::MAX), role);
        let longest = i64::MAX.unsigned_abs();
        let header_of_longest = header(BINARY, longest, end.peer_key());
        let seen = end.reads(header_of_longest);
        assert_eq!(seen, [Seen::Start(MessageKind::Binary)]);
        assert_eq!(end.machine.payload_remaining(), Some(longest));
        let seen = end.reads(vec![0; 1000]);
        assert_eq!(seen.len(), 1);
        assert_eq!(end.machine.payload_remaining(), Some(longest - 1000));
        assert_eq!(end.machine.retained_bytes(), 0);
    }
}

#[test]
fn lengths_that_add_up_to_more_than_64_bits_hold_are_too_big() {
    // No peer can send so much: the message is put into the state where it would have.
    let limit = u64::MAX - 1;
    let mut end = End::with(Config::new(Role::Client).max_message(limit), Role::Client);
    end.reads_frame(BINARY_STARTS, b"");
    end.machine.receiver.pretend_to_have_read(u64::MAX - 2, 1);
    let header = header(ENDS, i64::MAX.unsigned_abs(), end.peer_key());
    assert_eq!(end.reads(header), [too_big(u64::MAX, limit)]);
}

#[test]
fn a_control_frame_inside_a_full_message_passes() {
    for role in ROLES {
        let mut end = limited(role);
        end.reads_frame(BINARY_STARTS, &[7; LIMIT]);
        assert_eq!(end.reads_frame(PING, b"p"), [Seen::Ping(b"p".to_vec())]);
    }
}

// Fragments

#[test]
fn a_message_of_exactly_as_many_fragments_as_are_allowed_passes() {
    for role in ROLES {
        let mut end = End::with(Config::new(role).max_fragments(3), role);
        for _ in 0..2 {
            end.reads_frame(TEXT_STARTS, b"a");
            end.reads_frame(GOES_ON, b"b");
            assert_eq!(end.reads_frame(ENDS, b"c"), [chunk(b"c"), Seen::End]);
        }
    }
}

#[test]
fn a_message_of_one_fragment_more_fails_at_its_header() {
    for role in ROLES {
        let mut end = End::with(Config::new(role).max_fragments(3), role);
        end.reads_frame(TEXT_STARTS, b"a");
        end.reads_frame(GOES_ON, b"");
        end.reads_frame(GOES_ON, b"");
        let header = header(ENDS, 100, end.peer_key());
        let failed = Seen::Failed(ProtocolError::TooManyFragments { limit: 3 });
        assert_eq!(end.reads(header), [failed]);
    }
}

#[test]
fn by_default_131072_fragments_pass_and_one_more_does_not() {
    let mut client = End::client();
    client.reads_frame(TEXT_STARTS, b"");
    for _ in 2..131_072 {
        assert_eq!(client.reads_frame(GOES_ON, b""), []);
    }
    assert_eq!(client.reads_frame(ENDS, b""), [Seen::End]);

    client.reads_frame(TEXT_STARTS, b"");
    for _ in 1..131_072 {
        assert_eq!(client.reads_frame(GOES_ON, b""), []);
        assert_eq!(client.machine.retained_bytes(), 0);
    }
    let failed = Seen::Failed(ProtocolError::TooManyFragments { limit: 131_072 });
    assert_eq!(client.reads_frame(ENDS, b""), [failed]);
}

#[test]
fn without_a_limit_fragments_are_counted_without_overflow() {
    let config = Config::new(Role::Client).max_fragments(u32::MAX);
    let mut client = End::with(config, Role::Client);
    client.reads_frame(BINARY_STARTS, b"");
    client.machine.receiver.pretend_to_have_read(0, u32::MAX);
    assert_eq!(client.reads_frame(ENDS, b""), [Seen::End]);
}

// Memory

#[test]
fn a_flood_of_pings_that_are_not_read_retains_no_more_than_full_output_and_64_pongs() {
    for role in ROLES {
        let mut end = End::of(role);
        let ping = end.frame(PING, &[7; 125]);
        let mut most = 0;
        for _ in 0..20_000 {
            end.reads(&ping);
            end.machine.output();
            most = most.max(end.machine.retained_bytes());
        }
        // A vector grows to twice what it needs at most.
        let bound = 2 * (Output::SHARED_FROM + 131) + Connection::MAX_PONGS * 160 + 1024;
        assert!(most <= bound, "{most} of {bound}");
    }
}

#[test]
fn a_flood_of_pings_that_are_answered_and_read_retains_little() {
    for role in ROLES {
        let mut end = End::of(role);
        let ping = end.frame(PING, &[7; 125]);
        for _ in 0..10_000 {
            end.reads(&ping);
            end.written();
        }
        assert!(end.machine.retained_bytes() < 1024);
    }
}

#[test]
fn echoes_that_are_not_read_retain_the_mark_and_one_message_at_most() {
    for role in ROLES {
        let mut end = End::of(role);
        let mut echoed = 0;
        let asked = end.frame(BINARY, &[7; 10_000]);
        for _ in 0..1000 {
            end.arrives(&asked);
            if let Some(Seen::Binary(payload)) = end.pull() {
                end.machine.send_binary(&payload, Cause::Input).unwrap();
                echoed += 1;
            }
            end.unread.clear();
        }
        assert_eq!(echoed, 27, "256 KiB and the one that passes the mark");
        assert!(end.machine.retained_bytes() <= 2 * (256 * 1024 + 10_014));
    }
}

#[test]
fn a_closed_connection_retains_nothing_that_it_will_not_write() {
    for role in ROLES {
        let mut end = End::of(role);
        end.machine.send_binary(&[7; 200_000], Cause::Push).unwrap();
        end.reads_frame(PING, b"");
        assert!(end.machine.retained_bytes() > 200_000);
        end.machine.handle_end();
        assert_eq!(end.machine.retained_bytes(), 0);
    }
}

#[test]
fn an_idle_connection_gives_its_buffers_away_and_takes_others() {
    for role in ROLES {
        let mut end = End::of(role);
        end.machine.send_text("Hello", Cause::Push).unwrap();
        assert!(end.machine.take_output().is_none(), "something waits");
        end.written();
        let buffers = end.machine.take_output().unwrap();
        assert!(buffers.retained_bytes() > 0);
        assert_eq!(end.machine.retained_bytes(), 0);
        end.machine.give_output(buffers);
        assert!(end.machine.retained_bytes() > 0);
        end.machine.send_text("again", Cause::Push).unwrap();
        assert_eq!(end.writes(), [(TEXT, b"again".to_vec())]);
    }
}
