//! Forms of reviews: what a rating and a comment may be.

use shared::text::bounded;

use crate::db::row::Column;

/// Bound of a comment in characters.
const COMMENT_CHARS_MAX: usize = 50;

/// Deviation of a number from a tenth that is taken for rounding, as for amounts of data.
const TOLERANCE: f64 = 1e-6;

/// Why a form is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Not a rating from 1.0 to 5.0 with one decimal.
    #[error("not a rating")]
    Rating,
    /// A comment that is too long, shows nothing or cannot be stored.
    #[error("not a comment")]
    Comment,
}

/// A rating from 1.0 to 5.0 stars, in tenths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stars(u8);

impl Stars {
    const MIN: u8 = 10;
    const MAX: u8 = 50;

    /// Parses a number of stars.
    ///
    /// # Errors
    /// [`FormError::Rating`] when it is no whole number of tenths, within a millionth, or out of range.
    pub fn parse(stars: f64) -> Result<Self, FormError> {
        let tenths = stars * 10.0;
        let found =
            (Self::MIN..=Self::MAX).find(|whole| (tenths - f64::from(*whole)).abs() <= TOLERANCE);
        found.map(Self).ok_or(FormError::Rating)
    }

    /// The number of tenths.
    #[must_use]
    pub const fn tenths(self) -> u8 {
        self.0
    }

    /// The number of stars on the wire: the double nearest to the decimal, which prints as that decimal.
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from(self.0) / 10.0
    }
}

impl Column for Stars {
    fn from_number(number: i64) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        match u8::try_from(number) {
            Ok(tenths @ Self::MIN..=Self::MAX) => Ok(Self(tenths)),
            Ok(_) | Err(_) => Err("expected 10 to 50 tenths of a star".into()),
        }
    }
}

/// What a reviewer writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReview {
    pub(super) stars: Stars,
    pub(super) comment: String,
}

impl NewReview {
    /// Validates a form; a comment may be absent.
    ///
    /// # Errors
    /// See [`FormError`].
    pub fn parse(stars: f64, comment: Option<&str>) -> Result<Self, FormError> {
        let comment = bounded(comment.unwrap_or_default(), COMMENT_CHARS_MAX);
        Ok(Self {
            stars: Stars::parse(stars)?,
            comment: comment.ok_or(FormError::Comment)?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rating_is_whole_tenths_from_1_to_5() {
        let tenths = |stars| Stars::parse(stars).map(Stars::tenths);
        for whole in Stars::MIN..=Stars::MAX {
            let stars = f64::from(whole) / 10.0;
            assert_eq!(tenths(stars), Ok(whole));
            assert_eq!(Stars(whole).get().to_string(), stars.to_string());
        }
        assert_eq!(tenths(4.1 + 0.2), Ok(43));
        for refused in [
            0.9,
            0.999,
            1.05,
            4.55,
            5.01,
            5.1,
            0.0,
            -1.0,
            f64::NAN,
            f64::INFINITY,
            f64::MAX,
        ] {
            assert_eq!(tenths(refused), Err(FormError::Rating), "{refused}");
        }
    }

    #[test]
    fn comment_is_up_to_50_characters_or_empty() {
        fn comment(text: Option<&str>) -> Result<String, FormError> {
            NewReview::parse(4.0, text).map(|form| form.comment)
        }
        for empty in [None, Some(""), Some(" \n ")] {
            assert_eq!(comment(empty), Ok(String::new()));
        }
        let longest = "가".repeat(50);
        assert_eq!(comment(Some(&longest)), Ok(longest.clone()));
        let emoji = "🎉".repeat(50);
        assert_eq!(comment(Some(&format!(" {emoji} "))), Ok(emoji));
        let longer = "a".repeat(51);
        for refused in [longer.as_str(), "a\0", "\u{200b}"] {
            assert_eq!(comment(Some(refused)), Err(FormError::Comment));
        }
    }
}
