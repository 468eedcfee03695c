//! Looking at one offer, at a seller's, and at what others were paid. From the database: what is
//! looked at before buying is never an old answer.

use std::time::Duration;

use shared::clock::{LocalDateTime, UnixMillis};
use shared::ids::{MemberId, ProductId};
use shared::money::{Units, Won};
use shared::web::{CommonError, PageSize};

use super::{Kind, Position, Products, State, member_id, product_id, repo};
use crate::db::DbError;
use crate::http::ApiError;

/// How far back market prices look.
const PRICE_SPAN: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The mean of `count` ratings in thousandths of a star, rounded; `sum` is in tenths of a star. 0
/// without ratings.
#[must_use]
pub const fn mean_rate(sum: i64, count: i64) -> i64 {
    if count <= 0 {
        return 0;
    }
    (sum * 100 + count / 2) / count
}

/// The row of an offer, whatever it sells.
#[derive(Clone, Debug)]
pub(super) struct Detail {
    pub(super) id: i64,
    pub(super) member: i64,
    pub(super) kind: String,
    pub(super) state: String,
    pub(super) price: i64,
    pub(super) unit_price: i64,
    pub(super) units_left: i64,
    pub(super) split: bool,
    pub(super) expires_at: Option<i64>,
    pub(super) updated_at: i64,
    pub(super) member_name: String,
    pub(super) member_image: Option<String>,
    pub(super) rating_sum: i64,
    pub(super) rating_count: i64,
    pub(super) spot: Option<SpotPart>,
}

/// What a spot has besides.
#[derive(Clone, Debug)]
pub(super) struct SpotPart {
    pub(super) title: String,
    pub(super) content: String,
    pub(super) latitude: f64,
    pub(super) longitude: f64,
    pub(super) address: String,
    pub(super) opens_at: i64,
    pub(super) closes_at: i64,
    pub(super) open_minute: i64,
    pub(super) close_minute: i64,
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
    /// Whether it is sold in parts.
    pub split: bool,
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

/// A row of a seller's offers, times in milliseconds.
#[derive(Clone, Debug)]
pub struct SellingRow {
    pub(super) id: i64,
    pub(super) kind: String,
    /// Its state; an expired one is hidden.
    pub state: State,
    pub(super) units_listed: Option<i64>,
    pub(super) units_left: Option<i64>,
    pub(super) opens_at: Option<i64>,
    pub(super) closes_at: Option<i64>,
    /// A spot's title.
    pub title: Option<String>,
    /// A spot's first picture.
    pub image: Option<String>,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
}

impl SellingRow {
    /// The product.
    ///
    /// # Errors
    /// [`DbError::Defect`]: no id, which no table holds.
    pub fn id(&self) -> Result<ProductId, DbError> {
        product_id(self.id)
    }

    /// What it sells.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        Kind::parse(&self.kind)
    }

    /// What was offered of mobile data.
    #[must_use]
    pub fn listed(&self) -> Option<Units> {
        self.units_listed.map(units)
    }

    /// What is left of mobile data.
    #[must_use]
    pub fn left(&self) -> Option<Units> {
        self.units_left.map(units)
    }

    /// A spot's opening hours.
    #[must_use]
    pub fn hours(&self) -> Option<(LocalDateTime, LocalDateTime)> {
        let (opens_at, closes_at) = self.opens_at.zip(self.closes_at)?;
        Some((local(opens_at), local(closes_at)))
    }

    /// When it was made.
    #[must_use]
    pub fn created_at(&self) -> LocalDateTime {
        local(self.created_at)
    }

    /// When it last changed.
    #[must_use]
    pub fn updated_at(&self) -> LocalDateTime {
        local(self.updated_at)
    }
}

/// A page of a seller's offers.
#[derive(Clone, Debug)]
pub struct SellingPage {
    /// The rows, the newest first.
    pub rows: Vec<SellingRow>,
    /// All offers in the state.
    pub count: i64,
    /// Whether more follow.
    pub has_next: bool,
}

/// What others were paid in the last thirty days; 0 where nobody was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketPrice {
    /// The last one.
    pub recent: Won,
    /// The mean, cut to whole won.
    pub average: Won,
}

