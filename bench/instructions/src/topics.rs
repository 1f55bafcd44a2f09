//! Topics of a server as a user writes it, on one node; the subscribers are clients in memory.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sockeye::topics::{History, Policy};
use sockeye::transport::Stream;
use sockeye::{HandlerResult, Server, Session, Topics, server_endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;
use crate::client::{Audience, Client};
use crate::endpoint::{bind, block_on};
use crate::script::{self, Script};

/// The sessions of the subscribers, in the order in which they opened.
type Sessions = Arc<Mutex<Vec<Session>>>;

/// An endpoint whose sessions subscribe to [`TOPIC`] when they open.
struct Subscriber(Sessions);

#[server_endpoint("/")]
impl Subscriber {
    #[on_open]
    async fn open(&self, session: &Session) -> HandlerResult {
        session.subscribe(TOPIC).await?;
        lock(&self.0).push(session.clone());
        Ok(())
    }
}

/// Publishes texts of 64 bytes to a topic of `subscribers`; the next one when all have it.
pub(crate) fn publish_to(subscribers: usize, count: u64) -> Result<()> {
    block_on(publish(Policy::new(), subscribers, count))
}

/// Publishes as [`publish_to`]. The topic keeps its last 100 messages.
pub(crate) fn publish_to_window(subscribers: usize, count: u64) -> Result<()> {
    let window = History::window(100, Duration::from_secs(3600));
    block_on(publish(Policy::new().history(window), subscribers, count))
}

async fn publish(policy: Policy, subscribers: usize, count: u64) -> Result<()> {
    let text = script::ascii(64);
    let audience = Audience::new(subscribers, script::server_frame(&text).len());
    let topics = topics(policy)?;
    let (_server, _) = serve(&topics, subscribers, &audience).await?;
    for _ in 0..count {
        let published = topics.publish(TOPIC, text.clone()).await;
        published.map_err(|error| error.to_string())?;
        audience.all_heard().await;
    }
    Ok(())
}

/// An endpoint whose sessions subscribe to the topic of their path when they open.
#[derive(Default)]
struct TopicSubscriber;

#[server_endpoint("/room/{id}")]
impl TopicSubscriber {
    #[on_open]
    async fn open(&self, session: &Session, #[path] id: &str) -> HandlerResult {
        session.subscribe(format!("room/{id}")).await?;
        Ok(())
    }
}

/// Publishes texts of 64 bytes to topics in turn, each of 10 subscribers on TCP. Publishes the next 8 when the last
/// subscriber has the last of 8 messages. The deliverer writes them, as no driver has anything to do.
pub(crate) fn publish_in_turn(count: u64) -> Result<()> {
    const GROUPS: usize = 2;
    let text = script::ascii(64);
    let frame = script::server_frame(&text);
    block_on(async {
        let topics = topics(Policy::new())?;
        let builder = Server::builder().topics(topics.clone());
        let server = bind(builder.default_endpoint::<TopicSubscriber>()).await?;
        let address = server.local_addr().to_string();
        let serving = tokio::spawn(server.serve());
        let mut groups = Vec::new();
        for number in 0..GROUPS {
            groups.push(Group::subscribe(number, &topics, &address).await?);
        }
        for turn in 0..count / Group::TOPICS as u64 {
            let group = &mut groups[turn as usize % GROUPS];
            for name in &group.names {
                let published = topics.publish(name, text.clone()).queue();
                published.map_err(|error| error.to_string())?;
            }
            let read = group.read_all(&frame).await;
            read.map_err(|error| error.to_string())?;
        }
        serving.abort();
        Ok(())
    })
}

/// Topics, and their subscribers on TCP.
struct Group {
    names: Vec<String>,
    // The subscriber that gets its message last. The runtime watches the socket of this one alone: that of the others
    // would be part of the count.
    last: TcpStream,
    others: Vec<std::net::TcpStream>,
}

impl Group {
    const TOPICS: usize = 8;
    const SUBSCRIBERS: usize = 10;

    async fn subscribe(number: usize, topics: &Topics, address: &str) -> Result<Self> {
        let names = (0..Self::TOPICS).map(|id| format!("room/{}", number * Self::TOPICS + id));
        let names: Vec<String> = names.collect();
        let mut subscribers = Vec::new();
        for name in &names {
            for _ in 0..Self::SUBSCRIBERS {
                let subscriber = subscribe_on_tcp(address, name).await;
                subscribers.push(subscriber.map_err(|error| error.to_string())?);
            }
            while topics.subscribers(name) < Self::SUBSCRIBERS {
                tokio::task::yield_now().await;
            }
        }
        let last = subscribers.pop().ok_or("there are no subscribers")?;
        let others = subscribers.into_iter().map(TcpStream::into_std);
        let others = others.collect::<io::Result<_>>();
        Ok(Self {
            names,
            last,
            others: others.map_err(|error| error.to_string())?,
        })
    }

    /// Waits until each subscriber has this frame.
    async fn read_all(&mut self, frame: &[u8]) -> io::Result<()> {
        let mut read = vec![0; frame.len()];
        self.last.read_exact(&mut read).await?;
        for other in &mut self.others {
            // The others have got it before, so this does not wait.
            other.read_exact(&mut read)?;
        }
        Ok(())
    }
}

/// Opens a connection whose session subscribes to a topic.
async fn subscribe_on_tcp(address: &str, topic: &str) -> io::Result<TcpStream> {
    let request = Script::silent().request;
    let request = request.replacen("GET /", &format!("GET /{topic}"), 1);
    let mut tcp = TcpStream::connect(address).await?;
    tcp.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(tcp.read_u8().await?);
    }
    Ok(tcp)
}

