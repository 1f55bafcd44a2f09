//! The input: lines or keys of stdin. Reading blocks, so a thread reads. The thread ends with the program.

use std::fmt;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::thread;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sockeye::Message;
use tokio::sync::mpsc;

use super::options::{Input, Options};
use super::{json, notation, prompt};
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

/// How input becomes messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    input: Input,
    /// Whether all of stdin is one message.
    is_whole: bool,
    /// The longest message that is sent, in bytes.
    max_message: usize,
    /// The longest line, in bytes, of a terminal that edits lines itself. It drops the bytes behind.
    max_line: Option<usize>,
}

impl Form {
    pub(super) fn new(options: &Options) -> Self {
        let max_size = usize::try_from(options.max_size).unwrap_or(usize::MAX);
        Self {
            input: options.input,
            is_whole: options.whole,
            max_message: max_size.max(MAX_MESSAGE),
            max_line: MAX_TERMINAL_LINE.filter(|_| io::stdin().is_terminal()),
        }
    }

    #[cfg(test)]
    pub(super) fn of(input: Input, max_message: usize) -> Self {
        Self {
            input,
            is_whole: false,
            max_message,
            max_line: None,
        }
    }

    /// Returns the message that a line, or the whole input, stands for.
    pub(super) fn message(self, given: Vec<u8>) -> Result<Message, Refusal> {
        let message = match self.input {
            Input::Raw => Message::from(given),
            input => {
                let text = String::from_utf8(given).map_err(|_| Refusal::NotText)?;
                decode(text, input).ok_or(Refusal::Form(input))?
            }
        };
        if message.as_bytes().len() > self.max_message {
            return Err(self.too_long());
        }
        Ok(message)
    }

    /// Returns the refusal of a message that is too long.
    pub(super) fn too_long(self) -> Refusal {
        Refusal::TooLong(self.max_message)
    }

    /// Returns the number of bytes in which the longest message can be written, at most.
    pub(super) fn max_given(self) -> usize {
        let factor = match self.input {
            Input::Text | Input::Raw => 1,
            // Both leave room for white space, half as much as there are digits.
            Input::Base64 => 2,
            Input::Hex => 3,
            // A NUL is `\u0000` or `\u{0}`.
            Input::Escaped | Input::Json => 6,
        };
        let len = self.max_message.saturating_mul(factor);
        len.saturating_add(MAX_AROUND)
    }
}

/// The reason why a line, or the whole input, is not sent. Its text follows the name of the refused input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The terminal may have dropped the bytes behind this number.
    Cut(usize),
    Form(Input),
    NotText,
    /// The message is longer than this limit, in bytes.
    TooLong(usize),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut(len) => write!(
                f,
                "may be cut: the terminal takes at most {len} bytes; use a pipe or a file"
            ),
            Self::Form(form) => write!(f, "is not {}", form.name()),
            Self::NotText => f.write_str("is not UTF-8"),
            Self::TooLong(limit) if limit % (1 << 20) == 0 => {
                write!(f, "is longer than {} MiB", limit >> 20)
            }
            Self::TooLong(limit) => write!(f, "is longer than {limit} bytes"),
        }
    }
}

fn decode(text: String, input: Input) -> Option<Message> {
    let digits = || text.replace(|c: char| c.is_ascii_whitespace(), "");
    match input {
        Input::Text | Input::Raw => Some(text.into()),
        Input::Escaped => notation::read(&text).map(|text| Message::from(&*text)),
        Input::Json => json::message(&text),
        Input::Base64 => BASE64_STANDARD.decode(digits()).ok().map(Message::from),
        Input::Hex => from_hex(&digits()).map(Message::from),
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    let pairs = digits.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(value(*high)? << 4 | value(*low)?).ok(),
        _ => None,
    });
    pairs.collect()
}

/// The number of lines, or of reads of keys, that are read ahead.
const MAX_WAITING: usize = 4;
/// The number of bytes of keys in one read. It is not less than the standard library's buffer: that would keep the rest,
/// and [`prompt::await_keys`] would not see it.
const MAX_KEYS: usize = 16 * 1024;
/// The longest line that a terminal takes, in bytes without its line feed, on systems where it is known.
const MAX_TERMINAL_LINE: Option<usize> = if cfg!(target_os = "linux") {
    Some(4095)
} else if cfg!(target_os = "macos") {
    Some(1023)
} else {
    None
};
/// The number of bytes around a written message, at most: those of a JSON value, and a line end.
const MAX_AROUND: usize = 64;
/// The longest message that is sent, in bytes. `--max-size` can raise it.
const MAX_MESSAGE: usize = 16 << 20;

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

    /// Returns the message of a line, or the reason for its refusal.
    fn sent(line: &str, input: Input) -> Result<Message, String> {
        let message = form(input).message(line.into());
        message.map_err(|refusal| refusal.to_string())
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

    #[test]
    fn a_line_is_sent_as_its_form_has_it_or_refused() {
        let bytes = Ok(Message::from(vec![0, 159]));
        assert_eq!(sent("AJ8=", Input::Base64), bytes);
        assert_eq!(sent(" 00 9F\t", Input::Hex), bytes);
        assert_eq!(sent(r#"{"binary":"AJ8="}"#, Input::Json), bytes);
        assert_eq!(sent("", Input::Hex), Ok(Message::from(vec![])));
        assert_eq!(sent("é", Input::Raw), Ok(Message::from("é".as_bytes())));
        assert_eq!(sent(r"a\nb", Input::Text), Ok(Message::from(r"a\nb")));
        assert_eq!(
            sent(r"a\nb\u{0}", Input::Escaped),
            Ok(Message::from("a\nb\0"))
        );
        assert_eq!(sent(r#""a\nb""#, Input::Json), Ok(Message::from("a\nb")));
        for (line, form, refusal) in [
            ("AJ8", Input::Base64, "is not base64"),
            ("0", Input::Hex, "is not hexadecimal"),
            ("0g", Input::Hex, "is not hexadecimal"),
            ("é", Input::Hex, "is not hexadecimal"),
            ("a", Input::Json, "is not JSON"),
            (r"\x", Input::Escaped, "is not escaped text"),
        ] {
            assert_eq!(sent(line, form), Err(refusal.to_owned()), "{line}");
        }
    }
}
