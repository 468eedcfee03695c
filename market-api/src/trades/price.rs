//! Market prices: what was paid lately.

use std::time::Duration;

use shared::money::Won;

use super::{Trades, repo};
use crate::db::DbError;
use crate::products::Kind;

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

impl Trades {
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
