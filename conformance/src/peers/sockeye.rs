//! Sockeye's end of a connection, in either role: the public interface under the puppets' verbs. Its
//! settings are the defaults, but for compression, and for how long a message to a server may be.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use sockeye::endpoint::{Incoming, IncomingKind, Reply};
use sockeye::error::BoxError;
use sockeye::proto::DeflateConfig;
use sockeye::{
    Client, CloseCode, CloseReason, Connection, Endpoint, Message, Server, Session, endpoint,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::Result;
use crate::inside::{Host, Inside};

use super::puppet::{Event, LIMIT};

/// A Sockeye server for one connection, until dropped.
pub(super) struct Listening {
    address: SocketAddr,
    opened: mpsc::Receiver<Session>,
    events: mpsc::Receiver<Event>,
    server: Serving,
}

/// A server until it is dropped.
enum Serving {
    Own(JoinHandle<io::Result<()>>),
    Inside(Inside),
}

impl Drop for Serving {
    fn drop(&mut self) {
        match self {
            Self::Own(task) => task.abort(),
            Self::Inside(inside) => inside.stop(),
        }
    }
}

impl Listening {
    /// Starts Sockeye's own server, or one inside of another server.
    pub(super) async fn start(compression: DeflateConfig, inside: Option<Host>) -> Result<Self> {
        let (to_opened, opened) = mpsc::channel(1);
        let (to_events, events) = mpsc::channel(1024);
        if let Some(host) = inside {
            let inside = Inside::start(host, compression, LARGEST_MESSAGE, move |ws| {
                ws.serve(Told {
                    opened: to_opened.clone(),
                    events: to_events.clone(),
                });
            });
            let inside = inside.await?;
            return Ok(Self {
                address: inside.address(),
                opened,
                events,
                server: Serving::Inside(inside),
            });
        }
        let told = endpoint("/", move |_| Told {
            opened: to_opened.clone(),
            events: to_events.clone(),
        })
        .max_message(IncomingKind::Text, LARGEST_MESSAGE)
        .max_message(IncomingKind::Binary, LARGEST_MESSAGE);
        let server = Server::builder()
            .endpoint(told)
            .compression(compression)
            .bind((Ipv4Addr::LOCALHOST, 0))
            .await?;
        Ok(Self {
            address: server.local_addr(),
            opened,
            events,
            server: Serving::Own(tokio::spawn(server.serve())),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connection that a peer has opened.
    pub(super) async fn accept(mut self) -> Result<End> {
        let session = timeout(LIMIT, self.opened.recv())
            .await
            .map_err(|_| format!("no connection reaches Sockeye within {LIMIT:?}"))?
            .ok_or("Sockeye's server is gone")?;
        Ok(End {
            calls: Calls::Server {
                session,
                _server: self.server,
            },
            events: self.events,
        })
    }
}

/// An open connection.
pub(super) struct End {
    calls: Calls,
    events: mpsc::Receiver<Event>,
}

enum Calls {
    Client { calls: mpsc::Sender<Call> },
    Server { session: Session, _server: Serving },
}

/// What a client's task is asked to do.
enum Call {
    Send(Message),
    Ping(Vec<u8>),
    Close(CloseCode, String),
}

impl End {
    /// Connects to a peer.
    pub(super) async fn connect(url: &str, compression: DeflateConfig) -> Result<Self> {
        let client = Client::builder().compression(compression).build();
        let connection = client.connect(url).await?;
        let (calls, called) = mpsc::channel(16);
        let (to_events, events) = mpsc::channel(1024);
        tokio::spawn(drive(connection, called, to_events));
        Ok(Self {
            calls: Calls::Client { calls },
            events,
        })
    }

    pub(super) async fn send(&self, message: Message) -> Result<()> {
        match &self.calls {
            Calls::Client { calls } => Ok(calls.send(Call::Send(message)).await?),
            Calls::Server { session, .. } => Ok(session.basic_remote().send(message).await?),
        }
    }

    pub(super) async fn ping(&self, payload: &[u8]) -> Result<()> {
        match &self.calls {
            Calls::Client { calls } => Ok(calls.send(Call::Ping(payload.to_vec())).await?),
            Calls::Server { session, .. } => Ok(session.basic_remote().send_ping(payload).await?),
        }
    }

    pub(super) async fn close(&self, code: u16, reason: &str) -> Result<()> {
        let code = CloseCode::try_from(code)?;
        match &self.calls {
            Calls::Client { calls } => Ok(calls.send(Call::Close(code, reason.to_owned())).await?),
            Calls::Server { session, .. } => Ok(session.close(code, reason)?),
        }
    }

    /// What it tells next.
    pub(super) async fn event(&mut self) -> Result<Event> {
        timeout(LIMIT, self.events.recv())
            .await
            .map_err(|_| format!("Sockeye tells nothing within {LIMIT:?}"))?
            .ok_or_else(|| "Sockeye's end is gone".into())
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Calls::Server { session, .. } = &self.calls {
            session.abort();
        }
    }
}

/// Receives, and handles the calls, until the connection ends or the last caller is gone.
async fn drive(
    mut connection: Connection,
    mut called: mpsc::Receiver<Call>,
    events: mpsc::Sender<Event>,
) {
    let end = loop {
        tokio::select! {
            call = called.recv() => {
                let done = match call {
                    Some(Call::Send(message)) => connection.send(message).await,
                    Some(Call::Ping(payload)) => connection.ping(&payload).await,
                    Some(Call::Close(code, reason)) => connection
                        .start_closing_handshake(code, &reason)
                        .map_err(Into::into),
                    None => return,
                };
                if let Err(error) = done {
                    break lost(&error.into());
                }
            }
            message = connection.recv() => match message {
                Ok(Some(Message::Text(text))) => {
                    let _ = events.send(Event::Text(text.to_string())).await;
                }
                Ok(Some(Message::Binary(bytes))) => {
                    let _ = events.send(Event::Binary(bytes.to_vec())).await;
                }
                Ok(None) => break match connection.close_received() {
                    Some(reason) => Event::closed(reason),
                    None => lost(&"no Close came".into()),
                },
                Err(error) => break lost(&error.into()),
            },
        }
    };
    let _ = events.send(end).await;
}

/// An endpoint that tells all that it is told.
struct Told {
    opened: mpsc::Sender<Session>,
    events: mpsc::Sender<Event>,
}

impl Endpoint for Told {
    async fn on_open(&mut self, session: &Session) -> sockeye::HandlerResult {
        self.opened
            .send(session.clone())
            .await
            .map_err(BoxError::from)?;
        Ok(())
    }

    async fn on_message<'m>(
        &mut self,
        _: &Session,
        message: Incoming<'m>,
    ) -> sockeye::HandlerResult<Reply<'m>> {
        let event = match message {
            Incoming::Text(text) => Event::Text(text.into_string()),
            Incoming::Binary(bytes) => Event::Binary(bytes.into_vec()),
            _ => return Ok(Reply::None),
        };
        self.events.send(event).await.map_err(BoxError::from)?;
        Ok(Reply::None)
    }

    async fn on_close(&mut self, _: &Session, reason: CloseReason) -> sockeye::HandlerResult {
        self.events
            .send(Event::closed(&reason))
            .await
            .map_err(BoxError::from)?;
        Ok(())
    }
}

fn lost(error: &BoxError) -> Event {
    Event::Closed {
        code: CloseCode::ABNORMAL.get(),
        reason: sockeye::error::ErrorChain::new(&**error).to_string(),
    }
}

/// What a client takes by default; a server takes 1 MiB.
const LARGEST_MESSAGE: u64 = 16 << 20;
