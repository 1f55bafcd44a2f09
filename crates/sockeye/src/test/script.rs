//! Scripted servers: what the peer of client code expects and sends, connection after connection, over memory.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use sockeye_proto::{CloseCode, Config, Message, Role};
use tokio::io::duplex;
use tokio::sync::watch;

use crate::client::ConnectError;
use crate::connection::budget::AssemblyBudget;
use crate::connection::{Connection, client_machine, server_machine};
use crate::error::{Error, ErrorChain};
use crate::sync::{Arc, Mutex, lock};
use crate::transport::Stream;

/// The connections that client code opens in a test, one after the other, and what the server does on each.
///
/// [`connect`](Self::connect) gives the next connection to the code under test, and [`connector`](Self::connector) gives
/// them to a [`Reconnecting`](crate::reconnect::Reconnecting). At the end [`verify`](Self::verify) says which step did not
/// happen. A server whose client does something else closes with 1008 and says why, so that no test hangs.
///
/// ```
/// use sockeye::CloseCode;
/// use sockeye::reconnect::{ReconnectEvent, Reconnecting};
/// use sockeye::test::{Peer, Script};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> sockeye::Result {
/// let script = Script::new()
///     .accept(Peer::new().expects("subscribe").sends("1").drops())
///     .refuse(503)
///     .accept(Peer::new().expects("subscribe").sends("2").closes(CloseCode::NORMAL, "done"));
///
/// let mut feed = Reconnecting::new(script.connector()).greeting(|_| vec!["subscribe".into()]);
/// let mut came = Vec::new();
/// while let Some(event) = feed.next().await {
///     if let ReconnectEvent::Message(message) = event {
///         came.push(message.to_string());
///     }
/// }
/// assert_eq!(came, ["1", "2"]);
/// script.verify().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Script(Arc<State>);

#[derive(Debug)]
struct State {
    attempts: Mutex<VecDeque<Attempt>>,
    /// How many servers run, and the first error.
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// The attempts that began.
    begun: usize,
    running: usize,
    failed: Option<ScriptError>,
}

#[derive(Debug)]
enum Attempt {
    Accept(Peer),
    Refuse(StatusCode),
}

/// What the server does on one connection of a [`Script`], step after step.
///
/// Pings are answered while a step waits for the client, and the server sends none of its own. After the last step it takes
/// the client's Close, and any message is an error.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    steps: Vec<Step>,
    subprotocol: Option<String>,
}

#[derive(Clone, Debug)]
enum Step {
    Expect(Message),
    ExpectPing,
    ExpectClose(CloseCode),
    Send(Message),
    Ping(Bytes),
    Bytes(Bytes),
    Wait(Duration),
    Close(CloseCode, String),
    Drop,
}

/// An error: the client of a [`Script`] did not do what the script says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    attempt: usize,
    /// The number of the step, from 1; `None` for the attempt as a whole.
    step: Option<usize>,
    what: String,
}

/// How long [`Script::verify`] waits for the client.
const PATIENCE: Duration = Duration::from_secs(60);

/// The bytes that each direction of the transport holds.
const BUFFER: usize = 64 * 1024;

impl Script {
    /// Makes a script without connections.
    #[expect(clippy::new_without_default, reason = "a script has connections")]
    pub fn new() -> Self {
        Self(Arc::new(State {
            attempts: Mutex::default(),
            progress: watch::Sender::default(),
        }))
    }

    /// Adds an attempt that opens a connection to this server.
    #[must_use]
    pub fn accept(self, peer: Peer) -> Self {
        lock(&self.0.attempts).push_back(Attempt::Accept(peer));
        self
    }

    /// Adds an attempt that is refused with a status, as by [`ConnectError::Refused`].
    ///
    /// # Panics
    ///
    /// If the number is not a status.
    #[must_use]
    pub fn refuse(self, status: u16) -> Self {
        let Ok(status) = StatusCode::from_u16(status) else {
            panic!("{status} is not a status of HTTP");
        };
        lock(&self.0.attempts).push_back(Attempt::Refuse(status));
        self
    }

