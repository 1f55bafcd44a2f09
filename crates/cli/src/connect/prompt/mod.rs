//! The prompt of a terminal: the line that is being typed stays below what is printed meanwhile.
//!
//! It does neither read nor write: keys come as bytes, and what is to be shown is put behind what else is
//! printed. One row shows the part of the line around the cursor, so that one row is all there ever is to erase.

use std::io::Write;

use tracing::info;

mod history;
mod key;
mod line;
mod terminal;

use self::history::History;
use self::key::{Decoder, Key};
use self::line::{Line, shown};
use self::terminal::KeyMode;

pub(crate) use self::terminal::{Resizes, restore};

/// The terminal is in another mode while it is there.
#[derive(Debug)]
pub(super) struct Prompt {
    decoder: Decoder,
    line: Line,
    history: History,
    is_shown: bool,
    _mode: KeyMode,
}

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Ctrl-D, where a line would begin.
    End,
    Line(String),
}

impl Prompt {
    /// `None` where the terminal does not let itself be used so.
    pub(super) fn start() -> Option<Self> {
        let history = history::path().map(|path| History::load(&path));
        let history = history.and_then(|loaded| {
            loaded
                .inspect_err(|error| info!(%error, "no history is kept"))
                .ok()
        });
        Some(Self {
            decoder: Decoder::default(),
            line: Line::default(),
            history: history.unwrap_or_default(),
            is_shown: false,
            _mode: KeyMode::enter().ok()?,
        })
    }

    /// Takes keys, and shows what they do.
    pub(super) fn press(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Vec<Typed> {
        let mut typed = Vec::new();
        self.hide(out);
        for byte in bytes {
            let Some(key) = self.decoder.push(*byte) else {
                continue;
            };
            match key {
                Key::Enter => {
                    let line = self.line.take();
                    // It stands above what is answered; all of it.
                    write(out, format_args!("{SIGN}{}\n", shown(&line)));
                    self.history.add(&line);
                    typed.push(Typed::Line(line));
                }
                Key::EndOfInput if self.line.is_empty() => {
                    typed.push(Typed::End);
                    break;
                }
                Key::Clear => out.extend_from_slice(CLEAR_SCREEN),
                key => self.edit(key, out),
            }
        }
        self.show(out);
        typed
    }

    fn edit(&mut self, key: Key, out: &mut Vec<u8>) {
        let line = &mut self.line;
        match key {
            Key::Backspace => line.backspace(),
            Key::Char(c) if line.insert(c) => {}
            Key::Char(_) => out.push(BELL),
            Key::Delete | Key::EndOfInput => line.delete(),
            Key::End => line.end(),
            Key::Home => line.home(),
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
            Key::Right => line.right(),
            Key::WordLeft => line.word_left(),
            Key::WordRight => line.word_right(),
            Key::Clear | Key::Enter => {}
        }
    }

    pub(super) fn is_shown(&self) -> bool {
        self.is_shown
    }

    /// Erases it, for something else to be printed in its row.
    pub(super) fn hide(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.is_shown) {
            out.extend_from_slice(ERASE_ROW);
        }
    }

    /// By which it is known when to [draw it anew](Self::resize).
    pub(super) fn resizes() -> Option<Resizes> {
        Resizes::new().ok()
    }

    /// Draws it as wide as the terminal is now. One that has become narrower may have broken its row: what is below
    /// the cursor is its own.
    pub(super) fn resize(&mut self, out: &mut Vec<u8>) {
        if self.is_shown {
            out.extend_from_slice(ERASE_BELOW);
            self.show(out);
        }
    }

    /// Draws it in the row where the cursor is.
    pub(super) fn show(&mut self, out: &mut Vec<u8>) {
        // The last column stays free: what stands there makes some terminals begin a row.
        let room = terminal::columns().saturating_sub(SIGN.len() + 1);
        let window = self.line.window(room);
        write(out, format_args!("{SIGN}{}", window.text));
        write(out, format_args!("\r\x1b[{}C", SIGN.len() + window.cursor));
        self.is_shown = true;
    }
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector does not fail.
    let _ = out.write_fmt(text);
}

const SIGN: &str = "> ";
const BELL: u8 = 7;
const ERASE_ROW: &[u8] = b"\r\x1b[K";
const ERASE_BELOW: &[u8] = b"\r\x1b[J";
const CLEAR_SCREEN: &[u8] = b"\x1b[H\x1b[2J";
