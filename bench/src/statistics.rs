//! Order statistics: quantiles, and a median with the interval that holds it. They assume nothing about how
//! the values are distributed.

/// The value that `share` of the values do not exceed, by the nearest rank; `None` without values.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The median; `None` without values. Of an even number it is the mean of the middle two.
pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len().is_multiple_of(2) {
        return Some(f64::midpoint(sorted[middle - 1], upper));
    }
    Some(upper)
}

/// A median of paired ratios, and the interval that holds the true median with a confidence of 95 %.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// How a ratio compares with 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// The ratio is clearly below 1.
    Less,
    /// The median is within 0.98 to 1.02, or the interval holds 1.
    Tie,
    /// The ratio is clearly above 1.
    More,
}

/// The fewest values that have an interval of 95 %.
pub(crate) const FEWEST: usize = 6;

impl Estimate {
    /// Returns the interval of the sign test: the values of the ranks `k` and `n + 1 - k`. Here `k` is the largest number
    /// such that fewer than `k` of `n` fair coins show heads with a probability of at most 2.5 %. `None` for fewer than
    /// [`FEWEST`].
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let rank = low_rank(values.len())?;
        Some(Self {
            median: median(&values)?,
            low: values[rank - 1],
            high: values[values.len() - rank],
        })
    }

    pub(crate) fn verdict(self) -> Verdict {
        let is_near = TIE.contains(&self.median);
        if is_near || (self.low..=self.high).contains(&1.0) {
            return Verdict::Tie;
        }
        if self.median < 1.0 {
            Verdict::Less
        } else {
            Verdict::More
        }
    }
}

/// The largest rank whose value lies below the true median with a probability of at least 97.5 %.
fn low_rank(count: usize) -> Option<usize> {
    let mut probability = 0.5_f64.powi(i32::try_from(count).ok()?);
    let mut cumulative = 0.0;
    for heads in 0..count {
        cumulative += probability;
        if cumulative > 0.025 {
            return (heads > 0).then_some(heads);
        }
        probability *= (count - heads) as f64 / (heads + 1) as f64;
    }
    None
}

const TIE: std::ops::RangeInclusive<f64> = 0.98..=1.02;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_value_of_its_nearest_rank() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&hundred, 0.5), Some(50.0));
        assert_eq!(quantile(&hundred, 0.99), Some(99.0));
        assert_eq!(quantile(&hundred, 1.0), Some(100.0));
        assert_eq!(quantile(&[7.0], 0.01), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, 2.0, 3.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 3.0, 4.0]), Some(2.5));
    }

    #[test]
    fn the_ranks_of_an_interval_are_those_of_the_tables_of_the_sign_test() {
        let ranks = [5, 6, 9, 12, 20, 40, 100, 1000].map(low_rank);
        let table = [
            None,
            Some(1),
            Some(2),
            Some(3),
            Some(6),
            Some(14),
            Some(40),
            Some(469),
        ];
        assert_eq!(ranks, table);
    }

    #[test]
    fn an_interval_leaves_out_the_outermost_values() {
        let estimate = Estimate::of((1..=20).rev().map(f64::from).collect()).unwrap();
        let expected = Estimate {
            median: 10.5,
            low: 6.0,
            high: 15.0,
        };
        assert_eq!(estimate, expected);
        assert_eq!(Estimate::of(vec![1.0; FEWEST - 1]), None);
        assert!(Estimate::of(vec![1.0; FEWEST]).is_some());
    }

    #[test]
    fn a_tie_is_a_median_near_1_or_an_interval_that_holds_1() {
        let verdict = |median, low, high| Estimate { median, low, high }.verdict();
        assert_eq!(verdict(0.98, 0.97, 0.99), Verdict::Tie);
        assert_eq!(verdict(1.02, 1.01, 1.03), Verdict::Tie);
        assert_eq!(verdict(0.95, 0.90, 1.00), Verdict::Tie);
        assert_eq!(verdict(1.10, 0.99, 1.20), Verdict::Tie);
        assert_eq!(verdict(0.97, 0.96, 0.99), Verdict::Less);
        assert_eq!(verdict(1.03, 1.01, 1.05), Verdict::More);
    }
}
