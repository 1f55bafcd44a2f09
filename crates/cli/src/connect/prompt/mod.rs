//! The prompt of a terminal. The line that is being typed stays below the output that arrives meanwhile.
//!
//! The prompt does no I/O. It takes keys as bytes, and appends what the terminal shows to the output buffer. It shows the
//! part of the line around the cursor in one row, so it never erases more than one row.
//!
//! Two libraries were tried in tmux, and not taken. Both keep a half-typed line below the output, also after a resize.
//!
//! - Both drop typed bytes that are not UTF-8: `a`, `0xff`, `b` was sent as `ab`. The prompt refuses such a line.
//! - Both switch the signals of keys off: Ctrl-Z does not stop the program. After SIGTERM the terminal stays in raw mode.
//! - `reedline` 0.49 blocks a thread in `read_line`, and looks for output each 100 ms. It has no limit for a line. It adds 29
//!   crates. It is the newest version for Rust 1.88, which this workspace promises; 0.52.1 needs 1.95.
//! - `rustyline-async` 0.4.9 has no bracketed paste: three pasted lines were sent as three messages. It adds 19 crates. Its
//!   licence is the Unlicense, which `deny.toml` does not allow.

use std::io::Write;
use std::time::{Duration, Instant};

use tracing::info;

mod history;
#[cfg(unix)]
mod job;
mod key;
mod line;
mod paste;
mod redraw;
mod sequence;
mod terminal;

use self::history::History;
use self::key::{Decoder, Key};
use self::line::{Line, shown};
use self::paste::PasteError;
use self::sequence::{BELL, CLEAR_SCREEN, ERASE_BELOW, ERASE_ROW, PASTE_OFF, PASTE_ON};
use self::terminal::KeyMode;
use super::form::{Form, Refusal};

pub(crate) use self::redraw::{Redraw, Redraws};
pub(crate) use self::terminal::{await_keys, restore};

/// The prompt. The terminal passes on each key while it exists.
#[derive(Debug)]
pub(super) struct Prompt {
    decoder: Decoder,
    line: Line,
    state: LineState,
    form: Form,
    /// The time of the last keys.
    pressed: Option<Instant>,
    history: History,
    view: View,
    _mode: KeyMode,
}

/// Whether the terminal shows the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    /// It was not shown yet, and the terminal does not mark pastes.
    Unbegun,
    Hidden,
    Shown,
}

/// Whether the line takes more text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineState {
    Edited,
    /// A part of the line was refused. Until Enter or Ctrl-U nothing is inserted, so that no part is sent.
    Refused,
}

/// The result of typed keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Ctrl-D in an empty line: the end of the input.
    End,
    Line(String),
    /// The whole line is refused.
    Refused(Refusal),
}

impl Prompt {
    /// Takes the terminal. From then on the terminal passes on each key. `None` if its mode cannot be changed.
    pub(super) fn start(form: Form) -> Option<Self> {
        let history = history::path().map(|path| History::load(&path));
        let history = history.and_then(|loaded| {
            loaded
                .inspect_err(|error| info!(%error, "cannot keep a history"))
                .ok()
        });
        Some(Self {
            decoder: Decoder::new(form.max_given()),
            line: Line::default(),
            state: LineState::Edited,
            form,
            pressed: None,
            history: history.unwrap_or_default(),
            view: View::Unbegun,
            _mode: KeyMode::enter().ok()?,
        })
    }

    /// Takes keys, and draws the line that results. Returns completed and refused lines.
    pub(super) fn press(&mut self, bytes: &[u8], now: Instant, out: &mut Vec<u8>) -> Vec<Typed> {
        self.hide(out);
        let mut typed = Vec::new();
        for key in self.keys(bytes, now) {
            match key {
                Key::Enter if self.state == LineState::Refused => self.state = LineState::Edited,
                Key::Enter => {
                    let line = self.line.take();
                    // The line stays on the screen, above the answer.
                    write(out, format_args!("{SIGN}{}\n", echo(&line)));
                    self.history.add(&line);
                    typed.push(Typed::Line(line));
                }
                Key::EndOfInput if self.line.is_empty() => {
                    typed.push(Typed::End);
                    break;
                }
                Key::Clear => out.extend_from_slice(CLEAR_SCREEN),
                key => {
                    if let Err(refusal) = self.edit(key, out) {
                        self.line.take();
                        self.state = LineState::Refused;
                        typed.push(Typed::Refused(refusal));
                    }
                }
            }
        }
        self.show(out);
        typed
    }

