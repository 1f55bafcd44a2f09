//! One talk: the messages that are sent and received, and the end. A talk may continue over another connection.

use std::collections::VecDeque;
use std::future::pending;
use std::io::{self, IsTerminal};
use std::time::Duration;

use sockeye::reconnect::Interruption;
use sockeye::{Connection, Error, Message};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::failure::Failure;
use super::form::Form;
use super::goal::Goal;
use super::hidden;
use super::input::{self, Given, InputError};
use super::options::Options;
use super::output::Printer;
use super::prompt::{Prompt, Redraws, Typed};
use super::record::Recorder;
use super::report;
use super::stage::{Answer, TalkStage};
use super::turn::{Pings, Turn, turn};
use super::wait::{next_given, redraw, until};
use crate::signal::Stop;
use crate::time::measured;

mod closing;
mod ending;

/// The state of a talk. It outlives a connection.
pub(super) struct Talk<'a> {
    options: &'a Options,
    form: Form,
    /// Messages of the command line, or of the prompt, that are to be sent.
    given: VecDeque<Message>,
    // Whether a person types at a terminal.
    is_typed: bool,
    has_begun: bool,
    /// `None` before the first connection, with `--message`, and after the end of the input.
    input: Option<mpsc::Receiver<Result<Given, InputError>>>,
    // The next message. The connection has no room for it yet.
    waiting: Option<Message>,
    // The end of the current stage.
    deadline: Option<Instant>,
    stage: TalkStage,
    answer: Answer,
    // When the last message was sent.
    sent_at: Option<Instant>,
    // When this side began to close a connection.
    closing_from: Option<Instant>,
    // When a signal asked for the end.
    stopped_at: Option<Instant>,
    // The failure that closes the connection.
    failed: Option<Failure>,
    goal: Goal,
    printer: Printer,
    // `None` without a prompt.
    redraws: Option<Redraws>,
    recorder: Option<Recorder>,
}

/// How a talk over one connection ended.
pub(super) enum TalkEnd {
    /// The talk is over.
    Over(Result<(), Failure>),
    /// Only the connection is over. The talk may continue over another one.
    Interrupted(Interruption),
}

impl<'a> Talk<'a> {
    pub(super) fn new(options: &'a Options) -> Result<Self, Failure> {
        let form = Form::new(options.input, options.whole, options.reach.max_size);
        let given = options.messages.iter();
        let given = given.map(|text| form.message(text.clone().into()));
        let given = given.collect::<Result<VecDeque<_>, _>>();
        let given = given.map_err(Failure::Message)?;
        let mut printer = Printer::new(options);
        let is_typed = options.messages.is_empty() && !options.whole;
        let has_prompt = is_typed && printer.start_prompt(form);
        let recorder = options.record.as_deref().map(Recorder::create).transpose();
        Ok(Self {
            options,
            form,
            given,
            is_typed: io::stdin().is_terminal() && options.messages.is_empty(),
            has_begun: false,
            input: None,
            waiting: None,
            deadline: None,
            stage: TalkStage::Open,
            answer: Answer::Unasked,
            sent_at: None,
            closing_from: None,
            stopped_at: None,
            failed: None,
            goal: Goal::new(options),
            printer,
            redraws: has_prompt.then(Prompt::redraws).flatten(),
            recorder: recorder.map_err(Failure::Record)?,
        })
    }

    /// Runs the talk over this connection until the connection ends.
    pub(super) async fn over(&mut self, connection: &mut Connection, stop: &mut Stop) -> TalkEnd {
        (self.stage, self.deadline) = (TalkStage::Open, None);
        if let Some(failure) = self.failed.take() {
            self.fail(connection, failure);
        }
        let end = match self.opened(connection) {
            Ok(()) => self.talk(connection, stop).await,
            Err(failure) => {
                self.fail(connection, failure);
                self.talk(connection, stop).await
            }
        };
        self.printer.hide_prompt();
        match self.closed(connection, &end) {
            Err(failure) if !matches!(end, TalkEnd::Over(Err(_))) => TalkEnd::Over(Err(failure)),
            _ => end,
        }
    }

