//! Pages: what a client may ask for, and how they are written.

use std::num::NonZeroU8;

use serde::Serialize;
use shared::ids::MemberId;
use utoipa::ToSchema;

use super::envelope::Failure;
use super::extract::parameter;

/// Rows a page at most.
const SIZE_MAX: u8 = 100;

/// How many rows a page has at most, from 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageSize(NonZeroU8);

impl PageSize {
    /// Of lists, where the client does not say.
    pub(super) const LIST: Self = Self(NonZeroU8::new(2).expect("2 is not 0"));

    /// Of a room's history, where the client does not say.
    pub(super) const HISTORY: Self = Self(NonZeroU8::new(20).expect("20 is not 0"));

    /// The parameter `size`.
    pub(super) fn parse(text: Option<&str>, default: Self) -> Result<Self, Failure> {
        match parameter::<NonZeroU8>(text)? {
            None => Ok(default),
            Some(size) if size.get() <= SIZE_MAX => Ok(Self(size)),
            Some(_) => Err(Failure::Parameter),
        }
    }

    /// The number.
    pub(super) fn get(self) -> u8 {
        self.0.get()
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page<T> {
    /// The rows.
    pub(super) data: Vec<T>,
    /// Where the next page begins.
    pub(super) page_info: PageInfo,
}

/// A page of a list that also says for whom it was made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReceiverPage<T> {
    /// The rows.
    pub(super) data: Vec<T>,
    /// Where the next page begins.
    pub(super) page_info: PageInfo,
    /// Who asked.
    #[schema(value_type = u32)]
    pub(super) member_id: MemberId,
}

/// Where the next page begins.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageInfo {
    /// `cursorId` of the next page; null at the end.
    #[schema(required = true)]
    next_cursor_id: Option<u64>,
    /// Whether there is a next page.
    has_next: bool,
    /// What was asked for.
    size: u8,
}

impl PageInfo {
    pub(super) fn new(next: Option<u64>, size: PageSize) -> Self {
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
