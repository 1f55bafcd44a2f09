//! The checker: judges the logs of a run by eleven rules. It judges against what the engine stored, not only against what
//! clients saw.
//!
//! A *segment* of a client and a topic begins with a `lost`, or with a subscription that did not recover. Within a
//! segment the client gets each message once, in order, and without a hole.
//!
//! Rule 6 wants a confirmed message in the log of each client whose segment covers it. That follows from two judgements:
//! the engine kept the message, and the client's messages follow each other.

mod answer;
mod bounds;
mod chain;
mod findings;
mod index;
mod logs;
mod needless;
mod presence;
mod publishes;
mod settled;
mod standing;
mod text;
mod unstored;
mod violation;
mod walk;

pub use self::bounds::Bounds;
pub use self::logs::{
    Client, ClientEvent, Fault, Harm, Logs, Millis, PresenceEvent, Publisher, PublisherEvent,
    Stamp, Stored, Topic,
};
pub use self::violation::{Rule, Violation};
pub use sockeye_pubsub::Kept;

use self::findings::Findings;
use self::index::Index;

/// Judges the logs of a run by all rules. Returns the violations, at most five of each rule.
pub fn check(logs: &Logs, bounds: &Bounds) -> Vec<Violation> {
    let index = Index::new(logs, bounds);
    let mut findings = Findings::new(logs);
    walk::check(&index, &mut findings);
    publishes::check(&index, &mut findings);
    presence::check(&index, &mut findings);
    findings.into_violations()
}

/// Judges the logs of a run by one rule.
pub fn check_rule(rule: Rule, logs: &Logs, bounds: &Bounds) -> Vec<Violation> {
    let mut violations = check(logs, bounds);
    violations.retain(|violation| violation.rule == rule);
    violations
}
