//! The lines of stdin. Reading it blocks, so a thread does it: it goes on when nobody waits for it any
//! more, and ends with the program.

use std::io::{self, BufRead, Read};
use std::thread;

use tokio::sync::mpsc;

/// Starts reading.
pub(super) fn lines() -> mpsc::Receiver<Result<String, InputError>> {
    let (sender, lines) = mpsc::channel(MAX_WAITING);
    thread::spawn(move || {
        read(io::stdin().lock(), |line| {
            sender.blocking_send(line).is_ok()
        })
    });
    lines
}

/// So many lines are read ahead.
const MAX_WAITING: usize = 4;
/// The longest line, in bytes.
const MAX_LINE: usize = 16 << 20;

/// Gives one line after another, without its end, while they are wanted; after an error no more.
fn read(mut input: impl BufRead, mut give: impl FnMut(Result<String, InputError>) -> bool) {
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
            String::from_utf8(text.to_vec()).map_err(|_| InputError::NoText(number))
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
    Io(io::Error),
    /// With the line's number.
    NoText(u64),
    TooLong(u64),
}

impl std::fmt::Display for InputError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
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
        read(input, |line| {
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
        read(io::BufReader::new(endless), |line| {
            assert!(matches!(line, Err(InputError::TooLong(1))));
            lines += 1;
            true
        });
        assert_eq!(lines, 1);
    }

    #[test]
    fn reading_stops_when_nobody_wants_lines() {
        let mut lines = 0;
        read(&b"one\ntwo\nthree\n"[..], |_| {
            lines += 1;
            lines < 2
        });
        assert_eq!(lines, 2);
    }
}