impl Products {
    /// Mobile data, offered or sold out.
    ///
    /// # Errors
    /// [`ApiError::ProductUnknown`], [`ApiError::MobileDataUnknown`] for another kind,
    /// [`ApiError::ProductNotValid`] when it is deleted or expired.
    pub async fn data(&self, reader: MemberId, id: ProductId) -> Result<DataDetail, ApiError> {
        let detail = self.detail(id, Kind::MobileData).await?;
        let left = units(detail.units_left);
        let unit_price = Won::new(detail.unit_price);
        let price = match detail.split {
            false => Won::new(detail.price),
            true => unit_price.checked_times_units(left).unwrap_or(Won::ZERO),
        };
        Ok(DataDetail {
            id,
            mine: i64::from(reader.get()) == detail.member,
            price,
            unit_price,
            left,
            split: detail.split,
            state: State::parse(&detail.state).ok_or(ApiError::ProductNotValid)?,
            updated_at: moment(detail.updated_at),
            seller: seller(&detail)?,
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
            mine: i64::from(reader.get()) == detail.member,
            price: Won::new(detail.price),
            open: is_open(part.open_minute, part.close_minute, i64::from(minute)),
            title: part.title,
            content: part.content,
            at: Position::new(part.latitude, part.longitude).ok_or(ApiError::WifiUnknown)?,
            address: part.address,
            images,
            opens_at: local(part.opens_at),
            closes_at: local(part.closes_at),
            updated_at: moment(detail.updated_at),
            seller: seller(&detail)?,
        })
    }

    async fn detail(&self, id: ProductId, kind: Kind) -> Result<Detail, ApiError> {
        let found = repo::detail(&mut *self.db.read().await?, i64::from(id.get())).await?;
        let detail = found.ok_or(ApiError::ProductUnknown)?;
        if detail.kind != kind.name() {
            return Err(kind.unknown());
        }
        let now = self.clock.unix_millis().get();
        let expired = detail.expires_at.is_some_and(|at| at <= now);
        match State::parse(&detail.state) {
            Some(State::SoldOut) => Ok(detail),
            Some(State::Active) if !expired => Ok(detail),
            Some(State::Active | State::Hidden | State::Deleted) | None => {
                Err(ApiError::ProductNotValid)
            }
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
        let seller = i64::from(query.seller.get());
        let now = self.clock.unix_millis().get();
        let size = usize::from(query.size.get());
        let below = query.after.map_or(i64::MAX, |id| i64::from(id.get()));
        let mut connection = self.db.read().await?;
        if !repo::member_exists(&mut connection, seller).await? {
            return Err(ApiError::MemberUnknown);
        }
        let limit = (below, i64::from(query.size.get()) + 1);
        let mut rows = repo::selling(&mut connection, seller, query.state, now, limit).await?;
        let has_next = rows.len() > size;
        rows.truncate(size);
        Ok(SellingPage {
            rows,
            count: repo::selling_count(&mut connection, seller, query.state, now).await?,
            has_next,
        })
    }

    /// What others were paid: for 0.1 GB, or for each started ten minutes.
    ///
    /// # Errors
    /// The database's.
    pub async fn market_price(&self, kind: Kind) -> Result<MarketPrice, ApiError> {
        let span_ms = i64::try_from(PRICE_SPAN.as_millis()).unwrap_or(i64::MAX);
        let since = self.clock.unix_millis().get() - span_ms;
        let mut connection = self.db.read().await?;
        let (recent, average) = match kind {
            Kind::MobileData => repo::data_price(&mut connection, since).await?,
            Kind::Wifi | Kind::Hotspot => repo::spot_price(&mut connection, kind, since).await?,
        };
        Ok(MarketPrice {
            recent: Won::new(recent),
            average: Won::new(average),
        })
    }
}

/// Whether something is open at a minute of the day: over midnight where it closes before it opens,
/// all day where the two are one (`domain.md` §3.2, `money.md`).
pub(super) const fn is_open(opens: i64, closes: i64, minute: i64) -> bool {
    if opens == closes {
        true
    } else if opens < closes {
        opens <= minute && minute <= closes
    } else {
        minute >= opens || minute <= closes
    }
}

fn seller(detail: &Detail) -> Result<Seller, DbError> {
    Ok(Seller {
        id: member_id(detail.member)?,
        name: detail.member_name.clone(),
        image: detail.member_image.clone(),
        rate: mean_rate(detail.rating_sum, detail.rating_count),
        ratings: detail.rating_count,
    })
}

/// A column's units, from 0 to 20 (CHECK).
pub(super) fn units(count: i64) -> Units {
    Units::new(u16::try_from(count).unwrap_or(0))
}

/// A column's time; the service writes no other.
pub(super) fn moment(millis: i64) -> UnixMillis {
    UnixMillis::try_from(millis).unwrap_or(UnixMillis::EPOCH)
}

/// See [`moment`].
pub(super) fn local(millis: i64) -> LocalDateTime {
    LocalDateTime::from_unix(moment(millis))
}
