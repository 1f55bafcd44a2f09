//! Frames as bytes, by RFC 6455 §5.2 and without the crate's own code: what a peer sends, and what it
//! reads.

#![allow(
    dead_code,
    reason = "each test includes this file and uses a part of it"
)]

/// The masking key of the RFC's examples (§5.7).
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as it stands on the wire, its payload unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// FIN, the reserved bits and the opcode.
    pub(crate) first: u8,
    pub(crate) key: Option<[u8; 4]>,
    pub(crate) payload: Vec<u8>,
}

/// The bytes that these pairs of digits stand for; spaces are for the reader.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> = digits
        .chars()
        .filter(|digit| !digit.is_whitespace())
        .map(|digit| digit.to_digit(16).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap())
        .collect()
}

/// The bytes of a frame with its length in the shortest form.
pub(crate) fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64, key);
    match key {
        None => bytes.extend_from_slice(payload),
        Some(key) => {
            let masked = payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k);
            bytes.extend(masked);
        }
    }
    bytes
}

/// The bytes of a header alone.
pub(crate) fn header(first: u8, payload_len: u64, key: Option<[u8; 4]>) -> Vec<u8> {
    let mask = if key.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload_len {
        0..=125 => bytes.push(mask | u8::try_from(payload_len).unwrap()),
        126..=0xffff => {
            bytes.push(mask | 126);
            bytes.extend_from_slice(&u16::try_from(payload_len).unwrap().to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend_from_slice(&payload_len.to_be_bytes());
        }
    }
    bytes.extend(key.iter().flatten());
    bytes
}

/// The frames that these bytes are. They are whole frames with their lengths in the shortest form, or
/// this panics.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((frame, rest)) = split_frame(bytes) {
        frames.push(frame);
        bytes = rest;
    }
    assert!(bytes.is_empty(), "an unfinished frame: {bytes:02x?}");
    frames
}

fn split_frame(bytes: &[u8]) -> Option<(Frame, &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
    let (payload_len, rest) = match second & 0x7f {
        126 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (u64::from(u16::from_be_bytes(*len)), rest)
        }
        127 => {
            let (len, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*len), rest)
        }
        len => (u64::from(len), rest),
    };
    let (key, rest) = if second & 0x80 == 0 {
        (None, rest)
    } else {
        let (key, rest) = rest.split_first_chunk::<4>()?;
        (Some(*key), rest)
    };
    let (payload, rest) = rest.split_at_checked(usize::try_from(payload_len).unwrap())?;
    let header = header(first, payload_len, key);
    assert!(
        bytes.starts_with(&header),
        "a length not in its shortest form"
    );
    let key_bytes = key.unwrap_or_default();
    let payload = payload
        .iter()
        .zip(key_bytes.iter().cycle())
        .map(|(byte, key)| byte ^ key)
        .collect();
    Some((
        Frame {
            first,
            key,
            payload,
        },
        rest,
    ))
}
