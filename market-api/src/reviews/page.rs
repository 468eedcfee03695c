//! Pages of reviews: orders, parameters, rows and cursors.
//!
//! A cursor holds the last row's sort key, so that the next page begins behind it even if the row has changed or gone
//! meanwhile. It is one integer below 2^53, exact in a browser.

use shared::clock::LocalDateTime;
use shared::ids::{MemberId, ProductId, ReviewId, TradeId};
use shared::money::Units;
use shared::web::PageSize;

use super::Stars;
use crate::db::row::Column as _;
use crate::products::Kind;

/// The order of a list. Every order is total: ids break ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sort {
    /// Newest first.
    Recent,
    /// Oldest first.
    Oldest,
    /// Best first, of equal ones the newest.
    Best,
    /// Worst first, of equal ones the oldest.
    Worst,
}

impl Sort {
    /// All orders, the default first.
    pub const ALL: [Self; 4] = [Self::Recent, Self::Oldest, Self::Best, Self::Worst];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recent => "RECENT",
            Self::Oldest => "OLDEST",
            Self::Best => "RATING_DESC",
            Self::Worst => "RATING_ASC",
        }
    }

    /// Parses the name on the wire.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.name() == name)
    }

    const fn is_by_rating(self) -> bool {
        match self {
            Self::Recent | Self::Oldest => false,
            Self::Best | Self::Worst => true,
        }
    }
}

/// Bits of a cursor that hold the id; those above hold the tenths of the rating.
const ID_BITS: u32 = 31;

/// The end of a page: `nextCursorId` on the wire. The id of the last row, with its rating in orders by rating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// `None` in orders by time.
    pub(super) stars: Option<Stars>,
    pub(super) id: ReviewId,
}

impl Cursor {
    /// Validates a number from the wire; `None` if it is no cursor of this order.
    #[must_use]
    pub fn parse(sort: Sort, number: u64) -> Option<Self> {
        let (tenths, id) = (number >> ID_BITS, number & ((1 << ID_BITS) - 1));
        let id = ReviewId::try_from(id).ok()?;
        let stars = match sort.is_by_rating() {
            true => Some(Stars::from_number(i64::try_from(tenths).ok()?).ok()?),
            false if tenths == 0 => None,
            false => return None,
        };
        Some(Self { stars, id })
    }

    pub(super) fn of(sort: Sort, row: &ReviewRow) -> Self {
        Self {
            stars: sort.is_by_rating().then_some(row.stars),
            id: row.id,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub fn get(self) -> u64 {
        let tenths = self.stars.map_or(0, |stars| u64::from(stars.tenths()));
        tenths << ID_BITS | u64::from(self.id.get())
    }
}

/// The side of a list's member in its reviews.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Reviews about the member.
    Received,
    /// Reviews by the member.
    Written,
}

/// The parameters of a page.
#[derive(Clone, Copy, Debug)]
pub struct ReviewQuery {
    /// The member whose reviews are listed.
    pub member: MemberId,
    /// Received or written.
    pub side: Side,
    /// The order.
    pub sort: Sort,
    /// The number of rows.
    pub size: PageSize,
    /// The end of the previous page.
    pub after: Option<Cursor>,
}

/// A review in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ReviewRow {
    /// The review.
    pub id: ReviewId,
    /// The rating.
    pub stars: Stars,
    /// The text; may be empty.
    pub comment: String,
    /// The time of its creation.
    pub created_at: LocalDateTime,
    /// The time of its last change.
    pub updated_at: LocalDateTime,
    /// The member who wrote it.
    pub reviewer: MemberId,
    /// The member it is about.
    pub reviewee: MemberId,
    /// The name of the other member: of a received review the reviewer, of a written one the member it is about.
    pub other_name: String,
    /// The reviewer's trade.
    pub trade: TradeId,
    /// Its data; `None` for time.
    pub units: Option<Units>,
    /// Its minutes; `None` for data.
    pub minutes: Option<u32>,
    /// The offer traded; of several the first.
    pub product: ProductId,
    /// Its kind.
    pub kind: Kind,
}

/// A page of reviews.
#[derive(Clone, Debug, PartialEq)]
pub struct ReviewPage {
    /// The rows.
    pub rows: Vec<ReviewRow>,
    /// The cursor of the next page; `None` at the end.
    pub next: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        for (sort, stars) in [
            (Sort::Recent, None),
            (Sort::Oldest, None),
            (Sort::Best, Some(5.0)),
            (Sort::Worst, Some(1.0)),
        ] {
            for id in [1_u64, (1 << 31) - 1] {
                let cursor = Cursor {
                    stars: stars.map(|stars| Stars::parse(stars).unwrap()),
                    id: ReviewId::try_from(id).unwrap(),
                };
                assert!(cursor.get() < 1 << 53);
                assert_eq!(Cursor::parse(sort, cursor.get()), Some(cursor));
            }
        }
    }

    #[test]
    fn cursor_of_another_order_is_refused() {
        let by_rating = (45_u64 << ID_BITS) | 7;
        assert_eq!(Cursor::parse(Sort::Recent, by_rating), None);
        for number in [7, (9 << ID_BITS) | 7, (51 << ID_BITS) | 7, 45 << ID_BITS] {
            assert_eq!(Cursor::parse(Sort::Best, number), None, "{number}");
        }
        for number in [0, 1 << ID_BITS, u64::MAX] {
            assert_eq!(Cursor::parse(Sort::Oldest, number), None, "{number}");
        }
    }
}
