//! `sockeye connect`: a terminal client. What is typed, or piped in, is sent line by line; what comes is
//! printed.

use std::future::{Future, poll_fn};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use clap::Args;
use http::{HeaderName, HeaderValue};
use sockeye::tls;
use sockeye::{Client, CloseCode, Config, Connection, Error, Message, Role, SendError};
use tokio::sync::mpsc;

use crate::escape::Escaped;
use crate::exit::{Exit, complain};
use crate::log;
use crate::signal::Signals;
use crate::size::Size;

mod failure;
mod input;
mod output;

use self::failure::Failure;
use self::input::InputError;
use self::output::Printer;

/// Talk to a WebSocket server
///
/// Each line that is typed or piped in is sent as a text message; each message that comes is printed on a
/// line of its own. The end of the input (Ctrl-D) closes the connection with 1000 behind what was sent, and
/// what the server still sends before its own Close is printed.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The server's address, as ws://127.0.0.1:8080/echo or wss://chat.example/
    url: String,

    /// A header field of the request; may be given more than once
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = parse_header)]
    header: Vec<(HeaderName, HeaderValue)>,

    /// A subprotocol to offer, the preferred first; may be given more than once
    #[arg(long, value_name = "NAME")]
    subprotocol: Vec<String>,

    /// Trust the certificates in this PEM file, instead of what the system trusts
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,

    /// The longest message that is taken; a longer one ends the connection
    #[arg(long, value_name = "SIZE", default_value = "16MiB")]
    max_message: Size,

    /// How long the server may take to answer the Close
    #[arg(long, value_name = "SECS", default_value_t = 5)]
    close_timeout: u32,
}

const AFTER_HELP: &str = "\
Messages on stdout:
  to a terminal  a text with its control characters escaped, on one line;
                 a binary message as `<N bytes>`
  elsewhere      a text as it is, and a line end behind it;
                 a binary message as it is, and nothing behind it

Signals:
  Ctrl-C or SIGTERM closes the connection as the input's end does. A second one
  ends the program at once.

Exit codes:
  0    closed with 1000, 1001 or no code; or nobody reads stdout any more
  1    no connection: the server cannot be reached, or speaks no WebSocket;
       or stdin is no text, or stdout cannot be written
  2    the command line is wrong
  3    the server refused the handshake: its answer is on stderr
  4    the connection was lost, the server broke the protocol or did not answer
       the Close, or it closed with another code
  130  ended by a second Ctrl-C

Log lines go to stderr. The variable SOCKEYE_LOG says which:
`debug`, `sockeye=trace`, ...; by default `warn`.";

/// Talks until either side has had enough.
pub(crate) fn run(options: &Options) -> Exit {
    log::init("warn");
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
            failure.exit()
        }
    };
    // Output that nobody takes must not hold the program.
    runtime.shutdown_background();
    exit
}

async fn connect(options: &Options) -> Result<Exit, Failure> {
    let config = Config::new(Role::Client)
        .max_message(options.max_message.bytes())
        .close_timeout(Duration::from_secs(options.close_timeout.into()));
    let mut client = Client::builder()
        .config(config)
        .subprotocols(&options.subprotocol);
    if let Some(roots) = &options.cacert {
        client = client.tls(tls::client_config_trusting(roots).map_err(Failure::Roots)?);
    }
    for (name, value) in &options.header {
        client = client.header(name.clone(), value.clone());
    }
    let signals = Signals::new().map_err(Failure::Signals)?;
    let connection = client.connect(&options.url).await?;
    let is_typed = io::stdin().is_terminal();
    if is_typed {
        let subprotocol = connection.subprotocol();
        let subprotocol = subprotocol.map_or(String::new(), |name| format!(", subprotocol {name}"));
        complain(&format!("connected{subprotocol}; Ctrl-D closes"));
    }
    let talk = Talk {
        connection,
        lines: input::lines(),
        waiting: None,
        closing: false,
        printer: Printer::new(),
    };
    talk.run(signals, is_typed).await
}

/// One connection, the lines that go out and the messages that come in.
struct Talk {
    connection: Connection,
    lines: mpsc::Receiver<Result<String, InputError>>,
    // A line that there is no room for yet.
    waiting: Option<Message>,
    closing: bool,
    printer: Printer,
}

/// What the connection did.
enum Turn {
    Fed(Result<(), Error>),
    Received(Result<Option<Message>, Error>),
}

