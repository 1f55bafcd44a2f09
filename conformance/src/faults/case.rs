//! A case: a world, a script of faults that follows from a seed, and what must hold beside the rules of the checker.

use std::fmt;
use std::time::Duration;

use sockeye_engine_kit::checker::{Harm, Millis};
use sockeye_engine_kit::schedule::Chance;

use super::evidence::Evidence;
use crate::engines::server::Data;
use crate::relay::{Links, Pace, Way};

/// A case.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) run: Run,
    pub(super) ground: Ground,
    /// Whether the case lasts so long that few clients have enough to tell.
    pub(super) is_long: bool,
    /// Draws the faults.
    pub(super) script: fn(&mut Chance, Length) -> Script,
    /// Returns what must hold and does not, in sentences.
    pub(super) judge: fn(&Evidence) -> Vec<String>,
}

/// A kind of run. A case belongs to the shortest run that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Run {
    Quick,
    Full,
    Long,
}

/// How long the faults of a case last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length {
    pub(super) run: Run,
    /// The time of the chaos.
    pub(super) chaos: Duration,
}

/// What the nodes of a world stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// One node, with the engine in its memory.
    Memory,
    /// Three nodes and one server with these lines in its configuration.
    Server(&'static [&'static str]),
    /// Three nodes, a server, and a replica of it behind a relay.
    Replica,
}

/// What happens to the world. Nodes and servers are numbered from 0.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// A fault begins.
    Begin(&'static str, Harm),
    /// The fault ends.
    End,
    KillNode(usize),
    StartNode(usize),
    FreezeNode(usize),
    ThawNode(usize),
    KillServer(usize),
    StartServer(usize, Data),
    /// Starts a server, and does not wait until it has read its data.
    LaunchServer(usize, Data),
    FreezeServer(usize),
    ThawServer(usize),
    /// Sends a request to a server as the administrator.
    Ask(usize, &'static [&'static str]),
    /// Notes the connections of a server that subscribe.
    NoteFeeds(usize),
    /// Makes a server the replica of another, through the relay of replication.
    Follow(usize, usize),
    /// Lets replication pass, or not.
    Replicate(bool),
    /// Connects a node's further links to a server.
    Point(usize, usize),
    /// Sets the pace of a node's links.
    Pace(usize, Links, Way, Pace),
    /// Resets a node's links.
    Reset(usize, Links),
    /// From now on this server's positions count.
    Lead(usize),
    /// Gives a server the data of another one, while its links are up.
    Restore(usize, usize),
    /// The publishers publish, or rest. What rests behind the last action rests until the run has settled once.
    Publish(bool),
    /// From now on clients keep their topics and connections.
    Calm,
}

/// What happens, each with its time since the load began.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    steps: Vec<(Millis, Action)>,
    padding: usize,
}

impl Script {
    /// Adds an action.
    pub(super) fn at(mut self, time: Millis, action: Action) -> Self {
        self.steps.push((time, action));
        self
    }

