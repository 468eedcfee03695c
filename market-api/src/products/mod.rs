//! Offers: mobile data, and time on Wi-Fi and hotspots.
//!
//! ```text
//! change ─► one transaction ─► COMMIT ─► the kind's lists get a new version
//! list   ─► cache, by version ─► one query at a time for each page that is missing
//! detail ─► database
//! ```
//!
//! What can still be registered, sold or returned is counted from the month's offers themselves
//! (`money.md`): nothing is reset when a month ends. Buying is not here; it changes `product` in its
//! own transaction, and tells [`Products::changed`] afterwards.

mod cursor;
mod data;
mod form;
mod geo;
mod lists;
mod near;
mod read;
mod repo;
mod sort;
mod spots;
mod withdraw;

use std::sync::Arc;

use shared::clock::Clock;
use shared::drain::Drain;
use shared::ids::{MemberId, ProductId};

use crate::cache::{ListCache, Namespace};
use crate::db::{Db, DbError, Stop, WriteError};

pub use data::{DataChange, NewData};
pub use form::{NewSpot, Price, SpotForm, listed_units};
pub use geo::Position;
pub use lists::{ListMetrics, ListQuery, ListedOffer, OfferPage, OfferRow, SpotRow};
pub use read::{
    DataDetail, MarketPrice, SellingPage, SellingQuery, SellingRow, SpotDetail, mean_rate,
};
pub use sort::{Cursor, Filter, Sort};

/// What a product sells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Mobile data.
    MobileData,
    /// Time on a shop's Wi-Fi.
    Wifi,
    /// Time on a telephone's hotspot.
    Hotspot,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MobileData, Self::Wifi, Self::Hotspot];

    /// As it is stored, and named on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MobileData => "MOBILE_DATA",
            Self::Wifi => "WIFI",
            Self::Hotspot => "HOTSPOT",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The lists that show it.
    #[must_use]
    pub const fn namespace(self) -> Namespace {
        Namespace(self.name())
    }

    /// What somebody is told who names a product of another kind.
    const fn unknown(self) -> ProductError {
        match self {
            Self::MobileData => ProductError::UnknownData,
            Self::Wifi | Self::Hotspot => ProductError::UnknownSpot,
        }
    }
}

/// Where an offer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It can be bought.
    Active,
    /// Nothing is left of it.
    SoldOut,
    /// Its month has ended.
    Hidden,
    /// Its seller took it back.
    Deleted,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::SoldOut, Self::Hidden, Self::Deleted];

    /// As it is stored, and named on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::SoldOut => "SOLD_OUT",
            Self::Hidden => "HIDDEN",
            Self::Deleted => "DELETED",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Why something about an offer is not done. Each is a code of `domain.md` §3.6.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProductError {
    /// 1006: a value that cannot be.
    #[error("bad parameter: {0}")]
    Parameter(&'static str),
    /// 1003: only its owner sees this.
    #[error("for the owner only")]
    Forbidden,
    /// 2005.
    #[error("no such member")]
    UnknownMember,
    /// 3000.
    #[error("no such order")]
    UnknownSort,
    /// 3001.
    #[error("no such kind of product")]
    UnknownKind,
    /// 3002.
    #[error("no such product")]
    Unknown,
    /// 3003: it is no longer offered.
    #[error("the product is not valid any more")]
    NotValid,
    /// 3004.
    #[error("another member's product")]
    NotMine,
    /// 3005: more than may be sold in a month.
    #[error("more than may be sold in a month")]
    OverMonth,
    /// 3006: no amount of whole 0.1 GB, or none at all.
    #[error("no amount that can be sold")]
    BadAmount,
    /// 3007.
    #[error("the start is after the end")]
    StartAfterEnd,
    /// 3008.
    #[error("already deleted")]
    AlreadyDeleted,
    /// 3009.
    #[error("no mobile data of this id")]
    UnknownData,
    /// 3010.
    #[error("no Wi-Fi or hotspot of this id")]
    UnknownSpot,
    /// 3011.
    #[error("the member has no plan")]
    NoPlan,
    /// 3013.
    #[error("no picture of a known format")]
    BadImage,
    /// 3014: more than the member's plan has.
    #[error("not enough data in the plan")]
    NotEnoughData,
    /// 3015: a part of it is sold.
    #[error("partly sold and fixed")]
    PartlySold,
    /// 5006 or 1010: see [`DbError`].
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<WriteError<Self>> for ProductError {
    fn from(error: WriteError<Self>) -> Self {
        match error {
            WriteError::Refused(refusal) => refusal,
            WriteError::Db(error) => Self::Db(error),
        }
    }
}

impl From<sqlx::Error> for ProductError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

/// A step inside a transaction.
type Step<T> = Result<T, Stop<ProductError>>;

const fn refuse<T>(error: ProductError) -> Step<T> {
    Err(Stop::Refused(error))
}

/// The offers. Clones are the same.
#[derive(Clone, Debug)]
pub struct Products {
    db: Db,
    cache: ListCache,
    clock: Arc<dyn Clock>,
    drain: Drain,
    metrics: ListMetrics,
}

impl Products {
    /// Offers of `db`, their lists kept in `cache`. What is begun goes on in `drain`.
    #[must_use]
    pub fn new(db: Db, cache: ListCache, clock: Arc<dyn Clock>, drain: Drain) -> Self {
        Self {
            db,
            cache,
            clock,
            drain,
            metrics: ListMetrics::default(),
        }
    }

    /// What the lists have done.
    #[must_use]
    pub fn metrics(&self) -> &ListMetrics {
        &self.metrics
    }

    /// To be called after every COMMIT that changed what a kind's lists show. They are read anew.
    pub async fn changed(&self, kind: Kind) {
        self.cache.bump(kind.namespace()).await;
    }

    /// Writes, then lets the lists be read anew: both or, where the write is refused, neither. In a
    /// task of its own, because a caller who leaves between the two would leave old lists behind.
    async fn change<T, F>(&self, kind: Option<Kind>, write: F) -> Result<T, ProductError>
    where
        F: Future<Output = Result<T, WriteError<ProductError>>> + Send + 'static,
        T: Send + 'static,
    {
        let own = self.clone();
        let task = self.drain.spawn("product-change", async move {
            let written = write.await?;
            match kind {
                Some(kind) => own.changed(kind).await,
                None => {
                    for kind in Kind::ALL {
                        own.changed(kind).await;
                    }
                }
            }
            Ok(written)
        });
        match task.await {
            Ok(done) => done,
            Err(lost) => Err(DbError::Unavailable(lost.to_string()).into()),
        }
    }
}

/// A column's id. The tables hold no other (CHECK).
fn product_id(id: i64) -> Result<ProductId, DbError> {
    ProductId::try_from(id).map_err(|error| DbError::Defect(error.to_string()))
}

/// See [`product_id`].
fn member_id(id: i64) -> Result<MemberId, DbError> {
    MemberId::try_from(id).map_err(|error| DbError::Defect(error.to_string()))
}