    /// Decodes keys. An Enter on its own, some time after the bytes before it, ends a paste whose end marker is lost.
    fn keys(&mut self, bytes: &[u8], now: Instant) -> Vec<Key> {
        let pause = self
            .pressed
            .replace(now)
            .map(|last| now.duration_since(last));
        let is_alone = pause.is_some_and(|pause| pause >= PASTE_PAUSE);
        let mut keys = Vec::new();
        if is_alone && matches!(bytes, b"\r" | b"\n") {
            keys.extend(self.decoder.end_paste());
        }
        for byte in bytes {
            self.decoder.push(*byte, &mut keys);
        }
        keys
    }

    fn edit(&mut self, key: Key, out: &mut Vec<u8>) -> Result<(), Refusal> {
        if self.state == LineState::Refused {
            match key {
                Key::KillToStart => self.state = LineState::Edited,
                _ => out.push(BELL),
            }
            return Ok(());
        }
        let line = &mut self.line;
        match key {
            Key::Backspace => line.backspace(),
            Key::Char(c) => return self.insert(c.encode_utf8(&mut [0; 4])),
            Key::Delete | Key::EndOfInput => line.delete(),
            Key::End => line.end(),
            Key::Home => line.home(),
            Key::Invalid | Key::Paste(Err(PasteError::NotText)) => return Err(Refusal::NotText),
            Key::KillToEnd => line.kill_to_end(),
            Key::KillToStart => line.kill_to_start(),
            Key::KillWord => line.kill_word(),
            Key::Left => line.left(),
            Key::Newer => {
                if let Some(entry) = self.history.newer() {
                    line.replace(entry);
                }
            }
            Key::Older => {
                if let Some(entry) = self.history.older(line.text()) {
                    line.replace(entry);
                }
            }
            Key::Paste(Ok(text)) => return self.insert(&text),
            Key::Paste(Err(PasteError::TooLong)) => return Err(self.form.too_long()),
            Key::Right => line.right(),
            Key::WordLeft => line.word_left(),
            Key::WordRight => line.word_right(),
            Key::Clear | Key::Enter => {}
        }
        Ok(())
    }

    fn insert(&mut self, text: &str) -> Result<(), Refusal> {
        match self.line.insert(text, self.form.max_given()) {
            true => Ok(()),
            false => Err(self.form.too_long()),
        }
    }

    pub(super) fn is_shown(&self) -> bool {
        self.view == View::Shown
    }

    /// Erases the prompt, so that other output can use its row.
    pub(super) fn hide(&mut self, out: &mut Vec<u8>) {
        if self.is_shown() {
            out.extend_from_slice(ERASE_ROW);
            self.view = View::Hidden;
        }
    }

    /// Returns the source of the events after which to [draw the prompt again](Self::redraw).
    pub(super) fn redraws() -> Option<Redraws> {
        Redraws::new().ok()
    }

    /// Draws the prompt again, in the current width of the terminal.
    ///
    /// A terminal that became narrower may have wrapped the row of the prompt. So everything below the cursor is erased.
    /// A shell that used the terminal meanwhile has left the cursor in an empty row.
    pub(super) fn redraw(&mut self, why: Redraw, out: &mut Vec<u8>) {
        if self.is_shown() {
            out.extend_from_slice(ERASE_BELOW);
            self.show(out);
        }
        if why == Redraw::Continued && self.view != View::Unbegun {
            out.extend_from_slice(PASTE_ON);
        }
    }

    /// Erases the prompt for good.
    pub(super) fn end(self, out: &mut Vec<u8>) {
        if self.view != View::Unbegun {
            out.extend_from_slice(PASTE_OFF);
            out.extend_from_slice(ERASE_ROW);
        }
    }

