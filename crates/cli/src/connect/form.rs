//! The form of the input: how a line, or all of stdin, becomes a message. This module reads nothing.

use std::fmt;
use std::io::{self, IsTerminal};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sockeye::Message;

use super::options::Input;
use super::{json, notation};

/// How input becomes messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    input: Input,
    /// Whether all of stdin is one message.
    pub(super) is_whole: bool,
    /// The longest message that is sent, in bytes.
    max_message: usize,
    /// The longest line, in bytes, of a terminal that edits lines itself. It drops the bytes behind.
    pub(super) max_line: Option<usize>,
}

impl Form {
    /// Makes the form of the options `--input` and `--whole`. `--max-size` can raise the limit of a message.
    pub(super) fn new(input: Input, is_whole: bool, max_size: u64) -> Self {
        let max_size = usize::try_from(max_size).unwrap_or(usize::MAX);
        Self {
            input,
            is_whole,
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
pub(super) const MAX_MESSAGE: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the message of a line, or the reason for its refusal.
    fn sent(line: &str, input: Input) -> Result<Message, String> {
        let message = Form::of(input, MAX_MESSAGE).message(line.into());
        message.map_err(|refusal| refusal.to_string())
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
