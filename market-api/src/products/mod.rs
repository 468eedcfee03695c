//! Offers: mobile data, and time on Wi-Fi and hotspots.
//!
//! ```text
//! change ─► one transaction ─► COMMIT ─► the kind's lists get a new version
//! list   ─► cache, by version ─► one query at a time for each page that is missing
//! detail ─► database
//! ```
//!
//! What can still be registered, sold or returned is counted from the month's offers themselves
//! (`money.md`): nothing is reset when a month ends. Owns `product`, `spot`, `product_image` and
//! `sort_key_history`.
//!
//! What this module does not do: sell. Purchases (`trades`) change an offer through it, inside
//! [`ListCache::change`], which invalidates the lists in every outcome.

mod data;
mod delete;
mod form;
mod geo;
mod hours;
mod http;
mod lists;
mod near;
mod read;
mod repo;
mod rows;
mod sort;
mod spots;

use std::error::Error;
use std::sync::Arc;

use shared::clock::Clock;
use shared::drain::Drain;
use shared::ids::{MemberId, ProductId};

use crate::cache::{ListCache, Namespace, SingleFlight};
use crate::db::row::{Column, TextColumn};
use crate::db::{Abort, Db, Tx};
use crate::http::ApiError;
use crate::metrics::Metrics;

use rows::Batch;

pub use data::{DataChange, NewData};
pub use form::{NewSpot, Price, SpotForm, listed_units};
pub use geo::Position;
pub use http::routes;
pub use lists::ListQuery;
pub use read::{DataDetail, Seller, SellingPage, SellingQuery, SellingRow, SpotDetail};
pub use rows::{ListedOffer, OfferPage};
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
        match self {
            Self::MobileData => Namespace::MOBILE_DATA,
            Self::Wifi => Namespace::WIFI,
            Self::Hotspot => Namespace::HOTSPOT,
        }
    }

    /// What somebody is told who names a product of another kind.
    const fn unknown(self) -> ApiError {
        match self {
            Self::MobileData => ApiError::MobileDataUnknown,
            Self::Wifi | Self::Hotspot => ApiError::WifiUnknown,
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

/// A step inside a transaction.
type TxResult<T> = Result<T, Abort<ApiError>>;

const fn refuse<T>(error: ApiError) -> TxResult<T> {
    Err(Abort::Refused(error))
}

/// The offers. Clones are the same.
#[derive(Clone, Debug)]
pub struct Products {
    db: Db,
    cache: ListCache,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    single_flight: SingleFlight<Result<Arc<Batch>, ApiError>>,
}

impl Products {
    /// Offers of `db`, their lists kept in `cache`. What is begun goes on in `drain`.
    #[must_use]
    pub fn new(
        db: Db,
        cache: ListCache,
        clock: Arc<dyn Clock>,
        drain: Drain,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            single_flight: SingleFlight::new(drain),
            db,
            cache,
            clock,
            metrics,
        }
    }
}

/// Keeps others from changing an offer until the transaction ends; its seller, or `None` where there is
/// no such offer.
///
/// # Errors
/// The database's.
pub async fn lock_shared_in(
    tx: &mut Tx<'_>,
    product: ProductId,
) -> Result<Option<MemberId>, sqlx::Error> {
    repo::lock_shared(tx, product).await
}

/// How an offer of mobile data is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sale {
    /// All of it at once, at its price.
    Whole,
    /// In parts of 0.1 GB, at its unit price.
    Split,
}

impl Sale {
    /// As it is stored: 1 for [`Sale::Split`].
    const fn flag(self) -> i64 {
        match self {
            Self::Whole => 0,
            Self::Split => 1,
        }
    }
}

impl Column for Sale {
    fn from_number(number: i64) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(match bool::from_number(number)? {
            false => Self::Whole,
            true => Self::Split,
        })
    }
}

impl TextColumn for Kind {
    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl TextColumn for State {
    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}
