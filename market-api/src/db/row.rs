//! Typed columns: ids, amounts, times and flags of a row.
//!
//! Every table has CHECK constraints on these columns, so a value outside a type's range is a defect of
//! ours, never a number to be clamped: it becomes [`sqlx::Error::Decode`], and with that
//! [`DbError::Defect`](super::DbError::Defect).

use std::error::Error;
use std::fmt::Display;

use shared::clock::{LocalDateTime, Month, UnixMillis};
use shared::ids::{MemberId, ProductId, ReportId, ReviewId, RoomId, TradeId};
use shared::money::{Units, Won};
use sqlx::Row as _;
use sqlx::any::AnyRow;

/// A type stored in a `bigint` column.
pub trait Column: Sized {
    /// Converts the stored number.
    ///
    /// # Errors
    /// The number is outside the type's range.
    fn from_number(number: i64) -> Result<Self, Box<dyn Error + Send + Sync>>;
}

/// A type stored in a `text` column by name.
pub trait TextColumn: Sized {
    /// The value with this name; `None` for an invalid name.
    fn from_text(text: &str) -> Option<Self>;
}

macro_rules! by_try_from {
    ($($type:ty),*) => {
        $(impl Column for $type {
            fn from_number(number: i64) -> Result<Self, Box<dyn Error + Send + Sync>> {
                Ok(Self::try_from(number)?)
            }
        })*
    };
}
by_try_from!(
    MemberId, ProductId, ReportId, ReviewId, RoomId, TradeId, UnixMillis, Month, u16, u32, u64, i64
);

impl Column for Won {
    fn from_number(number: i64) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self::new(number))
    }
}

impl Column for Units {
    fn from_number(number: i64) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self::new(number.try_into()?))
    }
}

impl Column for LocalDateTime {
    fn from_number(number: i64) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self::from_unix(number.try_into()?))
    }
}

/// Flags are stored as 0 or 1 in both databases.
impl Column for bool {
    fn from_number(number: i64) -> Result<Self, Box<dyn Error + Send + Sync>> {
        match number {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("expected a flag, 0 or 1".into()),
        }
    }
}

/// Reads a column.
///
/// # Errors
/// The column is missing, null, or outside the type's range.
pub fn column<T: Column>(row: &AnyRow, name: &str) -> Result<T, sqlx::Error> {
    T::from_number(row.try_get(name)?).map_err(|error| refuse(name, error))
}

/// Reads a nullable column.
///
/// # Errors
/// The column is missing, or outside the type's range.
pub fn optional<T: Column>(row: &AnyRow, name: &str) -> Result<Option<T>, sqlx::Error> {
    let number: Option<i64> = row.try_get(name)?;
    let value = number.map(T::from_number).transpose();
    value.map_err(|error| refuse(name, error))
}

/// Reads a text column that names a value.
///
/// # Errors
/// The column is missing, null, or has a name that no value has.
pub fn named<T: TextColumn>(row: &AnyRow, name: &str) -> Result<T, sqlx::Error> {
    let text: String = row.try_get(name)?;
    T::from_text(&text).ok_or_else(|| refuse(name, format!("unexpected value {text:?}")))
}

fn refuse(name: &str, why: impl Display) -> sqlx::Error {
    sqlx::Error::Decode(format!("column {name}: {why}").into())
}

/// Placeholders of an insert of several rows: `($1, $2), ($3, $4)` for two rows of two columns.
#[must_use]
pub fn places(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let first = row * columns + 1;
        let places: Vec<_> = (first..first + columns)
            .map(|place| format!("${place}"))
            .collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<_> = (0..rows).map(row).collect();
    rows.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_numbered_through_all_rows() {
        assert_eq!(places(2, 3), "($1, $2, $3), ($4, $5, $6)");
        assert_eq!(places(1, 1), "($1)");
    }
}
