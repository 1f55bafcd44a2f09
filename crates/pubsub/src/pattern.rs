//! The patterns of a node: which rules hold for which topic.

use std::sync::Arc;

use sockeye_template::{Equivalent, Template, TemplateError, Trie, segments};
use thiserror::Error;

use crate::policy::{Kept, Known, Policy, PolicyError, Rules, SlowSubscriber};

/// The patterns of a node, such as `room/{id}`, with their rules. A literal beats a variable, and a variable beats `**`.
///
/// ```
/// use sockeye_pubsub::{Patterns, Policy};
///
/// let mut patterns = Patterns::new();
/// patterns.insert("user/{who}/**", Policy::new().owner("who"))?;
///
/// let found = patterns.find("user/ann/orders").unwrap();
/// assert_eq!(found.pattern(), Some("user/{who}/**"));
/// assert_eq!(found.variable("who"), Some("ann"));
/// # Ok::<(), sockeye_pubsub::PatternError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Patterns {
    trie: Trie<PolicyId>,
    /// The rules of all patterns. The first ones hold for topics that no pattern matches.
    rules: Vec<Rules>,
    is_strict: bool,
}

/// The number of a pattern's rules on this node. Equal numbers of two nodes mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PolicyId(u16);

/// The pattern that a topic matches, and its rules.
#[derive(Clone, Copy, Debug)]
pub struct Match<'p, 't> {
    policy: PolicyId,
    rules: &'p Rules,
    /// `None` if no pattern matches, and the default rules hold.
    template: Option<&'p Template>,
    topic: &'t str,
}

/// The error for a pattern that was not added.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PatternError {
    /// The text is not a pattern.
    #[error(transparent)]
    Grammar(#[from] TemplateError),
    /// Another pattern matches exactly the same topics.
    #[error(transparent)]
    Equivalent(#[from] Equivalent),
    /// The policy breaks a limit.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The node has as many patterns as it may have.
    #[error("topic pattern `{pattern}`: a node has at most {max} patterns", max = Patterns::MAX)]
    TooMany {
        /// The pattern that was not added.
        pattern: String,
    },
}

impl Patterns {
    /// The highest number of patterns.
    pub const MAX: usize = u16::MAX as usize;

    /// Makes the patterns of a node that has none yet. Topics that no pattern matches have no history, and only server
    /// code uses them.
    pub fn new() -> Self {
        Self {
            trie: Trie::new(),
            rules: vec![Rules::default()],
            is_strict: false,
        }
    }

    /// Lets no topic be used that no pattern matches.
    pub fn make_strict(&mut self) {
        self.is_strict = true;
    }

    /// Adds a pattern.
    ///
    /// # Errors
    ///
    /// When the text is not a pattern, when a pattern matches the same topics already, or when the policy breaks a limit.
    /// The patterns are then unchanged.
    pub fn insert(&mut self, pattern: &str, policy: Policy) -> Result<PolicyId, PatternError> {
        let template = Template::parse_topic(pattern)?;
        let rules = policy.check(pattern, template.variables().map(|name| &**name))?;
        let id = u16::try_from(self.rules.len()).map_err(|_| PatternError::TooMany {
            pattern: pattern.to_owned(),
        })?;
        self.trie.insert(template, PolicyId(id))?;
        self.rules.push(rules);
        Ok(PolicyId(id))
    }

    /// Returns the best pattern for a topic, or the default rules. `None` if no pattern matches and the patterns are
    /// [strict](Self::make_strict). The name must be that of a topic. Allocates nothing.
    pub fn find<'p, 't>(&'p self, topic: &'t str) -> Option<Match<'p, 't>> {
        let entry = match self.trie.find(segments(topic)) {
            Some(index) => self.trie.get(index),
            None if self.is_strict => return None,
            None => None,
        };
        let policy = entry.map_or(PolicyId(0), |entry| *entry.value());
        Some(Match {
            policy,
            rules: self.rules(policy),
            template: entry.map(|entry| entry.template()),
            topic,
        })
    }

    /// Returns the rules with this number.
    pub fn rules(&self, policy: PolicyId) -> &Rules {
        self.rules
            .get(usize::from(policy.0))
            .unwrap_or(&self.rules[0])
    }

    /// Returns all patterns and their rules, in the order in which they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Rules)> {
        let entries = self.trie.iter();
        entries.map(|entry| (entry.template().as_str(), self.rules(*entry.value())))
    }

    /// Returns a number that is equal on nodes with equal patterns and policies. The order in which they were added does
    /// not count.
    pub fn fingerprint(&self) -> u64 {
        let mut patterns: Vec<_> = self.iter().collect();
        patterns.sort_unstable_by_key(|(pattern, _)| *pattern);
        let mut fingerprint = Fingerprint::new();
        fingerprint.number(u64::from(self.is_strict));
        for (pattern, rules) in patterns {
            fingerprint.text(pattern);
            fingerprint.rules(rules);
        }
        fingerprint.0
    }
}

