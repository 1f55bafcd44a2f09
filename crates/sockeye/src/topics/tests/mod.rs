//! Topics with sessions on scripted transports, and with paused time.

use std::collections::HashSet;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use sockeye_proto::{Config, Role};
use tokio::sync::Semaphore;

use super::{History, Policy, Position, Topics};
use crate::connection::tests::idle;
use crate::connection::tests::wire::{CLOSE, Frame, Peer, TEXT, Wire, masked, wire};
use crate::endpoint::life::{Factory, Opened};
use crate::endpoint::tests::opened;
use crate::endpoint::{
    Gap, Handshake, OpenSessions, Properties, Session, SessionId, SharedEndpoint,
};
use crate::error::HandlerResult;
use crate::sync::Arc;

#[cfg(feature = "topics-wire")]
mod authorize;
#[cfg(feature = "topics-wire")]
mod budgets;
mod evict;
#[cfg(feature = "topics-wire")]
mod forged;
mod locks;
mod presence;
mod publish;
#[cfg(feature = "topics-wire")]
mod recheck;
#[cfg(feature = "topics-wire")]
mod replay;
#[cfg(feature = "topics-wire")]
mod returning;
mod runtimes;
mod slow;
mod starting;
mod subscribe;
#[cfg(feature = "topics-wire")]
mod wire_side;

const HOUR: Duration = Duration::from_secs(3600);

/// A node with one endpoint.
struct World {
    topics: Topics,
    sessions: OpenSessions,
    endpoint: Arc<Plain>,
}

/// An endpoint that notes the gaps it is told of.
#[derive(Default)]
struct Plain {
    gaps: Mutex<Vec<String>>,
    /// The topic that a session subscribes to when it opens.
    topic: OnceLock<&'static str>,
}

impl SharedEndpoint for Plain {
    async fn on_open(&self, session: &Session) -> HandlerResult {
        if let Some(topic) = self.topic.get() {
            session.subscribe(*topic).await?;
        }
        Ok(())
    }

    async fn on_gap(&self, _: &Session, gap: &Gap) -> HandlerResult {
        self.gaps.lock().unwrap().push(gap.topic().to_owned());
        Ok(())
    }
}

impl World {
    fn new(topics: Topics) -> Self {
        let sessions = OpenSessions::with_topics(Arc::default());
        sessions.set_topics(Arc::new(topics.clone()));
        topics.run();
        Self {
            topics,
            sessions,
            endpoint: Arc::default(),
        }
    }

    /// A node whose topics `a/…` have the rules of a policy.
    fn with(policy: Policy) -> Self {
        Self::new(Topics::builder().pattern("a/**", policy).build().unwrap())
    }

    /// A client that takes messages as they were published.
    fn raw(&self) -> Client {
        self.open(None, None, |_| {})
    }

    /// A client of the subprotocol, which was greeted.
    #[cfg(feature = "topics-wire")]
    async fn enveloped(&self) -> Client {
        self.named(None).await
    }

    /// A client of the subprotocol with a principal.
    #[cfg(feature = "topics-wire")]
    async fn named(&self, principal: Option<&str>) -> Client {
        let subprotocol = Some(crate::endpoint::envelope::SUBPROTOCOL);
        let client = self.open(subprotocol, principal, |_| {});
        idle().await;
        assert_eq!(client.texts().len(), 1, "the greeting");
        client
    }

    fn open(
        &self,
        subprotocol: Option<&str>,
        principal: Option<&str>,
        change: impl FnOnce(&mut Opened<Wire>),
    ) -> Client {
        let (stream, peer) = wire();
        let places = Arc::new(Semaphore::new(1));
        let mut opened = opened(stream, quiet(), &places);
        opened.handshake.agree(subprotocol, None);
        let principal = principal.map(Into::into);
        opened.handshake.configure(principal, Properties::default());
        change(&mut opened);
        let endpoint = Arc::clone(&self.endpoint);
        let before = self.ids();
        Factory(move |_: &Handshake| Arc::clone(&endpoint)).start(opened, None, &self.sessions);
        let mut sessions = self.sessions.to_vec().into_iter();
        let session = sessions.find(|session| !before.contains(&session.id()));
        Client {
            peer,
            session: session.unwrap(),
            places,
        }
    }

    fn ids(&self) -> HashSet<SessionId> {
        let sessions = self.sessions.to_vec();
        sessions.iter().map(Session::id).collect()
    }

    async fn publish(&self, topic: &str, message: &str) -> Option<Position> {
        let published = self.topics.publish(topic.to_owned(), message).await;
        published.unwrap().position()
    }
}

/// The limits of a session that sends no Pings.
fn quiet() -> Config {
    Config::new(Role::Server).keep_alive(None)
}

/// The test's end of a session.
struct Client {
    peer: Peer,
    session: Session,
    places: Arc<Semaphore>,
}

impl Client {
    /// Returns the payloads of the frames since the last call.
    fn texts(&self) -> Vec<String> {
        let frames = self.peer.frames();
        frames.iter().map(|frame| frame.text().to_owned()).collect()
    }

    /// Returns the frames since the last call, after everything that can happen now.
    async fn read(&self) -> Vec<String> {
        idle().await;
        self.texts()
    }

    /// Sends a header, and returns what comes.
    #[cfg(feature = "topics-wire")]
    async fn ask(&self, header: &str) -> Vec<String> {
        self.say(header, "").await
    }

    /// Sends a header with a body, and returns what comes.
    #[cfg(feature = "topics-wire")]
    async fn say(&self, header: &str, body: &str) -> Vec<String> {
        self.peer.segment(masked(TEXT, format!("{header}\n{body}")));
        self.read().await
    }

    /// Returns the Close among the frames since the last call: its code and its reason.
    fn close(&self) -> Option<(u16, String)> {
        let is_close = |frame: &Frame| frame.first == CLOSE;
        let close = self.peer.frames().into_iter().find(is_close)?;
        let reason = String::from_utf8(close.payload[2..].to_vec()).unwrap();
        Some((close.code(), reason))
    }

    /// Whether the session's task has ended.
    fn is_gone(&self) -> bool {
        self.places.available_permits() == 1
    }
}

fn window(count: u32) -> History {
    History::window(count, HOUR).bytes(64 << 10)
}

fn kept(count: u32) -> Policy {
    Policy::new().history(window(count))
}
