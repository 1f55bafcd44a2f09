//! A server of endpoints as a user writes it, with its defaults, on one thread; its clients are in memory.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use sockeye::endpoint::OpenSessions;
use sockeye::proto::DeflateConfig;
use sockeye::server::ServerBuilder;
use sockeye::transport::Stream;
use sockeye::{Server, Session, server_endpoint};

use crate::Result;
use crate::client::{Audience, Client};
use crate::script::{self, Script};

#[derive(Default)]
struct Echo;

#[server_endpoint("/")]
impl Echo {
    #[on_message]
    fn text<'m>(&self, text: &'m str) -> &'m str {
        text
    }
}

/// Texts of `size` bytes, `in_read` of them in each read.
pub(crate) fn echo(size: usize, in_read: usize, count: u64) -> Result<()> {
    let text = script::ascii(size);
    let script = Script::repeated(script::batch(&vec![text.as_str(); in_read]));
    block_on(converse(echoing(), script, count))
}

/// JSON that is compressed on both ways, 16 messages in each read.
pub(crate) fn deflate(count: u64) -> Result<()> {
    let config = DeflateConfig::default().context_takeover(true).level(6);
    let script = Script::compressed(&config, 16)?;
    block_on(converse(echoing().compression(config), script, count))
}

async fn converse(builder: ServerBuilder, script: Script, count: u64) -> Result<()> {
    let server = bind(builder).await?;
    meet(&server, &Arc::new(script), count).await
}

/// One connection after the other that says nothing but its Close.
pub(crate) fn handshakes(count: u64) -> Result<()> {
    block_on(async {
        let server = bind(echoing()).await?;
        let script = Arc::new(Script::silent());
        for _ in 0..count {
            meet(&server, &script, 0).await?;
        }
        Ok(())
    })
}

/// One connection's whole life.
async fn meet(server: &Server, script: &Arc<Script>, messages: u64) -> Result<()> {
    let (client, done) = Client::talking(script, messages);
    // In a task of its own, as what is accepted.
    tokio::spawn(server.serve_stream(Stream::new(client)));
    done.await.map_err(|_| "the client is gone".to_owned())?
}

/// The sessions of the listeners' endpoint, once it has one.
#[derive(Clone, Default)]
struct Listeners(Arc<Mutex<Option<OpenSessions>>>);

struct Listener(Listeners);

#[server_endpoint("/")]
impl Listener {
    #[on_open]
    fn open(&self, session: &Session) {
        let sessions = session.open_sessions().clone();
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sessions);
    }
}

/// A text of 64 bytes to each of `clients`, from outside of their endpoint; the next when all have it.
pub(crate) fn broadcast(clients: usize, count: u64) -> Result<()> {
    let text = script::ascii(64);
    let script = Arc::new(Script::silent());
    let audience = Audience::new(clients, script::server_frame(&text).len());
    let listeners = Listeners::default();
    let made = listeners.clone();
    let endpoint = sockeye::endpoint("/", move |_| Listener(made.clone()));
    block_on(async {
        let server = bind(Server::builder().endpoint(endpoint)).await?;
        for _ in 0..clients {
            let client = Client::listening(&script, &audience);
            server.serve_stream(Stream::new(client)).await;
        }
        // All are upgraded: their sessions open when the tasks have run that were spawned for them.
        let sessions = loop {
            tokio::task::yield_now().await;
            let sessions = listeners.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(sessions) = sessions.as_ref().filter(|all| all.len() == clients) {
                break sessions.clone();
            }
        };
        for _ in 0..count {
            let told = sessions.broadcast(text.clone());
            if told != clients {
                return Err(format!("the message was taken for {told} of {clients}"));
            }
            audience.all_heard().await;
        }
        Ok(())
    })
}

fn echoing() -> ServerBuilder {
    Server::builder().default_endpoint::<Echo>()
}

/// Binds a server whose address no client connects to.
pub(crate) async fn bind(builder: ServerBuilder) -> Result<Server> {
    let bound = builder.bind("127.0.0.1:0").await;
    bound.map_err(|error| error.to_string())
}

pub(crate) fn block_on(job: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(job)
}
