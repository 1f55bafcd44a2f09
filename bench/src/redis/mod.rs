//! A Redis server for the nodes of one measurement: started empty on a free port, and ended with its value.

pub(crate) mod resp;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::Result;
use crate::child::{Running, pinned};
use crate::load::PATIENCE;
use crate::server;

/// A running server.
pub(crate) struct Redis {
    addr: SocketAddr,
    running: Running,
}

impl Redis {
    /// Starts a server on this processor, and waits until it answers. It keeps nothing on disk.
    pub(crate) fn start(processor: u32) -> Result<Self> {
        let addr = free_port().map_err(|error| error.to_string())?;
        let mut command = server::redis()?;
        command.args(["--bind", "127.0.0.1"]);
        command.args(["--port", &addr.port().to_string()]);
        let running = pinned(processor, &command, std::process::Stdio::inherit())?;
        let end = Instant::now() + PATIENCE;
        while let Err(error) = Asking::connect(addr).and_then(|mut asking| asking.ask(&["PING"])) {
            if Instant::now() > end {
                return Err(format!("Redis does not answer: {error}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { addr, running })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.id()
    }
}

/// A port that was free a moment ago.
fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A connection that asks one thing after another.
pub(crate) struct Asking(TcpStream);

impl Asking {
    pub(crate) fn connect(addr: SocketAddr) -> Result<Self> {
        let connect = || {
            let tcp = TcpStream::connect(addr)?;
            tcp.set_nodelay(true)?;
            tcp.set_read_timeout(Some(PATIENCE))?;
            Ok(tcp)
        };
        let tcp = connect().map_err(|error: std::io::Error| format!("{addr}: {error}"))?;
        Ok(Self(tcp))
    }

    /// Returns the answer as the server writes it, its kind and its lengths included.
    pub(crate) fn ask(&mut self, words: &[&str]) -> Result<String> {
        let mut command = Vec::new();
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        resp::command(&mut command, &words);
        let broken = |error| format!("the connection to Redis fails: {error}");
        self.0.write_all(&command).map_err(broken)?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while resp::reply(&answer)?.is_none() {
            match self.0.read(&mut buffer).map_err(broken)? {
                0 => return Err("Redis ended the connection".to_owned()),
                read => answer.extend_from_slice(&buffer[..read]),
            }
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Returns how often a command ran, also within scripts.
    pub(crate) fn calls(&mut self, command: &str) -> Result<u64> {
        calls(&self.ask(&["INFO", "commandstats"])?, command)
    }
}

/// Reads the number of calls in `INFO commandstats`. A command that never ran is not in it.
fn calls(stats: &str, command: &str) -> Result<u64> {
    let begin = format!("cmdstat_{command}:calls=");
    let Some(rest) = stats.lines().find_map(|line| line.strip_prefix(&begin)) else {
        return Ok(0);
    };
    let number = rest.split(',').next().unwrap_or_default();
    number.parse().map_err(|_| format!("`{rest}` is no count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_the_calls_that_its_line_says() {
        let stats =
            "$9\r\n# Commandstats\r\ncmdstat_hmget:calls=12,usec=3\r\ncmdstat_get:calls=x,\r\n";
        assert_eq!(calls(stats, "hmget"), Ok(12));
        assert_eq!(calls(stats, "hget"), Ok(0));
        assert!(calls(stats, "get").is_err());
    }
}
