//! `sockeye connect`: a terminal client. It sends the lines of stdin as messages, and prints received messages.
//!
//! [`options`] are the command's options, [`way`] makes a client from them, and [`talk`] runs a connection. [`topic`] is
//! `connect --topics` and `sockeye publish`, which use a client of topics.

use std::future::Future;
use std::pin::pin;
use std::time::SystemTime;

use sockeye::reconnect::{Interruption, Retry};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::escape::Escaped;
use crate::exit::{Exit, complain, say};
use crate::log;
use crate::signal::{Signals, Stop};
use crate::time::measured;

mod credential;
mod failure;
mod form;
mod goal;
mod hidden;
mod input;
mod json;
mod notation;
mod options;
mod output;
mod prompt;
mod reach;
mod record;
mod remaining;
mod report;
mod stage;
mod talk;
mod tip;
mod topic;
mod turn;
mod wait;
mod way;

use self::failure::Failure;
pub(crate) use self::options::Options;
pub(crate) use self::prompt::restore as restore_terminal;
use self::talk::{Talk, TalkEnd};
pub(crate) use self::tip::of_usage;
pub(crate) use self::topic::PublishOptions;

/// Runs the client until the talk is over.
pub(crate) fn run(options: &Options) -> Exit {
    if options.topics.is_empty() {
        run_to_end(&options.url, connect(options))
    } else {
        run_to_end(&options.url, topic::listen(options))
    }
}

/// Publishes messages to a topic.
pub(crate) fn publish(options: &PublishOptions) -> Exit {
    run_to_end(options.url(), topic::publish(options))
}

/// Runs a command that connects to a server, and reports its failure.
fn run_to_end(url: &str, command: impl Future<Output = Result<Exit, Failure>>) -> Exit {
    let _log = log::init("warn");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return Exit::Failed;
        }
    };
    let exit = match runtime.block_on(command) {
        Ok(exit) => exit,
        Err(failure) => {
            complain(&failure.to_string());
            if let Some(tip) = tip::of(&failure, url) {
                say(&format!("  tip: {tip}\n"));
            }
            failure.exit()
        }
    };
    // The resolution of a host name may still run. It must not hold the program.
    runtime.shutdown_background();
    exit
}

async fn connect(options: &Options) -> Result<Exit, Failure> {
    let (tell, mut events) = mpsc::channel(MAX_EVENTS);
    let client = way::client(&options.reach, !options.no_ping, tell)?;
    let signals = Signals::new().map_err(Failure::Signals)?;
    let mut stop = signals.stop();
    let mut talk = Talk::new(options)?;
    let mut retry = Retry::default().limit(options.retry.unwrap_or(0));
    let mut last = None;
    loop {
        let connecting = client.connect(&options.url);
        let connecting = Box::pin(showing(connecting, &mut events, &mut talk));
        let connected = unless(&mut stop, connecting).await;
        show_waiting(&mut events, &mut talk);
        let why = match connected {
            None => return Ok(Exit::Interrupted),
            Some(Err(error)) => Interruption::Connect(error),
            Some(Ok(mut connection)) => {
                retry.connected(Instant::now().into_std());
                talk.greet(&connection);
                let end = talk.over(&mut connection, &mut stop).await;
                let connection = last.insert(connection);
                match end {
                    TalkEnd::Over(ended) => {
                        return talk.end(ended, Some(connection), &mut stop).await;
                    }
                    TalkEnd::Interrupted(why) => why,
                }
            }
        };
        let now = Instant::now().into_std();
        let Some(pause) = retry.after(&why, now, SystemTime::now(), rand::random()) else {
            let ended = match why {
                Interruption::Connect(error) => Err(error.into()),
                Interruption::Lost(error) => Err(Failure::Lost(error)),
                _ => Ok(()),
            };
            return talk.end(ended, last.as_ref(), &mut stop).await;
        };
        last = None;
        let why = why.to_string();
        talk.tell(&format!("{}; again in {}", Escaped(&why), measured(pause)));
        let pausing = async {
            talk.print().await?;
            sleep(pause).await;
            Ok(())
        };
        let paused = unless(&mut stop, pausing).await;
        match paused {
            None => return Ok(Exit::Interrupted),
            Some(Ok(())) => {}
            Some(Err(failure)) => return talk.end(Err(failure), None, &mut stop).await,
        }
    }
}

/// Waits for the future. Returns `None` if a signal asks the program to end first.
async fn unless<T>(stop: &mut Stop, waiting: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        output = waiting => Some(output),
        _ = stop.asked() => None,
    }
}

/// The number of opening events that may wait to be shown. One attempt has fewer, also with redirects and a proxy.
const MAX_EVENTS: usize = 64;

/// Waits for the future, and shows the events of the opening meanwhile.
async fn showing<T>(
    waiting: impl Future<Output = T>,
    events: &mut mpsc::Receiver<String>,
    talk: &mut Talk<'_>,
) -> T {
    let mut waiting = pin!(waiting);
    loop {
        tokio::select! {
            biased;
            Some(lines) = events.recv() => talk.show(&lines),
            () = talk.print_meanwhile() => {}
            output = &mut waiting => return output,
        }
    }
}

/// Shows the events that still wait. A signal may have ended the opening before they were shown.
fn show_waiting(events: &mut mpsc::Receiver<String>, talk: &mut Talk<'_>) {
    while let Ok(lines) = events.try_recv() {
        talk.show(&lines);
    }
}
