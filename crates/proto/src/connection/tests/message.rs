//! §5.4, §5.6, §6.2, §8.1: frames to messages.

use super::*;

#[test]
fn a_frame_that_is_there_as_a_whole_is_a_message_at_once() {
    for role in ROLES {
        let mut end = End::of(role);
        assert_eq!(end.reads_frame(TEXT, b"Hello"), [text("Hello")]);
        assert_eq!(
            end.reads_frame(BINARY, &[0xff, 0]),
            [Seen::Binary(vec![0xff, 0])]
        );
    }
}

#[test]
fn empty_messages_are_messages() {
    for role in ROLES {
        let mut end = End::of(role);
        assert_eq!(end.reads_frame(BINARY, b""), [Seen::Binary(vec![])]);
        assert_eq!(end.reads_frame(TEXT, b""), [text("")]);
        end.reads_frame(TEXT_STARTS, b"");
        assert_eq!(end.reads_frame(ENDS, b""), [Seen::End]);
    }
}

#[test]
fn a_frame_that_comes_in_pieces_is_a_message_in_chunks() {
    for role in ROLES {
        let mut end = End::of(role);
        let bytes = end.frame(TEXT, b"Hello");
        let (head, tail) = bytes.split_at(bytes.len() - 2);
        assert_eq!(
            end.reads(head),
            [Seen::Start(MessageKind::Text), chunk(b"Hel")]
        );
        assert_eq!(end.reads(tail), [chunk(b"lo"), Seen::End]);
    }
}

#[test]
fn the_first_fragment_says_what_the_message_is() {
    for (first, kind) in [
        (TEXT_STARTS, MessageKind::Text),
        (BINARY_STARTS, MessageKind::Binary),
    ] {
        for role in ROLES {
            let mut end = End::of(role);
            assert_eq!(
                end.reads_frame(first, b"a"),
                [Seen::Start(kind), chunk(b"a")]
            );
            assert_eq!(end.reads_frame(GOES_ON, b"b"), [chunk(b"b")]);
            assert_eq!(end.reads_frame(ENDS, b"c"), [chunk(b"c"), Seen::End]);
        }
    }
}

#[test]
fn empty_fragments_are_legal_wherever_they_stand() {
    for role in ROLES {
        let mut end = End::of(role);
        assert_eq!(
            end.reads_frame(TEXT_STARTS, b""),
            [Seen::Start(MessageKind::Text)]
        );
        for _ in 0..50 {
            assert_eq!(end.reads_frame(GOES_ON, b""), []);
        }
        assert_eq!(end.reads_frame(GOES_ON, b"Hello"), [chunk(b"Hello")]);
        assert_eq!(end.reads_frame(ENDS, b""), [Seen::End]);
    }
}

#[test]
fn the_frame_behind_the_last_fragment_starts_the_next_message() {
    for role in ROLES {
        let mut end = End::of(role);
        end.reads_frame(TEXT_STARTS, b"a");
        end.reads_frame(ENDS, b"b");
        assert_eq!(end.reads_frame(BINARY, b"c"), [Seen::Binary(b"c".to_vec())]);
        end.reads_frame(BINARY_STARTS, b"d");
        assert_eq!(end.reads_frame(ENDS, b""), [Seen::End]);
    }
}

#[test]
fn a_continuation_without_a_message_fails_the_connection() {
    for first in [GOES_ON, ENDS] {
        for role in ROLES {
            let mut end = End::of(role);
            let failed = Seen::Failed(ProtocolError::UnexpectedContinuation);
            assert_eq!(end.reads_frame(first, b"a"), [failed]);
        }
    }
}

#[test]
fn a_continuation_behind_the_last_fragment_fails_the_connection() {
    for role in ROLES {
        let mut end = End::of(role);
        end.reads_frame(TEXT_STARTS, b"a");
        end.reads_frame(ENDS, b"b");
        let failed = Seen::Failed(ProtocolError::UnexpectedContinuation);
        assert_eq!(end.reads_frame(ENDS, b"c"), [failed]);
    }
}

#[test]
fn a_new_message_inside_a_fragmented_one_fails_the_connection() {
    for first in [TEXT, BINARY, TEXT_STARTS, BINARY_STARTS] {
        for role in ROLES {
            let mut end = End::of(role);
            end.reads_frame(TEXT_STARTS, b"a");
            let opcode = first & 0x0f;
            let failed = Seen::Failed(ProtocolError::ExpectedContinuation { opcode });
            assert_eq!(end.reads_frame(first, b"b"), [failed]);
        }
    }
}

