//! One connection to the server: how it opens, for commands and for the feed alike.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, ProtocolVersion, PushInfo, RedisConnectionInfo,
};
use redis::{RedisError, Value};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::address::Address;
use crate::failure::ConnectError;
use crate::heard::{HeardStream, LastHeard};
use crate::outcome::{CallError, refusal_of};
use crate::reply;
use crate::transport::Dial;

/// The time within which a connection has to open: the stream, TLS, and the login.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// The time within which the server has to answer a request.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Opens connections to one server.
pub(crate) struct Connector {
    dial: Arc<dyn Dial>,
    /// The server, for errors.
    server: String,
    login: RedisConnectionInfo,
}

/// What a connection is for. It stands in the connection's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Commands,
    Feed,
}

/// An open connection. It ends when it is dropped.
pub(crate) struct Connection {
    redis: MultiplexedConnection,
    driver: AbortHandle,
    heard: LastHeard,
    end: watch::Sender<Option<End>>,
}

/// Why a connection is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The stream ended.
    Closed,
    /// The server answered a request in a way that a new connection has to clear up.
    Refused(CallError),
}

impl Connector {
    /// Makes a connector for the server of this address. `dial` opens the streams.
    pub(crate) fn new(address: &Address, dial: Arc<dyn Dial>) -> Self {
        let mut login = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(address.database.into())
            .set_skip_set_lib_name();
        if let Some(user) = &address.user {
            login = login.set_username(user);
        }
        if let Some(password) = &address.password {
            login = login.set_password(password.reveal());
        }
        Self {
            dial,
            server: address.to_string(),
            login,
        }
    }

    /// Opens a connection, names it after its purpose and this node, and checks the server's kind and version.
    /// `pushes` takes what the server sends without a request. It runs in the connection's own task, and must not block.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: it names what to change, where a change helps.
    pub(crate) async fn open(
        &self,
        purpose: Purpose,
        node: &str,
        pushes: Option<Box<dyn Fn(PushInfo) + Send + Sync>>,
    ) -> Result<Connection, ConnectError> {
        let opening = timeout(CONNECT_WITHIN, self.log_in(pushes)).await;
        let connection = opening.map_err(|_| self.unreachable("no answer within 2 s"))??;
        let name = name_of(purpose, node);
        let hello = cmd(&["HELLO", "3", "SETNAME", &name]);
        let until = Instant::now() + ANSWER_WITHIN;
        let hello = connection.call(&hello, until).await;
        reply::check_server(&hello.map_err(|error| self.refused("HELLO", error))?)?;
        Ok(connection)
    }

    /// Makes the error of a call by which a new connection is set up.
    pub(crate) fn refused(&self, command: &'static str, error: CallError) -> ConnectError {
        match error {
            CallError::Refused(refusal) => ConnectError::of_setup(command, refusal),
            other => self.unreachable(&format!("{command}: {other}")),
        }
    }

    async fn log_in(
        &self,
        pushes: Option<Box<dyn Fn(PushInfo) + Send + Sync>>,
    ) -> Result<Connection, ConnectError> {
        let stream = self.dial.dial().await;
        let stream = stream.map_err(|error| self.unreachable(&error.to_string()))?;
        let (stream, heard) = HeardStream::new(stream);
        let mut config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE);
        if let Some(pushes) = pushes {
            let pushes = move |push| {
                pushes(push);
                Ok::<(), ()>(())
            };
            config = config.set_push_sender(pushes);
        }
        let opened = MultiplexedConnection::new_with_config(&self.login, stream, config).await;
        let (redis, driver) = opened.map_err(|error| self.login_failed(&error))?;
        let (end, _) = watch::channel(None);
        let ended = end.clone();
        let driver = tokio::spawn(async move {
            driver.await;
            note(&ended, End::Closed);
        });
        Ok(Connection {
            redis,
            driver: driver.abort_handle(),
            heard,
            end,
        })
    }

    fn login_failed(&self, error: &RedisError) -> ConnectError {
        if error.kind() == ErrorKind::RESP3NotSupported {
            return ConnectError::too_old("a version before 6.0");
        }
        match refusal_of(error) {
            Some(refusal) => ConnectError::of_login(refusal),
            None => self.unreachable(&error.to_string()),
        }
    }

    fn unreachable(&self, reason: &str) -> ConnectError {
        ConnectError::Unreachable {
            server: self.server.clone(),
            reason: reason.to_owned(),
        }
    }
}

