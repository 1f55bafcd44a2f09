//! The log, on stderr. The program does not wait until log lines are written. Each event is one line, whatever text of a
//! peer it quotes.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use sockeye::endpoint::LogLimit;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::debug_fn;

use self::queue::LineQueue;
use crate::color;
use crate::escape::is_deceptive;

pub(crate) mod queue;

/// The log of the program. Dropping it writes the waiting lines, as far as stderr takes them in time.
#[derive(Clone, Debug)]
#[must_use = "dropped, it writes the lines that wait"]
pub(crate) struct Log(Arc<LineQueue>);

/// Returns the queue of lines for stderr. The log and the commands share it.
pub(crate) fn stderr() -> &'static Arc<LineQueue> {
    static STDERR: OnceLock<Arc<LineQueue>> = OnceLock::new();
    STDERR.get_or_init(|| Arc::new(LineQueue::stderr()))
}

/// Starts logging. The variable [`VARIABLE`] selects the events. If it is not set or invalid, `default` applies.
pub(crate) fn init(default: &str) -> Log {
    let queue = Arc::clone(stderr());
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    let lines = Arc::clone(&queue);
    let fields = debug_fn(|writer, field, value| {
        if field.name() != "message" {
            write!(writer, "{field}=")?;
        }
        let room = MAX_FIELD;
        let mut escaping = Escaping { writer, room };
        write!(escaping, "{value:?}")?;
        if escaping.room == 0 {
            escaping.writer.write_str("...")?;
        }
        Ok(())
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || lines.line())
        .with_ansi(io::stderr().is_terminal() && color::is_wanted())
        .with_target(false)
        .fmt_fields(fields.delimited(" "))
        .init();
    Log(queue)
}

impl Log {
    /// Writes a line with the name of the program, after the log lines.
    pub(crate) fn complain(&self, what: &str) {
        self.0.push(format!("sockeye: {what}\n").as_bytes());
    }

    /// Logs panics from now on, at most one in 10 s. The default hook would wait until stderr is read.
    pub(crate) fn take_panics(&self) {
        static PANICS: LogLimit = LogLimit::new();
        let log = self.clone();
        std::panic::set_hook(Box::new(move |panic| {
            if let Some(left_out) = PANICS.admit(Instant::now()) {
                let backtrace = std::backtrace::Backtrace::capture();
                let left_out = match left_out {
                    0 => String::new(),
                    more => format!(" ({more} earlier panics were not logged)"),
                };
                log.complain(&format!("{panic}{left_out}\n{backtrace}"));
            }
        }));
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// A writer that escapes characters that a terminal obeys, and stops after `room` characters.
struct Escaping<'a, W> {
    writer: &'a mut W,
    room: usize,
}

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.room == 0 {
                break;
            }
            self.room -= 1;
            if is_deceptive(c) {
                write!(self.writer, "{}", c.escape_default())?;
            } else {
                self.writer.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// The number of characters of one field that are logged.
const MAX_FIELD: usize = 1024;

const VARIABLE: &str = "SOCKEYE_LOG";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_one_line_of_bounded_length() {
        let mut line = String::new();
        let mut escaping = Escaping {
            writer: &mut line,
            room: 8,
        };
        escaping.write_str("a\n\u{202e}b\u{1b}[2Jcut off").unwrap();
        assert_eq!(line, r"a\n\u{202e}b\u{1b}[2J");
    }
}
