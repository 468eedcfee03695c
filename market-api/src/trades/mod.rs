//! Trades: what was bought and sold. Owns `trade` and `trade_detail`.
//!
//! Today they are read only, for market prices; purchases are planned (`money.md`).

mod http;
mod repo;

use std::time::Duration;

use shared::money::Won;

use crate::db::{Db, DbError};
use crate::products::Kind;

pub use http::routes;

/// How far back market prices reach: thirty days.
const PRICE_SPAN: Duration = Duration::from_secs(30 * 24 * 3_600);

/// What buyers paid in the last thirty days; 0 where nobody bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketPrice {
    /// The newest price, in won.
    pub recent: Won,
    /// The mean, cut to whole won.
    pub average: Won,
}

/// The trades. Clones are the same.
#[derive(Clone, Debug)]
pub struct Trades {
    db: Db,
}

impl Trades {
    /// The trades of this database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db }
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
