//! The workloads, by the names under which they are reported.

/// Messages that are echoed: how many connections, how many messages of each in flight, of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    pub(crate) payload: Payload,
    pub(crate) size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Payload {
    Binary,
    Ascii,
    /// Text of which every third character has two bytes.
    NonAscii,
}

pub(crate) const ALL: &[Workload] = &[
    echo("w1", 100, 1, Payload::Ascii, 64),
    echo("w2", 100, 16, Payload::Ascii, 64),
    echo("w2-1k", 100, 16, Payload::Ascii, 1024),
    echo("w64", 100, 64, Payload::Ascii, 64),
    echo("w2000", 2000, 1, Payload::Ascii, 64),
    echo("w3-16k", 10, 4, Payload::Binary, 16 * 1024),
    echo("w3-16k-ascii", 10, 4, Payload::Ascii, 16 * 1024),
    echo("w3-16k-text", 10, 4, Payload::NonAscii, 16 * 1024),
    echo("w3-1m", 4, 1, Payload::Binary, 1 << 20),
    echo("w3-1m-text", 4, 1, Payload::NonAscii, 1 << 20),
];

const fn echo(
    name: &'static str,
    connections: usize,
    in_flight: usize,
    payload: Payload,
    size: usize,
) -> Workload {
    Workload {
        name,
        connections,
        in_flight,
        payload,
        size,
    }
}

impl Payload {
    pub(crate) fn bytes(self, size: usize) -> Vec<u8> {
        match self {
            Self::Binary => (0..size).map(|i| (i * 31 + i / 256) as u8).collect(),
            Self::Ascii => (0..size).map(|i| b' ' + (i % 95) as u8).collect(),
            Self::NonAscii => {
                let mut text = "ab\u{e9}".repeat(size / 4);
                text.push_str(&"x".repeat(size % 4));
                text.into_bytes()
            }
        }
    }

    fn first_byte(self) -> u8 {
        match self {
            Self::Binary => 0x82,
            Self::Ascii | Self::NonAscii => 0x81,
        }
    }

    /// One frame (RFC 6455 §5.2) as a client sends it, and as the server has to send it back.
    pub(crate) fn frames(self, size: usize) -> (Vec<u8>, Vec<u8>) {
        const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
        let payload = self.bytes(size);
        let mut reply = header(self.first_byte(), size, 0);
        let mut sent = header(self.first_byte(), size, 0x80);
        sent.extend_from_slice(&KEY);
        sent.extend(payload.iter().zip(KEY.iter().cycle()).map(|(b, k)| b ^ k));
        reply.extend_from_slice(&payload);
        (sent, reply)
    }
}

fn header(first: u8, size: usize, mask: u8) -> Vec<u8> {
    let mut header = vec![first];
    match size {
        0..126 => header.push(mask | size as u8),
        126..65_536 => {
            header.push(mask | 126);
            header.extend_from_slice(&(size as u16).to_be_bytes());
        }
        _ => {
            header.push(mask | 127);
            header.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
    header
}
