//! One offer in full, and a seller's own list. Read from the database, never from a cache: what a buyer
//! sees before a purchase is the present state.

use shared::clock::{LocalDateTime, UnixMillis};
use shared::ids::{MemberId, ProductId};
use shared::money::{Units, Won};
use shared::web::{CommonError, PageSize};

use super::hours::is_open;
use super::{Kind, Position, Products, Sale, State, repo};
use crate::db::DbError;
use crate::http::ApiError;

/// The row of an offer, whatever it sells.
#[derive(Clone, Debug)]
pub(super) struct Detail {
    pub(super) id: ProductId,
    pub(super) seller: Seller,
    pub(super) kind: Kind,
    pub(super) state: State,
    pub(super) price: Won,
    /// Zero for spots, as the units; they are whole.
    pub(super) unit_price: Won,
    pub(super) units_left: Units,
    pub(super) sale: Sale,
    pub(super) expires_at: Option<UnixMillis>,
    pub(super) updated_at: UnixMillis,
    pub(super) spot: Option<SpotPart>,
}

/// What a spot has besides.
#[derive(Clone, Debug)]
pub(super) struct SpotPart {
    pub(super) title: String,
    pub(super) content: String,
    pub(super) at: Position,
    pub(super) address: String,
    pub(super) opens_at: LocalDateTime,
    pub(super) closes_at: LocalDateTime,
    pub(super) open_minute: u16,
    pub(super) close_minute: u16,
}

/// Who sells.
#[derive(Clone, Debug)]
pub struct Seller {
    /// Their id.
    pub id: MemberId,
    /// Their name.
    pub name: String,
    /// Their picture.
    pub image: Option<String>,
    /// Mean rating in thousandths of a star; 0 without ratings.
    pub rate: i64,
    /// How many ratings.
    pub ratings: i64,
}

/// An offer of mobile data.
#[derive(Clone, Debug)]
pub struct DataDetail {
    /// The product; its item has the same id.
    pub id: ProductId,
    /// Who sells.
    pub seller: Seller,
    /// Whether the asking member does.
    pub mine: bool,
    /// Won for all that is left.
    pub price: Won,
    /// Won for 0.1 GB.
    pub unit_price: Won,
    /// What is left.
    pub left: Units,
    /// How it is sold.
    pub sale: Sale,
    /// [`State::Active`] or [`State::SoldOut`].
    pub state: State,
    /// When it last changed.
    pub updated_at: UnixMillis,
}

/// An offered spot.
#[derive(Clone, Debug)]
pub struct SpotDetail {
    /// The product; its item has the same id.
    pub id: ProductId,
    /// Who sells.
    pub seller: Seller,
    /// Whether the asking member does.
    pub mine: bool,
    /// Won for each started ten minutes.
    pub price: Won,
    /// One line.
    pub title: String,
    /// More about it.
    pub content: String,
    /// Where.
    pub at: Position,
    /// Where, for people.
    pub address: String,
    /// Pictures in their order.
    pub images: Vec<String>,
    /// From when, as it was sent.
    pub opens_at: LocalDateTime,
    /// Until when, as it was sent.
    pub closes_at: LocalDateTime,
    /// Whether it is open now.
    pub open: bool,
    /// When it last changed.
    pub updated_at: UnixMillis,
}

/// Whose offers, in which state, which page.
#[derive(Clone, Copy, Debug)]
pub struct SellingQuery {
    /// The seller.
    pub seller: MemberId,
    /// Who asks.
    pub reader: MemberId,
    /// Which of them.
    pub state: State,
    /// Rows of the page.
    pub size: PageSize,
    /// Behind this product.
    pub after: Option<ProductId>,
}

/// A row of a seller's offers.
#[derive(Clone, Debug)]
pub struct SellingRow {
    /// The product.
    pub id: ProductId,
    /// What it sells.
    pub kind: Kind,
    /// Its state; an expired one is hidden.
    pub state: State,
    /// What was offered of mobile data.
    pub listed: Option<Units>,
    /// What is left of mobile data.
    pub left: Option<Units>,
    /// A spot's opening hours: from, to.
    pub hours: Option<(LocalDateTime, LocalDateTime)>,
    /// A spot's title.
    pub title: Option<String>,
    /// A spot's first picture.
    pub image: Option<String>,
    /// When it was made.
    pub created_at: LocalDateTime,
    /// When it last changed.
    pub updated_at: LocalDateTime,
}

/// A page of a seller's offers.
#[derive(Clone, Debug)]
pub struct SellingPage {
    /// The rows, the newest first.
    pub rows: Vec<SellingRow>,
    /// All offers in the state.
    pub count: u64,
    /// Whether more follow.
    pub has_next: bool,
}

impl Products {
    /// Mobile data, offered or sold out.
    ///
    /// # Errors
    /// [`ApiError::ProductUnknown`], [`ApiError::MobileDataUnknown`] for another kind,
    /// [`ApiError::ProductNotValid`] when it is deleted or expired.
    pub async fn data(&self, reader: MemberId, id: ProductId) -> Result<DataDetail, ApiError> {
        let detail = self.detail(id, Kind::MobileData).await?;
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

    /// A spot that is offered.
    ///
    /// # Errors
    /// As [`Self::data`], [`ApiError::WifiUnknown`] for another kind.
    pub async fn spot(
        &self,
        reader: MemberId,
        kind: Kind,
        id: ProductId,
    ) -> Result<SpotDetail, ApiError> {
        let mut detail = self.detail(id, kind).await?;
        let part = detail.spot.take().ok_or(ApiError::WifiUnknown)?;
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

    async fn detail(&self, id: ProductId, kind: Kind) -> Result<Detail, ApiError> {
        let found = repo::detail(&mut *self.db.read().await?, id).await?;
        let detail = found.ok_or(ApiError::ProductUnknown)?;
        if detail.kind != kind {
            return Err(kind.unknown());
        }
        let now = self.clock.unix_millis();
        let expired = detail.expires_at.is_some_and(|at| at <= now);
        match detail.state {
            State::SoldOut => Ok(detail),
            State::Active if !expired => Ok(detail),
            State::Active | State::Hidden | State::Deleted => Err(ApiError::ProductNotValid),
        }
    }

    /// A member's offers in a state. Others see those that are offered or sold out.
    ///
    /// # Errors
    /// [`CommonError::Forbidden`], [`ApiError::MemberUnknown`].
    pub async fn selling(&self, query: &SellingQuery) -> Result<SellingPage, ApiError> {
        match query.state {
            State::Active | State::SoldOut => {}
            State::Hidden | State::Deleted if query.seller == query.reader => {}
            State::Hidden | State::Deleted => return Err(ApiError::Web(CommonError::Forbidden)),
        }
        let now = self.clock.unix_millis();
        let size = usize::from(query.size.get());
        let mut connection = self.db.read().await?;
        if !repo::member_exists(&mut connection, query.seller).await? {
            return Err(ApiError::MemberUnknown);
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
