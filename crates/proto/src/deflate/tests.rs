//! Connections that share a pool give their states back between messages. These tests show that this changes no byte
//! that is sent or received, whatever was agreed on (RFC 7692 §7.1), and whenever a connection rests.

use proptest::prelude::*;
use zlib_rs::{Inflate, InflateFlush};

use super::codec::InvalidDeflate;
use super::strict::StrictInflater;
use super::{DeflatePool, Deflater, Inflater, SharedPayload, WindowBits};

/// A direction of a connection: the deflater, the inflater, and two inflaters that judge and never rest.
struct Direction {
    deflater: Deflater,
    inflater: Inflater,
    strict: StrictInflater,
    foreign: Inflate,
    takeover: bool,
}

#[derive(Clone, Debug)]
struct Sent {
    direction: usize,
    payload: Vec<u8>,
    /// Whether it is compressed for many.
    shared: bool,
    /// Whether the sender rests before the message, and after how many bytes of it the receiver rests.
    rests: (bool, Option<usize>),
}

/// Words whose repetitions are as far from each other as windows are large.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![1..300_usize, 1..5000_usize, 1..40_000_usize];
    (prop::collection::vec(0..32_u8, 1..3000), len)
        .prop_map(|(word, len)| word.into_iter().cycle().take(len).collect())
}

fn sent() -> impl Strategy<Value = Sent> {
    let rests = (any::<bool>(), prop::option::of(0..300_usize));
    (0..2_usize, payload(), prop::bool::weighted(0.2), rests).prop_map(
        |(direction, payload, shared, rests)| Sent {
            direction,
            payload,
            shared,
            rests,
        },
    )
}

/// Inflates a message whose payload is `input`, and rests after the given number of its bytes.
fn inflate(
    inflater: &mut Inflater,
    input: &[u8],
    rest: Option<usize>,
) -> Result<Vec<u8>, InvalidDeflate> {
    let mut out = Vec::new();
    let mut room = [0; 1500];
    let (first, second) = input.split_at(rest.map_or(0, |at| at.min(input.len())));
    for mut part in [first, second] {
        loop {
            let (taken, made) = inflater.inflate(part, &mut room)?;
            part = &part[taken..];
            out.extend_from_slice(&room[..made]);
            if taken == 0 && made == 0 {
                break;
            }
        }
        if rest.is_some() {
            inflater.rest();
        }
    }
    loop {
        let made = inflater.finish(&mut room)?;
        out.extend_from_slice(&room[..made]);
        if rest.is_some() {
            inflater.rest();
        }
        if made < room.len() {
            return Ok(out);
        }
    }
}

impl Direction {
    fn new(pool: &DeflatePool, level: u8, bits: u8, takeover: bool) -> Self {
        let window = WindowBits::new(bits).unwrap();
        Self {
            deflater: Deflater::new(pool.clone(), level, window, takeover),
            inflater: Inflater::new(pool.clone(), window, takeover),
            strict: StrictInflater::new(bits, takeover),
            foreign: Inflate::new(false, bits),
            takeover,
        }
    }

    /// The payload of the message's frame, if it is compressed.
    fn send(&mut self, message: &Sent) -> Option<Vec<u8>> {
        if message.rests.0 {
            self.deflater.rest();
        }
        if message.shared {
            let compressed =
                SharedPayload::default().compressed(&message.payload, &self.deflater)?;
            self.deflater.restart();
            return Some(compressed.to_vec());
        }
        let mut compressed = Vec::new();
        self.deflater.compress(&message.payload, &mut compressed);
        Some(compressed)
    }

    fn inflate_foreign(&mut self, compressed: &[u8], len: usize) -> Vec<u8> {
        let before = self.foreign.total_out();
        let mut out = vec![0; len + 1];
        let bytes = [compressed, &[0, 0, 0xff, 0xff]].concat();
        self.foreign
            .decompress(&bytes, &mut out, InflateFlush::SyncFlush)
            .unwrap();
        out.truncate(usize::try_from(self.foreign.total_out() - before).unwrap());
        if !self.takeover {
            self.foreign.reset(false);
        }
        out
    }
}

