//! Unfinished messages: what all of them may hold together, which of them go on, and how much of one is inflated in a
//! turn of the task.

use bytes::Buf;
use sockeye_proto::{
    Cause, CloseCode, CloseReason, Connection as Machine, DeflateConfig, DeflatePool, MaskingKey,
    Message, MessageBuffer, ProtocolError,
};
use tokio::time::Instant;

use super::driver::{Count, poll};
use super::wire::{BINARY, CLOSE, PING, Wire, masked};
use super::*;
use crate::connection::budget::{AssemblyBudget, FREE, INFLATER, PATIENCE, SHARE};
use crate::connection::direct::Mailbox;
use crate::connection::driver::{Driver, Ending, Next};
use crate::connection::link::{Link, Wanted};
use crate::connection::{Compression, pool, server_machine};
use crate::error::Error;
use crate::sync::Arc;

const BINARY_STARTS: u8 = 0x02;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;
const COMPRESSED: u8 = 0x40;

/// A server's end of a connection.
struct End {
    driver: Driver<Wire>,
    mailbox: Arc<Mailbox>,
    peer: Peer,
    count: Arc<Count>,
}

fn agreed() -> Compression {
    let config = DeflateConfig::default();
    let (params, _) = config.answer(&[config.offer()]).unwrap();
    let pool = DeflatePool::default();
    Compression {
        params,
        config,
        pool,
    }
}

fn end(budget: &Arc<AssemblyBudget>) -> End {
    let (stream, peer) = wire();
    let config = Config::new(Role::Server).max_message(8 << 20);
    let machine = server_machine(config, Some(agreed()));
    let link = Link::new(stream, machine, &[], Arc::clone(budget));
    let mailbox = Mailbox::new(1 << 20);
    End {
        driver: Driver::new(link, Arc::clone(&mailbox)),
        mailbox,
        peer,
        count: Arc::default(),
    }
}

impl End {
    /// Polls as long as the task wakes itself: what came, and in how many turns.
    fn run(&mut self) -> (Option<Next>, MessageBuffer, usize) {
        let waker = Arc::clone(&self.count).into();
        let mut message = MessageBuffer::default();
        for turns in 1.. {
            match poll(self.driver.next(&mut message), &waker) {
                std::task::Poll::Ready(next) => return (Some(next), message, turns),
                std::task::Poll::Pending if self.count.woken() == 0 => {
                    return (None, message, turns);
                }
                std::task::Poll::Pending => {}
            }
        }
        unreachable!()
    }

    /// Closes it from this side.
    fn close(&mut self) {
        let reason = CloseReason::new(CloseCode::GOING_AWAY, "").unwrap();
        self.mailbox.close(reason);
        assert!(matches!(self.run().0, Some(Next::End)));
    }

    fn is_waiting(&mut self) -> bool {
        self.run().0.is_none()
    }

    /// The bytes of the message that comes now.
    fn message(&mut self) -> usize {
        match self.run() {
            (Some(Next::Message), message, _) => message.len(),
            (other, ..) => panic!("{other:?}"),
        }
    }

    fn failure(&mut self) -> ProtocolError {
        assert!(matches!(self.run().0, Some(Next::End)));
        match self.driver.take_ending() {
            Ending::Failed(Error::Protocol(error)) => error,
            other => panic!("{other:?}"),
        }
    }
}

/// A frame's payload that inflates to so many zeros; without an end when it is cut.
fn bomb(len: usize) -> Vec<u8> {
    deflated(&vec![0; len])
}

fn deflated(payload: &[u8]) -> Vec<u8> {
    let now = Instant::now().into_std();
    let keys = Box::new(|| MaskingKey::new([0; 4]));
    let Compression {
        params,
        config,
        pool,
    } = agreed();
    let config_of_client = Config::new(Role::Client);
    let mut client =
        Machine::client(config_of_client, keys, now).with_deflate(params, &config, pool);
    let message = Message::binary(payload.to_vec());
    client.send_message(&message, Cause::Push).unwrap();
    let len = client.output().len();
    let mut frame = client.output().copy_to_bytes(len);
    let header = match frame[1] & 0x7f {
        126 => 8,
        127 => 14,
        _ => 6,
    };
    frame.split_off(header).to_vec()
}

