//! What Sockeye has set itself to reach, for one workload. Ratios are taken within a round, since the
//! machine drifts between them.

use std::fmt;

/// What one server has to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) server: &'static str,
    pub(crate) limit: Limit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    /// Times what this server takes.
    Of(&'static str, f64),
    /// Times what both nodes of this server take together, the publishing one and the delivering one.
    OfBothNodes(&'static str, f64),
    /// Times what the best takes of those that are not Sockeye.
    OfBest(f64),
    /// Times what the server itself takes under this workload.
    OfWorkload(&'static str, f64),
    /// In the workload's unit.
    AtMost(f64),
}

impl Limit {
    pub(crate) fn number(self) -> f64 {
        match self {
            Self::Of(_, number)
            | Self::OfBothNodes(_, number)
            | Self::OfBest(number)
            | Self::OfWorkload(_, number)
            | Self::AtMost(number) => number,
        }
    }

    /// What was measured, as this limit counts it: from the server's own figure, and what others have in
    /// the same round. With [`OfWorkload`](Self::OfWorkload), `others` are the server's own figures by workload. With
    /// [`OfBothNodes`](Self::OfBothNodes), each figure is the sum of both nodes. `None` where who it is compared with was not measured.
    pub(crate) fn reached<'a>(
        self,
        own: f64,
        others: impl Iterator<Item = (&'a str, f64)>,
    ) -> Option<f64> {
        let is_base = |other: &str| match self {
            Self::AtMost(_) => false,
            Self::Of(name, _) | Self::OfBothNodes(name, _) | Self::OfWorkload(name, _) => {
                other == name
            }
            Self::OfBest(_) => !other.starts_with("sockeye"),
        };
        if let Self::AtMost(_) = self {
            return Some(own);
        }
        others
            .filter(|(other, _)| is_base(other))
            .map(|(_, figure)| figure)
            .min_by(f64::total_cmp)
            .map(|base| own / base)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(name, number) => write!(f, "at most {number:.2} of {name}"),
            Self::OfBothNodes(name, number) => {
                write!(f, "in both nodes at most {number:.2} of {name}")
            }
            Self::OfBest(number) => write!(f, "at most {number:.2} of the best peer"),
            Self::OfWorkload(name, number) => write!(f, "at most {number:.2} of its own {name}"),
            Self::AtMost(number) => write!(f, "at most {}", crate::report::thousands(*number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERS: [(&str, f64); 3] = [("raw-epoll", 10.0), ("peer", 20.0), ("sockeye-b", 5.0)];

    #[test]
    fn a_limit_is_a_ratio_to_who_it_names() {
        let limit = Limit::Of("raw-epoll", 1.1);
        assert_eq!(limit.reached(12.0, OTHERS.into_iter()), Some(1.2));
        assert_eq!(limit.reached(12.0, OTHERS.into_iter().skip(1)), None);
    }

    #[test]
    fn the_best_peer_is_never_sockeye() {
        let reached = Limit::OfBest(0.9).reached(5.0, OTHERS.into_iter());
        assert_eq!(reached, Some(0.5));
    }

    #[test]
    fn a_limit_in_the_unit_needs_nobody_else() {
        let reached = Limit::AtMost(20.0).reached(5.0, OTHERS.into_iter());
        assert_eq!(reached, Some(5.0));
    }
}
