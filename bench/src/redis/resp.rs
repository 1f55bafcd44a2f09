//! The protocol of Redis (RESP2), as far as the floor and the raw publisher need it.

use crate::Result;

/// Appends a command.
pub(crate) fn command(bytes: &mut Vec<u8>, words: &[&[u8]]) {
    push_length(bytes, b'*', words.len());
    for word in words {
        push_length(bytes, b'$', word.len());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(END);
    }
}

fn push_length(bytes: &mut Vec<u8>, kind: u8, mut length: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (length % 10) as u8;
        length /= 10;
        if length == 0 {
            break;
        }
    }
    bytes.push(kind);
    bytes.extend_from_slice(&digits[at..]);
    bytes.extend_from_slice(END);
}

/// Returns the length of the reply that the bytes begin with; `None` while it is not whole. An error of the server is
/// an error here.
pub(crate) fn reply(bytes: &[u8]) -> Result<Option<usize>> {
    let mut reader = Reader { bytes, at: 0 };
    Ok(reader.skip()?.map(|()| reader.at))
}

/// A message that came on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) channel: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// What the feed of a subscriber brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Push<'a> {
    Message(Message<'a>),
    /// The server confirms a subscription.
    Other,
}

/// Returns the push that the bytes begin with, and its length; `None` while it is not whole.
pub(crate) fn push(bytes: &[u8]) -> Result<Option<(Push<'_>, usize)>> {
    let mut reader = Reader { bytes, at: 0 };
    let Some(3) = reader.length(b'*')? else {
        return Ok(None);
    };
    let Some(kind) = reader.bulk()? else {
        return Ok(None);
    };
    let Some(channel) = reader.bulk()? else {
        return Ok(None);
    };
    if kind != b"message" {
        let rest = reader.skip()?;
        return Ok(rest.map(|()| (Push::Other, reader.at)));
    }
    let Some(payload) = reader.bulk()? else {
        return Ok(None);
    };
    let message = Message { channel, payload };
    Ok(Some((Push::Message(message), reader.at)))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Each returns `None` where the bytes end too early.
impl<'a> Reader<'a> {
    fn line(&mut self) -> Option<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\r')?;
        rest.get(end + 1)?;
        self.at += end + END.len();
        Some(&rest[..end])
    }

    /// Reads the line of an array or of a string. The length -1 stands for none, and counts as 0 here.
    fn length(&mut self, kind: u8) -> Result<Option<usize>> {
        let Some(line) = self.line() else {
            return Ok(None);
        };
        match line.split_first() {
            Some((first, digits)) if *first == kind => number(digits).map(Some),
            _ => Err(format!("Redis answers `{}`", String::from_utf8_lossy(line))),
        }
    }

    fn bulk(&mut self) -> Result<Option<&'a [u8]>> {
        let Some(length) = self.length(b'$')? else {
            return Ok(None);
        };
        let rest = &self.bytes[self.at..];
        if rest.len() < length + END.len() {
            return Ok(None);
        }
        self.at += length + END.len();
        Ok(Some(&rest[..length]))
    }

    fn skip(&mut self) -> Result<Option<()>> {
        let rest = &self.bytes[self.at..];
        match rest.first() {
            None => Ok(None),
            Some(b'+' | b':') => Ok(self.line().map(drop)),
            Some(b'$') if rest.starts_with(b"$-1") => Ok(self.line().map(drop)),
            Some(b'$') => Ok(self.bulk()?.map(drop)),
            Some(_) => {
                let Some(items) = self.length(b'*')? else {
                    return Ok(None);
                };
                for _ in 0..items {
                    if self.skip()?.is_none() {
                        return Ok(None);
                    }
                }
                Ok(Some(()))
            }
        }
    }
}

fn number(digits: &[u8]) -> Result<usize> {
    let text = std::str::from_utf8(digits).ok();
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| format!("`{}` is no length", String::from_utf8_lossy(digits)))
}

const END: &[u8] = b"\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_strings() {
        let mut bytes = Vec::new();
        command(&mut bytes, &[b"GET", b"key of 12 B."]);
        assert_eq!(bytes, b"*2\r\n$3\r\nGET\r\n$12\r\nkey of 12 B.\r\n");
    }

    #[test]
    fn a_reply_is_waited_for_to_its_last_byte() {
        for whole in [
            &b"+OK\r\n"[..],
            b":-12\r\n",
            b"$-1\r\n",
            b"$2\r\n\r\n\r\n",
            b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
        ] {
            for end in 0..whole.len() {
                assert_eq!(reply(&whole[..end]), Ok(None));
            }
            let more = [whole, b"+OK\r\n"].concat();
            assert_eq!(reply(&more), Ok(Some(whole.len())));
        }
        assert!(reply(b"-ERR no\r\n").is_err());
    }

    #[test]
    fn a_push_is_a_message_or_a_confirmation() {
        let message = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\na\r\nb\r\n";
        for end in 0..message.len() {
            assert_eq!(push(&message[..end]), Ok(None));
        }
        let expected = Push::Message(Message {
            channel: b"c",
            payload: b"a\r\nb",
        });
        assert_eq!(push(message), Ok(Some((expected, message.len()))));
        let confirmation = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
        let expected = Ok(Some((Push::Other, confirmation.len())));
        assert_eq!(push(confirmation), expected);
        assert!(push(b"-ERR no\r\n").is_err());
    }
}