impl<'p, 't> Match<'p, 't> {
    /// Returns the number of the rules.
    pub fn policy(&self) -> PolicyId {
        self.policy
    }

    /// Returns the rules.
    pub fn rules(&self) -> &'p Rules {
        self.rules
    }

    /// Returns the pattern as it was written. `None` if no pattern matches, and the default rules hold.
    pub fn pattern(&self) -> Option<&'p str> {
        self.template.map(Template::as_str)
    }

    /// Returns the value of a variable of the pattern.
    pub fn variable(&self, name: &str) -> Option<&'t str> {
        self.variables()
            .find_map(|(known, value)| (**known == *name).then_some(value))
    }

    /// Returns the variables of the pattern and their values, from left to right.
    pub fn variables(&self) -> impl Iterator<Item = (&'p Arc<str>, &'t str)> + use<'p, 't> {
        let topic = self.topic;
        let template = self.template.into_iter();
        template.flat_map(move |template| template.values(segments(topic)))
    }

    /// Returns whether a client with this principal may use the topic, as far as its owner is concerned. Without an owner
    /// each client may.
    pub fn admits(&self, principal: Option<&str>) -> bool {
        match &self.rules.owner {
            None => true,
            Some(owner) => principal.is_some() && self.variable(owner) == principal,
        }
    }
}

impl Default for Patterns {
    fn default() -> Self {
        Self::new()
    }
}

/// A number that is made of texts and numbers, by FNV-1a. It is the same in each build: nodes compare it.
struct Fingerprint(u64);

impl Fingerprint {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn rules(&mut self, rules: &Rules) {
        let Rules {
            history,
            presence,
            clients,
            owner,
            max_message,
            slow_subscriber,
        } = rules;
        let history = match history.kept() {
            Kept::Off => [0; 4],
            Kept::Latest { ttl } => [1, millis(ttl), 0, 0],
            Kept::Window { count, age, bytes } => [2, u64::from(count), millis(age), bytes as u64],
        };
        let presence = match presence.known() {
            Known::Off => [0; 3],
            Known::Count => [1, 0, 0],
            Known::Members {
                max,
                show_principal,
            } => [2, u64::from(max), u64::from(show_principal)],
        };
        let slow_subscriber = match slow_subscriber {
            SlowSubscriber::Close => 0,
            SlowSubscriber::DropOldest => 1,
            SlowSubscriber::DropNewest => 2,
        };
        let clients = [clients.may_subscribe(), clients.may_publish()].map(u64::from);
        let parts = [
            &history[..],
            &presence,
            &clients,
            &[*max_message as u64, slow_subscriber],
        ];
        for number in parts.concat() {
            self.number(number);
        }
        self.text(owner.as_deref().unwrap_or_default());
    }
}

