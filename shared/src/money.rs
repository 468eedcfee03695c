//! Money and data amounts as whole numbers: [`Won`] and [`Units`].
//!
//! Arithmetic is checked and named; the operators `+ - *` are left out on purpose, because each of
//! them would have to panic or wrap. There is no float in the arithmetic: one appears only where
//! JSON knows no other number for "1.5 GB", and is turned into units before anything is computed.
//!
//! What this file does not do: caps. What a price, a charge or a wallet may be is the market's rule
//! and is defined there (and as a constraint in its database); here are only the types.

use std::fmt;
use std::str::FromStr;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// South Korean won, a whole number; negative in sums and corrections.
///
/// As JSON a whole number: `1500.0` and `"1500"` are refused. `Display` writes the bare digits.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Won(i64);

impl Won {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of won.
    #[must_use]
    pub const fn new(won: i64) -> Self {
        Self(won)
    }

    /// The number of won.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The sum; `None` on overflow.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(won) => Some(Self(won)),
            None => None,
        }
    }

    /// The difference, which may be below zero; `None` on overflow.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(won) => Some(Self(won)),
            None => None,
        }
    }

    /// This amount with the other sign; `None` on overflow.
    #[must_use]
    pub const fn checked_neg(self) -> Option<Self> {
        match self.0.checked_neg() {
            Some(won) => Some(Self(won)),
            None => None,
        }
    }

    /// This amount multiplied; `None` on overflow.
    #[must_use]
    pub const fn checked_mul(self, times: i64) -> Option<Self> {
        match self.0.checked_mul(times) {
            Some(won) => Some(Self(won)),
            None => None,
        }
    }

    /// The price of so many units when one costs this amount; `None` on overflow.
    #[must_use]
    pub fn checked_times_units(self, units: Units) -> Option<Self> {
        self.checked_mul(i64::from(units.0))
    }

    /// The quotient rounded up, towards more won; `None` for a divisor of zero.
    ///
    /// A split offer's unit price is its total divided by its units in this way.
    #[must_use]
    pub fn checked_div_ceil(self, divisor: u32) -> Option<Self> {
        let divisor = i64::from(divisor);
        let floor = self.0.checked_div_euclid(divisor)?;
        let rest = self.0.checked_rem_euclid(divisor)?;
        floor.checked_add(i64::from(rest > 0)).map(Self)
    }

    /// The sum of all; `None` on overflow.
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

impl fmt::Display for Won {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An amount of data in units of 0.1 GB (100 MB).
///
/// On the wire it is a number of gigabytes with at most one decimal: `1.5` is 15 units. A number
/// within a millionth of a unit is taken, since a browser that adds 0.1 and 0.2 sends
/// `0.30000000000000004`; `1.25`, negative numbers, infinities and NaN are refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Units(u16);

/// The number is not a whole count of 0.1 GB units from 0 to 65,535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an amount of data: expected gigabytes with at most one decimal, from 0 to 6553.5")]
pub struct InvalidUnits;

impl Units {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The largest amount this type holds: 6,553.5 GB.
    pub const MAX: Self = Self(u16::MAX);

    /// How far a number of units may lie from a whole one. Far above the error of adding a few
    /// doubles of this size (about 10^-12), far below any amount that a client could intend.
    const TOLERANCE: f64 = 1e-6;

    /// So many times 0.1 GB.
    #[must_use]
    pub const fn new(units: u16) -> Self {
        Self(units)
    }

    /// The number of 0.1 GB units.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Reads a number of gigabytes in the form of the wire.
    ///
    /// # Errors
    /// [`InvalidUnits`] when it is not a whole number of units within a millionth, or out of range.
    pub fn from_gigabytes(gigabytes: f64) -> Result<Self, InvalidUnits> {
        let units = gigabytes * 10.0;
        let nearest = units.round();
        let in_range = (0.0..=f64::from(u16::MAX)).contains(&nearest);
        // NaN fails both tests.
        if in_range && (units - nearest).abs() <= Self::TOLERANCE {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a whole number from 0 to 65,535 by the test above"
            )]
            return Ok(Self(nearest as u16));
        }
        Err(InvalidUnits)
    }

    /// The number of gigabytes in the form of the wire. The quotient is the double nearest to the
    /// decimal, so it prints as that decimal.
    #[must_use]
    pub fn to_gigabytes(self) -> f64 {
        f64::from(self.0) / 10.0
    }

    /// The sum; `None` on overflow.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// The difference; `None` where it would be below zero.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// The sum of all; `None` on overflow.
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

