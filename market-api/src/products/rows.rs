//! What lists are made of, and how they are kept.

use serde::{Deserialize, Serialize};
use shared::clock::{LocalDateTime, UnixMillis};
use shared::ids::ProductId;
use shared::money::{Units, Won};

use super::Position;
use super::sort::Cursor;

/// A row of a list as the tables have it: nothing in it depends on who asks, or when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct OfferRow {
    pub(super) id: ProductId,
    pub(super) price: Won,
    /// 0 for spots, as the units and the flag.
    pub(super) unit_price: Won,
    #[serde(with = "bare_units")]
    pub(super) units_left: Units,
    pub(super) split: bool,
    /// Thousandths of a star.
    pub(super) seller_rate: i64,
    pub(super) updated_at: UnixMillis,
    pub(super) member_name: String,
    pub(super) member_image: Option<String>,
    pub(super) spot: Option<SpotRow>,
}

/// Units as a count: on the wire of the site they are gigabytes, a float.
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

/// What a spot has besides. Hours as they were sent, and their minutes of the day.
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

/// A row as it is shown to somebody at a time.
#[derive(Clone, Debug)]
pub struct ListedOffer {
    pub(super) row: OfferRow,
    /// The product; its item has the same id.
    pub id: ProductId,
    /// How far away a spot is.
    pub distance_m: Option<f64>,
    /// Whether a spot is open now.
    pub open: Option<bool>,
}

/// A page.
#[derive(Clone, Debug)]
pub struct OfferPage {
    /// The rows in their order.
    pub rows: Vec<ListedOffer>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

impl ListedOffer {
    /// Won: for all that is left, or for each started ten minutes.
    #[must_use]
    pub fn price(&self) -> Won {
        if self.row.split {
            let all = self.unit_price().checked_times_units(self.left());
            return all.unwrap_or(Won::ZERO);
        }
        self.row.price
    }

    /// Won for 0.1 GB.
    #[must_use]
    pub fn unit_price(&self) -> Won {
        self.row.unit_price
    }

    /// What is left.
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

    /// The seller's name.
    #[must_use]
    pub fn member_name(&self) -> &str {
        &self.row.member_name
    }

    /// The seller's picture.
    #[must_use]
    pub fn member_image(&self) -> Option<&str> {
        self.row.member_image.as_deref()
    }

    /// When it last changed.
    #[must_use]
    pub fn updated_at(&self) -> LocalDateTime {
        LocalDateTime::from_unix(self.row.updated_at)
    }

    /// A spot's title, address, first picture.
    #[must_use]
    pub fn texts(&self) -> Option<(&str, &str, Option<&str>)> {
        let spot = self.row.spot.as_ref()?;
        Some((&spot.title, &spot.address, spot.image.as_deref()))
    }

    /// Where a spot is.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.row.spot.as_ref().and_then(SpotRow::at)
    }

    /// A spot's hours.
    #[must_use]
    pub fn hours(&self) -> Option<(LocalDateTime, LocalDateTime)> {
        let spot = self.row.spot.as_ref()?;
        Some((
            LocalDateTime::from_unix(spot.opens_at),
            LocalDateTime::from_unix(spot.closes_at),
        ))
    }
}

/// Rows that were read together: a page, or all that is near a place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Batch {
    pub(super) rows: Vec<OfferRow>,
    /// Where the next page begins, if there is one.
    pub(super) next: Option<Cursor>,
    /// Of what is near: nothing that is nearer than this is missing.
    pub(super) whole_within_m: f64,
    /// Not to be shown from this time on.
    pub(super) until: i64,
}

impl Batch {
    /// A page that may be shown as long as its place says.
    pub(super) const fn page(rows: Vec<OfferRow>, next: Option<Cursor>) -> Self {
        Self {
            rows,
            next,
            whole_within_m: f64::INFINITY,
            until: 0,
        }
    }
}

/// Changed with the layout, so that instances of two versions do not read each other's.
const LAYOUT: u8 = 2;

impl Batch {
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        postcard::to_extend(self, vec![LAYOUT]).ok()
    }

    /// `None` for what another version wrote, or what may not be shown any more.
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
    fn what_was_kept_comes_back_to_the_bit_until_its_time() {
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
