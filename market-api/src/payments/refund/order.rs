//! Requests for refunds, their answers, and a member's refunds as the page shows them.

use shared::clock::UnixMillis;
use shared::ids::{MemberId, TradeId};
use shared::money::Won;

use super::{RefundId, RefundState};
use crate::cash::CashShort;
use crate::db::DbError;

/// The client's name of a refund: 1 to 64 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// Bound in characters.
    const CHARS_MAX: usize = 64;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RequestId {
    type Error = RefundError;

    fn try_from(text: String) -> Result<Self, RefundError> {
        let chars = text.chars().count();
        let is_id = (1..=Self::CHARS_MAX).contains(&chars) && !text.chars().any(char::is_control);
        match is_id {
            true => Ok(Self(text)),
            false => Err(RefundError::RequestId),
        }
    }
}

/// A request for a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundOrder {
    /// The member who gets cash back.
    pub member: MemberId,
    /// The request, used once per member.
    pub request: RequestId,
    /// Won.
    pub amount: Won,
}

/// An accepted refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefundAnswer {
    /// Won that left the wallet.
    pub amount: Won,
    /// The member's cash then.
    pub remain: Won,
}

/// Why a refund is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefundError {
    /// The request id is not 1 to 64 characters.
    #[error("not a request id")]
    RequestId,
    /// The request id was used with another amount.
    #[error("the request id was used before")]
    Repeated,
    /// The amount is below 1 or above the member's cash, or the member owes after a reversal.
    #[error("not an amount to refund")]
    Amount,
    /// The member has had too many refunds within a day.
    #[error("too many refunds within a day")]
    TooMany,
    /// This server has no gateway or no payout provider.
    #[error("no payment gateway is configured")]
    NoGateway,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<CashShort> for RefundError {
    fn from(_: CashShort) -> Self {
        Self::Amount
    }
}

/// A refund, with the sums of its legs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundSummary {
    /// Its row.
    pub id: RefundId,
    /// The client's name of it.
    pub request: String,
    /// Won that left the wallet.
    pub amount: Won,
    /// Of it, given back through the gateway: charges cancelled.
    pub canceled: Won,
    /// Of it, paid out to the bank account.
    pub paid_out: Won,
    /// Of it, back in the wallet.
    pub returned: Won,
    /// Of it, sent without a certain answer.
    pub verifying: Won,
    /// Its state.
    pub state: RefundState,
    /// The member's trade.
    pub trade: TradeId,
    /// When it was accepted.
    pub created_at: UnixMillis,
}
