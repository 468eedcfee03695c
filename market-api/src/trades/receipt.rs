//! One trade with what was bought or sold, for its own member.

use shared::clock::LocalDateTime;
use shared::ids::{MemberId, ProductId, TradeId};
use shared::money::{Units, Won};

use super::kind::TradeKind;
use super::repo;
use crate::cash::Payment;
use crate::db::{Db, DbError};

/// A trade of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeRecord {
    /// The trade.
    pub trade: TradeId,
    /// Its type.
    pub kind: TradeKind,
    /// Won: a purchase's or a sale's price, a charge's or a refund's amount.
    pub price: Won,
    /// What the seller did not get of the price.
    pub fee: Won,
    /// The buckets that a purchase was paid from.
    pub paid: Payment,
    /// The member's name as it is now.
    pub member: String,
    /// The buyer's name, of a sale.
    pub buyer: Option<String>,
    /// The time of the trade.
    pub created_at: LocalDateTime,
    /// Its offers, at most 20.
    pub lines: Vec<TradeLine>,
}

/// An offer in a trade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeLine {
    /// The offer.
    pub product: ProductId,
    /// The seller's name as it is now.
    pub seller: String,
    /// The spot's title as it is now; `None` for data.
    pub title: Option<String>,
    /// Data; `None` for time.
    pub units: Option<Units>,
    /// Minutes; `None` for data.
    pub minutes: Option<u32>,
    /// Start and end of booked time; `None` for data, and for time that was sold before there were bookings.
    pub time: Option<(LocalDateTime, LocalDateTime)>,
    /// Its price in won.
    pub price: Won,
}

/// A trade of this member; `None` if it is another's, or does not exist.
///
/// # Errors
/// The database's.
pub async fn record(
    db: &Db,
    member: MemberId,
    trade: TradeId,
) -> Result<Option<TradeRecord>, DbError> {
    Ok(repo::record(&mut *db.read().await?, member, trade).await?)
}
