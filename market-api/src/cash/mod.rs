//! Site cash: members' wallets and the double-entry books behind them. Owns `journal`, `posting`, `wallet`,
//! `credit` and `debt_repayment`.
//!
//! A wallet is a cached balance over the append-only journal (`money.md`, "Books"). A member's cash is both
//! buckets of the wallet plus the sales that are not folded into it yet. After a reversal a member may owe: sales
//! repay that before they count as cash.
//!
//! What this module does not do: depend on offers, trades or payments. These open, lock and change wallets
//! through its functions, by member id.

mod books;
mod http;
mod repo;
mod wallet;

use std::convert::Infallible;

use shared::ids::MemberId;
use shared::money::Won;

use crate::db::{Db, DbError, WriteError};

pub use books::{Account, JournalId, JournalKind, Posting, credit_in, open_balance_in, post_in};
pub use http::routes;
pub use repo::{lock_in, open_in};
pub use wallet::{
    Bucket, CashShort, Payment, Standing, Taken, add_in, pay_in, refund_in, return_in, reverse_in,
    settle_in,
};

/// Members' cash. Clones share one state.
#[derive(Clone, Debug)]
pub struct Cash {
    db: Db,
}

impl Cash {
    /// Cash over this database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// The won that this member can spend; zero for a member without a wallet.
    ///
    /// # Errors
    /// The database's.
    pub async fn balance(&self, member: MemberId) -> Result<Won, DbError> {
        repo::balance(&self.db, member).await
    }

    /// Folds the sales of members who have more than a hundred that are not in their wallets yet, so that
    /// neither a balance nor a payment has to add up many.
    ///
    /// # Errors
    /// The database's. What was folded by then stays folded.
    pub async fn fold_many(&self) -> Result<(), WriteError<Infallible>> {
        for member in repo::members_to_fold(&self.db)
            .await
            .map_err(WriteError::Db)?
        {
            let work = self.db.write(member, |member, tx| {
                Box::pin(async { Ok(wallet::fold_in(tx, *member).await?) })
            });
            work.await?;
        }
        Ok(())
    }
}