    /// Makes the next attempt, and gives the client's end of its connection.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Refused`] if the script says so. [`ConnectError::Connector`] if the script has no more attempts.
    ///
    /// # Panics
    ///
    /// If the caller is not in a tokio runtime.
    pub async fn connect(&self) -> Result<Connection, ConnectError> {
        let Some(attempt) = lock(&self.0.attempts).pop_front() else {
            let error = self.fail(None, "the script has no more attempts".to_owned());
            return Err(ConnectError::Connector(error.into()));
        };
        let number = self.begin();
        match attempt {
            Attempt::Refuse(status) => {
                let mut response = Response::new(Bytes::from_static(b"refused by the script\n"));
                *response.status_mut() = status;
                Err(ConnectError::Refused(Box::new(response)))
            }
            Attempt::Accept(peer) => {
                let (near, far) = duplex(BUFFER);
                let subprotocol = peer.subprotocol.clone();
                let (state, budget) = (Arc::clone(&self.0), AssemblyBudget::of_others());
                state.progress.send_modify(|progress| progress.running += 1);
                tokio::spawn(async move {
                    let run = peer.run(Stream::new(far), number).await;
                    state.progress.send_modify(|progress| {
                        progress.running -= 1;
                        if let Err(error) = run {
                            progress.failed.get_or_insert(error);
                        }
                    });
                });
                let machine = client_machine(Config::new(Role::Client), None);
                let near = Stream::new(near);
                Ok(Connection::new(near, machine, &[], subprotocol, budget))
            }
        }
    }

    /// Returns a function that makes one attempt after the other, for
    /// [`Reconnecting::new`](crate::reconnect::Reconnecting::new).
    pub fn connector(&self) -> impl FnMut() -> Connecting + Send + use<> {
        let script = self.clone();
        move || {
            let script = script.clone();
            Box::pin(async move { script.connect().await })
        }
    }

    /// Waits until all attempts were made and all servers have ended, for 60 s at most.
    ///
    /// # Errors
    ///
    /// [`ScriptError`] for the first step that the client did not do, or for an attempt that it did not make.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn verify(&self) -> Result<(), ScriptError> {
        let mut progress = self.0.progress.subscribe();
        let is_over = |progress: &Progress| progress.failed.is_some() || progress.running == 0;
        let waiting = progress.wait_for(is_over);
        let left = match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(Ok(progress)) => {
                if let Some(error) = &progress.failed {
                    return Err(error.clone());
                }
                lock(&self.0.attempts).len()
            }
            Ok(Err(_)) | Err(_) => {
                let what = format!("the connection is still open after {PATIENCE:?}");
                return Err(self.error(None, what));
            }
        };
        match left {
            0 => Ok(()),
            left => Err(self.error(None, format!("{left} attempts of the script are left"))),
        }
    }

    /// Begins an attempt, and returns its number, from 1.
    fn begin(&self) -> usize {
        self.0.progress.send_modify(|progress| progress.begun += 1);
        self.0.progress.borrow().begun
    }

    fn error(&self, step: Option<usize>, what: String) -> ScriptError {
        let attempt = self.0.progress.borrow().begun;
        ScriptError {
            attempt,
            step,
            what,
        }
    }

    /// Notes an error, unless there is one already.
    fn fail(&self, step: Option<usize>, what: String) -> ScriptError {
        let error = self.error(step, what);
        self.0.progress.send_modify(|progress| {
            progress.failed.get_or_insert(error.clone());
        });
        error
    }
}

type Connecting = std::pin::Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send>>;

impl Peer {
    /// Makes a server that takes no message, and waits for the client's Close.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the subprotocol of the connection.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    /// Waits for the client's next message, which has to be this one.
    #[must_use]
    pub fn expects(self, message: impl Into<Message>) -> Self {
        self.step(Step::Expect(message.into()))
    }

    /// Waits for a Ping of the client. It is answered.
    #[must_use]
    pub fn expects_ping(self) -> Self {
        self.step(Step::ExpectPing)
    }

    /// Waits for the client's Close, which has to have this code.
    #[must_use]
    pub fn expects_close(self, code: CloseCode) -> Self {
        self.step(Step::ExpectClose(code))
    }

    /// Sends a message.
    #[must_use]
    pub fn sends(self, message: impl Into<Message>) -> Self {
        self.step(Step::Send(message.into()))
    }

    /// Sends a Ping of at most 125 bytes.
    #[must_use]
    pub fn pings(self, payload: impl Into<Bytes>) -> Self {
        self.step(Step::Ping(payload.into()))
    }

