//! A connection for tests: it keeps the messages that it gets.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Ready, ready};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use sockeye::error::SendError;
use sockeye::proto::PreparedMessage;
use sockeye::topics::{Position, SubscribeError};

use super::seat::{Present, Seat};
use crate::audience::Listener;

/// The names of those that are present on all nodes, by their ids. They came long ago.
#[derive(Clone, Debug, Default)]
pub(super) struct Here(Arc<Mutex<BTreeMap<String, String>>>);

impl Here {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        lock(&self.0)
    }

    /// Lets a member be missing, as if its node had ended.
    pub(super) fn remove(&self, ear: &Ear) {
        assert!(self.lock().remove(&ear.id()).is_some());
    }

    /// Lets a member be present, perhaps again, as if its node had been frozen.
    pub(super) fn add(&self, ear: &Ear) {
        let name = lock(&ear.0.name).clone();
        self.lock().insert(ear.id(), name);
    }
}

/// A seat that hears the room's events once it listens. It reads its messages when the test asks for them, and holds
/// `limit` messages until then.
#[derive(Clone, Debug)]
pub(super) struct Ear(Arc<Heard>);

#[derive(Debug)]
struct Heard {
    id: String,
    /// The name under which it is present.
    name: Mutex<String>,
    here: Here,
    limit: AtomicUsize,
    messages: Mutex<VecDeque<String>>,
    listens: AtomicBool,
    given_up: AtomicBool,
}

impl Ear {
    pub(super) fn new() -> Self {
        Self::of_limit(usize::MAX)
    }

    pub(super) fn of_limit(limit: usize) -> Self {
        Self::with(limit, Here::default())
    }

    /// Makes a seat that is present with others.
    pub(super) fn among(here: &Here) -> Self {
        Self::with(usize::MAX, here.clone())
    }

    fn with(limit: usize, here: Here) -> Self {
        Self(Arc::new(Heard {
            id: format!("{:x}", rand::random::<u64>()),
            name: Mutex::default(),
            here,
            limit: AtomicUsize::new(limit),
            messages: Mutex::default(),
            listens: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
        }))
    }

    /// Takes no message any more.
    pub(super) fn read_nothing(&self) {
        self.0.limit.store(0, Ordering::SeqCst);
    }

    pub(super) fn was_given_up(&self) -> bool {
        self.0.given_up.load(Ordering::SeqCst)
    }

    pub(super) fn heard(&self) -> Vec<Value> {
        let messages = std::mem::take(&mut *lock(&self.0.messages));
        messages.iter().map(|text| without_ids(text)).collect()
    }
}

/// Reads an event. The ids and positions are random.
pub(super) fn without_ids(event: &str) -> Value {
    let mut event: Value = serde_json::from_str(event).expect("JSON");
    let fields = event.as_object_mut().expect("an object");
    fields.remove("id").is_some().then(|| fields.remove("at"));
    event
}

impl Seat for Ear {
    fn id(&self) -> String {
        self.0.id.clone()
    }

    async fn appear(&self, topic: &str, name: &str) -> Result<(), SubscribeError> {
        assert_eq!(topic, "here/river");
        name.clone_into(&mut lock(&self.0.name));
        self.0.here.add(self);
        Ok(())
    }

    async fn present(&self, _: &str) -> Option<Vec<Present>> {
        let here = self.0.here.lock();
        let present = here.iter().map(|(id, name)| Present {
            id: id.clone(),
            name: Some(name.clone()),
            since: 0,
        });
        Some(present.collect())
    }

    fn tell_alone(&self, event: String) {
        lock(&self.0.messages).push_back(event);
    }

    async fn listen(&self, _: &str, after: Option<Position>) -> Result<(), SubscribeError> {
        assert!(after.is_some(), "a joining comes before");
        self.0.listens.store(true, Ordering::SeqCst);
        Ok(())
    }
}

impl Listener for Ear {
    type Sent = Ready<Result<(), SendError>>;

    fn tell(&self, message: &PreparedMessage) -> Result<Self::Sent, SendError> {
        let mut messages = lock(&self.0.messages);
        if !self.0.listens.load(Ordering::SeqCst) {
            return Ok(ready(Ok(())));
        }
        if messages.len() >= self.0.limit.load(Ordering::SeqCst) {
            return Err(SendError::Full);
        }
        let text = message.message().as_text().expect("a text");
        messages.push_back(text.to_owned());
        Ok(ready(Ok(())))
    }

    fn give_up(&self) {
        self.0.given_up.store(true, Ordering::SeqCst);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
