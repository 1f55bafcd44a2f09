//! Steps of a command: each announced, timed, and the last one when it fails.

use std::time::{Duration, Instant};

use crate::Result;

/// The steps taken so far, with the time that each took.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    taken: Vec<(String, Duration, bool)>,
}

impl Steps {
    /// Runs one step; its error is prefixed with its name.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = step();
        self.taken
            .push((name.to_owned(), start.elapsed(), outcome.is_ok()));
        outcome.map_err(|error| format!("{name}: {error}"))
    }

    /// The seconds of each step.
    pub(crate) fn print_times(&self) {
        if self.taken.is_empty() {
            return;
        }
        println!("\nseconds  step");
        for (name, time, passed) in &self.taken {
            let failed = if *passed { "" } else { "  FAILED" };
            println!("{:7.1}  {name}{failed}", time.as_secs_f64());
        }
        let total: Duration = self.taken.iter().map(|(_, time, _)| *time).sum();
        println!("{:7.1}  in all", total.as_secs_f64());
    }
}
