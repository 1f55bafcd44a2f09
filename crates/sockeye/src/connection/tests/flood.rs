//! What a hostile peer makes the driver hold and do. Memory is counted whenever the task has let go, work
//! in turns of the task and in reads: never in time.

use sockeye_mailbox::{Item, SendError};
use sockeye_proto::{
    Cause, Connection as Machine, DeflateConfig, DeflatePool, MaskingKey, Message, MessageBuffer,
    ProtocolError,
};
use tokio::time::Instant;

use super::driver::{Count, driver, poll};
use super::wire::{BINARY, PING, Wire, masked};
use super::*;
use crate::connection::budget::AssemblyBudget;
use crate::connection::direct::Mailbox;
use crate::connection::driver::{Driver, Ending, Next};
use crate::connection::link::Link;
use crate::connection::{Compression, server_machine};
use crate::error::Error;
use crate::sync::Arc;

/// What came of polling a driver until it waits for others.
#[derive(Debug, Default)]
struct Run {
    next: Vec<Next>,
    turns: usize,
    most_retained: usize,
}

/// Polls a driver until it waits for others, or nothing comes any more.
fn run(driver: &mut Driver<Wire>, count: &Arc<Count>) -> Run {
    let waker = Arc::clone(count).into();
    let mut run = Run::default();
    let mut message = MessageBuffer::default();
    loop {
        let polled = poll(driver.next(&mut message), &waker);
        run.turns += 1;
        let retained = driver.retained_bytes() + message.capacity();
        run.most_retained = run.most_retained.max(retained);
        match polled {
            std::task::Poll::Ready(Next::End) => {
                run.next.push(Next::End);
                return run;
            }
            std::task::Poll::Ready(next) => run.next.push(next),
            std::task::Poll::Pending if count.woken() == 0 => return run,
            std::task::Poll::Pending => {}
        }
    }
}

