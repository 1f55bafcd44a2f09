//! The part of Socket.IO's protocol that a fan-out needs: Engine.IO's and Socket.IO's packets are texts, each in
//! a WebSocket message. The server pings after 25 s, which no load lasts.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::Result;
use crate::message::{self, FIN, KEY, TEXT};
use crate::workload::Workload;

use super::reply::Header;
use super::{Options, opening};

/// Opens a connection whose query has this path, and connects it to the main namespace.
pub(super) fn open(
    options: &Options,
    workload: &Workload,
    path: &str,
    tcp: &mut TcpStream,
) -> Result<()> {
    let path = format!("/socket.io/?EIO=4&transport=websocket&path={path}");
    let opening = opening(options, workload, &path);
    write(tcp, opening.request())?;
    let mut bytes = Vec::new();
    let end = loop {
        read(tcp, &mut bytes)?;
        if let Some(end) = opening.end_of_head(&bytes)? {
            break end;
        }
    };
    bytes.drain(..end);
    expect(tcp, &mut bytes, OPEN)?;
    write(tcp, &message::frame(FIN | TEXT, CONNECT, Some(KEY)))?;
    expect(tcp, &mut bytes, CONNECT)?;
    match bytes.len() {
        0 => Ok(()),
        more => Err(format!("{more} bytes came before anything was published")),
    }
}

/// Frames with an event of a text, as a client sends it and as the server sends it on.
pub(super) fn exchange(size: usize, messages: usize) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let events: Vec<String> = (0..messages)
        .map(|number| format!("42[\"m\",\"{number:04}{}\"]", "x".repeat(size - 4)))
        .collect();
    let frames = |key| -> Vec<Vec<u8>> {
        let events = events.iter();
        events
            .map(|event| message::frame(FIN | TEXT, event.as_bytes(), key))
            .collect()
    };
    (frames(Some(KEY)), frames(None))
}

/// Takes the next frame, whose payload has to begin so.
fn expect(tcp: &mut TcpStream, bytes: &mut Vec<u8>, packet: &[u8]) -> Result<()> {
    loop {
        if let Some(header) = Header::parse(bytes)?
            && bytes.len() >= header.len + header.payload
        {
            let payload: Vec<u8> = bytes.drain(..header.len + header.payload).collect();
            let payload = &payload[header.len..];
            return match payload.starts_with(packet) {
                true => Ok(()),
                false => Err(format!(
                    "an unexpected packet: {}",
                    String::from_utf8_lossy(payload)
                )),
            };
        }
        read(tcp, bytes)?;
    }
}

fn read(tcp: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<()> {
    let mut buffer = [0; 1024];
    match tcp.read(&mut buffer) {
        Ok(0) => Err("the server ended a connection instead of opening it".to_owned()),
        Ok(read) => {
            bytes.extend_from_slice(&buffer[..read]);
            Ok(())
        }
        Err(error) => Err(format!("cannot read: {error}")),
    }
}

fn write(tcp: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    tcp.write_all(bytes)
        .map_err(|error| format!("cannot write: {error}"))
}

/// Engine.IO's first packet.
const OPEN: &[u8] = b"0{";
/// A message of Engine.IO, which is Socket.IO's packet CONNECT.
const CONNECT: &[u8] = b"40";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_text_of_json() {
        let (sent, replies) = exchange(8, 2);
        assert_eq!(replies[1], b"\x81\x1242[\"m\",\"0001xxxx\"]");
        assert_eq!(sent[1].len(), replies[1].len() + KEY.len());
    }
}
