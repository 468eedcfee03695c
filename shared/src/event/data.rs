//! The data of events, as the contract defines it.
//!
//! What this module does not do: say which kind has which data. The enum of events does.

use serde::{Deserialize, Serialize};

use crate::claims::FamilyId;
use crate::clock::LocalDateTime;
use crate::ids::{MemberId, ProductId, ReportId, ReviewId, TradeId};
use crate::money::{Units, Won};
use crate::text::Language;

/// A purchase, with the sales that it consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TradeCompleted {
    /// The buyer's trade.
    pub trade_id: TradeId,
    /// Its type, such as `PURCHASE_WIFI`.
    pub trade_type: String,
    /// The buyer.
    pub buyer_id: MemberId,
    /// What the buyer paid, in won.
    pub price: Won,
    /// Data bought, in gigabytes; none for time on a spot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_amount: Option<Units>,
    /// Minutes bought; none for data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_amount: Option<u32>,
    /// One for each offer.
    pub sales: Vec<CompletedSale>,
}

/// A sale of one offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompletedSale {
    /// The seller's trade.
    pub trade_id: TradeId,
    /// The seller.
    pub seller_id: MemberId,
    /// The offer.
    pub product_id: ProductId,
    /// Won, before the fee.
    pub price: Won,
    /// The fee in won, which the seller does not get.
    pub fee: Won,
    /// Data sold, in gigabytes; none for time on a spot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_amount: Option<Units>,
}

/// An offer that is sold out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductSoldOut {
    /// The offer.
    pub product_id: ProductId,
    /// Its seller.
    pub seller_id: MemberId,
}

/// Bought time on a spot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BookedTime {
    /// The buyer's trade.
    pub trade_id: TradeId,
    /// The buyer.
    pub buyer_id: MemberId,
    /// The spot.
    pub product_id: ProductId,
    /// Its seller.
    pub seller_id: MemberId,
    /// When the time begins.
    pub start_time: LocalDateTime,
    /// When it ends.
    pub end_time: LocalDateTime,
}

/// Cash that came in by a charge, goes out by a refund, or came back from one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CashMoved {
    /// The member's trade of the type `CHARGE` or `REFUND`.
    pub trade_id: TradeId,
    /// How much, in won.
    pub amount: Won,
}

/// A review of a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReviewCreated {
    /// The review.
    pub review_id: ReviewId,
    /// The trade of the member who is reviewed: their side of it.
    pub trade_id: TradeId,
    /// From 1.0 to 5.0 stars.
    pub rating: f64,
}

/// A decision about a report, for the member who made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportDecided {
    /// The report.
    pub report_id: ReportId,
    /// Whether it was upheld; events of older programs do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upheld: Option<bool>,
}

/// Two members of whom one blocked the other, or undid that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberPair {
    /// Who blocked.
    pub blocker_id: MemberId,
    /// Who was blocked.
    pub blocked_id: MemberId,
}

/// What others are shown of a member, and the member's language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberUpdated {
    /// The name.
    pub name: String,
    /// The profile image, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// The language of notifications; events of older programs have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
}

/// Which session ended. The reader keeps it until that session's refresh token would have expired.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SessionRevoked {
    /// The token family (claim `sid`).
    pub sid: FamilyId,
}
