//! A process of clients: it holds many clients of topics, and writes what each is told to a log. The run tells it over
//! stdin what to do, a word a line. At the end of stdin it ends.

mod config;
mod log;
mod member;
mod phase;

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(super) use self::config::Config;
use self::log::Log;
use self::member::Member;
use self::phase::Phase;
use crate::error::Result;

/// Runs the clients of the process whose configuration is in this file.
pub(crate) async fn run(path: &str) -> Result<()> {
    let config = Config::read(path.as_ref())?;
    let log = Arc::new(Log::create(&config.log)?);
    let (phase, phases) = watch::channel(Phase::Busy);
    let mut members = JoinSet::new();
    for number in 0..config.clients {
        let member = Member::new(number, &config, Arc::clone(&log), phases.clone()).await?;
        members.spawn(member.run());
    }
    let mut words = BufReader::new(tokio::io::stdin()).lines();
    while let Some(word) = words.next_line().await? {
        phase.send_modify(|phase| phase.take(&word));
        if *phase.borrow() == Phase::Over {
            break;
        }
    }
    phase.send_replace(Phase::Over);
    let mut outcome = Ok(());
    while let Some(ended) = members.join_next().await {
        outcome = outcome.and(ended?);
    }
    log.finish()?;
    outcome
}
