//! Transactional invalidation: replaces the versions of lists whose change the cache may have missed.
//!
//! A write replaces the list's version after its COMMIT. If the process ends between the two, or cannot
//! reach the cache, the list would stay stale until it expires. So triggers record each change in its own
//! transaction (`list_change`), and every instance polls that table and replaces the versions once more.
//!
//! What this cannot do: invalidate the in-process caches of other instances.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use shared::drain::Drain;
use sqlx::{Row as _, query};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{ListCache, Namespace};
use crate::db::{Abort, Db, DbError};

/// Poll interval, and with it how stale a list may be after a crash.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Deadline of one poll.
const SETTLE_MAX: Duration = Duration::from_secs(20);

/// Bound of changes read at once, after deduplication to the last change of each list.
const READ_MAX: i64 = 64;

type Never = Abort<Infallible>;

impl ListCache {
    /// Polls for changes until the drain's soft token.
    pub fn follow(&self, db: Db, drain: &Drain) {
        let (soft, cache) = (drain.soft(), self.clone());
        drop(drain.spawn_vital("list-changes", async move {
            let mut due = interval(LOOK_EVERY);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut is_away = false;
            while soft.run_until_cancelled(due.tick()).await.is_some() {
                // Without a deadline, a connection that dies silently would block this task forever.
                let settled = timeout(SETTLE_MAX, cache.settle_changes(&db)).await;
                let settled = settled
                    .unwrap_or_else(|_| Err(DbError::Unavailable("no answer in time".to_owned())));
                match settled {
                    Ok(()) => is_away = false,
                    // Logged once per outage.
                    Err(error) if !is_away => {
                        is_away = true;
                        tracing::warn!("cannot poll for changes of lists: {error}");
                    }
                    Err(_) => {}
                }
            }
        }));
    }

    /// Replaces the versions of changed lists, then deletes the changes it has read. While the cache is
    /// unreachable the last change of each list stays in the table.
    ///
    /// # Errors
    /// The database's.
    pub async fn settle_changes(&self, db: &Db) -> Result<(), DbError> {
        if changes(db).await?.is_empty() {
            return Ok(());
        }
        coalesce(db).await?;
        let found = changes(db).await?;
        let spaces: BTreeSet<_> = found.iter().map(|(_, space)| *space).collect();
        for space in spaces {
            self.bump(space).await;
        }
        if self.is_away() {
            return Ok(());
        }
        forget(db, found.into_iter().map(|(id, _)| id).collect()).await
    }
}

async fn changes(db: &Db) -> Result<Vec<(i64, Namespace)>, DbError> {
    let rows = query("select id, space from list_change order by id limit $1")
        .bind(READ_MAX)
        .fetch_all(&mut *db.read().await?)
        .await?;
    let mut found = Vec::new();
    for row in rows {
        let (id, name): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        let known = Namespace::of_name(&name);
        found.extend(known.map(|space| (id, space)));
    }
    Ok(found)
}

/// Deduplicates: deletes all but the last change of each list. Changes that commit later stay, whatever
/// their id.
async fn coalesce(db: &Db) -> Result<(), DbError> {
    let done = db.write((), |(), tx| {
        Box::pin(async move {
            query(
                "delete from list_change where id not in \
                 (select max(id) from list_change group by space)",
            )
            .execute(tx.connection())
            .await?;
            Ok::<_, Never>(())
        })
    });
    Ok(done.await?)
}

async fn forget(db: &Db, ids: Vec<i64>) -> Result<(), DbError> {
    let done = db.write(ids, |ids, tx| {
        Box::pin(async move {
            for id in ids {
                query("delete from list_change where id = $1")
                    .bind(*id)
                    .execute(tx.connection())
                    .await?;
            }
            Ok::<_, Never>(())
        })
    });
    Ok(done.await?)
}
