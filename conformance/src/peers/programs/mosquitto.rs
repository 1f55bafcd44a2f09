//! Mosquitto's own listener for MQTT over WebSocket. The few packets of MQTT 3.1.1 that it takes are written here.

use std::time::Duration;

use sockeye::Message;

use crate::error::Result;
use crate::process::Child;
use crate::{judges, port};

use super::super::install::Tools;
use super::{Kind, Link, Program};

pub(super) async fn start(tools: &Tools) -> Result<Program> {
    let folder = tools.folder().join("mosquitto");
    judges::make_folder(&folder)?;
    let address = port::pick_free().await?;
    let (ip, port) = (address.ip(), address.port());
    let config = folder.join("mosquitto.conf");
    // Mosquitto 2.0 ends unless it has a listener of plain MQTT as well.
    let socket = folder.join("socket");
    let lines = format!(
        "listener {port} {ip}\nprotocol websockets\nlistener 0 {}\nallow_anonymous true\n\
         user root\n",
        socket.display()
    );
    judges::write(&config, lines)?;
    let mut command = tools.mosquitto()?;
    command.arg("-c").arg(&config);
    let mut process = Child::spawn(&mut command, &folder)?;
    port::await_listener(address, &mut process).await?;
    let found = |line: &str| {
        let (_, rest) = line.split_once("mosquitto version ")?;
        Some(rest.split_whitespace().next()?.to_owned())
    };
    let version = process.await_stderr("its version", found).await?;
    Ok(Program {
        kind: Kind::Mosquitto,
        version,
        address,
        path: "/mqtt".to_owned(),
        _process: process,
    })
}

pub(super) async fn talk(link: &mut Link) -> Result<()> {
    let keep_alive = u16::try_from(KEEP_ALIVE.as_secs())?.to_be_bytes();
    let connect = [
        &string("MQTT")[..],
        &[4, 2],
        &keep_alive,
        &string("sockeye"),
    ]
    .concat();
    link.send(packet(0x10, &connect)).await?;
    expect(link, &packet(0x20, &[0, 0])).await?;
    let subscribe = [&[0, 1][..], &string("trial/#"), &[0]].concat();
    link.send(packet(0x82, &subscribe)).await?;
    expect(link, &packet(0x90, &[0, 1, 0])).await?;
    // What is published comes back to the subscriber. The longest one goes in several frames.
    for length in [0, 1, 125, 126, 65_535, 65_536, 200_000] {
        let payload: Vec<u8> = (0..length).map(|at: usize| (at % 251) as u8).collect();
        let publish = packet(0x30, &[string("trial/one"), payload].concat());
        link.send(publish.clone()).await?;
        expect(link, &publish).await.map_err(|error| {
            format!(
                "with {length} bytes: {}",
                sockeye::error::ErrorChain::new(&*error)
            )
        })?;
    }
    link.send(packet(0xc0, &[])).await?;
    expect(link, &packet(0xd0, &[])).await?;
    link.send(packet(0xe0, &[])).await
}

/// Takes messages until they hold the packet: MQTT does not say where a message of WebSocket ends.
async fn expect(link: &mut Link, packet: &[u8]) -> Result<()> {
    let mut came = Vec::new();
    while came.len() < packet.len() {
        match link.receive().await? {
            Some(Message::Binary(bytes)) => came.extend_from_slice(&bytes),
            other => return Err(format!("a binary was expected, not {other:?}").into()),
        }
    }
    match came == packet {
        true => Ok(()),
        false => Err(format!("{} other bytes came", came.len()).into()),
    }
}

/// §2: a packet with its length, seven bits a byte.
fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![head];
    let mut left = body.len();
    loop {
        let byte = (left & 0x7f) as u8;
        left >>= 7;
        packet.push(if left > 0 { byte | 0x80 } else { byte });
        if left == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

/// §1.5.3: a text with its length in front.
fn string(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], text.as_bytes()].concat()
}

const KEEP_ALIVE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_says_its_length_in_seven_bits_a_byte() {
        assert_eq!(packet(0xc0, &[]), [0xc0, 0]);
        assert_eq!(packet(0x30, &[0; 127])[..2], [0x30, 127]);
        assert_eq!(packet(0x30, &[0; 128])[..3], [0x30, 0x80, 1]);
        assert_eq!(packet(0x30, &[0; 200_000])[..4], [0x30, 0xc0, 0x9a, 0x0c]);
    }
}
