//! What stdin has, lines or keys. Reading it blocks, so a thread does it: it goes on when nobody waits for it any
//! more, and ends with the program.

use std::io::{self, BufRead, Read};
use std::thread;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sockeye::Message;
use tokio::sync::mpsc;

use super::options::Input;

/// A part of the input.
#[derive(Debug)]
pub(super) enum Given {
    /// Bytes of a terminal, as they were typed.
    Keys(Vec<u8>),
    /// What a line says.
    Message(Message),
}

/// Starts reading lines.
pub(super) fn lines(form: Input) -> mpsc::Receiver<Result<Given, InputError>> {
    let (sender, lines) = mpsc::channel(MAX_WAITING);
    thread::spawn(move || {
        read(io::stdin().lock(), form, |line| {
            sender.blocking_send(line.map(Given::Message)).is_ok()
        })
    });
    lines
}

/// Starts reading keys.
pub(super) fn keys() -> mpsc::Receiver<Result<Given, InputError>> {
    let (sender, keys) = mpsc::channel(MAX_WAITING);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut bytes = [0; MAX_KEYS];
        loop {
            let read = match stdin.read(&mut bytes) {
                Ok(0) => return,
                Ok(len) => Ok(Given::Keys(bytes[..len].to_vec())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
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

/// The message that a line is; `None` where it is not of this form.
pub(super) fn message(line: String, form: Input) -> Option<Message> {
    match form {
        Input::Text => Some(line.into()),
        Input::Base64 => BASE64_STANDARD.decode(line.trim()).ok().map(Message::from),
        Input::Hex => from_hex(line.trim()).map(Message::from),
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    let digits: Vec<u8> = digits.collect::<Option<_>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    });
    pairs.collect()
}

/// So many lines, or times keys, are read ahead, and so many bytes of keys at once.
const MAX_WAITING: usize = 4;
const MAX_KEYS: usize = 1024;
/// The longest line, in bytes.
const MAX_LINE: usize = 16 << 20;

/// Gives one line after another, without its end, while they are wanted; after an error no more.
fn read(
    mut input: impl BufRead,
    form: Input,
    mut give: impl FnMut(Result<Message, InputError>) -> bool,
) {
    for number in 1.. {
        let mut line = Vec::new();
        let limit = MAX_LINE as u64 + 2;
        match input.by_ref().take(limit).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                give(Err(InputError::Io(error)));
                return;
            }
        }
        let text = without_end(&line);
        let line = if text.len() > MAX_LINE {
            Err(InputError::TooLong(number))
        } else {
            match String::from_utf8(text.to_vec()) {
                Ok(line) => message(line, form).ok_or(InputError::Encoding(number, form)),
                Err(_) => Err(InputError::NoText(number)),
            }
        };
        let failed = line.is_err();
        if !give(line) || failed {
            return;
        }
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    match line.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => line,
    }
}

/// Why no more lines can be had.
#[derive(Debug)]
pub(super) enum InputError {
    /// With the line's number.
    Encoding(u64, Input),
    Io(io::Error),
    /// With the line's number.
    NoText(u64),
    TooLong(u64),
}

impl std::fmt::Display for InputError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Encoding(line, form) => write!(f, "line {line} of stdin is not {}", form.name()),
            Self::Io(error) => write!(f, "cannot read stdin: {error}"),
            Self::NoText(line) => write!(f, "line {line} of stdin is not UTF-8"),
            Self::TooLong(line) => {
                write!(
                    f,
                    "line {line} of stdin has more than {} MiB",
                    MAX_LINE >> 20
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(input: &[u8]) -> Vec<Result<String, String>> {
        let mut lines = Vec::new();
        read(input, Input::Text, |line| {
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
    fn a_line_without_end_does_not_grow_without_limit() {
        let mut longest = vec![b'x'; MAX_LINE];
        longest.extend(b"\r\n");
        assert!(matches!(read_all(&longest).as_slice(), [Ok(_)]));
        let endless = io::repeat(b'x');
        let mut lines = 0;
        read(io::BufReader::new(endless), Input::Text, |line| {
            assert!(matches!(line, Err(InputError::TooLong(1))));
            lines += 1;
            true
        });
        assert_eq!(lines, 1);
    }

    #[test]
    fn reading_stops_when_nobody_wants_lines() {
        let mut lines = 0;
        read(&b"one\ntwo\nthree\n"[..], Input::Text, |_| {
            lines += 1;
            lines < 2
        });
        assert_eq!(lines, 2);
    }

    #[test]
    fn bytes_are_written_in_base64_or_hexadecimal_digits() {
        let bytes = |line: &str, form| message(line.to_owned(), form);
        assert_eq!(
            bytes("AJ8=", Input::Base64),
            Some(Message::from(vec![0, 159]))
        );
        assert_eq!(
            bytes(" 009F ", Input::Hex),
            Some(Message::from(vec![0, 159]))
        );
        assert_eq!(bytes("", Input::Hex), Some(Message::from(vec![])));
        for (line, form) in [
            ("AJ8", Input::Base64),
            ("0", Input::Hex),
            ("0g", Input::Hex),
        ] {
            assert_eq!(bytes(line, form), None, "{line}");
        }
        let mut said = Vec::new();
        read(&b"00\n0\n00\n"[..], Input::Hex, |line| {
            said.push(line.map(|_| ()).map_err(|error| error.to_string()));
            true
        });
        let refused = "line 2 of stdin is not hexadecimal".to_owned();
        assert_eq!(said, [Ok(()), Err(refused)]);
    }
}
