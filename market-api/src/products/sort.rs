//! Orders of lists, and the cursors of their pages.
//!
//! Every order is total: ties are broken by id, ascending. A cursor is one integer below 2^53, exact in a
//! browser: a hash of the last row's sort key, and its id. If the row's current key has another hash, the row
//! has moved meanwhile; its key at that time is found in the history of its keys.
//!
//! What this file does not do: SQL.

use serde::{Deserialize, Serialize};
use shared::ids::ProductId;
use shared::money::Units;

use super::Kind;
use super::geo::Position;

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sort {
    /// Last changed first.
    Recent,
    /// By the price of 0.1 GB.
    UnitPrice,
    /// By the price of ten minutes.
    Price,
    /// Smallest rest first.
    FewestUnits,
    /// Largest rest first.
    MostUnits,
    /// Best mean rating of the seller first.
    BestRated,
    /// By distance from the reader.
    Nearest,
}

/// The whole-number column that a list is ordered by, with its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SortColumn {
    Ascending(&'static str),
    Descending(&'static str),
    /// No column: by distance.
    Distance,
}

impl Sort {
    /// Parses an order's name on the wire (`domain.md` §3.2); `None` if the kind does not have it.
    #[must_use]
    pub fn parse(kind: Kind, name: &str) -> Option<Self> {
        match (kind, name) {
            (Kind::MobileData, "RECENT") => Some(Self::Recent),
            (Kind::MobileData, "PRICE_ASC") => Some(Self::UnitPrice),
            (Kind::MobileData, "AMOUNT_ASC") => Some(Self::FewestUnits),
            (Kind::MobileData, "AMOUNT_DESC") => Some(Self::MostUnits),
            (Kind::Wifi | Kind::Hotspot, "PRICE_ASC") => Some(Self::Price),
            (Kind::Wifi | Kind::Hotspot, "AVERAGE_RATE_DESC") => Some(Self::BestRated),
            (Kind::Wifi | Kind::Hotspot, "DISTANCE_ASC") => Some(Self::Nearest),
            (Kind::MobileData | Kind::Wifi | Kind::Hotspot, _) => None,
        }
    }

    /// The orders of a kind, the default first.
    #[must_use]
    pub fn of(kind: Kind) -> &'static [Self] {
        match kind {
            Kind::MobileData => &[
                Self::Recent,
                Self::UnitPrice,
                Self::FewestUnits,
                Self::MostUnits,
            ],
            Kind::Wifi | Kind::Hotspot => &[Self::Nearest, Self::Price, Self::BestRated],
        }
    }

    /// The name in cache keys and cursors. Must never change: it would invalidate all cursors.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Recent => "recent",
            Self::UnitPrice => "unit-price",
            Self::Price => "price",
            Self::FewestUnits => "fewest",
            Self::MostUnits => "most",
            Self::BestRated => "rated",
            Self::Nearest => "nearest",
        }
    }

    pub(super) const fn order(self) -> SortColumn {
        match self {
            Self::Recent => SortColumn::Descending("updated_at"),
            Self::UnitPrice => SortColumn::Ascending("unit_price"),
            Self::Price => SortColumn::Ascending("price"),
            Self::FewestUnits => SortColumn::Ascending("units_left"),
            Self::MostUnits => SortColumn::Descending("units_left"),
            Self::BestRated => SortColumn::Descending("seller_rate"),
            Self::Nearest => SortColumn::Distance,
        }
    }
}

/// The filter of a list, on top of kind and availability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// No filter.
    None,
    /// Exactly this much left.
    Units(Units),
    /// Open at the time of the request.
    Open,
}

/// The sort key of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum SortKey {
    Number(i64),
    /// The row's position; the distance depends on the reader.
    Place(Position),
}

/// Bits of a cursor that hold the id.
const ID_BITS: u32 = 31;

/// Bits of a cursor that hold the hash: with an id's 31 that is 52, below the 53 that a browser's number holds.
/// A changed key is taken for unchanged once in two million cases; the page then begins at the row's current
/// position.
const HASH_BITS: u32 = 21;

/// The end of a page: `nextCursorId` on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(u64);

