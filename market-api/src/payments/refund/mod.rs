//! Refunds: cash that leaves a wallet, in legs: cancels of the member's charges at the gateway, and payouts.

use shared::clock::UnixMillis;

use super::Payments;
use super::charge::Charge;
use crate::db::{DbError, Tx};
use crate::gateway::Cancel;

/// Applies what the gateway gave back of a captured charge, in the charge's transaction: legs of refunds, and
/// reversals. Returns the time of the next query if something cannot be applied yet.
///
/// # Errors
/// The database's.
pub(super) async fn apply_cancels_in(
    _tx: &mut Tx<'_>,
    _charge: &Charge,
    _cancels: &[Cancel],
) -> Result<Option<UnixMillis>, sqlx::Error> {
    Ok(None)
}

impl Payments {
    /// Works on a refund that is due.
    pub(super) async fn advance_refund(&self, _id: i64, _lease: UnixMillis) -> Result<(), DbError> {
        Ok(())
    }
}