    /// Draws the prompt in the row of the cursor. From the first time on, the terminal marks pastes.
    pub(super) fn show(&mut self, out: &mut Vec<u8>) {
        // The last column stays free: a character there makes some terminals start a new row.
        let room = terminal::columns().saturating_sub(SIGN.len() + 1);
        let window = match self.decoder.pasted() {
            Some(bytes) => Line::from(format!("({bytes} bytes of a paste)")).window(room),
            None => self.line.window(room),
        };
        write(out, format_args!("{SIGN}{}", window.text));
        write(out, format_args!("\r\x1b[{}C", SIGN.len() + window.cursor));
        if self.view == View::Unbegun {
            out.extend_from_slice(PASTE_ON);
        }
        self.view = View::Shown;
    }
}

/// Returns the text that stays on the screen for a sent line: all of it, or the start of a very long line.
fn echo(line: &str) -> String {
    let mut start = (0..=MAX_ECHO).rev();
    let start = start.find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    match line.split_at(start) {
        (all, "") => shown(all),
        (start, _) => format!("{}... ({} bytes)", shown(start), line.len()),
    }
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector does not fail.
    let _ = out.write_fmt(text);
}

/// An Enter that comes on its own, this long after the bytes before it, shows that the end marker of a paste is lost.
const PASTE_PAUSE: Duration = Duration::from_secs(1);
/// The number of bytes of a sent line that stay on the screen.
const MAX_ECHO: usize = 64 * 1024;

const SIGN: &str = "> ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::options::Input;

    fn prompt(max_message: usize) -> Prompt {
        let form = Form::of(Input::Text, max_message);
        Prompt {
            decoder: Decoder::new(form.max_given()),
            line: Line::default(),
            state: LineState::Edited,
            form,
            pressed: None,
            history: History::default(),
            view: View::Unbegun,
            _mode: KeyMode::none(),
        }
    }

    fn line(text: &str) -> Typed {
        Typed::Line(text.to_owned())
    }

    #[test]
    fn an_enter_by_itself_and_later_ends_a_paste_whose_end_is_lost() {
        let mut prompt = prompt(1000);
        let mut out = Vec::new();
        let start = Instant::now();
        let mut press = |bytes: &[u8], at| prompt.press(bytes, start + at, &mut out);
        assert_eq!(press(b"\x1b[200~a", Duration::ZERO), []);
        // A read may begin or end anywhere in a paste.
        assert_eq!(press(b"\r", PASTE_PAUSE / 2), []);
        assert_eq!(press(b"\rb", 2 * PASTE_PAUSE), []);
        assert_eq!(press(b"\r", 3 * PASTE_PAUSE), [line("a\n\nb")]);
        assert_eq!(press(b"c\r", 3 * PASTE_PAUSE), [line("c")]);
    }

    #[test]
    fn a_line_of_which_a_part_is_refused_is_refused_until_enter() {
        let mut prompt = prompt(3);
        let max = prompt.form.max_given();
        let mut out = Vec::new();
        let mut press = |bytes: &[u8]| prompt.press(bytes, Instant::now(), &mut out);
        let longest = "x".repeat(max);
        assert_eq!(press(format!("{longest}\r").as_bytes()), [line(&longest)]);
        let too_long = || Typed::Refused(Refusal::TooLong(3));
        for longer in [
            format!("{longest}yz"),
            format!("{longest}\x1b[200~y\x1b[201~z"),
            format!("\x1b[200~{longest}y\x1b[201~z"),
        ] {
            assert_eq!(press(format!("{longer}\r").as_bytes()), [too_long()]);
            assert_eq!(press(b"new\r"), [line("new")]);
            assert_eq!(
                press(format!("{longer}\x15new\r").as_bytes()),
                [too_long(), line("new")]
            );
        }
        for bytes in [&b"a\xff\r"[..], b"\x1b[200~\xff\x1b[201~\x1b[A\r"] {
            assert_eq!(press(bytes), [Typed::Refused(Refusal::NotText)]);
        }
    }

    #[test]
    fn a_very_long_line_is_echoed_in_part_and_kept_whole() {
        let mut prompt = prompt(1 << 20);
        let mut out = Vec::new();
        let long = "é".repeat(MAX_ECHO);
        let typed = prompt.press(format!("{long}\r").as_bytes(), Instant::now(), &mut out);
        assert_eq!(typed, [line(&long)]);
        let shown = String::from_utf8(out).expect("UTF-8");
        let end = format!("é... ({} bytes)\n", long.len());
        assert!(shown.contains(&end));
        assert!(shown.len() < 2 * MAX_ECHO);
    }
}
