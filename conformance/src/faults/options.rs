//! The options of the bench of faults.

use std::path::PathBuf;
use std::time::Duration;

use sockeye_engine_kit::schedule::Seed;

use super::case::{Case, Length, Run};
use super::crew::Size;
use crate::engines::program::Brand;
use crate::error::Result;

/// The options of the bench of faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// The sockeye to judge.
    pub(super) program: PathBuf,
    pub(super) run: Run,
    /// The cases by their ids. Empty: all of the run.
    pub(super) cases: Vec<String>,
    /// The seed of all cases. `None`: each repetition draws one.
    pub(super) seed: Option<Seed>,
    pub(super) engines: Vec<Brand>,
    /// The minutes of chaos on each server.
    pub(super) minutes: u64,
    pub(super) repeat: usize,
    /// Keep the logs of cases that passed.
    pub(super) keep: bool,
    /// Write runs of few clients as text for the tests of the checker.
    pub(super) record: bool,
    /// How many cases run at a time.
    pub(super) at_once: usize,
}

impl Options {
    pub(super) fn read(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            program: PathBuf::new(),
            run: Run::Long,
            cases: Vec::new(),
            seed: None,
            engines: Brand::ALL.to_vec(),
            minutes: 30,
            repeat: 1,
            keep: false,
            record: false,
            at_once: 1,
        };
        let mut arguments = arguments.iter();
        while let Some(option) = arguments.next() {
            let mut value = || {
                let value = arguments.next().map(String::as_str);
                value.ok_or_else(|| format!("`{option}` needs a value"))
            };
            match option.as_str() {
                "--program" => options.program = value()?.into(),
                "--quick" => (options.run, options.at_once) = (Run::Quick, 3),
                "--full" => options.run = Run::Full,
                "--case" => options.cases = value()?.split(',').map(str::to_owned).collect(),
                "--seed" => options.seed = Some(value()?.parse()?),
                "--engine" => options.engines = Brand::chosen(value()?)?,
                "--minutes" => options.minutes = value()?.parse()?,
                "--repeat" => options.repeat = value()?.parse()?,
                "--at-once" => options.at_once = value()?.parse::<usize>()?.max(1),
                "--record" => options.record = true,
                "--keep" => options.keep = true,
                other => return Err(format!("the faults have no option `{other}`").into()),
            }
        }
        if options.program.as_os_str().is_empty() {
            return Err("the faults need `--program PATH`, the sockeye to judge".into());
        }
        Ok(options)
    }

    /// Returns how many use the world of a case.
    pub(super) fn size(&self, case: &Case) -> Size {
        match (self.run, case.is_long) {
            _ if self.record => Size::RECORDED,
            (Run::Quick, _) | (_, true) => Size::QUICK,
            (Run::Full | Run::Long, false) => Size::FULL,
        }
    }

    /// Returns how long the faults of each case last.
    pub(super) fn length(&self) -> Length {
        Length {
            run: self.run,
            chaos: Duration::from_secs(60 * self.minutes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::read(&words)
    }

    #[test]
    fn options_choose_cases_a_seed_and_a_server() {
        let options = read("--program p --case F1,F7 --seed 2a --engine valkey --keep").unwrap();
        assert_eq!(options.cases, ["F1", "F7"]);
        assert_eq!(options.seed, Some(Seed(42)));
        assert_eq!(options.engines, [Brand::Valkey]);
        assert!(options.keep && options.run == Run::Long && options.at_once == 1);
        let options = read("--program p --quick").unwrap();
        assert_eq!((options.run, options.at_once), (Run::Quick, 3));
    }

    #[test]
    fn wrong_options_are_named() {
        for (line, words) in [
            ("", "--program PATH"),
            ("--program p --engine mysql", "mysql"),
            ("--program p --case", "`--case` needs a value"),
            ("--program p --slow", "--slow"),
        ] {
            let error = read(line).unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