    fn opened(&mut self, connection: &Connection) -> Result<(), Failure> {
        // With messages on the command line there is no other input.
        if !self.has_begun && self.options.messages.is_empty() {
            self.input = Some(match self.printer.has_prompt() {
                true => input::keys(),
                false => input::messages(self.form),
            });
        }
        self.printer.show_prompt();
        self.has_begun = true;
        if self.options.reach.verbose {
            self.printer.tell(&report::agreed(connection));
        }
        let Some(recorder) = &mut self.recorder else {
            return Ok(());
        };
        let extensions = connection
            .opening()
            .map_or(String::new(), |opening| opening.extensions());
        let opened = recorder.opened(&self.options.url, connection.subprotocol(), &extensions);
        opened.map_err(Failure::Record)
    }

    /// Records how the connection ended.
    fn closed(&mut self, connection: &Connection, end: &TalkEnd) -> Result<(), Failure> {
        let Some(recorder) = &mut self.recorder else {
            return Ok(());
        };
        let written = match (connection.close_received(), end) {
            (Some(reason), _) => recorder.closed(reason),
            (None, TalkEnd::Over(Err(failure))) => recorder.lost(&failure.to_string()),
            (None, TalkEnd::Interrupted(why)) => recorder.lost(&why.to_string()),
            (None, TalkEnd::Over(Ok(()))) => Ok(()),
        };
        written.map_err(Failure::Record)
    }

    /// Shows lines on stderr.
    pub(super) fn show(&mut self, lines: &str) {
        self.printer.tell(lines);
    }

    /// Tells a person at a terminal that the connection is open.
    pub(super) fn greet(&mut self, connection: &Connection) {
        if self.is_typed {
            let subprotocol = connection.subprotocol().map(hidden::subprotocols);
            let subprotocol =
                subprotocol.map_or(String::new(), |name| format!(", subprotocol {name}"));
            self.tell(&format!("connected{subprotocol}; Ctrl-D closes"));
        }
    }

    /// Writes a line to stderr, with the name of the program.
    pub(super) fn tell(&mut self, what: &str) {
        self.printer.tell(&format!("sockeye: {what}\n"));
    }

    /// Prints all messages that wait to be printed.
    pub(super) async fn print(&mut self) -> Result<(), Failure> {
        while !self.printer.is_idle() {
            self.printer.print().await.map_err(Failure::Output)?;
        }
        Ok(())
    }

    /// Prints waiting messages while there is no connection. Never completes if no message waits.
    pub(super) async fn print_meanwhile(&mut self) {
        if self.printer.is_idle() {
            return pending().await;
        }
        if let Err(error) = self.printer.print().await {
            self.failed.get_or_insert(Failure::Output(error));
        }
    }

    async fn talk(&mut self, connection: &mut Connection, stop: &mut Stop) -> TalkEnd {
        let opened_at = Instant::now();
        let mut has_timings = self.options.timings;
        let mut pings = Pings::new(self.options.ping, !self.options.no_ping);
        loop {
            if self.waiting.is_none() {
                self.waiting = self.given.pop_front();
            }
            self.end_input();
            let wants_input = self.wants_input();
            let receives = self.drops_messages() || self.printer.has_room();
            let input = self.input.as_mut().filter(|_| wants_input);
            let (waiting, stage) = (self.waiting.as_ref(), &mut self.stage);
            tokio::select! {
                turn = turn(connection, waiting, &mut pings, stage, receives) => match turn {
                    Turn::Answered(time) => self.answered(connection, time),
                    Turn::Fed => self.sent(connection),
                    Turn::Written => self.start_grace(connection),
                    Turn::Received(Ok(Some(message))) => {
                        if std::mem::take(&mut has_timings) {
                            self.show_timings(connection, Some(opened_at.elapsed()));
                        }
                        self.received(connection, &message);
                    }
                    Turn::Received(Ok(None)) => {
                        if has_timings {
                            self.show_timings(connection, None);
                        }
                        return self.ended(connection);
                    }
                    Turn::Received(Err(Error::UnexpectedEnd)) if self.is_closing() => {
                        return self.gives_up(connection);
                    }
                    Turn::Received(Err(error)) if self.is_closing() => {
                        let failure = self.failed.take().unwrap_or(Failure::Lost(error));
                        return TalkEnd::Over(Err(failure));
                    }
                    Turn::Received(Err(error)) => {
                        if matches!(error, Error::UnexpectedEnd | Error::Io(_)) {
                            self.hint_at_ping();
                        }
                        return TalkEnd::Interrupted(Interruption::Lost(error));
                    }
                },
                printed = self.printer.print(), if !self.printer.is_idle() => {
                    if let Err(error) = printed {
                        self.fail(connection, Failure::Output(error));
                    }
                }
                given = next_given(input) => self.take(connection, given),
                why = redraw(self.redraws.as_mut()) => self.printer.redraw_prompt(why),
                () = until(self.deadline) => {
                    if self.is_closing() {
                        return self.gives_up(connection);
                    }
                    self.close(connection);
                }
                at = stop.asked(), if self.stopped_at.is_none() => {
                    self.stopped_at = Some(at);
                    self.close(connection);
                }
            }
        }
    }

