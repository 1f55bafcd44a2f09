//! For tests: an inflater (RFC 1951) that keeps exactly the agreed window. zlib-rs always keeps 32 KiB, so it accepts
//! messages that a peer with a smaller window cannot inflate. This one is slow, and panics at invalid DEFLATE.

/// Inflates one end's messages, one after another.
pub(super) struct StrictInflater {
    window: usize,
    takeover: bool,
    inflated: Vec<u8>,
}

impl StrictInflater {
    pub(super) fn new(window_bits: u8, takeover: bool) -> Self {
        Self {
            window: 1 << window_bits,
            takeover,
            inflated: Vec::new(),
        }
    }

    /// The message whose compressed payload is `payload`.
    pub(super) fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        if !self.takeover {
            self.inflated.clear();
        }
        let start = self.inflated.len();
        let bytes = [payload, &[0, 0, 0xff, 0xff]].concat();
        let mut bits = Bits {
            bytes: &bytes,
            at: 0,
        };
        while bits.at < 8 * bytes.len() {
            let _last = bits.take(1);
            match bits.take(2) {
                0 => self.stored(&mut bits),
                1 => {
                    let lens = [[8; 144].as_slice(), &[9; 112], &[7; 24], &[8; 8]].concat();
                    self.compressed(&mut bits, &Code::new(&lens), &Code::new(&[5; 30]));
                }
                2 => {
                    let (lens, distances) = dynamic_codes(&mut bits);
                    self.compressed(&mut bits, &lens, &distances);
                }
                kind => panic!("a block of kind {kind}"),
            }
        }
        self.inflated[start..].to_vec()
    }

    fn stored(&mut self, bits: &mut Bits<'_>) {
        bits.at = bits.at.next_multiple_of(8);
        let len = bits.take(16);
        assert_eq!(bits.take(16), len ^ 0xffff);
        for _ in 0..len {
            let byte = bits.take(8);
            self.inflated.push(u8::try_from(byte).unwrap());
        }
    }

    fn compressed(&mut self, bits: &mut Bits<'_>, lens: &Code, distances: &Code) {
        loop {
            match lens.next(bits) {
                byte @ 0..=255 => self.inflated.push(u8::try_from(byte).unwrap()),
                256 => return,
                symbol => {
                    let len = match symbol - 257 {
                        28 => 258,
                        step => 3 + scaled(step, 2, bits),
                    };
                    let distance = 1 + scaled(distances.next(bits), 1, bits);
                    let reach = self.window.min(self.inflated.len());
                    assert!(distance <= reach, "{distance} back, of {reach}");
                    for _ in 0..len {
                        self.inflated
                            .push(self.inflated[self.inflated.len() - distance]);
                    }
                }
            }
        }
    }
}

/// Reads a length or a distance (§3.2.5). After each `2^per_bit` steps the value has one more extra bit.
fn scaled(step: usize, per_bit: usize, bits: &mut Bits<'_>) -> usize {
    let steps = 1 << per_bit;
    if step < 2 * steps {
        return step;
    }
    let extra = step / steps - 1;
    ((steps + step % steps) << extra) + bits.take(extra)
}

/// §3.2.7.
fn dynamic_codes(bits: &mut Bits<'_>) -> (Code, Code) {
    const ORDER: [usize; 19] = [
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
    ];
    let (lens, distances) = (257 + bits.take(5), 1 + bits.take(5));
    let mut code_lens = [0; 19];
    let known = 4 + bits.take(4);
    for at in &ORDER[..known] {
        code_lens[*at] = bits.take(3);
    }
    let code = Code::new(&code_lens);
    let mut all: Vec<usize> = Vec::new();
    while all.len() < lens + distances {
        let (len, times) = match code.next(bits) {
            16 => (all[all.len() - 1], 3 + bits.take(2)),
            17 => (0, 3 + bits.take(3)),
            18 => (0, 11 + bits.take(7)),
            len => (len, 1),
        };
        all.resize(all.len() + times, len);
    }
    let (lens, distances) = all.split_at(lens);
    (Code::new(lens), Code::new(distances))
}

/// A canonical Huffman code (§3.2.2).
struct Code {
    /// The symbols in the order of their codes, with the codes' lengths.
    symbols: Vec<(usize, usize)>,
}

impl Code {
    fn new(lens: &[usize]) -> Self {
        let lens = lens.iter().copied().zip(0..);
        let mut symbols: Vec<_> = lens.filter(|(len, _)| *len > 0).collect();
        symbols.sort_unstable();
        Self { symbols }
    }

    fn next(&self, bits: &mut Bits<'_>) -> usize {
        let (mut read, mut value, mut code) = (0, 0, 0);
        for &(len, symbol) in &self.symbols {
            while read < len {
                value = value << 1 | bits.take(1);
                code <<= 1;
                read += 1;
            }
            if value == code {
                return symbol;
            }
            code += 1;
        }
        panic!("no symbol has this code");
    }
}

struct Bits<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> usize {
        let bit = |at: usize| usize::from(self.bytes[at / 8] >> (at % 8) & 1);
        let taken = (0..count).map(|i| bit(self.at + i) << i).sum();
        self.at += count;
        taken
    }
}
