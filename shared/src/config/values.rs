//! Parsers for settings that `clap` lacks: durations and byte sizes.

use std::time::Duration;

/// The text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a duration: expected a whole number with a unit, like 250ms, 30s, 10m, 2h or 14d")]
pub struct InvalidDuration;

/// The text is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a size: expected bytes as a whole number, or with a unit, like 64KiB, 1MiB or 2GiB")]
pub struct InvalidByteSize;

/// Reads a duration: a whole number and one of the units ms, s, m, h, d. A unit is required, since
/// a bare `30` could mean seconds or milliseconds.
///
/// # Errors
/// [`InvalidDuration`] for any other text, and beyond 2^64 ms.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let (number, unit) = split(text).ok_or(InvalidDuration)?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(InvalidDuration),
    };
    number
        .checked_mul(unit_ms)
        .map(Duration::from_millis)
        .ok_or(InvalidDuration)
}

/// Reads a number of bytes: a whole number, alone or with one of the units B, KiB, MiB, GiB (powers
/// of 1,024). `KB` is refused: it is ambiguous (1,000 or 1,024).
///
/// # Errors
/// [`InvalidByteSize`] for any other text, and beyond the address space.
pub fn parse_bytes(text: &str) -> Result<usize, InvalidByteSize> {
    let (number, unit) = split(text).ok_or(InvalidByteSize)?;
    let unit_bytes: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(InvalidByteSize),
    };
    let bytes = number.checked_mul(unit_bytes).ok_or(InvalidByteSize)?;
    usize::try_from(bytes).map_err(|_too_large| InvalidByteSize)
}

/// The digits a text begins with, as a number, and what follows them.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit))
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
        check_duration("18446744073709551615ms", Some(u64::MAX));
        check_duration("18446744073709551616ms", None);
        check_duration("18446744073709551615d", None);
        for text in [
            "", "30", "s", "-1s", "+1s", "1.5s", "1 s", "1S", "1min", "1h30m", " 1s",
        ] {
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
                prop_assert_eq!(parse_duration(&format!("{}ms", duration.as_millis())), Ok(duration));
            }
            if let Ok(bytes) = parse_bytes(&text) {
                prop_assert_eq!(parse_bytes(&bytes.to_string()), Ok(bytes));
            }
        }
    }
}