    /// Whether messages are dropped if the printer has no room. Otherwise they wait, and slow down the peer.
    fn drops_messages(&self) -> bool {
        self.goal.is_over() || self.stopped_at.is_some()
    }

    /// Whether to read more input. A person may type while a message waits. Other input is read when it can be sent.
    fn wants_input(&self) -> bool {
        let has_room = match self.printer.has_prompt() {
            true => self.given.len() < MAX_TYPED_AHEAD && self.printer.has_room(),
            false => self.waiting.is_none(),
        };
        has_room && !self.is_closing()
    }

    fn take(&mut self, connection: &mut Connection, given: Option<Result<Given, InputError>>) {
        match given {
            None => self.end_typing(),
            Some(Ok(Given::Keys(keys))) => self.press(&keys),
            Some(Ok(Given::Message(message))) => self.waiting = Some(message),
            Some(Err(error)) => self.fail(connection, Failure::Input(error)),
        }
    }

    fn press(&mut self, keys: &[u8]) {
        for typed in self.printer.press(keys) {
            match typed {
                Typed::End => self.end_typing(),
                Typed::Refused(refusal) => {
                    self.tell(&format!(
                        "the line {refusal}, and was not sent; press Enter for a new line"
                    ));
                }
                // After a refused line, a person can type again. A refused line of a pipe ends the talk.
                Typed::Line(line) => match self.form.message(line.into()) {
                    Ok(message) => self.given.push_back(message),
                    Err(refusal) => self.tell(&format!("the line {refusal}, and was not sent")),
                },
            }
        }
    }

    fn end_typing(&mut self) {
        self.input = None;
        self.printer.end_prompt();
    }

    fn answered(&mut self, connection: &mut Connection, time: Duration) {
        if self.options.ping.is_some() {
            self.tell(&format!("ping: {}", measured(time)));
        }
        match (self.stage, self.answer) {
            (TalkStage::Pinged, Answer::Awaited) => self.start_grace(connection),
            (TalkStage::Pinged, Answer::Unasked | Answer::Arrived) => self.close(connection),
            _ => {}
        }
    }

    fn show_timings(&mut self, connection: &Connection, first_message: Option<Duration>) {
        if let Some(opening) = connection.opening() {
            let timings = report::timings(&opening.timings, first_message);
            self.printer.tell(&timings);
        }
    }

    fn sent(&mut self, connection: &mut Connection) {
        self.answer = Answer::Awaited;
        self.sent_at = Some(Instant::now());
        if let (Some(message), Some(recorder)) = (self.waiting.take(), &mut self.recorder)
            && let Err(error) = recorder.sent(&message)
        {
            self.fail(connection, Failure::Record(error));
        }
    }

    fn received(&mut self, connection: &mut Connection, message: &Message) {
        if self.answer == Answer::Awaited {
            self.answer = Answer::Arrived;
        }
        if self.goal.is_over() {
            return;
        }
        if self.printer.has_room() {
            self.printer.feed(message);
        } else {
            self.printer.skip(message);
        }
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.received(message)
        {
            return self.fail(connection, Failure::Record(error));
        }
        self.goal.see(message);
        if self.goal.is_over() {
            self.close(connection);
        }
    }
}

/// The number of typed messages that may wait. The lines of one read are all taken.
const MAX_TYPED_AHEAD: usize = 16;
