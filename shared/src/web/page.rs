//! Pagination: the parameters and the JSON of a page.

use std::num::NonZeroU8;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::codes::ErrorCode;
use super::extract::parameter;
use crate::ids::MemberId;

/// Bound of rows per page.
const SIZE_MAX: u8 = 100;

/// The bound of a page, from 1 to 100 rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(NonZeroU8);

impl PageSize {
    /// Default of lists.
    pub const LIST: Self = Self(NonZeroU8::new(2).expect("2 is not 0"));

    /// Default of a room's history.
    pub const HISTORY: Self = Self(NonZeroU8::new(20).expect("20 is not 0"));

    /// The parameter `size`: a whole decimal number. One above 100 counts as 100, since the first
    /// front end requests as many rows as a room's id.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidParameter`]: another text, or 0.
    pub fn parse(text: Option<&str>, default: Self) -> Result<Self, ErrorCode> {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(default);
        };
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ErrorCode::InvalidParameter);
        }
        // Digits that overflow are a number above the maximum.
        let size = text.parse().unwrap_or(SIZE_MAX).min(SIZE_MAX);
        NonZeroU8::new(size)
            .map(Self)
            .ok_or(ErrorCode::InvalidParameter)
    }

    /// The parameter `size`, where it is required.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidParameter`]: it is not, or as for [`Self::parse`].
    pub fn parse_required(text: Option<&str>) -> Result<Self, ErrorCode> {
        let given = text.filter(|text| !text.is_empty());
        given.ok_or(ErrorCode::InvalidParameter)?;
        Self::parse(given, Self::LIST)
    }

    /// The number of rows.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0.get()
    }
}

/// The parameter `cursorId`, the cursor that the previous page returned. 0 is the first page of every list: the
/// first front end sends it.
///
/// # Errors
/// [`ErrorCode::InvalidParameter`]: it is something else.
pub fn cursor<T: FromStr>(text: Option<&str>) -> Result<Option<T>, ErrorCode> {
    parameter(text.filter(|text| *text != "0"))
}

/// The parameters of a page of a list that has no others.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct PageParameters {
    /// Rows of the page; more than 100 counts as 100.
    #[param(value_type = Option<u64>, minimum = 1, default = 2)]
    size: Option<String>,
    /// `nextCursorId` of the previous page. 0: the first page.
    #[param(value_type = Option<u64>)]
    cursor_id: Option<String>,
}

impl PageParameters {
    /// The size, by default [`PageSize::LIST`], and the end of the previous page.
    ///
    /// # Errors
    /// See [`PageSize::parse`] and [`cursor`].
    pub fn parse<C: FromStr>(&self) -> Result<(PageSize, Option<C>), ErrorCode> {
        let size = PageSize::parse(self.size.as_deref(), PageSize::LIST)?;
        Ok((size, cursor(self.cursor_id.as_deref())?))
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Cursor and size of the page.
    pub page_info: PageInfo,
}

/// The rows of a page, and whether another page follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows<R> {
    /// The rows.
    pub rows: Vec<R>,
    /// Whether another page follows.
    pub has_next: bool,
}

impl<R> Rows<R> {
    /// The rows of a query that reads one more than the page has.
    #[must_use]
    pub fn cut(mut rows: Vec<R>, size: PageSize) -> Self {
        let size = usize::from(size.get());
        let has_next = rows.len() > size;
        rows.truncate(size);
        Self { rows, has_next }
    }

    /// The page; its cursor is the id of the last row.
    pub fn into_page<I: Into<u64>, V>(
        self,
        size: PageSize,
        id: impl Fn(&R) -> I,
        view: impl FnMut(R) -> V,
    ) -> Page<V> {
        let last = self.rows.last().filter(|_| self.has_next);
        let next = last.map(|row| id(row).into());
        Page {
            data: self.rows.into_iter().map(view).collect(),
            page_info: PageInfo::new(next, size),
        }
    }
}

/// A page of a list with the id of the member it was requested by.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiverPage<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Cursor and size of the page.
    pub page_info: PageInfo,
    /// The requesting member.
    #[schema(value_type = u32)]
    pub member_id: MemberId,
}

/// A page of a list with the number of all rows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CountPage<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Cursor and size of the page.
    pub page_info: PageInfo,
    /// Rows on all pages.
    pub count: u64,
}

/// Cursor and size of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PageInfo {
    /// `cursorId` of the next page; null at the end.
    #[schema(required = true)]
    next_cursor_id: Option<u64>,
    /// Whether there is a next page.
    has_next: bool,
    /// Maximum of rows on a page: the requested `size`, up to 100.
    size: u8,
}

impl PageInfo {
    /// The page information for rows whose last one is `next`, if more follow.
    #[must_use]
    pub fn new(next: Option<u64>, size: PageSize) -> Self {
        Self {
            next_cursor_id: next,
            has_next: next.is_some(),
            size: size.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: Option<&str>, expected: Option<u8>) {
        let size = PageSize::parse(text, PageSize::HISTORY);
        assert_eq!(size.ok().map(PageSize::get), expected, "{text:?}");
    }

    #[test]
    fn sizes_are_from_1_and_more_than_100_is_100() {
        check(None, Some(20));
        check(Some(""), Some(20));
        check(Some("1"), Some(1));
        check(Some("100"), Some(100));
        for text in ["101", "256", "1073741823", "99999999999999999999999"] {
            check(Some(text), Some(100));
        }
        for text in ["0", "00", "-1", "+5", "a", "1.0", "1e2", " 1", "１"] {
            check(Some(text), None);
        }
    }

    #[test]
    fn cursor_0_is_the_first_page() {
        let check = |text: Option<&str>, expected: Result<Option<MemberId>, ErrorCode>| {
            assert_eq!(cursor(text), expected, "{text:?}");
        };
        check(None, Ok(None));
        check(Some(""), Ok(None));
        check(Some("0"), Ok(None));
        check(Some("7"), Ok(Some("7".parse().unwrap())));
        for text in ["00", "-0", "0.0", "-1", "x"] {
            check(Some(text), Err(ErrorCode::InvalidParameter));
        }
    }
}