impl Talk {
    async fn run(mut self, signals: Signals, is_typed: bool) -> Result<Exit, Failure> {
        let ended = self.talk(signals).await;
        // What came is printed, however the talk ended.
        while !self.printer.is_idle() {
            if self.printer.print().await.is_err() {
                break;
            }
        }
        match ended {
            Ok(()) => Ok(self.conclude(is_typed)),
            // As of `| head`: there is nobody left to talk for.
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(Exit::Done)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn talk(&mut self, signals: Signals) -> Result<(), Failure> {
        let mut stop = pin!(signals.stop());
        // Why the input ended before its end.
        let mut failed = None;
        loop {
            let wants_line = self.waiting.is_none() && !self.closing;
            tokio::select! {
                turn = turn(&mut self.connection, self.waiting.as_ref()),
                    if self.printer.has_room() => match turn
                {
                    Turn::Fed(Ok(())) => self.waiting = None,
                    // What the connection is closing for is what is received next.
                    Turn::Fed(Err(Error::Send(SendError::Closed))) => self.waiting = None,
                    Turn::Fed(Err(error)) => return Err(Failure::Lost(error)),
                    Turn::Received(Ok(Some(message))) => self.printer.feed(&message),
                    Turn::Received(Ok(None)) => return failed.map_or(Ok(()), Err),
                    Turn::Received(Err(Error::UnexpectedEnd)) if self.closing => {
                        return Err(failed.unwrap_or(Failure::Unanswered));
                    }
                    Turn::Received(Err(error)) => return Err(Failure::Lost(error)),
                },
                printed = self.printer.print(), if !self.printer.is_idle() => {
                    printed.map_err(Failure::Output)?;
                }
                line = self.lines.recv(), if wants_line => match line {
                    Some(Ok(line)) => self.waiting = Some(line.into()),
                    Some(Err(error)) => {
                        failed = Some(Failure::Input(error));
                        self.close();
                    }
                    None => self.close(),
                },
                () = &mut stop, if !self.closing => self.close(),
            }
        }
    }

    /// Starts the closing handshake, behind what was sent. What the peer sends before its Close still
    /// comes.
    fn close(&mut self) {
        self.closing = true;
        self.waiting = None;
        let started = self
            .connection
            .start_closing_handshake(CloseCode::NORMAL, "");
        debug_assert!(started.is_ok(), "1000 may be sent");
    }

    /// Tells what the server closed the connection with, where that is of interest.
    fn conclude(&self, is_typed: bool) -> Exit {
        let Some(reason) = self.connection.close_received() else {
            return Exit::Done;
        };
        let is_normal = matches!(
            reason.code(),
            CloseCode::NORMAL | CloseCode::GOING_AWAY | CloseCode::NO_STATUS
        );
        if is_typed || !is_normal {
            let reason = reason.to_string();
            complain(&format!("closed: {}", Escaped(&reason)));
        }
        if is_normal {
            Exit::Done
        } else {
            Exit::Abnormal
        }
    }
}

/// Receives, and sends what waits as soon as there is room: whichever comes first. Neither waits for
/// the other: a peer that sends without reading, and one that does not read before it has sent, are both
/// served. The connection keeps what is under way, so the futures may be made anew for each poll.
async fn turn(connection: &mut Connection, waiting: Option<&Message>) -> Turn {
    poll_fn(|cx| {
        if let Some(message) = waiting {
            let fed = pin!(connection.feed(message.clone())).poll(cx);
            if fed.is_ready() {
                return fed.map(Turn::Fed);
            }
        }
        match pin!(connection.recv()).poll(cx) {
            Poll::Ready(received) => Poll::Ready(Turn::Received(received)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("no colon: write 'Name: value'")?;
    let name = HeaderName::from_bytes(name.trim().as_bytes())
        .map_err(|_| format!("`{name}` is no name of a header field"))?;
    let value = HeaderValue::from_bytes(value.trim().as_bytes())
        .map_err(|_| "the value has control characters".to_owned())?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_field_is_a_name_a_colon_and_a_value() {
        let (name, value) = parse_header("Authorization:  Basic abc: ").expect("a field");
        assert_eq!(
            (name.as_str(), value.as_bytes()),
            ("authorization", &b"Basic abc:"[..])
        );
        for text in ["", "Cookie", ": x", "a b: c", "X: a\u{1}b", "X: a\nb"] {
            assert!(parse_header(text).is_err(), "{text:?}");
        }
    }
}
