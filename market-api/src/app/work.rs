//! What a market does by itself: pieces of work in the schedule, and how often each is done.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use shared::drain::Drain;

use crate::chats::Chats;
use crate::db::{Abort, Db, DbError, WriteError};
use crate::images::Images;
use crate::login;
use crate::metrics::Metrics;
use crate::products::Products;
use crate::schedule::{self, Handler, HandlerError, Outcome, Schedule};
use crate::{auth, idempotency};

/// The work that removes what nobody needs any more.
const HOUSEKEEPING: &str = "housekeeping";

/// The work that removes files that nobody has used. Apart: an object store that is away stops only it.
const SWEEPING: &str = "unused-images";

/// The work that sends chat rooms again whose names, pictures or hours have changed.
const CHAT_ROOMS: &str = "chat-rooms";

/// How often that is done.
const CHAT_ROOMS_EVERY: Duration = Duration::from_secs(15);

/// How often the first two are done.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(3_600);

/// Puts the work into the schedule, and does in `drain` what is due.
///
/// # Errors
/// The database's.
pub(super) async fn start(
    db: &Db,
    products: &Products,
    images: &Images,
    chats: &Chats,
    metrics: &Arc<Metrics>,
    drain: &Drain,
) -> Result<(), DbError> {
    for name in [HOUSEKEEPING, SWEEPING, CHAT_ROOMS] {
        // What is there is due soon enough, and a start on a full disk writes nothing.
        if schedule::is_put(db, name, "").await? {
            continue;
        }
        let put = db.write(name, |name, tx| {
            Box::pin(async move {
                let now = tx.now();
                schedule::put(tx, name, "", now, "").await?;
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
    let handlers = vec![
        (HOUSEKEEPING, handler),
        (SWEEPING, sweeper),
        (CHAT_ROOMS, refresher),
    ];
    let schedule = Schedule::new(db.clone(), Arc::clone(metrics), handlers);
    Arc::new(schedule).start(drain);
    Ok(())
}

/// Removes what nobody needs any more.
fn run_housekeeping(
    db: Db,
    products: Products,
) -> BoxFuture<'static, Result<Outcome, HandlerError>> {
    Box::pin(async move {
        products.housekeeping().await?;
        let kept = db.write((), |(), tx| {
            Box::pin(async move {
                login::forget_in(tx).await?;
                auth::forget_in(tx).await?;
                idempotency::forget_in(tx).await?;
                Ok::<_, Abort<()>>(tx.now().saturating_add(HOUSEKEEPING_EVERY))
            })
        });
        Ok(Outcome::Again(kept.await?))
    })
}

/// Removes files that nobody has used, until none are left.
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

/// Sends chat rooms again that have changed. A chat server that is away is asked again next time.
async fn refresh_rooms(db: Db, chats: Chats) -> Result<Outcome, HandlerError> {
    let sent = chats.refresh().await;
    sent.map_err(|failure| HandlerError(failure.row().en.to_owned()))?;
    Ok(Outcome::Again(db.now().saturating_add(CHAT_ROOMS_EVERY)))
}
