//! The codecs alone: masked frames are read from memory, and each message is written back there. No
//! system call is made, so the time is that of parsing, unmasking, and making a frame.

mod fastwebsockets;
mod sockeye;
mod tape;
mod tokio_websockets;
mod tungstenite;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::Result;
use crate::load::Cost;
use crate::server::lock;
use crate::workload::{self, Load, Workload};

use self::tape::{Batch, Tape};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    name: String,
    #[arg(long)]
    workload: String,
    #[arg(long)]
    measure_ms: u64,
}

/// A library's server end on a tape.
trait Codec {
    /// Reads so many whole batches, and writes back each message.
    fn echo(&mut self, batches: usize) -> Result<()>;

    /// Writes what was kept back.
    fn flush(&mut self) -> Result<()>;
}

/// A codec that can be measured.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    on: fn(Tape) -> Box<dyn Codec>,
}

impl Contender {
    /// The library and its version; it has its library's name.
    pub(crate) fn version(&self) -> String {
        lock::version(self.name)
    }
}

pub(crate) const ALL: &[Contender] = &[
    Contender {
        name: "sockeye-proto",
        on: |tape| Box::new(sockeye::Echo::new(tape)),
    },
    Contender {
        name: "tungstenite",
        on: |tape| Box::new(tungstenite::Echo::new(tape)),
    },
    Contender {
        name: "fastwebsockets",
        on: |tape| Box::new(fastwebsockets::Echo::new(tape)),
    },
    Contender {
        name: "tokio-websockets",
        on: |tape| Box::new(tokio_websockets::Echo::new(tape)),
    },
];

/// The command line by which a build of this program measures a codec.
pub(crate) fn arguments(name: &str, workload: &Workload, measure_ms: u64) -> Vec<String> {
    vec![
        "codec".to_owned(),
        name.to_owned(),
        format!("--workload={}", workload.name),
        format!("--measure-ms={measure_ms}"),
    ]
}

pub(crate) fn codec(options: &Options) -> Result<()> {
    let contender = ALL.iter().find(|contender| contender.name == options.name);
    let contender = contender.ok_or_else(|| format!("no codec is called `{}`", options.name))?;
    let name = &options.workload;
    let workload = workload::find(name).ok_or_else(|| format!("no workload is called `{name}`"))?;
    let Load::Codec { size } = workload.load else {
        return Err(format!("{name} wants a server"));
    };
    let batch = Batch::new(size);
    check(contender, &batch)?;
    let cost = measure(contender, &batch, Duration::from_millis(options.measure_ms))?;
    let cost = serde_json::to_string(&cost).map_err(|error| error.to_string())?;
    println!("{cost}");
    Ok(())
}

/// Compares all that comes of a few batches.
fn check(contender: &Contender, batch: &Batch) -> Result<()> {
    const BATCHES: usize = 3;
    let (tape, written) = Tape::checked(batch);
    let mut codec = (contender.on)(tape);
    codec.echo(BATCHES)?;
    codec.flush()?;
    let expected = batch.replies() * BATCHES;
    match written.get() {
        all if all == expected => Ok(()),
        part => Err(format!("{part} of {expected} bytes came back")),
    }
}

fn measure(contender: &Contender, batch: &Batch, time: Duration) -> Result<Cost> {
    let (tape, _) = Tape::new(batch);
    let mut codec = (contender.on)(tape);
    let mut run_for = |time: Duration| -> Result<(usize, Duration)> {
        let begun = thread_time();
        let mut batches = 0;
        loop {
            codec.echo(8)?;
            batches += 8;
            let ran = thread_time().saturating_sub(begun);
            if ran >= time {
                return Ok((batches, ran));
            }
        }
    };
    run_for(time / 3)?;
    let (batches, ran) = run_for(time)?;
    Ok(Cost {
        count: (batches * batch.messages()) as u64,
        seconds: ran.as_secs_f64(),
        cpu_seconds: ran.as_secs_f64(),
        user_share: 1.0,
        ..Cost::default()
    })
}

/// How long this thread ran: whatever else the processor does is not counted.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_codec_echoes_each_size() {
        for contender in ALL {
            for size in [16, 125, 1024, 64 * 1024] {
                let checked = check(contender, &Batch::new(size));
                assert_eq!(checked, Ok(()), "{}, {size} bytes", contender.name);
            }
        }
    }
}
