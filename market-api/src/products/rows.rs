//! Rows of lists, and their format in the cache.

use serde::{Deserialize, Serialize};
use shared::clock::{LocalDateTime, UnixMillis};
use shared::ids::{MemberId, ProductId};
use shared::money::{Units, Won};

use super::Position;
use super::sort::{Cursor, Sort};
use crate::blocks::Separated;

/// A row of a list, independent of the reader and of the time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct OfferRow {
    pub(super) id: ProductId,
    /// Never shown: it decides whether the row is hidden from a reader.
    pub(super) seller: MemberId,
    pub(super) price: Won,
    /// 0 for spots, as are the units and the flag.
    pub(super) unit_price: Won,
    #[serde(with = "bare_units")]
    pub(super) units_left: Units,
    pub(super) split: bool,
    /// The seller's mean rating, in thousandths of a star.
    pub(super) seller_rate: i64,
    pub(super) updated_at: UnixMillis,
    pub(super) member_name: String,
    pub(super) member_image: Option<String>,
    pub(super) spot: Option<SpotRow>,
}

impl OfferRow {
    /// The key in an order by a whole number; 0 in one by distance.
    pub(super) fn key(&self, sort: Sort) -> i64 {
        match sort {
            Sort::Recent => self.updated_at.get(),
            Sort::UnitPrice => self.unit_price.get(),
            Sort::Price => self.price.get(),
            Sort::FewestUnits | Sort::MostUnits => i64::from(self.units_left.get()),
            Sort::BestRated => self.seller_rate,
            Sort::Nearest => 0,
        }
    }
}

/// Stores units as a count: their wire format is gigabytes, a float.
mod bare_units {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use shared::money::Units;

    pub(super) fn serialize<S: Serializer>(units: &Units, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u16(units.get())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Units, D::Error> {
        u16::deserialize(from).map(Units::new)
    }
}

/// The additional columns of a spot: hours as the seller sent them, and their minutes of the day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SpotRow {
    pub(super) title: String,
    pub(super) address: String,
    pub(super) latitude: f64,
    pub(super) longitude: f64,
    pub(super) opens_at: UnixMillis,
    pub(super) closes_at: UnixMillis,
    pub(super) open_minute: u16,
    pub(super) close_minute: u16,
    pub(super) image: Option<String>,
}

impl SpotRow {
    pub(super) fn at(&self) -> Option<Position> {
        Position::new(self.latitude, self.longitude)
    }
}

/// A row as returned to a reader.
#[derive(Clone, Debug)]
pub struct ListedOffer {
    pub(super) row: OfferRow,
    /// The product; its item has the same id.
    pub id: ProductId,
    /// The distance of a spot from the reader, in metres.
    pub distance_m: Option<f64>,
    /// Whether a spot is open at the time of the request.
    pub open: Option<bool>,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct OfferPage {
    /// The rows in the list's order.
    pub rows: Vec<ListedOffer>,
    /// The cursor of the next page, if there is one.
    pub next: Option<Cursor>,
}

impl ListedOffer {
    /// The price in won: of the rest, or of each started ten minutes.
    #[must_use]
    pub fn price(&self) -> Won {
        if self.row.split {
            let all = self.unit_price().checked_times_units(self.left());
            return all.unwrap_or(Won::ZERO);
        }
        self.row.price
    }

    /// The price in won of 0.1 GB.
    #[must_use]
    pub fn unit_price(&self) -> Won {
        self.row.unit_price
    }

    /// The rest.
    #[must_use]
    pub fn left(&self) -> Units {
        self.row.units_left
    }

    /// Whether it is sold in parts.
    #[must_use]
    pub fn split(&self) -> bool {
        self.row.split
    }

    /// The seller's mean rating, in thousandths of a star.
    #[must_use]
    pub fn seller_rate(&self) -> i64 {
        self.row.seller_rate
    }

