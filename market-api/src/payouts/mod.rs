//! Seam to the payout provider: withdrawals of earned cash to a member's bank account.
//!
//! Bank accounts are the provider's: it maps a member to one, and the market holds no account numbers. A payout is
//! sent once and then queried by our reference; its request is void after a time, so that "not found" later
//! means that it was never accepted (`money.md`, "Refund").
//!
//! What this module does not do: touch the database, retry, or decide what an answer means for a wallet.

pub mod http;

use std::fmt;

use async_trait::async_trait;
use shared::clock::UnixMillis;
use shared::ids::MemberId;
use shared::money::Won;

use crate::gateway::GatewayCode;

/// A payout to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayoutRequest {
    /// Our reference, unique: the provider pays it at most once.
    pub reference: String,
    /// The recipient.
    pub member: MemberId,
    /// The amount in won.
    pub amount: Won,
    /// The provider refuses a request that arrives later.
    pub valid_until: UnixMillis,
}

/// The state of a payout at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayoutStatus {
    /// Accepted; the bank has not confirmed it yet.
    Accepted,
    /// Paid.
    Paid,
    /// Refused for certain, or sent back by the bank: nothing was paid.
    Refused(GatewayCode),
}

/// Why a request has no result: whether the provider has it is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown: {0}")]
pub struct PayoutUnknown(pub String);

/// The payout provider.
///
/// Contract: each call has a deadline of its own, at most 30 s. `send` is idempotent by reference. `find` returns
/// `None` only if the provider says that it has no such reference.
#[async_trait]
pub trait Payouts: Send + Sync + fmt::Debug {
    /// Sends a payout.
    async fn send(&self, request: &PayoutRequest) -> Result<PayoutStatus, PayoutUnknown>;

    /// Reads the state of a payout.
    async fn find(&self, reference: &str) -> Result<Option<PayoutStatus>, PayoutUnknown>;
}
