//! The line that is being typed: its text, its cursor, and the part that fits beside the prompt.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::escape::Escaped;

/// A line with a cursor, which moves by grapheme clusters.
#[derive(Debug, Default)]
pub(super) struct Line {
    text: String,
    /// The offset of the cursor in bytes. It is between two characters.
    cursor: usize,
}

/// The visible part of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) text: String,
    /// The width of the text before the cursor, in columns.
    pub(super) cursor: usize,
}

impl Line {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns the text, and clears the line.
    pub(super) fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Replaces the text, and puts the cursor at its end.
    pub(super) fn replace(&mut self, text: &str) {
        self.text.clear();
        self.text.push_str(text);
        self.cursor = text.len();
    }

    /// Inserts the whole text at the cursor, unless the line would have more than `max_len` bytes. Returns whether it did.
    pub(super) fn insert(&mut self, text: &str, max_len: usize) -> bool {
        let has_room = text.len() <= max_len.saturating_sub(self.text.len());
        if has_room {
            self.text.insert_str(self.cursor, text);
            self.cursor += text.len();
        }
        has_room
    }

    pub(super) fn left(&mut self) {
        self.cursor = self.before();
    }

    pub(super) fn right(&mut self) {
        self.cursor = self.after();
    }

    pub(super) fn word_left(&mut self) {
        self.cursor = self.word_start();
    }

    pub(super) fn word_right(&mut self) {
        let (_, rest) = self.halves();
        let is_word = |c: char| !c.is_whitespace();
        let start = rest.find(is_word).unwrap_or(rest.len());
        let (_, word) = rest.split_at(start);
        let len = word.find(char::is_whitespace).unwrap_or(word.len());
        self.cursor += start + len;
    }

    pub(super) fn home(&mut self) {
        self.cursor = 0;
    }

    pub(super) fn end(&mut self) {
        self.cursor = self.text.len();
    }

    pub(super) fn backspace(&mut self) {
        self.remove_from(self.before());
    }

    pub(super) fn delete(&mut self) {
        self.text.drain(self.cursor..self.after());
    }

    pub(super) fn kill_to_end(&mut self) {
        self.text.truncate(self.cursor);
    }

    pub(super) fn kill_to_start(&mut self) {
        self.remove_from(0);
    }

    pub(super) fn kill_word(&mut self) {
        self.remove_from(self.word_start());
    }

    /// Returns the part that fits in this number of columns: all of the line, or the part around the cursor.
    pub(super) fn window(&self, columns: usize) -> Window {
        let (before, after) = self.halves();
        let reach = columns.saturating_mul(MAX_BYTES_PER_COLUMN);
        let mut reached = before.len().saturating_sub(reach)..before.len();
        let near = reached.find(|at| before.is_char_boundary(*at));
        let near = near.unwrap_or(before.len());
        let mut reached = (0..=reach).rev();
        let far = reached.find(|at| after.is_char_boundary(*at));
        let (after, _) = after.split_at(far.unwrap_or(0));
        let mut width = 0;
        let mut fits = |grapheme: &&str| {
            let more = shown(grapheme).width();
            let fits = width + more <= columns;
            width += if fits { more } else { 0 };
            fits
        };
        let (_, nearby) = before.split_at(near);
        let seen = nearby.graphemes(true).rev().take_while(&mut fits);
        let start = before.len() - seen.map(str::len).sum::<usize>();
        let seen = after.graphemes(true).take_while(&mut fits);
        let end = before.len() + seen.map(str::len).sum::<usize>();
        let part = |range| shown(self.text.get(range).unwrap_or_default());
        let before = part(start..self.cursor);
        let cursor = before.width();
        Window {
            text: before + &part(self.cursor..end),
            cursor,
        }
    }

    fn halves(&self) -> (&str, &str) {
        self.text.split_at(self.cursor)
    }

    fn before(&self) -> usize {
        let (before, _) = self.halves();
        let last = before.grapheme_indices(true).next_back();
        last.map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        let (_, after) = self.halves();
        let len = after.graphemes(true).next().map_or(0, str::len);
        self.cursor + len
    }

    /// Returns the start of the word in which, or behind which, the cursor is.
    fn word_start(&self) -> usize {
        let (before, _) = self.halves();
        let words = before.trim_end();
        let space = words.char_indices().rfind(|(_, c)| c.is_whitespace());
        space.map_or(0, |(at, c)| at + c.len_utf8())
    }

    fn remove_from(&mut self, start: usize) {
        self.text.drain(start..self.cursor);
        self.cursor = start;
    }
}

