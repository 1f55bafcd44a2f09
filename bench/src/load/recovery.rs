//! Clients of the subprotocol that lose their connections, miss messages of their topics, and return at once with the
//! position that they had. Counted is how often their node reads from the engine.
//!
//! Each client must recover, and must get all that it missed. Subscribers at the publishing node say when all of it is
//! published.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde::Deserialize;

use crate::Result;
use crate::message::{self, FIN, KEY, Payload, TEXT};
use crate::redis::Asking;
use crate::workload::{Load, Workload};

use super::echo::connect;
use super::fan_out::{Part, join};
use super::reply::Header;
use super::{Cost, Meter, Options, opening};

pub(super) fn measure(options: &Options, workload: &Workload) -> Result<Cost> {
    let Load::Recovery {
        clients,
        missed,
        size,
    } = workload.load
    else {
        return Err(format!("no client of {} returns", workload.name));
    };
    let topics = workload.setting.topics.map_or(1, usize::from);
    let redis = options.beside.redis.ok_or("the engine has no address")?;
    let mut redis = Asking::connect(redis)?;
    let published = Published::begin(options, workload, topics)?;
    let positions = first_visit(options, workload, clients, topics)?;
    published.publish(missed, size)?;

    let before = redis.calls(READ)?;
    let meter = Meter::start(options, 0)?;
    let mut returned = open(options, workload, clients)?;
    for (number, (client, position)) in returned.iter_mut().zip(&positions).enumerate() {
        client.subscribe(number % topics, Some(position))?;
    }
    for (number, client) in returned.iter_mut().enumerate() {
        client.recover(number % topics, topics, missed, size)?;
    }
    let mut cost = meter.stop(topics as u64)?;
    cost.engine_reads = Some(redis.calls(READ)? - before);
    Ok(cost)
}

/// The command that each read of a topic's position or history begins with. Publishes use it too, and are over.
const READ: &str = "hmget";

/// How long the node may take to learn that its clients are gone, and that it has subscribers.
const SETTLING: Duration = Duration::from_secs(1);

/// Subscribes each client, and cuts its connection. Returns the position that each had.
fn first_visit(
    options: &Options,
    workload: &Workload,
    clients: usize,
    topics: usize,
) -> Result<Vec<String>> {
    let mut all = open(options, workload, clients)?;
    let mut positions = Vec::new();
    for (number, client) in all.iter_mut().enumerate() {
        client.subscribe(number % topics, None)?;
        let answer = client.answer()?;
        positions.push(answer.at.ok_or("the topic has no history")?);
    }
    drop(all);
    std::thread::sleep(SETTLING);
    Ok(positions)
}

fn open(options: &Options, workload: &Workload, clients: usize) -> Result<Vec<Client>> {
    (0..clients)
        .map(|_| Client::open(options, workload))
        .collect()
}

/// The publisher, and a subscriber of each topic that has no subprotocol, all at the node that is published to.
struct Published {
    publisher: TcpStream,
    subscribers: Vec<TcpStream>,
}

impl Published {
    fn begin(options: &Options, workload: &Workload, topics: usize) -> Result<Self> {
        let at = options.of_publisher();
        let subscribers = (0..topics)
            .map(|topic| join(&at, workload, Part::Subscriber(Some(topic))))
            .collect::<Result<Vec<_>>>()?;
        let publisher = join(&at, workload, Part::Publisher)?;
        std::thread::sleep(SETTLING);
        Ok(Self {
            publisher,
            subscribers,
        })
    }

    /// Publishes so many messages to each topic, and waits until all are.
    fn publish(mut self, messages: usize, size: usize) -> Result<()> {
        let topics = self.subscribers.len();
        let first = Payload::Binary.first_byte();
        for number in 0..messages * topics {
            let payload = Payload::Binary.bytes(size, number);
            write(
                &mut self.publisher,
                &message::frame(first, &payload, Some(KEY)),
            )?;
            // One at a time, so that none is refused.
            let mut come = message::frame(first, &payload, None);
            let read = self.subscribers[number % topics].read_exact(&mut come);
            read.map_err(|error| format!("a published message does not come: {error}"))?;
        }
        Ok(())
    }
}

