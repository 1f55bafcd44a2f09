//! Bytes of a peer as a log line shows them: on one line, of bounded length, and without characters that a terminal
//! obeys. Must not know where the bytes are from.

use std::fmt::{self, Write};

/// Shows bytes that a peer sent: quoted, escaped, and cut to [`MAX_CHARS`](Self::MAX_CHARS).
#[derive(Clone, Copy)]
pub(crate) struct PeerText<'a>(pub(crate) &'a [u8]);

impl PeerText<'_> {
    /// The number of characters that are shown.
    pub(crate) const MAX_CHARS: usize = 128;
}

impl fmt::Display for PeerText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = Self::MAX_CHARS;
        // Bytes of whole chunks that were shown.
        let mut shown = 0;
        f.write_char('"')?;
        'shown: for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if room == 0 {
                    break 'shown;
                }
                room -= 1;
                if c == '"' || c == '\\' || is_deceptive(c) {
                    write!(f, "{}", c.escape_default())?;
                } else {
                    f.write_char(c)?;
                }
            }
            for byte in chunk.invalid() {
                if room == 0 {
                    break 'shown;
                }
                room -= 1;
                write!(f, "\\x{byte:02x}")?;
            }
            shown += chunk.valid().len() + chunk.invalid().len();
        }
        f.write_char('"')?;
        if shown < self.0.len() {
            write!(f, "... ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

impl fmt::Debug for PeerText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a character may deceive a reader. It may be a control character, which a terminal obeys. It may change the
/// order of the text around it, or be invisible.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_feeds_escapes_bidi_controls_and_quotes_are_escaped() {
        let shown = |text: &str| PeerText(text.as_bytes()).to_string();
        assert_eq!(
            shown("a\r\nb\u{1b}[2J\u{202e}\"\\"),
            r#""a\r\nb\u{1b}[2J\u{202e}\"\\""#
        );
        assert_eq!(shown("grüße"), "\"grüße\"");
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_shown_in_hexadecimal() {
        assert_eq!(PeerText(b"a\xff\xc3").to_string(), r#""a\xff\xc3""#);
    }

    #[test]
    fn exactly_128_characters_are_shown_and_one_more_is_cut_with_the_length() {
        let (fits, long) = ("a".repeat(128), "a".repeat(129));
        assert_eq!(PeerText(fits.as_bytes()).to_string(), format!("\"{fits}\""));
        assert_eq!(
            PeerText(long.as_bytes()).to_string(),
            format!("\"{fits}\"... (129 bytes)")
        );
        let bytes = [0xff; 129];
        let shown = PeerText(&bytes).to_string();
        assert_eq!(shown, format!("\"{}\"... (129 bytes)", "\\xff".repeat(128)));
    }
}
