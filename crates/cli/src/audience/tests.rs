//! Tests with listeners that take messages when the test lets them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tokio::time::Instant;

use super::*;

/// A listener that holds up to 1 MiB.
#[derive(Clone, Debug, Default)]
struct Ear(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    told: AtomicUsize,
    taken: AtomicUsize,
    given_up: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Ear {
    /// Takes this many messages, and wakes the waiting speakers.
    fn take(&self, many: usize) {
        let taken = (self.0.taken.load(SeqCst) + many).min(self.0.told.load(SeqCst));
        self.0.taken.store(taken, SeqCst);
        let wakers = std::mem::take(&mut *self.0.wakers.lock().expect("no panic"));
        wakers.into_iter().for_each(Waker::wake);
    }

    fn is_given_up(&self) -> bool {
        self.0.given_up.load(SeqCst)
    }
}

#[derive(Debug)]
struct Sent(Arc<Heard>, usize);

impl Future for Sent {
    type Output = Result<(), SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.0.taken.load(SeqCst) >= self.1 {
            return Poll::Ready(Ok(()));
        }
        self.0
            .wakers
            .lock()
            .expect("no panic")
            .push(cx.waker().clone());
        Poll::Pending
    }
}

impl Listener for Ear {
    type Sent = Sent;

    fn tell(&self, _: &PreparedMessage) -> Result<Sent, SendError> {
        let told = self.0.told.load(SeqCst);
        if told - self.0.taken.load(SeqCst) >= OUTBOX {
            return Err(SendError::Full);
        }
        self.0.told.store(told + 1, SeqCst);
        Ok(Sent(Arc::clone(&self.0), told + 1))
    }

    fn give_up(&self) {
        self.0.given_up.store(true, SeqCst);
    }
}

#[derive(Debug, Default)]
struct Hall(Audience<Ear>);

impl Gathering for Hall {
    type Listener = Ear;

    fn audience(&mut self) -> &mut Audience<Ear> {
        &mut self.0
    }
}

/// Returns a hall with these listeners.
fn hall(ears: &[&Ear]) -> Shared<Hall> {
    let hall = Shared::new(Hall::default());
    for ear in ears {
        hall.lock().0.admit((*ear).clone());
    }
    hall
}

async fn say(hall: &Shared<Hall>) {
    let message = PreparedMessage::new("x".repeat(KIB));
    hall.speak(|hall| hall.0.tell_all(&message)).await;
}

const KIB: usize = 1 << 10;
/// The number of messages above the mark.
const ABOVE: usize = 257;
const OUTBOX: usize = 1024;

