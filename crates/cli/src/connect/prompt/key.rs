//! Decodes a terminal's bytes into keys: the sequences of ECMA-48, the modifiers of xterm, and the control characters
//! of readline.

use super::paste::{Paste, PasteError};

/// The action of a key. Several keys may have one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Backspace,
    Char(char),
    Clear,
    Delete,
    /// Ctrl-D. In a line with text it deletes a character.
    EndOfInput,
    End,
    Enter,
    Home,
    /// Bytes that are not UTF-8.
    Invalid,
    KillToEnd,
    KillToStart,
    KillWord,
    Left,
    Newer,
    Older,
    /// The text between the two markers of a bracketed paste.
    Paste(Result<String, PasteError>),
    Right,
    WordLeft,
    WordRight,
}

/// A decoder that takes one byte after another. It ignores unknown sequences.
///
/// ```text
///   Ground ── ESC ──▶ Escape ── [ ──▶ Csi ── final byte ──▶ Ground
///     │ ▲               └────── O ──▶ Ss3 ── any byte ────▶ Ground
///     │ └── whole character ── Utf8 ◀── lead byte
///     ├──── Ctrl-V ──▶ Quoted ── any byte ──▶ Ground, or Utf8
///     └──── CSI 200~ ──▶ Paste ── CSI 201~ ──▶ Ground
/// ```
#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
    /// The parameters of a sequence, or the start of a character.
    held: Vec<u8>,
    /// The size limit of a paste, in bytes.
    max_paste: usize,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Ground,
    Csi,
    Escape,
    Paste(Paste),
    Quoted,
    Ss3,
    Utf8,
}

impl Decoder {
    pub(super) fn new(max_paste: usize) -> Self {
        Self {
            state: State::default(),
            held: Vec::new(),
            max_paste,
        }
    }

    /// Takes a byte, and appends the keys that it completes.
    pub(super) fn push(&mut self, byte: u8, keys: &mut Vec<Key>) {
        match std::mem::take(&mut self.state) {
            State::Ground => keys.extend(self.ground(byte)),
            // Enter sends a carriage return, but a text has a line feed there.
            State::Quoted if byte == b'\r' => keys.push(Key::Char('\n')),
            State::Quoted if byte.is_ascii() => keys.push(Key::Char(byte.into())),
            State::Quoted => keys.extend(self.character(byte)),
            State::Utf8 if byte & 0xc0 == 0x80 => keys.extend(self.character(byte)),
            State::Utf8 => {
                // The character before is incomplete.
                self.held.clear();
                keys.push(Key::Invalid);
                keys.extend(self.ground(byte));
            }
            State::Escape => keys.extend(self.escape(byte)),
            State::Csi => keys.extend(self.sequence(byte)),
            State::Ss3 => keys.extend(arrow(byte)),
            State::Paste(mut paste) => match paste.push(byte) {
                true => keys.push(Key::Paste(paste.end())),
                false => self.state = State::Paste(paste),
            },
        }
    }

    /// Returns the number of bytes of an unfinished paste.
    pub(super) fn pasted(&self) -> Option<usize> {
        match &self.state {
            State::Paste(paste) => Some(paste.len()),
            _ => None,
        }
    }

    /// Ends an unfinished paste whose end marker is lost.
    pub(super) fn end_paste(&mut self) -> Option<Key> {
        match std::mem::take(&mut self.state) {
            State::Paste(paste) => Some(Key::Paste(paste.end())),
            state => {
                self.state = state;
                None
            }
        }
    }

    fn ground(&mut self, byte: u8) -> Option<Key> {
        match byte {
            ESC => {
                self.state = State::Escape;
                None
            }
            CTRL_V => {
                self.state = State::Quoted;
                None
            }
            b'\t' => Some(Key::Char('\t')),
            b'\n' | b'\r' => Some(Key::Enter),
            0..0x20 | DEL => control(byte),
            _ => self.character(byte),
        }
    }

    fn character(&mut self, byte: u8) -> Option<Key> {
        self.held.push(byte);
        let key = match std::str::from_utf8(&self.held) {
            Ok(text) => text.chars().next().map(Key::Char),
            Err(error) if error.error_len().is_none() => {
                self.state = State::Utf8;
                return None;
            }
            Err(_) => Some(Key::Invalid),
        };
        self.held.clear();
        key
    }

    fn escape(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'[' => self.state = State::Csi,
            b'O' => self.state = State::Ss3,
            // The escape before was the key itself.
            ESC => self.state = State::Escape,
            b'b' => return Some(Key::WordLeft),
            b'f' => return Some(Key::WordRight),
            DEL => return Some(Key::KillWord),
            _ => {}
        }
        None
    }

    fn sequence(&mut self, byte: u8) -> Option<Key> {
        if (0x20..0x40).contains(&byte) {
            self.state = State::Csi;
            if self.held.len() < MAX_PARAMETERS {
                self.held.push(byte);
            }
            return None;
        }
        let parameters = std::mem::take(&mut self.held);
        let is_by_word = parameters.ends_with(b";5") || parameters.ends_with(b";3");
        match (byte, parameters.as_slice()) {
            (b'C', _) if is_by_word => Some(Key::WordRight),
            (b'D', _) if is_by_word => Some(Key::WordLeft),
            (b'~', b"1" | b"7") => Some(Key::Home),
            (b'~', b"3") => Some(Key::Delete),
            (b'~', b"4" | b"8") => Some(Key::End),
            (b'~', b"200") => {
                self.state = State::Paste(Paste::new(self.max_paste));
                None
            }
            _ => arrow(byte),
        }
    }
}