/// Gigabytes with one decimal: `1.5`.
impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// Reads a query parameter: digits with an optional fraction, without sign or exponent.
impl FromStr for Units {
    type Err = InvalidUnits;

    fn from_str(text: &str) -> Result<Self, InvalidUnits> {
        // The float parser alone would also take "1e1", "+2", "inf" and "NaN".
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        if !plain {
            return Err(InvalidUnits);
        }
        let gigabytes: f64 = text.parse().map_err(|_not_a_number| InvalidUnits)?;
        Self::from_gigabytes(gigabytes)
    }
}

impl Serialize for Units {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.to_gigabytes())
    }
}

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As f64, because a query string's deserializer has only text and needs the type.
        deserializer.deserialize_f64(GigabytesVisitor)
    }
}

struct GigabytesVisitor;

impl Visitor<'_> for GigabytesVisitor {
    type Value = Units;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gigabytes with at most one decimal, from 0 to 6553.5")
    }

    fn visit_f64<E: serde::de::Error>(self, gigabytes: f64) -> Result<Units, E> {
        Units::from_gigabytes(gigabytes)
            .map_err(|_invalid| E::invalid_value(Unexpected::Float(gigabytes), &self))
    }

    fn visit_u64<E: serde::de::Error>(self, gigabytes: u64) -> Result<Units, E> {
        gigabytes
            .checked_mul(10)
            .and_then(|units| u16::try_from(units).ok())
            .map(Units)
            .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(gigabytes), &self))
    }

    fn visit_i64<E: serde::de::Error>(self, gigabytes: i64) -> Result<Units, E> {
        match u64::try_from(gigabytes) {
            Ok(gigabytes) => self.visit_u64(gigabytes),
            Err(_negative) => Err(E::invalid_value(Unexpected::Signed(gigabytes), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The JSON text means so many units, or is refused.
    fn check(json: &str, expected: Option<u16>) {
        let parsed = serde_json::from_str::<Units>(json).ok().map(Units::get);
        assert_eq!(parsed, expected, "{json}");
    }

    #[test]
    fn gigabytes_have_at_most_one_decimal() {
        check("2.0", Some(20));
        check("1.5", Some(15));
        check("3", Some(30));
        check("0.1", Some(1));
        check("0", Some(0));
        check("-0.0", Some(0));
        check("1.50", Some(15));
        check("15e-1", Some(15));
        check("1.25", None);
        check("0.05", None);
        check("1.500002", None);
    }

    #[test]
    fn sum_of_a_browser_is_taken() {
        check("0.30000000000000004", Some(3));
        check("0.7999999999999999", Some(8));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for json in [
            "-1", "-0.1", "null", "\"1.5\"", "NaN", "true", "[1]", "1e999", "-1e300",
        ] {
            check(json, None);
        }
        assert_eq!(Units::from_gigabytes(f64::NAN), Err(InvalidUnits));
        assert_eq!(Units::from_gigabytes(f64::INFINITY), Err(InvalidUnits));
        assert_eq!(Units::from_gigabytes(f64::NEG_INFINITY), Err(InvalidUnits));
    }

    #[test]
    fn amount_ends_where_its_type_does() {
        check("6553.5", Some(u16::MAX));
        check("6553.6", None);
        check("6553", Some(65_530));
        check("6554", None);
        check("18446744073709551615", None);
    }

    #[test]
    fn amount_is_written_as_a_number_with_a_decimal() {
        assert_eq!(serde_json::to_string(&Units(15)).unwrap(), "1.5");
        assert_eq!(serde_json::to_string(&Units(20)).unwrap(), "2.0");
        assert_eq!(Units(3).to_string(), "0.3");
    }

    #[test]
    fn query_text_is_plain_decimal() {
        assert_eq!("1.5".parse(), Ok(Units(15)));
        assert_eq!("2".parse(), Ok(Units(20)));
        for text in [
            "", ".", "-1", "+1", "1e1", "inf", "NaN", " 1", "1.2.3", "1,5",
        ] {
            assert_eq!(text.parse::<Units>(), Err(InvalidUnits), "{text:?}");
        }
    }

    #[test]
    fn units_never_fall_below_zero() {
        assert_eq!(Units(3).checked_sub(Units(4)), None);
        assert_eq!(Units(4).checked_sub(Units(4)), Some(Units::ZERO));
        assert_eq!(Units::MAX.checked_add(Units(1)), None);
        assert_eq!(Units::checked_sum([Units(1), Units(2)]), Some(Units(3)));
    }

    #[test]
    fn won_overflow_is_none() {
        let max = Won::new(i64::MAX);
        assert_eq!(max.checked_add(Won::new(1)), None);
        assert_eq!(Won::new(i64::MIN).checked_sub(Won::new(1)), None);
        assert_eq!(Won::new(i64::MIN).checked_neg(), None);
        assert_eq!(max.checked_mul(2), None);
        assert_eq!(Won::checked_sum([max, Won::new(1), Won::new(-1)]), None);
        assert_eq!(Won::checked_sum([]), Some(Won::ZERO));
    }

    #[test]
    fn won_is_a_whole_json_number() {
        assert_eq!(serde_json::to_string(&Won::new(-1500)).unwrap(), "-1500");
        assert_eq!(serde_json::from_str::<Won>("1500").unwrap(), Won::new(1500));
        for json in [
            "1500.0",
            "1500.5",
            "\"1500\"",
            "null",
            "9223372036854775808",
        ] {
            assert!(serde_json::from_str::<Won>(json).is_err(), "{json}");
        }
        assert_eq!(Won::new(1500).to_string(), "1500");
    }

    #[test]
    fn unit_price_is_rounded_up() {
        assert_eq!(Won::new(1000).checked_div_ceil(3), Some(Won::new(334)));
        assert_eq!(Won::new(999).checked_div_ceil(3), Some(Won::new(333)));
        assert_eq!(Won::new(1).checked_div_ceil(20), Some(Won::new(1)));
        assert_eq!(Won::new(-1000).checked_div_ceil(3), Some(Won::new(-333)));
        assert_eq!(Won::new(1).checked_div_ceil(0), None);
        assert_eq!(
            Won::new(334).checked_times_units(Units(3)),
            Some(Won::new(1002))
        );
    }

    #[test]
    fn every_amount_round_trips_through_json_and_text() {
        for units in 0..=u16::MAX {
            let json = serde_json::to_string(&Units(units)).unwrap();
            assert_eq!(json, Units(units).to_string());
            assert_eq!(serde_json::from_str::<Units>(&json).unwrap(), Units(units));
            assert_eq!(json.parse(), Ok(Units(units)));
        }
    }

    proptest! {
        #[test]
        fn any_float_is_an_amount_close_by_or_an_error(gigabytes: f64) {
            if let Ok(units) = Units::from_gigabytes(gigabytes) {
                prop_assert!((units.to_gigabytes() - gigabytes).abs() < 1e-6);
            }
        }

        #[test]
        fn division_never_undercharges(total in 0..=1_000_000_000_000_i64, parts in 1..=20_u16) {
            let total = Won::new(total);
            let each = total.checked_div_ceil(u32::from(parts)).unwrap();
            let sum = each.checked_times_units(Units(parts)).unwrap();
            prop_assert!(sum >= total);
            prop_assert!(sum.checked_sub(total).unwrap() < Won::new(i64::from(parts)));
        }

        #[test]
        fn won_arithmetic_agrees_with_wider_integers(a: i64, b: i64) {
            let (wide_a, wide_b) = (i128::from(a), i128::from(b));
            let narrow = |wide: i128| i64::try_from(wide).ok().map(Won);
            prop_assert_eq!(Won(a).checked_add(Won(b)), narrow(wide_a + wide_b));
            prop_assert_eq!(Won(a).checked_sub(Won(b)), narrow(wide_a - wide_b));
            prop_assert_eq!(Won(a).checked_mul(b), narrow(wide_a * wide_b));
        }
    }
}