    /// The time of the last change.
    #[must_use]
    pub fn updated_at(&self) -> LocalDateTime {
        LocalDateTime::from_unix(self.row.updated_at)
    }

    /// A spot's position.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.row.spot.as_ref().and_then(SpotRow::at)
    }

    /// A spot's opening and closing time.
    #[must_use]
    pub fn hours(&self) -> Option<(LocalDateTime, LocalDateTime)> {
        let spot = self.row.spot.as_ref()?;
        Some((
            LocalDateTime::from_unix(spot.opens_at),
            LocalDateTime::from_unix(spot.closes_at),
        ))
    }
}

/// Rows that were read together and are cached together: a page, or the spots near a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Batch {
    pub(super) rows: Vec<OfferRow>,
    /// The cursor of the next page, if there is one.
    pub(super) next: Option<Cursor>,
    /// The seller of the row after the page: of a reader from whom it is hidden the list may end here.
    pub(super) following: Option<MemberId>,
    /// For a cell: the radius in metres within which no spot is missing.
    pub(super) whole_within_m: f64,
    /// Expiry, in milliseconds since the epoch.
    pub(super) until: i64,
}

impl Batch {
    /// A page; the cache entry sets the expiry.
    pub(super) const fn page(
        rows: Vec<OfferRow>,
        next: Option<Cursor>,
        following: Option<MemberId>,
    ) -> Self {
        Self {
            rows,
            next,
            following,
            whole_within_m: f64::INFINITY,
            until: 0,
        }
    }

    /// True if a row of the page, or the one after it, is or may be hidden from a reader who is separated from
    /// these members.
    pub(super) fn may_show(&self, separated: &Separated) -> bool {
        let sellers = self.rows.iter().map(|row| row.seller);
        sellers
            .chain(self.following)
            .any(|seller| separated.may_hide(seller))
    }
}

/// Version of the cached format, changed with it, so that instances of two versions do not read each other's
/// values.
const LAYOUT: u8 = 3;

impl Batch {
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        postcard::to_extend(self, vec![LAYOUT]).ok()
    }

    /// Decodes a cached batch; `None` for another format, or after its expiry.
    pub(super) fn decode(bytes: &[u8], now: i64) -> Option<Self> {
        let (layout, bytes) = bytes.split_first()?;
        if *layout != LAYOUT {
            return None;
        }
        let batch: Self = postcard::from_bytes(bytes).ok()?;
        (now < batch.until).then_some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_batch_round_trips_until_its_expiry() {
        let spot = SpotRow {
            title: "t".to_owned(),
            address: String::new(),
            latitude: 37.566_500_000_000_01,
            longitude: 126.978_000_000_000_03,
            opens_at: UnixMillis::EPOCH,
            closes_at: 2.try_into().unwrap(),
            open_minute: 3,
            close_minute: 4,
            image: None,
        };
        let batch = Batch {
            rows: vec![OfferRow {
                id: ProductId::try_from(7_u64).unwrap(),
                seller: MemberId::try_from(5_u64).unwrap(),
                price: Won::new(500),
                unit_price: Won::ZERO,
                units_left: Units::new(3),
                split: false,
                seller_rate: 4_333,
                updated_at: 9.try_into().unwrap(),
                member_name: "이름".to_owned(),
                member_image: None,
                spot: Some(spot),
            }],
            next: Cursor::parse(77),
            following: None,
            whole_within_m: 0.1 + 0.2,
            until: 100,
        };
        let mut bytes = batch.encode().unwrap();
        assert_eq!(Batch::decode(&bytes, 99), Some(batch));
        assert_eq!(Batch::decode(&bytes, 100), None);
        assert_eq!(Batch::decode(&bytes[..bytes.len() - 1], 99), None);
        bytes[0] += 1;
        assert_eq!(Batch::decode(&bytes, 99), None);
        assert_eq!(Batch::decode(&[], 99), None);
    }
}
