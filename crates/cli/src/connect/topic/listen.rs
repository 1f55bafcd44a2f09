//! `sockeye connect --topics`: prints the messages of topics.

use std::io;
use std::time::Duration;

use sockeye::reconnect::ReconnectEvent;
use sockeye::reconnect::topics::{Position, SubscribeOptions, TopicClient, TopicEvent};
use sockeye::{CloseCode, Message};
use tokio::time::Instant;

use super::{attempt, notice};
use crate::connect::failure::Failure;
use crate::connect::goal::{Goal, GoalState};
use crate::connect::options::{Options, Wait};
use crate::connect::output::Printer;
use crate::connect::remaining::Remaining;
use crate::connect::report;
use crate::connect::wait::until;
use crate::exit::{Exit, complain};
use crate::signal::{Signals, Stop};

/// Prints the messages of the topics until the client has ended.
pub(in crate::connect) async fn listen(options: &Options) -> Result<Exit, Failure> {
    let (mut client, mut lines) = attempt::client(&options.url, &options.reach, options.retry)?;
    for topic in &options.topics {
        let wants = SubscribeOptions::new();
        let wants = match options.recent {
            Some(number) => wants.recent(number),
            None => wants,
        };
        let subscribed = client.subscribe_with(topic, &wants);
        subscribed.map_err(|error| Failure::Topic(topic.clone(), error))?;
    }
    let mut stop = Signals::new().map_err(Failure::Signals)?.stop();
    let mut listening = Listening::new(options);
    let ended = loop {
        let receives = listening.goal.is_over() || listening.printer.has_room();
        tokio::select! {
            biased;
            Some(lines) = lines.recv() => listening.printer.tell(&lines),
            printed = listening.printer.print(), if !listening.printer.is_idle() => {
                if let Err(error) = printed {
                    listening.failed.get_or_insert(Failure::Output(error));
                    listening.close(&client);
                }
            }
            at = stop.asked(), if listening.stopped_at.is_none() => {
                if client.connection().is_none() {
                    return Ok(Exit::Interrupted);
                }
                listening.stopped_at = Some(at);
                listening.close(&client);
            }
            () = until(listening.deadline) => {
                if listening.closing_from.is_some() {
                    break Err(Failure::Unanswered);
                }
                listening.close(&client);
            }
            event = client.next(), if receives => match event {
                Some(TopicEvent::Connection(ReconnectEvent::Ended { why, .. })) => {
                    break attempt::outcome(why);
                }
                Some(event) => {
                    attempt::show_waiting(&mut lines, |lines| listening.printer.tell(lines));
                    listening.take(&client, event);
                }
                None => break Ok(()),
            }
        }
    };
    attempt::show_waiting(&mut lines, |lines| listening.printer.tell(lines));
    listening.end(ended, &mut stop).await
}

/// The state beside the client.
struct Listening<'a> {
    options: &'a Options,
    printer: Printer,
    goal: Goal,
    /// The number of subscriptions that have not ended.
    subscriptions: usize,
    /// The end of the time of `--wait`, or of the close timeout.
    deadline: Option<Instant>,
    closing_from: Option<Instant>,
    stopped_at: Option<Instant>,
    /// The failure that closes the client.
    failed: Option<Failure>,
}

impl<'a> Listening<'a> {
    fn new(options: &'a Options) -> Self {
        Self {
            options,
            printer: Printer::new(options),
            goal: Goal::new(options),
            subscriptions: options.topics.len(),
            deadline: None,
            closing_from: None,
            stopped_at: None,
            failed: None,
        }
    }

    fn take(&mut self, client: &TopicClient, event: TopicEvent) {
        if self.closing_from.is_none()
            && let Some(notice) = notice::of(&event, self.options.reach.verbose)
        {
            self.printer.tell(&format!("sockeye: {notice}\n"));
        }
        match event {
            TopicEvent::Message {
                topic,
                message,
                position,
                ..
            } => self.received(client, &topic, position, &message),
            TopicEvent::App(message) => self.received(client, "", None, &message),
            TopicEvent::Ended { .. } => {
                self.subscriptions -= 1;
                if self.subscriptions == 0 {
                    self.failed.get_or_insert(Failure::Unsubscribed);
                    self.close(client);
                }
            }
            TopicEvent::Connection(ReconnectEvent::Opened) => self.opened(client),
            _ => {}
        }
    }

    fn opened(&mut self, client: &TopicClient) {
        if let Some(Wait::For(time)) = self.options.wait {
            self.deadline.get_or_insert_with(|| Instant::now() + time);
        }
        if let Some(connection) = client.connection().filter(|_| self.options.reach.verbose) {
            self.printer.tell(&report::agreed(connection));
        }
    }

    fn received(
        &mut self,
        client: &TopicClient,
        topic: &str,
        at: Option<Position>,
        message: &Message,
    ) {
        if self.goal.is_over() {
            return;
        }
        self.printer.feed_of_topic(topic, at, message);
        self.goal.see(message);
        if self.goal.is_over() {
            self.close(client);
        }
    }

    fn close_timeout(&self) -> Duration {
        Duration::from_secs(self.options.reach.close_timeout.into())
    }

    fn close(&mut self, client: &TopicClient) {
        if self.closing_from.is_some() {
            return;
        }
        let now = Instant::now();
        self.closing_from = Some(now);
        self.deadline = Some(now + self.close_timeout());
        let closed = client.close(CloseCode::NORMAL, "");
        debug_assert!(closed.is_ok(), "1000 may be sent");
    }

    /// Prints the remaining messages. Returns the exit of the program.
    async fn end(mut self, ended: Result<(), Failure>, stop: &mut Stop) -> Result<Exit, Failure> {
        let mut remaining = Remaining {
            stopped_at: self.stopped_at,
            closing_from: self.closing_from,
            close_timeout: self.close_timeout(),
        };
        let printed = remaining.print(&mut self.printer, stop).await;
        // Later failures follow from the first one.
        let ended = match (self.failed.take(), ended, printed, self.printer.lost()) {
            (Some(failure), ..) => Err(failure),
            (None, Ok(()), Err(failure), _) => Err(failure),
            (None, Ok(()) | Err(Failure::Unanswered), _, lost @ 1..) => Err(Failure::Unread(lost)),
            (None, ended, ..) => ended,
        };
        match (ended, self.goal.state()) {
            // The reader of stdout is gone, for example `| head`.
            (Err(Failure::Output(error)), _) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(Exit::Done)
            }
            // The goal is met, so the way in which the server ends the connection does not count.
            (Err(Failure::Lost(_) | Failure::Unanswered | Failure::Closed(_)), GoalState::Met) => {
                Ok(Exit::Done)
            }
            (Err(failure), _) => Err(failure),
            (Ok(()), GoalState::Open | GoalState::Missed) => {
                complain("closed before the goal of --count or --expect was reached");
                Ok(Exit::Unmet)
            }
            (Ok(()), GoalState::None | GoalState::Met) => Ok(Exit::Done),
        }
    }
}
