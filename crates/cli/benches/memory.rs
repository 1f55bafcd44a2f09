//! The memory of `sockeye serve` for each connection, as Linux counts it:
//! `cargo bench -p sockeye-cli --bench memory`. Fails if it is more than the goal.

#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;

use self::program::Server;

#[allow(dead_code, reason = "the tests of the program use the rest of it")]
#[path = "../tests/cli/program.rs"]
mod program;

const CONNECTIONS: usize = 10_000;

fn main() -> ExitCode {
    // Each connection also takes a descriptor in this process. The usual soft limit is 1,024.
    rlimit::increase_nofile_limit(u64::MAX).expect("a limit of descriptors");
    let mut outcome = ExitCode::SUCCESS;
    for (what, sent, goal) in [
        ("idle", Vec::new(), 16),
        ("1 MiB announced, one byte sent", begun(0x82, 0), 16),
        // 0xf2 begins a block, so the server needs a state to inflate it.
        ("the same of a compressed frame", begun(0xc2, 0xf2), 64),
    ] {
        let each = resident_for_each(&sent);
        println!("{CONNECTIONS} connections, {what}: {each} bytes each");
        if each >= goal * 1024 {
            println!("  that is not below {goal} KiB");
            outcome = ExitCode::FAILURE;
        }
    }
    outcome
}

/// Returns the header of a masked frame of 1 MiB, and the first byte of its payload.
fn begun(first: u8, byte: u8) -> Vec<u8> {
    let len = (1_u64 << 20).to_be_bytes();
    [&[first, 0xff][..], &len, &[0; 4], &[byte]].concat()
}

/// Returns the growth of the resident memory of `sockeye serve` for each connection that sends these bytes.
fn resident_for_each(sent: &[u8]) -> usize {
    let server = Server::start(&[]);
    let first = open(&server.addr, sent);
    let before = resident_bytes(server.program.id());
    let connections: Vec<TcpStream> = (0..CONNECTIONS).map(|_| open(&server.addr, sent)).collect();
    let after = resident_bytes(server.program.id());
    drop((first, connections));
    after.saturating_sub(before) / CONNECTIONS
}

/// Returns the resident memory of a process in bytes.
fn resident_bytes(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let size = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: usize = size.and_then(|size| size.parse().ok()).expect("in kB");
    kib * 1024
}

/// Opens a connection to the echo, and waits until the server has handled the sent bytes.
fn open(addr: &str, sent: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    let request = format!(
        "GET /echo HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        answer.extend(byte);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    // The Pong of a Ping in front shows that the server has handled the same read.
    const PING: [u8; 6] = [0x89, 0x80, 0, 0, 0, 0];
    let bytes = [&PING[..], sent].concat();
    stream.write_all(&bytes).expect("it reads");
    let mut pong = [0; 2];
    stream.read_exact(&mut pong).expect("an answer");
    assert_eq!(pong, [0x8a, 0]);
    stream
}
