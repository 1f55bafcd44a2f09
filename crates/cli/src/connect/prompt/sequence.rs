//! The byte sequences by which the program controls the terminal (ECMA-48).

/// Switches on bracketed paste, xterm's private mode 2004: the terminal then marks pasted text.
pub(super) const PASTE_ON: &[u8] = b"\x1b[?2004h";
/// Switches off bracketed paste.
pub(super) const PASTE_OFF: &[u8] = b"\x1b[?2004l";

pub(super) const BELL: u8 = 7;
pub(super) const CLEAR_SCREEN: &[u8] = b"\x1b[H\x1b[2J";
/// Moves the cursor to the start of its row, and erases the row.
pub(super) const ERASE_ROW: &[u8] = b"\r\x1b[K";
/// Moves the cursor to the start of its row, and erases the row and all rows below.
pub(super) const ERASE_BELOW: &[u8] = b"\r\x1b[J";