/// A list to which cursors belong. A cursor of another list has another hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListOrder {
    pub(super) kind: Kind,
    pub(super) sort: Sort,
    pub(super) filter: Filter,
}

impl Cursor {
    /// Validates a number from the wire.
    #[must_use]
    pub fn parse(number: u64) -> Option<Self> {
        let id = number & ((1 << ID_BITS) - 1);
        (number >> (ID_BITS + HASH_BITS) == 0 && id > 0).then_some(Self(number))
    }

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(super) fn new(walk: ListOrder, key: SortKey, id: ProductId) -> Self {
        Self(hash(walk, key) << ID_BITS | u64::from(id.get()))
    }

    /// The id of the page's last row.
    pub(super) fn id(self) -> ProductId {
        let id = self.0 & ((1 << ID_BITS) - 1);
        ProductId::try_from(id).expect("31 bits, and checked to be above 0")
    }

    /// True if the row had this key when the page ended.
    pub(super) fn is_at(self, walk: ListOrder, key: SortKey) -> bool {
        self.0 >> ID_BITS == hash(walk, key)
    }
}

/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>), folded to 21 bits. Equal on all instances and in
/// all versions. Not a secret: a forged cursor only selects a position in a public list.
fn hash(walk: ListOrder, key: SortKey) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    eat(walk.kind.name().as_bytes());
    eat(b"/");
    eat(walk.sort.name().as_bytes());
    match walk.filter {
        Filter::None => eat(b"/-"),
        Filter::Open => eat(b"/open"),
        Filter::Units(units) => eat(&units.get().to_be_bytes()),
    }
    match key {
        SortKey::Number(number) => eat(&number.to_be_bytes()),
        SortKey::Place(at) => {
            eat(&at.latitude().to_be_bytes());
            eat(&at.longitude().to_be_bytes());
        }
    }
    (hash ^ (hash >> HASH_BITS) ^ (hash >> (2 * HASH_BITS))) & ((1 << HASH_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALK: ListOrder = ListOrder {
        kind: Kind::MobileData,
        sort: Sort::Recent,
        filter: Filter::None,
    };

    fn id(id: u64) -> ProductId {
        ProductId::try_from(id).unwrap()
    }

    #[test]
    fn cursor_names_its_row_and_its_key() {
        for (key, product) in [(0, 1), (-5, 77), (i64::MAX, (1 << 31) - 1)] {
            let cursor = Cursor::new(WALK, SortKey::Number(key), id(product));
            assert!(cursor.get() < 1 << 53);
            assert_eq!(Cursor::parse(cursor.get()), Some(cursor));
            assert_eq!(u64::from(cursor.id().get()), product);
            assert!(cursor.is_at(WALK, SortKey::Number(key)));
            assert!(!cursor.is_at(WALK, SortKey::Number(key ^ 1)));
        }
    }

    #[test]
    fn cursor_of_another_list_differs() {
        let cursor = Cursor::new(WALK, SortKey::Number(5), id(9));
        let others = [
            ListOrder {
                kind: Kind::Wifi,
                ..WALK
            },
            ListOrder {
                sort: Sort::UnitPrice,
                ..WALK
            },
            ListOrder {
                filter: Filter::Open,
                ..WALK
            },
            ListOrder {
                filter: Filter::Units(Units::new(3)),
                ..WALK
            },
        ];
        for other in others {
            assert!(!cursor.is_at(other, SortKey::Number(5)), "{other:?}");
        }
    }

    #[test]
    fn hash_is_the_same_in_every_version() {
        assert_eq!(hash(WALK, SortKey::Number(1_794_711_600_000)), PINNED.0);
        let at = Position::new(37.5665, 126.978).unwrap();
        let walk = ListOrder {
            kind: Kind::Wifi,
            sort: Sort::Nearest,
            ..WALK
        };
        assert_eq!(hash(walk, SortKey::Place(at)), PINNED.1);
    }

    /// A change invalidates all cursors in use, so it needs a reason.
    const PINNED: (u64, u64) = (1_048_615, 917_112);

    #[test]
    fn number_that_no_page_ends_with_is_refused() {
        for number in [0, 1 << 31, 1 << 52, u64::MAX, (1 << 53) | 1] {
            assert_eq!(Cursor::parse(number), None, "{number}");
        }
    }
}
