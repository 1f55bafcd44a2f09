//! `sockeye publish`: publishes messages, and waits for the outcome of each.
//!
//! The program subscribes to the topic first, and publishes when the server has answered that. The answer says whether the
//! topic has history. Only then may the client send a publish without an answer again, with its key, on the next connection.
//! A server that refuses the subscription may still take the messages: they are sent once.

use std::collections::VecDeque;
use std::io;

use sockeye::reconnect::ReconnectEvent;
use sockeye::reconnect::topics::{PublishFailure, TopicClient, TopicEvent, TopicName};
use sockeye::{CloseCode, Message};
use tokio::sync::mpsc;

use super::options::PublishOptions;
use super::{attempt, notice};
use crate::connect::failure::Failure;
use crate::connect::form::Form;
use crate::connect::input::{self, Given, InputError};
use crate::connect::report;
use crate::connect::wait::next_given;
use crate::escape::Escaped;
use crate::exit::{Exit, complain, say};
use crate::signal::{Signals, Stop};
use crate::stream::Writer;

/// Publishes the messages until all have an outcome.
pub(in crate::connect) async fn publish(options: &PublishOptions) -> Result<Exit, Failure> {
    let topic = TopicName::check(&options.topic);
    topic.map_err(|error| Failure::Topic(options.topic.clone(), error.into()))?;
    let mut publishing = Publishing::new(options)?;
    let (mut client, mut lines) = attempt::client(&options.url, &options.reach, options.retry)?;
    let subscribed = client.subscribe(&options.topic);
    subscribed.map_err(|error| Failure::Topic(options.topic.clone(), error))?;
    let mut stop = Signals::new().map_err(Failure::Signals)?.stop();
    let ended = loop {
        publishing.publish(&mut client)?;
        if publishing.is_done() {
            close(&client);
        }
        let is_stopped = publishing.is_stopped;
        let input = publishing.wanted_input();
        tokio::select! {
            biased;
            Some(lines) = lines.recv() => say(&lines),
            _ = stop.asked(), if !is_stopped => {
                if client.connection().is_none() {
                    return Ok(Exit::Interrupted);
                }
                publishing.stop();
                close(&client);
            }
            event = client.next() => match event {
                Some(TopicEvent::Connection(ReconnectEvent::Ended { why, .. })) => {
                    break attempt::outcome(why);
                }
                Some(event) => {
                    attempt::show_waiting(&mut lines, say);
                    publishing.take(&client, event);
                }
                None => break Ok(()),
            },
            given = next_given(input) => publishing.read(given),
        }
    };
    attempt::show_waiting(&mut lines, say);
    publishing.end(ended, &mut stop).await
}

fn close(client: &TopicClient) {
    let closed = client.close(CloseCode::NORMAL, "");
    debug_assert!(closed.is_ok(), "1000 may be sent");
}

/// The messages, and what became of them.
struct Publishing<'a> {
    options: &'a PublishOptions,
    form: Form,
    given: VecDeque<Message>,
    input: Source,
    /// Whether the server has answered the subscription.
    is_answered: bool,
    /// The number of messages that have no outcome.
    open: usize,
    is_stopped: bool,
    stdout: Option<Writer>,
    /// The number of messages that no connection took.
    unsent: usize,
    /// The failure of the input.
    failed: Option<Failure>,
    /// The exit after the messages that are not published.
    exit: Exit,
}

enum Source {
    /// Stdin is read when there is a connection.
    Unread,
    Open(mpsc::Receiver<Result<Given, InputError>>),
    Ended,
}

/// The number of messages that may be without an outcome. Each connection of a server takes 16 at once.
const MAX_OPEN: usize = 16;

impl<'a> Publishing<'a> {
    fn new(options: &'a PublishOptions) -> Result<Self, Failure> {
        let form = Form::new(options.input, options.whole, options.reach.max_size);
        let given = options.messages.iter();
        let given = given.map(|text| form.message(text.clone().into()));
        let given = given.collect::<Result<VecDeque<_>, _>>();
        let given = given.map_err(Failure::Message)?;
        Ok(Self {
            options,
            form,
            input: match given.is_empty() {
                true => Source::Unread,
                false => Source::Ended,
            },
            given,
            is_answered: false,
            open: 0,
            unsent: 0,
            is_stopped: false,
            stdout: options.reach.verbose.then(Writer::start),
            failed: None,
            exit: Exit::Done,
        })
    }

