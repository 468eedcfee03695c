//! Histories: a member's purchases, and all that moved the member's cash in a month.

use shared::clock::{LocalDateTime, Month};
use shared::ids::{MemberId, TradeId};
use shared::money::{Units, Won};
use shared::web::{PageSize, Rows};

use super::kind::{Classification, TradeKind};
use super::repo;
use crate::db::{Db, DbError};

/// A page of a member's trades.
#[derive(Clone, Copy, Debug)]
pub struct HistoryQuery {
    /// The member.
    pub member: MemberId,
    /// The number of rows.
    pub size: PageSize,
    /// The last trade of the previous page.
    pub after: Option<TradeId>,
}

/// A purchase in the history: one row for each, whatever the number of its offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurchaseRow {
    /// The buyer's trade.
    pub trade: TradeId,
    /// Its type.
    pub kind: TradeKind,
    /// Data bought; `None` for time.
    pub units: Option<Units>,
    /// Minutes bought; `None` for data.
    pub minutes: Option<u32>,
    /// The spot's title as it is now; `None` for data.
    pub title: Option<String>,
    /// URL of the spot's first picture.
    pub image: Option<String>,
    /// Whether the buyer has reviewed it.
    pub is_reviewed: bool,
    /// The time of the purchase.
    pub created_at: LocalDateTime,
}

/// A trade in the cash history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CashRow {
    /// The member's trade.
    pub trade: TradeId,
    /// Its type.
    pub kind: TradeKind,
    /// What it added to the member's cash, or took from it, in won: a sale's price less the fee.
    pub amount: Won,
    /// Its data; `None` for time, charges and refunds.
    pub units: Option<Units>,
    /// Its minutes; `None` for others.
    pub minutes: Option<u32>,
    /// The time of the trade.
    pub created_at: LocalDateTime,
}

/// What moved a member's cash in a month, in won.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MonthTotals {
    /// Paid for purchases.
    pub purchase: Won,
    /// Received for sales, less fees.
    pub selling: Won,
    /// Charged.
    pub charge: Won,
    /// Refunded.
    pub refund: Won,
}

impl MonthTotals {
    /// The change of the member's cash: charges and sales less purchases and refunds. `None` on overflow,
    /// which the caps exclude.
    #[must_use]
    pub fn total(&self) -> Option<Won> {
        let added = self.charge.checked_add(self.selling)?;
        added.checked_sub(self.purchase)?.checked_sub(self.refund)
    }

    pub(super) fn add(&mut self, kind: TradeKind, amount: Won) -> Option<()> {
        let sum = match kind.classification() {
            Classification::Purchase => &mut self.purchase,
            Classification::Sale => &mut self.selling,
            Classification::Charge => &mut self.charge,
            Classification::Refund => &mut self.refund,
        };
        *sum = sum.checked_add(amount)?;
        Some(())
    }
}

/// Histories of trades. Clones share one state.
#[derive(Clone, Debug)]
pub struct Histories {
    db: Db,
}

impl Histories {
    pub(super) const fn new(db: Db) -> Self {
        Self { db }
    }

    /// The number of a member's purchases.
    ///
    /// # Errors
    /// The database's.
    pub async fn purchase_count(&self, member: MemberId) -> Result<u64, DbError> {
        Ok(repo::purchase_count(&mut *self.db.read().await?, member).await?)
    }

    /// A page of a member's purchases, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn purchases(&self, query: &HistoryQuery) -> Result<Rows<PurchaseRow>, DbError> {
        let rows = repo::purchases(&mut *self.db.read().await?, query).await?;
        Ok(Rows::cut(rows, query.size))
    }

    /// A page of what moved a member's cash in a Seoul month, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn cash_rows(
        &self,
        query: &HistoryQuery,
        month: Month,
    ) -> Result<Rows<CashRow>, DbError> {
        let rows = repo::cash_rows(&mut *self.db.read().await?, query, month).await?;
        Ok(Rows::cut(rows, query.size))
    }

    /// The sums of a member's Seoul month.
    ///
    /// # Errors
    /// The database's.
    pub async fn month_totals(
        &self,
        member: MemberId,
        month: Month,
    ) -> Result<MonthTotals, DbError> {
        Ok(repo::month_totals(&mut *self.db.read().await?, member, month).await?)
    }
}