/// Subscribes the second of two sessions again, and ends that subscription.
pub(crate) fn subscribe_and_unsubscribe(count: u64) -> Result<()> {
    block_on(async {
        let topics = topics(Policy::new())?;
        let (_server, sessions) = serve(&topics, 2, &Audience::new(2, 0)).await?;
        let session = &sessions[1];
        session.unsubscribe(TOPIC);
        for _ in 0..count {
            let subscribed = session.subscribe(TOPIC).await;
            subscribed.map_err(|error| error.to_string())?;
            if !session.unsubscribe(TOPIC) {
                return Err("the session was no subscriber".to_owned());
            }
        }
        match topics.subscribers(TOPIC) {
            1 => Ok(()),
            number => Err(format!("the topic keeps {number} subscribers instead of 1")),
        }
    })
}

/// Publishes texts of 64 bytes to a topic without subscribers and without history.
pub(crate) fn publish_to_none(count: u64) -> Result<()> {
    let text = script::ascii(64);
    block_on(async {
        let topics = topics(Policy::new())?;
        let started = topics.start().await;
        started.map_err(|error| error.to_string())?;
        for _ in 0..count {
            let published = topics.publish(TOPIC, text.clone()).await;
            published.map_err(|error| error.to_string())?;
        }
        Ok(())
    })
}

/// Topics with one pattern, which [`TOPIC`] matches.
fn topics(policy: Policy) -> Result<Topics> {
    let topics = Topics::builder().pattern("room/{id}", policy).build();
    topics.map_err(|error| error.to_string())
}

/// Serves clients that are subscribers. Returns when all are.
async fn serve(
    topics: &Topics,
    subscribers: usize,
    audience: &Arc<Audience>,
) -> Result<(Server, Vec<Session>)> {
    let sessions = Sessions::default();
    let opened = Arc::clone(&sessions);
    let endpoint = sockeye::endpoint("/", move |_| Subscriber(Arc::clone(&opened)));
    let builder = Server::builder().topics(topics.clone());
    let server = bind(builder.endpoint(endpoint)).await?;
    let script = Arc::new(Script::silent());
    for _ in 0..subscribers {
        let client = Client::listening(&script, audience);
        server.serve_stream(Stream::new(client)).await;
    }
    // The sessions open when the tasks have run that were spawned for them.
    while lock(&sessions).len() < subscribers {
        tokio::task::yield_now().await;
    }
    let sessions = lock(&sessions).clone();
    Ok((server, sessions))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const TOPIC: &str = "room/1";