impl fmt::Display for Connector {
    /// Shows the server, without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.server)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection ended"),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Sends a command and waits for the answer, at most until `until`. Commands that are sent one after another run in
    /// this order.
    ///
    /// A call costs an allocation for the bytes, one for the answer's channel, and a timer. If the future is dropped, the
    /// command may still run.
    pub(crate) async fn call(&self, command: &Cmd, until: Instant) -> Result<Value, CallError> {
        let mut redis = self.redis.clone();
        let answer = timeout_at(until, redis.send_packed_command(command)).await;
        match answer {
            Ok(Ok(Value::ServerError(error))) => Err(self.failed(&error.into())),
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(CallError::Timeout),
        }
    }

    /// Sends commands in one write, and waits for all answers, at most until `until`. The first error is the answer.
    pub(crate) async fn call_all(
        &self,
        commands: &redis::Pipeline,
        until: Instant,
    ) -> Result<Vec<Value>, CallError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut redis = self.redis.clone();
        let answers = redis.send_packed_commands(commands, 0, commands.len());
        let answers = match timeout_at(until, answers).await {
            Ok(answers) => answers.map_err(|error| self.failed(&error))?,
            Err(_) => return Err(CallError::Timeout),
        };
        let error = answers.iter().find_map(|answer| match answer {
            Value::ServerError(error) => Some(error.clone()),
            _ => None,
        });
        match error {
            Some(error) => Err(self.failed(&error.into())),
            None if answers.len() == commands.len() => Ok(answers),
            None => Err(CallError::Malformed("a pipeline")),
        }
    }

    /// Subscribes to channels, and waits until the server has confirmed each.
    pub(crate) async fn subscribe(
        &self,
        channels: &[String],
        until: Instant,
    ) -> Result<(), CallError> {
        let mut redis = self.redis.clone();
        match timeout_at(until, redis.subscribe(channels)).await {
            Ok(answer) => answer.map_err(|error| self.failed(&error)),
            Err(_) => Err(CallError::Timeout),
        }
    }

    /// Ends the subscription to channels, and waits until the server has confirmed each.
    pub(crate) async fn unsubscribe(
        &self,
        channels: &[String],
        until: Instant,
    ) -> Result<(), CallError> {
        let mut redis = self.redis.clone();
        match timeout_at(until, redis.unsubscribe(channels)).await {
            Ok(answer) => answer.map_err(|error| self.failed(&error)),
            Err(_) => Err(CallError::Timeout),
        }
    }

    /// Ends when the connection is of no use any more. Safe to drop.
    pub(crate) async fn ended(&self) -> End {
        let mut end = self.end.subscribe();
        let end = end.wait_for(Option::is_some).await;
        end.ok()
            .and_then(|end| Option::clone(&end))
            .unwrap_or(End::Closed)
    }

    /// Returns when bytes of any kind last came from the server, to a millisecond.
    pub(crate) fn last_heard(&self) -> Instant {
        self.heard.at()
    }

    /// Returns whether the connection is of use.
    pub(crate) fn is_open(&self) -> bool {
        self.end.borrow().is_none()
    }

    fn failed(&self, error: &RedisError) -> CallError {
        let error = CallError::of(error);
        if error.ends_link() {
            note(&self.end, End::Refused(error.clone()));
        }
        error
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("end", &*self.end.borrow())
            .finish_non_exhaustive()
    }
}

/// Notes why a connection ended. The first reason stays.
fn note(known: &watch::Sender<Option<End>>, end: End) {
    known.send_if_modified(|known| {
        let is_first = known.is_none();
        if is_first {
            *known = Some(end);
        }
        is_first
    });
}

/// The number of requests that wait for the connection's task before callers wait.
const PIPELINE: usize = 1024;

/// Makes a command of its words.
pub(crate) fn cmd(words: &[&str]) -> Cmd {
    let mut cmd = Cmd::new();
    for word in words {
        cmd.arg(*word);
    }
    cmd
}

/// Returns the name that operators see in the server's list of clients: printable ASCII without spaces, as the server
/// demands.
fn name_of(purpose: Purpose, node: &str) -> String {
    let purpose = match purpose {
        Purpose::Commands => "sockeye",
        Purpose::Feed => "sockeye-feed",
    };
    let node = node.chars().take(64);
    let node = node.map(|c| if c.is_ascii_graphic() { c } else { '-' });
    format!("{purpose}:{}", node.collect::<String>())
}