/// A client of the subprotocol.
struct Client {
    tcp: TcpStream,
    bytes: Vec<u8>,
}

/// What the header of a frame of the server may say.
#[derive(Debug, Default, Deserialize)]
struct Said {
    ok: Option<u64>,
    at: Option<String>,
    recovered: Option<bool>,
    missed: Option<usize>,
    m: Option<String>,
    hello: Option<u64>,
}

impl Client {
    fn open(options: &Options, workload: &Workload) -> Result<Self> {
        let mut tcp = connect(options)?;
        let opening = opening(options, workload, "/topics");
        write(&mut tcp, opening.request())?;
        let mut bytes = Vec::new();
        let end = loop {
            read(&mut tcp, &mut bytes)?;
            if let Some(end) = opening.end_of_head(&bytes)? {
                break end;
            }
        };
        bytes.drain(..end);
        Ok(Self { tcp, bytes })
    }

    fn subscribe(&mut self, topic: usize, position: Option<&str>) -> Result<()> {
        let at = position.map_or_else(String::new, |at| format!(",\"at\":\"{at}\""));
        let header = format!("{{\"sub\":\"{topic}\",\"ref\":1{at}}}\n");
        let frame = message::frame(FIN | TEXT, header.as_bytes(), Some(KEY));
        write(&mut self.tcp, &frame)
    }

    /// Takes the greeting and the answer to the subscription.
    fn answer(&mut self) -> Result<Said> {
        loop {
            let (said, _) = self.frame()?;
            match said {
                Said { hello: Some(_), .. } => {}
                Said { ok: Some(1), .. } => return Ok(said),
                other => return Err(format!("no answer to a subscription: {other:?}")),
            }
        }
    }

    /// Takes all that was missed of the topic, and nothing else.
    fn recover(&mut self, topic: usize, topics: usize, missed: usize, size: usize) -> Result<()> {
        let answer = self.answer()?;
        if answer.recovered != Some(true) || answer.missed != Some(missed) {
            return Err(format!("a client did not recover: {answer:?}"));
        }
        for number in 0..missed {
            let (said, body) = self.frame()?;
            let is_it = said.m.is_some_and(|name| name == topic.to_string());
            if !is_it || body != Payload::Binary.bytes(size, number * topics + topic) {
                return Err("a client got another message than it missed".to_owned());
            }
        }
        Ok(())
    }

    /// Takes a frame: its header, and the body behind it.
    fn frame(&mut self) -> Result<(Said, Vec<u8>)> {
        loop {
            if let Some(header) = Header::parse(&self.bytes)?
                && self.bytes.len() >= header.len + header.payload
            {
                let frame: Vec<u8> = self.bytes.drain(..header.len + header.payload).collect();
                return parse(&frame[header.len..]);
            }
            read(&mut self.tcp, &mut self.bytes)?;
        }
    }
}

fn parse(payload: &[u8]) -> Result<(Said, Vec<u8>)> {
    let end = payload.iter().position(|byte| *byte == b'\n');
    let (head, body) = payload.split_at(end.ok_or("a frame has no header")?);
    let said = serde_json::from_slice(head).map_err(|error| {
        let head = String::from_utf8_lossy(head);
        format!("`{head}`: {error}")
    })?;
    Ok((said, body[1..].to_vec()))
}

fn read(tcp: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<()> {
    let mut buffer = [0; 16 * 1024];
    match tcp.read(&mut buffer) {
        Ok(0) => Err("the server ended a connection".to_owned()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_header_and_a_body_that_may_have_lines() {
        let (said, body) = parse(b"{\"m\":\"7\",\"at\":\"e:1:i\"}\na\nb").unwrap();
        assert_eq!((said.m.as_deref(), &body[..]), (Some("7"), &b"a\nb"[..]));
        let (said, _) = parse(b"{\"ok\":1,\"recovered\":true,\"missed\":50}\n").unwrap();
        assert_eq!((said.recovered, said.missed), (Some(true), Some(50)));
        assert!(parse(b"{}").is_err());
    }
}