fn shares(shares: usize) -> Arc<AssemblyBudget> {
    AssemblyBudget::new((shares * SHARE) as u64)
}

#[tokio::test(start_paused = true)]
async fn the_first_64_kib_of_each_message_are_free_and_no_byte_more() {
    let budget = shares(0);
    for len in [FREE, FREE + 1] {
        let mut end = end(&budget);
        end.peer.segment(masked(BINARY_STARTS, [7; 1000]));
        end.peer.segment(masked(ENDS, vec![7; len - 1000]));
        if len == FREE {
            assert_eq!(end.message(), len);
            continue;
        }
        let came = end.run();
        assert!(came.0.is_none(), "{:?} {}", came.0, came.1.len());
        tokio::time::advance(PATIENCE).await;
        assert_eq!(end.failure(), ProtocolError::MessageGivenUp);
    }
}

#[tokio::test(start_paused = true)]
async fn a_compressed_message_that_is_all_here_has_as_much_and_one_that_is_not_keeps_its_inflater()
{
    let budget = shares(0);
    for (len, passes) in [(FREE, true), (FREE + 1, false)] {
        let mut end = end(&budget);
        end.peer.segment(masked(BINARY | COMPRESSED, bomb(len)));
        match passes {
            true => assert_eq!(end.message(), len),
            false => assert!(end.is_waiting()),
        }
    }
    let free = FREE - INFLATER;
    for (len, waits) in [(free, false), (2 * free, true)] {
        let mut end = end(&budget);
        end.peer
            .segment(masked(BINARY_STARTS | COMPRESSED, bomb(len)));
        assert!(end.is_waiting());
        end.peer.segment(masked(ENDS, ""));
        match waits {
            false => assert_eq!(end.message(), len),
            true => assert!(end.is_waiting()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_message_held_is_given_back_when_it_is_complete_or_its_connection_ends() {
    let budget = shares(16);
    let whole = vec![7; 1 << 20];
    let mut end_of_it = end(&budget);
    for _ in 0..3 {
        let frame = masked(BINARY, &whole);
        for piece in frame.chunks(100_000) {
            end_of_it.peer.segment(piece);
            let (next, message, _) = end_of_it.run();
            let held = budget.usage().0;
            assert!(held <= 16 * SHARE as u64, "{held}");
            if next.is_some() {
                assert_eq!(message.len(), whole.len());
            }
        }
        assert_eq!(budget.usage(), (0, 0));
    }
    end_of_it
        .peer
        .segment(masked(BINARY_STARTS, vec![7; 100_000]));
    assert!(end_of_it.is_waiting());
    assert_eq!(budget.usage().0, SHARE as u64);
    drop(end_of_it);
    assert_eq!(budget.usage(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_large_message_is_put_together_in_a_large_buffer_of_the_thread_where_the_budget_has_it() {
    let large = 1 << 20;
    let kept = vec![0; large];
    let at = kept.as_ptr();
    pool::recycle_buffer(kept);
    let enough = (large - FREE).div_ceil(SHARE);
    for (shares_left, len, is_used) in [
        (enough, large, true),
        (enough, large / 2, true),
        // The buffer is more than twice as large as the message.
        (enough, large / 2 - 1, false),
        (enough - 1, large / 2, false),
    ] {
        let budget = shares(shares_left);
        let mut end = end(&budget);
        end.peer.segment(masked(BINARY, vec![7; len]));
        let (next, mut message, _) = end.run();
        assert!(matches!(next, Some(Next::Message)), "{shares_left} {len}");
        assert_eq!(message, MessageBuffer::Binary(vec![7; len]));
        assert_eq!(message.capacity() == large, is_used, "{shares_left} {len}");
        if is_used {
            pool::recycle_message(&mut message);
        }
        let kept = pool::take_large_buffer(large..=large).unwrap();
        assert_eq!(kept.as_ptr(), at);
        pool::recycle_buffer(kept);
        assert_eq!(budget.usage(), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_buffer_counts_whole_while_its_message_is_unfinished() {
    let large = 1 << 20;
    pool::recycle_buffer(Vec::with_capacity(large));
    let budget = shares(1000);
    let mut end = end(&budget);
    let frame = masked(BINARY, vec![7; large]);
    end.peer.segment(&frame[..100_000]);
    assert!(end.is_waiting());
    assert_eq!(budget.usage().0, (large - FREE) as u64);
}

#[tokio::test(start_paused = true)]
async fn while_the_budget_is_full_others_are_not_read_and_go_on_when_there_is_room() {
    let budget = shares(2);
    let mut slow = end(&budget);
    slow.peer
        .segment(masked(BINARY_STARTS, vec![7; FREE + 2 * SHARE]));
    assert!(slow.is_waiting());
    let mut honest = end(&budget);
    honest
        .peer
        .segment(masked(BINARY_STARTS, vec![7; FREE + 1]));
    honest.peer.segment(masked(ENDS, ""));
    honest.peer.segment(masked(BINARY, "small"));
    assert!(honest.is_waiting());
    let reads = honest.peer.reads();
    assert!(honest.is_waiting());
    assert_eq!(honest.peer.reads(), reads, "it is not read");
    // The slow one is done.
    slow.peer.segment(masked(ENDS, ""));
    assert_eq!(slow.message(), FREE + 2 * SHARE);
    assert!(honest.count.woken() > 0);
    assert_eq!(honest.message(), FREE + 1);
    assert_eq!(honest.message(), 5);
}

#[tokio::test(start_paused = true)]
async fn after_5_seconds_the_message_that_stands_still_ends_with_1013_and_the_others_go_on() {
    let budget = shares(2);
    let mut hostile = end(&budget);
    let bytes = bomb(1 << 20);
    hostile.peer.segment(masked(
        BINARY_STARTS | COMPRESSED,
        &bytes[..bytes.len() - 1],
    ));
    assert!(hostile.is_waiting());
    let mut honest = end(&budget);
    honest.peer.segment(masked(BINARY, vec![7; FREE + SHARE]));
    assert!(honest.is_waiting());
    tokio::time::advance(PATIENCE).await;
    assert!(honest.is_waiting() && hostile.count.woken() > 0);
    assert_eq!(hostile.failure(), ProtocolError::MessageGivenUp);
    assert_eq!(honest.message(), FREE + SHARE);
    assert_eq!(budget.usage(), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_bombs_cost_what_is_free_and_the_budget() {
    const MANY: usize = 1000;
    let budget = shares(160);
    let bytes = bomb((1 << 20) - 1);
    let mut ends: Vec<_> = (0..MANY)
        .map(|_| {
            let mut end = end(&budget);
            end.peer
                .segment(masked(BINARY_STARTS | COMPRESSED, &*bytes));
            assert!(end.is_waiting());
            end
        })
        .collect();
    let retained: usize = ends.iter().map(|end| end.driver.retained_bytes()).sum();
    // Its window beside the inflater, what is left of the read, and the rest.
    let each = FREE + 32 * 1024 + bytes.len() + 2048;
    let most = MANY * each + 160 * SHARE;
    assert!(retained <= most, "{retained} of {most}");
    let mut honest = end(&budget);
    honest.peer.segment(masked(BINARY, vec![7; 200_000]));
    assert!(honest.is_waiting());
    for _ in 0..20 {
        tokio::time::advance(PATIENCE).await;
        for end in &mut ends {
            if end.count.woken() > 0 {
                end.run();
            }
        }
        if let Some(Next::Message) = honest.run().0 {
            return;
        }
    }
    panic!("the honest message never came");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_handed_on_in_parts_needs_no_budget() {
    let budget = shares(0);
    let mut end = end(&budget);
    end.driver.give(Wanted {
        text_parts: true,
        binary_parts: true,
        ..Wanted::default()
    });
    let waker = Arc::clone(&end.count).into();
    let mut came = 0;
    for (first, len) in [(BINARY_STARTS, 300_000), (GOES_ON, 300_000), (ENDS, 1)] {
        for piece in masked(first, vec![7; len]).chunks(90_000) {
            end.peer.segment(piece);
        }
    }
    let mut part = MessageBuffer::default();
    loop {
        let answering = Parts;
        match poll(end.driver.next_unanswered(&mut part, answering), &waker) {
            std::task::Poll::Ready(Next::Part(is_last)) => {
                came += part.len();
                if is_last {
                    break;
                }
            }
            std::task::Poll::Pending if end.count.woken() > 0 => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(came, 600_001);
    assert_eq!(budget.usage(), (0, 0));
}

struct Parts;

impl crate::connection::driver::AnswerAtOnce for Parts {
    fn wanted(&self) -> Wanted {
        Wanted {
            text_parts: true,
            binary_parts: true,
            ..Wanted::default()
        }
    }

    fn answer(
        &mut self,
        _: sockeye_proto::WholeMessage<'_>,
        _: crate::connection::driver::Answer<'_, '_>,
    ) -> crate::connection::driver::Answered {
        crate::connection::driver::Answered::Declined
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_message_that_filled_its_room_is_thrown_away_while_closing() {
    for len in [FREE, FREE + SHARE] {
        let mut end = end(&shares(1));
        end.peer.segment(masked(BINARY_STARTS, vec![7; len]));
        assert!(end.is_waiting());
        end.close();
        end.peer.segment(masked(ENDS, vec![7; 200_000]));
        end.peer.segment(masked(CLOSE, 1001_u16.to_be_bytes()));
        end.peer.end();
        let start = Instant::now();
        let reason = end.driver.linger().await;
        assert_eq!(
            reason.map(|reason| reason.code()),
            Some(CloseCode::GOING_AWAY)
        );
        assert!(start.elapsed() < seconds(5), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_on_and_on_after_the_close_is_dropped_at_the_close_timeout() {
    let mut end = end(&shares(1));
    assert!(end.is_waiting());
    end.close();
    let waker = Arc::clone(&end.count).into();
    let flood = masked(PING, "").repeat(300);
    let mut lingering = std::pin::pin!(end.driver.linger());
    for tenths in 0..60 {
        end.peer.segment(&*flood);
        if poll(lingering.as_mut(), &waker).is_ready() {
            assert!(tenths >= 50, "after {tenths} tenths of a second");
            return;
        }
        assert!(end.count.woken() > 0, "it has more to read");
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    panic!("it is not dropped");
}

// Turns

#[tokio::test(start_paused = true)]
async fn a_message_that_inflates_to_a_mebibyte_gives_way_to_others_in_its_middle() {
    let mut end = end(&shares(1000));
    end.peer.segment(masked(BINARY | COMPRESSED, bomb(1 << 20)));
    let (next, message, turns) = end.run();
    assert!(matches!(next, Some(Next::Message)));
    assert_eq!(message.len(), 1 << 20);
    assert!((7..=17).contains(&turns), "{turns} turns of 128 KiB");
}

#[tokio::test(start_paused = true)]
async fn streams_that_end_inside_a_message_count_as_work_though_they_make_nothing() {
    // An empty final block, many times.
    let ends = [0x03, 0x00].repeat(10_000);
    let mut end = end(&shares(1000));
    end.peer.segment(masked(BINARY | COMPRESSED, &*ends));
    let (next, message, turns) = end.run();
    assert!(matches!(next, Some(Next::Message)));
    assert_eq!(message.len(), 0);
    // Each counts 32 KiB.
    assert!(turns > 2000, "{turns}");
}

#[tokio::test(start_paused = true)]
async fn blocks_that_make_nothing_count_as_work() {
    // Stored blocks without a byte.
    let blocks = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(20_000);
    let mut end = end(&shares(1000));
    end.peer.segment(masked(BINARY | COMPRESSED, &*blocks));
    let (next, message, turns) = end.run();
    assert!(matches!(next, Some(Next::Message)));
    assert_eq!(message.len(), 0);
    assert!((3..=6).contains(&turns), "{turns}");
}