    /// Gives the client the messages that may be without an outcome.
    fn publish(&mut self, client: &mut TopicClient) -> Result<(), Failure> {
        while self.is_answered
            && self.open < MAX_OPEN
            && let Some(message) = self.given.pop_front()
        {
            let topic = &self.options.topic;
            let published = client.publish(topic, message);
            published.map_err(|error| Failure::Topic(topic.clone(), error))?;
            self.open += 1;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        matches!(self.input, Source::Ended) && self.given.is_empty() && self.open == 0
    }

    /// Returns the input if another message can be sent.
    fn wanted_input(&mut self) -> Option<&mut mpsc::Receiver<Result<Given, InputError>>> {
        match &mut self.input {
            Source::Open(input) if self.given.is_empty() && self.open < MAX_OPEN => Some(input),
            _ => None,
        }
    }

    fn read(&mut self, given: Option<Result<Given, InputError>>) {
        match given {
            Some(Ok(Given::Message(message))) => self.given.push_back(message),
            Some(Ok(Given::Keys(_))) => {}
            Some(Err(error)) => {
                self.failed = Some(Failure::Input(error));
                self.input = Source::Ended;
            }
            None => self.input = Source::Ended,
        }
    }

    fn stop(&mut self) {
        self.is_stopped = true;
        self.input = Source::Ended;
        self.given.clear();
    }

    fn take(&mut self, client: &TopicClient, event: TopicEvent) {
        // The subscription is not what the user asked for.
        if let TopicEvent::Connection(_) = &event
            && let Some(notice) = notice::of(&event, false)
        {
            complain(&notice);
        }
        match event {
            // Also if the server refuses the subscription, or cannot serve it now.
            TopicEvent::Subscribed { .. }
            | TopicEvent::Delayed { .. }
            | TopicEvent::Ended { .. } => self.is_answered = true,
            TopicEvent::Published { position, .. } => {
                self.open -= 1;
                if let Some(stdout) = &self.stdout {
                    let position = position.map_or("-".to_owned(), |at| at.to_string());
                    stdout.push(format!("{position}\n").into_bytes());
                }
            }
            TopicEvent::PublishFailed { failure, .. } => {
                self.open -= 1;
                self.not_published(&failure);
            }
            TopicEvent::Connection(ReconnectEvent::Opened) => {
                if matches!(self.input, Source::Unread) {
                    self.input = Source::Open(input::messages(self.form));
                }
                if let Some(connection) = client.connection().filter(|_| self.stdout.is_some()) {
                    say(&report::agreed(connection));
                }
            }
            _ => {}
        }
    }

    fn not_published(&mut self, failure: &PublishFailure) {
        let (text, exit) = match failure {
            PublishFailure::Refused(why) => (why.to_string(), Exit::Unmet),
            PublishFailure::Unsent => {
                self.unsent += 1;
                return;
            }
            failure => (failure.to_string(), Exit::Abnormal),
        };
        complain(&format!("not published: {}", Escaped(&text)));
        if self.exit != Exit::Abnormal {
            self.exit = exit;
        }
    }

    /// Returns the exit of the program.
    async fn end(self, ended: Result<(), Failure>, stop: &mut Stop) -> Result<Exit, Failure> {
        if let Some(stdout) = &self.stdout {
            let printed = tokio::select! {
                biased;
                printed = stdout.flushed() => printed,
                _ = stop.asked() => Ok(()),
            };
            match printed {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    return Err(Failure::Output(error));
                }
                _ => {}
            }
        }
        if let Some(failure) = self.failed {
            return Err(failure);
        }
        ended?;
        match self.unsent + self.given.len() {
            0 => Ok(self.exit),
            unsent => {
                complain(&format!("closed before {unsent} of the messages were sent"));
                Ok(Exit::Abnormal)
            }
        }
    }
}
