//! Taking offers back: by their seller, or because their month has ended. And forgetting where they
//! stood in lists of yesterday.

use std::convert::Infallible;
use std::time::Duration;

use shared::ids::{MemberId, ProductId};

use super::{Kind, Products, State, TxResult, refuse, repo};
use crate::cache::Namespace;
use crate::db::{Abort, Tx, WriteError};
use crate::http::ApiError;

/// Offers that expire in one transaction: about 50 ms, in which nobody else waits for the writer.
const EXPIRE_MAX: i64 = 500;

/// Places forgotten in one transaction.
const FORGET_MAX: i64 = 5_000;

/// How long the place of a row that has moved is kept: nobody takes a day to a next page.
const PLACE_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// What only the database refuses.
type Never = WriteError<Infallible>;

/// Transactions of one housekeeping; what is left waits for the next.
const ROUNDS_MAX: u32 = 100;

impl Products {
    /// What is to be done every hour: hides what has expired, forgets old places.
    ///
    /// # Errors
    /// The database's. What was done by then stays done.
    pub async fn housekeeping(&self) -> Result<(), Never> {
        for _ in 0..ROUNDS_MAX {
            if self.expire().await? == 0 {
                break;
            }
        }
        for _ in 0..ROUNDS_MAX {
            if self.prune_sort_keys().await? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Takes an offer back. What is sold of it stays sold; bookings of a spot stay.
    ///
    /// # Errors
    /// [`ApiError::AlreadyDeleted`], [`ApiError::ProductNotValid`] when it is sold out or expired,
    /// [`ApiError::NotMyProduct`], [`ApiError::ProductUnknown`].
    pub async fn delete(&self, member: MemberId, product: ProductId) -> Result<(), ApiError> {
        let db = self.db.clone();
        let write = async move {
            let work = db.write((member, product), |(member, product), tx| {
                Box::pin(delete_in(*member, *product, tx))
            });
            Ok(([work.await?.namespace()], ()))
        };
        Ok(self.cache.change(write).await?)
    }

    /// Hides the offers whose month has ended, and gives their rest back; the schedule calls it
    /// until it answers 0. Lists, purchases and limits do not wait for it: they look at the time.
    ///
    /// # Errors
    /// The database's.
    pub async fn expire(&self) -> Result<u64, Never> {
        let db = self.db.clone();
        let write = async move {
            let hidden = db.write((), |(), tx| Box::pin(expire_in(tx))).await?;
            Ok(((hidden > 0).then_some(Namespace::MOBILE_DATA), hidden))
        };
        self.cache.change(write).await
    }

    /// Forgets where rows stood that moved more than a day ago; the schedule calls it every hour. A
    /// place is dated by the first call that meets it.
    ///
    /// # Errors
    /// The database's.
    pub async fn prune_sort_keys(&self) -> Result<u64, Never> {
        let work = self.db.write((), |(), tx| Box::pin(prune_sort_keys_in(tx)));
        work.await
    }
}

/// The kind of what was deleted.
async fn delete_in(member: MemberId, product: ProductId, tx: &mut Tx<'_>) -> TxResult<Kind> {
    if let Some(kind) = repo::delete_active(tx, product, member).await? {
        repo::unlist_spot(tx, product).await?;
        return Ok(kind);
    }
    // Something was wrong with it; now see what.
    let Some(found) = repo::lock_product(tx, product).await? else {
        return refuse(ApiError::ProductUnknown);
    };
    refuse(if found.member != member {
        ApiError::NotMyProduct
    } else if found.state == State::Deleted {
        ApiError::AlreadyDeleted
    } else {
        ApiError::ProductNotValid
    })
}

async fn expire_in(tx: &mut Tx<'_>) -> Result<u64, Abort<Infallible>> {
    // In the order of their ids, as purchases lock theirs: one statement alone has no order.
    let last = repo::lock_expired(tx, EXPIRE_MAX).await?;
    match last {
        Some(last) => Ok(repo::hide_expired(tx, last).await?),
        None => Ok(0),
    }
}

async fn prune_sort_keys_in(tx: &mut Tx<'_>) -> Result<u64, Abort<Infallible>> {
    let now = tx.now();
    repo::date_sort_keys(tx, now).await?;
    let before = now.saturating_sub(PLACE_KEPT);
    Ok(repo::prune_sort_keys(tx, before, FORGET_MAX).await?)
}
