//! How many instructions a message costs: a gate without noise beside the clock's measurements.
//!
//! `cargo xtask bench --instructions` starts this program as `count`; that starts it under callgrind as
//! `run JOB N`, with N messages and with twice as many. The difference is what N messages cost: whatever
//! starts and ends a process cancels out. There are no other libraries here, and one thread. Only the
//! messages of `w9` go over sockets: the deliverer writes to no other transport.

#![expect(clippy::print_stdout, reason = "counts are what this program is for")]

mod baseline;
mod callgrind;
mod client;
mod codec;
mod connection;
mod endpoint;
mod job;
mod script;
mod topics;

use std::process::ExitCode;

use crate::job::Job;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["run", job, messages] => run(job, messages),
        ["count", ref options @ ..] => count(options),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(job: &str, messages: &str) -> Result<()> {
    let messages = messages
        .parse()
        .map_err(|_| format!("`{messages}` is no number of messages"))?;
    (Job::find(job)?.run)(messages)
}

fn count(options: &[&str]) -> Result<()> {
    let (flags, names): (Vec<&str>, Vec<&str>) =
        options.iter().partition(|option| option.starts_with('-'));
    if let Some(unknown) = flags.iter().find(|flag| **flag != "--bless") {
        return Err(format!("`{unknown}` is no option\n\n{USAGE}"));
    }
    let jobs = if names.is_empty() {
        job::ALL.iter().collect()
    } else {
        names
            .into_iter()
            .map(Job::find)
            .collect::<Result<Vec<_>>>()?
    };
    let counted = callgrind::count(&jobs)?;
    if flags.is_empty() {
        baseline::compare(&counted)
    } else {
        baseline::bless(&counted)
    }
}

/// The result of a step. Its error is a sentence for the reader of the log.
type Result<T, E = String> = std::result::Result<T, E>;

const USAGE: &str = "\
usage: instructions count [--bless] [JOB...]   under callgrind, against the baseline, or as the next one
       instructions run JOB N                  N messages of one job, to be looked at by any tool";
