//! What the system says of a process: the time that its threads ran, and its memory.

use std::fs;
use std::time::Duration;

use crate::Result;

/// Processor time of a process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// As the scheduler counts it, in nanoseconds.
    pub(crate) all: Duration,
    /// Of which in the system; in ticks of 10 ms, so only a share of it is told.
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
}

pub(crate) fn times(pid: u32) -> Result<Times> {
    let folder = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}"))?;
    let mut times = Times::default();
    for task in tasks.flatten() {
        let path = task.path().join("schedstat");
        // A thread may have ended since.
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let ran = text.split(' ').next().and_then(|ran| ran.parse().ok());
        times.all += Duration::from_nanos(ran.ok_or("schedstat begins with a number")?);
    }
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    // Behind the name, which may hold anything, come the fields from the third on.
    let fields = text.rsplit_once(')').ok_or("stat has a name")?.1;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let mut tick = || ticks.next().and_then(Result::ok).ok_or("stat has times");
    times.user_ticks = tick()?;
    times.system_ticks = tick()?;
    Ok(times)
}

/// Resident memory, in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let kilobytes = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes
        .and_then(|text| text.trim().parse().ok())
        .ok_or("the system does not say how much is resident")?;
    Ok(kilobytes * 1024)
}
