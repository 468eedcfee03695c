//! Parsers for settings that `clap` lacks: durations and byte sizes.

use std::time::Duration;

use humantime::DurationError;

/// The text is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a size: expected bytes as a whole number, or with a unit, like 64KiB, 1MiB or 2GiB")]
pub struct InvalidByteSize;

/// 1000 years: more than any setting needs, and few enough to be added to any time.
const DURATION_MAX: Duration = Duration::from_secs(1_000 * 31_557_600);

/// Reads a duration in the form of `humantime`: `250ms`, `30s`, `10m`, `2h`, `14d`, `1h 30m`. A unit
/// is required, since a bare `30` could mean seconds or milliseconds.
///
/// # Errors
/// [`DurationError`] for any other text, and beyond 1000 years.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let duration = humantime::parse_duration(text)?;
    if duration > DURATION_MAX {
        return Err(DurationError::NumberOverflow);
    }
    Ok(duration)
}

/// Reads a number of bytes: a whole number, alone or with one of the units B, KiB, MiB, GiB (powers
/// of 1,024). `KB` is refused: it is ambiguous (1,000 or 1,024). The crate `bytesize` accepts it, and
/// fractions.
///
/// # Errors
/// [`InvalidByteSize`] for any other text, and beyond the address space.
pub fn parse_bytes(text: &str) -> Result<usize, InvalidByteSize> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit_bytes: usize = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(InvalidByteSize),
    };
    let number: usize = number.parse().map_err(|_no_number| InvalidByteSize)?;
    number.checked_mul(unit_bytes).ok_or(InvalidByteSize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check_duration(text: &str, expected_ms: Option<u64>) {
        let expected = expected_ms.map(Duration::from_millis);
        assert_eq!(parse_duration(text).ok(), expected, "{text:?}");
    }

    fn check_bytes(text: &str, expected: Option<usize>) {
        assert_eq!(parse_bytes(text).ok(), expected, "{text:?}");
    }

    #[test]
    fn duration_is_a_number_with_a_unit() {
        check_duration("250ms", Some(250));
        check_duration("30s", Some(30_000));
        check_duration("10m", Some(600_000));
        check_duration("2h", Some(7_200_000));
        check_duration("14d", Some(1_209_600_000));
        check_duration("0s", Some(0));
        check_duration("1h 30m", Some(5_400_000));
        check_duration("1.5s", Some(1_500));
        check_duration("1000years", Some(31_557_600_000_000));
        check_duration("1001years", None);
        check_duration("18446744073709551615s", None);
        check_duration("18446744073709551616ms", None);
        for text in ["", "30", "s", "-1s", "+1s", "1S", "1,5s"] {
            check_duration(text, None);
        }
    }

    #[test]
    fn size_is_bytes_or_has_a_binary_unit() {
        check_bytes("65536", Some(65_536));
        check_bytes("512B", Some(512));
        check_bytes("64KiB", Some(65_536));
        check_bytes("1MiB", Some(1_048_576));
        check_bytes("2GiB", Some(2_147_483_648));
        check_bytes("0", Some(0));
        check_bytes("18446744073709551615GiB", None);
        for text in [
            "", "KiB", "64KB", "64k", "64kib", "-1", "1.5MiB", "64 KiB", "1_000",
        ] {
            check_bytes(text, None);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_value_or_an_error(text in "[0-9]{0,21}(ms|s|d|KiB|GiB)?|\\PC{0,12}") {
            if let Ok(duration) = parse_duration(&text) {
                let shown = humantime::format_duration(duration).to_string();
                prop_assert_eq!(parse_duration(&shown), Ok(duration));
            }
            if let Ok(bytes) = parse_bytes(&text) {
                prop_assert_eq!(parse_bytes(&bytes.to_string()), Ok(bytes));
            }
        }
    }
}