/// The rule that the peer broke.
fn failure(driver: &mut Driver<Wire>) -> ProtocolError {
    match driver.take_ending() {
        Ending::Failed(Error::Protocol(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// The output that one turn makes at most, in a buffer that grew by doubling, and pongs that wait.
const OUTPUT: usize = 2 * (64 * 1024 + 131) + Machine::MAX_PONGS * (125 + 32);
/// What one read takes at most; what a turn leaves of it is kept for the next.
const READ: usize = 128 * 1024;
/// What is no buffer of payload.
const REST: usize = 1024;

#[tokio::test(start_paused = true)]
async fn pings_of_a_peer_that_never_reads_cost_full_output_and_64_pongs() {
    let (mut driver, _outbox, peer, count, _waker) = driver();
    peer.close_window(0);
    let pings = masked(PING, [7; 125]).repeat(500);
    for _ in 0..100 {
        peer.segment(&*pings);
    }
    let run = run(&mut driver, &count);
    assert_eq!(run.next.len(), 0);
    assert_eq!(peer.unread(), 0, "it is read all the same: it may close");
    let bound = OUTPUT + READ + REST;
    assert!(run.most_retained <= bound, "{}", run.most_retained);
    // A read has 500 pings, and counts 64 KiB.
    assert_eq!(run.turns, 100 * 4 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_never_reads_costs_its_outbox_and_full_output() {
    let (mut driver, mailbox, peer, count, _waker) = driver();
    let limit = 1 << 20;
    peer.close_window(0);
    let news = Message::binary(vec![7; 1000]);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..10_000 {
        match mailbox.offer(Item::Message(news.clone().into()), |_| ()) {
            Ok(_) => taken += 1,
            Err(error) => {
                assert_eq!(error, SendError::Full);
                refused += 1;
            }
        }
        let run = run(&mut driver, &count);
        assert!(run.turns <= 1);
        let retained = run.most_retained + mailbox.bytes();
        assert!(retained <= limit + OUTPUT, "{retained}");
    }
    assert_eq!(taken, limit / 1000 + 66, "the outbox and 64 KiB of output");
    assert_eq!(taken + refused, 10_000);
    // It is given up after 30 s, and all of it is let go.
    let start = Instant::now();
    assert!(matches!(
        driver.next(&mut MessageBuffer::default()).await,
        Next::End
    ));
    assert_eq!(start.elapsed().as_secs(), 30);
    assert!(matches!(
        driver.take_ending(),
        Ending::Failed(Error::WriteStalled)
    ));
    assert!(driver.retained_bytes() <= REST);
    assert_eq!(mailbox.bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_header_that_declares_2_to_the_63_bytes_costs_nothing() {
    for (len, rule) in [
        (1_u64 << 63, ProtocolError::LengthOutOfRange),
        (u64::MAX, ProtocolError::LengthOutOfRange),
        (
            u64::MAX >> 1,
            ProtocolError::MessageTooBig {
                size: u64::MAX >> 1,
                limit: 1 << 20,
            },
        ),
    ] {
        let (mut driver, _outbox, peer, count, _waker) = driver();
        let mut header = vec![BINARY, 0xff];
        header.extend(len.to_be_bytes());
        header.extend([0; 4]);
        peer.segment(header);
        run(&mut driver, &count);
        assert_eq!(failure(&mut driver), rule);
        assert!(driver.retained_bytes() <= READ + REST);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_a_header_of_2_to_the_63_bytes_costs_what_comes() {
    let (stream, peer) = wire();
    let config = Config::new(Role::Server).max_message(u64::MAX);
    let link = Link::new(
        stream,
        server_machine(config, None),
        &[],
        AssemblyBudget::of_others(),
    );
    let mut driver = Driver::new(link, Mailbox::new(1 << 20));
    let count = Arc::new(Count::default());
    let mut header = vec![BINARY, 0xff];
    header.extend((u64::MAX >> 1).to_be_bytes());
    header.extend([0; 4]);
    peer.segment([&header[..], &[7]].concat());
    run(&mut driver, &count);
    let retained = driver.retained_bytes();
    assert!(retained <= REST, "{retained}");
}

#[tokio::test(start_paused = true)]
async fn two_hundred_thousand_empty_fragments_cost_one_message_and_are_cut_short() {
    let (mut driver, _outbox, peer, count, _waker) = driver();
    peer.segment(masked(0x01, ""));
    let fragments = masked(0x00, "").repeat(1000);
    for _ in 0..200 {
        peer.segment(&*fragments);
    }
    let run = run(&mut driver, &count);
    let limit = 131_072;
    assert_eq!(
        failure(&mut driver),
        ProtocolError::TooManyFragments { limit }
    );
    assert_eq!(peer.unread(), 200 - 132, "nothing is read beyond the limit");
    assert!(run.most_retained <= READ + REST);
    // Each read has more frames than a turn.
    assert_eq!(run.turns, 132);
}

#[tokio::test(start_paused = true)]
async fn a_bomb_of_a_thousand_to_one_costs_the_limit_and_is_let_go() {
    let pool = DeflatePool::default();
    let config = DeflateConfig::default();
    let (params, _) = config.answer(&[config.offer()]).unwrap();
    let now = Instant::now().into_std();
    let keys = Box::new(|| MaskingKey::new([1, 2, 3, 4]));
    let mut client = Machine::client(Config::new(Role::Client), keys, now).with_deflate(
        params,
        &config,
        pool.clone(),
    );
    let large = Message::binary(vec![0; 16 << 20]);
    client.send_message(&large, Cause::Push).unwrap();
    let bomb = bytes::Buf::chunk(client.output()).to_vec();
    assert!(bomb.len() * 1000 < 16 << 20);

    let (stream, peer) = wire();
    let compression = Compression {
        params,
        config,
        pool,
    };
    let machine = server_machine(Config::new(Role::Server), Some(compression));
    let mut driver = Driver::new(
        Link::new(stream, machine, &[], AssemblyBudget::of_others()),
        Mailbox::new(1 << 20),
    );
    let count = Arc::new(Count::default());
    let mut most_retained = 0;
    for piece in bomb.chunks(100) {
        peer.segment(piece);
        let run = run(&mut driver, &count);
        most_retained = most_retained.max(run.most_retained);
        if !run.next.is_empty() {
            break;
        }
    }
    let limit = 1 << 20;
    let size = limit + 1;
    assert_eq!(
        failure(&mut driver),
        ProtocolError::MessageTooBig { size, limit }
    );
    // The message in a buffer that grew by doubling, the inflater and its window.
    let bound = 2 * (1 << 20) + 128 * 1024 + READ + REST;
    assert!(
        (1 << 20..=bound).contains(&most_retained),
        "{most_retained}"
    );
    // It took a tenth of the bytes to find out, and leaves nothing.
    assert!(peer.reads() * 100 < bomb.len() / 8);
    driver.settle();
    assert!(driver.retained_bytes() <= READ + REST);
}
