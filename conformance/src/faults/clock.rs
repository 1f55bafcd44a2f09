//! The clock that all logs of a run share: milliseconds since 1970. The processes of a run are on one machine.

use std::time::{SystemTime, UNIX_EPOCH};

use sockeye_engine_kit::checker::Millis;

/// Returns the time.
pub(super) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
    })
}

/// Reads a time as `serve` logs it: `2026-12-01T03:51:26.113244Z`. `None` for another form.
pub(super) fn read(text: &str) -> Option<Millis> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, mark: char| {
        let numbers = text.split(mark).map(str::parse);
        numbers.collect::<Result<Vec<u64>, _>>().ok()
    };
    let (clock, fraction) = time.split_once('.')?;
    let ([year, month, day], [hour, minute, second]) =
        (&numbers(date, '-')?[..], &numbers(clock, ':')?[..])
    else {
        return None;
    };
    let millis: Millis = fraction.get(..3)?.parse().ok()?;
    // A year that begins in March has its day of February at the end.
    let (year, month) = match month {
        3..=12 => (*year, month - 3),
        1 | 2 => (year.checked_sub(1)?, month + 9),
        _ => return None,
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    let days = days.checked_sub(DAYS_BEFORE_1970)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + millis)
}

/// The days from the March of the year 0 to 1970, and one more, as days of a month are counted from 1.
const DAYS_BEFORE_1970: u64 = 719_469;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_a_log_is_read() {
        for (text, millis) in [
            ("1970-01-01T00:00:00.000000Z", 0),
            ("2000-02-29T12:00:00.500000Z", 951_825_600_500),
            ("2026-12-01T03:51:26.113244Z", 1_796_097_086_113),
        ] {
            assert_eq!(read(text), Some(millis), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01T00:00:00.000Z", "2026-12-01"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
