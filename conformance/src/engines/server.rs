//! A running server: started with options, killed, frozen, and started again on the same port with or without its data.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue};
use tokio::time::{Instant, sleep};

use super::monitor::Monitor;
use super::program::Program;
use crate::error::Result;
use crate::process::{Child, Signal};
use crate::{judges, port};

/// A server that ends with this value.
pub(crate) struct Server {
    program: Program,
    folder: PathBuf,
    address: SocketAddr,
    /// Lines of the configuration beside those of each server.
    options: Vec<String>,
    admin: Client,
    child: Option<Child>,
}

/// What a server finds when it starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// Nothing.
    Empty,
    /// What it has written to its files.
    Kept,
}

impl Server {
    /// Starts a server with an empty folder of its own, on a free port. `options` are lines of its configuration.
    pub(crate) async fn start(program: &Program, folder: &Path, options: &[&str]) -> Result<Self> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let address = port::pick_free().await?;
            let mut server = Self {
                program: program.clone(),
                folder: folder.to_owned(),
                address,
                options: options.iter().map(ToString::to_string).collect(),
                admin: Client::open(url_of("default", ADMIN_PASSWORD, address))?,
                child: None,
            };
            match server.start_again(Data::Empty).await {
                Ok(()) => return Ok(server),
                // Another program may have taken the port.
                Err(error) if attempts == ATTEMPTS => return Err(error),
                Err(error) => eprintln!("{error}\ntrying again on another port"),
            }
        }
    }

    /// Starts a server that was killed, and waits until it answers.
    pub(crate) async fn start_again(&mut self, data: Data) -> Result<()> {
        self.launch(data)?;
        self.await_answer().await
    }

    /// Starts a server that was killed. It may still read its data when this returns.
    pub(crate) fn launch(&mut self, data: Data) -> Result<()> {
        let files = self.folder.join("data");
        if data == Data::Empty && files.exists() {
            fs::remove_dir_all(&files)?;
        }
        judges::make_folder(&files)?;
        let config = self.folder.join("server.conf");
        judges::write(&config, self.config(&files))?;
        let mut command = self.program.command();
        self.child = Some(Child::spawn(command.arg(config), &self.folder)?);
        Ok(())
    }

    /// Waits until the server answers `PING`, and has loaded its data.
    pub(crate) async fn await_answer(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let answer = self.ask::<String>(&redis::cmd("PING")).await;
            let Err(error) = answer else { return Ok(()) };
            self.check_running()?;
            if Instant::now() >= deadline {
                let brand = self.program.brand;
                return Err(
                    format!("{brand} does not answer after {START_LIMIT:?}: {error}").into(),
                );
            }
            sleep(POLL).await;
        }
    }

    fn config(&self, files: &Path) -> String {
        let options = self.options.join("\n");
        format!(
            "bind 127.0.0.1\nport {port}\ndir {files}\nsave \"\"\nappendonly no\n\
             enable-debug-command yes\nrepl-diskless-sync-delay 0\nmasterauth {ADMIN_PASSWORD}\n\
             user default on >{ADMIN_PASSWORD} ~* &* +@all\n\
             user {USER} on >{PASSWORD} {ACL}\n{options}\n",
            port = self.address.port(),
            files = files.display(),
        )
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL for an engine that reaches the server at an address, such as that of a relay. `reconnect` is its
    /// longest pause before it connects again.
    pub(crate) fn url(address: SocketAddr, reconnect: Option<Duration>) -> String {
        let url = url_of(USER, PASSWORD, address);
        match reconnect {
            Some(pause) => format!("{url}?reconnect={}", pause.as_millis()),
            None => url,
        }
    }

    /// Replaces the data of the server by those of another one. Its connections stay.
    pub(crate) async fn restore(&self, other: &Self) -> Result<()> {
        let file = |server: &Self| server.folder.join("data/dump.rdb");
        other.ask::<()>(&redis::cmd("SAVE")).await?;
        fs::copy(file(other), file(self))?;
        let mut reload = redis::cmd("DEBUG");
        self.ask(reload.arg(&["RELOAD", "NOSAVE"])).await
    }

    /// Returns a client of the administrator.
    pub(crate) fn admin(&self) -> Client {
        self.admin.clone()
    }

    /// Returns a client of the administrator whose connections may subscribe to channels.
    pub(crate) fn listening_admin(&self) -> Result<Client> {
        let url = url_of("default", ADMIN_PASSWORD, self.address);
        Ok(Client::open(format!("{url}?protocol=resp3"))?)
    }

    /// Sends one request as the administrator, on a connection of its own.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let mut connection = self.connect().await?;
        Ok(command.query_async(&mut connection).await?)
    }

    /// Connects as the administrator.
    pub(crate) async fn connect(&self) -> Result<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let connecting = self
            .admin
            .get_multiplexed_async_connection_with_config(&config);
        Ok(connecting.await?)
    }

    /// Returns the ids of the connections that subscribe to channels, in order.
    pub(crate) async fn feeds(&self) -> Result<Vec<u64>> {
        let mut command = redis::cmd("CLIENT");
        command.arg(&["LIST", "TYPE", "pubsub"]);
        let list: String = self.ask(&command).await?;
        let ids = list.lines().filter_map(|line| {
            let id = line.split(' ').find_map(|word| word.strip_prefix("id="));
            id?.parse().ok()
        });
        let mut ids: Vec<u64> = ids.collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Begins to keep what clients ask the server.
    pub(crate) async fn monitor(&self) -> Result<Monitor> {
        let login = format!("AUTH default {ADMIN_PASSWORD}");
        Monitor::start(&self.address.to_string(), &login).await
    }

    /// Kills the server at once.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        match self.child.take() {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }

    /// Stops the process, so that the server takes bytes and answers nothing.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.signal(Signal::Stop)
    }

    /// Lets the process go on.
    pub(crate) fn thaw(&self) -> Result<()> {
        self.signal(Signal::Continue)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().ok_or("the server does not run")?;
        child.signal(signal)
    }

    /// Returns what the process logged since it started.
    pub(crate) fn said(&self) -> String {
        self.child.as_ref().map(Child::stdout).unwrap_or_default()
    }

    /// Fails when the server has ended by itself, with its last words.
    pub(crate) fn check_running(&mut self) -> Result<()> {
        self.child.as_mut().map_or(Ok(()), Child::check_running)
    }
}

fn url_of(user: &str, password: &str, address: SocketAddr) -> String {
    format!("redis://{user}:{password}@{address}/")
}

/// The user of the engines, with exactly the rights that `docs/scale.md` asks for.
const USER: &str = "sockeye";
const PASSWORD: &str = "upstream";
const ACL: &str = "~sockeye:* &sockeye:* -@all +@connection +@pubsub +@scripting +@read +@write \
                   -@dangerous +role +time";
const ADMIN_PASSWORD: &str = "gravel";
const ATTEMPTS: usize = 3;
const START_LIMIT: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);
