//! Trades: purchases and sales. Owns `trade` and `trade_detail`.
//!
//! A purchase takes its offers, pays, and records what each side bought or sold, in one transaction
//! (`purchase`). It is immediate and final, as on the first site.

mod answer;
mod basket;
mod data;
mod error;
mod http;
mod kind;
mod purchase;
mod repo;
mod settle;

use std::time::Duration;

use shared::money::Won;

use crate::cache::ListCache;
use crate::db::{Abort, Db, DbError};
use crate::products::Kind;

pub use data::DataOrder;
pub use error::{NewTerms, PurchaseError};
pub use http::routes;
pub use kind::{Classification, TradeKind};
pub use purchase::Purchase;
pub use settle::Fees;

/// The result of a step inside a purchase's transaction.
type TxResult<T> = Result<T, Abort<PurchaseError>>;

const fn refuse<T>(error: PurchaseError) -> TxResult<T> {
    Err(Abort::Refused(error))
}

/// Period of market prices: thirty days.
const PRICE_SPAN: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Prices paid in the last thirty days; 0 without sales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketPrice {
    /// The newest price, in won.
    pub recent: Won,
    /// The mean, rounded down to whole won.
    pub average: Won,
}

/// The trades. Clones share one state.
#[derive(Clone, Debug)]
pub struct Trades {
    db: Db,
    cache: ListCache,
    fees: Fees,
}

impl Trades {
    /// The trades in `db`. Purchases invalidate the lists in `cache`.
    #[must_use]
    pub fn new(db: Db, cache: ListCache, fees: Fees) -> Self {
        Self { db, cache, fees }
    }

    /// The market price of a kind: for 0.1 GB of mobile data, or for each started ten minutes of a spot.
    ///
    /// # Errors
    /// The database's.
    pub async fn market_price(&self, kind: Kind) -> Result<MarketPrice, DbError> {
        let since = self.db.now().saturating_sub(PRICE_SPAN);
        let mut connection = self.db.read().await?;
        Ok(match kind {
            Kind::MobileData => repo::data_price(&mut connection, since).await?,
            Kind::Wifi | Kind::Hotspot => repo::spot_price(&mut connection, kind, since).await?,
        })
    }
}
