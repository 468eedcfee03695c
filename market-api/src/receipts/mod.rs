//! Receipts: one document for each trade of a member (purchase, sale, charge, refund), for that member only.
//!
//! A receipt is made from the stored trade at each request, so that one of a refund always shows its present state.
//!
//! What this module does not do: store anything, or lay out a page.

mod http;

use shared::clock::LocalDateTime;
use shared::ids::{MemberId, TradeId};
use shared::money::Won;

use crate::db::{Db, DbError};
use crate::payments::{self, ChargeRecord, RefundRecord};
use crate::trades::{self, Classification, TradeRecord};

pub use http::routes;

/// A receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The trade, its offers and prices.
    pub trade: TradeRecord,
    /// What was charged, for a charge.
    pub charge: Option<ChargeRecord>,
    /// What became of a refund. `None` also for a charge that was cancelled at the gateway.
    pub refund: Option<RefundRecord>,
    /// When it was made.
    pub issued_at: LocalDateTime,
}

impl Receipt {
    /// What the trade added to the member's cash, or took from it, in won: a sale's price less the fee, a refund less
    /// what came back. `None` on overflow, which the caps exclude.
    #[must_use]
    pub fn total(&self) -> Option<Won> {
        match &self.refund {
            Some(refund) => refund.requested.checked_sub(refund.returned),
            None => self.trade.price.checked_sub(self.trade.fee),
        }
    }

    /// The number on the document: the day of the trade in Seoul, and the trade.
    #[must_use]
    pub fn number(&self) -> String {
        let moment = self.trade.created_at.to_string();
        let day: String = moment.chars().take(10).filter(|c| *c != '-').collect();
        format!("{day}-{:06}", self.trade.trade.get())
    }
}

/// Receipts. Clones share one state.
#[derive(Clone, Debug)]
pub struct Receipts {
    db: Db,
}

impl Receipts {
    /// Receipts of the trades in this database.
    #[must_use]
    pub const fn new(db: Db) -> Self {
        Self { db }
    }

    /// The receipt of a trade; `None` if the trade is not this member's.
    ///
    /// # Errors
    /// The database's.
    pub async fn of(&self, member: MemberId, trade: TradeId) -> Result<Option<Receipt>, DbError> {
        let Some(record) = trades::record(&self.db, member, trade).await? else {
            return Ok(None);
        };
        let (mut charge, mut refund) = (None, None);
        match record.kind.classification() {
            Classification::Charge => charge = payments::charge_of(&self.db, trade).await?,
            Classification::Refund => refund = payments::refund_of(&self.db, trade).await?,
            Classification::Purchase | Classification::Sale => {}
        }
        Ok(Some(Receipt {
            trade: record,
            charge,
            refund,
            issued_at: LocalDateTime::from_unix(self.db.now()),
        }))
    }
}
