//! Times as text: durations on the command line, measured durations, and timestamps of RFC 3339.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Parses a duration such as `500ms`, `1.5s` or `1h 30m`, of ten years at most: any clock can add that.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    // One part at a time: `humantime` panics where a carry of the nanoseconds exceeds the seconds.
    let mut sum = Duration::ZERO;
    for part in parts(text) {
        let part = humantime::parse_duration(part).map_err(|error| error.to_string())?;
        sum = sum.saturating_add(part);
    }
    match sum <= LONGEST {
        true => Ok(sum),
        false => Err("longer than ten years".to_owned()),
    }
}

/// Splits a duration in front of each number that follows a unit. An empty text is one empty part.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let unit = text.find(|c: char| c.is_alphabetic());
        let next =
            unit.and_then(|unit| Some(unit + text[unit..].find(|c: char| c.is_ascii_digit())?));
        let (part, left) = text.split_at(next.unwrap_or(text.len()));
        rest = next.map(|_| left);
        Some(part)
    })
}

/// Formats a measured duration with three significant digits, as in `1.23 ms`. `humantime` prints every digit.
pub(crate) fn measured(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    let (number, unit) = match micros {
        ..1e3 => (micros, "us"),
        ..1e6 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    let decimals = match number {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{number:.decimals$} {unit}")
}

/// Formats a timestamp in UTC with milliseconds: `2026-07-09T16:04:05.678Z`. Times before 1970 are shown as its start.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time.max(UNIX_EPOCH)).to_string()
}

const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_numbers_with_units() {
        for (text, millis) in [
            ("500ms", 500),
            ("20s", 20_000),
            ("1.5s", 1500),
            ("20 s", 20_000),
            ("5m", 300_000),
            ("1h 30m", 5_400_000),
            ("1d", 86_400_000),
            ("0", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text:?}"
            );
        }
        assert_eq!(parse_duration("87840h"), Ok(LONGEST));
        for (text, problem) in [
            ("", "empty"),
            ("s", "expected number"),
            ("20", "unit needed"),
            ("20x", "unknown time unit"),
            ("-1s", "expected number"),
            ("87841h", "longer than ten years"),
            ("99999999999999999999s", "too large"),
            ("18446744073709551615s 1000ms", "longer than ten years"),
            ("1h x", "expected number"),
            ("1h 5", "unit needed"),
        ] {
            let error = parse_duration(text).expect_err(text);
            assert!(error.contains(problem), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_was_measured_has_three_digits() {
        for (nanos, text) in [
            (0, "0.00 us"),
            (1_234, "1.23 us"),
            (12_345_678, "12.3 ms"),
            (999_000_000, "999 ms"),
            (20_000_000_000, "20.0 s"),
        ] {
            assert_eq!(measured(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn known_moments_are_written_as_rfc_3339_has_them() {
        let at = |seconds: u64| rfc3339(UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7));
        assert_eq!(at(0), "1970-01-01T00:00:00.007Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59.007Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.007Z");
        assert_eq!(at(1_077_926_399), "2004-02-27T23:59:59.007Z");
        assert_eq!(at(1_783_613_045), "2026-07-09T16:04:05.007Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.007Z");
    }

    #[test]
    fn a_clock_before_1970_does_not_panic() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(rfc3339(before), "1970-01-01T00:00:00.000Z");
    }
}
