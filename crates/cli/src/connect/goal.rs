//! The goal of a talk: the messages that end it when they have arrived.

use std::num::NonZeroU64;

use regex::Regex;
use sockeye::Message;

use super::options::Options;

/// The goal that `--count` and `--expect` set.
#[derive(Debug)]
pub(super) struct Goal {
    left: Option<u64>,
    expected: Option<Regex>,
    state: GoalState,
}

/// Whether the goal is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GoalState {
    /// There is no goal.
    None,
    Open,
    Met,
    /// All counted messages have arrived, and none of them matched.
    Missed,
}

impl Goal {
    pub(super) fn new(options: &Options) -> Self {
        Self::of(options.count, options.expect.clone())
    }

    fn of(count: Option<NonZeroU64>, expected: Option<Regex>) -> Self {
        let state = match (count, &expected) {
            (None, None) => GoalState::None,
            _ => GoalState::Open,
        };
        Self {
            left: count.map(NonZeroU64::get),
            expected,
            state,
        }
    }

    pub(super) fn state(&self) -> GoalState {
        self.state
    }

    /// Whether the goal is met or missed, so that no further message counts.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, GoalState::Met | GoalState::Missed)
    }

    /// Counts a received message.
    pub(super) fn see(&mut self, message: &Message) {
        if self.state != GoalState::Open {
            return;
        }
        if let (Some(regex), Some(text)) = (&self.expected, message.as_text())
            && regex.is_match(text)
        {
            self.state = GoalState::Met;
            return;
        }
        let Some(left) = &mut self.left else {
            return;
        };
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.state = match self.expected {
                Some(_) => GoalState::Missed,
                None => GoalState::Met,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(count: Option<u64>, regex: Option<&str>, messages: &[&str]) -> GoalState {
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
        assert_eq!(after(None, None, &["a"]), GoalState::None);
        assert_eq!(after(Some(2), None, &["a"]), GoalState::Open);
        assert_eq!(after(Some(2), None, &["a", "b"]), GoalState::Met);
        assert_eq!(after(None, Some("^b"), &["ab"]), GoalState::Open);
        assert_eq!(after(None, Some("^b"), &["ab", "b", "c"]), GoalState::Met);
        assert_eq!(after(Some(2), Some("b"), &["a", "b"]), GoalState::Met);
        assert_eq!(
            after(Some(2), Some("b"), &["a", "c", "b"]),
            GoalState::Missed
        );
    }

    #[test]
    fn bytes_are_counted_but_never_what_was_expected() {
        let mut goal = Goal::of(NonZeroU64::new(1), Some(Regex::new("").expect("a regex")));
        goal.see(&Message::from(vec![1]));
        assert_eq!(goal.state(), GoalState::Missed);
    }
}
