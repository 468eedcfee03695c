//! Trades: purchases and sales. Owns `trade` and `trade_detail`.
//!
//! A purchase takes its offers, pays, and records what each side bought or sold, in one transaction
//! (`purchase`). It is immediate and final, as on the first site.

mod answer;
mod basket;
mod cash;
mod data;
mod error;
mod history;
mod http;
mod kind;
mod price;
mod purchase;
mod receipt;
mod repo;
mod scrap;
mod settle;
mod spot;

use shared::ids::MemberId;
use shared::money::Units;

use crate::cache::ListCache;
use crate::db::{Abort, Db};
use crate::scrap::{Conditions, QuoteError, Scrap, ScrapQuote};

pub use cash::{lower_refund_in, record_charge_in, record_refund_in};
pub use data::DataOrder;
pub use error::{NewTerms, Outdated, PurchaseError};
pub use history::{CashRow, Histories, HistoryQuery, MonthTotals, PurchaseRow};
pub use http::routes;
pub use kind::{Classification, TradeKind};
pub use price::MarketPrice;
pub use purchase::Purchase;
pub use receipt::{TradeLine, TradeRecord, record};
pub use scrap::{ScrapOrder, ScrapPart};
pub use settle::Fees;
pub use spot::SpotOrder;

/// The result of a step inside a purchase's transaction.
type TxResult<T> = Result<T, Abort<PurchaseError>>;

const fn refuse<T>(error: PurchaseError) -> TxResult<T> {
    Err(Abort::Refused(error))
}

/// The trades. Clones share one state.
#[derive(Clone, Debug)]
pub struct Trades {
    db: Db,
    cache: ListCache,
    fees: Fees,
    histories: Histories,
    scrap: Scrap,
}

impl Trades {
    /// The trades in `db`. Purchases invalidate the lists in `cache`.
    #[must_use]
    pub fn new(db: Db, cache: ListCache, fees: Fees) -> Self {
        Self {
            histories: Histories::new(db.clone()),
            scrap: Scrap::new(db.clone()),
            db,
            cache,
            fees,
        }
    }

    /// A quote for a buyer whose quoted combination cannot be bought any more.
    ///
    /// # Errors
    /// See [`QuoteError`].
    pub async fn quote(&self, buyer: MemberId, units: Units) -> Result<ScrapQuote, QuoteError> {
        let quote = self.scrap.quote(buyer, units, Conditions::default());
        Ok(quote.await?.into())
    }

    /// Histories of trades.
    #[must_use]
    pub const fn histories(&self) -> &Histories {
        &self.histories
    }
}
