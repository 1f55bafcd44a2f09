//! The bystander: one innocent connection that sends a small message twenty times a second and waits for its
//! echo. Messages leave by the clock, and do not wait for answers (an open loop). The time of an answer counts from the
//! moment when its message was due. So a delay of the server does not hide itself from the measurement.

use std::io::{BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::load::PATIENCE;
use crate::load::opening::Opening;
use crate::load::reply::Header;
use crate::message::{self, FIN, KEY, PING, PONG, TEXT};
use crate::server::{Job, Setting};
use crate::statistics::quantile;

use super::ProcessOptions;

/// How long the bystander waited, in milliseconds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Waited {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
    /// How many messages were sent.
    pub(crate) sent: usize,
    /// How many were not answered. Each counts as long as it was waited for.
    pub(crate) missing: usize,
}

/// Opens the connection, says so, and measures when a line comes on stdin.
pub(crate) fn bystand(options: &ProcessOptions) -> Result<()> {
    let mut tcp = open(options)?;
    let count = usize::try_from(options.milliseconds / PERIOD.as_millis() as u64);
    let count = count.map_err(|error| error.to_string())?;
    // Room for each answer and for an error: the reader never waits.
    let (arrived, arrivals) = mpsc::sync_channel(count + 1);
    let reader = Reader {
        tcp: tcp.try_clone().map_err(|error| error.to_string())?,
        raw: options.raw,
        arrived,
    };
    thread::spawn(move || reader.run());
    println!("ready");
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| error.to_string())?;

    let begun = Instant::now();
    let due = |number: usize| begun + PERIOD * number as u32;
    for number in 0..count {
        thread::sleep(due(number).saturating_duration_since(Instant::now()));
        tcp.write_all(&ping(number, options.raw))
            .map_err(|error| format!("the bystander cannot write: {error}"))?;
    }
    let patience = Instant::now() + PATIENCE;
    let mut waited: Vec<Option<Duration>> = vec![None; count];
    while waited.iter().any(Option::is_none) {
        let left = patience.saturating_duration_since(Instant::now());
        let Ok(arrival) = arrivals.recv_timeout(left) else {
            break;
        };
        let (number, at): (usize, Instant) = arrival?;
        let slot = waited
            .get_mut(number)
            .ok_or("an answer came that was not asked for")?;
        *slot = Some(at.saturating_duration_since(due(number)));
    }
    let end = Instant::now();
    let missing = waited.iter().filter(|waited| waited.is_none()).count();
    let waited = waited.iter().enumerate().map(|(number, waited)| {
        waited.unwrap_or_else(|| end.saturating_duration_since(due(number)))
    });
    let waited = Waited::of(waited.collect(), missing);
    let waited = serde_json::to_string(&waited).map_err(|error| error.to_string())?;
    println!("{waited}");
    Ok(())
}

impl Waited {
    fn of(mut waited: Vec<Duration>, missing: usize) -> Self {
        waited.sort();
        let waited: Vec<f64> = waited
            .iter()
            .map(|one| one.as_secs_f64() * 1000.0)
            .collect();
        let of = |share| quantile(&waited, share).unwrap_or_default();
        Self {
            p50: of(0.5),
            p99: of(0.99),
            max: of(1.0),
            sent: waited.len(),
            missing,
        }
    }
}

fn open(options: &ProcessOptions) -> Result<TcpStream> {
    let connect = |addr: SocketAddr| {
        let tcp = TcpStream::connect(addr)?;
        tcp.set_nodelay(true)?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        Ok(tcp)
    };
    let addr = options.addr;
    let mut tcp = connect(addr)
        .map_err(|error: std::io::Error| format!("cannot connect to {addr}: {error}"))?;
    if !options.raw {
        Opening::new(addr, "/echo", &Setting::default()).open(&mut tcp)?;
    } else if options.attack()?.raw_setting().job == Job::FanOut {
        // The bare fan-out is told by the first byte what a connection wants.
        tcp.write_all(b"e").map_err(|error| error.to_string())?;
    }
    Ok(tcp)
}

/// A message with its number. A bare echo sends the frame back as it is: so there it is that of a server.
fn ping(number: usize, raw: bool) -> Vec<u8> {
    let key = (!raw).then_some(KEY);
    message::frame(FIN | TEXT, format!("{number:06}").as_bytes(), key)
}

/// Notes when each answer comes, and answers the server's pings.
struct Reader {
    tcp: TcpStream,
    raw: bool,
    arrived: SyncSender<Result<(usize, Instant)>>,
}

impl Reader {
    fn run(mut self) {
        if let Err(error) = self.read() {
            let _ = self.arrived.send(Err(error));
        }
    }

    fn read(&mut self) -> Result<()> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = self.tcp.read(&mut buffer);
            let read = read.map_err(|error| format!("the bystander cannot read: {error}"))?;
            let now = Instant::now();
            if read == 0 {
                return Err("the server ended the bystander's connection".to_owned());
            }
            bytes.extend_from_slice(&buffer[..read]);
            while let Some((first, payload)) = take_frame(&mut bytes)? {
                if first == FIN | TEXT {
                    let number = std::str::from_utf8(&payload).ok();
                    let number = number.and_then(|number| number.parse().ok());
                    let number = number.ok_or("an answer is not the message that was sent")?;
                    if self.arrived.send(Ok((number, now))).is_err() {
                        return Ok(());
                    }
                } else if first == FIN | PING && !self.raw {
                    let pong = message::frame(FIN | PONG, &payload, Some(KEY));
                    let pong = self.tcp.write_all(&pong);
                    pong.map_err(|error| format!("the bystander cannot write: {error}"))?;
                } else {
                    return Err(format!(
                        "the server sent the bystander a frame that begins with {first:#04x}"
                    ));
                }
            }
        }
    }
}

/// Takes a whole frame from the front: its first byte and its payload.
fn take_frame(bytes: &mut Vec<u8>) -> Result<Option<(u8, Vec<u8>)>> {
    let Some(header) = Header::parse(bytes)? else {
        return Ok(None);
    };
    let end = header.len + header.payload;
    if bytes.len() < end {
        return Ok(None);
    }
    let payload = bytes[header.len..end].to_vec();
    bytes.drain(..end);
    Ok(Some((header.first, payload)))
}

/// Twenty a second.
const PERIOD: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantiles_are_those_of_the_sorted_times() {
        let times = (1..=200).rev().map(Duration::from_millis).collect();
        let expected = Waited {
            p50: 100.0,
            p99: 198.0,
            max: 200.0,
            sent: 200,
            missing: 3,
        };
        assert_eq!(Waited::of(times, 3), expected);
    }

    #[test]
    fn a_frame_is_taken_when_it_is_whole() {
        let frame = ping(7, true);
        for end in 0..frame.len() {
            assert_eq!(take_frame(&mut frame[..end].to_vec()), Ok(None));
        }
        let mut two = [ping(7, true), ping(8, true)].concat();
        let taken = take_frame(&mut two).unwrap();
        assert_eq!(taken, Some((FIN | TEXT, b"000007".to_vec())));
        assert_eq!(two, ping(8, true));
    }
}
