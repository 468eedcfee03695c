//! Site cash: wallets, and the books behind them. Owns `journal`, `posting`, `wallet` and `credit`.
//!
//! A wallet is a cache of the append-only journal (`money.md`, "Books"). A member's cash is both buckets
//! of their wallet and the sales that are not folded into it yet.
//!
//! What this module does not do: know offers, trades or payments. They open, lock and change wallets
//! through it, by member ids.

mod http;
mod repo;

use shared::ids::MemberId;
use shared::money::Won;

use crate::db::{Db, DbError};

pub use http::routes;
pub use repo::{lock_in, open_in};

/// Members' cash. Clones are the same.
#[derive(Clone, Debug)]
pub struct Cash {
    db: Db,
}

impl Cash {
    /// The cash in this database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// What this member can spend; zero for a member without a wallet.
    ///
    /// # Errors
    /// The database's.
    pub async fn balance(&self, member: MemberId) -> Result<Won, DbError> {
        repo::balance(&self.db, member).await
    }
}
