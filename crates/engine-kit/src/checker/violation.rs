//! The rules, and what the checker says when a run broke one.

use std::fmt;

/// The rules that hold for each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// 1: messages come in the order of the topic, and in the order of each publisher.
    Order,
    /// 2: no message comes twice between two `lost`.
    Duplicate,
    /// 3: a message is skipped only where the client was told `lost`, and each message is one that the engine stored.
    Gap,
    /// 4: after `recovered: true` all messages behind the position come, and `missed` is their number.
    FalseRecovered,
    /// 5: equal positions are equal messages.
    Agreement,
    /// 6: a confirmed message is stored, and reaches each subscriber.
    Acknowledged,
    /// 7: an unsent message never appears; an unknown one at most once, and not late.
    Outcome,
    /// 8: at the end each client has the engine's latest value.
    Latest,
    /// 9: at the end the members are the live sessions, and a dead node's members are gone in time.
    Presence,
    /// 10: faults that lose nothing make no `lost`.
    NeedlessLost,
    /// 11: when the run has settled, each client stands at the engine's newest position.
    Stall,
}

impl Rule {
    /// All rules, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Order,
        Self::Duplicate,
        Self::Gap,
        Self::FalseRecovered,
        Self::Agreement,
        Self::Acknowledged,
        Self::Outcome,
        Self::Latest,
        Self::Presence,
        Self::NeedlessLost,
        Self::Stall,
    ];

    /// Returns the number of the rule, from 1.
    pub fn number(self) -> usize {
        self as usize + 1
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Order => "order",
            Self::Duplicate => "no duplicate",
            Self::Gap => "no gap",
            Self::FalseRecovered => "no false recovered",
            Self::Agreement => "agreement",
            Self::Acknowledged => "acknowledged",
            Self::Outcome => "unsent and unknown",
            Self::Latest => "latest",
            Self::Presence => "presence",
            Self::NeedlessLost => "no needless lost",
            Self::Stall => "no stall",
        };
        write!(f, "rule {}, {text}", self.number())
    }
}

/// One violation of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// What is wrong.
    pub reason: String,
    /// The name of the client or publisher whose log shows it, if there is one.
    pub party: Option<String>,
    /// The name of the topic, if there is one.
    pub topic: Option<String>,
    /// The events around it, at most 20, one a line. The line of the event itself begins with `>`.
    pub around: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rule)?;
        if let Some(party) = &self.party {
            write!(f, "{party}: ")?;
        }
        if let Some(topic) = &self.topic {
            write!(f, "{topic}: ")?;
        }
        f.write_str(&self.reason)?;
        for line in &self.around {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}
