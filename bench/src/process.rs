//! What the system says of a process: the time that its threads ran, and its memory, and
//! what it asks of the system.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
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

/// Resident memory, in bytes. `status` is read faster, but counts in steps of many pages.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let kilobytes = text
        .lines()
        .find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes
        .and_then(|text| text.trim().parse().ok())
        .ok_or("the system does not say how much is resident")?;
    Ok(kilobytes * 1024)
}

/// `perf`, counting a process's system calls for a while.
pub(crate) struct SystemCalls {
    perf: Child,
    seconds: f64,
}

impl SystemCalls {
    pub(crate) fn start(pid: u32, milliseconds: u64) -> Result<Self> {
        let seconds = milliseconds as f64 / 1000.0;
        let perf = Command::new("perf")
            .args(["stat", "-x", ";", "-e", EVENT, "-p", &pid.to_string()])
            .args(["--", "sleep", &seconds.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start `perf`: {error}"))?;
        Ok(Self { perf, seconds })
    }

    /// How many there were in a second, once that is known.
    pub(crate) fn in_a_second(&mut self) -> Result<Option<f64>> {
        let exit = self.perf.try_wait().map_err(|error| error.to_string())?;
        if exit.is_none() {
            return Ok(None);
        }
        let mut said = String::new();
        let stderr = self.perf.stderr.as_mut().ok_or("stderr is piped")?;
        stderr
            .read_to_string(&mut said)
            .map_err(|error| error.to_string())?;
        let count = count(&said).ok_or_else(|| format!("`perf` counts no system calls: {said}"))?;
        Ok(Some(count / self.seconds))
    }
}

const EVENT: &str = "raw_syscalls:sys_enter";

/// The first field of a line of perf's. (The time behind it is the process's, not the clock's.)
fn count(said: &str) -> Option<f64> {
    let line = said.lines().find(|line| line.contains(EVENT))?;
    line.split(';').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_and_none_is_none() {
        let said = "144;;raw_syscalls:sys_enter;1200711;100.00;;\n";
        assert_eq!(count(said), Some(144.0));
        let said = "<not counted>;;raw_syscalls:sys_enter;0;100.00;;\n";
        assert_eq!(count(said), None);
    }

    #[test]
    fn own_times_and_memory_are_told() {
        let own = std::process::id();
        assert!(times(own).is_ok());
        assert!(resident(own).unwrap() > 100_000);
    }
}
