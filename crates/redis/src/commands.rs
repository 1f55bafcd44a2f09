//! One life of the connection for commands: what is checked when it opens.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redis::Pipeline;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::connection::{ANSWER_WITHIN, Connection, Connector, Purpose, cmd};
use crate::failure::ConnectError;
use crate::fault::Fault;
use crate::outcome::{CallError, Code};
use crate::reply;
use crate::script::Script;

/// An open connection for commands, to a server that can be used and knows the scripts.
#[derive(Debug)]
pub(crate) struct Commands {
    connection: Connection,
    /// The highest count of beats and changes of members that the server has confirmed.
    counted: AtomicU64,
    /// Told when a change finds that the count went back.
    lost: Notify,
}

/// The connection for commands that the link has now, if it has one.
#[derive(Debug, Default)]
pub(crate) struct CurrentCommands(RwLock<Option<Arc<Commands>>>);

impl Commands {
    /// Opens a connection. The server must be a primary that drops no keys; it learns the scripts.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: it names what to change, where a change helps.
    pub(crate) async fn open(connector: &Connector, node: &str) -> Result<Self, ConnectError> {
        let connection = connector.open(Purpose::Commands, node, None).await?;
        let within = || Instant::now() + ANSWER_WITHIN;
        let role = connection.call(&cmd(&["ROLE"]), within()).await;
        reply::check_role(&role.map_err(|error| connector.refused("ROLE", error))?)?;
        let mut load = Pipeline::new();
        for script in Script::ALL {
            load.add_command(cmd(&["SCRIPT", "LOAD", script.text()]));
        }
        let hashes = connection.call_all(&load, within()).await;
        let hashes = hashes.map_err(|error| connector.refused("SCRIPT LOAD", error))?;
        let hashes = hashes.iter().map(reply::text);
        if !hashes.eq(Script::ALL.map(|script| Some(script.hash().into()))) {
            return Err(ConnectError::Malformed("SCRIPT LOAD"));
        }
        let memory = connection.call(&cmd(&["INFO", "memory"]), within()).await;
        match memory {
            Ok(memory) => reply::check_eviction(&memory)?,
            // The permission is optional.
            Err(CallError::Refused(refusal)) if refusal.code == Code::NoPerm => {}
            Err(error) => return Err(connector.refused("INFO", error)),
        }
        Ok(Self {
            connection,
            counted: AtomicU64::new(0),
            lost: Notify::new(),
        })
    }

    /// Returns the highest count that the server has confirmed. The count of a beat or a change that is sent now is higher,
    /// unless the server lost what it had stored.
    pub(crate) fn counted(&self) -> u64 {
        self.counted.load(Ordering::Acquire)
    }

    /// The server has counted a beat.
    pub(crate) fn note_beat(&self, count: u64) {
        self.counted.fetch_max(count, Ordering::AcqRel);
    }

    /// The server has counted a change of members. `before` is the count that was confirmed when the change was sent.
    pub(crate) fn note_change(&self, before: u64, count: u64) {
        if count > before || Fault::NoCountedBeat.is_on() {
            self.counted.fetch_max(count, Ordering::AcqRel);
        } else {
            self.counted.store(count, Ordering::Release);
            self.lost.notify_one();
        }
    }

    /// Waits until a change finds that the server lost what it had stored. Safe to drop.
    pub(crate) async fn memory_lost(&self) {
        self.lost.notified().await;
    }

    /// A beat has found that the server lost what it had stored: its count begins anew.
    pub(crate) fn forget_count(&self) {
        self.counted.store(0, Ordering::Release);
    }
}

impl Deref for Commands {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl CurrentCommands {
    /// Returns the connection.
    ///
    /// # Errors
    ///
    /// [`CallError::Unsent`] when the link has none, or when it has ended.
    pub(crate) fn now(&self) -> Result<Arc<Commands>, CallError> {
        let commands = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match &*commands {
            Some(commands) if commands.is_open() => Ok(Arc::clone(commands)),
            _ => Err(CallError::Unsent("the link to the server is down")),
        }
    }

    /// Sets the connection of the link.
    pub(crate) fn set(&self, commands: Option<Arc<Commands>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = commands;
    }
}
