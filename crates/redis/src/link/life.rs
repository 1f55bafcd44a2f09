//! One life of the feed with all that belongs to it: its workers, its subscriber, and what they tell the link.

use std::sync::Arc;

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Shared;
use crate::connection::ANSWER_WITHIN;
use crate::failure::ConnectError;
use crate::feed::{Feed, Notice};
use crate::outcome::CallError;
use crate::subscribe::Subscriber;

/// One life of the feed.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) feed: Feed,
    notices: (Sender<Notice>, Receiver<Notice>),
    subscriber: JoinSet<CallError>,
}

/// What a life of the feed tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    Notice(Notice),
    /// The life is of no use any more.
    Ended(String),
}

/// The notices that wait for the link at most. A beat is one of few, and any other notice ends the wait.
const NOTICES: usize = 16;

impl Life {
    /// Opens the feed, and subscribes the node's own channels.
    pub(super) async fn open(shared: &Shared) -> Result<Self, ConnectError> {
        let notices = channel(NOTICES);
        let Shared {
            connector,
            layout,
            node,
            reports,
            ..
        } = shared;
        let feed = Feed::open(connector, &node.name, layout, reports, notices.0.clone()).await?;
        let own = [layout.signals(), layout.beat_channel(node.id)];
        let until = Instant::now() + ANSWER_WITHIN;
        let subscribed = feed.connection.subscribe(&own, until).await;
        subscribed.map_err(|error| connector.refused("SUBSCRIBE", error))?;
        Ok(Self {
            feed,
            notices,
            subscriber: JoinSet::new(),
        })
    }

    /// Begins to subscribe topics.
    pub(super) fn subscribe(&mut self, shared: &Shared) {
        let subscriber = Subscriber {
            connection: Arc::clone(&self.feed.connection),
            endings: self.feed.endings(),
            layout: shared.layout.clone(),
            reports: Arc::clone(&shared.reports),
            orders: Arc::clone(&shared.orders),
            notices: self.notices.0.clone(),
        };
        self.subscriber.spawn(subscriber.run());
    }

    /// Waits for news. Safe to drop.
    pub(super) async fn news(&mut self) -> News {
        tokio::select! {
            biased;
            end = self.feed.connection.ended() => News::Ended(end.to_string()),
            Some(done) = self.subscriber.join_next() => News::Ended(match done {
                Ok(error) => format!("a subscription failed: {error}"),
                Err(_) => "subscriptions were given up".to_owned(),
            }),
            Some(notice) = self.notices.1.recv() => News::Notice(notice),
        }
    }

    /// Ends the life, and delivers what has come. Nothing is delivered or confirmed behind the answer.
    pub(super) async fn end(mut self) {
        self.subscriber.shutdown().await;
        self.feed.end().await;
    }
}
