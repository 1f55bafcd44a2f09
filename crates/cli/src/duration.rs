//! Times on the command line: `500ms`, `20s`, `5m`, `1h`; and times that were measured, to be read.

use std::time::Duration;

/// A number and its unit.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let number: u64 = match digits.parse() {
        Ok(number) => number,
        Err(_) => return Err("a time is a whole number and a unit, as 500ms or 20s".to_owned()),
    };
    let (_, millis) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| format!("no unit `{unit}`: there are ms, s, m, h"))?;
    // Within what any clock can add.
    match number.checked_mul(*millis) {
        Some(millis) if millis <= LONGEST => Ok(Duration::from_millis(millis)),
        _ => Err("more than ten years".to_owned()),
    }
}

/// With three digits of what is measured: `1.23 ms`.
pub(crate) fn shown(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
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

const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
const LONGEST: u64 = 10 * 366 * 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_with_a_unit() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(parse("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse("87840h"), Ok(Duration::from_millis(LONGEST)));
        for text in [
            "",
            "s",
            "20",
            "1.5s",
            "-1s",
            "20 s",
            "1d",
            "87841h",
            "99999999999999999999s",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
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
            assert_eq!(shown(Duration::from_nanos(nanos)), text);
        }
    }
}