proptest! {
    #[test]
    fn whoever_rests_sends_and_receives_the_same(
        messages in prop::collection::vec(sent(), 1..12),
        bits in 8..=15_u8,
        level in 1..=9_u8,
        takeovers: [bool; 2],
    ) {
        let pool = DeflatePool::default();
        let mut directions =
            takeovers.map(|takeover| Direction::new(&pool, level, bits, takeover));
        for message in messages {
            let direction = &mut directions[message.direction];
            let Some(compressed) = direction.send(&message) else {
                continue;
            };
            let payload = &message.payload;
            prop_assert_eq!(&direction.strict.inflate(&compressed), payload);
            prop_assert_eq!(&direction.inflate_foreign(&compressed, payload.len()), payload);
            let inflated = inflate(&mut direction.inflater, &compressed, message.rests.1);
            prop_assert_eq!(&inflated.unwrap(), payload);
        }
    }

    #[test]
    fn what_a_broken_peer_sends_is_the_same_to_whoever_rests(
        messages in prop::collection::vec((payload(), 0..200_usize, any::<u8>()), 1..6),
        level in 1..=9_u8,
    ) {
        let pool = DeflatePool::default();
        let mut deflater = Deflater::new(pool.clone(), level, WindowBits::MAX, true);
        let [mut resting, mut awake] =
            [(); 2].map(|()| Inflater::new(pool.clone(), WindowBits::MAX, true));
        for (payload, cut, last) in messages {
            let mut compressed = Vec::new();
            deflater.compress(&payload, &mut compressed);
            // Most often it ends within a block.
            compressed.truncate(cut);
            compressed.push(last);
            let outcome = inflate(&mut awake, &compressed, None);
            let rested = inflate(&mut resting, &compressed, Some(cut / 2));
            prop_assert_eq!(&rested, &outcome);
            if outcome.is_err() {
                break;
            }
        }
    }
}

#[test]
fn the_windows_are_all_that_is_kept_of_a_connection_that_rests() {
    // A window that is not full has room for a quarter more; a full one is 32 KiB.
    for (len, kept) in [
        (1000, 1000..=1506),
        (20_000, 20_000..=25_256),
        (70_000, 32_768..=32_768),
    ] {
        let noise: Vec<u8> = (0..len)
            .map(|i: u32| i.wrapping_mul(0x9e37_79b1).to_be_bytes()[0])
            .collect();
        let mut direction = Direction::new(&DeflatePool::default(), 1, 15, true);
        let mut compressed = Vec::new();
        direction.deflater.compress(&noise, &mut compressed);
        inflate(&mut direction.inflater, &compressed, None).unwrap();
        assert!(direction.deflater.retained_bytes() > 280 * 1024);
        assert!(direction.inflater.retained_bytes() > 40 * 1024);
        direction.deflater.rest();
        direction.inflater.rest();
        for retained in [
            direction.deflater.retained_bytes(),
            direction.inflater.retained_bytes(),
        ] {
            assert!(kept.contains(&retained), "{retained} for {len}");
        }
    }
}

#[test]
fn behind_a_rest_a_message_refers_back_as_it_would_without() {
    let text = "neither shorter nor longer, whatever rests ".repeat(10);
    let mut direction = Direction::new(&DeflatePool::default(), 6, 15, true);
    let mut lens = [(); 2].map(|()| {
        let mut compressed = Vec::new();
        direction
            .deflater
            .compress(text.as_bytes(), &mut compressed);
        direction.deflater.rest();
        compressed.len()
    });
    lens.sort_unstable();
    assert!(lens[0] < 10 && lens[1] > 30, "{lens:?}");
}

#[test]
fn a_message_is_not_torn_from_its_state() {
    // "Hello", stored and cut within.
    let hello = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00";
    for at in 0..hello.len() {
        let mut inflater = Inflater::new(DeflatePool::default(), WindowBits::MAX, true);
        let inflated = inflate(&mut inflater, hello, Some(at));
        assert_eq!(inflated.unwrap(), b"Hello", "{at}");
    }
}

#[test]
fn who_is_given_a_state_sees_nothing_of_who_had_it() {
    // What stands five bytes back, five times.
    let refers_back = b"\xf2\x00\x11\x00\x00";
    let pool = DeflatePool::default();
    let [mut first, mut second] =
        [(); 2].map(|()| Inflater::new(pool.clone(), WindowBits::MAX, true));
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    inflate(&mut first, hello, None).unwrap();
    first.rest();
    assert_eq!(inflate(&mut second, refers_back, None), Err(InvalidDeflate));
    assert_eq!(inflate(&mut first, refers_back, None).unwrap(), b"Hello");
}
