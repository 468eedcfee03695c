//! Offers: mobile data, and time on Wi-Fi spots and hotspots.
//!
//! ```text
//! change ─► one transaction ─► COMMIT ─► the kind's lists get a new version
//! list   ─► cache, by version ─► on a miss one query at a time for each page
//! detail ─► database
//! ```
//!
//! What can still be registered, sold or returned is computed from the month's offers themselves
//! (`money.md`): nothing is reset when a month ends. Owns `product`, `spot`, `product_image` and
//! `sort_key_history`.
//!
//! What this module does not do: sell. Purchases (`trades`) change an offer through it, inside
//! [`ListCache::change`], which invalidates the lists in every outcome.

mod change;
mod data;
mod delete;
mod error;
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
mod stock;

use std::error::Error;
use std::sync::Arc;

use shared::clock::Clock;
use shared::drain::Drain;
use shared::ids::{MemberId, ProductId};

use crate::cache::{ListCache, Namespace};
use crate::db::row::{Column, TextColumn};
use crate::db::{Abort, Db, Tx};
use crate::metrics::Metrics;

pub use data::{DataChange, NewData};
pub use delete::remove_in;
pub use error::{FormError, ListError, OfferError, SellingError};
pub use form::{NewSpot, Price, SpotForm, listed_units};
pub use geo::Position;
pub use hours::Hours;
pub use http::routes;
pub use lists::{ListQuery, Lists};
pub use read::{DataDetail, Details, Seller, SellingPage, SellingQuery, SellingRow, SpotDetail};
pub use repo::close::{close_all_in, count_active_of_in, lock_active_of_in};
pub use repo::rates::rate_offers_in;
pub use repo::stock::{lock_stock_in, spot_terms, stock, stock_in, stocks, take_in};
pub use rows::{ListedOffer, OfferPage};
pub use sort::{Cursor, Filter, Sort};
pub use stock::{SpotTerms, Stock, Taken};

/// The kind of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Mobile data.
    MobileData,
    /// Time on a shop's Wi-Fi.
    Wifi,
    /// Time on a phone's hotspot.
    Hotspot,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::MobileData, Self::Wifi, Self::Hotspot];

    /// The name in the database and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MobileData => "MOBILE_DATA",
            Self::Wifi => "WIFI",
            Self::Hotspot => "HOTSPOT",
        }
    }

    /// Parses the name on the wire.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The cache namespace of the kind's lists.
    #[must_use]
    pub const fn namespace(self) -> Namespace {
        match self {
            Self::MobileData => Namespace::MOBILE_DATA,
            Self::Wifi => Namespace::WIFI,
            Self::Hotspot => Namespace::HOTSPOT,
        }
    }
}

/// The state of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// For sale.
    Active,
    /// Sold completely.
    SoldOut,
    /// Expired: its month has ended.
    Hidden,
    /// Deleted by its seller.
    Deleted,
}

impl State {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Active, Self::SoldOut, Self::Hidden, Self::Deleted];

    /// The name in the database and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::SoldOut => "SOLD_OUT",
            Self::Hidden => "HIDDEN",
            Self::Deleted => "DELETED",
        }
    }

    /// Parses the name on the wire.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// The result of a step inside a transaction.
type TxResult<T> = Result<T, Abort<OfferError>>;

const fn refuse<T>(error: OfferError) -> TxResult<T> {
    Err(Abort::Refused(error))
}

/// The offers: commands of sellers. Clones share one state.
#[derive(Clone, Debug)]
pub struct Products {
    db: Db,
    cache: ListCache,
    lists: Lists,
    details: Details,
}

impl Products {
    /// Offers in `db`; their lists are cached in `cache`. Look-ups run in `drain` and continue when their request
    /// is cancelled.
    #[must_use]
    pub fn new(
        db: Db,
        cache: ListCache,
        clock: Arc<dyn Clock>,
        drain: Drain,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            details: Details::new(db.clone(), Arc::clone(&clock)),
            lists: Lists::new(db.clone(), cache.clone(), clock, drain, metrics),
            db,
            cache,
        }
    }

    /// The lists of offers.
    #[must_use]
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    /// Offers in full.
    #[must_use]
    pub fn details(&self) -> &Details {
        &self.details
    }
}

/// Takes a shared lock on an offer until the transaction ends; returns its seller, or `None` if the offer does
/// not exist.
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
    /// Only as a whole, at its price.
    Whole,
    /// In parts of 0.1 GB, at its unit price.
    Split,
}

impl Sale {
    /// The value in the database: 1 for [`Sale::Split`].
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
