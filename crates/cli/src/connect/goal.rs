//! What has to come until enough has.

use std::num::NonZeroU64;

use regex::Regex;
use sockeye::Message;

use super::options::Options;

/// What `--count` and `--expect` ask for.
#[derive(Debug)]
pub(super) struct Goal {
    left: Option<u64>,
    expected: Option<Regex>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing was asked for.
    None,
    Open,
    Met,
    /// As many as were asked for have come, without what was expected.
    Missed,
}

impl Goal {
    pub(super) fn new(options: &Options) -> Self {
        Self::of(options.count, options.expect.clone())
    }

    fn of(count: Option<NonZeroU64>, expected: Option<Regex>) -> Self {
        let state = match (count, &expected) {
            (None, None) => State::None,
            _ => State::Open,
        };
        Self {
            left: count.map(NonZeroU64::get),
            expected,
            state,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Whether nothing more is wanted.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Met | State::Missed)
    }

    /// A message has come.
    pub(super) fn see(&mut self, message: &Message) {
        if self.state != State::Open {
            return;
        }
        if let (Some(regex), Some(text)) = (&self.expected, message.as_text())
            && regex.is_match(text)
        {
            self.state = State::Met;
            return;
        }
        let Some(left) = &mut self.left else {
            return;
        };
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.state = match self.expected {
                Some(_) => State::Missed,
                None => State::Met,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(count: Option<u64>, regex: Option<&str>, messages: &[&str]) -> State {
        let count = count.map(|count| NonZeroU64::new(count).expect("at least one"));
        let regex = regex.map(|regex| Regex::new(regex).expect("a regex"));
        let mut goal = Goal::of(count, regex);
        for message in messages {
            goal.see(&Message::from(*message));
        }
        goal.state()
    }

    #[test]
    fn enough_has_come_with_the_last_of_the_count_or_with_what_was_expected() {
        assert_eq!(after(None, None, &["a"]), State::None);
        assert_eq!(after(Some(2), None, &["a"]), State::Open);
        assert_eq!(after(Some(2), None, &["a", "b"]), State::Met);
        assert_eq!(after(None, Some("^b"), &["ab"]), State::Open);
        assert_eq!(after(None, Some("^b"), &["ab", "b", "c"]), State::Met);
        assert_eq!(after(Some(2), Some("b"), &["a", "b"]), State::Met);
        assert_eq!(after(Some(2), Some("b"), &["a", "c", "b"]), State::Missed);
    }

    #[test]
    fn bytes_are_counted_but_never_what_was_expected() {
        let mut goal = Goal::of(NonZeroU64::new(1), Some(Regex::new("").expect("a regex")));
        goal.see(&Message::from(vec![1]));
        assert_eq!(goal.state(), State::Missed);
    }
}
