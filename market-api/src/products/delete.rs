//! Removal of offers: by their seller, or at the end of their month. Also prunes old sort keys.

use std::convert::Infallible;
use std::time::Duration;

use shared::ids::{MemberId, ProductId};

use super::{Kind, OfferError, Products, State, TxResult, refuse, repo};
use crate::cache::Namespace;
use crate::db::{Abort, Tx, WriteError};

/// Bound of offers that expire in one transaction: about 50 ms, during which SQLite's writer is busy.
const EXPIRE_MAX: i64 = 500;

/// Bound of sort keys pruned in one transaction.
const FORGET_MAX: i64 = 5_000;

/// Retention of old sort keys: a reader requests the next page within a day.
const PLACE_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// An abort by the database only.
type Never = WriteError<Infallible>;

/// Bound of transactions per run; the next run continues.
const ROUNDS_MAX: u32 = 100;

impl Products {
    /// The hourly job: hides expired offers and prunes old sort keys.
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

    /// Deletes an offer. Parts already sold stay sold; bookings of a spot stay.
    ///
    /// # Errors
    /// [`OfferError::AlreadyDeleted`], [`OfferError::Unavailable`] when it is sold out or expired,
    /// [`OfferError::NotMine`], [`OfferError::Unknown`].
    pub async fn delete(&self, member: MemberId, product: ProductId) -> Result<(), OfferError> {
        let db = self.db.clone();
        let write = async move {
            let work = db.write((member, product), |(member, product), tx| {
                Box::pin(delete_in(*member, *product, tx))
            });
            Ok(([work.await?.namespace()], ()))
        };
        let done = self.cache.change(write).await;
        done.map_err(WriteError::into_domain)
    }

    /// Hides offers whose month has ended and releases their rest; returns their number. The hourly job calls it
    /// until it returns 0. Lists, purchases and limits do not depend on it: they check the time.
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

    /// Deletes sort keys replaced more than a day ago; returns their number. A trigger stores a replaced
    /// key without a time; the first call that finds it sets the time.
    ///
    /// # Errors
    /// The database's.
    pub async fn prune_sort_keys(&self) -> Result<u64, Never> {
        let work = self.db.write((), |(), tx| Box::pin(prune_sort_keys_in(tx)));
        work.await
    }
}

/// Deletes the offer; returns its kind, whose lists are then invalidated.
async fn delete_in(member: MemberId, product: ProductId, tx: &mut Tx<'_>) -> TxResult<Kind> {
    if let Some(kind) = remove_in(tx, member, product).await? {
        return Ok(kind);
    }
    // No row was deleted; find the reason.
    let Some(found) = repo::lock_product(tx, product).await? else {
        return refuse(OfferError::Unknown);
    };
    refuse(if found.member != member {
        OfferError::NotMine
    } else if found.state == State::Deleted {
        OfferError::AlreadyDeleted
    } else {
        OfferError::Unavailable
    })
}

/// Deletes an active offer of this seller; returns its kind, whose lists the caller then invalidates
/// ([`Kind::namespace`]). `None` if it was not active.
///
/// # Errors
/// The database's.
pub async fn remove_in(
    tx: &mut Tx<'_>,
    seller: MemberId,
    product: ProductId,
) -> Result<Option<Kind>, sqlx::Error> {
    let kind = repo::delete_active(tx, product, seller).await?;
    if kind.is_some() {
        repo::unlist_spot(tx, product).await?;
    }
    Ok(kind)
}

async fn expire_in(tx: &mut Tx<'_>) -> Result<u64, Abort<Infallible>> {
    // Locks in ascending order of ids, as purchases do: a single update has no order.
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
