//! How a link gives a message: whole, in parts as they come, or not at all. A text is cut between characters only
//! (RFC 6455 §8.1). Nothing here reads or writes.

use sockeye_proto::{MessageBuffer, MessageKind, ProtocolError, into_string};

use super::{Link, Wanted};
use crate::connection::assembly::{Assembly, Giving};

impl<T> Link<T> {
    #[cold]
    #[inline(never)]
    pub(super) fn begin_message(&mut self, kind: MessageKind) {
        let giving = if self.discards {
            Giving::Nothing
        } else if self.wanted.in_parts(kind) {
            Giving::Parts { kind, given: false }
        } else {
            Giving::Whole
        };
        if giving != Giving::Whole {
            self.machine.waive_assembly_deadline();
        }
        let is_compressed = self.machine.inflates_message();
        let assembly = Assembly::start(kind, giving, is_compressed);
        self.assembly = Some(Box::new(assembly));
    }

    /// The next part to give, and whether it is the last part. One fragment makes one part. Inflated data makes a part
    /// of 64 KiB, or a smaller one when nothing is left to inflate.
    pub(super) fn next_part(
        &mut self,
        kind: MessageKind,
    ) -> Result<Option<(MessageBuffer, bool)>, ProtocolError> {
        const INFLATED: usize = 64 * 1024;
        let Some(assembly) = &mut self.assembly else {
            return Ok(None);
        };
        if self.machine.message_ends_here() {
            let cut = kind == MessageKind::Text && cut_character(assembly.buffer_mut()) > 0;
            if cut {
                // Not UTF-8. The next event is that error.
                return Ok(None);
            }
            assembly.giving = Giving::Nothing;
            // The machine has checked that it is UTF-8.
            let last = assembly.end().map_err(|_| ProtocolError::InvalidUtf8)?;
            return Ok(Some((last, true)));
        }
        let is_compressed = self.machine.payload_remaining().is_none();
        if is_compressed && assembly.buffer_mut().len() < INFLATED {
            return Ok(None);
        }
        Ok(self.part_so_far()?.map(|part| (part, false)))
    }

    /// The payload that has come and is not given yet, without a cut character at its end.
    pub(super) fn part_so_far(&mut self) -> Result<Option<MessageBuffer>, ProtocolError> {
        let Some(assembly) = &mut self.assembly else {
            return Ok(None);
        };
        let Giving::Parts { kind, .. } = assembly.giving else {
            return Ok(None);
        };
        let buffer = assembly.buffer_mut();
        let cut = match kind {
            MessageKind::Text => cut_character(buffer),
            MessageKind::Binary => 0,
        };
        let whole = buffer.len() - cut;
        if whole == 0 {
            return Ok(None);
        }
        let rest = buffer.split_off(whole);
        let part = std::mem::replace(buffer, rest);
        assembly.giving = Giving::Parts { kind, given: true };
        Ok(Some(match kind {
            MessageKind::Text => {
                // The machine has checked that it is UTF-8.
                let text = into_string(part).map_err(|_| ProtocolError::InvalidUtf8)?;
                MessageBuffer::Text(text)
            }
            MessageKind::Binary => MessageBuffer::Binary(part),
        }))
    }

    /// Gives what is wanted from now on. A message that has begun is given as it was wanted then.
    #[inline]
    pub(crate) fn give(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }

    /// Gives whole messages alone from now on. A begun message is given when it is complete, or not at all if a part of
    /// it was given.
    pub(crate) fn give_whole(&mut self) {
        self.wanted = Wanted::default();
        self.skip_message();
        if let Some(assembly) = &mut self.assembly
            && let Giving::Parts { .. } = assembly.giving
        {
            assembly.giving = Giving::Whole;
        }
    }

    /// Gives nothing more of a message of which a part was given.
    pub(crate) fn skip_message(&mut self) {
        if let Some(assembly) = &mut self.assembly
            && let Giving::Parts { given: true, .. } = assembly.giving
        {
            assembly.giving = Giving::Nothing;
            *assembly.buffer_mut() = Vec::new();
        }
    }
}

/// The number of bytes at the end of a text that are a cut character. The text is UTF-8 up to there.
fn cut_character(text: &[u8]) -> usize {
    let continues = |byte: &&u8| **byte & 0xC0 == 0x80;
    let tail = text.iter().rev().take(3).take_while(continues).count();
    let Some(first) = text.len().checked_sub(tail + 1).and_then(|at| text.get(at)) else {
        return 0;
    };
    let len = match first {
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xFF => 4,
        _ => 1,
    };
    if tail + 1 < len { tail + 1 } else { 0 }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::cut_character;

    #[test]
    fn what_is_cut_of_a_character_is_told_for_each_length() {
        for text in ["", "a", "aé", "a€", "a😀", "é", "€", "😀"] {
            let last = text.chars().last().map_or(0, char::len_utf8);
            for missing in 0..last.max(1) {
                let cut = &text.as_bytes()[..text.len() - missing];
                let expected = if missing == 0 { 0 } else { last - missing };
                assert_eq!(cut_character(cut), expected, "{text} without {missing}");
            }
        }
    }
}