fn control(byte: u8) -> Option<Key> {
    Some(match byte {
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x04 => Key::EndOfInput,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x08 | DEL => Key::Backspace,
        0x0b => Key::KillToEnd,
        0x0c => Key::Clear,
        0x0e => Key::Newer,
        0x10 => Key::Older,
        0x15 => Key::KillToStart,
        0x17 => Key::KillWord,
        _ => return None,
    })
}

fn arrow(byte: u8) -> Option<Key> {
    Some(match byte {
        b'A' => Key::Older,
        b'B' => Key::Newer,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'F' => Key::End,
        b'H' => Key::Home,
        _ => return None,
    })
}

const ESC: u8 = 0x1b;
const DEL: u8 = 0x7f;
const CTRL_V: u8 = 0x16;
/// The number of parameter bytes that are kept of a sequence. No known key has more.
const MAX_PARAMETERS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut decoder = Decoder::new(100);
        push_all(&mut decoder, bytes)
    }

    fn push_all(decoder: &mut Decoder, bytes: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        for byte in bytes {
            decoder.push(*byte, &mut keys);
        }
        keys
    }

    fn text(text: &str) -> Vec<Key> {
        text.chars().map(Key::Char).collect()
    }

    #[test]
    fn each_key_is_known_by_all_of_its_sequences() {
        for (sequences, key) in [
            (["\x1b[A", "\x1bOA", "\x10"], Key::Older),
            (["\x1b[B", "\x1bOB", "\x0e"], Key::Newer),
            (["\x1b[C", "\x1bOC", "\x06"], Key::Right),
            (["\x1b[D", "\x1bOD", "\x02"], Key::Left),
            (["\x1b[H", "\x1b[1~", "\x01"], Key::Home),
            (["\x1b[F", "\x1b[4~", "\x05"], Key::End),
            (["\x1b[1;5C", "\x1b[1;3C", "\x1bf"], Key::WordRight),
            (["\x1b[1;5D", "\x1b[1;3D", "\x1bb"], Key::WordLeft),
            (["\x7f", "\x08", "\x1b\x1b[Z\x7f"], Key::Backspace),
            (["\x17", "\x1b\x7f", "\x1b\x1b\x7f"], Key::KillWord),
            (["\n", "\r", "\x00\n"], Key::Enter),
        ] {
            for sequence in sequences {
                assert_eq!(
                    keys(sequence.as_bytes()),
                    std::slice::from_ref(&key),
                    "{sequence:?}"
                );
            }
        }
        assert_eq!(keys(b"\x1b[3~\x04"), [Key::Delete, Key::EndOfInput]);
        let rest = [Key::KillToEnd, Key::KillToStart, Key::Clear];
        assert_eq!(keys(b"\x0b\x15\x0c"), rest);
    }

    #[test]
    fn characters_come_whole_and_what_is_no_text_is_told() {
        assert_eq!(keys("aé鮭👧\t".as_bytes()), text("aé鮭👧\t"));
        let invalid = [
            Key::Invalid,
            Key::Char('a'),
            Key::Invalid,
            Key::Char('b'),
            Key::Invalid,
        ];
        assert_eq!(keys(b"\xc3a\x80b\xff"), invalid);
        assert_eq!(keys(b"\xe9\xae\n"), [Key::Invalid, Key::Enter]);
    }

    #[test]
    fn a_paste_is_one_key_wherever_its_reads_are_split() {
        let pasted = |text: &str| Key::Paste(Ok(text.to_owned()));
        let bytes = "x\x1b[200~{\r \x1b[31m\x04\x1b[200~é\x16\x1b[201\x1b[201~\r";
        let expected = [
            Key::Char('x'),
            pasted("{\n \x1b[31m\x04\x1b[200~é\x16\x1b[201"),
            Key::Enter,
        ];
        for split in 0..=bytes.len() {
            let (start, end) = bytes.as_bytes().split_at(split);
            let mut decoder = Decoder::new(100);
            let mut keys = push_all(&mut decoder, start);
            keys.extend(push_all(&mut decoder, end));
            assert_eq!(keys, expected, "{split}");
        }
        let two = keys(b"\x1b[200~\x1b[201~\x1b\x1b[200~a\x1b[201~\x1b[201~b");
        assert_eq!(two, [pasted(""), pasted("a"), Key::Char('b')]);
    }

    #[test]
    fn a_paste_without_its_end_is_ended_by_its_reader() {
        let mut decoder = Decoder::new(100);
        assert_eq!(decoder.end_paste(), None);
        assert_eq!(push_all(&mut decoder, b"\x1b[200~a\n"), []);
        assert_eq!(decoder.pasted(), Some(2));
        let pasted = Key::Paste(Ok("a\n".to_owned()));
        assert_eq!(decoder.end_paste(), Some(pasted));
        assert_eq!(push_all(&mut decoder, b"b"), text("b"));
    }

    #[test]
    fn ctrl_v_takes_the_next_key_for_a_character() {
        let bytes = "\x16\x1b\x16\x04\x16é\x16\r".as_bytes();
        assert_eq!(keys(bytes), text("\u{1b}\u{4}é\n"));
    }

    #[test]
    fn a_sequence_of_any_length_takes_no_room_and_types_nothing() {
        let mut decoder = Decoder::new(100);
        let sequence = [b"\x1b[".as_slice(), &[b'1'; 1000]].concat();
        assert_eq!(push_all(&mut decoder, &sequence), []);
        assert_eq!(decoder.held.len(), MAX_PARAMETERS);
        assert_eq!(push_all(&mut decoder, b"xx"), text("x"));
    }
}
