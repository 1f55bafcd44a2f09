//! The end of a talk: the remaining output, the last lines on stderr, and the exit code.

use std::io;

use sockeye::Connection;

use super::Talk;
use crate::connect::failure::Failure;
use crate::connect::goal::GoalState;
use crate::connect::remaining::Remaining;
use crate::connect::report::is_normal;
use crate::connect::stage::Answer;
use crate::escape::Escaped;
use crate::exit::{Exit, complain};
use crate::signal::Stop;

impl Talk<'_> {
    /// Prints the remaining messages, however the talk ended. Returns the exit of the program.
    pub(in crate::connect) async fn end(
        mut self,
        ended: Result<(), Failure>,
        last: Option<&Connection>,
        stop: &mut Stop,
    ) -> Result<Exit, Failure> {
        self.printer.end_prompt();
        let mut remaining = Remaining {
            stopped_at: self.stopped_at,
            closing_from: self.closing_from,
            close_timeout: self.close_timeout(),
        };
        let printed = remaining.print(&mut self.printer, stop).await;
        self.stopped_at = remaining.stopped_at;
        // Later failures follow from the first one.
        let ended = match (ended, printed, self.printer.lost()) {
            (Ok(()), Err(failure), _) => Err(failure),
            (Ok(()) | Err(Failure::Unanswered), _, lost @ 1..) => Err(Failure::Unread(lost)),
            (ended, _, _) => ended,
        };
        match ended {
            // The reader of stdout is gone, for example `| head`. The talk is over.
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(Exit::Done)
            }
            // The goal is met, so the way in which the server ends the connection does not count.
            Err(Failure::Lost(_) | Failure::Unanswered) if self.goal.state() == GoalState::Met => {
                Ok(Exit::Done)
            }
            Err(failure) => Err(failure),
            Ok(()) => Ok(self.conclude(last)),
        }
    }

    /// Reports the server's close code to a person, or if it is not a normal one. Returns the exit of the program.
    fn conclude(&self, last: Option<&Connection>) -> Exit {
        if self.goal.state() == GoalState::Met {
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
            GoalState::Open | GoalState::Missed => {
                complain("closed before the goal of --count or --expect was reached");
                Exit::Unmet
            }
            GoalState::None | GoalState::Met => {
                self.tell_silence();
                Exit::Done
            }
        }
    }

    /// Reports that no message followed the last one, unless the options show that the user expected none.
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
