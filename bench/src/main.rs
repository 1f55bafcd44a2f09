//! What a message costs: one load for all servers, each of them pinned to a processor of its own.
//!
//! `cargo xtask bench` starts this program in four parts: as itself (`run`, `against`, `fairness`), as each server
//! (`serve`), as the load (`load`, `attack`, `bystander`) and as each codec (`codec`). So there is one build, and each
//! part has a process whose time is measured alone.

#![expect(clippy::print_stdout, reason = "figures are what this program is for")]

mod against;
mod child;
mod codec;
mod fairness;
mod load;
mod machine;
mod message;
mod nodes;
mod process;
mod publish;
mod redis;
mod report;
mod revision;
mod run;
mod server;
mod statistics;
mod target;
mod workload;

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
enum Command {
    /// Measures servers under workloads, in rounds, and prints a table
    Run(run::Options),
    /// Measures servers of this revision and of another one in turn, and prints ratios
    Against(against::Options),
    /// Measures how long an innocent connection waits while a server is attacked
    Fairness(fairness::Options),
    /// Attacks a server until stdin ends, and prints what it did as a line of JSON
    Attack(fairness::ProcessOptions),
    /// Pings a server while it is attacked, and prints how long it waited as a line of JSON
    Bystander(fairness::ProcessOptions),
    /// Serves an echo at a free port of the loopback, and prints it
    Serve(server::Options),
    /// Loads a server, and prints what that cost it as a line of JSON
    Load(load::Options),
    /// Echoes in memory, and prints what that costs a codec as a line of JSON
    Codec(codec::Options),
    /// Publishes to Redis, and prints how long that takes as a line of JSON
    Publish(publish::Options),
    /// Listens to a topic as two nodes do, and prints how many messages each got when stdin says so
    Listen(publish::listen::Options),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Run(options) => run::run(&options),
        Command::Against(options) => against::run(&options),
        Command::Fairness(options) => fairness::run(&options),
        Command::Attack(options) => fairness::attack(&options),
        Command::Bystander(options) => fairness::bystand(&options),
        Command::Serve(options) => server::serve(&options),
        Command::Load(options) => load::load(&options),
        Command::Codec(options) => codec::codec(&options),
        Command::Publish(options) => publish::publish(&options),
        Command::Listen(options) => publish::listen::listen(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The result of a step. Its error is a sentence for the reader of the log.
type Result<T, E = String> = std::result::Result<T, E>;