/// Returns a time in milliseconds, which the limits of policies keep small.
fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::{Clients, History, Presence};

    fn patterns(with: &[(&str, Policy)]) -> Patterns {
        let mut patterns = Patterns::new();
        for (pattern, policy) in with {
            patterns.insert(pattern, policy.clone()).unwrap();
        }
        patterns
    }

    fn hour() -> Policy {
        Policy::new().history(History::window(100, Duration::from_secs(3600)))
    }

    #[test]
    fn a_topic_has_the_rules_of_its_best_pattern() {
        let mut patterns = Patterns::new();
        let room = patterns.insert("room/{id}", hour()).unwrap();
        let lobby = patterns.insert("room/lobby", Policy::new()).unwrap();
        let found = patterns.find("room/42").unwrap();
        assert_eq!(found.policy(), room);
        assert_eq!(found.pattern(), Some("room/{id}"));
        assert_eq!(found.variable("id"), Some("42"));
        assert_eq!(found.variable("who"), None);
        assert_eq!(found.rules(), patterns.rules(room));
        assert!(!found.rules().history.is_off());
        let found = patterns.find("room/lobby").unwrap();
        assert_eq!(found.policy(), lobby);
        assert_eq!(found.variables().count(), 0);
    }

    #[test]
    fn a_topic_without_a_pattern_has_no_history_and_is_for_the_server_only() {
        let patterns = patterns(&[("room/{id}", hour())]);
        let found = patterns.find("news").unwrap();
        assert_eq!(found.pattern(), None);
        assert_eq!(found.rules(), &Rules::default());
        assert_eq!(found.variables().count(), 0);
    }

    #[test]
    fn strict_patterns_find_nothing_for_a_topic_without_a_pattern() {
        let mut patterns = patterns(&[("room/{id}", hour())]);
        patterns.make_strict();
        assert!(patterns.find("news").is_none());
        assert!(patterns.find("room/1").is_some());
    }

    #[test]
    fn only_the_owner_is_admitted() {
        let patterns = patterns(&[
            ("user/{who}/**", Policy::new().owner("who")),
            ("news", Policy::new()),
        ]);
        let orders = patterns.find("user/ann/orders").unwrap();
        assert!(orders.admits(Some("ann")));
        assert!(!orders.admits(Some("bob")));
        assert!(!orders.admits(Some("ann/orders")));
        assert!(!orders.admits(None));
        let news = patterns.find("news").unwrap();
        assert!(news.admits(None) && news.admits(Some("bob")));
    }

    #[test]
    fn a_wrong_pattern_is_refused_and_changes_nothing() {
        let mut patterns = patterns(&[("room/{id}", hour())]);
        let before = patterns.fingerprint();
        for (pattern, policy, text) in [
            (
                "room//x",
                Policy::new(),
                "topic pattern `room//x`, at byte 5: a segment is empty; write one `/` between two segments",
            ),
            (
                "room/{name}",
                Policy::new(),
                "the topic patterns `room/{id}` and `room/{name}` match the same topics; change or remove one",
            ),
            (
                "news",
                Policy::new().max_message(0),
                "topic pattern `news`: the longest message has 1 to 16777216 bytes, not 0",
            ),
            (
                "user/{id}",
                Policy::new().owner("who"),
                "topic pattern `user/{id}`: the owner `who` is not a variable of the pattern; write `{who}` as one of its segments",
            ),
        ] {
            let error = patterns.insert(pattern, policy).unwrap_err();
            assert_eq!(error.to_string(), text);
        }
        assert_eq!(patterns.fingerprint(), before);
        assert_eq!(patterns.iter().len(), 1);
    }

    #[test]
    fn a_node_has_at_most_65535_patterns() {
        let mut patterns = Patterns::new();
        for index in 0..Patterns::MAX {
            patterns
                .insert(&format!("t{index}"), Policy::new())
                .unwrap();
        }
        let error = patterns.insert("one-more", Policy::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "topic pattern `one-more`: a node has at most 65535 patterns"
        );
    }

    #[test]
    fn equal_patterns_and_policies_have_one_fingerprint_in_any_order() {
        let one = patterns(&[("a/{x}", hour()), ("b", Policy::new())]);
        let two = patterns(&[("b", Policy::new()), ("a/{x}", hour())]);
        assert_eq!(one.fingerprint(), two.fingerprint());
        // Nodes of different builds compare it.
        assert_eq!(Patterns::new().fingerprint(), 0xa8c7_f832_281a_39c5);
    }

    #[test]
    fn each_difference_changes_the_fingerprint() {
        let hour = Duration::from_secs(3600);
        let policies = [
            Policy::new(),
            Policy::new().history(History::latest()),
            Policy::new().history(History::latest().ttl(hour)),
            Policy::new().history(History::window(100, hour)),
            Policy::new().history(History::window(101, hour)),
            Policy::new().history(History::window(100, hour * 2)),
            Policy::new().history(History::window(100, hour).bytes(65_536)),
            Policy::new().presence(Presence::count()),
            Policy::new().presence(Presence::members(5)),
            Policy::new().presence(Presence::members(6)),
            Policy::new().presence(Presence::members(5).show_principal()),
            Policy::new().clients(Clients::subscribe()),
            Policy::new().clients(Clients::publish()),
            Policy::new().owner("x"),
            Policy::new().max_message(1),
            Policy::new().slow_subscriber(SlowSubscriber::DropOldest),
            Policy::new().slow_subscriber(SlowSubscriber::DropNewest),
        ];
        let fingerprints = policies.map(|policy| patterns(&[("a/{x}", policy)]).fingerprint());
        let mut all = fingerprints.to_vec();
        all.push(patterns(&[("a/{y}", Policy::new())]).fingerprint());
        let mut strict = patterns(&[("a/{x}", Policy::new())]);
        strict.make_strict();
        all.push(strict.fingerprint());
        let number = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), number);
    }
}
