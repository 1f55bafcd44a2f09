//! A bracketed paste: the bytes between the markers `CSI 200~` and `CSI 201~`. The decoder has read the first marker.
//!
//! Every byte before the end marker is data, also an escape sequence. Terminals remove the end marker from pasted text.

/// A paste whose end marker has not come yet.
#[derive(Debug)]
pub(super) struct Paste {
    /// The bytes so far, or only the last ones if there are too many.
    bytes: Vec<u8>,
    max_len: usize,
    is_too_long: bool,
}

/// The reason why a whole paste is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PasteError {
    NotText,
    TooLong,
}

impl Paste {
    pub(super) fn new(max_len: usize) -> Self {
        Self {
            bytes: Vec::new(),
            max_len,
            is_too_long: false,
        }
    }

    /// Takes a byte. Returns whether it ends the paste.
    pub(super) fn push(&mut self, byte: u8) -> bool {
        self.bytes.push(byte);
        if self.bytes.ends_with(END) {
            self.bytes.truncate(self.bytes.len() - END.len());
            self.is_too_long |= self.bytes.len() > self.max_len;
            return true;
        }
        if self.bytes.len() > self.max_len.saturating_add(END.len()) {
            // The last bytes may be the start of the end marker.
            let begun = self.bytes.len() - END.len();
            self.bytes.drain(..begun);
            self.bytes.shrink_to(END.len());
            self.is_too_long = true;
        }
        false
    }

    /// Returns the number of held bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the pasted text. Terminals send a carriage return for a line feed, so those are turned back.
    pub(super) fn end(self) -> Result<String, PasteError> {
        if self.is_too_long || self.bytes.len() > self.max_len {
            return Err(PasteError::TooLong);
        }
        let mut bytes = self.bytes;
        for at in 0..bytes.len() {
            if bytes.get(at) == Some(&b'\r')
                && bytes.get(at + 1) != Some(&b'\n')
                && let Some(byte) = bytes.get_mut(at)
            {
                *byte = b'\n';
            }
        }
        String::from_utf8(bytes).map_err(|_| PasteError::NotText)
    }
}

const END: &[u8] = b"\x1b[201~";

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the pasted text. The last byte has to end the paste.
    fn pasted(bytes: &[u8], max_len: usize) -> Result<String, PasteError> {
        let mut paste = Paste::new(max_len);
        let (last, bytes) = bytes.split_last().expect("a byte");
        assert!(!bytes.iter().any(|byte| paste.push(*byte)));
        assert!(paste.push(*last));
        paste.end()
    }

    #[test]
    fn line_ends_are_what_they_were_before_the_terminal_changed_them() {
        let text = "a\nb\n\nc\r\nd\n";
        assert_eq!(
            pasted(b"a\rb\r\rc\r\nd\n\x1b[201~", 100).as_deref(),
            Ok(text)
        );
    }

    #[test]
    fn a_paste_is_taken_whole_up_to_its_limit_or_refused() {
        assert_eq!(pasted(b"abc\x1b[201~", 3).as_deref(), Ok("abc"));
        for len in 4..40 {
            let bytes = [&vec![b'x'; len], END].concat();
            assert_eq!(pasted(&bytes, 3), Err(PasteError::TooLong), "{len}");
        }
        assert_eq!(pasted(b"a\xff\x1b[201~", 3), Err(PasteError::NotText));
    }

    #[test]
    fn a_paste_that_is_too_long_takes_no_memory_and_never_ends_by_itself() {
        let mut paste = Paste::new(1000);
        for _ in 0..100_000 {
            assert!(!paste.push(b'x'));
            assert!(paste.len() <= 1000 + END.len());
        }
        assert_eq!(paste.end(), Err(PasteError::TooLong));
    }
}
