//! The queue of publishes that nothing awaits, for engines that answer later. One task gives them to the engine in the
//! order in which they came, and does not wait for the answer of one before it begins the next.

use std::future::Future;
use std::pin::Pin;

use futures_util::stream::{FuturesUnordered, StreamExt};
use sockeye_pubsub::PublishError;
use tokio::sync::{mpsc, oneshot};

use super::published::{Published, Sent};
use crate::sync::{Mutex, lock};

/// How many publishes may wait in the queue, and how many the engine may have.
const LIMIT: usize = 4096;

type Answer = Result<Published, PublishError>;

/// The task of a queue.
pub(super) type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Job {
    sent: Sent,
    answer: oneshot::Sender<Answer>,
}

/// The queue. Its task starts with the first publish.
#[derive(Default)]
pub(super) struct Queue(Mutex<Option<mpsc::Sender<Job>>>);

impl Queue {
    /// Puts a publish in. The answer comes by the receiver.
    /// `spawn` starts the task of the queue.
    pub(super) fn push(
        &self,
        sent: Sent,
        spawn: impl FnOnce(Running),
    ) -> Result<oneshot::Receiver<Answer>, PublishError> {
        let (answer, handle) = oneshot::channel();
        let mut jobs = lock(&self.0);
        let open = jobs.take_if(|jobs| !jobs.is_closed());
        let open = open.unwrap_or_else(|| {
            let (jobs, queued) = mpsc::channel(LIMIT);
            spawn(Box::pin(run(queued)));
            jobs
        });
        let pushed = open.try_send(Job { sent, answer });
        *jobs = Some(open);
        pushed.map_err(|_| PublishError::Full)?;
        Ok(handle)
    }
}

async fn run(mut queued: mpsc::Receiver<Job>) {
    let mut sent = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = sent.next() => {}
            job = queued.recv(), if sent.len() < LIMIT => match job {
                // The set polls a new future before those that were woken later.
                Some(Job { sent: publishing, answer }) => sent.push(async move {
                    let answered = Published::answered(publishing.await);
                    // Without a handle nothing wants the answer.
                    let _ = answer.send(answered);
                }),
                None => break,
            },
        }
    }
    while sent.next().await.is_some() {}
}
