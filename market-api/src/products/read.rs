//! Details of one offer, and a seller's own list. Read from the database, never from a cache, because a buyer
//! decides by the current state.

use std::sync::Arc;

use shared::clock::{Clock, LocalDateTime, UnixMillis};
use shared::ids::{MemberId, ProductId};
use shared::money::{Units, Won};
use shared::web::PageSize;

use super::hours::is_open;
use super::{Kind, OfferError, Position, Sale, SellingError, State, repo};
use crate::blocks;
use crate::db::{Db, DbError};

/// The row of an offer of any kind.
#[derive(Clone, Debug)]
pub(super) struct Detail {
    pub(super) id: ProductId,
    pub(super) seller: Seller,
    pub(super) kind: Kind,
    pub(super) state: State,
    pub(super) price: Won,
    /// Zero for spots, as are the units; spots count as whole.
    pub(super) unit_price: Won,
    pub(super) units_left: Units,
    pub(super) sale: Sale,
    pub(super) expires_at: Option<UnixMillis>,
    pub(super) updated_at: UnixMillis,
    /// Whether the reader must not see it.
    pub(super) is_hidden: bool,
    pub(super) spot: Option<SpotPart>,
    /// Whether the reader has a booking of it, also a past one.
    pub(super) is_booked: bool,
}

/// The additional columns of a spot.
#[derive(Clone, Debug)]
pub(super) struct SpotPart {
    pub(super) title: String,
    pub(super) content: String,
    pub(super) at: Position,
    pub(super) address: String,
    /// Of a hotspot: what its seller and buyers see instead.
    pub(super) exact: Option<(Position, String)>,
    pub(super) opens_at: LocalDateTime,
    pub(super) closes_at: LocalDateTime,
    pub(super) open_minute: u16,
    pub(super) close_minute: u16,
}

/// A seller, as displayed.
#[derive(Clone, Debug)]
pub struct Seller {
    /// The seller's id.
    pub id: MemberId,
    /// The seller's name.
    pub name: String,
    /// URL of the seller's picture.
    pub image: Option<String>,
    /// The mean rating in thousandths of a star; 0 without ratings.
    pub rate: i64,
    /// The number of ratings.
    pub ratings: i64,
}

/// An offer of mobile data in detail.
#[derive(Clone, Debug)]
pub struct DataDetail {
    /// The product; its item has the same id.
    pub id: ProductId,
    /// The seller.
    pub seller: Seller,
    /// Whether the reader is the seller.
    pub mine: bool,
    /// The price in won of the rest.
    pub price: Won,
    /// The price in won of 0.1 GB.
    pub unit_price: Won,
    /// The rest.
    pub left: Units,
    /// Whether it is sold whole or in parts.
    pub sale: Sale,
    /// [`State::Active`] or [`State::SoldOut`].
    pub state: State,
    /// The time of the last change.
    pub updated_at: UnixMillis,
}

/// An offered spot in detail.
#[derive(Clone, Debug)]
pub struct SpotDetail {
    /// The product; its item has the same id.
    pub id: ProductId,
    /// The seller.
    pub seller: Seller,
    /// Whether the reader is the seller.
    pub mine: bool,
    /// The price in won of each started ten minutes.
    pub price: Won,
    /// The title: one line.
    pub title: String,
    /// The description.
    pub content: String,
    /// The position: of a hotspot rounded, unless the reader is the seller or has a booking of it.
    pub at: Position,
    /// The postal address, for display; likewise, else empty.
    pub address: String,
    /// URLs of the pictures, in their order.
    pub images: Vec<String>,
    /// The opening time, as the seller sent it.
    pub opens_at: LocalDateTime,
    /// The closing time, as the seller sent it.
    pub closes_at: LocalDateTime,
    /// Whether it is open now.
    pub open: bool,
    /// The time of the last change.
    pub updated_at: UnixMillis,
}

/// The parameters of a page of a seller's offers.
#[derive(Clone, Copy, Debug)]
pub struct SellingQuery {
    /// The seller.
    pub seller: MemberId,
    /// The member who reads.
    pub reader: MemberId,
    /// The state of the offers.
    pub state: State,
    /// The number of rows.
    pub size: PageSize,
    /// The last product of the previous page.
    pub after: Option<ProductId>,
}

/// A row of a seller's offers.
#[derive(Clone, Debug)]
pub struct SellingRow {
    /// The product's id.
    pub id: ProductId,
    /// The kind of the product.
    pub kind: Kind,
    /// The state; an expired offer counts as hidden.
    pub state: State,
    /// The amount offered, for mobile data.
    pub listed: Option<Units>,
    /// The rest, for mobile data.
    pub left: Option<Units>,
    /// A spot's opening and closing time.
    pub hours: Option<(LocalDateTime, LocalDateTime)>,
    /// A spot's title.
    pub title: Option<String>,
    /// URL of a spot's first picture.
    pub image: Option<String>,
    /// The time of creation.
    pub created_at: LocalDateTime,
    /// The time of the last change.
    pub updated_at: LocalDateTime,
}

