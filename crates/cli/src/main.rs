//! The program `sockeye`: a server with ready-made endpoints, and a client for any WebSocket server.
//!
//! This file parses the command line; each command has a module. Code that users of the library need is not in this
//! crate.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

mod audience;
mod chat;
mod color;
mod connect;
mod drawboard;
mod echo;
mod escape;
mod exit;
mod log;
mod manual;
mod pace;
mod page;
mod push;
mod secret;
mod serve;
mod signal;
mod size;
mod snake;
mod stream;
mod time;
mod topics;

use self::exit::Exit;

/// WebSockets from the terminal: serve a chat, an echo and a push, or talk to any server
#[derive(Debug, Parser)]
#[command(name = "sockeye", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // These are boxed because of their many options.
    Serve(Box<serve::Options>),
    Connect(Box<connect::Options>),
    Publish(Box<connect::PublishOptions>),
    Completions(manual::Options),
    /// Print the manual page, in roff: `sockeye man | man -l -`
    Man,
}

const AFTER_HELP: &str = "\
Examples:
  sockeye serve
  sockeye connect ws://127.0.0.1:8080/push
  echo hello | sockeye connect ws://127.0.0.1:8080/echo
  sockeye connect --topics demo/1 ws://127.0.0.1:8080/topics
  sockeye publish ws://127.0.0.1:8080/topics demo/1 hello";

fn main() -> ExitCode {
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(error) => {
            let arguments = env::args_os().map(|argument| argument.to_string_lossy().into_owned());
            let arguments: Vec<_> = arguments.collect();
            return explain(&connect::of_usage(error, &arguments));
        }
    };
    let exit = match program.command {
        Command::Serve(options) => serve::run(&options),
        Command::Connect(options) => connect::run(&options),
        Command::Publish(options) => connect::publish(&options),
        Command::Completions(options) => manual::complete(&mut Program::command(), &options),
        Command::Man => manual::page(&Program::command()),
    };
    exit.into()
}

/// Prints the requested help or version, or the error in the command line.
fn explain(error: &clap::Error) -> ExitCode {
    let printed = error.print().and_then(|()| io::stdout().flush());
    let exit = match printed {
        _ if error.use_stderr() => Exit::Usage,
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::Failed,
        _ => Exit::Done,
    };
    exit.into()
}
