//! Pages: what a client may ask for, and how they are written.

use std::num::NonZeroU8;

use serde::Serialize;

use utoipa::ToSchema;

use super::envelope::Refusal;
use super::extract::parameter;
use crate::ids::MemberId;

/// Rows a page at most.
const SIZE_MAX: u8 = 100;

/// How many rows a page has at most, from 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(NonZeroU8);

impl PageSize {
    /// Of lists, where the client does not say.
    pub const LIST: Self = Self(NonZeroU8::new(2).expect("2 is not 0"));

    /// Of a room's history, where the client does not say.
    pub const HISTORY: Self = Self(NonZeroU8::new(20).expect("20 is not 0"));

    /// The parameter `size`.
    ///
    /// # Errors
    /// [`Refusal::Parameter`]: it is not from 1 to 100.
    pub fn parse(text: Option<&str>, default: Self) -> Result<Self, Refusal> {
        match parameter::<NonZeroU8>(text)? {
            None => Ok(default),
            Some(size) if size.get() <= SIZE_MAX => Ok(Self(size)),
            Some(_) => Err(Refusal::Parameter),
        }
    }

    /// The parameter `size`, which must be there.
    ///
    /// # Errors
    /// [`Refusal::Parameter`]: it is not, or not from 1 to 100.
    pub fn parse_required(text: Option<&str>) -> Result<Self, Refusal> {
        let given = text.filter(|text| !text.is_empty());
        given.ok_or(Refusal::Parameter)?;
        Self::parse(given, Self::LIST)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0.get()
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Where the next page begins.
    pub page_info: PageInfo,
}

/// A page of a list that also says for whom it was made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiverPage<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Where the next page begins.
    pub page_info: PageInfo,
    /// Who asked.
    #[schema(value_type = u32)]
    pub member_id: MemberId,
}

/// A page of a list that also says how many rows the whole list has.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CountPage<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Where the next page begins.
    pub page_info: PageInfo,
    /// Rows on all pages.
    pub count: u64,
}

/// Where the next page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PageInfo {
    /// `cursorId` of the next page; null at the end.
    #[schema(required = true)]
    next_cursor_id: Option<u64>,
    /// Whether there is a next page.
    has_next: bool,
    /// What was asked for.
    size: u8,
}

impl PageInfo {
    /// What goes with rows of which the last one is `next`, if more follow.
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
    fn sizes_are_from_1_to_100() {
        check(None, Some(20));
        check(Some(""), Some(20));
        check(Some("1"), Some(1));
        check(Some("100"), Some(100));
        for text in ["0", "101", "256", "-1", "a", "1.0", " 1"] {
            check(Some(text), None);
        }
    }
}