    /// Sends bytes as they are: a broken frame, for example.
    #[must_use]
    pub fn sends_bytes(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Bytes(bytes.into()))
    }

    /// Does nothing for a time: it neither reads nor answers.
    #[must_use]
    pub fn waits(self, time: Duration) -> Self {
        self.step(Step::Wait(time))
    }

    /// Closes the connection: the last step.
    #[must_use]
    pub fn closes(self, code: CloseCode, reason: impl Into<String>) -> Self {
        self.step(Step::Close(code, reason.into()))
    }

    /// Drops the connection without a Close: the last step.
    #[must_use]
    pub fn drops(self) -> Self {
        self.step(Step::Drop)
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    async fn run(self, stream: Stream, attempt: usize) -> Result<(), ScriptError> {
        let config = Config::new(Role::Server).keep_alive(None);
        let machine = server_machine(config, None);
        let budget = AssemblyBudget::of_others();
        let mut connection = Connection::new(stream, machine, &[], None, budget);
        let count = self.steps.len();
        for (index, step) in self.steps.into_iter().enumerate() {
            let is_last = matches!(step, Step::Close(..) | Step::Drop | Step::ExpectClose(_));
            if let Err(what) = step.run(&mut connection).await {
                let step = Some(index + 1);
                return Err(refuse(
                    connection,
                    ScriptError {
                        attempt,
                        step,
                        what,
                    },
                )
                .await);
            }
            if is_last {
                return Ok(());
            }
        }
        match connection.recv().await {
            Ok(Some(message)) => {
                let what = format!("the script is over, and the client sent {message:?}");
                let step = Some(count + 1);
                Err(refuse(
                    connection,
                    ScriptError {
                        attempt,
                        step,
                        what,
                    },
                )
                .await)
            }
            // How the client goes is its own affair here.
            Ok(None) | Err(_) => Ok(()),
        }
    }
}

/// Tells the client what was wrong.
async fn refuse(mut connection: Connection, error: ScriptError) -> ScriptError {
    let reason = sockeye_proto::CloseReason::truncated(CloseCode::POLICY_VIOLATION, &error.what);
    if let Ok(reason) = reason {
        let _ = connection.close(reason.code(), reason.reason()).await;
    }
    error
}

impl Step {
    /// Does the step, or says what came instead.
    async fn run(self, connection: &mut Connection) -> Result<(), String> {
        use crate::connection::ConnectionEvent;

        let failed = |error: Error| ErrorChain::new(&error).to_string();
        match self {
            Self::Expect(expected) => match connection.recv().await.map_err(failed)? {
                Some(message) if message == expected => Ok(()),
                Some(message) => Err(format!("expected {expected:?}, but {message:?} came")),
                None => Err(format!("expected {expected:?}, but {}", closed(connection))),
            },
            Self::ExpectPing => match connection.recv_event().await.map_err(failed)? {
                Some(ConnectionEvent::Ping(_)) => Ok(()),
                Some(event) => Err(format!("expected a Ping, but {event:?} came")),
                None => Err(format!("expected a Ping, but {}", closed(connection))),
            },
            Self::ExpectClose(code) => match connection.recv().await.map_err(failed)? {
                Some(message) => Err(format!("expected a Close, but {message:?} came")),
                None => match connection.close_received() {
                    Some(reason) if reason.code() == code => Ok(()),
                    _ => Err(format!(
                        "expected a Close with {code}, but {}",
                        closed(connection)
                    )),
                },
            },
            Self::Send(message) => connection.send(message).await.map_err(failed),
            Self::Ping(payload) => connection.ping(&payload).await.map_err(failed),
            Self::Bytes(bytes) => {
                connection.push_frames(&bytes).map_err(failed)?;
                connection.flush().await.map_err(failed)
            }
            Self::Wait(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Self::Close(code, reason) => connection.close(code, &reason).await.map_err(failed),
            Self::Drop => Ok(()),
        }
    }
}

/// How the client closed.
fn closed(connection: &Connection) -> String {
    match connection.close_received() {
        Some(reason) => format!("the client closed with {reason}"),
        None => "the client is gone".to_owned(),
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            attempt,
            step,
            what,
        } = self;
        match step {
            Some(step) => write!(f, "attempt {attempt}, step {step}: {what}"),
            None => write!(f, "after {attempt} attempts: {what}"),
        }
    }
}

impl std::error::Error for ScriptError {}

impl From<ScriptError> for Error {
    fn from(error: ScriptError) -> Self {
        Self::Connect(error.into())
    }
}
