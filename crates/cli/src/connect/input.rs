//! The input: lines or keys of stdin. Reading blocks, so a thread reads. The thread ends with the program.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::thread;

use sockeye::Message;
use tokio::sync::mpsc;

use super::form::{Form, Refusal};
use super::prompt;
use crate::stream::Stdin;

/// A part of the input.
#[derive(Debug)]
pub(super) enum Given {
    /// Bytes that were typed at a terminal.
    Keys(Vec<u8>),
    /// The message of a line.
    Message(Message),
}

/// Starts a thread that reads lines, or with [`Form::is_whole`] all of the input as one message.
pub(super) fn messages(form: Form) -> mpsc::Receiver<Result<Given, InputError>> {
    let (sender, messages) = mpsc::channel(MAX_WAITING);
    thread::spawn(move || {
        let give = |message: Result<Message, InputError>| {
            sender.blocking_send(message.map(Given::Message)).is_ok()
        };
        let stdin = BufReader::new(Stdin::new());
        if form.is_whole {
            give(read_whole(stdin, form));
        } else {
            read_lines(stdin, form, give);
        }
    });
    messages
}

/// Starts a thread that reads keys.
pub(super) fn keys() -> mpsc::Receiver<Result<Given, InputError>> {
    let (sender, keys) = mpsc::channel(MAX_WAITING);
    thread::spawn(move || {
        let mut stdin = Stdin::new();
        let mut bytes = [0; MAX_KEYS];
        loop {
            prompt::await_keys();
            let read = match stdin.read(&mut bytes) {
                Ok(0) => return,
                Ok(len) => Ok(Given::Keys(bytes[..len].to_vec())),
                Err(error) => Err(InputError::Io(error)),
            };
            let failed = read.is_err();
            if sender.blocking_send(read).is_err() || failed {
                return;
            }
        }
    });
    keys
}

/// The number of lines, or of reads of keys, that are read ahead.
const MAX_WAITING: usize = 4;
/// The number of bytes of keys in one read. It is not less than the standard library's buffer: that would keep the rest,
/// and [`prompt::await_keys`] would not see it.
const MAX_KEYS: usize = 16 * 1024;

/// Calls `give` with the message of each line, until `give` returns false. Stops after an error.
fn read_lines(
    mut input: impl BufRead,
    form: Form,
    mut give: impl FnMut(Result<Message, InputError>) -> bool,
) {
    for number in 1.. {
        let message = match read_line(&mut input, form) {
            Ok(Some(line)) => line.and_then(|line| form.message(line)),
            Ok(None) => return,
            Err(error) => {
                give(Err(InputError::Io(error)));
                return;
            }
        };
        let failed = message.is_err();
        if !give(message.map_err(|refusal| InputError::Line(number, refusal))) || failed {
            return;
        }
    }
}

/// Returns a line without its end, or `None` at the end of the input.
fn read_line(input: &mut impl BufRead, form: Form) -> io::Result<Option<Result<Vec<u8>, Refusal>>> {
    let mut line = Vec::new();
    let limit = form.max_given();
    let read = input.take(limit as u64 + 1).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if read > limit {
        return Ok(Some(Err(form.too_long())));
    }
    line.truncate(without_end(&line).len());
    match form.max_line {
        Some(max) if line.len() >= max => Ok(Some(Err(Refusal::Cut(max)))),
        _ => Ok(Some(Ok(line))),
    }
}

/// Reads all of the input as one message, with the line feed at its end.
fn read_whole(input: impl Read, form: Form) -> Result<Message, InputError> {
    let mut bytes = Vec::new();
    let limit = form.max_given();
    let read = input.take(limit as u64 + 1).read_to_end(&mut bytes);
    read.map_err(InputError::Io)?;
    let message = match bytes.len() > limit {
        true => Err(form.too_long()),
        false => form.message(bytes),
    };
    message.map_err(InputError::Whole)
}

fn without_end(line: &[u8]) -> &[u8] {
    match line.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => line,
    }
}

