//! The peak memory of both sides of a message that is larger than memory, as Linux counts it:
//! `cargo bench -p sockeye-cli --bench large`. A client writes 1 GiB to an endpoint, which writes 1 GiB back. Each is its
//! own process and checks every byte. Fails if one of them takes more memory than the goal.

#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use bytes::Bytes;
use sockeye::connection::MessageWriter;
use sockeye::error::BoxError;
use sockeye::proto::{Config, Role};
use sockeye::{Client, Server, Session, server_endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Result<T = (), E = BoxError> = std::result::Result<T, E>;

const LEN: usize = 1 << 30;
const GOAL_KIB: usize = 8 * 1024;

fn main() -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if std::env::args().any(|argument| argument == SERVE) {
        return runtime.block_on(serve());
    }
    runtime.block_on(measure())
}

/// The argument with which the program starts itself as the server.
const SERVE: &str = "serve";

async fn measure() -> Result<ExitCode> {
    let mut server = Command::new(std::env::current_exe()?)
        .arg(SERVE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = server.stdout.take().ok_or("it is piped")?;
    let mut lines = BufReader::new(output).lines();
    let addr = lines.next().ok_or("it says where it listens")??;

    let config = Config::new(Role::Client).max_message(LEN as u64);
    let client = Client::builder().config(config).build();
    let mut ws = client.connect(format!("ws://{addr}/large")).await?;
    let started = Instant::now();
    write(ws.binary_writer()).await?;
    println!("1 GiB there: {:?}", started.elapsed());
    let started = Instant::now();
    let mut message = ws.recv_reader().await?.ok_or("it answers")?;
    let mut check = Check::default();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match message.read(&mut buffer).await? {
            0 => break,
            read => check.take(&buffer[..read])?,
        }
    }
    check.end()?;
    println!("1 GiB back: {:?}", started.elapsed());
    drop(message);
    ws.close(sockeye::CloseCode::NORMAL, "").await?;

    drop(server.stdin.take());
    let peak: usize = lines.next().ok_or("it says its peak")??.parse()?;
    server.wait()?;
    let mut outcome = ExitCode::SUCCESS;
    for (who, peak) in [("client", peak_kib()?), ("server", peak)] {
        println!("{who}: {peak} KiB at its peak");
        if peak >= GOAL_KIB {
            println!("  that is not below {GOAL_KIB} KiB");
            outcome = ExitCode::FAILURE;
        }
    }
    Ok(outcome)
}

async fn serve() -> Result<ExitCode> {
    let server = Server::builder()
        .config(Config::new(Role::Server).max_message(LEN as u64))
        .endpoint(Large::endpoint(|_| Large::default()))
        .bind("127.0.0.1:0")
        .await?;
    println!("{}", server.local_addr());
    tokio::spawn(server.serve());
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    ended.await??;
    println!("{}", peak_kib()?);
    Ok(ExitCode::SUCCESS)
}

#[derive(Default)]
struct Large {
    check: Check,
}

#[server_endpoint("/large")]
impl Large {
    #[on_message]
    async fn take(&mut self, (part, is_last): (Bytes, bool), session: &Session) -> Result {
        self.check.take(&part)?;
        if is_last {
            self.check.end()?;
            write(session.basic_remote().binary_writer()).await?;
        }
        Ok(())
    }
}

/// Writes the message that `Check` expects.
async fn write(mut message: MessageWriter<'_>) -> Result {
    let block: Vec<u8> = (0..BLOCK).map(byte).collect();
    let mut left = LEN;
    while left > 0 {
        let some = left.min(BLOCK);
        message.write_all(&block[..some]).await?;
        left -= some;
    }
    message.shutdown().await?;
    Ok(())
}

/// A prime, so that lost or repeated blocks are noticed.
const BLOCK: usize = 65_521;

fn byte(place: usize) -> u8 {
    (place % 251) as u8
}

/// Checks each byte of the message.
#[derive(Default)]
struct Check(usize);

impl Check {
    fn take(&mut self, bytes: &[u8]) -> Result {
        for &found in bytes {
            if found != byte(self.0 % BLOCK) {
                return Err(format!("byte {} differs", self.0).into());
            }
            self.0 += 1;
        }
        Ok(())
    }

    fn end(&self) -> Result {
        if self.0 == LEN {
            Ok(())
        } else {
            Err(format!("expected 1 GiB, received {} bytes", self.0).into())
        }
    }
}

/// Returns the peak of this program's resident memory in KiB.
fn peak_kib() -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let size = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(size.ok_or("Linux tells")?.parse()?)
}