/// A page of a seller's offers.
#[derive(Clone, Debug)]
pub struct SellingPage {
    /// The rows, newest first.
    pub rows: Vec<SellingRow>,
    /// The number of all offers in the state.
    pub count: u64,
    /// Whether another page follows.
    pub has_next: bool,
}

/// Details of offers. Clones share one state.
#[derive(Clone, Debug)]
pub struct Details {
    db: Db,
    clock: Arc<dyn Clock>,
}

impl Details {
    /// The offers of `db`.
    pub(super) fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock }
    }

    /// An offer of mobile data in detail, active or sold out.
    ///
    /// # Errors
    /// [`OfferError::Unknown`], [`OfferError::NotOfKind`] for another kind,
    /// [`OfferError::Unavailable`] when it is deleted, expired or hidden from the reader.
    pub async fn data(&self, reader: MemberId, id: ProductId) -> Result<DataDetail, OfferError> {
        let detail = self.detail(reader, id, Kind::MobileData).await?;
        let price = match detail.sale {
            Sale::Whole => detail.price,
            Sale::Split => {
                let all = detail.unit_price.checked_times_units(detail.units_left);
                all.ok_or_else(|| DbError::Defect(format!("the price of product {id}")))?
            }
        };
        Ok(DataDetail {
            id,
            mine: reader == detail.seller.id,
            price,
            unit_price: detail.unit_price,
            left: detail.units_left,
            sale: detail.sale,
            state: detail.state,
            updated_at: detail.updated_at,
            seller: detail.seller,
        })
    }

    /// An active spot in detail.
    ///
    /// # Errors
    /// As [`Self::data`], [`OfferError::NotOfKind`] for another kind.
    pub async fn spot(
        &self,
        reader: MemberId,
        kind: Kind,
        id: ProductId,
    ) -> Result<SpotDetail, OfferError> {
        let mut detail = self.detail(reader, id, kind).await?;
        let mut part = detail.spot.take().ok_or(OfferError::NotOfKind(kind))?;
        let sees_exact = detail.is_booked || reader == detail.seller.id;
        if let Some((at, address)) = part.exact.take().filter(|_| sees_exact) {
            (part.at, part.address) = (at, address);
        }
        let images = repo::images(&mut *self.db.read().await?, detail.id).await?;
        let minute = LocalDateTime::from_unix(self.clock.unix_millis()).minute_of_day();
        Ok(SpotDetail {
            id,
            mine: reader == detail.seller.id,
            price: detail.price,
            open: is_open(part.open_minute, part.close_minute, minute),
            title: part.title,
            content: part.content,
            at: part.at,
            address: part.address,
            images,
            opens_at: part.opens_at,
            closes_at: part.closes_at,
            updated_at: detail.updated_at,
            seller: detail.seller,
        })
    }

    async fn detail(
        &self,
        reader: MemberId,
        id: ProductId,
        kind: Kind,
    ) -> Result<Detail, OfferError> {
        let found = repo::detail(&mut *self.db.read().await?, id, reader).await?;
        let detail = found.ok_or(OfferError::Unknown)?;
        if detail.kind != kind {
            return Err(OfferError::NotOfKind(kind));
        }
        if detail.is_hidden {
            return Err(OfferError::Unavailable);
        }
        let now = self.clock.unix_millis();
        let expired = detail.expires_at.is_some_and(|at| at <= now);
        match detail.state {
            State::SoldOut => Ok(detail),
            State::Active if !expired => Ok(detail),
            State::Active | State::Hidden | State::Deleted => Err(OfferError::Unavailable),
        }
    }

    /// A page of a member's offers in a state. Other members see only active and sold-out ones, and none if they
    /// are hidden from the reader.
    ///
    /// # Errors
    /// See [`SellingError`].
    pub async fn selling(&self, query: &SellingQuery) -> Result<SellingPage, SellingError> {
        match query.state {
            State::Active | State::SoldOut => {}
            State::Hidden | State::Deleted if query.seller == query.reader => {}
            State::Hidden | State::Deleted => return Err(SellingError::Forbidden),
        }
        let now = self.clock.unix_millis();
        let size = usize::from(query.size.get());
        let mut connection = self.db.read().await?;
        let is_hidden = blocks::hides(&mut connection, query.seller, query.reader).await?;
        let is_hidden = is_hidden.ok_or(SellingError::MemberUnknown)?;
        if is_hidden && query.seller != query.reader {
            return Ok(SellingPage {
                rows: Vec::new(),
                count: 0,
                has_next: false,
            });
        }
        let mut rows = repo::selling(&mut connection, query, now).await?;
        let has_next = rows.len() > size;
        rows.truncate(size);
        Ok(SellingPage {
            rows,
            count: repo::selling_count(&mut connection, query, now).await?,
            has_next,
        })
    }
}
