//! Site cash: members' wallets and the double-entry books behind them. Owns `journal`, `posting`, `wallet`
//! and `credit`.
//!
//! A wallet is a cached balance over the append-only journal (`money.md`, "Books"). A member's cash is both
//! buckets of the wallet plus the sales that are not folded into it yet.
//!
//! What this module does not do: depend on offers, trades or payments. These open, lock and change wallets
//! through its functions, by member id.

mod books;
mod http;
mod repo;
mod wallet;

use shared::ids::MemberId;
use shared::money::Won;

use crate::db::{Db, DbError};

pub use books::{Account, JournalId, JournalKind, Posting, credit_in, open_balance_in, post_in};
pub use http::routes;
pub use repo::{lock_in, open_in};
pub use wallet::{CashShort, Payment, fold_in, pay_in};

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
}