#[test]
fn a_frame_out_of_sequence_fails_the_connection_at_its_first_byte() {
    for role in ROLES {
        let mut end = End::of(role);
        let failed = Seen::Failed(ProtocolError::UnexpectedContinuation);
        assert_eq!(end.reads([ENDS]), [failed]);

        let mut end = End::of(role);
        end.reads_frame(TEXT_STARTS, b"a");
        let failed = Seen::Failed(ProtocolError::ExpectedContinuation { opcode: 2 });
        assert_eq!(end.reads([BINARY]), [failed]);
    }
}

#[test]
fn of_two_rules_broken_in_one_header_the_first_byte_tells_however_it_is_cut() {
    // Out of sequence, and with the mask bit wrong.
    for role in ROLES {
        for cut in [1, 2] {
            let mut end = End::of(role);
            let wrong_mask = if role == Role::Server { 0x00 } else { 0x80 };
            let bytes = [ENDS, wrong_mask];
            end.arrives(&bytes[..cut]);
            let failed = Seen::Failed(ProtocolError::UnexpectedContinuation);
            assert_eq!(end.pull(), Some(failed), "{cut} bytes");
        }
    }
}

// §5.6, §8.1: UTF-8

#[test]
fn a_character_may_be_cut_by_fragments_and_by_reads() {
    for role in ROLES {
        let mut end = End::of(role);
        end.reads_frame(TEXT_STARTS, &[0xe2]);
        end.reads_frame(PING, b"");
        assert_eq!(end.reads_frame(GOES_ON, &[0x82]), [chunk(&[0x82])]);
        let last = end.reads_frame(ENDS, &[0xac]);
        assert_eq!(last, [chunk(&[0xac]), Seen::End]);

        let bytes = end.frame(TEXT, "€".as_bytes());
        let mut seen = Vec::new();
        for byte in bytes {
            seen.extend(end.reads([byte]));
        }
        assert_eq!(seen.last(), Some(&Seen::End));
    }
}

#[test]
fn text_that_is_not_utf8_fails_the_connection() {
    for bad in [
        "ff", "c328", "c0af", "e080af", "eda080", "f4908080", "e282", "61e2",
    ] {
        for role in ROLES {
            let failed = Seen::Failed(ProtocolError::InvalidUtf8);
            let mut end = End::of(role);
            assert_eq!(
                end.reads_frame(TEXT, &hex(bad)),
                std::slice::from_ref(&failed)
            );

            let mut end = End::of(role);
            let mut seen = end.reads_frame(TEXT_STARTS, &hex(bad));
            seen.extend(end.reads_frame(ENDS, b""));
            assert_eq!(seen.iter().filter(|event| **event == failed).count(), 1);
            assert!(!seen.contains(&Seen::End), "{bad}");
        }
    }
}

#[test]
fn text_fails_at_the_first_bad_byte_of_an_unfinished_frame() {
    for role in ROLES {
        let mut end = End::of(role);
        let bytes = end.frame(
            TEXT,
            &[b"\xce\xba\xf4\x90".to_vec(), vec![b'a'; 96]].concat(),
        );
        let header_len = bytes.len() - 100;
        let before = end.reads(&bytes[..header_len + 3]);
        assert_eq!(
            before,
            [Seen::Start(MessageKind::Text), chunk(b"\xce\xba\xf4")]
        );
        let failed = Seen::Failed(ProtocolError::InvalidUtf8);
        assert_eq!(end.reads(&bytes[header_len + 3..][..1]), [failed]);
    }
}

#[test]
fn text_that_ends_inside_a_character_fails_at_its_last_fragment() {
    for role in ROLES {
        let mut end = End::of(role);
        let seen = end.reads_frame(TEXT_STARTS, &[0xe2, 0x82]);
        assert_eq!(seen, [Seen::Start(MessageKind::Text), chunk(&[0xe2, 0x82])]);
        let failed = Seen::Failed(ProtocolError::InvalidUtf8);
        assert_eq!(end.reads_frame(ENDS, b""), [failed]);
    }
}

#[test]
fn binary_messages_hold_any_bytes() {
    for role in ROLES {
        let mut end = End::of(role);
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(end.reads_frame(BINARY, &all), [Seen::Binary(all.clone())]);
        end.reads_frame(BINARY_STARTS, &[0xff]);
        assert_eq!(end.reads_frame(ENDS, &[0xc0]), [chunk(&[0xc0]), Seen::End]);
    }
}

#[test]
fn a_byte_order_mark_and_noncharacters_are_text_and_stay() {
    for role in ROLES {
        let mut end = End::of(role);
        let marked = "\u{feff}\u{ffff}";
        assert_eq!(end.reads_frame(TEXT, marked.as_bytes()), [text(marked)]);
    }
}