/// Creates a line with the cursor at its end.
impl From<String> for Line {
    fn from(text: String) -> Self {
        Self {
            cursor: text.len(),
            text,
        }
    }
}

/// Returns the text with escapes for the characters that a terminal obeys.
pub(super) fn shown(text: &str) -> String {
    Escaped(text).to_string()
}

/// The number of bytes on each side of the cursor that are examined for each column. It bounds the cost of a long line.
const MAX_BYTES_PER_COLUMN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a line with the cursor at the `|`.
    fn line(text: &str) -> Line {
        let (before, after) = text.split_once('|').expect("a cursor");
        Line {
            text: [before, after].concat(),
            cursor: before.len(),
        }
    }

    fn after(text: &str, edit: impl FnOnce(&mut Line)) -> String {
        let mut line = line(text);
        edit(&mut line);
        line.text.insert(line.cursor, '|');
        line.text
    }

    #[test]
    fn the_cursor_moves_by_what_looks_like_a_character_and_stops_at_both_ends() {
        assert_eq!(after("a👩‍👧|b", Line::left), "a|👩‍👧b");
        assert_eq!(after("a|👩‍👧b", Line::right), "a👩‍👧|b");
        assert_eq!(after("|a", Line::left), "|a");
        assert_eq!(after("a|", Line::right), "a|");
        assert_eq!(after("a b|", Line::home), "|a b");
        assert_eq!(after("|a b", Line::end), "a b|");
    }

    #[test]
    fn words_end_at_white_space() {
        assert_eq!(after("one two  |", Line::word_left), "one |two  ");
        assert_eq!(after("one t|wo", Line::word_left), "one |two");
        assert_eq!(after("|", Line::word_left), "|");
        assert_eq!(
            after("one|  two three", Line::word_right),
            "one  two| three"
        );
        assert_eq!(after("one| ", Line::word_right), "one |");
        assert_eq!(after("one {\"a\"} |b", Line::kill_word), "one |b");
    }

    #[test]
    fn what_is_killed_lies_on_its_side_of_the_cursor() {
        assert_eq!(after("ab|cd", Line::kill_to_start), "|cd");
        assert_eq!(after("ab|cd", Line::kill_to_end), "ab|");
        assert_eq!(after("ae\u{301}|c", Line::backspace), "a|c");
        assert_eq!(after("|a", Line::backspace), "|a");
        assert_eq!(after("a|é", Line::delete), "a|");
        assert_eq!(after("a|", Line::delete), "a|");
    }

    #[test]
    fn a_text_is_inserted_whole_or_not_at_all() {
        let mut line = line("ab|");
        assert!(!line.insert("éé", 5));
        assert_eq!(line.text(), "ab");
        assert!(line.insert("éx", 5));
        assert!(!line.insert("x", 5));
        line.left();
        assert!(line.insert("y", 6));
        assert_eq!(line.take(), "abéyx");
        assert!(line.is_empty());
    }

    #[test]
    fn a_window_of_a_long_line_looks_only_around_the_cursor() {
        let long = "x".repeat(1 << 20);
        let invisible = "\u{301}".repeat(1 << 20);
        assert_eq!(line(&format!("{long}|{long}")).window(3).text, "xxx");
        assert_eq!(line(&format!("{invisible}|")).window(1).cursor, 0);
        let text = line(&format!("|{invisible}")).window(2).text;
        assert!(text.len() <= 2 * MAX_BYTES_PER_COLUMN, "{}", text.len());
    }

    #[test]
    fn the_window_has_the_cursor_in_it_and_is_never_wider_than_asked() {
        let seen = |text, columns| {
            let mut window = line(text).window(columns);
            let at = window.text.char_indices().map(|(at, _)| at);
            let at = { at }.chain([window.text.len()]);
            let at = { at }.find(|at| window.text[..*at].width() == window.cursor);
            window.text.insert(at.expect("it is in the text"), '|');
            window.text
        };
        assert_eq!(seen("abc|def", 10), "abc|def");
        assert_eq!(seen("abcdef|", 3), "def|");
        assert_eq!(seen("abc|def", 4), "abc|d");
        assert_eq!(seen("|abcdef", 3), "|abc");
        // Wide characters and escapes are never shown in part.
        assert_eq!(seen("紅鮭|", 3), "鮭|");
        assert_eq!(seen("a\u{1b}|b", 6), "\\u{1b}|");
        assert_eq!(seen("a\u{1b}|b", 5), "|b");
        assert_eq!(seen("abc|", 0), "|");
    }
}