    /// Adds a fault that lasts for some time.
    pub(super) fn fault(
        self,
        from: Millis,
        until: Millis,
        (name, harm): (&'static str, Harm),
    ) -> Self {
        self.at(from, Action::Begin(name, harm))
            .at(until, Action::End)
    }

    /// Adds the actions of another script, so much later.
    pub(super) fn and_later(mut self, time: Millis, other: &Self) -> Self {
        let steps = other.steps.iter().cloned();
        self.steps
            .extend(steps.map(|(at, action)| (at + time, action)));
        self
    }

    /// Returns when the last action happens.
    pub(super) fn end(&self) -> Millis {
        self.steps.iter().map(|(time, _)| *time).max().unwrap_or(0)
    }

    /// Adds so many bytes to each message.
    pub(super) fn padding(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    /// Returns whether the publishers rest behind the faults.
    pub(super) fn rests(&self) -> bool {
        let mut steps = self.steps.iter().rev();
        let last = steps.find(|(_, action)| matches!(action, Action::Publish(_)));
        matches!(last, Some((_, Action::Publish(false))))
    }

    /// Returns the number of bytes that each message has beside its stamp.
    pub(super) fn message_padding(&self) -> usize {
        self.padding
    }

    /// Returns the actions by their times. Actions of one time keep the order in which they were added, but a fault begins
    /// before them and ends behind them.
    pub(super) fn steps(&self) -> Vec<(Duration, Action)> {
        let mut steps = self.steps.clone();
        steps.sort_by_key(|(time, action)| {
            let rank = match action {
                Action::Begin(..) => 0,
                Action::End => 2,
                _ => 1,
            };
            (*time, rank)
        });
        let steps = steps.into_iter();
        steps
            .map(|(time, action)| (Duration::from_millis(time), action))
            .collect()
    }
}

impl Action {
    /// Returns the node whose process or links the action hits.
    pub(super) fn node(&self) -> Option<usize> {
        match self {
            Self::KillNode(node)
            | Self::FreezeNode(node)
            | Self::Point(node, _)
            | Self::Pace(node, ..)
            | Self::Reset(node, _) => Some(*node),
            _ => None,
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (time, action) in self.steps() {
            writeln!(f, "  {:>7.3} s  {action}", time.as_secs_f64())?;
        }
        Ok(())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(name, harm) => write!(f, "fault: {name} (it may cost {harm:?})"),
            Self::End => f.write_str("the fault is over"),
            Self::KillNode(node) => write!(f, "kill node {node}"),
            Self::StartNode(node) => write!(f, "start node {node}"),
            Self::FreezeNode(node) => write!(f, "freeze node {node}"),
            Self::ThawNode(node) => write!(f, "thaw node {node}"),
            Self::KillServer(server) => write!(f, "kill server {server}"),
            Self::StartServer(server, data) => write!(f, "start server {server}, data {data:?}"),
            Self::LaunchServer(server, data) => {
                write!(f, "launch server {server}, data {data:?}")
            }
            Self::FreezeServer(server) => write!(f, "freeze server {server}"),
            Self::ThawServer(server) => write!(f, "thaw server {server}"),
            Self::Ask(server, words) => write!(f, "ask server {server}: {}", words.join(" ")),
            Self::NoteFeeds(server) => write!(f, "note the feeds at server {server}"),
            Self::Follow(server, leader) => write!(f, "server {server} replicates {leader}"),
            Self::Replicate(true) => f.write_str("replication passes"),
            Self::Replicate(false) => f.write_str("replication is cut"),
            Self::Point(node, server) => write!(f, "node {node} finds server {server}"),
            Self::Pace(node, links, way, pace) => {
                write!(f, "node {node}, {links:?} {way:?}: {pace:?}")
            }
            Self::Reset(node, links) => write!(f, "node {node}, {links:?}: reset"),
            Self::Lead(server) => write!(f, "server {server} leads"),
            Self::Restore(server, from) => write!(f, "server {server} gets the data of {from}"),
            Self::Publish(true) => f.write_str("the publishers go on"),
            Self::Publish(false) => f.write_str("the publishers rest"),
            Self::Calm => f.write_str("the clients keep still"),
        }
    }
}

/// The shortest and the longest time of the load before the first fault, in milliseconds.
pub(super) const WARM: (u64, u64) = (3_000, 4_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_begins_before_the_actions_of_its_time_and_ends_behind_them() {
        let script = Script::default()
            .at(5, Action::StartNode(1))
            .at(2, Action::KillNode(1))
            .fault(2, 5, ("node killed", Harm::Nothing));
        let steps = script.steps().into_iter().map(|(_, action)| action);
        let expected = [
            Action::Begin("node killed", Harm::Nothing),
            Action::KillNode(1),
            Action::StartNode(1),
            Action::End,
        ];
        assert_eq!(steps.collect::<Vec<_>>(), expected);
    }
}
