//! The relay's lease: one row that names the instance that relays.
//!
//! The row is replaced by a compare-and-set of what was read, so of several instances that find it expired one gets
//! it. When it is expired, the relay decides.

use std::convert::Infallible;

use shared::clock::UnixMillis;
use sqlx::{Row as _, query};

use crate::db::row::column;
use crate::db::{Abort, Db, DbError};

/// The content of the lease row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The instance that holds it; empty if none ever did.
    pub holder: String,
    /// When it expires, by the holder's clock.
    pub held_until: UnixMillis,
}

/// Reads the lease, and whether there are rows to relay.
///
/// # Errors
/// The database's.
pub async fn read_lease(db: &Db) -> Result<(LeaseRecord, bool), DbError> {
    let row = query(
        "select holder, held_until, case when exists \
         (select 1 from outbox where dead_at is null) then 1 else 0 end as is_pending \
         from relay_lease",
    )
    .fetch_one(&mut *db.read().await?)
    .await?;
    let record = LeaseRecord {
        holder: row.try_get("holder")?,
        held_until: column(&row, "held_until")?,
    };
    Ok((record, column(&row, "is_pending")?))
}

/// Replaces the lease if it still is `seen`; false if it is not.
///
/// # Errors
/// The database's.
pub async fn replace_lease(db: &Db, seen: LeaseRecord, new: LeaseRecord) -> Result<bool, DbError> {
    let replaced = db.write((seen, new), |(seen, new), tx| {
        Box::pin(async move {
            let done = query(
                "update relay_lease set holder = $1, held_until = $2 \
                 where holder = $3 and held_until = $4",
            )
            .bind(new.holder.as_str())
            .bind(new.held_until.get())
            .bind(seen.holder.as_str())
            .bind(seen.held_until.get())
            .execute(tx.connection())
            .await?;
            Ok::<_, Abort<Infallible>>(done.rows_affected() == 1)
        })
    });
    Ok(replaced.await?)
}
