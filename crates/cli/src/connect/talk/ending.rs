//! The end of a talk: the rest of the output, the last words on stderr, and the exit code.

use std::io;
use std::time::Duration;

use sockeye::Connection;

use super::{Talk, is_normal, until};
use crate::connect::failure::Failure;
use crate::connect::goal::State;
use crate::connect::stage::Answer;
use crate::escape::Escaped;
use crate::exit::{Exit, complain};
use crate::signal::Stop;

impl Talk<'_> {
    /// Prints what came, however the talk ended; then gives its exit.
    pub(in crate::connect) async fn end(
        mut self,
        ended: Result<(), Failure>,
        last: Option<&Connection>,
        stop: &mut Stop,
    ) -> Result<Exit, Failure> {
        self.printer.end_prompt();
        let printed = self.print_rest(stop).await;
        // Later failures follow from the first one.
        let ended = match (ended, printed, self.printer.lost()) {
            (Ok(()), Err(failure), _) => Err(failure),
            (Ok(()) | Err(Failure::Unanswered), _, lost @ 1..) => Err(Failure::Unread(lost)),
            (ended, _, _) => ended,
        };
        match ended {
            // The reader of stdout is gone, as `| head` is: the talk is over.
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(Exit::Done)
            }
            // Whatever the server does then.
            Err(Failure::Lost(_) | Failure::Unanswered) if self.goal.state() == State::Met => {
                Ok(Exit::Done)
            }
            Err(failure) => Err(failure),
            Ok(()) => Ok(self.conclude(last)),
        }
    }

    /// Prints what is left. A reader of stdout may be slow. It may stop altogether for the close timeout if this side
    /// closed the connection, and for as long as it likes if the server did. After a signal it has the close timeout in
    /// all.
    async fn print_rest(&mut self, stop: &mut Stop) -> Result<(), Failure> {
        self.printer.hand_over();
        // What stdout has not been offered before.
        let offered = self.printer.progressed_at() + LAST_BYTES;
        while !self.printer.is_idle() {
            let progressed_at = self.printer.progressed_at();
            let gives_up = match (self.stopped_at, self.closing_from) {
                (Some(stopped_at), _) => Some(offered.max(stopped_at + self.close_timeout())),
                (None, Some(from)) => Some(from.max(progressed_at) + self.close_timeout()),
                (None, None) => None,
            };
            tokio::select! {
                biased;
                printed = self.printer.print() => printed.map_err(Failure::Output)?,
                at = stop.asked(), if self.stopped_at.is_none() => self.stopped_at = Some(at),
                () = until(gives_up) => {
                    if self.stopped_at.is_some() || self.printer.progressed_at() == progressed_at {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells what the server closed the connection with, where that is of interest.
    fn conclude(&self, last: Option<&Connection>) -> Exit {
        if self.goal.state() == State::Met {
            return Exit::Done;
        }
        let reason = last.and_then(Connection::close_received);
        let is_normal = reason.is_none_or(is_normal);
        if let Some(reason) = reason.filter(|_| self.is_typed || !is_normal) {
            let reason = reason.to_string();
            complain(&format!("closed: {}", Escaped(&reason)));
        }
        match self.goal.state() {
            _ if !is_normal => Exit::Abnormal,
            State::Open | State::Missed => {
                complain("closed before the goal of --count or --expect was reached");
                Exit::Unmet
            }
            State::None | State::Met => {
                self.tell_silence();
                Exit::Done
            }
        }
    }

    /// Says that the last message was not answered, where the program cannot know that no answer was expected.
    fn tell_silence(&self) {
        let has_ended = self.input.is_none() && self.stopped_at.is_none();
        let is_asked = !self.is_typed && self.options.wait.is_none();
        if self.answer != Answer::Awaited || !has_ended || !is_asked || self.options.grace.is_zero()
        {
            return;
        }
        let hint = match self.closing_from {
            Some(_) => "; --wait=5s waits longer",
            None => "",
        };
        complain(&format!(
            "no message arrived after the last one was sent{hint}"
        ));
    }
}

/// How long stdout may take for bytes that it was not offered before, although the time is over.
const LAST_BYTES: Duration = Duration::from_secs(1);
