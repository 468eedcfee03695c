//! The market's scheduled jobs, and the interval of each.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use shared::drain::Drain;

use crate::cash::Cash;
use crate::chats::Chats;
use crate::db::{Abort, Db, DbError, WriteError};
// Its job is separate, so that an unreachable object store stops only this one.
use crate::images::{Images, SWEEPING};
use crate::login;
use crate::metrics::Metrics;
use crate::payments::Payments;
use crate::products::Products;
use crate::schedule::{self, Handler, HandlerError, Outcome, Schedule, Worker};
use crate::{auth, bookings, idempotency, payments, reports};

/// The job that deletes expired rows.
const HOUSEKEEPING: &str = "housekeeping";

/// The job that resends chat rooms whose names, pictures or hours have changed.
const CHAT_ROOMS: &str = "chat-rooms";

/// The job that folds the sales of members who have many.
const FOLDING: &str = "fold-credits";

/// Interval of that job.
const FOLDING_EVERY: Duration = Duration::from_secs(60);

/// Interval of the chat room job.
const CHAT_ROOMS_EVERY: Duration = Duration::from_secs(15);

/// Interval of the other two jobs.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(3_600);

/// What the jobs work on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    pub(super) products: &'a Products,
    pub(super) images: &'a Images,
    pub(super) chats: &'a Chats,
    pub(super) payments: &'a Payments,
}

/// Puts the jobs into the schedule and runs due ones in `drain`.
///
/// # Errors
/// The database's.
pub(super) async fn start(
    db: &Db,
    parts: Parts<'_>,
    metrics: &Arc<Metrics>,
    drain: &Drain,
) -> Result<(), DbError> {
    let Parts {
        products,
        images,
        chats,
        payments,
    } = parts;
    for name in [
        HOUSEKEEPING,
        SWEEPING,
        CHAT_ROOMS,
        FOLDING,
        payments::COMPARISON,
    ] {
        // An existing job is due soon enough; skipping the write lets a node start on a full disk.
        if schedule::is_put(db, name, "").await? {
            continue;
        }
        let put = db.write(name, |name, tx| {
            Box::pin(async move {
                let due = match *name {
                    // A new market has nothing to compare.
                    payments::COMPARISON => payments::next_night(tx.now()),
                    _ => tx.now(),
                };
                schedule::put(tx, name, "", due, "").await?;
                Ok::<_, Abort<()>>(())
            })
        });
        put.await.map_err(|error| match error {
            WriteError::Refused(()) => DbError::Defect("putting work refuses nothing".to_owned()),
            WriteError::Db(error) => error,
        })?;
    }
    let housekeeping = (db.clone(), products.clone());
    let handler: Handler = Box::new(move |_| {
        let (db, products) = housekeeping.clone();
        run_housekeeping(db, products)
    });
    let sweeping = (db.clone(), images.clone());
    let sweeper: Handler = Box::new(move |_| {
        let (db, images) = sweeping.clone();
        Box::pin(sweep(db, images))
    });
    let refreshing = (db.clone(), chats.clone());
    let refresher: Handler = Box::new(move |_| {
        let (db, chats) = refreshing.clone();
        Box::pin(refresh_rooms(db, chats))
    });
    let folding = db.clone();
    let folder: Handler = Box::new(move |_| Box::pin(fold_credits(folding.clone())));
    // One row per name, so more permits would stay unused.
    let alone = |name, handler| Worker {
        name,
        at_once: 1,
        handler,
    };
    let mut workers = vec![
        alone(HOUSEKEEPING, handler),
        alone(SWEEPING, sweeper),
        alone(CHAT_ROOMS, refresher),
        alone(FOLDING, folder),
    ];
    workers.extend(bookings::workers(db));
    workers.extend(payments.workers());
    payments.start();
    let schedule = Schedule::new(db.clone(), Arc::clone(metrics), workers);
    Arc::new(schedule).start(drain);
    Ok(())
}

/// Deletes expired rows of every module.
fn run_housekeeping(
    db: Db,
    products: Products,
) -> BoxFuture<'static, Result<Outcome, HandlerError>> {
    Box::pin(async move {
        products.housekeeping().await?;
        let kept = db.write((), |(), tx| {
            Box::pin(async move {
                reports::forget_in(tx).await?;
                login::forget_in(tx).await?;
                auth::forget_in(tx).await?;
                idempotency::forget_in(tx).await?;
                payments::forget_in(tx).await?;
                Ok::<_, Abort<()>>(tx.now().saturating_add(HOUSEKEEPING_EVERY))
            })
        });
        Ok(Outcome::Again(kept.await?))
    })
}

/// Deletes unused uploaded files until none are left.
async fn sweep(db: Db, images: Images) -> Result<Outcome, HandlerError> {
    let swept = images.sweep().await;
    let swept = swept.map_err(|error| HandlerError(error.to_string()))?;
    let next = if swept == 0 {
        HOUSEKEEPING_EVERY
    } else {
        Duration::ZERO
    };
    Ok(Outcome::Again(db.now().saturating_add(next)))
}

/// Folds sales into wallets.
async fn fold_credits(db: Db) -> Result<Outcome, HandlerError> {
    Cash::new(db.clone()).fold_many().await?;
    Ok(Outcome::Again(db.now().saturating_add(FOLDING_EVERY)))
}

/// Resends changed chat rooms. An unreachable chat server is retried at the next interval.
async fn refresh_rooms(db: Db, chats: Chats) -> Result<Outcome, HandlerError> {
    chats.refresh().await?;
    Ok(Outcome::Again(db.now().saturating_add(CHAT_ROOMS_EVERY)))
}
