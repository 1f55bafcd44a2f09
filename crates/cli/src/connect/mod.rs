//! `sockeye connect`: a terminal client. What is typed, or piped in, is sent line by line; what comes is
//! printed.
//!
//! [`options`] is what it may be told, [`way`] the client that this makes, [`talk`] what is done with a connection.

use std::future::Future;
use std::pin::pin;
use std::time::SystemTime;

use sockeye::{Interruption, Retry};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::escape::Escaped;
use crate::exit::{Exit, complain, say};
use crate::log;
use crate::signal::{Signals, Stop};
use crate::time::measured;

mod credential;
mod failure;
mod goal;
mod hidden;
mod input;
mod json;
mod notation;
mod options;
mod output;
mod prompt;
mod record;
mod report;
mod stage;
mod talk;
mod tip;
mod turn;
mod way;

use self::failure::Failure;
pub(crate) use self::options::Options;
pub(crate) use self::prompt::restore as restore_terminal;
use self::talk::{End, Talk};
pub(crate) use self::tip::of_usage;

/// Talks until either side has had enough.
pub(crate) fn run(options: &Options) -> Exit {
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
    let exit = match runtime.block_on(connect(options)) {
        Ok(exit) => exit,
        Err(failure) => {
            complain(&failure.to_string());
            if let Some(tip) = tip::of(&failure, options) {
                say(&format!("  tip: {tip}\n"));
            }
            failure.exit()
        }
    };
    // A host name that is still being resolved must not hold the program.
    runtime.shutdown_background();
    exit
}

async fn connect(options: &Options) -> Result<Exit, Failure> {
    let (tell, mut told) = mpsc::channel(MAX_TOLD);
    let client = way::client(options, tell)?;
    let signals = Signals::new().map_err(Failure::Signals)?;
    let mut stop = signals.stop();
    let mut talk = Talk::new(options)?;
    let mut retry = Retry::default().limit(options.retry.unwrap_or(0));
    let mut last = None;
    loop {
        let connecting = client.connect(&options.url);
        let connecting = Box::pin(showing(connecting, &mut told, &mut talk));
        let connected = unless(&mut stop, connecting).await;
        show_told(&mut told, &mut talk);
        let why = match connected {
            None => return Ok(Exit::Interrupted),
            Some(Err(error)) => Interruption::Connect(error),
            Some(Ok(mut connection)) => {
                retry.connected(Instant::now().into_std());
                talk.greet(&connection);
                let end = talk.over(&mut connection, &mut stop).await;
                let connection = last.insert(connection);
                match end {
                    End::Over(ended) => {
                        return talk.end(ended, Some(connection), &mut stop).await;
                    }
                    End::Interrupted(why) => why,
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

/// Waits, unless a signal ends it.
async fn unless<T>(stop: &mut Stop, waiting: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        output = waiting => Some(output),
        _ = stop.asked() => None,
    }
}

/// The most parts of an opening that wait to be shown. One attempt has fewer, also with redirects and a proxy.
const MAX_TOLD: usize = 64;

/// Waits, and shows meanwhile what the client tells of the opening.
async fn showing<T>(
    waiting: impl Future<Output = T>,
    told: &mut mpsc::Receiver<String>,
    talk: &mut Talk<'_>,
) -> T {
    let mut waiting = pin!(waiting);
    loop {
        tokio::select! {
            biased;
            Some(lines) = told.recv() => talk.show(&lines),
            () = talk.print_meanwhile() => {}
            output = &mut waiting => return output,
        }
    }
}

/// Shows what the client has told last, be it that the opening was given up.
fn show_told(told: &mut mpsc::Receiver<String>, talk: &mut Talk<'_>) {
    while let Ok(lines) = told.try_recv() {
        talk.show(&lines);
    }
}
