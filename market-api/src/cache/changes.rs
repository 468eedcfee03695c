//! Changes of lists that the cache may not have been told of.
//!
//! Whoever changes what a list shows replaces its version after the COMMIT. A process that ends
//! between the two, or that does not reach the cache, would leave the list old until its time is
//! over. So triggers note each change in its own transaction (`list_change`), and every instance
//! replaces versions once more for what it finds there.
//!
//! What this cannot do: reach caches that other instances keep for themselves.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use shared::drain::Drain;
use sqlx::{Row as _, query};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{ListCache, Namespace};
use crate::db::{Abort, Db, DbError, WriteError};

/// How often an instance looks for changes, which is how old a list may be after a crash.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// One look takes so long at most.
const SETTLE_MAX: Duration = Duration::from_secs(20);

/// Changes that are read at once, after all but the last of each list are gone.
const READ_MAX: i64 = 64;

type Never = Abort<Infallible>;

impl ListCache {
    /// Looks for changes until the drain's soft token.
    pub fn follow(&self, db: Db, drain: &Drain) {
        let (soft, cache) = (drain.soft(), self.clone());
        drop(drain.spawn_vital("list-changes", async move {
            let mut due = interval(LOOK_EVERY);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut is_away = false;
            while soft.run_until_cancelled(due.tick()).await.is_some() {
                // Without a bound a database that is gone without a word would end this for good.
                let settled = timeout(SETTLE_MAX, cache.settle_changes(&db)).await;
                let settled = settled
                    .unwrap_or_else(|_| Err(DbError::Unavailable("no answer in time".to_owned())));
                match settled {
                    Ok(()) => is_away = false,
                    // Logged once for as long as it lasts.
                    Err(error) if !is_away => {
                        is_away = true;
                        tracing::warn!("changes of lists cannot be looked for: {error}");
                    }
                    Err(_) => {}
                }
            }
        }));
    }

    /// Replaces the versions of lists that have changed, and forgets these changes. While the cache
    /// is away they stay, the last of each list.
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
        let known = Namespace::OFFERS.into_iter().find(|space| space.0 == name);
        found.extend(known.map(|space| (id, space)));
    }
    Ok(found)
}

/// Leaves the last change of each list. What commits later stays, whatever its id.
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
    done.await.map_err(written)
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
    done.await.map_err(written)
}

fn written(error: WriteError<Infallible>) -> DbError {
    match error {
        WriteError::Refused(never) => match never {},
        WriteError::Db(error) => error,
    }
}