#[tokio::test(start_paused = true)]
async fn a_speaker_does_not_wait_until_more_than_the_mark_waits_for_a_reader() {
    let ear = Ear::default();
    let hall = hall(&[&ear]);
    let start = Instant::now();
    for _ in 0..ABOVE - 1 {
        say(&hall).await;
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    say(&hall).await;
    assert_eq!(start.elapsed(), PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_over_as_soon_as_the_readers_have_caught_up() {
    let (one, other) = (Ear::default(), Ear::default());
    let hall = hall(&[&one, &other]);
    for _ in 0..ABOVE - 1 {
        say(&hall).await;
    }
    let start = Instant::now();
    let read = async {
        for ear in [&other, &one] {
            tokio::time::sleep(Duration::from_millis(20)).await;
            ear.take(64);
        }
    };
    tokio::join!(say(&hall), read);
    assert_eq!(start.elapsed(), Duration::from_millis(40));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_holds_a_speaker_for_a_second_then_not_and_is_given_up() {
    let (deaf, reads) = (Ear::default(), Ear::default());
    let hall = hall(&[&deaf, &reads]);
    let start = Instant::now();
    let mut said = 0;
    while !deaf.is_given_up() {
        say(&hall).await;
        reads.take(1);
        said += 1;
    }
    assert_eq!(start.elapsed(), PATIENCE * MAX_VAIN_WAITS);
    assert_eq!(said, OUTBOX + 1);
    assert!(!reads.is_given_up());
    assert_eq!(hall.lock().0.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_reads_again_is_waited_for_again() {
    let ear = Ear::default();
    let hall = hall(&[&ear]);
    for _ in 0..ABOVE + 100 {
        say(&hall).await;
    }
    let start = Instant::now();
    say(&hall).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    ear.take(50);
    say(&hall).await;
    assert_eq!(start.elapsed(), PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn however_many_speak_no_reader_that_reads_320_kib_a_second_is_given_up() {
    const SPEAKERS: usize = 50;
    let ears: Vec<Ear> = (0..10).map(|_| Ear::default()).collect();
    let hall = &hall(&ears.iter().collect::<Vec<_>>());
    let reading = async {
        let mut ticks = tokio::time::interval(PATIENCE);
        loop {
            ticks.tick().await;
            ears.iter().for_each(|ear| ear.take(32));
        }
    };
    let speaking = async {
        let all = (0..SPEAKERS).map(|_| async {
            for _ in 0..100 {
                say(hall).await;
            }
        });
        join_all(all).await;
    };
    tokio::select! {
        () = reading => {}
        () = speaking => {}
    }
    assert!(ears.iter().all(|ear| !ear.is_given_up()));
    assert!(
        ears.iter()
            .all(|ear| ear.0.told.load(SeqCst) == SPEAKERS * 100)
    );
}

/// Polls all futures until all are done.
async fn join_all(futures: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    poll_fn(|cx| {
        futures.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if futures.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_speaker_that_goes_while_it_waits_leaves_the_turn_to_the_next() {
    let ear = Ear::default();
    let hall = hall(&[&ear]);
    for _ in 0..ABOVE - 1 {
        say(&hall).await;
    }
    let short = timeout(PATIENCE / 2, say(&hall)).await;
    assert!(short.is_err());
    let start = Instant::now();
    say(&hall).await;
    assert_eq!(start.elapsed(), PATIENCE);
}

#[test]
fn of_a_reader_that_reads_few_checkpoints_are_kept() {
    let ear = Ear::default();
    let mut audience = Audience::default();
    audience.admit(ear.clone());
    let message = PreparedMessage::new("x".repeat(KIB));
    for _ in 0..100_000 {
        assert!(audience.tell_all(&message).is_empty());
        ear.take(1);
    }
    let kept = audience
        .readers
        .values()
        .map(|reader| reader.checkpoints.len());
    assert!(kept.sum::<usize>() <= 10);
}

/// A listener whose futures begin with their first poll, as a flush does.
#[derive(Clone, Debug, Default)]
struct LateEar(Arc<Heard>);

#[derive(Debug)]
struct LateSent(Arc<Heard>, Option<usize>);

impl Future for LateSent {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let told = self.0.told.load(SeqCst);
        let target = *self.1.get_or_insert(told);
        match self.0.taken.load(SeqCst) >= target {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }
}

impl Listener for LateEar {
    type Sent = LateSent;

    fn tell(&self, _: &PreparedMessage) -> Result<LateSent, SendError> {
        self.0.told.fetch_add(1, SeqCst);
        Ok(LateSent(Arc::clone(&self.0), None))
    }

    fn give_up(&self) {}
}

#[test]
fn a_future_that_begins_with_its_first_poll_counts_from_its_own_message_on() {
    let step = usize::try_from(STEP).expect("a size");
    let message = PreparedMessage::new("x".repeat(step));
    let mut audience = Audience::default();
    let ear = LateEar::default();
    audience.admit(ear.clone());
    for _ in 0..MARK / STEP + 2 {
        audience.tell_all(&message);
    }
    assert_eq!(audience.behind().len(), 1);
    // With two messages less it is no longer behind, though it has not taken the others.
    ear.0.taken.store(2, SeqCst);
    assert_eq!(audience.behind(), [0; 0]);
}
