//! Escapes control and bidi characters in untrusted text before it is printed.

use std::fmt::{self, Write};

/// Whether a character may deceive a reader. It may be a control character, which a terminal obeys. It may change the
/// order of the text around it, or be invisible.
pub(crate) fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'
                ..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Displays a text on one line, with deceptive characters escaped as in Rust: `\n`, `\u{1b}`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_deceptive(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        let shown = |text| Escaped(text).to_string();
        assert_eq!(
            shown("\u{1b}[2J\r\n\u{9b}K\u{7f}"),
            r"\u{1b}[2J\r\n\u{9b}K\u{7f}"
        );
        assert_eq!(shown("a\u{202e}b\u{feff}"), r"a\u{202e}b\u{feff}");
    }

    #[test]
    fn what_shows_stays() {
        for text in ["", "it's \"here\" \\ there", "grüße, 紅鮭", "👩‍👧", "می‌خواهم"]
        {
            assert_eq!(Escaped(text).to_string(), text);
        }
    }
}