/// The error that ends the input.
#[derive(Debug)]
pub(super) enum InputError {
    Io(io::Error),
    /// A line is refused. The number counts from 1.
    Line(u64, Refusal),
    Whole(Refusal),
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot read stdin: {error}"),
            Self::Line(number, refusal) => write!(f, "line {number} of stdin {refusal}"),
            Self::Whole(refusal) => write!(f, "stdin {refusal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::form::MAX_MESSAGE;
    use super::super::options::Input;
    use super::*;

    fn form(input: Input) -> Form {
        Form::of(input, MAX_MESSAGE)
    }

    fn read_all(input: &[u8]) -> Vec<Result<String, String>> {
        let mut lines = Vec::new();
        read_lines(input, form(Input::Text), |line| {
            let line = line.map(|line| line.to_string());
            lines.push(line.map_err(|error| error.to_string()));
            true
        });
        lines
    }

    #[test]
    fn lines_come_without_their_ends() {
        let lines = read_all(b"one\ntwo\r\n\nthe last \r");
        let texts: Vec<_> = lines.iter().map(|line| line.as_deref()).collect();
        assert_eq!(texts, [Ok("one"), Ok("two"), Ok(""), Ok("the last \r")]);
        assert!(read_all(b"").is_empty());
    }

    #[test]
    fn a_line_that_is_no_text_is_named_and_ends_the_input() {
        let lines = read_all(b"one\n\xff\nthree\n");
        assert_eq!(
            lines,
            [
                Ok("one".to_owned()),
                Err("line 2 of stdin is not UTF-8".to_owned())
            ]
        );
    }

    #[test]
    fn a_line_is_taken_whole_up_to_the_limit_of_a_message_and_not_beyond_it() {
        let mut longest = vec![b'x'; MAX_MESSAGE];
        longest.extend(b"\r\n");
        let lines = read_all(&longest);
        assert!(matches!(lines.as_slice(), [Ok(line)] if line.len() == MAX_MESSAGE));
        let endless = BufReader::new(io::repeat(b'x'));
        let mut said = Vec::new();
        read_lines(endless, form(Input::Text), |line| {
            said.push(line.expect_err("it is too long").to_string());
            true
        });
        assert_eq!(said, ["line 1 of stdin is longer than 16 MiB"]);
        let whole = read_whole(io::repeat(b'x'), form(Input::Raw));
        let said = whole.expect_err("it is too long").to_string();
        assert_eq!(said, "stdin is longer than 16 MiB");
    }

    #[test]
    fn the_limit_counts_the_message_and_not_how_it_is_written() {
        for (input, longest, longer) in [
            (Input::Text, "éx", "éxx"),
            (Input::Raw, "éx", "éxx"),
            (Input::Escaped, r"\u{0}\n\u{7f}", r"\u{0}\n\u{7f}\n"),
            (
                Input::Json,
                r#""\u0000\u0000\u0000""#,
                r#""\u0000\u0000\u0000\u0000""#,
            ),
            (Input::Base64, "AAAA", "AAAAAA=="),
            (Input::Hex, "00 00 00", "00 00 00 00"),
        ] {
            // The length of a line is limited, too.
            let form = Form::of(input, 3);
            let read = |line: &str| {
                read_line(&mut line.as_bytes(), form)
                    .expect("memory")
                    .expect("a line")
            };
            let message = read(longest).and_then(|line| form.message(line));
            assert_eq!(message.expect("it fits").as_bytes().len(), 3, "{input:?}");
            let message = read(longer).and_then(|line| form.message(line));
            assert_eq!(message, Err(Refusal::TooLong(3)), "{input:?}");
        }
        assert_eq!(Refusal::TooLong(3).to_string(), "is longer than 3 bytes");
    }

    #[test]
    fn the_whole_input_is_one_message_with_its_line_ends() {
        let whole = |input: &[u8], form| {
            let message = read_whole(input, form);
            message.map_err(|error| error.to_string())
        };
        let text = "CONNECT\r\n\n\0\n";
        assert_eq!(
            whole(text.as_bytes(), form(Input::Text)),
            Ok(Message::from(text))
        );
        assert_eq!(whole(b"", form(Input::Text)), Ok(Message::from("")));
        assert_eq!(
            whole(b"\xff\n", form(Input::Raw)),
            Ok(Message::from(&b"\xff\n"[..]))
        );
        assert_eq!(
            whole(b"AA\nAA\n", form(Input::Base64)),
            Ok(Message::from(vec![0; 3]))
        );
        assert_eq!(
            whole(b"[1,\n2]\n", form(Input::Json)),
            Ok(Message::from("[1,\n2]"))
        );
        assert_eq!(
            whole(b"\xff", form(Input::Text)),
            Err("stdin is not UTF-8".to_owned())
        );
        assert_eq!(
            whole(b"0", form(Input::Hex)),
            Err("stdin is not hexadecimal".to_owned())
        );
    }

    #[test]
    fn reading_stops_when_no_more_lines_are_wanted() {
        let mut lines = 0;
        read_lines(&b"one\ntwo\nthree\n"[..], form(Input::Text), |_| {
            lines += 1;
            lines < 2
        });
        assert_eq!(lines, 2);
    }
}
