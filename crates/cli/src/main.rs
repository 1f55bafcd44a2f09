//! The program `sockeye`: serves endpoints out of the box, and talks to any WebSocket server.
//!
//! What a command does is in its module; this file reads the command line. Nothing here is of use to a
//! library's user.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod chat;
mod clock;
mod echo;
mod escape;
mod exit;
mod log;
mod page;
mod push;
mod serve;
mod signal;
mod size;

use self::exit::Exit;

/// WebSockets from the terminal: serve a chat, an echo and a push, or talk to any server.
#[derive(Debug, Parser)]
#[command(name = "sockeye", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Options),
}

const AFTER_HELP: &str = "\
Log lines go to stderr. SOCKEYE_LOG says which: `debug`, `sockeye=trace`, `off`, ...";

fn main() -> ExitCode {
    let program = Program::parse();
    let exit = match program.command {
        Command::Serve(options) => {
            log::init("info");
            serve::run(&options)
        }
    };
    exit.unwrap_or_else(|failure| {
        exit::complain(&failure.to_string());
        Exit::Failed
    })
    .into()
}
