//! The fast path for whole messages: the conditions under which an exchange begins, and those that end it.

use super::*;

impl End {
    /// Begins an exchange and answers up to `count` messages of it by `answer`: what they were.
    fn exchanges(
        &mut self,
        until: usize,
        count: usize,
        answer: impl Fn(&mut Exchange<'_>, &[u8]) -> Result<(), SendError>,
    ) -> Option<Vec<Seen>> {
        let mut input = &mut self.unread[..];
        let mut exchange = self.machine.exchange(input, until, self.now)?;
        let mut seen = Vec::new();
        while seen.len() < count
            && let Some(message) = exchange.receive(&mut input)
        {
            let (message, payload) = match message {
                WholeMessage::Text(text) => (Seen::Text(text.to_owned()), text.as_bytes()),
                WholeMessage::Binary(bytes) => (Seen::Binary(bytes.to_vec()), bytes),
            };
            answer(&mut exchange, payload).unwrap();
            seen.push(message);
        }
        self.unread = input.to_vec();
        Some(seen)
    }

    fn echoes(&mut self, until: usize) -> Option<Vec<Seen>> {
        self.exchanges(until, usize::MAX, |exchange, payload| {
            exchange.send_binary(payload)
        })
    }

    fn messages_arrive(&mut self, texts: &[&str]) {
        for text in texts {
            self.arrives(self.frame(TEXT, text.as_bytes()));
        }
    }
}

#[test]
fn each_way_to_answer_sends_one_frame_in_its_place() {
    for role in ROLES {
        let mut end = End::of(role);
        end.messages_arrive(&["a", "b", "c"]);
        let seen = end.exchanges(usize::MAX, 3, |exchange, payload| match payload {
            b"a" => exchange.send_text("as text"),
            b"b" => exchange.send_binary(b"as binary"),
            _ => exchange.send_message(PreparedMessage::new("as a message")),
        });
        assert_eq!(seen, Some(vec![text("a"), text("b"), text("c")]));
        assert_eq!(end.machine.frames_received(), 3);
        let answers = end.machine.output().caused_by_input();
        assert_eq!(answers, end.machine.output().len());
        let expected = [
            (TEXT, "as text"),
            (BINARY, "as binary"),
            (TEXT, "as a message"),
        ];
        let expected = expected.map(|(first, payload)| (first, payload.into()));
        assert_eq!(end.writes(), expected);
    }
}

#[test]
fn it_ends_before_a_message_once_so_much_output_waits() {
    for role in ROLES {
        let mut end = End::of(role);
        let key = (role == Role::Client).then_some(KEY);
        let answer = frame(BINARY, b"abc", key).len();
        end.messages_arrive(&["abc"; 4]);
        assert_eq!(end.echoes(2 * answer), Some(vec![text("abc"); 2]));
        assert_eq!(end.echoes(2 * answer), Some(vec![]));
        assert_eq!(end.echoes(2 * answer + 1), Some(vec![text("abc")]));
        assert_eq!(end.pull(), Some(text("abc")));
        assert!(end.unread.is_empty());
    }
}

#[test]
fn it_ends_at_the_output_mark_whatever_its_caller_says() {
    let mut end = End::with(Config::new(Role::Server).output_mark(10), Role::Server);
    end.messages_arrive(&["abc"; 4]);
    assert_eq!(
        end.echoes(usize::MAX),
        Some(vec![text("abc"); 3]),
        "10 is the mark, and 15 bytes wait"
    );
    assert!(end.machine.is_gated());
    assert_eq!(end.echoes(usize::MAX), None);
    end.written();
    assert_eq!(end.echoes(usize::MAX), Some(vec![text("abc")]));
}

#[test]
fn what_is_no_whole_message_is_left_to_receive() {
    for role in ROLES {
        for odd in [
            End::of(role).frame(PING, b"p"),
            End::of(role).frame(TEXT_STARTS, b"p"),
            End::of(role).frame(CLOSE, b""),
            End::of(role).frame(BINARY, b"part")[..3].to_vec(),
            vec![0xff],
        ] {
            let mut end = End::of(role);
            end.messages_arrive(&["a"]);
            end.arrives(&odd);
            assert_eq!(end.echoes(usize::MAX), Some(vec![text("a")]));
            assert_eq!(end.unread, odd);
        }
    }
}

#[test]
fn it_does_not_begin_within_a_message_nor_after_the_end() {
    for role in ROLES {
        let mut open = End::of(role);
        open.reads_frame(TEXT_STARTS, b"a");
        assert_eq!(open.echoes(usize::MAX), None);
        let mut closed = End::of(role);
        closed.reads_frame(CLOSE, b"");
        assert_eq!(closed.echoes(usize::MAX), None);
        let mut failed = End::of(role);
        failed.reads([0xff]);
        assert_eq!(failed.echoes(usize::MAX), None);
    }
}

#[test]
fn what_is_no_text_ends_it_and_the_connection_behind_the_answers() {
    for role in ROLES {
        let mut end = End::of(role);
        end.messages_arrive(&["a"]);
        end.arrives(end.frame(TEXT, b"\xff"));
        end.messages_arrive(&["b"]);
        assert_eq!(end.echoes(usize::MAX), Some(vec![text("a")]));
        assert_eq!(end.echoes(usize::MAX), None);
        let failed = Seen::Failed(ProtocolError::InvalidUtf8);
        assert_eq!(end.reads([]), [failed]);
        end.machine.conclude(end.now);
        let written: Vec<_> = end.writes().into_iter().map(|(first, _)| first).collect();
        assert_eq!(written, [BINARY, CLOSE]);
    }
}

#[test]
fn an_answer_goes_neither_into_a_message_nor_behind_a_close() {
    for role in ROLES {
        let mut open = End::of(role);
        let part = open
            .machine
            .send_part(MessageKind::Text, b"a", false, Cause::Push);
        part.unwrap();
        open.messages_arrive(&["a"]);
        open.exchanges(usize::MAX, 1, |exchange, _| {
            assert_eq!(exchange.send_text("a"), Err(SendError::MessageOpen));
            assert_eq!(exchange.send_binary(b"a"), Err(SendError::MessageOpen));
            assert_eq!(exchange.send_message("a"), Err(SendError::MessageOpen));
            Ok(())
        });
        // §5.5.1: the peer's messages are received until its Close.
        let mut closing = End::of(role);
        closing.sends_close(1000, "");
        closing.messages_arrive(&["a"]);
        let seen = closing.exchanges(usize::MAX, 1, |exchange, _| {
            assert_eq!(exchange.send_text("a"), Err(SendError::Closed));
            Ok(())
        });
        assert_eq!(seen, Some(vec![text("a")]));
    }
}
