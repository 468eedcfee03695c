//! Why a market could not be built.

use crate::auth::KeysError;
use crate::cache::CacheError;
use crate::chat_api::NoClient as NoChatClient;
use crate::db::DbError;
use crate::gateway::toss::NoTossClient;
use crate::images::StoreError;
use crate::login::NoClient;
use crate::payouts::http::NoPayoutClient;

/// Why a market could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The database cannot be opened or migrated.
    #[error("the database cannot be opened")]
    Db(#[from] DbError),
    /// The signing keys cannot be read or created.
    #[error("the keys that sign tokens cannot be had")]
    Keys(#[from] KeysError),
    /// The HTTP client for the login providers cannot be built.
    #[error("the login providers cannot be asked")]
    Logins(#[from] NoClient),
    /// The HTTP client for the chat server cannot be built. An unreachable chat server is no error here:
    /// only opening chats fails then.
    #[error("the chat server cannot be called")]
    Chat(#[from] NoChatClient),
    /// The HTTP client for the payment gateway cannot be built. An unreachable gateway is no error here.
    #[error("the payment gateway cannot be called")]
    Gateway(#[from] NoTossClient),
    /// The HTTP client for the payout provider cannot be built.
    #[error("the payout provider cannot be called")]
    Payouts(#[from] NoPayoutClient),
    /// The object store client cannot be built.
    #[error("the object store cannot be used")]
    Images(#[from] StoreError),
    /// The cache client cannot be built. An unreachable cache is no error here: lists only get slower.
    #[error("the cache cannot be used")]
    Cache(#[from] CacheError),
}
