//! Sizes on the command line: `500000`, `64KiB`, `1.5MiB`.

use bytesize::ByteSize;

/// Parses a number of bytes, at least one.
pub(crate) fn parse_size(text: &str) -> Result<u64, &'static str> {
    match text.parse() {
        Ok(ByteSize(0)) => Err("expected at least one byte"),
        // `bytesize` gives `u64::MAX` for every larger number.
        Ok(ByteSize(bytes)) if bytes < u64::MAX => Ok(bytes),
        _ => Err(
            "expected a number below 2^64 bytes, and none or one of the \
                  units B, kB, MB, GB, KiB, MiB and GiB, for example 500000 or 64KiB",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_counts_bytes_unless_a_unit_follows() {
        assert_eq!(parse_size("500000"), Ok(500_000));
        assert_eq!(parse_size("1B"), Ok(1));
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("1MiB"), Ok(1 << 20));
        assert_eq!(parse_size("1.5MiB"), Ok(3 << 19));
        assert_eq!(parse_size("2 gib"), Ok(2 << 30));
        assert_eq!(parse_size("3MB"), Ok(3_000_000));
        assert_eq!(parse_size("18446744073709551614"), Ok(u64::MAX - 1));
    }

    #[test]
    fn what_is_no_size_is_refused_with_its_reason() {
        for text in [
            "",
            "KiB",
            "-1",
            "1 2",
            "1Mb it",
            "18446744073709551615",
            "99999999999999999999",
            "17179869184GiB",
        ] {
            let error = parse_size(text).expect_err(text);
            assert!(error.contains("below 2^64 bytes"), "{text:?}: {error}");
        }
        assert_eq!(parse_size("0"), Err("expected at least one byte"));
        assert_eq!(parse_size("0.9B"), Err("expected at least one byte"));
    }
}
